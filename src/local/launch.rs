//! Bringing one copy to life, or finding it alive.
//!
//! Guarantees: a copy lives at most once. What is to run is on disk before it is started; whatever
//! carries the copy's marker is found and adopted, or ended, before a new one is started.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Child;

use super::disk::{self, VersionId, VersionRecord};
use super::docker::{self, Container};
use super::process::{self, Launch, ProcessId};
use super::shared::Shared;
use super::tree;
use super::unit::Unit;
use crate::model::{FailureKind, Runtime};
use crate::port::{PortError, PortResult, is_own_exhaustion};

/// Why a copy is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// This server sees it for the first time: it may be running already.
    Arrival,
    /// Its program ended.
    Restart,
}

/// A copy that runs.
pub(super) enum Body {
    Child(Child, ProcessId),
    /// Started by a server that ran before this one.
    Adopted(ProcessId),
    Container(Container),
}

impl Body {
    /// Waits for its end; the exit code where it can be known.
    pub(super) async fn exited(&mut self, shared: &Shared) -> Option<i32> {
        match self {
            Self::Child(child, _) => match child.wait().await {
                Ok(status) => process::exit_code(status),
                Err(error) => {
                    tracing::warn!(%error, "cannot wait for a program");
                    None
                }
            },
            Self::Adopted(process) => {
                process.gone().await;
                None
            }
            Self::Container(container) => container.exited(&shared.docker).await,
        }
    }

    /// Where it is asked; `None` for a worker.
    pub(super) fn address(&self, record: &VersionRecord, copy: usize) -> Option<SocketAddr> {
        record.spec.port?;
        match self {
            Self::Child(..) | Self::Adopted(_) => {
                record.ports.get(copy).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
            }
            Self::Container(container) => container.address,
        }
    }
}

/// Brings a copy to life. Goes on in the background when the caller stops waiting, so that a start
/// is never left half done.
pub(super) async fn launch(shared: &Arc<Shared>, unit: &Arc<Unit>, copy: usize, why: Occasion) -> PortResult<Body> {
    let nothing_ends = Arc::clone(&unit.launching).lock_owned().await;
    let (shared, unit) = (Arc::clone(shared), Arc::clone(unit));
    let task = tokio::spawn(async move {
        let _nothing_ends = nothing_ends;
        if unit.halt.is_cancelled() {
            return Err(PortError::retry("the version is being removed"));
        }
        match unit.record().spec.runtime {
            Runtime::Process { command } => start_process(&shared, &unit, copy, why, command).await,
            Runtime::Image(_) => docker::start(&shared, &unit, copy, why).await.map(Body::Container),
        }
    });
    task.await.map_err(|error| PortError::bug("starting a program", error))?
}

async fn start_process(
    shared: &Arc<Shared>,
    unit: &Unit,
    copy: usize,
    why: Occasion,
    command: Vec<String>,
) -> PortResult<Body> {
    let role = copy.to_string();
    let marker = shared.marker(&unit.id, &role);
    let known = recorded(shared, &unit.id, &role);
    if why == Occasion::Arrival
        && let Some(process) = alive(&marker, known).await?
    {
        // What it serves waits for this disk: a record that stands already is not written again.
        if known != Some(process) {
            record_process(shared, &unit.id, &role, process)?;
        }
        return Ok(Body::Adopted(process));
    }
    // What the ended program left behind would hold its port.
    process::stop(&marker, None, Duration::from_millis(500)).await;
    let record = unit.record();
    let mut env = BTreeMap::new();
    if let (Some(_), Some(port)) = (record.spec.port, record.ports.get(copy)) {
        env.insert("PORT".to_owned(), port.to_string());
    }
    let launch = prepare(shared, &unit.id, &record, command, &role, env).await?;
    let (child, process) = process::spawn(&launch).map_err(|error| cannot_run(&launch.command, &error))?;
    record_process(shared, &unit.id, &role, process)?;
    Ok(Body::Child(child, process))
}

/// The copy's living process, if there is one.
async fn alive(marker: &str, known: Option<ProcessId>) -> PortResult<Option<ProcessId>> {
    if let Some(known) = known.filter(|known| known.is_alive()) {
        return Ok(Some(known));
    }
    let prefix = marker.to_owned();
    let found = tokio::task::spawn_blocking(move || process::scan(&prefix))
        .await
        .map_err(|error| PortError::bug("reading the process list", error))??;
    Ok(found.into_iter().find(|found| found.marker == marker && found.leads).map(|found| found.id))
}

/// Lays out a version's folder and says how a program of it is run.
pub(super) async fn prepare(
    shared: &Arc<Shared>,
    id: &VersionId,
    record: &VersionRecord,
    command: Vec<String>,
    role: &str,
    more: BTreeMap<String, String>,
) -> PortResult<Launch> {
    let folder = shared.disk.version_dir(id);
    let (home, temporary, source) = (folder.join("home"), folder.join("tmp"), folder.join("source"));
    disk::create_private(&home)?;
    disk::create_private(&temporary)?;
    let from = PathBuf::from(&record.artifact.reference);
    let to = source.clone();
    tokio::task::spawn_blocking(move || tree::copy_once(&from, &to))
        .await
        .map_err(|error| PortError::bug("copying a source", error))?
        .map_err(|error| PortError::retry(format!("copying the source of `{}`: {error}", id.service)))?;
    let secrets = shared.secrets(&record.spec)?;
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), shared.path.clone()),
        ("HOME".to_owned(), home.display().to_string()),
        ("TMPDIR".to_owned(), temporary.display().to_string()),
    ]);
    env.extend(record.spec.env.clone());
    env.extend(more);
    Ok(Launch {
        command,
        folder: source,
        env,
        secrets,
        log: open_log(&log_file(shared, id, role))?,
        marker: shared.marker(id, role),
    })
}

fn cannot_run(command: &[String], error: &std::io::Error) -> PortError {
    if is_own_exhaustion(error) {
        return PortError::retry(format!("this server has nothing left to start a program with: {error}"));
    }
    let program = command.first().map_or("", String::as_str);
    let summary = format!("`{program}` cannot be run: {error}");
    let advice = "Name a program that is on the server's PATH, or a file of the repository as `./name`.";
    PortError::failed(FailureKind::Exited, summary, advice)
}

fn open_log(path: &std::path::Path) -> PortResult<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| PortError::retry(format!("opening {}: {error}", path.display())))
}

/// Where a program of a version prints to.
pub(super) fn log_file(shared: &Shared, id: &VersionId, role: &str) -> PathBuf {
    shared.disk.version_dir(id).join(format!("log-{role}"))
}

fn run_file(shared: &Shared, id: &VersionId, role: &str) -> PathBuf {
    shared.disk.version_dir(id).join(format!("run-{role}.json"))
}

/// Writes down which process a copy is, for those that hide their marker.
pub(super) fn record_process(shared: &Shared, id: &VersionId, role: &str, process: ProcessId) -> PortResult<()> {
    disk::write_json(&run_file(shared, id, role), &process)
}

/// The process that was written down for a copy; it may be long gone.
pub(super) fn recorded(shared: &Shared, id: &VersionId, role: &str) -> Option<ProcessId> {
    disk::read_json(&run_file(shared, id, role)).ok().flatten()
}
