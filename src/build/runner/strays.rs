//! Runs that nobody wants any more: asked to end, and 30 s later forced to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::jobs::locked;
use super::watch::is_active;
use crate::model::{BUILD_WORKFLOW, Nonce, RepoName, StageId, Timestamp};
use crate::port::{Cancellation, Clock, PortError, PortResult, Workflows};

/// Source: GitHub REST, "Force cancel a workflow run": for what did not answer to a cancel. Steps that run
/// `always()` do not.
const PATIENCE: Duration = Duration::from_secs(30);
/// What could not be asked for so long is left to its own timeout.
const OBLIVION_MILLIS: i64 = 30 * 60_000;

/// A run on its way to its end.
#[derive(Debug, Clone)]
struct Stray {
    repo: RepoName,
    run: u64,
    since: Timestamp,
    /// When it was asked to end.
    asked: Option<Timestamp>,
}

/// All of this process. A process that dies forgets them: whoever builds for the stage next finds them again.
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
        let is_new = {
            let mut all = locked(&self.all);
            let before = all.len();
            for run in runs {
                if !all.iter().any(|stray| stray.run == *run && stray.repo == *repo) {
                    all.push(Stray { repo: repo.clone(), run: *run, since: now, asked: None });
                }
            }
            all.len() > before
        };
        if is_new {
            self.end_late().await;
            let this = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
                this.end_late().await;
            });
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

    /// Does what is due.
    pub(super) async fn end_late(&self) {
        let now = self.clock.now();
        // Whoever takes one out is the only one to ask.
        let due: Vec<Stray> = locked(&self.all).extract_if(.., |stray| how(stray, now).is_some()).collect();
        for stray in due {
            let Some(how) = how(&stray, now) else { continue };
            let answer = self.workflows.cancel(&stray.repo, stray.run, how).await;
            if let Some(again) = after(stray, how, answer, now) {
                locked(&self.all).push(again);
            }
        }
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
    use super::*;

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
