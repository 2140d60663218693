//! Names versions by what they are.

use sha2::{Digest, Sha256};

use crate::model::{Artifact, Runtime, ServiceSpec, VersionKey};

/// The key of a service's version: equal for equal content and configuration, whatever the commit.
///
/// The image's build settings are left out, because what they made is in the artifact's digest;
/// `GREENROOM_SHA` is left out, because a commit that changes nothing else is no reason to restart,
/// and `canary` because it says how a version comes, not what it is.
pub fn version_key(service: &ServiceSpec, artifact: &Artifact) -> VersionKey {
    let mut bare = service.clone();
    bare.env.remove("GREENROOM_SHA");
    bare.paths.clear();
    bare.needs.clear();
    bare.canary = None;
    if let Runtime::Image(image) = &mut bare.runtime {
        image.args.clear();
    }
    // A struct of strings, numbers and ordered maps always has a JSON form.
    let configuration = serde_json::to_string(&bare).unwrap_or_default();
    let hash = Sha256::new().chain_update(&artifact.digest).chain_update([0]).chain_update(configuration).finalize();
    VersionKey(hex::encode(&hash[..8]))
}
