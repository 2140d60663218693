//! Things shown on GitHub, and the words GitHub has for their states.

use serde::{Deserialize, Serialize};

/// What kind of thing is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SurfaceKind {
    Comment,
    Check,
    Deployment,
    DeploymentStatus,
}

impl SurfaceKind {
    /// Its name as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Comment => "comment",
            Self::Check => "check",
            Self::Deployment => "deployment",
            Self::DeploymentStatus => "deployment_status",
        }
    }
}

/// One shown thing of a stage: the comment is one for its whole life, the rest one a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SurfaceKey {
    pub kind: SurfaceKind,
    /// Empty for the comment, the deploy's commit and generation for the rest.
    pub key: String,
}

/// State of a check run: GitHub's `status` and `conclusion` in one.
///
/// Source: GitHub REST, "Create a check run".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    Queued,
    InProgress,
    Success,
    Failure,
    Neutral,
    Cancelled,
    Skipped,
    ActionRequired,
}

/// State of a deployment. A transient deployment set `Inactive` shows as destroyed.
///
/// Source: GitHub REST, "Create a deployment status".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    Queued,
    InProgress,
    Success,
    Failure,
    Error,
    Inactive,
}

impl DeploymentState {
    /// As GitHub's API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Inactive => "inactive",
        }
    }
}

/// GitHub's eight reactions, those that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    Eyes,
    Rocket,
    Confused,
    ThumbsUp,
    ThumbsDown,
}

impl Reaction {
    /// As GitHub's API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eyes => "eyes",
            Self::Rocket => "rocket",
            Self::Confused => "confused",
            Self::ThumbsUp => "+1",
            Self::ThumbsDown => "-1",
        }
    }
}

/// What an account may do in a repository, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    None,
    Read,
    Triage,
    Write,
    Maintain,
    Admin,
}
