//! The port's calls: each makes its rows ready and hands them to the writer, or reads.

use async_trait::async_trait;

use super::claims::{Among, Terms};
use super::write::{Answer, EndRow, Write};
use super::{SqlStore, history, read, row};
use crate::model::{
    Deploy, DeployId, Generation, Lane, LaneShare, NewDeploy, Outcome, Release, RepoName, StageId, StageRecord,
    StepEvent, StepLog, Timestamp, Wake,
};
use crate::port::{
    Claimed, Held, InboxRow, IntakeWrite, LaneState, NewDelivery, PortError, PortResult, Receipt, StageHistory, Store,
    StoreCounts, SurfaceRecord,
};

/// How many inbox rows one transaction removes, so that deliveries do not wait for it long.
const PRUNE: i64 = 1000;

impl SqlStore {
    async fn written(&self, write: Write) -> PortResult<()> {
        self.writer.write(write).await.map(drop)
    }
}

pub(super) fn unexpected(answer: &Answer) -> PortError {
    PortError::Bug { context: format!("the writer answered another question: {answer:?}"), source: None }
}

#[async_trait]
impl Store for SqlStore {
    async fn receive(&self, delivery: NewDelivery) -> PortResult<Receipt> {
        match self.writer.write(Write::Receive(row::delivery(delivery)?)).await? {
            Answer::Receipt(receipt) => Ok(receipt),
            other => Err(unexpected(&other)),
        }
    }

    async fn ring(&self, lane: &Lane, at: Timestamp) -> PortResult<()> {
        self.written(Write::Ring { lane: lane.to_string(), at: at.0 }).await
    }

    async fn claim_in_turn(&self, now: Timestamp, lease_millis: i64, share: LaneShare) -> PortResult<Option<Claimed>> {
        let terms = Terms { now: now.0, lease_millis, share: share.lanes() };
        match self.writer.write(Write::Claim(terms)).await? {
            Answer::Claimed(claimed) => Ok(claimed),
            other => Err(unexpected(&other)),
        }
    }

    async fn claim_among(&self, now: Timestamp, lease_millis: i64, lanes: &[Lane]) -> PortResult<Option<Claimed>> {
        let lanes = lanes.iter().map(ToString::to_string).collect();
        match self.writer.write(Write::ClaimAmong(Among { now: now.0, lease_millis, lanes })).await? {
            Answer::Claimed(claimed) => Ok(claimed),
            other => Err(unexpected(&other)),
        }
    }

    async fn renew(&self, held: &mut Held, until: Timestamp) -> PortResult<()> {
        self.written(Write::Renew { hold: row::hold(held), until: until.0 }).await?;
        held.extend(until);
        Ok(())
    }

    async fn release(&self, held: Held, next: Wake, attempts: u32) -> PortResult<()> {
        let wake_at = match next {
            Wake::At(at) => Some(at.0),
            Wake::OnBell => None,
        };
        let write =
            Write::Release { hold: row::hold(&held), bell: held.bell(), wake_at, attempts: i64::from(attempts) };
        self.written(write).await
    }

    async fn lane_state(&self, lane: &Lane, now: Timestamp) -> PortResult<LaneState> {
        read::lane_state(&self.readers, lane.to_string(), now).await
    }

    async fn next_turn(&self, now: Timestamp, share: LaneShare) -> PortResult<Option<Timestamp>> {
        read::next_turn(&self.readers, now, share).await
    }

    async fn inbox(&self, held: &Held, limit: u32) -> PortResult<Vec<InboxRow>> {
        read::inbox(&self.readers, held.lane().to_string(), limit).await
    }

    async fn apply_intake(&self, held: &Held, write: IntakeWrite) -> PortResult<()> {
        self.written(Write::Intake { hold: row::hold(held), intake: row::intake(held, write)? }).await
    }

    async fn stage(&self, id: &StageId) -> PortResult<Option<StageRecord>> {
        Ok(read::stages(&self.readers, Some(id.repo.as_str()), Some(id.name.as_str())).await?.pop())
    }

    async fn generation(&self, id: &StageId) -> PortResult<Option<Generation>> {
        read::generation(&self.readers, id).await
    }

    async fn stages(&self, repo: Option<&RepoName>) -> PortResult<Vec<StageRecord>> {
        read::stages(&self.readers, repo.map(RepoName::as_str), None).await
    }

    async fn save_status(&self, held: &Held, stage: &StageRecord) -> PortResult<()> {
        self.written(Write::Status { hold: row::hold(held), stage: row::stage_row(stage)? }).await
    }

    async fn open_deploy(&self, held: &Held, deploy: NewDeploy) -> PortResult<Deploy> {
        let write = Write::Open { hold: row::hold(held), deploy: row::deploy_row(&deploy)? };
        match self.writer.write(write).await? {
            Answer::Opened { id, running: None } => {
                Ok(Deploy { id: DeployId(id), plan: deploy.plan, started_at: deploy.started_at, ended: None })
            }
            Answer::Opened { id, running: Some(running) } => Ok(Deploy {
                id: DeployId(id),
                plan: row::from_json(&running.plan)?,
                started_at: Timestamp(running.started_at),
                ended: None,
            }),
            other => Err(unexpected(&other)),
        }
    }

    async fn deploy(&self, id: DeployId) -> PortResult<Option<Deploy>> {
        read::one_deploy(&self.readers, id).await
    }

    async fn deploys(&self, stage: &StageId, limit: u32) -> PortResult<Vec<Deploy>> {
        read::deploys(&self.readers, stage, limit).await
    }

    async fn close_deploy(
        &self,
        held: &Held,
        deploy: DeployId,
        outcome: Outcome,
        at: Timestamp,
        stage: &StageRecord,
        release: Option<Release>,
    ) -> PortResult<()> {
        let release = match release {
            Some(release) => Some((release.stage.to_string(), row::to_json(&release)?)),
            None => None,
        };
        let outcome = row::to_json(&outcome)?;
        let end = EndRow { deploy: deploy.0, at: at.0, outcome, stage: row::stage_row(stage)?, release };
        self.written(Write::Close { hold: row::hold(held), end }).await
    }

    async fn append(&self, held: &Held, deploy: DeployId, events: Vec<StepEvent>) -> PortResult<()> {
        let lines = events.into_iter().map(|event| row::line_row(deploy, event)).collect::<PortResult<_>>()?;
        self.written(Write::Append { hold: row::hold(held), lines }).await
    }

    async fn append_unless_rung(
        &self,
        held: &Held,
        deploy: DeployId,
        events: Vec<StepEvent>,
        intent: StepEvent,
    ) -> PortResult<bool> {
        let lines = events.into_iter().map(|event| row::line_row(deploy, event)).collect::<PortResult<_>>()?;
        let intent = row::line_row(deploy, intent)?;
        match self.writer.write(Write::Intend { hold: row::hold(held), bell: held.bell(), lines, intent }).await? {
            Answer::Intended(written) => Ok(written),
            other => Err(unexpected(&other)),
        }
    }

    async fn log(&self, deploy: DeployId) -> PortResult<StepLog> {
        read::log(&self.readers, deploy).await
    }

    async fn releases(&self, stage: &StageId, limit: u32) -> PortResult<Vec<Release>> {
        read::releases(&self.readers, stage, limit).await
    }

    async fn history(&self, stage: &StageId, deploys: u32) -> PortResult<StageHistory> {
        history::read(&self.readers, stage, deploys).await
    }

    async fn save_surfaces(&self, held: &Held, stage: &StageId, surfaces: Vec<SurfaceRecord>) -> PortResult<()> {
        let surfaces = surfaces.into_iter().map(|surface| row::surface_row(stage, surface)).collect();
        self.written(Write::Surfaces { hold: row::hold(held), surfaces }).await
    }

    async fn counts(&self, now: Timestamp) -> PortResult<StoreCounts> {
        read::counts(&self.readers, now).await
    }

    async fn ping(&self) -> PortResult<()> {
        read::ping(&self.readers).await
    }

    async fn prune(&self, before: Timestamp) -> PortResult<u64> {
        let below = read::inbox_seq_at(&self.readers, before).await?;
        let mut pruned = 0;
        loop {
            match self.writer.write(Write::Prune { below, limit: PRUNE }).await? {
                Answer::Pruned(0) => return Ok(pruned),
                Answer::Pruned(count) => pruned += count,
                other => return Err(unexpected(&other)),
            }
        }
    }
}
