//! What an update would change: a change set, made, read and deleted again.

use std::time::Duration;

use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    Change, ChangeAction, ChangeSetStatus, ChangeSetType, Replacement, ResourceAttribute,
};
use sha2::{Digest as _, Sha256};

use super::super::Shared;
use super::super::clients::Clients;
use super::super::fault::fault;
use super::super::template;
use super::body::{self, Body};
use super::drive::CAPABILITIES;
use super::read::Snapshot;
use super::wish::{Wish, parameters, tags};
use crate::model::{ChangeKind, FailureKind, ResourceChange};
use crate::port::{PortError, PortResult};

/// How often a change set is looked at, and how many times. A reader waits for it.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: usize = 60;

/// What making the stack as wished would change. Parameters that the stack has already are taken
/// from it, so that a plan leases nothing. Everything is new to a stack that is not there.
pub(in crate::aws) async fn changes(
    shared: &Shared,
    clients: &Clients,
    wish: &Wish,
    live: Option<&Snapshot>,
) -> PortResult<Vec<ResourceChange>> {
    let Some(live) = live else { return Ok(added(&wish.template)) };
    let body = body::place(shared, clients, &wish.name, &wish.template).await?;
    let (text, url) = match body {
        Body::Inline(text) => (Some(text), None),
        Body::Uploaded(url) => (None, Some(url)),
    };
    // Begins with a letter and holds letters, digits and dashes. Source: CreateChangeSet.
    let name = format!("plan-{}", hex::encode(&Sha256::digest(format!("{} {}", live.began, wish.template))[..8]));
    let made = clients
        .cloudformation
        .create_change_set()
        .stack_name(&live.id)
        .change_set_name(name)
        .change_set_type(ChangeSetType::Update)
        .set_template_body(text)
        .set_template_url(url)
        .set_parameters(Some(parameters(wish)))
        .set_tags(Some(tags(wish)))
        .set_capabilities(Some(CAPABILITIES.to_vec()))
        .send()
        .await
        .map_err(|error| fault("cloudformation:CreateChangeSet", error))?;
    // By its ARN: by its name an executed one answers empty.
    let arn = made.id.unwrap_or_default();
    let found = read(clients, &arn).await;
    let gone = clients.cloudformation.delete_change_set().change_set_name(&arn).send().await;
    let found = found?;
    gone.map_err(|error| fault("cloudformation:DeleteChangeSet", error))?;
    Ok(found)
}

/// Every resource of a template as new.
pub(in crate::aws) fn added(text: &str) -> Vec<ResourceChange> {
    let new = |(name, kind)| ResourceChange { change: ChangeKind::Added, kind, name, details: Vec::new() };
    template::resources(text).into_iter().map(new).collect()
}

async fn read(clients: &Clients, arn: &str) -> PortResult<Vec<ResourceChange>> {
    for _ in 0..LOOKS {
        let first = page(clients, arn, None).await?;
        match &first.status {
            Some(ChangeSetStatus::CreateComplete) => return all_pages(clients, arn, first).await,
            Some(ChangeSetStatus::Failed) => return refused(first.status_reason.as_deref().unwrap_or_default()),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
    Err(PortError::retry("CloudFormation takes long to compare the stack with what is wanted"))
}

/// A change set without changes counts as failed; two texts say so.
fn refused(reason: &str) -> PortResult<Vec<ResourceChange>> {
    if reason.contains("No updates are to be performed") || reason.contains("didn't contain changes") {
        return Ok(Vec::new());
    }
    let advice = "Correct what it names and plan again.";
    Err(PortError::failed(FailureKind::Environment, format!("CloudFormation refuses the change: {reason}"), advice))
}

async fn page(clients: &Clients, arn: &str, token: Option<String>) -> PortResult<DescribeChangeSetOutput> {
    let request = clients.cloudformation.describe_change_set().change_set_name(arn).set_next_token(token);
    request.send().await.map_err(|error| fault("cloudformation:DescribeChangeSet", error))
}

async fn all_pages(clients: &Clients, arn: &str, first: DescribeChangeSetOutput) -> PortResult<Vec<ResourceChange>> {
    let (mut changes, mut token) = (first.changes.unwrap_or_default(), first.next_token);
    while let Some(next) = token {
        let more = page(clients, arn, Some(next)).await?;
        changes.extend(more.changes.unwrap_or_default());
        token = more.next_token;
    }
    Ok(changes.into_iter().filter_map(change).collect())
}

fn change(change: Change) -> Option<ResourceChange> {
    let change = change.resource_change?;
    let kind = match (&change.action?, &change.replacement) {
        (ChangeAction::Add, _) => ChangeKind::Added,
        (ChangeAction::Remove, _) => ChangeKind::Removed,
        (_, Some(Replacement::True)) => ChangeKind::Replaced,
        (_, Some(Replacement::Conditional)) => ChangeKind::PerhapsReplaced,
        _ => ChangeKind::Changed,
    };
    let targets = change.details.unwrap_or_default().into_iter().filter_map(|detail| detail.target);
    let mut details: Vec<String> = targets
        .filter_map(|target| match (target.name, target.attribute) {
            (Some(name), _) => Some(name),
            (None, Some(ResourceAttribute::Properties) | None) => None,
            (None, Some(attribute)) => Some(attribute.as_str().to_owned()),
        })
        .collect();
    details.sort();
    details.dedup();
    let name = change.logical_resource_id.unwrap_or_default();
    Some(ResourceChange { change: kind, kind: change.resource_type.unwrap_or_default(), name, details })
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::ResourceChange as Told;

    use super::*;

    #[test]
    fn what_may_be_replaced_is_not_called_replaced() {
        let word = |replacement: Option<Replacement>| {
            let told = Told::builder()
                .action(ChangeAction::Modify)
                .set_replacement(replacement)
                .logical_resource_id("Vpc")
                .resource_type("AWS::EC2::VPC");
            let found = change(Change::builder().resource_change(told.build()).build()).expect("a change");
            found.change.words()
        };
        let words = [Some(Replacement::False), None, Some(Replacement::Conditional), Some(Replacement::True)].map(word);
        assert_eq!(words, ["changed", "changed", "perhaps replaced", "replaced"]);
    }

    #[test]
    fn a_change_set_without_changes_is_no_fault() {
        for reason in [
            "No updates are to be performed.",
            "The submitted information didn't contain changes. Submit different information",
        ] {
            assert_eq!(refused(reason).expect("no fault"), []);
        }
        assert!(refused("Template error").is_err());
    }
}
