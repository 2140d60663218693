//! Accounts and teams.

use std::sync::Arc;

use serde_json::json;

use super::super::body;
use super::super::record::{Account, Team};
use super::super::world::World;
use super::{Answer, Call, Refusal};

type Answered = Result<Answer, Refusal>;

fn account<'w>(world: &'w World, login: &str) -> Result<&'w Arc<Account>, Refusal> {
    world.accounts.values().find(|account| account.login.eq_ignore_ascii_case(login)).ok_or(Refusal::NotFound)
}

pub(in super::super) fn user(world: &mut World, call: &Call) -> Answered {
    Ok(Answer::ok(body::public_user(world, account(world, call.param("username"))?)))
}

/// Of GitHub's GraphQL the one question that has no other answer: as whom a token acts.
#[expect(clippy::unnecessary_wraps, reason = "the type that every handler has")]
pub(in super::super) fn viewer(world: &mut World, call: &Call) -> Answered {
    let asked = call.text("query").unwrap_or_default().split_whitespace().collect::<String>();
    Ok(Answer::ok(match asked.as_str() {
        "query{viewer{login}}" => json!({ "data": { "viewer": { "login": world.actor(&call.caller).login } } }),
        _ => json!({ "errors": [{ "message": "The sandbox knows the viewer's login and nothing else." }] }),
    }))
}

fn find<'w>(world: &'w World, call: &Call) -> Result<(&'w Account, &'w str, &'w Team), Refusal> {
    let org = account(world, call.param("org"))?;
    let key = (org.login.clone(), call.param("team_slug").to_ascii_lowercase());
    let ((_, slug), team) = world.teams.get_key_value(&key).ok_or(Refusal::NotFound)?;
    Ok((org, slug, team))
}

pub(in super::super) fn team(world: &mut World, call: &Call) -> Answered {
    let (org, slug, team) = find(world, call)?;
    Ok(Answer::ok(body::team(world, org, slug, team)))
}

/// GitHub answers 404 for no membership and for no team alike.
pub(in super::super) fn membership(world: &mut World, call: &Call) -> Answered {
    let (org, slug, team) = find(world, call)?;
    let login = call.param("username").to_ascii_lowercase();
    let held = team.members.get(&login).ok_or(Refusal::NotFound)?;
    Ok(Answer::ok(body::membership(world, &org.login, slug, &login, *held)))
}
