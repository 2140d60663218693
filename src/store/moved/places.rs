//! The places between which a repository is moved.

use std::time::Instant;

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection as _};

use super::into::put_in;
use super::out::{Which, take_out};
use super::{MoveError, Moved};
use crate::model::{RepoName, StateLocation, Timestamp};
use crate::port::PortError;
use crate::store::sql::{connect, is_passing};
use crate::store::state::{DIALECT as OBJECT, Desk, Kept, StateSettings, in_folder, shelf};
use crate::store::{Dialect, OpenError, address, open};

/// How often a database is asked where others were in the way.
const TRIES: u32 = 10;

/// Where a repository is.
pub enum MovePlace {
    /// A server's database, by its address.
    Database {
        url: String,
        repo: Option<RepoName>,
    },
    State(StateSettings),
}

/// Takes a repository out; what it is taken from stays as it is.
pub async fn export(place: &MovePlace, now: Timestamp) -> Result<Moved, MoveError> {
    match place {
        MovePlace::Database { repo: None, .. } => Err(MoveError::NotThere("that is not named".to_owned())),
        MovePlace::Database { url, repo: Some(repo) } => {
            drop(open(url).await?);
            from_database(url, &Which::Name(repo.clone()), now).await
        }
        MovePlace::State(settings) => match &settings.location {
            StateLocation::Folder(folder) => {
                if !folder.join(StateLocation::key("", settings.repo.0)).exists() {
                    return Err(MoveError::NotThere(settings.repo.0.to_string()));
                }
                let (url, _store) = in_folder(folder, settings.repo).await?;
                from_database(&url, &Which::Number(settings.repo), now).await
            }
            StateLocation::Bucket { .. } => {
                sqlx::any::install_default_drivers();
                let shelf = shelf(settings).await?;
                let newest = shelf.since(Instant::now()).await?;
                let mut desk = Desk::lay_out(shelf.folder(), &newest.image).await?;
                read(&mut desk.connection, &OBJECT, &Which::Number(settings.repo), now).await
            }
        },
    }
}

/// Puts a repository in. Answers once it is there.
pub async fn import(place: &MovePlace, moved: &Moved, now: Timestamp) -> Result<(), MoveError> {
    match place {
        MovePlace::Database { url, .. } => {
            drop(open(url).await?);
            into_database(url, moved, now).await
        }
        MovePlace::State(settings) if settings.repo != moved.repository() => {
            Err(MoveError::Unreadable(format!("it is of repository {}", moved.repository().0)))
        }
        MovePlace::State(settings) => match &settings.location {
            StateLocation::Folder(folder) => {
                let (url, _store) = in_folder(folder, settings.repo).await?;
                into_database(&url, moved, now).await
            }
            StateLocation::Bucket { .. } => into_object(settings, moved, now).await,
        },
    }
}

async fn connected(url: &str) -> Result<(&'static Dialect, AnyConnection), MoveError> {
    let (dialect, options): (&'static Dialect, AnyConnectOptions) = address(url)?;
    let connection = connect(&options, dialect.on_write).await;
    let connection =
        connection.map_err(|source| OpenError::Connect { backend: dialect.name, advice: dialect.advice, source })?;
    Ok((dialect, connection))
}

async fn from_database(url: &str, which: &Which, now: Timestamp) -> Result<Moved, MoveError> {
    let (dialect, mut connection) = connected(url).await?;
    let moved = read(&mut connection, dialect, which, now).await;
    connection.close().await?;
    moved
}

async fn read(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    which: &Which,
    now: Timestamp,
) -> Result<Moved, MoveError> {
    let mut transaction = connection.begin_with(dialect.begin_reading).await?;
    let moved = take_out(&mut transaction, which, now.0).await?;
    transaction.rollback().await?;
    Ok(moved)
}

async fn into_database(url: &str, moved: &Moved, now: Timestamp) -> Result<(), MoveError> {
    for _ in 1..TRIES {
        match write_into(url, moved, now).await {
            Err(MoveError::Database(error)) if is_passing(&error) => tracing::debug!(%error, "putting in again"),
            written => return written,
        }
    }
    write_into(url, moved, now).await
}

async fn write_into(url: &str, moved: &Moved, now: Timestamp) -> Result<(), MoveError> {
    let (dialect, mut connection) = connected(url).await?;
    write(&mut connection, dialect, moved, now).await?;
    connection.close().await.map_err(MoveError::Database)
}

async fn write(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    moved: &Moved,
    now: Timestamp,
) -> Result<(), MoveError> {
    let mut transaction = connection.begin_with(dialect.begin).await?;
    // What is dropped without a commit is rolled back.
    put_in(&mut transaction, dialect, moved, now.0).await?;
    transaction.commit().await.map_err(MoveError::Database)
}

async fn into_object(settings: &StateSettings, moved: &Moved, now: Timestamp) -> Result<(), MoveError> {
    sqlx::any::install_default_drivers();
    let shelf = shelf(settings).await?;
    for _ in 0..TRIES {
        let newest = shelf.since(Instant::now()).await?;
        let mut desk = Desk::lay_out(shelf.folder(), &newest.image).await?;
        write(&mut desk.connection, &OBJECT, moved, now).await?;
        match shelf.keep(&newest, desk.image().await?).await? {
            Kept::Ours(_) => return Ok(()),
            Kept::Lost => {}
        }
    }
    Err(PortError::retry("others wrote the state first, again and again").into())
}
