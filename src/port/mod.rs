//! The edges of the engine as traits. Adapters implement them and know nothing of each other.
//!
//! One vocabulary: `observe` what is, `ensure` that something holds, `remove` it. Each call is
//! idempotent, short and never waits: long work answers [`Progress::Pending`] and is asked again.

mod app;
mod builder;
mod clock;
mod cloud;
mod error;
mod exhaustion;
mod forge;
mod ledger;
mod registry;
mod slots;
mod store;
mod walls;
mod workflows;

pub use app::{AppForge, DeliveryReport};
pub use builder::{BuildJob, Builder, Tarball, TarballStream};
pub use clock::Clock;
pub use cloud::{Cloud, Phase, Rollout, Site};
pub use error::{PortError, PortResult};
pub use exhaustion::is_own_exhaustion;
pub use forge::{CheckRun, DeploymentRequest, DeploymentUpdate, EnvironmentLifetime, Forge, StickyComment};
pub use ledger::Ledger;
pub use registry::{
    CONTENT_DIGITS, Registry, RegistryLogin, Repository, content_tag, is_content_tag, is_tag_of, owner_path,
    repository_path, stage_tag,
};
pub use slots::Slots;
pub use store::{
    Claimed, Held, InboxContent, InboxRow, IntakeWrite, LaneState, NewDelivery, Receipt, StageHistory, Store,
    StoreCounts, SurfaceRecord,
};
pub use walls::Walls;
pub use workflows::{
    Cancellation, Conclusion, Dispatch, Dispatched, RunOrigin, RunStarter, RunState, TreeEntry, WorkflowRun, Workflows,
};

/// What an idempotent call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<T> {
    /// It holds.
    Done(T),
    /// Work goes on elsewhere: ask again after `again_millis`. `note` says what it is at, in a few
    /// words for the pull request: `waiting for the health check`.
    Pending { again_millis: i64, note: String },
}

impl<T> Progress<T> {
    /// The same with another result.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Progress<U> {
        match self {
            Self::Done(result) => Progress::Done(with(result)),
            Self::Pending { again_millis, note } => Progress::Pending { again_millis, note },
        }
    }
}
