//! Webhooks that come as forms: GitHub's page offers that beside JSON, and nothing of it is read. The ping
//! is refused like any other, so that the page shows it red, and the log says once what to change.

use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;

/// Something that is said once in the life of a process.
struct Once(AtomicBool);

impl Once {
    const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Whether it was not said yet; from now on it was.
    fn is_first(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

static TOLD: Once = Once::new();

/// What is answered to a signed body that is no JSON.
pub(super) fn not_json(event: &str, body: &[u8]) -> (StatusCode, &'static str) {
    if !is_form(body) {
        return (StatusCode::BAD_REQUEST, "the body is not JSON: use the content type application/json\n");
    }
    if TOLD.is_first() {
        tracing::warn!(
            event,
            "webhooks come as forms, and none of them is read: choose the content type application/json in the webhook \
             settings of the GitHub App. This is said once"
        );
    }
    (StatusCode::BAD_REQUEST, "the body is a form: choose the content type application/json\n")
}

/// Source: GitHub Docs, "Webhooks": as a form, the JSON is in a field called `payload`.
pub(super) fn is_form(body: &[u8]) -> bool {
    body.starts_with(b"payload=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once() {
        let told = Once::new();
        assert_eq!([told.is_first(), told.is_first(), told.is_first()], [true, false, false]);
    }

    #[test]
    fn a_form_is_told_from_what_is_no_json_at_all() {
        assert!(not_json("ping", b"payload=%7B%22zen%22%3A%22x%22%7D").1.contains("a form"));
        assert!(not_json("ping", b"{\"zen\":").1.contains("not JSON"));
    }
}
