//! GitHub for repositories as they are known here: their names of now on the way out, their keys on
//! the way in.
//!
//! # Guarantees
//!
//! - What is asked about a repository is answered by that very repository or not at all: before each
//!   ruling its number is compared ([`Forge::repository`]), so that a name that somebody else has by now
//!   leads nobody to them.
//! - What is written reaches that very repository or nobody: GitHub itself keeps to the number
//!   ([`Forge::only`]), also where the name changes hands in the moment of the write. What it refuses is
//!   tried again once the name is found to be another's.
//! - A name changes hands by GitHub's own answer about that name alone. What deliveries and lists call a
//!   repository may be older than what is known: it only says which name to ask about.

use std::sync::Arc;

use async_trait::async_trait;

use super::Ports;
use crate::model::{
    Actor, Branch, Changed, Checks, CommentSource, CommitSha, ExternalId, KnownRepo, Permission, PullNumber,
    PullRequest, Reaction, RepoFacts, RepoId, RepoName, RepoSeen, Review, StageName, Timestamp, UserId,
};
use crate::port::{
    AppForge, CheckRun, Clock, DeliveryReport, DeploymentRequest, DeploymentUpdate, Forge, PortError, PortResult,
    StickyComment, Store, TarballStream,
};

/// How long a repository is left alone whose name is another's by now. To ask whether somebody told its new one
/// is no call to GitHub, and a deploy that waits for it goes on no sooner than this.
const UNTOLD_MILLIS: i64 = 60_000;

/// The same ports with keys for the names of repositories.
pub(super) fn by_key(ports: Ports) -> Ports {
    let (store, clock) = (ports.store.clone(), ports.clock.clone());
    let app = ports.app.map(|app| Arc::new(AppByKey { app, store: store.clone(), clock }) as Arc<dyn AppForge>);
    Ports { forge: Arc::new(ByKey { forge: ports.forge, store }), app, ..ports }
}

/// Where a repository is asked and told.
struct At {
    forge: Arc<dyn Forge>,
    name: RepoName,
}

/// A [`Forge`] whose repositories have their keys for names.
#[derive(Clone)]
pub(super) struct ByKey {
    forge: Arc<dyn Forge>,
    store: Arc<dyn Store>,
}

impl ByKey {
    /// GitHub for this repository alone, and what it calls it now; `None` if it was never seen.
    async fn known(&self, key: &RepoName) -> PortResult<Option<At>> {
        let Some(mut known) = self.store.known(key).await? else { return Ok(None) };
        if let Some(rumour) = known.rumour.take() {
            known = self.look_into(known, &rumour).await?;
        }
        let name = known.name.ok_or_else(|| renamed(key))?;
        Ok(Some(At { forge: self.forge.only(known.id), name }))
    }

    /// Where to read. What was never seen is called what it is asked by.
    async fn at(&self, key: &RepoName) -> PortResult<At> {
        let known = self.known(key).await?;
        Ok(known.unwrap_or_else(|| At { forge: self.forge.clone(), name: key.clone() }))
    }

    /// Where to write: what was never seen is looked at first.
    async fn own(&self, key: &RepoName) -> PortResult<At> {
        if let Some(at) = self.known(key).await? {
            return Ok(at);
        }
        self.facts(key).await?;
        self.known(key).await?.ok_or_else(|| renamed(key))
    }

    /// What GitHub calls a repository now.
    pub(super) async fn name_of(&self, key: &RepoName) -> PortResult<RepoName> {
        Ok(self.own(key).await?.name)
    }

    /// What became of a call. One that GitHub refused may have gone to a name that is another's by now: then
    /// the repository is still owed it.
    pub(super) async fn answered<T: Send>(
        &self,
        key: &RepoName,
        name: &RepoName,
        result: PortResult<T>,
    ) -> PortResult<T> {
        match result {
            Err(refusal @ (PortError::NotFound { .. } | PortError::Denied { .. })) => {
                let is_its_own = self.facts(key).await?.seen.name == *name;
                // Its name of now is known since this moment, so that the next try need not wait to be told.
                let moved = || PortError::retry(format!("{key} got another name meanwhile"));
                Err(if is_its_own { refusal } else { moved() })
            }
            result => result,
        }
    }

    /// The same of what may be missing: it is, if the name is still the repository's own.
    async fn found<T: Send>(
        &self,
        key: &RepoName,
        name: &RepoName,
        result: PortResult<Option<T>>,
    ) -> PortResult<Option<T>> {
        let missing = PortError::NotFound { what: key.to_string() };
        match self.answered(key, name, result.and_then(|found| found.ok_or(missing))).await {
            Err(PortError::NotFound { .. }) => Ok(None),
            result => result.map(Some),
        }
    }

    /// What GitHub says of whoever has a name now. A token of the repository that is expected there sees
    /// nobody else who is private.
    async fn whose(&self, expected: &dyn Forge, name: &RepoName) -> PortResult<RepoFacts> {
        match expected.repository(name).await {
            Err(PortError::NotFound { .. } | PortError::Denied { .. }) => self.forge.repository(name).await,
            answer => answer,
        }
    }

    /// Asks GitHub whose a name is that the repository may have by now.
    async fn look_into(&self, known: KnownRepo, rumour: &RepoName) -> PortResult<KnownRepo> {
        let owner = match self.whose(&*self.forge.only(known.id), rumour).await {
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
        let at = self.at(key).await?;
        let facts = self.whose(&*at.forge, &at.name).await?;
        if self.store.identify(&facts.seen).await?.key == *key { Ok(facts) } else { Err(renamed(key)) }
    }
}

fn renamed(key: &RepoName) -> PortError {
    let reason = format!("{key} has another name by now, which GitHub has not told yet");
    PortError::Retry { reason, after_millis: Some(UNTOLD_MILLIS) }
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
    fn only(&self, repo: RepoId) -> Arc<dyn Forge> {
        Arc::new(Self { forge: self.forge.only(repo), store: self.store.clone() })
    }

    async fn repository(&self, repo: &RepoName) -> PortResult<RepoFacts> {
        let facts = self.facts(repo).await?;
        Ok(RepoFacts { seen: RepoSeen { name: repo.clone(), ..facts.seen }, ..facts })
    }

    async fn branch_head(&self, repo: &RepoName, branch: &Branch) -> PortResult<Option<CommitSha>> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.branch_head(&name, branch).await;
        self.found(repo, &name, result).await
    }

    async fn pull_request(&self, repo: &RepoName, number: PullNumber) -> PortResult<PullRequest> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.pull_request(&name, number).await;
        Ok(keyed(self.answered(repo, &name, result).await?, &name, repo))
    }

    async fn open_pull_requests(&self, repo: &RepoName) -> PortResult<Vec<PullRequest>> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.open_pull_requests(&name).await;
        let pulls = self.answered(repo, &name, result).await?;
        Ok(pulls.into_iter().map(|pull| keyed(pull, &name, repo)).collect())
    }

    async fn file_at(&self, repo: &RepoName, sha: &CommitSha, path: &str) -> PortResult<Option<Vec<u8>>> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.file_at(&name, sha, path).await;
        self.found(repo, &name, result).await
    }

    async fn changed_files(&self, repo: &RepoName, base: &CommitSha, head: &CommitSha) -> PortResult<Changed> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.changed_files(&name, base, head).await;
        self.answered(repo, &name, result).await
    }

    async fn permission(&self, repo: &RepoName, login: &str, id: UserId) -> PortResult<Permission> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.permission(&name, login, id).await;
        self.answered(repo, &name, result).await
    }

    async fn account(&self, repo: &RepoName, login: &str) -> PortResult<Actor> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.account(&name, login).await;
        self.answered(repo, &name, result).await
    }

    async fn is_in_team(&self, repo: &RepoName, team: &str, login: &str, id: UserId) -> PortResult<bool> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.is_in_team(&name, team, login, id).await;
        self.answered(repo, &name, result).await
    }

    async fn reviews(&self, repo: &RepoName, number: PullNumber) -> PortResult<Vec<Review>> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.reviews(&name, number).await;
        self.answered(repo, &name, result).await
    }

    async fn checks(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<Checks> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.checks(&name, sha).await;
        self.answered(repo, &name, result).await
    }

    async fn behind_by(&self, repo: &RepoName, branch: &Branch, sha: &CommitSha) -> PortResult<u32> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.behind_by(&name, branch, sha).await;
        self.answered(repo, &name, result).await
    }

    async fn tarball(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<TarballStream> {
        let At { forge, name } = self.at(repo).await?;
        let result = forge.tarball(&name, sha).await;
        self.answered(repo, &name, result).await
    }

    async fn publish_comment(&self, comment: &StickyComment<'_>) -> PortResult<ExternalId> {
        let At { forge, name } = self.own(comment.repo).await?;
        let result = forge.publish_comment(&StickyComment { repo: &name, ..*comment }).await;
        self.answered(comment.repo, &name, result).await
    }

    async fn publish_check(&self, check: &CheckRun<'_>) -> PortResult<ExternalId> {
        let At { forge, name } = self.own(check.repo).await?;
        let result = forge.publish_check(&CheckRun { repo: &name, ..*check }).await;
        self.answered(check.repo, &name, result).await
    }

    async fn ensure_deployment(&self, request: &DeploymentRequest<'_>) -> PortResult<ExternalId> {
        let At { forge, name } = self.own(request.repo).await?;
        let result = forge.ensure_deployment(&DeploymentRequest { repo: &name, ..*request }).await;
        self.answered(request.repo, &name, result).await
    }

    async fn publish_deployment_status(&self, update: &DeploymentUpdate<'_>) -> PortResult<()> {
        let At { forge, name } = self.own(update.repo).await?;
        let result = forge.publish_deployment_status(&DeploymentUpdate { repo: &name, ..*update }).await;
        self.answered(update.repo, &name, result).await
    }

    async fn remove_environment(&self, repo: &RepoName, environment: &StageName) -> PortResult<()> {
        let At { forge, name } = self.own(repo).await?;
        let result = forge.remove_environment(&name, environment).await;
        self.answered(repo, &name, result).await
    }

    async fn react(&self, repo: &RepoName, source: CommentSource, comment: u64, reaction: Reaction) -> PortResult<()> {
        let At { forge, name } = self.own(repo).await?;
        let result = forge.react(&name, source, comment, reaction).await;
        self.answered(repo, &name, result).await
    }
}

/// An [`AppForge`] that lists repositories by their keys.
struct AppByKey {
    app: Arc<dyn AppForge>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl AppForge for AppByKey {
    async fn repositories(&self) -> PortResult<Vec<RepoSeen>> {
        let mut repos = self.app.repositories().await?;
        for repo in &mut repos {
            // The first page of a long list is old when the last one comes.
            repo.name = self.store.hear(repo, self.clock.now()).await?;
        }
        Ok(repos)
    }

    async fn deliveries(&self, since: Timestamp) -> PortResult<Vec<DeliveryReport>> {
        self.app.deliveries(since).await
    }

    async fn redeliver(&self, id: u64) -> PortResult<()> {
        self.app.redeliver(id).await
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
