//! One exchange with GitHub: bytes out, bytes in, within a deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::service::middleware::extra_headers::ExtraHeadersLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::answer::Answer;
use super::proxy::Route;
use super::settings::{ProxySettings, SetupError};
use crate::port::{PortError, PortResult};

/// A list in one piece is never larger.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// So much is read of a file, which may have 100 MB and is anybody's to write: a configuration that is
/// longer is refused for its length, whatever follows.
const FILE_BYTES: usize = 1024 * 1024;
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// GitHub allows 100 requests at once, shared by all nodes.
///
/// Source: GitHub Docs, "Rate limits for the REST API", "Secondary rate limits".
const AT_ONCE: usize = 40;

/// A body that still arrives.
pub(super) type Incoming = BoxBody<Bytes, octocrab::Error>;

/// What is asked; the path is relative to the API's address.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) accept: &'static str,
    pub(super) etag: Option<String>,
    pub(super) body: Option<Value>,
}

pub(super) const JSON: &str = "application/vnd.github+json";
pub(super) const RAW: &str = "application/vnd.github.raw+json";

impl Ask {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), accept: JSON, etag: None, body: None }
    }

    pub(super) fn send(method: Method, path: impl Into<String>, body: Option<Value>) -> Self {
        Self { method, path: path.into(), accept: JSON, etag: None, body }
    }
}

/// The connections to GitHub.
pub(super) struct Transport {
    /// Relative addresses, for the API alone.
    api: Octocrab,
    /// Absolute addresses; it never carries a token.
    plain: Octocrab,
    base: Uri,
    call_time: Duration,
    places: Semaphore,
}

impl Transport {
    /// Must be called inside a Tokio runtime.
    pub(super) fn new(api_url: &str, proxy: Option<&ProxySettings>, call_time: Duration) -> Result<Self, SetupError> {
        let base = parse_base(api_url)?;
        let connector = connector(&base, Route::new(proxy, CONNECT_TIME))?;
        let client: Client<_, OctoBody> = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_mins(1))
            .build(connector);
        let agent = Arc::new(vec![(USER_AGENT, HeaderValue::from_static("greenroom"))]);
        let builder = || {
            OctocrabBuilder::new_empty().with_service(client.clone()).with_layer(&ExtraHeadersLayer::new(agent.clone()))
        };
        let Ok(api) = builder().with_layer(&BaseUriLayer::new(base.clone())).with_auth(AuthState::None).build();
        let Ok(plain) = builder().with_auth(AuthState::None).build();
        Ok(Self { api, plain, base, call_time, places: Semaphore::new(AT_ONCE) })
    }

    /// Asks with a token, follows a moved repository on the API's own host, and reads the answer.
    pub(super) async fn exchange(&self, ask: &Ask, token: &SecretString) -> PortResult<Answer> {
        let exchange = async {
            let _place = self.places.acquire().await.map_err(|error| PortError::bug("waiting for a place", error))?;
            let answer = self.once(ask, token).await?;
            let Some(path) = self.moved_to(ask, &answer) else { return Ok(answer) };
            self.once(&Ask { path, ..ask.clone() }, token).await
        };
        tokio::time::timeout(self.call_time, exchange).await.unwrap_or_else(|_| Err(self.too_late()))
    }

    /// Fetches an absolute address without any token, up to the first byte of its body.
    pub(super) async fn fetch(&self, address: Uri) -> PortResult<Response<Incoming>> {
        let request = Request::get(address).header(ACCEPT, "*/*");
        let request = self.plain.build_request(request, None::<&()>).map_err(|_| malformed())?;
        let fetching = async { self.plain.send(request).await.map_err(|error| unreachable(&error)) };
        tokio::time::timeout(self.call_time, fetching).await.unwrap_or_else(|_| Err(self.too_late()))
    }

    /// Whether an address that GitHub sends us to may be fetched: as safe as the API's own.
    pub(super) fn trusts(&self, address: &Uri) -> bool {
        let scheme = address.scheme_str();
        address.host().is_some()
            && (scheme == Some("https") || scheme == Some("http") && scheme == self.base.scheme_str())
    }

    /// The part of an address on the API's own host that follows the API's path.
    pub(super) fn relative(&self, address: &str) -> Option<String> {
        let address: Uri = address.parse().ok()?;
        if address.authority().is_some()
            && (address.scheme() != self.base.scheme() || address.authority() != self.base.authority())
        {
            return None;
        }
        let path = address.path_and_query()?.as_str();
        let rest = path.strip_prefix(self.base.path().trim_end_matches('/'))?;
        rest.starts_with('/').then(|| rest.to_owned())
    }

    pub(super) fn too_late(&self) -> PortError {
        PortError::retry(format!("GitHub did not answer within {} s", self.call_time.as_secs()))
    }

    async fn once(&self, ask: &Ask, token: &SecretString) -> PortResult<Answer> {
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| malformed())?;
        bearer.set_sensitive(true);
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.path)
            .header(ACCEPT, ask.accept)
            .header(AUTHORIZATION, bearer);
        if let Some(etag) = &ask.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let request = self.api.build_request(request, ask.body.as_ref()).map_err(|_| malformed())?;
        let response = self.api.send(request).await.map_err(|error| unreachable(&error))?;
        let (parts, body) = response.into_parts();
        let body = if ask.accept == RAW {
            beginning(body).await?
        } else {
            let body = Limited::new(body, MOST_BYTES).collect().await;
            body.map_err(|error| unreachable(error.as_ref()))?.to_bytes()
        };
        tracing::debug!(method = %ask.method, path = ask.path, status = parts.status.as_u16(), "asked GitHub");
        Ok(Answer { status: parts.status, headers: parts.headers, body, hint: None })
    }

    /// Where a renamed or transferred repository's address points to now. A change is repeated
    /// only where the status says that it was not made.
    fn moved_to(&self, ask: &Ask, answer: &Answer) -> Option<String> {
        let moved = match answer.status {
            StatusCode::MOVED_PERMANENTLY => ask.method == Method::GET,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
            _ => false,
        };
        if moved { self.relative(answer.header(LOCATION.as_str())?) } else { None }
    }
}

/// The first of a file's bytes; the rest is not fetched.
async fn beginning(mut body: Incoming) -> PortResult<Bytes> {
    let mut bytes = Vec::new();
    while bytes.len() < FILE_BYTES
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame.map_err(|error| unreachable(&error))?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    bytes.truncate(FILE_BYTES);
    Ok(bytes.into())
}

fn parse_base(api_url: &str) -> Result<Uri, SetupError> {
    let base: Uri = api_url.trim().trim_end_matches('/').parse().map_err(|_| SetupError::ApiUrl)?;
    let is_web = matches!(base.scheme_str(), Some("http" | "https"));
    // A password in the address would end in logs and errors.
    let is_plain = base.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if is_web && is_plain && base.query().is_none() { Ok(base) } else { Err(SetupError::ApiUrl) }
}

fn connector(base: &Uri, route: Route) -> Result<HttpsConnector<Route>, SetupError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(SetupError::Tls)?;
    let config = if base.scheme_str() == Some("https") {
        // The machine's own roots know a company's proxy; the built-in ones serve a bare image.
        match builder.clone().with_native_roots() {
            Ok(with_roots) => with_roots.with_no_client_auth(),
            Err(_) => builder.with_webpki_roots().with_no_client_auth(),
        }
    } else {
        builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    };
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(route))
}

fn malformed() -> PortError {
    PortError::Bug { context: "writing a request to GitHub".into(), source: None }
}

/// The last cause alone: octocrab's own text carries a backtrace.
pub(super) fn unreachable(error: &(dyn std::error::Error + 'static)) -> PortError {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    PortError::retry(format!("GitHub cannot be reached: {cause}"))
}
