//! Bringing one copy to life, or finding it alive.
//!
//! Guarantees: a copy lives at most once. What is to run is on disk before it is started, and so is the
//! number of its warden; whatever belongs to the copy is found and adopted, or ended, before a new one is
//! started.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::process::Child;

use super::disk::{self, VersionId, VersionRecord};
use super::docker::{self, Container};
use super::process::{self, Part, Run, Trace};
use super::shared::Shared;
use super::unit::Unit;
use super::warden::{self, Ended, NoStart, Order};
use super::{proof, tree, trouble};
use crate::model::Runtime;
use crate::port::{PortError, PortResult};

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
    /// Its warden is our child.
    Child(Child),
    /// Started by a server that ran before this one.
    Adopted(Run),
    Container(Container),
}

impl Body {
    /// Waits for its end, and tells what is known of it.
    pub(super) async fn exited(&mut self, shared: &Shared, end: &std::path::Path) -> Ended {
        match self {
            Self::Child(child) => {
                if let Err(error) = child.wait().await {
                    tracing::warn!(%error, "cannot wait for a program");
                }
                warden::read_end(end).unwrap_or_default()
            }
            Self::Adopted(run) => {
                run.process.gone().await;
                // The end of what an older version started is seen by nobody.
                let seen = if run.has_warden() { warden::read_end(end) } else { None };
                seen.unwrap_or_default()
            }
            Self::Container(container) => {
                Ended { code: container.exited(&shared.docker).await, left: Vec::new(), nothing_lives: true }
            }
        }
    }

    /// Where it may be asked, in this order; nowhere for a worker.
    pub(super) fn addresses(&self, record: &VersionRecord, copy: usize) -> Vec<SocketAddr> {
        if record.spec.port.is_none() {
            return Vec::new();
        }
        match self {
            // A program that is told a port takes either family, and `localhost` may mean both.
            Self::Child(_) | Self::Adopted(_) => {
                let Some(port) = record.ports.get(copy).copied() else { return Vec::new() };
                vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
            }
            Self::Container(container) => container.address.into_iter().collect(),
        }
    }

    /// Whether it prints into its log by itself, as what an older version started does.
    pub(super) fn is_bare(&self) -> bool {
        matches!(self, Self::Adopted(run) if !run.has_warden())
    }

    /// Whether this server found it running.
    pub(super) fn is_adopted(&self) -> bool {
        matches!(self, Self::Adopted(_))
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
    let trace = trace(shared, &unit.id, &role)?;
    if why == Occasion::Arrival
        && let Some(run) = alive(&trace).await?
    {
        // What it serves waits for this disk: a record that stands already is not written again.
        if trace.run.as_ref() != Some(&run) {
            record_run(shared, &unit.id, &role, &run)?;
        }
        return Ok(Body::Adopted(run));
    }
    // What the ended program left behind would hold its port.
    end_traced(&unit.id, &trace, Duration::from_millis(500)).await?;
    let record = unit.record();
    let mut env = BTreeMap::new();
    if let (Some(_), Some(port)) = (record.spec.port, record.ports.get(copy)) {
        env.insert("PORT".to_owned(), port.to_string());
    }
    let order = prepare(shared, &unit.id, &record, command, &role, env).await?;
    run(shared, &unit.id, &role, &order).await.map(Body::Child)
}

/// The copy's living start, if there is one.
async fn alive(trace: &Trace) -> PortResult<Option<Run>> {
    if let Some(known) = trace.run.as_ref().filter(|run| run.is_alive()) {
        return Ok(Some(known.clone()));
    }
    let marker = trace.marker.clone();
    let found = tokio::task::spawn_blocking(move || {
        let mut found = process::scan(&marker)?.into_iter();
        let warden = found.find(|found| found.part == Part::Warden && found.marker == marker);
        warden.map(|warden| Run::of(warden.id)).transpose().map_err(|error| unseen(&error))
    });
    found.await.map_err(|error| PortError::bug("reading the process list", error))?
}

fn unseen(error: &std::io::Error) -> PortError {
    PortError::retry(format!("the list of processes cannot be read: {error}"))
}

/// Lays out a version's folder and says how a program of it is run.
pub(super) async fn prepare(
    shared: &Arc<Shared>,
    id: &VersionId,
    record: &VersionRecord,
    command: Vec<String>,
    role: &str,
    more: BTreeMap<String, String>,
) -> PortResult<Order> {
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
    env.extend(secrets.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())));
    Ok(Order {
        marker: shared.marker(id, role),
        command,
        folder: source,
        env,
        log: log_file(shared, id, role),
        end: end_file(shared, id, role),
        patience_millis: u64::try_from(record.spec.drain.duration().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Has a program started, under a warden that is on disk before.
pub(super) async fn run(shared: &Arc<Shared>, id: &VersionId, role: &str, order: &Order) -> PortResult<Child> {
    keep_doubt(shared, id, role).await?;
    let no_record = |error| PortError::retry(format!("making room for how `{}` ends: {error}", id.service));
    warden::begin_record(&order.end).map_err(no_record)?;
    let no_warden = |error| PortError::retry(format!("`{}` cannot be started by this server: {error}", id.service));
    let mut ward = warden::begin(&shared.warden, &order.marker).map_err(no_warden)?;
    let mut run = Run::of(ward.id).map_err(|error| unseen(&error))?;
    record_run(shared, id, role, &run)?;
    match ward.start(order).await {
        Ok(None) => {}
        Ok(cgroup) => {
            run.cgroup = cgroup;
            record_run(shared, id, role, &run)?;
        }
        Err(NoStart::Warden(error)) => return Err(no_warden(error)),
        Err(NoStart::Program(error)) => return Err(trouble::cannot_run(order, &error)),
    }
    Ok(ward.child)
}

/// Everything by which a program of a version is known.
pub(super) fn trace(shared: &Shared, id: &VersionId, role: &str) -> PortResult<Trace> {
    Ok(Trace { marker: shared.marker(id, role), run: recorded(shared, id, role)? })
}

/// Ends a program of a version with all that it started. A failure where something of it does not end.
pub(super) async fn end_traced(id: &VersionId, trace: &Trace, patience: Duration) -> PortResult<()> {
    let ended = process::stop(trace, patience).await;
    ended.map_err(|left| PortError::Failed(Box::new(proof::resists(id.service.as_str(), left))))
}

/// Ends it as far as it can be ended; whoever starts it again, or removes it, says what does not end. What cannot
/// be read at the moment is waited for.
pub(super) async fn end_program(shared: &Shared, id: &VersionId, role: &str, patience: Duration) {
    let trace = loop {
        match trace(shared, id, role) {
            Ok(trace) => break trace,
            Err(PortError::Retry { .. }) => tokio::time::sleep(process::BLIND_PAUSE).await,
            Err(error) => {
                tracing::warn!(stage = %id.stage, service = %id.service, %error, "a program is known by its mark alone");
                break Trace { marker: shared.marker(id, role), run: None };
            }
        }
    };
    if let Err(left) = process::stop(&trace, patience).await {
        tracing::warn!(stage = %id.stage, service = %id.service, pid = left.pid, "a process does not end");
    }
}

/// The starts of a program of a version that are on record.
#[derive(Debug, Default)]
struct Starts {
    last: Option<Run>,
    /// Those of which it is not known that nothing is left; the last one may be among them.
    lost: Vec<Run>,
}

impl Starts {
    fn read(shared: &Shared, id: &VersionId, role: &str) -> PortResult<Self> {
        let lost = disk::read_json(&lost_file(shared, id, role))?.unwrap_or_default();
        Ok(Self { last: recorded(shared, id, role)?, lost })
    }

    /// Each of them, with what is known of its end; `end` is what is written of one.
    fn with_ends(self, end: Option<Ended>) -> Vec<(Run, Option<Ended>)> {
        let Self { last, lost } = self;
        // It is of the last one, or of the next, for which room was made: then the last one is in doubt already.
        let told = last.filter(|last| !lost.contains(last)).map(|last| (last, end));
        told.into_iter().chain(lost.into_iter().map(|run| (run, None))).collect()
    }
}

/// Before another start takes the place of the last one: what is in doubt of that stays on record.
async fn keep_doubt(shared: &Arc<Shared>, id: &VersionId, role: &str) -> PortResult<()> {
    let Starts { last, mut lost } = Starts::read(shared, id, role)?;
    let Some(run) = last.filter(|last| !lost.contains(last)) else { return Ok(()) };
    let alone = Starts { last: Some(run.clone()), lost: Vec::new() };
    if suspects(alone, end_file(shared, id, role)).await?.is_empty() {
        return Ok(());
    }
    tracing::warn!(stage = %id.stage, service = %id.service, "the warden of a program was killed, and something of it may still run");
    lost.push(run);
    disk::write_json(&lost_file(shared, id, role), &lost)
}

/// Whether anything of a version's program is there, or nobody can say that it is not.
pub(super) async fn is_left(shared: &Arc<Shared>, id: &VersionId, role: &str) -> PortResult<bool> {
    let starts = Starts::read(shared, id, role)?;
    if starts.last.as_ref().is_some_and(Run::has_life) {
        return Ok(true);
    }
    Ok(!suspects(starts, end_file(shared, id, role)).await?.is_empty())
}

/// Fails where somebody has to look whether anything of a version's program is left.
pub(super) async fn prove_gone(shared: &Arc<Shared>, id: &VersionId, role: &str) -> PortResult<()> {
    let suspects = suspects(Starts::read(shared, id, role)?, end_file(shared, id, role)).await?;
    proof::doubt(id.service.as_str(), &suspects).map_or(Ok(()), |failure| Err(PortError::Failed(Box::new(failure))))
}

async fn suspects(starts: Starts, end: PathBuf) -> PortResult<Vec<proof::Suspect>> {
    let looked = tokio::task::spawn_blocking(move || -> std::io::Result<Vec<proof::Suspect>> {
        let mut found = Vec::new();
        for (run, ended) in starts.with_ends(warden::read_end(&end)) {
            for suspect in proof::suspects(&run, ended.as_ref())? {
                if !found.contains(&suspect) {
                    found.push(suspect);
                }
            }
        }
        Ok(found)
    });
    let looked = looked.await.map_err(|error| PortError::bug("reading the process list", error))?;
    looked.map_err(|error| unseen(&error))
}

/// Where a program of a version prints to.
pub(super) fn log_file(shared: &Shared, id: &VersionId, role: &str) -> PathBuf {
    shared.disk.version_dir(id).join(format!("log-{role}"))
}

/// Where its warden writes how it ended.
pub(super) fn end_file(shared: &Shared, id: &VersionId, role: &str) -> PathBuf {
    shared.disk.version_dir(id).join(format!("end-{role}.json"))
}

fn run_file(shared: &Shared, id: &VersionId, role: &str) -> PathBuf {
    shared.disk.version_dir(id).join(format!("run-{role}.json"))
}

fn lost_file(shared: &Shared, id: &VersionId, role: &str) -> PathBuf {
    shared.disk.version_dir(id).join(format!("lost-{role}.json"))
}

/// Writes down which warden keeps a program.
fn record_run(shared: &Shared, id: &VersionId, role: &str, run: &Run) -> PortResult<()> {
    disk::write_json(&run_file(shared, id, role), run)
}

/// The start that was written down for a program; it may be long over.
pub(super) fn recorded(shared: &Shared, id: &VersionId, role: &str) -> PortResult<Option<Run>> {
    disk::read_json(&run_file(shared, id, role))
}

#[cfg(test)]
mod tests {
    use super::super::proc::ProcessId;
    use super::*;

    #[test]
    fn what_is_written_of_an_end_says_nothing_of_a_start_that_is_in_doubt() {
        let run = |pid| Run {
            process: ProcessId { pid, started: 500 },
            boot: Some("b".into()),
            first: None,
            cgroup: None,
            heirs: vec![1],
        };
        let end = Some(Ended { nothing_lives: true, ..Ended::default() });
        let starts = Starts { last: Some(run(8)), lost: vec![run(7)] };
        assert_eq!(starts.with_ends(end.clone()), [(run(8), end.clone()), (run(7), None)]);
        // Killed before the next one was written down: room for its end was made already.
        let between = Starts { last: Some(run(7)), lost: vec![run(7)] };
        assert_eq!(between.with_ends(end.clone()), [(run(7), None)]);
        assert!(Starts::default().with_ends(end).is_empty());
    }
}
