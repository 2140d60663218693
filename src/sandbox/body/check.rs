//! Check runs and commit statuses.

use serde_json::{Value, json};

use super::{app, foreign_app, user};
use crate::model::RepoName;
use crate::sandbox::record::{Check, CommitStatus, Repo};
use crate::sandbox::world::{World, iso, node_id};

/// A `check-run`.
pub(in crate::sandbox) fn check(world: &World, repo: &Repo, check: &Check) -> Value {
    let api = format!("{}/repos/{}", world.base, repo.name);
    let side = |branch: &str, sha: &str| json!({ "ref": branch, "sha": sha, "repo": { "id": repo.id, "url": api, "name": repo.name.name() } });
    let pulls: Vec<Value> = repo
        .pulls
        .values()
        .filter(|pull| pull.is_open() && pull.head_sha == check.sha && pull.head_repo == repo.name)
        .map(|pull| {
            let base = repo.branches.get(&pull.base).map_or("", |sha| sha.as_str());
            json!({
                "id": pull.id,
                "number": pull.number,
                "url": format!("{api}/pulls/{}", pull.number),
                "head": side(&pull.head.0, pull.head_sha.as_str()),
                "base": side(&pull.base.0, base),
            })
        })
        .collect();
    let url = format!("{api}/check-runs/{}", check.id);
    let page = format!("{}/{}/runs/{}", world.base, repo.name, check.id);
    json!({
        "id": check.id,
        "node_id": node_id("CheckRun", check.id),
        "head_sha": check.sha,
        "external_id": check.external_id.as_deref().unwrap_or(""),
        "url": url,
        "html_url": page,
        "details_url": check.details_url.clone().unwrap_or(page),
        "status": check.status,
        "conclusion": check.conclusion,
        "started_at": check.started_at.map(iso),
        "completed_at": check.completed_at.map(iso),
        "output": {
            "title": check.title,
            "summary": check.summary,
            "text": check.text,
            "annotations_count": 0,
            "annotations_url": format!("{url}/annotations"),
        },
        "name": check.name,
        "check_suite": { "id": check.id },
        "app": check.app.as_deref().map_or_else(|| app(world), |foreign| foreign_app(world, foreign)),
        "pull_requests": pulls,
    })
}

/// A `status`.
pub(in crate::sandbox) fn commit_status(world: &World, repo: &RepoName, status: &CommitStatus) -> Value {
    let creator = user(&world.base, &status.creator);
    let at = iso(status.at);
    json!({
        "id": status.id,
        "node_id": node_id("StatusContext", status.id),
        "url": format!("{}/repos/{repo}/statuses/{}", world.base, status.sha),
        "avatar_url": creator["avatar_url"],
        "state": status.state,
        "description": null,
        "target_url": null,
        "context": status.context,
        "created_at": at,
        "updated_at": at,
        "creator": creator,
    })
}
