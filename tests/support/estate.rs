//! What stands on AWS because of stages, by asking AWS alone.
//!
//! What stages share (the foundation) is told apart by its stacks' names and left out.

use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::StackStatus;
use aws_sdk_ecs::types::TaskDefinitionStatus;

/// In the name of every stack that stages share.
const FOUNDATION: &str = "foundation";

/// Each field sorted, by name or ARN.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Estate {
    pub(crate) stacks: Vec<String>,
    pub(crate) services: Vec<String>,
    pub(crate) target_groups: Vec<String>,
    /// `priority host`
    pub(crate) rules: Vec<String>,
    pub(crate) definitions: Vec<String>,
    pub(crate) log_groups: Vec<String>,
    /// `repository:tag`
    pub(crate) images: Vec<String>,
    /// Tasks that run or will.
    pub(crate) tasks: Vec<String>,
}

impl Estate {
    /// Everything of the Greenroom of this name, whose log groups lie under `/name/owner/`.
    pub(crate) async fn read(config: &SdkConfig, name: &str, owner: &str) -> Self {
        let stacks = stacks(config).await.into_iter().filter(|stack| !stack.contains(FOUNDATION)).collect();
        let mut estate = Self { stacks, ..Self::default() };
        estate.read_ecs(config).await;
        estate.read_balancers(config).await;
        let logs = aws_sdk_cloudwatchlogs::Client::new(config);
        let groups = logs.describe_log_groups().log_group_name_prefix(format!("/{name}/{owner}/")).send().await;
        let groups = groups.expect("log groups are told").log_groups.unwrap_or_default();
        estate.log_groups = groups.into_iter().filter_map(|group| group.log_group_name).collect();
        estate.images = images(config).await;
        for list in [&mut estate.services, &mut estate.target_groups, &mut estate.rules, &mut estate.definitions] {
            list.sort();
        }
        estate
    }

    async fn read_ecs(&mut self, config: &SdkConfig) {
        let ecs = aws_sdk_ecs::Client::new(config);
        let clusters = ecs.list_clusters().send().await.expect("clusters are told");
        for cluster in clusters.cluster_arns() {
            let services =
                ecs.list_services().cluster(cluster).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
            self.services.extend(services.await.expect("services are told"));
            let tasks =
                ecs.list_tasks().cluster(cluster).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
            self.tasks.extend(tasks.await.expect("tasks are told"));
        }
        let active = ecs.list_task_definitions().status(TaskDefinitionStatus::Active).into_paginator().items();
        let active = active.send().collect::<Result<Vec<_>, _>>().await.expect("task definitions are told");
        self.definitions = active.iter().map(|arn| arn.rsplit('/').next().unwrap_or(arn).to_owned()).collect();
    }

    async fn read_balancers(&mut self, config: &SdkConfig) {
        let elb = aws_sdk_elasticloadbalancingv2::Client::new(config);
        let groups = elb.describe_target_groups().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let groups = groups.await.expect("target groups are told");
        self.target_groups = groups.into_iter().filter_map(|group| group.target_group_arn).collect();
        let balancers = elb.describe_load_balancers().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        for balancer in balancers.await.expect("load balancers are told") {
            let listeners = elb.describe_listeners().set_load_balancer_arn(balancer.load_balancer_arn).send().await;
            for listener in listeners.expect("listeners are told").listeners.unwrap_or_default() {
                let rules = elb.describe_rules().set_listener_arn(listener.listener_arn).send().await;
                let rules = rules.expect("rules are told").rules.unwrap_or_default();
                self.rules.extend(rules.iter().filter(|rule| rule.is_default() != Some(true)).map(named));
            }
        }
    }

    /// Everything as `kind name`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let kinds = [
            ("stack", &self.stacks),
            ("service", &self.services),
            ("target group", &self.target_groups),
            ("rule", &self.rules),
            ("task definition", &self.definitions),
            ("log group", &self.log_groups),
            ("image", &self.images),
            ("task", &self.tasks),
        ];
        kinds.iter().flat_map(|(kind, list)| list.iter().map(move |name| format!("{kind} {name}"))).collect()
    }
}

/// The names of all stacks that are there, foundations too.
pub(crate) async fn stacks(config: &SdkConfig) -> Vec<String> {
    let cloudformation = aws_sdk_cloudformation::Client::new(config);
    let stacks = cloudformation.describe_stacks().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let mut stacks = stacks.await.expect("stacks are told");
    stacks.retain(|stack| stack.stack_status != Some(StackStatus::DeleteComplete));
    let mut names: Vec<String> = stacks.into_iter().filter_map(|stack| stack.stack_name).collect();
    names.sort();
    names
}

/// How many events a stack has had: it grows with every operation.
pub(crate) async fn stack_events(config: &SdkConfig, stack: &str) -> usize {
    let cloudformation = aws_sdk_cloudformation::Client::new(config);
    let events = cloudformation.describe_stack_events().stack_name(stack).into_paginator().items().send();
    events.collect::<Result<Vec<_>, _>>().await.expect("events are told").len()
}

async fn images(config: &SdkConfig) -> Vec<String> {
    let ecr = aws_sdk_ecr::Client::new(config);
    let repositories = ecr.describe_repositories().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let mut images = Vec::new();
    for repository in repositories.await.expect("repositories are told") {
        let name = repository.repository_name.unwrap_or_default();
        let list = ecr.list_images().repository_name(&name).into_paginator().items().send();
        let list = list.collect::<Result<Vec<_>, _>>().await.expect("images are told");
        images.extend(list.iter().map(|image| format!("{name}:{}", image.image_tag().unwrap_or("untagged"))));
    }
    images.sort();
    images
}

fn named(rule: &aws_sdk_elasticloadbalancingv2::types::Rule) -> String {
    let hosts = rule.conditions().iter().flat_map(|condition| {
        condition.host_header_config().map_or_else(|| condition.values(), |config| config.values())
    });
    let hosts: Vec<&str> = hosts.map(String::as_str).collect();
    format!("{:0>3} {}", rule.priority().unwrap_or_default(), hosts.join(","))
}

/// Test binaries share this file, and each uses another part of it.
const _: () = {
    let _ = (Estate::read, Estate::lines, stacks, stack_events);
};
