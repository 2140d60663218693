//! What a stage's program tries.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom::local::{DockerSettings, LocalCloud, LocalSettings, WardenProgram};
use greenroom::model::{
    Artifact, Generation, Migrate, Observed, Output, Place, Seconds, SecretRef, ServiceSpec, StageId, StageKind,
    StageSpec, Timestamp, Trust, VersionKey,
};
use greenroom::port::{Clock, Cloud, Phase, PortError, PortResult, Progress, Rollout, Site};
use tempfile::TempDir;

use crate::builds::steps;
use crate::engine::Engine;
use crate::hang::PATIENCE;
use crate::own::own;
use crate::repository::{Repository, service};

/// Waits, and listens.
const LISTEN: &str = "mkdir -p /www; echo fine > /www/health; exec httpd -f -p 3000 -h /www";

static ANYWHERE: Place =
    Place { app: None, kind: StageKind::Ephemeral, aws: None, domain: None, base: None, retain: false };

struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

/// A stage of a repository of its own, of workers.
struct Stage<'a> {
    engine: &'a Engine,
    cloud: Arc<LocalCloud>,
    id: StageId,
    image: String,
    _data: TempDir,
}

impl<'a> Stage<'a> {
    async fn new(engine: &'a Engine, program: String) -> Self {
        let data = TempDir::new().expect("a folder");
        let cloud = LocalCloud::start(LocalSettings {
            data_dir: data.path().to_path_buf(),
            proxy_listen: "127.0.0.1:0".parse().expect("an address"),
            proxy_port_shown: None,
            connections: 100,
            clock: Arc::new(StillClock),
            path: "/usr/bin:/bin".into(),
            server_env: Arc::new(|name| Some(if name == "KEY" { "-----BEGIN\nhush\n" } else { "hush" }.into())),
            warden: WardenProgram { program: env!("CARGO_BIN_EXE_greenroom").into(), arguments: vec!["warden".into()] },
            docker: DockerSettings { program, env: engine.environment.iter().cloned().collect() },
        });
        let cloud = cloud.await.expect("a local target");
        let id = StageId { repo: own("acme/walled").parse().expect("a name"), name: "pr-1".parse().expect("a name") };
        Self { engine, cloud, image: own("greenroom/walled/pr-1-web"), id, _data: data }
    }

    /// An image that runs the script, labelled as the builder does it.
    fn build(&self, script: &str) {
        let context = TempDir::new().expect("a folder");
        std::fs::copy(crate::busybox(), context.path().join("busybox")).expect("busybox");
        std::fs::write(context.path().join("mark"), self.id.repo.as_str()).expect("a file");
        let command = serde_json::to_string(&["/bin/sh", "-c", script]).expect("words");
        std::fs::write(context.path().join("Dockerfile"), format!("{}CMD {command}\n", steps("true"))).expect("a file");
        let labels = [format!("greenroom.repo={}", self.id.repo), format!("greenroom.stage={}", self.id.name)];
        let mut call = vec!["build", "--quiet", "--no-cache", "--force-rm", "--tag", &self.image];
        call.extend(labels.iter().flat_map(|label| ["--label", label.as_str()]));
        self.engine.docker(&[call, vec![context.path().to_str().expect("a plain path")]].concat());
    }

    async fn ensure(&self, phase: Phase, service: ServiceSpec) -> PortResult<Output> {
        let spec = StageSpec {
            stage: self.id.clone(),
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
        let rollout = Rollout {
            stage: &spec,
            service: &spec.services[0],
            artifact: &Artifact { reference: self.image.clone(), digest: "sha256:one".into() },
            version: &VersionKey("one".into()),
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

    async fn start(&self, service: &str) {
        let started = self.ensure(Phase::Start, self::service(service, &[])).await;
        assert!(started.is_ok(), "{service}: {started:?}");
    }

    fn filter(&self) -> String {
        format!("label=greenroom.repo={}", self.id.repo)
    }

    /// The name of a service's only container.
    fn container(&self, service: &str) -> String {
        let service = format!("label=greenroom.service={service}");
        self.engine.docker(&["ps", "--filter", &self.filter(), "--filter", &service, "--format", "{{.Names}}"])
    }

    fn address(&self, service: &str) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        self.engine.docker(&["inspect", "--format", format, &self.container(service)])
    }

    fn networks(&self) -> String {
        self.engine.docker(&["network", "ls", "--filter", &self.filter(), "--format", "{{.Name}}"])
    }

    /// What a container of the service says when it runs that.
    fn within(&self, service: &str, words: &[&str]) -> (bool, String) {
        self.engine.try_docker(&[&["exec", self.container(service).as_str()], words].concat())
    }

    async fn tear_down(&self) {
        let site = || Site { stage: &self.id, place: &ANYWHERE };
        let begun = Instant::now();
        for resource in self.cloud.observe(site()).await.expect("it can be observed").resources {
            while self.cloud.remove(site(), &resource).await.expect("it can be removed") != Progress::Done(()) {
                assert!(begun.elapsed() < PATIENCE, "{resource} does not go");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        assert_eq!(self.cloud.observe(site()).await.expect("it can be observed"), Observed::default());
        assert_eq!(self.cloud.stages(&[]).await.expect("stages"), []);
        assert_eq!(self.networks(), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_becomes_no_more_than_it_is() {
    let engine = Engine::shared();
    let stage = Stage::new(&engine, "docker".into()).await;
    // What ordinary images do before they serve.
    stage.build("mkdir /data && chown 7:7 /data && chmod 2775 /data && touch /data/x && exec httpd -f -p 80 -h /data");
    stage.start("web").await;
    let (read, status) = stage.within("web", &["cat", "/proc/1/status"]);
    assert!(read, "{status}");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":"));
        line.unwrap_or_else(|| panic!("{name} of {status}")).trim().to_owned()
    };
    assert_eq!(field("NoNewPrivs"), "1");
    // capabilities(7): CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE.
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(field(set), "00000000000004fb", "{set}");
    }
    assert!(!stage.within("web", &["mknod", "/device", "b", "7", "0"]).0, "no device is made");
    assert!(!stage.within("web", &["chroot", "/", "true"]).0, "no root is changed");
    let format = "{{.HostConfig.PidsLimit}}";
    assert_eq!(engine.docker(&["inspect", "--format", format, &stage.container("web")]), "1024");
    stage.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_has_the_walls_of_its_stage() {
    let engine = Engine::shared();
    let stage = Stage::new(&engine, "docker".into()).await;
    stage.build(LISTEN);
    let script = "grep -q 'NoNewPrivs:.1' /proc/self/status && grep -q 'CapBnd:.00000000000004fb' /proc/self/status \
                  && ip -4 -o address | grep -q 'inet 198.1[89].'";
    let mut service = service("web", &[]);
    service.migrate = Some(Migrate { command: ["sh", "-c", script].map(str::to_owned).to_vec(), timeout: Seconds(60) });
    let migrated = stage.ensure(Phase::Migrate, service).await;
    assert!(migrated.is_ok(), "{migrated:?}");
    stage.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_has_a_network_and_leaves_none() {
    let engine = Engine::shared();
    let (one, two) = (Stage::new(&engine, "docker".into()).await, Stage::new(&engine, "docker".into()).await);
    for stage in [&one, &two] {
        stage.build(LISTEN);
        // Both at once: there is one network all the same.
        tokio::join!(stage.start("web"), stage.start("worker"));
        let format = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
        for service in ["web", "worker"] {
            let within = engine.docker(&["inspect", "--format", format, &stage.container(service)]);
            assert_eq!(within, stage.networks());
        }
        let format = "{{range .Containers}}{{.Name}} {{end}}";
        let members = engine.docker(&["network", "inspect", "--format", format, &stage.networks()]);
        let mut members: Vec<&str> = members.split_whitespace().collect();
        members.sort_unstable();
        assert_eq!(members, [stage.container("web"), stage.container("worker")]);
    }
    assert_ne!(one.networks(), two.networks());
    let subnet = |stage: &Stage<'_>| {
        engine.docker(&[
            "network",
            "inspect",
            "--format",
            "{{range .IPAM.Config}}{{.Subnet}}{{end}}",
            &stage.networks(),
        ])
    };
    assert_ne!(subnet(&one), subnet(&two));
    one.tear_down().await;
    two.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stage_and_no_build_reaches_another_stage() {
    let engine = Engine::with_rules();
    let (one, two) = (Stage::new(&engine, "docker".into()).await, Stage::new(&engine, "docker".into()).await);
    for stage in [&one, &two] {
        stage.build(LISTEN);
        stage.start("web").await;
    }
    one.start("worker").await;
    let address = one.address("web");
    let reach = ["nc", "-w", "5", &address, "3000"];
    let begun = Instant::now();
    while !one.within("worker", &reach).0 {
        assert!(begun.elapsed() < PATIENCE, "its own stage reaches it");
    }
    assert!(!two.within("web", &reach).0, "another does not");
    let build = Repository::new(&engine, "evil/builds");
    let commands = format!("nc -w 5 {address} 3000 < /dev/null && echo \"rea\"ched || echo \"bar\"red");
    let image = build.build(&steps(&commands), &[]).await.expect("an image");
    let log = build.log();
    assert!(log.lines().any(|line| line == "barred") && !log.lines().any(|line| line == "reached"), "{log}");
    build.clean_up(&[image]).await;
    one.tear_down().await;
    two.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_build_reaches_another_build() {
    let engine = Engine::with_rules();
    let (guest, thief) = (Repository::new(&engine, "acme/serves"), Repository::new(&engine, "evil/reaches"));
    // It serves in a step, and says where once it has reached that itself.
    let serving = steps(
        "httpd -p 3000 -h / && own=$(ip -4 -o address show eth0 | sed 's/.*inet //;s/[/].*//') \
                   && nc -w 5 $own 3000 < /dev/null && echo serves at $own && sleep 600",
    );
    let begun = Instant::now();
    let attack = async {
        let address = loop {
            if let Some(address) = guest.log().lines().find_map(|line| line.strip_prefix("serves at ")) {
                break address.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "it serves: {}", guest.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let reach = format!("nc -w 5 {address} 3000 < /dev/null && echo \"rea\"ched || echo \"bar\"red");
        thief.build(&steps(&reach), &[]).await
    };
    let image = tokio::select! {
        ended = guest.build(&serving, &[]) => panic!("it serves as long as it is asked: {ended:?}"),
        image = attack => image.expect("an image"),
    };
    guest.cancel().await;
    let log = thief.log();
    assert!(log.lines().any(|line| line == "barred") && !log.lines().any(|line| line == "reached"), "{log}");
    thief.clean_up(&[image]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_reaches_the_program_and_not_the_command_line() {
    let engine = Engine::shared();
    let folder = TempDir::new().expect("a folder");
    let (program, seen) = (folder.path().join("docker"), folder.path().join("seen"));
    // A command line that writes down its words and its environment.
    let script = format!(
        "#!/bin/sh\n{{ echo \"$*\"; cat /proc/self/environ | tr '\\0' '\\n'; }} >> {}\nexec docker \"$@\"\n",
        seen.display()
    );
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let stage = Stage::new(&engine, program.display().to_string()).await;
    stage.build("env > /environment; exec sleep 600");
    let mut service = service("web", &[]);
    let values = [
        ("DOCKER_HOST", "unix:///nonexistent/socket"),
        ("DOCKER_CONFIG", "/nonexistent"),
        ("LD_PRELOAD", "/nonexistent/evil.so"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("BUILDKIT_HOST", "tcp://127.0.0.1:1"),
        ("HOME", "/home"),
        ("ODD", " # \"it's\" = $HOME \\n"),
        ("EMPTY", ""),
        ("PEM", "one\ntwo\n"),
    ];
    service.env = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    service.secrets = ["TOKEN", "KEY"].map(|name| (name.to_owned(), SecretRef::ServerEnv(name.to_owned()))).into();
    let started = stage.ensure(Phase::Start, service.clone()).await;
    assert!(started.is_ok(), "{started:?}");
    let (_, environment) = stage.within("web", &["cat", "/environment"]);
    for (name, value) in values.into_iter().chain([("TOKEN", "hush"), ("KEY", "-----BEGIN\nhush\n")]) {
        assert!(
            format!("\n{environment}\n").contains(&format!("\n{name}={}", value.trim_end_matches('\n'))),
            "{name}: {environment}"
        );
    }
    let seen = std::fs::read_to_string(&seen).expect("what the command line saw");
    assert!(seen.contains("--env-file /dev/stdin"), "{seen}");
    for secret in ["nonexistent", "evil.so", "127.0.0.1:1", "TOKEN=", "EMPTY="] {
        assert!(!seen.contains(secret), "{secret}: {seen}");
    }
    let words: Vec<&str> = seen.lines().filter(|line| line.starts_with("run ")).collect();
    assert!(!words.is_empty() && words.iter().all(|line| !line.contains("hush")), "{words:?}");
    stage.tear_down().await;

    // Of several lines, such a value could reach the engine only as a setting of the command line.
    service.env.insert("DOCKER_HOST".into(), "unix:///nonexistent/socket\n".into());
    stage.build(LISTEN);
    match stage.ensure(Phase::Start, service).await {
        Err(PortError::Failed(failure)) => assert!(failure.summary.contains("DOCKER_HOST"), "{}", failure.summary),
        other => panic!("{other:?}"),
    }
    stage.tear_down().await;
}
