//! What the local target is told from outside; the composition root fills it in.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use super::warden::WardenProgram;
use crate::port::Clock;

/// Looks up a value of the server's own environment, for `secrets: { NAME: "env:NAME" }`.
pub type ServerEnv = Arc<dyn Fn(&str) -> Option<SecretString> + Send + Sync>;

/// Everything that the local target needs to know.
pub struct LocalSettings {
    /// Where stages are kept. One server at a time: it is locked.
    pub data_dir: PathBuf,
    /// Where the proxy listens; port 0 takes a free one.
    pub proxy_listen: SocketAddr,
    /// How many clients the proxy serves at once; each takes two descriptors.
    pub connections: usize,
    /// The port in the addresses shown, if it is not the one listened on: behind a forwarded port.
    pub proxy_port_shown: Option<u16>,
    pub clock: Arc<dyn Clock>,
    /// `PATH` of every program started here.
    pub path: String,
    pub server_env: ServerEnv,
    /// What keeps each program.
    pub warden: WardenProgram,
    pub docker: DockerSettings,
}

/// How the docker command line is called.
#[derive(Debug, Clone)]
pub struct DockerSettings {
    pub program: String,
    /// Its whole environment: `PATH`, `HOME`, `DOCKER_HOST` and the like.
    pub env: BTreeMap<String, String>,
}

impl fmt::Debug for LocalSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSettings")
            .field("data_dir", &self.data_dir)
            .field("proxy_listen", &self.proxy_listen)
            .finish_non_exhaustive()
    }
}
