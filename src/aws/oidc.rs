//! Credentials of a role by the token that GitHub gives a job.
//!
//! Guarantees: the token, and the one that it is asked for with, are never written anywhere; a refusal
//! says what the role asks for and what the token says; credentials are renewed before they end, each time
//! with a new token. A session taken on so carries no tags: a stage's role is taken on from it.
//!
//! Source: GitHub Docs, "OpenID Connect reference", requesting the token; AWS STS API reference,
//! `AssumeRoleWithWebIdentity`, for the errors.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError as RefusedBySts;
use aws_sdk_sts::primitives::DateTime;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::fault::fault;
use super::outbound::Outbound;
use super::settings::OutboundProxy;
use crate::decide::doors::{Door, door_of_role, trust};
use crate::model::{AUDIENCE, Branch, Claims, Issuer, RepoId, RepoIdentity, UserId};
use crate::port::{PortError, PortResult};

const CALL_TIME: Duration = Duration::from_secs(10);
/// Longest name of a session. Source: `AssumeRoleWithWebIdentity`.
const LONGEST_NAME: usize = 64;
/// What is repeated of a claim: names may be long.
const LONGEST_CLAIM: usize = 300;
/// What a token is refused for, whatever stands in it.
const UNKNOWN_PROVIDER: &str = "No OpenIDConnect provider found";

/// How a job asks for its token: `ACTIONS_ID_TOKEN_REQUEST_URL` and `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
#[derive(Debug, Clone)]
pub struct OidcRequest {
    pub url: String,
    pub token: SecretString,
}

/// How the outside is reached.
#[derive(Debug, Clone, Default)]
pub struct OidcWay {
    /// `AWS_ENDPOINT_URL`: another AWS, for tests.
    pub endpoint: Option<String>,
    pub proxy: Option<OutboundProxy>,
}

/// Credentials of the role, taken on once before this returns. Without a role those of the standard chain.
///
/// `Denied` says what to change: in the workflow, in the role's trust policy, or on AWS.
pub async fn credentials(
    request: &OidcRequest,
    role: Option<&str>,
    session_name: &str,
    region: &str,
    way: &OidcWay,
) -> PortResult<SharedCredentialsProvider> {
    let (outbound, flaw) = Outbound::new(way.proxy.as_ref(), way.endpoint.as_deref());
    if let Some(reason) = flaw {
        return Err(PortError::Denied { reason });
    }
    let times = TimeoutConfig::builder().connect_timeout(CALL_TIME).operation_timeout(CALL_TIME).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .http_client(SharedHttpClient::new(outbound))
        .retry_config(RetryConfig::disabled())
        .timeout_config(times);
    if let Some(endpoint) = &way.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let Some(role) = role else {
        let own = loader.load().await;
        return own.credentials_provider().ok_or_else(|| PortError::Denied { reason: NO_CHAIN.to_owned() });
    };
    let own = loader.no_credentials().load().await;
    let session = WebSession::new(request, role, session_name, &own, way)?;
    let first = session.fetch().await?;
    *session.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(first);
    Ok(SharedCredentialsProvider::new(session))
}

const NO_CHAIN: &str = "no credentials for AWS were found: name a role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and \
                        AWS_SECRET_ACCESS_KEY";

/// Takes the role on, again and again.
#[derive(Debug)]
struct WebSession {
    http: reqwest::Client,
    request: OidcRequest,
    sts: aws_sdk_sts::Client,
    role: String,
    name: String,
    /// What was fetched to see whether it can be, for the first who asks.
    first: Mutex<Option<Credentials>>,
}

impl WebSession {
    fn new(request: &OidcRequest, role: &str, name: &str, own: &SdkConfig, way: &OidcWay) -> PortResult<Self> {
        let fits = |c: char| if c.is_ascii_alphanumeric() || "+=,.@-_".contains(c) { c } else { '-' };
        Ok(Self {
            http: http(&request.url, way)?,
            request: request.clone(),
            sts: aws_sdk_sts::Client::new(own),
            role: role.to_owned(),
            name: name.chars().map(fits).take(LONGEST_NAME).collect(),
            first: Mutex::default(),
        })
    }

    async fn fetch(&self) -> PortResult<Credentials> {
        let token = self.token().await?;
        let asked = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.role)
            .role_session_name(&self.name)
            .web_identity_token(token.expose_secret())
            .send()
            .await;
        let answer = asked.map_err(|error| refused(&self.role, token.expose_secret(), error))?;
        let Some(keys) = answer.credentials else {
            return Err(PortError::retry("AWS took the token and gave no credentials"));
        };
        let ends = SystemTime::try_from(*keys.expiration()).unwrap_or(SystemTime::UNIX_EPOCH);
        let ends = Some(ends).filter(|_| *keys.expiration() != DateTime::from_secs(0));
        let [id, secret] = [keys.access_key_id(), keys.secret_access_key()].map(str::to_owned);
        Ok(Credentials::new(id, secret, Some(keys.session_token().to_owned()), ends, "GitHub"))
    }

    /// A new token of the job, made out to AWS.
    async fn token(&self) -> PortResult<SecretString> {
        let url = format!("{}&audience={AUDIENCE}", self.request.url);
        let asked = self.http.get(url).bearer_auth(self.request.token.expose_secret()).send().await;
        let answer = asked.map_err(|error| PortError::retry(format!("GitHub gives no token: {}", cause(error))))?;
        let status = answer.status();
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(PortError::retry(format!("GitHub answered {status} to the request for a token")));
        }
        if !status.is_success() {
            let reason = format!(
                "GitHub refuses the job a token ({status}): give the job `permissions: {{ id-token: write }}`, and run \
                 it for no fork"
            );
            return Err(PortError::Denied { reason });
        }
        let unread = || PortError::retry("GitHub's answer to the request for a token cannot be read");
        let body = answer.bytes().await.map_err(|_| unread())?;
        let Answered { value } = serde_json::from_slice(&body).map_err(|_| unread())?;
        Ok(SecretString::from(value))
    }
}

#[derive(Deserialize)]
struct Answered {
    value: String,
}

impl ProvideCredentials for WebSession {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

impl WebSession {
    async fn provide(&self) -> provider::Result {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some(first) => Ok(first),
            None => self.fetch().await.map_err(|error| match error {
                PortError::Denied { reason } => CredentialsError::invalid_configuration(reason),
                other => CredentialsError::provider_error(other.to_string()),
            }),
        }
    }
}

/// A client for the one address. It follows nobody: the request's token is for GitHub alone.
fn http(url: &str, way: &OidcWay) -> PortResult<reqwest::Client> {
    let bug = |error: reqwest::Error| PortError::bug("setting up the connection to GitHub", error);
    let address: url::Url = url.parse().map_err(|_| PortError::Denied { reason: NO_ADDRESS.to_owned() })?;
    let is_here = matches!(address.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if address.scheme() != "https" && !is_here || address.query().is_none() {
        return Err(PortError::Denied { reason: NO_ADDRESS.to_owned() });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.map_err(|error| PortError::bug("setting up TLS", error))?;
    let tls = hyper_rustls::ConfigBuilderExt::with_native_roots(tls.clone())
        // A bare image has no roots of its own.
        .unwrap_or_else(|_| hyper_rustls::ConfigBuilderExt::with_webpki_roots(tls));
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.with_no_client_auth())
        .timeout(CALL_TIME)
        .redirect(reqwest::redirect::Policy::none())
        // The environment is the composition root's to read.
        .no_proxy();
    let proxy = way.proxy.as_ref().and_then(|proxy| Some((proxy.https.as_ref()?, &proxy.no)));
    if let Some((proxy, no)) = proxy.filter(|_| !is_here) {
        let proxy = reqwest::Proxy::all(proxy.expose_secret()).map_err(|_| PortError::Denied {
            reason: "HTTPS_PROXY holds no address of a proxy, such as http://proxy.example:3128".to_owned(),
        })?;
        builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(no)));
    }
    builder.build().map_err(bug)
}

const NO_ADDRESS: &str = "ACTIONS_ID_TOKEN_REQUEST_URL is no address that GitHub gives a job: give the job \
                          `permissions: { id-token: write }`";

/// The last cause, without the address: its query tells the job.
fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut last: &dyn std::error::Error = &error;
    while let Some(deeper) = last.source() {
        last = deeper;
    }
    last.to_string()
}

fn refused(role: &str, token: &str, error: SdkError<RefusedBySts, HttpResponse>) -> PortError {
    let code = error.code().unwrap_or_default();
    let message = error.message().unwrap_or_default();
    // A message that repeats the token is repeated by nobody.
    let message = if message.contains(token) { "" } else { message };
    let denied = |reason: String| PortError::Denied { reason };
    match code {
        "AccessDenied" => denied(mismatches(role, &claims(token))),
        "InvalidIdentityToken" | "InvalidIdentityTokenException" if message.contains(UNKNOWN_PROVIDER) => {
            denied(format!(
                "{role} lies in an account that does not know GitHub as a provider of identities: run `greenroom \
                 bootstrap` there ({message})"
            ))
        }
        "InvalidIdentityToken" | "InvalidIdentityTokenException" => denied(format!(
            "AWS refuses the job's token for {role}: {message}. The account's provider for GitHub must take tokens for \
             `{AUDIENCE}`; `greenroom bootstrap` says what it has. The token says:{}",
            told(&claims(token))
        )),
        "ExpiredTokenException" | "IDPCommunicationError" => {
            PortError::retry(format!("AWS could not check the job's token for {role}: {message}"))
        }
        "ValidationError" => denied(format!("AWS takes `{role}` for no role: {message}")),
        _ => fault("sts:AssumeRoleWithWebIdentity", error),
    }
}

/// What a token says. It is not checked: AWS did that, or will.
fn claims(token: &str) -> Claims {
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    let said = payload.and_then(|bytes| serde_json::from_slice::<BTreeMap<String, Value>>(&bytes).ok());
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Claims(said.unwrap_or_default().into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// The claims that roles ask for, in the order in which people look for them.
const TOLD: [&str; 9] =
    ["aud", "sub", "repository", "repository_id", "ref", "environment", "job_workflow_ref", "event_name", "iss"];

fn told(claims: &Claims) -> String {
    let mut text = String::new();
    for name in TOLD {
        if let Some(value) = claims.get(name) {
            let _ = write!(text, "\n    {name} = {}", shown(value));
        }
    }
    text
}

/// A claim as a line shows it: some of it was chosen by whoever named a branch.
fn shown(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).take(LONGEST_CLAIM).collect()
}

/// AWS never says which claim it was (A22): what a bootstrap asks of such a role, beside what the token says.
fn mismatches(role: &str, claims: &Claims) -> String {
    let name = role.rsplit('/').next().unwrap_or(role);
    let mut text = format!("AWS lets this job not become `{name}`.");
    let expected = door_of_role(role, claims).and_then(|door| expected(&door, claims));
    match expected {
        None => text.push_str(" Its trust policy asks for something else than the job's token says:"),
        Some(lines) if lines.is_empty() => text.push_str(
            " The token has all that `greenroom bootstrap` asks of such a role: it was made for another repository, or \
             changed since. Run `greenroom bootstrap` again. The token says:",
        ),
        Some(lines) => {
            text.push_str(" What `greenroom bootstrap` asks of such a role, and what the job's token says:");
            for line in lines {
                let _ = write!(text, "\n  {line}");
            }
            text.push_str("\n  and all of it:");
        }
    }
    text + &told(claims)
}

/// What differs, by the token's own word for the repository; `None` where it says nothing of that.
fn expected(door: &Door, claims: &Claims) -> Option<Vec<String>> {
    let number = |name: &str| claims.get(name)?.parse::<u64>().ok();
    let repo = RepoIdentity {
        spelling: claims.get("repository")?.to_owned(),
        id: RepoId(number("repository_id")?),
        owner_id: UserId(number("repository_owner_id").unwrap_or(0)),
        default_branch: Branch("<the default branch>".to_owned()),
        prefix: None,
    };
    let issuer = claims.get("iss").and_then(|url| url.parse::<Issuer>().ok()).unwrap_or_default();
    // Which branch is the default one is not in a token: the one that it names may be it.
    let branch = claims.get("ref").and_then(|at| at.strip_prefix("refs/heads/"));
    let with_branch = branch.map(|branch| RepoIdentity { default_branch: Branch(branch.to_owned()), ..repo.clone() });
    let found = trust(door, with_branch.as_ref().unwrap_or(&repo), &issuer).against(claims);
    let line = |mismatch: &crate::decide::doors::Mismatch| {
        let expected: Vec<String> = mismatch.expected.iter().map(|text| shown(text)).collect();
        let actual = mismatch.actual.as_deref().map_or_else(|| "(nothing)".to_owned(), shown);
        format!("{}: expected {}, is {actual}", mismatch.claim, expected.join(" or "))
    };
    Some(found.iter().map(line).collect())
}

#[cfg(test)]
#[path = "oidc_tests.rs"]
mod tests;
