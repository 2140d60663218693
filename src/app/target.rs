//! Where the stages of a server run: the adapter that the settings name.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use prometheus::core::Collector;

use super::{ServerSettings, TargetName, local_settings};
use crate::local::{LocalCloud, LocalObserver};
use crate::port::{Clock, Cloud, Registry, Store};
use crate::store;
use secrecy::ExposeSecret as _;

/// A target at work, with what else depends on which one it is.
pub(super) struct Running {
    pub(super) cloud: Arc<dyn Cloud>,
    /// Where the target pulls images from; `None` where they stay in this machine's engine.
    pub(super) registry: Option<Arc<dyn Registry>>,
    pub(super) store: Arc<dyn Store>,
    local: Option<Arc<LocalCloud>>,
    /// What the target counts; `None` once the registry of metrics has it.
    counters: Option<Box<dyn Collector>>,
    /// Held as long as this server works on the data folder.
    _lock: Option<File>,
}

/// The place that a target works on, this server's alone, before the database is opened: no older version
/// opens that afterwards, so whatever may refuse the start comes first.
pub(super) enum Ground {
    Local(Arc<LocalCloud>),
    /// The lock on the data folder.
    #[cfg(feature = "aws")]
    Aws(File),
}

impl Ground {
    pub(super) async fn take(settings: &ServerSettings, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        match settings.target {
            TargetName::Local => {
                let local = LocalCloud::start(local_settings(settings, clock)).await;
                Ok(Self::Local(local.context("cannot set up the local target")?))
            }
            #[cfg(feature = "aws")]
            TargetName::Aws => lock(&settings.data).map(Self::Aws),
        }
    }

    /// Opens the database, now that no other server works on the data folder, and the target with it.
    pub(super) async fn open(self, settings: &ServerSettings, clock: Arc<dyn Clock>) -> anyhow::Result<Running> {
        let store = open_store(settings).await?;
        match self {
            Self::Local(local) => {
                // It has one already.
                drop(clock);
                let (cloud, local) = (local.clone(), Some(local));
                Ok(Running { cloud, registry: None, store, local, counters: None, _lock: None })
            }
            #[cfg(feature = "aws")]
            Self::Aws(lock) => {
                let aws = super::aws::cloud(settings, clock, store.clone()).await?;
                let registry = super::aws::registry(settings, &aws);
                let cloud = Arc::new(aws);
                let calls = super::calls::AwsCalls::new(cloud.clone()).context("cannot set up the metrics of AWS")?;
                Ok(Running {
                    cloud,
                    registry: Some(registry),
                    store,
                    local: None,
                    counters: Some(Box::new(calls)),
                    _lock: Some(lock),
                })
            }
        }
    }
}

impl Running {
    /// Where the stages of this machine answer.
    pub(super) fn proxy_address(&self) -> Option<SocketAddr> {
        self.local.as_ref().map(|local| local.proxy_address())
    }

    /// Adds what the target counts.
    pub(super) fn count_in(&mut self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        self.counters.take().map_or(Ok(()), |counters| registry.register(counters))
    }

    /// Stops what this process itself serves. The stages go on running.
    pub(super) async fn shutdown(&self) {
        if let Some(local) = &self.local {
            local.shutdown().await;
        }
    }
}

/// The target for looking at, beside a server that may be running.
#[cfg_attr(not(feature = "aws"), expect(clippy::unused_async, reason = "AWS is waited for"))]
pub(super) async fn observer(
    settings: &ServerSettings,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
) -> anyhow::Result<Arc<dyn Cloud>> {
    match settings.target {
        TargetName::Local => {
            drop(store);
            Ok(Arc::new(LocalObserver::new(local_settings(settings, clock))))
        }
        #[cfg(feature = "aws")]
        TargetName::Aws => Ok(Arc::new(super::aws::cloud(settings, clock, store).await?)),
    }
}

async fn open_store(settings: &ServerSettings) -> anyhow::Result<Arc<dyn Store>> {
    let store = store::open_for_server(settings.store.database_url.expose_secret()).await;
    store.context("cannot open the database")
}

#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "the local target locks its own folder"))]
fn lock(data: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(data).with_context(|| format!("cannot make the data folder {}", data.display()))?;
    let path = data.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        Err(TryLockError::WouldBlock) => bail!(
            "another Greenroom works on {}: stop it first, or give this one a data folder of its own with GREENROOM_DATA",
            data.display()
        ),
    }
}
