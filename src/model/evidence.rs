//! What a code host tells of a commit and a pull request, for the gates that ask for it.

use super::{Actor, CommitSha, Timestamp};

/// A review of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    pub by: Actor,
    pub state: ReviewState,
    /// The commit that they looked at.
    pub sha: CommitSha,
    pub at: Timestamp,
}

/// What a review says. Source: GitHub REST, "List reviews for a pull request", `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewState {
    Approved,
    ChangesRequested,
    /// Taken back, by whomever.
    Dismissed,
    /// Neither for nor against; what the person said before stands.
    Commented,
}

/// Every check of one commit: check runs and commit statuses, all pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks {
    pub sha: CommitSha,
    pub runs: Vec<CheckResult>,
}

/// One run of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    pub name: String,
    pub app: CheckApp,
    /// Of two runs of one app and name the one with the higher number is the newer.
    pub number: u64,
    pub outcome: CheckOutcome,
}

/// Who made a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckApp {
    /// Greenroom: it does not wait for itself.
    Ourselves,
    /// Another GitHub App, by its id.
    App(u64),
    /// A commit status.
    Status,
}

/// How a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    Passed,
    Failed,
    Running,
    /// A word of GitHub's that we do not know.
    Unknown,
}

impl CheckOutcome {
    /// Of a check run. Source: GitHub REST, "List check runs for a Git reference"; and "About
    /// status checks": success, skipped and neutral let a required check pass.
    pub fn of_run(status: &str, conclusion: Option<&str>) -> Self {
        match (status, conclusion) {
            ("completed", Some("success" | "skipped" | "neutral")) => Self::Passed,
            (
                "completed",
                Some("failure" | "cancelled" | "timed_out" | "action_required" | "stale" | "startup_failure"),
            ) => Self::Failed,
            ("queued" | "in_progress" | "waiting" | "requested" | "pending", _) => Self::Running,
            _ => Self::Unknown,
        }
    }

    /// Of a commit status. Source: GitHub REST, "List commit statuses for a reference", `state`.
    pub fn of_status(state: &str) -> Self {
        match state {
            "success" => Self::Passed,
            "failure" | "error" => Self::Failed,
            "pending" => Self::Running,
            _ => Self::Unknown,
        }
    }
}
