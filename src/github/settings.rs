//! What the adapter has to be told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::pace::WriteLimits;
use crate::port::Clock;

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
            call_time: Duration::from_secs(20),
        }
    }
}

impl fmt::Debug for GitHubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubSettings").field("app_id", &self.app_id).finish_non_exhaustive()
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
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}
