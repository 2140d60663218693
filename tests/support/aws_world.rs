//! The world of a story on AWS in one process: sandbox GitHub, the real engine and the real adapter,
//! MiniStack without containers behind a door that can fail, and a clock that runs fast.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use greenroom::aws::{AwsCloud, AwsSettings, NatGateways, OutboundProxy, PreviewCapacity};
use greenroom::engine::{Engine, EngineSettings, Ports};
use greenroom::github::{GitHub, GitHubSettings};
use greenroom::model::{
    Artifact, CommitSha, Output, PullNumber, RepoName, ServiceName, ServiceSpec, StageId, StageName, StageRecord,
    StageStatus, Timestamp, Wall,
};
use greenroom::port::{BuildJob, Builder, Clock, Cloud, PortResult, Progress, Site, Slots, Store, Tarball};
use greenroom::sandbox::{FileChange, Sandbox, SandboxBuilder, SandboxSettings, WebhookTarget};
use greenroom::server::{self, DoorMetrics, DoorState, Limits};
use greenroom::wire::Secrets;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::edge::{Edge, Targets};
use crate::estate::Estate;
use crate::faulty::Faulty;
use crate::hang;
use crate::hang::PATIENCE;
use crate::ministack::{ACCOUNT, MiniStack, REGION};
use crate::objects;

/// 2026-11-20 06:00 UTC.
const START: i64 = 1_795_154_400_000;
/// How much faster the clock runs: MiniStack needs real time for what it does, and what Greenroom
/// waits for should not take long.
const SPEED: i64 = 20;
/// What falls due within this much time, a settled world has done.
const HORIZON_MILLIS: i64 = 120_000;
const NAME: &str = "greenroom";
const SECRET: &str = "a secret of the stories on AWS";

/// The machine's clock, faster, and turned on by hand.
pub(crate) struct FastClock {
    begun: Instant,
    turned: AtomicI64,
    /// Milliseconds of it in one of the machine's.
    speed: i64,
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.begun.elapsed().as_millis()).expect("not that long");
        Timestamp(START + passed * self.speed + self.turned.load(Ordering::SeqCst))
    }
}

impl FastClock {
    pub(crate) fn advance(&self, millis: i64) {
        self.turned.fetch_add(millis, Ordering::SeqCst);
    }
}

/// Everything.
pub(crate) struct World {
    pub(crate) github: Sandbox,
    pub(crate) door: Faulty,
    pub(crate) clock: Arc<FastClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) repo: RepoName,
    pub(crate) ports: Ports,
    pub(crate) config: aws_config::SdkConfig,
    /// Where AWS is for a state that lies in a bucket of its.
    state: Option<String>,
    edge: Edge,
    webhooks: JoinHandle<()>,
    _folder: TempDir,
}

/// Where what is known of stages lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// In a server's database.
    Database,
    /// In a bucket, as the state of a workflow.
    State,
}

/// Everybody's stages are served.
fn serving_all() -> EngineSettings {
    let wall = Wall { allow: "acme/*".parse().expect("a list"), ..Wall::default() };
    EngineSettings { wall, ..EngineSettings::default() }
}

/// Two services, one with an address and a migration, one a worker.
fn project() -> String {
    format!(
        r#"
version: 1
app: shop
aws: {{ region: {REGION}, account: "{ACCOUNT}" }}
domain: {{ zone: example.test, dns: none }}
services:
  web:
    kind: ecs
    build: {{}}
    host: "@"
    port: 8080
    health: {{ path: /health }}
    migrate: {{ command: ["migrate"] }}
  worker:
    kind: ecs
    build: {{}}
"#
    )
}

impl World {
    /// A shop on an AWS on which nothing stands.
    pub(crate) async fn on(aws: &MiniStack) -> Self {
        Self::of(aws, SPEED, &project()).await
    }

    /// The same, which knows its stages from there.
    pub(crate) async fn keeping(aws: &MiniStack, keep: Keep) -> Self {
        Self::all_of(aws, SPEED, &project(), keep).await
    }

    /// The same with another project, and a clock of another speed.
    pub(crate) async fn of(aws: &MiniStack, speed: i64, project: &str) -> Self {
        Self::all_of(aws, speed, project, Keep::Database).await
    }

    async fn all_of(aws: &MiniStack, speed: i64, project: &str, keep: Keep) -> Self {
        hang::watch();
        aws.reset().await;
        let clock = Arc::new(FastClock { begun: Instant::now(), turned: AtomicI64::new(0), speed });
        let folder = tempfile::tempdir().expect("a folder");
        let github = Sandbox::start(SandboxSettings::new(clock.clone())).await.expect("a sandbox");
        let files = [FileChange::write(".github/greenroom.yml", project), FileChange::write("app", "1")];
        let repo = github.create_repo("acme/shop", files).expect("a repository");
        let state = (keep == Keep::State).then(|| aws.endpoint());
        let store = match &state {
            None => open_store(folder.path()).await,
            Some(endpoint) => {
                objects::bucket(aws).await;
                open_state(endpoint, &github, &repo).await
            }
        };
        let config = aws.config().await;
        let edge = Edge::start(&config, Targets::Pretended).await;
        let door = Faulty::start(aws.port()).await;
        let settings =
            GitHubSettings::new(github.api_url(), github.app_id(), github.private_key_pem(), clock.clone(), 7);
        let forge = Arc::new(GitHub::new(&settings).expect("a connection to the sandbox"));
        let ports = Ports {
            store: store.clone(),
            forge: forge.clone(),
            app: Some(forge),
            cloud: adapter(&door, &edge, &clock, store.clone()).await,
            builder: Arc::new(Pinning(SandboxBuilder::default())),
            clock: clock.clone(),
        };
        let bell = Arc::new(Notify::new());
        let engine = Arc::new(Engine::new(ports.clone(), serving_all(), bell.clone()));
        let (webhooks, address) = open_door(store.clone(), clock.clone(), bell).await;
        github.set_webhook(WebhookTarget {
            url: format!("http://{address}/webhook"),
            secret: SecretString::from(SECRET),
        });
        Self { github, door, clock, store, engine, repo, ports, config, state, edge, webhooks, _folder: folder }
    }

    /// An adapter that knows nothing yet, over this store.
    pub(crate) async fn adapter(&self, slots: Arc<dyn Slots>) -> Arc<dyn Cloud> {
        adapter(&self.door, &self.edge, &self.clock, slots).await
    }

    /// A process that starts with these ports.
    pub(crate) fn start(&mut self, ports: Ports) {
        self.engine = Arc::new(Engine::new(ports, serving_all(), Arc::new(Notify::new())));
    }

    /// A process that starts after another one died: new adapter, new engine, same world. Of a state it knows
    /// what lies in the bucket.
    pub(crate) async fn restart(&mut self) {
        if let Some(endpoint) = &self.state {
            self.store = open_state(endpoint, &self.github, &self.repo).await;
            self.ports.store = self.store.clone();
        }
        self.ports.cloud = self.adapter(self.store.clone()).await;
        self.start(self.ports.clone());
    }

    /// Lets everything happen that is due now or soon.
    pub(crate) async fn settle(&self) {
        hang::note("the world on AWS settles");
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "the world does not settle; calls: {:#?}", self.door.calls());
            self.github.deliveries_settled().await;
            if self.engine.tick().await.expect("the database answers") {
                continue;
            }
            let wait = match self.store.next_due().await.expect("the database answers") {
                Some(at) => at.since(self.clock.now()),
                None => return,
            };
            if wait > HORIZON_MILLIS {
                return;
            }
            // The clock's own pace: MiniStack works meanwhile.
            let real = u64::try_from(wait.max(self.clock.speed) / self.clock.speed).expect("positive");
            tokio::time::sleep(Duration::from_millis(real)).await;
        }
    }

    /// Settles, and turns the clock to what is due next until the stage is so.
    pub(crate) async fn settle_until(&self, is_so: fn(&StageStatus) -> bool) -> StageStatus {
        for _ in 0..10 {
            self.settle().await;
            let status = self.stage().await.status;
            let next = self.store.next_due().await.expect("the database answers");
            let (false, Some(at)) = (is_so(&status), next) else { return status };
            self.clock.advance(at.since(self.clock.now()).max(0));
        }
        self.stage().await.status
    }

    pub(crate) async fn stage(&self) -> StageRecord {
        let id = StageId { repo: self.repo.clone(), name: StageName::new("pr-1").expect("a stage's name") };
        self.store.stage(&id).await.expect("the database answers").expect("there is a stage pr-1")
    }

    pub(crate) fn open(&self) -> CommitSha {
        let sha = self.push("one");
        self.github.open_pull(&self.repo, "topic", "A change").expect("a pull request");
        sha
    }

    pub(crate) fn push(&self, content: &str) -> CommitSha {
        self.github.push(&self.repo, "topic", [("app", content)], &format!("Make it {content}")).expect("a commit")
    }

    pub(crate) fn close(&self) {
        self.github.close_pull(&self.repo, PullNumber(1)).expect("it closes");
    }

    /// The only comment, without the backslashes of Markdown.
    pub(crate) fn comment(&self) -> String {
        let mut comments = self.github.comments(&self.repo, PullNumber(1));
        assert!(comments.len() <= 1, "one comment, edited in place: {comments:#?}");
        comments.pop().map(|comment| comment.body.replace('\\', "")).unwrap_or_default()
    }

    /// What stands on AWS because of stages, with what the store has leased for it. Tasks are left
    /// out: MiniStack ends no one-off task of its own when it runs no containers.
    pub(crate) async fn estate(&self) -> Vec<String> {
        let mut estate = Estate::read(&self.config, NAME, "acme").await;
        estate.tasks.clear();
        let mut lines = estate.lines();
        let pool = format!("{NAME}-previews-foundation");
        let slots = self.store.slots(&pool).await.expect("the database answers");
        lines.extend(slots.into_iter().map(|(number, holder)| format!("slot {number} {holder}")));
        lines
    }

    /// Who started each one-off task. MiniStack knows them all still.
    pub(crate) async fn one_offs(&self) -> Vec<String> {
        let estate = Estate::read(&self.config, NAME, "acme").await;
        let ecs = aws_sdk_ecs::Client::new(&self.config);
        let mut started_by = Vec::new();
        for task in estate.tasks {
            let cluster = task.split('/').nth(1).unwrap_or_default().to_owned();
            let tasks = ecs.describe_tasks().cluster(cluster).tasks(task).send().await.expect("tasks are told");
            let one_off = |group: &str| !group.starts_with("service:");
            let tasks = tasks.tasks.unwrap_or_default().into_iter().filter(|task| task.group().is_none_or(one_off));
            started_by.extend(tasks.filter_map(|task| task.started_by));
        }
        started_by.sort();
        started_by
    }

    /// How many of each kind stand there.
    pub(crate) async fn counts(&self) -> Vec<String> {
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        for line in self.estate().await {
            let kinds = ["task definition", "target group", "log group"];
            let kind = kinds.iter().find(|kind| line.starts_with(**kind)).copied();
            let kind = kind.unwrap_or_else(|| line.split(' ').next().unwrap_or_default());
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
        counts.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect()
    }
}

/// What a live stage of the two services is, each thing once.
pub(crate) const ONCE: [&str; 7] =
    ["2 log group", "1 rule", "2 service", "1 slot", "1 stack", "1 target group", "2 task definition"];

impl Drop for World {
    fn drop(&mut self) {
        self.webhooks.abort();
    }
}

async fn adapter(door: &Faulty, edge: &Edge, clock: &Arc<FastClock>, slots: Arc<dyn Slots>) -> Arc<dyn Cloud> {
    let settings = AwsSettings {
        name: NAME.to_owned(),
        endpoint: Some(door.url()),
        registry: None,
        nat_gateways: NatGateways::None,
        preview_capacity: PreviewCapacity::Fargate,
        permissions_boundary: None,
        proxy: Some(OutboundProxy { http: Some(edge.url().into()), https: None, no: "localhost,127.0.0.1".into() }),
        clock: clock.clone(),
        slots,
    };
    Arc::new(AwsCloud::new(settings).await)
}

async fn open_store(folder: &Path) -> Arc<dyn Store> {
    let url = format!("sqlite://{}", folder.join("greenroom.db").display());
    greenroom::store::open(&url).await.expect("a database")
}

async fn open_state(endpoint: &str, github: &Sandbox, repo: &RepoName) -> Arc<dyn Store> {
    let repo = github.repo_seen(repo).expect("a repository").id;
    let bucket = objects::objects(endpoint, objects::BUCKET).await;
    objects::open(bucket, repo).await.expect("the state opens")
}

async fn open_door(
    store: Arc<dyn Store>,
    clock: Arc<FastClock>,
    bell: Arc<Notify>,
) -> (JoinHandle<()>, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let state = DoorState {
        store,
        clock,
        secrets: Arc::new(Secrets::new(SecretString::from(SECRET), None).expect("a secret")),
        bell,
        metrics: Arc::new(DoorMetrics::new(prometheus::Registry::new()).expect("metrics")),
        limits: Limits::default(),
    };
    let door = tokio::spawn(async move {
        server::serve(listener, state, std::future::pending()).await.expect("the door serves");
    });
    (door, address)
}

/// A builder whose artifacts are references of images, pinned by their digest.
struct Pinning(SandboxBuilder);

#[async_trait]
impl Builder for Pinning {
    async fn source(&self, stage: &StageId, sha: &CommitSha) -> PortResult<Option<Progress<String>>> {
        self.0.source(stage, sha).await
    }
    async fn unpack(&self, stage: &StageId, sha: &CommitSha, tarball: Tarball) -> PortResult<Progress<String>> {
        self.0.unpack(stage, sha, tarball).await
    }
    async fn ensure(&self, job: &BuildJob<'_>) -> PortResult<Progress<Output>> {
        let pinned = |artifact: Artifact| Artifact {
            reference: format!("registry.test/{}/{}@{}", job.stage.repo, job.service.name, artifact.digest),
            ..artifact
        };
        Ok(match self.0.ensure(job).await? {
            Progress::Done(Output::Built(artifact)) => Progress::Done(Output::Built(pinned(artifact))),
            Progress::Done(Output::Reused(artifact)) => Progress::Done(Output::Reused(pinned(artifact))),
            other => other,
        })
    }
    async fn adopt(&self, site: Site<'_>, service: &ServiceName, artifact: &Artifact) -> PortResult<()> {
        // What is pinned goes by another name than the sandbox's own; that it was made is known.
        let _ = (site, service, artifact);
        Ok(())
    }
    async fn cancel(&self, stage: &StageId) -> PortResult<()> {
        self.0.cancel(stage).await
    }
    async fn tidy(&self, stage: &StageId) -> PortResult<()> {
        self.0.tidy(stage).await
    }
    async fn log(&self, stage: &StageId, service: &ServiceSpec, lines: usize) -> PortResult<Vec<String>> {
        self.0.log(stage, service, lines).await
    }
    async fn remove(&self, artifact: &Artifact) -> PortResult<()> {
        self.0.remove(artifact).await
    }
}

/// Test binaries share this file, and each uses another part of it.
const _: () = {
    let _ = (World::start, World::restart, World::adapter, World::counts, World::one_offs, ONCE);
    let _ = (FastClock::advance, World::comment, World::stage, World::of);
};
