//! Those who ask the machine's proxy.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

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
