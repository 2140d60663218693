//! Driving a deploy: step by step, a line in the log before each effect and one after.
//!
//! A process may die between any two lines: the next one reads the log and goes on, and a step that
//! had been asked for is asked for again, which does no harm.

use super::Engine;
use crate::decide::{Next, Standing, next};
use crate::model::{
    Action, Artifact, Deploy, Failure, FailureKind, Output, Plan, ServiceName, StageRecord, Step, StepEvent,
    StepEventKind, StepKey, StepLog, StepState, Timestamp, Wanted, note_and_page,
};
use crate::port::{Held, PortError, PortResult};

/// The lease is renewed when less than this is left of it.
const RENEW_BELOW_MILLIS: i64 = 40_000;

/// A deploy at work, with its log as it stands in memory and what of it is not yet stored.
pub(super) struct Run {
    pub(super) deploy: Deploy,
    pub(super) log: StepLog,
    unsaved: Vec<StepEvent>,
    /// Whether somebody rang while it was at work. What for is asked before each step from then on.
    rung: bool,
}

impl Run {
    /// A deploy as it was stored.
    pub(super) fn new(deploy: Deploy, log: StepLog) -> Self {
        Self { deploy, log, unsaved: Vec::new(), rung: false }
    }
}

/// Where driving a deploy led.
pub(super) enum Drive {
    /// Nothing to do before then.
    Until(Timestamp),
    Finished(Standing),
    /// The stage got a newer goal meanwhile.
    NewGoal,
}

impl Engine {
    /// Carries out steps until there is nothing to do now.
    pub(super) async fn drive(&self, held: &mut Held, record: &StageRecord, run: &mut Run) -> PortResult<Drive> {
        let mut ended = false;
        let plan = run.deploy.plan.clone();
        loop {
            let now = self.ports.clock.now();
            let next = next(&plan, &run.log, now);
            if ended && self.has_newer_goal(held, record, run, &next).await? {
                self.flush(held, run).await?;
                return Ok(Drive::NewGoal);
            }
            ended = false;
            match next {
                Next::Run { step, attempt } => ended = self.take(held, run, step, attempt).await?,
                Next::Overdue { step } => self.overdue(held, run, step).await?,
                Next::Wait(at) => {
                    self.flush(held, run).await?;
                    return Ok(Drive::Until(at));
                }
                Next::Finished(standing) => return Ok(Drive::Finished(standing)),
            }
        }
    }

    /// After a step, before what comes next. The intent of a step is written on the way where
    /// nobody rang: that says the same, and saves a question for each step.
    async fn has_newer_goal(
        &self,
        held: &Held,
        record: &StageRecord,
        run: &mut Run,
        next: &Next<'_>,
    ) -> PortResult<bool> {
        if let (Next::Run { step, .. }, false) = (next, run.rung)
            && matches!(run.log.state(&step.key), StepState::Untouched)
        {
            let intent = self.event(held, run, &step.key, StepEventKind::Started);
            let events = std::mem::take(&mut run.unsaved);
            let (store, deploy) = (&self.ports.store, run.deploy.id);
            if store.append_unless_rung(held, deploy, events, intent.clone()).await? {
                run.log.push(intent).map_err(|error| PortError::bug("writing the step log", error))?;
                return Ok(false);
            }
            run.rung = true;
        }
        let newest = self.ports.store.generation(&record.id).await?;
        Ok(newest.is_some_and(|newest| newest != record.generation))
    }

    /// One step: intent, effect, result. Answers whether the step ended.
    pub(super) async fn take(&self, held: &mut Held, run: &mut Run, step: &Step, attempt: u32) -> PortResult<bool> {
        if matches!(run.log.state(&step.key), StepState::Untouched) {
            self.note(held, run, &step.key, StepEventKind::Started)?;
        }
        // The intent is on disk before the effect; results ride along with the next intent.
        self.flush(held, run).await?;
        self.keep_lease(held).await?;
        let kind = self.effect(run, step, attempt).await?;
        let ended = matches!(kind, StepEventKind::Done(_) | StepEventKind::Failed(_));
        if let StepEventKind::Failed(failure) = &kind {
            tracing::info!(deploy = run.deploy.id.0, step = %step.key, "step {} of {} failed: {}", step.key, run.deploy.plan.stage, failure);
            self.call_off(&run.deploy.plan).await?;
        }
        if ended {
            let result = if matches!(kind, StepEventKind::Done(_)) { "done" } else { "failed" };
            self.metrics.steps.with_label_values(&[result]).inc();
        }
        if says_something_new(&run.log, &step.key, &kind) {
            self.note(held, run, &step.key, kind)?;
        } else if let StepEventKind::Pending { again, .. } = kind {
            run.log.postpone(&step.key, again);
        }
        Ok(ended)
    }

    pub(super) async fn overdue(&self, held: &mut Held, run: &mut Run, step: &Step) -> PortResult<()> {
        let said = match run.log.state(&step.key) {
            StepState::Running { note: Some(note), .. } => format!(" It last said: {}.", note_and_page(note).0),
            _ => String::new(),
        };
        let summary = format!("`{}` was not done within {}.{said}", step.key, step.deadline);
        let failure = Failure::new(FailureKind::Deadline, summary, "Push again once the cause is mended.");
        self.call_off(&run.deploy.plan).await?;
        self.note(held, run, &step.key, StepEventKind::Failed(failure))?;
        self.flush(held, run).await
    }

    /// Stops every build of a deploy, wherever it is made.
    pub(super) async fn call_off(&self, plan: &Plan) -> PortResult<()> {
        match &plan.wanted {
            Wanted::Live(spec) => self.ports.builder.call_off(&plan.stage, &spec.builds).await,
            Wanted::Gone(_) => self.ports.builder.cancel(&plan.stage).await,
        }
    }

    /// Has builds that are made elsewhere asked again now: somebody rang, and it may be that one of them ended.
    pub(super) fn ask_builds_now(&self, run: &mut Run) {
        let Wanted::Live(spec) = &run.deploy.plan.wanted else { return };
        let now = self.ports.clock.now();
        for step in &run.deploy.plan.steps {
            let is_build = matches!(&step.action, Action::Build { service }
                if spec.service(service).is_some_and(|service| spec.builds_elsewhere(service)));
            if is_build && matches!(run.log.state(&step.key), StepState::Running { attempt: 0, .. }) {
                run.log.postpone(&step.key, now);
            }
        }
    }

    /// Puts a line into the log in memory; [`Self::flush`] stores it.
    fn note(&self, held: &Held, run: &mut Run, step: &StepKey, kind: StepEventKind) -> PortResult<()> {
        let event = self.event(held, run, step, kind);
        run.log.push(event.clone()).map_err(|error| PortError::bug("writing the step log", error))?;
        run.unsaved.push(event);
        Ok(())
    }

    fn event(&self, held: &Held, run: &Run, step: &StepKey, kind: StepEventKind) -> StepEvent {
        let at = self.ports.clock.now();
        StepEvent { seq: run.log.next_seq(), step: step.clone(), fence: held.fence(), at, kind }
    }

    pub(super) async fn flush(&self, held: &Held, run: &mut Run) -> PortResult<()> {
        if run.unsaved.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut run.unsaved);
        self.ports.store.append(held, run.deploy.id, events).await
    }

    pub(super) async fn keep_lease(&self, held: &mut Held) -> PortResult<()> {
        let now = self.ports.clock.now();
        if held.lease_until().since(now) >= RENEW_BELOW_MILLIS {
            return Ok(());
        }
        self.ports.store.renew(held, now.after_millis(super::LEASE_MILLIS)).await
    }

    pub(super) async fn cancel_running(&self, held: &Held, run: &mut Run) -> PortResult<()> {
        let running: Vec<StepKey> = run
            .deploy
            .plan
            .steps
            .iter()
            .filter(|step| matches!(run.log.state(&step.key), StepState::Running { .. }))
            .map(|step| step.key.clone())
            .collect();
        for step in &running {
            self.note(held, run, step, StepEventKind::Cancelled)?;
        }
        self.flush(held, run).await
    }
}

/// A step that is asked again and again leaves a line only when it says something else.
fn says_something_new(log: &StepLog, step: &StepKey, kind: &StepEventKind) -> bool {
    match (log.state(step), kind) {
        (StepState::Running { note: Some(before), attempt: 0, .. }, StepEventKind::Pending { note, .. }) => {
            before != note
        }
        _ => true,
    }
}

/// What the deploy's build step made of a service, or what was made before for this goal.
pub(super) fn artifact_of<'a>(plan: &'a Plan, log: &'a StepLog, service: &ServiceName) -> Option<&'a Artifact> {
    let build = StepKey(format!("build:{service}"));
    debug_assert!(plan.steps.iter().all(|step| step.key != build || step.action.service() == Some(service)));
    let pinned = || match &plan.wanted {
        Wanted::Live(spec) => spec.pinned.as_ref()?.artifacts.get(service),
        Wanted::Gone(_) => None,
    };
    log.output(&build).and_then(Output::artifact).or_else(pinned)
}
