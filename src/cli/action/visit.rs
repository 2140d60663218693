//! The visit of an engine: what was asked for is put into the inbox like a webhook, and brought on until it rests.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::inputs::Patience;
use super::scope::{About, Scope, reported};
use super::writer::{HarmlessLines, StepLog};
use crate::app::SystemClock;
use crate::app::action::{StepSettings, Workshop};
use crate::cli::{Progress, ProgressStyle};
use crate::decide::DeliveryParts;
use crate::engine::stage_view;
use crate::model::{Chore, DeliveryId, Event, Lane, Seconds, StageKind, StageRecord};
use crate::port::{Clock as _, Forge, InboxContent, LaneState, NewDelivery, PortResult, Store};
use crate::view::{StagePhase, StageView, StepStage};

/// How often the state is read while there is nothing to do.
const POLL: Duration = Duration::from_millis(250);
/// How long an activation may take to its next line in the log once the run is to end. GitHub gives a cancelled
/// step 7.5 s, and there is a word to be left and a summary to be written.
const LAST_LINE: Duration = Duration::from_secs(3);
/// How long the comment that says who goes on may take.
const LAST_WORD: Duration = Duration::from_secs(2);
/// After so many attempts in a row the inbox is not waited for any more.
const TRIES: u32 = 6;
/// What is overdue and not of this run is done for so long.
const CHORES: Duration = Duration::from_secs(45);
/// Duties that any run does when they are overdue.
///
/// Source: GitHub Docs, "Events that trigger workflows", `schedule`: it is switched off in public repositories
/// where nothing happened for 60 days, and runs late under load.
const DUTIES: [Chore; 2] = [Chore::Reconcile, Chore::Sweep];

/// How a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    AtRest,
    /// Nothing speaks of what was asked for.
    NoStage,
    NotWaitedFor,
    TimedOut,
    Interrupted,
    /// The inbox cannot be read by this engine, after so many attempts.
    Stuck(u32),
}

/// What one run does for what it was asked.
pub(super) struct Visit {
    pub(super) settings: StepSettings,
    pub(super) store: Arc<dyn Store>,
    pub(super) forge: Arc<dyn Forge>,
    pub(super) scope: Scope,
    pub(super) patience: Patience,
    pub(super) timeout: Seconds,
    pub(super) stop: CancellationToken,
    pub(super) began: Instant,
}

impl Visit {
    /// Puts events into the inbox. What was put there before is not put there again.
    pub(super) async fn deliver(&self, events: Vec<Event>, parts: &DeliveryParts) -> anyhow::Result<()> {
        for event in events {
            let text = serde_json::to_string(&event).context("an event is JSON")?;
            let hash: [u8; 32] = Sha256::digest(format!("{}\n{text}", parts.told())).into();
            let id = format!("run-{}-{}-{}", parts.run, parts.attempt, hex::encode(&hash[..8]));
            let delivery = NewDelivery {
                id: DeliveryId::new(id)?,
                body_hash: hash,
                lane: Lane::Repo(self.scope.repo.clone()),
                content: InboxContent::Event(Box::new(event)),
                at: SystemClock.now(),
            };
            self.store.receive(delivery).await.context("cannot put the event into the inbox")?;
        }
        if self.scope.about == About::Everything {
            self.store.ring(&Lane::Chore(Chore::Sweep), SystemClock.now()).await.context("cannot ask for a sweep")?;
        }
        Ok(())
    }

    /// Brings on what was asked for until it rests or the time is up.
    pub(super) async fn follow(&self, log: &mut StepLog) -> anyhow::Result<(Left, Vec<StepStage>, Option<Workshop>)> {
        let mut progress = Progress::new(ProgressStyle::Lines(Box::new(HarmlessLines(io::stdout()))));
        let (mut workshop, mut told_waiting) = (None, false);
        let left = loop {
            if workshop.is_none() {
                workshop = Workshop::open(&self.settings, &self.store, &self.forge, &self.scope.repo).await?;
                if workshop.is_none() && !std::mem::replace(&mut told_waiting, true) {
                    log.say(
                        "another run works on this machine's stages, on what this one asked for as well; following it",
                    );
                }
            }
            let (rest, lanes) = self.look(&mut progress).await.context("cannot read how the stages stand")?;
            match rest {
                Rest::Settled => break Left::AtRest,
                Rest::NoStage => break Left::NoStage,
                Rest::Stuck(attempts) => break Left::Stuck(attempts),
                Rest::TakenIn if self.patience == Patience::Leaves => break Left::NotWaitedFor,
                Rest::TakenIn | Rest::Busy => {}
            }
            if self.stop.is_cancelled() {
                break Left::Interrupted;
            }
            if self.began.elapsed() >= self.timeout.duration() {
                break Left::TimedOut;
            }
            let worked = match &workshop {
                Some(workshop) => self.work(workshop, lanes).await?,
                None => false,
            };
            if !worked {
                self.pause().await;
            }
        };
        progress.finish();
        if let (Some(workshop), Left::Interrupted | Left::TimedOut) = (&workshop, left) {
            self.leave_word(workshop, left).await;
        }
        Ok((left, self.reported().await?, workshop))
    }

    /// One activation of a lane of ours, or of somebody's whom nobody else can serve. Answers whether there was any.
    async fn work(&self, workshop: &Workshop, lanes: Vec<Lane>) -> anyhow::Result<bool> {
        let (engine, for_all) = (workshop.engine.clone(), workshop.works_for_all());
        let mut task =
            tokio::spawn(async move { Ok(engine.tick_among(&lanes).await? || (for_all && engine.tick().await?)) });
        let ended: Result<PortResult<bool>, _> = tokio::select! {
            ended = &mut task => ended,
            () = self.must_end() => match tokio::time::timeout(LAST_LINE, &mut task).await {
                Ok(ended) => ended,
                Err(_) => {
                    // It is taken up from its log, once its lease is over.
                    task.abort();
                    return Ok(false);
                }
            },
        };
        ended.context("the engine stopped")?.context("a lane could not be given back")
    }

    /// Until the run is to end.
    async fn must_end(&self) {
        let left = self.timeout.duration().saturating_sub(self.began.elapsed());
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(left) => {}
        }
    }

    async fn pause(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }

    /// How far it is, and the lanes that it needs.
    async fn look(&self, progress: &mut Progress) -> PortResult<(Rest, Vec<Lane>)> {
        let now = SystemClock.now();
        let inbox = Lane::Repo(self.scope.repo.clone());
        // Stages before the inbox: what comes to rest rings the inbox in the same moment, to be answered there.
        let (mut rests, mut lanes, mut views) = (true, vec![inbox.clone()], Vec::new());
        let records = self.scope.stages(self.store.as_ref()).await?;
        for record in &records {
            let lane = Lane::Stage(record.id.clone());
            let state = self.store.lane_state(&lane, now).await?;
            let Some(view) = stage_view(self.store.as_ref(), &record.id, now).await? else { continue };
            rests &= is_at_rest(state, &view);
            views.push(view);
            lanes.push(lane);
        }
        if self.scope.about == About::Everything {
            let sweep = Lane::Chore(Chore::Sweep);
            rests &= self.store.lane_state(&sweep, now).await? == LaneState::AtRest;
            lanes.push(sweep);
        }
        let rest = match self.store.lane_state(&inbox, now).await? {
            LaneState::Failing { attempts } if attempts >= TRIES => Rest::Stuck(attempts),
            LaneState::Failing { .. } | LaneState::Busy => Rest::Busy,
            LaneState::AtRest if records.is_empty() && rests => Rest::NoStage,
            LaneState::AtRest if rests => Rest::Settled,
            LaneState::AtRest => Rest::TakenIn,
        };
        // What a stage came to before the event is not what comes of it.
        for view in views.iter().filter(|view| !view.phase.is_final() || matches!(rest, Rest::Settled)) {
            show(progress, view);
        }
        Ok((rest, lanes))
    }

    /// Says on the pull requests who goes on.
    async fn leave_word(&self, workshop: &Workshop, left: Left) {
        let why = if left == Left::TimedOut { "ran out of time" } else { "was cancelled" };
        let word = format!(
            "the run that worked on this {why}; the next run for this stage goes on, such as a push, a re-run of the \
             job, or a command in a comment"
        );
        let words = async {
            for record in self.scope.stages(self.store.as_ref()).await? {
                workshop.engine.leave_word(&record.id, &word).await?;
            }
            PortResult::Ok(())
        };
        if !matches!(tokio::time::timeout(LAST_WORD, words).await, Ok(Ok(()))) {
            tracing::warn!("the comment does not say that this run {why}");
        }
    }

    /// The stages with what is reported of them; of a sweep those that are still there.
    pub(super) async fn reported(&self) -> anyhow::Result<Vec<StepStage>> {
        let now = SystemClock.now();
        let mut all = Vec::new();
        for record in self.scope.stages(self.store.as_ref()).await.context("cannot read the stages")? {
            all.extend(reported(&self.store, &record.id, now).await.context("cannot read a stage")?);
        }
        if self.scope.about == About::Everything {
            all.retain(|stage| stage.view.phase != StagePhase::Destroyed);
        }
        Ok(all)
    }

    /// Does what is overdue and nobody's in particular, for a while. A run with the rights of a permanent stage
    /// leaves it to others, who have theirs for what comes and goes.
    pub(super) async fn do_overdue(&self, workshop: &Workshop) -> PortResult<()> {
        let own = self.scope.stages(self.store.as_ref()).await?;
        if own.iter().any(|record| kind_of(record) != StageKind::Ephemeral) {
            return Ok(());
        }
        workshop.engine.plan_chores(&DUTIES).await?;
        let begun = Instant::now();
        while begun.elapsed() < CHORES && !self.stop.is_cancelled() {
            let mut lanes: Vec<Lane> = DUTIES.map(Lane::Chore).to_vec();
            lanes.push(Lane::Repo(self.scope.repo.clone()));
            for record in self.store.stages(Some(&self.scope.repo)).await? {
                if kind_of(&record) == StageKind::Ephemeral {
                    lanes.push(Lane::Stage(record.id));
                }
            }
            let tick = tokio::time::timeout(CHORES.saturating_sub(begun.elapsed()), workshop.engine.tick_among(&lanes));
            let ticked = tokio::select! {
                () = self.stop.cancelled() => break,
                ticked = tick => ticked,
            };
            let Ok(ticked) = ticked else { break };
            if !ticked? {
                break;
            }
        }
        Ok(())
    }
}

fn kind_of(record: &StageRecord) -> StageKind {
    // A stage that was never resolved has nothing on the target yet.
    let unknown = if record.pull().is_some() { StageKind::Ephemeral } else { StageKind::Permanent };
    record.place.as_ref().map_or(unknown, |place| place.kind)
}

/// How far what was asked for is.
enum Rest {
    /// The inbox is not read yet.
    Busy,
    /// It is, and stages are at work.
    TakenIn,
    Settled,
    NoStage,
    Stuck(u32),
}

/// A lane without a wish may still wake by itself to go on with a deploy: only a stage that says so rests.
fn is_at_rest(lane: LaneState, view: &StageView) -> bool {
    lane == LaneState::AtRest && (view.phase.is_final() || view.phase == StagePhase::Queued)
}

/// Without the lines of a program, which the log shows in a place of their own.
fn show(progress: &mut Progress, view: &StageView) {
    let mut view = view.clone();
    if let Some(failure) = &mut view.failure {
        failure.log.clear();
    }
    progress.show(&view);
}
