//! A version's task definition, registered once.
//!
//! A definition never changes, so its label is asked for once. One that an earlier call registered
//! before it was cut off is found as the newest of its family.

use aws_sdk_ecs::types::{
    Compatibility, ContainerDefinition, CpuArchitecture, KeyValuePair, LogConfiguration, LogDriver, NetworkMode,
    OsFamily, PortMapping, RuntimePlatform, Secret, SortOrder, Tag, TaskDefinition, TaskDefinitionField,
    TaskDefinitionStatus, TransportProtocol,
};

use super::Work;
use super::definition::{Definition, Realm, definition};
use super::memory::{Memory, Track};
use crate::aws::clients::Clients;
use crate::aws::fault::{fault, is};
use crate::aws::names::{LABEL_VERSION, TAG_GENERATION};
use crate::model::{FailureKind, Platform, VersionKey};
use crate::port::{PortError, PortResult};

/// What a task definition tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::aws) struct Label {
    /// `None`: not made for a version, such as the one that a new service begins with.
    pub(in crate::aws) version: Option<VersionKey>,
    /// For which of the stage's goals it was registered.
    pub(super) generation: Option<i64>,
}

/// The label of a task definition by its ARN; one call, or none if it is known.
pub(in crate::aws) async fn label_of(memory: &Memory, clients: &Clients, arn: &str) -> PortResult<Label> {
    if let Some(label) = memory.label(arn) {
        return Ok(label);
    }
    let described =
        clients.ecs.describe_task_definition().task_definition(arn).include(TaskDefinitionField::Tags).send().await;
    let described = match described {
        Ok(described) => described,
        // Deleted after it was deregistered.
        Err(error) if is(&error, "ClientException") => return Ok(Label::default()),
        Err(error) => return Err(fault("ecs:DescribeTaskDefinition", error)),
    };
    let containers = described.task_definition().map(TaskDefinition::container_definitions).unwrap_or_default();
    let version = containers.iter().find_map(|container| container.docker_labels()?.get(LABEL_VERSION));
    let tag = described.tags().iter().find(|tag| tag.key() == Some(TAG_GENERATION));
    let label = Label {
        version: version.map(|version| VersionKey(version.clone())),
        generation: tag.and_then(|tag| tag.value()?.parse().ok()),
    };
    memory.learn_label(arn, label.clone());
    Ok(label)
}

/// A version's task definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) arn: String,
    pub(super) by: By,
}

/// Who registered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// This rollout, as far as this process remembers.
    Us,
    /// A call for this same goal of which this process knows nothing: what it did next is not known.
    UsBefore,
    /// An earlier goal that was given up.
    EarlierGoal,
}

/// Finds the version's task definition or registers it. `live` is what the service has now.
pub(super) async fn ensure(work: &Work<'_>, track: &mut Track, live: &str) -> PortResult<Registered> {
    if let Some(arn) = &track.definition {
        return Ok(Registered { arn: arn.clone(), by: By::Us });
    }
    let Active { arns, is_all } = active(work, Some(10)).await?;
    let newest = arns.first().filter(|arn| *arn != live).cloned();
    track.definitions = is_all.then_some(arns);
    if let Some(arn) = newest {
        let label = label_of(&work.shared.rollouts, work.clients, &arn).await?;
        if label.version.as_ref() == Some(work.rollout.version) {
            let ours = label.generation == Some(work.rollout.generation.0);
            track.definition = Some(arn.clone());
            return Ok(Registered { arn, by: if ours { By::UsBefore } else { By::EarlierGoal } });
        }
    }
    let arn = register(work).await?;
    let label = Label { version: Some(work.rollout.version.clone()), generation: Some(work.rollout.generation.0) };
    work.shared.rollouts.learn_label(&arn, label);
    work.shared.rollouts.learn_made(&arn, work.stage());
    track.definition = Some(arn.clone());
    if let Some(known) = &mut track.definitions {
        known.insert(0, arn.clone());
    }
    Ok(Registered { arn, by: By::Us })
}

/// Active definitions.
#[derive(Debug)]
pub(super) struct Active {
    /// Newest first.
    pub(super) arns: Vec<String>,
    pub(super) is_all: bool,
}

/// The active definitions of the service's family. `most` is per answer; without it all are read.
pub(super) async fn active(work: &Work<'_>, most: Option<i32>) -> PortResult<Active> {
    let family = work.family();
    let list = || {
        let list = work.clients.ecs.list_task_definitions().family_prefix(&family);
        list.status(TaskDefinitionStatus::Active).sort(SortOrder::Desc)
    };
    let mut arns: Vec<String> = Vec::new();
    let mut token = None;
    loop {
        let page = list().set_max_results(most).set_next_token(token).send().await;
        let page = page.map_err(|error| fault("ecs:ListTaskDefinitions", error))?;
        // Other families may begin the same.
        arns.extend(page.task_definition_arns().iter().filter(|arn| family_of(arn) == Some(&family)).cloned());
        token = page.next_token().map(str::to_owned);
        if token.is_none() || most.is_some() && !arns.is_empty() {
            break;
        }
    }
    arns.sort_by_key(|arn| std::cmp::Reverse(revision_of(arn)));
    Ok(Active { arns, is_all: token.is_none() })
}

fn family_of(arn: &str) -> Option<&str> {
    Some(arn.rsplit_once('/')?.1.rsplit_once(':')?.0)
}

fn revision_of(arn: &str) -> u64 {
    arn.rsplit_once(':').and_then(|(_, revision)| revision.parse().ok()).unwrap_or(0)
}

async fn register(work: &Work<'_>) -> PortResult<String> {
    let realm = Realm { region: &work.clients.region, account: &work.clients.account };
    let log_group = &work.service.log_group;
    let wanted = definition(&work.shared.names, &realm, work.rollout, work.stack, log_group)
        .map_err(|failure| PortError::Failed(Box::new(failure)))?;
    let platform = RuntimePlatform::builder()
        .operating_system_family(OsFamily::Linux)
        .cpu_architecture(match wanted.platform {
            Platform::LinuxAmd64 => CpuArchitecture::X8664,
            Platform::LinuxArm64 => CpuArchitecture::Arm64,
        })
        .build();
    let sent = work
        .clients
        .ecs
        .register_task_definition()
        .family(&wanted.family)
        .cpu(wanted.cpu.to_string())
        .memory(wanted.memory.to_string())
        .network_mode(NetworkMode::Awsvpc)
        .requires_compatibilities(Compatibility::Fargate)
        .runtime_platform(platform)
        .execution_role_arn(&wanted.execution_role)
        .task_role_arn(&wanted.task_role)
        .container_definitions(container(&wanted))
        .set_tags(Some(sdk_tags(&wanted.tags)))
        .send()
        .await;
    let sent = match sent {
        Ok(sent) => sent,
        Err(error) if is(&error, "ClientException") || is(&error, "InvalidParameterException") => {
            let said = error.into_service_error();
            let said = said.meta().message().unwrap_or_default().to_owned();
            return Err(refused(work, &said));
        }
        Err(error) => return Err(fault("ecs:RegisterTaskDefinition", error)),
    };
    let arn = sent.task_definition().and_then(|made| made.task_definition_arn()).map(str::to_owned);
    arn.ok_or_else(|| PortError::retry("ecs:RegisterTaskDefinition answered without an ARN"))
}

fn refused(work: &Work<'_>, said: &str) -> PortError {
    let summary = format!("AWS refuses the task definition of `{}`: {said}", work.name());
    let advice = "Check `size`, `secrets` and the names in `env`; Fargate takes only certain pairs of CPU and memory.";
    PortError::failed(FailureKind::Environment, summary, advice)
}

fn container(wanted: &Definition) -> ContainerDefinition {
    // A port on the container is the host's port in this network mode.
    let ports = wanted
        .port
        .map(|port| PortMapping::builder().container_port(i32::from(port)).protocol(TransportProtocol::Tcp).build());
    let log = LogConfiguration::builder()
        .log_driver(LogDriver::Awslogs)
        .options("awslogs-group", &wanted.log_group)
        .options("awslogs-region", &wanted.region)
        .options("awslogs-stream-prefix", &wanted.container)
        .build();
    let environment =
        wanted.environment.iter().map(|(name, value)| KeyValuePair::builder().name(name).value(value).build());
    let secret = |(name, from): (&String, &String)| Secret::builder().name(name).value_from(from).build();
    ContainerDefinition::builder()
        .name(&wanted.container)
        .image(&wanted.image)
        .essential(true)
        .set_environment(Some(environment.collect()))
        // Neither is ever refused: names and the driver are given.
        .set_secrets(Some(wanted.secrets.iter().map(secret).filter_map(Result::ok).collect()))
        .set_port_mappings(Some(ports.into_iter().collect()))
        .stop_timeout(wanted.stop_seconds)
        .set_log_configuration(log.ok())
        .docker_labels(LABEL_VERSION, &wanted.version)
        .build()
}

pub(super) fn sdk_tags(tags: &[(&'static str, String)]) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(*key).value(value).build()).collect()
}
