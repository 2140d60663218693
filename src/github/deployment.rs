//! Deployments, their statuses, and environments.

use std::ops::ControlFlow;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, Who};
use super::cache::Freshness;
use super::comment::external;
use super::path::{self, encode};
use super::read::confirm;
use super::token::Scope;
use super::transport::Ask;
use crate::model::{DeploymentState, ExternalId, RepoName, StageName};
use crate::port::{DeploymentRequest, DeploymentUpdate, EnvironmentLifetime, PortResult};

/// Under which name our key stands in a deployment's payload.
const KEY: &str = "greenroom";
/// GitHub's limit for a status' description, in characters.
const DESCRIPTION: usize = 140;

#[derive(Deserialize)]
struct Deployment {
    id: u64,
    #[serde(default)]
    payload: Value,
}

impl Deployment {
    /// The payload comes back as it was sent, or as the text of it.
    fn has_key(&self, key: &str) -> bool {
        let parsed;
        let payload = match &self.payload {
            Value::String(text) => {
                parsed = serde_json::from_str::<Value>(text).unwrap_or_default();
                &parsed
            }
            other => other,
        };
        payload.get(KEY).and_then(Value::as_str) == Some(key)
    }
}

#[derive(Deserialize)]
struct Status {
    id: u64,
    state: String,
    description: Option<String>,
    environment_url: Option<String>,
    log_url: Option<String>,
}

/// The deployment with this key, made if there is none.
pub(super) async fn ensure(api: &Api, request: &DeploymentRequest<'_>) -> PortResult<ExternalId> {
    let filter = format!("sha={}&environment={}", request.sha, encode(request.environment.as_str()));
    let known = list(api, request.repo, &filter).await?;
    if let Some(found) = known.into_iter().filter(|deployment| deployment.has_key(request.key)).map(|d| d.id).max() {
        confirm(api, request.repo).await?;
        return external(found);
    }
    let body = json!({
        "ref": request.sha,
        "task": "deploy",
        // Without these two GitHub would merge the default branch in, and wait for other checks.
        "auto_merge": false,
        "required_contexts": [],
        "payload": { KEY: request.key },
        "environment": request.environment,
        "description": format!("greenroom deploys {}", request.environment),
        "transient_environment": request.lifetime == EnvironmentLifetime::Transient,
        "production_environment": request.lifetime == EnvironmentLifetime::Production,
    });
    let path = path::repo(request.repo, "/deployments");
    let answer = api.send(Who::on(request.repo), Method::POST, path, Some(body)).await?;
    let made: Deployment = answer.json(&format!("a deployment of {}", request.repo))?;
    external(made.id)
}

/// Adds a status unless the newest one says the same.
pub(super) async fn publish_status(api: &Api, update: &DeploymentUpdate<'_>) -> PortResult<()> {
    let description: String = update.description.chars().take(DESCRIPTION).collect();
    let newest = newest_status(api, update.repo, update.deployment.as_str()).await?;
    if newest.is_some_and(|status| status.says(update, &description)) {
        return Ok(());
    }
    let mut body = json!({ "state": update.state.as_str(), "description": description });
    for (name, url) in [("environment_url", update.environment_url), ("log_url", update.log_url)] {
        if let Some(url) = url {
            body[name] = json!(url);
        }
    }
    add_status(api, update.repo, update.deployment.as_str(), body).await
}

impl Status {
    fn says(&self, update: &DeploymentUpdate<'_>, description: &str) -> bool {
        // GitHub answers an absent text as an empty one, in some places as null.
        let same = |theirs: &Option<String>, ours: Option<&str>| theirs.as_deref().unwrap_or("") == ours.unwrap_or("");
        self.state == update.state.as_str()
            && same(&self.description, Some(description))
            && same(&self.environment_url, update.environment_url)
            && same(&self.log_url, update.log_url)
    }
}

/// Sets what is active inactive, then removes the environment. GitHub keeps the deployments
/// themselves as history.
pub(super) async fn remove_environment(api: &Api, repo: &RepoName, environment: &StageName) -> PortResult<()> {
    let encoded = encode(environment.as_str());
    for deployment in list(api, repo, &format!("environment={encoded}")).await? {
        let id = deployment.id.to_string();
        let inactive = DeploymentState::Inactive.as_str();
        if newest_status(api, repo, &id).await?.is_none_or(|status| status.state != inactive) {
            add_status(api, repo, &id, json!({ "state": inactive, "description": "removed" })).await?;
        }
    }
    let path = path::repo(repo, &format!("/environments/{encoded}"));
    let answer = api.send(Who::Repo(repo, Scope::Environments), Method::DELETE, path, None).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return confirm(api, repo).await;
    }
    answer.ok(&format!("the removal of environment {environment} of {repo}")).map(drop)
}

async fn list(api: &Api, repo: &RepoName, filter: &str) -> PortResult<Vec<Deployment>> {
    let mut all: Vec<Deployment> = Vec::new();
    let first = path::repo(repo, &format!("/deployments?{filter}&per_page=100"));
    api.pages(Who::on(repo), first, &format!("the deployments of {repo}"), |mut page: Vec<Deployment>| {
        all.append(&mut page);
        ControlFlow::Continue(())
    })
    .await?;
    Ok(all)
}

async fn newest_status(api: &Api, repo: &RepoName, deployment: &str) -> PortResult<Option<Status>> {
    let ask = Ask::get(path::repo(repo, &format!("/deployments/{}/statuses?per_page=100", encode(deployment))));
    let answer = api.get(Who::on(repo), ask, Freshness::Conditional).await?;
    let statuses: Vec<Status> = answer.json(&format!("the statuses of deployment {deployment} of {repo}"))?;
    Ok(statuses.into_iter().max_by_key(|status| status.id))
}

async fn add_status(api: &Api, repo: &RepoName, deployment: &str, body: Value) -> PortResult<()> {
    let path = path::repo(repo, &format!("/deployments/{}/statuses", encode(deployment)));
    let answer = api.send(Who::on(repo), Method::POST, path, Some(body)).await?;
    answer.ok(&format!("a status of deployment {deployment} of {repo}")).map(drop)
}
