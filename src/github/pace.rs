//! How fast an account may be used: a budget of writes, and GitHub's own word when it was too fast.
//!
//! Source: GitHub Docs, "Rate limits for the REST API": no more than 80 content-generating requests
//! a minute and 500 an hour; requests made while limited may end in a ban.
//!
//! An installation's repositories share its budget: of what the others leave of it, each may use
//! three quarters, so that one with a hundred pull requests leaves room for another's first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::model::{RepoName, Timestamp};
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
    writes: VecDeque<Made>,
}

/// A write.
struct Made {
    at: Timestamp,
    /// For which repository; `None` where it was for none.
    repo: Option<RepoName>,
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
    pub(super) fn admit(
        &self,
        account: Account,
        repo: Option<&RepoName>,
        weight: Weight,
        now: Timestamp,
    ) -> Result<(), PortError> {
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
        while record.writes.front().is_some_and(|made| now.since(made.at) >= HOUR_MILLIS) {
            record.writes.pop_front();
        }
        let Some(until) = self.limits.next_place(&record.writes, repo, now) else {
            record.writes.push_back(Made { at: now, repo: repo.cloned() });
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
    /// When the next write may be made for the repository; `None` for now.
    fn next_place(self, writes: &VecDeque<Made>, repo: Option<&RepoName>, now: Timestamp) -> Option<Timestamp> {
        let windows = [(self.per_minute, MINUTE_MILLIS), (self.per_hour, HOUR_MILLIS)];
        windows.into_iter().filter_map(|(limit, window)| free_at(writes, repo, now, limit, window)).max()
    }
}

/// When a window has room again, if it has none.
fn free_at(
    writes: &VecDeque<Made>,
    repo: Option<&RepoName>,
    now: Timestamp,
    limit: usize,
    window: i64,
) -> Option<Timestamp> {
    let begin = writes.partition_point(|made| now.since(made.at) >= window);
    let own: Vec<Timestamp> =
        writes.range(begin..).filter(|made| repo.is_some() && made.repo.as_ref() == repo).map(|made| made.at).collect();
    let all = writes.len() - begin;
    let left = limit.saturating_sub(all - own.len());
    let share = left - left / 4;
    // The one that has to grow old before there is room: of all, and of the repository's own.
    let of_all = all.checked_sub(limit.max(1)).map(|index| writes[begin + index].at);
    let of_own = own.len().checked_sub(share.max(1)).map(|index| own[index]);
    of_all.max(of_own).map(|at| at.after_millis(window))
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
            if wait_of(pace.admit(ACCOUNT, None, Weight::Write, Timestamp(now))).is_none() {
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
            assert_eq!(wait_of(pace.admit(ACCOUNT, None, Weight::Write, Timestamp(at))), None);
        }
        let wait = wait_of(pace.admit(ACCOUNT, None, Weight::Write, Timestamp(20_000))).expect("no place is free");
        assert!((40_000..40_000 + SPREAD_MILLIS).contains(&wait), "{wait}");
        assert_eq!(wait_of(pace.admit(ACCOUNT, None, Weight::Read, Timestamp(20_000))), None, "reads are free");
        let other = Account::Installation(8);
        assert_eq!(
            wait_of(pace.admit(other, None, Weight::Write, Timestamp(20_000))),
            None,
            "and so are other accounts"
        );
        assert_eq!(wait_of(pace.admit(ACCOUNT, None, Weight::Write, Timestamp(60_000))), None);
    }

    #[test]
    fn a_held_account_is_left_alone_reads_included() {
        let pace = Pace::new(WriteLimits::default(), 1);
        pace.hold(ACCOUNT, Timestamp(5_000));
        pace.hold(ACCOUNT, Timestamp(2_000));
        for weight in [Weight::Read, Weight::Write] {
            let wait = wait_of(pace.admit(ACCOUNT, None, weight, Timestamp(1_000))).expect("held");
            assert!((4_000..4_000 + SPREAD_MILLIS).contains(&wait), "{wait}");
        }
        assert_eq!(wait_of(pace.admit(ACCOUNT, None, Weight::Read, Timestamp(5_000))), None);
    }

    #[test]
    fn one_repository_leaves_room_for_another_whatever_it_has_to_say() {
        let pace = Pace::new(WriteLimits { per_minute: 16, per_hour: 64 }, 1);
        let [greedy, second, third]: [RepoName; 3] =
            ["acme/greedy", "acme/second", "acme/third"].map(|name| name.parse().unwrap());
        // As many as are let through in the minute that begins then.
        let burst = |repo: &RepoName, at: i64| {
            let asked = |n: i64| wait_of(pace.admit(ACCOUNT, Some(repo), Weight::Write, Timestamp(at + n)));
            (0..50).filter(|n| asked(*n).is_none()).count()
        };
        assert_eq!([burst(&greedy, 0), burst(&second, 100), burst(&third, 200)], [12, 3, 1]);
        assert_eq!([burst(&greedy, 300), burst(&second, 400)], [0, 0], "together no more than allowed");
        let made = (1..60).map(|minute| burst(&greedy, minute * MINUTE_MILLIS)).sum::<usize>();
        assert!((30..=48).contains(&made), "{made}");
        assert!(burst(&second, 59 * MINUTE_MILLIS + 1_000) > 0, "the hour's are shared as the minute's are");
        let wait = wait_of(pace.admit(ACCOUNT, Some(&greedy), Weight::Write, Timestamp(59 * MINUTE_MILLIS + 2_000)));
        assert!(wait.is_some_and(|wait| wait > 0), "{wait:?}");
    }
}
