//! Migrations: the same steps for both databases, each run on a database with data in it.
//!
//! A migration comes with `tests/data/migrations/<its name>`: rows as they look after it. The next
//! one must cope with them, and what the last one leaves must be readable by the store.

#[path = "support/postgres.rs"]
mod postgres_server;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use greenroom::model::{
    CommitSha, DeployId, Generation, PullNumber, RepoId, RepoName, RepoSeen, StageId, StageName, StageStatus,
    Timestamp, UserId,
};
use sqlx::any::AnyConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection, Executor};

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn names(path: &str) -> BTreeSet<String> {
    std::fs::read_dir(folder(path))
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .collect()
}

#[test]
fn both_databases_take_the_same_steps_and_each_has_sample_data() {
    let sqlite = names("migrations/sqlite");
    assert!(!sqlite.is_empty());
    assert_eq!(sqlite, names("migrations/postgres"));
    assert_eq!(sqlite, names("tests/data/migrations"), "a migration brings rows as they look after it");
}

async fn connect(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = url.parse().expect("an address");
    options.connect().await.expect("the database answers")
}

/// Applies one migration after the other, each followed by its sample data.
async fn migrate_with_data(url: &str, migrations: &str) {
    let all = Migrator::new(folder(migrations)).await.expect("the migrations are well-formed");
    let samples = names("tests/data/migrations");
    let mut connection = connect(url).await;
    for (count, sample) in (1..).zip(&samples) {
        let until = Migrator::with_migrations(all.iter().take(count).cloned().collect());
        until.run(&mut connection).await.unwrap_or_else(|error| panic!("{sample} fails on data: {error}"));
        let data = std::fs::read_to_string(folder("tests/data/migrations").join(sample)).expect("sample data");
        connection.execute(AssertSqlSafe(data)).await.unwrap_or_else(|error| panic!("the data of {sample}: {error}"));
    }
    connection.close().await.expect("the connection closes");
}

/// Opening checks that the steps inside the binary are those of the folder, byte for byte.
async fn read_it_all(url: &str) {
    let store = greenroom::store::open(url).await.expect("the store opens what was migrated");
    let stage = |name| StageId {
        repo: RepoName::new("acme/shop").expect("a repository"),
        name: StageName::new(name).expect("a stage"),
    };
    let dev = store.stage(&stage("dev")).await.expect("read").expect("there");
    assert_eq!(dev.status, StageStatus::Live { sha: CommitSha::new("a".repeat(40)).expect("a commit") });
    assert_eq!((dev.queue.len(), dev.keep_until), (1, Some(Timestamp(1_766_000_000_000))));
    assert_eq!((dev.asked.is_some(), dev.settled), (true, dev.generation));
    let doing: Vec<(String, u32)> =
        dev.conditions.iter().map(|(name, seen)| (name.to_string(), seen.restarts)).collect();
    assert_eq!(doing, [("web".to_owned(), 3)]);
    let lock = dev.lock.expect("locked");
    assert_eq!(
        (lock.reason.as_str(), lock.login.as_str(), lock.since),
        ("demo", "", Timestamp(0)),
        "of an older version"
    );
    let everything = store.repo_lock(&stage("dev").repo).await.expect("read").expect("locked");
    assert_eq!((everything.reason.as_str(), everything.pull), ("sale", Some(PullNumber(42))));
    assert_eq!(store.stages(None).await.expect("read").len(), 2);
    assert_eq!(store.deploys(&stage("pr-42"), 9).await.expect("read").len(), 2);
    assert_eq!(store.log(DeployId(1)).await.expect("read").events().len(), 2);
    assert_eq!(store.history(&stage("pr-42"), 1).await.expect("read").surfaces.len(), 2);
    assert_eq!(store.releases(&stage("pr-42"), 9).await.expect("read").len(), 1);
    assert_eq!(store.audit(None, None, 9).await.expect("read").len(), 2);
    // A repository of before keeps the name of its rows, and is known by its number from then on.
    let seen = |id, name| RepoSeen { id: RepoId(id), owner: UserId(7), name: RepoName::new(name).expect("a name") };
    let known = async |seen: RepoSeen| store.identify(&seen).await.expect("identified").key.to_string();
    assert_eq!(known(seen(1, "acme/shop")).await, "acme/shop");
    assert_eq!(known(seen(1, "acme/store")).await, "acme/shop");
    assert_eq!(known(seen(2, "acme/shop")).await, "acme.2/shop");
    assert_eq!(known(seen(775, "acme/docs")).await, "acme.775/docs");
    let tools = RepoName::new("acme/tools").expect("a name");
    let tools = store.known(&tools).await.expect("read").expect("there");
    assert_eq!((tools.name, tools.rumour.map(String::from)), (None, Some("acme/toolbox".to_owned())));
    let docs = store.host_owner("docs.example.com").await.expect("read").map(|stage| stage.to_string());
    assert_eq!(docs.as_deref(), Some("acme/docs/prod"));
    let shop = stage("dev").repo;
    let older = store.verify_audit(&shop).await.expect("read");
    assert_eq!((older.entries, older.before_chain, older.first_bad), (1, 1, None));
    let docs = RepoName::new("acme/docs").expect("a repository");
    let chained = store.verify_audit(&docs).await.expect("read");
    assert_eq!((chained.entries, chained.last.map(|last| last.number), chained.first_bad), (1, Some(1), None));
    let tools = RepoName::new("acme/tools").expect("a name");
    let cut = store.verify_audit(&tools).await.expect("read");
    assert_eq!((cut.entries, cut.cut, cut.last.map(|last| last.number), cut.first_bad), (0, 4, Some(4), None));
    let heads = store.witnesses(&shop, PullNumber(42), 9).await.expect("read");
    assert_eq!(heads.iter().map(|head| head.sha.short()).collect::<Vec<_>>(), ["bbbbbbb", "aaaaaaa"]);
    assert!(heads.iter().all(|head| head.pusher.is_none()), "an older version did not say who pushed: {heads:?}");
    let pushed = store.witnesses(&shop, PullNumber(43), 9).await.expect("read");
    assert_eq!(pushed.iter().map(|head| head.pusher).collect::<Vec<_>>(), [Some(UserId(7))]);
    let owed = store.receipts_of(&stage("pr-42"), Generation(2)).await.expect("read");
    assert_eq!(owed.iter().map(|receipt| receipt.key.comment).collect::<Vec<_>>(), [99]);
    let counts = store.counts(Timestamp(1_764_000_060_000)).await.expect("read");
    assert_eq!((counts.inbox_waiting, counts.inbox_poison, counts.lanes_due, counts.deploys_running), (1, 1, 3, 1));
    let claimed = store.claim(Timestamp(1_764_000_060_000), 1000).await.expect("asked").expect("its lease is over");
    assert_eq!((claimed.attempts, claimed.held.bell(), claimed.held.fence().0), (1, 7, 6));
    let mut turns = Vec::new();
    while let Some(claimed) = store.claim(Timestamp(1_764_000_060_000), 1000).await.expect("asked") {
        turns.push(claimed.held.lane().to_string());
    }
    // The repository of the first one, which an older version wrote, has had its turn.
    assert_eq!(turns, ["stage:acme/docs/pr-3", "stage:acme/shop/dev"]);
}

#[tokio::test]
async fn sqlite_migrates_with_data_in_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/greenroom.db?mode=rwc", folder.path().display());
    migrate_with_data(&url, "migrations/sqlite").await;
    read_it_all(&url).await;
}

#[tokio::test]
async fn postgres_migrates_with_data_in_it() {
    let url = postgres_server::fresh_database().await;
    migrate_with_data(&url, "migrations/postgres").await;
    read_it_all(&url).await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/greenroom.db", folder.path().display());
    drop(greenroom::store::open(&url).await.expect("a new file"));
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'newer', TRUE, 'x', 1)";
    connect(&url).await.execute(newer).await.expect("inserted");
    let error = greenroom::store::open(&url).await.err().expect("refused").to_string();
    assert!(error.contains("newer greenroom"), "{error}");
}
