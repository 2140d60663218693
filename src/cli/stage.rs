//! How a command says which stage it is about, and what that is to run.

use anyhow::Context as _;
use clap::Args;

use super::ExitStatus;
use crate::model::{Branch, Commit, CommitSha, PullNumber, RepoName, StageId, StageName, Target};
use crate::port::Store;

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
    /// The stage as it is known here, whatever its repository is called today.
    pub(super) async fn id(self, store: &dyn Store) -> anyhow::Result<StageId> {
        Ok(StageId { repo: key_of(store, &self.repo).await?, name: self.name })
    }
}

/// As what the repository is known here that was named, if one was.
pub(super) async fn only_of(store: &dyn Store, repo: Option<&RepoName>) -> anyhow::Result<Option<RepoName>> {
    match repo {
        Some(repo) => key_of(store, repo).await.map(Some),
        None => Ok(None),
    }
}

/// As what a repository is known here: it is called by GitHub's name of today, or by the one it has here for
/// life.
async fn key_of(store: &dyn Store, repo: &RepoName) -> anyhow::Result<RepoName> {
    let unread = "cannot read which repository that is";
    let Some(key) = store.called(repo).await.context(unread)? else { return Ok(repo.clone()) };
    let other = if key == *repo { None } else { store.known(repo).await.context(unread)? };
    let Some(other) = other else { return Ok(key) };
    // Never guessed: something may be about to be removed.
    let or = other.name.map_or_else(String::new, |name| format!(", or {name} for the other one"));
    let message = format!(
        "{repo} is the name of one repository today and was that of another: write {key} for the one that \
         GitHub calls so today{or}"
    );
    Err(ExitStatus::Usage.error(message))
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
