//! What the local target is told from outside; the composition root fills it in.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use secrecy::SecretString;

use crate::model::RepoName;
use crate::port::{Clock, PortError, PortResult};

/// Looks up a value of the server's own environment, for `secrets: { NAME: "env:NAME" }`.
pub type ServerEnv = Arc<dyn Fn(&str) -> Option<SecretString> + Send + Sync>;

/// Everything that the local target needs to know.
pub struct LocalSettings {
    /// Where stages are kept. One server at a time: it is locked.
    pub data_dir: PathBuf,
    /// Where the proxy listens; port 0 takes a free one.
    pub proxy_listen: SocketAddr,
    /// The port in the addresses shown, if it is not the one listened on: behind a forwarded port.
    pub proxy_port_shown: Option<u16>,
    /// Whose code may run here.
    pub allow: Vec<Allowed>,
    pub clock: Arc<dyn Clock>,
    /// `PATH` of every program started here.
    pub path: String,
    pub server_env: ServerEnv,
    pub docker: DockerSettings,
}

/// How the docker command line is called.
#[derive(Debug, Clone)]
pub struct DockerSettings {
    pub program: String,
    /// Its whole environment: `PATH`, `HOME`, `DOCKER_HOST` and the like.
    pub env: BTreeMap<String, String>,
}

/// One entry of `GREENROOM_LOCAL_ALLOW`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// `*`
    Every,
    /// `owner/name`
    Repo(RepoName),
}

/// Refuses a repository that the list does not name, and says what would admit it.
pub(super) fn admit(list: &[Allowed], repo: &RepoName) -> PortResult<()> {
    if list.iter().any(|allowed| allowed.covers(repo)) {
        return Ok(());
    }
    let reason = format!(
        "the code of `{repo}` may not run on this machine: add `{repo}` to GREENROOM_LOCAL_ALLOW and start the server again"
    );
    Err(PortError::Denied { reason })
}

impl Allowed {
    fn covers(&self, repo: &RepoName) -> bool {
        match self {
            Self::Every => true,
            Self::Repo(allowed) => allowed == repo,
        }
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "*" => Ok(Self::Every),
            name => name.parse().map(Self::Repo).map_err(|error| format!("{error}; or `*` for every repository")),
        }
    }
}

impl fmt::Debug for LocalSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSettings")
            .field("data_dir", &self.data_dir)
            .field("proxy_listen", &self.proxy_listen)
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}
