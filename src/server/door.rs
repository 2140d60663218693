//! `POST /webhook`: headers, size, signature, parse, one call of the store, answer.

use std::net::Ipv4Addr;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::bodies::{Full, Share};
use super::form::{is_form, not_json};
use super::metrics::Fate;
use super::{Door, DoorState};
use crate::crowd::Peer;
use crate::model::{Chore, DeliveryId, Event, Lane, RepoName, RepoSeen};
use crate::port::{InboxContent, NewDelivery, PortError, PortResult, Receipt};
use crate::wire::{self, HeadError, Message, Parsed, Poison, WireError};

type Answer = (StatusCode, &'static str);

const ACCEPTED: Answer = (StatusCode::ACCEPTED, "accepted\n");
const UNSIGNED: Answer = (StatusCode::UNAUTHORIZED, "the signature does not hold\n");
const UNNAMED: Answer = (StatusCode::BAD_REQUEST, "X-GitHub-Event or X-GitHub-Delivery is missing\n");
const BUSY: Answer = (StatusCode::SERVICE_UNAVAILABLE, "busy: have it sent again\n");
const TOO_LARGE: Answer = (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n");

/// Takes one delivery in.
pub(super) async fn webhook(State(door): State<Door>, request: Request) -> Response {
    let Door { state, bodies } = door;
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let event = wire::event_label(header(&parts.headers, "x-github-event"));
    state.metrics.count(event, Fate::Received);
    // As long as the body is in memory.
    let peer = parts.extensions.get().copied().unwrap_or_else(|| Peer::of(Ipv4Addr::UNSPECIFIED.into()));
    let announced = header(&parts.headers, CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
    let mut share = bodies.share(peer, announced);
    let (fate, answer) = match read(&state, &parts.headers, announced, body, &mut share).await {
        Ok(body) => judge(&state, event, &parts.headers, &body).await,
        Err(answer) => (Fate::Rejected, answer),
    };
    drop(share);
    state.metrics.count(event, fate);
    state.metrics.observe_latency(begun.elapsed().as_secs_f64());
    let mut response = answer.into_response();
    if answer.0 == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    }
    response
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The whole body within the limits of size and time, if the headers can be those of a delivery.
async fn read(
    state: &DoorState,
    headers: &HeaderMap,
    announced: Option<usize>,
    body: Body,
    share: &mut Share,
) -> Result<Vec<u8>, Answer> {
    let limits = state.limits;
    if announced.is_some_and(|length| length > limits.body_bytes) {
        return Err(TOO_LARGE);
    }
    let head = |name| header(headers, name);
    match wire::check_head(head("x-github-event"), head("x-github-delivery"), head("x-hub-signature-256")) {
        Ok(()) => {}
        Err(HeadError::Signature(_)) => return Err(UNSIGNED),
        Err(HeadError::Named(_)) => return Err(UNNAMED),
    }
    match tokio::time::timeout(limits.body_time, collect(body, limits.body_bytes, share)).await {
        Ok(collected) => collected,
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body took too long\n")),
    }
}

/// Not by frames that are put together afterwards: then every body would be in memory twice.
async fn collect(mut body: Body, most: usize, share: &mut Share) -> Result<Vec<u8>, Answer> {
    let mut bytes = Vec::new();
    let taken_away = share.taken_away();
    loop {
        let frame = tokio::select! {
            biased;
            () = taken_away.cancelled() => return Err(BUSY),
            frame = body.frame() => frame,
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| (StatusCode::BAD_REQUEST, "the body ended early\n"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(TOO_LARGE);
        }
        if let Some(more) = lacking(&bytes, data.len(), most) {
            share.grow(more).map_err(|Full| BUSY)?;
            bytes.reserve_exact(bytes.capacity() - bytes.len() + more);
        }
        bytes.extend_from_slice(&data);
    }
    share.whole().map_err(|Full| BUSY)?;
    Ok(bytes)
}

/// How many bytes of memory a body needs beyond what it has, for so many that have come: at least a quarter
/// of what it has, so that it moves seldom. A vector that grows by itself doubles, which nobody counts.
fn lacking(body: &Vec<u8>, coming: usize, most: usize) -> Option<usize> {
    let needed = (body.len() + coming).saturating_sub(body.capacity());
    let spare = most.saturating_sub(body.capacity());
    (needed > 0).then(|| needed.max((body.capacity() / 4).min(spare)))
}

/// What is sent again within this is the same look.
const LOOK_MILLIS: i64 = 10_000;

async fn judge(state: &DoorState, event: &str, headers: &HeaderMap, body: &[u8]) -> (Fate, Answer) {
    let body_hash = match wire::verify(body, header(headers, "x-hub-signature-256"), &state.secrets) {
        Ok(signature) => signature,
        Err(error) => {
            tracing::warn!(event, bytes = body.len(), %error, "a webhook was refused");
            return (Fate::Rejected, UNSIGNED);
        }
    };
    state.metrics.count(event, Fate::Verified);
    let parsed = wire::parse(header(headers, "x-github-event"), header(headers, "x-github-delivery"), body);
    match parsed {
        Ok(Message { parsed: Parsed::Ping, .. }) => (Fate::Ignored, (StatusCode::OK, "pong\n")),
        Ok(Message { parsed: Parsed::Ignored { why }, id }) => {
            tracing::debug!(event, delivery = %id, why, "a delivery was ignored");
            (Fate::Ignored, (StatusCode::ACCEPTED, "ignored\n"))
        }
        Ok(Message { parsed: Parsed::Event(content, seen), id }) => {
            let content = match known(state, seen.as_ref()).await {
                Ok(Some(key)) => content.of_repo(&key),
                Ok(None) => content,
                Err(error) => return not_stored(&id, &error),
            };
            let lane = lane_of(&content);
            let content = InboxContent::Event(Box::new(content));
            store(state, NewDelivery { id, body_hash, lane, content, at: state.clock.now() }, Fate::Accepted).await
        }
        Err(WireError::Poison(poison)) => {
            let Poison { id, repo, reason, excerpt } = *poison;
            tracing::warn!(event, delivery = %id, reason, "a signed delivery lacks what its event must have");
            let lane = match known(state, repo.as_ref()).await {
                Ok(Some(key)) => match look(state, &id, &key).await {
                    Ok(_) => Lane::Repo(key),
                    Err(error) => return not_stored(&id, &error),
                },
                // Of whomever it speaks: all are looked at.
                Ok(None) => Lane::Chore(Chore::Reconcile),
                Err(error) => return not_stored(&id, &error),
            };
            let content = InboxContent::Poison { reason, excerpt };
            store(state, NewDelivery { id, body_hash, lane, content, at: state.clock.now() }, Fate::Poison).await
        }
        Err(WireError::NotJson) => {
            // A form is how the App was set up: whatever comes is one, and the looks would not end.
            if !is_form(body) {
                look_at_all(state).await;
            }
            (Fate::Rejected, not_json(event, body))
        }
        Err(WireError::Header(_)) => (Fate::Rejected, UNNAMED),
    }
}

/// What a delivery says that cannot be read is looked for where it came from: under an id that is made of
/// its own, and before the delivery itself is on disk, so that a process which dies in between has lost
/// neither. Whoever has it sent again later means another look.
async fn look(state: &DoorState, id: &DeliveryId, repo: &RepoName) -> PortResult<Receipt> {
    let digest = Sha256::digest(format!("{id} at {}", state.clock.now().0 / LOOK_MILLIS));
    // The id of 100 characters has no room for more.
    let id = DeliveryId::new(format!("look-{}", hex::encode(&digest[..16])))
        .map_err(|error| PortError::bug("naming a look", error))?;
    let delivery = NewDelivery {
        id,
        body_hash: digest.into(),
        lane: Lane::Repo(repo.clone()),
        content: InboxContent::Event(Box::new(Event::Reconcile { repo: repo.clone() })),
        at: state.clock.now(),
    };
    state.store.receive(delivery).await
}

/// What is signed and no JSON says not even of which repository it is: all are looked at, as often as the
/// engine lists them. GitHub is refused it all the same, and notes that.
async fn look_at_all(state: &DoorState) {
    match state.store.ring(&Lane::Chore(Chore::Reconcile), state.clock.now()).await {
        Ok(()) => state.bell.notify_one(),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "what a delivery without JSON said is not looked for"
            );
        }
    }
}

/// Whose bell an event rings: what is about no one repository is a look at all of them.
fn lane_of(event: &Event) -> Lane {
    event.repo().map_or(Lane::Chore(Chore::Reconcile), |repo| Lane::Repo(repo.clone()))
}

/// As what the repository is known here: an event's name is that of the moment, and may be another
/// repository's by now, or have been before.
async fn known(state: &DoorState, seen: Option<&RepoSeen>) -> PortResult<Option<RepoName>> {
    match seen {
        Some(seen) => state.store.hear(seen, state.clock.now()).await.map(Some),
        None => Ok(None),
    }
}

/// GitHub notes the failure, and the healing has it sent again.
fn not_stored(id: &DeliveryId, error: &PortError) -> (Fate, Answer) {
    tracing::error!(delivery = %id, error = error as &dyn std::error::Error, "a delivery could not be stored");
    (Fate::Failed, (StatusCode::SERVICE_UNAVAILABLE, "not stored: have it sent again\n"))
}

async fn store(state: &DoorState, delivery: NewDelivery, fate: Fate) -> (Fate, Answer) {
    let id = delivery.id.clone();
    match state.store.receive(delivery).await {
        Ok(Receipt::Accepted) => {
            state.bell.notify_one();
            (fate, ACCEPTED)
        }
        Ok(Receipt::Duplicate) => (Fate::Duplicate, ACCEPTED),
        Err(error) => not_stored(&id, &error),
    }
}
