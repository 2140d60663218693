//! Who is let in by which door, over the claims of every event; and what `explain` makes of workflows.

use std::collections::BTreeMap;

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

/// A line for each way in.
fn table(workflows: &[Workflow]) -> Vec<String> {
    let line = |row: ExplainedRow| {
        let mark = if row.is_unwanted { "! " } else { "" };
        let may = if row.may.is_empty() { "-".to_owned() } else { row.may.join(",") };
        let note = if row.note.is_empty() { String::new() } else { format!(" | {}", row.note) };
        format!("{mark}{} | {} | {} | {may}{note}", row.workflow, row.event, row.who)
    };
    explain(workflows, &trusts(), &shop()).into_iter().map(line).collect()
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
    let none = "no role asks for such a token";
    let forks = "no token: GitHub gives forks none, unless a private repository sends them write tokens";
    let expected = [
        "preview.yml | pull_request | whoever may push | preview".to_owned(),
        format!("preview.yml | pull_request (from a fork) | anybody | - | {forks}"),
        "deploy.yml | push (default branch) | whoever may push | permanent-prod".to_owned(),
        format!("deploy.yml | push (another branch) | whoever may push | - | {none}"),
        format!("deploy.yml | push (a tag) | whoever may push | - | {none}"),
        "deploy.yml | workflow_dispatch (default branch) | whoever may push | permanent-prod".to_owned(),
        format!("deploy.yml | workflow_dispatch (another branch) | whoever may push | - | {none}"),
        "commands.yml | issue_comment | anybody | commands".to_owned(),
        "sweep.yml | schedule | GitHub's clock | commands".to_owned(),
        "sweep.yml | workflow_dispatch (default branch) | whoever may push | commands".to_owned(),
        format!("sweep.yml | workflow_dispatch (another branch) | whoever may push | - | {none}"),
        "greenroom-build.yml | workflow_dispatch (default branch) | whoever may push | build | in runs of the account 99 \
         alone"
            .to_owned(),
        format!("greenroom-build.yml | workflow_dispatch (another branch) | whoever may push | - | {none}"),
    ];
    assert_eq!(table(&ours), expected);
}

#[test]
fn a_build_that_every_writer_may_start_is_told_as_such() {
    let open = [trust(&Door::Build { actor: None }, &shop(), &Issuer::default())];
    let build = [workflow("greenroom-build.yml", &["workflow_dispatch"], vec![job(IdToken::Write, "", "")])];
    let rows = explain(&build, &open, &shop());
    assert_eq!((rows[0].may.join(","), rows[0].is_unwanted), ("build".to_owned(), false));
    assert!(rows[0].note.contains("--build-actor") && !rows[1].note.contains("--build-actor"), "{rows:?}");
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
    let not_for = |role: &str| format!("the role `{role}` is not for this event: take `id-token: write` out of it");
    let target = "a stranger's pull request starts it with this repository's rights: take `id-token: write` out of it";
    let prod = not_for("permanent-prod");
    let called = "what it calls may stand in any environment: evil/tools/.github/workflows/x.yml@v1";
    let computed = "its environment is only known when it runs: ${{ inputs.stage }}";
    let expected = [
        format!("! target.yml | pull_request_target (forks included) | anybody | preview | {target}"),
        format!("! after.yml | workflow_run (after any run, forks' included) | anybody | permanent-prod | {prod}"),
        "ci.yml | pull_request | whoever may push | preview".to_owned(),
        format!("! talk.yml | issue_comment | anybody | permanent-prod | {prod}"),
        format!("! talk.yml | issues | anybody | permanent-prod | {prod}"),
        format!("! talk.yml | discussion | anybody | permanent-prod | {prod}"),
        format!(
            "! call.yml > commands.yml | push (default branch) | whoever may push | commands | {}",
            not_for("commands")
        ),
        format!("far.yml | push (default branch) | whoever may push | permanent-prod | {called}"),
        format!("far.yml | push (another branch) | whoever may push | permanent-dev | {called}"),
        format!("any.yml | workflow_dispatch (default branch) | whoever may push | permanent-prod | {computed}"),
        format!("any.yml | workflow_dispatch (another branch) | whoever may push | permanent-dev | {computed}"),
    ];
    let lets_in: Vec<String> = table(&theirs).into_iter().filter(|line| !line.contains(" | - | ")).collect();
    assert_eq!(lets_in, expected);
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
