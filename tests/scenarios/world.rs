//! The world of a scenario as one value, and the verbs that change it; what there is to see of it is in `seen`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use greenroom::build::{Builders, OciRegistry, RunnerBuilder, RunnerSettings};
use greenroom::decide::BUILD_DEADLINE;
use greenroom::engine::{Engine, EngineSettings, Ports, WorkflowsByKey};
use greenroom::model::{
    CommitSha, Failure, FailureKind, Lane, PullNumber, RepoName, Seconds, StageId, StageName, StageRecord, StageStatus,
    Timestamp, Wall,
};
use greenroom::port::{Clock, Store};
use greenroom::sandbox::{FileChange, Sandbox, SandboxBuilder, SandboxCloud, SandboxSettings, WebhookTarget};
use greenroom::server::{self, DoorMetrics, DoorState, Limits};
use greenroom::wire::Secrets;
use secrecy::SecretString;
use sqlx::any::AnyConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::fuse::{Fuse, fused};
use crate::objects::Memory;
use crate::{hang, postgres};

#[path = "world_role.rs"]
mod role;
#[path = "world_state.rs"]
mod state;

/// 2026-11-20 06:00 UTC.
const START: i64 = 1_795_154_400_000;
/// What falls due within this much time, a settled world has done.
const HORIZON_MILLIS: i64 = 120_000;
/// A scenario that takes more turns than this never settles.
const TURNS: usize = 20_000;

pub(crate) const SECRET: &str = "a secret of the scenarios";

/// A clock that stands until it is turned.
pub(crate) struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

impl HandClock {
    pub(crate) fn advance(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

/// Which database a scenario runs on.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite,
    /// This one, which scenarios share: each has a repository of its own. A server's connections and
    /// what they have prepared cost more than many a story.
    Postgres(Arc<dyn Store>),
    /// The state of a workflow, in an object of the scenario's own.
    Object,
}

impl Database {
    /// A new one on the PostgreSQL of the tests.
    pub(crate) async fn postgres() -> Self {
        Self::Postgres(open(&postgres::fresh_database().await).await)
    }
}

async fn open(url: &str) -> Arc<dyn Store> {
    greenroom::store::open(url).await.expect("a database")
}

/// Everything.
pub(crate) struct World {
    pub(crate) github: Arc<Sandbox>,
    pub(crate) cloud: Arc<SandboxCloud>,
    pub(crate) builder: Arc<SandboxBuilder>,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) repo: RepoName,
    wall: Wall,
    build_deadline: Seconds,
    ports: Ports,
    /// Where images go that runners build, if they do.
    registry: Option<String>,
    /// Where the state lies, if it lies in an object.
    objects: Option<Arc<Memory>>,
    door: JoinHandle<()>,
    folder: TempDir,
}

/// The configuration of the scenarios' shop: two services, one with a migration, one a worker.
pub(crate) const CONFIG: &str = r#"
version: 1
app: shop
stages:
  prod: { on: { push: main } }
  "pr-{number}": { on: { pull_request: { drafts: skip, forks: approve } }, expires: 7d, max: 20 }
services:
  web:
    kind: ecs
    build: {}
    host: "@"
    port: 8080
    health: { path: /health }
    migrate: { command: ["migrate"] }
  worker:
    kind: ecs
    build: {}
"#;

impl World {
    /// A shop called `acme/shop` on a database of its own.
    pub(crate) async fn new() -> Self {
        Self::on(&Database::Sqlite, "acme/shop", CONFIG).await
    }

    /// A shop with another configuration.
    pub(crate) async fn with_config(config: &str) -> Self {
        Self::on(&Database::Sqlite, "acme/shop", config).await
    }

    pub(crate) async fn on(database: &Database, repo: &str, config: &str) -> Self {
        hang::watch();
        let clock = Arc::new(HandClock(AtomicI64::new(START)));
        let folder = tempfile::tempdir().expect("a folder");
        // Deliveries of scenarios that share a database must not be taken for each other's.
        let seed = repo.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let settings = SandboxSettings { seed, ..SandboxSettings::new(clock.clone()) };
        let github = Arc::new(Sandbox::start(settings).await.expect("a sandbox"));
        let repo = github
            .create_repo(repo, [FileChange::write(".github/greenroom.yml", config), FileChange::write("app", "1")])
            .expect("a repository");
        let objects = matches!(database, Database::Object).then(Arc::<Memory>::default);
        let store = match (database, &objects) {
            (Database::Postgres(store), _) => store.clone(),
            (_, Some(objects)) => state::open(objects, &github, &repo).await,
            (_, None) => open(&format!("sqlite://{}", folder.path().join("greenroom.db").display())).await,
        };
        let cloud = Arc::new(match database {
            Database::Sqlite | Database::Object => SandboxCloud::default(),
            // A host is one repository's for each server, and this one has several of them.
            Database::Postgres(_) => SandboxCloud::in_zone(&format!("{}.preview.test", repo.name())),
        });
        let builder = Arc::new(SandboxBuilder::default());
        let forge = role::as_the_app(&github, &clock);
        let ports = Ports {
            store: store.clone(),
            forge: forge.clone(),
            app: Some(forge),
            cloud: cloud.clone(),
            builder: builder.clone(),
            clock: clock.clone(),
        };
        let bell = Arc::new(Notify::new());
        let wall = wall("acme/*", "");
        let engine = Arc::new(Engine::new(ports.clone(), settings_of(&github, &wall, BUILD_DEADLINE), bell.clone()));
        let (door, address) = open_door(store.clone(), clock.clone(), bell).await;
        github.set_webhook(WebhookTarget {
            url: format!("http://{address}/webhook"),
            secret: SecretString::from(SECRET),
        });
        let build_deadline = BUILD_DEADLINE;
        let registry = None;
        Self {
            github,
            cloud,
            builder,
            clock,
            store,
            engine,
            repo,
            wall,
            build_deadline,
            ports,
            registry,
            objects,
            door,
            folder,
        }
    }

    /// Replaces the engine by one whose ports give up as the fuse says.
    pub(crate) fn burn(&mut self, fuse: &Arc<Fuse>) {
        let ports = fused(&self.ports, fuse);
        self.engine = Arc::new(Engine::new(ports, self.settings(), Arc::new(Notify::new())));
    }

    /// Images may be built on runners from now on, and go to the registry at this host.
    pub(crate) fn has_runners(&mut self, registry: &str) {
        self.registry = Some(registry.to_owned());
        self.restart();
    }

    /// A builder that remembers nothing of what was before.
    fn fresh_builder(&self, registry: &str) -> Arc<Builders> {
        let (connection, clock) = (role::as_the_app(&self.github, &self.clock), self.clock.clone());
        let (forge, store) = (self.ports.forge.clone(), self.store.clone());
        let workflows = WorkflowsByKey::new(forge, connection.workflows(), store);
        let runners = RunnerBuilder::new(RunnerSettings {
            workflows: Arc::new(workflows),
            registry: Some(Arc::new(OciRegistry::new(registry, Vec::new()))),
            clock,
            docker: "docker".into(),
            docker_env: Vec::new(),
            deadline: self.build_deadline,
        });
        Arc::new(Builders::new(self.builder.clone(), Some(runners)))
    }

    /// A process that starts after another one died: new engine, same world.
    pub(crate) fn restart(&mut self) {
        if let Some(registry) = &self.registry {
            self.ports.builder = self.fresh_builder(registry);
        }
        self.engine = Arc::new(Engine::new(self.ports.clone(), self.settings(), Arc::new(Notify::new())));
    }

    /// The operator says anew who is served and whose zones are, and starts the server again.
    pub(crate) fn serves(&mut self, allow: &str, zones: &str) {
        self.wall = wall(allow, zones);
        self.restart();
    }

    /// The server goes on with another database, as one that starts there finds it.
    pub(crate) async fn moves_to(&mut self, store: Arc<dyn Store>) {
        self.door.abort();
        self.ports.store = store.clone();
        self.store = store;
        self.restart();
        let (door, address) = open_door(self.store.clone(), self.clock.clone(), Arc::new(Notify::new())).await;
        self.door = door;
        self.github.set_webhook(WebhookTarget {
            url: format!("http://{address}/webhook"),
            secret: SecretString::from(SECRET),
        });
    }

    /// The server starts on a database of before there were walls: nobody has taken down whose hosts are.
    pub(crate) async fn had_no_walls(&mut self) {
        self.by_hand("DELETE FROM host; DELETE FROM carried").await;
        self.restart();
    }

    /// Does to the world's own database what no server does.
    pub(crate) async fn by_hand(&self, sql: &'static str) {
        let url = format!("sqlite://{}", self.folder.path().join("greenroom.db").display());
        let options: AnyConnectOptions = url.parse().expect("an address");
        let mut connection = options.connect().await.expect("the database answers");
        connection.execute(sql).await.expect("it is done");
        connection.close().await.expect("the connection closes");
    }

    /// The operator gives builds so long, and starts the server again.
    pub(crate) fn gives_builds(&mut self, span: Seconds) {
        self.build_deadline = span;
        self.restart();
    }

    fn settings(&self) -> EngineSettings {
        settings_of(&self.github, &self.wall, self.build_deadline)
    }

    /// A second engine over the same world.
    pub(crate) fn another_engine(&self) -> Arc<Engine> {
        self.engine_with(self.ports.clone())
    }

    /// The same on another machine, which has its own folders.
    pub(crate) fn engine_elsewhere(&self, builder: Arc<SandboxBuilder>) -> Arc<Engine> {
        self.engine_with(Ports { builder, ..self.ports.clone() })
    }

    fn engine_with(&self, ports: Ports) -> Arc<Engine> {
        Arc::new(Engine::new(ports, self.settings(), Arc::new(Notify::new())))
    }

    /// Lets everything happen that is due now or soon, turning the clock as far as needed.
    pub(crate) async fn settle(&self) {
        hang::note("the world settles: deliveries arrive, and the engine has nothing more to do");
        for _ in 0..TURNS {
            self.github.deliveries_settled().await;
            if self.engine.tick().await.expect("the database answers") {
                continue;
            }
            let now = self.clock.now();
            match self.store.next_due().await.expect("the database answers") {
                Some(at) if at <= now => self.clock.advance(1),
                Some(at) if at.since(now) <= HORIZON_MILLIS => self.clock.advance(at.since(now)),
                _ => {
                    // GitHub's times are whole seconds: what happens next happens in another one.
                    self.clock.advance(1_000);
                    return;
                }
            }
        }
        panic!("the world does not settle; journal: {:#?}", self.cloud.journal());
    }

    /// Goes on for a while, however much is left to do.
    pub(crate) async fn runs(&self, turns: usize) {
        self.github.deliveries_settled().await;
        for _ in 0..turns {
            self.engine.tick().await.expect("the database answers");
            self.clock.advance(500);
        }
    }

    /// GitHub sends every delivery once more, under its own id.
    pub(crate) async fn redeliver_all(&self) {
        for delivery in self.github.deliveries() {
            self.redeliver(delivery.id).await;
        }
        self.settle().await;
    }

    /// Somebody has GitHub send this one once more.
    pub(crate) async fn redeliver(&self, delivery: u64) {
        let app = self.ports.app.as_ref().expect("an app");
        app.redeliver(delivery).await.expect("it is sent again");
    }

    /// Turns the clock and lets everything happen that fell due.
    pub(crate) async fn after(&self, millis: i64) {
        self.clock.advance(millis);
        self.settle().await;
    }

    /// Makes one of the server's duties due.
    pub(crate) async fn ring(&self, lane: Lane) {
        self.store.ring(&lane, self.clock.now()).await.expect("the database answers");
    }

    /// Opens a pull request with one commit, and says which.
    pub(crate) fn open(&self, branch: &str, content: &str) -> (PullNumber, CommitSha) {
        let sha = self.push(branch, content);
        let number = self.github.open_pull(&self.repo, branch, &format!("Change {branch}")).expect("a pull request");
        (number, sha)
    }

    /// Pushes a commit that changes the app.
    pub(crate) fn push(&self, branch: &str, content: &str) -> CommitSha {
        self.write(branch, "app", content)
    }

    /// Pushes a commit that changes one file.
    pub(crate) fn write(&self, branch: &str, path: &str, content: &str) -> CommitSha {
        self.github
            .push(&self.repo, branch, [FileChange::write(path, content)], &format!("Write {path}"))
            .expect("a commit")
    }

    pub(crate) fn stage_id(&self, name: &str) -> StageId {
        StageId { repo: self.repo.clone(), name: StageName::new(name).expect("a stage's name") }
    }

    pub(crate) async fn stage(&self, name: &str) -> StageRecord {
        let stage = self.store.stage(&self.stage_id(name)).await.expect("the database answers");
        stage.unwrap_or_else(|| panic!("there is no stage {name}"))
    }

    /// How a stage stands, if there is one by now.
    pub(crate) async fn stage_status(&self, name: &str) -> Option<StageStatus> {
        let stage = self.store.stage(&self.stage_id(name)).await.expect("the database answers");
        stage.map(|stage| stage.status)
    }

    /// Somebody writes on a pull request; answers the comment's id.
    pub(crate) fn says(&self, who: &str, number: PullNumber, body: &str) -> u64 {
        self.github.comment(&self.repo, number, who, body).expect("a comment")
    }

    /// Somebody writes, and everything that follows from it happens.
    pub(crate) async fn hears(&self, who: &str, number: PullNumber, body: &str) -> u64 {
        let comment = self.says(who, number, body);
        self.settle().await;
        comment
    }
}

fn wall(allow: &str, zones: &str) -> Wall {
    Wall { allow: allow.parse().expect("a list"), zones: zones.parse().expect("zones") }
}

fn settings_of(github: &Sandbox, wall: &Wall, build_deadline: Seconds) -> EngineSettings {
    EngineSettings { app_id: github.app_id(), wall: wall.clone(), build_deadline, ..EngineSettings::default() }
}

impl Drop for World {
    fn drop(&mut self) {
        self.door.abort();
    }
}

async fn open_door(
    store: Arc<dyn Store>,
    clock: Arc<HandClock>,
    bell: Arc<Notify>,
) -> (JoinHandle<()>, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let metrics = DoorMetrics::new(prometheus::Registry::new()).expect("metrics");
    let state = DoorState {
        store,
        clock,
        secrets: Arc::new(Secrets::new(SecretString::from(SECRET), None).expect("a secret")),
        bell,
        metrics: Arc::new(metrics),
        limits: Limits::default(),
    };
    let door = tokio::spawn(async move {
        server::serve(listener, state, std::future::pending()).await.expect("the door serves");
    });
    (door, address)
}

/// A program that ended by itself.
pub(crate) fn exited(code: i32, last_line: &str) -> Failure {
    Failure {
        exit_code: Some(code),
        log: vec!["starting".into(), last_line.into()],
        ..Failure::new(
            FailureKind::Exited,
            format!("the program ended with exit code {code}"),
            "Mend it and push again.",
        )
    }
}
