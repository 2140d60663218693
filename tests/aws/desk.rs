//! A Greenroom on a MiniStack of its own, without GitHub: only what makes stacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_sdk_cloudformation::types::Stack;
use aws_sdk_ecs::types::{ContainerDefinition, Service};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, HostHeaderConditionConfig, RuleCondition,
};
use greenroom::aws::{AwsCloud, AwsSettings, NatGateways, PreviewCapacity};
use greenroom::config;
use greenroom::decide::resolve;
use greenroom::model::{Addressing, CommitSha, StageId, StagePattern, StageSpec, Timestamp};
use greenroom::port::{Clock, Cloud, PortResult, Progress, Slots};

use crate::hang;
use crate::hang::PATIENCE;
use crate::ministack::{Containers, MiniStack};

/// One service with an address, one stage for each pull request, no certificate.
pub(crate) const SMALLEST: &str = "
version: 1
app: shop
domain: { zone: shop.test, dns: none }
services:
  web: { kind: ecs, build: { context: . }, host: '@', port: 8080, health: { path: /health } }
";

pub(crate) struct Desk {
    pub(crate) ministack: MiniStack,
    pub(crate) cloud: Arc<AwsCloud>,
    pub(crate) slots: Arc<MemorySlots>,
    pub(crate) cloudformation: aws_sdk_cloudformation::Client,
    pub(crate) ecs: aws_sdk_ecs::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let ministack = MiniStack::start(Containers::Pretended).await;
        let slots = Arc::new(MemorySlots::default());
        let config = ministack.config().await;
        Self {
            cloud: cloud(&ministack.endpoint(), slots.clone(), Make::Plain).await,
            slots,
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            ecs: aws_sdk_ecs::Client::new(&config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            ministack,
        }
    }

    /// Another Greenroom process on the same database.
    pub(crate) async fn restarted(&self) -> Arc<AwsCloud> {
        cloud(&self.ministack.endpoint(), self.slots.clone(), Make::Plain).await
    }

    /// A stage of a configuration, as the engine resolves it.
    pub(crate) fn spec(&self, name: &str, yaml: &str) -> StageSpec {
        resolved(name, yaml, &self.cloud.addressing())
    }

    /// Every stack with its status.
    pub(crate) async fn stacks(&self) -> BTreeMap<String, String> {
        let answer = self.cloudformation.describe_stacks().send().await.expect("MiniStack answers");
        let word = |stack: &Stack| {
            let status = stack.stack_status().map(ToString::to_string).unwrap_or_default();
            (stack.stack_name().unwrap_or_default().to_owned(), status)
        };
        answer.stacks().iter().map(word).collect()
    }

    pub(crate) async fn describe(&self, name: &str) -> Option<Stack> {
        let answer = self.cloudformation.describe_stacks().send().await.expect("MiniStack answers");
        answer.stacks.unwrap_or_default().into_iter().find(|stack| stack.stack_name() == Some(name))
    }

    /// The name of a stage's own stack, by its tags.
    pub(crate) async fn own(&self, spec: &StageSpec) -> String {
        let answer = self.cloudformation.describe_stacks().send().await.expect("MiniStack answers");
        let is_own = |stack: &&Stack| {
            let is_tag = |tag: &aws_sdk_cloudformation::types::Tag| {
                tag.key() == Some("greenroom:stage") && tag.value() == Some(spec.stage.name.as_str())
            };
            stack.tags().iter().any(is_tag)
        };
        answer.stacks().iter().find(is_own).and_then(Stack::stack_name).expect("the stage's stack").to_owned()
    }

    /// The types of everything that stacks hold.
    pub(crate) async fn kinds(&self) -> BTreeSet<String> {
        let mut kinds = BTreeSet::new();
        for name in self.stacks().await.into_keys() {
            let answer = self.cloudformation.list_stack_resources().stack_name(name).send().await.expect("a list");
            let summaries = answer.stack_resource_summaries.unwrap_or_default();
            kinds.extend(summaries.into_iter().filter_map(|resource| resource.resource_type));
        }
        assert!(kinds.len() > 10, "{kinds:?}");
        kinds
    }

    async fn physical(&self, stack: &str, logical: &str) -> String {
        let request = self.cloudformation.describe_stack_resource().stack_name(stack).logical_resource_id(logical);
        let answer = request.send().await.unwrap_or_else(|error| panic!("{logical} of {stack}: {error:?}"));
        let id = answer.stack_resource_detail.and_then(|detail| detail.physical_resource_id);
        id.expect("a physical id")
    }

    pub(crate) async fn service(&self, spec: &StageSpec, logical: &str) -> Service {
        let arn = self.physical(&self.own(spec).await, &format!("{logical}Service")).await;
        let cluster = arn.rsplit('/').nth(1).expect("a cluster").to_owned();
        let answer = self.ecs.describe_services().cluster(cluster).services(&arn).send().await.expect("an answer");
        answer.services.unwrap_or_default().into_iter().next().unwrap_or_else(|| panic!("no service {arn}"))
    }

    pub(crate) async fn change_sets(&self, spec: &StageSpec) -> Vec<String> {
        let answer = self.cloudformation.list_change_sets().stack_name(self.own(spec).await).send().await;
        let summaries = answer.expect("a list").summaries.unwrap_or_default();
        summaries.into_iter().filter_map(|set| set.change_set_name).collect()
    }

    pub(crate) async fn template(&self, stack: &str) -> String {
        let answer = self.cloudformation.get_template().stack_name(stack).send().await.expect("a template");
        answer.template_body.expect("a text")
    }

    /// Puts a line before the foundation's text and another release's mark into it.
    pub(crate) async fn age_foundation(&self, line: &str) {
        let name = "greenroom-previews-foundation";
        let text = self.template(name).await;
        let mark = text.lines().find(|line| line.trim_start().starts_with("Template:")).expect("a mark");
        let text = format!("{line}{}", text.replace(mark, "  Template: { Value: older }"));
        let tag = aws_sdk_cloudformation::types::Tag::builder().key("greenroom:owner").value("greenroom").build();
        let update = self.cloudformation.update_stack().stack_name(name).template_body(text).tags(tag);
        let update = update.capabilities(aws_sdk_cloudformation::types::Capability::CapabilityIam);
        update.send().await.expect("updated");
        let begun = Instant::now();
        while self.stacks().await[name] != "UPDATE_COMPLETE" {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.stacks().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn listener(&self) -> String {
        self.physical("greenroom-previews-foundation", "HttpListener1").await
    }

    /// The priorities of the rules at the first load balancer, in order.
    pub(crate) async fn priorities(&self) -> Vec<String> {
        let answer = self.elb.describe_rules().listener_arn(self.listener().await).send().await.expect("rules");
        let priorities = answer.rules().iter().filter_map(|rule| rule.priority());
        let mut priorities: Vec<u32> = priorities.filter_map(|text| text.parse().ok()).collect();
        priorities.sort_unstable();
        priorities.iter().map(ToString::to_string).collect()
    }

    pub(crate) async fn rule_by_hand(&self, priority: &str, host: &str) {
        let hosts = HostHeaderConditionConfig::builder().values(host).build();
        let condition = RuleCondition::builder().field("host-header").host_header_config(hosts).build();
        let response = FixedResponseActionConfig::builder().status_code("200").build();
        let action = Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(response).build();
        let request =
            self.elb.create_rule().listener_arn(self.listener().await).priority(priority.parse().expect("a number"));
        request.conditions(condition).actions(action).send().await.expect("a rule");
    }

    async fn cluster(&self) -> String {
        self.physical("greenroom-previews-foundation", "Cluster").await
    }

    /// Takes the name that `CloudFormation` would give to a service.
    pub(crate) async fn service_by_hand(&self, name: &str) {
        let container = ContainerDefinition::builder().name("other").image("other").build();
        let made = self.ecs.register_task_definition().family("by-hand").container_definitions(container).send().await;
        made.expect("registered");
        let request = self.ecs.create_service().cluster(self.cluster().await).service_name(name);
        request.task_definition("by-hand").desired_count(0).send().await.expect("a service");
    }

    pub(crate) async fn drop_service(&self, name: &str) {
        let request = self.ecs.delete_service().cluster(self.cluster().await).service(name).force(true);
        request.send().await.expect("a service that was there");
    }

    pub(crate) async fn delete_stack(&self, name: &str) {
        self.cloudformation.delete_stack().stack_name(name).send().await.expect("deleted");
        let begun = Instant::now();
        while self.stacks().await.contains_key(name) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.stacks().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// How a Greenroom is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    /// As cheap as it can be.
    Plain,
    /// With everything that a setting can add.
    Rich,
}

pub(crate) fn slots() -> Arc<MemorySlots> {
    Arc::default()
}

pub(crate) fn resolved(name: &str, yaml: &str, addressing: &Addressing) -> StageSpec {
    let project = config::check(".github/greenroom.yml", yaml.as_bytes()).expect("a configuration that is right");
    let stage = StageId { repo: "acme/shop".parse().expect("a repository"), name: name.parse().expect("a name") };
    let sha = CommitSha::new("a".repeat(40)).expect("a commit");
    let rule = project.stages.iter().find(|rule| match &rule.pattern {
        StagePattern::Named(named) => named.as_str() == name,
        _ => name.starts_with("pr-"),
    });
    resolve(&project, rule.expect("a rule"), &stage, &sha, None, addressing)
}

pub(crate) async fn cloud(endpoint: &str, slots: Arc<MemorySlots>, make: Make) -> Arc<AwsCloud> {
    let is_rich = make == Make::Rich;
    let boundary = "arn:aws:iam::000000000000:policy/bound";
    let settings = AwsSettings {
        name: "greenroom".into(),
        endpoint: Some(endpoint.to_owned()),
        registry: None,
        nat_gateways: if is_rich { NatGateways::Two } else { NatGateways::None },
        preview_capacity: if is_rich { PreviewCapacity::FargateSpot } else { PreviewCapacity::Fargate },
        permissions_boundary: is_rich.then(|| boundary.to_owned()),
        proxy: None,
        clock: Arc::new(Fixed),
        slots,
    };
    Arc::new(AwsCloud::new(settings).await)
}

/// Asks again as the engine would, until it is done or fails.
pub(crate) async fn settle<T, F>(mut ask: impl FnMut() -> F) -> PortResult<T>
where
    F: Future<Output = PortResult<Progress<T>>>,
{
    let begun = Instant::now();
    let mut notes = Vec::new();
    hang::note("what was asked of the adapter is done");
    loop {
        match ask().await? {
            Progress::Done(done) => return Ok(done),
            Progress::Pending { again_millis, note } => {
                notes.push(note);
                assert!(begun.elapsed() < PATIENCE, "still at it: {notes:?}");
                // MiniStack is done in milliseconds where AWS takes minutes.
                let wait = u64::try_from(again_millis).unwrap_or(0).min(50);
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
        }
    }
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

/// Leases as the store gives them.
#[derive(Default)]
pub(crate) struct MemorySlots(Mutex<BTreeMap<String, BTreeMap<u32, String>>>);

#[async_trait]
impl Slots for MemorySlots {
    async fn take_slot(&self, pool: &str, holder: &str, avoid: &BTreeSet<u32>, last: u32) -> PortResult<Option<u32>> {
        let mut pools = self.0.lock().expect("no panic before");
        let pool = pools.entry(pool.to_owned()).or_default();
        let held = pool.iter().find(|(_, other)| *other == holder).map(|(number, _)| *number);
        let free = || (1..=last).find(|number| !pool.contains_key(number) && !avoid.contains(number));
        let number = held.or_else(free);
        if let Some(number) = number {
            pool.insert(number, holder.to_owned());
        }
        Ok(number)
    }

    async fn free_slot(&self, pool: &str, holder: &str) -> PortResult<()> {
        let mut pools = self.0.lock().expect("no panic before");
        pools.entry(pool.to_owned()).or_default().retain(|_, other| other != holder);
        Ok(())
    }

    async fn slots(&self, pool: &str) -> PortResult<Vec<(u32, String)>> {
        let pools = self.0.lock().expect("no panic before");
        Ok(pools.get(pool).into_iter().flatten().map(|(number, holder)| (*number, holder.clone())).collect())
    }
}
