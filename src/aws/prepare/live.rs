//! What ECS runs of a stage, so that an update of its stack leaves it as it is.

use std::collections::BTreeMap;

use aws_sdk_ecs::types::{
    Compatibility, ContainerDefinition, NetworkMode, PortMapping, Service, Tag, TaskDefinition, TaskDefinitionStatus,
};

use super::super::fault::fault;
use super::super::foundation::Foundation;
use super::super::stack::{Driver, Snapshot};
use super::super::stage_stack;
use crate::model::{Scale, ServiceName, ServiceSpec, StageSpec};
use crate::port::{PortError, PortResult, Site};

/// Source: `DescribeServices` takes at most 10 services.
const BATCH: usize = 10;
/// The image of a definition that is never run: a service needs one to begin with.
const NEVER_RUN: &str = "placeholder";

/// What the stack is told of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Live {
    /// An ARN with its revision: without one CloudFormation never sees the service stable.
    pub(super) task_definition: String,
    /// `zero`, `fixed` or `keep`.
    pub(super) copies: &'static str,
    /// The port of what runs, where that is not the configured one; else empty.
    pub(super) port: String,
}

/// Of each service what ECS has, or what a new one begins with.
pub(super) async fn read(
    driver: &Driver<'_>,
    spec: &StageSpec,
    stack: Option<&Snapshot>,
    foundation: &Foundation,
) -> PortResult<BTreeMap<ServiceName, Live>> {
    let made = match stack.map(stage_stack::parse).transpose()?.flatten() {
        Some(stack) => stack.services,
        None => BTreeMap::new(),
    };
    let wanted = spec.services.iter().filter_map(|service| made.get(&service.name).map(|made| made.service.clone()));
    let running = describe(driver, &foundation.cluster, wanted.collect()).await?;
    let mut live = BTreeMap::new();
    for service in &spec.services {
        let running = made.get(&service.name).and_then(|made| running.get(&made.service));
        let one = match running {
            Some(running) => of_running(running, service)?,
            None => of_new(driver, spec, service).await?,
        };
        live.insert(service.name.clone(), one);
    }
    Ok(live)
}

async fn describe(driver: &Driver<'_>, cluster: &str, names: Vec<String>) -> PortResult<BTreeMap<String, Service>> {
    let mut found = BTreeMap::new();
    for batch in names.chunks(BATCH) {
        let request = driver.clients.ecs.describe_services().cluster(cluster).set_services(Some(batch.to_vec()));
        let answer = request.send().await.map_err(|error| fault("ecs:DescribeServices", error))?;
        let active = answer.services.unwrap_or_default().into_iter();
        let active = active.filter(|service| service.status() != Some("INACTIVE"));
        found.extend(active.filter_map(|service| Some((service.service_name.clone()?, service))));
    }
    Ok(found)
}

fn of_running(running: &Service, wanted: &ServiceSpec) -> PortResult<Live> {
    let task_definition = running.task_definition().ok_or_else(|| PortError::Bug {
        context: format!("the service {} has no task definition", wanted.name),
        source: None,
    })?;
    // A new port comes with the program that listens on it: the rollout moves it.
    let port = running.load_balancers().first().and_then(aws_sdk_ecs::types::LoadBalancer::container_port);
    let port = port.filter(|port| Some(*port) != wanted.port.map(i32::from));
    Ok(Live {
        task_definition: task_definition.to_owned(),
        copies: copies(running.desired_count(), wanted.scale),
        port: port.map(|port| port.to_string()).unwrap_or_default(),
    })
}

/// How many copies the stack is told. Where a policy scales, or nothing was started yet, ECS keeps
/// what it has; a fixed number that was changed is set.
fn copies(now: i32, scale: Scale) -> &'static str {
    let min = i32::try_from(scale.min).unwrap_or(i32::MAX);
    let is_fixed = scale.max <= scale.min;
    if is_fixed && now > 0 && now != min { "fixed" } else { "keep" }
}

async fn of_new(driver: &Driver<'_>, spec: &StageSpec, service: &ServiceSpec) -> PortResult<Live> {
    let family = driver.shared.names.family(&spec.stage, &service.name);
    let found = driver.clients.ecs.describe_task_definition().task_definition(&family).send().await;
    let found = match found {
        Ok(answer) => answer.task_definition,
        // `Unable to describe task definition.`: the family has no active one.
        Err(error) if super::super::fault::is(&error, "ClientException") => None,
        Err(error) => return Err(fault("ecs:DescribeTaskDefinition", error)),
    };
    let arn = match found.filter(|found| begins(found, service)).and_then(|found| found.task_definition_arn) {
        Some(arn) => arn,
        None => register(driver, spec, &family, service).await?,
    };
    Ok(Live { task_definition: arn, copies: "zero", port: String::new() })
}

/// Whether a service can begin with it: the load balancer asks for the container and its port.
fn begins(found: &TaskDefinition, service: &ServiceSpec) -> bool {
    let container = found.container_definitions().iter().find(|one| one.name() == Some(service.name.as_str()));
    let has_port = |port: u16| {
        let mappings = container.map(ContainerDefinition::port_mappings).unwrap_or_default();
        mappings.iter().any(|mapping| mapping.container_port() == Some(i32::from(port)))
    };
    let is_active = found.status().is_none_or(|status| *status == TaskDefinitionStatus::Active);
    is_active && container.is_some() && service.host.as_ref().and(service.port).is_none_or(has_port)
}

async fn register(driver: &Driver<'_>, spec: &StageSpec, family: &str, service: &ServiceSpec) -> PortResult<String> {
    let tags = super::tags(driver.shared, Site { stage: &spec.stage, place: &spec.place }).into_iter();
    let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    let port = service.port.map(|port| PortMapping::builder().container_port(i32::from(port)).build());
    let container = ContainerDefinition::builder()
        .name(service.name.as_str())
        .image(NEVER_RUN)
        .essential(true)
        .set_port_mappings(port.map(|port| vec![port]))
        .build();
    let request = driver
        .clients
        .ecs
        .register_task_definition()
        .family(family)
        .network_mode(NetworkMode::Awsvpc)
        .requires_compatibilities(Compatibility::Fargate)
        .cpu(service.size.cpu.to_string())
        .memory(service.size.memory.to_string())
        .container_definitions(container)
        .set_tags(Some(tags));
    let answer = request.send().await.map_err(|error| fault("ecs:RegisterTaskDefinition", error))?;
    let arn = answer.task_definition.and_then(|made| made.task_definition_arn);
    let no_arn = || PortError::Bug { context: format!("a definition of {family} has no ARN"), source: None };
    let arn = arn.ok_or_else(no_arn)?;
    driver.shared.rollouts.learn_made(&arn, &spec.stage);
    Ok(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecs_keeps_its_count_unless_a_fixed_one_was_changed() {
        let of = |now, min, max| copies(now, Scale { min, max, cpu: Some(70), memory: None });
        assert_eq!([of(0, 2, 2), of(2, 2, 2), of(7, 2, 10), of(1, 2, 10)], ["keep"; 4]);
        assert_eq!([of(1, 2, 2), of(3, 1, 1)], ["fixed"; 2]);
    }
}
