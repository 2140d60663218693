//! One container: its start, its end, its log.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use regex::Regex;
use secrecy::SecretString;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::env::Environment;
use super::{CALL_TIMEOUT, Docker, Printed, listing, network, words};
use crate::local::disk::{Fate, VersionId};
use crate::local::launch::Occasion;
use crate::local::log;
use crate::local::shared::Shared;
use crate::local::unit::Unit;
use crate::model::{Failure, FailureKind, ServiceSpec};
use crate::port::{PortError, PortResult};
use crate::view::{PRINTED_BEFORE, printed};

/// The engine is asked this often whether a container still runs: quickly while it is new.
const NEW_POLL: Duration = Duration::from_millis(200);
const OLD_POLL: Duration = Duration::from_secs(3);
/// That many quick polls, then slow ones.
const QUICK_POLLS: u32 = 150;

/// The engine keeps a line of more bytes than this in pieces, and writes a time before each: moby/moby, issue 37681.
const PIECE: usize = 16 << 10;

/// A time of the engine's, which are all equally long.
static STAMP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z ").expect("a pattern of our own")
});

/// What holds for every container.
const LIMITS: [&str; 6] = [
    // No program in it becomes more than the one that is started, by a bit on a file or otherwise.
    "--security-opt=no-new-privileges",
    "--cap-drop=ALL",
    // Threads count as well. A program that starts others without end takes these and no more.
    "--pids-limit=1024",
    // The engine keeps a log without end by default. Of the two files the older one goes when the newer is full.
    "--log-driver=json-file",
    "--log-opt=max-size=16m",
    "--log-opt=max-file=2",
];

/// What root may do in a container: what images do before they become somebody else, and no more. Of
/// what Docker gives besides, `NET_RAW` forges the addresses of neighbours, `MKNOD` makes devices,
/// `SETFCAP` and `SETPCAP` hand rights on, `SYS_CHROOT` has been a way out, `AUDIT_WRITE` writes to the
/// host's record.
const CAPABILITIES: [&str; 8] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/// A container of ours that exists.
pub(in crate::local) struct Container {
    pub(super) name: String,
    pub(in crate::local) address: Option<SocketAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
    network_settings: NetworkSettings,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    running: bool,
    exit_code: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(default)]
    ports: BTreeMap<String, Option<Vec<Binding>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    host_port: String,
}

impl Docker {
    async fn inspect(&self, name: &str) -> PortResult<Option<Inspected>> {
        let printed = self.call(&words(["inspect", "--type", "container", "--format", "{{json .}}", name])).await?;
        if printed.code != Some(0) {
            let absent = printed.err.to_ascii_lowercase().contains("no such");
            return if absent { Ok(None) } else { Err(printed.retry("asking about a container")) };
        }
        serde_json::from_str(&printed.out).map(Some).map_err(|e| PortError::bug("reading what Docker says", e))
    }
}

impl Container {
    /// Waits for its end; 137 and the like are signals. `None` if somebody removed it.
    pub(in crate::local) async fn exited(&self, docker: &Docker) -> Option<i32> {
        let mut polls = 0;
        loop {
            match docker.inspect(&self.name).await {
                Ok(Some(inspected)) if inspected.state.running || inspected.state.status == "created" => {}
                Ok(Some(inspected)) => return Some(inspected.state.exit_code),
                Ok(None) => return None,
                // An engine that restarts is waited for: it says afterwards what became of it.
                Err(error) => tracing::debug!(container = self.name, %error, "cannot ask about a container"),
            }
            tokio::time::sleep(if polls < QUICK_POLLS { NEW_POLL } else { OLD_POLL }).await;
            polls += 1;
        }
    }

    /// Stops it, but keeps it and its log.
    pub(in crate::local) async fn stop(&self, docker: &Docker, drain: Duration) {
        let drain_seconds = drain.as_secs().to_string();
        let call = words(["stop", "--time", &drain_seconds, &self.name]);
        if let Err(error) = docker.call_within(&call, &Environment::default(), drain + CALL_TIMEOUT).await {
            tracing::warn!(container = self.name, %error, "cannot stop a container");
        }
    }

    /// The last lines that it printed, of both streams in the order in which the engine read them.
    pub(in crate::local) async fn log(&self, docker: &Docker, lines: usize, secrets: &[SecretString]) -> Vec<String> {
        let count = (lines + PRINTED_BEFORE).to_string();
        let call = words(["logs", "--timestamps", "--tail", &count, &self.name]);
        let Ok(said) = docker.call(&call).await else { return Vec::new() };
        // The two streams come apart; the timestamps, all equally long, put them together again.
        let mut stamped: Vec<&str> = said.out.lines().chain(said.err.lines()).collect();
        stamped.sort_by_key(|line| line.split_once(' ').map_or(*line, |(stamp, _)| stamp));
        let plain: Vec<Cow<'_, str>> = stamped.iter().map(|line| unstamped(line)).collect();
        printed(&plain, lines, secrets)
    }
}

/// A line without the times that the engine put into it: in the middle of a secret, one would hide it from us.
fn unstamped(line: &str) -> Cow<'_, str> {
    let text = line.split_once(' ').map_or("", |(_, text)| text);
    if text.len() > PIECE { STAMP.replace_all(text, "") } else { Cow::Borrowed(text) }
}

/// Starts a copy, or finds it running.
pub(in crate::local) async fn start(
    shared: &Arc<Shared>,
    unit: &Unit,
    copy: usize,
    why: Occasion,
) -> PortResult<Container> {
    shared.docker.demand().await?;
    let name = container_name(shared, &unit.id, &copy.to_string());
    let record = unit.record();
    let mut container = Container { name, address: None };
    match shared.docker.inspect(&container.name).await? {
        Some(found) if found.state.running => {}
        // It ended while no server watched, and was never healthy: its exit code is the answer.
        Some(found) if why == Occasion::Arrival && record.fate == Fate::Unproven && found.state.status == "exited" => {
            return Ok(container);
        }
        Some(_) => {
            let printed = shared.docker.call(&words(["start", &container.name])).await?;
            if lost_network(&printed) {
                listing::remove_container(shared, &container.name).await?;
                run(shared, &unit.id, &copy.to_string(), &record.spec, &record.artifact.reference, &[]).await?;
            } else {
                refuse(&printed, &record.spec)?;
            }
        }
        None => run(shared, &unit.id, &copy.to_string(), &record.spec, &record.artifact.reference, &[]).await?,
    }
    if let (Some(port), Some(found)) = (record.spec.port, shared.docker.inspect(&container.name).await?) {
        let bindings = found.network_settings.ports.get(&format!("{port}/tcp")).and_then(Option::as_ref);
        let host_port =
            bindings.and_then(|bindings| bindings.first()).and_then(|binding| binding.host_port.parse().ok());
        container.address = host_port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    Ok(container)
}

/// Runs a one-off command to its end in the version's image; answers its exit code and last lines.
///
/// It is found again by its name after a restart of the server, so it never runs twice at once.
pub(in crate::local) async fn run_once(
    shared: &Arc<Shared>,
    id: &VersionId,
    spec: &ServiceSpec,
    image: &str,
    command: &[String],
) -> PortResult<(Option<i32>, Vec<String>)> {
    shared.docker.demand().await?;
    let container = Container { name: container_name(shared, id, "migrate"), address: None };
    if shared.docker.inspect(&container.name).await?.is_none() {
        run(shared, id, "migrate", spec, image, command).await?;
    }
    let code = container.exited(&shared.docker).await;
    let lines = container.log(&shared.docker, log::FAILURE_LINES, &shared.secret_values(spec)).await;
    Ok((code, lines))
}

/// Removes the container of a one-off command, running or not.
pub(in crate::local) async fn remove_once(shared: &Shared, id: &VersionId) -> PortResult<()> {
    listing::remove_container(shared, &container_name(shared, id, "migrate")).await
}

async fn run(
    shared: &Arc<Shared>,
    id: &VersionId,
    role: &str,
    spec: &ServiceSpec,
    image: &str,
    command: &[String],
) -> PortResult<()> {
    let name = container_name(shared, id, role);
    // A bare name must not be looked for on a public registry, where anybody may own it.
    let has_registry =
        image.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost");
    let pull = if has_registry { "missing" } else { "never" };
    let memory = format!("{}m", spec.size.memory);
    // As ECS does it: 1024 shares for a virtual CPU, a weight and no ceiling.
    let cpu_weight = spec.size.cpu.max(2).to_string();
    let mut call =
        words(["run", "--detach", "--name", &name, "--pull", pull, "--memory", &memory, "--cpu-shares", &cpu_weight]);
    for (label, value) in [
        ("home", shared.home.clone()),
        ("repo", id.stage.repo.to_string()),
        ("stage", id.stage.name.to_string()),
        ("service", id.service.to_string()),
        ("version", id.version.to_string()),
    ] {
        call.extend(["--label".to_owned(), format!("greenroom.{label}={value}")]);
    }
    if let Some(port) = spec.port.filter(|_| role != "migrate") {
        call.extend(["--publish".to_owned(), format!("127.0.0.1::{port}")]);
    }
    call.extend(LIMITS.map(str::to_owned));
    call.extend(CAPABILITIES.map(|capability| format!("--cap-add={capability}")));
    call.extend(["--network".to_owned(), network::ensure(shared, &id.stage).await?]);
    let environment = environment(shared, spec)?;
    call.extend(environment.arguments());
    call.push(image.to_owned());
    call.extend(command.iter().cloned());
    let printed = shared.docker.call_within(&call, &environment, CALL_TIMEOUT).await?;
    if printed.err.contains("is already in use by container") {
        return Ok(());
    }
    refuse(&printed, spec)
}

/// The container's environment.
fn environment(shared: &Shared, spec: &ServiceSpec) -> PortResult<Environment> {
    let mut values: BTreeMap<String, SecretString> =
        spec.env.iter().map(|(name, value)| (name.clone(), SecretString::from(value.as_str()))).collect();
    values.extend(shared.secrets(spec)?);
    if let Some(port) = spec.port {
        values.entry("PORT".to_owned()).or_insert_with(|| SecretString::from(port.to_string()));
    }
    Environment::of(values).map_err(|name| {
        let summary =
            format!("`{}` sets `{name}` to several lines, and the docker command line reads it itself", spec.name);
        PortError::failed(FailureKind::Environment, summary, "Give it one line, or name it otherwise.")
    })
}

/// Whether a container cannot start because its network is gone, as `docker network prune` does it to
/// a stage that stands still.
fn lost_network(printed: &Printed) -> bool {
    printed.code != Some(0) && printed.err.contains("network") && printed.err.contains("not found")
}

/// A container that the engine would not start is the user's to mend.
fn refuse(printed: &Printed, spec: &ServiceSpec) -> PortResult<()> {
    if printed.code == Some(0) {
        return Ok(());
    }
    let summary = format!("the container of `{}` cannot be started: {}", spec.name, printed.trouble());
    let advice = "Mend the Dockerfile (its CMD or ENTRYPOINT, its platform) and push.";
    let failure = Failure::new(FailureKind::Exited, summary, advice);
    // docker-run(1): 126 and 127 are the container's own, 125 is the engine's.
    let exit_code = printed.code.filter(|code| matches!(code, 126 | 127));
    Err(PortError::Failed(Box::new(Failure { exit_code, ..failure })))
}

/// What a version's copy printed last.
pub(in crate::local) async fn version_log(
    shared: &Shared,
    id: &VersionId,
    spec: &ServiceSpec,
    copy: usize,
    lines: usize,
) -> Vec<String> {
    let container = Container { name: container_name(shared, id, &copy.to_string()), address: None };
    container.log(&shared.docker, lines, &shared.secret_values(spec)).await
}

/// Unique on the engine, also where several servers share it, and readable in a listing.
fn container_name(shared: &Shared, id: &VersionId, role: &str) -> String {
    let whose = hex::encode(Sha256::digest(format!("{} {}", shared.home, id.stage.repo)));
    format!("greenroom-{}-{}-{}-{role}-{}", id.stage.name, id.service, id.version, &whose[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_the_engine_keeps_in_pieces_is_whole_again() {
        const TIME: &str = "2026-11-30T12:24:00.123456789Z ";
        let (first, second) = ("x".repeat(PIECE), "y".repeat(PIECE));
        assert_eq!(unstamped(&format!("{TIME}{first}{TIME}{second}{TIME}end")), format!("{first}{second}end"));
        // A secret over the border of two pieces is found.
        let padding = "-".repeat(PIECE - 7);
        let line = format!("{TIME}{padding}correct{TIME}-horse-battery-staple");
        let secrets = [SecretString::from("correct-horse-battery-staple")];
        assert!(printed(&[unstamped(&line)], 1, &secrets)[0].ends_with("--***"));
        // A time that the program prints itself stays.
        assert_eq!(unstamped(&format!("{TIME}{TIME}began")), format!("{TIME}began"));
        assert_eq!(unstamped(""), "");
    }
}
