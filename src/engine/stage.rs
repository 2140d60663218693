//! The stage lane: one activation brings a stage one stretch nearer to its goal.
//!
//! 1. A running deploy that serves the newest goal goes on. One that a newer goal took over is
//!    closed as soon as nothing runs that must not be interrupted.
//! 2. Otherwise the goal is ruled on, what exists is observed, and a plan is made and saved. No
//!    step in it means that the stage is where it should be.
//! 3. Then, step by step: a line in the log, one effect, a line in the log, until there is nothing
//!    to do before a later time, or the plan is at its end.
//! 4. What changed is shown.
//!
//! A process may die between any two lines: the next one reads the log and goes on, and a step that
//! had been asked for is asked for again, which does no harm.

use super::Engine;
use super::blocked::BLOCKED;
use super::drive::{Drive, Run, artifact_of};
use super::ruling::{Ruling, expiry, problems};
use super::talk::is_open;
use crate::decide::{Next, Standing, finish_uninterruptible};
use crate::model::{
    Artifact, Conditions, Deploy, Lane, NewDeploy, Outcome, Output, Release, Seconds, ServiceName, StageId,
    StageRecord, StageSpec, StageStatus, StepLog, Timestamp, Wake, Wanted,
};
use crate::port::{Held, PortResult};
use std::collections::BTreeMap;

/// A live stage is compared with what exists this often.
const DRIFT: Seconds = Seconds(3600);
/// A stage without a place asks again after this, should nobody have rung it when a place fell free.
const FULL: Seconds = Seconds(600);
impl Engine {
    /// One activation of a stage's lane.
    ///
    /// `attempts`: how many before it failed in a row.
    pub(super) async fn bring_on(&self, held: &mut Held, id: &StageId, attempts: u32) -> PortResult<Wake> {
        self.metrics.activations.inc();
        loop {
            let Some(mut record) = self.ports.store.stage(id).await? else { return Ok(Wake::OnBell) };
            let newest = self.ports.store.deploys(id, 1).await?.into_iter().next();
            let wake = match self.running(newest.as_ref()).await? {
                Some(mut run) => self.go_on(held, &mut record, &mut run).await?,
                None => {
                    let ruling = self.rule_on(&record).await?;
                    self.begin(held, &mut record, newest, ruling, attempts).await?
                }
            };
            if let Some(wake) = wake {
                self.note_conditions(held, &mut record).await?;
                let Some((record, later)) = self.report(held, id).await? else { return Ok(wake) };
                self.tell_repo(&record).await?;
                return Ok(wake.or(later));
            }
        }
    }

    /// A stage that is at rest lets its repository's lane answer who asked for it, and begin with
    /// what waits for it.
    async fn tell_repo(&self, record: &StageRecord) -> PortResult<()> {
        if record.is_busy() {
            return Ok(());
        }
        let receipts = self.ports.store.receipts_of(&record.id, record.settled).await?;
        let is_waited_for = receipts.iter().any(is_open);
        if is_waited_for || !record.queue.is_empty() {
            self.ports.store.ring(&Lane::Repo(record.id.repo.clone()), self.ports.clock.now()).await?;
            self.bell.notify_waiters();
        }
        Ok(())
    }

    async fn running(&self, newest: Option<&Deploy>) -> PortResult<Option<Run>> {
        let Some(deploy) = newest.filter(|deploy| deploy.ended.is_none()) else { return Ok(None) };
        let log = self.ports.store.log(deploy.id).await?;
        Ok(Some(Run::new(deploy.clone(), log)))
    }

    /// Goes on with a running deploy, or closes it for a newer goal. `None`: start over.
    async fn go_on(&self, held: &mut Held, record: &mut StageRecord, run: &mut Run) -> PortResult<Option<Wake>> {
        let serves = StageStatus::Deploying { generation: record.generation };
        if record.status != serves {
            let still_wanted = match self.rule_on(record).await? {
                Ruling::Want(wanted) => same_goal(&wanted, &run.deploy.plan.wanted),
                Ruling::Keep => true,
                Ruling::Misconfigured { .. } | Ruling::AwaitApproval(_) | Ruling::Full { .. } => false,
            };
            if !still_wanted {
                return self.supersede(held, record, run).await;
            }
            record.status = serves;
            self.ports.store.save_status(held, record).await?;
        }
        self.ask_builds_now(run);
        self.drive_on(held, record, run).await
    }

    async fn drive_on(&self, held: &mut Held, record: &mut StageRecord, run: &mut Run) -> PortResult<Option<Wake>> {
        match self.drive(held, record, run).await? {
            Drive::NewGoal => Ok(None),
            Drive::Until(at) => Ok(Some(Wake::At(at))),
            Drive::Finished(standing) => self.close(held, record, run, standing).await.map(Some),
        }
    }

    /// Rules are in; makes the plan, or notes why there is none. `None`: the goal moved meanwhile.
    async fn begin(
        &self,
        held: &mut Held,
        record: &mut StageRecord,
        newest: Option<Deploy>,
        ruling: Ruling,
        attempts: u32,
    ) -> PortResult<Option<Wake>> {
        let (status, wake) = match ruling {
            Ruling::Want(wanted) => return self.plan_and_drive(held, record, newest, wanted, attempts).await,
            Ruling::Keep => {
                self.settle(held, record).await?;
                return Ok(Some(Wake::At(self.ports.clock.now().after(DRIFT))));
            }
            Ruling::Misconfigured { sha, problems } => (StageStatus::Misconfigured { sha, problems }, Wake::OnBell),
            Ruling::AwaitApproval(sha) => (StageStatus::AwaitingApproval { sha }, Wake::OnBell),
            Ruling::Full { max, holders } => {
                (StageStatus::Full { max, holders }, Wake::At(self.ports.clock.now().after(FULL)))
            }
        };
        self.set_status(held, record, status).await?;
        Ok(Some(wake))
    }

    async fn plan_and_drive(
        &self,
        held: &mut Held,
        record: &mut StageRecord,
        newest: Option<Deploy>,
        wanted: Wanted,
        attempts: u32,
    ) -> PortResult<Option<Wake>> {
        if let Some(wake) = self.stays_failed(record, newest.as_ref(), &wanted) {
            self.settle(held, record).await?;
            return Ok(Some(wake));
        }
        if let Wanted::Live(spec) = &wanted {
            // On disk before anything is made there.
            record.place = Some(spec.place.clone());
        }
        let release = self.newest_release(&record.id).await?;
        if let Wanted::Live(spec) = &wanted
            && self.is_seen_to(record, spec, release.as_ref()).await
        {
            return self.stays_live(held, record, spec).await.map(Some);
        }
        let plan = match self.draft(record, &wanted, release.as_ref()).await {
            Ok(Some(plan)) => plan,
            Ok(None) => {
                self.settle(held, record).await?;
                return Ok(Some(Wake::OnBell));
            }
            Err(error) => return self.blocked(held, record, &wanted, error, attempts).await.map(Some),
        };
        self.once.is_over(&record.id.to_string());
        let now = self.ports.clock.now();
        if let (true, Wanted::Live(spec)) = (plan.steps.is_empty(), &wanted) {
            return self.stays_live(held, record, spec).await.map(Some);
        }
        if let Some((why, wake)) = self.withheld(record, &wanted, release.as_ref()).await? {
            let sha = match &wanted {
                Wanted::Live(spec) => Some(spec.sha.clone()),
                Wanted::Gone(_) => None,
            };
            self.set_status(held, record, StageStatus::Withheld { sha, why }).await?;
            return Ok(Some(wake.or(self.after_live(record))));
        }
        if let Wanted::Live(spec) = &wanted
            && let Some(problems) = problems(self.take_addresses(spec).await?.into_iter().collect())
        {
            self.set_status(held, record, StageStatus::Misconfigured { sha: spec.sha.clone(), problems }).await?;
            return Ok(Some(self.after_live(record)));
        }
        self.ports.store.save_status(held, record).await?;
        let deploy = self.ports.store.open_deploy(held, NewDeploy { plan, started_at: now }).await?;
        record.status = StageStatus::Deploying { generation: record.generation };
        self.ports.store.save_status(held, record).await?;
        // With the lane in hand, what is newer than the newest was made here, and nothing is logged of it.
        let log = match newest {
            Some(newest) if newest.id >= deploy.id => self.ports.store.log(deploy.id).await?,
            _ => StepLog::default(),
        };
        let mut run = Run::new(deploy, log);
        self.report(held, &record.id).await?;
        self.drive_on(held, record, &mut run).await
    }

    /// The goal is there already: nothing had to be done for it.
    async fn stays_live(&self, held: &Held, record: &mut StageRecord, spec: &StageSpec) -> PortResult<Wake> {
        record.expires_at = expiry(record, spec.expires);
        self.set_status(held, record, StageStatus::Live { sha: spec.sha.clone() }).await?;
        Ok(self.after_live(record))
    }

    /// A goal that failed is not tried again by itself; setting it anew is what tries it again.
    fn stays_failed(&self, record: &StageRecord, newest: Option<&Deploy>, wanted: &Wanted) -> Option<Wake> {
        let Some(Deploy { plan, ended: Some((at, Outcome::Failed)), .. }) = newest else { return None };
        if *at < record.touched_at || !same_goal(wanted, &plan.wanted) {
            return None;
        }
        match wanted {
            Wanted::Live(_) => Some(self.after_live(record)),
            Wanted::Gone(_) => {
                let again = at.after(BLOCKED);
                (again > self.ports.clock.now()).then_some(Wake::At(again))
            }
        }
    }

    /// Closes a deploy for a newer goal once nothing holds it back. `None`: closed, start over.
    async fn supersede(&self, held: &mut Held, record: &mut StageRecord, run: &mut Run) -> PortResult<Option<Wake>> {
        let plan = run.deploy.plan.clone();
        self.call_off(&plan).await?;
        loop {
            match finish_uninterruptible(&plan, &run.log, self.ports.clock.now()) {
                None | Some(Next::Finished(_)) => break,
                Some(Next::Run { step, attempt }) => {
                    self.take(held, run, step, attempt).await?;
                }
                Some(Next::Overdue { step }) => self.overdue(held, run, step).await?,
                Some(Next::Wait(at)) => {
                    self.flush(held, run).await?;
                    return Ok(Some(Wake::At(at)));
                }
            }
        }
        self.cancel_running(held, run).await?;
        // The newer goal may need no source, and then nobody would clear this one away.
        self.ports.builder.tidy(&plan.stage).await?;
        let outcome = Outcome::Superseded { by: record.generation };
        record.status = StageStatus::New;
        self.finish(held, record, run, outcome, None).await?;
        Ok(None)
    }

    /// The plan is at its end: writes how it stands.
    async fn close(
        &self,
        held: &Held,
        record: &mut StageRecord,
        run: &mut Run,
        standing: Standing,
    ) -> PortResult<Wake> {
        self.cancel_running(held, run).await?;
        record.settled = record.generation;
        let now = self.ports.clock.now();
        let plan = run.deploy.plan.clone();
        match (&plan.wanted, standing) {
            (Wanted::Live(spec), Standing::Succeeded) => {
                let before = self.newest_release(&record.id).await?;
                let release = release_of(run, spec, before.as_ref(), now);
                record.status = StageStatus::Live { sha: spec.sha.clone() };
                record.conditions = Conditions::new();
                record.expires_at = expiry(record, spec.expires);
                self.keep_addresses(&record.id, Some(spec)).await?;
                self.finish(held, record, run, Outcome::Live, Some(release)).await?;
                Ok(self.after_live(record))
            }
            (Wanted::Live(spec), Standing::Failed) => {
                record.status = StageStatus::Failed { sha: spec.sha.clone() };
                record.expires_at = expiry(record, spec.expires);
                self.finish(held, record, run, Outcome::Failed, None).await?;
                Ok(self.after_live(record))
            }
            (Wanted::Gone(_), Standing::Succeeded) => {
                let removed = match Standing::left(&plan, &run.log) {
                    Some(Output::Left { removed, .. }) => *removed,
                    _ => 0,
                };
                record.status = StageStatus::Gone { removed };
                record.conditions = Conditions::new();
                record.expires_at = None;
                self.keep_addresses(&record.id, None).await?;
                self.finish(held, record, run, Outcome::Gone { removed }, None).await?;
                self.call_waiting(record).await?;
                Ok(Wake::OnBell)
            }
            (Wanted::Gone(_), Standing::Failed) => {
                record.status = StageStatus::RemovalBlocked;
                self.finish(held, record, run, Outcome::Failed, None).await?;
                Ok(Wake::At(now.after(BLOCKED)))
            }
        }
    }

    async fn finish(
        &self,
        held: &Held,
        record: &StageRecord,
        run: &mut Run,
        outcome: Outcome,
        release: Option<Release>,
    ) -> PortResult<()> {
        let name = match outcome {
            Outcome::Live => "live",
            Outcome::Failed => "failed",
            Outcome::Superseded { .. } => "superseded",
            Outcome::Gone { .. } => "gone",
        };
        self.metrics.outcomes.with_label_values(&[name]).inc();
        tracing::info!(stage = %record.id, deploy = run.deploy.id.0, generation = run.deploy.plan.generation.0, outcome = name, "deploy {} of {} ended {name}", run.deploy.id, record.id);
        self.ports.store.close_deploy(held, run.deploy.id, outcome, self.ports.clock.now(), record, release).await
    }

    pub(super) async fn newest_release(&self, stage: &StageId) -> PortResult<Option<Release>> {
        Ok(self.ports.store.releases(stage, 1).await?.into_iter().next())
    }

    /// A place fell free: those who wait for one look again.
    pub(super) async fn call_waiting(&self, record: &StageRecord) -> PortResult<()> {
        let now = self.ports.clock.now();
        for stage in self.ports.store.stages(Some(&record.id.repo)).await? {
            if matches!(stage.status, StageStatus::Full { .. }) {
                self.ports.store.ring(&Lane::Stage(stage.id), now).await?;
            }
        }
        self.bell.notify_waiters();
        Ok(())
    }

    /// How the newest goal ended without a deploy of its own.
    pub(super) async fn set_status(
        &self,
        held: &Held,
        record: &mut StageRecord,
        status: StageStatus,
    ) -> PortResult<()> {
        record.status = status;
        record.settled = record.generation;
        self.ports.store.save_status(held, record).await
    }

    /// The newest goal leaves the stage as it is.
    pub(super) async fn settle(&self, held: &Held, record: &mut StageRecord) -> PortResult<()> {
        if !record.is_busy() {
            return Ok(());
        }
        record.settled = record.generation;
        self.ports.store.save_status(held, record).await
    }

    /// Looks again for drift, and when the stage expires.
    fn after_live(&self, record: &StageRecord) -> Wake {
        let drift = Wake::At(self.ports.clock.now().after(DRIFT));
        record.expires_at.map_or(drift, |at| drift.or(Wake::At(at)))
    }
}

/// Whether two goals are the same in everything but their generation.
fn same_goal(one: &Wanted, other: &Wanted) -> bool {
    match (one, other) {
        (Wanted::Live(one), Wanted::Live(other)) => {
            let editions = |spec: &StageSpec| spec.services.iter().map(|service| service.edition).collect::<Vec<_>>();
            one.sha == other.sha
                && one.digest == other.digest
                && one.pinned == other.pinned
                && one.only == other.only
                && editions(one) == editions(other)
        }
        (Wanted::Gone(_), Wanted::Gone(_)) => true,
        _ => false,
    }
}

fn release_of(run: &Run, spec: &StageSpec, before: Option<&Release>, now: Timestamp) -> Release {
    let kept: BTreeMap<ServiceName, Artifact> = before.map(|release| release.artifacts.clone()).unwrap_or_default();
    let made = spec.services.iter().filter_map(|service| {
        let artifact = artifact_of(&run.deploy.plan, &run.log, &service.name).or_else(|| kept.get(&service.name))?;
        Some((service.name.clone(), artifact.clone()))
    });
    Release {
        stage: run.deploy.plan.stage.clone(),
        deploy: run.deploy.id,
        generation: run.deploy.plan.generation,
        sha: spec.sha.clone(),
        digest: spec.digest.clone(),
        artifacts: made.collect(),
        only: spec.only.clone(),
        at: now,
    }
}
