//! What is owed to comments. A row's content is the whole receipt; the other columns are for
//! looking it up.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query as fixed};

use super::batch::Broken;
use super::readers::Readers;
use super::row::{column, from_json, signed, to_json};
use super::sql::{Statement, fault};
use crate::model::{CommandReceipt, CommentSource, Generation, ReceiptKey, ReceiptState, RepoName, StageId};
use crate::port::{PortError, PortResult};

/// A receipt, ready to be written.
pub(super) struct ReceiptRow {
    repo: String,
    source: &'static str,
    comment: i64,
    state: &'static str,
    stage: Option<String>,
    generation: Option<i64>,
    at: i64,
    content: String,
}

fn source_name(source: CommentSource) -> &'static str {
    match source {
        CommentSource::Issue => "issue",
        CommentSource::Review => "review",
        CommentSource::ReviewComment => "review_comment",
        CommentSource::PullRequest => "pull_request",
    }
}

fn state_name(state: ReceiptState) -> &'static str {
    match state {
        ReceiptState::Due => "due",
        ReceiptState::Waiting => "waiting",
        ReceiptState::Settled => "settled",
    }
}

pub(super) fn row(receipt: &CommandReceipt) -> PortResult<ReceiptRow> {
    Ok(ReceiptRow {
        repo: receipt.key.repo.to_string(),
        source: source_name(receipt.key.source),
        comment: signed(receipt.key.comment)?,
        state: state_name(receipt.state),
        stage: receipt.bond.as_ref().map(|bond| bond.stage.to_string()),
        generation: receipt.bond.as_ref().map(|bond| bond.generation.0),
        at: receipt.at.0,
        content: to_json(receipt)?,
    })
}

/// Adds receipts inside the open transaction; a comment that has one already keeps it.
pub(super) async fn add(connection: &mut AnyConnection, rows: &[ReceiptRow]) -> Result<(), sqlx::Error> {
    for row in rows {
        let insert = fixed(
            "INSERT INTO receipt (repo, source, comment, state, stage, generation, at, content) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        );
        let insert = insert.bind(&row.repo).bind(row.source).bind(row.comment).bind(row.state);
        let insert = insert.bind(row.stage.as_deref()).bind(row.generation).bind(row.at).bind(&row.content);
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Writes receipts that are there inside the open transaction.
pub(super) async fn save(connection: &mut AnyConnection, rows: &[ReceiptRow]) -> Result<(), Broken> {
    for row in rows {
        let update = fixed(
            "UPDATE receipt SET state = $4, stage = $5, generation = $6, content = $7 \
             WHERE repo = $1 AND source = $2 AND comment = $3",
        );
        let update = update.bind(&row.repo).bind(row.source).bind(row.comment).bind(row.state);
        let update = update.bind(row.stage.as_deref()).bind(row.generation).bind(&row.content);
        if update.execute(&mut *connection).await?.rows_affected() != 1 {
            let context = format!("{} of {} has no receipt to change", row.comment, row.repo);
            return Err(Broken::Refused(PortError::Bug { context, source: None }));
        }
    }
    Ok(())
}

/// Removes settled ones from before a time inside the open transaction.
pub(super) async fn forget(connection: &mut AnyConnection, before: i64) -> Result<u64, sqlx::Error> {
    let delete = fixed("DELETE FROM receipt WHERE at < $1 AND state = 'settled'").bind(before);
    Ok(delete.execute(connection).await?.rows_affected())
}

pub(super) async fn one(readers: &Readers, key: &ReceiptKey) -> PortResult<Option<CommandReceipt>> {
    let one = fixed("SELECT content FROM receipt WHERE repo = $1 AND source = $2 AND comment = $3");
    let one = one.bind(key.repo.to_string()).bind(source_name(key.source)).bind(signed(key.comment)?);
    Ok(list(readers, one).await?.pop())
}

/// Those of a repository of which something is not shown yet, the oldest first.
pub(super) async fn due(readers: &Readers, repo: &RepoName, limit: u32) -> PortResult<Vec<CommandReceipt>> {
    let due =
        fixed("SELECT content FROM receipt WHERE repo = $1 AND state = 'due' ORDER BY at, source, comment LIMIT $2");
    list(readers, due.bind(repo.to_string()).bind(i64::from(limit))).await
}

/// The newest of a repository.
pub(super) async fn newest(readers: &Readers, repo: &RepoName, limit: u32) -> PortResult<Vec<CommandReceipt>> {
    let newest =
        fixed("SELECT content FROM receipt WHERE repo = $1 ORDER BY at DESC, source DESC, comment DESC LIMIT $2");
    list(readers, newest.bind(repo.to_string()).bind(i64::from(limit))).await
}

/// Those of a repository that wait for a stage, the oldest first.
pub(super) async fn all_bound(readers: &Readers, repo: &RepoName, limit: u32) -> PortResult<Vec<CommandReceipt>> {
    let bound = fixed(
        "SELECT content FROM receipt WHERE repo = $1 AND state <> 'settled' AND stage IS NOT NULL \
         ORDER BY at, source, comment LIMIT $2",
    );
    list(readers, bound.bind(repo.to_string()).bind(i64::from(limit))).await
}

/// Those that wait for a stage at this generation or an earlier one.
pub(super) async fn bound(
    readers: &Readers,
    stage: &StageId,
    generation: Generation,
) -> PortResult<Vec<CommandReceipt>> {
    let bound = fixed(
        "SELECT content FROM receipt WHERE repo = $1 AND stage = $2 AND generation <= $3 AND state <> 'settled' \
         ORDER BY at, source, comment",
    );
    list(readers, bound.bind(stage.repo.to_string()).bind(stage.name.to_string()).bind(generation.0)).await
}

async fn list(readers: &Readers, select: Statement) -> PortResult<Vec<CommandReceipt>> {
    let rows = readers.all(select).await.map_err(|error| fault("receipts", error))?;
    rows.iter().map(|row: &AnyRow| from_json(&column::<String>(row, 0)?)).collect()
}
