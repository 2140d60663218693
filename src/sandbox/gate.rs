//! The door of the API: faults, tokens, permissions, limits, conditional requests, transcript.

use std::sync::Arc;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::api::{Answer, Body, Call, Caller, Refusal};
use super::fault::Fault;
use super::git::{self, object_name};
use super::meter::Meter;
use super::moves::Asked;
use super::page;
use super::record::{Repo, Visibility};
use super::routes::{self, Entry, Params, Route};
use super::serve::Shared;
use super::transcript::{Exchange, Recording};
use super::world::{Level, Token, World};

#[derive(Clone)]
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    table: Arc<Vec<Route>>,
}

/// A request as it came.
struct Raw {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

/// The API, and the page of a pull request for a browser.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/{owner}/{repo}/pull/{number}", get(page::show))
        .fallback(answer)
        .with_state(Door { shared, table: Arc::new(routes::table()) })
}

async fn answer(State(door): State<Door>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let query = uri.query().unwrap_or("").as_bytes();
    let query = url::form_urlencoded::parse(query).into_owned().collect();
    let raw = Raw { method, path: uri.path().to_owned(), query, headers, body };
    let answer = decide(&mut door.shared.world(), &door.table, &raw);
    match answer {
        Some(answer) => respond(answer).await,
        None => std::future::pending().await,
    }
}

/// The whole way of a request; `None` is silence.
fn decide(world: &mut World, table: &[Route], raw: &Raw) -> Option<Answer> {
    let path = world.named(&raw.path);
    let found = routes::find(table, &raw.method, &path);
    let template = found.as_ref().map_or("", |(route, _)| route.template);
    world.transcript.count(&raw.method, template);
    let answer = match world.faults.strike(&raw.method, &raw.path, template) {
        Some(Fault::Silence) => None,
        Some(Fault::Status { status, message, headers }) => Some(broken(status, &message, headers)),
        Some(Fault::LostAnswer { status }) => {
            handle(world, found, raw);
            Some(broken(status, "Server Error", Vec::new()))
        }
        None => Some(handle(world, found, raw)),
    };
    if world.transcript.recording == Recording::Full {
        let response = match answer.as_ref().map(|answer| &answer.body) {
            Some(Body::Json(value)) => Some(value.clone()),
            _ => None,
        };
        let exchange = Exchange {
            method: raw.method.clone(),
            template,
            path: raw.path.clone(),
            query: raw.query.clone(),
            request: serde_json::from_slice(&raw.body).ok(),
            status: answer.as_ref().map_or(0, |answer| answer.status),
            response,
            at: world.now(),
        };
        world.transcript.keep(exchange);
    }
    answer
}

fn broken(status: u16, message: &str, headers: Vec<(String, String)>) -> Answer {
    let mut answer = Answer::json(
        status,
        serde_json::json!({ "message": message, "documentation_url": "https://docs.github.com/rest" }),
    );
    answer.headers.extend(headers.into_iter().map(|(name, value)| (name.into(), value)));
    answer
}

fn handle(world: &mut World, found: Option<(&Route, Params)>, raw: &Raw) -> Answer {
    let Some((route, params)) = found else { return Refusal::NotFound.answer() };
    if let Some(elsewhere) = moved(world, route.entry, &params, raw) {
        return elsewhere;
    }
    let mut call = Call {
        caller: Caller::Nobody,
        path: raw.path.clone(),
        params,
        query: raw.query.clone(),
        body: Value::Null,
        accept: header_text(&raw.headers, &header::ACCEPT).to_owned(),
    };
    let metered = !matches!(route.entry, Entry::Open | Entry::App);
    let outcome = admit(world, route.entry, &mut call, raw).and_then(|()| {
        if metered {
            let now = world.now();
            world.meter_of(&call.caller).spend(writes_content(&raw.method), now).map_err(Refusal::Overrun)?;
        }
        if !raw.body.is_empty() {
            let unreadable = |_| Refusal::invalid("body", "invalid", "Problems parsing JSON");
            call.body = serde_json::from_slice(&raw.body).map_err(unreadable)?;
        }
        (route.handler)(world, &call)
    });
    let mut answer = outcome.unwrap_or_else(Refusal::answer);
    if raw.method == Method::GET && answer.status == 200 {
        answer = conditional(world.meter_of(&call.caller), raw, answer);
    }
    if metered {
        let reading = world.meter_of(&call.caller).reading();
        let fields = [
            ("x-ratelimit-limit", reading.limit.to_string()),
            ("x-ratelimit-remaining", reading.remaining.to_string()),
            ("x-ratelimit-used", reading.used.to_string()),
            ("x-ratelimit-reset", reading.reset.to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ];
        answer.headers.extend(fields.map(|(name, value)| (name.into(), value)));
    }
    answer.with("x-github-api-version-selected", "2022-11-28").with("x-github-request-id", world.draw("request"))
}

/// GitHub's secondary limits count what creates or changes content.
fn writes_content(method: &Method) -> bool {
    [Method::POST, Method::PATCH, Method::PUT].contains(method)
}

/// Answers 304 to who has it already, which costs nothing of the rate limit.
fn conditional(meter: &mut Meter, raw: &Raw, answer: Answer) -> Answer {
    let Body::Json(body) = &answer.body else { return answer };
    // A value is always JSON.
    let tag = format!("W/\"{}\"", object_name(&[&serde_json::to_vec(body).unwrap_or_default()]));
    if header_text(&raw.headers, &header::IF_NONE_MATCH) == tag {
        meter.refund();
        return Answer::empty(304).with("etag", tag);
    }
    answer.with("etag", tag).with("cache-control", "private, max-age=60, s-maxage=60")
}

fn header_text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Where the repository of the path is by now, if that is elsewhere.
fn moved(world: &mut World, entry: Entry, params: &Params, raw: &Raw) -> Option<Answer> {
    if world.moved.is_empty() {
        return None;
    }
    let caller = match entry {
        Entry::Open => Caller::Nobody,
        _ => caller(world, shown(raw).as_ref()).ok()?,
    };
    world.redirect(params, &caller, &Asked { method: &raw.method, path: &raw.path, query: &raw.query })
}

/// The token that a request shows.
fn shown(raw: &Raw) -> Option<SecretString> {
    let shown = header_text(&raw.headers, &header::AUTHORIZATION);
    let secret = ["Bearer ", "bearer ", "token "].iter().find_map(|scheme| shown.strip_prefix(scheme));
    secret.map(SecretString::from)
}

/// Checks the token and what it may do.
fn admit(world: &mut World, entry: Entry, call: &mut Call, raw: &Raw) -> Result<(), Refusal> {
    let secret = shown(raw);
    call.caller = match entry {
        Entry::Open => Caller::Nobody,
        _ => caller(world, secret.as_ref())?,
    };
    match (entry, &call.caller) {
        (Entry::Open, _)
        | (Entry::App, Caller::App)
        | (Entry::Token, Caller::Installation(_))
        | (Entry::Listing, Caller::Installation(Token { job: None, .. })) => Ok(()),
        (Entry::App, _) => Err(Refusal::Unauthorized("A JSON web token could not be decoded")),
        (Entry::Repo(accepted), Caller::Installation(token)) => {
            let repo = call.repo(world)?;
            if token.is_for(repo) { permitted(world, token, accepted) } else { from_outside(repo, &raw.method) }
        }
        (Entry::Org(accepted), Caller::Installation(token)) => {
            if !token.owner.eq_ignore_ascii_case(call.param("org")) {
                return Err(Refusal::NotFound);
            }
            permitted(world, token, accepted)
        }
        (Entry::Token | Entry::Listing | Entry::Repo(_) | Entry::Org(_), _) => {
            Err(Refusal::Forbidden { accepted: "an installation access token".into() })
        }
    }
}

/// What a token of other repositories may do: of a public one whatever anybody may, which is to read it.
/// A private one is not there for it.
fn from_outside(repo: &Repo, method: &Method) -> Result<(), Refusal> {
    match repo.visibility {
        Visibility::Private => Err(Refusal::NotFound),
        Visibility::Public if *method == Method::GET => Ok(()),
        Visibility::Public => Err(Refusal::Forbidden { accepted: "a token for this repository".into() }),
    }
}

/// A token that holds what its app still has, or its workflow gave it.
fn permitted(world: &World, token: &Token, accepted: &[(&str, Level)]) -> Result<(), Refusal> {
    let holds = |(name, level): &(&str, Level)| {
        token.grants.get(*name).is_some_and(|held| held >= level)
            && (token.job.is_some() || world.app.grants.get(*name).is_some_and(|held| held >= level))
    };
    if accepted.iter().any(holds) {
        return Ok(());
    }
    let list: Vec<String> = accepted.iter().map(|(name, level)| format!("{name}={}", level.as_str())).collect();
    Err(Refusal::Forbidden { accepted: list.join("; ") })
}

fn caller(world: &mut World, secret: Option<&SecretString>) -> Result<Caller, Refusal> {
    let Some(secret) = secret else { return Err(Refusal::Unauthorized("Requires authentication")) };
    let (secret, now) = (secret.expose_secret(), world.now());
    if let Some(token) = world.tokens.get(secret) {
        if token.expires_at <= now {
            return Err(Refusal::Unauthorized("Bad credentials"));
        }
        return Ok(Caller::Installation(token.clone()));
    }
    if secret.contains('.') {
        return world.app.key.check(secret, now).map(|()| Caller::App).map_err(Refusal::Unauthorized);
    }
    Err(Refusal::Unauthorized("Bad credentials"))
}

async fn respond(answer: Answer) -> Response {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name.as_ref(), value);
    }
    let response = match answer.body {
        Body::Empty => response.body(HttpBody::empty()),
        Body::Json(value) => response
            .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
            .body(HttpBody::from(value.to_string())),
        Body::Bytes { kind, bytes } => response.header(header::CONTENT_TYPE, kind).body(HttpBody::from(bytes)),
        Body::Archive { repo, commit } => match tokio::task::spawn_blocking(move || git::tarball(&repo, &commit)).await
        {
            Ok(Ok(bytes)) => response.header(header::CONTENT_TYPE, "application/x-gzip").body(HttpBody::from(bytes)),
            _ => response.status(http::StatusCode::INTERNAL_SERVER_ERROR).body(HttpBody::empty()),
        },
    };
    response.unwrap_or_else(|_| {
        // A fault with a header that HTTP does not allow.
        let mut broken = Response::new(HttpBody::empty());
        *broken.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}
