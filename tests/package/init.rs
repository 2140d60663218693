//! `greenroom init --workflows`, as a person runs it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::Ran;

pub(crate) const SHOP: &str = r#"version: 1
app: shop
aws: { account: "210987654321", region: eu-west-1 }
stages:
  prod: { on: { push: main }, protect: true }
  staging: { on: { push: staging } }
  "pr-{number}": { on: { pull_request: {} } }
services:
  web: { kind: ecs, build: { context: . }, host: "@", port: 80 }
"#;

pub(crate) fn init(folder: &Path) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    command.args(["init", "--workflows"]).current_dir(folder).env_clear();
    command.output().expect("the program runs").into()
}

/// A repository with that configuration.
pub(crate) fn shop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join(".github")).expect("a folder");
    fs::write(folder.path().join(".github/greenroom.yml"), SHOP).expect("a file");
    folder
}

#[test]
fn what_fits_is_written_and_what_is_left_is_said() {
    let folder = shop();
    let ran = init(folder.path());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    insta::assert_snapshot!(ran.said, @"
    wrote .github/workflows/preview.yml
    wrote .github/workflows/deploy.yml
    wrote .github/workflows/commands.yml
    wrote .github/workflows/sweep.yml

    Left to do:
      1. make an environment at GitHub for each permanent stage (prod, staging), and say there who must approve and which branch may
      2. greenroom bootstrap --repo OWNER/NAME, which makes the roles and the bucket, and prints what belongs under `aws.roles`
      3. greenroom bootstrap --repo OWNER/NAME --explain, which says who could become what
      4. commit them to the default branch: comments and schedules run what is there
    ");
    let deploy = fs::read_to_string(folder.path().join(".github/workflows/deploy.yml")).expect("it was written");
    assert!(deploy.contains("role: arn:aws:iam::210987654321:role/greenroom-shop-permanent-staging"), "{deploy}");
}

#[test]
fn a_file_that_somebody_changed_is_never_touched() {
    let folder = shop();
    assert_eq!(init(folder.path()).code, Some(0));
    let at = |name: &str| folder.path().join(".github/workflows").join(name);
    fs::write(at("preview.yml"), "mine\n").expect("it is ours");
    fs::remove_file(at("sweep.yml")).expect("it is ours");
    std::os::unix::fs::symlink("/nonexistent", at("sweep.yml")).expect("a link");
    let ran = init(folder.path());
    assert_eq!(ran.code, Some(0));
    for line in [
        ".github/workflows/preview.yml is another one, and stays as it is\n",
        ".github/workflows/deploy.yml is there already\n",
        ".github/workflows/sweep.yml is another one, and stays as it is\n",
    ] {
        assert!(ran.said.contains(line), "{ran:?}");
    }
    assert_eq!(fs::read_to_string(at("preview.yml")).expect("it is there"), "mine\n");
    assert_eq!(fs::read_link(at("sweep.yml")).expect("still a link"), Path::new("/nonexistent"));
}

#[test]
fn without_a_configuration_that_is_right_nothing_is_written() {
    let folder = shop();
    let file = folder.path().join(".github/greenroom.yml");
    for (text, words) in [(Some("version: 2\n"), "version"), (None, "`greenroom init` writes one")] {
        match text {
            Some(text) => fs::write(&file, text).expect("it is ours"),
            None => fs::remove_file(&file).expect("it is ours"),
        }
        let ran = init(folder.path());
        assert!(ran.code == Some(2) && ran.said.contains(words), "{ran:?}");
        assert!(!folder.path().join(".github/workflows").exists());
    }
}
