//! Those who ask the machine's proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What a load of requests came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) answers: BTreeMap<String, u64>,
    pub(crate) failures: Vec<String>,
}

pub(crate) struct Load {
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<Report>>,
}

impl Load {
    /// So many clients that ask without a pause.
    pub(crate) fn start(address: SocketAddr, host: &str, clients: usize) -> Self {
        let stop = CancellationToken::new();
        let tasks = (0..clients).map(|_| tokio::spawn(client(address, host.to_owned(), stop.clone()))).collect();
        Self { stop, tasks }
    }

    pub(crate) async fn stop(self) -> Report {
        self.stop.cancel();
        let mut whole = Report::default();
        for task in self.tasks {
            let part = task.await.expect("a client ends well");
            whole.failures.extend(part.failures);
            for (name, count) in part.answers {
                *whole.answers.entry(name).or_default() += count;
            }
        }
        whole
    }
}

async fn client(address: SocketAddr, host: String, stop: CancellationToken) -> Report {
    let mut report = Report::default();
    while !stop.is_cancelled() {
        match get(address, &host, "/").await {
            Ok((200, name)) => *report.answers.entry(name).or_default() += 1,
            other => report.failures.push(format!("{other:?}")),
        }
    }
    report
}

pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> Result<(u16, String), String> {
    send(address, host, path, Method::GET, "").await
}

pub(crate) async fn post(address: SocketAddr, host: &str, path: &str, body: &str) -> Result<(u16, String), String> {
    send(address, host, path, Method::POST, body).await
}

async fn send(
    address: SocketAddr,
    host: &str,
    path: &str,
    method: Method,
    body: &str,
) -> Result<(u16, String), String> {
    begin(address, host, path, method, body).await?.end().await
}

/// An answer whose head has arrived.
pub(crate) struct Begun {
    response: Response<Incoming>,
    connection: AbortOnDropHandle<hyper::Result<()>>,
}

impl Begun {
    pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> Result<Self, String> {
        begin(address, host, path, Method::GET, "").await
    }

    pub(crate) async fn end(self) -> Result<(u16, String), String> {
        let Self { response, connection } = self;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        drop(connection);
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }
}

async fn begin(address: SocketAddr, host: &str, path: &str, method: Method, body: &str) -> Result<Begun, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("{error:?}"))?;
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::builder().method(method).uri(path).header("host", host);
    // What a client claims about itself is not believed.
    let request = request.header("x-forwarded-for", "203.0.113.9").body(Full::<Bytes>::from(body.to_owned()));
    let response = sender.send_request(request.expect("a request")).await.map_err(|error| format!("{error:?}"))?;
    Ok(Begun { response, connection })
}
