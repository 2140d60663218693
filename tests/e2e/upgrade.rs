//! The version before hands its stages over to this one, on the same folder: what it started runs on
//! under this one's eyes, untouched, and is brought on and taken away by it like its own.
//!
//! The program of the version before is named by `GREENROOM_TEST_BEFORE`; without it there is nothing
//! to tell, so these tests are asked for by name (`--run-ignored ignored-only`).

#![expect(clippy::disallowed_methods, reason = "who tests an upgrade names the program of before")]

#[cfg(feature = "aws")]
mod aws;
mod containers;
mod programs;

use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use greenroom::model::{PullNumber, RepoName};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::process::Command;

use crate::server::inherited;
use crate::world::World;

const BEFORE: &str = "GREENROOM_TEST_BEFORE";

/// How the version before is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Polite,
    Killed,
}

fn before_program() -> String {
    std::env::var(BEFORE).expect("GREENROOM_TEST_BEFORE names the program of the version before")
}

/// What a shell does so that the server is the version before, which had the list of whom it serves
/// under another name.
fn as_before() -> String {
    format!("export GREENROOM_LOCAL_ALLOW='*'; exec '{}' serve", before_program())
}

/// What there is to see of everything that the version before had brought on.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    programs: Vec<(i32, String)>,
    journal: Vec<String>,
    deploys: i64,
    steps: usize,
    stages: Vec<String>,
    comments: Vec<String>,
}

async fn open(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(10));
    SqliteConnection::connect_with(&options).await.expect("the server's database opens")
}

async fn texts(w: &World, query: &'static str) -> Vec<String> {
    let mut database = open(&w.home.database()).await;
    sqlx::query_scalar(query).fetch_all(&mut database).await.expect("the database can be read")
}

async fn number(w: &World, query: &'static str) -> i64 {
    let mut database = open(&w.home.database()).await;
    sqlx::query_scalar(query).fetch_one(&mut database).await.expect("the database can be read")
}

/// Waits until nothing is due and nobody is at work.
async fn calm(w: &World) {
    w.until("nothing is due", async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let soon = i64::try_from(now).expect("a time") + 5_000;
        let mut database = open(&w.home.database()).await;
        let due: i64 = sqlx::query_scalar(
            "SELECT (SELECT COUNT(*) FROM lane WHERE key NOT LIKE 'chore:%' AND (wake_at <= $1 OR lease_until > 0)) \
             + (SELECT COUNT(*) FROM inbox WHERE state = 0)",
        )
        .bind(soon)
        .fetch_one(&mut database)
        .await
        .expect("the database can be read");
        due == 0
    })
    .await;
}

/// Waits until the server that just started has looked at every repository.
async fn looked(w: &World, before: u64) {
    let asked = async || w.github.counts().of(&http::Method::GET, "/installation/repositories") > before;
    w.until("the server has looked at its repositories", asked).await;
    calm(w).await;
}

fn looks(w: &World) -> u64 {
    w.github.counts().of(&http::Method::GET, "/installation/repositories")
}

fn started(pid: i32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The 22nd field is when it began; the second one, in brackets, may hold spaces.
    stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)).unwrap_or_default().to_owned()
}

async fn seen(w: &World, pulls: &[(&RepoName, PullNumber)]) -> Seen {
    let mut programs: Vec<_> = w.programs().into_iter().map(|pid| (pid, started(pid))).collect();
    programs.sort_unstable();
    Seen {
        programs,
        journal: w.journal(),
        deploys: number(w, "SELECT COUNT(*) FROM deploy").await,
        steps: w.steps().await.len(),
        stages: texts(w, "SELECT repo || '/' || name || ' ' || status FROM stage ORDER BY repo, name").await,
        comments: pulls.iter().filter_map(|(repo, pull)| w.comment_of(repo, *pull)).collect(),
    }
}

async fn is_as_it_was(w: &World, pulls: &[(&RepoName, PullNumber)], before: &Seen) {
    assert_eq!(seen(w, pulls).await, *before, "the servers' log:\n{}", w.home.log());
}

/// What a program of this version says to this database.
async fn said(w: &World, program: &str, words: &[&str]) -> Output {
    Command::new(program)
        .args(words)
        .env_clear()
        .envs(inherited())
        .env("NO_COLOR", "1")
        .env("GREENROOM_DATABASE_URL", format!("sqlite://{}", w.home.database().display()))
        .output()
        .await
        .expect("it runs")
}

async fn audit_is_whole(w: &World) {
    let verdict = said(w, env!("CARGO_BIN_EXE_greenroom"), &["audit", "verify"]).await;
    let text = String::from_utf8_lossy(&verdict.stdout).into_owned();
    assert!(verdict.status.success(), "{text}{}", String::from_utf8_lossy(&verdict.stderr));
    assert!(text.contains(w.repo.as_str()), "{text}");
}

async fn end(w: &mut World, how: End) {
    match how {
        End::Killed => w.kill_server().await,
        End::Polite => {
            let server = w.take_server();
            server.ask_to_stop();
            let ended = server.stopped().await;
            assert!(ended.success(), "it ended with {ended}");
        }
    }
}
