//! What a builder of its own asks no registry for, whatever comes up in a build.
//!
//! # Guarantees
//!
//! - `BuildKit` itself refuses the images that Greenroom keeps in the registry: also one that nobody can
//!   read of beforehand, as in what a public image has its children do (`ONBUILD`), or behind a tag that
//!   leads elsewhere by then.
//! - A builder is tried before its first build, and does none if it lets such an image through: command
//!   lines and builders of before take no notice of a policy, and say nothing.
//!
//! Source: Docker's documentation, "Build variables", `EXPERIMENTAL_BUILDKIT_SOURCE_POLICY`; of the rules,
//! `sourcepolicy/pb/policy.proto` of `BuildKit`, where the last rule that fits decides.

use std::collections::BTreeSet;
use std::io::{self, Seek, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::{NamedTempFile, tempfile_in};

use super::builder;
use super::docker::{engine_missing, is_engine_missing};
use super::hosts::{parts, registry_of};
use super::image::{ImageWork, cancelled};
use super::jobs::{Job, locked};
use super::log::BuildLog;
use super::process::{self, Ended};
use super::source::disk_error;
use crate::model::FailureKind;
use crate::port::{PortError, PortResult};

/// Where the command line looks for it. Of `buildx` 0.11 and newer.
pub(super) const VARIABLE: &str = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY";
/// In what `BuildKit` says of an image that it refuses by a policy.
const DENIED: &str = "denied by policy";

const TOO_OLD: &str = "Install a newer `buildx` plugin (0.11 at least) on the server, and remove its builders, so that \
                       they are made anew (`docker buildx ls`, `docker buildx rm NAME`).";
pub(super) const NOT_THERE_EITHER: &str = "An image that the Dockerfile begins with has its children fetch from what \
                                           Greenroom keeps in the registry (`ONBUILD`): begin with an image that does \
                                           not.";

/// Builders that were seen to keep to a policy, with the place that it is for.
#[derive(Debug, Clone, Default)]
pub(super) struct Tried(Arc<Mutex<BTreeSet<(String, String)>>>);

impl Tried {
    /// One that is made anew may be of another version.
    pub(super) fn forget(&self, builder: &str) {
        locked(&self.0).retain(|(known, _)| known != builder);
    }
}

/// Whether a build failed by the policy.
pub(super) fn is_denial(text: &str) -> bool {
    text.contains(DENIED)
}

/// The rules, as JSON: of all images none that is below `place`, which is host and path.
fn rules(place: &str) -> String {
    let (registry, path) = divided(place);
    let (host, port) = parts(registry);
    let port = match port {
        None | Some("443" | "80") => "(:(443|80))?".to_owned(),
        Some(port) => format!(":{}", regex::escape(port)),
    };
    let host = regex::escape(&host);
    // Of a blob alone as well as of an image.
    let below = format!(r"^docker-image(\+blob)?://(?i:{host})\.?{port}/{}", regex::escape(path));
    json!({ "rules": [{ "action": "DENY", "selector": { "identifier": below, "match_type": "REGEX" } }] }).to_string()
}

fn divided(place: &str) -> (&str, &str) {
    match registry_of(place) {
        Some(registry) => (registry, &place[registry.len() + 1..]),
        None => ("docker.io", place),
    }
}

/// Rules in a file, gone when dropped.
pub(super) fn written(place: &str, below: &Path) -> PortResult<NamedTempFile> {
    let write = || -> io::Result<NamedTempFile> {
        std::fs::create_dir_all(below)?;
        let mut file = tempfile::Builder::new().prefix("policy-").tempfile_in(below)?;
        file.write_all(rules(place).as_bytes())?;
        Ok(file)
    };
    write().map_err(|error| disk_error("the policy of a build", &error))
}

impl ImageWork {
    /// Makes sure that the builder of this repository and trust keeps to a policy.
    pub(super) async fn try_policy(&self, place: &str, policy: &Path, job: &Job, log: &mut BuildLog) -> PortResult<()> {
        let builder = builder::name(&self.stage.repo, self.trust);
        let key = (builder, place.to_owned());
        if locked(&self.docker.tried.0).contains(&key) {
            return Ok(());
        }
        // It starts now, and is in that network.
        self.docker.make_network().await?;
        let (registry, path) = divided(place);
        let dockerfile = || -> io::Result<_> {
            let mut file = tempfile_in(&self.records)?;
            writeln!(file, "FROM {registry}/{path}nobodys")?;
            file.rewind()?;
            Ok(file)
        };
        let dockerfile = dockerfile().map_err(|error| disk_error("the policy of a build", &error))?;
        let mut command = self.docker.command();
        command.args(["buildx", "build", "--progress=plain", "--provenance=false"]);
        command.arg(format!("--builder={}", key.0)).arg("-").env(VARIABLE, policy);
        let mut said = Vec::new();
        let ended = process::run(command, dockerfile.into(), &self.records, &job.cancel, |line| {
            said.push(line.to_owned());
        })
        .await
        .map_err(|error| self.docker.not_started(&error))?;
        let text = said.join("\n");
        match ended {
            Ended::Cancelled => Err(cancelled()),
            Ended::Exited(status) if !status.success() && is_denial(&text) => {
                locked(&self.docker.tried.0).insert(key);
                Ok(())
            }
            Ended::Exited(_) if is_engine_missing(&text) => Err(engine_missing(&text)),
            Ended::Exited(status) => {
                for line in &said {
                    log.line(line);
                }
                // It asked for the image, or has it.
                if status.success() || text.contains(&format!("{path}nobodys:")) {
                    let summary = "`buildx` on the server does not keep builds from what Greenroom has in the registry";
                    return Err(PortError::failed(FailureKind::Environment, summary, TOO_OLD));
                }
                let last = said.last().map_or("no reason given", String::as_str);
                Err(PortError::retry(format!("the builder of the repository could not be tried: {last}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    /// The pattern, in a syntax that Go's `regexp` and this library share.
    fn pattern(place: &str) -> Regex {
        let rules: serde_json::Value = serde_json::from_str(&rules(place)).expect("JSON");
        let rule = &rules["rules"][0];
        assert_eq!((&rule["action"], &rule["selector"]["match_type"]), (&json!("DENY"), &json!("REGEX")));
        Regex::new(rule["selector"]["identifier"].as_str().expect("a pattern")).expect("a pattern")
    }

    #[test]
    fn what_is_below_the_own_place_is_denied_and_nothing_else() {
        for (place, image, is_denied) in [
            ("r.example/team/greenroom/", "r.example/team/greenroom/acme-other/cache:x", true),
            ("r.example/team/greenroom/", "R.Example/team/greenroom/acme-other/web@sha256:00", true),
            ("r.example/team/greenroom/", "r.example:443/team/greenroom/x:1", true),
            ("r.example/team/greenroom/", "r.example./team/greenroom/x:1", true),
            ("r.example:443/team/greenroom/", "r.example/team/greenroom/x:1", true),
            ("r.example/team/greenroom/", "r.example/team/base:1", false),
            ("r.example/team/greenroom/", "r.example/other/team/greenroom/x:1", false),
            ("r.example/team/greenroom/", "r.example:5000/team/greenroom/x:1", false),
            ("r.example/team/greenroom/", "rxexample/team/greenroom/x:1", false),
            ("r.example/team/greenroom/", "a.r.example/team/greenroom/x:1", false),
            ("r.example/", "r.example/anything:1", true),
            ("r.example/", "docker.io/library/node:22", false),
            ("127.0.0.1:5000/greenroom/", "127.0.0.1:5000/greenroom/x:1", true),
            ("127.0.0.1:5000/greenroom/", "127.0.0.1/greenroom/x:1", false),
            ("[::1]:5000/greenroom/", "[::1]:5000/greenroom/x:1", true),
            ("acme/greenroom/", "docker.io/acme/greenroom/x:1", true),
            ("acme/greenroom/", "docker.io/acme/base:1", false),
            ("docker.io/acme/greenroom/", "docker.io/acme/greenroom/x:1", true),
        ] {
            for scheme in ["docker-image", "docker-image+blob"] {
                let identifier = format!("{scheme}://{image}");
                assert_eq!(pattern(place).is_match(&identifier), is_denied, "{place} {identifier}");
            }
        }
    }
}
