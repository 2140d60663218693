//! Which commit a pull request was at, as we saw it ourselves.
//!
//! A commit's own dates are its author's to choose; only the time at which we learned of it tells
//! what somebody who wrote a comment can have seen.

use serde::{Deserialize, Serialize};

use super::{CommitSha, PullNumber, RepoName, Timestamp, UserId};

/// A head of a pull request, with when we learned of it.
///
/// `at` must never be earlier than the head's true beginning by GitHub's clock: a witness that is
/// late is refused where it could have been allowed, one that is early would bind to the unseen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    pub repo: RepoName,
    pub pull: PullNumber,
    pub sha: CommitSha,
    /// When we learned of it, or when GitHub says that it changed the pull request, whichever is
    /// later: the head was there by then, perhaps earlier.
    pub at: Timestamp,
    /// Who pushed it, where the event that showed it says so.
    pub pusher: Option<UserId>,
}
