//! The one thing to do now, from a plan and what its log says.
//!
//! The log is the only memory: a process that starts with nothing but these two values goes on
//! exactly where the last one stopped.

use crate::model::{Action, Interruption, Output, Plan, Runs, Step, StepKey, StepLog, StepState, Timestamp};

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Next<'a> {
    /// Do this step, or ask again how it is doing. `attempt` counts passing faults in a row.
    Run { step: &'a Step, attempt: u32 },
    /// This step took longer than its deadline.
    Overdue { step: &'a Step },
    /// Nothing before this time.
    Wait(Timestamp),
    /// The plan is at its end.
    Finished(Standing),
}

/// How a finished plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Every step holds.
    Succeeded,
    /// One does not.
    Failed,
}

/// Decides.
///
/// A step may run when all it needs are done. After a failure, only steps that run always still
/// run; for them a need is met when it ended or can no longer begin.
pub fn next<'a>(plan: &'a Plan, log: &StepLog, now: Timestamp) -> Next<'a> {
    let failed = log.failure().is_some();
    let mut wake: Option<Timestamp> = None;
    for step in &plan.steps {
        match log.state(&step.key) {
            StepState::Done { .. } | StepState::Failed { .. } | StepState::Cancelled => {}
            StepState::Running { .. } if failed && is_pointless(step) => {}
            StepState::Running { since, again, attempt, .. } => {
                if now.since(since) > step.deadline.millis() {
                    return Next::Overdue { step };
                }
                if again <= now {
                    return Next::Run { step, attempt };
                }
                wake = Some(wake.map_or(again, |earlier| earlier.min(again)));
            }
            StepState::Untouched => {
                let allowed = !failed || step.runs == Runs::Always;
                if allowed && step.needs.iter().all(|need| is_met(plan, log, need, failed)) {
                    return Next::Run { step, attempt: 0 };
                }
            }
        }
    }
    match wake {
        Some(at) => Next::Wait(at),
        None if failed => Next::Finished(Standing::Failed),
        None => Next::Finished(Standing::Succeeded),
    }
}

/// The same for a deploy that a newer goal took over: only what must not be interrupted goes on.
/// `None` when nothing holds the newer goal back.
pub fn finish_uninterruptible<'a>(plan: &'a Plan, log: &StepLog, now: Timestamp) -> Option<Next<'a>> {
    let running = plan.steps.iter().filter(|step| step.interruption == Interruption::Forbidden).find_map(|step| {
        match log.state(&step.key) {
            StepState::Running { since, again, attempt, .. } => Some((step, since, again, attempt)),
            _ => None,
        }
    })?;
    let (step, since, again, attempt) = running;
    if now.since(since) > step.deadline.millis() {
        Some(Next::Overdue { step })
    } else if again <= now {
        Some(Next::Run { step, attempt })
    } else {
        Some(Next::Wait(again))
    }
}

/// Work that only the failed goal wanted, and that may be dropped.
fn is_pointless(step: &Step) -> bool {
    step.runs == Runs::AfterSuccess && step.interruption == Interruption::Allowed
}

fn is_met(plan: &Plan, log: &StepLog, need: &StepKey, failed: bool) -> bool {
    match log.state(need) {
        StepState::Done { .. } => true,
        StepState::Failed { .. } | StepState::Cancelled => failed,
        // Still being waited out, or something that runs always and comes first.
        StepState::Running { .. } => failed && plan.steps.iter().any(|step| step.key == *need && is_pointless(step)),
        StepState::Untouched => match plan.steps.iter().find(|step| step.key == *need) {
            Some(step) => failed && step.runs == Runs::AfterSuccess,
            None => true,
        },
    }
}

impl Standing {
    /// What a finished teardown found: how much it removed and what is left.
    pub fn left<'a>(plan: &Plan, log: &'a StepLog) -> Option<&'a Output> {
        let prove = plan.steps.iter().find(|step| matches!(step.action, Action::Prove { .. }))?;
        log.output(&prove.key)
    }
}
