//! The database: SQLite inside the process, or PostgreSQL shared by several.
//!
//! # Guarantees
//!
//! - What a call acknowledged is on disk: every write goes through one task per process that puts
//!   all that is queued into one transaction and answers after its commit (`writer`).
//! - A write under a stale fence touches nothing and spoils nobody else's write in the same
//!   transaction; a write that the database refuses fails alone (`batch`).
//! - The same SQL serves both backends; what differs stands in `sqlite`, `postgres` and `known`.

mod audit;
mod batch;
mod calls;
mod carried;
mod claims;
mod deploys;
mod heard;
mod history;
mod inbox;
mod known;
mod lanes;
mod ledger;
mod locks;
mod migrations;
mod moved;
mod postgres;
mod read;
mod readers;
mod receipt;
mod row;
mod slots;
mod sql;
mod sqlite;
mod stages;
mod state;
mod surfaces;
mod walls;
mod witness;
mod write;
mod writer;

use std::sync::Arc;

use sqlx::any::AnyConnectOptions;
use sqlx::{Connection as _, Executor};

use crate::port::{PortError, Store};
pub use moved::{MoveError, MovePlace, Moved, export, import};
use readers::Readers;
pub use state::{StateSettings, Unreadable, open_state};
use writer::Writer;

/// Why the database could not be opened, with the way out.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is none that we know.
    #[error("{0}; write sqlite://greenroom.db for a file, or postgres://user:password@host/database")]
    Address(String),
    /// It does not answer, or refuses us.
    #[error("cannot open the {backend} database: {advice}")]
    Connect {
        backend: &'static str,
        /// What to look at.
        advice: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// Its tables could not be brought up to date.
    #[error(
        "cannot bring the tables up to date; if a newer greenroom has used this database, run that version or a newer one"
    )]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// There is no such place for a state.
    #[error("{0}; write s3://bucket/prefix for a bucket, or the path of a folder")]
    Location(String),
    /// The bucket of a state is not there.
    #[error(
        "the bucket {0} for the state is not there: `greenroom bootstrap` makes it; or name another one as `state`"
    )]
    NoBucket(String),
    /// The bucket of a state refuses us, or does not answer.
    #[error("the state {place} cannot be read")]
    Reach {
        place: String,
        #[source]
        source: PortError,
    },
    /// What lies there is none that may be used. Nothing was changed.
    #[error("the state {place} is not used: {why}. Nothing was written to it")]
    Unreadable { place: String, why: Unreadable },
    /// The folder of a state cannot be used.
    #[error("the folder {folder} of the state cannot be used: may this user write there, and is there room?")]
    Folder {
        folder: String,
        #[source]
        source: std::io::Error,
    },
}

/// How a delivery is told from a known one.
enum Dedupe {
    /// By a unique index.
    Indices,
    /// By keys, the newest of them in memory.
    Known,
}

/// What the two databases do differently.
struct Dialect {
    name: &'static str,
    /// Begins a transaction that will write.
    begin: &'static str,
    /// Begins one that reads everything as of one moment.
    begin_reading: &'static str,
    /// The same before a statement, and COMMIT behind one; both empty where one goes at a time.
    begin_along: &'static str,
    commit_along: &'static str,
    /// Ends a `SELECT` of rows that this transaction is going to change.
    lock: &'static str,
    /// The same, leaving out what another transaction is changing.
    lock_free: &'static str,
    /// Frees every lane, where one process alone holds lanes.
    free_lanes: Option<&'static str>,
    dedupe: Dedupe,
    counters: Counters,
    /// Whether its answers come over a socket, which belongs to the runtime that opened it.
    over_socket: bool,
    /// Run on every new connection that reads.
    on_read: &'static [&'static str],
    /// Run on every new connection that writes.
    on_write: &'static [&'static str],
    /// How many connections read beside the one that writes.
    readers: usize,
    /// Whether a connection that was idle may have been lost, so that it is asked before use.
    test_readers: bool,
    migrations: &'static [migrations::Step],
    /// What to look at when it cannot be opened.
    advice: &'static str,
}

/// How rows with given numbers are written beside those that the database counts itself.
struct Counters {
    /// Keeps others from being given numbers meanwhile; empty where one writes at a time.
    lock: &'static str,
    /// Before `VALUES`.
    given: &'static str,
    /// Asks for a number that is at least every one that was given; of a table and its column.
    last: fn(&str, &str) -> String,
    /// Sees that later numbers are above this one, where the rows alone do not see to it.
    set: fn(&str, &str, i64) -> Option<String>,
}

/// A [`Store`] over either database.
struct SqlStore {
    readers: Readers,
    writer: Writer,
    heard: heard::Heard,
}

/// Whether somebody else may be at work on the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Possible,
    /// SQLite has one server: leases that are found were held by one that was killed.
    NoneOnSqlite,
}

/// Opens the database that the address names, makes the file if it is SQLite's, and brings the
/// tables up to date.
///
/// Must be called inside a tokio runtime: its tasks are spawned there. The writing one ends, having
/// written what was queued, when the last clone of the store is dropped.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, OpenError> {
    open_in(url, Company::Possible).await
}

/// Opens the database for the server itself, once it knows that no other one runs on its data folder.
///
/// On SQLite that server is the only one, so lanes that a killed one held are free at once; on
/// PostgreSQL their leases have to run out, because another server may be at work on them.
pub async fn open_for_server(url: &str) -> Result<Arc<dyn Store>, OpenError> {
    open_in(url, Company::NoneOnSqlite).await
}

async fn open_in(url: &str, company: Company) -> Result<Arc<dyn Store>, OpenError> {
    sqlx::any::install_default_drivers();
    let (dialect, options) = address(url)?;
    if let Dedupe::Known = dialect.dedupe {
        sqlite::keep_private(url);
    }
    let connect = |source| OpenError::Connect { backend: dialect.name, advice: dialect.advice, source };
    let mut connection = sql::connect(&options, dialect.on_write).await.map_err(connect)?;
    migrations::migrator(dialect.migrations).run(&mut connection).await.map_err(OpenError::Migrate)?;
    if let (Company::NoneOnSqlite, Some(free)) = (company, dialect.free_lanes) {
        connection.execute(free).await.map_err(connect)?;
    }
    let readers = Readers::new(options.clone(), dialect).map_err(connect)?;
    let connection = if dialect.over_socket {
        connection.close().await.map_err(connect)?;
        None
    } else {
        Some(connection)
    };
    let writer = Writer::spawn(connection, options, dialect).map_err(|error| connect(error.into()))?;
    Ok(Arc::new(SqlStore { readers, writer, heard: heard::Heard::default() }))
}

fn address(url: &str) -> Result<(&'static Dialect, AnyConnectOptions), OpenError> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "sqlite" => Ok((&sqlite::DIALECT, sqlite::options(url)?)),
        "postgres" | "postgresql" => Ok((&postgres::DIALECT, postgres::options(url)?)),
        // Never the address itself, nor what stands where its kind should: either may be a password.
        scheme => Err(OpenError::Address(match OTHERS.iter().find(|other| other.eq_ignore_ascii_case(scheme)) {
            Some(other) => format!("{other} is not a kind of database that Greenroom knows"),
            None => "this is not the address of a database that Greenroom knows".to_owned(),
        })),
    }
}

/// Kinds of databases that people have and Greenroom has not.
const OTHERS: [&str; 9] =
    ["mysql", "mariadb", "mssql", "sqlserver", "mongodb", "mongodb+srv", "oracle", "redis", "cockroachdb"];

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_cannot_work_is_refused_with_the_way_out() {
        for bad in [
            "",
            "greenroom.db",
            "mysql://root:hunter2@h/x",
            "hunter2:",
            "hunter2://h/x",
            "postgres://me:hunter2@h:port/x",
            "sqlite::memory:",
            "sqlite://x.db?mode=memory",
        ] {
            let error = open(bad).await.err().expect("it cannot be opened");
            assert!(error.to_string().contains("sqlite://greenroom.db"), "{bad}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_does_not_exist_is_said_so() {
        let error = open("sqlite:///no-such-folder/x.db").await.err().map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some("cannot open the SQLite database: does its folder exist, and may this user write there?")
        );
    }
}
