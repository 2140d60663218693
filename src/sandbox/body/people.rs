//! People, organisations and teams.

use serde_json::{Value, json};

use super::{extend, user};
use crate::sandbox::record::{Account, Membership, Team};
use crate::sandbox::world::{World, iso, node_id};

/// A `public-user`.
pub(in crate::sandbox) fn public_user(world: &World, account: &Account) -> Value {
    let at = iso(world.app.created_at);
    let mut value = user(&world.base, account);
    extend(
        &mut value,
        json!({
            "name": null,
            "company": null,
            "blog": "",
            "location": null,
            "email": null,
            "hireable": null,
            "bio": null,
            "public_repos": 0,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": at,
            "updated_at": at,
        }),
    );
    value
}

/// An `organization-simple`.
pub(in crate::sandbox) fn organization(world: &World, owner: &Account) -> Value {
    let url = format!("{}/orgs/{}", world.base, owner.login);
    json!({
        "login": owner.login,
        "id": owner.id,
        "node_id": node_id("Organization", owner.id),
        "url": url,
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events"),
        "hooks_url": format!("{url}/hooks"),
        "issues_url": format!("{url}/issues"),
        "members_url": format!("{url}/members{{/member}}"),
        "public_members_url": format!("{url}/public_members{{/member}}"),
        "avatar_url": format!("{}/avatars/{}", world.base, owner.id),
        "description": "",
    })
}

/// Where a team is: by the organisation's number on GitHub, by its name here.
fn team_url(world: &World, org: &str, slug: &str) -> String {
    format!("{}/orgs/{org}/teams/{slug}", world.base)
}

/// A `team-full`.
pub(in crate::sandbox) fn team(world: &World, org: &Account, slug: &str, team: &Team) -> Value {
    let (login, at) = (&org.login, iso(team.created_at));
    let url = team_url(world, login, slug);
    json!({
        "id": team.id,
        "node_id": node_id("Team", team.id),
        "url": url,
        "html_url": format!("{}/orgs/{login}/teams/{slug}", world.base),
        "name": slug,
        "slug": slug,
        "description": null,
        "privacy": "closed",
        "notification_setting": "notifications_enabled",
        "permission": "pull",
        "members_url": format!("{url}/members{{/member}}"),
        "repositories_url": format!("{url}/repos"),
        "parent": null,
        "members_count": team.members.values().filter(|member| **member == Membership::Active).count(),
        "repos_count": 0,
        "created_at": at,
        "updated_at": at,
        "organization": team_organization(world, org),
        "type": "organization",
        "organization_id": org.id,
    })
}

/// A `team-organization`.
fn team_organization(world: &World, org: &Account) -> Value {
    let at = iso(world.app.created_at);
    let mut value = organization(world, org);
    extend(
        &mut value,
        json!({
            "html_url": format!("{}/{}", world.base, org.login),
            "has_organization_projects": true,
            "has_repository_projects": true,
            "public_repos": 0,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "type": "Organization",
            "created_at": at,
            "updated_at": at,
            "archived_at": null,
        }),
    );
    value
}

/// A `team-membership`.
pub(in crate::sandbox) fn membership(world: &World, org: &str, slug: &str, login: &str, held: Membership) -> Value {
    json!({
        "url": format!("{}/memberships/{login}", team_url(world, org, slug)),
        "role": "member",
        "state": match held {
            Membership::Active => "active",
            Membership::Pending => "pending",
        },
    })
}
