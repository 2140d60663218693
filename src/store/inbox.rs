//! The inbox: many deliveries in one statement.
//!
//! Here a delivery is told from a known one by a unique index over ids, which PostgreSQL keeps; for SQLite
//! see `known`.

use std::collections::HashSet;

use sqlx::{AnyConnection, Row, query as fixed};

use super::lanes::RING;
use super::sql::{Statement, list, query, runs, values};
use super::write::DeliveryRow;
use crate::port::Receipt;

pub(super) const RECEIVED: i64 = 0;
pub(super) const POISON: i64 = 2;

const INSERT: &str = "INSERT INTO inbox (id, body, lane, state, at, content, reason) VALUES";
const COLUMNS: usize = 7;

/// Takes deliveries in, in their order, and says of each what became of it.
///
/// As long as nothing is known already this is one statement for a run; its count of rows tells.
/// Only when some are known is each asked about by itself.
pub(super) async fn receive(
    connection: &mut AnyConnection,
    deliveries: &[&DeliveryRow],
) -> Result<Vec<Receipt>, sqlx::Error> {
    let mut receipts = Vec::with_capacity(deliveries.len());
    for run in runs(deliveries) {
        let insert = bound(query(values(INSERT, COLUMNS, run.len(), "ON CONFLICT DO NOTHING")), run);
        if insert.execute(&mut *connection).await?.rows_affected() == run.len() as u64 {
            receipts.extend(run.iter().map(|_| Receipt::Accepted));
            continue;
        }
        for row in run {
            receipts.push(take_again(connection, row, None).await?);
        }
    }
    Ok(receipts)
}

/// Takes deliveries in and rings their lanes in one statement, which is a transaction of its own.
/// Says of each whether it is new; of one that is not, nothing was written.
pub(super) async fn receive_alone(
    connection: &mut AnyConnection,
    deliveries: &[&DeliveryRow],
) -> Result<Vec<bool>, sqlx::Error> {
    let tail = format!(
        "ON CONFLICT DO NOTHING RETURNING id, lane, at), \
         rung AS (INSERT INTO lane (key, bell, wake_at) \
         SELECT lane, COUNT(*), MIN(at) FROM taken GROUP BY lane ORDER BY lane {RING}) SELECT id FROM taken"
    );
    let insert =
        bound(query(values(&format!("WITH taken AS ({INSERT}"), COLUMNS, deliveries.len(), &tail)), deliveries);
    // All of the answer: the first rows of it come before the commit, and its end after.
    let rows = insert.fetch_all(connection).await?;
    let mut taken: HashSet<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(deliveries.iter().map(|row| taken.remove(&row.id)).collect())
}

fn bound(mut insert: Statement, deliveries: &[&DeliveryRow]) -> Statement {
    for row in deliveries {
        insert = insert.bind(&row.id).bind(&row.body).bind(&row.lane).bind(row.state).bind(row.at);
        insert = insert.bind(&row.content).bind(row.reason.as_deref());
    }
    insert
}

/// A row that is there already, under this number or else under this delivery's id, is set to what
/// was delivered unless it is done. What was understood once is not made poison again.
pub(super) async fn take_again(
    connection: &mut AnyConnection,
    row: &DeliveryRow,
    seq: Option<i64>,
) -> Result<Receipt, sqlx::Error> {
    let update = match seq {
        Some(seq) => fixed(
            "UPDATE inbox SET state = $2, content = $3, reason = $4 \
             WHERE seq = $1 AND (state = 2 OR (state = 0 AND $2 = 0))",
        )
        .bind(seq),
        None => fixed(
            "UPDATE inbox SET state = $2, content = $3, reason = $4 \
             WHERE id = $1 AND (state = 2 OR (state = 0 AND $2 = 0))",
        )
        .bind(&row.id),
    };
    let taken = update.bind(row.state).bind(&row.content).bind(row.reason.as_deref()).execute(connection).await?;
    Ok(if taken.rows_affected() == 0 { Receipt::Duplicate } else { Receipt::Accepted })
}

/// Marks rows as handled; what they said is not needed any more, only that they were there.
pub(super) async fn finish(connection: &mut AnyConnection, done: &[i64]) -> Result<(), sqlx::Error> {
    for run in runs(done) {
        let mut update =
            query(list("UPDATE inbox SET state = 1, content = NULL, reason = NULL WHERE seq IN", run.len(), ""));
        for seq in run {
            update = update.bind(*seq);
        }
        update.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Marks a row as one that cannot be handled.
pub(super) async fn poison(connection: &mut AnyConnection, seq: i64, reason: &str) -> Result<(), sqlx::Error> {
    fixed("UPDATE inbox SET state = 2, reason = $1 WHERE seq = $2").bind(reason).bind(seq).execute(connection).await?;
    Ok(())
}

/// Which rows, up to `limit` of those below a number, do not wait: their numbers, ids and bodies.
pub(super) async fn handled(
    connection: &mut AnyConnection,
    below: i64,
    limit: i64,
) -> Result<Vec<(i64, String, Vec<u8>)>, sqlx::Error> {
    let rows = fixed("SELECT seq, id, body FROM inbox WHERE seq < $1 AND state <> 0 ORDER BY seq LIMIT $2")
        .bind(below)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}

/// Removes rows, except those that wait again by now.
pub(super) async fn remove(connection: &mut AnyConnection, seqs: &[i64]) -> Result<(), sqlx::Error> {
    for run in runs(seqs) {
        let mut delete = query(list("DELETE FROM inbox WHERE seq IN", run.len(), "AND state <> 0"));
        for seq in run {
            delete = delete.bind(*seq);
        }
        delete.execute(&mut *connection).await?;
    }
    Ok(())
}
