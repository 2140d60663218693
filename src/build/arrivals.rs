//! Sources on their way: each arrives in the background, however long its archive takes, until its
//! stage wants it no more.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::demand::Demand;
use super::jobs::locked;
use crate::model::{CommitSha, StageId};
use crate::port::{PortError, PortResult, Progress};

/// How long a call waits for a source that may be nearly there; most archives are small.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a cancellation waits for the work to end.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// One source on its way to its folder. Dropped, it is wanted no more.
struct Coming {
    work: JoinHandle<PortResult<String>>,
    begun: Instant,
    _wanted: DropGuard,
}

/// All sources on their way to this process.
pub(super) struct Arrivals {
    coming: Mutex<HashMap<(StageId, CommitSha), Coming>>,
    halt: CancellationToken,
}

impl Arrivals {
    /// Cancelling `halt` ends them all, and those that begin afterwards.
    pub(super) fn new(halt: CancellationToken) -> Self {
        Self { coming: Mutex::default(), halt }
    }

    /// Begins the work for a source in the background; what was on its way for the same one ends.
    pub(super) fn begin<W>(&self, stage: &StageId, sha: &CommitSha, work: impl FnOnce(Demand) -> W)
    where
        W: Future<Output = PortResult<String>> + Send + 'static,
    {
        let wanted = self.halt.child_token();
        let work = tokio::spawn(work(Demand::until(wanted.clone())));
        let coming = Coming { work, begun: Instant::now(), _wanted: wanted.drop_guard() };
        locked(&self.coming).insert((stage.clone(), sha.clone()), coming);
    }

    /// How far a source is, after a moment of waiting for it; `None` where none is on its way. Its end is
    /// told once.
    pub(super) async fn progress(&self, stage: &StageId, sha: &CommitSha) -> Option<PortResult<Progress<String>>> {
        let key = (stage.clone(), sha.clone());
        let mut coming = locked(&self.coming).remove(&key)?;
        if let Ok(ended) = tokio::time::timeout(PATIENCE, &mut coming.work).await {
            let result = ended.unwrap_or_else(|error| Err(PortError::bug("fetching a source broke", error)));
            return Some(result.map(Progress::Done));
        }
        // Every answer becomes a line of the step log: a long way is asked about less often.
        let again = i64::try_from(coming.begun.elapsed().as_millis() / 10).unwrap_or(5000).clamp(500, 5000);
        locked(&self.coming).insert(key, coming);
        Some(Ok(Progress::Pending { again_millis: again, note: "fetching the source".to_owned() }))
    }

    /// Ends what is on its way to a stage, and waits a moment for it.
    pub(super) async fn cancel(&self, stage: &StageId) {
        let ending: Vec<JoinHandle<_>> =
            locked(&self.coming).extract_if(|(of, _), _| of == stage).map(|(_, coming)| coming.work).collect();
        let all = async {
            for work in ending {
                let _ = work.await;
            }
        };
        if tokio::time::timeout(LAST_PATIENCE, all).await.is_err() {
            tracing::info!(%stage, "a cancelled source is still ending");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(digit: &str) -> (StageId, CommitSha) {
        let stage = StageId { repo: "acme/shop".parse().expect("a name"), name: "pr-1".parse().expect("a name") };
        (stage, digit.repeat(40).parse().expect("a commit"))
    }

    /// Work without an end, but for that of who wants it.
    async fn endless(demand: Demand) -> PortResult<String> {
        match demand.or_gone(std::future::pending::<std::io::Result<()>>()).await {
            Ok(()) => Ok(String::new()),
            Err(gone) => Err(PortError::retry(gone.to_string())),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_may_take_longer_than_any_call_and_its_end_is_told_once() {
        let arrivals = Arrivals::new(CancellationToken::new());
        let (stage, sha) = source("a");
        assert!(arrivals.progress(&stage, &sha).await.is_none());
        arrivals.begin(&stage, &sha, |_| async {
            tokio::time::sleep(Duration::from_mins(10)).await;
            Ok("tree".to_owned())
        });
        let mut asked = 0;
        let tree = loop {
            asked += 1;
            match arrivals.progress(&stage, &sha).await.expect("it is on its way").expect("it goes well") {
                Progress::Done(tree) => break tree,
                Progress::Pending { again_millis, note } => {
                    assert_eq!(note, "fetching the source");
                    assert!((500..=5000).contains(&again_millis), "{again_millis}");
                }
            }
        };
        assert_eq!(tree, "tree");
        assert!(asked > 100, "asked {asked} times");
        assert!(arrivals.progress(&stage, &sha).await.is_none());
    }

    #[tokio::test]
    async fn cancelling_ends_what_is_on_its_way_to_the_stage() {
        let arrivals = Arrivals::new(CancellationToken::new());
        let (stage, sha) = source("a");
        let (told, hears) = tokio::sync::oneshot::channel();
        arrivals.begin(&stage, &sha, |demand| async {
            let ended = endless(demand).await;
            let _ = told.send(());
            ended
        });
        arrivals.cancel(&stage).await;
        hears.await.expect("it ended by itself");
        assert!(arrivals.progress(&stage, &sha).await.is_none());
    }

    #[tokio::test]
    async fn nothing_begins_once_the_server_stops() {
        let halt = CancellationToken::new();
        let arrivals = Arrivals::new(halt.clone());
        let (stage, sha) = source("a");
        halt.cancel();
        arrivals.begin(&stage, &sha, endless);
        let told = arrivals.progress(&stage, &sha).await.expect("it is known");
        assert!(matches!(told, Err(PortError::Retry { .. })), "{told:?}");
    }
}
