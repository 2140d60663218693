//! A start that is refused leaves the database of the version before as it is: that version may be
//! started again.

use std::path::Path;
use std::sync::Arc;

use greenroom::app::SystemClock;
use greenroom::sandbox::{Sandbox, SandboxSettings};
use sqlx::any::AnyConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _};

use crate::bench::Bench;
use crate::server;

/// The newest migration of the version before.
const LAST: i64 = 3;

async fn database(bench: &Bench) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = format!("{}?mode=rwc", bench.database()).parse().expect("an address");
    options.connect().await.expect("the database answers")
}

async fn of_before(bench: &Bench) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    let all = Migrator::new(folder).await.expect("migrations");
    let before = Migrator::with_migrations(all.iter().filter(|step| step.version <= LAST).cloned().collect());
    let mut database = database(bench).await;
    before.run(&mut database).await.expect("the steps of then");
    database.close().await.expect("it closes");
}

async fn version(bench: &Bench) -> i64 {
    let newest = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations");
    newest.fetch_one(&mut database(bench).await).await.expect("a number")
}

/// A server's settings, complete and right.
async fn settings(target: &str) -> (Bench, Sandbox) {
    let mut bench = Bench::new();
    let github = Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))).await.expect("a sandbox");
    server::settings(&mut bench, &github);
    bench.env("GREENROOM_WEBHOOK_SECRET", "a secret of the tests");
    bench.env("GREENROOM_TARGET", target);
    (bench, github)
}

/// Starts the server with one thing wrong, and looks at what it says and at the database.
async fn is_refused(target: &str, said: &str, spoil: fn(&mut Bench)) {
    let (mut bench, _github) = settings(target).await;
    of_before(&bench).await;
    spoil(&mut bench);
    let refused = bench.run(&["serve"]).await;
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains(said), "{target}, {said}: {}", refused.err);
    assert_eq!(version(&bench).await, LAST, "{target}, {said}");
}

#[tokio::test]
async fn a_start_that_is_refused_changes_no_database() {
    for target in ["local", "aws"] {
        if target == "aws" && cfg!(not(feature = "aws")) {
            continue;
        }
        is_refused(target, "image-key", |bench| bench.write("data/image-key", "cut")).await;
        is_refused(target, "builder", |bench| bench.write("data/build/running", "no folder")).await;
        is_refused(target, "private key", |bench| bench.env("GREENROOM_GITHUB_PRIVATE_KEY", "-----BEGIN")).await;
        is_refused(target, "--zones", |bench| bench.env("GREENROOM_ZONES", "of nobody")).await;
        is_refused(target, "webhook secret", |bench| bench.env("GREENROOM_WEBHOOK_SECRET", "short")).await;
    }
    is_refused("local", "proxy", |bench| bench.env("GREENROOM_PROXY_LISTEN", "203.0.113.1:1")).await;
}
