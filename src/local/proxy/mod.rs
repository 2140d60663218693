//! The public door of this machine: leads each request to the version that its host is routed to.
//!
//! Guarantees: a switch of versions fails no request; bodies and upgraded connections stream both ways; what
//! a client claims about forwarding is replaced; a version's requests in flight are counted until
//! their last byte; every answer of a version names it in [`VERSION_HEADER`]; connections are limited,
//! and that we have none left is never told as a program's fault.

mod forward;
mod forwarded;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::crowd::{Crowd, Guest};
pub(super) use routes::{Routes, Upstream};

/// Names the version that answered; absent on the proxy's own pages.
pub(super) const VERSION_HEADER: &str = "x-greenroom-version";

/// On the proxy's own page that says that this server, not the program, cannot serve the request.
pub(super) const BUSY_HEADER: &str = "x-greenroom-busy";

/// The largest head of a request or an answer, in bytes, and what is read of a body at a time.
const HEAD_BYTES: usize = 64 * 1024;
/// A client that takes longer to send its request's head is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long open requests may go on when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

/// A listening proxy.
pub(super) struct Proxy {
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Proxy {
    /// Serves on `listener` until [`Self::stop`] or until `halt` is cancelled.
    pub(super) fn serve(
        listener: TcpListener,
        routes: Arc<Routes>,
        crowd: Arc<Crowd>,
        halt: &CancellationToken,
    ) -> Self {
        let proxy = Self { stop: halt.child_token(), connections: TaskTracker::new() };
        let (stop, connections) = (proxy.stop.clone(), proxy.connections.clone());
        proxy.connections.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, peer)) => {
                        let guest = tokio::select! {
                            () = stop.cancelled() => return,
                            guest = crowd.admit(peer.ip()) => guest,
                        };
                        connections.spawn(connection(stream, peer, guest, Arc::clone(&routes), stop.clone()));
                    }
                    Err(error) => {
                        // Out of file descriptors, as a rule: connections that end free some.
                        tracing::warn!(%error, "the proxy cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        });
        proxy
    }

    /// Accepts nothing more and lets open requests end for a few seconds.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.connections.wait()).await.is_err() {
            tracing::info!("stopped the proxy with requests still open");
        }
    }
}

/// Serves one client until it leaves, errs, or the proxy stops.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    guest: Arc<Guest>,
    routes: Arc<Routes>,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays with delayed small packets");
    }
    let caller = Arc::clone(&guest);
    let service = service_fn(move |request| {
        let (routes, work) = (Arc::clone(&routes), caller.at_work());
        async move { Ok::<_, io::Error>(forward::handle(&routes, peer, work, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = guest.sent_away() => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
}
