//! Asking a server for something through its database, and following what becomes of it.
//!
//! The request is a row of the inbox like any webhook's, so it is on disk once it is acknowledged
//! and there is no second road into the engine.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{ExitStatus, OutputFormat, Printer, Progress, ProgressStyle};
use crate::app::{self, StoreSettings, SystemClock};
use crate::engine::stage_view;
use crate::model::{DeliveryId, Event, Generation, GoneReason, Lane, RepoName, Seconds, StageId, StageName, Target};
use crate::port::{Clock as _, InboxContent, LaneState, NewDelivery, PortResult, Store};
use crate::view::{ProblemView, StagePhase, StageView, line};

/// How often the database is read while something is followed.
const POLL: Duration = Duration::from_millis(250);

/// How a request is followed.
#[derive(Debug, Clone, Args)]
pub(super) struct FollowArgs {
    /// Ask, and do not wait for the end.
    #[arg(long)]
    no_wait: bool,
    /// Stop waiting after this long; the work goes on.
    #[arg(long, default_value = "1h", value_parser = span, value_name = "SPAN")]
    timeout: Seconds,
    /// How long a server has to take the request up.
    #[arg(long, default_value = "15s", value_parser = span, value_name = "SPAN", hide = true)]
    taken_up_within: Seconds,
    #[command(flatten)]
    store: StoreSettings,
}

/// As it is typed: the default is shown as `1h`, not as what it comes to.
fn span(text: &str) -> Result<Seconds, String> {
    text.parse()
}

impl FollowArgs {
    pub(super) async fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        app::open_existing_store(&self.store).await
    }
}

/// What `--no-wait --json` prints.
#[derive(Debug, Serialize)]
struct Asked<'a> {
    repo: &'a RepoName,
    stage: &'a StageName,
    delivery: &'a DeliveryId,
}

/// How following ended.
pub(super) enum Ending {
    /// Nobody waited for it.
    NotFollowed,
    /// The stage is at rest.
    AtRest(Box<StageView>),
    /// Somebody gave the stage another goal meanwhile.
    Replaced,
    /// Whoever waited does so no longer; the work goes on.
    Left(Option<Box<StageView>>),
}

impl Ending {
    /// Ends the command: the last view as its result, and the status by it.
    pub(super) fn finish(self, printer: &mut Printer, stage: &StageId) -> anyhow::Result<ExitStatus> {
        match self {
            Self::NotFollowed => Ok(ExitStatus::Ok),
            Self::Replaced => {
                let message = format!("{stage} was given another goal meanwhile: `greenroom status` shows it");
                Err(ExitStatus::Failed.error(message))
            }
            Self::Left(view) => {
                view.map_or(Ok(()), |view| printer.result(&view, |_| String::new()))?;
                Ok(ExitStatus::Environment)
            }
            Self::AtRest(view) => {
                let url = view.url.as_deref().filter(|_| view.phase == StagePhase::Live);
                printer.result(&view, |_| url.unwrap_or_default().to_owned())?;
                Ok(ExitStatus::of_stage(&view))
            }
        }
    }
}

/// Asks for a stage to be brought to a target, and follows it.
pub(super) async fn ask(
    store: &Arc<dyn Store>,
    stage: &StageId,
    target: Target,
    args: &FollowArgs,
    printer: &mut Printer,
) -> anyhow::Result<Ending> {
    let before = store.stage(stage).await.context("cannot read the stage")?;
    let delivery = put(store.as_ref(), stage, &target).await.context("cannot put the request into the inbox")?;
    if args.no_wait {
        let asked = Asked { repo: &stage.repo, stage: &stage.name, delivery: &delivery };
        printer.result(&asked, |_| format!("asked for; `greenroom status --repo {}` shows it", stage.repo))?;
        return Ok(Ending::NotFollowed);
    }
    let follower = Follower {
        store: Arc::clone(store),
        stage: stage.clone(),
        target,
        before: before.map_or(Generation(0), |record| record.generation),
        started: Instant::now(),
    };
    let mut progress = Progress::new(style(printer.format()));
    let ending = follower.follow(args, &mut progress).await;
    progress.finish();
    ending
}

fn style(format: OutputFormat) -> ProgressStyle {
    match format {
        OutputFormat::Json => ProgressStyle::Silent,
        OutputFormat::Human if console::Term::stderr().is_term() => ProgressStyle::Terminal,
        OutputFormat::Human => ProgressStyle::Lines(Box::new(io::stderr())),
    }
}

pub(super) async fn put(store: &dyn Store, stage: &StageId, target: &Target) -> anyhow::Result<DeliveryId> {
    let id = DeliveryId::new(format!("cli-{}", app::chance_id()))?;
    let StageId { repo, name } = stage.clone();
    let event = Event::Requested { repo: repo.clone(), stage: name, target: target.clone() };
    let delivery = NewDelivery {
        body_hash: Sha256::digest(id.as_str()).into(),
        id: id.clone(),
        lane: Lane::Repo(repo),
        content: InboxContent::Event(Box::new(event)),
        at: SystemClock.now(),
    };
    store.receive(delivery).await?;
    Ok(id)
}

struct Follower {
    store: Arc<dyn Store>,
    stage: StageId,
    target: Target,
    /// The stage's generation before the request.
    before: Generation,
    started: Instant,
}

/// What one look at the database showed.
enum Look {
    /// The request is still in the inbox.
    Waiting(LaneState),
    /// It was taken up, and gave the stage no goal.
    Ignored,
    Running(Box<StageView>),
    /// The stage's lane fails by now, with nothing of the stage to show for it.
    Failing {
        attempts: u32,
        view: Box<StageView>,
    },
    AtRest(Box<StageView>),
    /// It was there before, so that nothing was done.
    Settled(Box<StageView>),
    Replaced,
}

impl Follower {
    async fn follow(&self, args: &FollowArgs, progress: &mut Progress) -> anyhow::Result<Ending> {
        let stop = app::stop_on_signal()?;
        let (mut last, mut told) = (None, 0);
        loop {
            match self.look().await.context("cannot read how the stage stands")? {
                Look::AtRest(view) => return self.judge(view, progress),
                Look::Settled(view) => {
                    progress.say_line(&format!("nothing to do: {}", line(&view)));
                    return Ok(Ending::AtRest(view));
                }
                Look::Replaced => return Ok(Ending::Replaced),
                Look::Ignored => return Err(ExitStatus::Usage.error(self.nothing_to_do())),
                Look::Waiting(state) if self.started.elapsed() >= args.taken_up_within.duration() => {
                    return Err(ExitStatus::Environment.error(not_taken_up(state, args.taken_up_within)));
                }
                Look::Waiting(_) => {}
                Look::Running(view) => {
                    // What stood before the request is not what becomes of it.
                    if !view.phase.is_final() {
                        progress.show(&view);
                    }
                    last = Some(view);
                }
                Look::Failing { attempts, view } => {
                    if attempts > told {
                        progress.say_line(&format!("the server is stuck and tries again ({attempts}): see its log"));
                        told = attempts;
                    }
                    last = Some(view);
                }
            }
            if self.started.elapsed() >= args.timeout.duration() {
                progress.say_line(&format!("not done after {}; the work goes on", args.timeout));
                return Ok(Ending::Left(last));
            }
            tokio::select! {
                () = stop.cancelled() => {
                    let name = &self.stage.name;
                    progress.say_line(&format!("no longer following {name}; the server goes on with it"));
                    return Ok(Ending::Left(last));
                }
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn look(&self) -> PortResult<Look> {
        // First the inbox, then the stage: once the inbox is at rest, the request has been handled.
        let inbox = self.lane(Lane::Repo(self.stage.repo.clone())).await?;
        let record = self.store.stage(&self.stage).await?.filter(|record| record.generation > self.before);
        let record = match record {
            Some(record) if same(&record.target, &self.target) => record,
            _ if inbox != LaneState::AtRest => return Ok(Look::Waiting(inbox)),
            Some(_) => return Ok(Look::Replaced),
            None => return Ok(Look::Ignored),
        };
        // The goal was set and the lane rung in one transaction: a lane at rest has seen the goal.
        let lane = self.lane(Lane::Stage(self.stage.clone())).await?;
        let Some(view) = stage_view(self.store.as_ref(), &self.stage, SystemClock.now()).await? else {
            return Ok(Look::Waiting(lane));
        };
        let view = Box::new(view);
        Ok(match lane {
            LaneState::AtRest
                if matches!(view.phase, StagePhase::Live | StagePhase::Unhealthy)
                    && view.generation < record.generation =>
            {
                Look::Settled(view)
            }
            LaneState::AtRest if view.phase.is_final() || view.phase == StagePhase::Queued => Look::AtRest(view),
            LaneState::Failing { attempts } => Look::Failing { attempts, view },
            LaneState::AtRest | LaneState::Busy => Look::Running(view),
        })
    }

    async fn lane(&self, lane: Lane) -> PortResult<LaneState> {
        self.store.lane_state(&lane, SystemClock.now()).await
    }

    /// A stage at rest: as asked for, or not by its own fault, or because nothing speaks of it.
    fn judge(&self, view: Box<StageView>, progress: &mut Progress) -> anyhow::Result<Ending> {
        if view.phase == StagePhase::Queued {
            return Err(ExitStatus::Usage.error(self.nothing_to_do()));
        }
        progress.show(&view);
        for ProblemView { file, at, path, message } in &view.problems {
            progress.say_line(&format!("  {file}:{}:{}: {message} (`{path}`)", at.line, at.column));
        }
        if view.phase == StagePhase::Destroyed && !matches!(self.target, Target::Gone(_)) {
            let why = why_gone(view.gone.as_ref().and_then(|gone| gone.reason.as_ref()));
            return Err(ExitStatus::Usage.error(format!("{} has no stage: {why}", self.stage)));
        }
        Ok(Ending::AtRest(view))
    }

    fn nothing_to_do(&self) -> String {
        format!(
            "the server knows nothing to do for {}: does a rule under `stages` on the default branch name it, \
             does its branch exist, is it not that of another branch or pull request, and is {} among those \
             that the server serves (GREENROOM_ALLOW)?",
            self.stage, self.stage.repo
        )
    }
}

fn why_gone(reason: Option<&GoneReason>) -> String {
    let words = match reason {
        Some(GoneReason::Unlabeled { label }) => return format!("its pull request does not have the label {label}"),
        Some(GoneReason::Draft) => "its pull request is a draft, and drafts get none",
        Some(GoneReason::Stranger) => "its pull request is of a fork or of Dependabot, and those get none",
        Some(GoneReason::Closed | GoneReason::Merged) => "its pull request is closed",
        Some(GoneReason::BranchDeleted) => "its branch is gone",
        Some(GoneReason::Expired) => "it expired",
        Some(GoneReason::Requested) => "somebody had it removed",
        Some(GoneReason::Cancelled) => "its first deploy was cancelled",
        Some(GoneReason::RepositoryDeleted) => "its repository was deleted",
        Some(GoneReason::Unwanted) | None => "no rule under `stages` on the default branch wants one",
    };
    words.to_owned()
}

/// Whatever the reason is, gone is gone.
fn same(one: &Target, other: &Target) -> bool {
    one == other || matches!((one, other), (Target::Gone(_), Target::Gone(_)))
}

fn not_taken_up(state: LaneState, within: Seconds) -> String {
    match state {
        LaneState::Failing { attempts } => {
            format!("the server tried {attempts} times and cannot handle the request yet: its log says why")
        }
        LaneState::Busy | LaneState::AtRest => format!(
            "no server took the request up within {within}: is `greenroom serve` running on this database? \
             The request stays in its inbox"
        ),
    }
}
