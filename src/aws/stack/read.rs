//! What a stack is at.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{ResourceStatus, Stack, StackStatus, TemplateStage};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::super::clients::Clients;
use super::super::fault::fault;
use crate::port::{PortError, PortResult};

/// A stack as `DescribeStacks` tells it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::aws) struct Snapshot {
    pub(in crate::aws) id: String,
    pub(in crate::aws) name: String,
    pub(in crate::aws) status: StackStatus,
    pub(in crate::aws) reason: String,
    pub(in crate::aws) outputs: BTreeMap<String, String>,
    pub(in crate::aws) parameters: BTreeMap<String, String>,
    pub(in crate::aws) tags: BTreeMap<String, String>,
    pub(in crate::aws) is_protected: bool,
    /// When the last operation began, in milliseconds since 1970.
    pub(in crate::aws) began: i64,
}

/// One resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::aws) struct StackResource {
    /// `AWS::ECS::Service`, ...
    pub(in crate::aws) kind: String,
    pub(in crate::aws) logical: String,
    /// Empty before it exists.
    pub(in crate::aws) physical: String,
    /// `CREATE_COMPLETE`, `DELETE_FAILED`, ...
    pub(in crate::aws) status: String,
}

impl Snapshot {
    /// Whether the last operation came to its end and the outputs speak of it, or of the one before
    /// if it was rolled back.
    pub(in crate::aws) fn is_settled(&self) -> bool {
        matches!(
            self.status,
            StackStatus::CreateComplete
                | StackStatus::UpdateComplete
                | StackStatus::UpdateCompleteCleanupInProgress
                | StackStatus::UpdateRollbackComplete
                | StackStatus::ImportComplete
                | StackStatus::ImportRollbackComplete
        )
    }

    /// One output; a stack without it is not ours or was changed by hand.
    pub(in crate::aws) fn output(&self, key: &str) -> PortResult<&str> {
        self.outputs.get(key).map(String::as_str).ok_or_else(|| PortError::Bug {
            context: format!("the stack {} ({}) has no output {key}", self.name, self.status),
            source: None,
        })
    }
}

/// One stack by its name or id; `None` if there is none, or none any more.
pub(in crate::aws) async fn describe(clients: &Clients, name: &str) -> PortResult<Option<Snapshot>> {
    let answer = clients.cloudformation.describe_stacks().stack_name(name).send().await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.message().is_some_and(|message| message.contains("does not exist")) => return Ok(None),
        Err(error) => return Err(fault("cloudformation:DescribeStacks", error)),
    };
    let stack = answer.stacks.unwrap_or_default().into_iter().next();
    Ok(stack.map(snapshot).filter(|stack| stack.status != StackStatus::DeleteComplete))
}

/// Every stack of the account and region whose name begins so.
pub(in crate::aws) async fn all(clients: &Clients, prefix: &str) -> PortResult<Vec<Snapshot>> {
    let mut pages = clients.cloudformation.describe_stacks().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| fault("cloudformation:DescribeStacks", error))?;
        let stacks = page.stacks.unwrap_or_default().into_iter().map(snapshot);
        found.extend(stacks.filter(|stack| stack.name.starts_with(prefix)));
    }
    Ok(found)
}

/// What a stack consists of, without what is gone already; nothing of a stack that is not there.
pub(in crate::aws) async fn resources(clients: &Clients, name: &str) -> PortResult<Vec<StackResource>> {
    let mut pages = clients.cloudformation.list_stack_resources().stack_name(name).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            Err(error) if error.message().is_some_and(|message| message.contains("does not exist")) => break,
            Err(error) => return Err(fault("cloudformation:ListStackResources", error)),
        };
        let there = page.stack_resource_summaries.unwrap_or_default().into_iter();
        for resource in there.filter(|one| one.resource_status != Some(ResourceStatus::DeleteComplete)) {
            found.push(StackResource {
                kind: resource.resource_type.unwrap_or_default(),
                logical: resource.logical_resource_id.unwrap_or_default(),
                physical: resource.physical_resource_id.unwrap_or_default(),
                status: resource.resource_status.map(|status| status.to_string()).unwrap_or_default(),
            });
        }
    }
    Ok(found)
}

/// The text that a stack was last made from, as it was sent.
pub(in crate::aws) async fn live_template(clients: &Clients, name: &str) -> PortResult<String> {
    let request = clients.cloudformation.get_template().stack_name(name).template_stage(TemplateStage::Original);
    let answer = request.send().await.map_err(|error| fault("cloudformation:GetTemplate", error))?;
    Ok(answer.template_body.unwrap_or_default())
}

fn snapshot(stack: Stack) -> Snapshot {
    // A deletion is no update: of a stack that goes, the time of its last change says nothing.
    let began = stack.deletion_time.or(stack.last_updated_time).or(stack.creation_time);
    let began = began.and_then(|time| time.to_millis().ok());
    Snapshot {
        id: stack.stack_id.unwrap_or_default(),
        name: stack.stack_name.unwrap_or_default(),
        status: stack.stack_status.unwrap_or_else(|| StackStatus::from("")),
        reason: stack.stack_status_reason.unwrap_or_default(),
        outputs: pairs(stack.outputs, |one| (one.output_key, one.output_value)),
        parameters: pairs(stack.parameters, |one| (one.parameter_key, one.parameter_value)),
        tags: pairs(stack.tags, |one| (one.key, one.value)),
        is_protected: stack.enable_termination_protection.unwrap_or(false),
        began: began.unwrap_or(0),
    }
}

fn pairs<T>(list: Option<Vec<T>>, split: fn(T) -> (Option<String>, Option<String>)) -> BTreeMap<String, String> {
    list.unwrap_or_default().into_iter().map(split).filter_map(|(key, value)| Some((key?, value?))).collect()
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::DateTime;

    use super::*;

    #[test]
    fn an_operation_begins_with_the_newest_of_its_kind() {
        let at = |seconds| Some(DateTime::from_secs(seconds));
        let began = |deletion, update| {
            let stack = Stack::builder().creation_time(DateTime::from_secs(100)).set_last_updated_time(update);
            snapshot(stack.set_deletion_time(deletion).build()).began
        };
        assert_eq!((began(None, None), began(None, at(200))), (100_000, 200_000));
        assert_eq!(began(at(300), at(200)), 300_000, "a stack that goes was last changed long ago");
    }
}
