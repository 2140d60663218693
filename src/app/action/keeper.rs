//! The keeper of a machine: a process that outlives the step and serves what its stages serve, until the next
//! run takes them over.
//!
//! Guarantees: it decides nothing and deploys nothing; it leaves within a second when a run wants its place, and
//! comes back when that is gone, also when it was killed; a newer one takes its place for good; it ends by itself
//! once no stage is left.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::super::{SystemClock, docker_env, every_variable, variable};
use super::machine::{local_settings, try_lock};
use crate::local::LocalCloud;
use crate::port::Cloud as _;

/// How often it looks whether a run wants its place.
const LOOK: Duration = Duration::from_millis(150);
/// How often it looks whether any stage is left.
const EMPTY: Duration = Duration::from_secs(10);

/// What a keeper is told.
#[derive(Debug, Args)]
pub struct KeeperArgs {
    /// The machine's folder.
    #[arg(long)]
    data: PathBuf,
    /// Where its stages answer.
    #[arg(long)]
    listen: SocketAddr,
    /// Which keeper this is: the one that was written down last stays.
    #[arg(long)]
    number: String,
}

/// Starts a keeper, which needs nothing of this process.
///
/// It has nothing of the runner's environment: a runner ends at the end of a job whatever has its
/// `RUNNER_TRACKING_ID`. Source: actions/runner, `JobExtension`, "Cleanup orphan processes".
pub(super) fn spawn(data: &Path, listen: SocketAddr) -> anyhow::Result<()> {
    let number = super::super::chance_id();
    let log = File::create(data.join("keeper.log")).context("cannot make its log")?;
    std::fs::write(data.join("keeper"), &number).context("cannot write down which keeper is the newest")?;
    let secrets = every_variable().filter(|(name, _)| name.starts_with("GREENROOM_SECRET_"));
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["action-keeper", "--data"])
        .arg(data)
        .args(["--listen", &listen.to_string(), "--number", &number])
        .current_dir("/")
        .env_clear()
        .envs(docker_env())
        .envs(secrets)
        .env("PATH", variable("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map(drop).context("cannot start it")
}

/// Serves what the machine's stages serve.
pub async fn keep(args: KeeperArgs, stop: CancellationToken) -> anyhow::Result<()> {
    // A session of its own, so that no terminal and no group of the runner's takes it along.
    let _ = rustix::process::setsid();
    while is_newest(&args) && !stop.is_cancelled() {
        if try_lock(&args.data.join("turn"))?.is_none() {
            pause(&stop, LOOK).await;
            continue;
        }
        let settings = local_settings(&args.data, args.listen, Arc::new(SystemClock));
        match LocalCloud::start(settings).await {
            Ok(cloud) => {
                let left = serve(&args, &cloud, &stop).await?;
                cloud.shutdown().await;
                if left == Left::Nothing {
                    return Ok(());
                }
            }
            // A run was faster, or an older keeper has not left yet.
            Err(error) => {
                tracing::debug!("not yet: {error}");
                pause(&stop, LOOK).await;
            }
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Left {
    /// A run wants the place, or a newer keeper.
    Stages,
    Nothing,
}

async fn serve(args: &KeeperArgs, cloud: &Arc<LocalCloud>, stop: &CancellationToken) -> anyhow::Result<Left> {
    let mut next_look = tokio::time::Instant::now() + EMPTY;
    loop {
        pause(stop, LOOK).await;
        if stop.is_cancelled() || !is_newest(args) || try_lock(&args.data.join("turn"))?.is_none() {
            return Ok(Left::Stages);
        }
        if tokio::time::Instant::now() >= next_look {
            next_look += EMPTY;
            if cloud.stages(&[]).await.is_ok_and(|stages| stages.is_empty()) {
                return Ok(Left::Nothing);
            }
        }
    }
}

async fn pause(stop: &CancellationToken, span: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(span) => {}
    }
}

/// Whether no newer keeper was started. One whose folder is gone has nothing to keep.
fn is_newest(args: &KeeperArgs) -> bool {
    std::fs::read_to_string(args.data.join("keeper")).is_ok_and(|newest| newest.trim() == args.number)
}
