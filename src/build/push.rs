//! An image on its way to the registry that the target pulls from.
//!
//! # Guarantees
//!
//! - A content that is in the registry is neither built nor pushed again: the stage's tag is added.
//! - What is handed on is what the registry has ([`Shelf`]).
//! - This engine keeps one image for each service and trust as the next build's cache, and no other:
//!   none for forks, whose stages come and go.

use std::process::Stdio;

use super::credentials::{HostConfig, PrivateConfig};
use super::docker::{Docker, Tools};
use super::image::{Cache, CacheFormat, ImageWork, Layers, OTHER_PLATFORM, cancelled, is_passing};
use super::jobs::{Job, Jobs};
use super::log::BuildLog;
use super::manifest::check_platform;
use super::process::{self, Ended};
use super::recipe::{self, Recipe};
use super::registry::open;
use super::shelf::Shelf;
use super::source::{blocking, disk_error};
use crate::model::{Artifact, Failure, FailureKind, Output, ServiceName, Trust};
use crate::port::{CONTENT_DIGITS, PortError, PortResult, Registry, Site, stage_tag};

/// An image of a release, marked as in use by one more stage. Where no registry is, it is one of this
/// engine's own and must be there.
pub(super) async fn adopt(
    docker: &Docker,
    registry: Option<&dyn Registry>,
    site: Site<'_>,
    service: &ServiceName,
    artifact: &Artifact,
) -> PortResult<()> {
    let gone = || {
        let summary = format!("the image {} of {service} is not there any more", artifact.digest);
        PortError::failed(FailureKind::Environment, summary, "Deploy the commit anew: that builds it again.")
    };
    let Some(registry) = registry else {
        return docker.image_id(&artifact.reference).await?.map(drop).ok_or_else(gone);
    };
    let remote = open(&registry.repository(site, service).await?, docker).await?;
    let stored = remote.manifest(&artifact.digest).await?.ok_or_else(gone)?;
    // Its content's own name is not known here: its digest names it as well.
    let name: String = artifact.digest.chars().skip_while(|c| *c != ':').skip(1).take(CONTENT_DIGITS).collect();
    let tag = stage_tag(&site.stage.name, &name);
    let put = remote.tag(&tag, &stored).await;
    match remote.manifest(&tag).await? {
        Some(_) => Ok(()),
        None => Err(put.err().unwrap_or_else(gone)),
    }
}

impl ImageWork {
    /// Brings the image into the registry, built only if its content is not there.
    pub(super) async fn share(
        &self,
        registry: &dyn Registry,
        mut recipe: Recipe,
        tools: Tools,
        job: &Job,
        jobs: &Jobs,
    ) -> PortResult<Output> {
        let site = Site { stage: &self.stage, place: &self.place };
        let shelf = Shelf::open(registry, &self.docker, site, &self.service, &recipe.content).await?;
        if let Some(found) = shelf.take(&self.service, self.spec.platform).await? {
            return Ok(Output::Reused(found));
        }
        let Some(_turn) = jobs.turn(job).await else { return Err(cancelled()) };
        // The same content may have been pushed while this waited.
        if let Some(found) = shelf.take(&self.service, self.spec.platform).await? {
            return Ok(Output::Reused(found));
        }
        let local = recipe::shared_repository(&self.stage, &self.service);
        recipe.reference = format!("{local}:{}", self.names.tag(&[&recipe.content]));
        // A server that was killed may have built it and not pushed it.
        if self.docker.image_id(&recipe.reference).await?.is_none() {
            let cache = self.cache_in(registry, site, &shelf, tools).await?;
            self.build_for_platform(&recipe, tools, job, cache.as_ref()).await?;
        }
        if let Err(error) = self.check_local(&recipe.reference).await {
            self.forget_name(&recipe.reference).await;
            return Err(error);
        }
        self.push(&shelf, &recipe.reference, job).await?;
        self.keep_as_cache(&recipe.reference, &local).await;
        match shelf.take(&self.service, self.spec.platform).await? {
            Some(built) => Ok(Output::Built(built)),
            None => Err(PortError::retry("the image was removed from the registry right after it was pushed")),
        }
    }

    /// The engine's first builder does not tell processors apart when it looks for layers that it has:
    /// an image that begins with `scratch` may get those of another one. Then it has to begin anew.
    async fn build_for_platform(
        &self,
        recipe: &Recipe,
        tools: Tools,
        job: &Job,
        cache: Option<&Cache>,
    ) -> PortResult<()> {
        let built = self.build(recipe, tools, job, Layers::Reused(cache)).await;
        let is_mixed = match &built {
            Ok(()) => self.check_local(&recipe.reference).await.is_err(),
            Err(PortError::Failed(failure)) => failure.log.iter().any(|line| line.contains(OTHER_PLATFORM)),
            Err(_) => false,
        };
        if is_mixed && tools == Tools::Legacy {
            // Without a name it would stay for ever.
            self.forget_name(&recipe.reference).await;
            return self.build(recipe, tools, job, Layers::Fresh).await;
        }
        built
    }

    async fn check_local(&self, reference: &str) -> PortResult<()> {
        let found = self.docker.platform(reference).await?;
        check_platform(&self.service, self.spec.platform, &[found])
    }

    async fn cache_in(
        &self,
        registry: &dyn Registry,
        site: Site<'_>,
        shelf: &Shelf,
        tools: Tools,
    ) -> PortResult<Option<Cache>> {
        // What cannot be written is not there to be read.
        if tools != Tools::Buildx {
            return Ok(None);
        }
        let Some(address) = registry.cache(site, &self.service).await? else { return Ok(None) };
        Ok(Some(Cache { address, format: CacheFormat::Image, config: self.private_config(shelf).await? }))
    }

    /// A Docker configuration with the repository's login; `None` where this host's own serves.
    async fn private_config(&self, shelf: &Shelf) -> PortResult<Option<PrivateConfig>> {
        let Some(login) = shelf.repository.login.clone() else { return Ok(None) };
        let (docker, folder) = (self.docker.clone(), self.logins.clone());
        let host = shelf.repository.address.split('/').next().unwrap_or_default().to_owned();
        let made = blocking(move || {
            let made = HostConfig::read(&docker).with_login(&folder, &host, &login);
            made.map_err(|error| disk_error("a login for the registry", &error))
        });
        made.await.map(Some)
    }

    /// Pushes under the tag of the content.
    async fn push(&self, shelf: &Shelf, local: &str, job: &Job) -> PortResult<()> {
        job.at_push();
        let name = format!("{}:{}", shelf.repository.address, shelf.content);
        self.docker.tag(local, &name).await?;
        let config = self.private_config(shelf).await?;
        let mut command = self.docker.command();
        if let Some(config) = &config {
            command.arg("--config").arg(config.path());
        }
        command.args(["push", "--quiet", &name]);
        tracing::info!(stage = %self.stage, service = %self.service, image = name, "pushing");
        let mut log = BuildLog::resume(&self.log).map_err(|error| disk_error("the build log", &error))?;
        let ended = process::run(command, Stdio::null(), &self.records, &job.cancel, |line| log.line(line))
            .await
            .map_err(|error| self.docker.not_started(&error))?;
        drop(config);
        self.forget_name(&name).await;
        match ended {
            Ended::Exited(status) if status.success() => Ok(()),
            Ended::Cancelled => Err(cancelled()),
            // Somebody else may have pushed the same content: then it is there.
            Ended::Exited(_) if shelf.remote.manifest(&shelf.content).await?.is_some() => Ok(()),
            Ended::Exited(status) => Err(self.explain_push(shelf, status.code(), log.into_tail())),
        }
    }

    fn explain_push(&self, shelf: &Shelf, exit_code: Option<i32>, log: Vec<String>) -> PortError {
        let line = log.iter().rev().find(|line| !line.trim().is_empty()).map_or("no reason given", String::as_str);
        let summary = format!("The image of `{}` could not be pushed: {line}", self.service);
        let host = shelf.repository.address.split('/').next().unwrap_or_default();
        let refusals = ["denied", "unauthorized", "no basic auth credentials", "authentication required"];
        if refusals.iter().any(|sign| line.contains(sign)) {
            return PortError::Denied {
                reason: format!("{summary}. Let the server's login for {host} push to {}", shelf.repository.address),
            };
        }
        if !line.contains("server gave HTTP response to HTTPS client") {
            let passing = if is_passing(line) { "" } else { " (tried again in case it passes)" };
            return PortError::retry(format!("{summary}{passing}"));
        }
        PortError::Failed(Box::new(Failure {
            kind: FailureKind::Environment,
            summary,
            exit_code,
            log,
            advice: format!("Give {host} a certificate, or name it in `insecure-registries` of the Docker engine."),
        }))
    }

    /// The newest image stays as what the next build begins from; the one before goes.
    async fn keep_as_cache(&self, built: &str, local: &str) {
        // What earlier servers called it can be guessed, or was one for every trust.
        for earlier in [format!("{local}:newest"), format!("{local}:newest-{}", self.names.tag(&[local]))] {
            self.forget_name(&earlier).await;
        }
        let Some(label) = self.layers_label().filter(|_| self.trust != Trust::Fork) else {
            self.forget_name(built).await;
            return;
        };
        let newest = format!("{local}:newest-{}", self.names.tag(&[local, &label]));
        let before = self.docker.image_id(&newest).await.ok().flatten();
        if let Err(error) = self.docker.tag(built, &newest).await {
            tracing::debug!(image = newest, %error, "the build's layers may not be found by the next one");
        }
        self.forget_name(built).await;
        let now = self.docker.image_id(&newest).await.ok().flatten();
        if let Some(before) = before.filter(|before| Some(before) != now.as_ref()) {
            self.forget_name(&before).await;
        }
    }

    /// Only the disk pays for a name that stays, as when a container runs from it.
    async fn forget_name(&self, name: &str) {
        if let Err(error) = self.docker.remove_image(name).await {
            tracing::debug!(image = name, %error, "an image stays in the engine");
        }
    }
}
