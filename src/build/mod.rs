//! Sources and images on this host: [`DockerBuilder`]; and [`OciRegistry`], where they may go.
//!
//! # Guarantees
//!
//! - A source is there completely or not at all, and its archive cannot write elsewhere
//!   ([`UnpackLimits`] caps it).
//! - Every call is short: sources arrive and images are built in the background, one job for each
//!   stage, service and commit, and a limited number of each at once, in which repositories take turns.
//! - An image is named by its content: the same context, Dockerfile and arguments are built once. What
//!   is hashed for it is what the builder gets, byte for byte.
//! - With a registry, an image is there once for its content, for all stages of its repository, and
//!   what is handed on names it by the digest that the registry has.
//! - What was built for a commit of one [`Trust`] is never found by a build of another.
//! - What a commit's author can make long, such as reading its tree, ends with the stage or the server.
//! - A cancelled or forgotten build leaves no process: the whole process group ends, also that of a
//!   server that was killed, at the next start.
//! - Nothing secret is on a command line, and nothing of a commit runs on this host itself: only
//!   the Docker command line does, with an environment made of the settings and of nothing else.
//! - A build reads no image that is not a registry's, and fetches nothing in this host's own network,
//!   from this host itself least of all (`bases`, `hosts`, `dockerfile`, `builder`, `policy`).
//! - A build takes no layers that another repository's left, nor a fork's (`layers`, `cache_names`).

mod arrivals;
mod background;
mod bases;
mod builder;
mod cache_names;
mod challenge;
mod content;
mod context;
mod credentials;
mod demand;
mod docker;
mod dockerfile;
mod folders;
#[cfg(test)]
#[path = "../../tests/support/fuzz.rs"]
mod fuzz;
mod gaps;
mod hosts;
mod ignore;
mod image;
mod jobs;
mod layers;
mod line;
mod lines;
mod log;
mod manifest;
mod names;
mod platforms;
mod policy;
mod process;
mod pulls;
mod push;
mod recipe;
mod registry;
mod remote;
mod runner;
mod shelf;
mod source;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod told_tests;
mod unpack;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

#[cfg(doc)]
use crate::model::Trust;
use crate::model::{Artifact, CommitSha, FailureKind, Output, Runtime, ServiceName, ServiceSpec, StageId};
use crate::port::{BuildJob, Builder, PortError, PortResult, Progress, Registry, Site, Tarball};

use arrivals::Arrivals;
use demand::Demand;
use docker::Docker;
use folders::{Folders, Remains};
use image::ImageWork;
use jobs::{JobKey, Jobs};
use names::Names;
pub use registry::OciRegistry;
pub use runner::{Builders, RunnerBuilder, RunnerSettings};
use source::{blocking, disk_error};
pub use unpack::UnpackLimits;

/// Where and with what images are built.
#[derive(Clone)]
pub struct BuildSettings {
    /// A folder of the builder's own; made if absent.
    pub data_dir: PathBuf,
    /// The Docker command line: `docker`, or its path.
    pub docker: PathBuf,
    /// The whole environment of the Docker command line: `PATH`, `HOME`, `DOCKER_HOST`, ... Its
    /// `HTTPS_PROXY` and `NO_PROXY` also lead the way to a registry.
    pub docker_env: Vec<(String, String)>,
    /// Where the target pulls images from; `None` for a target that uses this engine's own.
    pub registry: Option<Arc<dyn Registry>>,
    /// Without such a registry: the host and path prefix of one to keep the build cache in, without a
    /// scheme.
    pub cache: Option<String>,
    pub limits: UnpackLimits,
    /// How many images of one repository are built at once, and one more of others; the number of
    /// processors is a good value. Twice as many sources are fetched.
    pub concurrency: NonZeroUsize,
}

/// Builds with the Docker command line of this host. Dropped, it cancels what it was at.
pub struct DockerBuilder {
    folders: Folders,
    docker: Docker,
    names: Names,
    registry: Option<Arc<dyn Registry>>,
    cache: Option<String>,
    limits: UnpackLimits,
    arrivals: Arrivals,
    jobs: Arc<Jobs>,
    /// Ends what is on its way.
    halt: CancellationToken,
}

impl DockerBuilder {
    /// Opens the data folder, and ends the builds that a killed server left there. Nothing is asked
    /// of Docker yet: without an engine, processes still work.
    pub fn new(settings: BuildSettings) -> PortResult<Self> {
        let BuildSettings { data_dir, docker, docker_env, registry, cache, limits, concurrency } = settings;
        let disk = |error| disk_error("the data folder", &error);
        let folders = Folders::open(&data_dir).map_err(disk)?;
        process::end_orphans(&folders.running()).map_err(disk)?;
        let docker = Docker::new(docker, docker_env);
        let (names, jobs) = (Names::default(), Arc::new(Jobs::new(concurrency.get())));
        let halt = CancellationToken::new();
        // Half of the time that a source takes is spent waiting for GitHub.
        let arrivals = Arrivals::new(2 * concurrency.get(), halt.clone());
        Ok(Self { folders, docker, names, registry, cache, limits, arrivals, jobs, halt })
    }

    /// Names images so that nobody without this key can tell what one is called. Images that were named
    /// without it are still found.
    #[must_use]
    pub fn with_key(mut self, key: &SecretString) -> Self {
        self.names = Names::with_key(key);
        self
    }

    /// Where the target pulls images from, if that is known only now ([`BuildSettings::registry`]).
    #[must_use]
    pub fn with_registry(mut self, registry: Option<Arc<dyn Registry>>) -> Self {
        self.registry = registry;
        self
    }

    /// Ends everything that is under way: the server stops. What is asked for afterwards is put off.
    pub fn halt(&self) {
        self.halt.cancel();
        self.jobs.cancel_all();
    }
}

impl Drop for DockerBuilder {
    fn drop(&mut self) {
        self.halt();
    }
}

#[async_trait]
impl Builder for DockerBuilder {
    async fn source(&self, stage: &StageId, sha: &CommitSha) -> PortResult<Option<Progress<String>>> {
        if let Some(known) = self.arrivals.progress(stage, sha).await {
            return known.map(Some);
        }
        let tree = self.folders.tree(stage, sha);
        if !tree.is_dir() {
            return Ok(None);
        }
        text(&tree).map(|tree| Some(Progress::Done(tree)))
    }

    async fn unpack(&self, stage: &StageId, sha: &CommitSha, tarball: Tarball) -> PortResult<Progress<String>> {
        if let Some(known) = self.source(stage, sha).await? {
            return Ok(known);
        }
        let (folders, limits) = (self.folders.clone(), self.limits);
        let (of, at) = (stage.clone(), sha.clone());
        Ok(self.arrivals.begin(stage, sha, move |demand| async move {
            text(&source::arrive(folders, limits, of, at, tarball, demand).await?)
        }))
    }

    async fn gaps(&self, stage: &StageId, sha: &CommitSha) -> PortResult<Vec<String>> {
        let tree = self.folders.tree(stage, sha);
        blocking(move || gaps::gaps(&tree).map_err(|error| disk_error("the source", &error))).await
    }

    async fn ensure(&self, job: &BuildJob<'_>) -> PortResult<Progress<Output>> {
        if self.halt.is_cancelled() {
            return Err(PortError::retry("the server stops"));
        }
        let Some(path) = job.source else {
            return Err(PortError::Bug { context: "a build here without its source".into(), source: None });
        };
        let source = PathBuf::from(path);
        if !source.is_dir() {
            return Err(PortError::NotFound { what: format!("the unpacked source of {}", job.sha.short()) });
        }
        let key = JobKey {
            stage: job.stage.clone(),
            service: job.service.name.clone(),
            sha: job.sha.clone(),
            trust: job.trust,
        };
        let runtime = &job.service.runtime;
        match runtime {
            Runtime::Process { .. } => {
                let reference = path.to_owned();
                let work = move |demand: Demand| {
                    blocking(move || {
                        let digest = source::digest_of(&source, &demand);
                        let digest = digest.map_err(|error| disk_error("the source", &error))?;
                        Ok(Output::Built(Artifact { reference, digest }))
                    })
                };
                self.jobs.ensure(key, runtime, |job| work(job.demand())).await
            }
            Runtime::Image(spec) => {
                let work = ImageWork {
                    docker: self.docker.clone(),
                    names: self.names.clone(),
                    registry: self.registry.clone(),
                    cache: self.cache.clone(),
                    records: self.folders.running(),
                    logins: self.folders.logins(),
                    log: self.folders.log(job.stage, &job.service.name),
                    stage: job.stage.clone(),
                    place: job.place.clone(),
                    trust: job.trust,
                    service: job.service.name.clone(),
                    spec: spec.clone(),
                    source,
                };
                let jobs = Arc::clone(&self.jobs);
                self.jobs.ensure(key, runtime, |job| work.run(job, jobs)).await
            }
        }
    }

    async fn adopt(&self, site: Site<'_>, service: &ServiceName, artifact: &Artifact) -> PortResult<()> {
        push::adopt(&self.docker, self.registry.as_deref(), site, service, artifact).await
    }

    async fn cancel(&self, stage: &StageId) -> PortResult<()> {
        self.arrivals.cancel(stage).await;
        self.jobs.cancel(stage).await;
        Ok(())
    }

    async fn tidy(&self, stage: &StageId) -> PortResult<()> {
        self.cancel(stage).await?;
        let (folders, stage) = (self.folders.clone(), stage.clone());
        blocking(move || folders.remove_sources(&stage).map_err(|error| disk_error("the stage's sources", &error)))
            .await
    }

    async fn forget(&self, stage: &StageId) -> PortResult<()> {
        self.cancel(stage).await?;
        let (folders, gone) = (self.folders.clone(), stage.clone());
        let remove = move || folders.remove_stage(&gone).map_err(|error| disk_error("the stage's folder", &error));
        if blocking(remove).await? == Remains::Nothing {
            self.docker.remove_builders(&stage.repo).await?;
        }
        Ok(())
    }

    async fn log(&self, stage: &StageId, service: &ServiceSpec, lines: usize) -> PortResult<Vec<String>> {
        let path = self.folders.log(stage, &service.name);
        blocking(move || log::last_lines(&path, lines).map_err(|error| disk_error("the build log", &error))).await
    }

    async fn remove(&self, artifact: &Artifact) -> PortResult<()> {
        // A process's artifact is its source, which `tidy` removes.
        if recipe::is_ours(&artifact.reference) { self.docker.remove_image(&artifact.reference).await } else { Ok(()) }
    }
}

fn text(path: &Path) -> PortResult<String> {
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(PortError::failed(
            FailureKind::Environment,
            format!("The data folder's path is not readable as text: {}", path.display()),
            "Give the server a data folder whose path is UTF-8.",
        )),
    }
}
