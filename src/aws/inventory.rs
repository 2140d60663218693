//! Everything that exists of a stage, by asking AWS.
//!
//! Guarantees: nothing is taken from memory except leased numbers, which exist nowhere else, and, in the
//! same teardown, in which repositories to look; what a listing by tag says is looked up before it
//! counts, because such listings lag behind; the order is one in which everything can be removed.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::TaskDefinitionFamilyStatus;
use aws_sdk_resourcegroupstagging::types::TagFilter;

use super::Shared;
use super::clients::Clients;
use super::ecr_images::{images, tags_of_stage};
use super::fault::{fault, is};
use super::lately::Sight;
use super::marks::{Marks, Whose};
use super::names::{Names, TAG_OWNER, TAG_REPO, TAG_RETAIN, TAG_STAGE};
use super::stack::{self, Snapshot, StackResource};
use crate::model::{Resource, StageId, StageKind};
use crate::port::{PortResult, Site};

pub(super) const TASK: &str = "task";
pub(super) const SERVICE: &str = "service";
pub(super) const LISTENER_RULE: &str = "listener rule";
pub(super) const TARGET_GROUP: &str = "target group";
pub(super) const LOG_GROUP: &str = "log group";
pub(super) const STACK: &str = "stack";
pub(super) const TASK_DEFINITIONS: &str = "task definitions";
pub(super) const IMAGES: &str = "images";
pub(super) const RULE_NUMBER: &str = "rule number";
pub(super) const FOUNDATION: &str = "foundation";

/// What was found, before it is put in order.
#[derive(Debug, Default)]
struct Found {
    in_stack: Vec<StackResource>,
    /// The stage's stack, if it is there.
    stack: Option<String>,
    /// Kind and id of what no stack holds any more.
    stray: Vec<(String, String)>,
    log_groups: Vec<String>,
    families: Vec<String>,
    repositories: Vec<String>,
    /// Holders of leased numbers.
    numbers: Vec<String>,
    /// The stage's own foundation, unless it is to stay.
    foundation: Option<String>,
}

/// Everything of a stage, in the order in which it is removed. Tasks that no service keeps go with the
/// family of their definition.
pub(super) async fn inventory(shared: &Shared, site: Site<'_>) -> PortResult<Vec<Resource>> {
    let clients = &*shared.sessions.at(site).await?;
    let mut sight = Sight::default();
    let all = arrange(look(shared, clients, site, &mut sight).await?);
    if all.is_empty() {
        shared.lately.forget(site.stage);
    } else {
        shared.lately.put(site.stage, sight);
    }
    Ok(all)
}

async fn look(shared: &Shared, clients: &Clients, site: Site<'_>, sight: &mut Sight) -> PortResult<Found> {
    let names = &shared.names;
    let own = names.stage_stack(site.stage);
    let mut found = Found { families: own_families(shared, clients, site.stage, sight).await?, ..Found::default() };
    // One whose tags are gone is named, and nothing of it touched: its removal says why it stays.
    let whose = |marks: &Marks, stack: &Snapshot| marks.whose(&stack.tags);
    let (marks, of_ground) = (Marks::of_stage(names, site.stage), Marks::of_foundation(names, site));
    let described = stack::describe(clients, &own).await?;
    if described.as_ref().is_some_and(|stack| whose(&marks, stack) == Whose::Unmarked) {
        found.stack = Some(own.clone());
    }
    if let Some(described) = described.filter(|stack| whose(&marks, stack) == Whose::Own) {
        found.in_stack = stack::resources(clients, &own).await?;
        sight.saw_stack(described, found.in_stack.clone());
        found.stack = Some(own.clone());
    }
    let foundation = names.foundation_stack(site.stage, site.place);
    let has_own_foundation = site.place.kind != StageKind::Ephemeral;
    let described = if has_own_foundation { stack::describe(clients, &foundation).await? } else { None };
    let described = described.filter(|stack| whose(&of_ground, stack) != Whose::Foreign);
    found.foundation = described.as_ref().filter(|stack| !is_retained(stack)).map(|_| foundation.clone());
    // While the stage's stack stands, what carries its name counts as held: what is left of it when it is
    // gone is looked for then.
    if found.stack.is_none() {
        let held: Vec<&str> = described.as_ref().map(|_| foundation.as_str()).into_iter().collect();
        found.stray = strays(shared, clients, site.stage, &held).await?;
    }
    found.log_groups = log_groups(clients, &names.log_groups(site.stage)).await?;
    found.repositories = own_repositories(shared, clients, site.stage, sight).await?;
    let mine = format!("{}/", site.stage);
    let numbers = shared.settings.slots.slots(&foundation).await?;
    found.numbers = numbers.into_iter().map(|(_, holder)| holder).filter(|holder| holder.starts_with(&mine)).collect();
    Ok(found)
}

/// What depends on others comes before them; numbers when their rules are gone; the ground that all
/// stands on last.
fn arrange(found: Found) -> Vec<Resource> {
    let held = found.in_stack.into_iter().filter(exists).map(|held| (kind_of(&held.kind), held.physical));
    let mut all: Vec<(u8, String, String)> =
        held.chain(found.stray).map(|(kind, id)| (rank(&kind), kind, id)).collect();
    all.extend(found.log_groups.into_iter().map(|id| (rank(LOG_GROUP), LOG_GROUP.into(), id)));
    all.extend(found.stack.into_iter().map(|id| (6, STACK.into(), id)));
    all.extend(found.families.into_iter().map(|id| (7, TASK_DEFINITIONS.into(), id)));
    all.extend(found.repositories.into_iter().map(|id| (8, IMAGES.into(), id)));
    all.extend(found.numbers.into_iter().map(|id| (9, RULE_NUMBER.into(), id)));
    all.extend(found.foundation.into_iter().map(|id| (10, FOUNDATION.into(), id)));
    all.sort();
    let mut seen = BTreeSet::new();
    all.retain(|(_, _, id)| seen.insert(id.clone()));
    all.into_iter().map(|(_, kind, id)| Resource { service: service_of(&kind, &id), kind, id }).collect()
}

fn rank(kind: &str) -> u8 {
    match kind {
        SERVICE => 1,
        LISTENER_RULE => 2,
        TARGET_GROUP => 4,
        LOG_GROUP => 5,
        _ => 3,
    }
}

/// A resource that is not made yet, or is gone already, is listed too.
fn exists(resource: &StackResource) -> bool {
    !resource.physical.is_empty() && resource.status != "DELETE_COMPLETE"
}

/// `AWS::ElasticLoadBalancingV2::ListenerRule` in words for people: `listener rule`.
pub(super) fn kind_of(kind: &str) -> String {
    if kind.starts_with("AWS::ApplicationAutoScaling::") {
        return "scaling".into();
    }
    let last = kind.rsplit("::").next().unwrap_or(kind);
    let mut words = String::with_capacity(last.len() + 2);
    for letter in last.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// What is named by its service tells which.
fn service_of(kind: &str, id: &str) -> Option<crate::model::ServiceName> {
    let is_named = matches!(kind, LOG_GROUP | IMAGES | RULE_NUMBER);
    is_named.then(|| id.rsplit('/').next()?.parse().ok()).flatten()
}

fn is_retained(stack: &Snapshot) -> bool {
    stack.tags.get(TAG_RETAIN).is_some_and(|value| value == "true")
}

pub(super) async fn families(clients: &Clients, prefix: &str) -> PortResult<Vec<String>> {
    let list = clients.ecs.list_task_definition_families().family_prefix(prefix);
    let mut pages = list.status(TaskDefinitionFamilyStatus::Active).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(family) = pages.next().await {
        found.push(family.map_err(|error| fault("ecs:ListTaskDefinitionFamilies", error))?);
    }
    Ok(found)
}

/// Those of the stage. What begins as they do may be another stage's: names are chosen by anybody.
async fn own_families(
    shared: &Shared,
    clients: &Clients,
    stage: &StageId,
    sight: &mut Sight,
) -> PortResult<Vec<String>> {
    let mut own = Vec::new();
    for family in families(clients, &shared.names.families(stage)).await? {
        let revisions = super::families::active(clients, &family).await?;
        if super::families::is_of_stage(shared, clients, stage, &revisions).await? {
            sight.saw_revisions(&family, revisions);
            own.push(family);
        }
    }
    Ok(own)
}

/// Those in which an image has a tag of the stage.
async fn own_repositories(
    shared: &Shared,
    clients: &Clients,
    stage: &StageId,
    sight: &mut Sight,
) -> PortResult<Vec<String>> {
    let all = match shared.lately.repositories(stage) {
        Some(known) => known,
        None => repositories(clients, &shared.names, stage).await?,
    };
    let mut own = Vec::new();
    for repository in &all {
        let images = images(clients, repository).await?;
        if !tags_of_stage(&images, &stage.name).is_empty() {
            sight.saw_images(repository, images);
            own.push(repository.clone());
        }
    }
    sight.saw_repositories(all);
    Ok(own)
}

/// What carries the stage's tags although no stack that is there holds it.
async fn strays(
    shared: &Shared,
    clients: &Clients,
    stage: &StageId,
    stacks: &[&str],
) -> PortResult<Vec<(String, String)>> {
    let wanted = [
        (TAG_OWNER, shared.names.owner().to_owned()),
        (TAG_REPO, stage.repo.to_string()),
        (TAG_STAGE, stage.name.to_string()),
    ];
    let filters = wanted.map(|(key, value)| TagFilter::builder().key(key).values(value).build());
    let list = clients.tagging.get_resources().set_tag_filters(Some(filters.to_vec()));
    let list = list.resource_type_filters("ecs:service").resource_type_filters("elasticloadbalancing:targetgroup");
    let mut pages = list.resource_type_filters("elasticloadbalancing:listener-rule").into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(mapping) = pages.next().await {
        let mapping = mapping.map_err(|error| fault("tag:GetResources", error))?;
        let holder = mapping.tags().iter().find(|tag| tag.key() == "aws:cloudformation:stack-name");
        if holder.is_some_and(|tag| stacks.contains(&tag.value())) {
            continue;
        }
        // What went with the stack is listed for a while, as is what the stack left behind: each is looked up.
        let Some(arn) = mapping.resource_arn() else { continue };
        if let Some(kind) = stray_kind(arn)
            && still_exists(clients, kind, arn).await?
        {
            found.push((kind.to_owned(), arn.to_owned()));
        }
    }
    Ok(found)
}

fn stray_kind(arn: &str) -> Option<&'static str> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, resource) = (parts.next()?, parts.nth(2)?);
    match (service, resource.split('/').next()?) {
        ("ecs", "service") => Some(SERVICE),
        ("elasticloadbalancing", "targetgroup") => Some(TARGET_GROUP),
        ("elasticloadbalancing", "listener-rule") => Some(LISTENER_RULE),
        _ => None,
    }
}

/// Whether AWS has a service, a target group or a listener rule.
pub(super) async fn still_exists(clients: &Clients, kind: &str, arn: &str) -> PortResult<bool> {
    match kind {
        SERVICE => Ok(service_state(clients, arn).await?.is_some()),
        TARGET_GROUP => match clients.elb.describe_target_groups().target_group_arns(arn).send().await {
            Ok(answer) => Ok(!answer.target_groups().is_empty()),
            Err(error) if is(&error, "TargetGroupNotFound") => Ok(false),
            Err(error) => Err(fault("elasticloadbalancing:DescribeTargetGroups", error)),
        },
        _ => match clients.elb.describe_rules().rule_arns(arn).send().await {
            Ok(answer) => Ok(!answer.rules().is_empty()),
            Err(error) if is(&error, "RuleNotFound") => Ok(false),
            Err(error) => Err(fault("elasticloadbalancing:DescribeRules", error)),
        },
    }
}

/// How a service that is not gone stands: AWS goes on describing one that is, as INACTIVE.
/// Source: `DeleteService`.
pub(super) async fn service_state(clients: &Clients, arn: &str) -> PortResult<Option<ServiceState>> {
    let cluster = cluster_of(arn);
    match clients.ecs.describe_services().cluster(cluster).services(arn).send().await {
        Ok(answer) => Ok(answer.services().first().and_then(|service| match service.status() {
            Some("INACTIVE") => None,
            Some("ACTIVE") => Some(ServiceState::Active),
            _ => Some(ServiceState::Draining),
        })),
        Err(error) if is(&error, "ClusterNotFoundException") => Ok(None),
        Err(error) => Err(fault("ecs:DescribeServices", error)),
    }
}

/// How a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceState {
    Active,
    Draining,
}

/// `arn:aws:ecs:eu-west-1:1234:service/cluster/name` names its cluster; only accounts that never took
/// the long form on have shorter ones, in the default cluster.
pub(super) fn cluster_of(arn: &str) -> &str {
    let mut parts = arn.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some(cluster), Some(_)) => cluster,
        _ => "default",
    }
}

pub(super) async fn log_groups(clients: &Clients, prefix: &str) -> PortResult<Vec<String>> {
    let list = clients.logs.describe_log_groups().log_group_name_prefix(prefix);
    let mut pages = list.into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(group) = pages.next().await {
        let group = group.map_err(|error| fault("logs:DescribeLogGroups", error))?;
        found.extend(group.log_group_name);
    }
    Ok(found)
}

/// ECR cannot list by prefix, so all of the account and region are paged through, 1,000 at once.
pub(super) async fn repositories(clients: &Clients, names: &Names, stage: &StageId) -> PortResult<Vec<String>> {
    let mut pages = clients.ecr.describe_repositories().max_results(1000).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(repository) = pages.next().await {
        let repository = repository.map_err(|error| fault("ecr:DescribeRepositories", error))?;
        let is_of_stage = |name: &String| names.service_of_repository(stage, name).is_some();
        found.extend(repository.repository_name.filter(is_of_stage));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(kind: &str, physical: &str, status: &str) -> StackResource {
        StackResource { kind: kind.into(), logical: "L".into(), physical: physical.into(), status: status.into() }
    }

    #[test]
    fn the_order_is_one_in_which_all_can_go_and_nothing_is_listed_twice() {
        let found = Found {
            in_stack: vec![
                held("AWS::Logs::LogGroup", "/greenroom/acme/shop/pr-1/web", "CREATE_COMPLETE"),
                held("AWS::ElasticLoadBalancingV2::TargetGroup", "tg", "CREATE_COMPLETE"),
                held("AWS::ElasticLoadBalancingV2::ListenerRule", "rule", "DELETE_SKIPPED"),
                held("AWS::ApplicationAutoScaling::ScalableTarget", "scalable", "CREATE_COMPLETE"),
                held("AWS::ECS::Service", "svc", "CREATE_COMPLETE"),
                held("AWS::ECS::Service", "gone", "DELETE_COMPLETE"),
                held("AWS::ECS::Service", "", "CREATE_IN_PROGRESS"),
            ],
            stack: Some("stack".into()),
            stray: vec![(SERVICE.into(), "svc".into()), (SERVICE.into(), "older".into())],
            log_groups: vec!["/greenroom/acme/shop/pr-1/web".into(), "/greenroom/acme/shop/pr-1/old".into()],
            families: vec!["family-web".into()],
            repositories: vec!["greenroom/acme/shop/web".into()],
            numbers: vec!["acme/shop/pr-1/web".into()],
            foundation: Some("foundation".into()),
        };
        let order: Vec<String> = arrange(found).iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(order.join("\n"), @"
        service older
        service svc
        listener rule rule
        scaling scalable
        target group tg
        log group /greenroom/acme/shop/pr-1/old
        log group /greenroom/acme/shop/pr-1/web
        stack stack
        task definitions family-web
        images greenroom/acme/shop/web
        rule number acme/shop/pr-1/web
        foundation foundation
        ");
    }

    #[test]
    fn kinds_are_words_for_people() {
        for (kind, words) in [
            ("AWS::ECS::Service", SERVICE),
            ("AWS::ElasticLoadBalancingV2::TargetGroup", TARGET_GROUP),
            ("AWS::ElasticLoadBalancingV2::ListenerRule", LISTENER_RULE),
            ("AWS::Logs::LogGroup", LOG_GROUP),
            ("AWS::ApplicationAutoScaling::ScalingPolicy", "scaling"),
            ("AWS::Route53::RecordSet", "record set"),
        ] {
            assert_eq!(kind_of(kind), words, "{kind}");
        }
    }

    #[test]
    fn an_arn_tells_kind_and_cluster() {
        let service = "arn:aws:ecs:eu-west-1:123456789012:service/previews/web";
        assert_eq!((stray_kind(service), cluster_of(service)), (Some(SERVICE), "previews"));
        assert_eq!(cluster_of("arn:aws:ecs:eu-west-1:123456789012:service/web"), "default");
        let elb = "arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012";
        assert_eq!(stray_kind(&format!("{elb}:targetgroup/a/b")), Some(TARGET_GROUP));
        assert_eq!(stray_kind(&format!("{elb}:listener-rule/app/a/b/c/d")), Some(LISTENER_RULE));
        for other in ["arn:aws:ecs:eu-west-1:1:task/a/b", "arn:aws:ec2:eu-west-1:1:subnet/subnet-1", "nonsense"] {
            assert_eq!(stray_kind(other), None, "{other}");
        }
    }
}
