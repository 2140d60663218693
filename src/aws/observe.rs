//! What serves of a stage, in as few reads as can be: its stack, its services ten at a time, and
//! those task definitions whose label is not known yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::clients::Clients;
use super::rollout::{Deployment, RolloutState, Seen, canary_of, describe, label_of};
use super::{Shared, stage_stack};
use crate::model::{Observed, ObservedService, ServiceName, VersionKey};
use crate::port::{PortResult, Site};

/// Source: ECS, `DescribeServices`: up to 10 services in one call.
const AT_ONCE: usize = 10;

/// Which version each service runs, and what the stack was made from.
pub(super) async fn observe(shared: &Shared, site: Site<'_>) -> PortResult<Observed> {
    let clients = shared.sessions.at(site).await?;
    let Some(stack) = stage_stack::look(shared, site).await?.map(Arc::new) else {
        shared.rollouts.forget_stack(site.stage);
        return Ok(Observed::default());
    };
    shared.rollouts.know_stack(site.stage, &stack);
    let wanted: Vec<(&ServiceName, &str)> =
        stack.services.iter().map(|(name, service)| (name, service.service.as_str())).collect();
    let mut services = BTreeMap::new();
    for batch in wanted.chunks(AT_ONCE) {
        let names: Vec<&str> = batch.iter().map(|(_, service)| *service).collect();
        let seen = describe(&clients, &stack.cluster, &names).await?;
        for ((name, _), seen) in batch.iter().zip(seen) {
            let observed = versions(shared, &clients, &seen.unwrap_or_default()).await?;
            services.insert((*name).clone(), observed);
        }
    }
    Ok(Observed { services, resources: Vec::new(), blueprint: stack.blueprint.clone() })
}

async fn versions(shared: &Shared, clients: &Clients, seen: &Seen) -> PortResult<ObservedService> {
    let Standing { serving, others } = stand(seen);
    let serving = match serving {
        Some(deployment) => label_of(&shared.rollouts, clients, &deployment.definition).await?.version,
        None => None,
    };
    let mut rest: Vec<VersionKey> = Vec::new();
    for other in others {
        let version = label_of(&shared.rollouts, clients, &other.definition).await?.version;
        rest.extend(version.filter(|version| Some(version) != serving.as_ref() && !rest.contains(version)));
    }
    rest.extend(canary_of(seen).filter(|version| !rest.contains(version)));
    Ok(ObservedService { serving, others: rest })
}

/// The deployment that serves, and those beside it.
#[derive(Debug, PartialEq, Eq)]
struct Standing<'a> {
    serving: Option<&'a Deployment>,
    others: Vec<&'a Deployment>,
}

/// The service's own deployment serves once it is complete. Until then the one that it replaces
/// does, if it still runs; one that has neither tasks nor a future is only a memory of ECS's.
fn stand(seen: &Seen) -> Standing<'_> {
    let is_whole = |found: &&Deployment| found.running > 0 && found.state == RolloutState::Completed;
    let primary = seen.primary();
    let older =
        || seen.deployments.iter().filter(|found| !found.is_primary && is_whole(found)).max_by_key(|f| f.running);
    let serving = primary.filter(is_whole).or_else(older);
    let counts = |found: &&Deployment| found.is_alive() || found.is_primary && found.desired > 0;
    let is_serving = |found: &Deployment| serving.is_some_and(|serving| std::ptr::eq(serving, found));
    let others = seen.deployments.iter().filter(counts).filter(|found| !is_serving(found)).collect();
    Standing { serving, others }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(definition: &str, state: RolloutState, running: i32) -> Deployment {
        Deployment::sample(definition, state, running)
    }

    #[test]
    fn what_serves_is_whole_and_what_is_over_does_not_count() {
        use RolloutState::{Completed, Failed, InProgress};
        let beside = |deployment: Deployment| Deployment { is_primary: false, ..deployment };
        let rest = |deployment: Deployment| Deployment { desired: 0, ..deployment };
        let cases = [
            (vec![], None, vec![]),
            (vec![deployment("new", Completed, 1)], Some("new"), vec![]),
            (vec![rest(deployment("first", Completed, 0))], None, vec![]),
            (vec![deployment("new", InProgress, 1), beside(deployment("old", Completed, 1))], Some("old"), vec!["new"]),
            (vec![deployment("new", InProgress, 1)], None, vec!["new"]),
            // Every copy of it is lost.
            (vec![deployment("new", Completed, 0)], None, vec!["new"]),
            (vec![deployment("old", Completed, 1), beside(deployment("new", Failed, 0))], Some("old"), vec![]),
            (vec![deployment("old", Completed, 1), beside(deployment("new", Failed, 1))], Some("old"), vec!["new"]),
        ];
        for (deployments, serving, others) in cases {
            let seen = Seen::sample(deployments);
            let stood = stand(&seen);
            assert_eq!(stood.serving.map(|found| found.definition.as_str()), serving, "{seen:?}");
            let beside: Vec<&str> = stood.others.iter().map(|found| found.definition.as_str()).collect();
            assert_eq!(beside, others, "{seen:?}");
        }
    }
}
