//! One question to a public address, straight or through the proxy that the settings name for it.
//!
//! No redirect is followed: the address given is the only one that is ever asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use tower_service::Service;

use crate::aws::settings::OutboundProxy;
use crate::port::is_own_exhaustion;

/// What the address answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) took: Duration,
}

/// Why the address does not answer as it should, in words for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) said: String,
    pub(super) advice: &'static str,
}

const DNS: &str = "The name has no address yet: delegate the zone, or point a wildcard record at the stage's load balancer (`greenroom foundation plan` names it).";
const CERTIFICATE: &str = "The load balancer's certificate does not cover this host or is not valid yet: check `domain.certificate` and the state of the certificate.";
const CLOSED: &str =
    "The load balancer cannot be reached: look at its security group and, if there is one, at the proxy.";
const NO_TARGET: &str = "The load balancer has no healthy target for this host: look at the program's log.";
const TARGET_SILENT: &str = "The load balancer reaches no target in time: look at the security group between them, and at whether the program answers.";
const BROKEN_TARGET: &str =
    "The program closed the connection or spoke no HTTP: its keep-alive should outlast the load balancer's.";
const PROGRAM: &str =
    "The program is healthy when asked directly: look at its log, and at what it does with the `Host` header.";

/// Of nobody but this server.
const EXHAUSTED: &str = "This server has nothing left to ask with: raise its limit of open files (`ulimit -n`).";

impl Trouble {
    /// Whether it says nothing about the address: this server had nothing to ask with.
    pub(super) fn is_ours(&self) -> bool {
        self.advice == EXHAUSTED
    }
}

/// `GET address`. The body is not read.
pub(super) async fn get(address: &str, proxy: Option<&OutboundProxy>, timeout: Duration) -> Result<Answer, Trouble> {
    let uri: Uri = address.parse().map_err(|error| Trouble { said: format!("{error}"), advice: PROGRAM })?;
    let begun = Instant::now();
    match tokio::time::timeout(timeout, ask(&uri, proxy)).await {
        Ok(status) => status.map(|status| Answer { status, took: begun.elapsed() }),
        Err(_) => Err(Trouble { said: format!("no answer within {} s", timeout.as_secs_f32()), advice: CLOSED }),
    }
}

/// What a status that was not wanted hints at.
pub(super) fn wrong_status(path: &str, got: u16, wanted: u16) -> Trouble {
    let advice = match got {
        502 => BROKEN_TARGET,
        503 => NO_TARGET,
        504 => TARGET_SILENT,
        _ => PROGRAM,
    };
    Trouble { said: format!("`{path}` answered {got} in place of {wanted}"), advice }
}

async fn ask(uri: &Uri, proxy: Option<&OutboundProxy>) -> Result<u16, Trouble> {
    let is_https = uri.scheme_str() == Some("https");
    let intercept = proxy.and_then(|proxy| matcher(proxy).intercept(uri));
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    match (intercept, is_https) {
        (None, false) => talk(direct.call(uri.clone()).await.map_err(no_connection)?, uri, None).await,
        // A proxy is told the whole address of a plain request, and makes a tunnel for the others.
        (Some(via), false) => {
            let stream = direct.call(via.uri().clone()).await.map_err(no_connection)?;
            talk(stream, uri, Some(&via)).await
        }
        (None, true) => over_tls(direct, uri).await,
        (Some(via), true) => {
            let mut tunnel = Tunnel::new(via.uri().clone(), direct);
            if let Some(password) = via.basic_auth() {
                tunnel = tunnel.with_auth(password.clone());
            }
            over_tls(tunnel, uri).await
        }
    }
}

async fn over_tls<C>(connector: C, uri: &Uri) -> Result<u16, Trouble>
where
    C: Service<Uri>,
    C::Response: hyper_util::client::legacy::connect::Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let no_tls = |error: &dyn std::fmt::Display| Trouble { said: format!("no TLS: {error}"), advice: CERTIFICATE };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| no_tls(&error))?;
    // The machine's own roots know a company's proxy; the built-in ones serve a bare image.
    let config = match builder.clone().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(_) => builder.with_webpki_roots().with_no_client_auth(),
    };
    let mut connector =
        HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().wrap_connector(connector);
    let stream = connector.call(uri.clone()).await.map_err(no_connection)?;
    talk(stream, uri, None).await
}

async fn talk<S>(stream: S, uri: &Uri, proxy: Option<&Intercept>) -> Result<u16, Trouble>
where
    S: Read + Write + Unpin,
{
    let broken = |error: hyper::Error| Trouble { said: format!("no HTTP answer: {error}"), advice: CLOSED };
    let (mut sender, connection) = http1::handshake(stream).await.map_err(broken)?;
    let target = match proxy {
        Some(_) => uri.to_string(),
        None => uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
    };
    let mut request = Request::get(target)
        .header(HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(USER_AGENT, HeaderValue::from_static("greenroom-health"));
    if let Some(password) = proxy.and_then(Intercept::basic_auth) {
        request = request.header(PROXY_AUTHORIZATION, password.clone());
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| Trouble { said: format!("{uri} cannot be asked: {error}"), advice: PROGRAM })?;
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
    answered.map(|response| response.status().as_u16()).map_err(broken)
}

fn matcher(proxy: &OutboundProxy) -> Matcher {
    let plain = |secret: &Option<SecretString>| secret.as_ref().map_or(String::new(), |url| url.expose_secret().into());
    Matcher::builder().http(plain(&proxy.http)).https(plain(&proxy.https)).no(proxy.no.clone()).build()
}

/// The last cause, and what it hints at.
fn no_connection(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Trouble {
    let error = error.into();
    let mut words = error.to_string();
    let mut cause: &(dyn std::error::Error + 'static) = error.as_ref();
    let is_ours = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(is_own_exhaustion)
    };
    let mut ours = is_ours(cause);
    while let Some(deeper) = cause.source() {
        cause = deeper;
        ours |= is_ours(cause);
        words = format!("{words}: {cause}");
    }
    let lower = words.to_lowercase();
    let advice = if ours {
        EXHAUSTED
    } else if lower.contains("dns") || lower.contains("lookup address") {
        DNS
    } else if lower.contains("certificate") || lower.contains("tls") {
        CERTIFICATE
    } else {
        CLOSED
    };
    Trouble { said: format!("no connection: {cause}"), advice }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers once and hands over what it was asked.
    async fn answer_once(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heard = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let length = stream.read(&mut bytes).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        });
        (address, heard)
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        let (address, heard) = answer_once(answer).await;
        let got = get(&format!("http://{address}/health?a=1"), None, PATIENCE).await.unwrap();
        assert_eq!(got.status, 302);
        let heard = heard.await.unwrap();
        assert!(heard.starts_with("GET /health?a=1 HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains(&format!("host: {address}\r\n")), "{heard}");
    }

    #[tokio::test]
    async fn a_proxy_hears_the_whole_address_and_its_password_unless_the_host_is_excepted() {
        let (address, heard) = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let http = Some(SecretString::from(format!("http://me:pass@{address}")));
        let proxy = OutboundProxy { http, https: None, no: "direct.test".into() };
        let got = get("http://pr-1.shop.test/health", Some(&proxy), PATIENCE).await.unwrap();
        assert_eq!(got.status, 200);
        let heard = heard.await.unwrap();
        assert!(heard.starts_with("GET http://pr-1.shop.test/health HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains("host: pr-1.shop.test\r\n"), "{heard}");
        assert!(heard.contains("proxy-authorization: Basic bWU6cGFzcw==\r\n"), "{heard}");
        let excepted: Uri = "http://direct.test/".parse().unwrap();
        assert!(matcher(&proxy).intercept(&excepted).is_none());
    }

    #[test]
    fn our_own_exhaustion_is_no_trouble_of_the_address() {
        let of = |errno: rustix::io::Errno| no_connection(std::io::Error::from(errno));
        assert!(of(rustix::io::Errno::MFILE).is_ours());
        assert!(!of(rustix::io::Errno::CONNREFUSED).is_ours());
    }

    #[tokio::test]
    async fn each_trouble_has_its_hint() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let refused = get(&format!("http://{nobody}/"), None, PATIENCE).await.unwrap_err();
        assert_eq!(refused.advice, CLOSED, "{refused:?}");
        // Longer than a name can be: nobody is asked.
        let unknown = get(&format!("http://{}.invalid/", "a".repeat(64)), None, PATIENCE).await.unwrap_err();
        assert_eq!(unknown.advice, DNS, "{unknown:?}");
        for (status, advice) in [(500, PROGRAM), (502, BROKEN_TARGET), (503, NO_TARGET), (504, TARGET_SILENT)] {
            assert_eq!(wrong_status("/", status, 200).advice, advice);
        }
    }
}
