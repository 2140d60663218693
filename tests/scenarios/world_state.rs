//! The state of a scenario in an object, as runs of a workflow find and leave it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greenroom::model::{RepoName, StateLocation};
use greenroom::port::Store;
use greenroom::sandbox::Sandbox;
use greenroom::store::{MovePlace, StateSettings, open_state};

use super::World;
use crate::objects::Memory;

impl World {
    /// The next run of a workflow starts: what it knows is what lies in the object. Elsewhere nothing happens.
    pub(crate) async fn next_run(&mut self) {
        if let Some(objects) = self.objects.clone() {
            let store = open(&objects, &self.github, &self.repo).await;
            self.moves_to(store).await;
        }
    }

    /// The state as `greenroom state` is told of it.
    pub(crate) fn state(&self) -> MovePlace {
        let objects = self.objects.as_ref().expect("the state lies in an object");
        MovePlace::State(settings(objects, &self.github, &self.repo))
    }
}

pub(super) async fn open(objects: &Arc<Memory>, github: &Sandbox, repo: &RepoName) -> Arc<dyn Store> {
    open_state(settings(objects, github, repo)).await.expect("the state opens")
}

/// Of a process that has not written yet.
fn settings(objects: &Arc<Memory>, github: &Sandbox, repo: &RepoName) -> StateSettings {
    static PROCESSES: AtomicU64 = AtomicU64::new(0);
    let bucket = "greenroom-state-1-eu-west-1".to_owned();
    StateSettings {
        location: StateLocation::Bucket { bucket, prefix: String::new() },
        repo: github.repo_seen(repo).expect("a repository").id,
        objects: Some(Arc::<Memory>::clone(objects)),
        writer: format!("process-{}", PROCESSES.fetch_add(1, Ordering::Relaxed)),
        scratch: None,
    }
}
