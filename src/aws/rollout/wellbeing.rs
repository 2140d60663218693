//! How a service that went live is doing, from what ECS says of it: decided here, read in `aws::conditions`.
//!
//! ECS starts again what ends, for ever, and calls the deployment complete all the while. What it tells of that
//! are its events, the tasks that stopped within the last hour, and a lack of copies at some moments.

use super::autopsy::{Cause, Finding, examine};
use super::snapshot::{Event, RolloutState, Seen};
use super::task::TaskSeen;
use crate::model::{Condition, Timestamp, Wellbeing};

/// Every copy has to be well for so long at least before a trouble is over.
const CALM_MILLIS: i64 = 60_000;
/// Ends that lie further apart are two troubles, in seconds.
///
/// Source: ECS, "Amazon ECS service throttle logic": up to 27 minutes between two starts.
const GAP: i64 = 30 * 60;
/// A lack of copies of which ECS says nothing is one that is being replaced, as after Spot or maintenance.
const REPLACED_MILLIS: i64 = 3 * 60_000;
/// As long as ECS remembers a task that stopped, in seconds.
const REMEMBERED: i64 = 3_600;

/// How a service is doing, with what there is to tell of it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::aws) struct Doing<'a> {
    /// Without a reason yet.
    pub(in crate::aws) condition: Condition,
    pub(in crate::aws) why: Why<'a>,
}

/// What is known of a trouble, also of one that is over.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::aws) enum Why<'a> {
    Nothing,
    /// The newest task that ended on its own account.
    Ended {
        task: &'a TaskSeen,
        cause: Cause,
    },
    /// The load balancer finds it unhealthy.
    Sick {
        said: String,
    },
    /// Copies are missing.
    Lacking {
        said: String,
    },
}

/// Whether it is meant to run and is not on its way to another version.
pub(in crate::aws) fn serves(seen: &Seen) -> bool {
    seen.desired > 0 && seen.primary().is_some_and(|primary| primary.state == RolloutState::Completed)
}

/// A service of which there is nothing to tell.
pub(in crate::aws) fn calm(seen: &Seen) -> Condition {
    let copies = seen.primary().map_or(0, |primary| count(primary.desired));
    Condition::well(copies, millis(live_since(seen)))
}

/// Whether ECS tells of no starts at all, so that what ended has to be asked for.
pub(in crate::aws) fn is_silent(seen: &Seen) -> bool {
    !seen.events.iter().any(is_start)
}

/// Whether it takes another look to know: copies are missing, or ECS started some since the service went live.
pub(in crate::aws) fn is_suspicious(seen: &Seen, now: Timestamp) -> bool {
    let Some(primary) = seen.primary() else { return false };
    let since = live_since(seen).max(now.0 / 1000 - REMEMBERED);
    let is_new = |event: &&Event| event.at > since;
    is_lacking(seen)
        || primary.failed > 0
        || seen.events.iter().filter(is_new).any(|event| is_start(event) || is_trouble(event))
}

/// Whether copies are missing at this moment.
pub(in crate::aws) fn is_lacking(seen: &Seen) -> bool {
    seen.primary().is_some_and(|primary| primary.running < primary.desired)
}

/// How it is doing. `ended` are tasks that stopped, `lacking` is since when copies were seen to be missing.
/// `None`: a copy is being replaced, and nothing is known.
pub(in crate::aws) fn doing<'a>(
    seen: &Seen,
    ended: &'a [TaskSeen],
    lacking: Option<Timestamp>,
    now: Timestamp,
) -> Option<Doing<'a>> {
    let primary = seen.primary()?;
    let live = live_since(seen);
    let trouble = trouble(faults(ended, &primary.definition, live));
    let (wanted, running) = (count(primary.desired), count(primary.running));
    let last = trouble.last().map(|(task, _)| millis(task.stopped));
    let sick = newest(seen, live, is_sick).filter(|event| now.since(millis(event.at)) < CALM_MILLIS);
    let ends = u32::try_from(trouble.len()).unwrap_or(u32::MAX);
    let is_recent = last.is_some_and(|at| now.since(at) < calm_millis(&trouble));
    // What was before every copy ran again has nothing to do with those that are missing now.
    let whole = newest(seen, live, is_steady).map_or(live, |event| event.at);
    let is_over = !is_recent && last.is_some_and(|at| millis(whole) > at);
    let first = trouble.first().map(|(task, _)| millis(task.stopped));
    let at =
        |state, since, restarts| Condition { state, since, restarts, well: running.min(wanted), wanted, why: None };
    if running >= wanted && !is_recent && sick.is_none() {
        let since = last.unwrap_or(millis(live));
        return Some(Doing { condition: at(Wellbeing::Well, since, ends), why: newest_end(trouble) });
    }
    if let Some(since) = first.filter(|_| !is_over) {
        let why = newest_end(trouble);
        return Some(Doing { condition: at(state_of(&why), since, ends), why });
    }
    if let Some(event) = sick {
        let condition = at(Wellbeing::Unhealthy, millis(event.at), 0);
        return Some(Doing { condition, why: Why::Sick { said: words(event) } });
    }
    // Nothing ended on its own account, and still copies are missing.
    let told = newest(seen, whole, is_trouble);
    let touched = newest(seen, live, |_| true).map_or(millis(live), |event| millis(event.at));
    // The newest event may be hours old, and the one of this lack still to come.
    let touched = lacking.map_or(touched, |since| touched.max(since));
    if told.is_none() && now.since(touched) < REPLACED_MILLIS {
        return None;
    }
    let said = told.map_or_else(|| format!("{running} of {wanted} copies run"), words);
    let since = told.map_or(touched, |event| millis(event.at));
    Some(Doing { condition: at(Wellbeing::Unhealthy, since, 0), why: Why::Lacking { said } })
}

/// Since when it has been live, in seconds: since ECS first called the deployment done.
fn live_since(seen: &Seen) -> i64 {
    let created = seen.primary().map_or(0, |primary| primary.created);
    let is_done =
        |event: &&Event| event.at >= created && (is_steady(event) || event.message.contains("deployment completed"));
    seen.events.iter().filter(is_done).map(|event| event.at).min().unwrap_or(created)
}

/// Tasks of this definition that ended on their own account since then, oldest first.
fn faults<'a>(ended: &'a [TaskSeen], definition: &str, since: i64) -> Vec<(&'a TaskSeen, Cause)> {
    // One that ECS gives up drains for as long as its requests may take, and serves nobody new.
    let has_ended = |task: &TaskSeen| task.is_stopped() || task.stop_code == "ServiceSchedulerInitiated";
    let is_ours = |task: &&TaskSeen| has_ended(task) && task.definition == definition && task.stopped >= since;
    let fault = |task: &'a TaskSeen| match examine(task) {
        Finding::Fault(cause) | Finding::Hiccup(cause) => Some((task, cause)),
        Finding::Transient => None,
    };
    let mut faults: Vec<(&TaskSeen, Cause)> = ended.iter().filter(is_ours).filter_map(fault).collect();
    faults.sort_by_key(|(task, _)| task.stopped);
    faults
}

/// The newest of these that belong together.
fn trouble(mut faults: Vec<(&TaskSeen, Cause)>) -> Vec<(&TaskSeen, Cause)> {
    let is_far = |pair: &[(&TaskSeen, Cause)]| pair[1].0.stopped - pair[0].0.stopped > GAP;
    let begin = faults.windows(2).rposition(is_far).map_or(0, |at| at + 1);
    faults.split_off(begin)
}

/// For how long every copy has to be well: for longer than those held out that ended.
fn calm_millis(trouble: &[(&TaskSeen, Cause)]) -> i64 {
    let pace = trouble.windows(2).map(|pair| pair[1].0.stopped - pair[0].0.stopped).max().unwrap_or(0);
    let newest = trouble.last().filter(|(task, _)| task.created > 0);
    // Where they lie further apart than that, ECS waited before it started another.
    let held_out = newest.map_or(pace, |(task, _)| task.stopped - task.created);
    let longest = held_out.saturating_mul(1000).saturating_add(CALM_MILLIS);
    pace.saturating_mul(1000).min(longest).max(CALM_MILLIS)
}

fn newest_end(mut trouble: Vec<(&TaskSeen, Cause)>) -> Why<'_> {
    trouble.pop().map_or(Why::Nothing, |(task, cause)| Why::Ended { task, cause })
}

fn state_of(why: &Why<'_>) -> Wellbeing {
    match why {
        // It ran, and was started again.
        Why::Ended { cause: Cause::Exited { .. } | Cause::OutOfMemory { .. }, .. } => Wellbeing::Restarting,
        // The load balancer gave it up, or it cannot be started.
        Why::Ended { .. } | Why::Sick { .. } | Why::Lacking { .. } | Why::Nothing => Wellbeing::Unhealthy,
    }
}

/// The newest event since it went live that is so.
fn newest(seen: &Seen, live: i64, is_so: impl Fn(&Event) -> bool) -> Option<&Event> {
    seen.events.iter().filter(|event| event.at >= live && is_so(event)).max_by_key(|event| event.at)
}

/// "(service web) has started 1 tasks: (task a)."
fn is_start(event: &Event) -> bool {
    event.message.contains(" has started ")
}

/// "(service web) has reached a steady state.": told when every copy runs, and again every six hours.
fn is_steady(event: &Event) -> bool {
    event.message.contains("reached a steady state")
}

/// Source: ECS, "Amazon ECS service event messages": "(service web) (port 8080) is unhealthy in (target-group
/// ...) due to (reason Health checks failed)".
fn is_sick(event: &Event) -> bool {
    event.message.contains("is unhealthy in")
}

/// The same: "was unable to place a task", "is unable to consistently start tasks successfully".
fn is_trouble(event: &Event) -> bool {
    is_sick(event) || event.message.contains("unable to")
}

/// "(service web) was unable to ..." begins with what the reader knows.
fn words(event: &Event) -> String {
    event.message.split_once(") ").map_or(event.message.as_str(), |(_, rest)| rest).to_owned()
}

fn count(copies: i32) -> u32 {
    u32::try_from(copies).unwrap_or(0)
}

fn millis(seconds: i64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests;
