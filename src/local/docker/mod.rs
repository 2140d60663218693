//! Containers, through the docker command line.
//!
//! Guarantees: a copy is one container with a fixed name, so that the engine itself refuses a second
//! one; no value of a service's environment appears in a process list; what is ours carries labels
//! and nothing else is ever touched; a container can become no more than it is, and reaches no other
//! stage's.

mod container;
mod env;
mod listing;
mod network;

use std::process::Stdio;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Mutex;

use self::env::Environment;

use super::settings::DockerSettings;
use crate::model::FailureKind;
use crate::port::{PortError, PortResult, is_own_exhaustion};

pub(super) use container::{Container, remove_once, run_once, start, version_log};
pub(super) use listing::{containers, images, remove_container, remove_image, stages, stop_version};
pub(super) use network::{networks, remove_network};

/// Longer than any call but a stop, whose drain time is added.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// When to try again what this server lacked the descriptors or processes for.
const OUT_OF_BREATH_MILLIS: i64 = 1_000;

/// The docker command line.
pub(super) struct Docker {
    settings: DockerSettings,
    making_network: Mutex<()>,
}

/// What a call printed.
pub(super) struct Printed {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Docker {
    pub(super) fn new(settings: DockerSettings) -> Self {
        Self { settings, making_network: Mutex::default() }
    }

    /// One call; an exit code other than 0 is no error here. No engine is [`PortError::Retry`].
    async fn call(&self, arguments: &[String]) -> PortResult<Printed> {
        self.call_within(arguments, &Environment::default(), CALL_TIMEOUT).await
    }

    async fn call_within(
        &self,
        arguments: &[String],
        environment: &Environment,
        limit: Duration,
    ) -> PortResult<Printed> {
        let mut command = Command::new(&self.settings.program);
        command
            .args(arguments)
            .env_clear()
            .envs(environment.variables.iter().map(|(name, value)| (name, value.expose_secret())))
            .envs(&self.settings.env)
            .stdin(if environment.file.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let ended = async {
            let mut child = command.spawn()?;
            let pipe = child.stdin.take();
            let feed = async {
                if let (Some(mut pipe), Some(file)) = (pipe, &environment.file) {
                    // A command line that does not read it says why.
                    let _ = pipe.write_all(file.expose_secret().as_bytes()).await;
                }
            };
            tokio::join!(feed, child.wait_with_output()).1
        };
        let output = match tokio::time::timeout(limit, ended).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if is_own_exhaustion(&error) => {
                let reason = format!("this server has nothing left to call Docker with: {error}");
                return Err(PortError::Retry { reason, after_millis: Some(OUT_OF_BREATH_MILLIS) });
            }
            Ok(Err(error)) => {
                return Err(PortError::retry(format!("`{}` cannot be run: {error}", self.settings.program)));
            }
            Err(_) => {
                return Err(PortError::retry(format!("the Docker engine took longer than {} s", limit.as_secs())));
            }
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let printed = Printed { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) };
        if printed.code != Some(0) && no_engine(&printed.err) {
            return Err(PortError::retry(format!("no Docker engine answers: {}", printed.trouble())));
        }
        Ok(printed)
    }

    /// Fails, with the way out, where no engine answers.
    async fn demand(&self) -> PortResult<()> {
        let trouble = match self.call(&words(["version", "--format", "{{.Server.Version}}"])).await {
            Ok(printed) if printed.code == Some(0) => return Ok(()),
            Ok(printed) => printed.trouble(),
            // That says nothing about the engine.
            Err(ours @ PortError::Retry { after_millis: Some(OUT_OF_BREATH_MILLIS), .. }) => return Err(ours),
            Err(error) => error.to_string(),
        };
        let summary = format!("this service runs as a container, and there is no Docker engine to run it: {trouble}");
        let advice = "Install one (`apt install docker.io`) and start it, or set `DOCKER_HOST` for the server. \
                      A service with `local.command` runs as a process and needs none.";
        Err(PortError::failed(FailureKind::Environment, summary, advice))
    }

    /// The lines that a listing prints.
    async fn list(&self, arguments: &[String]) -> PortResult<Vec<String>> {
        let printed = self.call(arguments).await?;
        if printed.code != Some(0) {
            return Err(printed.retry("listing"));
        }
        Ok(printed.out.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect())
    }
}

impl Printed {
    /// The line that says what was wrong.
    fn trouble(&self) -> String {
        let mut said = self.err.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("--help"));
        said.next_back().unwrap_or("it said nothing").chars().take(300).collect()
    }

    fn retry(&self, what: &str) -> PortError {
        PortError::retry(format!("{what}: {}", self.trouble()))
    }
}

fn no_engine(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    [
        "cannot connect to the docker daemon",
        "is the docker daemon running",
        "error during connect",
        "permission denied while trying to connect",
    ]
    .iter()
    .any(|sign| said.contains(sign))
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}
