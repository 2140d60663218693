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

/// Ends a copy: `SIGTERM`, then `SIGKILL` after `patience`, until nothing of it is to be seen. An error is a process
/// that does not end all the same.
pub(super) async fn stop(trace: &Trace, patience: Duration) -> Result<(), ProcessId> {
    let begun = Instant::now();
    let (mut told, mut alone, mut pause) = (BTreeSet::new(), None, Duration::from_millis(5));
    // An orphan of what has ended meanwhile is known by this alone, where no warden takes it in.
    let mut seen = BTreeSet::new();
    loop {
        let Ok(Members { wardens, others }) = look_aside(trace, &seen).await else {
            // Whoever cannot be seen may live.
            tokio::time::sleep(BLIND_PAUSE).await;
            continue;
        };
        seen.extend(&others);
        if wardens.is_empty() && others.is_empty() {
            break;
        }
        if begun.elapsed() < patience {
            // A warden passes it on. Nobody is asked twice, which many take for a wish to drop everything.
            let asked = if wardens.is_empty() { others } else { wardens };
            for id in asked.into_iter().filter(|id| told.insert(*id)) {
                id.signal(Signal::TERM);
                // One that is stopped hears nothing before it goes on.
                id.signal(Signal::CONT);
            }
        } else if others.is_empty() {
            // It ends by itself now, unless something holds it.
            let alone = alone.get_or_insert_with(Instant::now).elapsed();
            if let Some(left) = wardens.first().filter(|_| alone >= WARDEN_PATIENCE + STUBBORN) {
                return Err(*left);
            }
            let signal = if alone >= WARDEN_PATIENCE { Signal::KILL } else { Signal::CONT };
            for id in wardens {
                id.signal(signal);
            }
        } else if let Some(left) = others.first().filter(|_| begun.elapsed() >= patience.saturating_add(STUBBORN)) {
            return Err(*left);
        } else {
            // What is missed by one look is there in the next, and the warden is the proof that nothing is.
            alone = None;
            if let Some(folder) = trace.run.as_ref().and_then(|run| run.cgroup.as_deref()) {
                warden::kill(folder);
            }
            for id in others {
                id.signal(Signal::KILL);
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
mod tests {
    use std::process::Stdio;

    use tokio::process::{Child, Command};

    use super::*;

    /// A program as an older version started it: without a warden.
    fn bare(marker: &str, script: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env_clear().env("PATH", "/usr/bin:/bin").env(warden::PROGRAM, marker);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        command.spawn().expect("a shell")
    }

    fn trace(marker: &str) -> Trace {
        Trace { marker: marker.to_owned(), run: None }
    }

    /// No other run's.
    fn marker(name: &str) -> String {
        format!("greenroom-test:{}:{name}", std::process::id())
    }

    fn id(child: &Child) -> ProcessId {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).expect("a number");
        ProcessId::of(pid).expect("it is seen").expect("it is there")
    }

    #[test]
    fn a_mark_is_read_whole_and_a_warden_is_told_from_its_program() {
        let both = b"PATH=/bin\0GREENROOM_PROCESS=home/b\0GREENROOM_WARDEN=home/a\0";
        assert_eq!(mark(both, "home/"), Some((Part::Warden, "home/a".into())));
        assert_eq!(mark(b"GREENROOM_PROCESS=home/b\0", "home/"), Some((Part::Program, "home/b".into())));
        assert_eq!(mark(b"GREENROOM_PROCESS_X=home/b\0", "home/"), None);
        assert_eq!(mark(b"GREENROOM_PROCESS=other/b\0", "home/"), None);
        assert_eq!(mark(b"", ""), None);
    }

    #[test]
    fn a_start_that_an_older_version_wrote_down_can_be_read_and_the_other_way_round() {
        let older: Run = serde_json::from_str(r#"{"pid":7,"started":42}"#).expect("a record");
        assert!(!older.has_warden() && older.is_of_this_boot());
        let newer = Run { boot: Some("b".into()), heirs: vec![1], ..older };
        let text = serde_json::to_string(&newer).expect("a record");
        assert_eq!(serde_json::from_str::<ProcessId>(&text).expect("an older version reads it"), newer.process);
        assert_eq!(serde_json::from_str::<Run>(&text).expect("a record"), newer);
        assert!(!newer.is_of_this_boot() && !newer.is_alive());
        let unknown = Run { boot: Some(String::new()), ..newer };
        assert!(unknown.has_warden() && unknown.is_of_this_boot(), "where the boot is not told, it is no other one");
    }

    #[tokio::test]
    async fn a_program_is_found_by_its_mark_and_a_zombie_is_dead() {
        let marker = marker("found/0");
        let mut child = bare(&marker, "exec sleep 600");
        let id = id(&child);
        // Between fork and exec the child still shows our environment.
        while scan(&marker).expect("a list").is_empty() {
            tokio::task::yield_now().await;
        }
        let expected = Found { id, part: Part::Program, marker: marker.clone() };
        assert_eq!(scan(marker.trim_end_matches('0')).expect("a list"), [expected]);

        stop(&trace(&marker), Duration::from_mins(1)).await.expect("it ends");
        // Nobody has waited for it yet: it is a zombie or was just reaped, and counts as gone.
        assert!(!id.is_alive());
        assert!(!child.wait().await.expect("it ended").success());
    }

    #[tokio::test]
    async fn what_descends_from_a_program_goes_with_it_whatever_its_environment_says() {
        use tokio::io::{AsyncBufReadExt, BufReader};
        let marker = marker("descendants");
        let mut child =
            bare(&marker, "env -i setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait");
        let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
        let deaf: i32 = lines.next_line().await.expect("a line").expect("a line").parse().expect("a number");
        let deaf = ProcessId::of(deaf).expect("it is seen").expect("it is there");
        assert!(members(&trace(&marker)).expect("a list").others.contains(&deaf));
        stop(&trace(&marker), Duration::ZERO).await.expect("it ends");
        assert!(!deaf.is_alive());
        assert!(!child.wait().await.expect("it ended").success());
    }

    #[tokio::test]
    async fn one_that_is_stopped_hears_that_it_is_to_end() {
        use std::os::unix::process::ExitStatusExt;
        let marker = marker("stopped");
        let mut child = bare(&marker, "kill -STOP $$; exit 3");
        let id = id(&child);
        let is_stopped = || {
            let table = Table::read().expect("a list");
            table.living().any(|(found, stat)| found == id && stat.state == 'T')
        };
        while !is_stopped() {
            tokio::task::yield_now().await;
        }
        stop(&trace(&marker), Duration::from_secs(20)).await.expect("it ends");
        assert_eq!(child.wait().await.expect("it ended").signal(), Some(15), "by SIGTERM, and before SIGKILL");
    }

    /// In a process of its own, as nextest runs it: others would be short of descriptors as well.
    #[tokio::test]
    async fn while_we_have_no_descriptor_left_nothing_is_taken_for_gone_or_ill() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let known = ProcessId::of(proc::own()).expect("it is seen").expect("it lives");
        let group = tempfile::tempdir().expect("a folder");
        let run = Run { process: known, boot: proc::boot(), first: proc::first(), cgroup: None, heirs: vec![] };
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).expect("it may be less");
        let (lives, scanned) = (known.is_alive(), scan("greenroom-test:none"));
        let (run_lives, members) = (run.is_alive(), warden::members(group.path()));
        let addresses = [std::net::SocketAddr::from(([127, 0, 0, 1], 1))];
        let asked = super::super::health::get(&addresses, "localhost", "/", Duration::from_mins(5)).await;
        setrlimit(Resource::Nofile, before).expect("as it was");
        assert!(lives, "it was not seen to be gone");
        assert!(run_lives, "its boot is not another one");
        assert!(members.is_err(), "its group was not seen to be empty: {members:?}");
        assert!(matches!(scanned, Err(PortError::Retry { .. })), "{scanned:?}");
        assert!(matches!(asked, Err(super::super::health::Silence::Ours(_))), "{asked:?}");
    }
}
