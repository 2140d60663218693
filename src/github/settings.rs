//! What the adapter has to be told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::pace::WriteLimits;
use crate::model::RepoSeen;
use crate::port::Clock;

/// How long one exchange may take unless it is said otherwise.
const CALL_TIME: Duration = Duration::from_secs(20);

/// How to reach GitHub, and as whom.
#[derive(Clone)]
pub struct GitHubSettings {
    /// `https://api.github.com`, or `https://<host>/api/v3` for an Enterprise Server.
    pub api_url: String,
    /// The App's numeric id.
    pub app_id: u64,
    /// The App's private key as PEM; line breaks may be written `\n`.
    pub private_key: SecretString,
    pub clock: Arc<dyn Clock>,
    /// Where the spread of waits begins, so that lanes which wait for one limit do not come back
    /// in one moment.
    pub seed: u64,
    pub proxy: Option<ProxySettings>,
    pub write_limits: WriteLimits,
    /// How long one exchange with GitHub may take, to the last byte of the answer.
    pub call_time: Duration,
}

impl GitHubSettings {
    /// Settings with the usual limits and no proxy.
    pub fn new(
        api_url: impl Into<String>,
        app_id: u64,
        private_key: SecretString,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Self {
        Self {
            api_url: api_url.into(),
            app_id,
            private_key,
            clock,
            seed,
            proxy: None,
            write_limits: WriteLimits::default(),
            call_time: CALL_TIME,
        }
    }
}

impl fmt::Debug for GitHubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubSettings").field("app_id", &self.app_id).finish_non_exhaustive()
    }
}

/// How to reach GitHub with the token of one job of a workflow, and which repository that is for.
#[derive(Clone)]
pub struct TokenSettings {
    /// As [`GitHubSettings::api_url`]; a job finds it in `GITHUB_API_URL`.
    pub api_url: String,
    /// `GITHUB_TOKEN`, or one of an App or a person that may do more.
    pub token: SecretString,
    /// The one repository that is asked and told, as it is called now.
    pub repo: RepoSeen,
    /// The check run of our own job, where that is known: it counts neither for nor against a commit.
    pub own_check: Option<u64>,
    pub clock: Arc<dyn Clock>,
    /// As [`GitHubSettings::seed`].
    pub seed: u64,
    pub proxy: Option<ProxySettings>,
    pub write_limits: WriteLimits,
    /// As [`GitHubSettings::call_time`].
    pub call_time: Duration,
}

impl TokenSettings {
    /// Settings with the usual limits and no proxy.
    pub fn new(
        api_url: impl Into<String>,
        token: SecretString,
        repo: RepoSeen,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Self {
        Self {
            api_url: api_url.into(),
            token,
            repo,
            own_check: None,
            clock,
            seed,
            proxy: None,
            write_limits: WriteLimits::default(),
            call_time: CALL_TIME,
        }
    }
}

impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSettings").field("repo", &self.repo).finish_non_exhaustive()
    }
}

/// The standard proxy variables. Both kinds of address are reached through an HTTP `CONNECT`.
#[derive(Debug, Clone, Default)]
pub struct ProxySettings {
    /// `HTTP_PROXY`; it may hold a password.
    pub http: Option<SecretString>,
    /// `HTTPS_PROXY`; it may hold a password.
    pub https: Option<SecretString>,
    /// `NO_PROXY`
    pub no: String,
}

/// Why the adapter cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Without the address, which may hold a password.
    #[error(
        "the address of GitHub's API is none: write https://api.github.com, or https://<host>/api/v3, without a user or \
         a password"
    )]
    ApiUrl,
    /// The cause is left out on purpose: it could quote the key.
    #[error("the App's private key is not an RSA key in PEM form")]
    PrivateKey,
    #[error("the job's token is empty: leave the input `github-token` out, or give it ${{{{ github.token }}}}")]
    Token,
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}
