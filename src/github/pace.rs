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

use crate::model::{RepoId, RepoName, Timestamp};
use crate::port::PortError;

const MINUTE_MILLIS: i64 = 60_000;
const HOUR_MILLIS: i64 = 3_600_000;
/// Nobody is held for longer: what says so was written by another clock.
const MOST_HELD_MILLIS: i64 = 24 * HOUR_MILLIS;
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
    /// The one token that there is.
    Job,
}

/// Which of an account's repositories a call is for: by its number where that is known, because whoever takes
/// a name has made none of the writes of before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payer {
    Number(RepoId),
    Name(RepoName),
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

impl Record {
    /// What lies in the future was taken down before the clock was put back, and counts from now on.
    fn set_back(&mut self, now: Timestamp) {
        for made in self.writes.iter_mut().rev().take_while(|made| made.at > now) {
            made.at = now;
        }
        if self.held_until.since(now) > MOST_HELD_MILLIS {
            self.held_until = now;
        }
    }
}

/// A write.
struct Made {
    at: Timestamp,
    /// For which repository; `None` where it was for none.
    payer: Option<Payer>,
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
        payer: Option<&Payer>,
        weight: Weight,
        now: Timestamp,
    ) -> Result<(), PortError> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let record = accounts.entry(account).or_default();
        record.set_back(now);
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
        let Some(until) = self.limits.next_place(&record.writes, payer, now) else {
            record.writes.push_back(Made { at: now, payer: payer.cloned() });
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
    /// The first moment at which a write may be made for the repository; `None` for now.
    ///
    /// Writes only grow older, so that what has room in a window keeps it: the moment at which both have it is
    /// the later one.
    fn next_place(self, writes: &VecDeque<Made>, payer: Option<&Payer>, now: Timestamp) -> Option<Timestamp> {
        let windows = [(self.per_minute, MINUTE_MILLIS), (self.per_hour, HOUR_MILLIS)];
        windows.into_iter().filter_map(|(limit, window)| free_at(writes, payer, now, limit.max(1), window)).max()
    }
}

/// When a window has room again, if it has none.
fn free_at(
    writes: &VecDeque<Made>,
    payer: Option<&Payer>,
    now: Timestamp,
    limit: usize,
    window: i64,
) -> Option<Timestamp> {
    let begin = writes.partition_point(|made| now.since(made.at) >= window);
    let is_own = |made: &Made| payer.is_some() && made.payer.as_ref() == payer;
    let mut own = writes.range(begin..).filter(|made| is_own(made)).count();
    let mut others = writes.len() - begin - own;
    let mut moment = None;
    // One after the other grows old, an own one or another's, and each makes room for this repository.
    for made in writes.range(begin..) {
        if has_room(limit, own, others) {
            break;
        }
        if is_own(made) {
            own -= 1;
        } else {
            others -= 1;
        }
        moment = Some(made.at.after_millis(window));
    }
    moment
}

/// Whether one more write may be made beside so many: all together keep to the limit, and one's own to three
/// quarters of what the others leave of it, of which one is always allowed.
fn has_room(limit: usize, own: usize, others: usize) -> bool {
    let left = limit.saturating_sub(others);
    let share = (left - left / 4).max(1);
    own + others < limit && own < share
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
    fn a_clock_that_was_ahead_and_is_put_back_makes_nobody_wait_for_days() {
        const AHEAD: i64 = 5 * 24 * HOUR_MILLIS;
        let pace = Pace::new(WriteLimits { per_minute: 2, per_hour: 100 }, 1);
        for _ in 0..2 {
            assert_eq!(wait_of(pace.admit(ACCOUNT, None, Weight::Write, Timestamp(AHEAD))), None);
        }
        pace.hold(ACCOUNT, Timestamp(AHEAD + HOUR_MILLIS));
        assert_eq!(wait_of(pace.admit(ACCOUNT, None, Weight::Read, Timestamp(1_000))), None, "held by another time");
        let wait = wait_of(pace.admit(ACCOUNT, None, Weight::Write, Timestamp(1_000))).expect("they count still");
        assert!((MINUTE_MILLIS..MINUTE_MILLIS + SPREAD_MILLIS).contains(&wait), "{wait}");
        assert_eq!(wait_of(pace.admit(ACCOUNT, None, Weight::Write, Timestamp(61_000))), None);
        pace.hold(ACCOUNT, Timestamp(90_000));
        assert!(wait_of(pace.admit(ACCOUNT, None, Weight::Read, Timestamp(62_000))).is_some(), "held by this one");
    }

    #[test]
    fn one_repository_leaves_room_for_another_whatever_it_has_to_say() {
        let pace = Pace::new(WriteLimits { per_minute: 16, per_hour: 64 }, 1);
        let [greedy, second, third]: [RepoName; 3] =
            ["acme/greedy", "acme/second", "acme/third"].map(|name| name.parse().unwrap());
        // As many as are let through in the minute that begins then.
        let burst = |repo: &RepoName, at: i64| {
            let payer = Payer::Name(repo.clone());
            let asked = |n: i64| wait_of(pace.admit(ACCOUNT, Some(&payer), Weight::Write, Timestamp(at + n)));
            (0..50).filter(|n| asked(*n).is_none()).count()
        };
        assert_eq!([burst(&greedy, 0), burst(&second, 100), burst(&third, 200)], [12, 3, 1]);
        assert_eq!([burst(&greedy, 300), burst(&second, 400)], [0, 0], "together no more than allowed");
        let made = (1..60).map(|minute| burst(&greedy, minute * MINUTE_MILLIS)).sum::<usize>();
        assert!((30..=48).contains(&made), "{made}");
        assert!(burst(&second, 59 * MINUTE_MILLIS + 1_000) > 0, "the hour's are shared as the minute's are");
        let (payer, at) = (Payer::Name(greedy), Timestamp(59 * MINUTE_MILLIS + 2_000));
        let wait = wait_of(pace.admit(ACCOUNT, Some(&payer), Weight::Write, at));
        assert!(wait.is_some_and(|wait| wait > 0), "{wait:?}");
    }

    fn payer(number: u64) -> Payer {
        Payer::Number(RepoId(number))
    }

    /// A story, the writes of before, now, and until when to wait: in seconds.
    type Case = (&'static str, Vec<(u64, i64)>, i64, Option<i64>);

    /// Writes of repositories by their numbers, at seconds; 0 is none of them.
    fn made(writes: &[(u64, i64)]) -> VecDeque<Made> {
        let mut writes: Vec<_> = writes.to_vec();
        writes.sort_by_key(|(_, second)| *second);
        let of = |number: u64| (number > 0).then(|| payer(number));
        writes.into_iter().map(|(number, second)| Made { at: Timestamp(second * 1000), payer: of(number) }).collect()
    }

    #[test]
    fn the_wait_ends_when_the_first_place_is_free_whosever_write_grows_old() {
        let limits = WriteLimits { per_minute: 8, per_hour: 24 };
        let many = |number: u64, count: usize, second: i64| vec![(number, second); count];
        let cases: [Case; 10] = [
            ("nobody wrote", vec![], 50, None),
            ("three quarters are its own, the oldest of its own grows old", many(1, 6, 10), 20, Some(70)),
            ("one less is none too many", many(1, 5, 10), 20, None),
            // Two leave six, of which five are its own; without the two it may write six.
            ("another's grow old sooner", [many(2, 2, 0), many(1, 5, 30)].concat(), 40, Some(60)),
            ("its own grow old sooner", [many(1, 5, 0), many(2, 2, 30)].concat(), 40, Some(60)),
            ("of several others one is enough", [many(2, 1, 0), many(3, 3, 5), many(1, 3, 30)].concat(), 40, Some(60)),
            ("of others one is too little", [many(2, 1, 0), many(3, 3, 5), many(1, 4, 30)].concat(), 40, Some(65)),
            ("all together are too many", [many(2, 6, 0), many(3, 1, 3), many(1, 1, 10)].concat(), 20, Some(60)),
            // Of the hour's 24 twelve are left, of which nine are its own.
            ("the hour's are shared alike", [many(2, 12, 0), many(1, 9, 3000)].concat(), 3100, Some(3600)),
            ("what is for no repository is kept to all alone", many(0, 7, 0), 20, None),
        ];
        for (story, writes, now, expected) in cases {
            let asks = if story.starts_with("what is for no") { None } else { Some(payer(1)) };
            let until = limits.next_place(&made(&writes), asks.as_ref(), Timestamp(now * 1000));
            assert_eq!(until, expected.map(|second| Timestamp(second * 1000)), "{story}");
        }
    }

    /// As the head of this file says it, for one moment: counted anew, in integers of another form.
    fn may_write(limits: WriteLimits, writes: &VecDeque<Made>, number: u64, at: i64) -> bool {
        [(limits.per_minute, 60_000), (limits.per_hour, 3_600_000)].into_iter().all(|(limit, window)| {
            let young = writes.iter().filter(|made| made.at.0 + window > at);
            let (own, others): (Vec<&Made>, Vec<&Made>) = young.partition(|made| made.payer == Some(payer(number)));
            let quarters = 3 * limit.saturating_sub(others.len());
            own.len() + others.len() < limit && (own.is_empty() || 4 * own.len() < quarters)
        })
    }

    #[test]
    fn at_the_answered_moment_it_may_write_and_no_millisecond_earlier() {
        let mut chance = SmallRng::seed_from_u64(12);
        let mut waits = [0_usize; 2];
        for round in 0..3_000 {
            let limits = WriteLimits { per_minute: chance.random_range(1..12), per_hour: chance.random_range(1..60) };
            let mut writes = VecDeque::new();
            let mut now = 0;
            for _ in 0..chance.random_range(0..80) {
                now += [0, 1, 900, 20_000, 300_000][chance.random_range(0..5)];
                let of = chance.random_range(0..4);
                writes.push_back(Made { at: Timestamp(now), payer: (of > 0).then(|| payer(of)) });
            }
            now += chance.random_range(0..90_000);
            let (number, story) = (chance.random_range(1..5), format!("round {round}: {limits:?} at {now}"));
            match limits.next_place(&writes, Some(&payer(number)), Timestamp(now)) {
                None => assert!(may_write(limits, &writes, number, now), "{story}"),
                Some(Timestamp(until)) => {
                    assert!(now < until && may_write(limits, &writes, number, until), "{story}, until {until}");
                    assert!(!may_write(limits, &writes, number, until - 1), "{story}, before {until}");
                    waits[usize::from(until - now > 60_000)] += 1;
                }
            }
        }
        assert!(waits.iter().all(|count| *count > 100), "{waits:?}");
    }
}
