//! One machine with a local target on it: the world of the tests, and its verbs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom::local::{DockerSettings, LocalCloud, LocalSettings, WardenProgram};
use greenroom::model::{
    Artifact, Generation, Health, Observed, Output, Place, Runtime, Scale, Seconds, SecretRef, ServiceName,
    ServiceSpec, Size, StageId, StageKind, StageSpec, Timestamp, Trust, VersionKey,
};
use greenroom::port::{Clock, Cloud, Phase, PortError, PortResult, Progress, Rollout, Site};
use tempfile::TempDir;

use crate::clients::get;
use crate::hang;
use crate::hang::PATIENCE;
use crate::load::Load;
use crate::{processes, program};

pub(crate) struct Machine {
    data: TempDir,
    source: TempDir,
    pub(crate) cloud: Arc<LocalCloud>,
    listen: SocketAddr,
}

/// A rollout of one service.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) spec: StageSpec,
    pub(crate) version: VersionKey,
    artifact: Artifact,
    generation: Generation,
}

struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

impl Step {
    pub(crate) fn service(&self) -> &ServiceSpec {
        &self.spec.services[0]
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.spec.services[0].env.insert(name.into(), value.into());
        self
    }

    pub(crate) fn secret(mut self, name: &str, variable: &str) -> Self {
        self.spec.services[0].secrets.insert(name.into(), SecretRef::ServerEnv(variable.into()));
        self
    }

    /// Another command in place of the tests' own program.
    pub(crate) fn command(mut self, command: &[&str]) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        self.spec.services[0].runtime = Runtime::Process { command };
        self
    }

    /// The tests' own program behind what a shell does first.
    pub(crate) fn behind(self, script: &str) -> Self {
        let program = program::command();
        let words: Vec<&str> =
            ["sh", "-c", script, "sh"].into_iter().chain(program.iter().map(String::as_str)).collect();
        self.command(&words)
    }

    /// Without an address.
    pub(crate) fn worker(mut self) -> Self {
        let service = &mut self.spec.services[0];
        (service.host, service.url, service.port) = (None, None, None);
        self
    }

    /// What ignores the polite signal is given so long.
    pub(crate) fn drain(mut self, seconds: u64) -> Self {
        self.spec.services[0].drain = Seconds(seconds);
        self
    }

    /// With one copy watched first, for so long.
    pub(crate) fn canary(mut self, seconds: u64) -> Self {
        self.spec.services[0].canary = Some(Seconds(seconds));
        self
    }

    /// The same for a stage of another repository.
    pub(crate) fn of(mut self, repo: &str) -> Self {
        self.spec.stage.repo = repo.parse().expect("a repository");
        self
    }

    pub(crate) fn next_generation(&self) -> Self {
        Self { generation: self.generation.next(), ..self.clone() }
    }

    fn rollout(&self) -> Rollout<'_> {
        Rollout {
            stage: &self.spec,
            service: self.service(),
            artifact: &self.artifact,
            version: &self.version,
            generation: self.generation,
        }
    }
}

fn settings(data: &Path, listen: SocketAddr) -> LocalSettings {
    LocalSettings {
        data_dir: data.to_path_buf(),
        connections: 100,
        proxy_listen: listen,
        proxy_port_shown: None,
        clock: Arc::new(StillClock),
        path: "/usr/bin:/bin".into(),
        server_env: Arc::new(|name| (name != "ABSENT").then(|| "hunter2".into())),
        warden: WardenProgram { program: env!("CARGO_BIN_EXE_greenroom").into(), arguments: vec!["warden".into()] },
        // No engine: processes need none.
        docker: DockerSettings { program: "docker-is-not-installed".into(), env: BTreeMap::new() },
    }
}

fn web(data: &Path, source: &Path, port: u16, name: &str) -> Step {
    let stage = StageId { repo: "acme/shop".parse().expect("a repository"), name: "pr-1".parse().expect("a stage") };
    let service = ServiceSpec {
        name: "web".parse().expect("a service"),
        runtime: Runtime::Process { command: program::command() },
        port: Some(3000),
        host: Some("pr-1.localhost".into()),
        url: Some(format!("http://pr-1.localhost:{port}")),
        size: Size { cpu: 256, memory: 512 },
        scale: Scale { min: 1, max: 1, cpu: None, memory: None },
        health: Health {
            path: "/health".into(),
            status: 200,
            interval: Seconds(1),
            timeout: Seconds(5),
            healthy: 2,
            unhealthy: 2,
            // More than a busy machine takes to start a program.
            grace: Seconds(45),
        },
        env: BTreeMap::from([("NAME".into(), name.into()), ("MACHINE".into(), data.display().to_string())]),
        secrets: BTreeMap::new(),
        migrate: None,
        needs: vec![],
        paths: vec![],
        // Nothing here waits for its end: requests end, and programs go when asked to.
        drain: Seconds(3600),
        canary: None,
        edition: None,
    };
    Step {
        spec: StageSpec {
            stage,
            sha: "0123456789012345678901234567890123456789".parse().expect("a commit"),
            pull: None,
            kind: StageKind::Ephemeral,
            place: Place::default(),
            services: vec![service],
            expires: None,
            digest: "digest".into(),
            file: String::new(),
            origin: None,
            trust: Trust::Preview,
            pinned: None,
            label: None,
            builds: greenroom::model::Builds::default(),
            only: Vec::new(),
        },
        version: VersionKey(name.into()),
        artifact: Artifact { reference: source.display().to_string(), digest: format!("sha256:{name}") },
        generation: Generation(1),
    }
}

impl Machine {
    pub(crate) async fn new() -> Self {
        hang::watch();
        let (data, source) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        std::fs::write(source.path().join("README.md"), "the source of a small app").expect("a file");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let cloud = LocalCloud::start(settings(data.path(), any)).await.expect("a local target starts");
        let listen = cloud.proxy_address();
        Self { data, source, cloud, listen }
    }

    pub(crate) fn settings(&self) -> LocalSettings {
        settings(self.data.path(), "127.0.0.1:0".parse().expect("an address"))
    }

    pub(crate) fn source(&self) -> &Path {
        self.source.path()
    }

    /// A version of the program that answers its own name.
    pub(crate) fn web(&self, name: &str) -> Step {
        web(self.data.path(), self.source.path(), self.listen.port(), name)
    }

    /// With the port, as a browser sends it.
    pub(crate) fn host(&self) -> String {
        format!("pr-1.localhost:{}", self.listen.port())
    }

    pub(crate) async fn ensure(&self, phase: Phase, step: &Step) -> PortResult<Progress<Output>> {
        let begun = Instant::now();
        let progress = self.cloud.ensure(phase, &step.rollout()).await;
        assert!(begun.elapsed() < Duration::from_secs(30), "{phase:?} is a short call even on a busy machine");
        progress
    }

    /// Asks for a phase until it holds or has failed.
    pub(crate) async fn settle(&self, phase: Phase, step: &Step) -> PortResult<Output> {
        settle(&self.cloud, phase, step).await
    }

    pub(crate) async fn go_live(&self, step: &Step) {
        for phase in [Phase::Migrate, Phase::Start, Phase::Shift, Phase::Check, Phase::Retire] {
            let settled = self.settle(phase, step).await;
            assert!(settled.is_ok(), "{phase:?} of {}: {settled:?}", step.version);
        }
    }

    pub(crate) async fn observe(&self) -> Observed {
        self.cloud.observe(site(&self.web("any").spec.stage)).await.expect("a stage can be observed")
    }

    pub(crate) async fn serving(&self) -> Option<VersionKey> {
        let web: ServiceName = "web".parse().expect("a service");
        self.observe().await.services.get(&web).and_then(|seen| seen.serving.clone())
    }

    /// Asks through the proxy; a connection that breaks counts as status 0.
    pub(crate) async fn ask(&self, path: &str) -> (u16, String) {
        get(self.listen, &self.host(), path).await.unwrap_or_default()
    }

    /// How many programs of this machine run, by reading the process list.
    pub(crate) fn programs(&self) -> usize {
        self.pids().len()
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        let mark = format!("MACHINE={}\0", self.data.path().display());
        processes::living(|process| processes::has_in_environment(process, mark.as_bytes()))
    }

    /// The folder that everything lies in.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Every file and folder of any stage.
    pub(crate) fn files(&self) -> Vec<String> {
        let stages = std::fs::read_dir(self.data.path().join("stages"));
        stages.map_or(Vec::new(), |entries| entries.flatten().map(|entry| entry.path().display().to_string()).collect())
    }

    /// The server stops, or is killed: no part of it tidies up.
    pub(crate) async fn stop_server(&mut self) {
        self.cloud.shutdown().await;
        let elsewhere = TempDir::new().expect("a folder");
        // Somewhere else, so that it is not given the port that the next server needs.
        let any = "127.0.0.2:0".parse().expect("an address");
        self.cloud = LocalCloud::start(settings(elsewhere.path(), any)).await.expect("a placeholder");
    }

    /// A new server on the same machine.
    pub(crate) async fn restart(&mut self) {
        self.stop_server().await;
        self.cloud = LocalCloud::start(settings(self.data.path(), self.listen)).await.expect("it starts again");
    }

    /// A server in a process of its own that rolls a version out and stays.
    pub(crate) fn spawn_server(&self, version: &str) -> tokio::process::Child {
        self.spawn_server_of(version, &program::command())
    }

    /// The same with another command in place of the tests' own program.
    pub(crate) fn spawn_server_of(&self, version: &str, program: &[String]) -> tokio::process::Child {
        let command = program::restart_as("machine::server");
        tokio::process::Command::new(&command[0])
            .args(&command[1..])
            .env("SERVER_DATA", self.data.path())
            .env("SERVER_SOURCE", self.source.path())
            .env("SERVER_LISTEN", self.listen.to_string())
            .env("SERVER_VERSION", version)
            .env("SERVER_PROGRAM", serde_json::to_string(program).expect("words"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("this binary runs once more")
    }

    /// Removes everything in the order given, and sees that nothing is left.
    pub(crate) async fn tear_down(&self) {
        let stage = self.web("any").spec.stage;
        for resource in self.observe().await.resources {
            until(&format!("{resource} goes"), async || {
                let progress = self.cloud.remove(site(&stage), &resource).await.expect("it can be removed");
                matches!(progress, Progress::Done(()))
            })
            .await;
        }
        assert_eq!(self.observe().await, Observed::default());
        assert_eq!(self.cloud.stages(&[]).await.expect("stages can be listed"), []);
        assert_eq!((self.programs(), self.files()), (0, vec![]));
        assert_eq!(self.ask("/").await.0, 404);
    }

    /// Clients that ask without a pause until told to stop.
    pub(crate) async fn load(&self, clients: usize) -> Load {
        Load::start(self.listen, &self.host(), clients).await
    }
}

impl Drop for Machine {
    /// A test that fails leaves no program behind.
    fn drop(&mut self) {
        for pid in self.pids().into_iter().filter_map(rustix::process::Pid::from_raw) {
            // One that ended by itself meanwhile is as good.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the server that another test kills"]
#[expect(clippy::disallowed_methods, reason = "a program reads its settings from its environment")]
async fn server() {
    let value = |name| std::env::var(name).expect("the test that starts it says what to do");
    let (data, source) = (PathBuf::from(value("SERVER_DATA")), PathBuf::from(value("SERVER_SOURCE")));
    let listen: SocketAddr = value("SERVER_LISTEN").parse().unwrap();
    let cloud = LocalCloud::start(settings(&data, listen)).await.unwrap();
    let mut step = web(&data, &source, listen.port(), &value("SERVER_VERSION")).drain(1);
    let command = serde_json::from_str(&value("SERVER_PROGRAM")).unwrap();
    step.spec.services[0].runtime = Runtime::Process { command };
    for phase in [Phase::Start, Phase::Shift, Phase::Check, Phase::Retire] {
        settle(&cloud, phase, &step).await.unwrap();
    }
    std::future::pending::<()>().await;
}

async fn settle(cloud: &LocalCloud, phase: Phase, step: &Step) -> PortResult<Output> {
    let begun = Instant::now();
    loop {
        let wait = match cloud.ensure(phase, &step.rollout()).await {
            Ok(Progress::Done(output)) => return Ok(output),
            Ok(Progress::Pending { again_millis, .. }) => again_millis,
            Err(PortError::Retry { .. }) if begun.elapsed() < PATIENCE => 100,
            Err(error) => return Err(error),
        };
        assert!(begun.elapsed() < PATIENCE, "{phase:?} of {} takes too long", step.version);
        tokio::time::sleep(Duration::from_millis(u64::try_from(wait).expect("not in the past"))).await;
    }
}

/// Waits for a condition, and says which one never came true.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    hang::note(what);
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

static ANYWHERE: Place =
    Place { app: None, kind: StageKind::Ephemeral, aws: None, domain: None, base: None, retain: false };

/// A stage on this machine: there is one place.
pub(crate) fn site(stage: &StageId) -> Site<'_> {
    Site { stage, place: &ANYWHERE }
}
