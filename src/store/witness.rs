//! Witnessed heads of pull requests.

use sqlx::{AnyConnection, Row, query as fixed};

use super::readers::Readers;
use super::row::{column, number, parsed, signed};
use super::sql::fault;
use crate::model::{PullNumber, RepoName, Timestamp, UserId, Witness};
use crate::port::PortResult;

/// A head, ready to be written.
pub(super) struct WitnessRow {
    repo: String,
    pull: i64,
    sha: String,
    at: i64,
    pusher: Option<i64>,
}

pub(super) fn row(witness: Witness) -> PortResult<WitnessRow> {
    let Witness { repo, pull, sha, at, pusher } = witness;
    let pusher = pusher.map(|pusher| signed(pusher.0)).transpose()?;
    Ok(WitnessRow { repo: repo.into(), pull: signed(pull.0)?, sha: sha.into(), at: at.0, pusher })
}

/// Adds heads inside the open transaction, except one that is its pull request's newest already.
/// The lane of the repository is held, so nobody else adds one in between.
pub(super) async fn add(connection: &mut AnyConnection, rows: &[WitnessRow]) -> Result<(), sqlx::Error> {
    for row in rows {
        let newest = fixed("SELECT sha, id FROM witness WHERE repo = $1 AND pull = $2 ORDER BY id DESC LIMIT 1");
        let newest = newest.bind(&row.repo).bind(row.pull).fetch_optional(&mut *connection).await?;
        if let Some(newest) = newest
            && newest.try_get::<String, _>(0)? == row.sha
        {
            // It was seen before the event that says who pushed it.
            let named = fixed("UPDATE witness SET pusher = $1 WHERE id = $2 AND pusher IS NULL");
            if row.pusher.is_some() {
                named.bind(row.pusher).bind(newest.try_get::<i64, _>(1)?).execute(&mut *connection).await?;
            }
            continue;
        }
        let insert = fixed("INSERT INTO witness (repo, pull, sha, at, pusher) VALUES ($1, $2, $3, $4, $5)");
        let insert = insert.bind(&row.repo).bind(row.pull).bind(&row.sha).bind(row.at).bind(row.pusher);
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Removes those before a time inside the open transaction, except the newest of each pull request.
pub(super) async fn forget(connection: &mut AnyConnection, before: i64) -> Result<u64, sqlx::Error> {
    let delete = fixed(
        "DELETE FROM witness WHERE at < $1 AND id < \
         (SELECT MAX(newest.id) FROM witness newest WHERE newest.repo = witness.repo AND newest.pull = witness.pull)",
    );
    Ok(delete.bind(before).execute(connection).await?.rows_affected())
}

/// The newest first.
pub(super) async fn list(readers: &Readers, repo: &RepoName, pull: PullNumber, limit: u32) -> PortResult<Vec<Witness>> {
    let newest = fixed(
        "SELECT repo, pull, sha, at, pusher FROM witness WHERE repo = $1 AND pull = $2 ORDER BY id DESC LIMIT $3",
    );
    let newest = newest.bind(repo.to_string()).bind(signed(pull.0)?).bind(i64::from(limit));
    let rows = readers.all(newest).await.map_err(|error| fault("witnesses", error))?;
    let witness = |row| {
        Ok(Witness {
            repo: parsed(row, 0)?,
            pull: PullNumber(number(row, 1)?),
            sha: parsed(row, 2)?,
            at: Timestamp(column(row, 3)?),
            pusher: if column::<Option<i64>>(row, 4)?.is_some() { Some(UserId(number(row, 4)?)) } else { None },
        })
    };
    rows.iter().map(witness).collect()
}
