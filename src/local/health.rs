//! Asking a program, over HTTP, how it is.
//!
//! Guarantee: that we have nothing to ask with is told apart from a program that does not answer.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::port::is_own_exhaustion;

/// A program's head of an answer is never larger, in bytes.
const HEAD_BYTES: usize = 64 * 1024;

/// Why there is no answer, in words for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silence {
    Theirs(String),
    /// This server had nothing to ask with: of the program nothing is known.
    Ours(String),
}

/// What a probe got.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) took: Duration,
}

/// `GET path`, or what went wrong. The body is not read.
pub(super) async fn get(address: SocketAddr, host: &str, path: &str, timeout: Duration) -> Result<Answer, Silence> {
    let begun = Instant::now();
    match tokio::time::timeout(timeout, ask(address, host, path)).await {
        Ok(answer) => answer.map(|(status, headers)| Answer { status, headers, took: begun.elapsed() }),
        Err(_) => Err(Silence::Theirs(format!("no answer within {} s", timeout.as_secs_f32()))),
    }
}

async fn ask(address: SocketAddr, host: &str, path: &str) -> Result<(u16, HeaderMap), Silence> {
    let stream = TcpStream::connect(address).await.map_err(|error| no_connection(address, &error))?;
    let broken = |error: hyper::Error| Silence::Theirs(format!("no HTTP answer: {error}"));
    let mut client = http1::Builder::new();
    client.max_buf_size(HEAD_BYTES);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, "greenroom-health")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Silence::Theirs(format!("{path:?} cannot be asked: {error}")))?;
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

fn no_connection(address: SocketAddr, error: &io::Error) -> Silence {
    let port = address.port();
    match error.kind() {
        _ if is_own_exhaustion(error) => Silence::Ours(format!("this server has nothing left to ask with: {error}")),
        io::ErrorKind::ConnectionRefused => Silence::Theirs(format!("nothing listens on port {port}")),
        _ => Silence::Theirs(format!("no connection to port {port}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn our_own_exhaustion_says_nothing_about_the_program() {
        let address = SocketAddr::from(([127, 0, 0, 1], 20_001));
        let silence = |errno: Errno| no_connection(address, &errno.into());
        assert!(matches!(silence(Errno::MFILE), Silence::Ours(_)));
        assert!(matches!(silence(Errno::ADDRNOTAVAIL), Silence::Ours(_)));
        assert_eq!(silence(Errno::CONNREFUSED), Silence::Theirs("nothing listens on port 20001".into()));
        assert!(matches!(silence(Errno::HOSTUNREACH), Silence::Theirs(_)));
    }
}
