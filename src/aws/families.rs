//! Removal of a family of task definitions.

use aws_sdk_ecs::types::TaskDefinitionStatus;

use super::clients::Clients;
use super::fault::fault;
use super::names::Names;
use super::sweep::stage_of_definition;
use crate::model::StageId;
use crate::port::{PortError, PortResult, Progress};

/// As many as `DeleteTaskDefinitions` takes at once; and few enough that one call to us is short.
const AT_ONCE: usize = 10;

/// Takes every revision out of use, then deletes them for good where AWS lets us. An inactive
/// revision costs nothing and starts nothing, so that one which stays is no failure. A family of that
/// name which somebody else goes on with stays as it is.
pub(super) async fn remove(
    clients: &Clients,
    names: &Names,
    stage: &StageId,
    family: &str,
) -> PortResult<Progress<()>> {
    let active = revisions(clients, family, TaskDefinitionStatus::Active).await?;
    if !is_of_stage(clients, names, stage, &active).await? {
        tracing::warn!(%stage, family, "the family {family} stays: its newest revision has not the tags of {stage}");
        return Ok(Progress::Done(()));
    }
    for arn in active.iter().take(AT_ONCE) {
        let answer = clients.ecs.deregister_task_definition().task_definition(arn).send().await;
        answer.map_err(|error| fault("ecs:DeregisterTaskDefinition", error))?;
    }
    if active.len() > AT_ONCE {
        return Ok(more(active.len() - AT_ONCE));
    }
    let inactive = revisions(clients, family, TaskDefinitionStatus::Inactive).await?;
    if !is_of_stage(clients, names, stage, &inactive).await? {
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

/// Whether the newest of these has the stage's tags. None is nobody else's.
async fn is_of_stage(clients: &Clients, names: &Names, stage: &StageId, revisions: &[String]) -> PortResult<bool> {
    let Some(newest) = revisions.last() else { return Ok(true) };
    let found = stage_of_definition(clients, names, newest).await?;
    Ok(found.is_some_and(|(found, _)| found == *stage))
}

fn more(count: usize) -> Progress<()> {
    Progress::Pending { again_millis: 200, note: format!("{count} task definitions to go") }
}

/// The revisions of this very family; some take the filter for a prefix.
async fn revisions(clients: &Clients, family: &str, status: TaskDefinitionStatus) -> PortResult<Vec<String>> {
    let list = clients.ecs.list_task_definitions().family_prefix(family).status(status);
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
