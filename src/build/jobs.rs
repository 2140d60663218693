//! Work in the background: one job for each key, and a [`Line`] in front of the engine.
//!
//! A job's result is handed out once; asking again starts it again, which costs little when its
//! artifact is there. Cancelling forgets a job at once; its work ends as soon as it can.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::background::Background;
use super::demand::Demand;
use super::line::{Line, Turn};
use crate::model::{CommitSha, Output, Runtime, ServiceName, StageId, Trust};
use crate::port::{PortResult, Progress};

/// How long a call waits for a job that may be nearly finished.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long a cancellation waits for the work to end.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// What a job is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct JobKey {
    pub(super) stage: StageId,
    pub(super) service: ServiceName,
    pub(super) sha: CommitSha,
    pub(super) trust: Trust,
}

/// What a job is at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Reading,
    /// With the number drawn in the line.
    Waiting(u64),
    /// With what the build last said, as `3/7`.
    Building(Option<String>),
    Pushing,
}

/// A job as its own work sees it.
pub(super) struct Job {
    stage: StageId,
    /// What it builds: a job for something else takes its place.
    runtime: Runtime,
    pub(super) cancel: CancellationToken,
    phase: Mutex<Phase>,
    work: Arc<Background<Output>>,
}

impl Job {
    /// For the parts of its work that block a thread.
    pub(super) fn demand(&self) -> Demand {
        Demand::until(self.cancel.clone())
    }

    /// Notes which step of how many the build is at.
    pub(super) fn at_step(&self, step: &str) {
        *locked(&self.phase) = Phase::Building(Some(step.to_owned()));
    }

    /// Notes that the image is on its way to the registry.
    pub(super) fn at_push(&self) {
        *locked(&self.phase) = Phase::Pushing;
    }
}

/// All jobs of this process.
pub(super) struct Jobs {
    jobs: Mutex<HashMap<JobKey, Arc<Job>>>,
    line: Arc<Line>,
}

impl Jobs {
    /// `concurrency`: how many may be at the engine at once of one repository; there is a place more for
    /// another one.
    pub(super) fn new(concurrency: usize) -> Self {
        Self { jobs: Mutex::default(), line: Line::new(concurrency) }
    }

    /// Starts the work unless it runs, and answers how far it is.
    pub(super) async fn ensure<F, W>(&self, key: JobKey, runtime: &Runtime, work: F) -> PortResult<Progress<Output>>
    where
        F: FnOnce(Arc<Job>) -> W,
        W: Future<Output = PortResult<Output>> + Send + 'static,
    {
        let job = self.find_or_start(&key, runtime, work);
        job.work.end_within(PATIENCE).await;
        let mut jobs = locked(&self.jobs);
        if let Some(result) = job.work.take() {
            if jobs.get(&key).is_some_and(|current| Arc::ptr_eq(current, &job)) {
                jobs.remove(&key);
            }
            return result.map(Progress::Done);
        }
        Ok(self.pending(&job))
    }

    fn find_or_start<F, W>(&self, key: &JobKey, runtime: &Runtime, work: F) -> Arc<Job>
    where
        F: FnOnce(Arc<Job>) -> W,
        W: Future<Output = PortResult<Output>> + Send + 'static,
    {
        let mut jobs = locked(&self.jobs);
        if let Some(job) = jobs.get(key) {
            if job.runtime == *runtime {
                return Arc::clone(job);
            }
            job.cancel.cancel();
        }
        let job = Arc::new(Job {
            stage: key.stage.clone(),
            runtime: runtime.clone(),
            cancel: CancellationToken::new(),
            phase: Mutex::new(Phase::Reading),
            work: Background::new(),
        });
        jobs.insert(key.clone(), Arc::clone(&job));
        job.work.begin("a build broke", work(Arc::clone(&job)));
        job
    }

    fn pending(&self, job: &Job) -> Progress<Output> {
        let note = match &*locked(&job.phase) {
            Phase::Reading => "reading the source".to_owned(),
            Phase::Waiting(number) => {
                let (place, all) = self.line.place(*number);
                format!("waiting for a free builder, place {place} of {all}")
            }
            Phase::Building(None) => "building".to_owned(),
            Phase::Building(Some(step)) => format!("building, step {step}"),
            Phase::Pushing => "pushing the image".to_owned(),
        };
        Progress::Pending { again_millis: job.work.again_millis(), note }
    }

    /// Waits for a place at the engine; `None` when cancelled meanwhile.
    pub(super) async fn turn(&self, job: &Job) -> Option<Turn> {
        let mut ticket = self.line.enter(&job.stage.repo);
        *locked(&job.phase) = Phase::Waiting(ticket.number);
        let turn = tokio::select! {
            () = job.cancel.cancelled() => None,
            turn = ticket.turn() => turn,
        };
        *locked(&job.phase) = Phase::Building(None);
        turn
    }

    /// Cancels every job and waits for none.
    pub(super) fn cancel_all(&self) {
        for (_, job) in locked(&self.jobs).drain() {
            job.cancel.cancel();
        }
    }

    /// Cancels every job of a stage, and waits a moment for them to end.
    pub(super) async fn cancel(&self, stage: &StageId) {
        let cancelled: Vec<Arc<Job>> =
            locked(&self.jobs).extract_if(|key, _| key.stage == *stage).map(|(_, job)| job).collect();
        for job in &cancelled {
            job.cancel.cancel();
        }
        let all = async {
            for job in &cancelled {
                job.work.end().await;
            }
        };
        if tokio::time::timeout(LAST_PATIENCE, all).await.is_err() {
            tracing::info!(%stage, "cancelled builds are still ending");
        }
    }
}

/// A value that is whole even after a panic elsewhere: each use replaces or removes it in one go.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::port::PortError;

    fn key(stage: &str, service: &str) -> JobKey {
        JobKey {
            stage: StageId { repo: "acme/shop".parse().expect("a name"), name: stage.parse().expect("a name") },
            service: service.parse().expect("a name"),
            sha: "a".repeat(40).parse().expect("a commit"),
            trust: Trust::Preview,
        }
    }

    fn runtime(word: &str) -> Runtime {
        Runtime::Process { command: vec![word.to_owned()] }
    }

    async fn waits(jobs: &Arc<Jobs>, key: JobKey, go: oneshot::Receiver<()>) -> PortResult<Progress<Output>> {
        let line = Arc::clone(jobs);
        jobs.ensure(key, &runtime("run"), |job| async move {
            let _turn = line.turn(&job).await.ok_or_else(|| PortError::retry("cancelled"))?;
            job.at_step("3/7");
            go.await.map_err(|error| PortError::bug("the test went away", error))?;
            Ok(Output::Nothing)
        })
        .await
    }

    fn note(progress: PortResult<Progress<Output>>) -> String {
        match progress {
            Ok(Progress::Pending { note, again_millis }) if (500..=5000).contains(&again_millis) => note,
            other => format!("{other:?}"),
        }
    }

    async fn result(jobs: &Jobs, key: &JobKey) -> PortResult<Progress<Output>> {
        loop {
            let asked = jobs.ensure(key.clone(), &runtime("run"), |_| async { Err(PortError::retry("lost")) }).await;
            if !matches!(asked, Ok(Progress::Pending { .. })) {
                return asked;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_house_tells_the_place_in_the_line() {
        let jobs = Arc::new(Jobs::new(1));
        let ((first, go), (second, later), (_third, never)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        assert_eq!(note(waits(&jobs, key("pr-1", "web"), go).await), "building, step 3/7");
        assert_eq!(note(waits(&jobs, key("pr-2", "web"), later).await), "waiting for a free builder, place 1 of 1");
        assert_eq!(note(waits(&jobs, key("pr-3", "web"), never).await), "waiting for a free builder, place 2 of 2");
        jobs.cancel(&key("pr-3", "web").stage).await;
        first.send(()).expect("the first job listens");
        assert_eq!(result(&jobs, &key("pr-1", "web")).await.ok(), Some(Progress::Done(Output::Nothing)));
        second.send(()).expect("the second job listens");
        assert_eq!(result(&jobs, &key("pr-2", "web")).await.ok(), Some(Progress::Done(Output::Nothing)));
        assert!(locked(&jobs.jobs).is_empty(), "nothing is kept");
        assert_eq!(jobs.line.len(), 0, "nobody waits");
    }

    #[tokio::test(start_paused = true)]
    async fn asking_twice_starts_once_and_other_work_takes_the_place() {
        let jobs = Arc::new(Jobs::new(4));
        let (_go, never) = oneshot::channel();
        assert_eq!(note(waits(&jobs, key("pr-1", "web"), never).await), "building, step 3/7");
        let again = jobs.ensure(key("pr-1", "web"), &runtime("run"), |_| async { Ok(Output::Nothing) }).await;
        assert_eq!(note(again), "building, step 3/7");
        let first = Arc::clone(&locked(&jobs.jobs)[&key("pr-1", "web")]);
        let other = jobs.ensure(key("pr-1", "web"), &runtime("other"), |_| async { Ok(Output::Nothing) }).await;
        assert_eq!(other.ok(), Some(Progress::Done(Output::Nothing)));
        assert!(first.cancel.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_reaches_the_stage_and_no_other() {
        let jobs = Arc::new(Jobs::new(4));
        for stage in ["pr-1", "pr-2"] {
            let runtime = runtime("run");
            let started = jobs.ensure(key(stage, "web"), &runtime, |job| async move {
                job.cancel.cancelled().await;
                Ok(Output::Nothing)
            });
            assert_eq!(note(started.await), "reading the source");
        }
        let other = Arc::clone(&locked(&jobs.jobs)[&key("pr-2", "web")]);
        jobs.cancel(&key("pr-1", "web").stage).await;
        jobs.cancel(&key("pr-9", "web").stage).await;
        assert!(!locked(&jobs.jobs).contains_key(&key("pr-1", "web")));
        assert!(!other.cancel.is_cancelled());
        jobs.cancel_all();
        assert!(other.cancel.is_cancelled() && locked(&jobs.jobs).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_result() {
        let jobs = Jobs::new(1);
        let broken = jobs.ensure(key("pr-1", "web"), &runtime("run"), |_| async { panic!("on purpose") }).await;
        assert!(matches!(broken, Err(PortError::Bug { .. })), "{broken:?}");
    }
}
