//! Configurations read from the code host, checked, and kept by their content.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::Engine;
use crate::config;
use crate::model::{CommitSha, Prefix, Problems, Project, RepoName};
use crate::port::PortResult;

/// The one place of the configuration in a repository.
pub const CONFIG_PATH: &str = ".github/greenroom.yml";

/// Different contents kept at once. Two hundred pull requests of one repository mostly share one.
const KEPT: usize = 128;

/// A file that was read: what it means, or all that is wrong with it.
pub(super) type Checked = Arc<Result<Project, Problems>>;

/// What commands begin with, by repository.
pub(super) type Prefixes = Mutex<HashMap<RepoName, Prefix>>;

/// Checked configurations by the hash of their bytes.
#[derive(Default)]
pub(super) struct ProjectCache(Mutex<HashMap<[u8; 32], Checked>>);

impl ProjectCache {
    fn check(&self, bytes: &[u8]) -> Checked {
        let key: [u8; 32] = Sha256::digest(bytes).into();
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let checked = Arc::new(config::check(CONFIG_PATH, bytes));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, checked.clone());
        checked
    }
}

impl Engine {
    /// The configuration at a commit; `None` when the commit has none. One whose name has the other ending of
    /// YAML is wrong, and not missing: whoever wrote it waits for something.
    pub(super) async fn project_at(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<Option<Checked>> {
        if let Some(bytes) = self.ports.forge.file_at(repo, sha, CONFIG_PATH).await? {
            return Ok(Some(self.projects.check(&bytes)));
        }
        let misnamed = self.ports.forge.file_at(repo, sha, config::MISNAMED).await?;
        Ok(misnamed.map(|_| Arc::new(Err(config::misnamed()))))
    }

    /// The policy: the configuration at the head of the default branch, with that head.
    pub(super) async fn policy(&self, repo: &RepoName) -> PortResult<Option<(CommitSha, Checked)>> {
        let branch = self.ports.forge.repository(repo).await?.default_branch;
        let Some(head) = self.ports.forge.branch_head(repo, &branch).await? else { return Ok(None) };
        let policy = self.project_at(repo, &head).await?.map(|checked| (head, checked));
        if let Some(Ok(project)) = policy.as_ref().map(|(_, checked)| checked.as_ref()) {
            let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
            prefixes.insert(repo.clone(), project.commands.prefix.clone());
        }
        Ok(policy)
    }

    /// What commands begin with in this repository, as its policy said last.
    pub(super) async fn prefix(&self, repo: &RepoName) -> Prefix {
        let known = || self.prefixes.lock().unwrap_or_else(PoisonError::into_inner).get(repo).cloned();
        if let Some(prefix) = known() {
            return prefix;
        }
        // What is shown must not wait for GitHub to tell it: the usual one does until then.
        let _ = self.policy(repo).await;
        known().unwrap_or_default()
    }
}
