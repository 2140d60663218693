//! One copy of the new version beside those that serve, as a task of its own behind the same load
//! balancer; the service itself is not touched.
//!
//! A task and not a second service, so that ECS has one service alone to keep in the target group;
//! and not ECS's own canary deployments, which want a second target group and a role.

use aws_sdk_ecs::types::Tag;
use aws_sdk_elasticloadbalancingv2::types::{
    TargetDescription, TargetHealthReasonEnum, TargetHealthStateEnum as State,
};

use super::autopsy::{Cause, Finding, examine, failure};
use super::doctor::{self, Diagnosis};
use super::judge::again_millis;
use super::memory::{Canary, Stopwatch, Track};
use super::one_off;
use super::registered::{self, label_of};
use super::snapshot::Seen;
use super::start::{TARGET_PATIENCE, see};
use super::task::{self, TaskSeen};
use super::{Work, pending};
use crate::aws::fault::fault;
use crate::aws::names::TAG_CANARY;
use crate::model::{Failure, FailureKind, Output, VersionKey};
use crate::port::{PortError, PortResult, Progress};

const AGAIN_MILLIS: i64 = 1_000;
/// How soon a canary that fails is noticed, beyond what the load balancer takes itself.
const LOOK_MILLIS: i64 = 5_000;

/// Starts the copy, leads its share of the traffic to it, and watches it for as long as the service
/// asks. A server that takes over watches it anew.
pub(in crate::aws) async fn canary(work: &Work<'_>, track: &mut Track) -> PortResult<Progress<Output>> {
    let Some(watch) = work.rollout.service.canary else { return Ok(Progress::Done(Output::Nothing)) };
    let task = match &track.canary.task {
        Some(id) => task::look(work, std::slice::from_ref(id)).await?.pop(),
        None => match begun(work, track).await? {
            Begun::Task(task) => Some(*task),
            Begun::Not(progress) => return Ok(progress),
        },
    };
    let Some(task) = task else {
        // ECS has forgotten it: look for it by its mark again.
        track.canary = Canary::default();
        return Ok(pending(AGAIN_MILLIS, "looking for the canary's task"));
    };
    track.canary.task = Some(task.id.clone());
    if task.is_stopped() {
        deregister(work, targets_at(work, &task).await?).await?;
        return stopped(work, track, &task).await;
    }
    if task.status != "RUNNING" {
        return Ok(pending(AGAIN_MILLIS, format!("the canary's task {} is {}", task.id, task.status.to_lowercase())));
    }
    if let Some(wait) = introduce(work, track, &task).await? {
        return Ok(wait);
    }
    let watched = track.canary.watched.elapsed();
    if watched >= watch.duration() {
        // Its requests end while the service follows; its task goes when the service is there.
        deregister(work, targets_at(work, &task).await?).await?;
        return Ok(Progress::Done(Output::Nothing));
    }
    let left = watch.duration().saturating_sub(watched);
    let left = i64::try_from(left.as_millis()).unwrap_or(LOOK_MILLIS);
    Ok(pending(left.clamp(1, LOOK_MILLIS), format!("watching one copy for {watch}")))
}

/// By what its task is known, and the service's tag that tells of it: the tag is there before the
/// task and until after it, so that whoever looks at the service knows of the copy beside it.
fn mark(work: &Work<'_>) -> String {
    format!("greenroom-canary-{}-{}", &one_off::hash(work)[..16], work.rollout.version)
}

/// The version that is tried beside a service.
pub(in crate::aws) fn canary_of(seen: &Seen) -> Option<VersionKey> {
    let (_, version) = seen.canary.as_deref()?.rsplit_once('-')?;
    Some(VersionKey(version.to_owned()))
}

enum Begun {
    Task(Box<TaskSeen>),
    /// There is nothing to prove, or something else to wait for first.
    Not(Progress<Output>),
}

/// Finds the task or starts it.
async fn begun(work: &Work<'_>, track: &mut Track) -> PortResult<Begun> {
    let seen = see(work).await?;
    let label = label_of(&work.shared.rollouts, work.clients, seen.live()).await?;
    if label.version.as_ref() == Some(work.rollout.version) {
        return Ok(Begun::Not(Progress::Done(Output::Nothing)));
    }
    let mark = mark(work);
    if seen.canary.as_ref().is_some_and(|other| *other != mark)
        && let Some(wait) = leave(work, &seen).await?
    {
        return Ok(Begun::Not(wait));
    }
    let definition = registered::ensure(work, track, seen.live()).await?.arn;
    if seen.canary.as_ref() == Some(&mark) {
        if let Some(task) = one_off::find(work, &mark).await? {
            return Ok(Begun::Task(Box::new(task)));
        }
    } else {
        let tag = Tag::builder().key(TAG_CANARY).value(&mark).build();
        let tagged = work.clients.ecs.tag_resource().resource_arn(&seen.arn).tags(tag).send().await;
        tagged.map_err(|error| fault("ecs:TagResource", error))?;
    }
    Ok(Begun::Task(Box::new(one_off::run(work, &mark, &definition, None).await?)))
}

/// Sees that the load balancer sends it requests; what there is to wait for if it does not yet.
async fn introduce(work: &Work<'_>, track: &mut Track, task: &TaskSeen) -> PortResult<Option<Progress<Output>>> {
    let Some(group) = &work.service.target_group else { return Ok(None) };
    let Some(address) = &task.address else {
        return Ok(Some(pending(AGAIN_MILLIS, "waiting for the canary's address")));
    };
    let Some(TargetSeen { state, said, .. }) =
        targets_at(work, task).await?.into_iter().find(|seen| !seen.is_leaving())
    else {
        let port = work.rollout.service.port.map(i32::from);
        let target = TargetDescription::builder().id(address).set_port(port).build();
        let registered = work.clients.elb.register_targets().target_group_arn(group).targets(target).send().await;
        registered.map_err(|error| fault("elasticloadbalancing:RegisterTargets", error))?;
        // What it was like before is of no interest: the load balancer gets to know it anew.
        track.canary.known = Stopwatch::started();
        track.canary.watched = Stopwatch::default();
        return Ok(Some(pending(AGAIN_MILLIS, "leading a share of the traffic to one copy")));
    };
    if state == State::Healthy {
        return Ok(None);
    }
    let patience = work.rollout.service.health.patience().duration() + TARGET_PATIENCE;
    // One that was healthy has failed as many checks as it takes to be called unhealthy.
    if track.canary.watched.runs() || track.canary.known.elapsed() > patience {
        deregister(work, targets_at(work, task).await?).await?;
        let cause = Cause::Unhealthy { said: said.clone() };
        let log = doctor::last_lines(work, task, doctor::LINES).await?;
        return Err(PortError::Failed(Box::new(failure(&cause, work.rollout.service, log, &said))));
    }
    let said = if said.is_empty() { state.as_str() } else { &said };
    // The next thing to know is what the next check says.
    let wait = again_millis(track.canary.known.elapsed(), work.rollout.service.health.interval);
    Ok(Some(pending(wait, format!("waiting for the canary's health check: {said}"))))
}

/// Why it ended; whatever the code, a service's program does not end.
async fn stopped(work: &Work<'_>, track: &mut Track, task: &TaskSeen) -> PortResult<Progress<Output>> {
    match examine(task) {
        Finding::Fault(cause) | Finding::Hiccup(cause) => match doctor::report(work, track, task, &cause).await? {
            Diagnosis::Later { note } => return Ok(pending(AGAIN_MILLIS, note)),
            Diagnosis::Found(failure) => return Err(PortError::Failed(failure)),
            Diagnosis::Nothing => {}
        },
        Finding::Transient => {}
    }
    let summary = format!("the canary of `{}` was taken away: {}", work.name(), task.stopped_reason);
    let advice = "What served before still serves alone. Deploy again.";
    Err(PortError::Failed(Box::new(Failure::new(FailureKind::Environment, summary, advice))))
}

/// Takes the copy away once its requests have ended; what there is to wait for until then.
pub(super) async fn leave(work: &Work<'_>, seen: &Seen) -> PortResult<Option<Progress<Output>>> {
    let Some(mark) = &seen.canary else { return Ok(None) };
    if let Some(task) = one_off::find(work, mark).await? {
        let targets = targets_at(work, &task).await?;
        if !targets.is_empty() {
            deregister(work, targets).await?;
            return Ok(Some(pending(AGAIN_MILLIS, "waiting for the canary to finish its requests")));
        }
        if !task.is_stopped() {
            task::stop(work, &task, "the canary has done its work").await?;
        }
    }
    let untagged = work.clients.ecs.untag_resource().resource_arn(&seen.arn).tag_keys(TAG_CANARY).send().await;
    untagged.map_err(|error| fault("ecs:UntagResource", error))?;
    Ok(None)
}

/// What the load balancer knows of a task, with its state and its words.
struct TargetSeen {
    target: TargetDescription,
    state: State,
    said: String,
}

/// The targets at the task's address.
async fn targets_at(work: &Work<'_>, task: &TaskSeen) -> PortResult<Vec<TargetSeen>> {
    let (Some(group), Some(address)) = (&work.service.target_group, &task.address) else { return Ok(Vec::new()) };
    // All of the group are asked for: of one by its name that is not there, "unused" is told.
    let health = work.clients.elb.describe_target_health().target_group_arn(group).send().await;
    let health = health.map_err(|error| fault("elasticloadbalancing:DescribeTargetHealth", error))?;
    let seen = health.target_health_descriptions().iter().filter_map(|found| {
        let (target, health) = (found.target()?, found.target_health()?);
        let reason = health.reason().map_or("", TargetHealthReasonEnum::as_str);
        let said = format!("{reason} {}", health.description().unwrap_or_default()).trim().to_owned();
        let state = health.state().cloned().unwrap_or(State::Unavailable);
        (target.id() == Some(address)).then(|| TargetSeen { target: target.clone(), state, said })
    });
    Ok(seen.collect())
}

/// The load balancer sends them nothing more. Those on their way out stay so.
async fn deregister(work: &Work<'_>, targets: Vec<TargetSeen>) -> PortResult<()> {
    let staying = targets.into_iter().filter(|seen| !seen.is_leaving()).map(|seen| seen.target).collect::<Vec<_>>();
    let Some(group) = work.service.target_group.as_ref().filter(|_| !staying.is_empty()) else { return Ok(()) };
    let answer = work.clients.elb.deregister_targets().target_group_arn(group).set_targets(Some(staying)).send().await;
    answer.map(drop).map_err(|error| fault("elasticloadbalancing:DeregisterTargets", error))
}

impl TargetSeen {
    fn is_leaving(&self) -> bool {
        matches!(self.state, State::Draining | State::UnhealthyDraining)
    }
}
