//! The Docker command line: short questions, and which builder answers behind it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::OnceCell;

use super::bases::Held;
use super::policy::Tried;
use super::pulls::Pulls;
use crate::model::FailureKind;
use crate::port::{PortError, PortResult};

/// How long the engine may take over a question.
const PATIENCE: Duration = Duration::from_secs(30);

const HOW_TO_GET_ONE: &str = "Start a Docker engine on the server and give the server's user access to it (on Debian and \
     Ubuntu: `apt-get install docker.io`), or point `DOCKER_HOST` at one. Without an engine a service can run as a \
     process: give it `local.command`.";

/// Which builder the command line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tools {
    /// `BuildKit`, in a container of its own: see `builder`.
    Buildx,
    /// The engine's first builder.
    Legacy,
}

/// Where an engine keeps its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    /// In its own, by a driver for layers.
    Own,
    /// In containerd's, where every image looks as if a registry had it, and what is held under a name
    /// may be for several processors of which one is told.
    Containerd,
}

impl Store {
    /// From what `docker info` says of driver and `DriverStatus`; `None` of what is not understood, as
    /// where no engine answers.
    ///
    /// Source: <https://docs.docker.com/engine/storage/containerd/>.
    fn read(said: &str) -> Option<Self> {
        let (_driver, status) = said.trim().split_once(' ')?;
        let status: Option<Vec<Vec<String>>> = serde_json::from_str(status).ok()?;
        let is_containerd = status.iter().flatten().flatten().any(|word| word.starts_with("io.containerd.snapshotter"));
        Some(if is_containerd { Self::Containerd } else { Self::Own })
    }
}

/// What a short command came to.
pub(super) struct Answer {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// The command line with its environment.
#[derive(Debug, Clone)]
pub(super) struct Docker {
    program: PathBuf,
    env: Vec<(String, String)>,
    tools: Arc<OnceCell<Tools>>,
    pub(super) pulls: Pulls,
    pub(super) tried: Tried,
}

impl Docker {
    pub(super) fn new(program: PathBuf, env: Vec<(String, String)>) -> Self {
        Self { program, env, tools: Arc::default(), pulls: Pulls::default(), tried: Tried::default() }
    }

    /// A command with nothing in its environment but the settings.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.environment(&mut command);
        command
    }

    /// Gives a command the environment of the Docker command line and nothing else.
    pub(super) fn environment(&self, command: &mut Command) {
        command.env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
    }

    /// The id of an image, `sha256:...`, if the engine has it.
    pub(super) async fn image_id(&self, reference: &str) -> PortResult<Option<String>> {
        let answer = self.ask(&["image", "inspect", "--format", "{{.Id}}", "--", reference]).await?;
        if answer.success {
            return Ok(Some(answer.stdout.trim().to_owned()));
        }
        if answer.stderr.to_lowercase().contains("no such image") { Ok(None) } else { Err(fault(&answer.stderr)) }
    }

    /// An image as the engine has it, by name, number or the beginning of a number.
    pub(super) async fn held(&self, reference: &str) -> PortResult<Option<Held>> {
        let answer = self.ask(&["image", "inspect", "--format", "{{json .}}", "--", reference]).await?;
        if answer.success {
            let held = serde_json::from_str(&answer.stdout);
            return held.map(Some).map_err(|error| PortError::bug("reading what Docker says of an image", error));
        }
        let said = answer.stderr.to_lowercase();
        if said.contains("no such image") || said.contains("invalid reference format") {
            return Ok(None);
        }
        // The beginning of several numbers: whatever it is, no registry has it under that name.
        if said.contains("multiple ids") { Ok(Some(Held::default())) } else { Err(fault(&answer.stderr)) }
    }

    /// Takes a name from an image, and the image with its last name. Absent is success.
    pub(super) async fn remove_image(&self, reference: &str) -> PortResult<()> {
        let answer = self.ask(&["image", "rm", "--", reference]).await?;
        if answer.success || answer.stderr.to_lowercase().contains("no such image") {
            return Ok(());
        }
        Err(fault(&answer.stderr))
    }

    /// What the image in the engine runs on: `linux/amd64`.
    pub(super) async fn platform(&self, reference: &str) -> PortResult<String> {
        let answer = self.ask(&["image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", "--", reference]).await?;
        if answer.success { Ok(answer.stdout.trim().to_owned()) } else { Err(fault(&answer.stderr)) }
    }

    /// Gives an image one more name.
    pub(super) async fn tag(&self, reference: &str, name: &str) -> PortResult<()> {
        let answer = self.ask(&["image", "tag", "--", reference, name]).await?;
        if answer.success { Ok(()) } else { Err(fault(&answer.stderr)) }
    }

    /// A variable of its environment.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Which builder there is; asked once. There is none where the first one's images cannot be judged.
    pub(super) async fn tools(&self) -> PortResult<Tools> {
        self.tools.get_or_try_init(|| self.find_tools()).await.copied()
    }

    async fn find_tools(&self) -> PortResult<Tools> {
        if self.ask(&["buildx", "version"]).await?.success {
            return Ok(Tools::Buildx);
        }
        let answer = self.ask(&["info", "--format", "{{.Driver}} {{json .DriverStatus}}"]).await?;
        if !answer.success {
            return Err(fault(&answer.stderr));
        }
        match Store::read(&answer.stdout) {
            Some(Store::Own) => Ok(Tools::Legacy),
            Some(Store::Containerd) => Err(PortError::failed(
                FailureKind::Environment,
                "The Docker engine keeps its images in containerd's store, where its first builder's cannot be told \
                 from another repository's",
                "Install Docker's `buildx` plugin on the server.",
            )),
            None => {
                // Some command lines know no engine and call it success.
                let engine = self.ask(&["version", "--format", "{{.Server.Version}}"]).await?;
                let said = answer.stdout.lines().next().unwrap_or_default();
                Err(if engine.success {
                    PortError::retry(format!("the Docker engine does not say where it keeps images: {said}"))
                } else {
                    fault(&engine.stderr)
                })
            }
        }
    }

    /// Which builder there is, where that was asked before.
    pub(super) fn known_tools(&self) -> Option<Tools> {
        self.tools.get().copied()
    }

    pub(super) async fn ask(&self, args: &[&str]) -> PortResult<Answer> {
        let mut command = self.command();
        command.args(args).stdin(Stdio::null()).kill_on_drop(true);
        match tokio::time::timeout(PATIENCE, command.output()).await {
            Ok(Ok(output)) => Ok(Answer {
                success: output.status.success(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }),
            Ok(Err(error)) => Err(self.not_started(&error)),
            Err(_) => {
                Err(PortError::retry(format!("the Docker engine did not answer within {} s", PATIENCE.as_secs())))
            }
        }
    }

    /// What it means that the command line could not be started.
    pub(super) fn not_started(&self, error: &std::io::Error) -> PortError {
        match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => PortError::failed(
                FailureKind::Environment,
                format!("The Docker command line `{}` cannot be run on the server: {error}", self.program.display()),
                HOW_TO_GET_ONE,
            ),
            _ => PortError::retry(format!("the Docker command line could not be started: {error}")),
        }
    }
}

/// Whether a text of the command line says that no engine answers.
pub(super) fn is_engine_missing(text: &str) -> bool {
    let signs = [
        "Cannot connect to the Docker daemon",
        "Is the docker daemon running",
        "error during connect",
        "permission denied while trying to connect",
        "failed to connect to the docker API",
    ];
    signs.iter().any(|sign| text.contains(sign))
}

/// No engine answers.
pub(super) fn engine_missing(text: &str) -> PortError {
    let line = text.lines().rev().find(|line| is_engine_missing(line)).unwrap_or(text).trim();
    PortError::failed(FailureKind::Environment, format!("No Docker engine answers the server: {line}"), HOW_TO_GET_ONE)
}

pub(super) fn fault(stderr: &str) -> PortError {
    if is_engine_missing(stderr) {
        return engine_missing(stderr);
    }
    let line = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    PortError::retry(format!("the Docker engine answered: {}", line.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_with_containerds_store_is_told_by_its_driver() {
        for (said, store) in [
            (
                // Docker 20.10.24.
                r#"overlay2 [["Backing Filesystem","extfs"],["Supports d_type","true"],["Native Overlay Diff","true"],["userxattr","false"]]"#,
                Some(Store::Own),
            ),
            ("vfs null", Some(Store::Own)),
            ("vfs []", Some(Store::Own)),
            // Docker 28 and 29.
            (r#"overlayfs [["driver-type","io.containerd.snapshotter.v1"]]"#, Some(Store::Containerd)),
            (r#"stargz [["driver-type","io.containerd.snapshotter.v2"]]"#, Some(Store::Containerd)),
            // No engine answers.
            (" null", None),
            ("null", None),
            ("", None),
            ("overlay2 <nil>", None),
        ] {
            assert_eq!(Store::read(&format!("{said}\n")), store, "{said}");
        }
    }
}
