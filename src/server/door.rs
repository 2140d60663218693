//! `POST /webhook`: size, signature, parse, one call of the store, answer.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::DoorState;
use super::metrics::Fate;
use crate::model::{Chore, Event, Lane};
use crate::port::{InboxContent, NewDelivery, Receipt};
use crate::wire::{self, Message, Parsed, Poison, WireError};

type Answer = (StatusCode, &'static str);

const ACCEPTED: Answer = (StatusCode::ACCEPTED, "accepted\n");

/// Takes one delivery in.
pub(super) async fn webhook(State(state): State<DoorState>, request: Request) -> Answer {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let event = wire::event_label(header(&parts.headers, "x-github-event"));
    state.metrics.count(event, Fate::Received);
    let (fate, answer) = match read(&state, &parts.headers, body).await {
        Ok(body) => judge(&state, event, &parts.headers, &body).await,
        Err(answer) => (Fate::Rejected, answer),
    };
    state.metrics.count(event, fate);
    state.metrics.observe_latency(begun.elapsed().as_secs_f64());
    answer
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The whole body within the limits of size and time.
async fn read(state: &DoorState, headers: &HeaderMap, body: Body) -> Result<Bytes, Answer> {
    const TOO_LARGE: Answer = (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n");
    let limits = state.limits;
    let announced = header(headers, CONTENT_LENGTH.as_str()).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limits.body_bytes) {
        return Err(TOO_LARGE);
    }
    match tokio::time::timeout(limits.body_time, Limited::new(body, limits.body_bytes).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LARGE),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body ended early\n")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body took too long\n")),
    }
}

async fn judge(state: &DoorState, event: &str, headers: &HeaderMap, body: &Bytes) -> (Fate, Answer) {
    let body_hash = match wire::verify(body, header(headers, "x-hub-signature-256"), &state.secrets) {
        Ok(signature) => signature,
        Err(error) => {
            tracing::warn!(event, bytes = body.len(), %error, "a webhook was refused");
            return (Fate::Rejected, (StatusCode::UNAUTHORIZED, "the signature does not hold\n"));
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
        Ok(Message { parsed: Parsed::Event(content), id }) => {
            let lane = lane_of(&content);
            let content = InboxContent::Event(Box::new(content));
            store(state, NewDelivery { id, body_hash, lane, content, at: state.clock.now() }, Fate::Accepted).await
        }
        Err(WireError::Poison(poison)) => {
            let Poison { id, repo, reason, excerpt } = *poison;
            tracing::warn!(event, delivery = %id, reason, "a signed delivery lacks what its event must have");
            let lane = repo.map_or(Lane::Chore(Chore::Reconcile), Lane::Repo);
            let content = InboxContent::Poison { reason, excerpt };
            store(state, NewDelivery { id, body_hash, lane, content, at: state.clock.now() }, Fate::Poison).await
        }
        Err(WireError::NotJson) => {
            (Fate::Rejected, (StatusCode::BAD_REQUEST, "the body is not JSON: use the content type application/json\n"))
        }
        Err(WireError::Header(_)) => {
            (Fate::Rejected, (StatusCode::BAD_REQUEST, "X-GitHub-Event or X-GitHub-Delivery is missing\n"))
        }
    }
}

/// Whose bell an event rings: what is about no one repository is a look at all of them.
fn lane_of(event: &Event) -> Lane {
    event.repo().map_or(Lane::Chore(Chore::Reconcile), |repo| Lane::Repo(repo.clone()))
}

async fn store(state: &DoorState, delivery: NewDelivery, fate: Fate) -> (Fate, Answer) {
    let id = delivery.id.clone();
    match state.store.receive(delivery).await {
        Ok(Receipt::Accepted) => {
            state.bell.notify_one();
            (fate, ACCEPTED)
        }
        Ok(Receipt::Duplicate) => (Fate::Duplicate, ACCEPTED),
        Err(error) => {
            // GitHub notes the failure, and the healing has it sent again.
            tracing::error!(delivery = %id, error = &error as &dyn std::error::Error, "a delivery could not be stored");
            (Fate::Failed, (StatusCode::SERVICE_UNAVAILABLE, "not stored: have it sent again\n"))
        }
    }
}
