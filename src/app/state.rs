//! Settings become the place of a state.

use std::path::PathBuf;
use std::sync::Arc;

use super::action::StepIdentity;
use super::{chance_id, variable};
use crate::model::{RepoId, StateLocation};
use crate::port::Objects;
use crate::store::StateSettings;

/// What [`crate::store::open_state`] wants for a repository's state, by the standard chain of credentials and in
/// the region of the environment. Asks nobody anything yet.
pub async fn state_settings(location: StateLocation, repo: RepoId) -> StateSettings {
    state_settings_as(location, repo, &StepIdentity::default()).await
}

/// The same, as a step reaches it.
pub(super) async fn state_settings_as(location: StateLocation, repo: RepoId, identity: &StepIdentity) -> StateSettings {
    let objects = match &location {
        StateLocation::Bucket { bucket, .. } => objects(bucket, identity).await,
        StateLocation::Folder(_) => None,
    };
    StateSettings { location, repo, objects, writer: chance_id(), scratch: variable("RUNNER_TEMP").map(PathBuf::from) }
}

/// A bucket.
#[cfg(feature = "aws")]
pub(super) async fn objects(bucket: &str, identity: &StepIdentity) -> Option<Arc<dyn Objects>> {
    Some(Arc::new(super::aws::objects(bucket, identity).await))
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "with the feature it waits for the chain of credentials")]
pub(super) async fn objects(_: &str, _: &StepIdentity) -> Option<Arc<dyn Objects>> {
    None
}
