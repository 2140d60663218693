//! A goal that a person asked for, with everything by which it is judged again when it runs.

use serde::{Deserialize, Serialize};

use super::{Actor, CommitSha, Generation, PullNumber, ServiceName, StageName, Timestamp, Verb};

/// What was asked of a stage, by whom, from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub verb: Verb,
    /// The generation that it made.
    #[serde(default)]
    pub generation: Generation,
    pub by: Actor,
    /// The pull request that was commented on.
    pub pull: PullNumber,
    /// The commit that the command was bound to; what runs is this one or nothing.
    pub sha: Option<CommitSha>,
    /// Where a promotion takes it from.
    pub from: Option<StageName>,
    /// Only these services; empty means all of them.
    #[serde(default)]
    pub services: Vec<ServiceName>,
    pub at: Timestamp,
}
