//! `greenroom bench action`: what a step of a workflow costs, from its first line to its last.
//!
//! A step is what it is on a runner: the script of the Action as it stands beside `action.yml`, the program in
//! the runner's cache, proved by its digest and then run. GitHub is the sandbox in this process; the stage runs
//! on this machine, or on AWS where a state is named.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::figures::{Mark, Spread, build, marks};
use crate::app::{SystemClock, chance_id, chance_secret};
use crate::cli::demo::OFFERS_FILE;
use crate::cli::{ExitStatus, Printer};
use crate::model::{PullNumber, RepoName, StateLocation};
use crate::sandbox::{FileChange, JobOf, Recording, Sandbox, SandboxSettings, WebhookTarget};

const SCRIPT: &str = include_str!("../../../action/script.sh");
const MARK_FIRST_CALL_MILLIS: f64 = 300.0;
const MARK_UNCHANGED_SECONDS: f64 = 5.0;
/// How often the door is looked at for a first call: small beside what is measured.
const LOOK: Duration = Duration::from_micros(200);
/// No step takes so long to its first call.
const PATIENCE: Duration = Duration::from_mins(1);
/// What `workflows/preview.yml` grants.
const GRANTED: [&str; 5] =
    ["checks: write", "contents: read", "deployments: write", "pull-requests: write", "statuses: read"];

/// A step of a workflow: until it first calls GitHub, and one that has nothing to do.
#[derive(Debug, Args)]
pub(super) struct ActionBench {
    /// How many steps are measured until their first call.
    #[arg(long, default_value_t = 20, value_name = "NUMBER")]
    calls: usize,
    /// How many steps deploy what is live already.
    #[arg(long, default_value_t = 5, value_name = "NUMBER")]
    steps: usize,
    /// Have the stage on AWS, with its state there: `s3://bucket`. Who we are there says the standard chain.
    #[arg(long, value_name = "PLACE")]
    state: Option<StateLocation>,
    /// Under which the stage on AWS answers. Its DNS is not touched.
    #[cfg(feature = "aws")]
    #[arg(long, default_value = "example.test", value_name = "ZONE")]
    zone: String,
    /// A statically linked busybox, of which the image on AWS is made.
    #[cfg(feature = "aws")]
    #[arg(long, default_value = "/bin/busybox", value_name = "FILE")]
    busybox: PathBuf,
}

#[derive(Serialize)]
struct Report {
    bench: &'static str,
    build: &'static str,
    /// `local` or `aws`.
    target: &'static str,
    /// From the start of the step's shell to the first connection to GitHub.
    first_call_ms: Spread,
    /// Of the first deploy.
    deploy_seconds: f64,
    /// Of whole steps that found all as they wanted it.
    unchanged_ms: Spread,
    marks: Vec<Mark>,
}

/// A runner, and a repository whose workflow it runs.
struct Stand {
    github: Sandbox,
    repo: RepoName,
    /// Everything of the runner's.
    folder: PathBuf,
    state: Option<StateLocation>,
    token: SecretString,
}

impl ActionBench {
    pub(super) fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let folder = tempfile::tempdir().context("cannot make a folder for the runner")?;
        // Event files are made of what is recorded.
        let unlimited = SandboxSettings::new(Arc::new(SystemClock)).unlimited();
        let github = SandboxSettings { recording: Recording::Full, ..unlimited };
        let github = runtime.block_on(Sandbox::start(github)).context("the sandbox GitHub does not start")?;
        let report = self.measure(&Stand::new(&self, github, folder.path())?, printer)?;
        printer.result(&report, human)?;
        Ok(ExitStatus::Ok)
    }

    fn measure(&self, stand: &Stand, printer: &mut Printer) -> anyhow::Result<Report> {
        stand.github.push(&stand.repo, "topic", [FileChange::write("version", "one")], "Change the app")?;
        stand.github.open_pull(&stand.repo, "topic", "A change")?;
        let opened = stand.newest_event()?;
        printer.note("waiting for first calls")?;
        let first_calls = (0..self.calls).map(|_| stand.first_call(&opened)).collect::<Result<Vec<_>, _>>()?;
        printer.note("deploying a pull request, and the same again")?;
        let deployed = self.deploys(stand, &opened);
        // Also after one that failed: nothing is to be left.
        printer.note("closing the pull request")?;
        stand.github.close_pull(&stand.repo, PullNumber(1))?;
        let closed = stand.newest_event().and_then(|event| stand.whole(&event));
        let (deploy, unchanged) = deployed?;
        closed?;

        let first_call_ms = Spread::of_micros(first_calls.into_iter().map(micros).collect());
        let unchanged_ms = Spread::of_micros(unchanged.into_iter().map(micros).collect());
        let marks = vec![
            Mark::at_most("ms to the first call of GitHub, the median", MARK_FIRST_CALL_MILLIS, first_call_ms.p50),
            Mark::at_most(
                "seconds of an unchanged step, the longest",
                MARK_UNCHANGED_SECONDS,
                unchanged_ms.max / 1000.0,
            ),
        ];
        Ok(Report {
            bench: "action",
            build: build(),
            target: stand.target(),
            first_call_ms,
            deploy_seconds: deploy.as_secs_f64(),
            unchanged_ms,
            marks,
        })
    }

    /// The first deploy, and those that have nothing to do.
    fn deploys(&self, stand: &Stand, event: &Path) -> anyhow::Result<(Duration, Vec<Duration>)> {
        let first = stand.whole(event)?;
        let again = (0..self.steps).map(|_| stand.whole(event)).collect::<Result<_, _>>()?;
        Ok((first, again))
    }

    fn files(&self) -> anyhow::Result<Vec<FileChange>> {
        #[cfg(feature = "aws")]
        if self.state.is_some() {
            return super::aws_shop::files(&self.busybox, &self.zone);
        }
        anyhow::ensure!(self.state.is_none(), "this greenroom was built without AWS");
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let program = program.to_str().context("the path of this program is not UTF-8")?.replace('{', "{{");
        let program = serde_json::to_string(&program)?;
        let config = format!(
            "version: 1\napp: shop\nservices:\n  web:\n    kind: ecs\n    host: \"@\"\n    port: 4000\n    \
             health: {{ path: /health, interval: 1s, healthy: 1 }}\n    drain: 1s\n    \
             local: {{ command: [{program}, demo-app, api, --demo, \"{}\"] }}\n",
            std::process::id()
        );
        Ok(vec![
            FileChange::write(".github/greenroom.yml", config),
            FileChange::write(OFFERS_FILE, "Green tea = 4.20\n"),
        ])
    }
}

impl Stand {
    fn new(bench: &ActionBench, github: Sandbox, folder: &Path) -> anyhow::Result<Self> {
        // A name of its own, so that nothing built or made before is found.
        let name = format!("greenroom-bench/shop-{}", &chance_id()[..8]);
        let repo = github.create_repo(&name, bench.files()?)?;
        // Nobody listens there; events are kept, and become event files.
        github.set_webhook(WebhookTarget { url: "http://127.0.0.1:9/webhook".to_owned(), secret: chance_secret() });
        let token = github.job_token(&repo, &GRANTED, JobOf::Repository)?;
        let stand = Self { github, repo, folder: folder.to_path_buf(), state: bench.state.clone(), token };
        stand.furnish()?;
        Ok(stand)
    }

    /// Lays the Action out, and this program where a runner keeps what it proved.
    fn furnish(&self) -> anyhow::Result<()> {
        let action = self.folder.join("action");
        std::fs::create_dir(&action)?;
        std::fs::create_dir(self.temporary())?;
        std::fs::write(action.join("script.sh"), SCRIPT)?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let digest = hex::encode(Sha256::digest(std::fs::read(&program).context("cannot read this program")?));
        let place = self.folder.join("cache/greenroom").join(&digest);
        std::fs::create_dir_all(&place)?;
        std::fs::copy(&program, place.join("greenroom")).context("cannot copy this program")?;
        let platforms = ["linux-x64", "linux-arm64", "macos-x64", "macos-arm64"];
        let lines = platforms.map(|platform| format!("999.0.0 {platform} {digest} {digest}\n"));
        std::fs::write(action.join("checksums.txt"), lines.concat())?;
        Ok(())
    }

    fn temporary(&self) -> PathBuf {
        self.folder.join("temp")
    }

    fn target(&self) -> &'static str {
        if self.state.is_some() { "aws" } else { "local" }
    }

    /// What GitHub told last of the pull request, as the event file of a run.
    fn newest_event(&self) -> anyhow::Result<PathBuf> {
        let mut told = self.github.deliveries();
        told.retain(|delivery| delivery.event == "pull_request" && delivery.starts_workflows);
        let newest = told.pop().context("the sandbox GitHub told nothing")?;
        let path = self.folder.join(format!("event-{}.json", newest.id));
        std::fs::write(&path, &newest.body)?;
        Ok(path)
    }

    /// A step that begins now, with GitHub at this address.
    fn step(&self, event: &Path, api_url: &str) -> anyhow::Result<Child> {
        let number = self.github.repo_number(&self.repo).context("the repository is gone")?;
        let state = self.state.as_ref().map(ToString::to_string).unwrap_or_default();
        let file = |name: &str| self.folder.join(name);
        let log = std::fs::File::create(file("log"))?;
        let mut command = Command::new("bash");
        command
            .args(["--noprofile", "--norc", "-p"])
            .arg(file("action/script.sh"))
            .current_dir(&self.folder)
            .env("GITHUB_EVENT_NAME", "pull_request")
            .env("GITHUB_EVENT_PATH", event)
            .env("GITHUB_REPOSITORY", self.repo.as_str())
            .env("GITHUB_REPOSITORY_ID", number.to_string())
            .env("GITHUB_REF", "refs/pull/1/merge")
            .env("GITHUB_RUN_ID", rand::random::<u32>().to_string())
            .env("GITHUB_RUN_ATTEMPT", "1")
            .env("GITHUB_API_URL", api_url)
            .env("GITHUB_OUTPUT", file("output"))
            .env("GITHUB_STEP_SUMMARY", file("summary"))
            .env("RUNNER_TEMP", self.temporary())
            .env("RUNNER_TOOL_CACHE", file("cache"))
            .env("GREENROOM_PROXY_LISTEN", "127.0.0.1:0")
            .env("GREENROOM_ACTION_TARGET", self.target())
            .env("GREENROOM_ACTION_STATE", state)
            .env("GREENROOM_ACTION_GITHUB_TOKEN", self.token.expose_secret())
            .env("NO_PROXY", "localhost,127.0.0.1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        command.spawn().context("cannot start bash")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// How long a step takes to its first call. It is answered by nobody, and ended.
    fn first_call(&self, event: &Path) -> anyhow::Result<Duration> {
        let door = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
        door.set_nonblocking(true)?;
        let url = format!("http://{}", door.local_addr()?);
        let begun = Instant::now();
        let mut child = self.step(event, &url)?;
        let took = loop {
            match door.accept() {
                Ok(_) => break Ok(begun.elapsed()),
                Err(error) if error.kind() != ErrorKind::WouldBlock => break Err(error.into()),
                Err(_) if child.try_wait()?.is_some() || begun.elapsed() > PATIENCE => {
                    break Err(anyhow::anyhow!("the step called nobody:\n{}", self.log()));
                }
                Err(_) => std::thread::sleep(LOOK),
            }
        };
        // It may have ended already, which is what is wanted.
        let _ = child.kill();
        let _ = child.wait();
        took
    }

    /// How long a whole step takes; one that fails ends the bench.
    fn whole(&self, event: &Path) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let ended = self.step(event, self.github.api_url())?.wait()?;
        let took = begun.elapsed();
        anyhow::ensure!(ended.success(), "the step ended with {ended}:\n{}", self.log());
        Ok(took)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn human(report: &Report) -> String {
    let Report { first_call_ms: first, unchanged_ms: unchanged, .. } = report;
    format!(
        "action: to the first call {:.0} ms (median; at most {:.0}), a deploy {:.1} s, the same again {:.0} ms (median; \
         at most {:.0}) ({} target, {} build)\n{}",
        first.p50,
        first.max,
        report.deploy_seconds,
        unchanged.p50,
        unchanged.max,
        report.target,
        report.build,
        marks(&report.marks)
    )
}
