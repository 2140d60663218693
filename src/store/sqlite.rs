//! SQLite: one file, one process, no set-up.
//!
//! Write-ahead log with `synchronous=FULL`: a commit has been fsynced when it is acknowledged. Its files
//! are for their owner alone.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::migrations::steps;
use super::{Counters, Dedupe, Dialect, OpenError};

pub(super) static DIALECT: Dialect = BASE;

/// Also what a copy of a state differs from in a few words.
pub(super) const BASE: Dialect = Dialect {
    name: "SQLite",
    // The lock is taken at once: a deferred transaction that turns into a writing one can fail in
    // the middle, and no busy timeout helps it.
    begin: "BEGIN IMMEDIATE",
    begin_reading: "BEGIN",
    begin_along: "BEGIN IMMEDIATE; ",
    commit_along: "; COMMIT",
    lock: "",
    lock_free: "",
    free_lanes: Some("UPDATE lane SET lease_until = 0 WHERE lease_until > 0"),
    dedupe: Dedupe::Known,
    counters: Counters { lock: "", given: "", last, set: |_, _, _| None },
    over_socket: false,
    on_read: &["PRAGMA busy_timeout = 5000", "PRAGMA query_only = ON", "PRAGMA cache_size = -1024"],
    on_write: &[
        // Takes effect on a new file only. Deliveries touch a few bytes on many pages of the unique
        // indices, and what a commit costs is the number of bytes in the pages it touched.
        "PRAGMA page_size = 2048",
        "PRAGMA busy_timeout = 5000",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        "PRAGMA cache_size = -4096",
        // 16 MB of log between checkpoints: pages that are written again and again reach the file once.
        "PRAGMA wal_autocheckpoint = 8000",
    ],
    readers: 4,
    test_readers: false,
    migrations: steps!("sqlite"),
    advice: "does its folder exist, and may this user write there?",
};

/// A number is the one after the newest row's, and of deploys after every one that there ever was.
fn last(table: &str, column: &str) -> String {
    format!(
        "SELECT MAX(COALESCE((SELECT MAX({column}) FROM {table}), 0), \
         COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0))"
    )
}

/// What stands for itself in an address.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// The address of a file; `None` where its name is no text.
pub(super) fn address(file: &Path) -> Option<String> {
    Some(format!("sqlite://{}", utf8_percent_encode(file.to_str()?, &PLAIN)))
}

/// The options of an address, the file being made when it is missing.
pub(super) fn options(url: &str) -> Result<AnyConnectOptions, OpenError> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(OpenError::Address("a database in memory would be another one for every connection".into()));
    }
    let mode = if url.contains("mode=") {
        ""
    } else if url.contains('?') {
        "&mode=rwc"
    } else {
        "?mode=rwc"
    };
    let options: AnyConnectOptions = format!("{url}{mode}")
        .parse()
        .map_err(|_| OpenError::Address("the address of the file cannot be read".into()))?;
    Ok(options.disable_statement_logging())
}

const OWNER_ALONE: u32 = 0o600;

/// Sees that nobody else can read the database, which holds what people wrote: makes its file before
/// SQLite would, and corrects files that an older version made.
///
/// What SQLite makes later beside the file gets the file's own mode. A file that is there is never
/// opened: closing it again would end the locks that this process may have on it.
///
/// Source: SQLite, "How To Corrupt An SQLite Database File", section 2.2; `findCreateFileMode`.
pub(super) fn keep_private(url: &str) {
    let Ok(options) = SqliteConnectOptions::from_str(url) else { return };
    let file = options.get_filename();
    if !url.contains("mode=")
        && let Err(error) = OpenOptions::new().write(true).create_new(true).mode(OWNER_ALONE).open(file)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        // SQLite says so as well, in its own words.
        return tracing::debug!(%error, "the database's file cannot be made");
    }
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        match close(Path::new(&name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, file = %Path::new(&name).display(), "others may read the database");
            }
            _ => {}
        }
    }
}

fn close(file: &Path) -> io::Result<()> {
    if fs::metadata(file)?.permissions().mode() & 0o777 == OWNER_ALONE {
        return Ok(());
    }
    fs::set_permissions(file, Permissions::from_mode(OWNER_ALONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modes(folder: &Path) -> Vec<(String, u32)> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
        let mut modes: Vec<(String, u32)> = entries
            .map(|entry| {
                let mode = entry.metadata().expect("it is there").permissions().mode() & 0o777;
                (entry.file_name().to_string_lossy().into_owned(), mode)
            })
            .collect();
        modes.sort();
        modes
    }

    #[tokio::test]
    async fn the_files_are_for_their_owner_alone_new_or_old() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("greenroom.db");
        let url = format!("sqlite://{}", file.display());
        let closed = ["greenroom.db", "greenroom.db-shm", "greenroom.db-wal"].map(|name| (name.to_owned(), 0o600));
        let store = super::super::open(&url).await.expect("a database");
        store.ping().await.expect("it answers");
        assert_eq!(modes(folder.path()), closed);
        for (name, _) in &closed {
            fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o644)).expect("it is ours");
        }
        let again = super::super::open(&url).await.expect("a database");
        assert_eq!(modes(folder.path()), closed);
        drop((store, again));
    }
}
