//! A server of the version before there were walls goes on as one of now: what its own engine and store
//! kept of the story below is `tests/data/before.sql`.
//!
//! The story is told once more by the engine of now, so that GitHub and the target are as the record
//! says. Then the database is replaced by the record. Nothing may be built, started, moved or said for
//! it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use greenroom::model::{CommitSha, Permission, PullNumber, RepoId, RepoName, StageId, StageStatus, Timestamp};
use greenroom::port::{Clock as _, Phase, Store};
use greenroom::sandbox::{FileChange, Mishap, NewPull};
use regex::{Captures, Regex};
use sqlx::any::AnyConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::commands::{SHOP, people};
use crate::postgres;
use crate::world::{CONFIG, World, exited};

/// The newest migration that the version before had.
const LAST: i64 = 3;

/// The shop of the commands, with a secret that only the server knows.
fn config() -> String {
    SHOP.replace("paths: [\"app\"]", "paths: [\"app\"], secrets: { TOKEN: \"env:TOKEN\" }")
}

/// What the story ends with.
struct Told {
    w: World,
    /// Live, its newest commit failed.
    pull: PullNumber,
    /// What it runs.
    serves: CommitSha,
    /// A fork's, approved and live.
    forked: PullNumber,
    /// Closed.
    closed: PullNumber,
    /// Another repository, with a zone of its own and a pull request that is live.
    docs: RepoName,
    page: PullNumber,
}

/// What a version takes a little longer for does not move what comes later.
async fn next_minute(w: &World) {
    let Timestamp(now) = w.clock.now();
    w.after(120_000 - now.rem_euclid(60_000)).await;
}

/// `prod`, `staging` and previews of one repository, a preview of another; what people asked for, what
/// failed, what was undone and what is locked.
async fn story() -> Told {
    let w = World::with_config(&config()).await;
    people(&w);
    w.push("main", "1");
    w.push("staging", "1");
    let (pull, _) = w.open("topic", "2");
    let (closed, _) = w.open("soon", "2");
    w.settle().await;
    let zone = config().replace("app: shop\n", "app: docs\ndomain: { zone: docs.test }\n");
    let files = [FileChange::write(".github/greenroom.yml", zone), FileChange::write("app", "1")];
    let docs = w.github.create_repo("acme/docs", files).expect("a repository");
    w.github.set_permission(&docs, "adam", Permission::Admin);
    w.github.push(&docs, "page", [FileChange::write("app", "2")], "A page").expect("a commit");
    let page = w.github.open_pull(&docs, "page", "A page").expect("a pull request");
    let fork = w.github.fork(&w.repo, "stranger").expect("a fork");
    let idea = w.github.commit(&fork, "idea", [FileChange::write("app", "idea")], "An idea").expect("a commit");
    let new = NewPull { author: "stranger".into(), head_repo: Some(fork), ..NewPull::new("idea", "An idea") };
    let forked = w.github.open(&w.repo, new).expect("a pull request");
    w.settle().await;
    next_minute(&w).await;
    w.hears("mia", forked, &format!("/approve {idea}")).await;
    next_minute(&w).await;
    w.hears("mia", pull, "/deploy staging").await;
    next_minute(&w).await;
    let serves = w.push("topic", "3");
    w.settle().await;
    w.hears("wes", pull, "/keep 9d").await;
    next_minute(&w).await;
    w.hears("wes", pull, "/redeploy").await;
    next_minute(&w).await;
    let broken = w.push("topic", "4");
    w.cloud.mishap(Phase::Start, "web", Some(&broken), Mishap::Fail(exited(3, "no such table")));
    w.settle().await;
    next_minute(&w).await;
    w.hears("wes", pull, "/retry").await;
    next_minute(&w).await;
    w.hears("mia", pull, "/lock staging \"a demo\" for 2d").await;
    w.github.comment(&docs, page, "adam", "/lock all \"sale\"").expect("a comment");
    next_minute(&w).await;
    w.hears("rita", pull, "/destroy").await;
    next_minute(&w).await;
    w.github.close_pull(&w.repo, closed).expect("it closes");
    w.push("main", "2");
    w.settle().await;
    next_minute(&w).await;
    w.hears("adam", pull, "/rollback prod").await;
    Told { w, pull, serves, forked, closed, docs, page }
}

/// The numbers that GitHub gave in the story, in an order that follows from the story alone.
fn numbers(told: &Told) -> Vec<u64> {
    let Told { w, pull, forked, closed, docs, page, .. } = told;
    let mut numbers = Vec::new();
    for (repo, pull) in [(&w.repo, *pull), (&w.repo, *forked), (&w.repo, *closed), (docs, *page)] {
        numbers.extend(w.github.comments(repo, pull).iter().map(|comment| comment.id));
    }
    for repo in [&w.repo, docs] {
        for made in w.github.deployments(repo) {
            numbers.push(made.id);
            numbers.extend(w.github.checks(repo, &made.sha).iter().map(|check| check.id));
        }
    }
    numbers
}

/// The record with the numbers that GitHub gave this time in the place of those of then. What is chained
/// by hashes stays as it was.
fn renumbered(rows: &str, told: &Told) -> String {
    let then = rows.lines().find_map(|line| line.strip_prefix("-- Numbers: ")).expect("the numbers of then");
    let then: Vec<&str> = then.split(' ').collect();
    let now = numbers(told);
    assert_eq!(then.len(), now.len(), "GitHub has as much of the story as it had then");
    let now: HashMap<&str, u64> = then.into_iter().zip(now).collect();
    let number = Regex::new(r"\b[0-9]{7}\b").expect("an expression");
    let anew = |found: &Captures<'_>| now.get(&found[0]).map_or_else(|| found[0].to_owned(), ToString::to_string);
    let statement = |text: &str| {
        if text.contains("INSERT INTO audit") { text.to_owned() } else { number.replace_all(text, anew).into_owned() }
    };
    rows.split_inclusive(";\n").map(statement).collect()
}

/// The record in a new database, as the version before left it.
async fn record(url: &str, dialect: &str, told: &Told) -> Arc<dyn Store> {
    sqlx::any::install_default_drivers();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = Migrator::new(folder.join("migrations").join(dialect)).await.expect("migrations");
    let before = Migrator::with_migrations(all.iter().filter(|step| step.version <= LAST).cloned().collect());
    let options: AnyConnectOptions = url.parse().expect("an address");
    let mut connection = options.connect().await.expect("the database answers");
    before.run(&mut connection).await.expect("the steps of then");
    let rows = std::fs::read_to_string(folder.join("tests/data/before.sql")).expect("the record");
    let rows = renumbered(&rows, told);
    let rows = if dialect == "postgres" { rows.replace(" x'", " '\\x") } else { rows };
    connection.execute(AssertSqlSafe(rows)).await.expect("it is taken in");
    connection.close().await.expect("the connection closes");
    greenroom::store::open(url).await.expect("the version of now opens it")
}

/// Everything that an upgrade must leave alone, as text.
fn things(told: &Told) -> String {
    let w = &told.w;
    let mut lines =
        [w.builder.journal(), w.cloud.journal(), w.cloud.world(), w.deployments(), w.environments()].concat();
    for (repo, pull) in [(&w.repo, told.pull), (&w.repo, told.forked), (&w.repo, told.closed), (&told.docs, told.page)]
    {
        lines.extend(
            w.github.comments(repo, pull).into_iter().map(|comment| format!("{} {}", comment.id, comment.body)),
        );
    }
    lines.join("\n")
}

async fn statuses(store: &dyn Store) -> Vec<String> {
    let word = |status: &StageStatus| match status {
        StageStatus::Live { sha } => format!("live {}", sha.short()),
        StageStatus::Failed { sha } => format!("failed {}", sha.short()),
        StageStatus::Gone { .. } => "gone".to_owned(),
        other => format!("{other:?}"),
    };
    let mut stages: Vec<String> = store
        .stages(None)
        .await
        .expect("the database answers")
        .iter()
        .map(|record| format!("{} {}", record.id, word(&record.status)))
        .collect();
    stages.sort();
    stages
}

async fn host(w: &World, name: &str) -> Option<String> {
    w.store.host_owner(name).await.expect("the database answers").map(|stage| stage.to_string())
}

fn builds(w: &World) -> Vec<String> {
    w.builder.journal().into_iter().filter(|line| line.starts_with("build ")).collect()
}

/// Everything that falls due in an hour: GitHub is looked at, every stage is compared with what is there.
async fn an_hour_goes_by(w: &World) {
    w.engine.ring_chores().await.expect("the database answers");
    w.settle().await;
    w.after(3_700_000).await;
    w.engine.ring_chores().await.expect("the database answers");
    w.settle().await;
}

async fn goes_on(url: &str, dialect: &str) {
    let mut told = story().await;
    an_hour_goes_by(&told.w).await;
    let (before, stood) = (things(&told), statuses(&*told.w.store).await);

    let record = record(url, dialect, &told).await;
    told.w.moves_to(record).await;
    let read = statuses(&*told.w.store).await;
    assert_eq!(read, stood, "the record tells the same story");
    told.w.engine.carry_over().await.expect("the database answers");
    let w = &told.w;
    for (name, owner) in [
        ("pr-1.preview.test", "acme/shop/pr-1"),
        ("pr-3.preview.test", "acme/shop/pr-3"),
        ("prod.preview.test", "acme/shop/prod"),
        ("staging.preview.test", "acme/shop/staging"),
        ("pr-1.docs.test", "acme/docs/pr-1"),
    ] {
        assert_eq!(host(w, name).await.as_deref(), Some(owner), "{name}");
    }
    assert_eq!(host(w, "pr-2.preview.test").await, None, "that stage is gone");
    for repo in [&w.repo, &told.docs] {
        let verdict = w.store.verify_audit(repo).await.expect("the database answers");
        assert!(verdict.entries > 0 && verdict.first_bad.is_none(), "{verdict:?}");
    }

    an_hour_goes_by(w).await;
    assert_eq!(things(&told), before, "nothing is done for it, and nothing is said");
    assert_eq!(statuses(&*w.store).await, stood);
    for (repo, key) in [(&w.repo, "acme/shop"), (&told.docs, "acme/docs")] {
        let known = w.store.known(repo).await.expect("the database answers").expect("it was seen");
        assert_eq!((known.key.as_str(), known.name), (key, Some(repo.clone())));
        assert_ne!(known.id, RepoId(0));
    }

    // What was made then is what is led back to; what is new is built, and nothing else is.
    let built = builds(w);
    w.hears("adam", told.pull, "/rollback prod").await;
    w.hears("wes", told.pull, "/rollback").await;
    assert_eq!(w.serving("pr-1", "web"), Some(told.serves.clone()), "{}", w.answer(told.pull));
    assert_eq!(builds(w), built);
    let locked = w.hears("wes", told.pull, "/deploy staging").await;
    assert_eq!(w.reactions(locked).last().map(String::as_str), Some("confused"), "{}", w.answer(told.pull));
    let next = w.push("topic", "5");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(next));

    for (repo, pull) in [(&w.repo, told.pull), (&w.repo, told.forked), (&told.docs, told.page)] {
        w.github.close_pull(repo, pull).expect("it closes");
    }
    w.settle().await;
    let left = w.cloud.world();
    assert!(left.iter().all(|thing| thing.starts_with("prod/") || thing.starts_with("staging/")), "{left:#?}");
    assert_eq!(host(w, "pr-1.preview.test").await, None);
    let verdict = w.store.verify_audit(&w.repo).await.expect("the database answers");
    assert!(verdict.entries > 15 && verdict.first_bad.is_none(), "{verdict:?}");
}

#[tokio::test]
async fn a_server_of_before_goes_on_as_one_of_now_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    goes_on(&format!("sqlite://{}/greenroom.db?mode=rwc", folder.path().display()), "sqlite").await;
}

#[tokio::test]
async fn a_server_of_before_goes_on_as_one_of_now_on_postgres() {
    goes_on(&postgres::fresh_database().await, "postgres").await;
}

/// A stage that serves at its host has it before one that only asked for it and came to nothing, and
/// keeps it while a change of its own, to another host, came to nothing.
#[tokio::test]
async fn who_serves_at_a_host_has_it_whoever_else_asked_for_it_in_between() {
    let mut w = World::new().await;
    let (shop, failed) = (w.stage_id("pr-1"), Mishap::Fail(exited(3, "no such table")));
    w.open("topic", "2");
    w.settle().await;
    let release = async |stage| w.store.keep_hosts(stage, &[]).await.expect("the database answers");

    // There was no wall, so that somebody else's came as far as its start.
    release(&shop).await;
    let files = [FileChange::write(".github/greenroom.yml", CONFIG), FileChange::write("app", "1")];
    let late = w.github.create_repo("acme/late", files).expect("a repository");
    let sha = w.github.push(&late, "topic", [FileChange::write("app", "late")], "Too late").expect("a commit");
    w.cloud.mishap(Phase::Start, "web", Some(&sha), failed.clone());
    w.github.open_pull(&late, "topic", "Too late").expect("a pull request");
    w.settle().await;
    let other = StageId { repo: late, name: shop.name.clone() };
    assert!(
        matches!(w.store.stage(&other).await, Ok(Some(record)) if matches!(record.status, StageStatus::Failed { .. }))
    );
    release(&other).await;
    let sha = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha.clone()));

    let moved = CONFIG.replace("app: shop\n", "app: shop\ndomain: { zone: moved.test }\n");
    w.write("main", ".github/greenroom.yml", &moved);
    let sha_moved = w.write("topic", ".github/greenroom.yml", &moved);
    w.cloud.mishap(Phase::Start, "web", Some(&sha_moved), failed);
    w.settle().await;
    assert_eq!(
        (w.serving("pr-1", "web"), w.stage("pr-1").await.status),
        (Some(sha), StageStatus::Failed { sha: sha_moved })
    );

    w.had_no_walls().await;
    w.engine.carry_over().await.expect("the database answers");
    for name in ["pr-1.preview.test", "pr-1.moved.test"] {
        assert_eq!(host(&w, name).await, Some(shop.to_string()), "{name}");
    }
}

#[tokio::test]
async fn what_the_target_would_not_start_any_more_is_no_objection_to_what_runs() {
    let w = World::new().await;
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    let shown = w.raw_comment(pull);
    w.cloud.object(Some("the secret has no value here"));
    w.engine.ring_chores().await.expect("the database answers");
    w.after(3_700_000).await;
    assert_eq!(w.stage("pr-1").await.status, StageStatus::Live { sha: sha.clone() });
    assert_eq!(w.raw_comment(pull), shown);
    w.push("topic", "3");
    w.settle().await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Misconfigured { .. }));
    assert!(w.comment(pull).contains("the secret has no value here"), "{}", w.comment(pull));
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
    w.cloud.object(None);
    let next = w.push("topic", "4");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(next));
}
