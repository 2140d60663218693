//! One image, from its recipe to the engine's store; `push` takes it on to a registry.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::builder::{self, BUILD_NETWORK};
use super::cache_names;
use super::credentials::PrivateConfig;
use super::docker::{Docker, Tools, engine_missing, is_engine_missing};
use super::jobs::{Job, Jobs};
use super::log::BuildLog;
use super::manifest::DEFAULT_PLATFORM;
use super::names::Names;
use super::policy;
use super::process::{self, Ended};
use super::recipe::{self, Purpose, Recipe, Sources};
use super::source::{blocking, disk_error};
use crate::model::{Artifact, Failure, FailureKind, ImageSpec, Output, Place, Platform, ServiceName, StageId, Trust};
use crate::port::{PortError, PortResult, Registry};

/// What the engine says of an image for another processor.
pub(super) const OTHER_PLATFORM: &str = "does not match the specified platform";

/// What becomes of the layers of earlier builds.
#[derive(Clone, Copy)]
pub(super) enum Layers<'a> {
    /// Those of this engine that it may have, and those of a cache.
    Reused(Option<&'a Cache>),
    Fresh,
}

/// Where a build keeps its layers for the next one.
pub(super) struct Cache {
    /// A repository.
    pub(super) address: String,
    pub(super) format: CacheFormat,
    /// What it takes to write there.
    pub(super) config: Option<PrivateConfig>,
}

/// How a cache is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheFormat {
    Default,
    /// As an image. ECR answers a cache that is an index with 400: aws/containers-roadmap#876. Every
    /// registry takes this one.
    Image,
}

impl CacheFormat {
    fn options(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Image => ",image-manifest=true,oci-mediatypes=true",
        }
    }
}

/// How one run of the builder ended.
enum Attempt {
    Done,
    Failed(Option<i32>),
    /// The engine has no network for builds yet, or the commit says so.
    NoNetwork(Option<i32>),
    Cancelled,
}

/// How the command line is told to build.
struct Call<'a> {
    arguments: Vec<String>,
    /// Beside what it always has.
    environment: Option<(&'static str, OsString)>,
    config: Option<&'a PrivateConfig>,
}

/// Everything that the work in the background takes along.
pub(super) struct ImageWork {
    pub(super) docker: Docker,
    pub(super) names: Names,
    /// Where the target pulls from; `None` where it uses this engine's own images.
    pub(super) registry: Option<Arc<dyn Registry>>,
    /// The host and path prefix of a registry for the cache, where `registry` has no say.
    pub(super) cache: Option<String>,
    /// Where runs are on record.
    pub(super) records: PathBuf,
    /// Where private Docker configurations lie for a moment.
    pub(super) logins: PathBuf,
    pub(super) log: PathBuf,
    pub(super) stage: StageId,
    pub(super) place: Place,
    pub(super) trust: Trust,
    pub(super) service: ServiceName,
    pub(super) spec: ImageSpec,
    pub(super) source: PathBuf,
}

impl ImageWork {
    /// Finds the image by its content, or builds it.
    pub(super) async fn run(self, job: Arc<Job>, jobs: Arc<Jobs>) -> PortResult<Output> {
        let tools = self.docker.tools().await?;
        let work = Arc::new(self);
        let (reading, demand) = (Arc::clone(&work), job.demand());
        let recipe = blocking(move || {
            let sources = Sources { root: &reading.source, tools, names: &reading.names, demand: &demand };
            recipe::read(&reading.for_whom(), &reading.spec, &sources)
        });
        let recipe = recipe.await?;
        match &work.registry {
            Some(registry) => work.share(registry.as_ref(), recipe, tools, &job, &jobs).await,
            None => work.keep(recipe, tools, &job, &jobs).await,
        }
    }

    pub(super) fn for_whom(&self) -> Purpose<'_> {
        Purpose { stage: &self.stage, kind: self.place.kind, trust: self.trust, service: &self.service }
    }

    /// The image stays in this engine.
    async fn keep(&self, recipe: Recipe, tools: Tools, job: &Job, jobs: &Jobs) -> PortResult<Output> {
        if let Some(found) = self.find(&recipe).await? {
            return Ok(Output::Reused(found));
        }
        let Some(_turn) = jobs.turn(job).await else { return Err(cancelled()) };
        // The same content may have been built while this waited.
        if let Some(found) = self.find(&recipe).await? {
            return Ok(Output::Reused(found));
        }
        let prefix = recipe::repo_prefix(&self.stage);
        let cache = self.cache.as_ref().map(|registry| Cache {
            address: format!("{registry}/{prefix}/cache"),
            format: CacheFormat::Default,
            config: None,
        });
        self.build(&recipe, tools, job, Layers::Reused(cache.as_ref())).await?;
        match self.find(&recipe).await? {
            Some(built) => Ok(Output::Built(built)),
            None => Err(PortError::retry("the image was removed right after it was built")),
        }
    }

    async fn find(&self, recipe: &Recipe) -> PortResult<Option<Artifact>> {
        for reference in [Some(&recipe.reference), recipe.earlier.as_ref()].into_iter().flatten() {
            if let Some(digest) = self.docker.image_id(reference).await? {
                return Ok(Some(Artifact { reference: reference.clone(), digest }));
            }
        }
        Ok(None)
    }

    pub(super) async fn build(&self, recipe: &Recipe, tools: Tools, job: &Job, layers: Layers<'_>) -> PortResult<()> {
        let mut log = BuildLog::begin(&self.log).map_err(|error| disk_error("the build log", &error))?;
        let own = self.own_place().await?;
        self.judge(recipe, tools, own.as_deref(), job, &mut log).await?;
        let mut policy = None;
        let mut earlier = Vec::new();
        match (tools, layers) {
            (Tools::Buildx, _) => {
                self.docker.make_builder(&self.stage.repo, self.trust).await?;
                if let Some(own) = &own {
                    let rules = policy::written(own, &self.logins)?;
                    self.try_policy(own, rules.path(), job, &mut log).await?;
                    policy = Some(rules);
                }
            }
            (Tools::Legacy, Layers::Reused(_)) => earlier = self.layers().await?,
            (Tools::Legacy, Layers::Fresh) => {}
        }
        let call = Call {
            arguments: self.arguments(recipe, tools, layers, &earlier),
            environment: match tools {
                Tools::Legacy => Some(("DOCKER_BUILDKIT", "0".into())),
                Tools::Buildx => policy.as_ref().map(|rules| (policy::VARIABLE, rules.path().into())),
            },
            config: match layers {
                Layers::Reused(Some(cache)) => cache.config.as_ref(),
                _ => None,
            },
        };
        tracing::info!(stage = %self.stage, service = %self.service, image = recipe.reference, "building");
        let mut ended = self.attempt(recipe, &call, job, &mut log).await?;
        if let Attempt::NoNetwork(_) = ended {
            self.docker.make_network().await?;
            ended = self.attempt(recipe, &call, job, &mut log).await?;
        }
        match ended {
            Attempt::Done => Ok(()),
            Attempt::Failed(code) | Attempt::NoNetwork(code) => Err(self.explain(code, log.into_tail())),
            Attempt::Cancelled => Err(cancelled()),
        }
    }

    async fn attempt(&self, recipe: &Recipe, call: &Call<'_>, job: &Job, log: &mut BuildLog) -> PortResult<Attempt> {
        let mut command = self.docker.command();
        if let Some(config) = call.config {
            command.arg("--config").arg(config.path());
        }
        command.args(&call.arguments).envs(call.environment.iter().map(|(name, value)| (name, value)));
        let (context, folder, demand) = (Arc::clone(&recipe.context), self.records.clone(), job.demand());
        let archive = blocking(move || context.spool(&folder, &demand)).await?;
        let mut lacks_network = false;
        let on_line = |line: &str| {
            log.line(line);
            lacks_network |= builder::is_network_missing(line);
            if let Some(step) = step_of(line) {
                job.at_step(step);
            }
        };
        let ended = process::run(command, archive.into(), &self.records, &job.cancel, on_line)
            .await
            .map_err(|error| self.docker.not_started(&error))?;
        Ok(match ended {
            Ended::Exited(status) if status.success() => Attempt::Done,
            Ended::Exited(status) if lacks_network => Attempt::NoNetwork(status.code()),
            Ended::Exited(status) => Attempt::Failed(status.code()),
            Ended::Cancelled => Attempt::Cancelled,
        })
    }

    /// `earlier`: what the first builder may take layers from.
    fn arguments(&self, recipe: &Recipe, tools: Tools, layers: Layers<'_>, earlier: &[String]) -> Vec<String> {
        let mut args: Vec<String> = match tools {
            Tools::Buildx => ["buildx", "build", "--progress=plain", "--provenance=false", "--load"].as_slice(),
            // Containers of failed steps would stay otherwise.
            Tools::Legacy => ["build", "--force-rm"].as_slice(),
        }
        .iter()
        .map(ToString::to_string)
        .collect();
        args.push(match tools {
            Tools::Buildx => format!("--builder={}", builder::name(&self.stage.repo, self.trust)),
            Tools::Legacy => format!("--network={BUILD_NETWORK}"),
        });
        args.push(format!("--tag={}", recipe.reference));
        args.push(format!("--file={}", recipe.context.dockerfile()));
        args.push(format!("--label=greenroom.repo={}", self.stage.repo));
        args.push(format!("--label=greenroom.service={}", self.service));
        // What it was made from can be checked against what was sent.
        args.push(format!("--label=greenroom.context=sha256:{}", recipe.context.digest()));
        // What all stages share is not marked as one's.
        if self.registry.is_none() {
            args.push(format!("--label=greenroom.stage={}", self.stage.name));
        }
        args.extend(self.spec.target.iter().map(|target| format!("--target={target}")));
        args.extend(self.platform().iter().map(|platform| format!("--platform={}", platform.as_str())));
        // They are no secrets: Docker shows them in the image's history. In the environment of the command
        // line they would be settings of it.
        args.extend(self.spec.args.iter().map(|(name, value)| format!("--build-arg={name}={value}")));
        // What a build keeps for the next one in `RUN --mount=type=cache`.
        if tools == Tools::Buildx {
            let mounts = cache_names::mounts(&self.stage, &self.for_whom().shelf());
            args.push(format!("--build-arg=BUILDKIT_CACHE_MOUNT_NS={mounts}"));
        }
        // A builder is that of all forks.
        let is_of_forks = self.trust == Trust::Fork && tools == Tools::Buildx;
        let layers = if is_of_forks { Layers::Fresh } else { layers };
        if tools == Tools::Legacy {
            args.push(self.layers_argument());
            args.extend(earlier.iter().map(|image| format!("--cache-from={image}")));
        }
        if matches!(layers, Layers::Fresh) || (tools == Tools::Legacy && earlier.is_empty()) {
            args.push("--no-cache".to_owned());
        }
        if let (Layers::Reused(Some(cache)), Tools::Buildx) = (layers, tools) {
            // One cache for each stage and trust: what a pull request writes is never read by another.
            let tag = cache_names::tag(&self.stage, self.trust, &self.service);
            let place = format!("type=registry,ref={}:{tag}", cache.address);
            args.push(format!("--cache-from={place}"));
            let format = cache.format.options();
            args.push(format!("--cache-to={place},mode=max{format},ignore-error=true"));
        }
        // The archive comes on standard input.
        args.push("-".to_owned());
        args
    }

    /// What the image has to be for; without a registry, what this engine runs.
    pub(super) fn platform(&self) -> Option<Platform> {
        self.spec.platform.or(self.registry.is_some().then_some(DEFAULT_PLATFORM))
    }

    /// Why a build failed: the commit, the server, or a passing fault on the way to a registry.
    fn explain(&self, code: Option<i32>, log: Vec<String>) -> PortError {
        let text = log.join("\n");
        if is_engine_missing(&text) {
            return engine_missing(&text);
        }
        let inner = exit_code_of_step(&log);
        if inner.is_none()
            && let Some(line) = log.iter().rev().find(|line| is_passing(line))
        {
            return PortError::retry(format!("the image of `{}` could not be built: {line}", self.service));
        }
        let (kind, advice) = advice_for(&text);
        let how = match (inner, code) {
            (Some(inner), _) => format!("a step ended with exit code {inner}"),
            (None, Some(code)) => format!("the build ended with exit code {code}"),
            (None, None) => "the build was killed".to_owned(),
        };
        PortError::Failed(Box::new(Failure {
            kind,
            summary: format!("The image of `{}` could not be built: {how}", self.service),
            exit_code: inner.or(code),
            log,
            advice: advice.unwrap_or_else(|| {
                format!(
                    "The last lines say why. `docker build {}` should show the same on your machine.",
                    self.spec.context
                )
            }),
        }))
    }
}

pub(super) fn cancelled() -> PortError {
    PortError::retry("the build was cancelled")
}

/// `3/7` of `Step 3/7 : RUN make` (the first builder) or `#9 [web 3/7] RUN make` (`BuildKit`).
fn step_of(line: &str) -> Option<&str> {
    let word = match line.strip_prefix("Step ") {
        Some(rest) => rest.split_once(" : ")?.0,
        None => line.strip_prefix('#')?.split_once(" [")?.1.split_once("] ")?.0.rsplit(' ').next()?,
    };
    let (at, of) = word.split_once('/')?;
    let number = |text: &str| !text.is_empty() && text.len() < 5 && text.bytes().all(|b| b.is_ascii_digit());
    (number(at) && number(of)).then_some(word)
}

/// The exit code of the command that failed inside the build, from the words of either builder.
fn exit_code_of_step(log: &[String]) -> Option<i32> {
    log.iter().rev().find_map(|line| {
        let (_, code) = line
            .split_once("returned a non-zero code: ")
            .or_else(|| line.split_once("did not complete successfully: exit code: "))?;
        let digits = code.find(|c: char| !c.is_ascii_digit()).unwrap_or(code.len());
        code[..digits].parse().ok()
    })
}

/// A fault of the engine, or between it and a registry, that time may mend.
pub(super) fn is_passing(line: &str) -> bool {
    let signs = [
        "TLS handshake timeout",
        "i/o timeout",
        "connection reset by peer",
        "Temporary failure in name resolution",
        "toomanyrequests",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
        "unexpected EOF",
        // The first builder lost an image that it builds on: it went with another one just now. These
        // are the words in which it says so.
        "No such image: sha256:",
        "failed to get digest sha256:",
        "unable to find image \"sha256:",
        "unknown parent image ID",
        "layer does not exist",
    ];
    signs.iter().any(|sign| line.contains(sign))
}

fn advice_for(text: &str) -> (FailureKind, Option<String>) {
    let advice = |text: &str| Some(text.to_owned());
    if text.contains("no space left on device") {
        let what = "The engine's disk is full. `docker system prune` on the server makes room.";
        (FailureKind::Environment, advice(what))
    } else if policy::is_denial(text) {
        (FailureKind::Build, advice(policy::NOT_THERE_EITHER))
    } else if text.contains("requires BuildKit") || text.contains("BuildKit is enabled but the buildx") {
        let what = "The Dockerfile wants BuildKit: install Docker's `buildx` plugin on the server.";
        (FailureKind::Environment, advice(what))
    } else if text.contains(OTHER_PLATFORM) || text.contains("no match for platform") {
        let what = "An image that the Dockerfile begins with is not there for this processor: set `build.platform` to \
                    one that it is there for, or begin with another.";
        (FailureKind::Build, advice(what))
    } else if text.contains("exec format error") {
        let what = "The image is for another processor than the server's: set `build.platform` to the server's own, \
                    or install emulation there (`tonistiigi/binfmt`).";
        (FailureKind::Build, advice(what))
    } else {
        (FailureKind::Build, None)
    }
}

#[cfg(test)]
mod tests;
