//! How long a deploy took, and where the time went.

use serde::Serialize;

use crate::model::{Action, Deploy, Outcome, StepLog, StepState, Timestamp};

/// The spans that a headline names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartName {
    Build,
    Deploy,
    Health,
}

/// One span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: PartName,
    pub millis: i64,
}

/// The spans of an ended deploy. The parts follow one another without gaps, so they add up to
/// `total` where the deploy went live: what is done beside each other is not counted twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Milliseconds until the last check passed; until the end where it did not go live.
    pub total: i64,
    pub parts: Vec<Part>,
}

impl Times {
    /// Reads the spans of a deploy; `None` while it runs.
    pub fn of(deploy: &Deploy, log: &StepLog) -> Option<Self> {
        let (ended_at, outcome) = deploy.ended?;
        let mut parts = Vec::new();
        let mut from = deploy.started_at;
        for name in [PartName::Build, PartName::Deploy, PartName::Health] {
            let Some(to) = last_end(deploy, log, name).filter(|to| *to > from) else { continue };
            parts.push(Part { name, millis: to.since(from) });
            from = to;
        }
        let end = if outcome == Outcome::Live && !parts.is_empty() { from } else { ended_at };
        Some(Self { total: end.since(deploy.started_at), parts })
    }
}

fn last_end(deploy: &Deploy, log: &StepLog, name: PartName) -> Option<Timestamp> {
    deploy
        .plan
        .steps
        .iter()
        .filter(|step| part(&step.action) == Some(name))
        .filter_map(|step| match log.state(&step.key) {
            StepState::Done { at, .. } | StepState::Failed { at, .. } => Some(at),
            StepState::Untouched | StepState::Running { .. } | StepState::Cancelled => None,
        })
        .max()
}

/// The span that an action belongs to; cleaning up belongs to none.
pub(super) fn part(action: &Action) -> Option<PartName> {
    match action {
        Action::Fetch | Action::Build { .. } => Some(PartName::Build),
        Action::Prepare
        | Action::Adopt { .. }
        | Action::Migrate { .. }
        | Action::Canary { .. }
        | Action::Start { .. }
        | Action::Shift { .. } => Some(PartName::Deploy),
        Action::Check { .. } => Some(PartName::Health),
        Action::Retire { .. } | Action::Tidy | Action::Remove { .. } | Action::Prove { .. } => None,
    }
}
