//! Looking at the stages of this machine from beside the server that runs them.
//!
//! Guarantees: nothing is changed, locked, started or written; what the server does meanwhile may
//! or may not be seen.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::disk::{Disk, Fate, VersionId, VersionRecord};
use super::launch::recorded;
use super::proxy::Routes;
use super::settings::LocalSettings;
use super::shared::Shared;
use super::unit::CopyState;
use super::{docker, door, inventory, shared};
use crate::crowd::Crowd;
use crate::model::{Addressing, Observed, Output, Place, Resource, Runtime, ServiceName, StageId, StageSpec};
use crate::port::{Cloud, Phase, PortError, PortResult, Progress, Rollout, Site};

/// A [`Cloud`] that can only be looked at.
pub struct LocalObserver {
    shared: Arc<Shared>,
}

impl LocalObserver {
    /// Looks at the data folder of these settings; one that is not there holds no stage.
    pub fn new(settings: LocalSettings) -> Self {
        let folder: PathBuf = std::fs::canonicalize(&settings.data_dir).unwrap_or(settings.data_dir);
        let home = shared::home_of(&folder);
        let address = settings.proxy_listen;
        let shared = Shared {
            disk: Disk::new(&folder),
            path: settings.path,
            server_env: settings.server_env,
            clock: settings.clock,
            docker: docker::Docker::new(settings.docker),
            routes: Arc::new(Routes::default()),
            crowd: Crowd::new(settings.connections),
            door: door(address),
            port_shown: settings.proxy_port_shown.unwrap_or(address.port()),
            units: Mutex::new(BTreeMap::new()),
            next_port: Mutex::new(Shared::first_port(&home)),
            warden: settings.warden,
            news: Arc::default(),
            halt: CancellationToken::new(),
            home,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Tells the inventory which copies are well: the server would know by its probes, from outside
    /// it is what was healthy once and still runs.
    async fn see(&self, stage: &StageId) -> PortResult<()> {
        let containers = if self.shared.disk.has_containers(stage)? {
            docker::containers(&self.shared, stage).await?.into_iter().map(|(name, _)| name).collect()
        } else {
            Vec::new()
        };
        for service in self.shared.disk.services(stage)? {
            for id in self.shared.disk.versions(stage, &service)? {
                let Some(unit) = self.shared.unit(&id)? else { continue };
                let record = unit.record();
                for copy in 0..unit.copies() {
                    if self.runs(&id, &record, copy, &containers)? {
                        unit.set(copy, CopyState::Healthy);
                    }
                }
            }
        }
        Ok(())
    }

    fn runs(&self, id: &VersionId, record: &VersionRecord, copy: usize, containers: &[String]) -> PortResult<bool> {
        let lives = match record.spec.runtime {
            Runtime::Process { .. } => recorded(&self.shared, id, &copy.to_string())?.is_some_and(|run| run.is_alive()),
            Runtime::Image(_) => containers.iter().any(|name| name.contains(&id.version.0)),
        };
        Ok(record.fate == Fate::Proven && lives)
    }
}

fn denied<T>() -> PortResult<T> {
    Err(PortError::Denied { reason: "a plan changes nothing".into() })
}

#[async_trait]
impl Cloud for LocalObserver {
    fn addressing(&self) -> Addressing {
        self.shared.addressing()
    }

    fn objections(&self, spec: &StageSpec) -> Vec<String> {
        self.shared.missing_secrets(spec)
    }

    async fn observe(&self, site: Site<'_>) -> PortResult<Observed> {
        self.see(site.stage).await?;
        inventory::observe(&self.shared, site.stage).await
    }

    async fn ensure(&self, _: Phase, _: &Rollout<'_>) -> PortResult<Progress<Output>> {
        denied()
    }

    async fn remove(&self, _: Site<'_>, _: &Resource) -> PortResult<Progress<()>> {
        denied()
    }

    async fn stages(&self, _known: &[(StageId, Place)]) -> PortResult<Vec<(StageId, Place)>> {
        Ok(inventory::stages(&self.shared).await?.into_iter().map(|stage| (stage, Place::default())).collect())
    }

    async fn logs(&self, site: Site<'_>, service: &ServiceName, lines: usize) -> PortResult<Vec<String>> {
        inventory::logs(&self.shared, site.stage, service, lines).await
    }
}
