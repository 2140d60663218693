//! One HTTP GET, as a browser on this machine would do it.
//!
//! Names under `.localhost` mean this machine (RFC 6761, section 6.3), but not every resolver knows
//! them: they are connected to on loopback, with the name in the `Host` header.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use http::header::{HOST, HeaderMap};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::{Host, Url};

const PATIENCE: Duration = Duration::from_secs(10);
/// More than any page of the demo has.
const MOST_BYTES: usize = 256 * 1024;

/// What an address answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) took: Duration,
}

/// Asks an `http` address for its page.
pub(super) async fn get(url: &str) -> anyhow::Result<Answer> {
    let begun = Instant::now();
    match tokio::time::timeout(PATIENCE, ask(url)).await {
        Ok(answer) => {
            let (status, headers, body) = answer?;
            Ok(Answer { status, headers, body, took: begun.elapsed() })
        }
        Err(_) => bail!("{url} did not answer within {} s", PATIENCE.as_secs()),
    }
}

async fn ask(url: &str) -> anyhow::Result<(u16, HeaderMap, String)> {
    let url = Url::parse(url).with_context(|| format!("{url} is not an address"))?;
    let host = match url.host().context("the address has no host")? {
        Host::Domain(name) if name == "localhost" || name.ends_with(".localhost") => "127.0.0.1".to_owned(),
        host => host.to_string(),
    };
    let port = url.port_or_known_default().context("the address has no port")?;
    let stream = TcpStream::connect((host, port)).await.with_context(|| format!("nothing listens on port {port}"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let authority = url.authority().to_owned();
    let request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(HOST, authority)
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok((head.status.as_u16(), head.headers, text))
    };
    // Driven here and not in a task of its own: it ends with the asking. Its own error shows in the
    // exchange.
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error.into()),
        },
    }
}
