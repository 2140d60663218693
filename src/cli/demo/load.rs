//! Visitors who ask without a pause for breath, so that a switch of versions would be noticed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fetch;

const VISITORS: usize = 4;
const PAUSE: Duration = Duration::from_millis(10);

/// What the visitors got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// What the first failure was.
    pub(super) failure: Option<String>,
    /// Answers by the commit that they came from.
    pub(super) by_commit: BTreeMap<String, u64>,
}

/// Visitors at work; they stop when this is dropped.
pub(super) struct Load {
    tally: watch::Receiver<Tally>,
    visitors: JoinSet<()>,
}

impl Load {
    pub(super) fn start(url: &str) -> Self {
        let (sender, tally) = watch::channel(Tally::default());
        let mut visitors = JoinSet::new();
        for _ in 0..VISITORS {
            visitors.spawn(visit(url.to_owned(), sender.clone()));
        }
        Self { tally, visitors }
    }

    /// Waits until a commit has answered this often; `patience` at most.
    pub(super) async fn answered(&mut self, commit: &str, times: u64, patience: Duration) {
        let enough = self.tally.wait_for(|tally| tally.by_commit.get(commit).is_some_and(|count| *count >= times));
        // Too few answers show in the tally.
        let _ = tokio::time::timeout(patience, enough).await.is_ok();
    }

    /// Sends the visitors home.
    pub(super) async fn finish(mut self) -> Tally {
        self.visitors.shutdown().await;
        self.tally.borrow().clone()
    }
}

async fn visit(url: String, tally: watch::Sender<Tally>) {
    loop {
        let answer = fetch::get(&url).await;
        tally.send_modify(|tally| {
            tally.requests += 1;
            match answer {
                Ok(answer) if answer.status == 200 => {
                    let commit = answer.headers.get("x-shop-commit").and_then(|value| value.to_str().ok());
                    *tally.by_commit.entry(commit.unwrap_or("unknown").to_owned()).or_default() += 1;
                }
                Ok(answer) => tally.fail(format!("{}: {}", answer.status, answer.body.trim())),
                Err(error) => tally.fail(format!("{error:#}")),
            }
        });
        tokio::time::sleep(PAUSE).await;
    }
}

impl Tally {
    fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failure.get_or_insert(what);
    }
}
