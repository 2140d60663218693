//! How fast an account may be used: a budget of writes, and GitHub's own word when it was too fast.
//!
//! Source: GitHub Docs, "Rate limits for the REST API": no more than 80 content-generating requests
//! a minute and 500 an hour; requests made while limited may end in a ban.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::model::Timestamp;
use crate::port::PortError;

const MINUTE_MILLIS: i64 = 60_000;
const HOUR_MILLIS: i64 = 3_600_000;
/// Over how long lanes that wait for one moment are spread.
const SPREAD_MILLIS: i64 = 3_000;

/// How many writes an installation may make in any minute and in any hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteLimits {
    pub per_minute: usize,
    pub per_hour: usize,
}

impl Default for WriteLimits {
    /// Just under GitHub's own 80 and 500.
    fn default() -> Self {
        Self { per_minute: 78, per_hour: 490 }
    }
}

/// Whose limits a call counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Account {
    App,
    Installation(u64),
}

/// Whether a call makes something that others see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Read,
    Write,
}

#[derive(Default)]
struct Record {
    held_until: Timestamp,
    /// The writes of the last hour, oldest first.
    writes: VecDeque<Timestamp>,
}

/// The pace of every account that this process uses.
pub(super) struct Pace {
    limits: WriteLimits,
    accounts: Mutex<HashMap<Account, Record>>,
    spread: Mutex<SmallRng>,
}

impl Pace {
    pub(super) fn new(limits: WriteLimits, seed: u64) -> Self {
        Self { limits, accounts: Mutex::default(), spread: Mutex::new(SmallRng::seed_from_u64(seed)) }
    }

    /// Lets a call through and notes it, or says how long to wait.
    pub(super) fn admit(&self, account: Account, weight: Weight, now: Timestamp) -> Result<(), PortError> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let record = accounts.entry(account).or_default();
        if now < record.held_until {
            let until = record.held_until;
            drop(accounts);
            return Err(self.wait("GitHub limits our requests", now, until));
        }
        if weight == Weight::Read {
            return Ok(());
        }
        while record.writes.front().is_some_and(|at| now.since(*at) >= HOUR_MILLIS) {
            record.writes.pop_front();
        }
        let Some(until) = self.limits.next_place(&record.writes, now) else {
            record.writes.push_back(now);
            return Ok(());
        };
        drop(accounts);
        Err(self.wait("our budget of writes to GitHub is used up", now, until))
    }

    /// Leaves the account alone until then.
    pub(super) fn hold(&self, account: Account, until: Timestamp) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let record = accounts.entry(account).or_default();
        record.held_until = record.held_until.max(until);
    }

    /// A wait until a moment and a little longer, differently long for everybody.
    pub(super) fn wait(&self, reason: impl Into<String>, now: Timestamp, until: Timestamp) -> PortError {
        let extra = self.spread.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..SPREAD_MILLIS);
        PortError::Retry { reason: reason.into(), after_millis: Some(until.since(now) + extra) }
    }
}

impl WriteLimits {
    /// When the next write may be made; `None` for now.
    fn next_place(self, writes: &VecDeque<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let full = |limit: usize, window: i64| {
            let oldest_that_counts = *writes.get(writes.len().checked_sub(limit.max(1))?)?;
            let free_at = oldest_that_counts.after_millis(window);
            (now < free_at).then_some(free_at)
        };
        full(self.per_minute, MINUTE_MILLIS).max(full(self.per_hour, HOUR_MILLIS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account = Account::Installation(7);

    fn wait_of(result: Result<(), PortError>) -> Option<i64> {
        match result {
            Ok(()) => None,
            Err(PortError::Retry { after_millis, .. }) => after_millis,
            Err(other) => panic!("not a wait: {other}"),
        }
    }

    #[test]
    fn no_minute_and_no_hour_sees_more_writes_than_allowed() {
        let limits = WriteLimits { per_minute: 5, per_hour: 20 };
        let pace = Pace::new(limits, 1);
        let mut made: Vec<i64> = Vec::new();
        for second in 0..7_300 {
            let now = second * 1000;
            if wait_of(pace.admit(ACCOUNT, Weight::Write, Timestamp(now))).is_none() {
                made.push(now);
            }
        }
        let most = |window: i64| {
            made.iter().map(|start| made.iter().filter(|at| (*start..start + window).contains(at)).count()).max()
        };
        assert_eq!((most(MINUTE_MILLIS), most(HOUR_MILLIS)), (Some(5), Some(20)));
        assert_eq!(made.len(), 20 + 20 + 10, "and no fewer than it could, in two hours and two minutes");
    }

    #[test]
    fn the_wait_ends_when_the_next_place_is_free() {
        let pace = Pace::new(WriteLimits { per_minute: 2, per_hour: 100 }, 1);
        for at in [0, 10_000] {
            assert_eq!(wait_of(pace.admit(ACCOUNT, Weight::Write, Timestamp(at))), None);
        }
        let wait = wait_of(pace.admit(ACCOUNT, Weight::Write, Timestamp(20_000))).expect("no place is free");
        assert!((40_000..40_000 + SPREAD_MILLIS).contains(&wait), "{wait}");
        assert_eq!(wait_of(pace.admit(ACCOUNT, Weight::Read, Timestamp(20_000))), None, "reads are free");
        let other = Account::Installation(8);
        assert_eq!(wait_of(pace.admit(other, Weight::Write, Timestamp(20_000))), None, "and so are other accounts");
        assert_eq!(wait_of(pace.admit(ACCOUNT, Weight::Write, Timestamp(60_000))), None);
    }

    #[test]
    fn a_held_account_is_left_alone_reads_included() {
        let pace = Pace::new(WriteLimits::default(), 1);
        pace.hold(ACCOUNT, Timestamp(5_000));
        pace.hold(ACCOUNT, Timestamp(2_000));
        for weight in [Weight::Read, Weight::Write] {
            let wait = wait_of(pace.admit(ACCOUNT, weight, Timestamp(1_000))).expect("held");
            assert!((4_000..4_000 + SPREAD_MILLIS).contains(&wait), "{wait}");
        }
        assert_eq!(wait_of(pace.admit(ACCOUNT, Weight::Read, Timestamp(5_000))), None);
    }
}
