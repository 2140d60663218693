//! Stages on this machine: processes and containers behind one proxy.
//!
//! Guarantees: whatever runs is written down before it is started, so that a server that was killed
//! at any moment finds it again, doubles nothing and loses nothing; stopping the server stops the
//! proxy and leaves the programs running; a switch of versions fails no request; when the last
//! resource of a stage is removed, no process, container, image, file or folder of it is left.
//!
//! | file | purpose |
//! |---|---|
//! | `settings` | what the composition root tells |
//! | `disk`, `tree` | what is remembered, and copies of sources |
//! | `warden` | the process between the server and each program |
//! | `proc`, `process`, `proof`, `sockets` | finding and ending programs, and whether nothing is left |
//! | `docker` | running and ending containers |
//! | `unit`, `launch`, `keeper` | one version: its state, its start, its supervision |
//! | `explain`, `trouble`, `unrest` | why a program ended or cannot be run, and how it fares once it is live |
//! | `phases`, `migrate` | the steps of a rollout |
//! | `inventory` | what exists, and its removal |
//! | `observer` | looking without touching |
//! | `proxy` | the public door |
//! | `sample` | a target with nothing on it, for tests |

mod disk;
mod docker;
mod explain;
mod health;
mod inventory;
mod keeper;
mod launch;
mod log;
mod migrate;
mod observer;
mod phases;
mod proc;
mod process;
mod proof;
mod proxy;
#[cfg(test)]
mod sample;
mod settings;
mod shared;
mod sockets;
mod tree;
mod trouble;
mod unit;
mod unrest;
mod warden;

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use observer::LocalObserver;
pub use proc::gone;
pub use settings::{DockerSettings, LocalSettings, ServerEnv};
pub use warden::{WardenProgram, watch_over};

use self::disk::{Disk, Fate, VersionId};
use self::process::Trace;
use self::proxy::{Proxy, Routes};
use self::shared::Shared;
use self::unit::Farewell;
use crate::crowd::Crowd;
use crate::model::{
    Addressing, Conditions, FailureKind, Observed, Output, Place, Resource, ServiceName, StageId, StageSpec,
};
use crate::port::{Cloud, Phase, PortError, PortResult, Progress, Rollout, Site};

/// [`Cloud`] on one machine. Dropping it leaves everything running, as a kill would.
pub struct LocalCloud {
    shared: Arc<Shared>,
    proxy: Proxy,
    address: SocketAddr,
    _halt: DropGuard,
    /// Held as long as this server works on the data folder.
    _lock: File,
}

impl LocalCloud {
    /// Finds again what runs, starts what should run, and opens the proxy.
    ///
    /// Fails as [`FailureKind::Environment`] when the data folder is in use by another server or the
    /// proxy's address cannot be had.
    pub async fn start(settings: LocalSettings) -> PortResult<Arc<Self>> {
        disk::create_private(&settings.data_dir)?;
        let lock = lock(&settings.data_dir)?;
        let listener = TcpListener::bind(settings.proxy_listen).await.map_err(|error| {
            let summary = format!("the proxy cannot listen on {}: {error}", settings.proxy_listen);
            let advice = "Stop what listens there, or set GREENROOM_PROXY_LISTEN to another address and port.";
            PortError::failed(FailureKind::Environment, summary, advice)
        })?;
        let address = listener.local_addr().map_err(|error| PortError::bug("reading the proxy's address", error))?;
        let whole = std::fs::canonicalize(&settings.data_dir)
            .map_err(|error| PortError::retry(format!("finding {}: {error}", settings.data_dir.display())))?;
        let home = shared::home_of(&whole);
        let halt = CancellationToken::new();
        let shared = Arc::new(Shared {
            disk: Disk::new(&whole),
            path: settings.path,
            server_env: settings.server_env,
            clock: settings.clock,
            docker: docker::Docker::new(settings.docker),
            routes: Arc::new(Routes::default()),
            crowd: Crowd::new(settings.connections),
            door: door(address),
            port_shown: settings.proxy_port_shown.unwrap_or(address.port()),
            units: Mutex::default(),
            next_port: Mutex::new(Shared::first_port(&home)),
            warden: settings.warden,
            news: Arc::default(),
            halt: halt.clone(),
            home,
        });
        recover(&shared).await?;
        let (routes, crowd) = (Arc::clone(&shared.routes), Arc::clone(&shared.crowd));
        let proxy = Proxy::serve(listener, routes, crowd, Arc::clone(&shared.clock), &halt);
        Ok(Arc::new(Self { shared, proxy, address, _halt: halt.drop_guard(), _lock: lock }))
    }

    /// Where the proxy listens.
    pub fn proxy_address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the proxy, letting open requests end for a few seconds. The programs go on running.
    pub async fn shutdown(&self) {
        self.proxy.stop().await;
        self.shared.halt.cancel();
    }
}

#[async_trait]
impl Cloud for LocalCloud {
    fn addressing(&self) -> Addressing {
        self.shared.addressing()
    }

    fn objections(&self, spec: &StageSpec) -> Vec<String> {
        self.shared.missing_secrets(spec)
    }

    async fn observe(&self, site: Site<'_>) -> PortResult<Observed> {
        inventory::observe(&self.shared, site.stage).await
    }

    async fn ensure(&self, phase: Phase, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
        phases::ensure(&self.shared, phase, rollout).await
    }

    async fn remove(&self, site: Site<'_>, resource: &Resource) -> PortResult<Progress<()>> {
        inventory::remove(&self.shared, site.stage, resource).await
    }

    async fn stages(&self, _known: &[(StageId, Place)]) -> PortResult<Vec<(StageId, Place)>> {
        Ok(inventory::stages(&self.shared).await?.into_iter().map(|stage| (stage, Place::default())).collect())
    }

    async fn logs(&self, site: Site<'_>, service: &ServiceName, lines: usize) -> PortResult<Vec<String>> {
        inventory::logs(&self.shared, site.stage, service, lines).await
    }

    async fn conditions(&self, site: Site<'_>) -> PortResult<Conditions> {
        unrest::of_stage(&self.shared, site.stage)
    }

    async fn stirred(&self) -> StageId {
        self.shared.news.next().await
    }
}

fn lock(data_dir: &Path) -> PortResult<File> {
    let path = data_dir.join("lock");
    let trouble = |error| PortError::retry(format!("opening {}: {error}", path.display()));
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(trouble)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(trouble(error)),
        Err(TryLockError::WouldBlock) => {
            let summary = format!("another Greenroom works on {}", data_dir.display());
            let advice = "Stop it first, or give this one a data folder of its own.";
            Err(PortError::failed(FailureKind::Environment, summary, advice))
        }
    }
}

/// Where we ask our own proxy: one that listens everywhere is asked on loopback.
fn door(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Takes up what an earlier server left: routes lead again, what serves is adopted or started, what
/// was on its way out goes, and a process that belongs to no version is ended.
async fn recover(shared: &Arc<Shared>) -> PortResult<()> {
    let prefix = format!("{}/", shared.home);
    let running = tokio::task::spawn_blocking(move || process::scan(&prefix))
        .await
        .map_err(|error| PortError::bug("reading the process list", error))??;
    let mut known = BTreeSet::new();
    for stage in shared.disk.stages()? {
        for service in shared.disk.services(&stage)? {
            recover_service(shared, &stage, &service, &running, &mut known)?;
        }
    }
    let strays: BTreeSet<String> = running
        .into_iter()
        .map(|found| found.marker)
        .filter(|marker| !known.iter().any(|own: &String| marker.starts_with(own)))
        .collect();
    let stops = strays.iter().map(|marker| {
        tracing::warn!(marker, "ending a process that belongs to no version");
        let trace = Trace { marker: marker.clone(), run: None };
        async move { process::stop(&trace, Duration::from_secs(2)).await }
    });
    for left in futures_util::future::join_all(stops).await.into_iter().filter_map(Result::err) {
        tracing::warn!(pid = left.pid, "a process that belongs to no version does not end");
    }
    Ok(())
}

fn recover_service(
    shared: &Arc<Shared>,
    stage: &StageId,
    service: &ServiceName,
    running: &[process::Found],
    known: &mut BTreeSet<String>,
) -> PortResult<()> {
    let route = shared.disk.read_route(stage, service)?;
    for id in shared.disk.versions(stage, service)? {
        let Some(unit) = shared.unit(&id)? else {
            shared.disk.remove_version(&id)?;
            continue;
        };
        let mark = shared.marker(&id, "");
        let serves = route.as_ref().is_some_and(|route| route.version == id.version);
        let runs = running.iter().any(|found| found.marker.starts_with(&mark) && !found.marker.ends_with("/migrate"));
        known.insert(mark);
        if unit.is_retiring() && !serves {
            tokio::spawn(finish(Arc::clone(shared), id));
        } else if serves {
            if unit.record().fate != Fate::Proven {
                unit.amend(shared, |record| record.fate = Fate::Proven)?;
            }
            if let Some(host) = route.as_ref().and_then(|route| route.host.as_deref())
                && let Err(taken) = shared.routes.set(host, stage, service, &unit.upstream)
            {
                tracing::warn!(host, owner = %taken.0, "two stages claim one host");
            }
            keeper::keep(shared, &unit);
        } else if runs {
            keeper::keep(shared, &unit);
        }
    }
    Ok(())
}

/// Ends a version that was on its way out.
async fn finish(shared: Arc<Shared>, id: VersionId) {
    let Ok(Some(unit)) = shared.unit(&id) else { return };
    if let Err(error) = unit.retired(&shared, Farewell::Drain, Duration::from_hours(1)).await {
        tracing::warn!(version = %id.version, %error, "a version on its way out is still there");
    }
}
