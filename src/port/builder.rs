//! Sources and images.

use std::pin::Pin;

use async_trait::async_trait;
use tokio::io::AsyncRead;

use super::{PortResult, Progress, Site};
use crate::model::{
    Artifact, Builds, CommitSha, Generation, Output, Place, RepoName, ServiceName, ServiceSpec, StageId, Trust,
};

/// The bytes of a `.tar.gz`, as GitHub sends it: everything under one top folder.
pub type TarballStream = Pin<Box<dyn AsyncRead + Send>>;

/// A tarball that is asked for once this is awaited.
pub type Tarball = Pin<Box<dyn Future<Output = PortResult<TarballStream>> + Send>>;

/// One service of one stage at one commit.
#[derive(Debug, Clone, Copy)]
pub struct BuildJob<'a> {
    pub stage: &'a StageId,
    pub place: &'a Place,
    pub sha: &'a CommitSha,
    /// What is made is found again by jobs of the same trust alone.
    pub trust: Trust,
    pub service: &'a ServiceSpec,
    /// For which of the stage's goals it is.
    pub generation: Generation,
    pub builds: &'a Builds,
    /// The folder that [`Builder::unpack`] answered; `None` where a runner gets the source by itself
    /// ([`crate::model::StageSpec::builds_elsewhere`]).
    pub source: Option<&'a str>,
}

/// Makes artifacts from sources.
#[async_trait]
pub trait Builder: Send + Sync + 'static {
    /// The folder of a source that was unpacked completely, if it is still there; `Pending` while it is
    /// being unpacked, and once the reason why that ended early.
    async fn source(&self, stage: &StageId, sha: &CommitSha) -> PortResult<Option<Progress<String>>>;

    /// Asks for a tarball when it is its repository's turn, and unpacks it to a folder of this stage and
    /// commit, in the background: `Pending` until it is there, which [`Builder::source`] tells; then that
    /// folder.
    ///
    /// Nothing is ever written outside that folder; links that lead out of it, devices and
    /// oversized archives are refused as `Failed`. A folder that was begun and not finished counts
    /// as absent.
    async fn unpack(&self, stage: &StageId, sha: &CommitSha, tarball: Tarball) -> PortResult<Progress<String>>;

    /// What a complete source lacks that its authors have, such as submodules: a sentence for each kind.
    async fn gaps(&self, _stage: &StageId, _sha: &CommitSha) -> PortResult<Vec<String>> {
        Ok(Vec::new())
    }

    /// Makes the service's artifact, in the background: `Pending` until it is there, then
    /// `Output::Built` or, where the same content was there already, `Output::Reused`.
    /// For a process the artifact is the source itself with the hash of its content.
    async fn ensure(&self, job: &BuildJob<'_>) -> PortResult<Progress<Output>>;

    /// Sees that what was made before is still there, and holds it for the stage as well, so that it
    /// does not go with the stage that it was made for. `Failed` where it is gone.
    async fn adopt(&self, site: Site<'_>, service: &ServiceName, artifact: &Artifact) -> PortResult<()>;

    /// Stops every build of this stage that is running, and what is being unpacked. Unknown is success.
    async fn cancel(&self, stage: &StageId) -> PortResult<()>;

    /// The same of builds for a goal that were begun elsewhere, also by a server that is gone.
    async fn call_off(&self, stage: &StageId, _builds: &Builds) -> PortResult<()> {
        self.cancel(stage).await
    }

    /// Stops builds that were begun elsewhere for an older goal of one of these stages of a repository than it has
    /// now, of which the process that gave them up knows nothing any more.
    async fn end_leftovers(&self, _repo: &RepoName, _stages: &[(StageId, Generation)]) -> PortResult<()> {
        Ok(())
    }

    /// Removes the stage's sources of every commit. The artifacts and the build logs stay.
    async fn tidy(&self, stage: &StageId) -> PortResult<()>;

    /// Removes the stage's sources and build logs: for a stage that goes. Its images stay, each
    /// until [`Self::remove`].
    async fn forget(&self, stage: &StageId) -> PortResult<()> {
        self.tidy(stage).await
    }

    /// The last lines that the service's newest build printed, oldest first.
    async fn log(&self, stage: &StageId, service: &ServiceSpec, lines: usize) -> PortResult<Vec<String>>;

    /// Removes an image that was made by [`Self::ensure`] and that nothing uses any more.
    async fn remove(&self, artifact: &Artifact) -> PortResult<()>;
}
