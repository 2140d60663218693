//! The verbs that look at files alone: check, init, schema.

use insta::assert_snapshot;
use serde_json::json;

use crate::bench::Bench;

const SHOP: &str = r#"version: 1
app: shop
domain: { zone: shop.example, dns: route53 }
stages:
  prod: { on: { push: main }, apex: true, protect: true }
  "pr-{number}": { on: { pull_request: { forks: never, label: preview } }, expires: 7d, max: 20 }
services:
  web: { kind: ecs, build: { context: web }, host: "@", port: 3000, health: { path: / }, needs: [api] }
  api: { kind: ecs, build: { context: api }, host: api, port: 8080, health: { path: / }, migrate: { command: [up] } }
  worker: { kind: ecs, build: {}, local: { command: [work] } }
"#;

#[tokio::test]
async fn check_says_what_a_file_means() {
    let bench = Bench::new();
    bench.write(".github/greenroom.yml", SHOP);
    assert_snapshot!(bench.run(&["check"]).await.all(), @"
    --- stdout
    .github/greenroom.yml is fine: the app shop

    Stages:
      prod         a push to main, at the zone itself, protected
      pr-{number}  each pull request with the label preview, no forks, goes after 7d, at most 20

    Services:
      web     ecs, port 3000, built from web, after api
      api     ecs, port 8080, built from api, migrates first
      worker  ecs, no port, built from ., a process on one machine

    pr-42 would answer at:
      api  https://api-pr-42.shop.example
      web  https://pr-42.shop.example
    --- exit 0
    ");
    assert_snapshot!(bench.run(&["check", "--json"]).await.out, @r#"
    {
      "app": "shop",
      "example": {
        "stage": "pr-42",
        "urls": [
          {
            "service": "api",
            "url": "https://api-pr-42.shop.example"
          },
          {
            "service": "web",
            "url": "https://pr-42.shop.example"
          }
        ]
      },
      "file": ".github/greenroom.yml",
      "ok": true,
      "problems": [],
      "services": [
        {
          "name": "web",
          "what": "ecs, port 3000, built from web, after api"
        },
        {
          "name": "api",
          "what": "ecs, port 8080, built from api, migrates first"
        },
        {
          "name": "worker",
          "what": "ecs, no port, built from ., a process on one machine"
        }
      ],
      "stages": [
        {
          "name": "prod",
          "when": "a push to main, at the zone itself, protected"
        },
        {
          "name": "pr-{number}",
          "when": "each pull request with the label preview, no forks, goes after 7d, at most 20"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn check_needs_no_zone() {
    let bench = Bench::new();
    bench.write("one.yml", include_str!("../../examples/hello/.github/greenroom.yml"));
    assert_snapshot!(bench.run(&["check", "one.yml"]).await.all(), @"
    --- stdout
    one.yml is fine: the app hello

    Stages:
      pr-{number}  each pull request, forks once approved, goes after 7d, at most 20

    Services:
      web  ecs, port 8080, built from ., a process on one machine

    pr-42 would answer at:
      web  http://pr-42.localhost:8088
    --- exit 0
    ");
}

#[tokio::test]
async fn check_points_at_every_problem() {
    let bench = Bench::new();
    bench.write(".github/greenroom.yml", "version: 1\napp: Shop\nservices:\n  web: { kind: ecs, prot: 1 }\n");
    assert_snapshot!(bench.run(&["check"]).await.all(), @r#"
    --- stdout
    .github/greenroom.yml:2:6: `app` must be a name of 1 to 32 of a-z, 0-9 and '-', not at either end, not "Shop" (`app`)
    .github/greenroom.yml:4:21: unknown key `prot`: did you mean `port`? (`services.web.prot`)
    --- exit 2
    "#);
    let said = bench.run(&["--json", "check"]).await;
    assert_eq!(said.code, 2);
    let document = said.json();
    assert_eq!((&document["ok"], &document["problems"][0]["at"]), (&json!(false), &json!({ "line": 2, "column": 6 })));
}

#[tokio::test]
async fn check_warns_of_paths_that_match_nothing() {
    let bench = Bench::new();
    let paths = r#"["./web/**", "web/", "app/[slug]/**", "!docs/**", "src/**"]"#;
    let text = format!(
        "version: 1\napp: shop\nservices:\n  web: {{ kind: ecs, build: {{ context: web }}, paths: {paths} }}\n"
    );
    bench.write(".github/greenroom.yml", &text);
    for file in ["web/src/main.ts", "app/[slug]/page.tsx", "docs/index.md"] {
        bench.write(file, "");
    }
    let said = bench.run(&["check"]).await;
    assert_eq!(said.code, 0, "it is right all the same");
    let (_, warnings) = said.out.split_once("hardly do what was meant:\n").expect("warnings");
    let expected = r#".github/greenroom.yml:4:103: "src/**" matches no file here: it begins at the top of the repository, so write `web/src/**` (`services.web.paths[4]`)"#;
    assert_eq!(warnings.trim(), expected);
    let warnings = bench.run(&["--json", "check"]).await.json()["warnings"].clone();
    assert_eq!(warnings[0]["path"], "services.web.paths[4]");
    assert_eq!(warnings.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn check_says_how_to_get_a_file() {
    let bench = Bench::new();
    assert_snapshot!(bench.run(&["check"]).await.all(), @"
    --- stderr
    error: there is no .github/greenroom.yml: `greenroom init` writes a first file
    --- exit 2
    ");
    let error = bench.run(&["check", "--json"]).await.json_error();
    assert_eq!(error["exit"], "usage");
    bench.write(".github/greenroom.yaml", "version: 1");
    let said = bench.run(&["check"]).await;
    let expected = "there is no .github/greenroom.yml, and .github/greenroom.yaml is not read: give it that name";
    assert!(said.err.contains(expected), "{}", said.err);
    bench.write("folder/x", "");
    assert_snapshot!(bench.run(&["check", "folder"]).await.all(), @"
    --- stderr
    error: cannot read folder
      because: Is a directory (os error 21)
    --- exit 3
    ");
}

#[tokio::test]
async fn check_bounds_what_it_reads() {
    let bench = Bench::new();
    bench.write("big.yml", &"# nothing\n".repeat(200_000));
    assert_snapshot!(bench.run(&["check", "big.yml"]).await.all(), @"
    --- stdout
    big.yml:1:1: the file has 1048576 bytes; at most 262144 are read
    --- exit 2
    ");
}

#[tokio::test]
async fn init_writes_a_file_that_check_likes() {
    let bench = Bench::new();
    bench.write("apps/web/Dockerfile", "FROM scratch\nEXPOSE 3000\n");
    bench.write("apps/api/Dockerfile", "FROM scratch\nEXPOSE 8080\n");
    assert_snapshot!(bench.run(&["init"]).await.all(), @"
    --- stdout
    wrote .github/greenroom.yml: the app shop with api, web

    Next:
      1. read it, and set what was guessed: the ports, and a health path that answers 200
      2. greenroom check
      3. commit it to the default branch, and open a pull request
    --- exit 0
    ");
    assert_snapshot!(bench.read(".github/greenroom.yml"), @r#"
    # Greenroom gives every pull request its own stage.
    # `greenroom check` reads this file as Greenroom does; `greenroom schema` says all that may stand in it.
    version: 1
    app: "shop"

    services:
      "api":
        kind: ecs
        build: { context: "apps/api", dockerfile: "Dockerfile" }
        host: "api"
        port: 8080
        health: { path: / } # a path that answers 200 when the service is well
      "web":
        kind: ecs
        build: { context: "apps/web", dockerfile: "Dockerfile" }
        host: "@"
        port: 3000
        health: { path: / } # a path that answers 200 when the service is well
    "#);
    assert_eq!(bench.run(&["check"]).await.code, 0);
}

#[tokio::test]
async fn init_says_what_it_leaves_out() {
    let bench = Bench::new();
    bench.write("compose.yaml", "services:\n  web: { build: ., ports: ['80:3000'] }\n  db: { image: 'postgres:16' }\n");
    assert_snapshot!(bench.run(&["init"]).await.all(), @"
    --- stdout
    wrote .github/greenroom.yml: the app shop with web

    Left out:
      - db of compose.yaml: it is an image (postgres:16), and a service here is built from the repository

    Next:
      1. read it, and set what was guessed: the ports, and a health path that answers 200
      2. greenroom check
      3. commit it to the default branch, and open a pull request
    --- exit 0
    ");
    let left_out = bench.run(&["--json", "init", "--force"]).await.json()["left_out"].clone();
    assert_eq!(left_out.as_array().map(Vec::len), Some(1));
    assert_eq!(bench.run(&["check"]).await.code, 0);
}

#[tokio::test]
async fn init_replaces_nothing_unasked() {
    let bench = Bench::new();
    bench.write(".github/greenroom.yml", "mine");
    assert_snapshot!(bench.run(&["init"]).await.all(), @"
    --- stderr
    error: .github/greenroom.yml is there already: `greenroom check` reads it, --force replaces it
    --- exit 2
    ");
    assert_eq!(bench.read(".github/greenroom.yml"), "mine");
    let said = bench.run(&["--json", "init", "--force", "--app", "other"]).await;
    assert_eq!(said.code, 0);
    assert_eq!(said.json(), json!({ "file": ".github/greenroom.yml", "app": "other", "services": ["web"] }));
    assert!(bench.read(".github/greenroom.yml").contains("app: \"other\""));
}

#[tokio::test]
async fn init_writes_through_no_link() {
    let bench = Bench::new();
    bench.write("precious", "mine");
    std::fs::create_dir(bench.folder().join(".github")).unwrap();
    std::os::unix::fs::symlink("../precious", bench.folder().join(".github/greenroom.yml")).unwrap();
    assert_eq!(bench.run(&["init"]).await.code, 2);
    assert_eq!(bench.run(&["init", "--force"]).await.code, 0);
    assert_eq!(bench.read("precious"), "mine");
    assert_eq!(bench.run(&["check"]).await.code, 0);
}

#[tokio::test]
async fn init_wants_a_name_that_can_be_one() {
    assert_snapshot!(Bench::new().run(&["init", "--app", "My Shop"]).await.all(), @r#"
    --- stderr
    error: invalid value 'My Shop' for '--app <NAME>': "My Shop" is not a valid app name: 1-32 of a-z, 0-9 and '-', not at either end

    For more information, try '--help'.
    --- exit 2
    "#);
}

#[tokio::test]
async fn schema_is_one_document() {
    let bench = Bench::new();
    let (plain, json) = (bench.run(&["schema"]).await, bench.run(&["schema", "--json"]).await);
    assert_eq!(plain.json(), greenroom::config::schema());
    assert_eq!(json.json(), greenroom::config::schema());
    assert!(plain.out.lines().count() > 100, "it is laid out for reading");
    let table = bench.run(&["schema", "--table"]).await;
    assert_eq!(table.out, greenroom::config::reference_table());
}

#[tokio::test]
async fn a_verb_that_does_not_exist_is_named() {
    assert_snapshot!(Bench::new().run(&["chek"]).await.all(), @"
    --- stderr
    error: unrecognized subcommand 'chek'

      tip: some similar subcommands exist: 'schema', 'check'

    Usage: greenroom [OPTIONS] <COMMAND>

    For more information, try '--help'.
    --- exit 2
    ");
}
