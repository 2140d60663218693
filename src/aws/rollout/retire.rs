//! What does not serve goes: after a success the older task definitions, after a failure the version
//! that failed, with the service back at what served before.

use std::time::Duration;

use aws_sdk_ecs::types::{DesiredStatus, ServiceDeploymentStatus as Status, StopServiceDeploymentStopType};

use super::canary;
use super::judge::again_millis;
use super::memory::{Look, Noted, Track};
use super::registered::{active, label_of};
use super::snapshot::{RolloutState, Seen, describe_one};
use super::start::{is_complete, newest_record};
use super::task::{self, Of};
use super::wellbeing::calm;
use super::{Work, pending};
use crate::aws::fault::{fault, is};
use crate::model::Output;
use crate::port::{PortResult, Progress};

const AGAIN_MILLIS: i64 = 1_000;
/// How long the previous version may take to be whole again; if it is broken itself it never is,
/// and the fix for it waits behind this.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long ECS may take to begin its own way back.
const ECS_PATIENCE: Duration = Duration::from_mins(1);
/// Task definitions that one call deregisters.
const AT_ONCE: usize = 10;

/// Brings the service to rest and removes what does not serve.
pub(in crate::aws) async fn retire(work: &Work<'_>, track: &mut Track) -> PortResult<Progress<Output>> {
    let seen = match track.whole.take().and_then(Look::if_fresh) {
        Some(seen) => Some(seen),
        None => describe_one(work.clients, &work.stack.cluster, &work.service.service).await?,
    };
    let Some(seen) = seen else { return Ok(Progress::Done(Output::Nothing)) };
    if let Some(wait) = canary::leave(work, &seen).await? {
        return Ok(wait);
    }
    let live = seen.live().to_owned();
    let label = label_of(&work.shared.rollouts, work.clients, &live).await?;
    let holds = match label.version {
        Some(version) if version == *work.rollout.version => Holds::Ours,
        Some(_) => Holds::Another,
        None => Holds::None,
    };
    match decide(&seen, holds) {
        Next::RollBack => return roll_back(work, track, &seen, &live).await,
        Next::Rest => {
            rest(work, &live).await?;
            return Ok(pending(AGAIN_MILLIS, "no version serves, stopping"));
        }
        Next::Wait { note } => {
            let waited = track.retiring.elapsed();
            if waited < PATIENCE {
                return Ok(pending(again_millis(waited, work.rollout.service.health.interval), note));
            }
        }
        Next::CleanUp => {}
    }
    let active = match track.definitions.take() {
        Some(known) => known,
        None => active(work, None).await?.arns,
    };
    let unused: Vec<String> = active.into_iter().filter(|arn| !is_used(&seen, arn)).collect();
    for arn in unused.iter().take(AT_ONCE) {
        deregister(work, arn).await?;
    }
    if unused.len() > AT_ONCE {
        return Ok(pending(1, format!("removing {} older task definitions", unused.len())));
    }
    if holds == Holds::Ours && is_complete(&seen) {
        // Whoever asks how it is doing, now that it is live, needs no look for it.
        work.shared.rollouts.note(work.stage(), work.name(), Noted::whole(calm(&seen)));
    }
    Ok(Progress::Done(Output::Nothing))
}

/// Which version the service has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Ours,
    Another,
    /// None yet: what a new service begins with.
    None,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// Our version is being started and did not come up.
    RollBack,
    /// ECS went back to what is no version and would run it.
    Rest,
    /// A version has to be whole, or an older one gone, first.
    Wait {
        note: String,
    },
    CleanUp,
}

fn decide(seen: &Seen, holds: Holds) -> Next {
    let leaving = seen.deployments.iter().any(|other| !other.is_primary && other.is_alive());
    match holds {
        Holds::Ours if !is_complete(seen) && seen.desired > 0 => return Next::RollBack,
        Holds::None if seen.desired > 0 => return Next::Rest,
        _ => {}
    }
    let Some(primary) = seen.primary() else { return Next::CleanUp };
    if seen.desired > 0 && (primary.running < primary.desired || primary.state == RolloutState::InProgress) {
        let (running, desired) = (primary.running, primary.desired);
        return Next::Wait { note: format!("the previous version comes back, {running} of {desired} running") };
    }
    if leaving {
        Next::Wait { note: "waiting for the old version to finish its requests".into() }
    } else {
        Next::CleanUp
    }
}

/// Whether a deployment still has the definition. One that failed and has no tasks left is only a memory.
fn is_used(seen: &Seen, arn: &str) -> bool {
    seen.deployments.iter().any(|found| found.definition == arn && (found.is_primary || found.is_alive()))
}

/// Back to what served before: ECS's own way where it keeps a record of the deployment, otherwise by
/// the definition. Where nothing served, the service goes to rest.
async fn roll_back(work: &Work<'_>, track: &mut Track, seen: &Seen, live: &str) -> PortResult<Progress<Output>> {
    let Some(previous) = previous(work, seen, live).await? else {
        rest(work, live).await?;
        return Ok(pending(AGAIN_MILLIS, "no version served before, stopping"));
    };
    if previous.serves && track.retiring.elapsed() < ECS_PATIENCE && stop_deployment(work, seen).await? {
        return Ok(pending(AGAIN_MILLIS, "ECS takes the service back to its previous version"));
    }
    stop_copies(work, live).await?;
    let count = (!previous.serves).then_some(0);
    let update = work.clients.ecs.update_service().cluster(&work.stack.cluster).service(&work.service.service);
    let update = update.task_definition(&previous.arn).set_desired_count(count);
    update.send().await.map_err(|error| fault("ecs:UpdateService", error))?;
    Ok(pending(AGAIN_MILLIS, "taking the service back to its previous version"))
}

/// Stops what runs of a version that failed, so that no copy of the one that serves has to make room
/// for its successor: a program that ends again and again is `RUNNING` in between.
async fn stop_copies(work: &Work<'_>, failed: &str) -> PortResult<()> {
    for task in task::find(work, Of::Service, DesiredStatus::Running).await? {
        if task.definition == failed && !task.is_stopped() {
            task::stop(work, &task, "its version failed").await?;
        }
    }
    Ok(())
}

struct Previous {
    arn: String,
    /// A version, and not what a new service begins with.
    serves: bool,
}

/// What the service had before: what else it still runs, or else the newest other definition.
async fn previous(work: &Work<'_>, seen: &Seen, live: &str) -> PortResult<Option<Previous>> {
    let running = seen.deployments.iter().filter(|found| found.definition != live && found.running > 0);
    let arn = match running.max_by_key(|found| found.running) {
        Some(running) => Some(running.definition.clone()),
        None => active(work, None).await?.arns.into_iter().find(|arn| arn != live),
    };
    let Some(arn) = arn else { return Ok(None) };
    let serves = label_of(&work.shared.rollouts, work.clients, &arn).await?.version.is_some();
    Ok(Some(Previous { arn, serves }))
}

async fn rest(work: &Work<'_>, live: &str) -> PortResult<()> {
    let update = work.clients.ecs.update_service().cluster(&work.stack.cluster).service(&work.service.service);
    let update = update.task_definition(live).desired_count(0).send().await;
    update.map(drop).map_err(|error| fault("ecs:UpdateService", error))
}

/// Whether ECS keeps a record of the deployment and rolls it back.
async fn stop_deployment(work: &Work<'_>, seen: &Seen) -> PortResult<bool> {
    let under_way = [Status::Pending, Status::InProgress];
    let Some(record) = newest_record(work, seen).await? else { return Ok(false) };
    if [Status::RollbackRequested, Status::RollbackInProgress, Status::StopRequested].contains(&record.status) {
        return Ok(true);
    }
    if !under_way.contains(&record.status) {
        return Ok(false);
    }
    let stop = work.clients.ecs.stop_service_deployment().service_deployment_arn(&record.arn);
    match stop.stop_type(StopServiceDeploymentStopType::Rollback).send().await {
        Ok(_) => Ok(true),
        // It has ended, or ends already: the next look tells.
        Err(error) if is(&error, "ConflictException") => Ok(true),
        Err(error)
            if is(&error, "ServiceDeploymentNotFoundException")
                || is(&error, "UnsupportedFeatureException")
                || is(&error, "InvalidAction") =>
        {
            Ok(false)
        }
        Err(error) => Err(fault("ecs:StopServiceDeployment", error)),
    }
}

async fn deregister(work: &Work<'_>, arn: &str) -> PortResult<()> {
    match work.clients.ecs.deregister_task_definition().task_definition(arn).send().await {
        Ok(_) => Ok(()),
        // Gone already.
        Err(error) if is(&error, "ClientException") => Ok(()),
        Err(error) => Err(fault("ecs:DeregisterTaskDefinition", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::rollout::snapshot::Deployment;

    fn deployment(state: RolloutState, running: i32) -> Deployment {
        Deployment {
            is_primary: true,
            definition: "web:2".into(),
            desired: 1,
            running,
            pending: 0,
            failed: 0,
            state,
            reason: String::new(),
            created: 0,
        }
    }

    fn old(running: i32) -> Deployment {
        Deployment { is_primary: false, definition: "web:1".into(), ..deployment(RolloutState::Completed, running) }
    }

    #[test]
    fn what_is_next_follows_from_what_serves() {
        use RolloutState::{Completed, Failed, InProgress};
        let next = |deployments: Vec<Deployment>, desired: i32, holds: Holds| match decide(
            &Seen { desired, deployments, ..Seen::default() },
            holds,
        ) {
            Next::Wait { .. } => "wait",
            Next::RollBack => "roll back",
            Next::Rest => "rest",
            Next::CleanUp => "clean up",
        };
        let cases = [
            ("it serves", next(vec![deployment(Completed, 1)], 1, Holds::Ours), "clean up"),
            ("the old one still drains", next(vec![deployment(Completed, 1), old(1)], 1, Holds::Ours), "wait"),
            ("it never came up", next(vec![deployment(InProgress, 0), old(1)], 1, Holds::Ours), "roll back"),
            (
                "it came up and was not seen to the end",
                next(vec![deployment(InProgress, 1)], 1, Holds::Ours),
                "roll back",
            ),
            ("the breaker stopped it", next(vec![deployment(Failed, 0)], 1, Holds::Ours), "roll back"),
            ("it was brought to rest", next(vec![deployment(InProgress, 0)], 0, Holds::Ours), "clean up"),
            ("ECS is on its way back", next(vec![deployment(InProgress, 1)], 1, Holds::Another), "wait"),
            ("ECS went back", next(vec![deployment(Completed, 1), old(0)], 1, Holds::Another), "clean up"),
            (
                "nothing ever ran",
                next(vec![Deployment { desired: 0, ..deployment(Completed, 0) }], 0, Holds::None),
                "clean up",
            ),
            ("ECS would run what is no version", next(vec![deployment(Failed, 0)], 1, Holds::None), "rest"),
            ("nothing is known", next(vec![], 1, Holds::Another), "clean up"),
        ];
        for (story, got, expected) in cases {
            assert_eq!(got, expected, "{story}");
        }
    }

    #[test]
    fn a_definition_is_kept_for_as_long_as_a_deployment_needs_it() {
        let seen = |running| Seen {
            deployments: vec![deployment(RolloutState::Completed, 1), old(running)],
            ..Seen::default()
        };
        assert!(is_used(&seen(0), "web:2"));
        assert!(is_used(&seen(1), "web:1"));
        assert!(!is_used(&seen(0), "web:1"), "a memory of ECS's");
    }
}
