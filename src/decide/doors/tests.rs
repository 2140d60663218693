//! Who is let in by which door, over the claims of every event; and what `explain` makes of workflows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use insta::assert_snapshot;

use super::*;
use crate::model::{
    Branch, Claims, IdToken, Issuer, JobEnvironment, PushReach, RepoId, RepoIdentity, UserId, Workflow, WorkflowJob,
    WorkflowTrigger,
};

fn shop() -> RepoIdentity {
    RepoIdentity {
        spelling: "Acme/Shop".into(),
        id: RepoId(774),
        owner_id: UserId(12),
        default_branch: Branch("main".into()),
        prefix: None,
    }
}

fn doors() -> Vec<Door> {
    let permanent =
        |stage: &str, branch: &str| Door::Permanent { stage: stage.parse().unwrap(), branch: Branch(branch.into()) };
    vec![
        Door::Preview,
        permanent("prod", "main"),
        permanent("dev", "dev"),
        Door::Commands,
        Door::Build { actor: Some(99) },
    ]
}

fn trusts() -> Vec<Trust> {
    doors().iter().map(|door| trust(door, &shop(), &Issuer::default())).collect()
}

fn workflow(name: &str, events: &[&str], jobs: Vec<WorkflowJob>) -> Workflow {
    let trigger = |event: &&str| WorkflowTrigger {
        event: (*event).to_owned(),
        branches: Vec::new(),
        reach: PushReach::Everything,
    };
    Workflow { path: format!(".github/workflows/{name}"), triggers: events.iter().map(trigger).collect(), jobs }
}

fn job(token: IdToken, environment: &str, uses: &str) -> WorkflowJob {
    let environment = match environment {
        "" => JobEnvironment::None,
        text if text.contains("${{") => JobEnvironment::Computed(text.into()),
        text => JobEnvironment::Named(text.into()),
    };
    let uses = Some(uses.to_owned()).filter(|uses| !uses.is_empty());
    WorkflowJob { name: "go".into(), token, environment, uses }
}

fn table(workflows: &[Workflow]) -> String {
    let mut text = String::new();
    for row in explain(workflows, &trusts(), &shop()) {
        let mark = if row.is_unwanted { "!" } else { " " };
        let may = if row.may.is_empty() { "-".to_owned() } else { row.may.join(",") };
        let _ = writeln!(text, "{mark} {} | {} | {} | {may} | {}", row.workflow, row.event, row.who, row.note);
    }
    text
}

#[test]
fn the_workflows_that_we_ship_become_what_they_are_for() {
    let write = IdToken::Write;
    let ours = [
        workflow("preview.yml", &["pull_request"], vec![job(write, "", "")]),
        workflow("deploy.yml", &["push", "workflow_dispatch"], vec![job(write, "prod", "")]),
        workflow("commands.yml", &["issue_comment"], vec![job(write, "", "")]),
        workflow("sweep.yml", &["schedule", "workflow_dispatch"], vec![job(write, "", "")]),
        workflow("greenroom-build.yml", &["workflow_dispatch"], vec![job(write, "", "")]),
    ];
    assert_snapshot!(table(&ours), @"");
}

#[test]
fn what_should_not_be_let_in_is_named() {
    let write = IdToken::Write;
    let theirs = [
        workflow("target.yml", &["pull_request_target"], vec![job(write, "", "")]),
        workflow("after.yml", &["workflow_run"], vec![job(write, "prod", "")]),
        workflow("ci.yml", &["pull_request", "push"], vec![job(IdToken::Never, "", ""), job(write, "", "")]),
        workflow("talk.yml", &["issue_comment", "issues", "discussion"], vec![job(write, "prod", "")]),
        workflow("call.yml", &["push"], vec![job(write, "", "./.github/workflows/commands.yml")]),
        workflow("poor.yml", &["push"], vec![job(IdToken::Never, "", "./.github/workflows/commands.yml")]),
        workflow("far.yml", &["push"], vec![job(write, "", "evil/tools/.github/workflows/x.yml@v1")]),
        workflow("any.yml", &["workflow_dispatch"], vec![job(write, "${{ inputs.stage }}", "")]),
        workflow("commands.yml", &["workflow_call"], vec![job(write, "", "")]),
    ];
    assert_snapshot!(table(&theirs), @"");
}

#[test]
fn workflows_that_call_each_other_for_ever_end() {
    let write = IdToken::Write;
    let circle = [
        workflow("a.yml", &["push"], vec![job(write, "", "./.github/workflows/b.yml")]),
        workflow("b.yml", &["workflow_call"], vec![job(write, "", "./.github/workflows/a.yml")]),
    ];
    assert!(explain(&circle, &trusts(), &shop()).len() < 20);
}

#[test]
fn a_push_is_of_the_branches_that_the_file_names() {
    let pushes = |branches: &[&str], reach| {
        let trigger = WorkflowTrigger {
            event: "push".into(),
            branches: branches.iter().map(|text| (*text).to_owned()).collect(),
            reach,
        };
        let file = Workflow {
            path: ".github/workflows/deploy.yml".into(),
            triggers: vec![trigger],
            jobs: vec![job(IdToken::Write, "dev", "")],
        };
        let rows = explain(&[file], &trusts(), &shop());
        rows.into_iter().filter(|row| !row.may.is_empty()).map(|row| row.event).collect::<Vec<_>>()
    };
    assert_eq!(pushes(&["dev"], PushReach::Branches), ["push (a named branch)"]);
    assert_eq!(pushes(&["main"], PushReach::Branches), [""; 0]);
    assert_eq!(pushes(&["de*"], PushReach::Branches), ["push (another branch)"]);
    assert_eq!(pushes(&[], PushReach::Tags), [""; 0]);
    assert_eq!(pushes(&[], PushReach::Everything), ["push (another branch)"]);
}

#[test]
fn what_a_name_tells_of_a_role_is_read() {
    let claims = Claims(BTreeMap::from([("ref".to_owned(), "refs/heads/main".to_owned())]));
    let of = |role: &str| door_of_role(&format!("arn:aws:iam::1:role/x/{role}"), &claims);
    assert_eq!(of("greenroom-shop-preview"), Some(Door::Preview));
    assert_eq!(of("greenroom-shop-commands"), Some(Door::Commands));
    assert_eq!(of("greenroom-shop-build"), Some(Door::Build { actor: None }));
    let prod = Door::Permanent { stage: "prod".parse().unwrap(), branch: Branch("main".into()) };
    assert_eq!(of("greenroom-shop-permanent-prod"), Some(prod));
    assert_eq!((of("deployer"), of("x-permanent-*"), of("")), (None, None, None));
}

#[test]
fn an_issuer_whose_claims_aws_does_not_know_is_asked_for_the_subject_alone() {
    let enterprise: Issuer = "https://github.example.com/_services/token".parse().unwrap();
    for door in doors() {
        let claims: Vec<&str> = trust(&door, &shop(), &enterprise).claims.into_keys().collect();
        assert_eq!(claims, ["aud", "sub"], "{door:?}");
    }
}
