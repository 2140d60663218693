//! What keeps a stage as it is, and who waits for it.

use serde::{Deserialize, Serialize};

use super::{Asked, PullNumber, ReceiptKey, Target, Timestamp, UserId};

/// Keeps a stage as it is, or all stages of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Whose it is; rights go by this.
    pub owner: UserId,
    /// What the owner was called when it was locked; only for showing, and empty where an older
    /// version stored it.
    #[serde(default)]
    pub login: String,
    /// Where it was asked for: with the closing of this pull request the lock is over.
    #[serde(default)]
    pub pull: Option<PullNumber>,
    pub reason: String,
    /// 0 where an older version stored it.
    #[serde(default)]
    pub since: Timestamp,
    /// `None` keeps it until somebody unlocks.
    pub until: Option<Timestamp>,
}

/// What is done to the lock on all stages of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepoLockChange {
    /// It is there from now on, in place of any other.
    Lock(Lock),
    /// There is none any more.
    Unlock,
}

/// A goal that waits until its stage is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub target: Target,
    pub asked: Asked,
    /// The comment that is told what became of it.
    pub receipt: ReceiptKey,
}
