//! Runs that nobody wants any more: asked to end, and 30 s later forced to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::jobs::locked;
use super::watch::is_active;
use crate::model::{BUILD_WORKFLOW, Generation, Nonce, RepoName, StageId, Timestamp};
use crate::port::{Cancellation, Clock, PortError, PortResult, Workflows};

/// Source: GitHub REST, "Force cancel a workflow run": for what did not answer to a cancel. Steps that run
/// `always()` do not.
const PATIENCE: Duration = Duration::from_secs(30);
/// What could not be asked for so long is left to its own timeout.
const OBLIVION_MILLIS: i64 = 30 * 60_000;
/// So many runs for older goals are ended at a look, for whoever looks holds a lane: the next one ends the others.
const MOST_OLDER: usize = 10;

/// A run on its way to its end.
#[derive(Debug, Clone)]
struct Stray {
    repo: RepoName,
    run: u64,
    since: Timestamp,
    /// When it was asked to end.
    asked: Option<Timestamp>,
}

/// All of this process. A process that dies forgets them: whoever builds for the stage next finds them again, and
/// for stages that nobody builds for any more [`Strays::end_older`] does.
pub(super) struct Strays {
    workflows: Arc<dyn Workflows>,
    clock: Arc<dyn Clock>,
    all: Mutex<Vec<Stray>>,
}

impl Strays {
    pub(super) fn new(workflows: Arc<dyn Workflows>, clock: Arc<dyn Clock>) -> Self {
        Self { workflows, clock, all: Mutex::default() }
    }

    /// Asks runs to end. GitHub being away stops nobody: it is asked again.
    pub(super) async fn end(self: &Arc<Self>, repo: &RepoName, runs: &[u64]) {
        let now = self.clock.now();
        let (before, after) = {
            let mut all = locked(&self.all);
            let before = all.len();
            for run in runs {
                if !all.iter().any(|stray| stray.run == *run && stray.repo == *repo) {
                    all.push(Stray { repo: repo.clone(), run: *run, since: now, asked: None });
                }
            }
            (before, all.len())
        };
        // Where there were some before, somebody looks after them already. It is begun before anything is awaited,
        // for whoever waits for this may give up.
        if before == 0 && after > 0 {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                while !locked(&this.all).is_empty() {
                    tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
                    this.end_late().await;
                }
            });
        }
        if after > before {
            self.end_late().await;
        }
    }

    /// Asks whatever runs for a stage to end.
    pub(super) async fn end_all_of(self: &Arc<Self>, stage: &StageId) {
        let runs = match self.workflows.runs(&stage.repo, BUILD_WORKFLOW).await {
            Ok(runs) => runs,
            Err(error) => {
                tracing::warn!(%stage, "what runs for {stage} on runners is not known, and ends by itself: {error}");
                return;
            }
        };
        let is_of = |title: &str| Nonce::in_title(title).is_some_and(|nonce| nonce.is_of(stage));
        let ending: Vec<u64> =
            runs.iter().filter(|run| is_active(run) && is_of(&run.title)).map(|run| run.id).collect();
        self.end(&stage.repo, &ending).await;
    }

    /// Asks what runs for an older goal of one of these stages than it has now to end.
    pub(super) async fn end_older(
        self: &Arc<Self>,
        repo: &RepoName,
        stages: &[(StageId, Generation)],
    ) -> PortResult<()> {
        let runs = self.workflows.runs(repo, BUILD_WORKFLOW).await?;
        let is_older =
            |nonce: &Nonce| stages.iter().any(|(stage, goal)| nonce.generation() < *goal && nonce.is_of(stage));
        let unwanted = runs.iter().filter(|run| is_active(run));
        let unwanted = unwanted.filter(|run| Nonce::in_title(&run.title).as_ref().is_some_and(is_older));
        let ending: Vec<u64> = unwanted.take(MOST_OLDER).map(|run| run.id).collect();
        self.end(repo, &ending).await;
        self.end_late().await;
        Ok(())
    }

    /// Does what is due.
    pub(super) async fn end_late(&self) {
        let now = self.clock.now();
        let is_due = |stray: &&Stray| how(stray, now).is_some();
        let due: Vec<(RepoName, u64)> =
            locked(&self.all).iter().filter(is_due).map(|stray| (stray.repo.clone(), stray.run)).collect();
        for (repo, run) in due {
            let Some((stray, how)) = self.begin(&repo, run, now) else { continue };
            let answer = self.workflows.cancel(&repo, run, how).await;
            let left = after(stray, how, answer, now);
            let mut all = locked(&self.all);
            all.retain(|other| other.run != run || other.repo != repo);
            all.extend(left);
        }
    }

    /// Whoever notes that one is asked is the only one to ask. Whoever gives up on the answer leaves the note, and
    /// the next one goes on from there.
    fn begin(&self, repo: &RepoName, run: u64, now: Timestamp) -> Option<(Stray, Cancellation)> {
        let mut all = locked(&self.all);
        let stray = all.iter_mut().find(|stray| stray.run == run && stray.repo == *repo)?;
        let how = how(stray, now)?;
        let before = stray.clone();
        stray.asked = Some(now);
        Some((before, how))
    }
}

/// How a run is asked to end now, if it is.
fn how(stray: &Stray, now: Timestamp) -> Option<Cancellation> {
    let patience = i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX);
    match stray.asked {
        None => Some(Cancellation::Gentle),
        Some(at) if now.since(at) >= patience => Some(Cancellation::Forced),
        Some(_) => None,
    }
}

/// What is left to do about it.
fn after(stray: Stray, how: Cancellation, answer: PortResult<()>, now: Timestamp) -> Option<Stray> {
    match (answer, how) {
        (Ok(()), Cancellation::Gentle) => Some(Stray { asked: Some(now), ..stray }),
        (Ok(()), Cancellation::Forced) => None,
        (Err(PortError::Retry { .. }), _) if now.since(stray.since) < OBLIVION_MILLIS => Some(stray),
        (Err(error), _) => {
            tracing::warn!(run = stray.run, "run {} of {} ends by itself alone: {error}", stray.run, stray.repo);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::model::{Branch, CommitSha, RepoId};
    use crate::port::{Dispatch, Dispatched, TreeEntry, WorkflowRun};

    /// A GitHub that never answers who asks gently, and a clock.
    #[derive(Default)]
    struct Silent {
        asked: Mutex<Vec<(u64, Cancellation)>>,
        now: Mutex<Timestamp>,
    }

    impl Clock for Silent {
        fn now(&self) -> Timestamp {
            *locked(&self.now)
        }
    }

    #[async_trait::async_trait]
    impl Workflows for Silent {
        fn only(&self, _: RepoId) -> Arc<dyn Workflows> {
            Arc::new(Self::default())
        }
        async fn default_branch(&self, _: &RepoName) -> PortResult<Branch> {
            Err(PortError::retry("away"))
        }
        async fn tree_entry(&self, _: &RepoName, _: &CommitSha, _: &str) -> PortResult<Option<TreeEntry>> {
            Err(PortError::retry("away"))
        }
        async fn dispatch(&self, _: &Dispatch<'_>) -> PortResult<Dispatched> {
            Err(PortError::retry("away"))
        }
        async fn runs(&self, _: &RepoName, _: &str) -> PortResult<Vec<WorkflowRun>> {
            Err(PortError::retry("away"))
        }
        async fn run(&self, _: &RepoName, _: u64) -> PortResult<WorkflowRun> {
            Err(PortError::retry("away"))
        }
        async fn cancel(&self, _: &RepoName, run: u64, how: Cancellation) -> PortResult<()> {
            locked(&self.asked).push((run, how));
            if how == Cancellation::Gentle { std::future::pending().await } else { Ok(()) }
        }
        async fn log(&self, _: &RepoName, _: u64, _: usize) -> PortResult<Vec<String>> {
            Err(PortError::retry("away"))
        }
    }

    #[tokio::test]
    async fn whoever_gives_up_on_the_answer_leaves_the_run_to_the_next() {
        let github = Arc::new(Silent::default());
        let strays = Arc::new(Strays::new(github.clone(), github.clone()));
        let repo = "acme/shop".parse().expect("a name");
        assert!(strays.end(&repo, &[7, 8]).now_or_never().is_none(), "it waits for an answer");
        assert!(strays.end_late().now_or_never().is_none(), "the other one is asked now");
        strays.end_late().await;
        let gently = [(7, Cancellation::Gentle), (8, Cancellation::Gentle)];
        assert_eq!(*locked(&github.asked), gently, "nobody asks twice at once");
        *locked(&github.now) = Timestamp(30_000);
        strays.end_late().await;
        let forced = [(7, Cancellation::Forced), (8, Cancellation::Forced)];
        assert_eq!(locked(&github.asked)[2..], forced);
        assert!(locked(&strays.all).is_empty());
    }

    #[test]
    fn a_run_is_asked_and_then_forced() {
        let now = Timestamp(1_000_000);
        let stray = |asked| Stray { repo: "acme/shop".parse().expect("a name"), run: 7, since: Timestamp(0), asked };
        let ago = |seconds: i64| Some(Timestamp(now.0 - seconds * 1_000));
        assert_eq!(how(&stray(None), now), Some(Cancellation::Gentle));
        assert_eq!(how(&stray(ago(29)), now), None);
        assert_eq!(how(&stray(ago(30)), now), Some(Cancellation::Forced));
        let left = |how, answer| after(stray(None), how, answer, now).map(|left| left.asked);
        assert_eq!(left(Cancellation::Gentle, Ok(())), Some(Some(now)));
        assert_eq!(left(Cancellation::Forced, Ok(())), None);
        assert_eq!(left(Cancellation::Gentle, Err(PortError::retry("away"))), Some(None));
        assert_eq!(left(Cancellation::Gentle, Err(PortError::Denied { reason: "no".into() })), None);
        let late = Timestamp(OBLIVION_MILLIS);
        assert!(after(stray(None), Cancellation::Gentle, Err(PortError::retry("away")), late).is_none());
    }
}
