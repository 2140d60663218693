//! Sources on their way: each arrives in the background, however long its archive takes, until its
//! stage wants it no more.
//!
//! Repositories take turns at it: an archive is asked for when it is its repository's turn, so that many
//! pull requests of one do not fetch as many archives at once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::background::Background;
use super::demand::Demand;
use super::jobs::locked;
use super::line::Line;
use crate::model::{CommitSha, StageId};
use crate::port::{PortError, PortResult, Progress};

/// When the first question comes: most archives are small.
const SOON_MILLIS: i64 = 50;
/// How long a question waits for a source that may be nearly there.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long a cancellation waits for the work to end.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// One source on its way to its folder.
struct Coming {
    work: Arc<Background<String>>,
    /// Cancelled, it is wanted no more.
    wanted: CancellationToken,
    /// The number that it drew, until its turn.
    waits: Mutex<Option<u64>>,
}

/// All sources on their way to this process.
pub(super) struct Arrivals {
    coming: Mutex<HashMap<(StageId, CommitSha), Arc<Coming>>>,
    line: Arc<Line>,
    halt: CancellationToken,
}

impl Arrivals {
    /// `most`: how many may be fetched at once of one repository; there is a place more for another one.
    /// Cancelling `halt` ends them all, and those that begin afterwards.
    pub(super) fn new(most: usize, halt: CancellationToken) -> Self {
        Self { coming: Mutex::default(), line: Line::new(most), halt }
    }

    /// Begins the work for a source in the background, to be done when it is its repository's turn, and
    /// waits for none of it; what was on its way for the same one ends.
    pub(super) fn begin<W>(
        &self,
        stage: &StageId,
        sha: &CommitSha,
        work: impl FnOnce(Demand) -> W + Send + 'static,
    ) -> Progress<String>
    where
        W: Future<Output = PortResult<String>> + Send + 'static,
    {
        let mut ticket = self.line.enter(&stage.repo);
        let wanted = self.halt.child_token();
        let coming = Arc::new(Coming {
            work: Background::new(),
            wanted: wanted.clone(),
            waits: Mutex::new(Some(ticket.number)),
        });
        let itself = Arc::clone(&coming);
        coming.work.begin("fetching a source broke", async move {
            let turn = tokio::select! {
                biased;
                () = wanted.cancelled() => None,
                turn = ticket.turn() => turn,
            };
            let Some(_turn) = turn else { return Err(PortError::retry("nobody waits for the source any more")) };
            *locked(&itself.waits) = None;
            work(Demand::until(wanted)).await
        });
        let note = self.note(&coming);
        if let Some(before) = locked(&self.coming).insert((stage.clone(), sha.clone()), coming) {
            before.wanted.cancel();
        }
        Progress::Pending { again_millis: SOON_MILLIS, note }
    }

    /// How far a source is, after a moment of waiting for it; `None` where none is on its way. Its end is
    /// told once. A question that is given up ends nothing.
    pub(super) async fn progress(&self, stage: &StageId, sha: &CommitSha) -> Option<PortResult<Progress<String>>> {
        let key = (stage.clone(), sha.clone());
        let coming = locked(&self.coming).get(&key).cloned()?;
        coming.work.end_within(PATIENCE).await;
        if let Some(result) = coming.work.take() {
            let mut all = locked(&self.coming);
            if all.get(&key).is_some_and(|current| Arc::ptr_eq(current, &coming)) {
                all.remove(&key);
            }
            return Some(result.map(Progress::Done));
        }
        Some(Ok(Progress::Pending { again_millis: coming.work.again_millis(), note: self.note(&coming) }))
    }

    fn note(&self, coming: &Coming) -> String {
        match *locked(&coming.waits) {
            None => "fetching the source".to_owned(),
            Some(number) => {
                let (place, all) = self.line.place(number);
                format!("waiting to fetch the source, place {place} of {all}")
            }
        }
    }

    /// Ends what is on its way to a stage, and waits a moment for it.
    pub(super) async fn cancel(&self, stage: &StageId) {
        let ending: Vec<Arc<Coming>> =
            locked(&self.coming).extract_if(|(of, _), _| of == stage).map(|(_, coming)| coming).collect();
        for coming in &ending {
            coming.wanted.cancel();
        }
        let all = async {
            for coming in &ending {
                coming.work.end().await;
            }
        };
        if tokio::time::timeout(LAST_PATIENCE, all).await.is_err() {
            tracing::info!(%stage, "a cancelled source is still ending");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    fn stage(repo: &str, name: &str) -> StageId {
        StageId { repo: repo.parse().expect("a name"), name: name.parse().expect("a name") }
    }

    fn source(digit: &str) -> (StageId, CommitSha) {
        (stage("acme/shop", "pr-1"), digit.repeat(40).parse().expect("a commit"))
    }

    fn arrivals() -> Arrivals {
        Arrivals::new(1, CancellationToken::new())
    }

    fn note(progress: Progress<String>) -> String {
        match progress {
            Progress::Pending { note, .. } => note,
            Progress::Done(tree) => panic!("{tree} is there"),
        }
    }

    /// Work without an end, but for that of who wants it.
    async fn endless(demand: Demand) -> PortResult<String> {
        match demand.or_gone(std::future::pending::<std::io::Result<()>>()).await {
            Ok(()) => Ok(String::new()),
            Err(gone) => Err(PortError::retry(gone.to_string())),
        }
    }

    /// Begins such work, and tells when it has ended by itself.
    async fn begin_endless(arrivals: &Arrivals, stage: &StageId, sha: &CommitSha) -> oneshot::Receiver<()> {
        let ((began, begins), (told, hears)) = (oneshot::channel(), oneshot::channel());
        arrivals.begin(stage, sha, |demand| async {
            began.send(()).expect("the test listens");
            let ended = endless(demand).await;
            let _ = told.send(());
            ended
        });
        begins.await.expect("it begins");
        hears
    }

    /// Asks until the source is there.
    async fn tree(arrivals: &Arrivals, stage: &StageId, sha: &CommitSha) -> String {
        loop {
            let asked = arrivals.progress(stage, sha).await.expect("it is on its way");
            if let Progress::Done(tree) = asked.expect("it goes well") {
                return tree;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_may_take_longer_than_any_call_and_its_end_is_told_once() {
        let arrivals = arrivals();
        let (stage, sha) = source("a");
        assert!(arrivals.progress(&stage, &sha).await.is_none());
        let begun = arrivals.begin(&stage, &sha, |_| async {
            tokio::time::sleep(Duration::from_mins(10)).await;
            Ok("tree".to_owned())
        });
        assert!(matches!(begun, Progress::Pending { again_millis: SOON_MILLIS, .. }), "{begun:?}");
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

    #[tokio::test(start_paused = true)]
    async fn a_question_that_is_given_up_ends_nothing() {
        let arrivals = arrivals();
        let (stage, sha) = source("a");
        let (go, gone) = oneshot::channel();
        arrivals.begin(&stage, &sha, |demand| async move {
            let end = demand.or_gone(async { gone.await.map_err(std::io::Error::other) }).await;
            end.map(|()| "tree".to_owned()).map_err(|error| PortError::retry(error.to_string()))
        });
        for _ in 0..3 {
            let question = arrivals.progress(&stage, &sha);
            assert!(tokio::time::timeout(PATIENCE / 2, question).await.is_err(), "it is given up");
        }
        go.send(()).expect("the work goes on");
        assert_eq!(tree(&arrivals, &stage, &sha).await, "tree");
    }

    #[tokio::test(start_paused = true)]
    async fn many_of_one_repository_are_fetched_one_after_the_other_and_another_s_at_once() {
        let arrivals = arrivals();
        let sha = source("a").1;
        let (began, mut begins) = mpsc::unbounded_channel();
        let fetch = |stage: StageId| {
            let began = began.clone();
            move |_: Demand| async move {
                let (go, gone) = oneshot::channel::<()>();
                began.send((stage, go)).expect("the test listens");
                gone.await.map_err(|error| PortError::bug("the test went away", error))?;
                Ok("tree".to_owned())
            }
        };
        let stages: Vec<StageId> = (1..=30).map(|number| stage("acme/shop", &format!("pr-{number}"))).collect();
        for stage in &stages {
            arrivals.begin(stage, &sha, fetch(stage.clone()));
        }
        let other = stage("acme/docs", "pr-1");
        arrivals.begin(&other, &sha, fetch(other.clone()));

        let (first, go) = begins.recv().await.expect("one is fetched");
        let (second, others_go) = begins.recv().await.expect("and another repository's");
        assert_eq!((&first, &second), (&stages[0], &other));
        let waits = arrivals.progress(&stages[2], &sha).await.expect("it is known").expect("it goes well");
        assert_eq!(note(waits), "waiting to fetch the source, place 2 of 29");
        assert!(begins.try_recv().is_err(), "no third is asked for");

        others_go.send(()).expect("it is at work");
        go.send(()).expect("it is at work");
        for stage in &stages[1..] {
            let (next, go) = begins.recv().await.expect("the next one's turn");
            assert_eq!(&next, stage);
            go.send(()).expect("it is at work");
        }
        for stage in stages.iter().chain([&other]) {
            assert_eq!(tree(&arrivals, stage, &sha).await, "tree");
        }
    }

    #[tokio::test]
    async fn what_is_cancelled_in_the_line_is_never_fetched_and_leaves_its_place() {
        let arrivals = arrivals();
        let sha = source("a").1;
        let [first, second, third] = ["pr-1", "pr-2", "pr-3"].map(|name| stage("acme/shop", name));
        arrivals.begin(&first, &sha, endless);
        arrivals.begin(&second, &sha, |_| async { panic!("nobody wants it") });
        let waits = arrivals.begin(&third, &sha, |_| async { Ok("tree".to_owned()) });
        assert_eq!(note(waits), "waiting to fetch the source, place 2 of 2");
        arrivals.cancel(&second).await;
        assert!(arrivals.progress(&second, &sha).await.is_none());
        arrivals.cancel(&first).await;
        assert_eq!(tree(&arrivals, &third, &sha).await, "tree");
        assert_eq!(arrivals.line.len(), 0, "nobody waits");
    }

    #[tokio::test]
    async fn cancelling_ends_what_is_on_its_way_to_the_stage() {
        let arrivals = arrivals();
        let (stage, sha) = source("a");
        let hears = begin_endless(&arrivals, &stage, &sha).await;
        arrivals.cancel(&stage).await;
        hears.await.expect("it ended by itself");
        assert!(arrivals.progress(&stage, &sha).await.is_none());
    }

    #[tokio::test]
    async fn what_takes_another_s_place_ends_it() {
        let arrivals = Arrivals::new(2, CancellationToken::new());
        let (stage, sha) = source("a");
        let hears = begin_endless(&arrivals, &stage, &sha).await;
        arrivals.begin(&stage, &sha, |_| async { Ok("tree".to_owned()) });
        hears.await.expect("it ended by itself");
        assert_eq!(tree(&arrivals, &stage, &sha).await, "tree");
    }

    #[tokio::test]
    async fn nothing_begins_once_the_server_stops() {
        let halt = CancellationToken::new();
        let arrivals = Arrivals::new(1, halt.clone());
        let (stage, sha) = source("a");
        halt.cancel();
        arrivals.begin(&stage, &sha, |_| async { panic!("it is too late") });
        let told = arrivals.progress(&stage, &sha).await.expect("it is known");
        assert!(matches!(told, Err(PortError::Retry { .. })), "{told:?}");
    }

    #[tokio::test]
    async fn a_panic_is_a_result() {
        let arrivals = arrivals();
        let (stage, sha) = source("a");
        arrivals.begin(&stage, &sha, |_| async { panic!("on purpose") });
        let told = arrivals.progress(&stage, &sha).await.expect("it is known");
        assert!(matches!(told, Err(PortError::Bug { .. })), "{told:?}");
    }
}
