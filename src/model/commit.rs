//! A commit as a goal names it: with where it came from.

use serde::{Deserialize, Serialize};

use super::{Branch, CommitSha, PullNumber};

/// A commit with its origin, which goes with it into every goal that is made of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Commit {
    pub sha: CommitSha,
    /// `None` where only a commit was named: on the command line, or by an older version.
    pub came_by: Option<CameBy>,
}

/// The way by which a commit came to a stage first. Whoever asks for it again, and on which pull
/// request, makes a stranger's commit no less a stranger's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CameBy {
    Branch(Branch),
    PullRequest(PullNumber),
}

impl Commit {
    /// A commit of which nothing else was said.
    pub fn named(sha: CommitSha) -> Self {
        Self { sha, came_by: None }
    }
}

impl CameBy {
    /// The pull request, if it was one.
    pub fn pull(&self) -> Option<PullNumber> {
        match self {
            Self::PullRequest(number) => Some(*number),
            Self::Branch(_) => None,
        }
    }
}

/// As it is kept; a bare commit is what versions before knew.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Named(CommitSha),
    Known { sha: CommitSha, came_by: CameBy },
}

impl From<Stored> for Commit {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Named(sha) => Self::named(sha),
            Stored::Known { sha, came_by } => Self { sha, came_by: Some(came_by) },
        }
    }
}

impl From<Commit> for Stored {
    fn from(Commit { sha, came_by }: Commit) -> Self {
        match came_by {
            None => Self::Named(sha),
            Some(came_by) => Self::Known { sha, came_by },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;

    #[test]
    fn a_goal_keeps_its_origin_and_one_of_an_older_version_is_read() {
        let sha = CommitSha::new("a".repeat(40)).expect("a sha");
        let named = Target::Commit(Commit::named(sha.clone()));
        let old = format!(r#"{{"commit":"{sha}"}}"#);
        assert_eq!(serde_json::from_str::<Target>(&old).ok(), Some(named.clone()));
        let by = |came_by| Target::Commit(Commit { sha: sha.clone(), came_by: Some(came_by) });
        for goal in [named, by(CameBy::PullRequest(PullNumber(7))), by(CameBy::Branch(Branch("main".into())))] {
            let stored = serde_json::to_string(&goal).expect("it is stored");
            assert_eq!(serde_json::from_str::<Target>(&stored).ok(), Some(goal), "{stored}");
        }
    }
}
