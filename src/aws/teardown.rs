//! Removal of what the inventory named, one thing at a time.
//!
//! Guarantees: each call is short and may be repeated or stopped anywhere; what a stack holds goes
//! with the stack, which is deleted once; nothing is touched before it is clear that the stack may be
//! deleted at all; what blocks is named with the way out.

use super::clients::Clients;
use super::ecr::tags_of_stage;
use super::fault::{fault, is};
use super::inventory::{
    FOUNDATION, IMAGES, LISTENER_RULE, LOG_GROUP, RULE_NUMBER, SERVICE, STACK, TARGET_GROUP, TASK, TASK_DEFINITIONS,
    cluster_of, kind_of, service_state, still_exists,
};
use super::marks::Marks;
use super::stack::{self, Snapshot, StackResource};
use super::{Shared, ecr_images, families, surplus};
use crate::model::{FailureKind, Resource, StageKind};
use crate::port::{PortError, PortResult, Progress, Site};

/// Tasks that are told to stop have at least this long to do so.
const STOPPING_MILLIS: i64 = 1_000;

const DONE: PortResult<Progress<()>> = Ok(Progress::Done(()));

/// Removes one thing. Absent is success.
pub(super) async fn remove(shared: &Shared, site: Site<'_>, resource: &Resource) -> PortResult<Progress<()>> {
    let clients = &*shared.sessions.at(site).await?;
    let id = resource.id.as_str();
    if resource.kind == surplus::IMAGE {
        return surplus::remove(shared, clients, site, id).await;
    }
    // A stack of which nobody can tell whose it is holds up all that is called by the stage's name.
    let marks = Marks::of_stage(&shared.names, site.stage);
    let own = marks.find(stack::describe(clients, &shared.names.stage_stack(site.stage)).await?)?;
    match resource.kind.as_str() {
        TASK => stop_task(clients, id).await,
        STACK => remove_stack(shared, clients, own.as_ref()).await,
        FOUNDATION if site.place.kind == StageKind::Ephemeral => Err(not_ours(resource)),
        FOUNDATION => {
            let name = shared.names.foundation_stack(site.stage, site.place);
            let Some(foundation) = stack::describe(clients, &name).await? else { return DONE };
            Marks::of_foundation(&shared.names, site).require(&foundation)?;
            refuse_protected(&foundation)?;
            stack::remove(shared, clients, &name).await
        }
        TASK_DEFINITIONS if id.starts_with(&shared.names.families(site.stage)) => {
            families::remove(clients, &shared.names, site.stage, id).await
        }
        IMAGES if shared.names.service_of_repository(site.stage, id).is_some() => {
            let tags = tags_of_stage(clients, id, &site.stage.name).await?;
            if !tags.is_empty() {
                ecr_images::untag(clients, id, &tags).await?;
            }
            DONE
        }
        TASK_DEFINITIONS | IMAGES => Err(not_ours(resource)),
        RULE_NUMBER => free_number(shared, clients, site, own.as_ref(), id).await,
        _ => remove_held(shared, clients, own.as_ref(), resource).await,
    }
}

fn not_ours(resource: &Resource) -> PortError {
    PortError::Bug { context: format!("{resource} is not this stage's to remove"), source: None }
}

/// Removes the stage's stack with all that it holds.
async fn remove_stack(shared: &Shared, clients: &Clients, own: Option<&Snapshot>) -> PortResult<Progress<()>> {
    let Some(stack) = own else { return DONE };
    let held = stack::resources(clients, &stack.name).await?;
    delete_with(shared, clients, stack, &held).await
}

/// Removes something that the stage's stack holds, or once held.
async fn remove_held(
    shared: &Shared,
    clients: &Clients,
    own: Option<&Snapshot>,
    resource: &Resource,
) -> PortResult<Progress<()>> {
    let held = held_by(clients, own).await?;
    let is_held = |held: &StackResource| held.physical == resource.id && held.status != "DELETE_COMPLETE";
    if let Some(own) = own
        && held.iter().any(is_held)
        && let pending @ Progress::Pending { .. } = delete_with(shared, clients, own, &held).await?
    {
        return Ok(pending);
    }
    match resource.kind.as_str() {
        SERVICE => remove_service(clients, &resource.id).await,
        LISTENER_RULE => remove_rule(clients, &resource.id).await,
        TARGET_GROUP => remove_target_group(clients, &resource.id).await,
        LOG_GROUP => remove_log_group(clients, &resource.id).await,
        // It existed only in the stack.
        _ => DONE,
    }
}

async fn held_by(clients: &Clients, own: Option<&Snapshot>) -> PortResult<Vec<StackResource>> {
    match own {
        Some(stack) => stack::resources(clients, &stack.name).await,
        None => Ok(Vec::new()),
    }
}

/// The services stop while what stands before them is still being deleted.
async fn delete_with(
    shared: &Shared,
    clients: &Clients,
    stack: &Snapshot,
    held: &[StackResource],
) -> PortResult<Progress<()>> {
    let is_untouched = |held: &&StackResource| !held.status.starts_with("DELETE_") && !held.physical.is_empty();
    let untouched: Vec<&StackResource> = held.iter().filter(is_untouched).collect();
    if untouched.len() == held.len() {
        // Before anything stops: a stack that may not be deleted goes on serving.
        refuse_protected(stack)?;
        for service in untouched.iter().filter(|held| kind_of(&held.kind) == SERVICE) {
            scale_to_zero(clients, &service.physical).await?;
        }
    }
    stack::remove(shared, clients, &stack.name).await
}

fn refuse_protected(stack: &Snapshot) -> PortResult<()> {
    if !stack.is_protected {
        return Ok(());
    }
    let name = &stack.name;
    let advice = format!(
        "If it is really to go, turn that off: `aws cloudformation update-termination-protection \
         --no-enable-termination-protection --stack-name {name}`. Greenroom then goes on by itself."
    );
    Err(PortError::failed(FailureKind::Environment, format!("the stack {name} is protected from deletion"), advice))
}

async fn scale_to_zero(clients: &Clients, arn: &str) -> PortResult<()> {
    let state = service_state(clients, arn).await?;
    if !state.is_some_and(|state| state.is_active && state.desired > 0) {
        return Ok(());
    }
    match clients.ecs.update_service().cluster(cluster_of(arn)).service(arn).desired_count(0).send().await {
        Ok(_) => Ok(()),
        Err(error) if is(&error, "ServiceNotActiveException") || is(&error, "ServiceNotFoundException") => Ok(()),
        Err(error) => Err(fault("ecs:UpdateService", error)),
    }
}

async fn remove_service(clients: &Clients, arn: &str) -> PortResult<Progress<()>> {
    let Some(state) = service_state(clients, arn).await? else { return DONE };
    if state.is_active {
        // Force also ends what scaling to zero would wait for. Source: `DeleteService`.
        match clients.ecs.delete_service().cluster(cluster_of(arn)).service(arn).force(true).send().await {
            Ok(_) => {}
            Err(error) if is(&error, "ServiceNotFoundException") => return DONE,
            Err(error) => return Err(fault("ecs:DeleteService", error)),
        }
    }
    Ok(Progress::Pending { again_millis: STOPPING_MILLIS, note: "its tasks are stopping".into() })
}

async fn stop_task(clients: &Clients, arn: &str) -> PortResult<Progress<()>> {
    let cluster = cluster_of(arn);
    let answer = match clients.ecs.describe_tasks().cluster(cluster).tasks(arn).send().await {
        Ok(answer) => answer,
        Err(error) if is(&error, "ClusterNotFoundException") => return DONE,
        Err(error) => return Err(fault("ecs:DescribeTasks", error)),
    };
    let Some(task) = answer.tasks().first().filter(|task| task.last_status() != Some("STOPPED")) else { return DONE };
    if task.desired_status() != Some("STOPPED") {
        let stop = clients.ecs.stop_task().cluster(cluster).task(arn).reason("the stage is removed");
        stop.send().await.map_err(|error| fault("ecs:StopTask", error))?;
    }
    Ok(Progress::Pending { again_millis: STOPPING_MILLIS, note: "the task is stopping".into() })
}

/// Looked for first: what is gone carries no tags, and a policy that asks for ours would refuse a
/// call that has nothing left to do.
async fn remove_rule(clients: &Clients, arn: &str) -> PortResult<Progress<()>> {
    if !still_exists(clients, LISTENER_RULE, arn).await? {
        return DONE;
    }
    match clients.elb.delete_rule().rule_arn(arn).send().await {
        Ok(_) => DONE,
        Err(error) if is(&error, "RuleNotFound") => DONE,
        Err(error) => Err(fault("elasticloadbalancing:DeleteRule", error)),
    }
}

/// Looked for first, as a rule is.
async fn remove_target_group(clients: &Clients, arn: &str) -> PortResult<Progress<()>> {
    if !still_exists(clients, TARGET_GROUP, arn).await? {
        return DONE;
    }
    match clients.elb.delete_target_group().target_group_arn(arn).send().await {
        Ok(_) => DONE,
        Err(error) if is(&error, "TargetGroupNotFound") => DONE,
        Err(error) if is(&error, "ResourceInUse") => {
            let summary = format!("the target group {arn} is still used by a listener or a rule of somebody else");
            let advice = "Delete that rule; Greenroom then goes on by itself.";
            Err(PortError::failed(FailureKind::Environment, summary, advice))
        }
        Err(error) => Err(fault("elasticloadbalancing:DeleteTargetGroup", error)),
    }
}

async fn remove_log_group(clients: &Clients, name: &str) -> PortResult<Progress<()>> {
    match clients.logs.delete_log_group().log_group_name(name).send().await {
        Ok(_) => DONE,
        Err(error) if is(&error, "ResourceNotFoundException") => DONE,
        Err(error) => Err(fault("logs:DeleteLogGroup", error)),
    }
}

/// A number that a rule still has would be given to another stage, whose rule could not be made then.
async fn free_number(
    shared: &Shared,
    clients: &Clients,
    site: Site<'_>,
    own: Option<&Snapshot>,
    holder: &str,
) -> PortResult<Progress<()>> {
    if !holder.starts_with(&format!("{}/", site.stage)) {
        return Err(not_ours(&Resource { kind: RULE_NUMBER.into(), id: holder.into(), service: None }));
    }
    let held = held_by(clients, own).await?;
    let has_rule = |held: &StackResource| kind_of(&held.kind) == LISTENER_RULE && held.status != "DELETE_COMPLETE";
    if held.iter().any(has_rule) {
        return Ok(Progress::Pending {
            again_millis: STOPPING_MILLIS,
            note: "its listener rule is still there".into(),
        });
    }
    shared.settings.slots.free_slot(&shared.names.foundation_stack(site.stage, site.place), holder).await?;
    DONE
}
