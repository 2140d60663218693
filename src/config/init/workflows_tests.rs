use super::*;
use crate::config::check;

fn made(text: &str) -> Workflows {
    let project = check("f.yml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
    workflows(&project)
}

fn names(made: &Workflows) -> Vec<&str> {
    made.files.iter().map(|file| file.name).collect()
}

fn file<'a>(made: &'a Workflows, name: &str) -> &'a str {
    made.files.iter().find(|file| file.name == name).map(|file| file.text.as_str()).unwrap()
}

const SERVICES: &str = "services:\n  web: { kind: ecs, build: { context: . }, host: \"@\", port: 80 }\n";

#[test]
fn a_smallest_file_has_previews_commands_and_the_sweeper() {
    let made = made(&format!("version: 1\napp: shop\n{SERVICES}"));
    assert_eq!(names(&made), ["preview.yml", "commands.yml", "sweep.yml"]);
    assert!(file(&made, "preview.yml").contains("role/greenroom-shop-preview\n"));
    assert!(made.left[0].contains("names no account"), "{:?}", made.left);
}

#[test]
fn account_region_and_app_stand_where_the_example_has_its_own() {
    let aws = "aws: { account: \"000000000007\", region: us-west-2 }\n";
    let made = made(&format!("version: 1\napp: shop\n{aws}{SERVICES}"));
    for file in &made.files {
        assert!(
            !file.text.contains(ACCOUNT) && !file.text.contains(REGION) && !file.text.contains("hello"),
            "{file:?}"
        );
        let is_told = file.text.contains("arn:aws:iam::000000000007:role/greenroom-shop-");
        assert!(is_told && file.text.contains("aws-region: us-west-2"), "{}", file.text);
    }
    assert_eq!(made.left.len(), 3, "{:?}", made.left);
}

#[test]
fn each_permanent_stage_has_a_job_of_its_own() {
    let stages = "stages:\n  prod: { on: { push: main } }\n  2nd: { on: { push: \"it's+new\" } }\n  \
                  dev: { on: { push: dev } }\n  qa: { on: { manual: true } }\n  rel: { on: { push: [rel, \"!wip\"] } }\n  \
                  \"{branch}\": { on: { push: \"feature-*\" } }\n";
    let made = made(&format!("version: 1\napp: shop\n{stages}{SERVICES}"));
    assert_eq!(names(&made), ["deploy.yml", "commands.yml", "sweep.yml"], "no pull request is followed");
    let text = file(&made, "deploy.yml");
    assert!(text.contains("    branches:\n      - dev\n      - \"it's\\\\+new\"\n      - main\n"), "{text}");
    for (job, name, branch) in [("prod", "prod", "main"), ("stage-2nd", "2nd", "it''s+new"), ("dev", "dev", "dev")] {
        let (_, job) = text.split_once(&format!("\n  {job}:\n")).unwrap_or_else(|| panic!("{job}: {text}"));
        let expected = format!("    name: Deploy {name}\n    if: github.ref == 'refs/heads/{branch}'\n");
        assert!(job.starts_with(&expected), "{job}");
        assert!(job.contains(&format!("\n      name: {name}\n")), "{job}");
        assert!(job.contains(&format!("role/greenroom-shop-permanent-{name}\n")), "{job}");
    }
    assert!(!text.contains("greenroom: ") && !text.contains("qa"), "{text}");
    assert!(made.left.iter().any(|line| line.contains("the stage rel follows rel, !wip")), "{:?}", made.left);
    assert!(made.left.iter().any(|line| line.contains("stages of branches")), "{:?}", made.left);
    assert!(made.left.iter().any(|line| line.contains("--commands-may qa")), "{:?}", made.left);
    assert!(made.left.iter().any(|line| line.contains("(prod, 2nd, dev)")), "{:?}", made.left);
}

#[test]
fn the_condition_of_a_comment_asks_for_the_commands_own_beginning() {
    let made = made(&format!("version: 1\napp: shop\ncommands: {{ prefix: \"/gr\" }}\n{SERVICES}"));
    assert!(file(&made, "commands.yml").contains("contains(github.event.comment.body, '/gr')\n"));
}

#[test]
fn builds_on_runners_have_their_workflow() {
    let made = made(&format!("version: 1\napp: shop\nbuilder: actions\n{SERVICES}"));
    assert!(file(&made, "greenroom-build.yml").contains("role/greenroom-shop-build\n"));
}

#[test]
fn a_branch_means_itself_in_a_filter() {
    for (branch, expected) in [
        ("main", "main"),
        ("release/1.2", "release/1.2"),
        ("true", "\"true\""),
        ("1.0", "\"1.0\""),
        ("a!b", r#""a\\!b""#),
        ("ä \"b\"", r#""ä \"b\"""#),
    ] {
        assert_eq!(pattern(branch), expected);
    }
}

#[test]
fn a_role_that_would_be_too_long_is_told() {
    let name = "s".repeat(40);
    let stages = format!("stages:\n  {name}: {{ on: {{ push: main }} }}\n");
    let made = made(&format!("version: 1\napp: {}\n{stages}{SERVICES}", "a".repeat(20)));
    assert!(made.left.iter().any(|line| line.contains("is too long for a role")), "{:?}", made.left);
}
