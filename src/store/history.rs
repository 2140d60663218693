//! What is shown of a stage, read at once: one statement is one answer to wait for, and its parts are
//! of one moment.

use sqlx::query as fixed;

use super::readers::Readers;
use super::row::{column, deploy, from_json, step_event, surface_record};
use super::sql::fault;
use crate::model::{StageId, StepLog};
use crate::port::{PortError, PortResult, StageHistory};

const DEPLOY: i64 = 0;
const LINE: i64 = 1;
const RELEASE: i64 = 2;
const SURFACE: i64 = 3;

/// The last column says of what a row is. Where the columns of a surface stand.
const SURFACE_COLUMNS: [usize; 5] = [1, 4, 5, 6, 0];

pub(super) async fn read(readers: &Readers, stage: &StageId, deploys: u32) -> PortResult<StageHistory> {
    let parts = fixed(
        "SELECT id, plan, started_at, ended_at, outcome, NULL, NULL, CAST(0 AS BIGINT) FROM \
         (SELECT id, plan, started_at, ended_at, outcome FROM deploy WHERE stage = $1 ORDER BY id DESC LIMIT $2) AS newest \
         UNION ALL SELECT seq, step, fence, at, kind, NULL, NULL, 1 FROM step_log \
         WHERE deploy = (SELECT id FROM deploy WHERE stage = $1 ORDER BY id DESC LIMIT 1) \
         UNION ALL SELECT deploy, content, NULL, NULL, NULL, NULL, NULL, 2 FROM \
         (SELECT deploy, content FROM release WHERE stage = $1 ORDER BY deploy DESC LIMIT 1) AS latest \
         UNION ALL SELECT at, kind, NULL, NULL, key, external, hash, 3 FROM surface WHERE stage = $1",
    );
    let parts = parts.bind(stage.to_string()).bind(i64::from(deploys));
    let rows = readers.all(parts).await.map_err(|error| fault("what is shown of a stage", error))?;
    let (mut history, mut events) = (StageHistory::default(), Vec::new());
    for row in &rows {
        match column(row, 7)? {
            DEPLOY => history.deploys.push(deploy(row)?),
            LINE => events.push(step_event(row)?),
            RELEASE => history.release = Some(from_json(&column::<String>(row, 1)?)?),
            SURFACE => history.surfaces.push(surface_record(row, SURFACE_COLUMNS)?),
            part => {
                return Err(PortError::Bug {
                    context: format!("a row of part {part} was not asked for"),
                    source: None,
                });
            }
        }
    }
    // SQL promises no order across the parts of a union.
    history.deploys.sort_by_key(|deploy| std::cmp::Reverse(deploy.id));
    events.sort_by_key(|event| event.seq);
    history.surfaces.sort_by(|a, b| (a.key.kind.as_str(), &a.key.key).cmp(&(b.key.kind.as_str(), &b.key.key)));
    history.log =
        StepLog::from_events(events).map_err(|error| PortError::bug(format!("the newest log of {stage}"), error))?;
    Ok(history)
}
