//! The verbs that speak with a server through its database, where there is no server.

use std::sync::Arc;

use greenroom::app::SystemClock;
use greenroom::model::{Event, Lane, StageName, Target, Timestamp};
use greenroom::sandbox::{Sandbox, SandboxSettings};
use insta::assert_snapshot;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::bench::Bench;

/// A bench with an empty database.
async fn with_database() -> Bench {
    let mut bench = Bench::new();
    greenroom::store::open(&bench.database()).await.expect("a database");
    bench.env("GREENROOM_DATABASE_URL", bench.database());
    bench
}

#[tokio::test]
async fn no_database_is_made_by_looking_for_one() {
    let bench = Bench::new();
    assert_snapshot!(bench.run(&["status"]).await.all(), @"
    --- stderr
    error: cannot open the server's database: start `greenroom serve` first, or name its database with GREENROOM_DATABASE_URL
      because: cannot open the SQLite database: does its folder exist, and may this user write there?
      because: error returned from database: (code: 14) unable to open database file
    --- exit 3
    ");
    assert_eq!(bench.run(&["deploy", "pr-1", "--repo", "acme/shop", "--pr", "1"]).await.code, 3);
    assert_eq!(bench.run(&["destroy", "pr-1", "--repo", "acme/shop"]).await.code, 3);
    assert_eq!(std::fs::read_dir(bench.folder()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_address_of_no_database_shows_no_password() {
    let bench = Bench::new();
    let said = bench.run(&["status", "--database-url", "mysql://root:hunter2@db/x"]).await;
    assert_snapshot!(said.all(), @r#"
    --- stderr
    error: cannot open the server's database: start `greenroom serve` first, or name its database with GREENROOM_DATABASE_URL
      because: mysql is not a kind of database that Greenroom knows; write sqlite://greenroom.db for a file, or postgres://[redacted]@host/database
    --- exit 3
    "#);
}

#[tokio::test]
async fn status_says_that_there_is_no_stage() {
    let bench = with_database().await;
    assert_snapshot!(bench.run(&["status"]).await.all(), @"
    --- stdout
    no stage: the first pull request makes one, or `greenroom deploy`
    --- exit 0
    ");
    assert_snapshot!(bench.run(&["status", "--repo", "acme/shop"]).await.all(), @"
    --- stdout
    no stage of acme/shop: the first pull request makes one, or `greenroom deploy`
    --- exit 0
    ");
    assert_eq!(bench.run(&["status", "--json"]).await.json(), json!([]));
}

#[tokio::test]
async fn a_request_without_a_server_stays_in_the_inbox() {
    let bench = with_database().await;
    let deploy = ["deploy", "pr-1", "--repo", "acme/shop", "--pr", "1"];
    let impatient = [&deploy[..], &["--taken-up-within", "1s"]].concat();
    assert_snapshot!(bench.run(&impatient).await.all(), @"
    --- stderr
    error: no server took the request up within [time]: is `greenroom serve` running on this database? The request stays in its inbox
    --- exit 3
    ");
    let error = bench.run(&[&impatient[..], &["--json"]].concat()).await;
    assert_eq!((error.code, &error.json_error()["exit"]), (3, &json!("environment")));
    assert_snapshot!(bench.run(&[&deploy[..], &["--no-wait"]].concat()).await.all(), @"
    --- stdout
    asked for; `greenroom status --repo acme/shop` shows it
    --- exit 0
    ");
    assert_snapshot!(bench.run(&[&deploy[..], &["--no-wait", "--json"]].concat()).await.all(), @r#"
    --- stdout
    {
      "delivery": "cli-[id]",
      "repo": "acme/shop",
      "stage": "pr-1"
    }
    --- exit 0
    "#);

    let store = greenroom::store::open(&bench.database()).await.unwrap();
    let claimed = store.claim(Timestamp(i64::MAX / 2), 1000).await.unwrap().expect("the lane was rung");
    assert_eq!(claimed.held.lane(), &Lane::Repo("acme/shop".parse().unwrap()));
    let events: Vec<Event> = store.inbox(&claimed.held, 10).await.unwrap().into_iter().map(|row| row.event).collect();
    let asked = Event::Requested {
        repo: "acme/shop".parse().unwrap(),
        stage: StageName::new("pr-1").unwrap(),
        target: Target::PullRequest(greenroom::model::PullNumber(1)),
    };
    assert_eq!(events, vec![asked; 4]);
}

#[tokio::test]
async fn only_a_stage_that_is_there_can_be_destroyed() {
    let bench = with_database().await;
    assert_snapshot!(bench.run(&["destroy", "pr-1", "--repo", "acme/shop"]).await.all(), @"
    --- stderr
    error: there is no stage acme/shop/pr-1: `greenroom status --repo acme/shop` lists them
    --- exit 2
    ");
}

#[tokio::test]
async fn a_sweep_without_a_server_stays_asked_for() {
    let bench = with_database().await;
    let sweep = ["sweep", "--github-app-id", "1", "--taken-up-within", "1s"];
    assert_snapshot!(bench.run(&sweep).await.all(), @"
    --- stderr
    error: no server took the sweep up: is `greenroom serve` running on this database? It stays asked for
    --- exit 3
    ");
    let store = greenroom::store::open(&bench.database()).await.expect("a database");
    let claimed =
        store.claim(Timestamp(i64::MAX / 2), 1).await.expect("the database answers").expect("a lane that is due");
    assert_eq!(claimed.held.lane().to_string(), "chore:sweep");
}

#[tokio::test]
async fn a_deploy_says_what_it_wants() {
    let bench = with_database().await;
    assert_snapshot!(bench.run(&["deploy", "pr-1", "--repo", "acme/shop"]).await.all(), @"
    --- stderr
    error: the following required arguments were not provided:
      <--pr <NUMBER>|--branch <BRANCH>|--sha <COMMIT>>

    Usage: greenroom deploy --repo <OWNER/NAME> --database-url <URL> <--pr <NUMBER>|--branch <BRANCH>|--sha <COMMIT>> <STAGE>

    For more information, try '--help'.
    --- exit 2
    ");
    assert_snapshot!(bench.run(&["deploy", "PR 1", "--repo", "acme", "--pr", "1"]).await.all(), @r#"
    --- stderr
    error: invalid value 'PR 1' for '<STAGE>': "PR 1" is not a valid stage name: 1-40 of a-z, 0-9 and '-', not at either end

    For more information, try '--help'.
    --- exit 2
    "#);
    let args = ["deploy", "pr-1", "--repo", "acme/shop", "--pr", "1", "--branch", "main"];
    assert_snapshot!(bench.run(&args).await.all(), @"
    --- stderr
    error: the argument '--pr <NUMBER>' cannot be used with '--branch <BRANCH>'

    Usage: greenroom deploy --repo <OWNER/NAME> --database-url <URL> <--pr <NUMBER>|--branch <BRANCH>|--sha <COMMIT>> <STAGE>

    For more information, try '--help'.
    --- exit 2
    ");
    let args = ["deploy", "pr-1", "--repo", "acme/shop", "--sha", "abc", "--timeout", "soon"];
    assert_snapshot!(bench.run(&args).await.all(), @r#"
    --- stderr
    error: invalid value 'abc' for '--sha <COMMIT>': "abc" is not a valid commit sha: 40 hexadecimal digits

    For more information, try '--help'.
    --- exit 2
    "#);
}

#[tokio::test]
async fn a_plan_says_what_it_needs() {
    let mut bench = with_database().await;
    let plan = ["plan", "pr-1", "--repo", "acme/shop", "--pr", "1"];
    assert_snapshot!(bench.run(&plan).await.all(), @"
    --- stderr
    error: the following required arguments were not provided:
      --github-app-id <ID>

    Usage: greenroom plan --repo <OWNER/NAME> --github-app-id <ID> --pr <NUMBER> --database-url <URL> <STAGE>

    For more information, try '--help'.
    --- exit 2
    ");
    bench.env("GREENROOM_GITHUB_APP_ID", "1");
    assert_snapshot!(bench.run(&plan).await.all(), @"
    --- stderr
    error: GREENROOM_GITHUB_PRIVATE_KEY is not set: give the App's private key as PEM or base64 of it, or the path of its file
    --- exit 3
    ");
    bench.env("GREENROOM_GITHUB_PRIVATE_KEY", "key.pem");
    assert_snapshot!(bench.run(&plan).await.all(), @"
    --- stderr
    error: GREENROOM_GITHUB_PRIVATE_KEY is neither a private key nor the path of a file that can be read (it is looked for from the folder where this program was started): give the App's private key as GitHub gave it, the base64 of that, or the path of its file; what it holds is not shown
      because: No such file or directory (os error 2)
    --- exit 3
    ");
    bench.write("key.pem", "hunter2");
    assert_snapshot!(bench.run(&plan).await.all(), @"
    --- stderr
    error: the file that GREENROOM_GITHUB_PRIVATE_KEY names holds no private key: give the App's private key as GitHub gave it, the base64 of that, or the path of its file; what it holds is not shown
    --- exit 3
    ");
}

#[tokio::test]
async fn a_server_refuses_to_start_without_a_secret() {
    let bench = with_database().await;
    let serve = [
        "serve",
        "--target",
        "local",
        "--github-app-id",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--proxy-listen",
        "127.0.0.1:0",
    ];
    assert_snapshot!(bench.run(&serve).await.all(), @"
    --- stderr
    error: GREENROOM_WEBHOOK_SECRET is not set: without it anybody could send webhooks. Set it to the secret in the GitHub App's webhook settings
    --- exit 3
    ");
}

#[tokio::test]
async fn a_second_server_is_told_which_address_is_taken() {
    let mut bench = with_database().await;
    let github = Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))).await.expect("a sandbox");
    bench.env("GREENROOM_WEBHOOK_SECRET", "a secret of the tests");
    bench.env("GREENROOM_GITHUB_PRIVATE_KEY", github.private_key_pem().expose_secret());
    let first = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = first.local_addr().expect("an address").to_string();
    let any = "127.0.0.1:0";
    let serve = ["serve", "--target", "local", "--github-app-id", "1", "--listen", any, "--proxy-listen", any];
    let said = bench.run(&[&serve[..], &["--ops-listen", &taken]].concat()).await;
    assert_eq!(said.code, 3, "{}", said.all());
    let refusal = format!("cannot listen on {taken}: set GREENROOM_OPS_LISTEN to a free address");
    assert!(said.err.contains(&refusal), "{}", said.err);
}

/// Whoever set it before would have a server that serves nobody, and not know why.
#[tokio::test]
async fn the_list_s_earlier_name_is_refused_with_the_new_one() {
    let mut bench = with_database().await;
    let github = Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))).await.expect("a sandbox");
    bench.env("GREENROOM_GITHUB_PRIVATE_KEY", github.private_key_pem().expose_secret());
    bench.env("GREENROOM_GITHUB_API_URL", github.api_url());
    bench.env("GREENROOM_GITHUB_APP_ID", github.app_id().to_string());
    bench.env("GREENROOM_LOCAL_ALLOW", "acme/*");
    let plan = ["plan", "pr-1", "--repo", "acme/shop", "--target", "local"];
    let said = bench.run(&plan).await;
    assert_eq!(said.code, 3, "{}", said.all());
    assert!(said.err.contains("GREENROOM_LOCAL_ALLOW is now GREENROOM_ALLOW"), "{}", said.err);
    bench.env("GREENROOM_ALLOW", "acme/*");
    let said = bench.run(&plan).await;
    assert!(!said.err.contains("GREENROOM_LOCAL_ALLOW"), "{}", said.err);
}

#[tokio::test]
async fn a_start_that_is_refused_leaves_the_database_to_the_version_before() {
    let mut bench = Bench::new();
    let github = Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))).await.expect("a sandbox");
    bench.env("GREENROOM_DATABASE_URL", bench.database());
    bench.env("GREENROOM_WEBHOOK_SECRET", "a secret of the tests");
    bench.env("GREENROOM_GITHUB_PRIVATE_KEY", github.private_key_pem().expose_secret());
    // As it was called once.
    bench.env("GREENROOM_LOCAL_ALLOW", "*");
    let first = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = first.local_addr().expect("an address").to_string();
    let any = "127.0.0.1:0";
    let serve = ["serve", "--target", "local", "--github-app-id", "1", "--listen", any, "--proxy-listen", any];
    for (more, refusal) in [
        (["--ops-listen", any, "--log", "info"], "GREENROOM_LOCAL_ALLOW is now GREENROOM_ALLOW"),
        (["--ops-listen", &taken, "--allow", "acme/shop"], "set GREENROOM_OPS_LISTEN to a free address"),
    ] {
        let said = bench.run(&[&serve[..], &more].concat()).await;
        assert!(said.code == 3 && said.err.contains(refusal), "{}", said.all());
        assert!(!bench.folder().join("greenroom.db").exists(), "{refusal}: the database was opened before");
    }
}
