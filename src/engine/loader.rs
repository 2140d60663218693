//! Configurations read from the code host, checked, and kept by their content.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::Engine;
use crate::config;
use crate::model::{CommitSha, Problems, Project, RepoName};
use crate::port::PortResult;

/// The one place of the configuration in a repository.
pub const CONFIG_PATH: &str = ".github/greenroom.yml";

/// Different contents kept at once. Two hundred pull requests of one repository mostly share one.
const KEPT: usize = 128;

/// A file that was read: what it means, or all that is wrong with it.
pub(super) type Checked = Arc<Result<Project, Problems>>;

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
    /// The configuration at a commit; `None` when the commit has none.
    pub(super) async fn project_at(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<Option<Checked>> {
        let file = self.ports.forge.file_at(repo, sha, CONFIG_PATH).await?;
        Ok(file.map(|bytes| self.projects.check(&bytes)))
    }

    /// The policy: the configuration at the head of the default branch, with that head.
    pub(super) async fn policy(&self, repo: &RepoName) -> PortResult<Option<(CommitSha, Checked)>> {
        let branch = self.ports.forge.default_branch(repo).await?;
        let Some(head) = self.ports.forge.branch_head(repo, &branch).await? else { return Ok(None) };
        Ok(self.project_at(repo, &head).await?.map(|checked| (head, checked)))
    }
}
