//! One stage on MiniStack as a rollout finds it: a prepared stack, a service at rest, and a door that
//! leads requests to the registered targets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::{StackStatus, Tag};
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, ContainerDefinition, DeploymentCircuitBreaker, DeploymentConfiguration, LaunchType,
    LoadBalancer, NetworkConfiguration, NetworkMode,
};
use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetTypeEnum};
use greenroom::aws::{AwsCloud, AwsSettings, NatGateways, OutboundProxy, PreviewCapacity};
use greenroom::model::{
    Artifact, AwsTarget, Generation, Health, ImageSpec, Migrate, Output, Place, Runtime, Scale, Seconds, ServiceSpec,
    Size, StageId, StageKind, StageSpec, Timestamp, Trust, VersionKey,
};
use greenroom::port::{Clock, Cloud, Phase, PortError, PortResult, Progress, Rollout, Site, Slots};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::door::{HOST, ask, open_door};
use crate::hang::PATIENCE;
use crate::ministack::{ACCOUNT, Containers, MiniStack, REGION};

pub(crate) const CLUSTER: &str = "previews";
const LOG_GROUP: &str = "/greenroom/acme/shop/pr-1/web";
/// As init, a shell does not die of a polite signal unless it is told to.
pub(crate) const SERVE: &str = "trap 'kill $!; exit 0' TERM; mkdir -p /www; echo fine > /www/health; echo $NAME > /www/name; echo $NAME listens on $PORT; httpd -f -p $PORT -h /www & wait";

/// The machine's own time: MiniStack's tasks carry it too.
struct MachineClock;

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "a test of real parts has real time")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        Timestamp(i64::try_from(since.as_millis()).expect("not that late"))
    }
}

/// A rollout takes no numbers.
struct NoSlots;

#[async_trait]
impl Slots for NoSlots {
    async fn take_slot(
        &self,
        _: &str,
        _: &str,
        _: &std::collections::BTreeSet<u32>,
        _: u32,
    ) -> PortResult<Option<u32>> {
        Ok(None)
    }

    async fn free_slot(&self, _: &str, _: &str) -> PortResult<()> {
        Ok(())
    }

    async fn slots(&self, _: &str) -> PortResult<Vec<(u32, String)>> {
        Ok(Vec::new())
    }
}

/// One version on its way.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) spec: StageSpec,
    pub(crate) version: VersionKey,
    pub(crate) artifact: Artifact,
    pub(crate) generation: Generation,
}

impl Step {
    pub(crate) fn service(&mut self) -> &mut ServiceSpec {
        &mut self.spec.services[0]
    }

    pub(crate) fn migrating(mut self, script: &str, timeout: u64) -> Self {
        let command = ["/bin/busybox", "sh", "-c", script].map(str::to_owned).to_vec();
        self.service().migrate = Some(Migrate { command, timeout: Seconds(timeout) });
        self
    }
}

pub(crate) struct World {
    pub(crate) aws: MiniStack,
    pub(crate) cloud: AwsCloud,
    pub(crate) stage: StageId,
    pub(crate) place: Place,
    pub(crate) ecs: aws_sdk_ecs::Client,
    config: SdkConfig,
    door: SocketAddr,
    images: Vec<String>,
    generations: AtomicU64,
}

#[expect(clippy::disallowed_methods, reason = "a test finds its engine as every user of docker does")]
fn environment() -> BTreeMap<String, String> {
    let named = ["PATH", "HOME", "DOCKER_HOST"];
    named.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect()
}

pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).envs(environment()).env("DOCKER_BUILDKIT", "0").output();
    let output = output.expect("these tests need the docker command line: install docker.io or docker-ce-cli");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "these tests need a Docker engine that answers: docker {arguments:?} said {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl World {
    pub(crate) async fn new(containers: Containers) -> Self {
        let aws = MiniStack::start(containers).await;
        let config = aws.config().await;
        let elb = aws_sdk_elasticloadbalancingv2::Client::new(&config);
        let group = elb.create_target_group().name("pr-1-web").protocol(ProtocolEnum::Http).port(8080);
        let group = group.target_type(TargetTypeEnum::Ip).vpc_id("vpc-1").send().await.expect("a target group");
        let group = group.target_groups()[0].target_group_arn().expect("an ARN").to_owned();
        let door = open_door(elb, group.clone()).await;
        let cloud = adapter(&aws, aws.endpoint(), door).await;
        let stage =
            StageId { repo: "acme/shop".parse().expect("a repository"), name: "pr-1".parse().expect("a stage") };
        let place = Place {
            app: Some("shop".parse().expect("an app")),
            aws: Some(AwsTarget { region: REGION.into(), account: ACCOUNT.into(), role: None }),
            ..Place::default()
        };
        let ecs = aws_sdk_ecs::Client::new(&config);
        let world =
            Self { aws, cloud, stage, place, ecs, config, door, images: Vec::new(), generations: AtomicU64::new(0) };
        world.prepare(&group).await;
        world
    }

    /// What preparing a stage leaves: a cluster, a service at rest, and a stack that names them.
    async fn prepare(&self, group: &str) {
        self.ecs.create_cluster().cluster_name(CLUSTER).send().await.expect("a cluster");
        let logs = aws_sdk_cloudwatchlogs::Client::new(&self.config);
        logs.create_log_group().log_group_name(LOG_GROUP).send().await.expect("a log group");
        let container = ContainerDefinition::builder().name("web").image("scratch").build();
        let first = self.ecs.register_task_definition().family(self.family()).container_definitions(container);
        let first = first.network_mode(NetworkMode::Awsvpc).send().await.expect("a first definition");
        let first = first.task_definition().and_then(|made| made.task_definition_arn()).expect("an ARN").to_owned();
        let network = AwsVpcConfiguration::builder().subnets("subnet-1").build().expect("a network");
        let breaker = DeploymentCircuitBreaker::builder().enable(true).rollback(true).build();
        let balancer = LoadBalancer::builder().target_group_arn(group).container_name("web").container_port(8080);
        self.ecs
            .create_service()
            .cluster(CLUSTER)
            .service_name("pr-1-web")
            .task_definition(first)
            .desired_count(0)
            .launch_type(LaunchType::Fargate)
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .deployment_configuration(
                DeploymentConfiguration::builder()
                    .minimum_healthy_percent(100)
                    .maximum_percent(200)
                    .deployment_circuit_breaker(breaker)
                    .build(),
            )
            .load_balancers(balancer.build())
            .send()
            .await
            .expect("a service");
        self.make_stack(group).await;
    }

    async fn make_stack(&self, group: &str) {
        let role = format!("arn:aws:iam::{ACCOUNT}:role/greenroom");
        let outputs = [
            ("Blueprint", "b1"),
            ("Cluster", CLUSTER),
            ("ExecutionRole", &role),
            ("TaskRole", &role),
            ("Subnets", "subnet-1,subnet-2"),
            ("SecurityGroup", "sg-1"),
            ("PublicAddress", "ENABLED"),
            ("Service1", &format!("web,pr-1-web,{group},{LOG_GROUP}")),
        ];
        let outputs: serde_json::Map<String, serde_json::Value> =
            outputs.into_iter().map(|(key, value)| (key.to_owned(), serde_json::json!({ "Value": value }))).collect();
        let template = serde_json::json!({
            "Resources": { "Mark": { "Type": "AWS::Logs::LogGroup", "Properties": { "LogGroupName": "/mark" } } },
            "Outputs": outputs,
        });
        let stacks = aws_sdk_cloudformation::Client::new(&self.config);
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let create = stacks.create_stack().stack_name(self.stack()).template_body(template.to_string());
        let create = create.tags(tag("greenroom:owner", "greenroom"));
        let create = create.tags(tag("greenroom:repo", self.stage.repo.as_str()));
        let create = create.tags(tag("greenroom:stage", self.stage.name.as_str()));
        create.send().await.expect("a stack");
        let begun = Instant::now();
        loop {
            let described = stacks.describe_stacks().stack_name(self.stack()).send().await.expect("a description");
            match described.stacks()[0].stack_status() {
                Some(StackStatus::CreateComplete) => return,
                status => assert!(begun.elapsed() < PATIENCE, "the stack is {status:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn stack(&self) -> String {
        let hash = hex::encode(&Sha256::digest(self.stage.to_string().as_bytes())[..4]);
        format!("greenroom-pr-1-shop-{hash}")
    }

    pub(crate) fn family(&self) -> String {
        format!("{}-web", self.stack())
    }

    /// A process that starts anew and remembers nothing.
    pub(crate) async fn restarted(&self) -> AwsCloud {
        self.restarted_at(self.aws.endpoint()).await
    }

    /// One that finds AWS elsewhere.
    pub(crate) async fn restarted_at(&self, endpoint: String) -> AwsCloud {
        adapter(&self.aws, endpoint, self.door).await
    }

    /// Builds an image that runs a script, and pushes it.
    pub(crate) async fn image(&mut self, name: &str, script: &str) -> Artifact {
        let ecr = aws_sdk_ecr::Client::new(&self.config);
        // There already after the first.
        let _ = ecr.create_repository().repository_name("greenroom/acme/shop/web").send().await;
        let context = tempfile::tempdir().expect("a folder");
        let busybox = ["/usr/bin/busybox", "/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists());
        let busybox = busybox.expect("these tests need a static busybox: install busybox-static");
        std::fs::copy(busybox, context.path().join("busybox")).expect("a copy of busybox");
        let command = serde_json::to_string(&["/bin/busybox", "sh", "-c", script]).expect("a list of words");
        let setup = "RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]";
        let recipe =
            format!("FROM scratch\nCOPY busybox /bin/busybox\n{setup}\nENV PATH=/bin NAME={name}\nCMD {command}\n");
        std::fs::write(context.path().join("Dockerfile"), recipe).expect("a Dockerfile");
        let repository = format!("{}/greenroom/acme/shop/web", self.aws.registry());
        let tag = format!("{repository}:{name}");
        // An image that another test removes just now could be taken for a cached one.
        docker(&["build", "--quiet", "--no-cache", "--tag", &tag, context.path().to_str().expect("a plain path")]);
        self.images.push(tag.clone());
        docker(&["push", "--quiet", &tag]);
        let digests = docker(&["inspect", "--format", "{{join .RepoDigests \"\\n\"}}", &tag]);
        let reference = digests.lines().find(|line| line.starts_with(&repository)).expect("a digest").to_owned();
        let digest = reference.split_once('@').expect("a digest").1.to_owned();
        Artifact { reference, digest }
    }

    /// The next goal: this image, as its own version.
    pub(crate) fn goal(&self, artifact: &Artifact) -> Step {
        let number = self.generations.fetch_add(1, Ordering::SeqCst) + 1;
        let runtime = Runtime::Image(ImageSpec {
            context: ".".into(),
            dockerfile: "Dockerfile".into(),
            target: None,
            platform: None,
            args: BTreeMap::new(),
        });
        let service = ServiceSpec {
            name: "web".parse().expect("a service"),
            runtime,
            port: Some(8080),
            host: Some(HOST.into()),
            url: Some(format!("http://{HOST}")),
            size: Size { cpu: 256, memory: 512 },
            scale: Scale { min: 1, max: 1, cpu: None, memory: None },
            health: Health {
                path: "/health".into(),
                status: 200,
                interval: Seconds(1),
                timeout: Seconds(5),
                healthy: 2,
                unhealthy: 3,
                grace: Seconds(30),
            },
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            migrate: None,
            needs: vec![],
            paths: vec![],
            drain: Seconds(2),
            canary: None,
            edition: None,
        };
        let spec = StageSpec {
            stage: self.stage.clone(),
            sha: "0123456789012345678901234567890123456789".parse().expect("a commit"),
            pull: None,
            kind: StageKind::Ephemeral,
            place: self.place.clone(),
            services: vec![service],
            expires: None,
            digest: "digest".into(),
            file: String::new(),
            origin: None,
            trust: Trust::Preview,
            pinned: None,
            label: None,
            builds: greenroom::model::Builds::default(),
            only: Vec::new(),
        };
        let version = VersionKey(format!("{number:016x}"));
        let generation = Generation(i64::try_from(number).expect("a small number"));
        Step { spec, version, artifact: artifact.clone(), generation }
    }

    pub(crate) fn site(&self) -> Site<'_> {
        Site { stage: &self.stage, place: &self.place }
    }

    pub(crate) async fn settle(&self, phase: Phase, step: &Step) -> PortResult<Output> {
        let begun = Instant::now();
        loop {
            let (again_millis, note) = match ensure(&self.cloud, phase, step).await {
                Ok(Progress::Done(output)) => return Ok(output),
                Ok(Progress::Pending { again_millis, note }) => (again_millis.unsigned_abs(), note),
                // As the engine does.
                Err(PortError::Retry { reason, .. }) => (1_000, reason),
                Err(error) => return Err(error),
            };
            assert!(begun.elapsed() < PATIENCE, "{phase:?} takes too long: {note}\n{}", self.aws.log());
            tokio::time::sleep(Duration::from_millis(again_millis)).await;
        }
    }

    pub(crate) async fn go_live(&self, step: &Step) {
        for phase in [Phase::Migrate, Phase::Start, Phase::Shift, Phase::Check, Phase::Retire] {
            let settled = self.settle(phase, step).await;
            assert!(settled.is_ok(), "{phase:?} of {}: {settled:?}\n{}", step.version, self.aws.log());
        }
    }

    /// What the door answers now.
    pub(crate) async fn name(&self) -> String {
        ask(self.door, "/name").await.unwrap_or_default()
    }

    /// Asks without a pause until it is told to stop, and counts the answers; what was not answered.
    pub(crate) fn load(&self, stop: CancellationToken, answered: Arc<AtomicU64>) -> JoinHandle<Vec<String>> {
        let door = self.door;
        tokio::spawn(async move {
            let mut failed = Vec::new();
            while !stop.is_cancelled() {
                match ask(door, "/health").await {
                    Ok(body) if body == "fine" => drop(answered.fetch_add(1, Ordering::SeqCst)),
                    other => failed.push(format!("{other:?}")),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            failed
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for image in &self.images {
            docker(&["rmi", "--force", image]);
        }
    }
}

pub(crate) async fn ensure(cloud: &AwsCloud, phase: Phase, step: &Step) -> PortResult<Progress<Output>> {
    let rollout = Rollout {
        stage: &step.spec,
        service: &step.spec.services[0],
        artifact: &step.artifact,
        version: &step.version,
        generation: step.generation,
    };
    cloud.ensure(phase, &rollout).await
}

async fn adapter(aws: &MiniStack, endpoint: String, door: SocketAddr) -> AwsCloud {
    let settings = AwsSettings {
        name: "greenroom".into(),
        endpoint: Some(endpoint),
        registry: Some(aws.registry()),
        nat_gateways: NatGateways::None,
        preview_capacity: PreviewCapacity::Fargate,
        permissions_boundary: None,
        proxy: Some(OutboundProxy {
            http: Some(format!("http://{door}").into()),
            https: None,
            no: "localhost,127.0.0.1".into(),
        }),
        clock: Arc::new(MachineClock),
        slots: Arc::new(NoSlots),
    };
    AwsCloud::new(settings).await
}
