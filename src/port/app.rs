//! What only an App can ask of GitHub: about all of its installations, and about its own webhook.

use async_trait::async_trait;

use super::PortResult;
use crate::model::{RepoSeen, Timestamp};

/// One webhook delivery as GitHub remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    /// GitHub's number of the attempt, used to have it sent again.
    pub id: u64,
    /// The delivery's id, the same for every attempt.
    pub guid: String,
    /// Whether we answered with a 2xx.
    pub arrived: bool,
    /// Milliseconds since 1970.
    pub at: Timestamp,
}

/// The App at a code host, beside what each repository is told and asked ([`Forge`](super::Forge)).
///
/// Who stands on the token of one job has none: the engine's duties that want one rest then.
#[async_trait]
pub trait AppForge: Send + Sync + 'static {
    /// The repositories that the app is installed on, by name.
    async fn repositories(&self) -> PortResult<Vec<RepoSeen>>;

    /// The webhook deliveries since a time, every attempt of each.
    async fn deliveries(&self, since: Timestamp) -> PortResult<Vec<DeliveryReport>>;

    /// Has GitHub send a delivery again.
    async fn redeliver(&self, id: u64) -> PortResult<()>;
}
