//! The HTTP door: one page of routes.
//!
//! # Guarantees
//!
//! - A delivery is answered with 202 only once the store has it on disk and its lane is rung.
//! - Nothing is stored of a body that is too large, unsigned, wrongly signed or no JSON.
//! - No request calls GitHub or a cloud; none waits without a limit.
//! - Headers are never logged, and no answer names a version.

mod door;
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

pub use limits::Limits;
pub use metrics::DoorMetrics;
pub use serve::{ServeError, serve};

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

/// Everything that the server answers.
pub fn router(state: DoorState) -> Router {
    Router::new()
        .route("/webhook", post(door::webhook))
        .route("/healthz", get(probe::healthz))
        .route("/readyz", get(probe::readyz))
        .route("/metrics", get(probe::metrics))
        .with_state(state)
}

#[cfg(test)]
mod tests;
