//! Where stages run.

use async_trait::async_trait;

use super::{PortResult, Progress};
use crate::model::{
    Addressing, Artifact, Generation, Observed, Output, Resource, ServiceName, ServiceSpec, StageId, StageSpec,
    VersionKey,
};

/// One service of a stage on its way to a version.
#[derive(Debug, Clone, Copy)]
pub struct Rollout<'a> {
    pub stage: &'a StageSpec,
    pub service: &'a ServiceSpec,
    pub artifact: &'a Artifact,
    pub version: &'a VersionKey,
    pub generation: Generation,
}

/// What to ensure of a rollout, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The one-off command ran to its end with exit code 0, once for this version.
    Migrate,
    /// The version runs beside what serves, and is healthy. `Output::Version`.
    Start,
    /// The traffic goes to the version; what served before still finishes its requests.
    Shift,
    /// The public address answers through the public door with the wanted status, from this very
    /// version. `Output::Answered`, or `Output::Running` for a service without an address.
    Check,
    /// Every version of the service that does not serve is drained and gone. Also called after a
    /// failed start, when the version that serves is the old one or none.
    Retire,
}

/// A target that stages run on.
#[async_trait]
pub trait Cloud: Send + Sync + 'static {
    /// How addresses are written here.
    fn addressing(&self) -> Addressing;

    /// Whether this target may run the repository's code at all; `Denied` with the way out if not.
    async fn admits(&self, stage: &StageId) -> PortResult<()>;

    /// What exists of the stage, read from the target itself.
    async fn observe(&self, stage: &StageId) -> PortResult<Observed>;

    /// Moves a rollout one step on. A failure of the user's code is `PortError::Failed` with exit
    /// code and last log lines.
    async fn ensure(&self, phase: Phase, rollout: &Rollout<'_>) -> PortResult<Progress<Output>>;

    /// Removes one thing of a stage. Absent is success.
    async fn remove(&self, stage: &StageId, resource: &Resource) -> PortResult<Progress<()>>;

    /// Every stage of which anything exists here, for the sweeper.
    async fn stages(&self) -> PortResult<Vec<StageId>>;

    /// The last lines that the service's serving version printed, oldest first.
    async fn logs(&self, stage: &StageId, service: &ServiceName, lines: usize) -> PortResult<Vec<String>>;
}
