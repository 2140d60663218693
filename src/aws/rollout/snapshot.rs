//! What ECS says of a service, as a plain value.

use aws_sdk_ecs::types::{DeploymentRolloutState, Service, ServiceField};

use crate::aws::clients::Clients;
use crate::aws::fault::{fault, is};
use crate::aws::names::TAG_CANARY;
use crate::port::PortResult;

/// A service as `DescribeServices` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::aws) struct Seen {
    pub(super) arn: String,
    /// The mark of a copy that is tried beside the service.
    pub(super) canary: Option<String>,
    pub(super) desired: i32,
    /// The port that the load balancer asks, if one does.
    pub(super) port: Option<i32>,
    pub(in crate::aws) deployments: Vec<Deployment>,
    /// Newest first.
    pub(super) events: Vec<Event>,
}

/// One deployment of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::aws) struct Deployment {
    pub(in crate::aws) is_primary: bool,
    /// The ARN of its task definition.
    pub(in crate::aws) definition: String,
    pub(in crate::aws) desired: i32,
    pub(in crate::aws) running: i32,
    pub(in crate::aws) pending: i32,
    pub(in crate::aws) failed: i32,
    pub(in crate::aws) state: RolloutState,
    /// In ECS's words.
    pub(in crate::aws) reason: String,
    /// Seconds since 1970.
    pub(in crate::aws) created: i64,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::aws) enum RolloutState {
    InProgress,
    Completed,
    Failed,
}

/// A line of a service's own history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Seconds since 1970.
    pub(super) at: i64,
    pub(super) message: String,
}

impl Seen {
    pub(in crate::aws) fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.is_primary)
    }

    /// The definition that the service has now; empty if it has none.
    pub(super) fn live(&self) -> &str {
        self.primary().map_or("", |primary| primary.definition.as_str())
    }
}

impl Deployment {
    /// Whether it has or wants tasks.
    pub(in crate::aws) fn is_alive(&self) -> bool {
        self.alive() > 0
    }

    /// Copies that run or are about to.
    pub(super) fn alive(&self) -> i32 {
        self.running.saturating_add(self.pending)
    }
}

impl From<&Service> for Seen {
    fn from(service: &Service) -> Self {
        let deployments = service.deployments().iter().map(|found| Deployment {
            is_primary: found.status() == Some("PRIMARY"),
            definition: found.task_definition().unwrap_or_default().to_owned(),
            desired: found.desired_count(),
            running: found.running_count(),
            pending: found.pending_count(),
            failed: found.failed_tasks(),
            state: match found.rollout_state() {
                Some(DeploymentRolloutState::Completed) => RolloutState::Completed,
                Some(DeploymentRolloutState::Failed) => RolloutState::Failed,
                _ => RolloutState::InProgress,
            },
            reason: found.rollout_state_reason().unwrap_or_default().to_owned(),
            created: found.created_at().map_or(0, aws_smithy_types::DateTime::secs),
        });
        let events = service.events().iter().map(|event| Event {
            at: event.created_at().map_or(0, aws_smithy_types::DateTime::secs),
            message: event.message().unwrap_or_default().to_owned(),
        });
        let port = service.load_balancers().first().and_then(aws_sdk_ecs::types::LoadBalancer::container_port);
        let canary = service.tags().iter().find(|tag| tag.key() == Some(TAG_CANARY)).and_then(|tag| tag.value());
        Self {
            arn: service.service_arn().unwrap_or_default().to_owned(),
            canary: canary.map(str::to_owned),
            desired: service.desired_count(),
            port,
            deployments: deployments.collect(),
            events: events.collect(),
        }
    }
}

/// The services as they are, each `None` if it is not there or on its way out. At most 10 names.
///
/// Source: ECS, `DescribeServices`: up to 10 services in one call.
pub(in crate::aws) async fn describe(
    clients: &Clients,
    cluster: &str,
    services: &[&str],
) -> PortResult<Vec<Option<Seen>>> {
    let names = services.iter().map(|name| (*name).to_owned()).collect();
    let describe = clients.ecs.describe_services().cluster(cluster).set_services(Some(names));
    let described = describe.include(ServiceField::Tags).send().await;
    let described = match described {
        Ok(described) => described,
        Err(error) if is(&error, "ClusterNotFoundException") => return Ok(vec![None; services.len()]),
        Err(error) => return Err(fault("ecs:DescribeServices", error)),
    };
    let found = |name: &&str| {
        let mut active = described.services().iter().filter(|found| found.status() == Some("ACTIVE"));
        active.find(|found| [found.service_name(), found.service_arn()].contains(&Some(name))).map(Seen::from)
    };
    Ok(services.iter().map(found).collect())
}

/// One service as it is.
pub(super) async fn describe_one(clients: &Clients, cluster: &str, service: &str) -> PortResult<Option<Seen>> {
    Ok(describe(clients, cluster, &[service]).await?.into_iter().next().flatten())
}

#[cfg(test)]
impl Seen {
    pub(in crate::aws) fn sample(deployments: Vec<Deployment>) -> Self {
        Self { deployments, ..Self::default() }
    }
}

#[cfg(test)]
impl Deployment {
    /// The service's own deployment, with one copy wanted.
    pub(in crate::aws) fn sample(definition: &str, state: RolloutState, running: i32) -> Self {
        Self {
            is_primary: true,
            definition: definition.into(),
            desired: 1,
            running,
            pending: 0,
            failed: 0,
            state,
            reason: String::new(),
            created: 0,
        }
    }
}
