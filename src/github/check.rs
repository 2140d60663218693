//! Check runs.

use std::ops::ControlFlow;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{Api, Who};
use super::comment::external;
use super::path::{self, encode};
use crate::model::{BUILD_JOBS, CheckState, CommitSha, ExternalId};
use crate::port::{CheckRun, PortResult};

#[derive(Deserialize)]
struct Run {
    id: u64,
    external_id: Option<String>,
    app: Option<App>,
}

/// By whom a check run was made.
#[derive(Deserialize)]
pub(super) struct App {
    pub(super) id: u64,
    slug: Option<String>,
}

impl App {
    /// GitHub Actions, whose number is another one on each Enterprise Server.
    pub(super) fn is_actions(&self) -> bool {
        self.id == ACTIONS_APP || self.slug.as_deref() == Some("github-actions")
    }
}

/// The number of the App on github.com by which the jobs of workflows act.
const ACTIONS_APP: u64 = 15_368;

/// Whether a check run says by its name and key that a job of Greenroom made it. Of the same App are the
/// checks of every other workflow, so that the App tells nothing.
pub(super) fn is_of_a_job(name: &str, external_id: Option<&str>, sha: &CommitSha) -> bool {
    let is_key = |id: &str| id.strip_suffix(sha.as_str()).is_some_and(|id| id.ends_with('@'));
    name.starts_with("greenroom / ") && external_id.is_some_and(is_key)
}

/// Whether a check run has the name of a job that builds images for us. Whoever gives that name to a job of their
/// own hides it, and could as well have none.
pub(super) fn is_of_a_build(name: &str) -> bool {
    BUILD_JOBS.contains(&name)
}

#[derive(Deserialize)]
struct RunPage {
    check_runs: Vec<Run>,
}

/// Updates the check run if there is one with this key, else makes it.
pub(super) async fn publish(api: &Api, check: &CheckRun<'_>) -> PortResult<ExternalId> {
    let known = match check.id {
        Some(id) => update(api, check, id.as_str()).await?,
        None => None,
    };
    if let Some(id) = known {
        return Ok(id);
    }
    if let Some(found) = find(api, check).await?
        && let Some(id) = update(api, check, &found.to_string()).await?
    {
        return Ok(id);
    }
    let mut body = fields(check);
    body.insert("head_sha".into(), json!(check.sha));
    let path = path::repo(check.repo, "/check-runs");
    let answer = api.send(Who::on(check.repo), Method::POST, path, Some(Value::Object(body))).await?;
    let made: Run = answer.json(&format!("a check run of {}", check.repo))?;
    external(made.id)
}

/// The id again, or `None` when there is no such check run, or it is another App's: that of the server which
/// had the stage before this job, or of the job before this server.
///
/// Source: GitHub REST, "Update a check run": a check run is edited by the App that made it.
async fn update(api: &Api, check: &CheckRun<'_>, id: &str) -> PortResult<Option<ExternalId>> {
    let path = path::repo(check.repo, &format!("/check-runs/{}", encode(id)));
    let answer = api.send(Who::on(check.repo), Method::PATCH, path, Some(Value::Object(fields(check)))).await?;
    if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) {
        return Ok(None);
    }
    let updated: Run = answer.json(&format!("check run {id} of {}", check.repo))?;
    external(updated.id).map(Some)
}

/// GitHub does not filter by `external_id`: by name and app, then by our own eyes.
async fn find(api: &Api, check: &CheckRun<'_>) -> PortResult<Option<u64>> {
    let by = api.app().map(|app| format!("&app_id={}", app.app_id)).unwrap_or_default();
    let query = format!("check_name={}{by}&filter=all&per_page=100", encode(check.name));
    let first = path::repo(check.repo, &format!("/commits/{}/check-runs?{query}", check.sha));
    let what = format!("the check runs of {} of {}", check.sha.short(), check.repo);
    let mut found = None;
    api.pages(Who::on(check.repo), first, &what, |page: RunPage| {
        let by_us = |run: &Run| !by.is_empty() || run.app.as_ref().is_some_and(App::is_actions);
        let ours = |run: &Run| run.external_id.as_deref() == Some(check.key) && by_us(run);
        found = page.check_runs.into_iter().filter(ours).map(|run| run.id).chain(found).max();
        ControlFlow::Continue(())
    })
    .await?;
    Ok(found)
}

fn fields(check: &CheckRun<'_>) -> Map<String, Value> {
    let (status, conclusion) = match check.state {
        CheckState::Queued => ("queued", None),
        CheckState::InProgress => ("in_progress", None),
        CheckState::Success => ("completed", Some("success")),
        CheckState::Failure => ("completed", Some("failure")),
        CheckState::Neutral => ("completed", Some("neutral")),
        CheckState::Cancelled => ("completed", Some("cancelled")),
        CheckState::Skipped => ("completed", Some("skipped")),
        CheckState::ActionRequired => ("completed", Some("action_required")),
    };
    let mut body = Map::new();
    body.insert("name".into(), json!(check.name));
    body.insert("external_id".into(), json!(check.key));
    body.insert("status".into(), json!(status));
    body.insert("output".into(), json!({ "title": check.title, "summary": check.summary }));
    // A conclusion completes the run, and null is not accepted: it is there or it is not.
    if let Some(conclusion) = conclusion {
        body.insert("conclusion".into(), json!(conclusion));
    }
    if let Some(url) = check.details_url {
        body.insert("details_url".into(), json!(url));
    }
    body
}
