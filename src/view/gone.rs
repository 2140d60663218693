//! A stage that goes or went, and what is still worth a command of it.

use super::read::{Run, spec_of, text};
use super::stage::{GoneView, StagePhase};
use crate::model::{
    Action, Deploy, GoneReason, Output, StageRecord, StageStatus, StepLog, StepState, Target, Timestamp, Wanted,
    is_same_label,
};

pub(super) fn gone(
    record: &StageRecord,
    phase: StagePhase,
    run: Option<Run<'_>>,
    history: &[Deploy],
) -> Option<GoneView> {
    let reason = gone_reason(record, run);
    let view = |found, at| view(reason.clone(), was_labelled(reason.as_ref(), history), found, at);
    match phase {
        StagePhase::Destroyed => {
            let removed = if let StageStatus::Gone { removed } = record.status { removed } else { 0 };
            let deploys = run.map(|(deploy, _)| deploy).into_iter().chain(history);
            let at = deploys.into_iter().find(|deploy| spec_of(deploy).is_none()).and_then(|deploy| deploy.ended);
            Some(view((removed, Vec::new()), at.map(|(at, _)| at)))
        }
        StagePhase::Destroying | StagePhase::Stuck => {
            let Some((deploy, log)) = run else { return Some(view((0, Vec::new()), None)) };
            Some(view(removal(deploy, log), deploy.ended.map(|(at, _)| at)))
        }
        _ => None,
    }
}

/// `found`: what was removed, and what is left.
fn view(
    reason: Option<GoneReason>,
    was_labelled: Option<bool>,
    found: (u32, Vec<String>),
    at: Option<Timestamp>,
) -> GoneView {
    let (removed, left) = found;
    let label = match &reason {
        Some(GoneReason::Unlabeled { label }) => Some(text(label)),
        _ => None,
    };
    let total = removed + u32::try_from(left.len()).unwrap_or(u32::MAX);
    GoneView { word: reason.as_ref().map(GoneReason::word), reason, label, was_labelled, removed, total, left, at }
}

/// Where a stage goes for want of a label: whether a deploy of it since it came was seen to have that.
fn was_labelled(reason: Option<&GoneReason>, history: &[Deploy]) -> Option<bool> {
    let Some(GoneReason::Unlabeled { label }) = reason else { return None };
    let life = history.iter().skip_while(|deploy| spec_of(deploy).is_none()).map_while(spec_of);
    let mut labels = life.filter_map(|spec| spec.label.as_deref());
    Some(labels.any(|had| is_same_label(had, label)))
}

fn gone_reason(record: &StageRecord, run: Option<Run<'_>>) -> Option<GoneReason> {
    let planned = run.and_then(|(deploy, _)| match &deploy.plan.wanted {
        Wanted::Gone(reason) => Some(reason),
        Wanted::Live(_) => None,
    });
    let reason = planned.or(match &record.target {
        Target::Gone(reason) => Some(reason),
        Target::PullRequest(_) | Target::Branch(_) | Target::Commit(_) | Target::Release { .. } => None,
    });
    reason.cloned()
}

/// How much of a stage is removed, and what is not: as proved where it was looked at, else as the
/// steps say.
fn removal(deploy: &Deploy, log: &StepLog) -> (u32, Vec<String>) {
    let mut removed = 0;
    let mut left = Vec::new();
    for step in &deploy.plan.steps {
        match (&step.action, log.state(&step.key)) {
            (Action::Prove { .. }, StepState::Done { output: Output::Left { removed, left }, .. }) => {
                return (*removed, left.iter().map(|resource| text(&resource.to_string())).collect());
            }
            (Action::Remove { .. }, StepState::Done { .. }) => removed += 1,
            (Action::Remove { resource }, _) => left.push(text(&resource.to_string())),
            _ => {}
        }
    }
    (removed, left)
}

/// Whether something of the stage was live and is not removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serves {
    Something,
    Nothing,
}

/// The commands that still mean something.
pub(super) fn still_offered(commands: &[&str], phase: StagePhase, serves: Serves) -> Vec<String> {
    let fits = |command: &&&str| {
        let verb = |wanted: &str| {
            command.split_whitespace().any(|word| word.trim_start_matches(|c: char| !c.is_alphanumeric()) == wanted)
        };
        match phase {
            // What is gone cannot be kept, read or removed.
            StagePhase::Destroyed | StagePhase::Destroying | StagePhase::Stuck => {
                !["keep", "logs", "destroy"].into_iter().any(verb)
            }
            // Nothing ran yet.
            StagePhase::Queued
            | StagePhase::Misconfigured
            | StagePhase::AwaitingApproval
            | StagePhase::Withheld
            | StagePhase::Full => serves == Serves::Something || !["keep", "logs"].into_iter().any(verb),
            StagePhase::Building
            | StagePhase::Deploying
            | StagePhase::Checking
            | StagePhase::Live
            | StagePhase::Unhealthy
            | StagePhase::Failed
            | StagePhase::Superseded => true,
        }
    };
    commands.iter().filter(fits).map(|command| (*command).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_offered_where_it_means_something() {
        let offered =
            |phase, serves| still_offered(&["/gr keep 3d", "/logs <service>", "!destroy", "/help"], phase, serves);
        let all = ["/gr keep 3d", "/logs <service>", "!destroy", "/help"];
        for phase in [StagePhase::Live, StagePhase::Failed, StagePhase::Building] {
            assert_eq!(offered(phase, Serves::Nothing), all, "{phase:?}");
        }
        for phase in [StagePhase::Destroyed, StagePhase::Destroying, StagePhase::Stuck] {
            assert_eq!(offered(phase, Serves::Something), ["/help"], "{phase:?}");
        }
        for phase in [StagePhase::AwaitingApproval, StagePhase::Full, StagePhase::Misconfigured] {
            assert_eq!(offered(phase, Serves::Nothing), ["!destroy", "/help"], "{phase:?}");
            assert_eq!(offered(phase, Serves::Something), all, "{phase:?}");
        }
    }
}
