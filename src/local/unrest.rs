//! How a version fares once it is live: what is told of it, and when somebody should look.
//!
//! A program that ends once and is back at once is nothing to speak of; one that ends again within [`AGAIN`], or
//! stays away for [`GRAVE`], is. It has recovered once it was well for [`CALM`], and for twice as long as it last
//! took to end again: what ends every few minutes is not well in between.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::shared::Shared;
use super::unit::Unit;
use crate::model::{Condition, Conditions, Failure, FailureKind, StageId, Timestamp, Wellbeing};
use crate::port::PortResult;

/// A program may be away for so long before it is told.
const GRAVE: Duration = Duration::from_secs(3);
/// So long it must have been well to be called so again.
const CALM: Duration = Duration::from_mins(1);
/// Falls that lie no further apart are one trouble, however well it was in between. Kubernetes counts restarts alike:
/// "Once a container has executed for 10 minutes without any problems, the kubelet resets the restart backoff timer".
const AGAIN: Duration = Duration::from_mins(10);
/// Of a program that ends again and again, somebody is told this often.
const GAP: Duration = Duration::from_mins(1);

/// What is remembered of a version that did not stay up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Falls {
    since: Timestamp,
    restarts: u32,
    over: Option<Timestamp>,
    /// It is told.
    is_grave: bool,
    failure: Failure,
}

/// A version under observation.
#[derive(Debug, Default)]
pub(super) struct Watch {
    falls: Option<Falls>,
    fell_at: Option<Instant>,
    /// How long it must be well to have recovered, where it falls more seldom than [`CALM`].
    calm: Duration,
    well_since: Option<Instant>,
    told_at: Option<Instant>,
}

impl Watch {
    /// As an earlier server left it. What was nothing to speak of is over with the server that saw it: how soon it was
    /// back is not known here.
    pub(super) fn of(falls: Option<Falls>) -> Self {
        Self { falls: falls.filter(|falls| falls.is_grave), ..Self::default() }
    }

    /// A program of it came down. Answers how long until somebody should look.
    fn fell(&mut self, failure: &Failure, now: Timestamp, at: Instant) -> Option<Duration> {
        // Whoever was well for so long in between had recovered, whether or not somebody looked.
        let was_calm = self.well_since.is_some_and(|since| at.duration_since(since) >= CALM);
        let gap = self.fell_at.map(|fell| at.duration_since(fell)).filter(|gap| *gap < AGAIN);
        self.calm = gap.unwrap_or_default() * 2;
        let before = self.falls.take().filter(|falls| gap.is_some() || falls.over.is_none() && !was_calm);
        if before.is_none() {
            self.told_at = None;
        }
        let (since, restarts) = before.as_ref().map_or((now, 0), |falls| (falls.since, falls.restarts));
        let is_grave = before.is_some();
        let failure = failure.clone();
        self.falls = Some(Falls { since, restarts: restarts.saturating_add(1), over: None, is_grave, failure });
        (self.fell_at, self.well_since) = (Some(at), None);
        if !is_grave {
            return Some(GRAVE);
        }
        let is_due = self.told_at.is_none_or(|told| at.duration_since(told) >= GAP);
        is_due.then(|| {
            self.told_at = Some(at);
            Duration::ZERO
        })
    }

    /// Every copy of it is well.
    fn rose(&mut self, at: Instant) {
        self.note_absence(at);
        self.well_since.get_or_insert(at);
    }

    fn note_absence(&mut self, at: Instant) {
        // An earlier server saw it fall, where this one did not.
        let is_long = self.fell_at.is_none_or(|fell| at.duration_since(fell) >= GRAVE);
        if let Some(falls) = self.falls.as_mut().filter(|falls| falls.over.is_none() && is_long) {
            falls.is_grave = true;
        }
    }

    /// What is to be told at the moment.
    fn look(&mut self, is_well: bool, now: Timestamp, at: Instant) -> Option<Falls> {
        if is_well {
            let well_for = at.duration_since(*self.well_since.get_or_insert(at));
            let calm = self.calm.max(CALM);
            if let Some(falls) = self.falls.as_mut().filter(|falls| falls.over.is_none() && well_for >= calm) {
                let millis = i64::try_from(well_for.as_millis()).unwrap_or_default();
                falls.over = Some(now.after_millis(-millis));
            }
        } else {
            self.note_absence(at);
        }
        self.falls.clone().filter(|falls| falls.is_grave)
    }
}

/// Stages that somebody should look at.
#[derive(Debug, Default)]
pub(super) struct News {
    stages: Mutex<BTreeSet<StageId>>,
    rung: Notify,
}

impl News {
    fn tell(self: &Arc<Self>, stage: StageId, wait: Duration) {
        let news = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            news.stages.lock().unwrap_or_else(PoisonError::into_inner).insert(stage);
            news.rung.notify_one();
        });
    }

    /// Waits for the next one.
    pub(super) async fn next(&self) -> StageId {
        loop {
            let next = self.stages.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
            match next {
                Some(stage) => return stage,
                None => self.rung.notified().await,
            }
        }
    }
}

/// Takes note that a program of a live version came down.
pub(super) fn fell(shared: &Shared, unit: &Unit, failure: &Failure) {
    let now = shared.clock.now();
    let tell = changed(shared, unit, |watch| watch.fell(failure, now, Instant::now()));
    if let Some(wait) = tell {
        shared.news.tell(unit.id.stage.clone(), wait);
    }
}

/// Takes note that every copy of a version is well.
pub(super) fn rose(shared: &Shared, unit: &Unit) {
    changed(shared, unit, |watch| watch.rose(Instant::now()));
}

/// Changes what is known of a version, in memory and on disk, in the same order.
fn changed<T>(shared: &Shared, unit: &Unit, change: impl FnOnce(&mut Watch) -> T) -> T {
    let mut watch = unit.watch.lock().unwrap_or_else(PoisonError::into_inner);
    let before = watch.falls.clone();
    let told = change(&mut watch);
    if let Some(falls) = watch.falls.as_ref().filter(|falls| before.as_ref() != Some(*falls))
        && let Err(error) = shared.disk.write_falls(&unit.id, falls)
    {
        tracing::warn!(version = %unit.id.version, %error, "how a version fares is not kept for the next server");
    }
    told
}

/// How every service is doing that is live, well or not: one that is not told is taken for lost.
pub(super) fn of_stage(shared: &Shared, stage: &StageId) -> PortResult<Conditions> {
    let mut found = Conditions::new();
    for service in shared.disk.services(stage)? {
        let Some(route) = shared.disk.read_route(stage, &service)? else { continue };
        let id = super::disk::VersionId { stage: stage.clone(), service: service.clone(), version: route.version };
        let Some(unit) = shared.unit(&id)?.filter(|unit| !unit.is_retiring()) else { continue };
        let (well, wanted, now) = (unit.healthy_copies(), unit.copies(), shared.clock.now());
        let falls = changed(shared, &unit, |watch| watch.look(well == wanted, now, Instant::now()));
        let quiet = Condition { well: count(well), ..Condition::well(count(wanted), unit.record().made_at) };
        found.insert(service, condition(falls, quiet));
    }
    Ok(found)
}

/// What is to be told of a version that has come down, or that it is well since it was made.
fn condition(falls: Option<Falls>, quiet: Condition) -> Condition {
    let Some(Falls { since, restarts, over, is_grave: _, failure }) = falls else { return quiet };
    let state = match over {
        Some(_) => Wellbeing::Well,
        None if failure.kind == FailureKind::Unhealthy => Wellbeing::Unhealthy,
        None => Wellbeing::Restarting,
    };
    Condition { state, since: over.unwrap_or(since), restarts, why: Some(failure), ..quiet }
}

fn count(copies: usize) -> u32 {
    u32::try_from(copies).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(summary: &str) -> Failure {
        Failure::new(FailureKind::Exited, summary, "mend it")
    }

    /// A version, and a clock that goes on by seconds.
    struct World {
        watch: Watch,
        begun: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { watch: Watch::default(), begun: Instant::now() }
        }

        fn at(&self, second: u64) -> (Timestamp, Instant) {
            let now = Timestamp(i64::try_from(second * 1000).expect("a time"));
            (now, self.begun + Duration::from_secs(second))
        }

        fn fell(&mut self, second: u64) -> Option<Duration> {
            let (now, at) = self.at(second);
            self.watch.fell(&failure(&format!("fell at {second}")), now, at)
        }

        fn rose(&mut self, second: u64) {
            let (_, at) = self.at(second);
            self.watch.rose(at);
        }

        /// Restarts, since and until which second, as it is told.
        fn look(&mut self, second: u64, is_well: bool) -> Option<(u32, i64, Option<i64>)> {
            let (now, at) = self.at(second);
            let falls = self.watch.look(is_well, now, at)?;
            Some((falls.restarts, falls.since.0 / 1000, falls.over.map(|over| over.0 / 1000)))
        }
    }

    #[test]
    fn who_is_back_at_once_is_nothing_to_speak_of() {
        let mut w = World::new();
        assert_eq!(w.look(0, true), None);
        assert_eq!(w.fell(10), Some(GRAVE));
        w.rose(11);
        assert_eq!(w.look(13, true), None);
        assert_eq!(w.fell(700), Some(GRAVE), "that is another time, although nobody looked in between");
        w.rose(701);
        assert_eq!(w.look(1_000, true), None);
        assert_eq!(w.fell(1_400), Some(GRAVE));
    }

    #[test]
    fn who_ends_again_every_few_minutes_is_told_and_recovers_when_that_is_over() {
        let mut w = World::new();
        assert_eq!(w.fell(10), Some(GRAVE));
        w.rose(11);
        assert_eq!(w.look(80, true), None);
        assert_eq!(w.fell(86), Some(Duration::ZERO));
        w.rose(87);
        assert_eq!(w.look(147, true), Some((2, 10, None)), "so long it was well the last time as well");
        assert_eq!(w.look(238, true), Some((2, 10, None)));
        assert_eq!(w.look(239, true), Some((2, 10, Some(87))), "twice as long as that");
    }

    #[test]
    fn who_stays_away_is_told_and_recovers() {
        let mut w = World::new();
        w.fell(10);
        assert_eq!(w.look(12, false), None);
        assert_eq!(w.look(13, false), Some((1, 10, None)));
        w.rose(20);
        assert_eq!(w.look(21, true), Some((1, 10, None)), "it has not been well for long");
        assert_eq!(w.look(79, true), Some((1, 10, None)));
        assert_eq!(w.look(80, true), Some((1, 10, Some(20))), "well since it came back");
        assert_eq!(w.look(500, true), Some((1, 10, Some(20))));
    }

    #[test]
    fn who_ends_again_and_again_is_told_at_once_and_then_now_and_then() {
        let mut w = World::new();
        assert_eq!(w.fell(10), Some(GRAVE));
        w.rose(11);
        assert_eq!(w.fell(12), Some(Duration::ZERO));
        w.rose(13);
        assert_eq!(w.look(13, true), Some((2, 10, None)), "that it is up in between says nothing");
        assert_eq!((w.fell(20), w.fell(40), w.fell(72)), (None, None, Some(Duration::ZERO)));
        assert_eq!(w.look(131, true), Some((5, 10, None)));
        w.rose(132);
        assert_eq!(w.look(194, true), Some((5, 10, None)));
        assert_eq!(w.look(195, true), Some((5, 10, Some(131))), "well since it was seen so");
        assert_eq!(w.fell(1_000), Some(GRAVE));
        assert_eq!(w.look(1_001, false), None, "what is over is over");
    }

    #[test]
    fn a_new_server_goes_on_with_what_the_one_before_knew() {
        let mut w = World::new();
        w.fell(10);
        w.fell(11);
        let kept = serde_json::to_string(&w.watch.falls).expect("a record");
        w.watch = Watch::of(serde_json::from_str(&kept).expect("a record"));
        assert_eq!(w.look(100, true), Some((2, 10, None)), "this one has not seen it well for long");
        assert_eq!(w.look(160, true), Some((2, 10, Some(100))));
    }

    #[test]
    fn what_was_nothing_to_speak_of_is_nothing_to_a_new_server() {
        let mut w = World::new();
        w.fell(10);
        w.rose(11);
        w.watch = Watch::of(w.watch.falls.take());
        w.rose(20);
        assert_eq!(w.look(21, true), None, "it was well all the while");
        assert_eq!(w.fell(30), Some(GRAVE));
    }

    #[test]
    fn what_is_told_is_a_trouble_until_it_is_over() {
        let quiet = Condition { well: 1, ..Condition::well(2, Timestamp(5)) };
        assert_eq!(condition(None, quiet.clone()), quiet);
        let falls = |kind, over: Option<i64>| Falls {
            since: Timestamp(10),
            restarts: 3,
            over: over.map(Timestamp),
            is_grave: true,
            failure: Failure::new(kind, "it came down", "mend it"),
        };
        let told = |kind, over| condition(Some(falls(kind, over)), quiet.clone());
        let restarting = told(FailureKind::Exited, None);
        assert_eq!(
            (restarting.state, restarting.since, restarting.restarts),
            (Wellbeing::Restarting, Timestamp(10), 3)
        );
        assert_eq!((restarting.well, restarting.wanted), (1, 2));
        assert_eq!(told(FailureKind::Unhealthy, None).state, Wellbeing::Unhealthy);
        let over = told(FailureKind::Exited, Some(70));
        assert!(over.is_recovered() && over.since == Timestamp(70), "{over:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn news_come_when_they_are_due_and_each_once() {
        let news = Arc::new(News::default());
        let stage = |name: &str| StageId { repo: "acme/shop".parse().unwrap(), name: name.parse().unwrap() };
        let begun = Instant::now();
        news.tell(stage("pr-2"), GRAVE);
        news.tell(stage("pr-1"), Duration::ZERO);
        assert_eq!((news.next().await, begun.elapsed() < GRAVE), (stage("pr-1"), true));
        assert_eq!((news.next().await, begun.elapsed() >= GRAVE), (stage("pr-2"), true));
        let more = tokio::time::timeout(Duration::from_secs(9), news.next()).await;
        assert!(more.is_err(), "there is no more");
    }
}
