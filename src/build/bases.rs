//! What a build may begin with and copy from, judged before the builder sees it.
//!
//! # Guarantees
//!
//! - In the engine itself nothing but images that a registry has is used: what only this engine has is
//!   another repository's, or the server's own. An image counts as a registry's if it was pulled, or
//!   pushed, under the very name that the Dockerfile has for it.
//! - What such an image has its children do (`ONBUILD`) is judged like the Dockerfile, so it is pulled
//!   before the build and not by it. A name that is held is never pulled anew: what it leads to stays what
//!   was judged, for every build.
//! - The engine asks no registry that is the server itself, or answers to nothing but the server: it
//!   would do it in the server's own network.
//! - What Greenroom keeps in a registry is nobody's base, whichever builder there is, and however the
//!   registry is spelt. What of that only the builder can know, `policy` has it refuse.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::docker::Tools;
use super::dockerfile::{self, Image, Where};
use super::hosts::{self, may_be_below, registry_of};
use super::image::{ImageWork, cancelled, is_passing};
use super::jobs::Job;
use super::log::BuildLog;
use super::platforms::Processor;
use super::process::{self, Ended};
use super::recipe::{OURS, Recipe, is_ours};
use super::source::blocking;
use crate::model::FailureKind;
use crate::port::{PortError, PortResult, Site, repository_path};

const NOT_HERE: &str = "Begin with an image that a registry has. With Docker's `buildx` plugin on the server, builds \
                        see no image of the engine at all.";
const NOT_AT_HOME: &str = "Begin with an image of a registry that others reach by that name as well. The registry of \
                           `GREENROOM_REGISTRY` is meant only as it is written there.";
/// How long a name may be looked up.
const LOOK_UP: Duration = Duration::from_secs(5);
const NOT_ANEW: &str = "Name it by the digest of the image for that processor (`name@sha256:...`). With Docker's \
                        `buildx` plugin on the server, builds hold images of their own.";
const NOT_ALL: &str = "Have the server's administrator remove it from the engine, so that it is pulled anew.";
const NOT_OURS: &str = "Begin with an image of your own registry, or build both in one Dockerfile.";

/// An image as the engine has it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Held {
    repo_digests: Option<Vec<String>>,
    config: Option<Config>,
    os: String,
    architecture: String,
    variant: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    on_build: Option<Vec<String>>,
}

impl Held {
    /// Whether a registry has it under this name.
    fn is_of_registry(&self, name: &str) -> bool {
        let wanted = repository_of(name);
        self.repo_digests.iter().flatten().any(|digest| repository_of(digest) == wanted)
    }

    /// Whether the engine would take it for this one, and not pull another.
    fn is_for(&self, platform: Option<&str>) -> bool {
        let own = Processor::of(&self.os, &self.architecture, &self.variant);
        platform.is_none_or(|wanted| Processor::read(wanted) == Some(own))
    }
}

impl ImageWork {
    /// Refuses a recipe that would have the builder read what is not its repository's.
    /// `own`: host and path of all that Greenroom keeps in the registry, if there is one.
    pub(super) async fn judge(
        &self,
        recipe: &Recipe,
        tools: Tools,
        own: Option<&str>,
        job: &Job,
        log: &mut BuildLog,
    ) -> PortResult<()> {
        let place = match tools {
            Tools::Legacy => Where::Engine,
            Tools::Buildx => Where::Apart,
        };
        if place == Where::Apart && own.is_none() {
            return Ok(());
        }
        let context = recipe.context.clone();
        let text = blocking(move || context.dockerfile_text(dockerfile::MOST_BYTES)).await?;
        let images = dockerfile::read(&text, &self.spec.args, place)
            .map_err(|refusal| self.refuse(&refusal.reason, refusal.advice))?;
        for image in images {
            let is_hub_ours = repository_of(&image.name).strip_prefix("docker.io/").is_some_and(is_ours);
            if is_hub_ours || own.is_some_and(|own| may_be_below(&image.name, own)) {
                return Err(self.refuse(&format!("`{}` is kept by Greenroom for a stage", image.name), NOT_OURS));
            }
            if place == Where::Engine {
                self.judge_host(&image.name, own).await?;
                self.judge_base(&image, job, log).await?;
            }
        }
        Ok(())
    }

    /// Host and path of all that Greenroom keeps in the registry.
    pub(super) async fn own_place(&self) -> PortResult<Option<String>> {
        let Some(registry) = &self.registry else {
            // Then there is nothing but the build cache, if that.
            return Ok(self.cache.as_ref().map(|cache| format!("{}/{OURS}", cache.trim_end_matches('/'))));
        };
        let site = Site { stage: &self.stage, place: &self.place };
        let address = registry.repository(site, &self.service).await?.address;
        let path = repository_path(&self.stage.repo, &self.service);
        Ok(Some(address.strip_suffix(&path).unwrap_or(&address).to_owned()))
    }

    /// Refuses an image that the engine would ask the server itself for. Whoever rules over a name in the
    /// DNS may have it lead elsewhere a moment later.
    async fn judge_host(&self, name: &str, own: Option<&str>) -> PortResult<()> {
        if let Some(reason) = hosts::is_at_home(name, own) {
            return Err(self.refuse(&reason, NOT_AT_HOME));
        }
        let Some(host) = hosts::to_look_up(name) else { return Ok(()) };
        // What is not known here, the engine may know.
        let Ok(Ok(found)) = timeout(LOOK_UP, lookup_host((host, 0))).await else { return Ok(()) };
        let addresses: Vec<_> = found.map(|address| address.ip()).collect();
        match hosts::leads_home(name, own, &addresses) {
            Some(reason) => Err(self.refuse(&reason, NOT_AT_HOME)),
            None => Ok(()),
        }
    }

    async fn judge_base(&self, image: &Image, job: &Job, log: &mut BuildLog) -> PortResult<()> {
        let own = self.platform().map(|platform| platform.as_str().to_owned());
        let platform = image.platform.clone().or(own);
        let held = self.hold(&image.name, platform.as_deref(), job, log).await?;
        let Some(config) = held.config else {
            let reason = format!("the engine does not say what `{}` has its children do", image.name);
            return Err(self.refuse(&reason, NOT_ALL));
        };
        let triggers = config.on_build.unwrap_or_default();
        for trigger in triggers {
            // A trigger may name another image, which would have to be judged in its turn.
            let named = dockerfile::read(trigger.as_bytes(), &self.spec.args, Where::Engine);
            if named.is_ok_and(|named| named.is_empty()) {
                continue;
            }
            let trigger: String = trigger.chars().filter(|c| !c.is_control()).take(100).collect();
            let reason = format!("`{}` has its children do `{trigger}` (`ONBUILD`), which may fetch", image.name);
            return Err(self.refuse(&reason, "Begin with an image that does not."));
        }
        Ok(())
    }

    /// The image that the engine has under this name, pulled if it has none.
    async fn hold(&self, name: &str, platform: Option<&str>, job: &Job, log: &mut BuildLog) -> PortResult<Held> {
        let repository = repository_of(name);
        let turn = tokio::select! {
            () = job.cancel.cancelled() => return Err(cancelled()),
            turn = self.docker.pulls.turn(&repository) => turn,
        };
        let held = match self.docker.held(name).await? {
            Some(held) => held,
            None => {
                self.pull(name, platform, job, log).await?;
                let pulled = self.docker.held(name).await?;
                pulled.ok_or_else(|| PortError::retry(format!("{name} was removed right after it was pulled")))?
            }
        };
        drop(turn);
        if !held.is_of_registry(name) {
            let reason = format!("`{name}` is an image that this server's engine alone has");
            return Err(self.refuse(&reason, NOT_HERE));
        }
        if let Some(wanted) = platform.filter(|_| !held.is_for(platform)) {
            // Pulled for that one, the name would lead elsewhere while another build is about to use it.
            let own = format!("{}/{}", held.os, held.architecture);
            let reason = format!("`{name}` is held by this server's engine for `{own}` and wanted for `{wanted}`");
            return Err(self.refuse(&reason, NOT_ANEW));
        }
        Ok(held)
    }

    async fn pull(&self, name: &str, platform: Option<&str>, job: &Job, log: &mut BuildLog) -> PortResult<()> {
        let mut command = self.docker.command();
        command.args(["pull", "--quiet"]).args(platform.map(|platform| format!("--platform={platform}")));
        command.arg("--").arg(name);
        let mut last = String::new();
        let on_line = |line: &str| {
            log.line(line);
            line.clone_into(&mut last);
        };
        let ended = process::run(command, Stdio::null(), &self.records, &job.cancel, on_line)
            .await
            .map_err(|error| self.docker.not_started(&error))?;
        match ended {
            Ended::Exited(status) if status.success() => Ok(()),
            Ended::Cancelled => Err(cancelled()),
            Ended::Exited(_) if is_passing(&last) => {
                Err(PortError::retry(format!("`{name}` of the Dockerfile cannot be pulled: {last}")))
            }
            Ended::Exited(_) => Err(self.refuse(&format!("`{name}` cannot be pulled: {last}"), NOT_HERE)),
        }
    }

    fn refuse(&self, reason: &str, advice: &str) -> PortError {
        let summary = format!("The image of `{}` is not built: {reason}", self.service);
        PortError::failed(FailureKind::Build, summary, advice)
    }
}

/// Host and path of an image's name, without tag and digest, as Docker completes them.
/// Source: <https://pkg.go.dev/github.com/distribution/reference>.
pub(super) fn repository_of(name: &str) -> String {
    let name = name.split('@').next().unwrap_or_default();
    let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
    let name = name[path_start..].find(':').map_or(name, |colon| &name[..path_start + colon]);
    match name.split_once('/') {
        Some(("docker.io" | "index.docker.io", path)) if !path.contains('/') => format!("docker.io/library/{path}"),
        Some(("index.docker.io", path)) => format!("docker.io/{path}"),
        Some(_) if registry_of(name).is_some() => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_completed_as_docker_completes_it() {
        for (name, repository) in [
            ("node", "docker.io/library/node"),
            ("node:22", "docker.io/library/node"),
            ("node:22@sha256:00", "docker.io/library/node"),
            ("library/node", "docker.io/library/node"),
            ("docker.io/node", "docker.io/library/node"),
            ("index.docker.io/library/node:1", "docker.io/library/node"),
            ("greenroom/acme-shop/pr-1-web:0123", "docker.io/greenroom/acme-shop/pr-1-web"),
            ("registry.example:5000/team/web:1", "registry.example:5000/team/web"),
            ("localhost/web", "localhost/web"),
            ("Team/web", "Team/web"),
            ("5d6db84c0ffe", "docker.io/library/5d6db84c0ffe"),
            ("sha256:5d6db84c0ffe", "docker.io/library/sha256"),
        ] {
            assert_eq!(repository_of(name), repository, "{name}");
        }
    }

    #[test]
    fn an_image_is_a_registrys_under_the_name_that_it_was_pulled_by() {
        let held =
            |digests: &str| serde_json::from_str::<Held>(&format!("{{\"RepoDigests\":{digests}}}")).expect("JSON");
        let pulled = held(r#"["node@sha256:00","registry.example/base@sha256:11"]"#);
        for (name, is_known) in [
            ("node", true),
            ("docker.io/library/node:22", true),
            ("registry.example/base:1", true),
            // By the number of its image, or of another one's digest.
            ("00", false),
            ("sha256:00", false),
            ("debian@sha256:00", false),
            ("other/node", false),
        ] {
            assert_eq!(pulled.is_of_registry(name), is_known, "{name}");
        }
        for digests in ["[]", "null", r#"["<none>@<none>"]"#] {
            assert!(!held(digests).is_of_registry("node"), "{digests}");
        }
    }

    #[test]
    fn an_image_is_for_the_processor_that_the_engine_would_take_it_for() {
        let held = |os: &str, architecture: &str, variant: &str| Held {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            ..Held::default()
        };
        let (amd, arm, old) = (held("linux", "amd64", ""), held("linux", "arm64", "v8"), held("linux", "arm", "v7"));
        for (image, wanted, is_for) in [
            (&amd, None, true),
            (&amd, Some("linux/amd64"), true),
            (&amd, Some("linux/x86_64"), true),
            (&amd, Some("linux/amd64/v3"), false),
            (&amd, Some("windows/amd64"), false),
            (&amd, Some("linux"), false),
            (&arm, Some("linux/arm64"), true),
            (&arm, Some("arm64"), true),
            (&arm, Some("linux/arm"), false),
            (&old, Some("linux/arm"), true),
            // The engine would pull another.
            (&old, Some("linux/arm/v6"), false),
        ] {
            assert_eq!(image.is_for(wanted), is_for, "{image:?} {wanted:?}");
        }
    }
}
