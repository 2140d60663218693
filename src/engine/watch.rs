//! Looking after what is live: what is shown follows what is.
//!
//! # Guarantees
//!
//! - A target that tells by itself is heard at once, and every other is looked at every minute, as far as
//!   somebody is likely to look at the stage ([`is_watched`]). Of several servers one looks.
//! - What its target starts again by itself is not brought on anew, only shown. What is lost is.
//! - Whoever ends all the time makes us look now and then, not all the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{CALL_LIMIT, Engine};
use crate::decide::{follow, is_release_of, is_watched};
use crate::model::{
    Chore, Condition, Conditions, Lane, Release, StageId, StageRecord, StageSpec, StageStatus, Timestamp,
};
use crate::port::{Held, PortResult, Site};

/// Between two looks at all that are watched.
const LOOK: Duration = Duration::from_mins(1);
const LOOK_MILLIS: i64 = 60_000;
/// Between two looks at one stage whose target tells of it again and again.
const CALM_MILLIS: i64 = 10_000;

/// Looks at the same time.
const AT_ONCE: usize = 16;

impl Engine {
    /// Hears what the target tells, and has all that are watched looked at, until `stop`.
    pub(super) async fn look_after(self: Arc<Self>, stop: CancellationToken) {
        let mut rung: HashMap<StageId, Timestamp> = HashMap::new();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let result = tokio::select! {
                () = stop.cancelled() => return,
                stage = self.ports.cloud.stirred() => self.heed(&mut rung, stage).await,
                _ = looks.tick() => self.call_watch().await,
            };
            if let Err(error) = result {
                tracing::warn!("nobody is told to look after what is live: {error}");
            }
        }
    }

    /// Rings the stage that its target tells of: now, or a little later where that was just done.
    async fn heed(&self, rung: &mut HashMap<StageId, Timestamp>, stage: StageId) -> PortResult<()> {
        let now = self.ports.clock.now();
        rung.retain(|_, at| now.since(*at) < CALM_MILLIS);
        let at = rung.get(&stage).map_or(now, |last| last.after_millis(CALM_MILLIS));
        rung.entry(stage.clone()).or_insert(now);
        self.ports.store.ring(&Lane::Stage(stage), at).await?;
        self.bell.notify_waiters();
        Ok(())
    }

    /// Makes the look due at the next whole minute: several servers mean the same one.
    async fn call_watch(&self) -> PortResult<()> {
        let now = self.ports.clock.now();
        let next = now.after_millis(LOOK_MILLIS - now.0.rem_euclid(LOOK_MILLIS));
        self.ports.store.ring(&Lane::Chore(Chore::Watch), next).await
    }

    /// Rings every stage that is watched and is doing otherwise than was taken down.
    pub(super) async fn watch(&self, held: &mut Held) -> PortResult<()> {
        let now = self.ports.clock.now();
        let mut watched = self.ports.store.stages(None).await?;
        watched.retain(|record| is_watched(record, now));
        // Beside each other, and those of one account together: one that does not answer holds up few others.
        watched.sort_by(|one, other| account(one).cmp(&account(other)));
        for batch in watched.chunks(AT_ONCE) {
            self.keep_lease(held).await?;
            let looks: Vec<_> = batch.iter().map(|record| self.seen(record)).collect();
            for (record, seen) in batch.iter().zip(join_all(looks).await) {
                let Some(seen) = seen else { continue };
                if follow(&record.conditions, seen) != record.conditions {
                    self.ports.store.ring(&Lane::Stage(record.id.clone()), now).await?;
                }
            }
        }
        self.bell.notify_waiters();
        Ok(())
    }

    /// Takes down how what serves of a stage at rest is doing, in memory. Answers whether there is trouble
    /// that its target sees to.
    pub(super) async fn is_seen_to(
        &self,
        record: &mut StageRecord,
        spec: &StageSpec,
        release: Option<&Release>,
    ) -> bool {
        // What somebody asks for is done, and so is what never was there.
        let asked = record.asked.as_ref().is_some_and(|asked| asked.generation == record.generation);
        let was_live = record.status == (StageStatus::Live { sha: spec.sha.clone() });
        // Where nothing of a commit had to be deployed, what went live with an older one runs on.
        let serves = |release: &Release| is_release_of(&Release { sha: spec.sha.clone(), ..release.clone() }, spec);
        if asked || !was_live || !release.is_some_and(serves) {
            return false;
        }
        let Some(seen) = self.seen(record).await else { return false };
        let is_whole = spec.services.iter().all(|service| seen.contains_key(&service.name));
        record.conditions = follow(&record.conditions, seen);
        is_whole && record.conditions.values().any(Condition::is_trouble)
    }

    /// Takes down how what serves is doing, where the stage is at rest, live or not.
    pub(super) async fn note_conditions(&self, held: &Held, record: &mut StageRecord) -> PortResult<()> {
        if !is_watched(record, self.ports.clock.now()) {
            return Ok(());
        }
        let Some(seen) = self.seen(record).await else { return Ok(()) };
        let conditions = follow(&record.conditions, seen);
        if conditions == record.conditions {
            return Ok(());
        }
        record.conditions = conditions;
        self.ports.store.save_status(held, record).await
    }

    /// How what serves is doing; `None` where that cannot be told now, and what was known stands.
    async fn seen(&self, record: &StageRecord) -> Option<Conditions> {
        let site = Site { stage: &record.id, place: record.place.as_ref()? };
        let about = format!("how {} is doing", record.id);
        let trouble = match timeout(CALL_LIMIT, self.ports.cloud.conditions(site)).await {
            Ok(Ok(seen)) => {
                self.once.is_over(&about);
                return Some(seen);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} seconds", CALL_LIMIT.as_secs()),
        };
        if self.once.is_news(&about, &trouble) {
            tracing::warn!(stage = %record.id, "nobody knows {about}: {trouble}");
        }
        None
    }
}

/// Where a stage lives, in which all who live there answer or do not.
fn account(record: &StageRecord) -> Option<(&str, &str)> {
    let aws = record.place.as_ref()?.aws.as_ref()?;
    Some((&aws.account, &aws.region))
}
