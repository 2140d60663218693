//! A process of its own for what is measured, and what the kernel counts of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::NEEDS_PROC;

/// Microseconds of one tick in `/proc/<pid>/stat`: Linux shows 100 a second to every program on the
/// platforms that this one is built for (man 7 time, `USER_HZ`).
const TICK_MICROS: u64 = 10_000;

/// What the measured process is told, on its standard input: it holds secrets.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) database: String,
    pub(super) webhook_secret: String,
    /// With it the engine runs beside the door.
    pub(super) github: Option<GitHubOrder>,
}

/// The sandbox GitHub that the engine works with.
#[derive(Serialize, Deserialize)]
pub(super) struct GitHubOrder {
    pub(super) api_url: String,
    pub(super) app_id: u64,
    pub(super) private_key: String,
}

/// What the measured process answers once it listens.
#[derive(Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) door: SocketAddr,
}

/// A measured process. It is killed when this is dropped, and ends by itself when we are gone.
pub(super) struct Measured {
    child: Child,
}

impl Measured {
    /// Starts the server of the benches, and answers where its door is.
    pub(super) fn server(order: &Order) -> anyhow::Result<(Self, SocketAddr)> {
        let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
        command.args(["bench", "server"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut measured = Self { child: command.spawn().context("cannot start this program once more")? };
        let stdin = measured.child.stdin.as_mut().context("the measured process has no input")?;
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        stdin.write_all(&line).context("the measured process took no order")?;
        let stdout = measured.child.stdout.take().context("the measured process has no output")?;
        let mut answer = String::new();
        BufReader::new(stdout).read_line(&mut answer)?;
        let ready: Ready = serde_json::from_str(&answer).context("the measured server did not start")?;
        Ok((measured, ready.door))
    }

    /// Takes over a process that somebody started.
    pub(super) fn of(child: Child) -> Self {
        Self { child }
    }

    /// CPU time of all its threads so far, by itself and in the kernel for it, in microseconds.
    pub(super) fn cpu_micros(&self) -> anyhow::Result<u64> {
        cpu_micros(&self.child.id().to_string())
    }

    /// The most memory that it has had resident, in bytes.
    pub(super) fn peak_bytes(&self) -> anyhow::Result<u64> {
        self.status("VmHWM:")
    }

    /// The memory that it has resident, in bytes.
    pub(super) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.status("VmRSS:")
    }

    /// Ends it at once, as a crash would.
    pub(super) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn status(&self, name: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).context(NEEDS_PROC)?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context(NEEDS_PROC)?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context(NEEDS_PROC)?;
        Ok(kilobytes * 1024)
    }
}

/// The same of the process that measures.
pub(super) fn own_cpu_micros() -> anyhow::Result<u64> {
    cpu_micros("self")
}

fn cpu_micros(process: &str) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context(NEEDS_PROC)?;
    // The second field is the program's name in parentheses, and may itself hold some.
    let fields = stat.rsplit_once(')').context("a line of /proc that cannot be read")?.1;
    // man 5 proc: utime and stime are fields 14 and 15; the third is the first after the name.
    let ticks: Option<u64> = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(ticks.context("a line of /proc that cannot be read")? * TICK_MICROS)
}

impl Drop for Measured {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_counts_can_be_read() {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let measured = Measured::of(child);
        // In this order: it is still growing.
        let resident = measured.resident_bytes().unwrap();
        assert!(resident > 0 && measured.peak_bytes().unwrap() >= resident);
        assert!(measured.cpu_micros().unwrap() < 1_000_000);
        measured.kill().unwrap();
    }
}
