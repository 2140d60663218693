//! Teams of an organisation.

use http::StatusCode;
use serde::Deserialize;

use super::api::{Api, Who};
use super::cache::Freshness;
use super::path::segment;
use super::read::User;
use super::token::Scope;
use super::transport::Ask;
use crate::model::{RepoName, UserId};
use crate::port::{PortError, PortResult};

const SCOPE: Scope = Scope::Members;

/// Whether an account is a member, of a team below included: by login, because GitHub asks for that,
/// and believed only when the login still belongs to the numeric id, which a membership does not
/// tell.
///
/// Source: GitHub REST, "Get team membership for a user": "Team members will include the members of
/// child teams"; `state` is `pending` until an invitation is accepted; 404 without a membership.
pub(super) async fn is_in_team(api: &Api, repo: &RepoName, team: &str, login: &str, id: UserId) -> PortResult<bool> {
    #[derive(Deserialize)]
    struct Membership {
        state: String,
    }
    let (org, what) = (repo.owner(), format!("team {team} of {}", repo.owner()));
    let Some(slug) = segment(team) else { return Err(PortError::NotFound { what }) };
    let Some(user) = segment(login) else { return Ok(false) };
    let answer = look(api, repo, format!("/orgs/{org}/teams/{slug}/memberships/{user}")).await?;
    if answer.status == StatusCode::NOT_FOUND {
        // A team that was renamed must be told from one that somebody is not in.
        let found = look(api, repo, format!("/orgs/{org}/teams/{slug}")).await?;
        return found.ok(&what).map(|_| false);
    }
    let membership: Membership = answer.json(&format!("the members of {what}"))?;
    if membership.state != "active" {
        return Ok(false);
    }
    let answer = look(api, repo, format!("/users/{user}")).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(false);
    }
    let user: User = answer.json(&format!("the account {login}"))?;
    Ok(user.id == id.0)
}

async fn look(api: &Api, repo: &RepoName, path: String) -> PortResult<super::answer::Answer> {
    api.get(Who::Repo(repo, SCOPE), Ask::get(path), Freshness::Always).await
}
