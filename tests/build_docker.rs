//! The builder against a real Docker engine. Without one these tests fail, and say so.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use greenroom::build::{BuildSettings, DockerBuilder, UnpackLimits};
use greenroom::model::{
    Artifact, CommitSha, Failure, FailureKind, ImageSpec, Output, Place, Runtime, ServiceSpec, StageId, Trust,
};
use greenroom::port::{BuildJob, Builder, PortError, PortResult, Progress};
use own::own;

use crate::hang::PATIENCE;

#[path = "support/hang.rs"]
mod hang;
#[path = "support/own.rs"]
mod own;

#[expect(clippy::disallowed_methods, reason = "which engine to use is the test's environment to say")]
fn environment() -> Vec<(String, String)> {
    let wanted = ["PATH", "HOME", "DOCKER_HOST"];
    std::env::vars().filter(|(name, _)| wanted.contains(&name.as_str())).collect()
}

/// A question to the engine, for checking what the builder left there.
fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().expect("the Docker command line: `tests/run` installs it");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "docker {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A builder with a stage of its own, so that tests may share an engine.
struct World {
    data: tempfile::TempDir,
    builder: DockerBuilder,
    stage: StageId,
    images: Vec<Artifact>,
}

impl World {
    fn new(stage: &str) -> Self {
        Self::with(stage, environment())
    }

    fn with(stage: &str, docker_env: Vec<(String, String)>) -> Self {
        hang::watch();
        let data = tempfile::tempdir().expect("a temporary folder");
        let builder = DockerBuilder::new(BuildSettings {
            data_dir: data.path().join("data"),
            docker: "docker".into(),
            docker_env,
            registry: None,
            cache: None,
            limits: UnpackLimits::default(),
            concurrency: NonZeroUsize::MIN,
        });
        let stage = StageId {
            // Its content differs from run to run, so nothing of an earlier run is found.
            repo: own("test/built").parse().expect("a name"),
            name: stage.parse().expect("a name"),
        };
        Self { data, builder: builder.expect("a builder"), stage, images: Vec::new() }
    }

    /// A source with busybox and a Dockerfile; the engine needs no registry for it.
    fn source(&self, name: &str, dockerfile: &str, greeting: &str) -> String {
        let folder = self.data.path().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        let busybox = busybox.expect("busybox-static is needed: `tests/run` installs it");
        fs::copy(busybox, folder.join("busybox")).expect("busybox");
        // No other test's layers: what one removes, another may build on.
        let own = format!("FROM scratch\nENV TEST={}\n", self.stage.repo);
        fs::write(folder.join("Dockerfile"), dockerfile.replace("FROM scratch\n", &own)).expect("a file");
        fs::write(folder.join("greeting"), greeting).expect("a file");
        folder.display().to_string()
    }

    async fn ensure(&self, digit: &str, source: &str) -> PortResult<Progress<Output>> {
        let sha: CommitSha = digit.repeat(40).parse().expect("a commit");
        let service = service();
        let asked = Instant::now();
        let job = BuildJob {
            stage: &self.stage,
            place: &Place::default(),
            sha: &sha,
            trust: Trust::Preview,
            service: &service,
            generation: greenroom::model::Generation(1),
            builds: &greenroom::model::Builds::default(),
            source: Some(source),
        };
        let answer = self.builder.ensure(&job).await;
        assert!(asked.elapsed() < Duration::from_secs(30), "a call is short even on a busy machine");
        answer
    }

    async fn finish(&mut self, digit: &str, source: &str) -> PortResult<Output> {
        let begun = Instant::now();
        loop {
            match self.ensure(digit, source).await {
                Ok(Progress::Done(output)) => {
                    self.images.extend(output.artifact().cloned());
                    return Ok(output);
                }
                // Another test may remove a layer of this build; it is tried again, as the engine does.
                Ok(Progress::Pending { .. }) | Err(PortError::Retry { .. }) => {}
                Err(error) => return Err(error),
            }
            assert!(begun.elapsed() < PATIENCE, "the build takes too long");
        }
    }

    async fn clean_up(self) {
        for image in &self.images {
            self.builder.remove(image).await.expect("the image goes");
        }
        self.builder.tidy(&self.stage).await.expect("tidied");
        let log = self.data.path().join(format!("data/stages/{}/{}/logs", self.stage.repo, self.stage.name));
        assert!(log.exists(), "what a build printed can still be read");
        self.builder.forget(&self.stage).await.expect("forgotten");
        assert!(!log.exists());
        let label = |key: &str, value: &str| format!("label=greenroom.{key}={value}");
        let (repo, stage) = (label("repo", self.stage.repo.as_str()), label("stage", self.stage.name.as_str()));
        let left = docker(&["image", "ls", "--quiet", "--filter", &repo, "--filter", &stage]);
        assert_eq!(left, "", "images are left");
    }
}

fn service() -> ServiceSpec {
    let image = ImageSpec {
        context: ".".into(),
        dockerfile: "Dockerfile".into(),
        target: None,
        platform: None,
        args: BTreeMap::from([("WHO".to_owned(), "world".to_owned())]),
    };
    let spec = serde_json::json!({
        "name": "web", "runtime": Runtime::Image(image), "port": null, "host": null, "url": null,
        "size": { "cpu": 256, "memory": 512 },
        "scale": { "min": 1, "max": 1, "cpu": null, "memory": null },
        "health": {
            "path": "/", "status": 200, "interval": 10, "timeout": 5, "healthy": 2, "unhealthy": 3, "grace": 30
        },
        "env": {}, "secrets": {}, "migrate": null, "needs": [], "paths": [], "drain": 5,
    });
    serde_json::from_value(spec).expect("a service")
}

fn failure(result: PortResult<Output>) -> Failure {
    match result {
        Err(PortError::Failed(failure)) => *failure,
        other => panic!("a failure was expected: {other:?}"),
    }
}

const GREETER: &str = "FROM scratch\nCOPY busybox /bin/sh\nCOPY greeting /greeting\nARG WHO\nRUN echo $WHO >> /greeting\n\
     CMD [\"/bin/sh\", \"-c\", \"while read line; do echo $line; done < /greeting\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_built_once_for_its_content() {
    let mut world = World::new("once");
    let source = world.source("a", GREETER, "hello\n");
    let built = world.finish("a", &source).await.expect("an image");
    let Output::Built(first) = built else { panic!("built, not {built:?}") };
    assert!(first.digest.starts_with("sha256:"), "{}", first.digest);
    assert_eq!(docker(&["run", "--rm", "--network=none", &first.reference]), "hello\nworld\n");
    let log = world.builder.log(&world.stage, &service(), 100).await.expect("a log").join("\n");
    assert!(log.contains("COPY greeting"), "{log}");

    assert_eq!(world.finish("a", &source).await.expect("an image"), Output::Reused(first.clone()), "asked again");
    let same = world.source("b", GREETER, "hello\n");
    assert_eq!(world.finish("b", &same).await.expect("an image"), Output::Reused(first.clone()), "another commit");
    let other = world.source("c", GREETER, "goodbye\n");
    let rebuilt = world.finish("c", &other).await.expect("an image");
    let Output::Built(second) = rebuilt else { panic!("built, not {rebuilt:?}") };
    assert_ne!(first.reference, second.reference);

    world.builder.remove(&first).await.expect("removed");
    world.builder.remove(&first).await.expect("absent is success");
    assert!(matches!(world.finish("a", &source).await, Ok(Output::Built(_))), "built anew after it was removed");
    world.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_build_shows_its_exit_code_and_last_lines() {
    let mut world = World::new("fails");
    let lines = "FROM scratch\nCOPY busybox /bin/sh\nRUN i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo line $i; done; \
                 echo the reason >&2; exit 3\n";
    let source = world.source("a", lines, "");
    let failure = failure(world.finish("a", &source).await);
    assert_eq!((failure.kind, failure.exit_code), (FailureKind::Build, Some(3)));
    assert_eq!(failure.summary, "The image of `web` could not be built: a step ended with exit code 3");
    assert!(failure.log.len() <= 30 && failure.log.iter().any(|line| line.contains("the reason")), "{failure:?}");
    let log = world.builder.log(&world.stage, &service(), 100).await.expect("a log");
    assert!(log.iter().any(|line| line.ends_with("line 1")), "the file has what the tail has not: {log:?}");
    world.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_that_is_wrong_or_missing_is_the_commits_fault() {
    let mut world = World::new("wrong");
    let source = world.source("a", "FORM scratch\n", "");
    let wrong = failure(world.finish("a", &source).await);
    assert_eq!(wrong.kind, FailureKind::Build);
    assert!(wrong.log.join("\n").to_lowercase().contains("form"), "{wrong:?}");
    fs::remove_file(Path::new(&source).join("Dockerfile")).expect("a file");
    let missing = failure(world.finish("a", &source).await);
    assert!(missing.summary.contains("`./Dockerfile` is not in the commit"), "{missing:?}");
    world.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_leaves_no_process_and_no_container() {
    let mut world = World::new("cancelled");
    let mark = own("mark");
    let wait = "while :; do read -t 5 x < /dev/zero || :; done";
    let slow = format!("FROM scratch\nCOPY busybox /bin/sh\nRUN echo begun; : {mark}; {wait}\n");
    let source = world.source("a", &slow, "");
    let begun = Instant::now();
    loop {
        let note = match world.ensure("a", &source).await {
            Ok(Progress::Pending { note, .. }) => note,
            // As in `finish`.
            Err(PortError::Retry { reason, .. }) => reason,
            other => panic!("it cannot end: {other:?}"),
        };
        let log = world.builder.log(&world.stage, &service(), 100).await.expect("a log");
        if log.iter().any(|line| line == "begun" || line.ends_with(" begun")) {
            assert_eq!(note.split(',').next(), Some("building"));
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not begin: {note}: {log:?}");
    }
    let records = world.data.path().join("data/running");
    let runs = || fs::read_dir(&records).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let pid = runs().next().expect("a build on record").display().to_string();
    assert!(Path::new("/proc").join(&pid).exists());
    let containers = || docker(&["ps", "--no-trunc", "--format", "{{.Command}}"]).matches(&mark).count();
    assert_eq!(containers(), 1);

    world.builder.cancel(&world.stage).await.expect("cancelled");
    let cancelled = Instant::now();
    while Path::new("/proc").join(&pid).exists() || runs().next().is_some() || containers() > 0 {
        assert!(cancelled.elapsed() < Duration::from_secs(30), "something is left");
        tokio::task::yield_now().await;
    }
    world.builder.cancel(&world.stage).await.expect("unknown is success");
    let quick = world.source("b", GREETER, "after\n");
    let after = world.finish("b", &quick).await;
    assert!(matches!(after, Ok(Output::Built(_))), "the builder's place is free again: {after:?}");
    world.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_answer_is_named() {
    let mut env = environment();
    env.retain(|(name, _)| name != "DOCKER_HOST");
    env.push(("DOCKER_HOST".to_owned(), "unix:///nowhere/docker.sock".to_owned()));
    let mut world = World::with("nowhere", env);
    let source = world.source("a", GREETER, "");
    let failure = failure(world.finish("a", &source).await);
    assert_eq!(failure.kind, FailureKind::Environment);
    assert!(failure.summary.starts_with("No Docker engine answers the server"), "{}", failure.summary);
    assert!(failure.advice.contains("apt-get install docker.io"), "{}", failure.advice);
}
