//! Finds out why a deployment's tasks stop: the first that did so on its own account, its exit code
//! and its last lines, while ECS still knows them (trap 28: for about an hour).

use aws_sdk_ecs::types::DesiredStatus;
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthReasonEnum, TargetHealthStateEnum};

use super::Work;
use super::autopsy::{Cause, failure, first_fault};
use super::memory::Track;
use super::task::{self, Of, TaskSeen};
use crate::aws::clients::Clients;
use crate::aws::fault::{fault, is};
use crate::model::{Failure, ServiceName};
use crate::port::PortResult;
use crate::view::{PRINTED_BEFORE, printed};

/// Lines that a failure shows.
pub(super) const LINES: i32 = 20;
/// Source: CloudWatch Logs, `GetLogEvents`: at most so many events in one call.
const MOST_EVENTS: i32 = 10_000;
/// How often a log that has not come yet is looked for again; the driver sends every few seconds.
const LOG_TRIES: u32 = 8;

/// How hard to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Something may be wrong.
    Glance,
    /// Something is wrong: the list of a service's tasks may lack what its family's has.
    Thorough,
}

/// What the doctor found.
#[derive(Debug)]
pub(super) enum Diagnosis {
    /// No task of the definition stopped on its own account.
    Nothing,
    /// The log of what stopped has not come yet.
    Later {
        note: String,
    },
    Found(Box<Failure>),
}

/// Why tasks of this definition stop.
pub(super) async fn diagnose(
    work: &Work<'_>,
    track: &mut Track,
    definition: &str,
    effort: Effort,
) -> PortResult<Diagnosis> {
    let mut stopped = of_definition(task::find(work, Of::Service, DesiredStatus::Stopped).await?, definition);
    if stopped.is_empty() && effort == Effort::Thorough {
        stopped = of_definition(task::find(work, Of::Family, DesiredStatus::Stopped).await?, definition);
    }
    let Some((task, cause)) = first_fault(&stopped) else { return Ok(Diagnosis::Nothing) };
    report(work, track, task, &cause).await
}

/// One task's end as a failure.
pub(super) async fn report(
    work: &Work<'_>,
    track: &mut Track,
    task: &TaskSeen,
    cause: &Cause,
) -> PortResult<Diagnosis> {
    let log = last_lines(work, task, LINES).await?;
    let spec = work.rollout.service;
    if log.is_empty() && task.exit_code.is_some() && track.log_tries < LOG_TRIES {
        track.log_tries += 1;
        let summary = failure(cause, spec, Vec::new(), "").summary;
        return Ok(Diagnosis::Later { note: format!("{summary}; reading its log") });
    }
    let health = match cause {
        Cause::Unhealthy { .. } => targets(work).await?.complaint,
        _ => String::new(),
    };
    Ok(Diagnosis::Found(Box::new(failure(cause, spec, log, &health))))
}

fn of_definition(tasks: Vec<TaskSeen>, definition: &str) -> Vec<TaskSeen> {
    tasks.into_iter().filter(|task| task.is_stopped() && task.definition == definition).collect()
}

/// The last lines that a task printed, oldest first.
pub(super) async fn last_lines(work: &Work<'_>, task: &TaskSeen, lines: i32) -> PortResult<Vec<String>> {
    read_log(work.clients, &work.service.log_group, work.name(), &task.id, lines).await
}

/// The last lines of a task's log stream, oldest first; none if there is no such stream.
///
/// Source: ECS, "Send Amazon ECS logs to CloudWatch": `prefix-name/container-name/ecs-task-id`.
pub(in crate::aws) async fn read_log(
    clients: &Clients,
    group: &str,
    service: &ServiceName,
    task: &str,
    lines: i32,
) -> PortResult<Vec<String>> {
    let stream = format!("{service}/{service}/{task}");
    let events = clients.logs.get_log_events().log_group_name(group).log_stream_name(stream);
    let shown = usize::try_from(lines).unwrap_or_default();
    let before = i32::try_from(PRINTED_BEFORE).unwrap_or_default();
    let events = match events.limit(lines.saturating_add(before).min(MOST_EVENTS)).start_from_head(false).send().await {
        Ok(events) => events,
        Err(error) if is(&error, "ResourceNotFoundException") => return Ok(Vec::new()),
        Err(error) => return Err(fault("logs:GetLogEvents", error)),
    };
    let chunks: Vec<&str> = events.events().iter().map(|event| event.message().unwrap_or_default()).collect();
    // What is secret there is known to AWS alone: here it has its shape.
    Ok(printed(&chunks, shown, &[]))
}

/// What the load balancer says of a service's copies.
#[derive(Debug, Default)]
pub(in crate::aws) struct Targets {
    pub(in crate::aws) healthy: usize,
    /// Not healthy and not on their way out.
    pub(super) unready: usize,
    /// What is wrong with the first of those, empty if nothing is.
    pub(in crate::aws) complaint: String,
}

/// The health of the service's targets; of a service without an address there are none.
pub(super) async fn targets(work: &Work<'_>) -> PortResult<Targets> {
    match &work.service.target_group {
        Some(group) => targets_of(work.clients, group).await,
        None => Ok(Targets::default()),
    }
}

/// The health of a target group's targets.
pub(in crate::aws) async fn targets_of(clients: &Clients, group: &str) -> PortResult<Targets> {
    let health = clients.elb.describe_target_health().target_group_arn(group).send().await;
    let health = health.map_err(|error| fault("elasticloadbalancing:DescribeTargetHealth", error))?;
    let mut targets = Targets::default();
    for health in health.target_health_descriptions().iter().filter_map(TargetHealthDescription::target_health) {
        match health.state() {
            Some(TargetHealthStateEnum::Healthy) => targets.healthy += 1,
            // Of the version that leaves: its connections end, new ones go to the others.
            Some(TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining) => {}
            state => {
                targets.unready += 1;
                if targets.complaint.is_empty() && !matches!(state, Some(TargetHealthStateEnum::Initial)) {
                    let reason = health.reason().map_or("", TargetHealthReasonEnum::as_str);
                    let described = health.description().unwrap_or_default();
                    format!("{reason} {described}").trim().clone_into(&mut targets.complaint);
                }
            }
        }
    }
    Ok(targets)
}
