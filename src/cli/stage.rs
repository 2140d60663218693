//! How a command says which stage it is about, and what that is to run.

use clap::Args;

use crate::model::{Branch, Commit, CommitSha, PullNumber, RepoName, StageId, StageName, Target};

/// Which stage.
#[derive(Debug, Clone, Args)]
pub(super) struct StageArgs {
    /// The stage's name.
    #[arg(value_name = "STAGE")]
    name: StageName,
    /// Its repository.
    #[arg(long, value_name = "OWNER/NAME")]
    repo: RepoName,
}

impl StageArgs {
    pub(super) fn id(self) -> StageId {
        StageId { repo: self.repo, name: self.name }
    }
}

/// What the stage is to run.
#[derive(Debug, Clone, Args)]
#[group(required = false, multiple = false)]
pub(super) struct TargetArgs {
    /// The head of this pull request.
    #[arg(long, value_name = "NUMBER")]
    pr: Option<u64>,
    /// The head of this branch.
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// This very commit, all 40 digits of it.
    #[arg(long, value_name = "COMMIT")]
    sha: Option<CommitSha>,
}

impl TargetArgs {
    pub(super) fn target(self) -> Option<Target> {
        let pull = self.pr.map(|number| Target::PullRequest(PullNumber(number)));
        pull.or(self.branch.map(|branch| Target::Branch(Branch(branch))))
            .or(self.sha.map(|sha| Target::Commit(Commit::named(sha))))
    }
}
