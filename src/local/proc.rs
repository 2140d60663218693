//! What `/proc` says of the processes of this machine.
//!
//! Guarantees: a number is only trusted together with the moment of the start, because the kernel gives
//! numbers again; where this server has nothing left to look with, that is an error and never an
//! absence.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use crate::port::is_own_exhaustion;

/// One process for as long as the machine is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pub(super) pid: i32,
    /// Clock ticks after boot, from `/proc/<pid>/stat`.
    pub(super) started: u64,
}

/// What is told of one process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) state: char,
    pub(super) parent: i32,
    pub(super) threads: u32,
    pub(super) started: u64,
}

/// Every process of one moment, or none at all: half a list would be taken for the whole.
#[derive(Debug)]
pub(super) struct Table(BTreeMap<i32, Stat>);

impl ProcessId {
    /// The process of that number, dead or alive.
    pub(super) fn of(pid: i32) -> io::Result<Option<Self>> {
        Ok(stat(pid)?.map(|stat| Self { pid, started: stat.started }))
    }

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

    pub(super) fn signal(self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) else { return };
        // Gone meanwhile is what we want; a refusal shows by the process staying alive.
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// What the kernel calls it: the name of its file, or what it calls itself; 15 bytes at most.
    pub(super) fn name(self) -> String {
        let name = fs::read(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        let name = String::from_utf8_lossy(&name);
        name.trim().chars().filter(|c| !c.is_control()).collect()
    }
}

/// Waits for the end of the process that has this number now: who has it later is another one.
pub async fn gone(pid: i32) {
    if let Ok(Some(process)) = ProcessId::of(pid) {
        process.gone().await;
    }
}

impl Stat {
    /// One whose first thread has ended looks like a zombie, and lives as long as another one does.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x') || self.threads > 1
    }

    /// `proc_pid_stat(5)`: the fields after the command's name, which stands in parentheses and may hold any.
    fn read(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            threads: fields.get(17)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

impl Table {
    /// Blocks for a few milliseconds.
    pub(super) fn read() -> io::Result<Self> {
        let mut table = BTreeMap::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            if let Some(stat) = stat(pid)? {
                table.insert(pid, stat);
            }
        }
        Ok(Self(table))
    }

    /// All that live.
    pub(super) fn living(&self) -> impl Iterator<Item = (ProcessId, &Stat)> {
        let living = self.0.iter().filter(|(_, stat)| stat.is_alive());
        living.map(|(pid, stat)| (ProcessId { pid: *pid, started: stat.started }, stat))
    }

    /// The living process of that number.
    pub(super) fn living_at(&self, pid: i32) -> Option<ProcessId> {
        let stat = self.0.get(&pid).filter(|stat| stat.is_alive())?;
        Some(ProcessId { pid, started: stat.started })
    }

    /// All that live and descend from these, themselves left out.
    pub(super) fn below(&self, roots: &BTreeSet<i32>) -> BTreeSet<ProcessId> {
        let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for (pid, stat) in &self.0 {
            children.entry(stat.parent).or_default().push(*pid);
        }
        let (mut open, mut seen) = (roots.iter().copied().collect::<Vec<i32>>(), roots.clone());
        let mut found = BTreeSet::new();
        while let Some(pid) = open.pop() {
            for child in children.get(&pid).into_iter().flatten().copied() {
                if seen.insert(child) {
                    open.push(child);
                    found.extend(self.living_at(child));
                }
            }
        }
        found
    }

    /// The process itself and those that it descends from, up to the first of all.
    pub(super) fn line_of(&self, pid: i32) -> Vec<i32> {
        let mut line = vec![pid];
        let mut parent = self.0.get(&pid).map(|stat| stat.parent);
        while let Some(next) = parent.filter(|next| *next > 0 && !line.contains(next)) {
            line.push(next);
            parent = self.0.get(&next).map(|stat| stat.parent);
        }
        line
    }
}

/// Reads of a process; `None` where there is none, or it is none of ours. An error where this server has
/// nothing left to look with: then nothing is known.
pub(super) fn read(pid: i32, file: &str) -> io::Result<Option<Vec<u8>>> {
    seen(fs::read(format!("/proc/{pid}/{file}")))
}

/// What is not there, or is none of ours, is `None`. An error where this server has nothing left to look with.
pub(super) fn seen<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_own_exhaustion(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

fn stat(pid: i32) -> io::Result<Option<Stat>> {
    Ok(read(pid, "stat")?.and_then(|bytes| Stat::read(&String::from_utf8_lossy(&bytes))))
}

/// Tells one boot of the machine from the next; `None` where that cannot be read. It does not change while
/// this server lives.
pub(super) fn boot() -> Option<String> {
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(boot) = BOOT.get() {
        return Some(boot.clone());
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(BOOT.get_or_init(|| boot.trim().to_owned()).clone())
}

/// When the first of all processes that we see began; `None` where that cannot be read.
pub(super) fn first() -> Option<u64> {
    stat(1).ok().flatten().map(|stat| stat.started)
}

/// The number of this process.
pub(super) fn own() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: char, parent: i32, threads: u32) -> Stat {
        // As a kernel writes it: a name with spaces and parentheses, and the fields up to the 24th.
        let text = format!("7 (a) b (c)) {state} {parent} 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 4711 9 9");
        Stat::read(&text).expect("a line")
    }

    #[test]
    fn a_line_of_the_kernel_is_read_by_its_places() {
        assert_eq!(line('S', 42, 3), Stat { state: 'S', parent: 42, threads: 3, started: 4711 });
        assert!(Stat::read("7 (sh").is_none() && Stat::read("").is_none());
    }

    #[test]
    fn what_has_a_thread_left_lives() {
        assert!(line('S', 1, 1).is_alive() && line('T', 1, 1).is_alive());
        assert!(!line('Z', 1, 1).is_alive() && !line('X', 1, 0).is_alive());
        assert!(line('Z', 1, 2).is_alive(), "its first thread ended, another one goes on");
    }

    #[test]
    fn descendants_are_found_however_deep_and_through_the_dead() {
        let stats = [(2, 1, 'S'), (3, 2, 'Z'), (4, 3, 'S'), (5, 4, 'S'), (6, 1, 'S'), (7, 7, 'S')];
        let table = Table(stats.into_iter().map(|(pid, parent, state)| (pid, line(state, parent, 1))).collect());
        let below: Vec<i32> = table.below(&BTreeSet::from([2])).into_iter().map(|id| id.pid).collect();
        assert_eq!(below, [4, 5]);
        assert_eq!(table.below(&BTreeSet::from([5, 7, 99])), BTreeSet::new());
        assert_eq!(table.line_of(5), [5, 4, 3, 2, 1]);
        assert_eq!(table.line_of(7), [7], "a ring has an end");
        assert!(table.living_at(3).is_none() && table.living().count() == 5);
    }
}
