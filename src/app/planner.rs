//! An engine that can say what it would do, and can do nothing: for `greenroom plan`.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::Notify;

use super::{ServerSettings, SystemClock, connect, open_existing_store};
use crate::engine::{Engine, EngineSettings, Ports};
use crate::model::{Artifact, CommitSha, Output, ServiceName, ServiceSpec, StageId};
use crate::port::{BuildJob, Builder, Clock, PortError, PortResult, Progress, Site, Tarball};

/// Opens the server's database and target for looking at, beside a server that may be running.
pub async fn planner(settings: &ServerSettings, private_key: SecretString) -> anyhow::Result<Engine> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = open_existing_store(&settings.store).await?;
    let github = Arc::new(connect(settings, private_key, clock.clone())?);
    let ports = Ports {
        store: store.clone(),
        forge: github.clone(),
        app: Some(github),
        cloud: super::target::observer(settings, clock.clone(), store).await?,
        builder: Arc::new(NoBuilder),
        clock,
    };
    let settings = EngineSettings { wall: settings.wall.wall()?, ..EngineSettings::default() };
    Ok(Engine::new(ports, settings, Arc::new(Notify::new())))
}

/// Builds nothing.
struct NoBuilder;

fn denied<T>() -> PortResult<T> {
    Err(PortError::Denied { reason: "a plan builds nothing".into() })
}

#[async_trait]
impl Builder for NoBuilder {
    async fn source(&self, _: &StageId, _: &CommitSha) -> PortResult<Option<Progress<String>>> {
        denied()
    }
    async fn unpack(&self, _: &StageId, _: &CommitSha, _: Tarball) -> PortResult<Progress<String>> {
        denied()
    }
    async fn ensure(&self, _: &BuildJob<'_>) -> PortResult<Progress<Output>> {
        denied()
    }
    async fn adopt(&self, _: Site<'_>, _: &ServiceName, _: &Artifact) -> PortResult<()> {
        denied()
    }
    async fn cancel(&self, _: &StageId) -> PortResult<()> {
        denied()
    }
    async fn tidy(&self, _: &StageId) -> PortResult<()> {
        denied()
    }
    async fn log(&self, _: &StageId, _: &ServiceSpec, _: usize) -> PortResult<Vec<String>> {
        denied()
    }
    async fn remove(&self, _: &Artifact) -> PortResult<()> {
        denied()
    }
}
