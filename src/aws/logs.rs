//! What programs printed, from CloudWatch Logs.

use aws_sdk_cloudwatchlogs::types::OrderBy;
use aws_sdk_ecs::types::DesiredStatus;

use super::clients::Clients;
use super::fault::{fault, is};
use super::rollout::read_log;
use super::{Shared, stage_stack};
use crate::model::ServiceName;
use crate::port::{PortError, PortResult, Site};

/// Source: CloudWatch Logs, `GetLogEvents`: up to 10,000 events in one call.
const MOST: i32 = 10_000;

/// The last lines of the service's newest task, oldest first.
pub(super) async fn tail(shared: &Shared, site: Site<'_>, name: &ServiceName, lines: usize) -> PortResult<Vec<String>> {
    let clients = shared.sessions.at(site).await?;
    let missing = || PortError::NotFound { what: format!("service `{name}` of {}", site.stage) };
    let stack = stage_stack::read(shared, site).await?.ok_or_else(missing)?;
    let service = stack.services.get(name).ok_or_else(missing)?;
    let task = match newest_running(&clients, &stack.cluster, &service.service).await? {
        Some(task) => Some(task),
        // Nothing runs: what ran last says why.
        None => newest_stream(&clients, &service.log_group).await?,
    };
    let lines = i32::try_from(lines).unwrap_or(MOST).clamp(1, MOST);
    match task {
        Some(task) => read_log(&clients, &service.log_group, name, &task, lines).await,
        None => Ok(Vec::new()),
    }
}

/// The id of the service's newest running task.
async fn newest_running(clients: &Clients, cluster: &str, service: &str) -> PortResult<Option<String>> {
    let list = clients.ecs.list_tasks().cluster(cluster).service_name(service).desired_status(DesiredStatus::Running);
    let listed = match list.max_results(100).send().await {
        Ok(listed) => listed,
        Err(error) if is(&error, "ServiceNotFoundException") => return Ok(None),
        Err(error) => return Err(fault("ecs:ListTasks", error)),
    };
    let arns = listed.task_arns().to_vec();
    if arns.len() <= 1 {
        return Ok(arns.first().and_then(|arn| last_part(arn)));
    }
    let described = clients.ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns)).send().await;
    let described = described.map_err(|error| fault("ecs:DescribeTasks", error))?;
    let newest = described.tasks().iter().max_by_key(|task| task.created_at().copied());
    Ok(newest.and_then(|task| last_part(task.task_arn()?)))
}

/// The id of the task that wrote last.
async fn newest_stream(clients: &Clients, group: &str) -> PortResult<Option<String>> {
    let streams = clients.logs.describe_log_streams().log_group_name(group);
    let streams = match streams.order_by(OrderBy::LastEventTime).descending(true).limit(1).send().await {
        Ok(streams) => streams,
        Err(error) if is(&error, "ResourceNotFoundException") => return Ok(None),
        Err(error) => return Err(fault("logs:DescribeLogStreams", error)),
    };
    Ok(streams.log_streams().first().and_then(|stream| last_part(stream.log_stream_name()?)))
}

fn last_part(path: &str) -> Option<String> {
    path.rsplit('/').next().filter(|part| !part.is_empty()).map(str::to_owned)
}
