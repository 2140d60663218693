//! Each build where the policy wants it.

use std::sync::Arc;

use async_trait::async_trait;

use super::RunnerBuilder;
use crate::model::{
    Artifact, Builds, BuiltBy, CommitSha, FailureKind, Generation, Output, RepoName, Runtime, ServiceName, ServiceSpec,
    StageId,
};
use crate::port::{BuildJob, Builder, PortError, PortResult, Progress, Site, Tarball};

/// A builder on this host, and runners for whom the policy sends there.
pub struct Builders {
    here: Arc<dyn Builder>,
    runners: Option<RunnerBuilder>,
}

impl Builders {
    /// `runners`: `None` where no workflow can be started from here.
    pub fn new(here: Arc<dyn Builder>, runners: Option<RunnerBuilder>) -> Self {
        Self { here, runners }
    }

    fn runners(&self) -> PortResult<&RunnerBuilder> {
        self.runners.as_ref().ok_or_else(|| {
            PortError::failed(
                FailureKind::Environment,
                "No workflow can be started from here",
                "Write `builder: docker` in `.github/greenroom.yml` of the default branch.",
            )
        })
    }
}

#[async_trait]
impl Builder for Builders {
    async fn source(&self, stage: &StageId, sha: &CommitSha) -> PortResult<Option<Progress<String>>> {
        self.here.source(stage, sha).await
    }

    async fn unpack(&self, stage: &StageId, sha: &CommitSha, tarball: Tarball) -> PortResult<Progress<String>> {
        self.here.unpack(stage, sha, tarball).await
    }

    async fn gaps(&self, stage: &StageId, sha: &CommitSha) -> PortResult<Vec<String>> {
        self.here.gaps(stage, sha).await
    }

    async fn ensure(&self, job: &BuildJob<'_>) -> PortResult<Progress<Output>> {
        match (job.builds.by, &job.service.runtime) {
            (BuiltBy::Actions, Runtime::Image(_)) => self.runners()?.ensure(job).await,
            (BuiltBy::Docker, _) | (BuiltBy::Actions, Runtime::Process { .. }) => self.here.ensure(job).await,
        }
    }

    async fn adopt(&self, site: Site<'_>, service: &ServiceName, artifact: &Artifact) -> PortResult<()> {
        self.here.adopt(site, service, artifact).await
    }

    async fn cancel(&self, stage: &StageId) -> PortResult<()> {
        if let Some(runners) = &self.runners {
            runners.cancel(stage).await;
        }
        self.here.cancel(stage).await
    }

    async fn call_off(&self, stage: &StageId, builds: &Builds) -> PortResult<()> {
        if let (BuiltBy::Actions, Some(runners)) = (builds.by, &self.runners) {
            runners.call_off(stage).await;
        }
        self.here.cancel(stage).await
    }

    async fn end_leftovers(&self, repo: &RepoName, stages: &[(StageId, Generation)]) -> PortResult<()> {
        match &self.runners {
            Some(runners) => runners.end_leftovers(repo, stages).await,
            None => Ok(()),
        }
    }

    async fn tidy(&self, stage: &StageId) -> PortResult<()> {
        self.cancel(stage).await?;
        self.here.tidy(stage).await
    }

    async fn forget(&self, stage: &StageId) -> PortResult<()> {
        self.cancel(stage).await?;
        self.here.forget(stage).await
    }

    async fn log(&self, stage: &StageId, service: &ServiceSpec, lines: usize) -> PortResult<Vec<String>> {
        let here = self.here.log(stage, service, lines).await?;
        match &self.runners {
            Some(runners) if here.is_empty() && matches!(service.runtime, Runtime::Image(_)) => {
                runners.log(stage, service, lines).await
            }
            _ => Ok(here),
        }
    }

    async fn remove(&self, artifact: &Artifact) -> PortResult<()> {
        self.here.remove(artifact).await
    }
}
