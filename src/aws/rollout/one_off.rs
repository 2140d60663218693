//! A task that no service keeps: started once for a mark, and found again by it.

use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, DesiredStatus, LaunchType, NetworkConfiguration, PropagateTags, TaskOverride,
};
use sha2::{Digest, Sha256};

use super::Work;
use super::definition::tags;
use super::registered::sdk_tags;
use super::task::{self, Of, TaskSeen};
use crate::aws::fault::fault;
use crate::port::{PortError, PortResult};

/// Names this rollout: it follows from the family, the version and the goal's number. A mark that is
/// made from it finds what an earlier call started, so that no second one is started. 32 letters.
pub(super) fn hash(work: &Work<'_>) -> String {
    let hash = Sha256::new()
        .chain_update(work.family())
        .chain_update([0])
        .chain_update(&work.rollout.version.0)
        .chain_update([0])
        .chain_update(work.rollout.generation.0.to_be_bytes())
        .finalize();
    hex::encode(&hash[..16])
}

/// The task with this mark if it was started, running or stopped. Up to three calls.
pub(super) async fn find(work: &Work<'_>, mark: &str) -> PortResult<Option<TaskSeen>> {
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        if let Some(task) = task::find(work, Of::StartedBy(mark), status).await?.pop() {
            return Ok(Some(task));
        }
    }
    Ok(None)
}

/// Starts the task. Never on Spot: a migration that is taken away half-way helps nobody, and a
/// canary that is taken away says nothing.
///
/// Source: ECS, `RunTask`: `startedBy` up to 128 letters, digits, `-_/`; `clientToken` up to 64.
pub(super) async fn run(
    work: &Work<'_>,
    mark: &str,
    definition: &str,
    overrides: Option<TaskOverride>,
) -> PortResult<TaskSeen> {
    let network = AwsVpcConfiguration::builder()
        .set_subnets(Some(work.stack.subnets.clone()))
        .security_groups(&work.stack.security_group)
        .assign_public_ip(if work.stack.public_address { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled })
        .build()
        .map_err(|error| PortError::bug("the network of a one-off task", error))?;
    let ran = work
        .clients
        .ecs
        .run_task()
        .cluster(&work.stack.cluster)
        .task_definition(definition)
        .launch_type(LaunchType::Fargate)
        .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
        .set_overrides(overrides)
        .started_by(mark)
        .client_token(mark)
        .propagate_tags(PropagateTags::TaskDefinition)
        .set_tags(Some(sdk_tags(&tags(&work.shared.names, work.rollout))))
        .send()
        .await
        .map_err(|error| fault("ecs:RunTask", error))?;
    // Trap 30: what could not be placed is told with status 200.
    let arn = ran.tasks().first().and_then(|task| task.task_arn()).and_then(|arn| arn.rsplit('/').next());
    let Some(id) = arn else {
        let refusal = ran.failures().first();
        let reason = refusal.and_then(|refusal| refusal.reason()).unwrap_or("no task and no reason");
        let detail = refusal.and_then(|refusal| refusal.detail()).unwrap_or_default();
        return Err(PortError::retry(format!("ecs:RunTask: {reason} {detail}").trim().to_owned()));
    };
    Ok(TaskSeen { id: id.to_owned(), status: "PROVISIONING".into(), ..TaskSeen::default() })
}
