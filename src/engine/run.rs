//! The loop of a server: claim what is due, work on many lanes at once, sleep until rung.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Engine, LEASE_MILLIS};
use crate::model::{Chore, Lane};
use crate::port::PortResult;

/// Claiming goes on in this many places at once, so that the database can commit claims together.
const CLAIMERS: usize = 4;
/// The longest sleep: how late a ring by another process is noticed.
const POLL: Duration = Duration::from_secs(1);
/// How long a stop waits for activations to come to their next line in the log. Whoever stops us gives
/// us 15 seconds for everything.
const STOP: Duration = Duration::from_secs(8);

impl Engine {
    /// Makes the periodic duties due now: what was missed while nobody ran is looked for first.
    pub async fn ring_chores(&self) -> PortResult<()> {
        let now = self.ports.clock.now();
        for chore in Chore::ALL {
            self.ports.store.ring(&Lane::Chore(chore), now).await?;
        }
        self.bell.notify_waiters();
        Ok(())
    }

    /// Works until `stop`, then lets the running activations come to an end.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::spawn(self.clone().hear(stop.clone()));
        let places = Arc::new(Semaphore::new(self.settings.workers));
        let mut claimers = JoinSet::new();
        for _ in 0..CLAIMERS {
            claimers.spawn(self.clone().claim_loop(places.clone(), stop.clone()));
        }
        while claimers.join_next().await.is_some() {}
        let all = u32::try_from(self.settings.workers).unwrap_or(u32::MAX);
        if tokio::time::timeout(STOP, places.acquire_many(all)).await.is_err() {
            tracing::warn!("stopped with activations still running; they are taken up again from their logs");
        }
    }

    async fn claim_loop(self: Arc<Self>, places: Arc<Semaphore>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            // Interest first, query second: a ring in between is not missed.
            let rung = self.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let place = tokio::select! {
                () = stop.cancelled() => return,
                place = places.clone().acquire_owned() => place,
            };
            let Ok(place) = place else { return };
            match self.ports.store.claim_in_turn(self.ports.clock.now(), LEASE_MILLIS, self.share()).await {
                Ok(Some(claimed)) => {
                    let engine = self.clone();
                    tokio::spawn(async move {
                        let _place = place;
                        if let Err(error) = engine.work(claimed).await {
                            tracing::error!(%error, "a lane could not be given back: {error}");
                        }
                        engine.bell.notify_one();
                    });
                }
                Ok(None) => {
                    drop(place);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = rung => {}
                        () = tokio::time::sleep(self.until_due().await) => {}
                    }
                }
                Err(error) => {
                    drop(place);
                    tracing::error!(%error, "the database does not answer: {error}");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    async fn until_due(&self) -> Duration {
        let now = self.ports.clock.now();
        match self.ports.store.next_turn(now, self.share()).await {
            Ok(Some(at)) => {
                let millis = at.since(now).max(1);
                Duration::from_millis(u64::try_from(millis).unwrap_or(1)).min(POLL)
            }
            Ok(None) | Err(_) => POLL,
        }
    }
}
