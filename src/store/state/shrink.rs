//! Keeping a state small: what nobody asks for any more goes when it has grown.
//!
//! What stays of a stage is at least what the engine asks for: what runs, its newest deploys, the releases to
//! which it can go back, and since when it is gone. Numbers and fences never go back: the newest row of
//! what is counted stays. The audit keeps the hash of what is cut off, from which the rest follows.

use sqlx::{AnyConnection, Connection as _, Executor as _};

use super::super::known::Known;
use super::snapshot::Desk;

/// A database below this is left as it is.
const SMALL: usize = 1024 * 1024;

/// In this order, in one transaction. A deploy that came before its stage was gone, and its releases, are of
/// an earlier stage of that name, which nobody can go back to.
const STEPS: [&str; 8] = [
    "DELETE FROM inbox WHERE state <> 0 AND seq <= (SELECT MAX(seq) FROM inbox) - 2000",
    "DELETE FROM known WHERE seq NOT IN (SELECT seq FROM inbox)",
    "CREATE TEMP TABLE old AS SELECT id, newest, is_running, is_gone, id < goodbye AS is_past FROM (\
       SELECT id, ended_at IS NULL AS is_running, outcome LIKE '%gone%' AS is_gone, \
       ROW_NUMBER() OVER (PARTITION BY stage ORDER BY id DESC) AS newest, \
       COALESCE(MAX(CASE WHEN outcome LIKE '%gone%' THEN id END) OVER (PARTITION BY stage), 0) AS goodbye FROM deploy)",
    "DELETE FROM release WHERE deploy IN (SELECT id FROM old WHERE is_past) OR deploy IN (SELECT deploy FROM (\
       SELECT deploy, ROW_NUMBER() OVER (PARTITION BY stage ORDER BY deploy DESC) AS newest FROM release) \
       WHERE newest > 20)",
    "DELETE FROM step_log WHERE deploy IN (SELECT id FROM old WHERE (is_past OR newest > 3) AND NOT is_running)",
    "DELETE FROM deploy WHERE id IN (SELECT id FROM old WHERE (is_past OR (newest > 30 AND NOT is_gone)) \
       AND NOT is_running) AND id NOT IN (SELECT deploy FROM release)",
    "INSERT INTO audit_cut (repo, number, hash) SELECT repo, number, hash FROM (\
       SELECT repo, number, hash, ROW_NUMBER() OVER (PARTITION BY repo ORDER BY id DESC) AS newest FROM audit) \
       WHERE newest = 5001 AND hash IS NOT NULL \
       ON CONFLICT (repo) DO UPDATE SET number = excluded.number, hash = excluded.hash",
    "DELETE FROM audit WHERE number <= (SELECT cut.number FROM audit_cut AS cut WHERE cut.repo = audit.repo)",
];

/// Remembers how far it came, so that what cannot be made smaller is not tried again and again.
#[derive(Default)]
pub(super) struct Shrinker {
    settled: usize,
}

impl Shrinker {
    /// The database of a desk, made smaller where it has grown by a quarter.
    pub(super) async fn image(&mut self, desk: &mut Desk, known: &mut Option<Known>) -> Result<Vec<u8>, sqlx::Error> {
        let image = desk.image().await?;
        if image.len() < SMALL || image.len() < self.settled + self.settled / 4 {
            return Ok(image);
        }
        // It remembers rows that go.
        *known = None;
        shrink(&mut desk.connection).await?;
        let image = desk.image().await?;
        self.settled = image.len();
        Ok(image)
    }
}

async fn shrink(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for step in STEPS {
        transaction.execute(step).await?;
    }
    transaction.commit().await?;
    connection.execute("DROP TABLE old").await?;
    connection.execute("VACUUM").await.map(drop)
}
