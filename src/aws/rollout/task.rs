//! Tasks as plain values, and the questions that find them.

use aws_sdk_ecs::operation::list_tasks::builders::ListTasksFluentBuilder;
use aws_sdk_ecs::types::{DesiredStatus, Task};

use super::Work;
use crate::aws::clients::Clients;
use crate::aws::fault::{fault, is};
use crate::model::ServiceName;
use crate::port::PortResult;

/// Source: ECS, `DescribeTasks`: up to 100 tasks in one call.
const AT_ONCE: usize = 100;
/// ECS lists them in no order that it promises, so that all of them are wanted. Of a copy that ends as fast as
/// Fargate starts it, it remembers about a hundred.
const MOST: usize = 1_000;

/// A task as `DescribeTasks` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::aws) struct TaskSeen {
    /// The last part of its ARN, which is also the last part of its log stream's name.
    pub(in crate::aws) id: String,
    pub(super) definition: String,
    /// `RUNNING`, `STOPPED`, ...
    pub(super) status: String,
    /// Why it stopped: `EssentialContainerExited`, ...; empty while it runs.
    pub(super) stop_code: String,
    pub(super) stopped_reason: String,
    /// Seconds since 1970.
    pub(super) created: i64,
    /// When it was to stop, or did; when it was made where that is not known, or while it runs.
    pub(super) stopped: i64,
    /// MiB that it may use.
    pub(in crate::aws) memory: Option<u32>,
    pub(super) exit_code: Option<i32>,
    /// ECS's words about our container.
    pub(super) container_reason: String,
    /// Its own address in its network.
    pub(super) address: Option<String>,
    pub(super) image: String,
    pub(super) image_digest: Option<String>,
}

impl TaskSeen {
    pub(super) fn is_stopped(&self) -> bool {
        self.status == "STOPPED"
    }

    fn new(task: &Task, container: &str) -> Self {
        let arn = task.task_arn().unwrap_or_default();
        let ours = task.containers().iter().find(|found| found.name() == Some(container));
        let details = task.attachments().iter().flat_map(aws_sdk_ecs::types::Attachment::details);
        let address = details.filter(|detail| detail.name() == Some("privateIPv4Address")).find_map(|it| it.value());
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let created = task.created_at().map_or(0, aws_smithy_types::DateTime::secs);
        // It is of no use to anybody from the moment on at which it is told to stop, however long it drains then.
        let stopped = task.stopping_at().or(task.execution_stopped_at()).or(task.stopped_at());
        Self {
            id: arn.rsplit('/').next().unwrap_or_default().to_owned(),
            definition: text(task.task_definition_arn()),
            status: text(task.last_status()),
            stop_code: text(task.stop_code().map(aws_sdk_ecs::types::TaskStopCode::as_str)),
            stopped_reason: text(task.stopped_reason()),
            created,
            stopped: stopped.map_or(created, aws_smithy_types::DateTime::secs),
            memory: task.memory().and_then(|memory| memory.parse().ok()),
            exit_code: ours.and_then(aws_sdk_ecs::types::Container::exit_code),
            container_reason: text(ours.and_then(|found| found.reason())),
            address: address.map(str::to_owned),
            image: text(ours.and_then(|found| found.image())),
            image_digest: ours.and_then(|found| found.image_digest()).map(str::to_owned),
        }
    }
}

/// Which tasks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of<'a> {
    /// What the service runs or ran.
    Service,
    /// Whatever has the family's definitions, one-off tasks included.
    Family,
    /// What was started with this mark. Source: ECS, `ListTasks`: no other filter goes with it.
    StartedBy(&'a str),
}

/// Tasks that are meant to run, or were.
pub(super) async fn find(work: &Work<'_>, of: Of<'_>, status: DesiredStatus) -> PortResult<Vec<TaskSeen>> {
    let list = work.clients.ecs.list_tasks().cluster(&work.stack.cluster).desired_status(status);
    let list = match of {
        Of::Service => list.service_name(&work.service.service),
        Of::Family => list.family(work.family()),
        Of::StartedBy(mark) => list.started_by(mark),
    };
    look(work, &listed(list).await?).await
}

/// What stopped of a service, as long as ECS remembers it: about an hour. Two calls for each hundred of them.
pub(in crate::aws) async fn ended(
    clients: &Clients,
    cluster: &str,
    service: &str,
    container: &ServiceName,
) -> PortResult<Vec<TaskSeen>> {
    let list = clients.ecs.list_tasks().cluster(cluster).service_name(service).desired_status(DesiredStatus::Stopped);
    describe(clients, cluster, container, &listed(list).await?).await
}

/// All of them, on as many pages as they take.
async fn listed(list: ListTasksFluentBuilder) -> PortResult<Vec<String>> {
    let mut pages = list.into_paginator().items().send();
    let mut arns = Vec::new();
    while let Some(arn) = pages.next().await {
        match arn {
            Ok(arn) => arns.push(arn),
            Err(error) if is(&error, "ServiceNotFoundException") => break,
            Err(error) => return Err(fault("ecs:ListTasks", error)),
        }
        if arns.len() >= MOST {
            break;
        }
    }
    Ok(arns)
}

/// These tasks as they are, those that ECS has forgotten left out.
pub(super) async fn look(work: &Work<'_>, tasks: &[String]) -> PortResult<Vec<TaskSeen>> {
    describe(work.clients, &work.stack.cluster, work.name(), tasks).await
}

async fn describe(
    clients: &Clients,
    cluster: &str,
    container: &ServiceName,
    tasks: &[String],
) -> PortResult<Vec<TaskSeen>> {
    let mut seen = Vec::new();
    for some in tasks.chunks(AT_ONCE) {
        let described = clients.ecs.describe_tasks().cluster(cluster).set_tasks(Some(some.to_vec())).send().await;
        let described = described.map_err(|error| fault("ecs:DescribeTasks", error))?;
        seen.extend(described.tasks().iter().map(|task| TaskSeen::new(task, container.as_str())));
    }
    seen.sort_by_key(|task: &TaskSeen| task.created);
    Ok(seen)
}

/// Stops the task; one that has stopped already stays so.
pub(super) async fn stop(work: &Work<'_>, task: &TaskSeen, reason: &str) -> PortResult<()> {
    let stop = work.clients.ecs.stop_task().cluster(&work.stack.cluster).task(&task.id).reason(reason);
    stop.send().await.map(drop).map_err(|error| fault("ecs:StopTask", error))
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::DateTime;

    use super::*;

    #[test]
    fn a_task_ends_when_it_is_told_to_and_not_when_it_has_drained() {
        let at = |seconds| Some(DateTime::from_secs(seconds));
        let seen = |stopping, execution, stopped| {
            let task = Task::builder().created_at(DateTime::from_secs(100)).set_stopping_at(stopping);
            let task = task.set_execution_stopped_at(execution).set_stopped_at(stopped).build();
            TaskSeen::new(&task, "web").stopped
        };
        assert_eq!(seen(at(200), at(260), at(270)), 200, "so that a look while it drains tells the same");
        assert_eq!(seen(None, at(260), at(270)), 260);
        assert_eq!(seen(None, None, at(270)), 270);
        assert_eq!(seen(None, None, None), 100);
    }
}
