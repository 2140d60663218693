//! The server's side: a warden is started, written down by the caller, and only then told what to run.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::{Answer, Order, WARDEN, WardenProgram};
use crate::local::proc::ProcessId;

/// A warden answers as soon as its program runs; longer takes only a machine that stands still.
const ANSWER: Duration = Duration::from_mins(1);

/// A warden that waits for its order, or keeps its program.
pub(in crate::local) struct Ward {
    pub(in crate::local) child: Child,
    pub(in crate::local) id: ProcessId,
}

/// Why no program runs.
#[derive(Debug)]
pub(in crate::local) enum NoStart {
    /// The program cannot be run.
    Program(io::Error),
    /// There is no warden to run it.
    Warden(io::Error),
}

/// Starts a warden, which starts nothing before it is told to. Without the rest of its order it ends.
pub(in crate::local) fn begin(warden: &WardenProgram, marker: &str) -> io::Result<Ward> {
    let child = Command::new(&warden.program)
        .args(&warden.arguments)
        // For whoever lists processes: the file is the server's own, under a name of the kernel's.
        .arg0("stage-warden")
        // Not in a folder that is to be removed while it lives.
        .current_dir("/")
        .env_clear()
        .env(WARDEN, marker)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // A file that it held open would keep its room on the disk when the log has long gone on in another one.
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(false)
        .spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
    // A child that we have not waited for keeps its number, so this cannot be another process; it
    // may be a zombie already, whose moment of start is as good.
    let id = ProcessId::of(pid).ok().flatten().unwrap_or(ProcessId { pid, started: 0 });
    Ok(Ward { child, id })
}

impl Ward {
    /// Has the program started. The control group that it runs in, where there is one.
    pub(in crate::local) async fn start(&mut self, order: &Order) -> Result<Option<PathBuf>, NoStart> {
        let answer = match tokio::time::timeout(ANSWER, self.ask(order)).await {
            Ok(answer) => answer.map_err(NoStart::Warden)?,
            Err(_) => {
                // What it may have started by now goes with it: it is asked to end, and found by its mark.
                let late = io::Error::new(io::ErrorKind::TimedOut, "the warden of the program does not answer");
                return Err(NoStart::Warden(late));
            }
        };
        match answer {
            Answer::Started { cgroup } => Ok(cgroup),
            Answer::Refused { errno, said } => {
                // It has nothing more to do.
                let _ = self.child.wait().await;
                Err(NoStart::Program(errno.map_or_else(|| io::Error::other(said), io::Error::from_raw_os_error)))
            }
        }
    }

    async fn ask(&mut self, order: &Order) -> io::Result<Answer> {
        let text = serde_json::to_vec(order)?;
        if let Some(mut pipe) = self.child.stdin.take() {
            // Dropped behind it: that is the end of the order.
            pipe.write_all(&text).await?;
        }
        match self.child.stdout.take() {
            Some(said) => answer(said).await,
            None => Err(io::Error::other("the warden of the program was asked before")),
        }
    }
}

/// The first line that is an answer.
async fn answer(said: ChildStdout) -> io::Result<Answer> {
    let mut lines = BufReader::new(said).lines();
    while let Some(line) = lines.next_line().await? {
        if let Ok(answer) = serde_json::from_str(&line) {
            return Ok(answer);
        }
    }
    Err(io::Error::other("the warden of the program ended without an answer"))
}
