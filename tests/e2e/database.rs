//! The server's database, looked into from outside.

use serde_json::Value;
use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::{AnyConnection, ConnectOptions as _, Executor as _, Row as _};

use crate::postgres;

/// Where a server keeps what it knows.
#[derive(Debug, Clone)]
pub(crate) enum Database {
    /// In a file of its folder.
    Sqlite,
    /// At this address.
    Postgres(String),
}

impl Database {
    /// A new one on the PostgreSQL of the tests.
    pub(crate) async fn postgres() -> Self {
        Self::Postgres(postgres::fresh_database().await)
    }
}

/// One line of the step log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Which of all deploys, from 1 up. PostgreSQL leaves out numbers where an insert came to nothing.
    pub(crate) deploy: i64,
    pub(crate) step: String,
    /// `started`, `pending`, `waiting`, `done`, `failed`, `cancelled`
    pub(crate) kind: String,
}

/// A connection to the database at this address.
pub(crate) async fn open(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = url.parse().expect("the address of a database");
    options.connect().await.expect("the server's database opens")
}

/// Ends the leases of a server that was killed, as the minute would for which another one on the same
/// PostgreSQL leaves its lanes alone. What it sent last is through by then, or has come to nothing.
pub(crate) async fn let_leases_run_out(url: &str) {
    let mut database = open(url).await;
    let cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.execute(cut).await.expect("its owner may do that");
    database.execute("UPDATE lane SET lease_until = 0 WHERE lease_until > 0").await.expect("the lanes can be written");
}

/// The ids of the webhooks that are stored; what the server writes to itself is left out.
pub(crate) async fn deliveries(url: &str) -> Vec<String> {
    let mut database = open(url).await;
    let ids = sqlx::query_scalar("SELECT id FROM inbox ORDER BY seq").fetch_all(&mut database).await;
    let mut ids: Vec<String> = ids.expect("the inbox can be read");
    ids.retain(|id| !id.starts_with("reconcile-"));
    ids
}

/// Every stage as `name: status`.
pub(crate) async fn stages(url: &str) -> Vec<String> {
    let mut database = open(url).await;
    let rows = sqlx::query("SELECT name, status FROM stage ORDER BY name").fetch_all(&mut database).await;
    let rows = rows.expect("the stages can be read");
    rows.iter().map(|row| format!("{}: {}", row.get::<String, _>(0), kind(&row.get::<String, _>(1)))).collect()
}

/// The status of one stage of a repository; nothing where there is none.
pub(crate) async fn status(url: &str, repo: &str, stage: &str) -> String {
    let mut database = open(url).await;
    let status = sqlx::query_scalar("SELECT status FROM stage WHERE repo = $1 AND name = $2").bind(repo).bind(stage);
    let status: Option<String> = status.fetch_optional(&mut database).await.expect("the stages can be read");
    status.map(|json| kind(&json)).unwrap_or_default()
}

/// The step log of all deploys in order.
pub(crate) async fn steps(url: &str) -> Vec<Line> {
    steps_by(&mut open(url).await).await
}

/// The same, by a connection that is open.
pub(crate) async fn steps_by(database: &mut AnyConnection) -> Vec<Line> {
    let steps = "SELECT (SELECT COUNT(*) FROM deploy WHERE deploy.id <= step_log.deploy), step, kind FROM step_log \
                 ORDER BY deploy, seq";
    let rows = sqlx::query(steps).fetch_all(database).await;
    let line = |row: &AnyRow| Line { deploy: row.get(0), step: row.get(1), kind: kind(&row.get::<String, _>(2)) };
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
pub(crate) async fn hosts(url: &str) -> Vec<String> {
    let mut database = open(url).await;
    let rows = sqlx::query("SELECT host, stage FROM host ORDER BY host").fetch_all(&mut database).await;
    let rows = rows.expect("the hosts can be read");
    rows.iter().map(|row| format!("{}: {}", row.get::<String, _>(0), row.get::<String, _>(1))).collect()
}

/// Leaves no host known, and nothing taken over from a version that knew none.
pub(crate) async fn forget_hosts(url: &str) {
    let mut database = open(url).await;
    for statement in ["DELETE FROM host", "DELETE FROM carried"] {
        sqlx::query(statement).execute(&mut database).await.expect("they go");
    }
}
