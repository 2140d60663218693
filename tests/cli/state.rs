//! `greenroom state`: a repository goes from a folder's state to a server's database and back.

use std::os::unix::fs::PermissionsExt as _;

use greenroom::model::{RepoId, RepoSeen, StateLocation, UserId};
use greenroom::store::{StateSettings, open_state};
use serde_json::json;

use crate::bench::Bench;

/// A bench with a state of `acme/shop` in the folder `state`, and a database that is not there yet.
async fn with_state() -> Bench {
    let mut bench = Bench::new();
    bench.env("GREENROOM_DATABASE_URL", bench.database());
    let location = StateLocation::Folder(bench.folder().join("state"));
    let settings = StateSettings { location, repo: RepoId(774), objects: None, writer: String::new(), scratch: None };
    let store = open_state(settings).await.expect("the state opens");
    let name = "acme/shop".parse().expect("a repository");
    store.identify(&RepoSeen { id: RepoId(774), owner: UserId(7), name }).await.expect("it is written");
    bench
}

#[tokio::test]
async fn a_repository_goes_to_a_server_and_back() {
    let bench = with_state().await;
    let out = bench.run(&["state", "export", "shop.state", "--state", "state", "--number", "774"]).await;
    assert_eq!(out.code, 0, "{}", out.all());
    assert!(out.out.contains("acme/shop is written to the file"), "{}", out.out);
    let mode = std::fs::metadata(bench.folder().join("shop.state")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds what people wrote");
    let put = bench.run(&["state", "import", "shop.state", "--json"]).await;
    let told = put.json();
    assert_eq!((&told["repo"], &told["number"]), (&json!("acme/shop"), &json!(774)));

    let back = bench.run(&["state", "export", "back.state", "--repo", "acme/shop"]).await;
    assert_eq!(back.code, 0, "{}", back.all());
    let put = bench.run(&["state", "import", "back.state", "--state", "state"]).await;
    assert_eq!(put.code, 0, "{}", put.all());
    let new = bench.run(&["state", "import", "back.state", "--state", "elsewhere/state"]).await;
    assert_eq!(new.code, 0, "a place where nothing is: {}", new.all());
}

#[tokio::test]
async fn what_cannot_be_moved_is_told_and_nothing_is_made() {
    let bench = with_state().await;
    bench.write("there.state", "mine");
    let taken = bench.run(&["state", "export", "there.state", "--state", "state", "--number", "774"]).await;
    assert_eq!(taken.code, 3, "{}", taken.all());
    assert_eq!(bench.read("there.state"), "mine");
    for (args, code, words) in [
        (&["state", "export", "x.state", "--state", "state", "--number", "775"][..], 2, "repository 775"),
        (&["state", "export", "x.state", "--state", "nowhere", "--number", "774"], 2, "repository 774"),
        (&["state", "export", "x.state", "--repo", "acme/shop"], 3, "cannot open the SQLite database"),
        (&["state", "export", "x.state"], 2, "--repo"),
        (&["state", "export", "x.state", "--state", "state"], 2, "--number"),
        (&["state", "export", "x.state", "--state", "gs://acme", "--number", "774"], 2, "s3://bucket/prefix"),
        (&["state", "import", "there.state"], 2, "no repository of Greenroom's"),
        (&["state", "import", "missing.state"], 3, "missing.state"),
    ] {
        let said = bench.run(args).await;
        assert_eq!(said.code, code, "{args:?}: {}", said.all());
        assert!(said.err.contains(words), "{args:?}: {}", said.err);
    }
    let left = |name: &str| bench.folder().join(name).exists();
    assert!(!left("x.state") && !left("nowhere") && !left("greenroom.db"));
}
