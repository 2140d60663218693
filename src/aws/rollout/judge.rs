//! What the state of a service means for the deployment that we started.
//!
//! Stable is not deployed: a service that ECS has taken back to its old version is as stable as one
//! that runs the new one (trap 22), so it is always our own deployment that is judged.

use std::time::Duration;

use super::snapshot::{Deployment, Event, RolloutState, Seen};
use crate::model::Seconds;

/// How long ECS may say that it cannot place a copy.
const PLACEMENT_PATIENCE: Duration = Duration::from_mins(3);

/// How long an answer may still show a service as it was before it was changed.
///
/// Source: ECS API reference, `DescribeServices` and others: "eventual consistency model".
const CONSISTENCY: Duration = Duration::from_secs(10);

/// No copy starts faster anywhere.
const FIRST_MILLIS: i64 = 1_200;

/// Words of a service event that tell of trouble, in lower case.
const TROUBLE: [&str; 5] = ["unable", "fail", "unhealthy", "error", "throttle"];

/// What we know of our own deployment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ours<'a> {
    pub(super) definition: &'a str,
    /// Since we follow it.
    pub(super) followed: Duration,
    /// How often it was looked at before.
    pub(super) polls: u32,
    /// The most copies of it that were seen alive at once.
    pub(super) most: i32,
}

/// Where our deployment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// ECS calls it complete and all its copies run; whether they are healthy is for the targets to say.
    Complete,
    Underway {
        note: String,
        look: Look,
    },
    /// It ended without success, in ECS's words.
    Over {
        said: String,
    },
    /// It will not get anywhere, in ECS's words.
    Stuck {
        said: String,
    },
}

/// Whether it is time to look for copies that stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    AtStoppedTasks,
    NotYet,
}

/// Judges our deployment.
pub(super) fn judge(seen: &Seen, ours: &Ours<'_>) -> Verdict {
    let Some(primary) = seen.primary() else {
        return Verdict::Over { said: "the service has no deployment any more".into() };
    };
    if primary.definition != ours.definition {
        let is_listed = seen.deployments.iter().any(|found| found.definition == ours.definition);
        if !is_listed && ours.followed < CONSISTENCY {
            return Verdict::Underway { note: "starting".into(), look: Look::NotYet };
        }
        return Verdict::Over { said: taken_back(seen, ours) };
    }
    match primary.state {
        RolloutState::Failed => Verdict::Over { said: reason_or(primary, "ECS called the deployment failed") },
        RolloutState::Completed if primary.running >= primary.desired && primary.desired > 0 => Verdict::Complete,
        // Complete, and then a copy was lost.
        RolloutState::Completed | RolloutState::InProgress => underway(seen, primary, ours),
    }
}

fn underway(seen: &Seen, primary: &Deployment, ours: &Ours<'_>) -> Verdict {
    let trouble = trouble(&seen.events, primary.created);
    let short = primary.running < primary.desired;
    if let Some(event) = trouble.filter(|event| short && event.contains("unable"))
        && ours.followed > PLACEMENT_PATIENCE
    {
        return Verdict::Stuck { said: event.to_owned() };
    }
    // Failed tasks are counted only where a circuit breaker is on (trap 26), so a copy that went and was
    // started again is looked into as well, and so is a lasting lack of copies.
    let went = primary.alive() < ours.most || started(&seen.events, primary.created) > primary.desired;
    let look = primary.failed > 0 || short && (went || ours.polls >= 2 && ours.polls.is_multiple_of(2));
    let mut note = format!("{} of {} running", primary.running, primary.desired);
    if !short {
        note.push_str(", waiting for the old version to leave");
        if seen.deployments.iter().all(|other| other.is_primary || !other.is_alive()) {
            note = format!("{} of {} running, waiting for it to be steady", primary.running, primary.desired);
        }
    }
    if let Some(event) = trouble {
        note = format!("{note}: {event}");
    }
    Verdict::Underway { note, look: if look { Look::AtStoppedTasks } else { Look::NotYet } }
}

/// The newest event since the deployment began that tells of trouble.
fn trouble(events: &[Event], since: i64) -> Option<&str> {
    let told = events.iter().filter(|event| event.at >= since).find(|event| {
        let message = event.message.to_lowercase();
        TROUBLE.iter().any(|word| message.contains(word))
    })?;
    // "(service web) was unable to ..." begins with what the reader knows.
    Some(told.message.split_once(") ").map_or(told.message.as_str(), |(_, rest)| rest))
}

/// How many copies ECS says that it started since then: more than are wanted means that some ended.
///
/// Source: ECS, "Amazon ECS service event messages": "(service web) has started 2 tasks: (task a) (task b)."
fn started(events: &[Event], since: i64) -> i32 {
    let count = |event: &Event| {
        let (_, rest) = event.message.split_once(" has started ")?;
        rest.split_once(" tasks:")?.0.parse::<i32>().ok()
    };
    let counts = events.iter().filter(|event| event.at >= since).filter_map(count);
    counts.fold(0, i32::saturating_add)
}

/// Why another version is the service's own now.
fn taken_back(seen: &Seen, ours: &Ours<'_>) -> String {
    let failed = seen.deployments.iter().find(|other| other.definition == ours.definition);
    match failed {
        Some(failed) => reason_or(failed, "ECS took the service back to its previous version"),
        None => "the service went to another version while this one was being started".to_owned(),
    }
}

fn reason_or(deployment: &Deployment, otherwise: &str) -> String {
    let reason = deployment.reason.trim().trim_end_matches('.');
    if reason.is_empty() { otherwise.to_owned() } else { reason.to_owned() }
}

/// How long to wait before the next look, in milliseconds: as long again as was waited already, so that a
/// look costs no more than half of that; and never longer than half of the time between two health checks,
/// because what is waited for then is the next one.
pub(super) fn again_millis(waited: Duration, interval: Seconds) -> i64 {
    let longest = (interval.millis() / 2).clamp(2_000, 10_000);
    i64::try_from(waited.as_millis()).unwrap_or(longest).clamp(FIRST_MILLIS, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "arn:task-definition/web:1";
    const NEW: &str = "arn:task-definition/web:2";

    fn deployment(definition: &str, state: RolloutState, running: i32) -> Deployment {
        Deployment {
            is_primary: true,
            definition: definition.into(),
            desired: 2,
            running,
            pending: 0,
            failed: 0,
            state,
            reason: String::new(),
            created: 100,
        }
    }

    fn seen(deployments: Vec<Deployment>, events: &[(i64, &str)]) -> Seen {
        let events = events.iter().map(|(at, message)| Event { at: *at, message: (*message).into() }).collect();
        Seen { desired: 2, deployments, events, ..Seen::default() }
    }

    fn beside(deployment: Deployment) -> Deployment {
        Deployment { is_primary: false, ..deployment }
    }

    fn judged(seen: &Seen, polls: u32, followed: Duration) -> Verdict {
        judge(seen, &Ours { definition: NEW, followed, polls, most: 0 })
    }

    fn first(seen: &Seen) -> Verdict {
        judged(seen, 0, Duration::ZERO)
    }

    use RolloutState::{Completed, Failed, InProgress};

    #[test]
    fn only_our_own_deployment_completes() {
        assert_eq!(first(&seen(vec![deployment(NEW, Completed, 2)], &[])), Verdict::Complete);
        // Stable, but not ours: traps 22 and 26.
        let reason = "ECS deployment circuit breaker: tasks failed to start.".to_owned();
        let failed = Deployment { reason, ..beside(deployment(NEW, Failed, 0)) };
        let over = first(&seen(vec![deployment(OLD, Completed, 2), failed], &[]));
        assert_eq!(over, Verdict::Over { said: "ECS deployment circuit breaker: tasks failed to start".into() });
        let silent = beside(deployment(NEW, InProgress, 0));
        let over = first(&seen(vec![deployment(OLD, InProgress, 2), silent], &[]));
        assert_eq!(over, Verdict::Over { said: "ECS took the service back to its previous version".into() });
        let gone = seen(vec![deployment(OLD, Completed, 2)], &[]);
        // An answer may be older than the change.
        assert!(matches!(first(&gone), Verdict::Underway { .. }));
        let over = judged(&gone, 9, Duration::from_secs(11));
        assert!(matches!(&over, Verdict::Over { said } if said.contains("another version")), "{over:?}");
        let over = first(&seen(vec![deployment(NEW, Failed, 1)], &[]));
        assert_eq!(over, Verdict::Over { said: "ECS called the deployment failed".into() });
        assert!(matches!(first(&seen(vec![], &[])), Verdict::Over { .. }));
    }

    #[test]
    fn a_deployment_under_way_says_what_it_waits_for() {
        let cases = [
            (vec![deployment(NEW, InProgress, 1)], "1 of 2 running"),
            (vec![deployment(NEW, InProgress, 2)], "2 of 2 running, waiting for it to be steady"),
            (
                vec![deployment(NEW, InProgress, 2), beside(deployment(OLD, Completed, 1))],
                "2 of 2 running, waiting for the old version to leave",
            ),
            // A copy was lost after it had been complete.
            (vec![deployment(NEW, Completed, 1)], "1 of 2 running"),
        ];
        for (deployments, expected) in cases {
            let expected = Verdict::Underway { note: expected.into(), look: Look::NotYet };
            assert_eq!(first(&seen(deployments, &[])), expected);
        }
    }

    #[test]
    fn trouble_since_the_deployment_began_is_told_and_ends_it_when_it_lasts() {
        let told = "(service web) was unable to place a task because no capacity was found.";
        let short = vec![deployment(NEW, InProgress, 0)];
        let now = seen(short.clone(), &[(120, told), (110, "(service web) has started 1 tasks: x.")]);
        let Verdict::Underway { note, .. } = first(&now) else { panic!("it is too early to give up") };
        assert_eq!(note, "0 of 2 running: was unable to place a task because no capacity was found.");
        let later = judged(&now, 100, Duration::from_secs(181));
        assert!(matches!(later, Verdict::Stuck { .. }), "{later:?}");
        let of_before = seen(short, &[(99, told)]);
        let later = judged(&of_before, 100, Duration::from_secs(181));
        assert!(matches!(&later, Verdict::Underway { note, .. } if note == "0 of 2 running"), "{later:?}");
    }

    #[test]
    fn stopped_tasks_are_looked_at_when_something_looks_wrong() {
        let look = |running: i32, failed: i32, polls: u32| {
            let deployment = Deployment { failed, ..deployment(NEW, InProgress, running) };
            match judged(&seen(vec![deployment], &[]), polls, Duration::ZERO) {
                Verdict::Underway { look, .. } => look,
                other => panic!("{other:?}"),
            }
        };
        // With a breaker ECS counts; without one a lack of copies is all there is to see.
        let cases = [
            (0, 1, 0, Look::AtStoppedTasks),
            (2, 1, 0, Look::AtStoppedTasks),
            (0, 0, 0, Look::NotYet),
            (0, 0, 1, Look::NotYet),
            (0, 0, 2, Look::AtStoppedTasks),
            (0, 0, 3, Look::NotYet),
            (0, 0, 4, Look::AtStoppedTasks),
            (2, 0, 4, Look::NotYet),
        ];
        for (running, failed, polls, expected) in cases {
            assert_eq!(look(running, failed, polls), expected, "{running} running, {failed} failed, poll {polls}");
        }
    }

    #[test]
    fn a_copy_that_went_is_looked_for_at_once() {
        let look = |running: i32, most: i32, events: &[(i64, &str)]| {
            let seen = seen(vec![deployment(NEW, InProgress, running)], events);
            match judge(&seen, &Ours { definition: NEW, followed: Duration::ZERO, polls: 1, most }) {
                Verdict::Underway { look, .. } => look,
                other => panic!("{other:?}"),
            }
        };
        let two = (120, "(service web) has started 2 tasks: (task a) (task b).");
        let one = (130, "(service web) has started 1 tasks: (task c).");
        let before = (99, "(service web) has started 2 tasks: (task x) (task y).");
        assert_eq!(look(1, 1, &[two, before]), Look::NotYet);
        assert_eq!(look(1, 2, &[two]), Look::AtStoppedTasks, "two were alive");
        assert_eq!(look(1, 1, &[one, two]), Look::AtStoppedTasks, "a third was started");
        assert_eq!(look(2, 2, &[one, two]), Look::NotYet, "as many as are wanted run");
    }

    #[test]
    fn waiting_is_fitted_to_what_is_waited_for() {
        let waits = |interval: u64| {
            let mut waited = 0;
            std::iter::repeat_with(|| {
                let wait = again_millis(Duration::from_millis(waited), Seconds(interval));
                waited += wait.unsigned_abs();
                wait
            })
            .take(6)
            .collect::<Vec<_>>()
        };
        assert_eq!(waits(10), [1_200, 1_200, 2_400, 4_800, 5_000, 5_000]);
        assert_eq!(waits(1), [1_200, 1_200, 2_000, 2_000, 2_000, 2_000]);
        assert_eq!(waits(60), [1_200, 1_200, 2_400, 4_800, 9_600, 10_000]);
    }
}
