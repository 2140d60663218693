//! GitHub for repositories as they are known here: their names of now on the way out, their keys on
//! the way in.
//!
//! # Guarantees
//!
//! - What is asked about a repository is answered by that very repository or not at all: before each
//!   ruling its number is compared ([`Forge::repository`]), so that a name that somebody else has by now
//!   leads nobody to them.
//! - Nothing is written before the number behind the name was compared once more.
//! - A name changes hands by GitHub's own answer about that name alone. What deliveries and lists call a
//!   repository may be older than what is known: it only says which name to ask about.

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{
    Actor, Branch, Changed, Checks, CommentSource, CommitSha, ExternalId, KnownRepo, Permission, PullNumber,
    PullRequest, Reaction, RepoFacts, RepoName, RepoSeen, Review, StageName, Timestamp, UserId,
};
use crate::port::{
    CheckRun, Clock, DeliveryReport, DeploymentRequest, DeploymentUpdate, Forge, PortError, PortResult, StickyComment,
    Store, TarballStream,
};

/// A [`Forge`] whose repositories have their keys for names.
pub(super) struct ByKey {
    forge: Arc<dyn Forge>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl ByKey {
    pub(super) fn new(forge: Arc<dyn Forge>, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { forge, store, clock }
    }

    /// What GitHub calls it now. What was never seen is called what it is asked by.
    async fn name(&self, key: &RepoName) -> PortResult<RepoName> {
        let Some(mut known) = self.store.known(key).await? else { return Ok(key.clone()) };
        if let Some(rumour) = known.rumour.take() {
            known = self.look_into(known, &rumour).await?;
        }
        known.name.ok_or_else(|| renamed(key))
    }

    /// Asks GitHub whose a name is that the repository may have by now.
    async fn look_into(&self, known: KnownRepo, rumour: &RepoName) -> PortResult<KnownRepo> {
        let owner = match self.forge.repository(rumour).await {
            Ok(facts) => Some(self.store.identify(&facts.seen).await?.id),
            // Nobody's, or of somebody who does not have us there.
            Err(PortError::NotFound { .. } | PortError::Denied { .. }) => None,
            Err(error) => return Err(error),
        };
        if owner != Some(known.id) {
            self.store.dismiss(&known, rumour).await?;
        }
        Ok(self.store.known(&known.key).await?.unwrap_or(known))
    }

    /// What GitHub says of the repository now, and of no other.
    async fn facts(&self, key: &RepoName) -> PortResult<RepoFacts> {
        let facts = self.forge.repository(&self.name(key).await?).await?;
        if self.store.identify(&facts.seen).await?.key == *key { Ok(facts) } else { Err(renamed(key)) }
    }

    /// The name to write under.
    async fn own_name(&self, key: &RepoName) -> PortResult<RepoName> {
        Ok(self.facts(key).await?.seen.name)
    }
}

fn renamed(key: &RepoName) -> PortError {
    PortError::retry(format!("{key} has another name by now, which GitHub has not told yet"))
}

/// The same pull request with keys. A head that only bears the name which we know the repository by
/// is somebody else's.
fn keyed(pull: PullRequest, name: &RepoName, key: &RepoName) -> PullRequest {
    let mut pull = PullRequest { repo: key.clone(), ..pull };
    pull.head.repo = match pull.head.repo {
        Some(head) if head == *name => Some(key.clone()),
        Some(head) if head == *key => None,
        head => head,
    };
    pull
}

#[async_trait]
impl Forge for ByKey {
    async fn repositories(&self) -> PortResult<Vec<RepoSeen>> {
        let mut repos = self.forge.repositories().await?;
        for repo in &mut repos {
            // The first page of a long list is old when the last one comes.
            repo.name = self.store.hear(repo, self.clock.now()).await?;
        }
        Ok(repos)
    }

    async fn repository(&self, repo: &RepoName) -> PortResult<RepoFacts> {
        let facts = self.facts(repo).await?;
        Ok(RepoFacts { seen: RepoSeen { name: repo.clone(), ..facts.seen }, ..facts })
    }

    async fn branch_head(&self, repo: &RepoName, branch: &Branch) -> PortResult<Option<CommitSha>> {
        self.forge.branch_head(&self.name(repo).await?, branch).await
    }

    async fn pull_request(&self, repo: &RepoName, number: PullNumber) -> PortResult<PullRequest> {
        let name = self.name(repo).await?;
        Ok(keyed(self.forge.pull_request(&name, number).await?, &name, repo))
    }

    async fn open_pull_requests(&self, repo: &RepoName) -> PortResult<Vec<PullRequest>> {
        let name = self.name(repo).await?;
        let pulls = self.forge.open_pull_requests(&name).await?;
        Ok(pulls.into_iter().map(|pull| keyed(pull, &name, repo)).collect())
    }

    async fn file_at(&self, repo: &RepoName, sha: &CommitSha, path: &str) -> PortResult<Option<Vec<u8>>> {
        self.forge.file_at(&self.name(repo).await?, sha, path).await
    }

    async fn changed_files(&self, repo: &RepoName, base: &CommitSha, head: &CommitSha) -> PortResult<Changed> {
        self.forge.changed_files(&self.name(repo).await?, base, head).await
    }

    async fn permission(&self, repo: &RepoName, login: &str, id: UserId) -> PortResult<Permission> {
        self.forge.permission(&self.name(repo).await?, login, id).await
    }

    async fn account(&self, repo: &RepoName, login: &str) -> PortResult<Actor> {
        self.forge.account(&self.name(repo).await?, login).await
    }

    async fn is_in_team(&self, repo: &RepoName, team: &str, login: &str, id: UserId) -> PortResult<bool> {
        self.forge.is_in_team(&self.name(repo).await?, team, login, id).await
    }

    async fn reviews(&self, repo: &RepoName, number: PullNumber) -> PortResult<Vec<Review>> {
        self.forge.reviews(&self.name(repo).await?, number).await
    }

    async fn checks(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<Checks> {
        self.forge.checks(&self.name(repo).await?, sha).await
    }

    async fn behind_by(&self, repo: &RepoName, branch: &Branch, sha: &CommitSha) -> PortResult<u32> {
        self.forge.behind_by(&self.name(repo).await?, branch, sha).await
    }

    async fn tarball(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<TarballStream> {
        self.forge.tarball(&self.name(repo).await?, sha).await
    }

    async fn publish_comment(&self, comment: &StickyComment<'_>) -> PortResult<ExternalId> {
        let repo = self.own_name(comment.repo).await?;
        self.forge.publish_comment(&StickyComment { repo: &repo, ..*comment }).await
    }

    async fn publish_check(&self, check: &CheckRun<'_>) -> PortResult<ExternalId> {
        let repo = self.own_name(check.repo).await?;
        self.forge.publish_check(&CheckRun { repo: &repo, ..*check }).await
    }

    async fn ensure_deployment(&self, request: &DeploymentRequest<'_>) -> PortResult<ExternalId> {
        let repo = self.own_name(request.repo).await?;
        self.forge.ensure_deployment(&DeploymentRequest { repo: &repo, ..*request }).await
    }

    async fn publish_deployment_status(&self, update: &DeploymentUpdate<'_>) -> PortResult<()> {
        let repo = self.own_name(update.repo).await?;
        self.forge.publish_deployment_status(&DeploymentUpdate { repo: &repo, ..*update }).await
    }

    async fn remove_environment(&self, repo: &RepoName, environment: &StageName) -> PortResult<()> {
        self.forge.remove_environment(&self.own_name(repo).await?, environment).await
    }

    async fn react(&self, repo: &RepoName, source: CommentSource, comment: u64, reaction: Reaction) -> PortResult<()> {
        self.forge.react(&self.own_name(repo).await?, source, comment, reaction).await
    }

    async fn deliveries(&self, since: Timestamp) -> PortResult<Vec<DeliveryReport>> {
        self.forge.deliveries(since).await
    }

    async fn redeliver(&self, id: u64) -> PortResult<()> {
        self.forge.redeliver(id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ActorKind, HeadRef, PullRequestState};

    #[test]
    fn a_head_with_the_earlier_name_of_a_repository_is_a_strangers() {
        let repo = |name: &str| RepoName::new(name).unwrap();
        let from = |head: &str| {
            let head = HeadRef {
                repo: Some(repo(head)),
                branch: Branch("topic".into()),
                sha: CommitSha::new("a".repeat(40)).unwrap(),
            };
            let author = Actor { id: UserId(1), login: "ada".into(), kind: ActorKind::Person };
            let (title, labels, base) = (String::new(), Vec::new(), Branch("main".into()));
            let (number, state) = (PullNumber(1), PullRequestState::Open);
            let pull = PullRequest { repo: repo("new/shop"), number, title, author, head, base, state, labels };
            keyed(pull, &repo("new/shop"), &repo("acme/shop"))
        };
        assert_eq!(from("new/shop").repo, repo("acme/shop"));
        assert!(!from("new/shop").is_from_fork());
        assert!(from("acme/shop").is_from_fork(), "it took the name");
        assert!(from("ada/shop").is_from_fork());
    }
}
