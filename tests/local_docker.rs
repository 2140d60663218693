//! Stages on this machine as containers of a real Docker engine, that of `DOCKER_HOST`.
//!
//! The images hold nothing but a static busybox, so that no registry is needed. Without an engine
//! or busybox these tests fail and say so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom::local::{DockerSettings, LocalCloud, LocalSettings, WardenProgram};
use greenroom::model::{
    Artifact, FailureKind, Generation, Health, ImageSpec, Migrate, Observed, Output, Place, Runtime, Scale, Seconds,
    SecretRef, ServiceSpec, Size, StageId, StageKind, StageSpec, Timestamp, Trust, VersionKey,
};
use greenroom::port::{Clock, Cloud, Phase, PortError, PortResult, Progress, Rollout, Site};
use hang::PATIENCE;
use own::own;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "support/hang.rs"]
mod hang;
#[path = "support/own.rs"]
mod own;

const SERVE: &str = "mkdir -p /www; echo fine > /www/health; echo $NAME > /www/name; echo $NAME listens; exec httpd -f -p $PORT -h /www";

struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

/// One repository's stage on a local target with an engine.
struct World {
    data: TempDir,
    stage: StageId,
    cloud: Arc<LocalCloud>,
}

struct Step {
    spec: StageSpec,
    version: VersionKey,
    artifact: Artifact,
}

#[expect(clippy::disallowed_methods, reason = "a test finds its engine as every user of docker does")]
fn environment() -> BTreeMap<String, String> {
    let named = ["PATH", "HOME", "DOCKER_HOST"];
    named.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect()
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).env("DOCKER_BUILDKIT", "0").output();
    let output = output.expect("these tests need the docker command line: install docker.io or docker-ce-cli");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "these tests need a Docker engine that answers: docker {arguments:?} said {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn settings(data: &TempDir, docker: DockerSettings) -> LocalSettings {
    LocalSettings {
        data_dir: data.path().to_path_buf(),
        connections: 100,
        proxy_listen: "127.0.0.1:0".parse().expect("an address"),
        proxy_port_shown: None,
        clock: Arc::new(StillClock),
        path: "/usr/bin:/bin".into(),
        server_env: Arc::new(|_| Some("hunter2".into())),
        warden: WardenProgram { program: env!("CARGO_BIN_EXE_greenroom").into(), arguments: vec!["warden".into()] },
        docker,
    }
}

impl World {
    async fn new() -> Self {
        Self::with(DockerSettings { program: "docker".into(), env: environment() }).await
    }

    /// Each test has a repository of its own, because they share the engine.
    async fn with(engine: DockerSettings) -> Self {
        hang::watch();
        let data = tempfile::tempdir().expect("a folder");
        let cloud = LocalCloud::start(settings(&data, engine)).await.expect("a local target starts");
        let repo = own("acme/contained").parse().expect("a repository");
        Self { data, stage: StageId { repo, name: "pr-1".parse().expect("a stage") }, cloud }
    }

    fn host(&self) -> String {
        format!("pr-1.{}.localhost", self.stage.repo.name())
    }

    /// Builds an image that runs a script, labelled as the builder does it.
    fn build(&self, name: &str, script: &str) -> Step {
        let context = tempfile::tempdir().expect("a folder");
        let busybox = ["/usr/bin/busybox", "/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists());
        let busybox = busybox.expect("these tests need a static busybox: install busybox-static");
        std::fs::copy(busybox, context.path().join("busybox")).expect("a copy of busybox");
        let command = serde_json::to_string(&["/bin/busybox", "sh", "-c", script]).expect("a list of words");
        let setup = "RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]";
        let recipe = format!("FROM scratch\nCOPY busybox /bin/busybox\n{setup}\nENV PATH=/bin\nCMD {command}\n");
        std::fs::write(context.path().join("Dockerfile"), recipe).expect("a Dockerfile");
        let reference = format!("greenroom/{}/pr-1-web:{name}", self.stage.repo.as_str().replace('/', "-"));
        let labels = [
            format!("greenroom.repo={}", self.stage.repo),
            format!("greenroom.stage={}", self.stage.name),
            "greenroom.service=web".to_owned(),
        ];
        // An image that another test removes just now could be taken for a cached one.
        let mut call = vec!["build", "--quiet", "--no-cache", "--tag", &reference];
        call.extend(labels.iter().flat_map(|label| ["--label", label.as_str()]));
        docker(&[call, vec![context.path().to_str().expect("a plain path")]].concat());
        self.step(name, &reference)
    }

    fn step(&self, name: &str, image: &str) -> Step {
        let image_spec = ImageSpec {
            context: ".".into(),
            dockerfile: "Dockerfile".into(),
            target: None,
            platform: None,
            args: BTreeMap::new(),
        };
        let service = ServiceSpec {
            name: "web".parse().expect("a service"),
            runtime: Runtime::Image(image_spec),
            port: Some(3000),
            host: Some(self.host()),
            url: Some(format!("http://{}:{}", self.host(), self.cloud.proxy_address().port())),
            size: Size { cpu: 256, memory: 64 },
            scale: Scale { min: 1, max: 1, cpu: None, memory: None },
            health: Health {
                path: "/health".into(),
                status: 200,
                interval: Seconds(1),
                timeout: Seconds(5),
                healthy: 2,
                unhealthy: 3,
                grace: Seconds(30),
            },
            env: BTreeMap::from([("NAME".into(), name.into())]),
            secrets: BTreeMap::from([("TOKEN".into(), SecretRef::ServerEnv("APP_TOKEN".into()))]),
            migrate: None,
            needs: vec![],
            paths: vec![],
            drain: Seconds(2),
            canary: None,
            edition: None,
        };
        let spec = StageSpec {
            stage: self.stage.clone(),
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
        };
        let artifact = Artifact { reference: image.into(), digest: format!("sha256:{name}") };
        Step { spec, version: VersionKey(name.into()), artifact }
    }

    async fn settle(&self, phase: Phase, step: &Step) -> PortResult<Output> {
        let rollout = Rollout {
            stage: &step.spec,
            service: &step.spec.services[0],
            artifact: &step.artifact,
            version: &step.version,
            generation: Generation(1),
        };
        let begun = Instant::now();
        loop {
            match self.cloud.ensure(phase, &rollout).await? {
                Progress::Done(output) => return Ok(output),
                Progress::Pending { again_millis, note } => {
                    assert!(begun.elapsed() < PATIENCE, "{phase:?} takes too long: {note}");
                    tokio::time::sleep(Duration::from_millis(again_millis.unsigned_abs())).await;
                }
            }
        }
    }

    async fn go_live(&self, step: &Step) {
        for phase in [Phase::Migrate, Phase::Start, Phase::Shift, Phase::Check, Phase::Retire] {
            let settled = self.settle(phase, step).await;
            assert!(settled.is_ok(), "{phase:?} of {}: {settled:?}", step.version);
        }
    }

    async fn name(&self) -> String {
        ask(self.cloud.proxy_address(), &self.host(), "/name").await
    }

    /// The names of the stage's containers, running or not.
    fn containers(&self) -> Vec<String> {
        let filter = format!("label=greenroom.repo={}", self.stage.repo);
        let names = docker(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
        names.lines().map(str::to_owned).collect()
    }

    async fn tear_down(&self) {
        let begun = Instant::now();
        for resource in self.cloud.observe(site(&self.stage)).await.expect("it can be observed").resources {
            while self.cloud.remove(site(&self.stage), &resource).await.expect("it can be removed")
                != Progress::Done(())
            {
                assert!(begun.elapsed() < PATIENCE, "{resource} does not go");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        assert_eq!(self.cloud.observe(site(&self.stage)).await.expect("it can be observed"), Observed::default());
        assert_eq!(self.cloud.stages(&[]).await.expect("stages can be listed"), []);
        assert_eq!(self.containers(), Vec::<String>::new());
        let filter = format!("label=greenroom.repo={}", self.stage.repo);
        assert_eq!(docker(&["images", "--quiet", "--filter", &filter]), "", "no image is left");
    }
}

/// The answer's body; what went wrong otherwise.
async fn ask(address: SocketAddr, host: &str, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the proxy listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the proxy reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the proxy answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    if head.starts_with("HTTP/1.1 200") { body.trim().to_owned() } else { head.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_starts_rolls_and_leaves_nothing() {
    let world = World::new().await;
    let one = world.build("one", SERVE);
    world.go_live(&one).await;
    assert_eq!(world.name().await, "one");
    let two = world.build("two", SERVE);
    world.go_live(&two).await;
    assert_eq!(world.name().await, "two");
    assert_eq!(world.containers().len(), 1, "the old version is gone");
    let service = &two.spec.services[0].name;
    assert_eq!(world.cloud.logs(site(&world.stage), service, 5).await.unwrap(), ["two listens"]);
    let kept = "{{.Type}} {{index .Config \"max-size\"}} {{index .Config \"max-file\"}}";
    let format = format!("{{{{with .HostConfig.LogConfig}}}}{kept}{{{{end}}}}");
    let log = docker(&["inspect", "--format", &format, &world.containers()[0]]);
    assert_eq!(log, "json-file 16m 2", "the engine itself keeps a log without end");
    world.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_exits_says_its_code_and_last_words_and_the_old_one_serves() {
    let world = World::new().await;
    world.go_live(&world.build("good", SERVE)).await;
    let broken = world.build("broken", "echo starting >&2; echo cannot go on: my token is $TOKEN >&2; exit 3");
    let Err(PortError::Failed(failure)) = world.settle(Phase::Start, &broken).await else {
        panic!("a container that exits before it is healthy has failed");
    };
    assert_eq!((failure.kind, failure.exit_code), (FailureKind::Exited, Some(3)));
    assert_eq!(failure.log, ["starting", "cannot go on: my token is ***"]);
    world.settle(Phase::Retire, &broken).await.unwrap();
    assert_eq!(world.name().await, "good");
    assert_eq!(world.containers().len(), 1);
    world.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_in_the_image_is_told_at_once() {
    let world = World::new().await;
    let mut step = world.build("absent", SERVE);
    docker(&["rmi", &step.artifact.reference]);
    let Err(PortError::Failed(failure)) = world.settle(Phase::Start, &step).await else {
        panic!("an image that is not here is never looked for elsewhere");
    };
    assert!(failure.summary.contains("No such image"), "{}", failure.summary);
    world.settle(Phase::Retire, &step).await.unwrap();

    step = world.build("wrong", SERVE);
    step.spec.services[0].migrate = Some(Migrate { command: vec!["/no/such/program".into()], timeout: Seconds(60) });
    let Err(PortError::Failed(failure)) = world.settle(Phase::Migrate, &step).await else {
        panic!("a migration that cannot be run has failed");
    };
    assert_eq!(failure.exit_code, Some(127), "{}", failure.summary);
    world.settle(Phase::Retire, &step).await.unwrap();
    world.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_runs_in_the_image() {
    let world = World::new().await;
    let mut step = world.build("one", SERVE);
    let command = ["sh", "-c", "echo migrating $NAME; exit $CODE"].map(str::to_owned).to_vec();
    step.spec.services[0].migrate = Some(Migrate { command, timeout: Seconds(60) });
    step.spec.services[0].env.insert("CODE".into(), "0".into());
    world.go_live(&step).await;

    let mut broken = world.build("two", SERVE);
    broken.spec.services[0].migrate = step.spec.services[0].migrate.clone();
    broken.spec.services[0].env.insert("CODE".into(), "9".into());
    let Err(PortError::Failed(failure)) = world.settle(Phase::Migrate, &broken).await else {
        panic!("a migration that exits with 9 has failed");
    };
    assert_eq!((failure.kind, failure.exit_code), (FailureKind::Migration, Some(9)));
    assert_eq!(failure.log, ["migrating two"]);
    world.settle(Phase::Retire, &broken).await.unwrap();
    world.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_the_server_and_one_that_died_is_started_again() {
    let mut world = World::new().await;
    let one = world.build("one", SERVE);
    world.go_live(&one).await;
    let before = docker(&["inspect", "--format", "{{.Id}} {{.State.Pid}}", &world.containers()[0]]);
    restart(&mut world).await;
    world.go_live(&one).await;
    assert_eq!(docker(&["inspect", "--format", "{{.Id}} {{.State.Pid}}", &world.containers()[0]]), before);

    docker(&["kill", &world.containers()[0]]);
    restart(&mut world).await;
    let begun = Instant::now();
    while world.name().await != "one" {
        assert!(begun.elapsed() < PATIENCE, "what should serve was not started again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.containers().len(), 1);
    world.tear_down().await;
}

async fn restart(world: &mut World) {
    world.cloud.shutdown().await;
    let engine = DockerSettings { program: "docker".into(), env: environment() };
    let elsewhere = tempfile::tempdir().expect("a folder");
    world.cloud = LocalCloud::start(settings(&elsewhere, engine.clone())).await.expect("a placeholder");
    world.cloud = LocalCloud::start(settings(&world.data, engine)).await.expect("it starts again");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_engine_it_says_how_to_get_one() {
    let mut world = World::new().await;
    let nowhere = BTreeMap::from([("DOCKER_HOST".to_owned(), "unix:///nonexistent/docker.sock".to_owned())]);
    for engine in [
        DockerSettings { program: "docker".into(), env: nowhere },
        DockerSettings { program: "docker-is-not-installed".into(), env: BTreeMap::new() },
    ] {
        let data = tempfile::tempdir().expect("a folder");
        world.cloud = LocalCloud::start(settings(&data, engine)).await.unwrap();
        let step = world.step("one", &format!("greenroom/{}/pr-1-web:one", own("acme-none")));
        let Err(PortError::Failed(failure)) = world.settle(Phase::Start, &step).await else {
            panic!("a container wants an engine");
        };
        assert_eq!(failure.kind, FailureKind::Environment);
        assert!(failure.advice.contains("docker.io") && failure.advice.contains("local.command"), "{}", failure.advice);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_the_environment_is_on_a_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let asked = folder.path().join("asked");
    let world = World::with(DockerSettings { program: recorder(folder.path(), &asked), env: environment() }).await;
    let step = world.build(
        "one",
        "echo $TOKEN > /token; mkdir /www; cp /token /www/name; cp /token /www/health; exec httpd -f -p $PORT -h /www",
    );
    world.go_live(&step).await;
    let asked = std::fs::read_to_string(&asked).expect("the command line was used");
    assert!(asked.contains("--env-file /dev/stdin"), "the start was written down: {asked}");
    assert!(!asked.contains("hunter2"), "{asked}");
    assert_eq!(world.name().await, "hunter2", "the program got its secret");
    world.tear_down().await;
}

/// A Docker command line that writes down what it is asked.
fn recorder(folder: &Path, asked: &Path) -> String {
    let program = folder.join("docker");
    let script = format!("#!/bin/sh\necho \"$*\" >> {}\nexec docker \"$@\"\n", asked.display());
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a program");
    program.display().to_string()
}

static ANYWHERE: Place =
    Place { app: None, kind: StageKind::Ephemeral, aws: None, domain: None, base: None, retain: false };

/// A stage on this machine: there is one place.
fn site(stage: &StageId) -> Site<'_> {
    Site { stage, place: &ANYWHERE }
}
