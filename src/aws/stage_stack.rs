//! What a stage's stack answers: everything a rollout needs, in one read.

use std::collections::BTreeMap;

use super::Shared;
use super::marks::{Marks, Whose};
use super::stack::{self, Snapshot};
use crate::model::ServiceName;
use crate::port::{PortError, PortResult, Site};

/// The outputs and tags of a stage's stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StageStack {
    pub(super) id: String,
    /// CloudFormation's word: `CREATE_COMPLETE`, ...
    pub(super) status: String,
    /// The hash of what it was made from, once that is complete.
    pub(super) blueprint: Option<String>,
    pub(super) cluster: String,
    pub(super) execution_role: String,
    pub(super) task_role: String,
    pub(super) subnets: Vec<String>,
    pub(super) security_group: String,
    /// Whether tasks need an address of their own to reach the internet.
    pub(super) public_address: bool,
    pub(super) services: BTreeMap<ServiceName, StageService>,
}

/// One service of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StageService {
    /// The ECS service's name.
    pub(super) service: String,
    /// `None` for a service without an address.
    pub(super) target_group: Option<String>,
    pub(super) log_group: String,
}

/// Reads the stack. `None`: there is none, or none that ever was complete. `Failed` where its tags are gone.
pub(super) async fn read(shared: &Shared, site: Site<'_>) -> PortResult<Option<StageStack>> {
    let marks = Marks::of_stage(&shared.names, site.stage);
    marks.find(described(shared, site).await?)?.as_ref().map_or(Ok(None), parse)
}

/// The same for whoever only looks: of a stack without its tags nothing is known here, and the step that
/// comes upon it says why.
pub(super) async fn look(shared: &Shared, site: Site<'_>) -> PortResult<Option<StageStack>> {
    let marks = Marks::of_stage(&shared.names, site.stage);
    let stack = described(shared, site).await?.filter(|stack| marks.whose(&stack.tags) == Whose::Own);
    stack.as_ref().map_or(Ok(None), parse)
}

async fn described(shared: &Shared, site: Site<'_>) -> PortResult<Option<Snapshot>> {
    let clients = shared.sessions.at(site).await?;
    stack::describe(&clients, &shared.names.stage_stack(site.stage)).await
}

/// A stack that never was complete has no outputs; one that is being changed has those of before.
pub(super) fn parse(stack: &Snapshot) -> PortResult<Option<StageStack>> {
    let Some(blueprint) = stack.outputs.get("Blueprint") else { return Ok(None) };
    let text = |key: &str| stack.output(key).map(str::to_owned);
    let is_service = |key: &str| key.strip_prefix("Service").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let services = stack.outputs.iter().filter(|(key, _)| is_service(key)).map(|(_, value)| service(value));
    Ok(Some(StageStack {
        id: stack.id.clone(),
        status: stack.status.to_string(),
        blueprint: Some(blueprint.clone()).filter(|_| stack.is_settled()),
        cluster: text("Cluster")?,
        execution_role: text("ExecutionRole")?,
        task_role: text("TaskRole")?,
        subnets: stack.output("Subnets")?.split(',').map(str::to_owned).collect(),
        security_group: text("SecurityGroup")?,
        public_address: stack.output("PublicAddress")? == "ENABLED",
        services: services.collect::<PortResult<_>>()?,
    }))
}

fn service(text: &str) -> PortResult<(ServiceName, StageService)> {
    let bad = || PortError::Bug { context: format!("a service's output reads {text}"), source: None };
    let parts: Vec<&str> = text.split(',').collect();
    let [name, service, target_group, log_group] = parts[..] else { return Err(bad()) };
    let target_group = Some(target_group.to_owned()).filter(|arn| !arn.is_empty());
    let service = StageService { service: service.to_owned(), target_group, log_group: log_group.to_owned() };
    Ok((name.parse().map_err(|_| bad())?, service))
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::StackStatus;

    use super::*;

    fn snapshot(status: StackStatus, outputs: &[(&str, &str)]) -> Snapshot {
        Snapshot {
            id: "arn:stack".into(),
            name: "stack".into(),
            status,
            reason: String::new(),
            outputs: outputs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
            is_protected: false,
            began: 0,
        }
    }

    const OUTPUTS: [(&str, &str); 9] = [
        ("Blueprint", "b1"),
        ("Cluster", "c"),
        ("ExecutionRole", "e"),
        ("TaskRole", "t"),
        ("Subnets", "s1,s2"),
        ("SecurityGroup", "g"),
        ("PublicAddress", "ENABLED"),
        ("Service1", "web,stack-Web-1,arn:tg,/greenroom/web"),
        ("Service2", "worker,stack-Worker-1,,/greenroom/worker"),
    ];

    #[test]
    fn outputs_become_what_a_rollout_needs() {
        let stack = parse(&snapshot(StackStatus::UpdateComplete, &OUTPUTS)).unwrap().unwrap();
        assert_eq!((stack.blueprint.as_deref(), stack.subnets.len(), stack.public_address), (Some("b1"), 2, true));
        let of = |name: &str| stack.services[&name.parse().unwrap()].target_group.clone();
        assert_eq!((of("web").as_deref(), of("worker")), (Some("arn:tg"), None));
    }

    #[test]
    fn only_a_complete_stack_tells_what_it_was_made_from() {
        let busy = parse(&snapshot(StackStatus::UpdateInProgress, &OUTPUTS)).unwrap().unwrap();
        assert_eq!((busy.blueprint, busy.services.len()), (None, 2));
        let rolled_back = parse(&snapshot(StackStatus::UpdateRollbackComplete, &OUTPUTS)).unwrap().unwrap();
        assert_eq!(rolled_back.blueprint.as_deref(), Some("b1"));
        assert_eq!(parse(&snapshot(StackStatus::RollbackComplete, &[])).unwrap(), None);
        assert!(parse(&snapshot(StackStatus::CreateComplete, &OUTPUTS[..3])).is_err(), "an output is missing");
    }
}
