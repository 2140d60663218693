//! Runs of workflows and their jobs.

use serde_json::{Value, json};

use super::{extend, repo, user};
use crate::model::RepoName;
use crate::sandbox::git::Commit;
use crate::sandbox::runs::{FOLDER, Run};
use crate::sandbox::world::{World, iso, node_id};

fn signature(commit: &Commit) -> Value {
    let login = &commit.author.login;
    json!({ "name": login, "email": format!("{login}@users.example") })
}

/// A `simple-commit`.
fn head_commit(world: &World, run: &Run) -> Value {
    let Some(commit) = world.commits.get(&run.sha) else { return Value::Null };
    json!({
        "id": commit.sha,
        "tree_id": commit.tree_sha,
        "message": commit.message,
        "timestamp": iso(commit.at),
        "author": signature(commit),
        "committer": signature(commit),
    })
}

/// A `git-commit`.
pub(in crate::sandbox) fn git_commit(world: &World, repo: &RepoName, commit: &Commit) -> Value {
    let (api, web) = (format!("{}/repos/{repo}/git", world.base), format!("{}/{repo}/commit", world.base));
    let mut signature = signature(commit);
    extend(&mut signature, json!({ "date": iso(commit.at) }));
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|sha| json!({ "sha": sha, "url": format!("{api}/commits/{sha}"), "html_url": format!("{web}/{sha}") }))
        .collect();
    json!({
        "sha": commit.sha,
        "node_id": node_id(commit.sha.as_str(), 0),
        "url": format!("{api}/commits/{}", commit.sha),
        "html_url": format!("{web}/{}", commit.sha),
        "author": signature,
        "committer": signature,
        "message": commit.message,
        "tree": { "sha": commit.tree_sha, "url": format!("{api}/trees/{}", commit.tree_sha) },
        "parents": parents,
        "verification": {
            "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null,
        },
    })
}

/// The number of a workflow's file.
fn workflow_id(run: &Run) -> u64 {
    run.workflow.bytes().fold(7_000, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()) % 1_000_003)
}

/// A `workflow-run`.
pub(in crate::sandbox) fn run(world: &World, name: &RepoName, run: &Run) -> Value {
    let api = format!("{}/repos/{name}/actions", world.base);
    let url = format!("{api}/runs/{}", run.id);
    let repository = world.repo(name).map(|found| repo(world, found));
    let mut value = json!({
        "id": run.id,
        "name": run.name,
        "node_id": node_id("WorkflowRun", run.id),
        "check_suite_id": run.id,
        "check_suite_node_id": node_id("CheckSuite", run.id),
        "head_branch": run.branch,
        "head_sha": run.sha,
        "path": format!("{FOLDER}{}", run.workflow),
        "run_number": run.number,
        "run_attempt": 1,
        "event": "workflow_dispatch",
        "display_title": run.title,
        "status": run.status,
        "conclusion": run.conclusion,
        "workflow_id": workflow_id(run),
        "url": url,
        "html_url": format!("{}/{name}/actions/runs/{}", world.base, run.id),
        "pull_requests": [],
        "created_at": iso(run.created_at),
        "updated_at": iso(run.updated_at),
        "run_started_at": iso(run.created_at),
    });
    extend(
        &mut value,
        json!({
            "actor": user(&world.base, &run.starter),
            "triggering_actor": user(&world.base, &run.starter),
            "jobs_url": format!("{url}/jobs"),
            "logs_url": format!("{url}/logs"),
            "check_suite_url": format!("{}/repos/{name}/check-suites/{}", world.base, run.id),
            "artifacts_url": format!("{url}/artifacts"),
            "cancel_url": format!("{url}/cancel"),
            "rerun_url": format!("{url}/rerun"),
            "previous_attempt_url": null,
            "workflow_url": format!("{api}/workflows/{}", workflow_id(run)),
            "head_commit": head_commit(world, run),
            "repository": repository,
            "head_repository": repository,
        }),
    );
    value
}

/// A `webhooks_workflow`.
pub(in crate::sandbox) fn workflow(world: &World, name: &RepoName, run: &Run) -> Value {
    let at = iso(world.app.created_at);
    let (base, id) = (&world.base, workflow_id(run));
    json!({
        "id": id,
        "node_id": node_id("Workflow", id),
        "name": run.name,
        "path": format!("{FOLDER}{}", run.workflow),
        "state": "active",
        "created_at": at,
        "updated_at": at,
        "url": format!("{base}/repos/{name}/actions/workflows/{id}"),
        "html_url": format!("{base}/{name}/blob/{}/{FOLDER}{}", run.branch.0, run.workflow),
        "badge_url": format!("{base}/{name}/workflows/{}/badge.svg", id),
    })
}

/// A `job`.
pub(in crate::sandbox) fn job(world: &World, name: &RepoName, run: &Run) -> Value {
    let api = format!("{}/repos/{name}", world.base);
    let ended = run.conclusion.is_some().then(|| iso(run.updated_at));
    let taken = run.status != "queued";
    // A job knows no failure of its file.
    let conclusion = run.conclusion.as_deref().map(|text| if text == "startup_failure" { "failure" } else { text });
    json!({
        "id": run.job,
        "run_id": run.id,
        "run_url": format!("{api}/actions/runs/{}", run.id),
        "run_attempt": 1,
        "node_id": node_id("CheckRun", run.job),
        "head_sha": run.sha,
        "head_branch": run.branch,
        "url": format!("{api}/actions/jobs/{}", run.job),
        "html_url": format!("{}/{name}/actions/runs/{}/job/{}", world.base, run.id, run.job),
        "status": run.status,
        "conclusion": conclusion,
        "created_at": iso(run.created_at),
        "started_at": iso(run.created_at),
        "completed_at": ended,
        "name": "build",
        "steps": [],
        "check_run_url": format!("{api}/check-runs/{}", run.job),
        "labels": ["ubuntu-24.04"],
        "runner_id": taken.then_some(1),
        "runner_name": taken.then_some("sandbox"),
        "runner_group_id": taken.then_some(1),
        "runner_group_name": taken.then_some("sandbox"),
        "workflow_name": run.name,
    })
}
