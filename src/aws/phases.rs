//! The phases of a rollout on ECS: what all of them need is read here, once.

use std::sync::Arc;

use super::clients::Clients;
use super::rollout::{Track, Work, canary, check, migrate, retire, start};
use super::{Shared, prepare, stage_stack};
use crate::model::{FailureKind, Output};
use crate::port::{Phase, PortError, PortResult, Progress, Rollout, Site};

/// Moves a rollout one step on.
pub(super) async fn ensure(shared: &Shared, phase: Phase, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
    let site = Site { stage: &rollout.stage.stage, place: &rollout.stage.place };
    let clients = shared.sessions.at(site).await?;
    let mut track = shared.rollouts.take(rollout);
    let mut progress = step(shared, &clients, site, phase, rollout, &mut track).await;
    if matches!(progress, Err(PortError::Failed(_)))
        && let Some(recalled) = track.recalled.take()
    {
        // Nothing is told to have failed by a stack that was read earlier and is another one now.
        let now = stage_stack::read(shared, site).await?.map(Arc::new);
        if now.as_ref() != Some(&recalled) {
            track.stack = now;
            progress = step(shared, &clients, site, phase, rollout, &mut track).await;
        }
    }
    match (&progress, phase) {
        (Ok(Progress::Done(_)), Phase::Retire) => {}
        (Ok(_), _) => shared.rollouts.put(rollout, track),
        // What was remembered may be what was wrong; the deployment that is followed stays.
        (Err(_), _) => {
            track.stack = None;
            shared.rollouts.forget_stack(site.stage);
            shared.rollouts.put(rollout, track);
        }
    }
    progress
}

async fn step(
    shared: &Shared,
    clients: &Clients,
    site: Site<'_>,
    phase: Phase,
    rollout: &Rollout<'_>,
    track: &mut Track,
) -> PortResult<Progress<Output>> {
    // ECS shifts the traffic as it starts copies and stops old ones.
    if phase == Phase::Shift {
        return Ok(Progress::Done(Output::Nothing));
    }
    // Where there is no service there is nothing to retire, which has to be so now.
    if track.stack.is_none() && phase != Phase::Retire {
        // The plan was made by a look at it a moment ago; one that is made from what this goal wants serves.
        track.recalled = shared.rollouts.stack_of(site.stage, &prepare::blueprint(shared, rollout.stage));
        track.stack.clone_from(&track.recalled);
    }
    let stack = match &track.stack {
        Some(stack) => Some(Arc::clone(stack)),
        None => {
            let read = stage_stack::read(shared, site).await?.map(Arc::new);
            if let Some(stack) = &read {
                shared.rollouts.know_stack(site.stage, stack);
            }
            read
        }
    };
    track.stack.clone_from(&stack);
    let name = &rollout.service.name;
    let Some((stack, service)) = stack.as_ref().and_then(|stack| Some((stack, stack.services.get(name)?))) else {
        // Without a service there is nothing to retire.
        if phase == Phase::Retire {
            return Ok(Progress::Done(Output::Nothing));
        }
        let summary = format!("the stack of {} has no service `{name}`", site.stage);
        let advice = "Somebody changed or removed it by hand. `/destroy` the stage and deploy it anew.";
        return Err(PortError::failed(FailureKind::Environment, summary, advice));
    };
    let work = Work { shared, clients, rollout, stack, service };
    match phase {
        Phase::Migrate => migrate(&work, track).await,
        Phase::Canary => canary(&work, track).await,
        Phase::Start | Phase::Shift => start(&work, track).await,
        Phase::Check => check(&work, track).await,
        Phase::Retire => retire(&work, track).await,
    }
}

#[cfg(test)]
mod tests;
