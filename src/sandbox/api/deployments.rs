//! Deployments, their statuses, and environments.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::body;
use super::super::git::{self, Commit};
use super::super::record::{Account, Deployment, DeploymentStatus, Environment, Repo};
use super::super::world::World;
use super::{Answer, Call, Refusal, at_most};
use crate::model::{Branch, RepoName};

type Answered = Result<Answer, Refusal>;

const STATES: [&str; 7] = ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"];

fn find<'w>(world: &'w World, call: &Call) -> Result<&'w Deployment, Refusal> {
    call.repo(world)?.deployments.get(&call.number("deployment_id")?).ok_or(Refusal::NotFound)
}

fn flag(call: &Call, field: &str, otherwise: bool) -> bool {
    call.body.get(field).and_then(Value::as_bool).unwrap_or(otherwise)
}

pub(in super::super) fn list(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let fits = |name: &str, value: &str| call.query(name).is_none_or(|wanted| wanted == value);
    let mut all: Vec<&Deployment> = repo
        .deployments
        .values()
        .filter(|one| fits("sha", one.sha.as_str()) && fits("ref", &one.reference))
        .filter(|one| fits("task", &one.task) && fits("environment", &one.environment))
        .collect();
    all.reverse();
    Ok(call.page(&world.base, &all, |one| body::deployment(world, &repo.name, one)))
}

/// GitHub: "Create a deployment". Two traps that are GitHub's own: unless `auto_merge` is false, a
/// branch that is behind the default branch is merged with it instead of deployed (202); unless
/// `required_contexts` is empty, every check of the commit must have succeeded (409).
pub(in super::super) fn create(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo_name()?;
    let reference = call.required("ref")?;
    let absent = || Refusal::invalid("ref", "invalid", format!("No ref found for: {reference}"));
    let commit = world.resolve(&repo, reference).ok_or_else(absent)?;
    if flag(call, "auto_merge", true)
        && let Some(message) = auto_merge(world, &repo, reference, &commit)
    {
        return Ok(Answer::json(202, json!({ "message": message })));
    }
    let target = call.repo(world)?;
    if let Some(context) = unmet_context(target, &commit, call.body.get("required_contexts")) {
        return Err(Refusal::Conflict(format!("Conflict: Commit status checks failed for {reference}: {context}.")));
    }
    let environment = call.text("environment").unwrap_or("production").to_owned();
    let description = call.text("description").map(str::to_owned);
    at_most("description", description.as_deref().unwrap_or(""), 140)?;
    world.environment(&repo, &environment);
    let (id, now) = (world.id(), world.now());
    let deployment = Deployment {
        id,
        sha: commit.sha.clone(),
        reference: reference.to_owned(),
        task: call.text("task").unwrap_or("deploy").to_owned(),
        description,
        payload: call.body.get("payload").cloned().unwrap_or_else(|| json!({})),
        transient: flag(call, "transient_environment", false),
        production: flag(call, "production_environment", environment == "production"),
        environment,
        creator: world.actor(&call.caller),
        created_at: now,
        updated_at: now,
        statuses: Vec::new(),
    };
    world.repo_mut(&repo).ok_or(Refusal::NotFound)?.deployments.insert(id, deployment.clone());
    Ok(Answer::json(201, body::deployment(world, &repo, &deployment)))
}

fn auto_merge(world: &mut World, repo: &RepoName, reference: &str, commit: &Commit) -> Option<String> {
    let branch = Branch(reference.strip_prefix("refs/heads/").unwrap_or(reference).to_owned());
    let trunk = world.repo(repo)?.default_branch.clone();
    if branch == trunk || !world.repo(repo)?.branches.contains_key(&branch) {
        return None;
    }
    let head = world.head(repo, &trunk)?.clone();
    if git::compare(&world.commits, &commit.sha, &head.sha)?.ahead.is_empty() {
        return None;
    }
    let (bot, message) = (world.app.bot.clone(), format!("Merge {} into {}", trunk.0, branch.0));
    let merge = world.add_merge(commit, &head, &message, bot)?.sha.clone();
    world.repo_mut(repo)?.branches.insert(branch.clone(), merge);
    Some(format!("Auto-merged {} into {} on deployment.", trunk.0, branch.0))
}

fn unmet_context(repo: &Repo, commit: &Arc<Commit>, required: Option<&Value>) -> Option<String> {
    let given = required.and_then(Value::as_array);
    let of_commit = || repo.checks.values().filter(|check| check.sha == commit.sha);
    let outcome = |name: &str| of_commit().rfind(|check| check.name == name)?.conclusion.clone();
    let names: Vec<&str> = match given {
        Some(list) => list.iter().filter_map(Value::as_str).collect(),
        None => of_commit().map(|check| check.name.as_str()).collect(),
    };
    names.into_iter().find(|name| outcome(name).as_deref() != Some("success")).map(str::to_owned)
}

pub(in super::super) fn show(world: &mut World, call: &Call) -> Answered {
    Ok(Answer::ok(body::deployment(world, &call.repo_name()?, find(world, call)?)))
}

/// GitHub: "Delete a deployment": only an inactive one, unless it is the only one.
pub(in super::super) fn delete(world: &mut World, call: &Call) -> Answered {
    let (id, state) = (find(world, call)?.id, find(world, call)?.state().to_owned());
    let repo = world.repo_mut(&call.repo_name()?).ok_or(Refusal::NotFound)?;
    if repo.deployments.len() > 1 && state != "inactive" {
        return Err(Refusal::Unprocessable(
            "We cannot delete an active deployment unless it is the only deployment in a given environment.",
        ));
    }
    repo.deployments.remove(&id);
    Ok(Answer::empty(204))
}

pub(in super::super) fn statuses(world: &mut World, call: &Call) -> Answered {
    let (repo, deployment) = (call.repo_name()?, find(world, call)?);
    let all: Vec<&DeploymentStatus> = deployment.statuses.iter().rev().collect();
    Ok(call.page(&world.base, &all, |status| body::status(world, &repo, deployment, status)))
}

pub(in super::super) fn add_status(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo_name()?;
    let state = call.required("state")?;
    if !STATES.contains(&state) {
        return Err(Refusal::invalid("state", "invalid", format!("{state} is not a state")));
    }
    let description = call.text("description").unwrap_or("").to_owned();
    at_most("description", &description, 140)?;
    for field in ["environment_url", "log_url", "target_url"] {
        if call.text(field).is_some_and(|url| !url.is_empty() && !url.starts_with("http")) {
            return Err(Refusal::invalid(field, "invalid", format!("{field} must use http(s) scheme")));
        }
    }
    let deployment = find(world, call)?.clone();
    let environment = call.text("environment").unwrap_or(&deployment.environment).to_owned();
    let own = |field: &str| call.text(field).map(str::to_owned);
    let status = DeploymentStatus {
        id: world.id(),
        state: state.to_owned(),
        description,
        environment,
        environment_url: own("environment_url").unwrap_or_default(),
        log_url: own("log_url").or_else(|| own("target_url")).unwrap_or_default(),
        creator: world.actor(&call.caller),
        at: world.now(),
    };
    if state == "success" && flag(call, "auto_inactive", true) {
        retire_earlier(world, &repo, &deployment, &status.creator);
    }
    world.environment(&repo, &status.environment);
    let target = world.repo_mut(&repo).and_then(|repo| repo.deployments.get_mut(&deployment.id));
    let target = target.ok_or(Refusal::NotFound)?;
    target.updated_at = status.at;
    target.statuses.push(status.clone());
    let value = body::status(world, &repo, &deployment, &status);
    let location = value["url"].as_str().unwrap_or_default().to_owned();
    Ok(Answer::json(201, value).with("location", location))
}

/// GitHub on `auto_inactive`: "Adds a new inactive status to all prior non-transient,
/// non-production environment deployments with the same repository and environment name as the
/// created status's deployment. An inactive status is only added to deployments that had a success
/// state."
fn retire_earlier(world: &mut World, repo: &RepoName, newest: &Deployment, creator: &Arc<Account>) {
    let at = world.now();
    let Some(target) = world.repo(repo) else { return };
    let earlier: Vec<u64> = target
        .deployments
        .range(..newest.id)
        .filter(|(_, one)| one.environment == newest.environment && !one.transient && !one.production)
        .filter(|(_, one)| one.state() == "success")
        .map(|(id, _)| *id)
        .collect();
    for deployment in earlier {
        let id = world.id();
        let Some(one) = world.repo_mut(repo).and_then(|repo| repo.deployments.get_mut(&deployment)) else { continue };
        let (environment, creator) = (one.environment.clone(), creator.clone());
        let (environment_url, log_url, description) = (String::new(), String::new(), String::new());
        let state = "inactive".to_owned();
        one.statuses.push(DeploymentStatus {
            id,
            state,
            description,
            environment,
            environment_url,
            log_url,
            creator,
            at,
        });
    }
}

pub(in super::super) fn environments(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let all: Vec<&Environment> = repo.environments.values().collect();
    Ok(call.counted_page(&world.base, "environments", &all, |one| body::environment(world, &repo.name, one)))
}

pub(in super::super) fn delete_environment(world: &mut World, call: &Call) -> Answered {
    let repo = world.repo_mut(&call.repo_name()?).ok_or(Refusal::NotFound)?;
    repo.environments.remove(call.param("environment_name")).ok_or(Refusal::NotFound)?;
    Ok(Answer::empty(204))
}
