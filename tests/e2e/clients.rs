//! Clients of a stage: one question, or many without a pause.

use std::net::SocketAddr;

use crate::load::fresh;
pub(crate) use crate::load::{Load, Report};

/// One question on a connection of its own: status and body.
pub(crate) async fn get(proxy: SocketAddr, host: &str, path: &str) -> Result<(u16, String), String> {
    fresh(proxy, host, path).await.map(|(answer, _)| answer)
}
