//! The composition root: settings become adapters, adapters become the engine and the door.
//!
//! The only module that knows every part, and the only one that reads the environment, the clock
//! and chance.

pub mod action;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
pub mod bootstrap;
#[cfg(feature = "aws")]
mod calls;
mod descriptors;
pub mod foundation;
mod given;
mod key;
mod log;
mod planner;
mod private;
mod private_key;
mod settings;
mod state;
mod target;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::build::{BuildSettings, Builders, DockerBuilder, RunnerBuilder, RunnerSettings, UnpackLimits};
use crate::engine::{Engine, EngineSettings, Ports, WorkflowsByKey};
use crate::github::{GitHub, GitHubSettings, ProxySettings};
use crate::local::{DockerSettings, LocalSettings, ServerEnv, WardenProgram};
use crate::model::{Timestamp, Wall};
use crate::port::{Clock, Forge, Store};
use crate::server::{self, DoorMetrics, DoorState, Limits};
use crate::store;
use crate::wire::Secrets;

#[cfg(feature = "aws")]
pub use aws::doctor;
pub use given::registry;
pub use log::{start_log, start_log_in, start_log_in_step};
pub use planner::planner;
pub use state::state_settings;
use target::{Ground, Running};

pub use settings::{
    AwsArgs, LogFormat, NatGatewayCount, PreviewCapacityName, SECRETS, SecretVariable, ServerSecrets, ServerSettings,
    StoreSettings, TargetName, WallArgs, private_key,
};

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

/// A server that is ready to run: everything opened, nothing started.
pub struct App {
    engine: Arc<Engine>,
    target: Running,
    builder: Arc<DockerBuilder>,
    listener: TcpListener,
    ops: TcpListener,
    door: DoorState,
}

impl App {
    /// Opens the database, the target and the door.
    pub async fn open(settings: &ServerSettings, secrets: ServerSecrets) -> anyhow::Result<Self> {
        // What refuses the start comes before the database, which no older version opens afterwards.
        let webhook = Secrets::new(secrets.webhook, secrets.webhook_previous)?;
        let wall = settings.wall.wall()?;
        let listener = listen(settings.listen, "GREENROOM_LISTEN").await?;
        let ops = listen(settings.ops_listen, "GREENROOM_OPS_LISTEN").await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let github = Arc::new(connect(settings, secrets.private_key, clock.clone())?);
        let (workflows, forge): (_, Arc<dyn Forge>) = (github.workflows(), github.clone());
        private::folder(&settings.data)
            .with_context(|| format!("cannot make the data folder {}", settings.data.display()))?;
        let ground = Ground::take(settings, clock.clone()).await?;
        let builder = builder(settings)?;
        let mut target = ground.open(settings, clock.clone()).await?;
        let store = target.store.clone();
        let builder = Arc::new(builder.with_registry(target.registry.clone()));
        let workflows = WorkflowsByKey::new(forge.clone(), workflows, store.clone());
        let runners = RunnerBuilder::new(RunnerSettings {
            workflows: Arc::new(workflows),
            registry: target.registry.clone(),
            clock: clock.clone(),
            docker: PathBuf::from("docker"),
            docker_env: docker_env(),
            deadline: settings.build_deadline,
        });
        let bell = Arc::new(Notify::new());
        let ports = Ports {
            store: store.clone(),
            forge,
            app: Some(github),
            cloud: target.cloud.clone(),
            builder: Arc::new(Builders::new(builder.clone(), Some(runners))),
            clock: clock.clone(),
        };
        if wall.allow.is_empty() {
            tracing::warn!("{}", WallArgs::EMPTY);
        }
        let engine = Arc::new(Engine::new(ports, engine_settings(settings, wall), bell.clone()));
        let metrics = DoorMetrics::new(engine.metrics().registry().clone()).context("cannot register the metrics")?;
        target.count_in(engine.metrics().registry()).context("cannot register the target's metrics")?;
        let door = DoorState {
            store,
            clock,
            secrets: Arc::new(webhook),
            bell,
            metrics: Arc::new(metrics),
            limits: Limits { connections: descriptors::raise().door, ..Limits::default() },
        };
        Ok(Self { engine, target, builder, listener, ops, door })
    }

    /// Where webhooks are received.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Where metrics and readiness are asked for.
    pub fn ops_address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.ops.local_addr()?)
    }

    /// Where the stages of this machine answer; `None` where they run elsewhere.
    pub fn proxy_address(&self) -> Option<SocketAddr> {
        self.target.proxy_address()
    }

    /// The database, to read what the server does.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.door.store)
    }

    /// Serves until `stop`. Stages go on running after it.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { engine, target, builder, listener, ops, door } = self;
        tokio::spawn(look_back(engine.clone()));
        engine.ring_chores().await.context("the database does not take the first ring")?;
        let work = tokio::spawn(engine.run(stop.clone()));
        let told = stop.clone();
        tokio::spawn(async move {
            told.cancelled().await;
            builder.halt();
        });
        let asked = tokio::spawn(server::serve_ops(ops, door.clone(), stop.clone().cancelled_owned()));
        let served = server::serve(listener, door, stop.clone().cancelled_owned()).await;
        stop.cancel();
        work.await.context("the engine panicked")?;
        target.shutdown().await;
        asked.await.context("the operators' listener panicked")?.context("the operators' listener failed")?;
        served.context("the door failed")
    }
}

/// In the background: the door opens at once, and whoever needs a host waits for it.
async fn look_back(engine: Arc<Engine>) {
    if let Err(error) = engine.carry_over().await {
        tracing::warn!(
            "whose the hosts of an older version's stages are is taken down before the next stage gets one: {error}"
        );
    }
    if let Err(error) = engine.tell_renamed_variables().await {
        tracing::warn!("which of the server's variables have another name by now is not known: {error}");
    }
}

async fn listen(address: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}: set {variable} to a free address"))
}

/// The builder, which does not know yet where images go. The data folder is this server's alone by now:
/// what another one is building is not ended.
fn builder(settings: &ServerSettings) -> anyhow::Result<DockerBuilder> {
    let key = key::image_key(&settings.data)?;
    let builder = DockerBuilder::new(BuildSettings {
        data_dir: settings.data.join("build"),
        docker: PathBuf::from("docker"),
        docker_env: docker_env(),
        registry: None,
        cache: settings.registry.clone(),
        limits: UnpackLimits::default(),
        concurrency: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    });
    Ok(builder.context("cannot set up the builder")?.with_key(&key))
}

fn connect(settings: &ServerSettings, private_key: SecretString, clock: Arc<dyn Clock>) -> anyhow::Result<GitHub> {
    let (url, id) = (settings.github_api_url.clone(), settings.github_app_id);
    let github = GitHubSettings::new(url, id, private_key, clock, chance_seed());
    GitHub::new(&GitHubSettings { proxy: proxy(), ..github }).context("cannot set up the connection to GitHub")
}

/// Every command is understood; the comment names those that are wanted most often.
fn engine_settings(settings: &ServerSettings, wall: Wall) -> EngineSettings {
    EngineSettings {
        commands: ["keep 3d", "logs <service>", "destroy", "help"].map(str::to_owned).to_vec(),
        app_id: settings.github_app_id,
        build_deadline: settings.build_deadline,
        wall,
        ..EngineSettings::default()
    }
}

/// The standard variables of a network that is left by a proxy, in either spelling.
fn proxy() -> Option<ProxySettings> {
    let either =
        |upper: &str| variable(upper).or_else(|| variable(&upper.to_lowercase())).filter(|text| !text.is_empty());
    let http = either("HTTP_PROXY").map(SecretString::from);
    let https = either("HTTPS_PROXY").map(SecretString::from).or_else(|| http.clone());
    let is_set = http.is_some() || https.is_some();
    // What listens on this machine is never reached by a proxy elsewhere.
    let no = format!("{},localhost,127.0.0.1,::1", either("NO_PROXY").unwrap_or_default());
    is_set.then_some(ProxySettings { http, https, no })
}

fn local_settings(settings: &ServerSettings, clock: Arc<dyn Clock>) -> LocalSettings {
    LocalSettings {
        data_dir: settings.data.join("local"),
        proxy_listen: settings.proxy_listen,
        connections: descriptors::raise().proxy,
        proxy_port_shown: None,
        clock,
        path: variable("PATH").unwrap_or_default(),
        server_env: server_env(),
        warden: warden(),
        docker: DockerSettings { program: "docker".into(), env: docker_env().into_iter().collect() },
    }
}

/// This very program in another role, also after its file was replaced by a newer one.
fn warden() -> WardenProgram {
    WardenProgram { program: "/proc/self/exe".into(), arguments: vec!["warden".to_owned()] }
}

/// The address of a server's database by which one that is not there is not made.
pub fn existing(settings: &StoreSettings) -> String {
    let url = settings.database_url.expose_secret();
    let is_file = url.starts_with("sqlite:") && !url.contains("mode=");
    match (is_file, url.contains('?')) {
        (false, _) => url.to_owned(),
        (true, false) => format!("{url}?mode=rw"),
        (true, true) => format!("{url}&mode=rw"),
    }
}

/// Opens the database of a server; one that is not there is not made.
pub async fn open_existing_store(settings: &StoreSettings) -> anyhow::Result<Arc<dyn Store>> {
    store::open(&existing(settings)).await.context(
        "cannot open the server's database: start `greenroom serve` first, or name its database with GREENROOM_DATABASE_URL",
    )
}

/// A name that nobody else takes, for a request of the command line.
pub fn chance_id() -> String {
    let mut bytes = [0_u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// Opens the database alone, for commands that ask or tell a server something through it.
pub async fn open_store(settings: &StoreSettings) -> anyhow::Result<Arc<dyn Store>> {
    store::open(settings.database_url.expose_secret()).await.context("cannot open the database")
}

/// A stop that SIGINT and SIGTERM ask for.
pub fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: running steps come to their next line in the log first");
        token.cancel();
    });
    Ok(stop)
}

/// A secret nobody knows, for the sandbox of the demo.
pub fn chance_secret() -> SecretString {
    let mut bytes = [0_u8; 24];
    rand::rng().fill_bytes(&mut bytes);
    SecretString::from(hex::encode(bytes))
}

/// The file of the program that runs.
pub fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find out which file this program is")
}

/// A folder for one run, where the system keeps such; it goes when the value does.
pub fn scratch_folder(prefix: &str) -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir()
        .context("cannot make a temporary folder: set TMPDIR to a writable one")
}

/// A number nobody knows, to tell runs apart.
pub fn chance_seed() -> u64 {
    rand::rng().next_u64()
}

/// One variable of the environment; the caller knows what its absence means.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Every variable of the environment whose name and value can be read.
fn every_variable() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What the Docker command line needs, and nothing else of ours.
fn docker_env() -> Vec<(String, String)> {
    [
        "PATH",
        "HOME",
        "DOCKER_HOST",
        "DOCKER_CONFIG",
        "DOCKER_CONTEXT",
        "DOCKER_CERT_PATH",
        "DOCKER_TLS_VERIFY",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
    ]
    .into_iter()
    .filter_map(|name| Some((name.to_owned(), variable(name)?)))
    .collect()
}

/// Secrets for stages that are written `env:NAME`, asked for as `<number of the repository>_NAME`:
/// only variables under this prefix, so that no configuration reaches the server's own.
fn server_env() -> ServerEnv {
    Arc::new(|name| variable(&format!("GREENROOM_SECRET_{name}")).map(SecretString::from))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::model::Seconds;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: ServerSettings,
    }

    #[test]
    fn what_the_operator_says_reaches_the_engine() {
        let line = ["greenroom", "--github-app-id", "7", "--build-deadline", "2h", "--allow", "acme/*"];
        let settings = Line::try_parse_from(line).expect("a command line").settings;
        let wall = settings.wall.wall().expect("a wall");
        let engine = engine_settings(&settings, wall.clone());
        assert_eq!((engine.app_id, engine.build_deadline), (7, Seconds(7_200)));
        assert_eq!((engine.wall.allow.to_string(), engine.wall), ("acme/*".to_owned(), wall));
    }
}
