//! Deleting a stack, to the end.

use aws_sdk_cloudformation::types::{DeletionMode, StackStatus};
use sha2::{Digest as _, Sha256};

use super::super::Shared;
use super::super::clients::Clients;
use super::super::fault::{fault, is};
use super::decide::{Delete, Farewell, to_go};
use super::drive::{again_millis, is_busy};
use super::events::{self, Reach};
use super::read::{Snapshot, describe, resources};
use crate::model::FailureKind;
use crate::port::{PortError, PortResult, Progress};

/// Moves a stack one step on towards being gone. What cannot be deleted is tried again, then left
/// out, then forgotten by CloudFormation; it is found by its name and tags all the same.
pub(in crate::aws) async fn remove(shared: &Shared, clients: &Clients, name: &str) -> PortResult<Progress<()>> {
    let Some(stack) = describe(clients, name).await? else { return Ok(Progress::Done(())) };
    let failures = match stack.status {
        StackStatus::DeleteFailed => events::failed_deletes(&events::read(clients, &stack.id, Reach::All).await?),
        _ => 0,
    };
    match to_go(Some(&stack.status), failures) {
        Farewell::Done => Ok(Progress::Done(())),
        Farewell::Wait => {
            let note = events::note(&events::read(clients, &stack.id, Reach::Page).await?);
            let note = if note.is_empty() { format!("CloudFormation is at {}", stack.status) } else { note };
            let busy = shared.settings.clock.now().0 - stack.began;
            Ok(Progress::Pending { again_millis: again_millis(busy), note })
        }
        Farewell::Delete(_) if stack.is_protected => Err(protected(&stack)),
        Farewell::Delete(how) => delete(clients, &stack, how, failures).await,
        Farewell::Stuck => Err(stuck(clients, &stack).await?),
    }
}

async fn delete(clients: &Clients, stack: &Snapshot, how: Delete, failures: usize) -> PortResult<Progress<()>> {
    // By its id: a new stack of the same name is not the one that was seen.
    let mut request =
        clients.cloudformation.delete_stack().stack_name(&stack.id).client_request_token(token(stack, failures));
    match how {
        Delete::Plain => {}
        Delete::Retain => {
            let survivors = resources(clients, &stack.id).await?.into_iter();
            let survivors = survivors.filter(|one| one.status == "DELETE_FAILED").map(|one| one.logical).collect();
            request = request.set_retain_resources(Some(survivors));
        }
        Delete::Force => request = request.deletion_mode(DeletionMode::ForceDeleteStack),
    }
    match request.send().await {
        Ok(_) => {}
        Err(error) if is(&error, "TokenAlreadyExistsException") || is_busy(&error) => {}
        Err(error) => return Err(fault("cloudformation:DeleteStack", error)),
    }
    let note = match how {
        Delete::Plain => "deleting the stack",
        Delete::Retain => "deleting the stack without what could not be deleted",
        Delete::Force => "making CloudFormation forget what could not be deleted",
    };
    Ok(Progress::Pending { again_millis: again_millis(0), note: note.to_owned() })
}

fn token(stack: &Snapshot, failures: usize) -> String {
    let text = format!("{} {} {} {failures}", stack.id, stack.status, stack.began);
    format!("greenroom-gone-{}", hex::encode(&Sha256::digest(text)[..16]))
}

fn protected(stack: &Snapshot) -> PortError {
    PortError::failed(
        FailureKind::Environment,
        format!("the stack {} is protected against deletion", stack.name),
        format!(
            "If it shall really go: aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name {}",
            stack.name
        ),
    )
}

async fn stuck(clients: &Clients, stack: &Snapshot) -> PortResult<PortError> {
    let left = resources(clients, &stack.id).await?.into_iter().filter(|one| !one.status.ends_with("DELETE_COMPLETE"));
    let left: Vec<String> = left.map(|one| format!("{} {}", one.kind, one.physical)).collect();
    Ok(PortError::failed(
        FailureKind::Environment,
        format!("the stack {} cannot be deleted ({}); left: {}", stack.name, stack.reason, left.join(", ")),
        "Delete what is left in the console of its service, then the stack in the console of CloudFormation.",
    ))
}
