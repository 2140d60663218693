//! The step log: intent before, result after, append-only. A restart continues from it.

use serde::{Deserialize, Serialize};

use super::{Failure, Fence, Output, StepKey, Timestamp};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepEvent {
    /// Counts from 1 inside one deploy.
    pub seq: i64,
    pub step: StepKey,
    pub fence: Fence,
    pub at: Timestamp,
    pub kind: StepEventKind,
}

/// What happened to the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEventKind {
    /// Its effect is about to be asked for.
    Started,
    /// It works on; ask again at `again`. `note` says what it is at.
    Pending { again: Timestamp, note: String },
    /// A passing fault; tried again at `again`.
    Waiting { again: Timestamp, reason: String, attempt: u32 },
    /// It holds.
    Done(Output),
    /// It cannot hold.
    Failed(Failure),
    /// A newer goal cut in.
    Cancelled,
}

/// Where a step stands, as read from the log.
#[derive(Debug, Clone, PartialEq)]
pub enum StepState<'a> {
    /// No line yet.
    Untouched,
    /// Started at `since`; ask again from `again` on. `note` is what it last said.
    Running {
        since: Timestamp,
        again: Timestamp,
        note: Option<&'a str>,
        attempt: u32,
    },
    Done {
        since: Timestamp,
        at: Timestamp,
        output: &'a Output,
    },
    Failed {
        since: Timestamp,
        at: Timestamp,
        failure: &'a Failure,
    },
    Cancelled,
}

/// A line that cannot follow the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {step}: a line of kind {kind} cannot follow what the log holds")]
pub struct IllegalEvent {
    pub step: StepKey,
    pub kind: &'static str,
}

/// The lines of one deploy in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepLog {
    events: Vec<StepEvent>,
}

impl StepEventKind {
    /// Its name as stored.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Pending { .. } => "pending",
            Self::Waiting { .. } => "waiting",
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl StepLog {
    /// Reads stored lines, refusing a history that cannot have happened.
    pub fn from_events(events: Vec<StepEvent>) -> Result<Self, IllegalEvent> {
        let mut log = Self::default();
        for event in events {
            log.push(event)?;
        }
        Ok(log)
    }

    /// Adds a line.
    ///
    /// A step that ended takes no more lines; a step that never started cannot end, except that a
    /// cancelled one need not have begun. `Started` may repeat: a restart asks again.
    pub fn push(&mut self, event: StepEvent) -> Result<(), IllegalEvent> {
        let state = self.state(&event.step);
        let legal = match (&state, &event.kind) {
            (StepState::Done { .. } | StepState::Failed { .. } | StepState::Cancelled, _) => false,
            (StepState::Untouched, kind) => matches!(kind, StepEventKind::Started | StepEventKind::Cancelled),
            (StepState::Running { .. }, _) => true,
        };
        if !legal {
            return Err(IllegalEvent { step: event.step, kind: event.kind.name() });
        }
        self.events.push(event);
        Ok(())
    }

    /// Moves the time at which a running step is asked again, without a line: it said nothing new.
    pub fn postpone(&mut self, step: &StepKey, until: Timestamp) {
        let newest = self.events.iter_mut().rev().find(|event| event.step == *step);
        if let Some(StepEvent { kind: StepEventKind::Pending { again, .. }, .. }) = newest {
            *again = until;
        }
    }

    /// The lines.
    pub fn events(&self) -> &[StepEvent] {
        &self.events
    }

    /// The number of the next line.
    pub fn next_seq(&self) -> i64 {
        self.events.last().map_or(1, |event| event.seq + 1)
    }

    /// Where a step stands.
    pub fn state(&self, step: &StepKey) -> StepState<'_> {
        let mut since = None;
        let mut state = StepState::Untouched;
        for event in self.events.iter().filter(|event| event.step == *step) {
            let started = *since.get_or_insert(event.at);
            state = match &event.kind {
                StepEventKind::Started => {
                    let attempt = if let StepState::Running { attempt, .. } = state { attempt } else { 0 };
                    StepState::Running { since: started, again: event.at, note: None, attempt }
                }
                StepEventKind::Pending { again, note } => {
                    StepState::Running { since: started, again: *again, note: Some(note), attempt: 0 }
                }
                StepEventKind::Waiting { again, reason, attempt } => {
                    StepState::Running { since: started, again: *again, note: Some(reason), attempt: *attempt }
                }
                StepEventKind::Done(output) => StepState::Done { since: started, at: event.at, output },
                StepEventKind::Failed(failure) => StepState::Failed { since: started, at: event.at, failure },
                StepEventKind::Cancelled => StepState::Cancelled,
            };
        }
        state
    }

    /// What a finished step left.
    pub fn output(&self, step: &StepKey) -> Option<&Output> {
        match self.state(step) {
            StepState::Done { output, .. } => Some(output),
            _ => None,
        }
    }

    /// The first failure.
    pub fn failure(&self) -> Option<(&StepKey, &Failure)> {
        self.events.iter().find_map(|event| match &event.kind {
            StepEventKind::Failed(failure) => Some((&event.step, failure)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: i64, kind: StepEventKind) -> StepEvent {
        StepEvent { seq, step: StepKey("build:web".into()), fence: Fence(1), at: Timestamp(seq), kind }
    }

    #[test]
    fn a_history_that_cannot_have_happened_is_refused() {
        let done = || StepEventKind::Done(Output::Nothing);
        assert!(StepLog::from_events(vec![line(1, done())]).is_err(), "done before started");
        assert!(
            StepLog::from_events(vec![line(1, StepEventKind::Started), line(2, done()), line(3, done())]).is_err(),
            "done twice"
        );
        assert!(
            StepLog::from_events(vec![
                line(1, StepEventKind::Started),
                line(2, StepEventKind::Started),
                line(3, done())
            ])
            .is_ok(),
            "a restart asks again"
        );
        assert!(StepLog::from_events(vec![line(1, StepEventKind::Cancelled)]).is_ok());
    }
}
