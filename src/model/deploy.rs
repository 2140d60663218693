//! Deploys and releases: what was tried, and what was verified live.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Artifact, CommitSha, DeployId, Generation, Plan, ServiceName, StageId, Timestamp};

/// One attempt to take a stage to a goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    pub id: DeployId,
    pub plan: Plan,
    pub started_at: Timestamp,
    /// `None` while it runs.
    pub ended: Option<(Timestamp, Outcome)>,
}

/// A deploy before it has a row.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDeploy {
    pub plan: Plan,
    pub started_at: Timestamp,
}

/// How a deploy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Verified live.
    Live,
    /// A step failed; what served before still serves.
    Failed,
    /// A newer goal took its place.
    Superseded { by: Generation },
    /// The stage is gone with nothing left.
    Gone { removed: u32 },
}

/// A goal that was verified live: what rollback and promotion use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub stage: StageId,
    pub deploy: DeployId,
    pub generation: Generation,
    pub sha: CommitSha,
    /// Digest of the resolved configuration.
    pub digest: String,
    pub artifacts: BTreeMap<ServiceName, Artifact>,
    /// Only these services were brought to the commit, the others run what they ran before; empty
    /// means all of them.
    #[serde(default)]
    pub only: Vec<ServiceName>,
    pub at: Timestamp,
}
