//! GitHub Actions of repositories as they are known here: see [`ByKey`].

use std::sync::Arc;

use async_trait::async_trait;

use super::by_key::ByKey;
use crate::model::{Branch, CommitSha, RepoId, RepoName};
use crate::port::{
    Cancellation, Clock, Dispatch, Dispatched, Forge, PortResult, Store, TreeEntry, WorkflowRun, Workflows,
};

/// [`Workflows`] whose repositories have their keys for names. A run is asked for, looked at and ended in that
/// very repository or nowhere.
pub struct WorkflowsByKey {
    keys: ByKey,
    workflows: Arc<dyn Workflows>,
    store: Arc<dyn Store>,
}

/// Where a repository is asked.
struct At {
    workflows: Arc<dyn Workflows>,
    name: RepoName,
}

impl WorkflowsByKey {
    pub fn new(
        forge: Arc<dyn Forge>,
        workflows: Arc<dyn Workflows>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { keys: ByKey::new(forge, store.clone(), clock), workflows, store }
    }

    async fn at(&self, key: &RepoName) -> PortResult<At> {
        let name = self.keys.name_of(key).await?;
        // Whoever has a name has a number.
        let id = self.store.known(key).await?.map(|known| known.id);
        let workflows = id.map_or_else(|| self.workflows.clone(), |id| self.workflows.only(id));
        Ok(At { workflows, name })
    }
}

#[async_trait]
impl Workflows for WorkflowsByKey {
    fn only(&self, _: RepoId) -> Arc<dyn Workflows> {
        // It is bound to numbers already: by the keys.
        Arc::new(Self { keys: self.keys.clone(), workflows: self.workflows.clone(), store: self.store.clone() })
    }

    async fn default_branch(&self, repo: &RepoName) -> PortResult<Branch> {
        Ok(self.keys.repository(repo).await?.default_branch)
    }

    async fn tree_entry(&self, repo: &RepoName, sha: &CommitSha, path: &str) -> PortResult<Option<TreeEntry>> {
        let At { workflows, name } = self.at(repo).await?;
        let result = workflows.tree_entry(&name, sha, path).await;
        self.keys.answered(repo, &name, result).await
    }

    async fn dispatch(&self, dispatch: &Dispatch<'_>) -> PortResult<Dispatched> {
        let At { workflows, name } = self.at(dispatch.repo).await?;
        let result = workflows.dispatch(&Dispatch { repo: &name, ..*dispatch }).await;
        self.keys.answered(dispatch.repo, &name, result).await
    }

    async fn runs(&self, repo: &RepoName, workflow: &str) -> PortResult<Vec<WorkflowRun>> {
        let At { workflows, name } = self.at(repo).await?;
        let result = workflows.runs(&name, workflow).await;
        self.keys.answered(repo, &name, result).await
    }

    async fn run(&self, repo: &RepoName, run: u64) -> PortResult<WorkflowRun> {
        let At { workflows, name } = self.at(repo).await?;
        let result = workflows.run(&name, run).await;
        self.keys.answered(repo, &name, result).await
    }

    async fn cancel(&self, repo: &RepoName, run: u64, how: Cancellation) -> PortResult<()> {
        let At { workflows, name } = self.at(repo).await?;
        let result = workflows.cancel(&name, run, how).await;
        self.keys.answered(repo, &name, result).await
    }

    async fn log(&self, repo: &RepoName, run: u64, lines: usize) -> PortResult<Vec<String>> {
        let At { workflows, name } = self.at(repo).await?;
        let result = workflows.log(&name, run, lines).await;
        self.keys.answered(repo, &name, result).await
    }
}
