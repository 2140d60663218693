//! Asking a program, over HTTP, how it is.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What a probe got.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) took: Duration,
}

/// `GET path`, or what went wrong, in words for a reader. The body is not read.
pub(super) async fn get(address: SocketAddr, host: &str, path: &str, timeout: Duration) -> Result<Answer, String> {
    let begun = Instant::now();
    match tokio::time::timeout(timeout, ask(address, host, path)).await {
        Ok(answer) => answer.map(|(status, headers)| Answer { status, headers, took: begun.elapsed() }),
        Err(_) => Err(format!("no answer within {} s", timeout.as_secs_f32())),
    }
}

async fn ask(address: SocketAddr, host: &str, path: &str) -> Result<(u16, HeaderMap), String> {
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => format!("nothing listens on port {}", address.port()),
        _ => format!("no connection to port {}: {error}", address.port()),
    })?;
    let broken = |error: hyper::Error| format!("no HTTP answer: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, "greenroom-health")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("{path:?} cannot be asked: {error}"))?;
    // Driven here and not in a task of its own: when the asking stops, the connection goes with it.
    let mut connection = std::pin::pin!(connection);
    let mut response = std::pin::pin!(sender.send_request(request));
    let answered = tokio::select! {
        biased;
        answered = response.as_mut() => answered,
        ended = connection.as_mut() => match ended {
            Ok(()) => response.await,
            Err(error) => Err(error),
        },
    };
    answered.map(|response| (response.status().as_u16(), response.headers().clone())).map_err(broken)
}
