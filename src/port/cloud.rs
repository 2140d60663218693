//! Where stages run.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{PortResult, Progress};
use crate::model::{
    Addressing, Artifact, Generation, Observed, Output, Place, Resource, ResourceChange, ServiceName, ServiceSpec,
    StageId, StageSpec, Unrest, VersionKey,
};

/// A stage and where it lives: enough to find everything of it without its configuration.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    pub stage: &'a StageId,
    pub place: &'a Place,
}

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
    /// Beside what serves, one copy of the version has had its share of the traffic for as long as
    /// the service asks ([`ServiceSpec::canary`]), without failing. Nothing else has changed.
    Canary,
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

    /// What is wrong with a stage that this target cannot run as it is written, in sentences.
    fn objections(&self, _spec: &StageSpec) -> Vec<String> {
        Vec::new()
    }

    /// What [`Self::prepare`] would make for the stage, as a hash; `None` where there is nothing to
    /// make. A stage whose [`Observed::blueprint`] is the same needs no preparing.
    fn blueprint(&self, _spec: &StageSpec) -> Option<String> {
        None
    }

    /// Makes what the stage needs besides its programs, running beside its builds. What runs
    /// already goes on running.
    async fn prepare(&self, _spec: &StageSpec) -> PortResult<Progress<Output>> {
        Ok(Progress::Done(Output::Nothing))
    }

    /// What [`Self::prepare`] would change, for the reader of a plan.
    async fn changes(&self, _spec: &StageSpec) -> PortResult<Vec<ResourceChange>> {
        Ok(Vec::new())
    }

    /// What exists of the stage, read from the target itself.
    async fn observe(&self, site: Site<'_>) -> PortResult<Observed>;

    /// Everything that exists of the stage, in the order in which it can be removed. More to ask for
    /// than [`Self::observe`] on some targets, so it is asked only when the stage goes.
    async fn inventory(&self, site: Site<'_>) -> PortResult<Vec<Resource>> {
        Ok(self.observe(site).await?.resources)
    }

    /// Moves a rollout one step on. A failure of the user's code is `PortError::Failed` with exit
    /// code and last log lines.
    async fn ensure(&self, phase: Phase, rollout: &Rollout<'_>) -> PortResult<Progress<Output>>;

    /// Removes one thing of a stage. Absent is success.
    async fn remove(&self, site: Site<'_>, resource: &Resource) -> PortResult<Progress<()>>;

    /// Every stage of which anything exists, at the target's own place and where these stages live,
    /// for the sweeper. A place that cannot be read hides none of the others.
    async fn stages(&self, known: &[(StageId, Place)]) -> PortResult<Vec<(StageId, Place)>>;

    /// What a living stage has piled up and nothing needs any more; [`Self::remove`] takes it. `used`
    /// are the digests that its releases name.
    async fn surplus(&self, _site: Site<'_>, _used: &BTreeSet<String>) -> PortResult<Vec<Resource>> {
        Ok(Vec::new())
    }

    /// Services whose live version does not run as it should, or did not for a while since it went live;
    /// what is not known is not told.
    async fn unrest(&self, _site: Site<'_>) -> PortResult<Vec<Unrest>> {
        Ok(Vec::new())
    }

    /// Waits until something has become of a stage by itself that [`Self::unrest`] tells. A target that
    /// sees nothing by itself waits for ever.
    async fn news(&self) -> StageId {
        std::future::pending().await
    }

    /// The last lines that the service's serving version printed, oldest first.
    async fn logs(&self, site: Site<'_>, service: &ServiceName, lines: usize) -> PortResult<Vec<String>>;
}
