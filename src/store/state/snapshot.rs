//! One content of the object: the database as a file's bytes, and what it is read by.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use deadpool::managed::Pool;
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection as _};
use tokio::runtime::Handle;

use super::super::readers::{Lender, pool};
use super::super::{Dialect, migrations, sql, sqlite};
use super::format::{Header, Mark};
use crate::port::{ETag, Expect};

/// The same database as a server's, of which only this process knows the file: nothing of it has to
/// outlive the process, because what is acknowledged lies in the object.
pub(in crate::store) static DIALECT: Dialect = Dialect {
    on_read: &["PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF", "PRAGMA cache_size = -1024"],
    on_write: &[
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA journal_mode = MEMORY",
        "PRAGMA synchronous = OFF",
        "PRAGMA foreign_keys = ON",
        "PRAGMA trusted_schema = OFF",
        "PRAGMA cache_size = -4096",
    ],
    free_lanes: None,
    readers: 2,
    advice: "is there room for temporary files?",
    ..sqlite::BASE
};

/// The newest step of the tables.
pub(super) fn schema() -> i64 {
    DIALECT.migrations.last().map_or(0, |step| step.0)
}

/// A content that is, or was, the newest.
pub(in crate::store) struct Snapshot {
    /// `None` before there is an object.
    pub(super) written: Option<(ETag, Header)>,
    pub(in crate::store) image: Vec<u8>,
    /// When a look that found it to be the newest was sent.
    validated: Mutex<Instant>,
    view: tokio::sync::Mutex<Option<View>>,
}

/// A file that is read from, and never changes.
struct View {
    pool: Pool<Lender>,
    _file: tempfile::TempPath,
}

impl Snapshot {
    pub(super) fn new(written: Option<(ETag, Header)>, image: Vec<u8>, validated: Instant) -> Self {
        Self { written, image, validated: Mutex::new(validated), view: tokio::sync::Mutex::default() }
    }

    pub(super) fn etag(&self) -> Option<&ETag> {
        self.written.as_ref().map(|(etag, _)| etag)
    }

    pub(super) fn number(&self) -> u64 {
        self.written.as_ref().map_or(0, |(_, header)| header.number)
    }

    pub(super) fn expect(&self) -> Expect {
        self.etag().map_or(Expect::Absent, |etag| Expect::Is(etag.clone()))
    }

    /// Whether it is that put, or made from it.
    pub(super) fn follows(&self, mark: &Mark) -> bool {
        self.written.as_ref().is_some_and(|(_, header)| header.follows(mark))
    }

    pub(super) fn validated(&self) -> Instant {
        *self.validated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn validate(&self, at: Instant) {
        let mut validated = self.validated.lock().unwrap_or_else(PoisonError::into_inner);
        *validated = at.max(*validated);
    }

    /// Connections that read it; the file is made in the folder when they are first wanted, and is there as
    /// long as this is.
    pub(super) async fn pool(&self, folder: &Path) -> Result<Pool<Lender>, sqlx::Error> {
        let mut view = self.view.lock().await;
        if let Some(view) = &*view {
            return Ok(view.pool.clone());
        }
        let file = tempfile::Builder::new().prefix("read-").suffix(".db").tempfile_in(folder)?.into_temp_path();
        tokio::fs::write(&file, &self.image).await?;
        let pool = pool(options(&file, "mode=ro&immutable=true")?, &DIALECT)?;
        *view = Some(View { pool: pool.clone(), _file: file });
        Ok(pool)
    }
}

/// A copy that is written to.
pub(in crate::store) struct Desk {
    pub(in crate::store) connection: AnyConnection,
    file: tempfile::TempPath,
}

impl Desk {
    /// A database with these bytes; an empty one without any.
    pub(in crate::store) async fn lay_out(folder: &Path, image: &[u8]) -> Result<Self, sqlx::Error> {
        let file = tempfile::Builder::new().prefix("write-").suffix(".db").tempfile_in(folder)?.into_temp_path();
        tokio::fs::write(&file, image).await?;
        let connection = sql::connect(&options(&file, "mode=rw")?, DIALECT.on_write).await?;
        Ok(Self { connection, file })
    }

    pub(in crate::store) async fn image(&mut self) -> Result<Vec<u8>, sqlx::Error> {
        Ok(tokio::fs::read(&self.file).await?)
    }
}

fn options(file: &Path, query: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    let odd = || sqlx::Error::Configuration("the temporary folder has a name that is no text".into());
    let address = sqlite::address(file).ok_or_else(odd)?;
    sqlite::options(&format!("{address}?{query}")).map_err(|error| sqlx::Error::Configuration(error.to_string().into()))
}

/// The database brought up to date; an empty one is made without bytes.
///
/// On a thread for what blocks: what sqlx migrates by cannot be shown to the compiler to change threads.
pub(super) async fn migrated(folder: &Path, image: Vec<u8>) -> Result<Vec<u8>, sqlx::Error> {
    let (folder, here) = (folder.to_owned(), Handle::current());
    let migrating = tokio::task::spawn_blocking(move || here.block_on(migrate(&folder, &image)));
    migrating.await.map_err(|error| sqlx::Error::Io(error.into()))?
}

async fn migrate(folder: &Path, image: &[u8]) -> Result<Vec<u8>, sqlx::Error> {
    let mut desk = Desk::lay_out(folder, image).await?;
    let steps = migrations::migrator(DIALECT.migrations);
    steps.run(&mut desk.connection).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => error,
        error => sqlx::Error::Configuration(error.into()),
    })?;
    let Desk { connection, file } = desk;
    connection.close().await?;
    Ok(tokio::fs::read(&file).await?)
}
