//! Processes of this machine: found, told apart and ended without mistaking one for another.
//!
//! A child carries a marker in its environment that names the server's data folder and the copy it
//! is. What runs is read from `/proc` by that marker, so that a process which was started just
//! before the server was killed is found again although nobody wrote down its number. A number is
//! only trusted together with the moment of the start, because the kernel gives numbers again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use crate::port::{PortError, PortResult, is_own_exhaustion};

/// Before the list of processes is looked at again that could not be read.
const BLIND_PAUSE: Duration = Duration::from_millis(250);

/// The variable that every child carries.
const MARKER: &str = "GREENROOM_PROCESS";

/// One process for as long as the machine is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pub(super) pid: i32,
    /// Clock ticks after boot, from `/proc/<pid>/stat`.
    started: u64,
}

/// A process with a marker of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: ProcessId,
    pub(super) marker: String,
    /// It leads its own process group, as every child that we start does.
    pub(super) leads: bool,
}

/// What to run.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) command: Vec<String>,
    pub(super) folder: PathBuf,
    pub(super) env: BTreeMap<String, String>,
    pub(super) secrets: BTreeMap<String, SecretString>,
    pub(super) log: fs::File,
    pub(super) marker: String,
}

struct Stat {
    state: char,
    group: i32,
    started: u64,
}

impl ProcessId {
    /// Whether it still runs; a zombie does not. One that cannot be seen at the moment does.
    pub(super) fn is_alive(self) -> bool {
        match stat(self.pid) {
            Ok(stat) => stat.is_some_and(|stat| stat.is_alive() && stat.started == self.started),
            Err(_) => true,
        }
    }

    /// Waits until it is gone. For processes that are not our children: their end wakes nobody.
    pub(super) async fn gone(self) {
        while self.is_alive() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Stat {
    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Reads of a process in `/proc`; `None` where there is none, or it is none of ours. An error where this
/// server has nothing left to look with: then nothing is known.
fn read(pid: i32, file: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(format!("/proc/{pid}/{file}")) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_own_exhaustion(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// proc(5): the fields after the command's name, which stands in parentheses and may hold any.
fn stat(pid: i32) -> io::Result<Option<Stat>> {
    Ok(read(pid, "stat")?.and_then(|bytes| {
        let text = String::from_utf8_lossy(&bytes);
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Stat {
            state: fields.first()?.chars().next()?,
            group: fields.get(2)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }))
}

/// Every living process whose marker starts with `prefix`, or none at all: half a list would be taken
/// for the whole. Blocks for a few milliseconds.
pub(super) fn scan(prefix: &str) -> PortResult<Vec<Found>> {
    let unseen = |error: io::Error| PortError::retry(format!("the list of processes cannot be read: {error}"));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(unseen)? {
        let name = entry.map_err(unseen)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        found.extend(marked(pid, prefix).map_err(unseen)?);
    }
    Ok(found)
}

/// A living process, if its marker starts with `prefix`.
fn marked(pid: i32, prefix: &str) -> io::Result<Option<Found>> {
    let Some(stat) = stat(pid)?.filter(Stat::is_alive) else { return Ok(None) };
    let Some(environ) = read(pid, "environ")? else { return Ok(None) };
    let marker = environ
        .split(|byte| *byte == 0)
        .filter_map(|entry| entry.strip_prefix(MARKER.as_bytes())?.strip_prefix(b"="))
        .find(|marker| marker.starts_with(prefix.as_bytes()));
    let marker = marker.and_then(|marker| String::from_utf8(marker.to_vec()).ok());
    let id = ProcessId { pid, started: stat.started };
    Ok(marker.map(|marker| Found { id, marker, leads: stat.group == pid }))
}

/// Starts a program in a process group of its own, with nothing of our environment.
pub(super) fn spawn(launch: &Launch) -> io::Result<(Child, ProcessId)> {
    let Some((program, arguments)) = launch.command.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"));
    };
    // A relative path is meant from the program's folder, not from ours.
    let path = Path::new(program);
    let path = if path.is_relative() && program.contains('/') { launch.folder.join(path) } else { path.to_path_buf() };
    let child = Command::new(path)
        .args(arguments)
        .current_dir(&launch.folder)
        .env_clear()
        .envs(&launch.env)
        .envs(launch.secrets.iter().map(|(name, value)| (name, value.expose_secret())))
        .env(MARKER, &launch.marker)
        .stdin(Stdio::null())
        .stdout(launch.log.try_clone()?)
        .stderr(launch.log.try_clone()?)
        .process_group(0)
        .kill_on_drop(false)
        .spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
    // A child that we have not waited for keeps its number, so this cannot be another process; it
    // may be a zombie already, whose moment of start is as good.
    let started = stat(pid).ok().flatten().map_or(0, |stat| stat.started);
    Ok((child, ProcessId { pid, started }))
}

/// The code that a shell would show: 128 and the signal's number for a killed program.
pub(super) fn exit_code(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}

/// Ends a copy: `SIGTERM`, then `SIGKILL` after `patience`, until nothing of it is left: neither its
/// process group nor a descendant that left the group. `known` counts even if it hid its marker.
pub(super) async fn stop(marker: &str, known: Option<ProcessId>, patience: Duration) {
    let begun = Instant::now();
    let mut told: Vec<ProcessId> = Vec::new();
    let mut pause = Duration::from_millis(5);
    loop {
        let Ok(members) = members(marker, known).await else {
            // Whoever cannot be seen may live.
            tokio::time::sleep(BLIND_PAUSE).await;
            continue;
        };
        if members.is_empty() {
            return;
        }
        let kill = begun.elapsed() >= patience;
        for (id, leads) in members {
            if kill {
                signal(id, leads, Signal::KILL);
            } else if !told.contains(&id) {
                told.push(id);
                signal(id, leads, Signal::TERM);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// What lives of one copy, and whether each leads its group.
async fn members(marker: &str, known: Option<ProcessId>) -> PortResult<Vec<(ProcessId, bool)>> {
    let prefix = marker.to_owned();
    let scanned = tokio::task::spawn_blocking(move || scan(&prefix)).await;
    let found = scanned.map_err(|error| PortError::bug("reading the process list", error))??;
    let mut members: Vec<_> =
        found.into_iter().filter(|found| found.marker == marker).map(|found| (found.id, found.leads)).collect();
    if let Some(known) = known.filter(|known| known.is_alive() && !members.iter().any(|(id, _)| id == known)) {
        let stat = stat(known.pid).ok().flatten();
        members.push((known, stat.is_some_and(|stat| stat.group == known.pid)));
    }
    Ok(members)
}

fn signal(id: ProcessId, leads: bool, signal: Signal) {
    let Some(pid) = Pid::from_raw(id.pid).filter(|_| id.is_alive()) else { return };
    // Gone meanwhile is what we want; a refusal shows by the process staying alive.
    let _ = if leads {
        rustix::process::kill_process_group(pid, signal)
    } else {
        rustix::process::kill_process(pid, signal)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(marker: &str, command: &[&str]) -> Launch {
        Launch {
            command: command.iter().map(|&part| part.to_owned()).collect(),
            folder: "/".into(),
            env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
            secrets: BTreeMap::new(),
            log: tempfile::tempfile().unwrap(),
            marker: marker.to_owned(),
        }
    }

    /// No other run's.
    fn marker(name: &str) -> String {
        format!("greenroom-test:{}:{name}", std::process::id())
    }

    #[tokio::test]
    async fn a_child_is_found_by_its_marker_and_a_zombie_is_dead() {
        let marker = marker("found/0");
        let (mut child, id) = spawn(&launch(&marker, &["sleep", "600"])).unwrap();
        // Between fork and exec the child still shows our environment.
        while scan(&marker).expect("a list").is_empty() {
            tokio::task::yield_now().await;
        }
        let expected = Found { id, marker: marker.clone(), leads: true };
        assert_eq!(scan(marker.trim_end_matches('0')).expect("a list"), [expected]);

        stop(&marker, None, Duration::from_mins(1)).await;
        // Nobody has waited for it yet: it is a zombie or was just reaped, and counts as gone.
        assert!(!id.is_alive());
        assert_eq!(exit_code(child.wait().await.unwrap()), Some(143));
    }

    #[tokio::test]
    async fn what_ignores_the_polite_signal_is_killed_after_its_patience() {
        let script = "trap '' TERM; echo deaf; while :; do sleep 1; done";
        let marker = marker("stubborn");
        let launch = launch(&marker, &["sh", "-c", script]);
        let log = launch.log.try_clone().unwrap();
        let (mut child, _) = spawn(&launch).unwrap();
        while log.metadata().unwrap().len() == 0 {
            tokio::task::yield_now().await;
        }
        stop(&marker, None, Duration::from_millis(300)).await;
        assert_eq!(exit_code(child.wait().await.unwrap()), Some(137));
        assert_eq!(scan(&marker).expect("a list"), []);
    }

    /// In a process of its own, as nextest runs it: others would be short of descriptors as well.
    #[tokio::test]
    async fn while_we_have_no_descriptor_left_nothing_is_taken_for_gone_or_ill() {
        use rustix::process::{Resource, Rlimit, getpid, getrlimit, setrlimit};

        let own = getpid().as_raw_nonzero().get();
        let known = ProcessId { pid: own, started: stat(own).expect("it is seen").expect("it lives").started };
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).expect("it may be less");
        let (lives, scanned) = (known.is_alive(), scan("greenroom-test:none"));
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let asked = super::super::health::get(address, "localhost", "/", Duration::from_mins(5)).await;
        setrlimit(Resource::Nofile, before).expect("as it was");
        assert!(lives, "it was not seen to be gone");
        assert!(matches!(scanned, Err(PortError::Retry { .. })), "{scanned:?}");
        assert!(matches!(asked, Err(super::super::health::Silence::Ours(_))), "{asked:?}");
    }
}
