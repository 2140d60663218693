//! Claims: whose turn it is, decided in the database, because several servers may share it.
//!
//! Parties take turns; a party is a repository, or one of the server's own duties. The one goes first that
//! holds the fewest lanes, and of those the one whose lane has been due longest; one that holds as many as
//! it may gets none. Of a party that holds some, its deliveries go before its stages: they are short, and
//! what people ask for is in them.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row, query as fixed};

use super::Dialect;
use super::sql::query;
use crate::model::{Fence, Lane, Timestamp};
use crate::port::{Claimed, Held};

/// What a claim asks for; equal ones are answered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Terms {
    pub(super) now: i64,
    pub(super) lease_millis: i64,
    /// How many lanes of one party may be held at once.
    pub(super) share: i64,
}

/// A claim of one of these lanes and of no other.
pub(super) struct Among {
    pub(super) now: i64,
    pub(super) lease_millis: i64,
    /// Keys of lanes, the one that is wanted most first.
    pub(super) lanes: Vec<String>,
}

/// Claims the first of these lanes that is due and that nobody holds.
pub(super) async fn claim_among(connection: &mut AnyConnection, wish: &Among) -> Result<Option<Claimed>, sqlx::Error> {
    let until = wish.now.saturating_add(wish.lease_millis);
    for lane in &wish.lanes {
        let update = fixed(
            "UPDATE lane SET fence = fence + 1, lease_until = $1 \
             WHERE key = $3 AND wake_at <= $2 AND lease_until <= $2 RETURNING key, fence, bell, attempts",
        );
        let rows = update.bind(until).bind(wish.now).bind(lane).fetch_all(&mut *connection).await?;
        if let Some(row) = rows.first() {
            return claimed(row, until).map(Some);
        }
    }
    Ok(None)
}

/// Claims up to `count` lanes at one time, one after the other: each is a turn.
pub(super) async fn claim(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    terms: Terms,
    count: usize,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let mut claimed = Vec::new();
    while claimed.len() < count {
        let Some(next) = take_turn(connection, dialect, terms).await? else { break };
        claimed.push(next);
    }
    Ok(claimed)
}

async fn take_turn(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    terms: Terms,
) -> Result<Option<Claimed>, sqlx::Error> {
    let until = terms.now.saturating_add(terms.lease_millis);
    let update = query(statement(dialect.lock_free)).bind(until).bind(terms.now).bind(terms.share);
    let Some(row) = update.fetch_all(connection).await?.pop() else { return Ok(None) };
    claimed(&row, until).map(Some)
}

fn claimed(row: &AnyRow, until: i64) -> Result<Claimed, sqlx::Error> {
    let key: String = row.try_get(0)?;
    let lane: Lane = key.parse().map_err(|reason: String| sqlx::Error::Decode(reason.into()))?;
    let held = Held::claimed(lane, Fence(row.try_get(1)?), row.try_get(2)?, Timestamp(until));
    let attempts: i64 = row.try_get(3)?;
    Ok(Claimed { held, attempts: u32::try_from(attempts).unwrap_or(u32::MAX) })
}

/// `$1` the end of the lease, `$2` now, `$3` the share of one party.
///
/// Materialized: as a plain subquery PostgreSQL may run `due` anew for every lane, each time passing over
/// what it has claimed by then, and so claim more than one for nobody. There, a lane that another server
/// is writing is passed over, which is why more than one newcomer is looked at.
fn statement(lock_free: &str) -> String {
    format!(
        "WITH held AS MATERIALIZED (\
           SELECT party, COUNT(*) AS lanes FROM lane WHERE lease_until > 0 AND lease_until > $2 GROUP BY party), \
         newcomer AS MATERIALIZED (\
           SELECT key FROM lane WHERE wake_at <= $2 AND lease_until <= $2 AND party NOT IN (SELECT party FROM held) \
           ORDER BY wake_at, key LIMIT 16), \
         turn AS MATERIALIZED (\
           SELECT 0 AS lanes, key FROM newcomer \
           UNION ALL \
           SELECT lanes, COALESCE(\
             (SELECT key FROM lane WHERE key = 'repo:' || held.party AND wake_at <= $2 AND lease_until <= $2), \
             (SELECT key FROM lane WHERE party = held.party AND wake_at <= $2 AND lease_until <= $2 \
              ORDER BY wake_at, key LIMIT 1)) \
           FROM held WHERE lanes < $3), \
         due AS MATERIALIZED (\
           SELECT lane.key FROM turn JOIN lane ON lane.key = turn.key \
           WHERE lane.wake_at <= $2 AND lane.lease_until <= $2 \
           ORDER BY turn.lanes, lane.wake_at, lane.key LIMIT 1{lock_free}) \
         UPDATE lane SET fence = fence + 1, lease_until = $1 \
         WHERE wake_at <= $2 AND lease_until <= $2 AND key IN (SELECT key FROM due) \
         RETURNING key, fence, bell, attempts"
    )
}

#[cfg(test)]
mod tests {
    use sqlx::any::AnyConnectOptions;
    use sqlx::{AssertSqlSafe, ConnectOptions as _};

    use super::*;

    #[tokio::test]
    async fn no_claim_looks_at_every_lane() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("greenroom.db").display());
        let _store = super::super::open(&url).await.expect("a database");
        let options: AnyConnectOptions = url.parse().expect("an address");
        let mut connection = options.connect().await.expect("a connection");
        let mut explain = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", statement(""))));
        for value in 1..=3_i64 {
            explain = explain.bind(value);
        }
        let rows = explain.fetch_all(&mut connection).await.expect("a plan");
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("detail").expect("a sentence")).collect();
        let lanes: Vec<&String> = plan.iter().filter(|line| line.contains(" lane ")).collect();
        assert!(lanes.len() >= 6, "{plan:#?}");
        for line in lanes {
            let by_index = ["PRIMARY KEY", "INDEX lane_due", "INDEX lane_turn", "INDEX lane_held"];
            assert!(by_index.iter().any(|index| line.contains(index)), "{line} in {plan:#?}");
        }
    }
}
