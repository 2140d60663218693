//! Removal of what the inventory named, one thing at a time.
//!
//! Guarantees: each call is short and may be repeated or stopped anywhere; what a stack holds goes
//! with the stack, which is deleted once; nothing is touched before it is clear that the stack may be
//! deleted at all; what blocks is named with the way out.

use std::collections::BTreeSet;

use super::clients::Clients;
use super::ecr_images::{images, tags_of_stage, take};
use super::fault::{fault, is};
use super::inventory::{
    FOUNDATION, IMAGES, LISTENER_RULE, LOG_GROUP, RULE_NUMBER, SERVICE, STACK, ServiceState, TARGET_GROUP, TASK,
    TASK_DEFINITIONS, cluster_of, kind_of, service_state, still_exists,
};
use super::lately::Own;
use super::marks::Marks;
use super::stack::{self, Snapshot, StackResource};
use super::{Shared, families, surplus};
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
    let own = marks.find(own_stack(shared, clients, site).await?)?;
    match resource.kind.as_str() {
        TASK => stop_task(clients, id).await,
        STACK => remove_stack(shared, clients, site, own.as_ref()).await,
        FOUNDATION if site.place.kind == StageKind::Ephemeral => Err(not_ours(resource)),
        FOUNDATION => {
            let name = shared.names.foundation_stack(site.stage, site.place);
            let Some(foundation) = stack::describe(clients, &name).await? else { return DONE };
            Marks::of_foundation(&shared.names, site).require(&foundation)?;
            refuse_protected(&foundation)?;
            stack::remove(shared, clients, &name).await
        }
        TASK_DEFINITIONS if id.starts_with(&shared.names.families(site.stage)) => {
            families::remove(shared, clients, site, own.as_ref(), id).await
        }
        IMAGES if shared.names.service_of_repository(site.stage, id).is_some() => {
            let images = match shared.lately.take_images(site.stage, id) {
                Some(known) => known,
                None => images(clients, id).await?,
            };
            let tags = tags_of_stage(&images, &site.stage.name);
            take(clients, id, images, &tags).await?;
            DONE
        }
        TASK_DEFINITIONS | IMAGES => Err(not_ours(resource)),
        RULE_NUMBER => free_number(shared, clients, site, own.as_ref(), id).await,
        _ => remove_held(shared, clients, site, own.as_ref(), resource).await,
    }
}

fn not_ours(resource: &Resource) -> PortError {
    PortError::Bug { context: format!("{resource} is not this stage's to remove"), source: None }
}

/// The stage's own stack, as it is or as it was a moment ago.
async fn own_stack(shared: &Shared, clients: &Clients, site: Site<'_>) -> PortResult<Option<Snapshot>> {
    match shared.lately.own(site.stage) {
        Own::There(stack) => Ok(Some(*stack)),
        Own::Nowhere => Ok(None),
        Own::Unknown => {
            let found = stack::describe(clients, &shared.names.stage_stack(site.stage)).await?;
            shared.lately.saw(site.stage, found.as_ref());
            Ok(found)
        }
    }
}

/// Removes the stage's stack with all that it holds.
async fn remove_stack(
    shared: &Shared,
    clients: &Clients,
    site: Site<'_>,
    own: Option<&Snapshot>,
) -> PortResult<Progress<()>> {
    let Some(stack) = own else { return DONE };
    if is_going(stack) || !stack::may_go(stack) {
        return go_on(shared, clients, site, stack).await;
    }
    delete(shared, clients, site, stack, &held_by(shared, clients, site, own).await?).await
}

/// Removes something that the stage's stack holds, or once held.
async fn remove_held(
    shared: &Shared,
    clients: &Clients,
    site: Site<'_>,
    own: Option<&Snapshot>,
    resource: &Resource,
) -> PortResult<Progress<()>> {
    match own {
        // If the stack left it behind, the inventory at the end names it.
        None if shared.lately.is_leaving(site.stage, &resource.id) => return DONE,
        None => {}
        // What is listed while the stack stands is the stack's: until it may go, looking at it alone is enough.
        Some(own) if !stack::may_go(own) => return go_on(shared, clients, site, own).await,
        Some(own) => {
            let held = held_by(shared, clients, site, Some(own)).await?;
            let is_held = |held: &StackResource| held.physical == resource.id && held.status != "DELETE_COMPLETE";
            if held.iter().any(is_held)
                && let pending @ Progress::Pending { .. } = delete(shared, clients, site, own, &held).await?
            {
                return Ok(pending);
            }
        }
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

async fn held_by(
    shared: &Shared,
    clients: &Clients,
    site: Site<'_>,
    own: Option<&Snapshot>,
) -> PortResult<Vec<StackResource>> {
    match (own, shared.lately.held(site.stage)) {
        (Some(_), Some(known)) => Ok(known),
        (Some(stack), None) => stack::resources(clients, &stack.name).await,
        (None, _) => Ok(Vec::new()),
    }
}

/// Whether its deletion was asked for before, or failed.
fn is_going(stack: &Snapshot) -> bool {
    stack.status.as_str().starts_with("DELETE_")
}

/// Goes on with a stack that goes already, or waits for one that is being changed and cannot go before that is
/// done.
async fn go_on(shared: &Shared, clients: &Clients, site: Site<'_>, stack: &Snapshot) -> PortResult<Progress<()>> {
    refuse_protected(stack)?;
    stack::remove_seen(shared, clients, stack, shared.lately.asked(site.stage)).await
}

/// Deletes the stack, which stops its services before all else, or says how far that is.
async fn delete(
    shared: &Shared,
    clients: &Clients,
    site: Site<'_>,
    stack: &Snapshot,
    held: &[StackResource],
) -> PortResult<Progress<()>> {
    let asked = shared.lately.asked(site.stage);
    if !is_going(stack) {
        // Before anything stops: a stack that may not be deleted goes on serving.
        refuse_protected(stack)?;
        let things = held.iter().filter(|held| !held.physical.is_empty()).map(|held| held.physical.clone());
        shared.lately.leaves(site.stage, things.collect::<BTreeSet<String>>());
    }
    stack::remove_seen(shared, clients, stack, asked).await
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

async fn remove_service(clients: &Clients, arn: &str) -> PortResult<Progress<()>> {
    let Some(state) = service_state(clients, arn).await? else { return DONE };
    if state == ServiceState::Active {
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
    let held = held_by(shared, clients, site, own).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::scripted::Scripted;

    /// Has a thing of this kind removed while its stage's stack is being changed.
    async fn only_looked_at(kind: &str) {
        let w = Scripted::new();
        w.has_stack("UPDATE_IN_PROGRESS");
        let resource = Resource { kind: kind.into(), id: "arn:one".into(), service: None };
        let removed = remove(&w.shared, w.site(), &resource).await;
        assert!(matches!(removed, Ok(Progress::Pending { .. })), "{removed:?}");
        assert_eq!(w.script.calls(), ["cloudformation:DescribeStacks"]);
        assert_eq!(w.shared.lately.asked(&w.stage), None, "its deletion was not asked for yet");
    }

    #[tokio::test]
    async fn a_stack_that_is_being_changed_is_only_looked_at() {
        only_looked_at(STACK).await;
    }

    #[tokio::test]
    async fn what_a_stack_holds_that_is_being_changed_waits_for_it() {
        for kind in [SERVICE, LISTENER_RULE, LOG_GROUP] {
            only_looked_at(kind).await;
        }
    }
}
