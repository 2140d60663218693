//! Deleting a stack, to the end.

use std::time::Duration;

use aws_sdk_cloudformation::types::{DeletionMode, StackStatus};
use sha2::{Digest as _, Sha256};

use super::super::Shared;
use super::super::clients::Clients;
use super::super::fault::{fault, is};
use super::decide::{Delete, Farewell, to_go};
use super::drive::is_busy;
use super::events::{self, Reach};
use super::read::{Snapshot, describe, resources};
use crate::model::FailureKind;
use crate::port::{PortError, PortResult, Progress};

const FIRST_MILLIS: i64 = 2_000;
const LAST_MILLIS: i64 = 8_000;
/// From then on a reader is told what CloudFormation is at.
const TOLD_MILLIS: i64 = 8_000;

/// Whether its deletion can be asked for as it is now.
pub(in crate::aws) fn may_go(stack: &Snapshot) -> bool {
    !matches!(to_go(Some(&stack.status), 0), Farewell::Wait)
}

/// Moves a stack one step on towards being gone. What cannot be deleted is tried again, then left
/// out, then forgotten by CloudFormation; it is found by its name and tags all the same.
pub(in crate::aws) async fn remove(shared: &Shared, clients: &Clients, name: &str) -> PortResult<Progress<()>> {
    match describe(clients, name).await? {
        Some(stack) => remove_seen(shared, clients, &stack, None).await,
        None => Ok(Progress::Done(())),
    }
}

/// The same for a stack that was looked at already. `asked` is how long ago this process asked for its
/// deletion, if it did: not every answer says when one began.
pub(in crate::aws) async fn remove_seen(
    shared: &Shared,
    clients: &Clients,
    stack: &Snapshot,
    asked: Option<Duration>,
) -> PortResult<Progress<()>> {
    let failures = match stack.status {
        StackStatus::DeleteFailed => events::failed_deletes(&events::read(clients, &stack.id, Reach::All).await?),
        _ => 0,
    };
    match to_go(Some(&stack.status), failures) {
        Farewell::Done => Ok(Progress::Done(())),
        Farewell::Wait => {
            let began = || shared.settings.clock.now().0 - stack.began;
            let busy = asked.map_or_else(began, |asked| i64::try_from(asked.as_millis()).unwrap_or(i64::MAX));
            let note = note(clients, stack, busy).await?;
            Ok(Progress::Pending { again_millis: gone_again_millis(busy), note })
        }
        Farewell::Delete(_) if stack.is_protected => Err(protected(stack)),
        Farewell::Delete(how) => delete(clients, stack, how, failures).await,
        Farewell::Stuck => Err(stuck(clients, stack).await?),
    }
}

/// What takes longer than a few looks is asked what it is at.
async fn note(clients: &Clients, stack: &Snapshot, busy_millis: i64) -> PortResult<String> {
    let plain = format!("CloudFormation is at {}", stack.status);
    if busy_millis < TOLD_MILLIS {
        return Ok(plain);
    }
    let note = events::note(&events::read(clients, &stack.id, Reach::Page).await?);
    Ok(if note.is_empty() { plain } else { note })
}

/// How long to leave CloudFormation alone, by how long it has been at it: as long again. What it deletes
/// drains first, for seconds at least, so that a look costs no more than half of what was waited for.
fn gone_again_millis(busy_millis: i64) -> i64 {
    busy_millis.clamp(FIRST_MILLIS, LAST_MILLIS)
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
    Ok(Progress::Pending { again_millis: FIRST_MILLIS, note: note.to_owned() })
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::aws::scripted::Scripted;

    fn at(status: StackStatus) -> Snapshot {
        Snapshot {
            id: "arn:stack".into(),
            name: "stack".into(),
            status,
            reason: String::new(),
            outputs: BTreeMap::new(),
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
            is_protected: false,
            began: 0,
        }
    }

    #[tokio::test]
    async fn what_goes_quickly_is_not_asked_what_it_is_at() {
        const EVENTS: &str = "cloudformation:DescribeStackEvents";
        let w = Scripted::new();
        let event = "<EventId>1</EventId><LogicalResourceId>Web</LogicalResourceId>\
                     <ResourceType>AWS::ECS::Service</ResourceType><ResourceStatus>DELETE_IN_PROGRESS</ResourceStatus>";
        w.script.tells(EVENTS, &format!("<StackEvents><member>{event}</member></StackEvents>"));
        let (clients, going) = (w.clients().await, at(StackStatus::DeleteInProgress));
        let mut told = Vec::new();
        for millis in [7_999, 8_000] {
            let looked = remove_seen(&w.shared, &clients, &going, Some(Duration::from_millis(millis))).await;
            let Ok(Progress::Pending { note, .. }) = looked else { panic!("{looked:?}") };
            told.push((note.starts_with("removing "), w.script.count(EVENTS)));
        }
        assert_eq!(told, [(false, 0), (true, 1)]);
    }

    #[test]
    fn what_is_being_changed_is_waited_for() {
        use StackStatus as S;
        for busy in [S::UpdateInProgress, S::UpdateCompleteCleanupInProgress, S::DeleteInProgress] {
            assert!(!may_go(&at(busy.clone())), "{busy}");
        }
        for free in [S::CreateInProgress, S::UpdateComplete, S::DeleteFailed] {
            assert!(may_go(&at(free.clone())), "{free}");
        }
    }

    #[test]
    fn a_look_costs_no_more_than_what_was_waited_for() {
        let waits: Vec<i64> = [-5_000, 0, 3_000, 6_000, 600_000].into_iter().map(gone_again_millis).collect();
        assert_eq!(waits, [2_000, 2_000, 3_000, 6_000, 8_000]);
    }
}
