//! The reads, through a small pool of their own: they never wait for the writer.

use std::time::Duration;

use sqlx::any::{AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyPool, AssertSqlSafe, Executor, query as fixed};

use super::Dialect;
use super::row::{STAGE_COLUMNS, column, deploy, from_json, inbox_row, stage_record, step_event, surface_record};
use super::sql::fault;
use crate::model::{Deploy, DeployId, Release, StageId, StageRecord, StepLog, Timestamp};
use crate::port::{InboxRow, LaneState, PortError, PortResult, StoreCounts, SurfaceRecord};

/// Connections are made when first wanted and closed after a minute without use.
pub(super) fn pool(options: &AnyConnectOptions, dialect: &'static Dialect) -> AnyPool {
    AnyPoolOptions::new()
        .max_connections(dialect.readers)
        .min_connections(0)
        .idle_timeout(Duration::from_mins(1))
        .test_before_acquire(dialect.test_readers)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for pragma in dialect.on_read {
                    connection.execute(*pragma).await?;
                }
                Ok(())
            })
        })
        .connect_lazy_with(options.clone())
}

type Select = Query<'static, Any, AnyArguments>;

fn select(sql: String) -> Select {
    fixed(AssertSqlSafe(sql))
}

async fn all<T>(pool: &AnyPool, select: Select, what: &str, read: fn(&AnyRow) -> PortResult<T>) -> PortResult<Vec<T>> {
    let rows = select.fetch_all(pool).await.map_err(|error| fault(what, error))?;
    rows.iter().map(read).collect()
}

async fn one(pool: &AnyPool, select: Select, what: &str) -> PortResult<AnyRow> {
    select.fetch_one(pool).await.map_err(|error| fault(what, error))
}

pub(super) async fn next_due(pool: &AnyPool) -> PortResult<Option<Timestamp>> {
    let due = fixed(
        "SELECT MIN(CASE WHEN lease_until > wake_at THEN lease_until ELSE wake_at END) FROM lane WHERE wake_at IS NOT NULL",
    );
    let row = one(pool, due, "when the next lane is due").await?;
    Ok(column::<Option<i64>>(&row, 0)?.map(Timestamp))
}

pub(super) async fn lane_state(pool: &AnyPool, lane: String, now: Timestamp) -> PortResult<LaneState> {
    let state =
        fixed("SELECT CASE WHEN wake_at <= $2 OR lease_until > $2 THEN -1 ELSE attempts END FROM lane WHERE key = $1");
    let rows = all(pool, state.bind(lane).bind(now.0), "a lane", |row| column::<i64>(row, 0)).await?;
    Ok(match rows.first() {
        None | Some(0) => LaneState::AtRest,
        Some(-1) => LaneState::Busy,
        Some(attempts) => LaneState::Failing { attempts: u32::try_from(*attempts).unwrap_or(u32::MAX) },
    })
}

pub(super) async fn inbox(pool: &AnyPool, lane: String, limit: u32) -> PortResult<Vec<InboxRow>> {
    let waiting = fixed("SELECT id, seq, content, at FROM inbox WHERE lane = $1 AND state = 0 ORDER BY seq LIMIT $2");
    all(pool, waiting.bind(lane).bind(i64::from(limit)), "the inbox", inbox_row).await
}

/// The number of the first row that came at or after a time, or of the newest when none did: the
/// newest row stays, so that no number is given twice.
pub(super) async fn inbox_seq_at(pool: &AnyPool, at: Timestamp) -> PortResult<i64> {
    let first = fixed("SELECT seq FROM inbox WHERE at >= $1 ORDER BY seq LIMIT 1").bind(at.0);
    let first = first.fetch_optional(pool).await.map_err(|error| fault("the inbox", error))?;
    if let Some(row) = first {
        return column(&row, 0);
    }
    let last = one(pool, fixed("SELECT MAX(seq) FROM inbox"), "the inbox").await?;
    Ok(column::<Option<i64>>(&last, 0)?.unwrap_or(0))
}

pub(super) async fn stages(pool: &AnyPool, repo: Option<&str>, name: Option<&str>) -> PortResult<Vec<StageRecord>> {
    let select = match (repo, name) {
        (Some(repo), Some(name)) => select(format!("SELECT {STAGE_COLUMNS} FROM stage WHERE repo = $1 AND name = $2"))
            .bind(repo.to_owned())
            .bind(name.to_owned()),
        (Some(repo), None) => {
            select(format!("SELECT {STAGE_COLUMNS} FROM stage WHERE repo = $1 ORDER BY name")).bind(repo.to_owned())
        }
        (None, _) => select(format!("SELECT {STAGE_COLUMNS} FROM stage ORDER BY repo, name")),
    };
    all(pool, select, "stages", stage_record).await
}

pub(super) async fn deploys(pool: &AnyPool, stage: &StageId, limit: u32) -> PortResult<Vec<Deploy>> {
    let newest =
        fixed("SELECT id, plan, started_at, ended_at, outcome FROM deploy WHERE stage = $1 ORDER BY id DESC LIMIT $2");
    all(pool, newest.bind(stage.to_string()).bind(i64::from(limit)), "deploys", deploy).await
}

pub(super) async fn one_deploy(pool: &AnyPool, id: DeployId) -> PortResult<Option<Deploy>> {
    let one = fixed("SELECT id, plan, started_at, ended_at, outcome FROM deploy WHERE id = $1").bind(id.0);
    Ok(all(pool, one, "a deploy", deploy).await?.pop())
}

pub(super) async fn log(pool: &AnyPool, deploy: DeployId) -> PortResult<StepLog> {
    let lines = fixed("SELECT seq, step, fence, at, kind FROM step_log WHERE deploy = $1 ORDER BY seq").bind(deploy.0);
    let events = all(pool, lines, "a step log", step_event).await?;
    StepLog::from_events(events).map_err(|error| PortError::bug(format!("the log of deploy {deploy}"), error))
}

pub(super) async fn releases(pool: &AnyPool, stage: &StageId, limit: u32) -> PortResult<Vec<Release>> {
    let newest = fixed("SELECT content FROM release WHERE stage = $1 ORDER BY deploy DESC LIMIT $2");
    let newest = newest.bind(stage.to_string()).bind(i64::from(limit));
    all(pool, newest, "releases", |row| from_json(&column::<String>(row, 0)?)).await
}

pub(super) async fn surfaces(pool: &AnyPool, stage: &StageId) -> PortResult<Vec<SurfaceRecord>> {
    let shown = fixed("SELECT kind, key, external, hash, at FROM surface WHERE stage = $1 ORDER BY kind, key");
    all(pool, shown.bind(stage.to_string()), "surfaces", surface_record).await
}

/// One statement, so that the numbers are of one moment.
pub(super) async fn counts(pool: &AnyPool, now: Timestamp) -> PortResult<StoreCounts> {
    let numbers = fixed(
        "SELECT (SELECT COUNT(*) FROM inbox WHERE state = 0), (SELECT COUNT(*) FROM inbox WHERE state = 2), \
         (SELECT MIN(at) FROM inbox WHERE state = 0), \
         (SELECT COUNT(*) FROM lane WHERE wake_at <= $1 AND lease_until <= $1), (SELECT COUNT(*) FROM stage), \
         (SELECT COUNT(*) FROM deploy WHERE ended_at IS NULL)",
    );
    let row = one(pool, numbers.bind(now.0), "counting").await?;
    Ok(StoreCounts {
        inbox_waiting: column(&row, 0)?,
        inbox_poison: column(&row, 1)?,
        inbox_oldest: column::<Option<i64>>(&row, 2)?.map(Timestamp),
        lanes_due: column(&row, 3)?,
        stages: column(&row, 4)?,
        deploys_running: column(&row, 5)?,
    })
}

pub(super) async fn ping(pool: &AnyPool) -> PortResult<()> {
    one(pool, fixed("SELECT COUNT(*) FROM stage"), "a sign of life").await.map(drop)
}
