//! SQLite: one file, one process, no set-up.
//!
//! Write-ahead log with `synchronous=FULL`: a commit has been fsynced when it is acknowledged.

use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;

use super::migrations::steps;
use super::{Dedupe, Dialect, OpenError};

pub(super) static DIALECT: Dialect = Dialect {
    name: "SQLite",
    // The lock is taken at once: a deferred transaction that turns into a writing one can fail in
    // the middle, and no busy timeout helps it.
    begin: "BEGIN IMMEDIATE",
    begin_along: "BEGIN IMMEDIATE; ",
    commit_along: "; COMMIT",
    lock: "",
    lock_free: "",
    free_lanes: Some("UPDATE lane SET lease_until = 0 WHERE lease_until > 0"),
    dedupe: Dedupe::Known,
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
