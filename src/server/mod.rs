//! The HTTP door, and beside it what operators ask: two pages of routes.
//!
//! # Guarantees
//!
//! - A delivery is answered with 202 only once the store has it on disk and its lane is rung.
//! - Nothing is stored of a body that is too large, unsigned, wrongly signed or no JSON.
//! - What cannot be a delivery is refused before its body is read; bodies share a limited memory, and
//!   nobody keeps small ones out of it by filling it with what never ends.
//! - No request calls GitHub or a cloud; none waits without a limit.
//! - Connections are limited, and nobody keeps GitHub's out by holding them.
//! - Headers are never logged, and no answer names a version.

mod bodies;
mod door;
mod form;
mod limits;
mod metrics;
mod probe;
mod serve;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tokio::sync::Notify;

use crate::port::{Clock, Store};
use crate::wire::Secrets;
use bodies::Bodies;

pub use limits::Limits;
pub use metrics::DoorMetrics;
pub use serve::{ServeError, serve, serve_ops};

/// What the door needs.
#[derive(Clone)]
pub struct DoorState {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub secrets: Arc<Secrets>,
    /// Rung after every accepted delivery, so that the engine of this process wakes at once.
    pub bell: Arc<Notify>,
    pub metrics: Arc<DoorMetrics>,
    pub limits: Limits,
}

/// The door with what its requests share.
#[derive(Clone)]
struct Door {
    state: DoorState,
    bodies: Arc<Bodies>,
}

/// Everything that strangers may ask.
fn router(state: DoorState) -> Router {
    let bodies = Bodies::new(state.limits.all_body_bytes);
    Router::new()
        .route("/webhook", post(door::webhook))
        .route("/healthz", get(probe::healthz))
        .with_state(Door { state, bodies })
}

/// What operators ask, and nobody else.
fn ops_router(state: DoorState) -> Router {
    Router::new()
        .route("/healthz", get(probe::healthz))
        .route("/readyz", get(probe::readyz))
        .route("/metrics", get(probe::metrics))
        .with_state(state)
}

#[cfg(test)]
mod tests;
