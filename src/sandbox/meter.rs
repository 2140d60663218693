//! Rate limits: the hourly one, and the secondary ones on what creates content.
//!
//! GitHub: "Rate limits for the REST API": 5,000 requests an hour for an installation; at most 80
//! content-generating requests a minute and 500 an hour. An answer 304 is free.

use std::collections::VecDeque;

use crate::model::Timestamp;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;

/// The limits in force; `None` is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) requests_per_hour: u64,
    pub(super) writes_per_minute: Option<u64>,
    pub(super) writes_per_hour: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Meter {
    pub(super) limits: Limits,
    window_start: Timestamp,
    used: u64,
    writes: VecDeque<Timestamp>,
}

/// What the `x-ratelimit-*` headers say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) limit: u64,
    pub(super) used: u64,
    pub(super) remaining: u64,
    /// Seconds since 1970.
    pub(super) reset: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overrun {
    Primary,
    Secondary { retry_after_seconds: i64 },
}

impl Meter {
    pub(super) fn new(limits: Limits, now: Timestamp) -> Self {
        Self { limits, window_start: now, used: 0, writes: VecDeque::new() }
    }

    pub(super) fn reading(&self) -> Reading {
        let limit = self.limits.requests_per_hour;
        let reset = self.window_start.after_millis(HOUR).0.div_euclid(1000);
        Reading { limit, used: self.used.min(limit), remaining: limit.saturating_sub(self.used), reset }
    }

    /// Counts a request, or says which limit it breaks.
    pub(super) fn spend(&mut self, writes_content: bool, now: Timestamp) -> Result<(), Overrun> {
        if now.since(self.window_start) >= HOUR {
            self.window_start = now;
            self.used = 0;
        }
        if self.used >= self.limits.requests_per_hour {
            return Err(Overrun::Primary);
        }
        if writes_content {
            self.spend_write(now)?;
        }
        self.used += 1;
        Ok(())
    }

    fn spend_write(&mut self, now: Timestamp) -> Result<(), Overrun> {
        while self.writes.front().is_some_and(|at| now.since(*at) >= HOUR) {
            self.writes.pop_front();
        }
        let windows = [(self.limits.writes_per_minute, MINUTE), (self.limits.writes_per_hour, HOUR)];
        for (limit, span) in windows {
            let Some(limit) = limit else { continue };
            let inside = || self.writes.iter().rev().take_while(|at| now.since(**at) < span);
            if u64::try_from(inside().count()).unwrap_or(u64::MAX) >= limit {
                let oldest = inside().last().copied().unwrap_or(now);
                let wait = span - now.since(oldest);
                return Err(Overrun::Secondary { retry_after_seconds: (wait + 999).div_euclid(1000).max(1) });
            }
        }
        self.writes.push_back(now);
        Ok(())
    }

    /// Gives back what an answer 304 had cost.
    pub(super) fn refund(&mut self) {
        self.used = self.used.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(per_hour: u64, writes: u64) -> Meter {
        let limits =
            Limits { requests_per_hour: per_hour, writes_per_minute: Some(writes), writes_per_hour: Some(writes * 2) };
        Meter::new(limits, Timestamp(0))
    }

    #[test]
    fn the_hourly_limit_ends_with_its_window() {
        let mut meter = meter(2, 9);
        assert_eq!(meter.spend(false, Timestamp(1)), Ok(()));
        assert_eq!(meter.spend(false, Timestamp(2)), Ok(()));
        assert_eq!(meter.spend(false, Timestamp(3)), Err(Overrun::Primary));
        assert_eq!(meter.reading().remaining, 0);
        assert_eq!(meter.spend(false, Timestamp(HOUR)), Ok(()));
    }

    #[test]
    fn content_is_limited_by_the_minute_and_the_hour() {
        let mut meter = meter(100, 2);
        assert_eq!(meter.spend(true, Timestamp(0)), Ok(()));
        assert_eq!(meter.spend(true, Timestamp(30_000)), Ok(()));
        assert_eq!(
            meter.spend(true, Timestamp(40_000)),
            Err(Overrun::Secondary { retry_after_seconds: 20 }),
            "the first one leaves the minute at 60 s"
        );
        assert_eq!(meter.spend(true, Timestamp(60_000)), Ok(()));
        assert_eq!(meter.spend(true, Timestamp(120_000)), Ok(()));
        assert!(matches!(meter.spend(true, Timestamp(200_000)), Err(Overrun::Secondary { .. })), "four in an hour");
        assert_eq!(meter.spend(false, Timestamp(200_000)), Ok(()), "reading is still free");
    }
}
