//! The texts that go to CloudFormation: as recorded, and right by AWS's own schemas.

use std::process::Command;

use greenroom::model::StageSpec;
use greenroom::port::Cloud as _;

/// Where the linter's word is not followed, and why.
const EXCUSED: [(&str, &str); 0] = [];

/// Everything that a template knows: two certified zones' ways, scaling, a worker, Spot, NAT.
const THREE: &str = "
version: 1
app: shop
domain: { zone: shop.test, dns: route53 }
stages:
  prod: { on: { push: main }, apex: true, protect: true }
  'pr-{number}': { on: { pull_request: {} } }
services:
  web: { kind: ecs, build: { context: . }, host: '@', port: 8080, health: { path: /health }, scale: { min: 1, max: 10, cpu: 70, memory: 80 } }
  api-2: { kind: ecs, build: { context: . }, host: api, port: 3000, health: { path: '/up?from=lb' } }
  worker: { kind: ecs, build: { context: . }, scale: { min: 2, max: 4, cpu: 60 } }
";

const CERTIFIED: &str = "
version: 1
app: shop
domain: { zone: shop.test, dns: cloudflare, certificate: 'arn:aws:acm:us-east-1:000000000000:certificate/1' }
stages: { staging: { on: { push: main } } }
services:
  web: { kind: ecs, build: { context: . }, host: '@', port: 8080, health: { path: /health } }
";

/// Name, stage, configuration, NAT gateways.
const CASES: [(&str, &str, &str, crate::desk::Make); 4] = [
    ("smallest", "pr-1", crate::desk::SMALLEST, crate::desk::Make::Plain),
    ("three", "pr-42", THREE, crate::desk::Make::Rich),
    ("production", "prod", THREE, crate::desk::Make::Rich),
    ("certified", "staging", CERTIFIED, crate::desk::Make::Plain),
];

async fn rendered() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for (name, stage, yaml, make) in CASES {
        let cloud = crate::desk::cloud("http://127.0.0.1:9", crate::desk::slots(), make).await;
        let spec: StageSpec = crate::desk::resolved(stage, yaml, &cloud.addressing());
        let [foundation, own] = cloud.templates(&spec).expect("texts");
        texts.push((format!("{name}-foundation"), foundation));
        texts.push((format!("{name}-stage"), own));
    }
    let text = greenroom::aws::bootstrap::bootstrap_template("greenroom", &crate::bootstrap::order()).expect("a text");
    texts.push(("bootstrap".to_owned(), text));
    texts
}

#[tokio::test]
async fn the_texts_are_as_recorded() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("templates");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for (name, text) in rendered().await {
        insta::assert_snapshot!(name, text);
    }
}

#[tokio::test]
async fn the_linter_has_no_word_that_is_not_explained() {
    #[expect(clippy::disallowed_methods, reason = "a test has no app.rs to read the environment for it")]
    let program = std::env::var("GREENROOM_TEST_CFN_LINT")
        .expect("GREENROOM_TEST_CFN_LINT names the program cfn-lint: run the tests with the README's test command");
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    for (name, text) in rendered().await {
        let path = folder.path().join(format!("{name}.yaml"));
        std::fs::write(&path, text).expect("a file");
        files.push(path);
    }
    let mut command = Command::new(program);
    command.args(["--regions", "us-east-1", "eu-central-1", "--format", "parseable", "--include-checks", "I"]);
    for (rule, why) in EXCUSED {
        assert!(!why.is_empty());
        command.args(["--ignore-checks", rule]);
    }
    let output = command.arg("--").args(&files).output().expect("cfn-lint starts");
    let said = String::from_utf8_lossy(&output.stdout).replace(&format!("{}/", folder.path().display()), "");
    assert!(output.status.success() && said.is_empty(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
