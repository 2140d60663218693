//! One child process and everything it starts, as one thing.
//!
//! # Guarantees
//!
//! - The child leads a process group of its own. When the run is cancelled or forgotten, the whole
//!   group ends: `SIGTERM` first, so that the Docker command line can take its build back, then
//!   `SIGKILL`.
//! - Both output streams arrive in the order in which they were written, line by line; of a line of more
//!   than 4 KiB the beginning and the end, of one that is drawn over what was drawn last, and without control
//!   characters. Of a build that prints without end, the beginning and the end arrive: nobody reads more, and
//!   whoever would take it apart does nothing else.
//! - A run is on record while it lasts, so that [`end_orphans`] can end what a killed server left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::lines::Lines;

/// What the Docker command line gets to take its build back.
const GRACE: Duration = Duration::from_secs(2);
/// How long output may still come once the child itself has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ended {
    Exited(ExitStatus),
    Cancelled,
}

/// Runs a command to its end with that on its standard input, handing on every line that it prints.
pub(super) async fn run(
    mut command: Command,
    input: Stdio,
    records: &Path,
    cancel: &CancellationToken,
    mut on_line: impl FnMut(&str),
) -> io::Result<Ended> {
    let (reader, writer) = io::pipe()?;
    command.stdin(input).stdout(writer.try_clone()?).stderr(writer).process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    // It holds the writing ends of the pipe.
    drop(command);
    let group = Group::of(&child, records)?;
    let mut output = pipe::Receiver::from_owned_fd(reader.into())?;
    let mut lines = Lines::default();
    let mut buffer = vec![0; 16 << 10];
    let ended = loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                group.end(&mut child).await;
                break Ended::Cancelled;
            }
            read = output.read(&mut buffer) => match read? {
                0 => break Ended::Exited(wait(&mut child, cancel, &group).await?),
                count => lines.push(&buffer[..count], &mut on_line),
            },
            status = child.wait() => {
                let status = status?;
                // Something that it started may hold the pipe open for ever.
                let rest = async {
                    while let Ok(count @ 1..) = output.read(&mut buffer).await {
                        lines.push(&buffer[..count], &mut on_line);
                    }
                };
                let _ = tokio::time::timeout(LAST_WORDS, rest).await;
                break Ended::Exited(status);
            }
        }
    };
    lines.close(&mut on_line);
    Ok(ended)
}

/// Waits for a child that has closed its output but may go on.
async fn wait(child: &mut Child, cancel: &CancellationToken, group: &Group) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => status,
        () = cancel.cancelled() => {
            group.end(child).await;
            child.wait().await
        }
    }
}

/// The process group of one run; dropped, nothing of it is left.
struct Group {
    leader: Pid,
    record: PathBuf,
}

impl Group {
    fn of(child: &Child, records: &Path) -> io::Result<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let leader = id.and_then(Pid::from_raw).ok_or_else(|| io::Error::other("the child has no process id"))?;
        let group = Self { leader, record: records.join(leader.to_string()) };
        let server = Identity::of(std::process::id().cast_signed());
        let record = Record { child: Identity::of(leader.as_raw_nonzero().get()), server };
        fs::write(&group.record, serde_json::to_vec(&record)?)?;
        Ok(group)
    }

    async fn end(&self, child: &mut Child) {
        // Absent is success.
        let _ = kill_process_group(self.leader, Signal::TERM);
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            let _ = kill_process_group(self.leader, Signal::KILL);
            let _ = child.wait().await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // While a member lives, no other group can take the number; where none does, this comes
        // right after the end of the last one, long before numbers come round again.
        let _ = kill_process_group(self.leader, Signal::KILL);
        let _ = fs::remove_file(&self.record);
    }
}

/// A run that is under way, as kept on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    child: Option<Identity>,
    server: Option<Identity>,
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    pid: i32,
    /// Clock ticks between boot and start: field 22 of `/proc/<pid>/stat`, `proc_pid_stat(5)`.
    started: u64,
    /// Tells one boot from the next.
    boot: String,
}

impl Identity {
    /// `None` where there is no such process, or no `/proc`.
    fn of(pid: i32) -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses and may hold anything.
        let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, started, boot })
    }

    fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

/// Ends the runs whose server is gone.
pub(super) fn end_orphans(records: &Path) -> io::Result<()> {
    for entry in fs::read_dir(records)? {
        let path = entry?.path();
        let record = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        if let Some(Record { child, server }) = record {
            if server.is_some_and(|server| server.is_alive()) {
                continue;
            }
            if let Some(child) = child.filter(Identity::is_alive) {
                tracing::info!(pid = child.pid, "ending a build that an earlier server left");
                if let Some(group) = Pid::from_raw(child.pid) {
                    let _ = kill_process_group(group, Signal::KILL);
                }
            }
        }
        let _ = fs::remove_file(&path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn is_alive(pid: i32) -> bool {
        // A process that ended and was not waited for yet has the state Z.
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
    }

    async fn gone(pid: i32) {
        let patience = Duration::from_mins(1);
        let polled = async {
            while is_alive(pid) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(patience, polled).await.expect("the process ends");
    }

    #[tokio::test]
    async fn both_streams_arrive_in_order_as_plain_lines() {
        let records = tempfile::tempdir().expect("a folder");
        let script = r"echo one; echo two >&2; printf 'a\rb\033[31mred\033[0m\007\n\n'; printf 'last'; exit 3";
        let (mut lines, never) = (Vec::new(), CancellationToken::new());
        let run = run(shell(script), Stdio::null(), records.path(), &never, |line| lines.push(line.to_owned()));
        let Ended::Exited(status) = run.await.expect("a shell") else { panic!("cancelled") };
        assert_eq!(status.code(), Some(3));
        assert_eq!(lines, ["one", "two", "bred", "last"], "what was drawn over is not shown");
        assert_eq!(fs::read_dir(records.path()).expect("a folder").count(), 0, "no record is left");
    }

    #[tokio::test]
    async fn a_cancelled_run_ends_with_all_that_it_started() {
        let records = tempfile::tempdir().expect("a folder");
        let cancel = CancellationToken::new();
        let mut pids: Vec<i32> = Vec::new();
        // The child ends at SIGTERM; its own child ignores it.
        let script = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 60; done' & echo $$; wait";
        let run = run(shell(script), Stdio::null(), records.path(), &cancel, |line| {
            pids.extend(line.parse::<i32>());
            if pids.len() == 2 {
                cancel.cancel();
            }
        });
        assert!(matches!(run.await.expect("a shell"), Ended::Cancelled));
        assert_eq!(pids.len(), 2);
        for pid in pids {
            gone(pid).await;
        }
    }

    #[tokio::test]
    async fn an_orphan_of_a_dead_server_is_ended_and_one_of_a_living_server_is_not() {
        let records = tempfile::tempdir().expect("a folder");
        let spawn = || {
            let mut command = Command::new("sleep");
            command.arg("600").process_group(0).kill_on_drop(true).spawn().expect("a process")
        };
        let identity = |child: &Child| Identity::of(child.id().expect("a number").cast_signed());
        let (mut dead, mut other, living) = (spawn(), spawn(), spawn());
        let server = || Identity::of(std::process::id().cast_signed());
        let elsewhen = server().map(|server| Identity { started: server.started + 1, ..server });
        let reused = identity(&other).map(|child| Identity { started: child.started + 1, ..child });
        let write = |name: &str, child, server| {
            let bytes = serde_json::to_vec(&Record { child, server }).expect("JSON");
            fs::write(records.path().join(name), bytes).expect("a record");
        };
        write("1", identity(&dead), elsewhen);
        write("2", reused, None);
        write("3", identity(&living), server());
        fs::write(records.path().join("4"), "half a rec").expect("a record");
        end_orphans(records.path()).expect("a folder");
        assert!(!dead.wait().await.expect("a process").success());
        assert!(other.try_wait().expect("a process").is_none(), "another process with a used number lives");
        assert!(is_alive(living.id().expect("a number").cast_signed()), "a living server's build lives");
        let left: Vec<_> = fs::read_dir(records.path()).expect("a folder").map(|e| e.expect("e").file_name()).collect();
        assert_eq!(left, ["3"]);
    }
}
