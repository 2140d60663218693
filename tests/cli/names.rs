//! Repositories on the command line: by GitHub's name of today, or by the one that they have here for life.

use std::sync::Arc;

use greenroom::app::SystemClock;
use greenroom::model::{
    Lane, PullNumber, RepoId, RepoName, RepoSeen, StageId, StageRecord, Subject, Target, Timestamp, UserId,
};
use greenroom::port::IntakeWrite;
use greenroom::sandbox::{Sandbox, SandboxSettings};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::bench::Bench;

/// A database with a stage of acme/shop, which was renamed to acme/store.
async fn renamed() -> (Bench, Arc<dyn greenroom::port::Store>) {
    let mut bench = Bench::new();
    bench.env("GREENROOM_DATABASE_URL", bench.database());
    let store = greenroom::store::open(&bench.database()).await.expect("a database");
    for name in ["acme/shop", "acme/store"] {
        store.identify(&seen(1, name)).await.expect("it is taken down");
    }
    let repo: RepoName = "acme/shop".parse().expect("a name");
    store.ring(&Lane::Repo(repo.clone()), Timestamp(0)).await.expect("rung");
    let held = store.claim(Timestamp(0), 60_000).await.expect("asked").expect("it was rung").held;
    let id = StageId { repo, name: "pr-1".parse().expect("a name") };
    let one = PullNumber(1);
    let stage = StageRecord::new(id, Subject::PullRequest(one), Target::PullRequest(one), Timestamp(0));
    store.apply_intake(&held, IntakeWrite { stages: vec![stage], ..IntakeWrite::default() }).await.expect("written");
    (bench, store)
}

fn seen(id: u64, name: &str) -> RepoSeen {
    RepoSeen { id: RepoId(id), owner: UserId(7), name: name.parse().expect("a name") }
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_found_by_both_of_its_names() {
    let (bench, _) = renamed().await;
    for name in ["acme/store", "Acme/Store", "acme/shop"] {
        let rows = bench.run(&["status", "--json", "--repo", name]).await.json();
        assert_eq!(rows[0]["stage"], json!("pr-1"), "{name}: {rows}");
        let verdicts = bench.run(&["--json", "audit", "verify", "--repo", name]).await.json();
        assert_eq!(verdicts[0]["repo"], json!("acme/shop"), "{name}");
        let deploy = ["deploy", "pr-1", "--repo", name, "--pr", "1", "--no-wait", "--json"];
        assert_eq!(bench.run(&deploy).await.json()["repo"], json!("acme/shop"), "{name}");
        let destroy = ["destroy", "pr-1", "--repo", name, "--no-wait", "--json"];
        assert_eq!(bench.run(&destroy).await.json()["repo"], json!("acme/shop"), "{name}");
    }
}

#[tokio::test]
async fn a_name_of_two_repositories_is_refused_with_what_to_write_instead() {
    let (mut bench, store) = renamed().await;
    store.identify(&seen(2, "acme/shop")).await.expect("it is taken down");
    let github = Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))).await.expect("a sandbox");
    bench.env("GREENROOM_GITHUB_PRIVATE_KEY", github.private_key_pem().expose_secret());
    bench.env("GREENROOM_GITHUB_API_URL", github.api_url());
    bench.env("GREENROOM_GITHUB_APP_ID", github.app_id().to_string());
    bench.env("GREENROOM_ALLOW", "acme/*");
    let of = "--repo=acme/shop";
    let refused: [&[&str]; 6] = [
        &["status", of],
        &["audit", of],
        &["audit", "verify", of],
        &["destroy", "pr-1", of],
        &["deploy", "pr-1", of, "--pr", "1"],
        &["plan", "pr-1", of, "--pr", "1", "--target", "local"],
    ];
    for args in refused {
        let said = bench.run(args).await;
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}: {}", said.all());
        let instead = "write acme.2/shop for the one that GitHub calls so today, or acme/store for the other one";
        assert!(said.err.contains(instead), "{args:?}: {}", said.err);
    }
    for (name, stages) in [("acme/store", 1), ("acme.2/shop", 0)] {
        let rows = bench.run(&["status", "--json", "--repo", name]).await.json();
        assert_eq!(rows.as_array().map(Vec::len), Some(stages), "{name}");
    }
}
