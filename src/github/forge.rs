//! [`Forge`] by GitHub: each call where it is made, on one page.

use std::sync::Arc;

use async_trait::async_trait;

use super::api::Api;
use super::key::AppKey;
use super::settings::{GitHubSettings, SetupError, TokenSettings};
use super::{check, comment, delivery, deployment, evidence, installed, read, source, team};
use crate::model::{
    Actor, Branch, Changed, Checks, CommentSource, CommitSha, ExternalId, Permission, PullNumber, PullRequest,
    Reaction, RepoFacts, RepoId, RepoName, RepoSeen, Review, StageName, Timestamp, UserId,
};
use crate::port::{
    AppForge, CheckRun, DeliveryReport, DeploymentRequest, DeploymentUpdate, Forge, PortResult, StickyComment,
    TarballStream,
};

/// GitHub as one App sees it, or one job of a workflow.
pub struct GitHub {
    pub(super) api: Api,
}

impl GitHub {
    /// Asks nothing yet. Must be called inside a Tokio runtime.
    pub fn new(settings: &GitHubSettings) -> Result<Self, SetupError> {
        let key = AppKey::from_pem(settings.app_id, &settings.private_key)?;
        Self::with_key(settings, key)
    }

    pub(super) fn with_key(settings: &GitHubSettings, key: AppKey) -> Result<Self, SetupError> {
        Ok(Self { api: Api::of_app(settings, key)? })
    }

    /// Stands on the token of one job, for exactly one repository: a call for another one is
    /// [`Denied`](crate::port::PortError::Denied) and not sent, as everything is that takes an App. Asks nothing
    /// yet. Must be called inside a Tokio runtime.
    pub fn with_token(settings: &TokenSettings) -> Result<Self, SetupError> {
        Ok(Self { api: Api::of_job(settings)? })
    }
}

#[async_trait]
impl Forge for GitHub {
    fn only(&self, repo: RepoId) -> Arc<dyn Forge> {
        Arc::new(Self { api: self.api.only(repo) })
    }

    async fn repository(&self, repo: &RepoName) -> PortResult<RepoFacts> {
        read::repository(&self.api, repo).await
    }

    async fn branch_head(&self, repo: &RepoName, branch: &Branch) -> PortResult<Option<CommitSha>> {
        read::branch_head(&self.api, repo, branch).await
    }

    async fn pull_request(&self, repo: &RepoName, number: PullNumber) -> PortResult<PullRequest> {
        read::pull_request(&self.api, repo, number).await
    }

    async fn open_pull_requests(&self, repo: &RepoName) -> PortResult<Vec<PullRequest>> {
        read::open_pull_requests(&self.api, repo).await
    }

    async fn file_at(&self, repo: &RepoName, sha: &CommitSha, path: &str) -> PortResult<Option<Vec<u8>>> {
        read::file_at(&self.api, repo, sha, path).await
    }

    async fn changed_files(&self, repo: &RepoName, base: &CommitSha, head: &CommitSha) -> PortResult<Changed> {
        read::changed_files(&self.api, repo, base, head).await
    }

    async fn permission(&self, repo: &RepoName, login: &str, id: UserId) -> PortResult<Permission> {
        read::permission(&self.api, repo, login, id).await
    }

    async fn account(&self, repo: &RepoName, login: &str) -> PortResult<Actor> {
        read::account(&self.api, repo, login).await
    }

    async fn is_in_team(&self, repo: &RepoName, team: &str, login: &str, id: UserId) -> PortResult<bool> {
        team::is_in_team(&self.api, repo, team, login, id).await
    }

    async fn reviews(&self, repo: &RepoName, number: PullNumber) -> PortResult<Vec<Review>> {
        evidence::reviews(&self.api, repo, number).await
    }

    async fn checks(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<Checks> {
        evidence::checks(&self.api, repo, sha).await
    }

    async fn behind_by(&self, repo: &RepoName, branch: &Branch, sha: &CommitSha) -> PortResult<u32> {
        evidence::behind_by(&self.api, repo, branch, sha).await
    }

    async fn tarball(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<TarballStream> {
        source::tarball(&self.api, repo, sha).await
    }

    async fn publish_comment(&self, comment: &StickyComment<'_>) -> PortResult<ExternalId> {
        comment::publish(&self.api, comment).await
    }

    async fn publish_check(&self, check: &CheckRun<'_>) -> PortResult<ExternalId> {
        check::publish(&self.api, check).await
    }

    async fn ensure_deployment(&self, request: &DeploymentRequest<'_>) -> PortResult<ExternalId> {
        deployment::ensure(&self.api, request).await
    }

    async fn publish_deployment_status(&self, update: &DeploymentUpdate<'_>) -> PortResult<()> {
        deployment::publish_status(&self.api, update).await
    }

    async fn remove_environment(&self, repo: &RepoName, environment: &StageName) -> PortResult<()> {
        deployment::remove_environment(&self.api, repo, environment).await
    }

    async fn react(&self, repo: &RepoName, source: CommentSource, comment: u64, reaction: Reaction) -> PortResult<()> {
        comment::react(&self.api, repo, source, comment, reaction).await
    }
}

#[async_trait]
impl AppForge for GitHub {
    async fn repositories(&self) -> PortResult<Vec<RepoSeen>> {
        installed::repositories(&self.api).await
    }

    async fn deliveries(&self, since: Timestamp) -> PortResult<Vec<DeliveryReport>> {
        delivery::list(&self.api, since).await
    }

    async fn redeliver(&self, id: u64) -> PortResult<()> {
        delivery::redeliver(&self.api, id).await
    }
}
