//! The reads, through connections of their own: they never wait for the writer.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query as fixed};

use super::readers::Readers;
use super::row::{STAGE_COLUMNS, column, deploy, from_json, inbox_row, stage_record, step_event};
use super::sql::{Statement, fault};
use crate::model::{Deploy, DeployId, Generation, LaneShare, Release, StageId, StageRecord, StepLog, Timestamp};
use crate::port::{InboxRow, LaneState, PortError, PortResult, StoreCounts};

fn select(sql: String) -> Statement {
    fixed(AssertSqlSafe(sql))
}

async fn all<T>(
    readers: &Readers,
    select: Statement,
    what: &str,
    read: fn(&AnyRow) -> PortResult<T>,
) -> PortResult<Vec<T>> {
    let rows = readers.all(select).await.map_err(|error| fault(what, error))?;
    rows.iter().map(read).collect()
}

async fn one(readers: &Readers, select: Statement, what: &str) -> PortResult<AnyRow> {
    readers.one(select).await.map_err(|error| fault(what, error))
}

/// Of a party that holds its share, the end of what it holds counts alone.
pub(super) async fn next_turn(readers: &Readers, now: Timestamp, share: LaneShare) -> PortResult<Option<Timestamp>> {
    let turn = fixed(
        "SELECT MIN(CASE WHEN lease_until > wake_at THEN lease_until ELSE wake_at END) FROM lane \
         WHERE wake_at IS NOT NULL AND (lease_until > $1 OR party NOT IN (\
           SELECT party FROM lane WHERE lease_until > 0 AND lease_until > $1 GROUP BY party HAVING COUNT(*) >= $2))",
    );
    let row = one(readers, turn.bind(now.0).bind(share.lanes()), "whose turn is next").await?;
    Ok(column::<Option<i64>>(&row, 0)?.map(Timestamp))
}

pub(super) async fn lane_state(readers: &Readers, lane: String, now: Timestamp) -> PortResult<LaneState> {
    let state =
        fixed("SELECT CASE WHEN wake_at <= $2 OR lease_until > $2 THEN -1 ELSE attempts END FROM lane WHERE key = $1");
    let rows = all(readers, state.bind(lane).bind(now.0), "a lane", |row| column::<i64>(row, 0)).await?;
    Ok(match rows.first() {
        None | Some(0) => LaneState::AtRest,
        Some(-1) => LaneState::Busy,
        Some(attempts) => LaneState::Failing { attempts: u32::try_from(*attempts).unwrap_or(u32::MAX) },
    })
}

pub(super) async fn inbox(readers: &Readers, lane: String, limit: u32) -> PortResult<Vec<InboxRow>> {
    let waiting = fixed("SELECT id, seq, content, at FROM inbox WHERE lane = $1 AND state = 0 ORDER BY seq LIMIT $2");
    all(readers, waiting.bind(lane).bind(i64::from(limit)), "the inbox", inbox_row).await
}

/// The number of the first row that came at or after a time, or of the newest when none did: the
/// newest row stays, so that no number is given twice.
pub(super) async fn inbox_seq_at(readers: &Readers, at: Timestamp) -> PortResult<i64> {
    let first = fixed("SELECT seq FROM inbox WHERE at >= $1 ORDER BY seq LIMIT 1").bind(at.0);
    let first = readers.optional(first).await.map_err(|error| fault("the inbox", error))?;
    if let Some(row) = first {
        return column(&row, 0);
    }
    let last = one(readers, fixed("SELECT MAX(seq) FROM inbox"), "the inbox").await?;
    Ok(column::<Option<i64>>(&last, 0)?.unwrap_or(0))
}

pub(super) async fn stages(readers: &Readers, repo: Option<&str>, name: Option<&str>) -> PortResult<Vec<StageRecord>> {
    let select = match (repo, name) {
        (Some(repo), Some(name)) => select(format!("SELECT {STAGE_COLUMNS} FROM stage WHERE repo = $1 AND name = $2"))
            .bind(repo.to_owned())
            .bind(name.to_owned()),
        (Some(repo), None) => {
            select(format!("SELECT {STAGE_COLUMNS} FROM stage WHERE repo = $1 ORDER BY name")).bind(repo.to_owned())
        }
        (None, _) => select(format!("SELECT {STAGE_COLUMNS} FROM stage ORDER BY repo, name")),
    };
    all(readers, select, "stages", stage_record).await
}

pub(super) async fn generation(readers: &Readers, id: &StageId) -> PortResult<Option<Generation>> {
    let goal = fixed("SELECT generation FROM stage WHERE repo = $1 AND name = $2");
    let goal = goal.bind(id.repo.to_string()).bind(id.name.to_string());
    let generation = all(readers, goal, "a stage's goal", |row| column::<i64>(row, 0)).await?.pop();
    Ok(generation.map(Generation))
}

pub(super) async fn deploys(readers: &Readers, stage: &StageId, limit: u32) -> PortResult<Vec<Deploy>> {
    let newest =
        fixed("SELECT id, plan, started_at, ended_at, outcome FROM deploy WHERE stage = $1 ORDER BY id DESC LIMIT $2");
    all(readers, newest.bind(stage.to_string()).bind(i64::from(limit)), "deploys", deploy).await
}

pub(super) async fn one_deploy(readers: &Readers, id: DeployId) -> PortResult<Option<Deploy>> {
    let one = fixed("SELECT id, plan, started_at, ended_at, outcome FROM deploy WHERE id = $1").bind(id.0);
    Ok(all(readers, one, "a deploy", deploy).await?.pop())
}

pub(super) async fn log(readers: &Readers, deploy: DeployId) -> PortResult<StepLog> {
    let lines = fixed("SELECT seq, step, fence, at, kind FROM step_log WHERE deploy = $1 ORDER BY seq").bind(deploy.0);
    let events = all(readers, lines, "a step log", step_event).await?;
    StepLog::from_events(events).map_err(|error| PortError::bug(format!("the log of deploy {deploy}"), error))
}

pub(super) async fn releases(readers: &Readers, stage: &StageId, limit: u32) -> PortResult<Vec<Release>> {
    let newest = fixed("SELECT content FROM release WHERE stage = $1 ORDER BY deploy DESC LIMIT $2");
    let newest = newest.bind(stage.to_string()).bind(i64::from(limit));
    all(readers, newest, "releases", |row| from_json(&column::<String>(row, 0)?)).await
}

/// One statement, so that the numbers are of one moment.
pub(super) async fn counts(readers: &Readers, now: Timestamp) -> PortResult<StoreCounts> {
    let numbers = fixed(
        "SELECT (SELECT COUNT(*) FROM inbox WHERE state = 0), (SELECT COUNT(*) FROM inbox WHERE state = 2), \
         (SELECT MIN(at) FROM inbox WHERE state = 0), \
         (SELECT COUNT(*) FROM lane WHERE wake_at <= $1 AND lease_until <= $1), (SELECT COUNT(*) FROM stage), \
         (SELECT COUNT(*) FROM deploy WHERE ended_at IS NULL)",
    );
    let row = one(readers, numbers.bind(now.0), "counting").await?;
    Ok(StoreCounts {
        inbox_waiting: column(&row, 0)?,
        inbox_poison: column(&row, 1)?,
        inbox_oldest: column::<Option<i64>>(&row, 2)?.map(Timestamp),
        lanes_due: column(&row, 3)?,
        stages: column(&row, 4)?,
        deploys_running: column(&row, 5)?,
    })
}

pub(super) async fn ping(readers: &Readers) -> PortResult<()> {
    one(readers, fixed("SELECT COUNT(*) FROM stage"), "a sign of life").await.map(drop)
}
