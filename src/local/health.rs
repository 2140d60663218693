//! Asking a program, over HTTP, how it is.
//!
//! Guarantees: that we have nothing to ask with is told apart from a program that does not answer; a program
//! is asked at each of its addresses until one takes the connection.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::port::is_own_exhaustion;

/// A program's head of an answer is never larger, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// Of an answer that is no HTTP, so many bytes are shown.
const SAID_BYTES: usize = 40;
/// How long such a program is listened to.
const SAID_WAIT: Duration = Duration::from_secs(1);

/// A program of this machine that takes connections takes them at once.
const REACH: Duration = Duration::from_secs(1);

/// Why there is no answer, in words for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nobody takes the connection, at any of its addresses.
    Absent(u16),
    Theirs(String),
    /// This server had nothing to ask with: of the program nothing is known.
    Ours(String),
}

/// What a probe got.
#[derive(Debug)]
pub(super) struct Answer {
    /// Which of the addresses answered.
    pub(super) from: SocketAddr,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) took: Duration,
}

/// `GET path` at the first of the addresses that takes a connection, or what went wrong. The body is not read.
pub(super) async fn get(
    addresses: &[SocketAddr],
    host: &str,
    path: &str,
    timeout: Duration,
) -> Result<Answer, Silence> {
    let begun = Instant::now();
    let late = || Silence::Theirs(format!("no answer within {} s", timeout.as_secs_f32()));
    tokio::time::timeout(timeout, ask(addresses, host, path, begun)).await.unwrap_or_else(|_| Err(late()))
}

/// The first of the addresses that takes a connection; the first of all where none does, within [`REACH`].
pub(super) async fn reachable(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    match tokio::time::timeout(REACH, connect(addresses)).await {
        Ok(Ok((_, address))) => Some(address),
        Ok(Err(_)) | Err(_) => addresses.first().copied(),
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Silence> {
    let mut why = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, *address)),
            // What the first address says counts: a machine may have no second family at all.
            Err(error) => {
                why.get_or_insert_with(|| no_connection(*address, &error));
            }
        }
    }
    Err(why.unwrap_or_else(|| Silence::Theirs("it has no address".to_owned())))
}

async fn ask(addresses: &[SocketAddr], host: &str, path: &str, begun: Instant) -> Result<Answer, Silence> {
    let (stream, from) = connect(addresses).await?;
    let mut client = http1::Builder::new();
    client.max_buf_size(HEAD_BYTES);
    let broken = |error: hyper::Error| Silence::Theirs(format!("no HTTP answer: {error}"));
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
    match answered {
        Ok(response) => {
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Ok(Answer { from, status, headers, took: begun.elapsed() })
        }
        Err(error) if error.is_parse() => Err(Silence::Theirs(no_http(&said(from, host, path).await))),
        Err(error) if error.is_incomplete_message() => {
            Err(Silence::Theirs("it takes the connection and closes it without an answer".to_owned()))
        }
        Err(error) => Err(broken(error)),
    }
}

/// What a program that speaks no HTTP says to the same question.
async fn said(address: SocketAddr, host: &str, path: &str) -> Vec<u8> {
    let mut bytes = vec![0; SAID_BYTES];
    let listen = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        stream.read(&mut bytes).await
    };
    let count: usize = tokio::time::timeout(SAID_WAIT, listen).await.ok().and_then(io::Result::ok).unwrap_or_default();
    bytes.truncate(count);
    bytes
}

fn no_http(said: &[u8]) -> String {
    match said {
        // Source: RFC 8446, section 5.1: an alert, then the version 3.x.
        [0x15, 0x03, ..] => "it speaks TLS where plain HTTP is wanted".to_owned(),
        [] => "what it answers is no HTTP".to_owned(),
        said => format!("what it answers is no HTTP: {:?}", String::from_utf8_lossy(said)),
    }
}

fn no_connection(address: SocketAddr, error: &io::Error) -> Silence {
    let port = address.port();
    match error.kind() {
        _ if is_own_exhaustion(error) => Silence::Ours(format!("this server has nothing left to ask with: {error}")),
        io::ErrorKind::ConnectionRefused => Silence::Absent(port),
        _ => Silence::Theirs(format!("no connection to port {port}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use rustix::io::Errno;
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[test]
    fn our_own_exhaustion_says_nothing_about_the_program() {
        let address = SocketAddr::from(([127, 0, 0, 1], 20_001));
        let silence = |errno: Errno| no_connection(address, &errno.into());
        assert!(matches!(silence(Errno::MFILE), Silence::Ours(_)));
        assert!(matches!(silence(Errno::ADDRNOTAVAIL), Silence::Ours(_)));
        assert_eq!(silence(Errno::CONNREFUSED), Silence::Absent(20_001));
        assert!(matches!(silence(Errno::HOSTUNREACH), Silence::Theirs(_)));
    }

    /// A port on which everybody hears the same.
    async fn speaker(ip: impl Into<IpAddr>, words: &'static [u8]) -> u16 {
        let listener = TcpListener::bind((ip.into(), 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut asked = vec![0; 1024];
                    let _ = stream.read(&mut asked).await;
                    let _ = stream.write_all(words).await;
                });
            }
        });
        port
    }

    fn both(port: u16) -> [SocketAddr; 2] {
        [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
    }

    #[tokio::test]
    async fn a_program_of_the_second_family_is_found_there() {
        if !super::super::sockets::has_second_family() {
            return;
        }
        let port = speaker(Ipv6Addr::LOCALHOST, b"HTTP/1.1 204 No Content\r\n\r\n").await;
        let answer = get(&both(port), "localhost", "/", PATIENCE).await.expect("an answer");
        assert_eq!((answer.status, answer.from), (204, both(port)[1]));
        assert_eq!(reachable(&both(port)).await, Some(both(port)[1]));
        assert_eq!(get(&both(port)[..1], "localhost", "/", PATIENCE).await.err(), Some(Silence::Absent(port)));
        assert_eq!(reachable(&both(port)[..1]).await, Some(both(port)[0]));
        assert_eq!(reachable(&[]).await, None);
    }

    #[tokio::test]
    async fn who_takes_no_connection_holds_nobody_up() {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let listener = socket.listen(1).expect("it listens");
        let address = listener.local_addr().expect("an address");
        // Nobody accepts. Once the queue is full, the kernel lets whoever comes wait for two minutes.
        let mut waiting = Vec::new();
        while let Ok(stream) = tokio::time::timeout(REACH, TcpStream::connect(address)).await {
            waiting.push(stream.expect("a place in the queue"));
        }
        let reached = tokio::time::timeout(PATIENCE, reachable(&[address])).await;
        assert_eq!(reached.ok(), Some(Some(address)), "{} wait", waiting.len());
    }

    #[tokio::test]
    async fn who_speaks_something_else_is_quoted() {
        let cases: [(&'static [u8], &str); 3] = [
            (b"SSH-2.0-OpenSSH_9.6\r\n", r#"is no HTTP: "SSH-2.0-OpenSSH_9.6\r\n""#),
            (b"\x15\x03\x01\x00\x02\x02\x46", "it speaks TLS"),
            (b"", "closes it without an answer"),
        ];
        for (words, told) in cases {
            let port = speaker(Ipv4Addr::LOCALHOST, words).await;
            let silence = get(&both(port), "localhost", "/", PATIENCE).await.err();
            assert!(matches!(&silence, Some(Silence::Theirs(said)) if said.contains(told)), "{told}: {silence:?}");
        }
    }
}
