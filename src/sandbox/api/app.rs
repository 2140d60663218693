//! The app itself: installations, tokens, deliveries, rate limits.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::body;
use super::super::hook::HookDelivery;
use super::super::record::Repo;
use super::super::world::{Grants, Level, World, iso};
use super::{Answer, Call, Caller, Refusal};

type Answered = Result<Answer, Refusal>;

#[expect(clippy::unnecessary_wraps, reason = "the type that every handler has")]
pub(in super::super) fn rate_limit(world: &mut World, _: &Call) -> Answered {
    let reading = world.meter.reading();
    let core = json!({
        "limit": reading.limit, "used": reading.used, "remaining": reading.remaining, "reset": reading.reset,
    });
    let search = json!({ "limit": 30, "used": 0, "remaining": 30, "reset": reading.reset });
    Ok(Answer::ok(json!({ "resources": { "core": core, "search": search }, "rate": core })))
}

#[expect(clippy::unnecessary_wraps, reason = "the type that every handler has")]
pub(in super::super) fn show(world: &mut World, _: &Call) -> Answered {
    Ok(Answer::ok(body::app(world)))
}

#[expect(clippy::unnecessary_wraps, reason = "the type that every handler has")]
pub(in super::super) fn installations(world: &mut World, call: &Call) -> Answered {
    let all: Vec<(&String, &u64)> = world.app.installations.iter().collect();
    Ok(call.page(&world.base, &all, |(owner, id)| body::installation(world, owner, **id)))
}

pub(in super::super) fn repo_installation(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let id = world.app.installations.get(&repo.owner.login).filter(|_| repo.installed).ok_or(Refusal::NotFound)?;
    Ok(Answer::ok(body::installation(world, &repo.owner.login, *id)))
}

pub(in super::super) fn access_token(world: &mut World, call: &Call) -> Answered {
    let id = call.number("installation_id")?;
    let owner = world.app.installations.iter().find(|(_, known)| **known == id).ok_or(Refusal::NotFound)?.0.clone();
    let repos = wanted_repos(world, call, &owner)?;
    let grants = wanted_grants(&world.app.grants, &call.body)?;
    let selection = if repos.is_some() { "selected" } else { "all" };
    let (text, token) = world.grant(&owner, repos, grants);
    let mut answer = json!({
        "token": text,
        "expires_at": iso(token.expires_at),
        "permissions": body::grants(&token.grants),
        "repository_selection": selection,
    });
    if token.repos.is_some() {
        let repos = world.installed(&owner).filter(|repo| token.is_for(repo));
        answer["repositories"] = repos.map(|repo| body::repo(world, repo)).collect();
    }
    Ok(Answer::json(201, answer))
}

/// Those that have these names or numbers now: a token is for them, and for nobody who has a name later.
fn wanted_repos(world: &World, call: &Call, owner: &str) -> Result<Option<Vec<u64>>, Refusal> {
    let absent = || {
        let message = "There is at least one repository that does not exist or is not accessible to the parent \
                       installation.";
        Refusal::invalid("repositories", "invalid", message)
    };
    let find = |fits: &dyn Fn(&Repo) -> bool| {
        world.installed(owner).find(|repo| fits(repo)).map(|repo| repo.id).ok_or_else(absent)
    };
    let list = |field: &str| call.body.get(field).and_then(Value::as_array);
    let names = list("repositories")
        .into_iter()
        .flatten()
        .map(|name| find(&|repo| name.as_str().is_some_and(|name| repo.name.name().eq_ignore_ascii_case(name))));
    let ids = list("repository_ids").into_iter().flatten().map(|id| find(&|repo| id.as_u64() == Some(repo.id)));
    let repos = names.chain(ids).collect::<Result<Vec<_>, _>>()?;
    let narrowed = list("repositories").is_some() || list("repository_ids").is_some();
    Ok(narrowed.then_some(repos))
}

fn wanted_grants(granted: &Grants, body: &Value) -> Result<Grants, Refusal> {
    let Some(wanted) = body.get("permissions").and_then(Value::as_object) else { return Ok(granted.clone()) };
    let mut grants = BTreeMap::from([("metadata".to_owned(), Level::Read)]);
    for (name, level) in wanted {
        let level = level.as_str().and_then(Level::parse);
        match (level, granted.get(name)) {
            (Some(level), Some(most)) if level <= *most => grants.insert(name.clone(), level),
            _ => {
                let message = "The permissions requested are not granted to this installation.";
                return Err(Refusal::invalid("permissions", "invalid", message));
            }
        };
    }
    Ok(grants)
}

pub(in super::super) fn repositories(world: &mut World, call: &Call) -> Answered {
    let Caller::Installation(token) = &call.caller else { return Err(Refusal::NotFound) };
    let repos: Vec<&Repo> = world.installed(&token.owner).filter(|repo| token.is_for(repo)).collect();
    Ok(call.counted_page(&world.base, "repositories", &repos, |repo| body::repo(world, repo)))
}

fn delivery_item(delivery: &HookDelivery) -> Value {
    let code = delivery.status.unwrap_or(0);
    let status = match code {
        200..=299 => "OK".to_owned(),
        502 => "failed to connect to host".to_owned(),
        504 => "timed out".to_owned(),
        _ => format!("Invalid HTTP Response: {code}"),
    };
    json!({
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": iso(delivery.at),
        "redelivery": delivery.redelivery,
        "duration": 0.03,
        "status": status,
        "status_code": code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.installation,
        "repository_id": delivery.repository,
        "throttled_at": null,
    })
}

/// Newest first; the cursor is the number of the last one told.
pub(in super::super) fn deliveries(world: &mut World, call: &Call) -> Answered {
    let per_page = call.query("per_page").and_then(|text| text.parse().ok()).unwrap_or(30_usize).clamp(1, 100);
    let before = match call.query("cursor").map(str::parse::<u64>) {
        None => u64::MAX,
        Some(Ok(cursor)) => cursor,
        Some(Err(_)) => return Err(Refusal::invalid("cursor", "invalid", "Invalid cursor")),
    };
    let wanted = |delivery: &&HookDelivery| {
        let arrived = delivery.status.is_some_and(|status| (200..300).contains(&status));
        match call.query("status") {
            Some("success") => arrived,
            Some("failure") => !arrived,
            _ => true,
        }
    };
    let all = world.hooks.deliveries.iter().rev();
    let mut rest = all.filter(|one| one.status.is_some() && one.id < before).filter(wanted);
    let page: Vec<&HookDelivery> = rest.by_ref().take(per_page).collect();
    let body = page.iter().map(|delivery| delivery_item(delivery)).collect::<Vec<_>>();
    let answer = Answer::ok(body.into());
    Ok(match (page.last(), rest.next()) {
        (Some(last), Some(_)) => {
            let (base, id) = (&world.base, last.id);
            answer.with("link", format!("<{base}{}?per_page={per_page}&cursor={id}>; rel=\"next\"", call.path))
        }
        _ => answer,
    })
}

pub(in super::super) fn delivery(world: &mut World, call: &Call) -> Answered {
    let delivery = world.hooks.find(call.number("delivery_id")?).ok_or(Refusal::NotFound)?;
    let mut value = delivery_item(delivery);
    let headers = json!({ "X-GitHub-Delivery": delivery.guid, "X-GitHub-Event": delivery.event });
    let payload: Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
    value["url"] = world.hooks.target.as_ref().map_or("", |target| target.url.as_str()).into();
    value["request"] = json!({ "headers": headers, "payload": payload });
    value["response"] = json!({ "headers": {}, "payload": "" });
    Ok(Answer::ok(value))
}

pub(in super::super) fn redeliver(world: &mut World, call: &Call) -> Answered {
    let attempt = call.number("delivery_id")?;
    let (id, at) = (world.id(), world.now());
    if world.hooks.redeliver(attempt, id, at) { Ok(Answer::json(202, json!({}))) } else { Err(Refusal::NotFound) }
}
