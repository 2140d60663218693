//! Runs of workflows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::body;
use super::super::runs::{ActionsSwitch, DispatchAnswer, Run, Wish};
use super::super::world::World;
use super::{Answer, Body, Call, Refusal};
use crate::model::Branch;

type Answered = Result<Answer, Refusal>;

/// GitHub: "Create a workflow dispatch event": "The maximum number of properties is 25".
const MOST_INPUTS: usize = 25;

fn find<'w>(world: &'w World, call: &Call) -> Result<&'w Run, Refusal> {
    call.repo(world)?.runs.get(&call.number("run_id")?).ok_or(Refusal::NotFound)
}

pub(in super::super) fn dispatch(world: &mut World, call: &Call) -> Answered {
    let (repo, workflow) = (call.repo_name()?, call.param("workflow_id"));
    let wishes_details = call.body.get("return_run_details").and_then(Value::as_bool);
    if world.actions.answer == DispatchAnswer::RefusesWish && wishes_details.is_some() {
        return Ok(Answer::json(
            400,
            json!({ "message": "Invalid request.\n\n\"return_run_details\" is not a permitted key.", "documentation_url": "https://docs.github.com/rest" }),
        ));
    }
    let trunk = world.repo(&repo).ok_or(Refusal::NotFound)?.default_branch.clone();
    let trunk_head = world.head(&repo, &trunk).cloned().ok_or(Refusal::NotFound)?;
    World::workflow(&trunk_head, workflow).ok_or(Refusal::NotFound)?;
    let reference = call.required("ref")?;
    let branch = Branch(reference.strip_prefix("refs/heads/").unwrap_or(reference).to_owned());
    let no_ref = || Refusal::invalid("ref", "invalid", format!("No ref found for: {reference}"));
    let head = world.head(&repo, &branch).cloned().ok_or_else(no_ref)?;
    if world.actions.switch == ActionsSwitch::Off {
        return Err(Refusal::Unprocessable("Cannot trigger a 'workflow_dispatch' on a disabled workflow"));
    }
    let file = World::workflow(&head, workflow).unwrap_or_default();
    if !file.contains("workflow_dispatch") {
        return Err(Refusal::Unprocessable("Workflow does not have 'workflow_dispatch' trigger"));
    }
    let inputs = inputs(call, &file)?;
    let wish = Wish { workflow, branch: &branch, inputs, starter: world.app.bot.clone() };
    let run = world.add_run(&repo, wish).ok_or(Refusal::NotFound)?;
    if world.actions.answer == DispatchAnswer::Nothing || wishes_details != Some(true) {
        return Ok(Answer::empty(204));
    }
    Ok(Answer::ok(json!({
        "workflow_run_id": run.id,
        "run_url": format!("{}/repos/{repo}/actions/runs/{}", world.base, run.id),
        "html_url": format!("{}/{repo}/actions/runs/{}", world.base, run.id),
    })))
}

/// What was given, if the file knows each of them.
fn inputs(call: &Call, file: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let Some(given) = call.body.get("inputs").and_then(Value::as_object) else { return Ok(BTreeMap::new()) };
    if given.len() > MOST_INPUTS {
        return Err(Refusal::Unprocessable("you may only define up to 25 `inputs` for a `workflow_dispatch` event"));
    }
    let is_known = |name: &str| file.lines().any(|line| line.trim_start().starts_with(&format!("{name}:")));
    if given.keys().any(|name| !is_known(name)) {
        return Err(Refusal::Unprocessable("Unexpected inputs provided"));
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(given.iter().map(|(name, value)| (name.clone(), text(value))).collect())
}

pub(in super::super) fn list(world: &mut World, call: &Call) -> Answered {
    let (repo, workflow) = (call.repo(world)?, call.param("workflow_id"));
    let trunk = world.head(&repo.name, &repo.default_branch).ok_or(Refusal::NotFound)?;
    World::workflow(trunk, workflow).ok_or(Refusal::NotFound)?;
    let fits = |name: &str, value: &str| call.query(name).is_none_or(|wanted| wanted == value);
    let mut runs: Vec<&Run> = repo
        .runs
        .values()
        .filter(|run| run.workflow == workflow && fits("event", "workflow_dispatch"))
        .filter(|run| fits("branch", &run.branch.0) && fits("actor", &run.starter.login))
        .collect();
    runs.reverse();
    Ok(call.counted_page(&world.base, "workflow_runs", &runs, |run| body::run(world, &repo.name, run)))
}

pub(in super::super) fn show(world: &mut World, call: &Call) -> Answered {
    Ok(Answer::ok(body::run(world, &call.repo_name()?, find(world, call)?)))
}

pub(in super::super) fn cancel(world: &mut World, call: &Call) -> Answered {
    ask_to_end(world, call, "cancel")
}

pub(in super::super) fn force_cancel(world: &mut World, call: &Call) -> Answered {
    ask_to_end(world, call, "force-cancel")
}

fn ask_to_end(world: &mut World, call: &Call, verb: &'static str) -> Answered {
    let (repo, id) = (call.repo_name()?, find(world, call)?.id);
    match world.ask_to_end(&repo, id, verb) {
        Some(()) => Ok(Answer::json(202, json!({}))),
        None => Err(Refusal::Conflict("Cannot cancel a workflow run that is completed.".into())),
    }
}

pub(in super::super) fn jobs(world: &mut World, call: &Call) -> Answered {
    let (repo, run) = (call.repo_name()?, find(world, call)?);
    Ok(call.counted_page(&world.base, "jobs", &[run], |run| body::job(world, &repo, run)))
}

/// GitHub: a redirect to where the log lies, which is good for a minute.
pub(in super::super) fn log(world: &mut World, call: &Call) -> Answered {
    let (repo, job) = (call.repo(world)?, call.number("job_id")?);
    let run = repo.runs.values().find(|run| run.job == job).ok_or(Refusal::NotFound)?;
    let to = format!("{}/codeload/{}/job-logs/{}", world.base, repo.name, run.job);
    Ok(Answer::empty(302).with("location", to))
}

/// Where the redirect leads: on GitHub another host, which takes no token.
pub(in super::super) fn log_text(world: &mut World, call: &Call) -> Answered {
    let (repo, job) = (call.repo(world)?, call.number("job_id")?);
    let run = repo.runs.values().find(|run| run.job == job).ok_or(Refusal::NotFound)?;
    let lines: String = run.log.iter().flat_map(|line| ["2026-11-20T06:00:00.0000000Z ", line, "\n"]).collect();
    let body = Body::Bytes { kind: "text/plain; charset=utf-8", bytes: lines.into() };
    Ok(Answer { status: 200, headers: Vec::new(), body })
}
