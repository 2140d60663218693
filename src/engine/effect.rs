//! The one match over actions: a step becomes calls to the ports, and their answer a line of the
//! log. Nothing is decided here.

use std::sync::Arc;

use super::drive::{Run, artifact_of};
use super::{CALL_LIMIT, Engine, chain};
use crate::decide::{backoff_millis, version_key};
use crate::model::{
    Action, Failure, FailureKind, Output, ServiceName, StageSpec, Step, StepEventKind, StepKey, Wanted,
};
use crate::port::{BuildJob, Phase, PortError, PortResult, Progress, Rollout, Site};

/// A passing fault that lasts for this many tries is no longer passing; while GitHub is away, which
/// only the source is asked of, a step has until its deadline.
const TRIES: u32 = 12;

impl Engine {
    /// Carries out a step and says what to write. Only a lost lane is an error here.
    pub(super) async fn effect(&self, run: &Run, step: &Step, attempt: u32) -> PortResult<StepEventKind> {
        let limited = tokio::time::timeout(CALL_LIMIT, self.act(run, step)).await;
        let result =
            limited.unwrap_or_else(|_| Err(PortError::retry(format!("no answer within {} s", CALL_LIMIT.as_secs()))));
        let now = self.ports.clock.now();
        Ok(match result {
            Ok(Progress::Done(output)) => StepEventKind::Done(output),
            Ok(Progress::Pending { again_millis, note }) => {
                StepEventKind::Pending { again: now.after_millis(again_millis.max(1)), note }
            }
            Err(PortError::Stale) => return Err(PortError::Stale),
            Err(PortError::Retry { reason, after_millis }) if attempt + 1 < TRIES || step.action == Action::Fetch => {
                let attempt = attempt + 1;
                let key = format!("{}#{}", run.deploy.plan.stage, step.key);
                let again = now.after_millis(backoff_millis(&key, attempt, after_millis));
                StepEventKind::Waiting { again, reason, attempt }
            }
            Err(error) => StepEventKind::Failed(failure_of(error, step)),
        })
    }

    async fn act(&self, run: &Run, step: &Step) -> PortResult<Progress<Output>> {
        self.serves(&run.deploy.plan.stage.repo, &step.action).await?;
        match &step.action {
            Action::Fetch => self.fetch(spec_of(run)?).await,
            Action::Prepare => self.ports.cloud.prepare(spec_of(run)?).await,
            Action::Build { service } => self.build(run, service).await,
            Action::Adopt { service } => self.adopt(run, service).await,
            Action::Migrate { service } => self.roll(run, service, Phase::Migrate).await,
            Action::Canary { service } => self.roll(run, service, Phase::Canary).await,
            Action::Start { service } => self.roll(run, service, Phase::Start).await,
            Action::Shift { service } => self.roll(run, service, Phase::Shift).await,
            Action::Check { service } => self.roll(run, service, Phase::Check).await,
            Action::Retire { service } => self.roll(run, service, Phase::Retire).await,
            Action::Tidy => {
                match run.deploy.plan.wanted {
                    Wanted::Live(_) => self.ports.builder.tidy(&run.deploy.plan.stage).await?,
                    Wanted::Gone(_) => self.ports.builder.forget(&run.deploy.plan.stage).await?,
                }
                Ok(Progress::Done(Output::Nothing))
            }
            Action::Remove { resource } => {
                Ok(self.ports.cloud.remove(site_of(run), resource).await?.map(|()| Output::Nothing))
            }
            Action::Prove { planned } => self.prove(run, *planned).await,
        }
    }

    async fn fetch(&self, spec: &StageSpec) -> PortResult<Progress<Output>> {
        let progress = match self.ports.builder.source(&spec.stage, &spec.sha).await? {
            Some(known) => known,
            None => {
                let (forge, repo, sha) = (Arc::clone(&self.ports.forge), spec.stage.repo.clone(), spec.sha.clone());
                let tarball = Box::pin(async move { forge.tarball(&repo, &sha).await });
                self.ports.builder.unpack(&spec.stage, &spec.sha, tarball).await?
            }
        };
        let path = match progress {
            Progress::Done(path) => path,
            Progress::Pending { again_millis, note } => return Ok(Progress::Pending { again_millis, note }),
        };
        // A hint for whoever reads the comment: that it cannot be given stops nothing.
        let gaps = self.ports.builder.gaps(&spec.stage, &spec.sha).await.unwrap_or_else(|error| {
            tracing::debug!(stage = %spec.stage, %error, "what the source lacks is not known");
            Vec::new()
        });
        Ok(Progress::Done(Output::Source { path, gaps }))
    }

    async fn build(&self, run: &Run, service: &ServiceName) -> PortResult<Progress<Output>> {
        let spec = spec_of(run)?;
        let service = service_of(spec, service)?;
        let job = |source| BuildJob {
            stage: &spec.stage,
            place: &spec.place,
            sha: &spec.sha,
            trust: spec.trust,
            service,
            generation: run.deploy.plan.generation,
            builds: &spec.builds,
            source,
        };
        if spec.builds_elsewhere(service) {
            return self.ports.builder.ensure(&job(None)).await;
        }
        let fetched = run.log.output(&StepKey("fetch".into()));
        let Some(Output::Source { path, .. }) = fetched else { return Err(missing("the source", &spec.stage)) };
        match self.ports.builder.ensure(&job(Some(path))).await {
            Err(gone @ PortError::NotFound { .. }) => {
                if let Some(Progress::Done(here)) = self.ports.builder.source(&spec.stage, &spec.sha).await?
                    && here == *path
                {
                    return Err(gone);
                }
                // Another server fetched the source, into a folder of its own.
                match self.fetch(spec).await? {
                    Progress::Done(Output::Source { path: here, .. }) => {
                        self.ports.builder.ensure(&job(Some(&here))).await
                    }
                    progress => Ok(progress),
                }
            }
            answer => answer,
        }
    }

    async fn adopt(&self, run: &Run, service: &ServiceName) -> PortResult<Progress<Output>> {
        let plan = &run.deploy.plan;
        let Some(artifact) = artifact_of(plan, &run.log, service) else {
            return Err(missing("the artifact", &plan.stage));
        };
        self.ports.builder.adopt(site_of(run), service, artifact).await?;
        Ok(Progress::Done(Output::Reused(artifact.clone())))
    }

    async fn roll(&self, run: &Run, service: &ServiceName, phase: Phase) -> PortResult<Progress<Output>> {
        let spec = spec_of(run)?;
        let service = service_of(spec, service)?;
        let Some(artifact) = artifact_of(&run.deploy.plan, &run.log, &service.name) else {
            // A failed build leaves nothing to roll out, and nothing to retire.
            return if phase == Phase::Retire {
                Ok(Progress::Done(Output::Nothing))
            } else {
                Err(missing("the artifact", &spec.stage))
            };
        };
        let version = version_key(service, artifact);
        let generation = run.deploy.plan.generation;
        let rollout = Rollout { stage: spec, service, artifact, version: &version, generation };
        self.ports.cloud.ensure(phase, &rollout).await
    }

    async fn prove(&self, run: &Run, planned: u32) -> PortResult<Progress<Output>> {
        let left = self.ports.cloud.inventory(site_of(run)).await?;
        if left.is_empty() {
            return Ok(Progress::Done(Output::Left { removed: planned, left }));
        }
        let names: Vec<String> = left.iter().take(10).map(ToString::to_string).collect();
        let summary = format!("{} of {planned} left: {}", left.len(), names.join(", "));
        Err(PortError::failed(FailureKind::Environment, summary, "Greenroom tries again in five minutes."))
    }
}

fn site_of(run: &Run) -> Site<'_> {
    Site { stage: &run.deploy.plan.stage, place: &run.deploy.plan.place }
}

fn spec_of(run: &Run) -> PortResult<&StageSpec> {
    match &run.deploy.plan.wanted {
        Wanted::Live(spec) => Ok(spec),
        Wanted::Gone(_) => Err(missing("a goal to deploy", &run.deploy.plan.stage)),
    }
}

fn service_of<'a>(spec: &'a StageSpec, name: &ServiceName) -> PortResult<&'a crate::model::ServiceSpec> {
    spec.service(name).ok_or_else(|| missing("the service", &spec.stage))
}

fn missing(what: &str, stage: &crate::model::StageId) -> PortError {
    PortError::Bug { context: format!("{what} of {stage} is missing from the plan or its log"), source: None }
}

fn failure_of(error: PortError, step: &Step) -> Failure {
    match error {
        PortError::Failed(failure) => *failure,
        PortError::Denied { reason } => {
            let next = match step.action {
                Action::Remove { .. } | Action::Prove { .. } => "Greenroom tries again every five minutes.",
                _ => "Then push again or redeploy.",
            };
            Failure::new(FailureKind::Environment, reason, format!("Grant what is missing. {next}"))
        }
        PortError::NotFound { what } => Failure::new(
            FailureKind::Source,
            format!("{what} does not exist"),
            "Push again if it was removed by mistake.",
        ),
        PortError::Retry { reason, .. } => Failure::new(
            FailureKind::GaveUp,
            format!("gave up after {TRIES} tries: {reason}"),
            "It is on the other side. Deploy again once that is back.",
        ),
        error @ (PortError::Stale | PortError::Bug { .. }) => {
            let cause = chain(&error);
            tracing::error!(step = %step.key, "step {} hit a bug: {cause}", step.key);
            Failure::new(
                FailureKind::Bug,
                format!("Greenroom itself failed: {error}"),
                "This is a fault in Greenroom: its server's log says more.",
            )
        }
    }
}
