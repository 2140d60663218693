//! What is kept of the talk on pull requests: the heads that were witnessed, the lock on a
//! repository, what is owed to comments, and who asked for what.
//!
//! All of it is written by the lane of its repository alone, most of it as a part of
//! [`Store::apply_intake`](super::Store::apply_intake).

use async_trait::async_trait;

use super::{Held, PortResult};
use crate::model::{
    AuditLine, AuditLink, AuditVerdict, CommandReceipt, Generation, Lock, PullNumber, ReceiptKey, RepoName, StageId,
    Timestamp, Witness,
};

/// The part of the database that remembers.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// The newest heads of a pull request in the order in which they were written, newest first, at
    /// most `limit`. The same head twice in a row is one, with the time of its first sighting; a
    /// head that came back after another one is there again.
    async fn witnesses(&self, repo: &RepoName, pull: PullNumber, limit: u32) -> PortResult<Vec<Witness>>;

    /// The lock on all stages of a repository, its end in time not being looked at.
    async fn repo_lock(&self, repo: &RepoName) -> PortResult<Option<Lock>>;

    /// What is owed to one comment.
    async fn receipt(&self, key: &ReceiptKey) -> PortResult<Option<CommandReceipt>>;

    /// The receipts of the held repository of which something is not shown yet, the oldest first, at
    /// most `limit`.
    async fn receipts_due(&self, held: &Held, limit: u32) -> PortResult<Vec<CommandReceipt>>;

    /// The receipts of the held repository that are not settled and bound to a stage, the oldest first,
    /// at most `limit`.
    async fn receipts_bound(&self, held: &Held, limit: u32) -> PortResult<Vec<CommandReceipt>>;

    /// The receipts that are not settled and bound to a stage at this generation or an earlier one:
    /// when a deploy ends, those that it superseded have an end too. The oldest first.
    async fn receipts_of(&self, stage: &StageId, generation: Generation) -> PortResult<Vec<CommandReceipt>>;

    /// Writes receipts of the held repository that are there already, all or none: answers
    /// [`PortError::Stale`](super::PortError::Stale) under an old fence, and refuses one that
    /// [`Store::apply_intake`](super::Store::apply_intake) never made.
    async fn save_receipts(&self, held: &Held, receipts: Vec<CommandReceipt>) -> PortResult<()>;

    /// Forgets heads that were witnessed before a time, except each pull request's newest, and
    /// settled receipts of comments that came before it; answers how many rows it was.
    async fn forget(&self, before: Timestamp) -> PortResult<u64>;

    /// The newest entries of the audit, newest first: of one repository or of all, about one subject
    /// or about any.
    async fn audit(&self, repo: Option<&RepoName>, subject: Option<&str>, limit: u32) -> PortResult<Vec<AuditLine>>;

    /// The repositories of which something is recorded, or was when a receipt was shown, by name.
    async fn audited(&self) -> PortResult<Vec<RepoName>>;

    /// The recorded end of a repository's chain.
    async fn audit_head(&self, repo: &RepoName) -> PortResult<Option<AuditLink>>;

    /// Which entry has this hash. Whether its chain is whole, [`Self::verify_audit`] says.
    async fn audit_place(&self, hash: &str) -> PortResult<Option<(RepoName, i64)>>;

    /// Follows the whole chain of a repository, and says where it is broken, or ends before what was
    /// noted of it with receipts. Entries that are written meanwhile are no fault.
    async fn verify_audit(&self, repo: &RepoName) -> PortResult<AuditVerdict>;
}
