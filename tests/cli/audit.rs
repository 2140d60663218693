//! `greenroom audit` against a database with a record in it, whole and not.

use greenroom::model::{AuditEntry, Lane, RepoName, Timestamp};
use greenroom::port::IntakeWrite;
use insta::assert_snapshot;
use serde_json::json;
use sqlx::{ConnectOptions as _, Executor as _};

use crate::bench::Bench;

/// A bench whose database holds two entries of one repository and one of another.
async fn with_record() -> Bench {
    let mut bench = Bench::new();
    let store = greenroom::store::open(&bench.database()).await.expect("a database");
    bench.env("GREENROOM_DATABASE_URL", bench.database());
    for (repo, stages) in [("acme/shop", &["pr-1", "pr-2"][..]), ("acme/docs", &["pr-1"])] {
        let repo: RepoName = repo.parse().expect("a repository");
        store.ring(&Lane::Repo(repo.clone()), Timestamp(0)).await.expect("rung");
        let held = store.claim(Timestamp(0), 60_000).await.expect("asked").expect("it was rung").held;
        let entry = |stage: &&str| AuditEntry {
            at: Timestamp(1_764_000_000_000),
            repo: repo.clone(),
            actor: "octo\u{1b}[31mcat (1)".into(),
            action: "goal".into(),
            subject: (*stage).to_owned(),
            details: r#"{"delivery":"d1"}"#.into(),
        };
        let audit = stages.iter().map(entry).collect();
        store.apply_intake(&held, IntakeWrite { audit, ..IntakeWrite::default() }).await.expect("written");
    }
    bench
}

#[tokio::test]
async fn the_record_is_shown_newest_first() {
    let bench = with_record().await;
    assert_snapshot!(bench.run(&["audit"]).await.all(), @"
    --- stdout
    TIME                  NUMBER  WHO               WHAT  STAGE
    2025-11-24 16:00 UTC  1       octo�[31mcat (1)  goal  acme/docs/pr-1
    2025-11-24 16:00 UTC  2       octo�[31mcat (1)  goal  acme/shop/pr-2
    2025-11-24 16:00 UTC  1       octo�[31mcat (1)  goal  acme/shop/pr-1
    --- exit 0
    ");
    let said = bench.run(&["audit", "--repo", "acme/shop", "--stage", "pr-2", "--json"]).await.json();
    let [entry] = said.as_array().expect("a list").as_slice() else { panic!("not one entry: {said}") };
    assert_eq!((&entry["number"], &entry["details"]), (&json!(2), &json!({ "delivery": "d1" })));
    assert_eq!(entry["hash"].as_str().map(str::len), Some(64));
    assert_eq!(bench.run(&["audit", "--limit", "1", "--json"]).await.json().as_array().map(Vec::len), Some(1));
    assert_snapshot!(bench.run(&["audit", "--repo", "acme/other"]).await.all(), @"
    --- stdout
    nothing is recorded
    --- exit 0
    ");
}

#[tokio::test]
async fn a_record_that_was_tampered_with_fails_its_check() {
    let bench = with_record().await;
    let said = bench.run(&["audit", "verify"]).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(said.out.lines().filter(|line| line.contains("follow one from the other")).count(), 2, "{}", said.out);

    let options: sqlx::any::AnyConnectOptions = bench.database().parse().expect("an address");
    let mut hand = options.connect().await.expect("it opens");
    hand.execute("DELETE FROM audit WHERE repo = 'acme/shop' AND number = 1").await.expect("deleted");
    let verdicts = bench.run(&["--json", "audit", "verify"]).await;
    assert_eq!(verdicts.code, 1);
    assert_eq!(verdicts.json()[1]["first_bad"], json!({ "number": 1, "what": "missing" }));
    assert_eq!(verdicts.json()[0]["first_bad"], json!(null));
    assert_eq!(bench.run(&["audit", "verify", "--repo", "acme/docs"]).await.code, 0);
    assert_snapshot!(bench.run(&["audit", "verify", "--repo", "acme/shop"]).await.all(), @"
    --- stdout
    acme/shop: entry 1 is missing
    --- exit 1
    ");
    let empty = bench.run(&["audit", "verify", "--repo", "acme/other"]).await;
    assert_eq!((empty.code, empty.out.trim()), (0, "acme/other: nothing is recorded"));
}

#[tokio::test]
async fn a_hash_that_was_kept_elsewhere_shows_a_record_that_was_cut() {
    let bench = with_record().await;
    let newest = bench.run(&["audit", "--repo", "acme/shop", "--limit", "1", "--json"]).await.json();
    let head = newest[0]["hash"].as_str().expect("a hash").to_owned();
    let verify = ["audit", "verify", "--repo", "acme/shop", "--head", &head];
    assert_eq!(bench.run(&verify).await.code, 0);
    let elsewhere = bench.run(&["audit", "verify", "--repo", "acme/docs", "--head", &head]).await;
    assert_eq!(elsewhere.code, 1, "it is no hash of that repository");

    let options: sqlx::any::AnyConnectOptions = bench.database().parse().expect("an address");
    let mut hand = options.connect().await.expect("it opens");
    for cut in [
        "DELETE FROM audit WHERE repo = 'acme/shop' AND number = 2",
        "UPDATE audit_end SET number = 1, hash = (SELECT hash FROM audit WHERE repo = 'acme/shop') \
         WHERE repo = 'acme/shop'",
    ] {
        hand.execute(cut).await.expect(cut);
    }
    assert_eq!(bench.run(&verify[..4]).await.code, 0, "without the hash nothing shows it");
    let said = bench.run(&verify).await;
    assert_eq!(said.code, 1);
    assert!(said.err.contains(&format!("no entry has the hash {head}")), "{}", said.all());

    for cut in ["DELETE FROM audit", "DELETE FROM audit_end"] {
        hand.execute(cut).await.expect(cut);
    }
    let said = bench.run(&["audit", "verify", "--head", &head]).await;
    assert_eq!((said.code, said.out.trim()), (1, "nothing is recorded"), "{}", said.all());
}
