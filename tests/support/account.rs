//! Everything that an account has, by asking AWS alone: what it is called, how it stands, and whose it is.
//!
//! Whose a thing is, its own tag says; of what carries none, that of the stack which holds it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::StackStatus;
use aws_sdk_ecs::types::{ServiceField, TaskDefinitionField, TaskDefinitionStatus, TaskField};

use aws_sdk_elasticloadbalancingv2::types::TagDescription;

use crate::estate::stack_events;

const REPO: &str = "greenroom:repo";

/// One thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Thing {
    /// The repository whose it is; `None` is nobody's alone.
    pub(crate) owner: Option<String>,
    /// The stack that holds it, if one does.
    pub(crate) stack: Option<String>,
    /// All about it that stays as long as nobody changes it.
    pub(crate) state: String,
}

/// All of them, by kind and name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) things: BTreeMap<String, Thing>,
    /// Name and owner of the stack that holds what has this physical id.
    held: BTreeMap<String, (String, Option<String>)>,
}

type Tags = BTreeMap<String, String>;

fn pairs<'a>(all: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> Tags {
    all.filter_map(|(key, value)| Some((key?.to_owned(), value.unwrap_or_default().to_owned()))).collect()
}

impl Account {
    pub(crate) async fn read(config: &SdkConfig) -> Self {
        let mut account = Self::default();
        account.read_stacks(config).await;
        account.read_definitions(config).await;
        account.read_ecs(config).await;
        account.read_balancers(config).await;
        account.read_logs(config).await;
        account.read_roles(config).await;
        account.read_images(config).await;
        account.read_names(config).await;
        account
    }

    fn add(&mut self, kind: &str, id: &str, tags: &Tags, state: impl Debug) {
        let held = self.held.get(id).cloned();
        let owner = tags.get(REPO).cloned().or_else(|| held.as_ref()?.1.clone());
        let thing = Thing { owner, stack: held.map(|(stack, _)| stack), state: format!("{state:?} {tags:?}") };
        let before = self.things.insert(format!("{kind} {id}"), thing);
        assert!(before.is_none(), "{kind} {id} is told twice");
    }

    async fn read_stacks(&mut self, config: &SdkConfig) {
        let cloudformation = aws_sdk_cloudformation::Client::new(config);
        let stacks = cloudformation.describe_stacks().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        for stack in stacks.await.expect("stacks are told") {
            if stack.stack_status == Some(StackStatus::DeleteComplete) {
                continue;
            }
            let name = stack.stack_name().unwrap_or_default();
            let tags = pairs(stack.tags().iter().map(|tag| (tag.key(), tag.value())));
            let outputs = pairs(stack.outputs().iter().map(|output| (output.output_key(), output.output_value())));
            let given = pairs(stack.parameters().iter().map(|one| (one.parameter_key(), one.parameter_value())));
            let events = stack_events(config, name).await;
            self.add("stack", name, &tags, (stack.stack_id(), outputs, given, events));
            let held = cloudformation.list_stack_resources().stack_name(name).into_paginator().items().send();
            for one in held.collect::<Result<Vec<_>, _>>().await.expect("resources are told") {
                let Some(id) = one.physical_resource_id().filter(|id| !id.is_empty()) else { continue };
                self.held.insert(id.to_owned(), (name.to_owned(), tags.get(REPO).cloned()));
                let kind = one.resource_type().unwrap_or_default();
                // Those have tags of their own, which IAM tells.
                if kind != "AWS::IAM::Role" {
                    let logical = one.logical_resource_id().unwrap_or_default();
                    self.add(&format!("{kind} {name} {logical}"), id, &Tags::new(), ());
                }
            }
        }
    }

    async fn read_ecs(&mut self, config: &SdkConfig) {
        let ecs = aws_sdk_ecs::Client::new(config);
        let clusters = ecs.list_clusters().send().await.expect("clusters are told");
        for cluster in clusters.cluster_arns() {
            let list = ecs.list_services().cluster(cluster).into_paginator().items().send();
            for arn in list.collect::<Result<Vec<_>, _>>().await.expect("services are told") {
                let told = ecs.describe_services().cluster(cluster).services(&arn).include(ServiceField::Tags);
                let told = told.send().await.expect("a service is told");
                let service = told.services().first().expect("it is there");
                let tags = pairs(service.tags().iter().map(|tag| (tag.key(), tag.value())));
                let deployments: Vec<_> = service.deployments().iter().map(|one| one.id()).collect();
                self.add("service", &arn, &tags, (service.task_definition(), service.desired_count(), deployments));
            }
            let list = ecs.list_tasks().cluster(cluster).into_paginator().items().send();
            for arn in list.collect::<Result<Vec<_>, _>>().await.expect("tasks are told") {
                let told = ecs.describe_tasks().cluster(cluster).tasks(&arn).include(TaskField::Tags).send().await;
                let told = told.expect("a task is told");
                let Some(task) = told.tasks().first() else { continue };
                let mut tags = pairs(task.tags().iter().map(|tag| (tag.key(), tag.value())));
                // MiniStack does not hand a service's tags down to its tasks.
                let of_definition =
                    self.things.get(&format!("task definition {}", task.task_definition_arn().unwrap_or_default()));
                let owner = of_definition.and_then(|definition| definition.owner.clone());
                tags.extend(owner.map(|owner| (REPO.to_owned(), owner)));
                let images: Vec<_> = task.containers().iter().map(|one| (one.image(), one.image_digest())).collect();
                self.add("task", &arn, &tags, (task.task_definition_arn(), task.group(), images));
            }
        }
    }

    async fn read_definitions(&mut self, config: &SdkConfig) {
        let ecs = aws_sdk_ecs::Client::new(config);
        let list = ecs.list_task_definitions().status(TaskDefinitionStatus::Active).into_paginator().items().send();
        for arn in list.collect::<Result<Vec<_>, _>>().await.expect("task definitions are told") {
            let told = ecs.describe_task_definition().task_definition(&arn).include(TaskDefinitionField::Tags);
            let told = told.send().await.expect("a task definition is told");
            let tags = pairs(told.tags().iter().map(|tag| (tag.key(), tag.value())));
            let definition = told.task_definition().expect("it is there");
            let containers: Vec<_> = definition
                .container_definitions()
                .iter()
                .map(|one| (one.image(), one.environment(), one.secrets()))
                .collect();
            let roles = (definition.execution_role_arn(), definition.task_role_arn());
            self.add("task definition", &arn, &tags, (containers, roles));
        }
    }

    async fn read_balancers(&mut self, config: &SdkConfig) {
        let elb = aws_sdk_elasticloadbalancingv2::Client::new(config);
        let tags_of = async |arn: &str| {
            let told = elb.describe_tags().resource_arns(arn).send().await.expect("tags are told");
            let tags = told.tag_descriptions().iter().flat_map(TagDescription::tags);
            pairs(tags.map(|tag| (tag.key(), tag.value())))
        };
        let groups = elb.describe_target_groups().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        for group in groups.await.expect("target groups are told") {
            let arn = group.target_group_arn().expect("an ARN");
            let health = elb.describe_target_health().target_group_arn(arn).send().await.expect("targets are told");
            let targets: Vec<_> =
                health.target_health_descriptions().iter().filter_map(|one| one.target()?.id()).collect();
            self.add("target group", arn, &tags_of(arn).await, (group.health_check_path(), targets));
        }
        let balancers = elb.describe_load_balancers().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        for balancer in balancers.await.expect("load balancers are told") {
            let arn = balancer.load_balancer_arn().expect("an ARN");
            self.add("load balancer", arn, &Tags::new(), balancer.dns_name());
            let listeners = elb.describe_listeners().load_balancer_arn(arn).send().await.expect("listeners are told");
            for listener in listeners.listeners() {
                let arn = listener.listener_arn().expect("an ARN");
                self.add("listener", arn, &Tags::new(), (listener.port(), listener.certificates()));
                let rules = elb.describe_rules().listener_arn(arn).send().await.expect("rules are told");
                for rule in rules.rules().iter().filter(|rule| rule.is_default() != Some(true)) {
                    let arn = rule.rule_arn().expect("an ARN");
                    self.add("rule", arn, &tags_of(arn).await, (rule.priority(), rule.conditions(), rule.actions()));
                }
            }
        }
    }

    async fn read_logs(&mut self, config: &SdkConfig) {
        let logs = aws_sdk_cloudwatchlogs::Client::new(config);
        let groups = logs.describe_log_groups().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        for group in groups.await.expect("log groups are told") {
            self.add("log group", group.log_group_name().expect("a name"), &Tags::new(), group.retention_in_days());
        }
    }

    async fn read_roles(&mut self, config: &SdkConfig) {
        let iam = aws_sdk_iam::Client::new(config);
        let roles = iam.list_roles().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        for role in roles.await.expect("roles are told") {
            let name = role.role_name();
            let tags = iam.list_role_tags().role_name(name).send().await.expect("tags are told");
            let tags = pairs(tags.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value()))));
            let policies = policies_of(config, name).await;
            self.add("role", name, &tags, (role.arn(), role.assume_role_policy_document(), policies));
        }
    }

    async fn read_images(&mut self, config: &SdkConfig) {
        let ecr = aws_sdk_ecr::Client::new(config);
        let repositories = ecr.describe_repositories().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        for repository in repositories.await.expect("repositories are told") {
            let (arn, name) = (repository.repository_arn(), repository.repository_name().expect("a name"));
            let tags = ecr.list_tags_for_resource().set_resource_arn(arn.map(str::to_owned)).send().await;
            let tags = tags.expect("tags are told");
            let tags = pairs(tags.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value()))));
            self.add("repository", name, &tags, arn);
            let list = ecr.list_images().repository_name(name).into_paginator().items().send();
            let list = list.collect::<Result<Vec<_>, _>>().await.expect("images are told");
            let mut images: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for image in list {
                let named = images.entry(image.image_digest.unwrap_or_default()).or_default();
                named.extend(image.image_tag);
                named.sort();
            }
            for (digest, named) in images {
                self.add("image", &format!("{name}@{digest}"), &tags, named);
            }
        }
    }

    /// Certificates, and the records of zones.
    async fn read_names(&mut self, config: &SdkConfig) {
        let acm = aws_sdk_acm::Client::new(config);
        let list = acm.list_certificates().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        for certificate in list.await.expect("certificates are told") {
            let arn = certificate.certificate_arn().expect("an ARN");
            self.add("certificate", arn, &Tags::new(), certificate.domain_name());
        }
        let route53 = aws_sdk_route53::Client::new(config);
        for zone in route53.list_hosted_zones().send().await.expect("zones are told").hosted_zones() {
            let records = route53.list_resource_record_sets().hosted_zone_id(zone.id()).send().await;
            for record in records.expect("records are told").resource_record_sets() {
                let id = format!("{} {} {}", zone.id(), record.name(), record.r#type().as_str());
                let target = record.alias_target().map(|alias| alias.dns_name().to_owned());
                self.add("record", &id, &Tags::new(), (target, record.resource_records()));
            }
        }
    }

    /// All that is this repository's, as it stands.
    pub(crate) fn of(&self, owner: &str) -> BTreeMap<&str, &Thing> {
        let all = self.things.iter().filter(|(_, thing)| thing.owner.as_deref() == Some(owner));
        all.map(|(name, thing)| (name.as_str(), thing)).collect()
    }

    /// What is no longer there, or is there in another way, of all that was there before and is wanted.
    pub(crate) fn missed(&self, before: &Self, is_wanted: impl Fn(&str, &Thing) -> bool) -> Vec<String> {
        let wanted = before.things.iter().filter(|(name, thing)| is_wanted(name, thing));
        let changed = wanted.filter(|(name, thing)| self.things.get(*name) != Some(thing));
        changed.map(|(name, thing)| format!("{name}: {thing:#?} is {:#?}", self.things.get(name))).collect()
    }
}

/// The policies of a role that are its own, as JSON.
pub(crate) async fn policies_of(config: &SdkConfig, role: &str) -> Vec<String> {
    let iam = aws_sdk_iam::Client::new(config);
    let names = iam.list_role_policies().role_name(role).send().await.expect("policies are told");
    let mut policies = Vec::new();
    for name in names.policy_names() {
        let told = iam.get_role_policy().role_name(role).policy_name(name).send().await.expect("a policy is told");
        policies.push(plain(told.policy_document()));
    }
    policies
}

/// IAM tells documents as a URL has them. Source: `GetRolePolicy`, RFC 3986.
fn plain(document: &str) -> String {
    url::form_urlencoded::parse(format!("d={}", document.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, text)| text.into_owned())
        .unwrap_or_default()
}

/// Test binaries share this file, and each uses another part of it.
const _: () = {
    let _ = (Account::read, Account::of, policies_of);
};
