//! The lock on all stages of a repository.

use sqlx::{AnyConnection, query as fixed};

use super::readers::Readers;
use super::row::{column, from_json, to_json};
use super::sql::fault;
use crate::model::{Lane, Lock, RepoLockChange, RepoName};
use crate::port::{Held, PortError, PortResult};

/// What is to be there, ready to be written: without a lock, the row goes.
pub(super) struct RepoLockRow {
    repo: String,
    lock: Option<String>,
}

pub(super) fn row(held: &Held, change: &RepoLockChange) -> PortResult<RepoLockRow> {
    let Lane::Repo(repo) = held.lane() else {
        let context = format!("the lane {} locks a repository", held.lane());
        return Err(PortError::Bug { context, source: None });
    };
    let lock = match change {
        RepoLockChange::Lock(lock) => Some(to_json(lock)?),
        RepoLockChange::Unlock => None,
    };
    Ok(RepoLockRow { repo: repo.to_string(), lock })
}

/// Writes or removes it inside the open transaction.
pub(super) async fn set(connection: &mut AnyConnection, row: &RepoLockRow) -> Result<(), sqlx::Error> {
    let statement = match &row.lock {
        Some(lock) => fixed(
            "INSERT INTO repo_lock (repo, content) VALUES ($1, $2) \
             ON CONFLICT (repo) DO UPDATE SET content = excluded.content",
        )
        .bind(&row.repo)
        .bind(lock),
        None => fixed("DELETE FROM repo_lock WHERE repo = $1").bind(&row.repo),
    };
    statement.execute(connection).await.map(drop)
}

pub(super) async fn get(readers: &Readers, repo: &RepoName) -> PortResult<Option<Lock>> {
    let lock = fixed("SELECT content FROM repo_lock WHERE repo = $1").bind(repo.to_string());
    let row = readers.optional(lock).await.map_err(|error| fault("a repository's lock", error))?;
    row.map(|row| from_json(&column::<String>(&row, 0)?)).transpose()
}
