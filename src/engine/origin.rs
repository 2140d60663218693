//! Where a commit came from, however often it was asked for since and on whatever pull request.
//!
//! Guarantees: a goal that is made of an earlier one has that one's origin; where it is not known,
//! nothing is answered instead of something likely.

use super::Engine;
use super::ruling::RELEASES;
use crate::decide::gate::Origin;
use crate::decide::{first_brought, origin_of};
use crate::model::{
    CameBy, Commit, CommitSha, Generation, PullRequest, StageId, StageName, StageRecord, StageSpec, Target,
};
use crate::port::PortResult;

impl Engine {
    /// How the commit of a goal came.
    pub(super) async fn came_by(&self, record: &StageRecord, commit: &Commit) -> PortResult<CameBy> {
        if let Some(came_by) = &commit.came_by {
            return Ok(came_by.clone());
        }
        let first = self.first_brought(&record.id, &commit.sha).await?;
        Ok(origin_of(record, first.as_ref()))
    }

    /// How the commit of a release came to the stage that the release is of; `None` where it is
    /// forgotten.
    pub(super) async fn release_came_by(
        &self,
        record: &StageRecord,
        of: &StageName,
        generation: Generation,
    ) -> PortResult<Option<CameBy>> {
        let Some((release, spec)) = self.release(&record.id, of, generation).await? else { return Ok(None) };
        let stage = StageId { repo: record.id.repo.clone(), name: of.clone() };
        let source = self.ports.store.stage(&stage).await?;
        let first = self.first_brought(&stage, &release.sha).await?.unwrap_or(spec);
        Ok(Some(origin_of(source.as_ref().unwrap_or(record), Some(&first))))
    }

    /// How the commit came that a stage is at; `None` where nobody can say.
    pub(super) async fn present_came_by(&self, record: &StageRecord, sha: &CommitSha) -> PortResult<Option<CameBy>> {
        if let Some(first) = self.first_brought(&record.id, sha).await? {
            return Ok(Some(origin_of(record, Some(&first))));
        }
        // A commit that changed nothing has no deploy: only its goal knows of it, while it is the goal.
        if record.is_busy() {
            return Ok(None);
        }
        match &record.target {
            Target::Commit(commit) if commit.sha == *sha => Ok(Some(self.came_by(record, commit).await?)),
            Target::Release { stage, generation } => self.release_came_by(record, stage, *generation).await,
            Target::PullRequest(number) => Ok(Some(CameBy::PullRequest(*number))),
            Target::Branch(branch) => {
                let head = self.ports.forge.branch_head(&record.id.repo, branch).await?;
                Ok((head.as_ref() == Some(sha)).then(|| CameBy::Branch(branch.clone())))
            }
            Target::Commit(_) | Target::Gone(_) => Ok(None),
        }
    }

    async fn first_brought(&self, stage: &StageId, sha: &CommitSha) -> PortResult<Option<StageSpec>> {
        let deploys = self.ports.store.deploys(stage, RELEASES).await?;
        Ok(first_brought(&deploys, sha).cloned())
    }
}

/// Whose the commits of a pull request are.
pub(super) fn origin(pull: &PullRequest) -> Origin {
    if pull.is_from_fork() { Origin::Fork } else { Origin::Own }
}
