//! Numbers that no two may have at once, such as the priorities of a listener's rules.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::PortResult;

/// Leases numbers. A lease has no end of its own: it is freed with what it was taken for.
#[async_trait]
pub trait Slots: Send + Sync + 'static {
    /// The number that `holder` has in `pool`; if it has none, the lowest free one from 1 to `last`
    /// that is not in `avoid`. `None` when there is none left.
    async fn take_slot(&self, pool: &str, holder: &str, avoid: &BTreeSet<u32>, last: u32) -> PortResult<Option<u32>>;

    /// Gives a number back. Without one it is success.
    async fn free_slot(&self, pool: &str, holder: &str) -> PortResult<()>;

    /// Who has which number in a pool, by number.
    async fn slots(&self, pool: &str) -> PortResult<Vec<(u32, String)>>;
}
