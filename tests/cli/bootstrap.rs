//! `greenroom bootstrap`: what it says before it asks AWS anything.

use insta::assert_snapshot;

use crate::bench::Bench;

const FILE: &str = r#"version: 1
app: shop
aws: { region: eu-west-1, account: "123456789012" }
domain: { zone: shop.test, dns: none }
stages:
  prod: { on: { push: main }, apex: true }
  canary: { on: { push: "release-*" } }
  "pr-{number}": { on: { pull_request: {} } }
services:
  web: { kind: ecs, build: { context: . }, host: "@", port: 80, health: { path: / } }
"#;

const KNOWN: [&str; 8] = ["--repo", "Acme/Shop", "--repo-id", "774", "--owner-id", "12", "--default-branch", "main"];

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.write(".github/greenroom.yml", FILE);
    // Nobody is asked for credentials, and nothing on this machine tells any.
    bench.env("AWS_EC2_METADATA_DISABLED", "true");
    bench.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    bench
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["bootstrap"].into_iter().chain(KNOWN).chain(more.iter().copied()).collect()
}

#[tokio::test]
async fn every_way_in_is_explained() {
    let bench = bench();
    let token = "permissions: { id-token: write }\n";
    let job = "jobs: { go: { runs-on: ubuntu-latest } }\n";
    bench.write(".github/workflows/preview.yml", &format!("on: pull_request\n{token}{job}"));
    bench.write(
        ".github/workflows/commands.yml",
        &format!("on: {{ issue_comment: {{ types: [created] }} }}\n{token}{job}"),
    );
    bench.write(
        ".github/workflows/deploy.yml",
        &format!(
            "on: {{ push: {{ branches: [main] }} }}\n{token}jobs: {{ go: {{ runs-on: x, environment: prod }} }}\n"
        ),
    );
    bench.write(".github/workflows/ci.yaml", &format!("on: [push, pull_request]\n{job}"));
    assert_snapshot!(bench.run(&with(&["--explain"])).await.all, @"");
    bench.write(".github/workflows/label.yml", &format!("on: pull_request_target\n{token}{job}"));
    let said = bench.run(&with(&["--explain"])).await;
    assert_eq!(said.code, 1, "{}", said.all);
    assert!(said.out.contains("a stranger's pull request starts it") && said.out.contains("1 way in should not be"));
    let json = bench.run(&["--json"].into_iter().chain(with(&["--explain"])).collect::<Vec<_>>()).await;
    let rows: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert!(rows.as_array().is_some_and(|rows| rows.iter().any(|row| row["is_unwanted"] == true)), "{}", json.out);
    bench.write(".github/workflows/broken.yml", "on: [");
    let said = bench.run(&with(&["--explain"])).await;
    assert_eq!(said.code, 2);
    assert!(said.err.contains(".github/workflows/broken.yml"), "{}", said.err);
}

#[tokio::test]
async fn a_template_is_printed_without_asking_anybody() {
    let said = bench().run(&with(&["--template"])).await;
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.all);
    for part in ["AWS::IAM::OIDCProvider", "repo:Acme@12/Shop@774:pull_request", "greenroom-shop-permanent-prod"] {
        assert!(said.out.contains(part), "{part}");
    }
    assert!(!said.out.contains("canary"), "a stage that follows a pattern has no role");
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let bench = bench();
    assert_snapshot!(bench.run(&["bootstrap", "--repo", "acme/shop"]).await.all, @"");
    assert_snapshot!(bench.run(&with(&["--dry-run"])).await.all, @"");
    assert_snapshot!(bench.run(&with(&["--commands-may", "canary", "--template"])).await.all, @"");
    assert_snapshot!(bench.run(&with(&["--explain"])).await.all, @"");
    for bad in ["acme", "a/b/c", "acme/${x}", "acme/*", "../x"] {
        assert_eq!(bench.run(&["bootstrap", "--repo", bad]).await.code, 2, "{bad}");
    }
    for bad in ["http://x.y", "https://*.y", "y"] {
        assert_eq!(bench.run(&with(&["--issuer", bad])).await.code, 2, "{bad}");
    }
    bench.write(".github/greenroom.yml", "version: 1\napp: shop\nservices: {}\n");
    assert_eq!(bench.run(&with(&["--dry-run"])).await.code, 2);
    let away = Bench::new();
    let said = away.run(&with(&["--dry-run"])).await;
    assert_eq!(said.code, 3, "{}", said.all);
    assert!(said.err.contains("at the top of the repository"), "{}", said.err);
}
