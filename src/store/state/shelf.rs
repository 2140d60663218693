//! The object as this process knows it: looked at where it may have changed, replaced where it did not.
//!
//! # Guarantees
//!
//! - Nobody here sees an older content after a newer one.
//! - A content is replaced only by one that was made from it. A put that was heard and not answered is told
//!   from a lost race: whatever is made from it bears its mark.
//! - What is not this repository's state, or begun anew while this process works on it, is never replaced.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use deadpool::managed::Pool;
use tempfile::TempDir;

use super::super::readers::Lender;
use super::super::sql::fault;
use super::format::{self, Header, Mark, Unreadable};
use super::snapshot::{Snapshot, migrated, schema};
use crate::model::RepoId;
use crate::port::{ETag, Got, Objects, PortError, PortResult, Put};

/// What was found to be the newest is read for so long without another look. Whoever holds a lane has a copy
/// that is no older than the claim, and nobody else writes what is the lane's.
pub(super) const FRESH: Duration = Duration::from_millis(500);
/// How often one content is put.
const PUTS: u32 = 6;
/// Before the second; doubled after each.
const PAUSE: Duration = Duration::from_millis(50);

/// The object.
pub(in crate::store) struct Shelf {
    objects: Arc<dyn Objects>,
    key: String,
    /// For the reader.
    place: String,
    repo: RepoId,
    folder: TempDir,
    current: Mutex<Arc<Snapshot>>,
    /// Who looks, looks for all who wait meanwhile.
    looking: tokio::sync::Mutex<()>,
    writer: String,
    puts: AtomicU64,
}

/// What came of a put.
pub(in crate::store) enum Kept {
    /// It is there, or something that was made from it.
    Ours(Arc<Snapshot>),
    Lost,
}

/// Why the object cannot be opened.
pub(super) enum Closed {
    Unreachable(PortError),
    Unreadable(Unreadable),
    Database(sqlx::Error),
}

/// Whose object it is, and who wants it.
pub(super) struct Whose {
    pub(super) objects: Arc<dyn Objects>,
    pub(super) key: String,
    pub(super) place: String,
    pub(super) repo: RepoId,
    /// Another for each process.
    pub(super) writer: String,
}

impl Shelf {
    /// Looks at the object. One that is not there is an empty state, and is made by the first write.
    pub(super) async fn open(whose: Whose, folder: TempDir) -> Result<Self, Closed> {
        let Whose { objects, key, place, repo, writer } = whose;
        let sent = Instant::now();
        let snapshot = match objects.get(&key, None).await.map_err(Closed::Unreachable)? {
            Got::Found { etag, bytes } => read(folder.path(), repo, etag, bytes, sent).await?,
            Got::Absent | Got::Unchanged => {
                Snapshot::new(None, migrated(folder.path(), Vec::new()).await.map_err(Closed::Database)?, sent)
            }
        };
        let current = Mutex::new(Arc::new(snapshot));
        let (looking, puts) = (tokio::sync::Mutex::default(), AtomicU64::default());
        Ok(Self { objects, key, place, repo, folder, current, looking, writer, puts })
    }

    pub(in crate::store) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a read reads: see [`FRESH`].
    pub(super) async fn lately(&self) -> PortResult<Arc<Snapshot>> {
        let now = Instant::now();
        self.since(now.checked_sub(FRESH).unwrap_or(now)).await
    }

    /// Connections to what [`Self::lately`] answers, which must be there until one is lent.
    pub(in crate::store) async fn view(&self) -> Result<(Arc<Snapshot>, Pool<Lender>), sqlx::Error> {
        // It is found again by `sql::fault`.
        let snapshot = self.lately().await.map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let pool = snapshot.pool(self.folder()).await?;
        Ok((snapshot, pool))
    }

    /// The newest content at some moment after this one.
    pub(in crate::store) async fn since(&self, moment: Instant) -> PortResult<Arc<Snapshot>> {
        let known = self.current();
        if known.validated() >= moment {
            return Ok(known);
        }
        let _turn = self.looking.lock().await;
        let known = self.current();
        if known.validated() >= moment { Ok(known) } else { self.look().await }
    }

    async fn look(&self) -> PortResult<Arc<Snapshot>> {
        let (known, sent) = (self.current(), Instant::now());
        match self.objects.get(&self.key, known.etag()).await? {
            Got::Unchanged => known.validate(sent),
            Got::Absent if known.written.is_none() => known.validate(sent),
            Got::Absent => return Err(self.refused("it was removed")),
            Got::Found { etag, bytes } => {
                let found =
                    read(self.folder(), self.repo, etag, bytes, sent).await.map_err(|closed| self.fault(closed))?;
                return self.adopt(&known, found);
            }
        }
        Ok(self.current())
    }

    /// Takes what was found for the newest, unless this process has written since.
    fn adopt(&self, known: &Snapshot, found: Snapshot) -> PortResult<Arc<Snapshot>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if origin(&current).is_some_and(|origin| Some(origin) != self::origin(&found)) {
            return Err(self.refused("it was begun anew"));
        }
        if found.number() > current.number() {
            *current = Arc::new(found);
        } else if found.etag() == current.etag() {
            current.validate(found.validated());
        } else if known.etag() == current.etag() {
            return Err(self.refused("it was set back to what it was before"));
        }
        Ok(Arc::clone(&current))
    }

    /// Puts a database into the place of the one that it was made from.
    pub(in crate::store) async fn keep(&self, base: &Snapshot, image: Vec<u8>) -> PortResult<Kept> {
        let mark = Mark { writer: self.writer.clone(), put: self.puts.fetch_add(1, Ordering::Relaxed) + 1 };
        let header = match &base.written {
            Some((_, header)) => header.next(schema(), &mark),
            None => Header::first(self.repo, schema(), mark.clone()),
        };
        let to_pack = header.clone();
        let packing = tokio::task::spawn_blocking(move || (format::encode(to_pack, &image), image));
        let (bytes, image) = packing.await.map_err(|error| PortError::bug("packing the state", error))?;
        let bytes = Bytes::from(bytes.map_err(|error| self.fault(Closed::Unreadable(error)))?);
        let (mut pause, mut doubt) = (PAUSE, None);
        for _ in 0..PUTS {
            let sent = Instant::now();
            match self.objects.put(&self.key, bytes.clone(), &base.expect()).await {
                Ok(Put::Written(etag)) => {
                    let own = Snapshot::new(Some((etag, header)), image, sent);
                    return Ok(Kept::Ours(self.adopt(base, own)?));
                }
                Ok(Put::Lost) => {}
                Err(PortError::Retry { reason, .. }) => doubt = Some(reason),
                Err(other) => return Err(self.explained(other)),
            }
            match self.since(Instant::now()).await {
                Ok(now) if now.follows(&mark) => return Ok(Kept::Ours(now)),
                Ok(now) if now.etag() != base.etag() => return Ok(Kept::Lost),
                Ok(_) => {}
                Err(PortError::Retry { reason, .. }) => doubt = Some(reason),
                Err(other) => return Err(other),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let why = doubt.unwrap_or_else(|| "others were writing".to_owned());
        Err(PortError::retry(format!("nobody knows whether {} was written: {why}", self.place)))
    }

    fn refused(&self, why: &str) -> PortError {
        let reason = format!("{} is not the state that was there before: {why}. Nothing is written to it", self.place);
        PortError::Denied { reason }
    }

    fn fault(&self, closed: Closed) -> PortError {
        match closed {
            Closed::Unreachable(error) => self.explained(error),
            Closed::Unreadable(why) => {
                PortError::Denied { reason: format!("{} is not used: {why}. Nothing is written to it", self.place) }
            }
            Closed::Database(error) => fault("a copy of the state", error),
        }
    }

    fn explained(&self, error: PortError) -> PortError {
        match error {
            PortError::NotFound { what } => {
                PortError::Denied { reason: format!("{what} is not there any more, and {} was in it", self.place) }
            }
            other => other,
        }
    }
}

fn origin(snapshot: &Snapshot) -> Option<&str> {
    snapshot.written.as_ref().map(|(_, header)| header.origin.as_str())
}

async fn read(folder: &Path, repo: RepoId, etag: ETag, bytes: Bytes, sent: Instant) -> Result<Snapshot, Closed> {
    let unpacking = tokio::task::spawn_blocking(move || format::decode(&bytes, repo, schema()));
    let unpacked =
        unpacking.await.map_err(|error| Closed::Unreachable(PortError::bug("unpacking the state", error)))?;
    let (header, mut image) = unpacked.map_err(Closed::Unreadable)?;
    if header.schema < schema() {
        image = migrated(folder, image).await.map_err(Closed::Database)?;
    }
    Ok(Snapshot::new(Some((etag, header)), image, sent))
}
