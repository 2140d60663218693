//! `greenroom sweep`: look for what nobody needs any more, now instead of within the hour.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::{ExitStatus, Printer};
use crate::app::{self, ServerSettings, SystemClock};
use crate::engine::{Fate, SweepReport, SweepRow};
use crate::model::{Chore, Generation, Lane, Place, Resource, Seconds, StageId, StageStatus};
use crate::port::{Clock as _, LaneState, PortResult, Store};

/// How often the database is read while the sweep is waited for.
const POLL: Duration = Duration::from_millis(250);

/// Remove what is left of stages that nobody needs any more.
#[derive(Debug, Args)]
#[command(
    mut_arg("listen", |arg| arg.hide(true)),
    mut_arg("registry", |arg| arg.hide(true)),
    mut_arg("log", |arg| arg.hide(true)),
    mut_arg("log_format", |arg| arg.hide(true)),
    after_help = "\
The server sweeps every hour by itself. Stages that exist are compared with those in the database;
one that is not known is removed only once GitHub says that its pull request is closed. Permanent
stages are never swept. It takes the settings of `greenroom serve`, and for --dry-run
GREENROOM_GITHUB_PRIVATE_KEY from the environment.

Examples:
  greenroom sweep --dry-run
  greenroom sweep
  greenroom --json sweep --dry-run | jq -r '.rows[] | select(.fate == \"kept\") | .why'"
)]
pub(super) struct Sweep {
    /// Show what is left of which stage, and what would happen to it and why; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Stop waiting after this long; the work goes on.
    #[arg(long, default_value = "1h", value_name = "SPAN", value_parser = span)]
    timeout: Seconds,
    /// How long a server has to take the sweep up.
    #[arg(long, default_value = "15s", value_parser = span, value_name = "SPAN", hide = true)]
    taken_up_within: Seconds,
    #[command(flatten)]
    settings: Box<ServerSettings>,
}

/// As it is typed: the default is shown as `1h`, not as what it comes to.
fn span(text: &str) -> Result<Seconds, String> {
    text.parse()
}

/// What a sweep that was waited for came to.
#[derive(Debug, Serialize)]
struct Swept {
    removed: Vec<SweptStage>,
    /// Something of these is still there: their lanes try again.
    blocked: Vec<StageId>,
}

#[derive(Debug, Serialize)]
struct SweptStage {
    stage: StageId,
    removed: u32,
}

impl Sweep {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let Self { dry_run, timeout, taken_up_within, settings } = self;
        if dry_run {
            let engine = app::planner(&settings, app::private_key()?).await?;
            let report = engine.sweep_report().await.context("cannot look at what exists")?;
            printer.result(&report, table)?;
            return Ok(ExitStatus::Ok);
        }
        let store = app::open_existing_store(&settings.store).await?;
        let round = Round::start(store).await.context("cannot ask the server for a sweep")?;
        let swept = round.wait(timeout, taken_up_within).await?;
        printer.result(&swept, told)?;
        Ok(if swept.blocked.is_empty() { ExitStatus::Ok } else { ExitStatus::Environment })
    }
}

/// A sweep that was asked for, with how the stages stood before it.
struct Round {
    store: Arc<dyn Store>,
    before: BTreeMap<StageId, Standing>,
    started: Instant,
}

/// How a stage stands: what a sweep changes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    generation: Generation,
    deploys: i64,
}

impl Round {
    async fn start(store: Arc<dyn Store>) -> anyhow::Result<Self> {
        let before = standings(store.as_ref()).await?.into_iter().map(|(id, standing, _)| (id, standing)).collect();
        store.ring(&Lane::Chore(Chore::Sweep), SystemClock.now()).await?;
        Ok(Self { store, before, started: Instant::now() })
    }

    /// First the sweeper, then the inboxes that it wrote to, then the stages that go: each was rung
    /// before the one in front of it came to rest.
    async fn wait(&self, timeout: Seconds, taken_up_within: Seconds) -> anyhow::Result<Swept> {
        let stop = app::stop_on_signal()?;
        let mut is_taken_up = false;
        loop {
            match self.look().await.context("cannot read how the sweep stands")? {
                Look::Done(swept) => return Ok(swept),
                Look::Sweeping(_) if is_taken_up => {}
                Look::Sweeping(state) if self.started.elapsed() >= taken_up_within.duration() => {
                    return Err(ExitStatus::Environment.error(not_taken_up(state)));
                }
                Look::Sweeping(_) => {}
                Look::Judging => is_taken_up = true,
            }
            if self.started.elapsed() >= timeout.duration() {
                return Err(ExitStatus::Environment.error(format!("not done after {timeout}; the work goes on")));
            }
            tokio::select! {
                () = stop.cancelled() => {
                    return Err(ExitStatus::Environment.error("no longer waiting; the server goes on with it"));
                }
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn look(&self) -> PortResult<Look> {
        let now = SystemClock.now();
        let sweeper = self.store.lane_state(&Lane::Chore(Chore::Sweep), now).await?;
        if sweeper != LaneState::AtRest {
            return Ok(Look::Sweeping(sweeper));
        }
        if self.store.counts(now).await?.inbox_waiting > 0 {
            return Ok(Look::Judging);
        }
        let mut swept = Swept { removed: Vec::new(), blocked: Vec::new() };
        for (id, standing, status) in standings(self.store.as_ref()).await? {
            let lane = self.store.lane_state(&Lane::Stage(id.clone()), now).await?;
            let is_changed = self.before.get(&id) != Some(&standing);
            match status {
                StageStatus::RemovalBlocked | StageStatus::Blocked { sha: None, .. } if lane != LaneState::Busy => {
                    swept.blocked.push(id);
                }
                StageStatus::Gone { removed } if is_changed && lane != LaneState::Busy => {
                    swept.removed.push(SweptStage { stage: id, removed });
                }
                // Rung for something that came back, given a goal, or on its way.
                _ if lane == LaneState::Busy && (is_changed || matches!(status, StageStatus::Gone { .. })) => {
                    return Ok(Look::Judging);
                }
                StageStatus::New | StageStatus::Deploying { .. } if is_changed => return Ok(Look::Judging),
                _ => {}
            }
        }
        Ok(Look::Done(swept))
    }
}

/// What one look at the database showed.
enum Look {
    /// The sweeper itself is not through.
    Sweeping(LaneState),
    /// What it found is judged and removed.
    Judging,
    Done(Swept),
}

async fn standings(store: &dyn Store) -> PortResult<Vec<(StageId, Standing, StageStatus)>> {
    let mut all = Vec::new();
    for record in store.stages(None).await? {
        let newest = store.deploys(&record.id, 1).await?.first().map_or(0, |deploy| deploy.id.0);
        all.push((record.id, Standing { generation: record.generation, deploys: newest }, record.status));
    }
    Ok(all)
}

fn not_taken_up(state: LaneState) -> String {
    match state {
        LaneState::Failing { attempts } => {
            format!("the server tried {attempts} times and cannot sweep yet: its log says why")
        }
        LaneState::Busy | LaneState::AtRest => {
            "no server took the sweep up: is `greenroom serve` running on this database? It stays asked for".into()
        }
    }
}

fn told(swept: &Swept) -> String {
    if swept.removed.is_empty() && swept.blocked.is_empty() {
        return "nothing was left over".into();
    }
    let mut text = String::new();
    for SweptStage { stage, removed } in &swept.removed {
        let _ = writeln!(text, "{stage}: gone, 0 of {removed} left");
    }
    for stage in &swept.blocked {
        let _ = writeln!(text, "{stage}: something of it cannot be removed; its comment and the log say what");
    }
    text
}

/// One row for each stage that is not simply known.
fn table(report: &SweepReport) -> String {
    let SweepReport { existing, rows } = report;
    if rows.is_empty() {
        return match existing {
            0 => "nothing to sweep: no stage exists".into(),
            1 => "nothing to sweep: the one stage that exists is known".into(),
            _ => format!("nothing to sweep: the {existing} stages that exist are all known"),
        };
    }
    let head = ["STAGE", "PLACE", "LEFT", "", "WHY"].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 4] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(shown, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", format!("{shown}{}", line[4]).trim_end());
    }
    let _ = writeln!(text, "\nOf all that exist ({existing}), the others are known.");
    text
}

fn cells(row: &SweepRow) -> [String; 5] {
    let fate = match row.fate {
        Fate::Removed => "removed",
        Fate::Followed => "followed",
        Fate::Kept => "kept",
    };
    [row.stage.to_string(), place(&row.place), left(&row.left), fate.into(), row.why.clone()]
}

fn place(place: &Place) -> String {
    place.aws.as_ref().map_or_else(|| "the server's own".into(), |aws| format!("{} {}", aws.account, aws.region))
}

/// `2 services, 1 stack`
fn left(resources: &[Resource]) -> String {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for resource in resources {
        match kinds.iter_mut().find(|(kind, _)| *kind == resource.kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((&resource.kind, 1)),
        }
    }
    let words = kinds.iter().map(|(kind, count)| match (count, kind.ends_with('s')) {
        (1, true) => (*kind).to_owned(),
        (1, false) | (_, true) => format!("{count} {kind}"),
        (_, false) => format!("{count} {kind}s"),
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "-".into() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AwsTarget;

    fn resource(kind: &str) -> Resource {
        Resource { kind: kind.into(), id: "x".into(), service: None }
    }

    #[test]
    fn the_table_says_what_is_left_and_why() {
        let aws = AwsTarget { region: "eu-west-1".into(), account: "123456789012".into(), role: None };
        let rows = vec![
            SweepRow {
                stage: StageId { repo: "acme/shop".parse().unwrap(), name: "pr-7".parse().unwrap() },
                place: Place { aws: Some(aws), ..Place::default() },
                left: ["service", "service", "stack", "task definitions"].map(resource).to_vec(),
                fate: Fate::Removed,
                why: "its pull request is closed".into(),
            },
            SweepRow {
                stage: StageId { repo: "acme/blog".parse().unwrap(), name: "prod".parse().unwrap() },
                place: Place::default(),
                left: Vec::new(),
                fate: Fate::Kept,
                why: "it is permanent".into(),
            },
        ];
        insta::assert_snapshot!(table(&SweepReport { existing: 9, rows }), @"
        STAGE           PLACE                   LEFT                                            WHY
        acme/shop/pr-7  123456789012 eu-west-1  2 services, 1 stack, task definitions  removed  its pull request is closed
        acme/blog/prod  the server's own        -                                      kept     it is permanent

        Of all that exist (9), the others are known.
        ");
        let empty = SweepReport { existing: 3, rows: Vec::new() };
        assert_eq!(table(&empty), "nothing to sweep: the 3 stages that exist are all known");
    }
}
