//! Settings become the place of a state.

use std::path::PathBuf;
use std::sync::Arc;

use super::{chance_id, variable};
use crate::model::{RepoId, StateLocation};
use crate::port::Objects;
use crate::store::StateSettings;

/// What [`crate::store::open_state`] wants for a repository's state. Asks nobody anything yet.
pub async fn state_settings(location: StateLocation, repo: RepoId) -> StateSettings {
    let objects = match &location {
        StateLocation::Bucket { bucket, .. } => objects(bucket).await,
        StateLocation::Folder(_) => None,
    };
    StateSettings { location, repo, objects, writer: chance_id(), scratch: variable("RUNNER_TEMP").map(PathBuf::from) }
}

/// A bucket, by the standard chain of credentials and in the region of the environment.
#[cfg(feature = "aws")]
async fn objects(bucket: &str) -> Option<Arc<dyn Objects>> {
    Some(Arc::new(super::aws::objects(bucket).await))
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "with the feature it waits for the chain of credentials")]
async fn objects(_: &str) -> Option<Arc<dyn Objects>> {
    None
}
