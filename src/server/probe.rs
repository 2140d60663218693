//! What operators and load balancers ask.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::DoorState;

/// The process answers. It says nothing else about itself.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The database answers as well.
pub(super) async fn readyz(State(state): State<DoorState>) -> (StatusCode, &'static str) {
    match state.store.ping().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}

/// The metrics in Prometheus' text format.
pub(super) async fn metrics(State(state): State<DoorState>) -> Response {
    let now = state.clock.now();
    let counts = match state.store.counts(now).await {
        Ok(counts) => Some(counts),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database's numbers cannot be read");
            None
        }
    };
    state.metrics.set_counts(counts, now);
    match state.metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
