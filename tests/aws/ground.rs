//! Ground for tests of teardown: a foundation and stages as the adapter makes them, made by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::Tag;
use aws_sdk_ecs::types::{ContainerDefinition, Tag as EcsTag};
use greenroom::aws::{AwsCloud, AwsSettings, NatGateways, PreviewCapacity};
use greenroom::model::{Place, Resource, StageId, StageKind, Timestamp};
use greenroom::port::{Clock, Cloud, PortResult, Progress, Site, Slots, Store};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::hang::PATIENCE;
use crate::ministack::{Containers, MiniStack};

pub(crate) const POOL: &str = "greenroom-previews-foundation";
pub(crate) const REPOSITORY: &str = "greenroom/acme/shop/web";

/// Far ahead of everything that is made, so that nothing is too young.
struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        Timestamp(4_000_000_000_000)
    }
}

/// An AWS with a foundation, and the adapter over it.
pub(crate) struct Ground {
    pub(crate) cloud: AwsCloud,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: SdkConfig,
    shared: BTreeMap<String, String>,
    _folder: TempDir,
    aws: MiniStack,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let aws = MiniStack::start(Containers::Pretended).await;
        let config = aws.config().await;
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("greenroom.db").display());
        let store = greenroom::store::open(&url).await.expect("a database");
        let cloud = adapter(aws.endpoint(), &store).await;
        let mut ground = Self { cloud, store, config, shared: BTreeMap::new(), _folder: folder, aws };
        ground.shared = ground.stack(POOL, &foundation(), &[]).await;
        let repository = aws_sdk_ecr::Client::new(&ground.config).create_repository().repository_name(REPOSITORY);
        repository.send().await.expect("a repository");
        ground
    }

    pub(crate) fn port(&self) -> u16 {
        self.aws.port()
    }

    /// The adapter once more: one that finds AWS elsewhere.
    pub(crate) async fn adapter_at(&self, endpoint: String) -> AwsCloud {
        adapter(endpoint, &self.store).await
    }

    pub(crate) fn cloudformation(&self) -> aws_sdk_cloudformation::Client {
        aws_sdk_cloudformation::Client::new(&self.config)
    }

    pub(crate) fn ecs(&self) -> aws_sdk_ecs::Client {
        aws_sdk_ecs::Client::new(&self.config)
    }

    pub(crate) fn cluster(&self) -> &str {
        &self.shared["Cluster"]
    }

    /// Makes a stack, waits until it is complete, and answers its outputs.
    pub(crate) async fn stack(&self, name: &str, template: &Value, tags: &[(&str, &str)]) -> BTreeMap<String, String> {
        let client = self.cloudformation();
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build()).collect();
        let create = client.create_stack().stack_name(name).template_body(template.to_string()).set_tags(Some(tags));
        create.send().await.expect("a stack");
        let begun = Instant::now();
        loop {
            let answer = client.describe_stacks().stack_name(name).send().await.expect("the stack");
            let stack = answer.stacks().first().expect("the stack");
            let status = stack.stack_status().expect("a status").as_str();
            if status == "CREATE_COMPLETE" {
                let pair = |output: &aws_sdk_cloudformation::types::Output| {
                    Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))
                };
                return stack.outputs().iter().filter_map(pair).collect();
            }
            assert!(status == "CREATE_IN_PROGRESS", "{name} is {status}: {:?}", stack.stack_status_reason());
            assert!(begun.elapsed() < PATIENCE, "{name} is not complete");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes a stage with everything that one has: its stack, revisions of its task definition, a
    /// log group of earlier times, images, a number.
    pub(crate) async fn stage(&self, stage: &StageId, priority: u32) {
        for _ in 0..2 {
            self.task_definition(stage).await;
        }
        self.stack(&stack_name(stage), &self.template(stage, priority), &pairs(&tags(stage, "ephemeral"))).await;
        self.log_group(&format!("/greenroom/{}/{}/old", stage.repo, stage.name)).await;
        self.image(u64::from(priority), &[stage.name.as_str()]).await;
        let holder = format!("{stage}/web");
        self.store.take_slot(POOL, &holder, &[].into(), 95).await.expect("a number").expect("a free number");
    }

    fn template(&self, stage: &StageId, priority: u32) -> Value {
        let (vpc, listener) = (&self.shared["Vpc"], &self.shared["Listener"]);
        let family = format!("{}-web", stack_name(stage));
        json!({
            "Resources": {
                "Log": { "Type": "AWS::Logs::LogGroup", "Properties": {
                    "LogGroupName": format!("/greenroom/{}/{}/web", stage.repo, stage.name) } },
                "Target": { "Type": "AWS::ElasticLoadBalancingV2::TargetGroup", "Properties": {
                    "Port": 80, "Protocol": "HTTP", "VpcId": vpc, "TargetType": "ip" } },
                "Rule": { "Type": "AWS::ElasticLoadBalancingV2::ListenerRule", "Properties": {
                    "ListenerArn": listener, "Priority": priority,
                    "Conditions": [{ "Field": "host-header", "Values": [format!("{}.example.test", stage.name)] }],
                    "Actions": [{ "Type": "forward", "TargetGroupArn": { "Ref": "Target" } }] } },
                "Service": { "Type": "AWS::ECS::Service", "DependsOn": "Rule", "Properties": {
                    "Cluster": self.cluster(), "ServiceName": stack_name(stage), "DesiredCount": 1,
                    "TaskDefinition": format!("{family}:1"), "LaunchType": "FARGATE" } },
            },
            "Outputs": { "Cluster": { "Value": self.cluster() } },
        })
    }

    pub(crate) async fn task_definition(&self, stage: &StageId) {
        let family = format!("{}-web", stack_name(stage));
        let container = ContainerDefinition::builder().name("web").image("web").build();
        let register = self.ecs().register_task_definition().family(family).container_definitions(container);
        let tag = |(key, value): (String, String)| EcsTag::builder().key(key).value(value).build();
        let tags = tags(stage, "ephemeral").into_iter().map(tag).collect();
        register.set_tags(Some(tags)).send().await.expect("a task definition");
    }

    /// A service that no stack holds.
    pub(crate) async fn stray_service(&self, stage: &StageId) {
        self.stray_service_called(stage, &format!("stray-{}", stage.name)).await;
    }

    pub(crate) async fn stray_service_called(&self, stage: &StageId, name: &str) {
        let tag = |(key, value): (String, String)| EcsTag::builder().key(key).value(value).build();
        let tags = tags(stage, "ephemeral").into_iter().map(tag).collect();
        let create = self.ecs().create_service().cluster(self.cluster()).service_name(name);
        let create = create.task_definition("stray").desired_count(1).set_tags(Some(tags));
        create.send().await.expect("a service");
    }

    pub(crate) async fn log_group(&self, name: &str) {
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.config);
        logs.create_log_group().log_group_name(name).send().await.expect("a log group");
    }

    /// An image that these stages use.
    pub(crate) async fn image(&self, content: u64, stages: &[&str]) {
        let hash = format!("{content:040}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "size": 2,
                "digest": format!("sha256:{content:064}") },
            "layers": [],
        });
        let tags = stages.iter().map(|stage| format!("s-{stage}-{hash}")).chain([format!("c-{hash}")]);
        let ecr = aws_sdk_ecr::Client::new(&self.config);
        for tag in tags {
            let put = ecr.put_image().repository_name(REPOSITORY).image_manifest(manifest.to_string());
            let put = put.image_manifest_media_type("application/vnd.docker.distribution.manifest.v2+json");
            put.image_tag(tag).send().await.expect("an image");
        }
    }

    /// All tags of all images, sorted.
    pub(crate) async fn image_tags(&self) -> Vec<String> {
        let ecr = aws_sdk_ecr::Client::new(&self.config);
        let answer = ecr.describe_images().repository_name(REPOSITORY).send().await.expect("images");
        let mut tags: Vec<String> =
            answer.image_details().iter().flat_map(|image| image.image_tags().to_vec()).collect();
        tags.sort();
        tags
    }

    pub(crate) async fn inventory(&self, stage: &StageId, place: &Place) -> Vec<Resource> {
        self.cloud.inventory(Site { stage, place }).await.expect("an inventory")
    }

    /// Removes one thing, asking again as the engine would.
    pub(crate) async fn remove(&self, stage: &StageId, place: &Place, resource: &Resource) -> PortResult<()> {
        let begun = Instant::now();
        while let Progress::Pending { note, .. } = self.cloud.remove(Site { stage, place }, resource).await? {
            assert!(begun.elapsed() < PATIENCE, "{resource} does not go: {note}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    pub(crate) async fn stages(&self, known: &[(StageId, Place)]) -> Vec<String> {
        let found = self.cloud.stages(known).await.expect("stages");
        found.iter().map(|(stage, place)| format!("{stage} {:?}", place.kind).to_lowercase()).collect()
    }
}

async fn adapter(endpoint: String, store: &Arc<dyn Store>) -> AwsCloud {
    let slots: Arc<dyn Slots> = store.clone();
    let settings = AwsSettings {
        name: "greenroom".into(),
        endpoint: Some(endpoint),
        registry: None,
        nat_gateways: NatGateways::None,
        preview_capacity: PreviewCapacity::Fargate,
        permissions_boundary: None,
        proxy: None,
        clock: Arc::new(Later),
        slots,
    };
    AwsCloud::new(settings).await
}

pub(crate) fn id(name: &str) -> StageId {
    StageId { repo: "acme/shop".parse().expect("a name"), name: name.parse().expect("a name") }
}

/// As the adapter names it, found out by itself here: a change of names leaves what exists behind.
pub(crate) fn stack_name(stage: &StageId) -> String {
    let hash = hex::encode(&Sha256::digest(stage.to_string().as_bytes())[..4]);
    format!("greenroom-{}-{}-{hash}", stage.name, stage.repo.name())
}

pub(crate) fn tags(stage: &StageId, kind: &str) -> Vec<(String, String)> {
    let (repo, name) = (stage.repo.to_string(), stage.name.to_string());
    [("owner", "greenroom"), ("app", "shop"), ("repo", &repo), ("stage", &name), ("kind", kind)]
        .map(|(key, value)| (format!("greenroom:{key}"), value.to_owned()))
        .to_vec()
}

pub(crate) fn pairs(tags: &[(String, String)]) -> Vec<(&str, &str)> {
    tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

pub(crate) fn permanent() -> Place {
    Place { kind: StageKind::Permanent, ..Place::default() }
}

/// As much of a foundation as stages need.
pub(crate) fn foundation() -> Value {
    let subnet = |zone: &str, block: &str| {
        json!({ "Type": "AWS::EC2::Subnet", "Properties": {
            "VpcId": { "Ref": "Vpc" }, "CidrBlock": block, "AvailabilityZone": zone } })
    };
    json!({
        "Resources": {
            "Vpc": { "Type": "AWS::EC2::VPC", "Properties": { "CidrBlock": "10.0.0.0/16" } },
            "A": subnet("us-east-1a", "10.0.0.0/24"),
            "B": subnet("us-east-1b", "10.0.1.0/24"),
            "Cluster": { "Type": "AWS::ECS::Cluster", "Properties": {} },
            "Balancer": { "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {
                "Type": "application", "Subnets": [{ "Ref": "A" }, { "Ref": "B" }] } },
            "Listener": { "Type": "AWS::ElasticLoadBalancingV2::Listener", "Properties": {
                "LoadBalancerArn": { "Ref": "Balancer" }, "Port": 80, "Protocol": "HTTP",
                "DefaultActions": [{ "Type": "fixed-response", "FixedResponseConfig": { "StatusCode": "404" } }] } },
        },
        "Outputs": {
            "Vpc": { "Value": { "Ref": "Vpc" } },
            "Cluster": { "Value": { "Ref": "Cluster" } },
            "Listener": { "Value": { "Ref": "Listener" } },
        },
    })
}
