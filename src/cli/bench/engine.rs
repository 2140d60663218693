//! `greenroom bench engine`: many pull requests at once against an instant cloud, then a push to
//! each.
//!
//! The engine runs with its door and its store in a process of its own; the sandbox GitHub runs in
//! this one, on the same machine, so the wall-clock times are of both.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::child::{GitHubOrder, Measured, Order};
use super::door::Place;
use super::figures::{Mark, Spread, build, marks, megabytes, ratio};
use crate::app::{SystemClock, chance_secret};
use crate::cli::{ExitStatus, Printer};
use crate::model::{CommitSha, Outcome, PullNumber, RepoName, StageId, StageName, StageStatus, Timestamp};
use crate::port::{Clock as _, Store};
use crate::sandbox::{FileChange, Sandbox, SandboxSettings, WebhookTarget};
use crate::store;

const MARK_LIVE_SECONDS: f64 = 10.0;
const MARK_WRITES_NEW: f64 = 10.0;
const MARK_WRITES_UPDATE: f64 = 5.0;
/// As many as one repository may have by default.
const PULLS_OF_A_REPOSITORY: usize = 20;
/// Deliveries under way at once.
const DELIVERIES: usize = 32;
/// Nothing is going on any more when GitHub was asked nothing for so long.
const QUIET: Duration = Duration::from_millis(500);
/// Something is wrong when nothing is going on and stages are not live after so long.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

const CONFIG: &str = r#"
version: 1
app: shop
services:
  web: { kind: ecs, build: {}, host: "@", port: 8080, health: { path: /health } }
  worker: { kind: ecs, build: {} }
"#;

/// Pull requests opened at once, then one push to each.
#[derive(Debug, Args)]
pub(super) struct EngineBench {
    /// How many pull requests are opened.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pulls: usize,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Report {
    bench: &'static str,
    build: &'static str,
    database: &'static str,
    pulls: usize,
    services: usize,
    previews: Round,
    updates: Round,
    peak_memory_mb: f64,
    /// Stages found live at their newest commit.
    verified: usize,
    marks: Vec<Mark>,
}

/// One goal for every pull request.
#[derive(Serialize)]
struct Round {
    /// From the first event to the last stage live.
    all_live_seconds: f64,
    /// From the first event to the last edit of a comment.
    all_shown_seconds: f64,
    /// From the event on GitHub to live, the delivery included.
    event_to_live_ms: Spread,
    /// Of the process with door, store and engine.
    cpu_ms_per_deploy: f64,
    github_calls_per_deploy: f64,
    github_writes_per_deploy: f64,
}

/// A pull request with its newest commit, and when that became known.
struct Pull {
    stage: StageId,
    branch: String,
    number: PullNumber,
    sha: CommitSha,
    since: Timestamp,
}

struct Stand {
    github: Sandbox,
    server: Measured,
    store: Arc<dyn Store>,
    pulls: Vec<Pull>,
}

impl EngineBench {
    pub(super) fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let report = runtime.block_on(self.measure(printer))?;
        printer.result(&report, human)?;
        Ok(if report.verified == report.pulls { ExitStatus::Ok } else { ExitStatus::Failed })
    }

    async fn measure(self, printer: &mut Printer) -> anyhow::Result<Report> {
        let database = self.place.open()?;
        database.must_be_unused().await?;
        let secret = chance_secret();
        let settings =
            SandboxSettings { deliveries_at_once: DELIVERIES, ..SandboxSettings::new(Arc::new(SystemClock)) };
        let github = Sandbox::start(settings.unlimited()).await.context("the sandbox GitHub does not start")?;
        let branches = branches(&github, self.pulls)?;
        let order = Order {
            database: database.url.expose_secret().to_owned(),
            webhook_secret: secret.expose_secret().to_owned(),
            github: Some(GitHubOrder {
                api_url: github.api_url().to_owned(),
                app_id: github.app_id(),
                private_key: github.private_key_pem().expose_secret().to_owned(),
            }),
        };
        let (server, door) = Measured::server(&order)?;
        github.set_webhook(WebhookTarget { url: format!("http://{door}/webhook"), secret });
        let store = store::open(database.url.expose_secret()).await?;
        let mut stand = Stand { github, server, store, pulls: Vec::with_capacity(self.pulls) };
        printer.note(&format!("opening {} pull requests", self.pulls))?;
        let previews = stand.round(|stand| stand.open(&branches)).await?;
        printer.note("pushing to each")?;
        let updates = stand.round(Stand::push).await?;
        let verified = stand.live().await?;
        let peak = stand.server.peak_bytes()?;
        stand.server.kill()?;
        Ok(Report {
            bench: "engine",
            build: build(),
            database: database.kind,
            pulls: self.pulls,
            services: 2,
            marks: vec![
                Mark::at_most("seconds until all are live", MARK_LIVE_SECONDS, previews.all_live_seconds),
                Mark::at_most("writes for a new preview", MARK_WRITES_NEW, previews.github_writes_per_deploy),
                Mark::at_most("writes for an update", MARK_WRITES_UPDATE, updates.github_writes_per_deploy),
            ],
            previews,
            updates,
            peak_memory_mb: megabytes(peak),
            verified,
        })
    }
}

/// Repositories with a branch for each pull request to come. Nobody is told yet.
fn branches(github: &Sandbox, count: usize) -> anyhow::Result<Vec<(RepoName, String)>> {
    let mut branches = Vec::with_capacity(count);
    let mut repo = None;
    for number in 0..count {
        if number % PULLS_OF_A_REPOSITORY == 0 {
            let name = format!("greenroom-bench/shop-{:03}", number / PULLS_OF_A_REPOSITORY);
            let files = [FileChange::write(".github/greenroom.yml", CONFIG), FileChange::write("app", "1")];
            repo = Some(github.create_repo(&name, files)?);
        }
        let repo = repo.clone().context("no repository was made")?;
        let branch = format!("feature-{number}");
        github.commit(&repo, &branch, [FileChange::write("app", branch.as_str())], "Change the app")?;
        branches.push((repo, branch));
    }
    Ok(branches)
}

impl Stand {
    fn open(&mut self, branches: &[(RepoName, String)]) -> anyhow::Result<()> {
        for (repo, branch) in branches {
            let since = SystemClock.now();
            let number = self.github.open_pull(repo, branch, "Change the app")?;
            let sha = self.github.branch_head(repo, branch).context("a branch is gone")?;
            let stage = StageId { repo: repo.clone(), name: StageName::new(format!("pr-{number}"))? };
            self.pulls.push(Pull { stage, branch: branch.clone(), number, sha, since });
        }
        Ok(())
    }

    fn push(&mut self) -> anyhow::Result<()> {
        for pull in &mut self.pulls {
            pull.since = SystemClock.now();
            let change = [FileChange::write("app", format!("{} again", pull.branch))];
            pull.sha = self.github.push(&pull.stage.repo, &pull.branch, change, "Change it again")?;
        }
        Ok(())
    }

    /// Lets everything happen that `cause` causes, and measures it.
    async fn round(&mut self, cause: impl FnOnce(&mut Self) -> anyhow::Result<()>) -> anyhow::Result<Round> {
        self.github.forget_requests();
        let before = self.server.cpu_micros()?;
        cause(self)?;
        self.settled().await?;
        let cpu = self.server.cpu_micros()? - before;
        let counts = self.github.counts();
        let count = self.pulls.len() as u64;
        let begun = self.pulls.iter().map(|pull| pull.since).min().unwrap_or_default();
        let (mut last_live, mut last_shown, mut micros) = (begun, begun, Vec::with_capacity(self.pulls.len()));
        for pull in &self.pulls {
            let live = self.live_at(pull).await?;
            last_live = last_live.max(live);
            let comments = self.github.comments(&pull.stage.repo, pull.number);
            last_shown = comments.iter().map(|comment| comment.updated_at).fold(last_shown, Ord::max);
            micros.push(u64::try_from(live.since(pull.since)).unwrap_or(0) * 1000);
        }
        Ok(Round {
            all_live_seconds: seconds(last_live.since(begun)),
            all_shown_seconds: seconds(last_shown.since(begun)),
            event_to_live_ms: Spread::of_micros(micros),
            cpu_ms_per_deploy: ratio(cpu, count * 1000),
            github_calls_per_deploy: ratio(counts.total(), count),
            github_writes_per_deploy: ratio(counts.writes(), count),
        })
    }

    /// Waits until every stage is live at its newest commit and nothing is asked any more.
    async fn settled(&self) -> anyhow::Result<()> {
        self.github.deliveries_settled().await;
        let (mut asked, mut since) = (self.github.counts().total(), Instant::now());
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.github.counts().total();
            if now != asked {
                (asked, since) = (now, Instant::now());
                continue;
            }
            if since.elapsed() < QUIET {
                continue;
            }
            let live = self.live().await?;
            if live == self.pulls.len() {
                return Ok(());
            }
            anyhow::ensure!(since.elapsed() < PATIENCE, "only {live} of {} stages came live", self.pulls.len());
        }
    }

    /// How many stages are live at their newest commit.
    async fn live(&self) -> anyhow::Result<usize> {
        let stages = self.store.stages(None).await?;
        let is_live = |pull: &&Pull| {
            stages.iter().any(|stage| {
                stage.id == pull.stage && matches!(&stage.status, StageStatus::Live { sha } if *sha == pull.sha)
            })
        };
        Ok(self.pulls.iter().filter(is_live).count())
    }

    async fn live_at(&self, pull: &Pull) -> anyhow::Result<Timestamp> {
        let newest = self.store.deploys(&pull.stage, 1).await?.into_iter().next();
        match newest.and_then(|deploy| deploy.ended) {
            Some((at, Outcome::Live)) => Ok(at),
            _ => anyhow::bail!("{} has no deploy that ended live", pull.stage),
        }
    }
}

fn seconds(millis: i64) -> f64 {
    ratio(u64::try_from(millis).unwrap_or(0), 1000)
}

fn human(report: &Report) -> String {
    let mut text = format!(
        "engine: {} pull requests, {} services each, on {} ({} build)\n",
        report.pulls, report.services, report.database, report.build
    );
    for (name, round) in [("previews", &report.previews), ("updates", &report.updates)] {
        let Spread { p50, p99, .. } = round.event_to_live_ms;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {name}: all live after {:.2} s, all shown after {:.2} s; event to live p50 {p50:.0} ms, p99 {p99:.0} ms",
            round.all_live_seconds, round.all_shown_seconds
        );
        let _ = writeln!(
            text,
            "    a deploy: {:.2} ms of CPU, {:.1} calls of GitHub, {:.1} of them writes",
            round.cpu_ms_per_deploy, round.github_calls_per_deploy, round.github_writes_per_deploy
        );
    }
    let _ = writeln!(text, "  memory: at most {:.1} MB", report.peak_memory_mb);
    text + &marks(&report.marks)
}
