//! One budget of calls for each account, region and service.
//!
//! Guarantees: in any span, no more calls are sent than the burst and the rate allow; a caller
//! waits at most [`LONGEST_WAIT`], in the order of asking; who would wait longer is told at once.
//!
//! Source: AWS counts requests in token buckets by account and region; "Request throttling for the
//! Amazon ECS API" and "... Route 53" give their sizes, the others do not, and these are guesses
//! from below, as other deploy tools found them out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Nobody waits longer for a place.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// How fast a service may be called.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    /// For a service by IAM's name.
    pub(super) fn of(service: &str) -> Self {
        let (per_second, burst) = match service {
            "ecs" => (20.0, 40.0),
            "cloudformation" => (5.0, 20.0),
            "acm" | "route53" | "servicequotas" => (5.0, 10.0),
            "s3" => (50.0, 100.0),
            _ => (10.0, 20.0),
        };
        Self { per_second, burst }
    }
}

/// Which budget a call counts against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Purse {
    pub(super) account: String,
    pub(super) region: String,
    /// IAM's name: `elasticloadbalancing`.
    pub(super) service: &'static str,
}

/// The budgets of this process.
#[derive(Debug, Default)]
pub(super) struct Pace {
    buckets: Mutex<HashMap<Purse, Bucket>>,
}

/// Tokens may be negative: they are then promised to callers that wait.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Too many calls wait already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("more calls of {service} wait than its rate allows in {} s", LONGEST_WAIT.as_secs())]
pub(super) struct OverBudget {
    service: &'static str,
    again: Duration,
}

impl OverBudget {
    /// When to ask again, in milliseconds.
    pub(super) fn again_millis(&self) -> i64 {
        i64::try_from(self.again.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Pace {
    /// Takes a place for one call: how long to wait before it is sent.
    pub(super) fn take(&self, purse: &Purse, now: Instant) -> Result<Duration, OverBudget> {
        let rate = Rate::of(purse.service);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { tokens: rate.burst, at: now };
        let bucket = match buckets.get_mut(purse) {
            Some(bucket) => bucket,
            None => buckets.entry(purse.clone()).or_insert(full),
        };
        bucket.take(rate, now).map_err(|again| OverBudget { service: purse.service, again })
    }
}

impl Bucket {
    fn take(&mut self, rate: Rate, now: Instant) -> Result<Duration, Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate.per_second).min(rate.burst);
        self.at = self.at.max(now);
        let wait = Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / rate.per_second);
        if wait > LONGEST_WAIT {
            return Err(wait);
        }
        self.tokens -= 1.0;
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purse(service: &'static str, account: &str) -> Purse {
        Purse { account: account.into(), region: "eu-west-1".into(), service }
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let (pace, begun) = (Pace::default(), Instant::now());
        let waits: Vec<_> = (0..200).map(|_| pace.take(&purse("ecs", "1"), begun)).collect();
        let sent: Vec<Duration> = waits.iter().filter_map(|wait| wait.clone().ok()).collect();
        assert_eq!(sent.iter().filter(|wait| wait.is_zero()).count(), 40, "the burst");
        assert_eq!(sent.len(), 40 + 60, "and what 20 a second send in 3 s");
        assert!(sent.is_sorted(), "in the order of asking");
        let refused = waits.into_iter().find_map(Result::err).expect("the rest is refused");
        assert!((3_000..3_200).contains(&refused.again_millis()), "{refused:?}");
    }

    #[test]
    fn what_was_not_spent_is_there_again_but_never_more_than_the_burst() {
        let (pace, begun) = (Pace::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let at_once =
            |now| (0..100).filter(|_| pace.take(&purse("cloudformation", "1"), now) == Ok(Duration::ZERO)).count();
        assert_eq!(at_once(begun), 20);
        assert_eq!(at_once(at(3 + 2)), 10, "3 s went to those who waited");
        assert_eq!(at_once(at(10_000)), 20);
    }

    #[test]
    fn accounts_and_services_do_not_share() {
        let (pace, begun) = (Pace::default(), Instant::now());
        while pace.take(&purse("ecs", "1"), begun).is_ok() {}
        assert_eq!(pace.take(&purse("ecs", "2"), begun), Ok(Duration::ZERO));
        assert_eq!(pace.take(&purse("iam", "1"), begun), Ok(Duration::ZERO));
    }
}
