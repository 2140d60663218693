//! Accepting connections, and stopping without dropping a request.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{DoorState, Limits, ops_router, router};
use crate::crowd::{Crowd, Guest};

/// Operators are few.
const OPS_CONNECTIONS: usize = 32;

/// Why the server ended before it was told to, or not cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("requests were still running {} ms after the stop", .0.as_millis())]
    Drain(Duration),
}

/// Serves until `shutdown` resolves; then accepts nothing more, and answers what is in flight for
/// at most `limits.drain_time`.
pub async fn serve(
    listener: TcpListener,
    state: DoorState,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let limits = state.limits;
    attend(listener, router(state), limits, shutdown).await
}

/// The same for what operators ask: metrics, and whether the database answers.
pub async fn serve_ops(
    listener: TcpListener,
    state: DoorState,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let limits = Limits { connections: OPS_CONNECTIONS, ..state.limits };
    attend(listener, ops_router(state), limits, shutdown).await
}

async fn attend(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let crowd = Crowd::new(limits.connections);
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_time).half_close(true);
    builder.max_buf_size(limits.head_bytes);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &crowd) => accepted,
        };
        let (stream, guest) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client left early: neither is a reason to stop.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (app, caller) = (TowerToHyperService::new(app.clone()), Arc::clone(&guest));
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(caller.peer());
            let (work, answer) = (caller.at_work(), app.call(request));
            async move {
                let answer = answer.await;
                drop(work);
                answer
            }
        });
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                }
                () = guest.sent_away() => tracing::debug!("a connection made room for another"),
            }
        });
    }
    drop(listener);
    let mut drained = pin!(graceful.shutdown());
    let for_heads = limits.drain_time / 4;
    if timeout(for_heads, &mut drained).await.is_err() {
        // Whoever has not finished asking by now keeps nobody.
        crowd.dismiss();
        let drained = timeout(limits.drain_time.saturating_sub(for_heads), drained).await;
        drained.map_err(|_| ServeError::Drain(limits.drain_time))?;
    }
    Ok(())
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, crowd: &Arc<Crowd>) -> io::Result<(TcpStream, Arc<Guest>)> {
    let (stream, peer) = listener.accept().await?;
    let guest = crowd.admit(peer.ip()).await;
    // An answer is one small packet: it must not wait for more.
    stream.set_nodelay(true)?;
    Ok((stream, guest))
}
