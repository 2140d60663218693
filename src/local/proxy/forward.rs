//! One request: to its version and back.
//!
//! Every request gets a connection of its own to the program. On loopback that costs tens of
//! microseconds, and it rules out the request that is lost on a kept connection which the program
//! is just closing. Nothing of a request is sent before its connection stands, so one that cannot be
//! made is tried again on the version that the host leads to by then.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::routes::{InFlight, Routes};
use super::{BUSY_HEADER, HEAD_BYTES, VERSION_HEADER, forwarded};
use crate::crowd::AtWork;
use crate::port::is_own_exhaustion;

/// What goes back to the client: a version's answer or a page of ours.
type Answer = Either<Counted, Full<Bytes>>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Tried this often; between two tries there is a pause of 20 ms, 40 ms, 80 ms, ...
const TRIES: u32 = 6;

/// RFC 9110, section 7.6.1: for one connection only, never passed on.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A body that keeps its request counted until its last byte is sent or its client has left.
pub(super) struct Counted {
    body: Incoming,
    _request: InFlight,
    _work: AtWork,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a request does not reach a program.
enum NoWay {
    Unknown,
    Down,
    /// We have no connection left for it.
    Busy,
}

/// Answers one request; every failure is an answer too.
pub(super) async fn handle(
    routes: &Routes,
    peer: SocketAddr,
    work: AtWork,
    mut request: Request<Incoming>,
) -> Response<Answer> {
    let Some(authority) = authority(&request) else {
        return page(StatusCode::BAD_REQUEST, "The request names no host.");
    };
    if request.method() == Method::CONNECT {
        return page(StatusCode::METHOD_NOT_ALLOWED, "This is no forward proxy: ask for a page of a stage instead.");
    }
    let host = host_of(&authority);
    let (counted, mut sender) = match connect(routes, &host).await {
        Ok(ready) => ready,
        Err(NoWay::Unknown) => {
            let text = format!(
                "No stage answers at {host}.\n\nIt may be removed, or not live yet: the comment on its pull request says which."
            );
            return page(StatusCode::NOT_FOUND, &text);
        }
        Err(NoWay::Down) => {
            let text = format!(
                "The program behind {host} does not run at the moment; it is being started again.\n\nTry again in a few seconds. Its log says why: comment /logs on its pull request."
            );
            return page(StatusCode::SERVICE_UNAVAILABLE, &text);
        }
        Err(NoWay::Busy) => {
            let text =
                "This server has more to do than it can; the program is not at fault.\n\nTry again in a few seconds.";
            let mut page = page(StatusCode::SERVICE_UNAVAILABLE, text);
            page.headers_mut().insert(BUSY_HEADER, HeaderValue::from_static("1"));
            return page;
        }
    };
    let upgrade = upgrade_wish(&request);
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    prepare(&mut request, &authority, peer, upgrade.as_ref());
    match sender.send_request(request).await {
        Ok(response) => answer(response, counted, work, client),
        Err(error) => {
            tracing::debug!(%error, host, "a program broke off a request");
            let text = format!(
                "The program behind {host} closed the connection before it answered.\n\nIts log says why: comment /logs on its pull request."
            );
            page(StatusCode::BAD_GATEWAY, &text)
        }
    }
}

/// Connects to the version that the host leads to, trying again on what it leads to by then.
async fn connect(routes: &Routes, host: &str) -> Result<(InFlight, SendRequest<Incoming>), NoWay> {
    let mut pause = Duration::from_millis(20);
    let mut why = NoWay::Down;
    for attempt in 1..=TRIES {
        let counted = routes.enter(host).ok_or(NoWay::Unknown)?;
        if let Some(address) = counted.upstream().pick() {
            match open(address).await {
                Ok(sender) => return Ok((counted, sender)),
                Err(error) => {
                    tracing::debug!(%error, host, attempt, "there is no connection to a program");
                    why = if is_own_exhaustion(&error) { NoWay::Busy } else { NoWay::Down };
                }
            }
        }
        drop(counted);
        if attempt < TRIES {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    Err(why)
}

async fn open(address: SocketAddr) -> std::io::Result<SendRequest<Incoming>> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    let mut client = http1::Builder::new();
    client.max_buf_size(HEAD_BYTES);
    let (sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a program ended early");
        }
    });
    Ok(sender)
}

/// RFC 9112, section 3.2.2: an absolute address in the request line wins over `Host`.
fn authority(request: &Request<Incoming>) -> Option<String> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str().to_owned());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then(|| host.to_owned())
}

/// The name in `Pr-1.localhost.:8088`, lower-cased.
fn host_of(authority: &str) -> String {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The protocol that the client wants to change to.
fn upgrade_wish(request: &Request<Incoming>) -> Option<HeaderValue> {
    let connection = request.headers().get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let wished = connection.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    if wished { request.headers().get(UPGRADE).cloned() } else { None }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|word| word.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Turns the client's request into ours to the program.
fn prepare(request: &mut Request<Incoming>, authority: &str, peer: SocketAddr, upgrade: Option<&HeaderValue>) {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    forwarded::tell(headers, authority, peer.ip());
}

/// Turns the program's answer into ours to the client.
fn answer(
    mut response: Response<Incoming>,
    counted: InFlight,
    work: AtWork,
    client: Option<OnUpgrade>,
) -> Response<Answer> {
    let version = HeaderValue::from_str(counted.upstream().version());
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = response.headers().get(UPGRADE).cloned();
    let program = switched.then(|| hyper::upgrade::on(&mut response));
    remove_hop_by_hop(response.headers_mut());
    if let Ok(version) = version {
        response.headers_mut().insert(VERSION_HEADER, version);
    }
    let (client, program) = match (client, program) {
        (Some(client), Some(program)) => (client, program),
        (None, Some(_)) => return page(StatusCode::BAD_GATEWAY, "The program changed the protocol unasked."),
        (_, None) => return response.map(|body| Either::Left(Counted { body, _request: counted, _work: work })),
    };
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        response.headers_mut().insert(UPGRADE, protocol);
    }
    tokio::spawn(async move {
        let (_counted, work) = (counted, work);
        let (client, program) = match tokio::try_join!(client, program) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "a change of protocol failed"),
        };
        let (mut client, mut program) = (TokioIo::new(client), TokioIo::new(program));
        tokio::select! {
            copied = tokio::io::copy_bidirectional(&mut client, &mut program) => {
                if let Err(error) = copied {
                    tracing::debug!(%error, "an upgraded connection ended early");
                }
            }
            () = work.guest().sent_away() => tracing::debug!("an upgraded connection made room for another"),
        }
    });
    response.map(|_| Either::Right(Full::default()))
}

/// A page of the proxy itself.
fn page(status: StatusCode, text: &str) -> Response<Answer> {
    let mut response = Response::new(Either::Right(Full::from(format!("{text}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("3"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_by_name_alone() {
        for (given, name) in [
            ("Pr-1.LOCALHOST:8088", "pr-1.localhost"),
            ("pr-1.localhost", "pr-1.localhost"),
            ("pr-1.localhost.:80", "pr-1.localhost"),
        ] {
            assert_eq!(host_of(given), name);
        }
    }

    #[test]
    fn what_concerns_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ] {
            headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["accept"]);
    }
}
