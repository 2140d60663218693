//! A repository's state without a server: its database lies in one object, or in a folder's file.
//!
//! # Guarantees
//!
//! - Several runs work side by side as several servers do on one PostgreSQL: what each writes is written on
//!   the newest state or not at all, and no run waits for another's deploy.
//! - What a call acknowledged is in the object. A run that is killed anywhere leaves the state before
//!   its last write, or after it.
//! - What is read is what this process wrote, and no older than half a second.
//! - An object that is not this repository's, damaged, or of a newer version is never replaced.
//!
//! | file | purpose |
//! |---|---|
//! | `format` | what an object holds |
//! | `snapshot` | one content of it, as files that are read and written |
//! | `shelf` | the newest content: looking, and putting another in its place |
//! | `writer` | a transaction |
//! | `shrink` | keeping it small |

mod format;
mod shelf;
mod shrink;
mod snapshot;
mod writer;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use format::Unreadable;
pub(super) use shelf::{Kept, Shelf};
pub(super) use snapshot::{DIALECT, Desk};
pub(super) use writer::ObjectWriter;

use self::shelf::{Closed, Whose};
use super::readers::Readers;
use super::writer::Writer;
use super::{OpenError, SqlStore, heard, open, sqlite};
use crate::model::{RepoId, StateLocation};
use crate::port::{Objects, PortError, Store};

/// Whose state, and where it lies.
pub struct StateSettings {
    pub location: StateLocation,
    pub repo: RepoId,
    /// The location's bucket; not asked for a folder.
    pub objects: Option<Arc<dyn Objects>>,
    /// A name by chance that no other process has: by it a put that was not answered is known again.
    pub writer: String,
    /// A folder for copies, each gone with the store; `None` is the system's own for temporary files. A runner
    /// has one that it empties after each job, also where the run was killed.
    pub scratch: Option<PathBuf>,
}

/// Opens a repository's state. One that is not there is empty, and is made by the first write.
///
/// Must be called inside a tokio runtime, on which its tasks are spawned.
pub async fn open_state(settings: StateSettings) -> Result<Arc<dyn Store>, OpenError> {
    sqlx::any::install_default_drivers();
    if let StateLocation::Folder(folder) = &settings.location {
        return Ok(in_folder(folder, settings.repo).await?.1);
    }
    let shelf = Arc::new(shelf(&settings).await?);
    let readers = Readers::of_object(Arc::clone(&shelf));
    let writer = Writer::of_object(ObjectWriter::new(shelf, &settings.writer));
    Ok(Arc::new(SqlStore { readers, writer, heard: heard::Heard::default() }))
}

/// The object of a state in a bucket.
pub(super) async fn shelf(settings: &StateSettings) -> Result<Shelf, OpenError> {
    let StateSettings { location, repo, objects, writer, scratch } = settings;
    let (StateLocation::Bucket { bucket, prefix }, Some(objects)) = (location, objects) else {
        return Err(OpenError::Location(format!("{location} is no bucket that this greenroom can use")));
    };
    let key = StateLocation::key(prefix, repo.0);
    let place = format!("s3://{bucket}/{key}");
    let whose = Whose { objects: Arc::clone(objects), key, place: place.clone(), repo: *repo, writer: writer.clone() };
    let (mut copies, named) = (tempfile::Builder::new(), scratch.as_ref().map(|folder| folder.display().to_string()));
    copies.prefix("greenroom-state-");
    let folder = scratch.as_ref().map_or_else(|| copies.tempdir(), |folder| copies.tempdir_in(folder));
    let named = named.unwrap_or_else(|| "for temporary files".to_owned());
    let folder = folder.map_err(|source| OpenError::Folder { folder: named, source })?;
    Shelf::open(whose, folder).await.map_err(|closed| explained(bucket, place, closed))
}

fn explained(bucket: &str, place: String, closed: Closed) -> OpenError {
    match closed {
        Closed::Unreachable(PortError::NotFound { .. }) => OpenError::NoBucket(bucket.to_owned()),
        Closed::Unreachable(source) => OpenError::Reach { place, source },
        Closed::Unreadable(why) => OpenError::Unreadable { place, why },
        Closed::Database(source) => OpenError::Connect { backend: "state's", advice: DIALECT.advice, source },
    }
}

/// A file that several processes of this machine share, as SQLite lets them; with its address.
pub(super) async fn in_folder(folder: &Path, repo: RepoId) -> Result<(String, Arc<dyn Store>), OpenError> {
    let wrong = |source| OpenError::Folder { folder: folder.display().to_string(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
    let folder_of_all = folder.canonicalize().map_err(wrong)?;
    let file = folder_of_all.join(StateLocation::key("", repo.0));
    let Some(url) = sqlite::address(&file) else {
        return Err(OpenError::Location(format!("{} has a name that is no text", folder.display())));
    };
    // Two that begin at once would both make the tables: one at a time makes them.
    let gate = folder_of_all.join(format!("{}.lock", repo.0));
    let gate = tokio::task::spawn_blocking(move || shut(&gate)).await.map_err(|error| wrong(error.into()))?;
    let gate = gate.map_err(wrong)?;
    let store = open(&url).await;
    drop(gate);
    Ok((url, store?))
}

/// Holds a lock until the file is dropped.
fn shut(gate: &Path) -> std::io::Result<std::fs::File> {
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(gate)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
    Ok(file)
}
