//! What a stage would come to: the plan, made the same way whether it is carried out or only shown.
//!
//! Nothing here changes anything: the world is read, and the planner decides.

use super::Engine;
use super::board::Board;
use super::ruling::Ruling;
use crate::decide::{Present, Sighting, plan};
use crate::model::{
    Action, Changed, CommitSha, Event, Observed, Plan, Problems, Release, ResourceChange, StageId, StageName,
    StageRecord, StageStatus, Target, Wanted,
};
use crate::port::{PortError, PortResult, Site};

/// What the engine would do about a stage now.
#[derive(Debug, Clone, PartialEq)]
pub enum Preview {
    /// It would carry out this. No step means that the stage is where it should be.
    Plan(Box<Plan>),
    /// The stage is gone, and nothing is left of it.
    Gone,
    /// The configuration is wrong: nothing changes until it is right.
    Misconfigured { sha: CommitSha, problems: Problems },
    /// A fork's commit waits for somebody who may approve it.
    AwaitingApproval { sha: CommitSha },
    /// Every place of the stage's rule is taken by these.
    Full { max: u32, holders: Vec<StageName> },
    /// No rule of the configuration speaks of the stage, or its branch is gone: it stays as it is.
    Kept,
}

impl Engine {
    /// The stage as it stands in the database.
    pub async fn stage(&self, stage: &StageId) -> PortResult<Option<StageRecord>> {
        self.ports.store.stage(stage).await
    }

    /// The stage as it would stand in the database had this been asked for. `None` when the request
    /// means nothing: there is no such stage, and its name tells no pull request.
    pub async fn request(&self, stage: &StageId, target: Target) -> PortResult<Option<StageRecord>> {
        let StageId { repo, name } = stage;
        let project = self.routing(repo).await?;
        let stages = self.ports.store.stages(Some(repo)).await?;
        let mut board = Board::new(repo, stages, None, self.ports.clock.now());
        let event = Event::Requested { repo: repo.clone(), stage: name.clone(), target };
        board.judge(&event, &project, &Sighting::default());
        Ok(board.changed(name).cloned())
    }

    /// What would be done about the stage now, and why not more.
    pub async fn preview(&self, record: &StageRecord) -> PortResult<Preview> {
        Ok(match self.rule_on(record).await? {
            Ruling::Want(wanted) => {
                let release = self.newest_release(&record.id).await?;
                self.draft(record, &wanted, release.as_ref())
                    .await?
                    .map_or(Preview::Gone, |plan| Preview::Plan(Box::new(plan)))
            }
            Ruling::Misconfigured { sha, problems } => Preview::Misconfigured { sha, problems },
            Ruling::AwaitApproval(sha) => Preview::AwaitingApproval { sha },
            Ruling::Full { max, holders } => Preview::Full { max, holders },
            Ruling::Keep => Preview::Kept,
        })
    }

    /// What preparing would change for a plan that begins with it.
    pub async fn changes(&self, plan: &Plan) -> PortResult<Vec<ResourceChange>> {
        match &plan.wanted {
            Wanted::Live(spec) if plan.steps.iter().any(|step| step.action == Action::Prepare) => {
                self.ports.cloud.changes(spec).await
            }
            Wanted::Live(_) | Wanted::Gone(_) => Ok(Vec::new()),
        }
    }

    /// Observes the stage and plans. `None`: it is gone, and nothing is left of it. `newest`: its
    /// newest release.
    pub(super) async fn draft(
        &self,
        record: &StageRecord,
        wanted: &Wanted,
        newest: Option<&Release>,
    ) -> PortResult<Option<Plan>> {
        let place = record.place.clone().unwrap_or_default();
        let (place, blueprint) = match wanted {
            Wanted::Live(spec) => (spec.place.clone(), self.ports.cloud.blueprint(spec)),
            Wanted::Gone(_) => (place, None),
        };
        let site = Site { stage: &record.id, place: &place };
        let observed = match wanted {
            Wanted::Live(_) => self.ports.cloud.observe(site).await?,
            Wanted::Gone(_) => {
                let resources = self.ports.cloud.inventory(site).await?;
                Observed { resources, ..Observed::default() }
            }
        };
        let is_gone = matches!((&record.status, wanted), (StageStatus::Gone { .. }, Wanted::Gone(_)));
        if is_gone && observed.resources.is_empty() {
            return Ok(None);
        }
        // A stage that is gone has nothing in common with what it once ran.
        let release = newest.filter(|_| !observed.services.is_empty());
        let changed = self.changed(record, release, wanted).await?;
        let present = Present {
            observed: &observed,
            release,
            changed: &changed,
            blueprint: blueprint.as_deref(),
            build_deadline: self.settings.build_deadline,
        };
        Ok(Some(plan(&record.id, &place, record.generation, wanted, &present)))
    }

    async fn changed(&self, record: &StageRecord, release: Option<&Release>, wanted: &Wanted) -> PortResult<Changed> {
        let (Some(release), Wanted::Live(spec)) = (release, wanted) else { return Ok(Changed::Everything) };
        // Services that were left out then have changes of before that commit.
        if !release.only.is_empty() {
            return Ok(Changed::Everything);
        }
        if release.sha == spec.sha {
            return Ok(Changed::Files(Vec::new()));
        }
        if release.digest != spec.digest || spec.services.iter().all(|service| service.paths.is_empty()) {
            return Ok(Changed::Everything);
        }
        match self.ports.forge.changed_files(&record.id.repo, &release.sha, &spec.sha).await {
            Ok(changed) => Ok(changed),
            // A force-push can leave the old commit without a name: then everything counts as changed.
            Err(PortError::NotFound { .. } | PortError::Denied { .. }) => Ok(Changed::Everything),
            Err(error) => Err(error),
        }
    }
}
