//! The engine inside a step of a workflow.
//!
//! Guarantees: nothing is called on AWS before a role is taken on, the state is opened or [`Workshop::open`]; on one machine a single run at a time works
//! on the stages, and what they serve is served on by a process of its own when it leaves ([`keeper`]).

mod identity;
mod keeper;
mod machine;
mod runner;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use tokio::sync::Notify;

pub use identity::StepIdentity;
pub use keeper::{KeeperArgs, keep};
pub use runner::{Runner, RunnerError, step_secrets, step_token};

use self::machine::Machine;
use super::{AwsArgs, SystemClock, TargetName, chance_seed, docker_env, key, private, proxy};
use crate::build::{BuildSettings, Builders, DockerBuilder, UnpackLimits};
use crate::decide::BUILD_DEADLINE;
use crate::engine::{Comments, Engine, EngineSettings, Ports};
use crate::github::{GitHub, TokenSettings};
use crate::model::{RepoList, RepoName, RepoSeen, StateLocation, Wall};
use crate::port::{Clock, Cloud, Forge, Registry, Store};
use crate::store;

/// What a step works with.
#[derive(Debug, Clone)]
pub struct StepSettings {
    pub repo: RepoSeen,
    pub target: TargetName,
    pub aws: AwsArgs,
    /// A registry in place of ECR's own address.
    pub registry: Option<String>,
    pub state: StateLocation,
    /// A folder of this run's own, or of the machine where stages run on it.
    pub data: PathBuf,
    pub proxy_listen: SocketAddr,
    pub identity: StepIdentity,
    pub comments: Comments,
}

impl StepSettings {
    /// The database of a repository in the machine's folder.
    fn database(&self) -> String {
        format!("sqlite://{}", self.data.join(format!("{}.db", self.repo.id)).display())
    }
}

/// Where a user's programs keep their data, on a runner that has no tool cache.
pub fn data_folder() -> Option<PathBuf> {
    let named = super::variable("XDG_DATA_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(super::variable("HOME")?).join(".local/share")))
}

/// GitHub, by the step's token.
pub fn step_forge(api_url: &str, token: SecretString, repo: RepoSeen) -> anyhow::Result<Arc<dyn Forge>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let token = TokenSettings::new(api_url, token, repo, clock, chance_seed());
    let github = GitHub::with_token(&TokenSettings { proxy: proxy(), own_check: runner::own_check(), ..token });
    Ok(Arc::new(github.context("cannot set up the connection to GitHub")?))
}

/// Opens the repository's state.
pub async fn open_step_store(settings: &StepSettings) -> anyhow::Result<Arc<dyn Store>> {
    if let StateLocation::Folder(folder) = &settings.state {
        private::make(folder).with_context(|| format!("cannot make the folder of the state, {}", folder.display()))?;
    }
    let state = super::state::state_settings_as(settings.state.clone(), settings.repo.id, &settings.identity).await;
    store::open_state(state).await.context("cannot open the state of this repository")
}

/// The engine at work on a target.
pub struct Workshop {
    pub engine: Arc<Engine>,
    pub store: Arc<dyn Store>,
    builder: Arc<DockerBuilder>,
    machine: Option<Machine>,
}

impl Workshop {
    /// Takes the target. `None`: another run works on this machine's stages, and is to be asked again.
    pub async fn open(
        settings: &StepSettings,
        store: &Arc<dyn Store>,
        forge: &Arc<dyn Forge>,
        key: &RepoName,
    ) -> anyhow::Result<Option<Self>> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let Some(taken) = take(settings, clock.clone(), store).await? else { return Ok(None) };
        private::make(&settings.data).with_context(|| format!("cannot make the folder {}", settings.data.display()))?;
        let builder = Arc::new(builder(settings).await?.with_registry(taken.registry));
        let ports = Ports {
            store: taken.store.clone(),
            forge: forge.clone(),
            app: None,
            cloud: taken.cloud,
            builder: Arc::new(Builders::new(builder.clone(), None)),
            clock,
        };
        let engine = Arc::new(Engine::new(ports, engine_settings(settings, key)?, Arc::new(Notify::new())));
        Ok(Some(Self { engine, store: taken.store, builder, machine: taken.machine }))
    }

    /// Whether what others of this machine asked for is this run's to do as well, because nobody else can.
    pub fn works_for_all(&self) -> bool {
        self.machine.is_some()
    }

    /// Stops what this process itself does: builds end, stages go on running.
    pub async fn close(self) {
        self.builder.halt();
        if let Some(machine) = self.machine {
            machine.leave().await;
        }
    }
}

/// A target as it was taken.
struct Taken {
    store: Arc<dyn Store>,
    cloud: Arc<dyn Cloud>,
    registry: Option<Arc<dyn Registry>>,
    machine: Option<Machine>,
}

#[cfg_attr(not(feature = "aws"), expect(unused_variables, reason = "the state of the machine is opened anew"))]
async fn take(settings: &StepSettings, clock: Arc<dyn Clock>, store: &Arc<dyn Store>) -> anyhow::Result<Option<Taken>> {
    match settings.target {
        TargetName::Local => {
            let Some(machine) = Machine::take(&settings.data, settings.proxy_listen, clock).await? else {
                return Ok(None);
            };
            // Whoever held lanes here before worked on this machine, and is gone.
            let store = store::open_for_server(&settings.database()).await;
            let store = store.context("cannot open the state of this repository")?;
            Ok(Some(Taken { store, cloud: machine.cloud(), registry: None, machine: Some(machine) }))
        }
        #[cfg(feature = "aws")]
        TargetName::Aws => {
            let aws = on_aws(settings, clock, store).await;
            let registry = super::aws::registry_of(settings.registry.as_deref(), &aws);
            Ok(Some(Taken { store: store.clone(), cloud: Arc::new(aws), registry: Some(registry), machine: None }))
        }
    }
}

/// An engine that can say what it would do, and can do nothing.
pub async fn step_planner(
    settings: &StepSettings,
    store: &Arc<dyn Store>,
    forge: &Arc<dyn Forge>,
    key: &RepoName,
) -> anyhow::Result<Engine> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ports = Ports {
        store: store.clone(),
        forge: forge.clone(),
        app: None,
        cloud: observer(settings, clock.clone(), store).await,
        builder: Arc::new(super::planner::NoBuilder),
        clock,
    };
    Ok(Engine::new(ports, engine_settings(settings, key)?, Arc::new(Notify::new())))
}

#[cfg_attr(not(feature = "aws"), expect(clippy::unused_async, unused_variables, reason = "AWS is waited for"))]
async fn observer(settings: &StepSettings, clock: Arc<dyn Clock>, store: &Arc<dyn Store>) -> Arc<dyn Cloud> {
    match settings.target {
        TargetName::Local => {
            let settings = machine::local_settings(&settings.data, settings.proxy_listen, clock);
            Arc::new(crate::local::LocalObserver::new(settings))
        }
        #[cfg(feature = "aws")]
        TargetName::Aws => Arc::new(on_aws(settings, clock, store).await),
    }
}

#[cfg(feature = "aws")]
async fn on_aws(settings: &StepSettings, clock: Arc<dyn Clock>, store: &Arc<dyn Store>) -> crate::aws::AwsCloud {
    let (registry, credentials) = (settings.registry.clone(), settings.identity.credentials.clone());
    super::aws::cloud_of(&settings.aws, registry, clock, store.clone(), credentials).await
}

async fn builder(settings: &StepSettings) -> anyhow::Result<DockerBuilder> {
    let key = image_key(settings).await?;
    let builder = DockerBuilder::new(BuildSettings {
        data_dir: settings.data.join("build"),
        docker: PathBuf::from("docker"),
        docker_env: docker_env(),
        registry: None,
        cache: settings.registry.clone(),
        limits: UnpackLimits::default(),
        concurrency: std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN),
    });
    Ok(builder.context("cannot set up the builder")?.with_key(&key))
}

/// By what images are named: beside the state, so that the next run finds those of this one again.
async fn image_key(settings: &StepSettings) -> anyhow::Result<SecretString> {
    let StateLocation::Bucket { bucket, prefix } = &settings.state else { return key::image_key(&settings.data) };
    let objects = super::state::objects(bucket, &settings.identity).await;
    let objects = objects.context("this greenroom knows no buckets")?;
    let at = StateLocation::image_key(prefix, settings.repo.id.0);
    let key = key::shared_image_key(objects.as_ref(), &at).await;
    key.context("cannot read the key by which images are named")
}

/// A run serves its own repository and no other.
fn engine_settings(settings: &StepSettings, key: &RepoName) -> anyhow::Result<EngineSettings> {
    let Ok(allow) = key.as_str().parse::<RepoList>() else { bail!("{key} is not the name of a repository") };
    Ok(EngineSettings {
        commands: ["keep 3d", "logs <service>", "destroy", "help"].map(str::to_owned).to_vec(),
        build_deadline: BUILD_DEADLINE,
        comments: settings.comments,
        wall: Wall { allow, ..Wall::default() },
        ..EngineSettings::default()
    })
}
