//! `greenroom bench aws`: what a preview on AWS costs in calls and in time, with the real server in a
//! process of its own and the sandbox GitHub in this one.
//!
//! The calls are those that the server itself counts (`greenroom_aws_calls_total`), the times of
//! steps those of its step log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::aws_calls::{Calls, Diary, LOG, is_write, read};
use super::aws_shop;
use super::child::Measured;
use super::figures::{Mark, build, marks, ratio};
use crate::app::{SystemClock, chance_id, chance_secret};
use crate::cli::{ExitStatus, Printer, follow};
use crate::model::{
    Deploy, PullNumber, RepoName, StageId, StageName, StageRecord, StageStatus, StepKey, StepState, Target,
};
use crate::port::Store;
use crate::sandbox::{FileChange, Sandbox, SandboxSettings, WebhookTarget};
use crate::store;

const LOOK: Duration = Duration::from_millis(25);
/// A foundation on AWS takes minutes to make.
const PATIENCE: Duration = Duration::from_mins(20);
const MARK_ROLLOUT_SECONDS: f64 = 2.5;
const MARK_ROLLOUT_CALLS: f64 = 8.0;
const MARK_UPDATE_CALLS: f64 = 15.0;
const MARK_TEARDOWN_CALLS: f64 = 20.0;
const MARK_UNCHANGED_CALLS: f64 = 3.0;
const MARK_UNCHANGED_WRITES: f64 = 0.0;
const MARK_BROKEN_SECONDS: f64 = 15.0;

/// A preview on AWS: new, updated, deployed unchanged, broken, removed.
#[derive(Debug, Args)]
pub(super) struct AwsBench {
    /// Another AWS than Amazon's, such as a `MiniStack`.
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL")]
    endpoint: Option<String>,
    /// A registry instead of ECR's own address, without scheme.
    #[arg(long, env = "GREENROOM_REGISTRY", value_name = "HOST/PATH")]
    registry: Option<String>,
    /// Under which the preview answers. Its DNS is not touched.
    #[arg(long, default_value = "example.test", value_name = "ZONE")]
    zone: String,
    /// Through which the preview's address is asked for.
    #[arg(long, env = "HTTP_PROXY", hide_env_values = true, value_name = "URL")]
    proxy: Option<SecretString>,
    /// A statically linked busybox, of which the preview's image is made.
    #[arg(long, default_value = "/bin/busybox", value_name = "FILE")]
    busybox: PathBuf,
}

#[derive(Serialize)]
struct Report {
    bench: &'static str,
    build: &'static str,
    preview: Round,
    update: Round,
    unchanged: Round,
    broken: Round,
    teardown: Round,
    marks: Vec<Mark>,
}

/// One goal of the stage.
#[derive(Serialize)]
struct Round {
    /// From the event to the stage at rest.
    seconds: f64,
    /// How long each step took.
    step_seconds: BTreeMap<String, f64>,
    calls: u64,
    /// Of these, calls that change something.
    writes: u64,
    /// Of all, those that are neither about images nor about who we are.
    calls_besides_images: u64,
    /// `None` where nothing became live.
    rollout: Option<Rollout>,
    calls_by_operation: Calls,
}

/// From `RegisterTaskDefinition` until the public address of the new version was checked.
#[derive(Serialize)]
struct Rollout {
    seconds: f64,
    calls: usize,
}

struct Stand {
    github: Sandbox,
    store: Arc<dyn Store>,
    /// Where its metrics are.
    ops: SocketAddr,
    repo: RepoName,
    stage: StageId,
    diary: Diary,
    _server: Measured,
}

impl AwsBench {
    pub(super) fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let folder = tempfile::tempdir().context("cannot make a folder for the server")?;
        let report = runtime.block_on(self.measure(folder.path(), printer))?;
        printer.result(&report, human)?;
        Ok(ExitStatus::Ok)
    }

    async fn measure(self, folder: &Path, printer: &mut Printer) -> anyhow::Result<Report> {
        let stand = self.stand(folder).await?;
        printer.note("opening a pull request")?;
        let preview = stand.round(async || stand.open(), is_live).await?;
        printer.note("pushing another version")?;
        let update = stand.round(async || stand.push("two"), is_live).await?;
        printer.note("deploying the same once more")?;
        let unchanged = stand.round(async || stand.redeploy().await, is_live).await?;
        printer.note("pushing one that ends with exit code 3")?;
        let is_failed = |status: &StageStatus| matches!(status, StageStatus::Failed { .. });
        let broken = stand.round(async || stand.push("three exit"), is_failed).await?;
        printer.note("closing the pull request")?;
        let is_gone = |status: &StageStatus| matches!(status, StageStatus::Gone { .. });
        let teardown = stand.round(async || stand.close(), is_gone).await?;
        let seconds_of = |round: &Round| round.step_seconds.get("start:web").copied().unwrap_or(round.seconds);
        let rollout = update.rollout.as_ref().context("the update started nothing")?;
        let marks = vec![
            Mark::at_most("seconds of an image-only rollout", MARK_ROLLOUT_SECONDS, rollout.seconds),
            Mark::at_most("calls of an image-only rollout", MARK_ROLLOUT_CALLS, figure(u64::try_from(rollout.calls)?)),
            Mark::at_most("calls of an update", MARK_UPDATE_CALLS, figure(update.calls)),
            Mark::at_most("calls of a teardown", MARK_TEARDOWN_CALLS, figure(teardown.calls)),
            Mark::at_most("calls of an unchanged deploy", MARK_UNCHANGED_CALLS, figure(unchanged.calls)),
            Mark::at_most("writes of an unchanged deploy", MARK_UNCHANGED_WRITES, figure(unchanged.writes)),
            Mark::at_most("seconds until a broken image is named", MARK_BROKEN_SECONDS, seconds_of(&broken)),
        ];
        Ok(Report { bench: "aws", build: build(), preview, update, unchanged, broken, teardown, marks })
    }

    async fn stand(&self, folder: &Path) -> anyhow::Result<Stand> {
        let github = SandboxSettings::new(Arc::new(SystemClock)).unlimited();
        let github = Sandbox::start(github).await.context("the sandbox GitHub does not start")?;
        // A name of its own, so that nothing built or made before is found.
        let name = format!("greenroom-bench/shop-{}", &chance_id()[..8]);
        let repo = github.create_repo(&name, aws_shop::files(&self.busybox, &self.zone)?)?;
        let secret = chance_secret();
        let database = format!("sqlite://{}", folder.join("greenroom.db").display());
        let diary = Diary::default();
        let (server, door, ops) = self.server(folder, &database, &github, &secret, &diary)?;
        github.set_webhook(WebhookTarget { url: format!("http://{door}/webhook"), secret });
        let store = store::open(&database).await?;
        let stage = StageId { repo: repo.clone(), name: StageName::new("pr-1")? };
        Ok(Stand { github, store, ops, repo, stage, diary, _server: server })
    }

    fn server(
        &self,
        folder: &Path,
        database: &str,
        github: &Sandbox,
        secret: &SecretString,
        diary: &Diary,
    ) -> anyhow::Result<(Measured, SocketAddr, SocketAddr)> {
        let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
        command
            .args(["serve", "--target", "aws", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
            .args(["--log", LOG, "--log-format", "json", "--allow", "greenroom-bench/*"])
            .args(["--github-api-url", github.api_url(), "--github-app-id", &github.app_id().to_string()])
            .arg("--data")
            .arg(folder.join("data"))
            .env("GREENROOM_DATABASE_URL", database)
            .env("GREENROOM_WEBHOOK_SECRET", secret.expose_secret())
            .env("GREENROOM_GITHUB_PRIVATE_KEY", github.private_key_pem().expose_secret())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(endpoint) = &self.endpoint {
            command.env("AWS_ENDPOINT_URL", endpoint);
        }
        if let Some(registry) = &self.registry {
            command.env("GREENROOM_REGISTRY", registry);
        }
        if let Some(proxy) = &self.proxy {
            command.env("HTTP_PROXY", proxy.expose_secret());
        }
        let mut child = command.spawn().context("cannot start this program once more")?;
        let said = child.stderr.take().context("the server has no output")?;
        let server = Measured::of(child);
        let mut said = BufReader::new(said);
        let mut line = String::new();
        let mut ops = None;
        let door = loop {
            line.clear();
            anyhow::ensure!(said.read_line(&mut line)? > 0, "the server did not start");
            let metrics = line.split_once("metrics at http://").and_then(|(_, rest)| rest.split_once("/metrics"));
            ops = ops.or(metrics.and_then(|(ops, _)| ops.parse().ok()));
            let begun = line.split_once("webhooks at http://").and_then(|(_, rest)| rest.split_once("/webhook"));
            if let Some((door, _)) = begun {
                break door.parse().context("the server's address cannot be read")?;
            }
        };
        let diary = diary.clone();
        std::thread::spawn(move || diary.keep(said));
        Ok((server, door, ops.context("the server does not say where its metrics are")?))
    }
}

fn is_live(status: &StageStatus) -> bool {
    matches!(status, StageStatus::Live { .. })
}

impl Stand {
    fn open(&self) -> anyhow::Result<()> {
        self.push("one")?;
        self.github.open_pull(&self.repo, "topic", "A change")?;
        Ok(())
    }

    fn push(&self, app: &str) -> anyhow::Result<()> {
        self.github.push(&self.repo, "topic", [FileChange::write("app", app)], "Change the app")?;
        Ok(())
    }

    async fn redeploy(&self) -> anyhow::Result<()> {
        follow::put(self.store.as_ref(), &self.stage, &Target::PullRequest(PullNumber(1))).await?;
        Ok(())
    }

    fn close(&self) -> anyhow::Result<()> {
        self.github.close_pull(&self.repo, PullNumber(1))?;
        Ok(())
    }

    /// Lets everything happen that `cause` causes, and measures it.
    async fn round(
        &self,
        cause: impl AsyncFnOnce() -> anyhow::Result<()>,
        is_end: impl Fn(&StageStatus) -> bool,
    ) -> anyhow::Result<Round> {
        let before = read(self.ops)?;
        let newest_before = self.newest().await?.map(|deploy| deploy.id);
        let known = self.record().await?;
        let generation = known.as_ref().map(|record| record.generation);
        // The goal is set before anything is done for it, while the stage is still what it was: only a
        // deploy's end, or that there was nothing to do, moves the stage's expiry or its state.
        let has_moved = |record: &StageRecord| {
            known.as_ref().is_none_or(|known| (&known.status, known.expires_at) != (&record.status, record.expires_at))
        };
        let begun = Instant::now();
        cause().await?;
        let record = loop {
            let record = self.record().await?;
            let new = record.filter(|record| Some(record.generation) > generation && is_end(&record.status));
            let new = new.filter(has_moved);
            if let Some(record) = new {
                break record;
            }
            self.must_not_have_ended(generation, &is_end, begun).await?;
            tokio::time::sleep(LOOK).await;
        };
        let seconds = begun.elapsed().as_secs_f64();
        anyhow::ensure!(record.id == self.stage, "another stage");
        let newest = self.newest().await?.filter(|deploy| Some(deploy.id) != newest_before);
        let (step_seconds, rollout) = match newest {
            Some(deploy) => (self.step_seconds(&deploy).await?, self.rollout(&deploy).await?),
            None => (BTreeMap::new(), None),
        };
        let mut calls_by_operation = read(self.ops)?;
        for (operation, count) in before {
            *calls_by_operation.entry(operation).or_default() -= count;
        }
        calls_by_operation.retain(|_, count| *count > 0);
        let sum = |wanted: &dyn Fn(&str) -> bool| {
            calls_by_operation.iter().filter(|(name, _)| wanted(name)).map(|(_, count)| count).sum()
        };
        Ok(Round {
            seconds,
            step_seconds,
            calls: sum(&|_| true),
            writes: sum(&is_write),
            rollout,
            calls_besides_images: sum(&|name| !name.starts_with("ecr:") && !name.starts_with("sts:")),
            calls_by_operation,
        })
    }

    /// Another end than the one that is waited for is none to wait on.
    async fn must_not_have_ended(
        &self,
        before: Option<crate::model::Generation>,
        is_end: &impl Fn(&StageStatus) -> bool,
        begun: Instant,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "the stage is not at rest after {} s", PATIENCE.as_secs());
        let Some(record) = self.record().await?.filter(|record| Some(record.generation) > before) else {
            return Ok(());
        };
        let is_rest = matches!(
            record.status,
            StageStatus::Live { .. } | StageStatus::Failed { .. } | StageStatus::Misconfigured { .. }
        );
        let newest = self.newest().await?;
        let is_done =
            newest.is_some_and(|deploy| deploy.ended.is_some() && deploy.plan.generation == record.generation);
        if is_rest && is_done && !is_end(&record.status) {
            let comments = self.github.comments(&self.repo, PullNumber(1));
            let said = comments.first().map_or("", |comment| comment.body.as_str());
            anyhow::bail!("the stage is {:?}:\n{said}", record.status);
        }
        Ok(())
    }

    async fn record(&self) -> anyhow::Result<Option<StageRecord>> {
        Ok(self.store.stage(&self.stage).await?)
    }

    async fn newest(&self) -> anyhow::Result<Option<Deploy>> {
        Ok(self.store.deploys(&self.stage, 1).await?.into_iter().next())
    }

    async fn rollout(&self, deploy: &Deploy) -> anyhow::Result<Option<Rollout>> {
        let log = self.store.log(deploy.id).await?;
        let StepState::Done { at: end, .. } = log.state(&StepKey("check:web".into())) else { return Ok(None) };
        let calls = self.diary.since_last("ecs:RegisterTaskDefinition", deploy.started_at, end);
        let Some((begin, _)) = calls.first() else { return Ok(None) };
        let seconds = ratio(u64::try_from(end.since(*begin)).unwrap_or(0), 1000);
        Ok(Some(Rollout { seconds, calls: calls.len() }))
    }

    async fn step_seconds(&self, deploy: &Deploy) -> anyhow::Result<BTreeMap<String, f64>> {
        let log = self.store.log(deploy.id).await?;
        let seconds = deploy.plan.steps.iter().filter_map(|step| {
            let (StepState::Done { since, at, .. } | StepState::Failed { since, at, .. }) = log.state(&step.key) else {
                return None;
            };
            let StepKey(name) = step.key.clone();
            Some((name, ratio(u64::try_from(at.since(since)).unwrap_or(0), 1000)))
        });
        Ok(seconds.collect())
    }
}

fn figure(count: u64) -> f64 {
    ratio(count, 1)
}

fn human(report: &Report) -> String {
    let mut text = format!("aws: one preview of one service ({} build)\n", report.build);
    for (name, round) in [
        ("new preview", &report.preview),
        ("update", &report.update),
        ("unchanged", &report.unchanged),
        ("broken", &report.broken),
        ("teardown", &report.teardown),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {name}: {:.1} s, {} calls, {} of them writes, {} besides images",
            round.seconds, round.calls, round.writes, round.calls_besides_images
        );
        if let Some(Rollout { seconds, calls }) = &round.rollout {
            let _ = writeln!(text, "    from RegisterTaskDefinition to the check: {seconds:.2} s, {calls} calls");
        }
        for (step, seconds) in &round.step_seconds {
            let _ = writeln!(text, "    {step}: {seconds:.1} s");
        }
        for (operation, count) in &round.calls_by_operation {
            let _ = writeln!(text, "    {operation} x{count}");
        }
    }
    text + &marks(&report.marks)
}
