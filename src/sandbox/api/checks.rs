//! Check runs and commit statuses.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::body;
use super::super::record::{Check, CommitStatus};
use super::super::world::{APP_ID, World};
use super::{Answer, Call, Refusal, at_most};
use crate::model::{CommitSha, Timestamp};

type Answered = Result<Answer, Refusal>;

/// GitHub's limit of `summary` and `text`, in characters.
const LONGEST: usize = 65_535;
const STATUSES: [&str; 3] = ["queued", "in_progress", "completed"];
const CONCLUSIONS: [&str; 7] =
    ["action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"];

fn find<'w>(world: &'w World, call: &Call) -> Result<&'w Check, Refusal> {
    call.repo(world)?.checks.get(&call.number("check_run_id")?).ok_or(Refusal::NotFound)
}

pub(in super::super) fn create(world: &mut World, call: &Call) -> Answered {
    let sha = call.required("head_sha")?;
    let known = CommitSha::new(sha).ok().filter(|sha| world.commits.contains_key(sha));
    let sha =
        known.ok_or_else(|| Refusal::invalid("head_sha", "invalid", format!("No commit found for SHA: {sha}")))?;
    let repo = call.repo_name()?;
    let (id, now) = (world.id(), world.now());
    let mut check = Check {
        id,
        app: call.caller.foreign_app(),
        sha,
        name: call.required("name")?.to_owned(),
        external_id: None,
        details_url: None,
        status: "queued".into(),
        conclusion: None,
        title: None,
        summary: None,
        text: None,
        started_at: Some(now),
        completed_at: None,
    };
    change(&mut check, call, now)?;
    world.repo_mut(&repo).ok_or(Refusal::NotFound)?.checks.insert(id, check.clone());
    Ok(Answer::json(201, body::check(world, call.repo(world)?, &check)))
}

pub(in super::super) fn update(world: &mut World, call: &Call) -> Answered {
    let (mut check, now) = (find(world, call)?.clone(), world.now());
    if check.app != call.caller.foreign_app() {
        let asker = call.caller.foreign_app().map_or(APP_ID, |app| app.id);
        return Err(Refusal::Denied(format!(
            "Invalid app_id `{asker}` - check run can only be modified by the GitHub App that created it."
        )));
    }
    if let Some(name) = call.text("name") {
        name.clone_into(&mut check.name);
    }
    change(&mut check, call, now)?;
    world.repo_mut(&call.repo_name()?).ok_or(Refusal::NotFound)?.checks.insert(check.id, check.clone());
    Ok(Answer::ok(body::check(world, call.repo(world)?, &check)))
}

/// Writes what a request says onto a check run. A conclusion completes it; a completed one needs a
/// conclusion; an earlier status takes the conclusion away again.
fn change(check: &mut Check, call: &Call, now: Timestamp) -> Result<(), Refusal> {
    let own = |field: &str| call.text(field).map(str::to_owned);
    check.external_id = own("external_id").or(check.external_id.take());
    check.details_url = own("details_url").or(check.details_url.take());
    if let Some(url) = check.details_url.as_deref()
        && !url.starts_with("http")
    {
        return Err(Refusal::invalid("details_url", "invalid", "details_url must use http or https scheme"));
    }
    if let Some(output) = call.body.get("output").filter(|output| !output.is_null()) {
        let text = |field: &str| output.get(field).and_then(Value::as_str).map(str::to_owned);
        check.title = text("title").or(check.title.take());
        check.summary = text("summary").or(check.summary.take());
        check.text = text("text").or(check.text.take());
        if check.title.is_none() || check.summary.is_none() {
            return Err(Refusal::invalid("output", "missing_field", "output needs a title and a summary"));
        }
        at_most("summary", check.summary.as_deref().unwrap_or(""), LONGEST)?;
        at_most("text", check.text.as_deref().unwrap_or(""), LONGEST)?;
    }
    if let Some(status) = call.text("status") {
        if !STATUSES.contains(&status) {
            return Err(Refusal::invalid("status", "invalid", format!("{status} is not a status")));
        }
        status.clone_into(&mut check.status);
        if status != "completed" {
            (check.conclusion, check.completed_at) = (None, None);
        }
    }
    if let Some(conclusion) = call.text("conclusion") {
        if !CONCLUSIONS.contains(&conclusion) {
            return Err(Refusal::invalid("conclusion", "invalid", format!("{conclusion} is not a conclusion")));
        }
        check.conclusion = Some(conclusion.to_owned());
        check.status = "completed".into();
        check.completed_at = Some(now);
    }
    if check.status == "completed" && check.conclusion.is_none() {
        return Err(Refusal::invalid("conclusion", "missing_field", "a completed check run needs a conclusion"));
    }
    Ok(())
}

pub(in super::super) fn show(world: &mut World, call: &Call) -> Answered {
    Ok(Answer::ok(body::check(world, call.repo(world)?, find(world, call)?)))
}

fn maker(check: &Check) -> u64 {
    check.app.as_ref().map_or(APP_ID, |app| app.id)
}

/// `filter=latest`, the default, tells the newest run of each name and app.
pub(in super::super) fn list(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let commit = world.resolve(&repo.name, call.param("ref")).ok_or(Refusal::NotFound)?;
    let mut checks: Vec<&Check> = repo
        .checks
        .values()
        .filter(|check| check.sha == commit.sha)
        .filter(|check| call.query("check_name").is_none_or(|name| name == check.name))
        .filter(|check| call.query("status").is_none_or(|status| status == check.status))
        .filter(|check| call.query("app_id").is_none_or(|app| app == maker(check).to_string()))
        .collect();
    if call.query("filter").unwrap_or("latest") == "latest" {
        let newest: BTreeMap<(&str, u64), &Check> =
            checks.into_iter().map(|check| ((check.name.as_str(), maker(check)), check)).collect();
        checks = newest.into_values().collect();
    }
    Ok(call.counted_page(&world.base, "check_runs", &checks, |check| body::check(world, repo, check)))
}

/// Every status of a commit, newest first.
pub(in super::super) fn statuses(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let commit = world.resolve(&repo.name, call.param("ref")).ok_or(Refusal::NotFound)?;
    let statuses: Vec<&CommitStatus> = repo.statuses.values().rev().filter(|one| one.sha == commit.sha).collect();
    Ok(call.page(&world.base, &statuses, |one| body::commit_status(world, &repo.name, one)))
}
