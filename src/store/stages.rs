//! Stages inside one transaction: their goals are the repository lanes', how they stand is their own.

use sqlx::AnyConnection;

use super::sql::{query, rounds, runs, values};
use super::write::StageRow;

/// Inserts stages whole; of those that are there only the goal is written.
pub(super) async fn set_goals(connection: &mut AnyConnection, stages: &[StageRow]) -> Result<(), sqlx::Error> {
    let stages: Vec<&StageRow> = stages.iter().collect();
    upsert(
        connection,
        &stages,
        "subject = excluded.subject, target = excluded.target, generation = excluded.generation, \
         approval = excluded.approval, lock = excluded.lock, queue = excluded.queue, \
         keep_until = excluded.keep_until, asked = excluded.asked, touched_at = excluded.touched_at",
    )
    .await
}

/// The same, except that of those that are there only how they stand is written.
pub(super) async fn save_statuses(connection: &mut AnyConnection, stages: &[&StageRow]) -> Result<(), sqlx::Error> {
    upsert(
        connection,
        stages,
        "status = excluded.status, expires_at = excluded.expires_at, place = excluded.place, \
         settled = excluded.settled, unrest = excluded.unrest",
    )
    .await
}

async fn upsert(connection: &mut AnyConnection, stages: &[&StageRow], columns: &str) -> Result<(), sqlx::Error> {
    for round in rounds(stages, |stage| (&stage.repo, &stage.name)) {
        for run in runs(&round) {
            let mut upsert = query(values(
                "INSERT INTO stage (repo, name, subject, target, generation, status, approval, lock, touched_at, \
                 expires_at, place, queue, keep_until, asked, settled, unrest) VALUES",
                16,
                run.len(),
                &format!("ON CONFLICT (repo, name) DO UPDATE SET {columns}"),
            ));
            for stage in run {
                upsert = upsert.bind(&stage.repo).bind(&stage.name).bind(&stage.subject).bind(&stage.target);
                upsert = upsert.bind(stage.generation).bind(&stage.status).bind(stage.approval.as_deref());
                upsert = upsert.bind(stage.lock.as_deref()).bind(stage.touched_at).bind(stage.expires_at);
                upsert = upsert.bind(stage.place.as_deref()).bind(stage.queue.as_deref()).bind(stage.keep_until);
                upsert = upsert.bind(stage.asked.as_deref()).bind(stage.settled);
                upsert = upsert.bind(stage.unrest.as_deref());
            }
            upsert.execute(&mut *connection).await?;
        }
    }
    Ok(())
}
