//! A transaction over an object: on a copy of the newest content, which then takes that one's place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, Row as _, query as fixed};

use super::super::known::Known;
use super::super::sql::fault;
use super::super::write::{Answer, Job};
use super::super::writer::{Fault, sort, transact};
use super::shelf::{FRESH, Kept, Shelf};
use super::shrink::Shrinker;
use super::snapshot::{DIALECT, Desk, Snapshot};
use crate::port::{PortError, PortResult};

/// How often a transaction is tried again whose race was lost: with many writers at once, most lose.
const TRIES: usize = 24;
/// The first wait is at most so long, and every other at most twice the one before, up to the longest.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// The object's one writer in this process.
pub(in crate::store) struct ObjectWriter {
    shelf: Arc<Shelf>,
    desk: Option<(Arc<Snapshot>, Desk)>,
    shrinker: Shrinker,
    chance: SmallRng,
}

impl ObjectWriter {
    pub(super) fn new(shelf: Arc<Shelf>, writer: &str) -> Self {
        let digest = Sha256::digest(writer.as_bytes());
        let seed = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Self { shelf, desk: None, shrinker: Shrinker::default(), chance: SmallRng::seed_from_u64(seed) }
    }

    /// How long to wait before each further try: others that lost the same race wait otherwise.
    pub(in crate::store) fn pauses(&mut self) -> Vec<Duration> {
        let cap = |try_: usize| LONGEST.min(SHORTEST.saturating_mul(1 << try_.min(10)));
        (0..TRIES).map(|try_| cap(try_).mul_f64(self.chance.random_range(0.2..1.0))).collect()
    }

    /// Tries one transaction over all jobs. After an error the copy is made anew.
    pub(in crate::store) async fn attempt(
        &mut self,
        known: &mut Option<Known>,
        jobs: &[Job],
    ) -> Result<Vec<PortResult<Answer>>, Fault> {
        let begun = Instant::now();
        let (base, mut desk) = self.copy_of_newest(known).await?;
        let before = changes(&mut desk.connection).await.map_err(sort)?;
        let (answers, _) = transact(&mut desk.connection, &DIALECT, known, jobs).await;
        let answers = answers?;
        if changes(&mut desk.connection).await.map_err(sort)? == before {
            // What was found must be so in the newest, as what is written is written there.
            let newest = self.shelf.since(begun).await.map_err(unwritten)?;
            if newest.etag() != base.etag() {
                return Err(Fault::Passing(PortError::retry("somebody else wrote the state meanwhile")));
            }
            self.desk = Some((base, desk));
            return Ok(answers);
        }
        let image = self.shrinker.image(&mut desk, known).await.map_err(sort)?;
        match self.shelf.keep(&base, image).await.map_err(Fault::Unknown)? {
            Kept::Ours(newest) => {
                // Where others have written on top of it the copy is not the newest.
                self.desk = (newest.number() == base.number() + 1).then_some((newest, desk));
                Ok(answers)
            }
            Kept::Lost => Err(Fault::Passing(PortError::retry("others wrote the state first, again and again"))),
        }
    }

    /// The last transaction's copy where nothing is known to be newer.
    async fn copy_of_newest(&mut self, known: &mut Option<Known>) -> Result<(Arc<Snapshot>, Desk), Fault> {
        let now = Instant::now();
        let newest = self.shelf.since(now.checked_sub(FRESH).unwrap_or(now)).await.map_err(unwritten)?;
        if let Some((base, desk)) = self.desk.take()
            && base.etag() == newest.etag()
            && base.etag().is_some()
        {
            return Ok((newest, desk));
        }
        *known = None;
        let desk = Desk::lay_out(self.shelf.folder(), &newest.image).await;
        Ok((newest, desk.map_err(|error| Fault::Passing(fault("a copy of the state", error)))?))
    }
}

/// How many rows this connection has changed.
async fn changes(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    fixed("SELECT total_changes()").fetch_one(connection).await?.try_get(0)
}

fn unwritten(error: PortError) -> Fault {
    match error {
        PortError::Retry { .. } => Fault::Passing(error),
        other => Fault::Unknown(other),
    }
}
