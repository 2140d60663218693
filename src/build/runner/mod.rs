//! Images that the repository's own workflow builds: [`RunnerBuilder`], and [`Builders`], which sends each build
//! where the policy wants it.
//!
//! # Guarantees
//!
//! - The truth is the digest under the content's tag in the registry. It is taken whatever the run says, because
//!   the manifest is what a push writes last and only job `push`, which runs nothing of the repository, may write
//!   it; and nothing else is taken, however well the run ended.
//! - A content that is in the registry already starts no run.
//! - A run is named by a [`Nonce`] that follows from what it is for. Whoever takes over from a process that was
//!   killed finds its run by that name and starts no second one; should there be two, one is ended.
//! - A run counts only if it is of our workflow on the default branch, started by dispatch, by our own account.
//! - What nobody wants any more is asked to end, and 30 s later forced to: also where the process that gave it up
//!   died over it, within one look at the repository.
//! - Each call is short: what a run is at is asked, never waited for.

mod explain;
mod order;
mod router;
mod state;
mod strays;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::docker::Docker;
use super::jobs::locked;
use super::shelf::Shelf;
use crate::model::{
    Artifact, BUILD_WORKFLOW, Branch, CommitSha, FailureKind, Generation, ImageSpec, Nonce, Output, RepoName, Runtime,
    Seconds, ServiceName, ServiceSpec, StageId, Timestamp, Trust, note_with_page,
};
use crate::port::{
    BuildJob, Clock, Conclusion, Dispatch, Dispatched, PortError, PortResult, Progress, Registry, Site, Workflows,
};

use order::Destination;
pub use router::Builders;
use state::{Asked, Trouble, Verdict, Waiting, judge, judge_without_image};
use strays::Strays;

/// Lines of a failed run's log that are shown.
const LOG_LINES: usize = 40;

/// What builds on runners are made with.
#[derive(Clone)]
pub struct RunnerSettings {
    pub workflows: Arc<dyn Workflows>,
    /// Where the target pulls images from; `None` where it pulls from nowhere.
    pub registry: Option<Arc<dyn Registry>>,
    pub clock: Arc<dyn Clock>,
    /// The Docker command line, whose configuration knows how to log in to a registry. It runs nothing.
    pub docker: PathBuf,
    /// Its whole environment.
    pub docker_env: Vec<(String, String)>,
    /// How long a run may take.
    pub deadline: Seconds,
}

/// Has images built by the workflow `greenroom-build.yml`.
pub struct RunnerBuilder {
    workflows: Arc<dyn Workflows>,
    registry: Option<Arc<dyn Registry>>,
    clock: Arc<dyn Clock>,
    docker: Docker,
    deadline: Seconds,
    followed: Mutex<HashMap<Key, Followed>>,
    strays: Arc<Strays>,
}

/// One build.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    stage: StageId,
    service: ServiceName,
    generation: Generation,
    sha: CommitSha,
    trust: Trust,
}

/// What was ordered, once it is known.
struct Order {
    nonce: Nonce,
    content: String,
    /// Whose workflow runs.
    branch: Branch,
    inputs: BTreeMap<&'static str, String>,
}

/// A build as this process knows it.
#[derive(Clone)]
struct Followed {
    order: Arc<Order>,
    asked: Asked,
    run: Option<u64>,
    page: Option<String>,
    /// When its run was first seen to have ended.
    ended: Option<Timestamp>,
}

impl RunnerBuilder {
    /// Asks nothing yet.
    pub fn new(settings: RunnerSettings) -> Self {
        let RunnerSettings { workflows, registry, clock, docker, docker_env, deadline } = settings;
        let strays = Arc::new(Strays::new(workflows.clone(), clock.clone()));
        let docker = Docker::new(docker, docker_env);
        Self { workflows, registry, clock, docker, deadline, followed: Mutex::default(), strays }
    }

    /// Brings the build on by one look.
    async fn ensure(&self, job: &BuildJob<'_>) -> PortResult<Progress<Output>> {
        let Runtime::Image(spec) = &job.service.runtime else {
            return Err(PortError::Bug { context: "a runner builds images alone".into(), source: None });
        };
        self.strays.end_late().await;
        let key = key_of(job);
        let known = locked(&self.followed).get(&key).cloned();
        let mut followed = match known {
            Some(followed) => followed,
            None => {
                let (order, shelf) = self.order(job, spec).await?;
                if let Some(found) = shelf.take(&job.service.name, spec.platform).await? {
                    return Ok(Progress::Done(Output::Reused(found)));
                }
                Followed { order: Arc::new(order), asked: Asked::No, run: None, page: None, ended: None }
            }
        };
        let answer = self.bring_on(job, spec, &mut followed).await;
        let mut all = locked(&self.followed);
        match &answer {
            // It is asked again, and nothing of what is known is lost.
            Ok(Progress::Pending { .. }) | Err(PortError::Retry { .. }) => drop(all.insert(key, followed)),
            Ok(Progress::Done(_)) | Err(_) => drop(all.remove(&key)),
        }
        answer
    }

    async fn bring_on(
        &self,
        job: &BuildJob<'_>,
        spec: &ImageSpec,
        followed: &mut Followed,
    ) -> PortResult<Progress<Output>> {
        let seen = self.look(job, followed).await?;
        let now = self.clock.now();
        match judge(followed.asked, seen, now) {
            Verdict::Ask => self.ask(job, followed).await,
            Verdict::Wait(waiting) => Ok(pending(waiting, followed)),
            Verdict::Fail(trouble) => match self.made(job, spec, followed).await? {
                // Of a run that is not there any more the image may be.
                Some(made) => Ok(Progress::Done(Output::Built(made))),
                None => Err(self.explain(job, trouble, followed).await),
            },
            Verdict::Collect(conclusion) => {
                let since = *followed.ended.get_or_insert(now);
                self.collect(job, spec, followed, conclusion, since).await
            }
        }
    }

    /// What the registry has.
    async fn made(&self, job: &BuildJob<'_>, spec: &ImageSpec, followed: &Followed) -> PortResult<Option<Artifact>> {
        let shelf = self.shelf(job, &followed.order.content).await?;
        shelf.take(&job.service.name, spec.platform).await
    }

    /// What was made, or what there is to say of it.
    async fn collect(
        &self,
        job: &BuildJob<'_>,
        spec: &ImageSpec,
        followed: &Followed,
        conclusion: Conclusion,
        since: Timestamp,
    ) -> PortResult<Progress<Output>> {
        if let Some(made) = self.made(job, spec, followed).await? {
            if conclusion != Conclusion::Success {
                let page = followed.page.as_deref().unwrap_or_default();
                tracing::info!(stage = %job.stage, page, "a run did not end well, and its image is there: it is taken");
            }
            return Ok(Progress::Done(Output::Built(made)));
        }
        match judge_without_image(conclusion, since, self.clock.now()) {
            Verdict::Wait(waiting) => Ok(pending(waiting, followed)),
            Verdict::Fail(trouble) => Err(self.explain(job, trouble, followed).await),
            Verdict::Ask | Verdict::Collect(_) => Err(self.explain(job, Trouble::NoImage, followed).await),
        }
    }

    /// Asks for a run. Of a wish that was not answered it is not known whether it was heard: its run is looked
    /// for before it is made again.
    async fn ask(&self, job: &BuildJob<'_>, followed: &mut Followed) -> PortResult<Progress<Output>> {
        let order = followed.order.clone();
        let repo = &job.stage.repo;
        let dispatch = Dispatch { repo, workflow: BUILD_WORKFLOW, branch: &order.branch, inputs: &order.inputs };
        followed.asked = Asked::Unheard(self.clock.now());
        // Whoever asks may give up on the answer, and must not ask again at once.
        locked(&self.followed).insert(key_of(job), followed.clone());
        let dispatched = self.workflows.dispatch(&dispatch).await?;
        followed.asked = Asked::Heard(self.clock.now());
        if let Dispatched::Run(run) = dispatched {
            followed.run = Some(run);
        }
        tracing::info!(stage = %job.stage, service = %job.service.name, nonce = %order.nonce, "asked for a runner");
        Ok(pending(Waiting::Listing, followed))
    }

    async fn order(&self, job: &BuildJob<'_>, spec: &ImageSpec) -> PortResult<(Order, Shelf)> {
        let registry = self.registry()?;
        let content = order::content(&*self.workflows, job, spec).await?;
        let shelf = self.shelf(job, &content).await?;
        let branch = self.workflows.default_branch(&job.stage.repo).await?;
        let cache = registry.cache(site_of(job), &job.service.name).await?;
        let to = Destination { address: &shelf.repository.address, tag: &shelf.content, cache: cache.as_deref() };
        let nonce = order::nonce(job, &to);
        let inputs = order::inputs(job, spec, &nonce, &to, self.deadline);
        Ok((Order { nonce, content, branch, inputs }, shelf))
    }

    async fn shelf(&self, job: &BuildJob<'_>, content: &str) -> PortResult<Shelf> {
        Shelf::open(&**self.registry()?, &self.docker, site_of(job), &job.service.name, content).await
    }

    fn registry(&self) -> PortResult<&Arc<dyn Registry>> {
        self.registry.as_ref().ok_or_else(|| {
            PortError::failed(
                FailureKind::Environment,
                "A runner's image would go nowhere: this server's target pulls from no registry",
                "Write `builder: docker` in `.github/greenroom.yml` of the default branch, or deploy to AWS.",
            )
        })
    }

    async fn explain(&self, job: &BuildJob<'_>, trouble: Trouble, followed: &Followed) -> PortError {
        let log = match (trouble, followed.run) {
            (Trouble::Ended(_), Some(run)) => self.workflows.log(&job.stage.repo, run, LOG_LINES).await,
            _ => Ok(Vec::new()),
        };
        // What cannot be shown stops nobody from being told what happened.
        explain::failure(&job.service.name, trouble, followed.page.as_deref(), log.unwrap_or_default())
    }

    /// Ends what this process follows for a stage.
    async fn cancel(&self, stage: &StageId) {
        let ending: Vec<Followed> =
            locked(&self.followed).extract_if(|key, _| key.stage == *stage).map(|(_, followed)| followed).collect();
        let runs: Vec<u64> = ending.iter().filter(|it| it.ended.is_none()).filter_map(|it| it.run).collect();
        self.strays.end(&stage.repo, &runs).await;
    }

    /// The same of whatever runs for a stage, whoever asked for it.
    async fn call_off(&self, stage: &StageId) {
        self.cancel(stage).await;
        self.strays.end_all_of(stage).await;
    }

    /// The same of what runs for older goals of these stages than they have now.
    async fn end_leftovers(&self, repo: &RepoName, stages: &[(StageId, Generation)]) -> PortResult<()> {
        self.strays.end_older(repo, stages).await
    }

    /// The last lines of the service's newest run.
    async fn log(&self, stage: &StageId, service: &ServiceSpec, lines: usize) -> PortResult<Vec<String>> {
        let name = format!(" {} of ", service.name);
        let runs = self.workflows.runs(&stage.repo, BUILD_WORKFLOW).await?;
        let newest = runs.iter().find(|run| {
            run.title.contains(&name) && Nonce::in_title(&run.title).is_some_and(|nonce| nonce.is_of(stage))
        });
        match newest {
            Some(run) => self.workflows.log(&stage.repo, run.id, lines).await,
            None => Ok(Vec::new()),
        }
    }
}

fn key_of(job: &BuildJob<'_>) -> Key {
    Key {
        stage: job.stage.clone(),
        service: job.service.name.clone(),
        generation: job.generation,
        sha: job.sha.clone(),
        trust: job.trust,
    }
}

fn site_of<'a>(job: &BuildJob<'a>) -> Site<'a> {
    Site { stage: job.stage, place: job.place }
}

fn pending(waiting: Waiting, followed: &Followed) -> Progress<Output> {
    let words = waiting.words();
    let note = followed.page.as_deref().map_or_else(|| words.to_owned(), |page| note_with_page(words, page));
    Progress::Pending { again_millis: waiting.again_millis(), note }
}

#[cfg(test)]
mod tests;
