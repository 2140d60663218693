//! The stages of this machine, which one process at a time works on: a run of a workflow, or the keeper.
//!
//! | file | who has it locked |
//! |---|---|
//! | `turn` | the run that works here, from before it asks the keeper for its place |
//! | `local/lock` | whoever serves the proxy: that run, or the keeper |
//!
//! The keeper leaves as soon as it sees `turn` taken, and comes back when it is free. Locks are the kernel's, so
//! a run that was killed holds nobody up.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::super::{descriptors, docker_env, private, server_env, variable, warden};
use super::keeper;
use crate::local::{DockerSettings, LocalCloud, LocalSettings};
use crate::port::{Clock, Cloud};

/// How long the keeper may take to leave: open requests get a few seconds to end.
const LEAVE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(50);
/// How long a run waits for open requests when it leaves; the keeper takes the rest as broken connections.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// This machine, as long as a run works on it.
pub(super) struct Machine {
    cloud: Arc<LocalCloud>,
    data: PathBuf,
    address: SocketAddr,
    /// Held as long as this run works here.
    _turn: File,
}

impl Machine {
    /// Takes this machine's stages over from the keeper. `None`: another run works on them.
    pub(super) async fn take(data: &Path, listen: SocketAddr, clock: Arc<dyn Clock>) -> anyhow::Result<Option<Self>> {
        private::make(data).with_context(|| format!("cannot make the folder {}", data.display()))?;
        let Some(turn) = try_lock(&data.join("turn"))? else { return Ok(None) };
        wait_for_place(data).await?;
        let listen =
            remembered(data).filter(|address| address.ip() == listen.ip() && listen.port() == 0).unwrap_or(listen);
        let cloud = LocalCloud::start(local_settings(data, listen, clock))
            .await
            .context("cannot take this machine's stages")?;
        let address = cloud.proxy_address();
        remember(data, address)?;
        Ok(Some(Self { cloud, data: data.to_owned(), address, _turn: turn }))
    }

    pub(super) fn cloud(&self) -> Arc<dyn Cloud> {
        self.cloud.clone()
    }

    /// Stops serving the stages here; a keeper goes on with it.
    pub(super) async fn leave(self) {
        let _ = tokio::time::timeout(SHUTDOWN, self.cloud.shutdown()).await;
    }
}

impl Drop for Machine {
    /// Hands the stages to a keeper, a process that outlives the step, however the run ends.
    fn drop(&mut self) {
        if let Err(error) = keeper::spawn(&self.data, self.address) {
            tracing::warn!("what this machine's stages serve is not served on after this step: {error:#}");
        }
    }
}

/// Waits until nobody serves here.
async fn wait_for_place(data: &Path) -> anyhow::Result<()> {
    let local = data.join("local");
    private::make(&local).with_context(|| format!("cannot make the folder {}", local.display()))?;
    let begun = Instant::now();
    while try_lock(&local.join("lock"))?.is_none() {
        if begun.elapsed() > LEAVE {
            bail!(
                "something else works on this machine's stages in {} and does not make room: a `greenroom serve` with \
                 the same folder?",
                data.display()
            );
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// The lock on a file, held until the file is dropped; `None` where another process has it.
pub(super) fn try_lock(path: &Path) -> anyhow::Result<Option<File>> {
    let file = File::options().write(true).create(true).truncate(false).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Where the proxy listened last: addresses of stages are to stay.
fn remembered(data: &Path) -> Option<SocketAddr> {
    std::fs::read_to_string(data.join("proxy")).ok()?.trim().parse().ok()
}

fn remember(data: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let path = data.join("proxy");
    std::fs::write(&path, address.to_string()).with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn local_settings(data: &Path, listen: SocketAddr, clock: Arc<dyn Clock>) -> LocalSettings {
    LocalSettings {
        data_dir: data.join("local"),
        proxy_listen: listen,
        connections: descriptors::raise().proxy,
        proxy_port_shown: None,
        clock,
        path: variable("PATH").unwrap_or_default(),
        server_env: server_env(),
        warden: warden(),
        docker: DockerSettings { program: "docker".into(), env: docker_env().into_iter().collect() },
    }
}
