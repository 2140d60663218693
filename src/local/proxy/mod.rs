//! The public door of this machine: leads each request to the version that its host is routed to.
//!
//! Guarantees: a switch of versions fails no request; a message is passed on as RFC 9110 and RFC 9112 want
//! it from a gateway, with its trailers, its hints and whatever it changes the protocol to, both ways at the
//! same time; an answer arrives although its program does not hear the request out; what cannot be passed on
//! is a page that says why, and what breaks off does not look whole; what a client claims about forwarding
//! is replaced; a version's requests in flight are counted until their last byte; every answer of a version
//! names it in [`VERSION_HEADER`]; connections are limited, and that we have none left is never told as a
//! program's fault.
//!
//! Both sides are ours, on `httparse`, because no library at hand passes on what these guarantees are about:
//! hyper's server sends no 1xx and answers `100-continue` itself, its client loses an answer when it can
//! write no more and drops the body of a GET in chunks; pingora drops trailers.
//!
//! | file | purpose |
//! |---|---|
//! | `fields`, `head`, `target` | reading what comes before a body |
//! | `framing`, `chunked`, `body` | where a body ends, and taking it apart |
//! | `hops`, `forwarded`, `question`, `reply` | what is passed on, and what is put in its place |
//! | `why`, `page` | what is said in place of an answer |
//! | `stream`, `link`, `exchange`, `client` | carrying it out |
//! | `routes` | which version a host leads to |

mod body;
mod chunked;
mod client;
mod exchange;
mod fields;
mod forwarded;
mod framing;
mod head;
mod hops;
mod link;
mod page;
mod question;
mod reply;
mod routes;
mod stream;
mod target;
mod why;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::client::House;
use crate::crowd::Crowd;
use crate::port::Clock;
pub(super) use routes::{Routes, Upstream};

/// Names the version that answered; absent on the proxy's own pages.
pub(super) const VERSION_HEADER: &str = "x-greenroom-version";

/// On the proxy's own page that says that this server, not the program, cannot serve the request.
pub(super) const BUSY_HEADER: &str = "x-greenroom-busy";

/// The largest head of a request, in bytes.
const REQUEST_HEAD_BYTES: usize = 64 * 1024;
/// The largest head of an answer, in bytes. Chromium takes none that is larger.
const ANSWER_HEAD_BYTES: usize = 256 * 1024;
/// A client that takes longer to send its request's head is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client is heard out that has been told that it is not answered any more, and how long it may
/// pause.
const LINGER_TIME: Duration = Duration::from_secs(30);
const LINGER_GAP: Duration = Duration::from_secs(5);
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
        clock: Arc<dyn Clock>,
        halt: &CancellationToken,
    ) -> Self {
        let proxy = Self { stop: halt.child_token(), connections: TaskTracker::new() };
        let house = Arc::new(House { routes, clock, stop: proxy.stop.clone() });
        let connections = proxy.connections.clone();
        proxy.connections.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = house.stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, peer)) => {
                        let guest = tokio::select! {
                            () = house.stop.cancelled() => return,
                            guest = crowd.admit(peer.ip()) => guest,
                        };
                        connections.spawn(client::serve(stream, peer, guest, Arc::clone(&house)));
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
