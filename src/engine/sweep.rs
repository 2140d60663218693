//! Sweeping: what exists is compared with what is known, and what is left over is handed to the
//! lanes that may judge it.
//!
//! Guarantees: nothing is removed here except images that no release names; a listing that fails, a
//! place that cannot be read and a GitHub that does not answer are reasons to keep; what the report
//! says would happen is decided by the very code that does it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::board::Board;
use super::ruling::Ruling;
use super::{Engine, chain};
use crate::decide::{Finding, Sighting, sweep};
use crate::model::{
    Event, GoneReason, Lane, Place, RepoName, Resource, StageId, StageKind, StageRecord, StageStatus, Timestamp, Wanted,
};
use crate::port::{Held, LaneState, PortResult, Site};

/// A listing of what exists serves all repositories that ask within this time.
const FRESH_MILLIS: i64 = 60_000;
/// Releases that a permanent stage may be rolled back to; what they name stays.
const RELEASES: u32 = 20;
/// A preview is gone back a step or two, not further.
const RELEASES_OF_PREVIEW: u32 = 3;

/// What existed when it was last looked at.
#[derive(Debug, Clone)]
pub(super) struct Sighted {
    at: Timestamp,
    stages: Arc<Vec<(StageId, Place)>>,
}

/// What a sweep finds and would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Stages of which something exists.
    pub existing: usize,
    /// Those that are not simply known.
    pub rows: Vec<SweepRow>,
}

/// One stage that is not simply known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SweepRow {
    pub stage: StageId,
    pub place: Place,
    pub left: Vec<Resource>,
    pub fate: Fate,
    /// A sentence for people.
    pub why: String,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    Removed,
    /// It is deployed again like any stage of an open pull request.
    Followed,
    Kept,
}

impl Engine {
    /// One run of the sweeper; answers the repositories that have something to judge.
    pub(super) async fn sweep(&self, held: &mut Held) -> PortResult<BTreeSet<RepoName>> {
        let existing = self.look_around().await?;
        let readable = self.readable(&existing).await?;
        let records = self.ports.store.stages(None).await?;
        let findings = sweep(&existing, &records, &readable);
        tell(&findings);
        for record in &records {
            self.keep_lease(held).await?;
            if let Err(error) = self.clear_surplus(record).await {
                let cause = chain(&error);
                if self.once.is_news(&format!("surplus images of {}", record.id), &cause) {
                    tracing::warn!(stage = %record.id, "surplus images of {} stay for now: {cause}", record.id);
                }
            }
        }
        let has_work = |finding| matches!(finding, Finding::CameBack | Finding::Unknown);
        Ok(findings.iter().filter(|(.., finding)| has_work(*finding)).map(|(id, ..)| id.repo.clone()).collect())
    }

    /// What a sweep would find and do, without doing it.
    pub async fn sweep_report(&self) -> PortResult<SweepReport> {
        let existing = self.look_around().await?;
        let readable = self.readable(&existing).await?;
        let records = self.ports.store.stages(None).await?;
        let mut rows = Vec::new();
        for (stage, place, finding) in sweep(&existing, &records, &readable) {
            if finding == Finding::Known {
                continue;
            }
            let (fate, why) = self.fate(stage, place, finding).await;
            let (left, why) = match self.ports.cloud.inventory(Site { stage, place }).await {
                Ok(left) => (left, why),
                Err(error) => (Vec::new(), format!("{why}; what is left of it cannot be read: {}", chain(&error))),
            };
            rows.push(SweepRow { stage: stage.clone(), place: place.clone(), left, fate, why });
        }
        Ok(SweepReport { existing: existing.len(), rows })
    }

    /// What exists, at most [`FRESH_MILLIS`] ago: all repositories ask at about the same time.
    pub(super) async fn existing(&self) -> PortResult<Arc<Vec<(StageId, Place)>>> {
        let now = self.ports.clock.now();
        let sighted = self.sighted.lock().await.clone().filter(|seen| now.since(seen.at) < FRESH_MILLIS);
        match sighted {
            Some(Sighted { stages, .. }) => Ok(stages),
            None => self.look_around().await,
        }
    }

    async fn look_around(&self) -> PortResult<Arc<Vec<(StageId, Place)>>> {
        let mut sighted = self.sighted.lock().await;
        let at = self.ports.clock.now();
        let listed = self.ports.cloud.stages(&self.known().await?).await;
        // What may not be read is no reason to remove anything, nor to keep others waiting.
        let stages = self.unless_refused("stages that exist cannot be listed", listed)?.unwrap_or_default();
        let stages = Arc::new(stages);
        *sighted = Some(Sighted { at, stages: Arc::clone(&stages) });
        Ok(stages)
    }

    /// Every stage that is known to live somewhere.
    async fn known(&self) -> PortResult<Vec<(StageId, Place)>> {
        let records = self.ports.store.stages(None).await?;
        Ok(records.into_iter().filter_map(|record| Some((record.id, record.place?))).collect())
    }

    async fn fate(&self, stage: &StageId, place: &Place, finding: Finding) -> (Fate, String) {
        let StageId { repo, name } = stage;
        match finding {
            Finding::Known => (Fate::Kept, "it is known".into()),
            Finding::CameBack => (Fate::Removed, "it was removed, and this is there all the same".into()),
            Finding::NotInstalled => {
                let way_out = match &self.ports.app {
                    Some(_) => "install the GitHub App there again",
                    None => "our token is not for it, a run of its own workflow looks after it",
                };
                (Fate::Kept, format!("GitHub tells nothing about {repo}: {way_out}"))
            }
            Finding::Permanent => {
                let remove = format!("`greenroom destroy {name} --repo {repo} --yes`");
                (Fate::Kept, format!("it is permanent, and the sweeper removes no such stage: {remove} does"))
            }
            Finding::Unknown => match self.judge_unknown(stage, place).await {
                Ok(judged) => judged,
                Err(error) => (Fate::Kept, format!("it cannot be judged now: {}", chain(&error))),
            },
        }
    }

    /// What the lanes of its repository and its own would make of it.
    async fn judge_unknown(&self, stage: &StageId, place: &Place) -> PortResult<(Fate, String)> {
        let StageId { repo, name } = stage;
        let project = self.routing(repo).await?;
        let stages = self.ports.store.stages(Some(repo)).await?;
        let open = self.ports.forge.open_pull_requests(repo).await?;
        let existing = BTreeMap::from([(name.clone(), place.clone())]);
        let seen = Sighting { open, existing, ..Sighting::default() };
        let mut board = Board::new(repo, stages, None, self.ports.clock.now());
        board.judge(&Event::Reconcile { repo: repo.clone() }, &project, &seen);
        let Some(record) = board.changed(name) else {
            let remove = format!("`greenroom destroy {name} --repo {repo} --yes`");
            return Ok((Fate::Kept, format!("its name tells of no pull request: {remove} removes it")));
        };
        Ok(match self.rule_on(record).await? {
            Ruling::Want(Wanted::Gone(reason)) => (Fate::Removed, because(&reason)),
            Ruling::Want(Wanted::Live(_)) => (Fate::Followed, "its pull request is open".to_owned()),
            Ruling::Misconfigured { .. } => (Fate::Kept, "the configuration of its repository is wrong".to_owned()),
            Ruling::AwaitApproval(_) => (Fate::Kept, "its pull request is open and waits for approval".to_owned()),
            Ruling::Full { .. } => (Fate::Kept, "its pull request is open, and every place is taken".to_owned()),
            Ruling::Keep => (Fate::Kept, "nothing can be said about it".to_owned()),
        })
    }

    /// Removes images of a stage at rest that no release names.
    ///
    /// They are listed first and the stage is looked at after that: a deploy that began in between is
    /// seen, and what one that begins later pushes was not listed.
    async fn clear_surplus(&self, record: &StageRecord) -> PortResult<()> {
        let Some(place) = record.place.as_ref().filter(|_| is_live(record)) else { return Ok(()) };
        let site = Site { stage: &record.id, place };
        let count = if place.kind == StageKind::Ephemeral { RELEASES_OF_PREVIEW } else { RELEASES };
        let releases = self.ports.store.releases(&record.id, count).await?;
        if releases.is_empty() {
            return Ok(());
        }
        let digests = releases.iter().flat_map(|release| release.artifacts.values());
        let used: BTreeSet<String> = digests.map(|artifact| artifact.digest.clone()).collect();
        let surplus = self.ports.cloud.surplus(site, &used).await?;
        if surplus.is_empty() || !self.rests(record).await? {
            return Ok(());
        }
        for resource in &surplus {
            self.ports.cloud.remove(site, resource).await?;
        }
        tracing::info!(stage = %record.id, count = surplus.len(), "removed {} images of {} that nothing needs", surplus.len(), record.id);
        Ok(())
    }

    /// Whether the stage is as it was, with nothing due.
    async fn rests(&self, record: &StageRecord) -> PortResult<bool> {
        let lane = Lane::Stage(record.id.clone());
        let state = self.ports.store.lane_state(&lane, self.ports.clock.now()).await?;
        let now = self.ports.store.stage(&record.id).await?;
        let same = now.is_some_and(|now| now.generation == record.generation && now.status == record.status);
        Ok(same && state == LaneState::AtRest)
    }
}

fn is_live(record: &StageRecord) -> bool {
    matches!(record.status, StageStatus::Live { .. })
}

fn because(reason: &GoneReason) -> String {
    let words = match reason {
        GoneReason::Unlabeled { label } => return format!("its pull request does not have the label {label}"),
        GoneReason::Draft => "its pull request is a draft",
        GoneReason::Stranger => "its pull request is of a fork, and those get none",
        GoneReason::Closed => "its pull request is closed",
        GoneReason::Merged => "its pull request is merged",
        GoneReason::BranchDeleted => "its branch is gone",
        GoneReason::Expired => "it expired",
        GoneReason::Unwanted => "nothing in the configuration of its repository wants it",
        GoneReason::Requested => "somebody asked for it",
        GoneReason::Cancelled => "its first deploy was cancelled",
        GoneReason::RepositoryDeleted => "its repository was deleted",
    };
    words.to_owned()
}

/// One line, with those by name that wait for a person.
fn tell(findings: &[(&StageId, &Place, Finding)]) {
    let count = |wanted: Finding| findings.iter().filter(|(.., finding)| *finding == wanted).count();
    let is_kept = |finding| matches!(finding, Finding::Permanent | Finding::NotInstalled);
    let kept = findings.iter().filter(|(.., finding)| is_kept(*finding)).map(|(id, ..)| id.to_string());
    let kept: Vec<String> = kept.collect();
    tracing::info!(
        existing = findings.len(),
        known = count(Finding::Known),
        came_back = count(Finding::CameBack),
        unknown = count(Finding::Unknown),
        kept = kept.join(" "),
        "swept: {} stages exist, {} known, {} came back, {} unknown, {} kept although unknown: `greenroom sweep --dry-run` says more",
        findings.len(),
        count(Finding::Known),
        count(Finding::CameBack),
        count(Finding::Unknown),
        kept.len(),
    );
}
