//! Removal of a family of task definitions, with the tasks of it that no service keeps.

use aws_sdk_ecs::types::{DesiredStatus, SortOrder, TaskDefinitionStatus};

use super::Shared;
use super::clients::Clients;
use super::fault::{fault, is};
use super::stack::{self, Snapshot};
use super::sweep::stage_of_definition;
use crate::model::StageId;
use crate::port::{PortError, PortResult, Progress, Site};

/// As many as `DeleteTaskDefinitions` takes at once; and few enough that one call to us is short.
const AT_ONCE: usize = 10;
const STOPPING_MILLIS: i64 = 1_000;

/// Stops what still runs of it, takes every revision out of use, then deletes them for good where AWS lets
/// us. An inactive revision costs nothing and starts nothing, so that one which stays is no failure. A
/// family of that name which somebody else goes on with stays as it is. `own` is the stage's stack, whose
/// services keep tasks for as long as it is there.
pub(super) async fn remove(
    shared: &Shared,
    clients: &Clients,
    site: Site<'_>,
    own: Option<&Snapshot>,
    family: &str,
) -> PortResult<Progress<()>> {
    let stage = site.stage;
    let (active, is_ours) = match shared.lately.take_revisions(stage, family) {
        Some(known) => (known, true),
        None => {
            let active = active(clients, family).await?;
            let is_ours = is_of_stage(shared, clients, stage, &active).await?;
            (active, is_ours)
        }
    };
    if !is_ours {
        tracing::warn!(%stage, family, "the family {family} stays: its newest revision has not the tags of {stage}");
        return Ok(Progress::Done(()));
    }
    if own.is_none() && !active.is_empty() && stop_tasks(shared, clients, site, family).await? > 0 {
        return Ok(Progress::Pending { again_millis: STOPPING_MILLIS, note: "its tasks are stopping".into() });
    }
    for arn in active.iter().take(AT_ONCE) {
        let answer = clients.ecs.deregister_task_definition().task_definition(arn).send().await;
        answer.map_err(|error| fault("ecs:DeregisterTaskDefinition", error))?;
    }
    if active.len() > AT_ONCE {
        return Ok(more(active.len() - AT_ONCE));
    }
    // By now none of them is active.
    let inactive = match active.first().and_then(|newest| shared.rollouts.take_family(newest)) {
        Some(known) => known,
        None => revisions(clients, family, TaskDefinitionStatus::Inactive).await?,
    };
    let is_ours = inactive.first() == active.first() || is_of_stage(shared, clients, stage, &inactive).await?;
    if !is_ours {
        return Ok(Progress::Done(()));
    }
    let some: Vec<String> = inactive.iter().take(AT_ONCE).cloned().collect();
    if some.is_empty() {
        return Ok(Progress::Done(()));
    }
    let wanted = some.len();
    match clients.ecs.delete_task_definitions().set_task_definitions(Some(some)).send().await {
        // Where none of them goes, the rest would not either.
        Ok(answer) if inactive.len() > AT_ONCE && answer.failures().len() < wanted => {
            Ok(more(inactive.len() - AT_ONCE))
        }
        Ok(_) => Ok(Progress::Done(())),
        Err(error) => match fault("ecs:DeleteTaskDefinitions", error) {
            passing @ PortError::Retry { .. } => Err(passing),
            lasting => {
                tracing::debug!(family, "the inactive revisions of {family} stay: {lasting}");
                Ok(Progress::Done(()))
            }
        },
    }
}

/// Whether the newest of these has the stage's tags. None is nobody else's. What this process registered
/// itself is not asked for again: a revision never changes.
pub(super) async fn is_of_stage(
    shared: &Shared,
    clients: &Clients,
    stage: &StageId,
    newest_first: &[String],
) -> PortResult<bool> {
    let Some(newest) = newest_first.first() else { return Ok(true) };
    if let Some(known) = shared.rollouts.made_for(newest) {
        return Ok(known == *stage);
    }
    let found = stage_of_definition(clients, &shared.names, newest).await?;
    Ok(found.is_some_and(|(found, _)| found == *stage))
}

/// Stops the tasks of the family that run still: by now no service keeps any, so they are a migration's or a
/// canary's whose server died. Answers how many have not ended yet.
async fn stop_tasks(shared: &Shared, clients: &Clients, site: Site<'_>, family: &str) -> PortResult<usize> {
    let Some(cluster) = cluster(shared, clients, site).await? else { return Ok(0) };
    let list = clients.ecs.list_tasks().cluster(&cluster).family(family).desired_status(DesiredStatus::Running);
    let tasks = match list.send().await {
        Ok(answer) => answer.task_arns.unwrap_or_default(),
        Err(error) if is(&error, "ClusterNotFoundException") => return Ok(0),
        Err(error) => return Err(fault("ecs:ListTasks", error)),
    };
    if tasks.is_empty() {
        return still_stopping(clients, &cluster, shared.lately.stopping(site.stage, family)).await;
    }
    for task in &tasks {
        let stop = clients.ecs.stop_task().cluster(&cluster).task(task).reason("the stage is removed");
        match stop.send().await {
            Ok(_) => {}
            // It ended by itself. Source: `StopTask`, "The referenced task was not found".
            Err(error) if is(&error, "InvalidParameterException") => {}
            Err(error) => return Err(fault("ecs:StopTask", error)),
        }
    }
    let count = tasks.len();
    shared.lately.stops(site.stage, family, tasks);
    Ok(count)
}

/// How many of these, at most 100, go on after they were told to stop: a program may take its time. Those that
/// ECS has forgotten ended long ago.
async fn still_stopping(clients: &Clients, cluster: &str, tasks: Vec<String>) -> PortResult<usize> {
    if tasks.is_empty() {
        return Ok(0);
    }
    let described = clients.ecs.describe_tasks().cluster(cluster).set_tasks(Some(tasks)).send().await;
    let described = described.map_err(|error| fault("ecs:DescribeTasks", error))?;
    Ok(described.tasks().iter().filter(|task| task.last_status() != Some("STOPPED")).count())
}

/// Where the stage's tasks run: its stack said so, or its foundation does.
async fn cluster(shared: &Shared, clients: &Clients, site: Site<'_>) -> PortResult<Option<String>> {
    if let Some(known) = shared.lately.cluster(site.stage) {
        return Ok(Some(known));
    }
    let foundation = stack::describe(clients, &shared.names.foundation_stack(site.stage, site.place)).await?;
    Ok(foundation.and_then(|stack| stack.outputs.get("Cluster").filter(|name| !name.is_empty()).cloned()))
}

fn more(count: usize) -> Progress<()> {
    Progress::Pending { again_millis: 200, note: format!("{count} task definitions to go") }
}

/// The revisions of this very family that can be used, newest first.
pub(super) async fn active(clients: &Clients, family: &str) -> PortResult<Vec<String>> {
    revisions(clients, family, TaskDefinitionStatus::Active).await
}

/// The revisions of this very family, newest first; some take the filter for a prefix.
async fn revisions(clients: &Clients, family: &str, status: TaskDefinitionStatus) -> PortResult<Vec<String>> {
    let list = clients.ecs.list_task_definitions().family_prefix(family).status(status).sort(SortOrder::Desc);
    let answer = list.send().await.map_err(|error| fault("ecs:ListTaskDefinitions", error))?;
    Ok(answer
        .task_definition_arns
        .unwrap_or_default()
        .into_iter()
        .filter(|arn| family_of(arn) == Some(family))
        .collect())
}

/// `web` of `arn:aws:ecs:eu-west-1:123456789012:task-definition/web:12`.
fn family_of(arn: &str) -> Option<&str> {
    arn.rsplit('/').next()?.rsplit_once(':').map(|(family, _)| family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_its_family() {
        let arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/greenroom-pr-1-shop-1a2b-web:12";
        assert_eq!(family_of(arn), Some("greenroom-pr-1-shop-1a2b-web"));
        assert_eq!(family_of("nonsense"), None);
    }
}
