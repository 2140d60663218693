//! Looking for a build's run, and at it.

use super::{Followed, RunnerBuilder, explain};
use crate::model::{BUILD_WORKFLOW, Nonce, StageId};
use crate::port::{BuildJob, PortError, PortResult, RunState, WorkflowRun};

use super::state::Seen;

impl RunnerBuilder {
    /// What is seen of the build's run now.
    pub(super) async fn look(&self, job: &BuildJob<'_>, followed: &mut Followed) -> PortResult<Seen> {
        let run = match followed.run {
            Some(run) => match self.workflows.run(&job.stage.repo, run).await {
                Err(PortError::NotFound { .. }) => return Ok(Seen::Gone),
                answer => answer?,
            },
            None => match self.find(job, followed).await? {
                Some(run) => run,
                None => return Ok(Seen::Nothing),
            },
        };
        if let Some(objection) = explain::objection(&run, &followed.order.branch.0) {
            return Err(objection);
        }
        (followed.run, followed.page) = (Some(run.id), Some(run.page));
        Ok(Seen::Run(run.state))
    }

    /// The run with the build's nonce. Of two the older one counts and the other is ended; what runs for earlier
    /// goals of the stage is ended too.
    async fn find(&self, job: &BuildJob<'_>, followed: &Followed) -> PortResult<Option<WorkflowRun>> {
        let runs = self.workflows.runs(&job.stage.repo, BUILD_WORKFLOW).await?;
        let is_same = |run: &&WorkflowRun| Nonce::in_title(&run.title).as_ref() == Some(&followed.order.nonce);
        let mut same: Vec<&WorkflowRun> = runs.iter().filter(is_same).collect();
        same.sort_unstable_by_key(|run| run.id);
        let found = same.first().copied().cloned();
        let surplus = same.into_iter().skip(1).filter(|run| is_active(run));
        let superseded = runs.iter().filter(|run| is_active(run) && is_earlier(run, job.stage, &followed.order.nonce));
        let ending: Vec<u64> = surplus.chain(superseded).map(|run| run.id).collect();
        self.strays.end(&job.stage.repo, &ending).await;
        Ok(found)
    }
}

/// Whether a run has not ended.
pub(super) fn is_active(run: &WorkflowRun) -> bool {
    !matches!(run.state, RunState::Ended(_))
}

/// Whether a run is for a goal of the stage that a newer one took over.
fn is_earlier(run: &WorkflowRun, stage: &StageId, own: &Nonce) -> bool {
    Nonce::in_title(&run.title).is_some_and(|nonce| nonce.is_of(stage) && nonce.generation() < own.generation())
}
