//! One repository of a registry over the OCI distribution protocol: manifests and configurations.
//!
//! # Guarantees
//!
//! - Plain http is spoken with loopback hosts alone, and no redirect leads there.
//! - A password goes to the registry, or to the token service that it names over https.
//! - What is read is checked against its digest, and capped in size.
//!
//! Layers are not its business: the Docker command line moves them.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client, Method, NoProxy, Proxy, Response, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::challenge::{Challenge, basic};
use super::docker::Docker;
use super::manifest::ACCEPTED;
use crate::port::{PortError, PortResult, RegistryLogin};

const PATIENCE: Duration = Duration::from_secs(15);
/// Source: OCI distribution specification, "Pushing manifests": registries refuse more.
const MOST_BYTES: usize = 4 << 20;

/// A manifest as it is in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) digest: String,
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

/// Whether the registry does what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    Removed,
    /// It removes nothing of that kind.
    Unsupported,
}

/// A repository with a login.
pub(super) struct Remote {
    client: Client,
    base: String,
    host: String,
    path: String,
    login: Option<RegistryLogin>,
    /// What the registry accepted last.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Remote {
    /// `address` is host, port and path. Proxies are those of the Docker command line's environment.
    pub(super) fn new(address: &str, login: Option<RegistryLogin>, docker: &Docker) -> PortResult<Self> {
        let Some((host, path)) = address.split_once('/') else {
            return Err(PortError::Bug {
                context: format!("`{address}` is no repository of a registry"),
                source: None,
            });
        };
        let door = if host == "docker.io" { "registry-1.docker.io" } else { host };
        let scheme = if is_loopback(host) { "http" } else { "https" };
        Ok(Self {
            client: client(host, docker)?,
            base: format!("{scheme}://{door}/v2/{path}"),
            host: host.to_owned(),
            path: path.to_owned(),
            login,
            authorization: Mutex::default(),
        })
    }

    /// The manifest under a tag or digest.
    pub(super) async fn manifest(&self, reference: &str) -> PortResult<Option<Stored>> {
        let accept = ACCEPTED.join(", ");
        let ask = Ask { accept: Some(&accept), ..Ask::get(format!("manifests/{reference}")) };
        let answer = self.send(&ask).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = self.good(answer).await?;
        let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim().to_owned();
        let bytes = self.body(answer).await?;
        let digest = digest_of(&bytes);
        if reference.starts_with("sha256:") && reference != digest {
            return Err(PortError::retry(format!("{} answered other bytes than those of {reference}", self.host)));
        }
        Ok(Some(Stored { digest, media_type, bytes }))
    }

    /// A small blob: the configuration of an image.
    pub(super) async fn blob(&self, digest: &str) -> PortResult<Vec<u8>> {
        let answer = self.send(&Ask::get(format!("blobs/{digest}"))).await?;
        let bytes = self.body(self.good(answer).await?).await?;
        if digest_of(&bytes) == digest {
            return Ok(bytes);
        }
        Err(PortError::retry(format!("{} answered other bytes than those of {digest}", self.host)))
    }

    /// Puts a manifest that is there under one more tag.
    pub(super) async fn tag(&self, tag: &str, stored: &Stored) -> PortResult<()> {
        let ask = Ask {
            method: Method::PUT,
            path: format!("manifests/{tag}"),
            accept: None,
            body: Some((&stored.media_type, &stored.bytes)),
        };
        let answer = self.send(&ask).await?;
        self.good(answer).await.map(drop)
    }

    /// Every tag.
    pub(super) async fn tags(&self) -> PortResult<Vec<String>> {
        let mut tags: Vec<String> = Vec::new();
        loop {
            let after = tags.last().map(|last| format!("&last={last}")).unwrap_or_default();
            let answer = self.send(&Ask::get(format!("tags/list?n=1000{after}"))).await?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(tags);
            }
            let answer = self.good(answer).await?;
            // Source: OCI distribution specification, "Listing tags": a `Link` says that there is more.
            let more = answer.headers().contains_key("link");
            let page: Value = serde_json::from_slice(&self.body(answer).await?).unwrap_or_default();
            let names = page.get("tags").and_then(Value::as_array).into_iter().flatten();
            let before = tags.len();
            tags.extend(names.filter_map(Value::as_str).map(str::to_owned));
            if !more || tags.len() == before {
                return Ok(tags);
            }
        }
    }

    /// Removes a tag or, by digest, an image. Absent is success.
    pub(super) async fn remove(&self, reference: &str) -> PortResult<Removal> {
        let ask = Ask { method: Method::DELETE, ..Ask::get(format!("manifests/{reference}")) };
        let answer = self.send(&ask).await?;
        // Source: OCI distribution specification, "Deleting tags" and "Deleting manifests": 400 and 405
        // where deletion is disabled or of another kind.
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(Removal::Removed),
            StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                Ok(Removal::Unsupported)
            }
            _ => self.good(answer).await.map(|_| Removal::Removed),
        }
    }

    /// Asks, and asks once more with what the registry wants to see.
    async fn send(&self, ask: &Ask<'_>) -> PortResult<Response> {
        let known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = self.once(ask, known).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let Some(wanted) = self.authorize(answer.headers(), ask).await? else { return Ok(answer) };
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted.clone());
        self.once(ask, Some(wanted)).await
    }

    async fn once(&self, ask: &Ask<'_>, authorization: Option<HeaderValue>) -> PortResult<Response> {
        let mut request = self.client.request(ask.method.clone(), format!("{}/{}", self.base, ask.path));
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(accept) = ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some((media_type, body)) = ask.body {
            request = request.header(CONTENT_TYPE, media_type).body(body.to_vec());
        }
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    /// What the registry's challenge asks for, as far as we have it.
    async fn authorize(&self, headers: &HeaderMap, ask: &Ask<'_>) -> PortResult<Option<HeaderValue>> {
        let challenges = headers.get_all(WWW_AUTHENTICATE);
        match challenges.iter().filter_map(|value| value.to_str().ok()).find_map(Challenge::parse) {
            Some(Challenge::Basic) => Ok(self.login.as_ref().and_then(basic)),
            Some(Challenge::Bearer { realm, service }) => {
                let rights = match ask.method {
                    Method::GET => "pull",
                    Method::DELETE => "pull,delete",
                    _ => "pull,push",
                };
                let scope = format!("repository:{}:{rights}", self.path);
                self.token(&realm, service.as_deref(), &scope).await
            }
            None => Ok(None),
        }
    }

    /// Source: Docker's registry token authentication specification.
    async fn token(&self, realm: &str, service: Option<&str>, scope: &str) -> PortResult<Option<HeaderValue>> {
        let Ok(mut url) = Url::parse(realm) else { return Ok(None) };
        let is_safe = url.scheme() == "https" || url.host_str().is_some_and(is_loopback);
        if !is_safe {
            return Err(PortError::Denied {
                reason: format!("the registry {} wants its password sent to {realm}, which is not https", self.host),
            });
        }
        url.query_pairs_mut().extend_pairs(service.map(|service| ("service", service))).append_pair("scope", scope);
        let mut request = self.client.get(url);
        if let Some(header) = self.login.as_ref().and_then(basic) {
            request = request.header(AUTHORIZATION, header);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let answer = self.good(answer).await?;
        let body: Value = serde_json::from_slice(&self.body(answer).await?).unwrap_or_default();
        let token = ["token", "access_token"].iter().find_map(|name| body.get(name).and_then(Value::as_str));
        Ok(token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok()).map(sensitive))
    }

    /// Turns what is no success into what the engine does about it.
    async fn good(&self, answer: Response) -> PortResult<Response> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
        let text = self.body(answer).await.unwrap_or_default();
        let reason = reason_in(&text);
        let said = format!("the registry {} answered {}{reason}", self.host, status.as_u16());
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PortError::Denied {
                reason: format!(
                    "{said}: the server's login for it may not read or write `{}`. For ECR its role needs `ecr:*Image*`, \
                     `ecr:*Layer*` and `ecr:GetAuthorizationToken`; for another registry log in on the server with \
                     `docker login {}`",
                    self.path, self.host
                ),
            },
            _ => PortError::Retry { reason: said, after_millis: wait.map(|seconds| seconds.clamp(0, 600) * 1000) },
        })
    }

    async fn body(&self, mut answer: Response) -> PortResult<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(&error))? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(PortError::retry(format!("the registry {} answered more than is read", self.host)));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The last cause alone: the whole text carries the address with its query.
    fn unreachable(&self, error: &reqwest::Error) -> PortError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        PortError::retry(format!("the registry {} cannot be reached: {cause}", self.host))
    }
}

/// One request.
struct Ask<'a> {
    method: Method,
    /// Below the repository.
    path: String,
    accept: Option<&'a str>,
    body: Option<(&'a str, &'a [u8])>,
}

impl Ask<'_> {
    fn get(path: String) -> Self {
        Self { method: Method::GET, path, accept: None, body: None }
    }
}

/// Whether a host, with or without a port, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn client(host: &str, docker: &Docker) -> PortResult<Client> {
    let bug = |error: reqwest::Error| PortError::bug("setting up the connection to a registry", error);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PortError::bug("setting up TLS", error))?;
    let tls = hyper_rustls::ConfigBuilderExt::with_native_roots(tls.clone())
        // A bare image has no roots of its own.
        .unwrap_or_else(|_| hyper_rustls::ConfigBuilderExt::with_webpki_roots(tls));
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls.with_no_client_auth())
        .timeout(PATIENCE)
        // The environment is the composition root's to read.
        .no_proxy();
    if is_loopback(host) {
        return builder.redirect(reqwest::redirect::Policy::none()).build().map_err(bug);
    }
    // ECR answers a blob with a redirect to where it lies; authorization stays behind.
    builder = builder.https_only(true).redirect(reqwest::redirect::Policy::limited(3));
    let proxy =
        ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].iter().find_map(|name| docker.variable(name));
    if let Some(proxy) = proxy {
        let direct = ["NO_PROXY", "no_proxy"].iter().find_map(|name| docker.variable(name));
        let proxy = Proxy::all(proxy).map_err(bug)?.no_proxy(direct.and_then(NoProxy::from_string));
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(bug)
}

pub(super) fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// `: MANIFEST_UNKNOWN: not there`. Source: OCI distribution specification, "Error codes".
fn reason_in(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| {
        let text = body.pointer(&format!("/errors/0/{name}")).and_then(Value::as_str).unwrap_or_default();
        text.chars().filter(|c| !c.is_control()).take(200).collect::<String>()
    };
    let mut said = vec![String::new()];
    said.extend([field("code"), field("message")].into_iter().filter(|text| !text.is_empty()));
    said.join(": ")
}

#[cfg(test)]
mod tests;
