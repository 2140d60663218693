//! Deploys with their logs and releases, inside one transaction.

use std::collections::HashMap;

use sqlx::{AnyConnection, Row, query as fixed};

use super::batch::{Broken, refused};
use super::sql::{query, runs, values};
use super::write::{Answer, DeployRow, EndRow, LineRow, RunningRow, StageRow};
use crate::port::PortResult;

/// Opens deploys, except where one runs for the same goal: that one is the answer.
pub(super) async fn open(
    connection: &mut AnyConnection,
    opened: &[(usize, &DeployRow)],
    answers: &mut [PortResult<Answer>],
) -> Result<(), sqlx::Error> {
    for run in runs(opened) {
        let head = "INSERT INTO deploy (stage, generation, plan, started_at) VALUES";
        let tail = "ON CONFLICT DO NOTHING RETURNING stage, generation, id";
        let mut insert = query(values(head, 4, run.len(), tail));
        for (_, deploy) in run {
            insert = insert.bind(&deploy.stage).bind(deploy.generation).bind(&deploy.plan).bind(deploy.started_at);
        }
        let mut new: HashMap<(String, i64), i64> = HashMap::with_capacity(run.len());
        for row in insert.fetch_all(&mut *connection).await? {
            new.insert((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
        }
        for (place, deploy) in run {
            let id = new.remove(&(deploy.stage.clone(), deploy.generation));
            answers[*place] = Ok(match id {
                Some(id) => Answer::Opened { id, running: None },
                None => running(connection, deploy).await?,
            });
        }
    }
    Ok(())
}

async fn running(connection: &mut AnyConnection, deploy: &DeployRow) -> Result<Answer, sqlx::Error> {
    let running =
        fixed("SELECT id, plan, started_at FROM deploy WHERE stage = $1 AND generation = $2 AND ended_at IS NULL")
            .bind(&deploy.stage)
            .bind(deploy.generation)
            .fetch_one(connection)
            .await?;
    let row = RunningRow { plan: running.try_get(1)?, started_at: running.try_get(2)? };
    Ok(Answer::Opened { id: running.try_get(0)?, running: Some(row) })
}

/// Adds lines to logs, each under a number that is free there.
pub(super) async fn append(connection: &mut AnyConnection, lines: &[&LineRow]) -> Result<(), Broken> {
    for run in runs(lines) {
        let head = "INSERT INTO step_log (deploy, seq, step, fence, at, kind) VALUES";
        let mut insert = query(values(head, 6, run.len(), "ON CONFLICT DO NOTHING"));
        for line in run {
            insert = insert.bind(line.deploy).bind(line.seq).bind(&line.step);
            insert = insert.bind(line.fence).bind(line.at).bind(&line.kind);
        }
        if insert.execute(&mut *connection).await?.rows_affected() != run.len() as u64 {
            return Err(refused("a line of the step log has a number that is taken".to_owned()));
        }
    }
    Ok(())
}

/// Ends running deploys and keeps their releases; answers how their stages stand by that.
pub(super) async fn end<'a>(connection: &mut AnyConnection, ends: &[&'a EndRow]) -> Result<Vec<&'a StageRow>, Broken> {
    for end in ends {
        let ended = fixed("UPDATE deploy SET ended_at = $1, outcome = $2 WHERE id = $3 AND ended_at IS NULL")
            .bind(end.at)
            .bind(&end.outcome)
            .bind(end.deploy)
            .execute(&mut *connection)
            .await?;
        if ended.rows_affected() != 1 {
            return Err(refused(format!("deploy {} is not running, so it cannot end", end.deploy)));
        }
    }
    let releases: Vec<(i64, &str, &str)> = ends
        .iter()
        .filter_map(|end| end.release.as_ref().map(|(stage, content)| (end.deploy, stage.as_str(), content.as_str())))
        .collect();
    for run in runs(&releases) {
        let mut insert = query(values("INSERT INTO release (deploy, stage, content) VALUES", 3, run.len(), ""));
        for (deploy, stage, content) in run {
            insert = insert.bind(*deploy).bind(*stage).bind(*content);
        }
        insert.execute(&mut *connection).await?;
    }
    Ok(ends.iter().map(|end| &end.stage).collect())
}
