//! How much and how long the door puts up with.

use std::time::Duration;

/// The door's limits; [`Limits::default`] is meant for the open internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes. GitHub caps payloads at 25 MB.
    ///
    /// Source: GitHub Docs, "Webhook events and payloads", "Payload cap".
    pub body_bytes: usize,
    /// How many bytes of all bodies are in memory at once.
    pub all_body_bytes: usize,
    /// The largest head of a request, in bytes, and what is read of a body at a time.
    pub head_bytes: usize,
    /// How long the headers of a request may take, and how long a connection may have none to send.
    pub header_time: Duration,
    /// How long the body of a request may take. GitHub itself gives up after 10 seconds.
    pub body_time: Duration,
    /// How many connections are open at once. For further ones those go that have nothing to do, or
    /// they wait.
    pub connections: usize,
    /// How long requests in flight may take after the stop.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 25 * 1024 * 1024,
            all_body_bytes: 64 * 1024 * 1024,
            head_bytes: 32 * 1024,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(10),
            connections: 1024,
            drain_time: Duration::from_secs(8),
        }
    }
}
