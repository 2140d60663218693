//! What tests look at: the world as it stands, without asking over HTTP.

use std::sync::Arc;

use http::HeaderMap;
use secrecy::SecretString;

use super::hook::{self, HookDelivery};
use super::record::{
    Check, Comment, Deployment, DeploymentStatus, Environment, Pull, ReactionRecord, Repo, ReviewComment, ReviewRecord,
};
use super::serve::{Sandbox, SandboxError};
use super::transcript::{Exchange, RequestCounts};
use crate::model::{Branch, CommitSha, PullNumber, RepoId, RepoName, RepoSeen, UserId};

impl Sandbox {
    fn of<T: Default>(&self, repo: &RepoName, read: impl FnOnce(&Repo) -> T) -> T {
        self.shared.world().repo(repo).map(read).unwrap_or_default()
    }

    /// A pull request as it is now.
    pub fn pull(&self, repo: &RepoName, number: PullNumber) -> Option<Pull> {
        self.shared.world().pull(repo, number).cloned()
    }

    /// The commit that a branch is at.
    pub fn branch_head(&self, repo: &RepoName, branch: &str) -> Option<CommitSha> {
        self.of(repo, |repo| repo.branches.get(&Branch(branch.to_owned())).cloned())
    }

    /// The comments of a pull request, oldest first.
    pub fn comments(&self, repo: &RepoName, number: PullNumber) -> Vec<Comment> {
        self.of(repo, |repo| repo.comments.values().filter(|comment| comment.pull == number).cloned().collect())
    }

    /// The reactions to a comment.
    pub fn reactions(&self, repo: &RepoName, comment: u64) -> Vec<ReactionRecord> {
        self.of(repo, |repo| repo.comments.get(&comment).map_or_else(Vec::new, |comment| comment.reactions.clone()))
    }

    /// The reactions to a comment at a line of the changes.
    pub fn review_comment_reactions(&self, repo: &RepoName, comment: u64) -> Vec<ReactionRecord> {
        self.of(repo, |repo| {
            repo.review_comments.get(&comment).map_or_else(Vec::new, |comment| comment.reactions.clone())
        })
    }

    /// The reviews of a pull request, oldest first.
    pub fn reviews(&self, repo: &RepoName, number: PullNumber) -> Vec<ReviewRecord> {
        self.of(repo, |repo| repo.reviews.values().filter(|review| review.pull == number).cloned().collect())
    }

    /// The comments at lines of a pull request's changes, oldest first.
    pub fn review_comments(&self, repo: &RepoName, number: PullNumber) -> Vec<ReviewComment> {
        self.of(repo, |repo| repo.review_comments.values().filter(|comment| comment.pull == number).cloned().collect())
    }

    /// The check runs of a commit, oldest first.
    pub fn checks(&self, repo: &RepoName, sha: &CommitSha) -> Vec<Check> {
        self.of(repo, |repo| repo.checks.values().filter(|check| check.sha == *sha).cloned().collect())
    }

    /// The deployments of a repository, oldest first.
    pub fn deployments(&self, repo: &RepoName) -> Vec<Deployment> {
        self.of(repo, |repo| repo.deployments.values().cloned().collect())
    }

    /// The statuses of a deployment, oldest first.
    pub fn statuses(&self, repo: &RepoName, deployment: u64) -> Vec<DeploymentStatus> {
        self.of(repo, |repo| repo.deployments.get(&deployment).map_or_else(Vec::new, |found| found.statuses.clone()))
    }

    /// The environments of a repository, by name.
    pub fn environments(&self, repo: &RepoName) -> Vec<Environment> {
        self.of(repo, |repo| repo.environments.values().cloned().collect())
    }

    /// The numeric id of an account that has done something here.
    pub fn user_id(&self, login: &str) -> Option<UserId> {
        self.shared.world().accounts.get(login).map(|account| UserId(account.id))
    }

    /// The login under which the app writes.
    pub fn app_login(&self) -> String {
        self.shared.world().app.bot.login.clone()
    }

    /// Every attempt to deliver an event, in the order in which they were made.
    pub fn deliveries(&self) -> Vec<HookDelivery> {
        self.shared.world().hooks.deliveries.clone()
    }

    /// The signed headers that a delivery carries, to send it by other means.
    pub fn delivery_headers(&self, delivery: &HookDelivery) -> HeaderMap {
        let world = self.shared.world();
        world.hooks.target.as_ref().map_or_else(HeaderMap::new, |target| hook::headers(delivery, &target.secret))
    }

    /// Everything that was asked and answered so far.
    pub fn requests(&self) -> Vec<Exchange> {
        self.shared.world().transcript.exchanges.clone()
    }

    /// How often each endpoint was asked so far.
    pub fn counts(&self) -> RequestCounts {
        self.shared.world().transcript.counts.clone()
    }

    /// Forgets what was asked so far.
    pub fn forget_requests(&self) {
        let transcript = &mut self.shared.world().transcript;
        transcript.exchanges.clear();
        transcript.counts = RequestCounts::default();
    }

    /// A repository as everybody is told of it.
    pub fn repo_seen(&self, repo: &RepoName) -> Option<RepoSeen> {
        let world = self.shared.world();
        let repo = world.repo(repo)?;
        Some(RepoSeen { id: RepoId(repo.id), owner: UserId(repo.owner.id), name: repo.name.clone() })
    }

    /// A token for one repository with all that the app may do. A workflow's job has another:
    /// [`Sandbox::job_token`].
    pub fn installation_token(&self, repo: &RepoName) -> Result<SecretString, SandboxError> {
        let mut world = self.shared.world();
        let found = world.repo(repo).filter(|repo| repo.installed);
        let id = found.ok_or_else(|| SandboxError::Unknown(repo.to_string()))?.id;
        let grants = world.app.grants.clone();
        Ok(SecretString::from(world.grant(repo.owner(), Some(vec![id]), grants).0))
    }

    /// GitHub's number of a repository.
    pub fn repo_number(&self, repo: &RepoName) -> Option<u64> {
        self.shared.world().repo(repo).map(|repo| repo.id)
    }

    /// The files at a commit whose paths begin so, by path.
    pub fn files_at(&self, sha: &CommitSha, begin: &str) -> Vec<(String, Arc<[u8]>)> {
        let world = self.shared.world();
        let files = world.commits.get(sha).into_iter().flat_map(|commit| commit.tree.iter());
        files.filter(|(path, _)| path.starts_with(begin)).map(|(path, bytes)| (path.clone(), bytes.clone())).collect()
    }

    /// The bytes of a file at a commit.
    pub fn file_at(&self, sha: &CommitSha, path: &str) -> Option<Arc<[u8]>> {
        self.shared.world().commits.get(sha)?.tree.get(path).cloned()
    }
}
