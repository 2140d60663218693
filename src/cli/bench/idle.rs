//! `greenroom bench idle`: the memory of a server that nobody asks anything.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::child::Measured;
use super::figures::{Mark, build, marks, megabytes};
use crate::app::{SystemClock, chance_secret};
use crate::cli::{ExitStatus, Printer};
use crate::sandbox::{Sandbox, SandboxSettings};

const MARK_MEGABYTES: f64 = 30.0;

/// The memory of an idle server.
#[derive(Debug, Args)]
pub(super) struct Idle {
    /// How long the server idles before it is measured, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    seconds: u64,
}

#[derive(Serialize)]
struct Report {
    bench: &'static str,
    build: &'static str,
    seconds: u64,
    memory_mb: f64,
    peak_memory_mb: f64,
    /// CPU time from the start on, in milliseconds.
    cpu_ms: u64,
    marks: Vec<Mark>,
}

impl Idle {
    pub(super) fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let github = runtime.block_on(Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))))?;
        let folder = tempfile::tempdir().context("cannot make a folder for the server")?;
        let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0", "--log", "warn"])
            .args(["--github-api-url", github.api_url(), "--github-app-id", &github.app_id().to_string()])
            .arg("--data")
            .arg(folder.path().join("data"))
            .env("GREENROOM_DATABASE_URL", format!("sqlite://{}", folder.path().join("greenroom.db").display()))
            .env("GREENROOM_WEBHOOK_SECRET", chance_secret().expose_secret())
            .env("GREENROOM_GITHUB_PRIVATE_KEY", github.private_key_pem().expose_secret())
            // A server that works has a region; without one it would look for its machine's own.
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start this program once more")?;
        let said = child.stderr.take().context("the server has no output")?;
        let server = Measured::of(child);
        let mut said = BufReader::new(said);
        let mut line = String::new();
        while !line.contains("webhooks at") {
            line.clear();
            anyhow::ensure!(said.read_line(&mut line)? > 0, "the server did not start");
        }
        std::thread::sleep(Duration::from_secs(self.seconds));
        let memory = megabytes(server.resident_bytes()?);
        let report = Report {
            bench: "idle",
            build: build(),
            seconds: self.seconds,
            memory_mb: memory,
            peak_memory_mb: megabytes(server.peak_bytes()?),
            cpu_ms: server.cpu_micros()? / 1000,
            marks: vec![Mark::at_most("memory in MB", MARK_MEGABYTES, memory)],
        };
        server.kill()?;
        printer.result(&report, human)?;
        Ok(ExitStatus::Ok)
    }
}

fn human(report: &Report) -> String {
    format!(
        "idle: {:.1} MB of memory after {} s, at most {:.1} MB, {} ms of CPU ({} build)\n{}",
        report.memory_mb,
        report.seconds,
        report.peak_memory_mb,
        report.cpu_ms,
        report.build,
        marks(&report.marks)
    )
}
