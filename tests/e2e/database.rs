//! The server's database, looked into from outside.

use std::path::Path;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Row as _};

/// One line of the step log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) deploy: i64,
    pub(crate) step: String,
    /// `started`, `pending`, `waiting`, `done`, `failed`, `cancelled`
    pub(crate) kind: String,
}

async fn open(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(std::time::Duration::from_secs(10));
    SqliteConnection::connect_with(&options).await.expect("the server's database opens")
}

/// The ids of the webhooks that are stored; what the server writes to itself is left out.
pub(crate) async fn deliveries(file: &Path) -> Vec<String> {
    let mut database = open(file).await;
    let ids = sqlx::query_scalar("SELECT id FROM inbox ORDER BY seq").fetch_all(&mut database).await;
    let mut ids: Vec<String> = ids.expect("the inbox can be read");
    ids.retain(|id| !id.starts_with("reconcile-"));
    ids
}

/// Every stage as `name: status`.
pub(crate) async fn stages(file: &Path) -> Vec<String> {
    let mut database = open(file).await;
    let rows = sqlx::query("SELECT name, status FROM stage ORDER BY name").fetch_all(&mut database).await;
    let rows = rows.expect("the stages can be read");
    rows.iter().map(|row| format!("{}: {}", row.get::<String, _>(0), kind(&row.get::<String, _>(1)))).collect()
}

/// The status of one stage of a repository; nothing where there is none.
pub(crate) async fn status(file: &Path, repo: &str, stage: &str) -> String {
    let mut database = open(file).await;
    let status = sqlx::query_scalar("SELECT status FROM stage WHERE repo = ? AND name = ?").bind(repo).bind(stage);
    let status: Option<String> = status.fetch_optional(&mut database).await.expect("the stages can be read");
    status.map(|json| kind(&json)).unwrap_or_default()
}

/// The step log of all deploys in order.
pub(crate) async fn steps(file: &Path) -> Vec<Line> {
    let mut database = open(file).await;
    let rows =
        sqlx::query("SELECT deploy, step, kind FROM step_log ORDER BY deploy, seq").fetch_all(&mut database).await;
    let line = |row: &sqlx::sqlite::SqliteRow| Line {
        deploy: row.get(0),
        step: row.get(1),
        kind: kind(&row.get::<String, _>(2)),
    };
    rows.expect("the step log can be read").iter().map(line).collect()
}

/// The name of a variant as it is stored: a text, or an object with one field.
fn kind(json: &str) -> String {
    match serde_json::from_str(json).expect("it is stored as JSON") {
        Value::String(name) => name,
        Value::Object(fields) => fields.keys().next().cloned().unwrap_or_default(),
        other => other.to_string(),
    }
}

/// The hosts that stages have, as `host: stage`.
pub(crate) async fn hosts(file: &Path) -> Vec<String> {
    let mut database = open(file).await;
    let rows = sqlx::query("SELECT host, stage FROM host ORDER BY host").fetch_all(&mut database).await;
    let rows = rows.expect("the hosts can be read");
    rows.iter().map(|row| format!("{}: {}", row.get::<String, _>(0), row.get::<String, _>(1))).collect()
}

/// Leaves no host known, and nothing taken over from a version that knew none.
pub(crate) async fn forget_hosts(file: &Path) {
    let mut database = open(file).await;
    for statement in ["DELETE FROM host", "DELETE FROM carried"] {
        sqlx::query(statement).execute(&mut database).await.expect("they go");
    }
}
