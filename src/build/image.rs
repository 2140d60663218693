//! One image, from its recipe to the engine's store.

use std::path::PathBuf;
use std::sync::Arc;

use super::docker::{CacheExport, Docker, Tools, engine_missing, is_engine_missing};
use super::jobs::{Job, Jobs};
use super::log::BuildLog;
use super::process::{self, Ended};
use super::recipe::{self, Recipe};
use super::source::{blocking, disk_error};
use crate::model::{Artifact, Failure, FailureKind, ImageSpec, Output, ServiceName, StageId};
use crate::port::{PortError, PortResult};

/// Everything that the work in the background takes along.
pub(super) struct ImageWork {
    pub(super) docker: Docker,
    pub(super) registry: Option<String>,
    /// Where runs are on record.
    pub(super) records: PathBuf,
    pub(super) log: PathBuf,
    pub(super) stage: StageId,
    pub(super) service: ServiceName,
    pub(super) spec: ImageSpec,
    pub(super) source: PathBuf,
}

impl ImageWork {
    /// Finds the image by its content, or builds it.
    pub(super) async fn run(self, job: Arc<Job>, jobs: Arc<Jobs>) -> PortResult<Output> {
        let tools = self.docker.tools().await?;
        let work = Arc::new(self);
        let reading = Arc::clone(&work);
        let recipe =
            blocking(move || recipe::read(&reading.stage, &reading.service, &reading.spec, &reading.source, tools))
                .await?;
        if let Some(found) = work.find(&recipe).await? {
            return Ok(Output::Reused(found));
        }
        let Some(_turn) = jobs.turn(&job).await else { return Err(cancelled()) };
        // The same content may have been built while this waited.
        if let Some(found) = work.find(&recipe).await? {
            return Ok(Output::Reused(found));
        }
        work.build(&recipe, tools, &job).await?;
        match work.find(&recipe).await? {
            Some(built) => Ok(Output::Built(built)),
            None => Err(PortError::retry("the image was removed right after it was built")),
        }
    }

    async fn find(&self, recipe: &Recipe) -> PortResult<Option<Artifact>> {
        let id = self.docker.image_id(&recipe.reference).await?;
        Ok(id.map(|digest| Artifact { reference: recipe.reference.clone(), digest }))
    }

    async fn build(&self, recipe: &Recipe, tools: Tools, job: &Job) -> PortResult<()> {
        let mut command = self.docker.command();
        command.args(self.arguments(recipe, tools));
        // On the command line stand their names alone.
        command.envs(&self.spec.args);
        if tools == Tools::Legacy {
            command.env("DOCKER_BUILDKIT", "0");
        }
        let mut log = BuildLog::begin(&self.log).map_err(|error| disk_error("the build log", &error))?;
        tracing::info!(stage = %self.stage, service = %self.service, image = recipe.reference, "building");
        let on_line = |line: &str| {
            log.line(line);
            if let Some(step) = step_of(line) {
                job.at_step(step);
            }
        };
        let ended = process::run(command, &self.records, &job.cancel, on_line)
            .await
            .map_err(|error| self.docker.not_started(&error))?;
        match ended {
            Ended::Exited(status) if status.success() => Ok(()),
            Ended::Exited(status) => Err(self.explain(status.code(), log.into_tail())),
            Ended::Cancelled => Err(cancelled()),
        }
    }

    fn arguments(&self, recipe: &Recipe, tools: Tools) -> Vec<String> {
        let mut args: Vec<String> = match tools {
            Tools::Buildx(_) => ["buildx", "build", "--progress=plain", "--provenance=false", "--load"].as_slice(),
            // Containers of failed steps would stay otherwise.
            Tools::Legacy => ["build", "--force-rm"].as_slice(),
        }
        .iter()
        .map(ToString::to_string)
        .collect();
        args.push(format!("--tag={}", recipe.reference));
        args.push(format!("--file={}", recipe.dockerfile.display()));
        args.push(format!("--label=greenroom.repo={}", self.stage.repo));
        args.push(format!("--label=greenroom.stage={}", self.stage.name));
        args.push(format!("--label=greenroom.service={}", self.service));
        args.extend(self.spec.target.iter().map(|target| format!("--target={target}")));
        args.extend(self.spec.platform.iter().map(|platform| format!("--platform={}", platform.as_str())));
        args.extend(self.spec.args.keys().map(|name| format!("--build-arg={name}")));
        if let (Some(registry), Tools::Buildx(export)) = (&self.registry, tools) {
            // One cache for each stage: what a pull request writes is never read by another stage.
            let prefix = recipe::repo_prefix(&self.stage);
            let cache = format!("type=registry,ref={registry}/{prefix}/cache:{}-{}", self.stage.name, self.service);
            args.push(format!("--cache-from={cache}"));
            if export == CacheExport::Possible {
                args.push(format!("--cache-to={cache},mode=max,ignore-error=true"));
            }
        }
        args.push(recipe.context.display().to_string());
        args
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

fn cancelled() -> PortError {
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

/// A fault between engine and registry that time may mend.
fn is_passing(line: &str) -> bool {
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
    ];
    signs.iter().any(|sign| line.contains(sign))
}

fn advice_for(text: &str) -> (FailureKind, Option<String>) {
    let advice = |text: &str| Some(text.to_owned());
    if text.contains("no space left on device") {
        let what = "The engine's disk is full. `docker system prune` on the server makes room.";
        (FailureKind::Environment, advice(what))
    } else if text.contains("requires BuildKit") || text.contains("BuildKit is enabled but the buildx") {
        let what = "The Dockerfile wants BuildKit: install Docker's `buildx` plugin on the server.";
        (FailureKind::Environment, advice(what))
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
