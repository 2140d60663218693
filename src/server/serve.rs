//! Accepting connections, and stopping without dropping a request.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{DoorState, router};

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
    let app = router(state);
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header_time).half_close(true);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client left early: neither is a reason to stop.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(app.clone());
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    tokio::time::timeout(limits.drain_time, graceful.shutdown()).await.map_err(|_| ServeError::Drain(limits.drain_time))
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // An answer is one small packet: it must not wait for more.
    stream.set_nodelay(true)?;
    Ok((stream, place))
}
