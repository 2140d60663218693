//! Why a workflow of GitHub Actions runs, and what it was asked to do.

use std::collections::BTreeMap;

use super::{Branch, CommitSha, Event, PullNumber, RepoSeen, ServiceName, StageName};

/// What the event file of a run tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    /// The repository that the file speaks of; some events' files name none.
    pub repo: Option<RepoSeen>,
    pub cause: Cause,
}

/// What made the workflow run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// What a webhook would have told as well.
    Told(Box<Event>, Rights),
    /// An event that is known and changes no stage, with why not.
    Quiet(&'static str),
    /// A review, or a comment in one: its workflow is read from the merge of the pull request.
    Review,
    Schedule,
    /// Somebody started it by hand or by the API, with these words.
    Dispatch {
        words: BTreeMap<String, String>,
        branch: Option<Branch>,
    },
    /// Anything else, by its name.
    Foreign(String),
}

/// What the run's token may do, as far as the event says it.
///
/// Source: GitHub Docs, "Events that trigger workflows", `pull_request`: from a fork, and where Dependabot
/// caused the run, the token may only read and there are no secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// What the workflow's `permissions` say.
    AsGranted,
    /// The pull request comes from a fork.
    ReadOfFork,
    /// Dependabot caused the run.
    ReadOfDependabot,
}

/// What the runner says of the run, whatever its event file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    pub repo: RepoSeen,
    /// The name of the event: `pull_request`.
    pub event: String,
    /// `GITHUB_RUN_ID`, the same for every attempt.
    pub run: u64,
    /// `GITHUB_RUN_ATTEMPT`
    pub attempt: u32,
    /// Where `GITHUB_REF` is a branch.
    pub branch: Option<Branch>,
    /// Where it is the merge of a pull request.
    pub pull: Option<PullNumber>,
    pub sha: Option<CommitSha>,
}

/// What the step was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepWish {
    pub verb: StepVerb,
    /// Another stage than that of the event.
    pub stage: Option<StageName>,
    /// Only these services; empty means all of them.
    pub services: Vec<ServiceName>,
    pub effect: Effect,
}

/// Whether it is done, or only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Done,
    Shown,
}

/// The input `command`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepVerb {
    /// What the event means.
    Auto,
    Deploy,
    Destroy,
    Plan,
    Build,
    Status,
    Sweep,
    Check,
}

impl StepVerb {
    /// All of them, in the order in which they are named.
    pub const ALL: [Self; 8] =
        [Self::Auto, Self::Deploy, Self::Destroy, Self::Plan, Self::Build, Self::Status, Self::Sweep, Self::Check];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Deploy => "deploy",
            Self::Destroy => "destroy",
            Self::Plan => "plan",
            Self::Build => "build",
            Self::Status => "status",
            Self::Sweep => "sweep",
            Self::Check => "check",
        }
    }

    /// The one that is written so.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.word() == word)
    }
}
