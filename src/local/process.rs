//! The programs of this machine: found, and ended with all that they started.
//!
//! A copy is known by what was written down of its start, by the marks that its warden and its program
//! carry in their environment (so that one which was started just before the server was killed is found
//! again), by its control group where it has one, and by descent from any of these. A program that takes
//! its mark out, leaves its session and its parent is still below its warden.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::proc::{self, ProcessId, Table};
use super::warden;
use crate::port::{PortError, PortResult};

/// Before the list of processes is looked at again that could not be read.
pub(super) const BLIND_PAUSE: Duration = Duration::from_millis(250);
/// What a warden gets to see that nothing is left to keep.
const WARDEN_PATIENCE: Duration = Duration::from_secs(5);
/// What `SIGKILL` has not ended for so long is another user's, or held by the kernel.
const STUBBORN: Duration = Duration::from_secs(30);

/// A start of a program, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// The warden; the program itself where an older version of Greenroom started it.
    #[serde(flatten)]
    pub(super) process: ProcessId,
    /// The boot of the machine that the numbers belong to, empty where it is not known; an older version wrote none.
    #[serde(default)]
    pub(super) boot: Option<String>,
    /// When the first of all processes began. A container that was started anew has another one, and nothing of
    /// before: with its first process all of them end (`pid_namespaces(7)`). Unknown where it may not be seen.
    #[serde(default)]
    pub(super) first: Option<u64>,
    #[serde(default)]
    pub(super) cgroup: Option<PathBuf>,
    /// To one of these go the orphans of a warden that was killed.
    #[serde(default)]
    pub(super) heirs: Vec<i32>,
}

/// Everything by which a copy is known.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) marker: String,
    pub(super) run: Option<Run>,
}

/// What carries a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Warden,
    Program,
}

/// A living process with a mark of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: ProcessId,
    pub(super) part: Part,
    pub(super) marker: String,
}

/// What lives of one copy.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    pub(super) wardens: BTreeSet<ProcessId>,
    pub(super) others: BTreeSet<ProcessId>,
}

impl Run {
    /// Of a warden that was just started by us.
    pub(super) fn of(warden: ProcessId) -> io::Result<Self> {
        let mut heirs = Table::read()?.line_of(proc::own());
        // The first of all processes takes every orphan in, and may be us.
        heirs.retain(|pid| *pid == 1 || *pid != proc::own());
        let boot = Some(proc::boot().unwrap_or_default());
        Ok(Self { process: warden, boot, first: proc::first(), cgroup: None, heirs })
    }

    /// Whether a warden keeps it: an older version had none.
    pub(super) fn has_warden(&self) -> bool {
        self.boot.is_some()
    }

    /// Whether the machine, or the container that we are in, runs on since then; nothing lives of an earlier time.
    pub(super) fn is_of_this_boot(&self) -> bool {
        // What is not known is no other one.
        let then = self.boot.as_ref().filter(|then| !then.is_empty());
        then.zip(proc::boot()).is_none_or(|(then, now)| *then == now)
            && self.first.zip(proc::first()).is_none_or(|(then, now)| then == now)
    }

    pub(super) fn is_alive(&self) -> bool {
        self.is_of_this_boot() && self.process.is_alive()
    }

    /// Whether its warden lives, or something in its control group does.
    pub(super) fn has_life(&self) -> bool {
        // What cannot be seen at the moment may live.
        let is_empty = |folder| warden::members(folder).is_ok_and(|members| members.is_empty());
        let grouped = || self.cgroup.as_deref().is_some_and(|folder| !is_empty(folder));
        self.is_alive() || self.is_of_this_boot() && grouped()
    }
}

/// Every living process whose mark starts with `prefix`, or none at all: half a list would be taken for the
/// whole. Blocks for a few milliseconds.
pub(super) fn scan(prefix: &str) -> PortResult<Vec<Found>> {
    Table::read().and_then(|table| marked(&table, prefix)).map_err(|error| unseen(&error))
}

fn unseen(error: &io::Error) -> PortError {
    PortError::retry(format!("the list of processes cannot be read: {error}"))
}

fn marked(table: &Table, prefix: &str) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for (id, _) in table.living() {
        let Some(environ) = proc::read(id.pid, "environ")? else { continue };
        found.extend(mark(&environ, prefix).map(|(part, marker)| Found { id, part, marker }));
    }
    Ok(found)
}

/// Every living warden, whoever's.
pub(super) fn marked_wardens(table: &Table) -> io::Result<BTreeSet<ProcessId>> {
    let found = marked(table, "")?.into_iter().filter(|found| found.part == Part::Warden);
    Ok(found.map(|found| found.id).collect())
}

/// The mark in an environment. What a warden says of itself comes before what it says to others.
fn mark(environ: &[u8], prefix: &str) -> Option<(Part, String)> {
    [(warden::WARDEN, Part::Warden), (warden::PROGRAM, Part::Program)].into_iter().find_map(|(name, part)| {
        let mut entries = environ.split(|byte| *byte == 0);
        let marker = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        let marker = String::from_utf8(marker.to_vec()).ok()?;
        marker.starts_with(prefix).then_some((part, marker))
    })
}

/// What lives of a copy. Blocks.
pub(super) fn members(trace: &Trace) -> PortResult<Members> {
    look(trace, &BTreeSet::new()).map_err(|error| unseen(&error))
}

/// The same; `before` was seen to belong to it.
fn look(trace: &Trace, before: &BTreeSet<ProcessId>) -> io::Result<Members> {
    let table = Table::read()?;
    let mut members = Members::default();
    members.others.extend(before.iter().filter(|id| table.living_at(id.pid).as_ref() == Some(*id)));
    for found in marked(&table, &trace.marker)?.into_iter().filter(|found| found.marker == trace.marker) {
        match found.part {
            Part::Warden => members.wardens.insert(found.id),
            Part::Program => members.others.insert(found.id),
        };
    }
    if let Some(run) = trace.run.as_ref().filter(|run| run.is_of_this_boot()) {
        let known = table.living_at(run.process.pid).filter(|id| *id == run.process);
        if run.has_warden() {
            members.wardens.extend(known);
        } else {
            members.others.extend(known);
        }
        for pid in run.cgroup.as_deref().map(warden::members).transpose()?.unwrap_or_default() {
            let listed = table.living_at(pid);
            // One that began since the list was made is in the group all the same.
            let found = if listed.is_some() { listed } else { ProcessId::of(pid)?.filter(|id| id.is_alive()) };
            members.others.extend(found);
        }
    }
    let roots = members.wardens.iter().chain(&members.others).map(|id| id.pid).collect();
    members.others.extend(table.below(&roots));
    members.others.retain(|id| !members.wardens.contains(id));
    Ok(members)
}

async fn look_aside(trace: &Trace, before: &BTreeSet<ProcessId>) -> PortResult<Members> {
    let (trace, before) = (trace.clone(), before.clone());
    let looked = tokio::task::spawn_blocking(move || look(&trace, &before)).await;
    looked.map_err(|error| PortError::bug("reading the process list", error))?.map_err(|error| unseen(&error))
}

/// What is done about a copy that is to end and of which something is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Push {
    /// It is asked to, and has time.
    Ask,
    /// What lives but for the wardens is ended.
    Kill,
    /// Its warden ends by itself now, unless something holds it.
    Wake,
    KillWarden,
    /// This does not end, whatever is done.
    GiveUp(ProcessId),
}

/// What is next: `waited` since it was to end, `alone` since nothing was seen beside its warden.
fn push(members: &Members, waited: Duration, alone: Duration, patience: Duration) -> Push {
    if waited < patience {
        return Push::Ask;
    }
    if let Some(left) = members.others.first() {
        let is_stubborn = waited >= patience.saturating_add(STUBBORN);
        return if is_stubborn { Push::GiveUp(*left) } else { Push::Kill };
    }
    match members.wardens.first() {
        Some(left) if alone >= WARDEN_PATIENCE + STUBBORN => Push::GiveUp(*left),
        _ if alone >= WARDEN_PATIENCE => Push::KillWarden,
        _ => Push::Wake,
    }
}

/// Ends a copy: `SIGTERM`, then `SIGKILL` after `patience`, until nothing of it is to be seen. An error is a process
/// that does not end all the same.
pub(super) async fn stop(trace: &Trace, patience: Duration) -> Result<(), ProcessId> {
    let begun = Instant::now();
    let (mut told, mut pause) = (BTreeSet::new(), Duration::from_millis(5));
    let mut alone: Option<Instant> = None;
    // An orphan of what has ended meanwhile is known by this alone, where no warden takes it in.
    let mut seen = BTreeSet::new();
    loop {
        let Ok(members) = look_aside(trace, &seen).await else {
            // Whoever cannot be seen may live.
            tokio::time::sleep(BLIND_PAUSE).await;
            continue;
        };
        seen.extend(&members.others);
        if members.wardens.is_empty() && members.others.is_empty() {
            break;
        }
        let waited = begun.elapsed();
        // What is missed by one look is there in the next, and the warden is the proof that nothing is.
        let is_alone = waited >= patience && members.others.is_empty();
        alone = is_alone.then(|| alone.unwrap_or_else(Instant::now));
        let next = push(&members, waited, alone.map_or(Duration::ZERO, |since| since.elapsed()), patience);
        let Members { wardens, others } = members;
        match next {
            Push::GiveUp(left) => return Err(left),
            Push::Ask => {
                // A warden passes it on. Nobody is asked twice, which many take for a wish to drop everything.
                let asked = if wardens.is_empty() { others } else { wardens };
                for id in asked.into_iter().filter(|id| told.insert(*id)) {
                    id.signal(Signal::TERM);
                    // One that is stopped hears nothing before it goes on.
                    id.signal(Signal::CONT);
                }
            }
            Push::Wake => wardens.iter().for_each(|id| id.signal(Signal::CONT)),
            Push::KillWarden => wardens.iter().for_each(|id| id.signal(Signal::KILL)),
            Push::Kill => {
                if let Some(folder) = trace.run.as_ref().and_then(|run| run.cgroup.as_deref()) {
                    warden::kill(folder);
                }
                for id in &others {
                    id.signal(Signal::KILL);
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    if let Some(folder) = trace.run.as_ref().and_then(|run| run.cgroup.clone()) {
        // Gone already, where its warden lived to the end.
        let removed = tokio::task::spawn_blocking(move || warden::remove(&folder)).await;
        drop(removed);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
