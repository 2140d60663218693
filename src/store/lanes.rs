//! Lanes inside one transaction: read and locked once, changed here, written back once.
//!
//! However many rings, renewals and releases a batch holds, they are one `SELECT` and one
//! `INSERT .. ON CONFLICT`. Claims come after them (`claims`).

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AnyConnection, Row};

use super::Dialect;
use super::sql::{list, query, runs, values};
use super::write::{Hold, Job};

/// What a ring does to a lane that is there.
pub(super) const RING: &str = "ON CONFLICT (key) DO UPDATE SET bell = lane.bell + excluded.bell, wake_at = CASE \
                    WHEN lane.wake_at < excluded.wake_at THEN lane.wake_at ELSE excluded.wake_at END";

struct LaneRow {
    bell: i64,
    wake_at: Option<i64>,
    fence: i64,
    lease_until: i64,
    attempts: i64,
    changed: bool,
}

/// A lane that is rung without having been read.
struct Ring {
    times: i64,
    at: i64,
}

/// The lanes that one batch is about.
#[derive(Default)]
pub(super) struct Lanes {
    read: BTreeMap<String, LaneRow>,
    rung: BTreeMap<String, Ring>,
}

impl Lanes {
    /// Reads and locks the lanes that writes of this batch claim to hold; those that it rings too,
    /// because locks must be taken in one order. A batch of rings alone reads nothing.
    pub(super) async fn read(
        connection: &mut AnyConnection,
        dialect: &Dialect,
        jobs: &[Job],
    ) -> Result<Self, sqlx::Error> {
        let mut keys: BTreeSet<&str> =
            jobs.iter().filter_map(|job| job.write.hold()).map(|hold| hold.lane.as_str()).collect();
        if !keys.is_empty() {
            keys.extend(jobs.iter().flat_map(|job| job.write.rings()).map(String::as_str));
        }
        let keys: Vec<&str> = keys.into_iter().collect();
        let mut lanes = Self::default();
        for run in runs(&keys) {
            let head = "SELECT key, bell, wake_at, fence, lease_until, attempts FROM lane WHERE key IN";
            let mut select = query(list(head, run.len(), &format!("ORDER BY key{}", dialect.lock)));
            for key in run {
                select = select.bind(*key);
            }
            for row in select.fetch_all(&mut *connection).await? {
                let lane = LaneRow {
                    bell: row.try_get(1)?,
                    wake_at: row.try_get(2)?,
                    fence: row.try_get(3)?,
                    lease_until: row.try_get(4)?,
                    attempts: row.try_get(5)?,
                    changed: false,
                };
                lanes.read.insert(row.try_get(0)?, lane);
            }
        }
        Ok(lanes)
    }

    /// Whether the lane is still held under that number.
    pub(super) fn holds(&self, hold: &Hold) -> bool {
        self.read.get(&hold.lane).is_some_and(|lane| lane.fence == hold.fence)
    }

    /// Whether the lane was rung since its bell stood there.
    pub(super) fn is_rung(&self, hold: &Hold, bell: i64) -> bool {
        self.read.get(&hold.lane).is_none_or(|lane| lane.bell != bell)
    }

    pub(super) fn ring(&mut self, key: &str, at: i64) {
        if let Some(lane) = self.read.get_mut(key) {
            lane.bell += 1;
            lane.wake_at = Some(lane.wake_at.map_or(at, |wake_at| wake_at.min(at)));
            lane.changed = true;
        } else if let Some(ring) = self.rung.get_mut(key) {
            ring.times += 1;
            ring.at = ring.at.min(at);
        } else {
            self.rung.insert(key.to_owned(), Ring { times: 1, at });
        }
    }

    pub(super) fn renew(&mut self, hold: &Hold, until: i64) {
        if let Some(lane) = self.read.get_mut(&hold.lane) {
            lane.lease_until = until;
            lane.changed = true;
        }
    }

    /// A lane that was rung since it was claimed stays due: its `wake_at` is left alone.
    pub(super) fn release(&mut self, hold: &Hold, bell: i64, wake_at: Option<i64>, attempts: i64) {
        if let Some(lane) = self.read.get_mut(&hold.lane) {
            lane.lease_until = 0;
            lane.attempts = attempts;
            if lane.bell == bell {
                lane.wake_at = wake_at;
            }
            lane.changed = true;
        }
    }

    /// Writes back what changed, in the order of the keys. The closing is put behind the last
    /// statement, unless there is none for it to go along with.
    pub(super) async fn save(
        self,
        connection: &mut AnyConnection,
        closing: impl FnOnce() -> &'static str,
    ) -> Result<(), sqlx::Error> {
        let changed: Vec<(String, LaneRow)> = self.read.into_iter().filter(|(_, lane)| lane.changed).collect();
        for run in runs(&changed) {
            let mut upsert = query(values(
                "INSERT INTO lane (key, bell, wake_at, fence, lease_until, attempts) VALUES",
                6,
                run.len(),
                "ON CONFLICT (key) DO UPDATE SET bell = excluded.bell, wake_at = excluded.wake_at, \
                 lease_until = excluded.lease_until, attempts = excluded.attempts",
            ));
            for (key, lane) in run {
                upsert = upsert.bind(key).bind(lane.bell).bind(lane.wake_at).bind(lane.fence);
                upsert = upsert.bind(lane.lease_until).bind(lane.attempts);
            }
            upsert.execute(&mut *connection).await?;
        }
        let rung: Vec<(String, Ring)> = self.rung.into_iter().collect();
        let (mut rung, mut closing) = (runs(&rung).peekable(), Some(closing));
        while let Some(run) = rung.next() {
            let closing = if rung.peek().is_none() { closing.take().map_or("", |closing| closing()) } else { "" };
            let tail = format!("{RING}{closing}");
            let mut upsert = query(values("INSERT INTO lane (key, bell, wake_at) VALUES", 3, run.len(), &tail));
            for (key, ring) in run {
                upsert = upsert.bind(key).bind(ring.times).bind(ring.at);
            }
            upsert.execute(&mut *connection).await?;
        }
        Ok(())
    }
}
