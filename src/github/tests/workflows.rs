//! Runs of workflows: asked for, found, followed, ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fake::{FakeGitHub, MINT, Reply};
use super::{OTHER, SHA, denial_of, main_branch, repository, sha, shop};
use crate::model::RepoId;
use crate::port::{
    Cancellation, Conclusion, Dispatch, Dispatched, PortError, PortResult, RunStarter, RunState, TreeEntry, Workflows,
};

const FILE: &str = "greenroom-build.yml";
const DISPATCH: &str = "/repos/acme/shop/actions/workflows/greenroom-build.yml/dispatches";
const RUNS: &str = "/repos/acme/shop/actions/workflows/greenroom-build.yml/runs";
const RUN: &str = "/repos/acme/shop/actions/runs/9";

async fn github() -> (FakeGitHub, Arc<dyn Workflows>) {
    let fake = FakeGitHub::start().await;
    fake.always("GET", "/app", Reply::json(200, &json!({ "id": 17, "slug": "greenroom" })));
    fake.always("GET", "/repos/acme/shop", Reply::json(200, &repository("acme/shop")));
    let workflows = fake.client().workflows();
    (fake, workflows)
}

async fn dispatch(workflows: &dyn Workflows) -> PortResult<Dispatched> {
    let inputs = BTreeMap::from([("nonce", "n".to_owned())]);
    let (repo, branch) = (shop(), main_branch());
    workflows.dispatch(&Dispatch { repo: &repo, workflow: FILE, branch: &branch, inputs: &inputs }).await
}

fn run(id: u64, login: &str, status: &str, conclusion: Option<&str>) -> Value {
    let user = json!({ "id": 5, "login": login, "type": if login.ends_with(']') { "Bot" } else { "User" } });
    json!({
        "id": id, "display_title": "Greenroom builds web [x]", "status": status, "conclusion": conclusion,
        "path": ".github/workflows/greenroom-build.yml", "event": "workflow_dispatch", "head_branch": "main",
        "actor": user, "triggering_actor": user, "html_url": format!("https://github.com/acme/shop/actions/runs/{id}"),
    })
}

#[tokio::test]
async fn a_run_is_asked_for_with_one_permission_and_told_by_its_number() {
    let (fake, workflows) = github().await;
    fake.always("POST", DISPATCH, Reply::json(200, &json!({ "workflow_run_id": 9, "run_url": "x", "html_url": "y" })));
    assert_eq!(dispatch(&*workflows).await.expect("it is taken"), Dispatched::Run(9));
    let body = json!({ "ref": "main", "inputs": { "nonce": "n" }, "return_run_details": true });
    assert_eq!(fake.asked("POST", DISPATCH)[0].body, body);
    let permissions = json!({ "metadata": "read", "actions": "write" });
    assert_eq!(fake.asked("POST", MINT)[0].body, json!({ "repositories": ["shop"], "permissions": permissions }));

    let only = workflows.only(RepoId(774));
    assert_eq!(dispatch(&*only).await.expect("it is taken"), Dispatched::Run(9));
    assert_eq!(fake.asked("POST", MINT)[1].body, json!({ "repository_ids": [774], "permissions": permissions }));
}

#[tokio::test]
async fn a_server_that_does_not_know_the_wish_is_asked_without_it() {
    for first in [
        Reply::json(400, &json!({ "message": "\"return_run_details\" is not a permitted key." })),
        Reply::json(422, &json!({ "message": "Invalid request: return_run_details" })),
    ] {
        let (fake, workflows) = github().await;
        fake.once("POST", DISPATCH, first);
        fake.always("POST", DISPATCH, Reply::empty(204));
        assert_eq!(dispatch(&*workflows).await.expect("it is taken"), Dispatched::Unnamed);
        let asked = fake.asked("POST", DISPATCH);
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[1].body, json!({ "ref": "main", "inputs": { "nonce": "n" } }));
    }
    let (fake, workflows) = github().await;
    fake.always("POST", DISPATCH, Reply::empty(204));
    assert_eq!(dispatch(&*workflows).await.expect("it is taken"), Dispatched::Unnamed);
}

#[tokio::test]
async fn what_is_wrong_with_a_workflow_is_told_with_what_to_do() {
    for (status, message, expected) in [
        (404, "Not Found", "is not on the branch main of acme/shop; `greenroom init --workflows` writes it"),
        (422, "Unexpected inputs provided: [\"nonce\"]", "is not the one that this server asks for"),
        (422, "Workflow does not have 'workflow_dispatch' trigger", "is not the one that this server asks for"),
        (422, "Cannot trigger a 'workflow_dispatch' on a disabled workflow", "Enable the workflow under \"Actions\""),
        (403, "Actions has been disabled for this repository.", "or Actions itself under \"Settings\""),
    ] {
        let (fake, workflows) = github().await;
        fake.always("POST", DISPATCH, Reply::json(status, &json!({ "message": message })));
        let Err(PortError::Failed(failure)) = dispatch(&*workflows).await else { panic!("{message}: no failure") };
        let said = format!("{}; {}", failure.summary, failure.advice);
        assert!(said.contains(expected), "{message}: {said}");
    }
}

#[tokio::test]
async fn who_may_not_start_workflows_is_told_which_permission_it_takes() {
    let (fake, workflows) = github().await;
    let refused = json!({ "message": "Resource not accessible by integration" });
    fake.always("POST", DISPATCH, Reply::json(403, &refused));
    assert!(denial_of(dispatch(&*workflows).await).contains("\"Actions: read and write\""));

    let (fake, workflows) = github().await;
    fake.installed_without("actions");
    let denial = denial_of(dispatch(&*workflows).await);
    assert!(denial.contains("\"Actions: read and write\"") && denial.contains("`builder: docker`"), "{denial}");
    assert_eq!(fake.asked("POST", DISPATCH).len(), 0);
}

#[tokio::test]
async fn a_wish_that_is_not_answered_is_made_once() {
    let (fake, workflows) = github().await;
    fake.always("POST", DISPATCH, Reply::empty(502));
    assert!(matches!(dispatch(&*workflows).await, Err(PortError::Retry { .. })));
    assert_eq!(fake.asked("POST", DISPATCH).len(), 1);
}

#[tokio::test]
async fn only_what_our_own_account_started_is_listed() {
    let (fake, workflows) = github().await;
    let mut rerun = run(4, "greenroom[bot]", "queued", None);
    rerun["triggering_actor"] = json!({ "id": 6, "login": "mallory", "type": "User" });
    let runs = json!({ "total_count": 4, "workflow_runs": [
        rerun,
        run(3, "greenroom[bot]", "in_progress", None),
        run(2, "mallory", "queued", None),
        run(1, "other[bot]", "queued", None),
    ] });
    fake.always("GET", RUNS, Reply::json(200, &runs));
    let seen = workflows.runs(&shop(), FILE).await.expect("a list");
    assert_eq!(seen.iter().map(|run| run.id).collect::<Vec<_>>(), [3]);
    assert_eq!(seen[0].origin.workflow, FILE);
    assert_eq!(fake.asked("GET", RUNS)[0].path, format!("{RUNS}?event=workflow_dispatch&per_page=100"));
    assert_eq!(fake.asked("GET", "/app").len(), 1);

    fake.always("GET", RUNS, Reply::empty(404));
    assert_eq!(workflows.runs(&shop(), FILE).await.expect("no workflow has no runs"), []);
    assert_eq!(fake.asked("GET", "/app").len(), 1, "who we are does not change");
}

#[tokio::test]
async fn a_run_tells_how_far_it_is_and_who_started_it() {
    let (fake, workflows) = github().await;
    let ended = |conclusion| RunState::Ended(conclusion);
    for (status, conclusion, expected) in [
        ("queued", None, RunState::Waiting),
        ("waiting", None, RunState::Waiting),
        ("in_progress", None, RunState::Running),
        ("completed", Some("success"), ended(Conclusion::Success)),
        ("completed", Some("cancelled"), ended(Conclusion::Cancelled)),
        ("completed", Some("startup_failure"), ended(Conclusion::StartupFailure)),
        ("completed", Some("stale"), ended(Conclusion::Other)),
        ("completed", None, ended(Conclusion::Other)),
    ] {
        fake.always("GET", RUN, Reply::json(200, &run(9, "Greenroom[bot]", status, conclusion)));
        let seen = workflows.run(&shop(), 9).await.expect("a run");
        assert_eq!((seen.state, seen.origin.starter), (expected, RunStarter::Ourselves), "{status} {conclusion:?}");
    }
    fake.always("GET", RUN, Reply::json(200, &run(9, "greenroom", "queued", None)));
    assert_eq!(workflows.run(&shop(), 9).await.expect("a run").origin.starter, RunStarter::SomebodyElse);
    fake.always("GET", RUN, Reply::empty(404));
    assert!(matches!(workflows.run(&shop(), 9).await, Err(PortError::NotFound { .. })));
}

#[tokio::test]
async fn a_run_that_has_ended_or_is_gone_needs_no_end() {
    let (fake, workflows) = github().await;
    for (how, verb) in [(Cancellation::Gentle, "cancel"), (Cancellation::Forced, "force-cancel")] {
        let path = format!("{RUN}/{verb}");
        for status in [202, 409, 404] {
            fake.always("POST", &path, Reply::json(status, &json!({})));
            workflows.cancel(&shop(), 9, how).await.expect("it is success");
        }
        assert_eq!(fake.asked("POST", &path).len(), 3);
    }
    fake.always("POST", &format!("{RUN}/cancel"), Reply::empty(502));
    assert!(matches!(workflows.cancel(&shop(), 9, Cancellation::Gentle).await, Err(PortError::Retry { .. })));
}

#[tokio::test]
async fn a_path_is_followed_through_the_trees_of_a_commit() {
    let (fake, workflows) = github().await;
    let entry =
        |path: &str, mode: &str, kind: &str, sha: &str| json!({ "path": path, "mode": mode, "type": kind, "sha": sha });
    let commit = format!("/repos/acme/shop/git/commits/{SHA}");
    fake.always("GET", &commit, Reply::json(200, &json!({ "sha": SHA, "tree": { "sha": "top" } })));
    let top = json!({ "sha": "top", "truncated": false, "tree": [
        entry("apps", "040000", "tree", "a"), entry("link", "120000", "blob", "l"), entry("vendor", "160000", "commit", OTHER),
    ] });
    fake.always("GET", "/repos/acme/shop/git/trees/top", Reply::json(200, &top));
    let apps = json!({ "sha": "a", "truncated": false, "tree": [entry("Dockerfile", "100644", "blob", "d")] });
    fake.always("GET", "/repos/acme/shop/git/trees/a", Reply::json(200, &apps));
    for (path, expected) in [
        (".", Some(TreeEntry::Folder("top".into()))),
        ("./apps/", Some(TreeEntry::Folder("a".into()))),
        ("apps/./Dockerfile", Some(TreeEntry::File("d".into()))),
        ("link", Some(TreeEntry::Other)),
        ("vendor", Some(TreeEntry::Other)),
        ("link/x", None),
        ("apps/Dockerfile/x", None),
        ("../apps", None),
        ("nowhere", None),
    ] {
        assert_eq!(workflows.tree_entry(&shop(), &sha(SHA), path).await.expect("an answer"), expected, "{path}");
    }
    assert_eq!(fake.asked("GET", "/repos/acme/shop/git/trees/top").len(), 1, "a tree never changes");
    let unknown = workflows.tree_entry(&shop(), &sha(OTHER), ".").await;
    assert!(matches!(unknown, Err(PortError::NotFound { .. })), "{unknown:?}");
}

#[tokio::test]
async fn the_log_is_that_of_the_job_that_failed_and_our_token_stays_here() {
    let (fake, workflows) = github().await;
    let jobs = json!({ "total_count": 2, "jobs": [
        { "id": 1, "conclusion": "failure" }, { "id": 2, "conclusion": "skipped" },
    ] });
    fake.always("GET", &format!("{RUN}/jobs"), Reply::json(200, &jobs));
    let elsewhere = format!("{}/elsewhere/log?key=1", fake.url);
    fake.always("GET", "/repos/acme/shop/actions/jobs/1/logs", Reply::empty(302).with("location", elsewhere));
    let text = "2026-11-20T06:00:00.1234567Z one\n2026-11-20T06:00:01.1234567Z two\n2026-11-20T06:00:02.0Z three\n";
    fake.always("GET", "/elsewhere/log", Reply::bytes("text/plain", text));
    assert_eq!(workflows.log(&shop(), 9, 2).await.expect("a log"), ["two", "three"]);
    assert_eq!(fake.asked("GET", "/elsewhere/log")[0].header("authorization"), None);

    fake.always("GET", "/repos/acme/shop/actions/jobs/1/logs", Reply::empty(410));
    assert_eq!(workflows.log(&shop(), 9, 2).await.expect("none any more"), [""; 0]);
    fake.always("GET", &format!("{RUN}/jobs"), Reply::empty(404));
    assert_eq!(workflows.log(&shop(), 9, 2).await.expect("none"), [""; 0]);
}
