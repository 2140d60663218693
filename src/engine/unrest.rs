//! What is live is watched: what the target tells of it is kept with the stage, and shown like the rest.
//!
//! The target starts again what does not stay up; here nothing is done but to say so.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{CALL_LIMIT, Engine, chain};
use crate::decide::is_release_of;
use crate::model::{Lane, Release, Seconds, StageRecord, StageSpec, StageStatus, Wake};
use crate::port::{Held, PortError, PortResult, Site};

/// As long as something does not stay up, it is looked at this often.
const LOOK: Seconds = Seconds(60);
/// Before a database that did not answer is rung again.
const AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Wakes the lane of each stage of which the target has news, until `stop`.
    pub(super) async fn hear(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let stage = tokio::select! {
                () = stop.cancelled() => return,
                stage = self.ports.cloud.news() => stage,
            };
            let lane = Lane::Stage(stage);
            while let Err(error) = self.ports.store.ring(&lane, self.ports.clock.now()).await {
                tracing::warn!(%lane, %error, "lane {lane} is rung again: {error}");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
            self.bell.notify_waiters();
        }
    }

    /// Asks how what is live fares, and keeps it where it is news. What the target cannot say now changes
    /// nothing.
    pub(super) async fn look_after(&self, held: &Held, record: &mut StageRecord) -> PortResult<()> {
        let Some(place) = record.place.clone().filter(|_| may_serve(record)) else { return Ok(()) };
        let asked = self.ports.cloud.unrest(Site { stage: &record.id, place: &place });
        let seen = match tokio::time::timeout(CALL_LIMIT, asked).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(PortError::Stale)) => return Err(PortError::Stale),
            Ok(Err(error)) => {
                let cause = chain(&error);
                tracing::info!(stage = %record.id, "how {} fares cannot be told now: {cause}", record.id);
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        if seen == record.unrest {
            return Ok(());
        }
        record.unrest = seen;
        self.ports.store.save_status(held, record).await
    }

    /// When to look again at what does not stay up.
    pub(super) fn next_look(&self, record: &StageRecord) -> Wake {
        if record.is_restless() && may_serve(record) {
            return Wake::At(self.ports.clock.now().after(LOOK));
        }
        Wake::OnBell
    }
}

/// Whether what is wanted is what runs, and the target is at work on it: bringing it on anew would do the
/// same, and call it a deploy.
pub(super) fn is_kept_up(record: &StageRecord, spec: &StageSpec, release: Option<&Release>) -> bool {
    record.is_restless() && release.is_some_and(|release| is_release_of(release, spec))
}

/// Whether something of it may serve while nothing is done to it.
fn may_serve(record: &StageRecord) -> bool {
    match record.status {
        StageStatus::Live { .. }
        | StageStatus::Failed { .. }
        | StageStatus::Misconfigured { .. }
        | StageStatus::AwaitingApproval { .. }
        | StageStatus::Withheld { .. } => !record.is_busy(),
        StageStatus::New
        | StageStatus::Deploying { .. }
        | StageStatus::Full { .. }
        | StageStatus::RemovalBlocked
        | StageStatus::Gone { .. } => false,
    }
}
