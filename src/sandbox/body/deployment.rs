//! Deployments, their statuses, and environments.

use serde_json::{Value, json};

use super::{user, via};
use crate::model::RepoName;
use crate::sandbox::record::{Deployment, DeploymentStatus, Environment};
use crate::sandbox::world::{World, iso, node_id};

/// A `deployment`.
pub(in crate::sandbox) fn deployment(world: &World, repo: &RepoName, deployment: &Deployment) -> Value {
    let api = format!("{}/repos/{repo}", world.base);
    let url = format!("{api}/deployments/{}", deployment.id);
    json!({
        "url": url,
        "id": deployment.id,
        "node_id": node_id("Deployment", deployment.id),
        "task": deployment.task,
        "original_environment": deployment.environment,
        "environment": deployment.environment,
        "description": deployment.description,
        "created_at": iso(deployment.created_at),
        "updated_at": iso(deployment.updated_at),
        "statuses_url": format!("{url}/statuses"),
        "repository_url": api,
        "creator": user(&world.base, &deployment.creator),
        "sha": deployment.sha,
        "ref": deployment.reference,
        "payload": deployment.payload,
        "transient_environment": deployment.transient,
        "production_environment": deployment.production,
        "performed_via_github_app": via(world, &deployment.creator),
    })
}

/// A `deployment-status`.
pub(in crate::sandbox) fn status(
    world: &World,
    repo: &RepoName,
    deployment: &Deployment,
    status: &DeploymentStatus,
) -> Value {
    let api = format!("{}/repos/{repo}", world.base);
    let parent = format!("{api}/deployments/{}", deployment.id);
    json!({
        "url": format!("{parent}/statuses/{}", status.id),
        "id": status.id,
        "node_id": node_id("DeploymentStatus", status.id),
        "state": status.state,
        "creator": user(&world.base, &status.creator),
        "description": status.description,
        "environment": status.environment,
        "target_url": status.log_url,
        "created_at": iso(status.at),
        "updated_at": iso(status.at),
        "deployment_url": parent,
        "repository_url": api,
        "environment_url": status.environment_url,
        "log_url": status.log_url,
        "performed_via_github_app": via(world, &status.creator),
    })
}

/// An `environment` without protection.
pub(in crate::sandbox) fn environment(world: &World, repo: &RepoName, environment: &Environment) -> Value {
    let (base, name) = (&world.base, &environment.name);
    json!({
        "id": environment.id,
        "node_id": node_id("Environment", environment.id),
        "name": name,
        "url": format!("{base}/repos/{repo}/environments/{name}"),
        "html_url": format!("{base}/{repo}/deployments/activity_log?environments_filter={name}"),
        "created_at": iso(environment.created_at),
        "updated_at": iso(environment.created_at),
        "protection_rules": [],
        "deployment_branch_policy": null,
    })
}
