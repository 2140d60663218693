//! The new version beside the old one, by `UpdateService`, followed to its end.

use std::time::Duration;

use aws_sdk_ecs::types::{CreatedAt, LoadBalancer, ServiceDeploymentStatus as Status};
use aws_smithy_types::DateTime;

use super::doctor::{self, Diagnosis, Effort, targets};
use super::judge::{Look, Ours, Verdict, again_millis, judge};
use super::memory::{Following, Track};
use super::registered::{self, By, label_of};
use super::snapshot::{Deployment, RolloutState, Seen, describe_one};
use super::{Work, memory, pending};
use crate::aws::fault::{fault, is};
use crate::model::{Failure, FailureKind, Output};
use crate::port::{PortError, PortResult, Progress};

/// A look at the targets of a deployment that takes long, every so many polls.
const TARGETS_EVERY: u32 = 4;
/// Beyond what the health check itself takes.
pub(super) const TARGET_PATIENCE: Duration = Duration::from_mins(1);

/// A log that was written comes within seconds.
const LOG_MILLIS: i64 = 1_000;

/// Seconds.
const RECORD_AHEAD: i64 = 5;

/// Starts the version if it is not being started, and says how far it is.
pub(in crate::aws) async fn start(work: &Work<'_>, track: &mut Track) -> PortResult<Progress<Output>> {
    if let Some(following) = track.following.take() {
        let seen = see(work).await?;
        return follow(work, track, following, &seen).await;
    }
    let seen = see(work).await?;
    let live = seen.live().to_owned();
    let label = label_of(&work.shared.rollouts, work.clients, &live).await?;
    if label.version.as_ref() == Some(work.rollout.version) {
        if seen.desired == 0 {
            return update(work, track, &live, &seen).await;
        }
        return follow(work, track, Following::new(&live), &seen).await;
    }
    let registered = registered::ensure(work, track, &live).await?;
    if registered.by == By::UsBefore
        && let Some(ended) = ended_before(work, track, &registered.arn, &seen).await?
    {
        return ended;
    }
    update(work, track, &registered.arn, &seen).await
}

/// The service as it is now.
pub(super) async fn see(work: &Work<'_>) -> PortResult<Seen> {
    let seen = describe_one(work.clients, &work.stack.cluster, &work.service.service).await?;
    seen.ok_or_else(|| {
        let summary = format!("the ECS service {} of `{}` is gone", work.service.service, work.name());
        let advice = "Somebody removed it by hand. `/destroy` the stage and deploy it anew.";
        PortError::failed(FailureKind::Environment, summary, advice)
    })
}

async fn update(work: &Work<'_>, track: &mut Track, definition: &str, seen: &Seen) -> PortResult<Progress<Output>> {
    // Sent only to a service that is at rest: otherwise the count is the scaling policy's (trap 35).
    let count = (seen.desired == 0).then(|| i32::try_from(work.rollout.service.scale.min.max(1)).unwrap_or(1));
    let doors = moved_port(work, seen).map(|door| vec![door]);
    let updated = work
        .clients
        .ecs
        .update_service()
        .set_load_balancers(doors)
        .cluster(&work.stack.cluster)
        .service(&work.service.service)
        .task_definition(definition)
        .set_desired_count(count)
        .send()
        .await
        .map_err(|error| fault("ecs:UpdateService", error))?;
    let following = Following::new(definition);
    // An AWS that is done at once says so in its answer, which tells no tags. What else that tells may be
    // older than the change.
    let answered = updated.service().map(|service| Seen { canary: seen.canary.clone(), ..Seen::from(service) });
    if let Some(answered) = answered.filter(|answered| judge(answered, &following.ours()) == Verdict::Complete) {
        return follow(work, track, following, &answered).await;
    }
    let wait = wait(work, &following);
    track.following = Some(following);
    Ok(pending(wait, "starting"))
}

/// Until the next look at a deployment.
fn wait(work: &Work<'_>, following: &Following) -> i64 {
    again_millis(following.since.elapsed(), work.rollout.service.health.interval)
}

/// The load balancer's end of a service whose program listens elsewhere now: it moves with the
/// program, because the stack leaves it where the running one listens.
fn moved_port(work: &Work<'_>, seen: &Seen) -> Option<LoadBalancer> {
    let (group, port) = (work.service.target_group.as_ref()?, i32::from(work.rollout.service.port?));
    let door = LoadBalancer::builder().target_group_arn(group).container_name(work.name().as_str());
    (seen.port != Some(port)).then(|| door.container_port(port).build())
}

/// A process before this one registered the definition for this very goal. If it was also started
/// and ECS took it back, there are traces of that; without any it was never started.
async fn ended_before(
    work: &Work<'_>,
    track: &mut Track,
    definition: &str,
    seen: &Seen,
) -> PortResult<Option<PortResult<Progress<Output>>>> {
    if seen.deployments.iter().any(|other| other.definition == definition) {
        let following = Following::new(definition);
        return Ok(Some(follow(work, track, following, seen).await));
    }
    // One-off tasks have the same definition, so only the service's own tasks count.
    Ok(match doctor::diagnose(work, track, definition, Effort::Glance).await? {
        Diagnosis::Nothing => None,
        Diagnosis::Later { note } => Some(Ok(pending(LOG_MILLIS, note))),
        Diagnosis::Found(failure) => Some(Err(PortError::Failed(failure))),
    })
}

async fn follow(
    work: &Work<'_>,
    track: &mut Track,
    mut following: Following,
    seen: &Seen,
) -> PortResult<Progress<Output>> {
    let verdict = judge(seen, &following.ours());
    tracing::debug!(service = %work.service.service, ?verdict, polls = following.polls, "looked at a deployment");
    following.polls += 1;
    let alive = seen.primary().filter(|primary| primary.definition == following.definition).map(Deployment::alive);
    following.most = following.most.max(alive.unwrap_or(0));
    let progress = match verdict {
        Verdict::Complete => complete(work, &mut following, seen).await,
        Verdict::Underway { note, look } => underway(work, track, &following, note, look).await,
        Verdict::Over { said } => over(work, track, &following, &said).await,
        Verdict::Stuck { said } => Err(PortError::Failed(Box::new(stuck(work, &said)))),
    };
    match &progress {
        Ok(Progress::Pending { .. }) => track.following = Some(following),
        Ok(Progress::Done(_)) => track.whole = Some(memory::Look::now(seen.clone())),
        Err(_) => {}
    }
    progress
}

impl Following {
    fn ours(&self) -> Ours<'_> {
        Ours { definition: &self.definition, followed: self.since.elapsed(), polls: self.polls, most: self.most }
    }
}

async fn underway(
    work: &Work<'_>,
    track: &mut Track,
    following: &Following,
    mut note: String,
    look: Look,
) -> PortResult<Progress<Output>> {
    if look == Look::AtStoppedTasks {
        match doctor::diagnose(work, track, &following.definition, Effort::Glance).await? {
            Diagnosis::Nothing => {}
            Diagnosis::Later { note } => return Ok(pending(LOG_MILLIS, note)),
            Diagnosis::Found(failure) => return Err(PortError::Failed(failure)),
        }
    } else if following.polls >= TARGETS_EVERY && following.polls.is_multiple_of(TARGETS_EVERY) {
        let targets = targets(work).await?;
        if !targets.complaint.is_empty() {
            note = format!("{note}; the load balancer says {}", targets.complaint);
        }
    }
    Ok(pending(wait(work, following), note))
}

/// Complete in ECS's eyes: the copies must be healthy in the load balancer's too (trap 23), and the
/// deployment's own record, where there is one, must call it successful.
async fn complete(work: &Work<'_>, following: &mut Following, seen: &Seen) -> PortResult<Progress<Output>> {
    let wanted = usize::try_from(seen.primary().map_or(1, |primary| primary.desired)).unwrap_or(1);
    if work.service.target_group.is_some() {
        let targets = targets(work).await?;
        // With none at all registered there is nothing to ask here; the public address tells.
        if targets.unready > 0 || (1..wanted).contains(&targets.healthy) {
            return unready(work, following, targets.healthy, wanted, &targets.complaint);
        }
    }
    let record = newest_record(work, seen).await?;
    let status = record.as_ref().map_or(Status::Successful, |record| record.status.clone());
    match status {
        Status::Successful => Ok(Progress::Done(Output::Version(work.rollout.version.clone()))),
        Status::Pending | Status::InProgress => {
            Ok(pending(wait(work, following), "running and healthy, waiting for ECS to close the deployment"))
        }
        status => {
            let said = record.map_or(String::new(), |record| record.said);
            Err(PortError::Failed(Box::new(taken_back(work, status.as_str(), &said))))
        }
    }
}

fn unready(
    work: &Work<'_>,
    following: &mut Following,
    healthy: usize,
    wanted: usize,
    complaint: &str,
) -> PortResult<Progress<Output>> {
    let health = &work.rollout.service.health;
    if following.settled.elapsed() > health.patience().duration() + TARGET_PATIENCE {
        let said = if complaint.is_empty() { "no target became healthy" } else { complaint };
        let summary = format!("the health check of `{}` at {} never passed: {said}", work.name(), health.path);
        let advice = "Correct `health.path`, `health.status` or `port`, or give it longer with `health.grace`.";
        return Err(PortError::failed(FailureKind::Unhealthy, summary, advice));
    }
    let mut note = format!("waiting for the health check, {healthy} of {wanted} healthy");
    if !complaint.is_empty() {
        note = format!("{note}: {complaint}");
    }
    Ok(pending(wait(work, following), note))
}

/// A deployment's own record.
pub(super) struct Record {
    pub(super) arn: String,
    pub(super) status: Status,
    pub(super) said: String,
}

/// The record of the service's own deployment; `None` where the service deployments API answers
/// nothing. One call.
pub(super) async fn newest_record(work: &Work<'_>, seen: &Seen) -> PortResult<Option<Record>> {
    // The record may be a moment older than the deployment that it is of.
    let created = seen.primary().map_or(0, |primary| primary.created.saturating_sub(RECORD_AHEAD));
    let since = CreatedAt::builder().after(DateTime::from_secs(created)).build();
    let list = work.clients.ecs.list_service_deployments().cluster(&work.stack.cluster).created_at(since);
    let listed = match list.service(&work.service.service).send().await {
        Ok(listed) => listed,
        Err(error) if is(&error, "UnsupportedFeatureException") || is(&error, "InvalidAction") => return Ok(None),
        Err(error) => return Err(fault("ecs:ListServiceDeployments", error)),
    };
    let newest = listed.service_deployments().iter().max_by_key(|found| found.created_at().copied());
    Ok(newest.and_then(|found| {
        let arn = found.service_deployment_arn()?.to_owned();
        Some(Record {
            arn,
            status: found.status()?.clone(),
            said: found.status_reason().unwrap_or_default().to_owned(),
        })
    }))
}

/// ECS ended it: the cause is with the tasks if any of them tells it.
async fn over(work: &Work<'_>, track: &mut Track, following: &Following, said: &str) -> PortResult<Progress<Output>> {
    match doctor::diagnose(work, track, &following.definition, Effort::Thorough).await? {
        Diagnosis::Later { note } => Ok(pending(LOG_MILLIS, note)),
        Diagnosis::Found(failure) => Err(PortError::Failed(failure)),
        Diagnosis::Nothing => Err(PortError::Failed(Box::new(taken_back(work, "not successful", said)))),
    }
}

fn taken_back(work: &Work<'_>, status: &str, said: &str) -> Failure {
    let said = if said.is_empty() { status } else { said };
    Failure::new(
        FailureKind::Unhealthy,
        format!("ECS did not bring `{}` to the new version: {said}", work.name()),
        "The events of the ECS service and the program's log say more; mend it and deploy again.",
    )
}

fn stuck(work: &Work<'_>, said: &str) -> Failure {
    Failure::new(
        FailureKind::Environment,
        format!("ECS cannot run `{}`: {said}", work.name()),
        "The sentence is AWS's own. It is most often a role, a subnet or a quota; mend it and deploy again.",
    )
}

/// Whether the version serves: its deployment is the service's own and complete.
pub(super) fn is_complete(seen: &Seen) -> bool {
    seen.primary().is_some_and(|primary| {
        primary.state == RolloutState::Completed && primary.running >= primary.desired && primary.running > 0
    })
}
