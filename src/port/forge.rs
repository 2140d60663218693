//! GitHub, as far as the engine needs it.

use std::sync::Arc;

use async_trait::async_trait;

use super::{PortResult, TarballStream};
use crate::model::{
    Actor, Branch, Changed, CheckState, Checks, CommentSource, CommitSha, DeploymentState, ExternalId, Permission,
    PullNumber, PullRequest, Reaction, RepoFacts, RepoId, RepoName, Review, StageName, UserId,
};

/// The one comment of a stage.
#[derive(Debug, Clone, Copy)]
pub struct StickyComment<'a> {
    pub repo: &'a RepoName,
    pub pull: PullNumber,
    /// What GitHub called it when it was made; `None` looks for the marker first.
    pub id: Option<&'a ExternalId>,
    /// The first characters of its body, hidden from the reader: `<!-- greenroom:pr-42 `.
    pub marker: &'a str,
    pub body: &'a str,
}

/// A check run of one commit.
#[derive(Debug, Clone, Copy)]
pub struct CheckRun<'a> {
    pub repo: &'a RepoName,
    pub sha: &'a CommitSha,
    /// What GitHub called it when it was made; `None` looks for `key` first.
    pub id: Option<&'a ExternalId>,
    /// Our own name of it, GitHub's `external_id`.
    pub key: &'a str,
    /// `greenroom / pr-42`
    pub name: &'a str,
    pub state: CheckState,
    pub title: &'a str,
    /// Markdown, at most 65,535 characters.
    pub summary: &'a str,
    pub details_url: Option<&'a str>,
}

/// A deployment of one commit to one environment.
#[derive(Debug, Clone, Copy)]
pub struct DeploymentRequest<'a> {
    pub repo: &'a RepoName,
    pub sha: &'a CommitSha,
    /// The environment is the stage's name.
    pub environment: &'a StageName,
    /// Kept in the deployment's payload; an existing one with the same key is answered instead.
    pub key: &'a str,
    pub lifetime: EnvironmentLifetime,
}

/// Whether an environment comes and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentLifetime {
    /// GitHub's `transient_environment`.
    Transient,
    /// GitHub's `production_environment`.
    Production,
    /// Neither.
    Permanent,
}

/// A new status of a deployment.
#[derive(Debug, Clone, Copy)]
pub struct DeploymentUpdate<'a> {
    pub repo: &'a RepoName,
    pub deployment: &'a ExternalId,
    pub state: DeploymentState,
    /// At most 140 characters.
    pub description: &'a str,
    pub environment_url: Option<&'a str>,
    pub log_url: Option<&'a str>,
}

/// A code host, as far as the token of one repository reaches; what takes an App is
/// [`AppForge`](super::AppForge).
///
/// Reads answer `NotFound` for what is not there (where the type has no better word) and `Denied`
/// for what the token may not see. Publishing something that GitHub refuses is `Denied` or
/// `NotFound`; the engine then skips that surface with one warning.
#[async_trait]
pub trait Forge: Send + Sync + 'static {
    /// The same for one repository alone, by GitHub's number: nothing is written to another one that has its
    /// name by now, and of that one no more is read than anybody can. What it is refused is `NotFound` or
    /// `Denied`.
    fn only(&self, repo: RepoId) -> Arc<dyn Forge>;

    /// The repository that has this name now, and the branch that holds its policy.
    async fn repository(&self, repo: &RepoName) -> PortResult<RepoFacts>;

    /// The commit a branch is at; `None` when there is no such branch.
    async fn branch_head(&self, repo: &RepoName, branch: &Branch) -> PortResult<Option<CommitSha>>;

    /// A pull request as it is now.
    async fn pull_request(&self, repo: &RepoName, number: PullNumber) -> PortResult<PullRequest>;

    /// All open pull requests.
    async fn open_pull_requests(&self, repo: &RepoName) -> PortResult<Vec<PullRequest>>;

    /// A file's bytes at a commit; `None` when there is no such file.
    async fn file_at(&self, repo: &RepoName, sha: &CommitSha, path: &str) -> PortResult<Option<Vec<u8>>>;

    /// The files that differ between two commits.
    async fn changed_files(&self, repo: &RepoName, base: &CommitSha, head: &CommitSha) -> PortResult<Changed>;

    /// What an account may do, asked by its login and confirmed by its numeric id.
    async fn permission(&self, repo: &RepoName, login: &str, id: UserId) -> PortResult<Permission>;

    /// The account of that login, as the installation on the repository sees it.
    async fn account(&self, repo: &RepoName, login: &str) -> PortResult<Actor>;

    /// Whether an account is a member of a team of the repository's organisation, or of a team below
    /// it; asked by its login and confirmed by its numeric id. `NotFound` where there is no such team.
    async fn is_in_team(&self, repo: &RepoName, team: &str, login: &str, id: UserId) -> PortResult<bool>;

    /// Every review of a pull request that was handed in, in the order in which it was.
    async fn reviews(&self, repo: &RepoName, number: PullNumber) -> PortResult<Vec<Review>>;

    /// Every check run and commit status of a commit, reruns included. Half a list is an error.
    async fn checks(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<Checks>;

    /// How many commits of a branch a commit does not have.
    async fn behind_by(&self, repo: &RepoName, branch: &Branch, sha: &CommitSha) -> PortResult<u32>;

    /// The source of exactly that commit.
    async fn tarball(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<TarballStream>;

    /// Makes or edits the comment, and answers its id. An edited comment that is gone is made anew.
    async fn publish_comment(&self, comment: &StickyComment<'_>) -> PortResult<ExternalId>;

    /// Makes or updates the check run, and answers its id.
    async fn publish_check(&self, check: &CheckRun<'_>) -> PortResult<ExternalId>;

    /// Makes the deployment unless there is one with its key, and answers its id.
    async fn ensure_deployment(&self, request: &DeploymentRequest<'_>) -> PortResult<ExternalId>;

    /// Adds a status unless the newest one already says the same.
    async fn publish_deployment_status(&self, update: &DeploymentUpdate<'_>) -> PortResult<()>;

    /// Sets every deployment of the environment inactive and deletes the environment. Absent is
    /// success; a missing permission is `Denied`.
    async fn remove_environment(&self, repo: &RepoName, environment: &StageName) -> PortResult<()>;

    /// Adds a reaction to what somebody wrote; one that is there already is success, and so is a
    /// review, which takes none.
    async fn react(&self, repo: &RepoName, source: CommentSource, comment: u64, reaction: Reaction) -> PortResult<()>;
}
