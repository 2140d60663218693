//! A builder with a Docker command line that writes down what it was asked, and a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use greenroom::aws::{AwsCloud, AwsSettings, NatGateways, PreviewCapacity};
use greenroom::build::{BuildSettings, DockerBuilder, OciRegistry, UnpackLimits};
use greenroom::model::{
    Artifact, Failure, ImageSpec, Output, Place, Runtime, ServiceName, ServiceSpec, StageId, Timestamp,
};
use greenroom::port::{BuildJob, Builder as _, Clock, PortError, PortResult, Progress, Registry, Site, Slots};

use crate::hang::PATIENCE;
use crate::ministack::{self, Containers, MiniStack};
use crate::own::own;

/// In the environment of a test that runs with an AWS of its own: its port.
const INNER: &str = "GREENROOM_TEST_INNER_PORT";

/// Runs the test again in a process with MiniStack in its environment, because the standard chain of
/// credentials reads nothing else. `None` when that has been done, else the port in there.
pub(crate) async fn port(test: &str) -> Option<u16> {
    #[expect(clippy::disallowed_methods, reason = "a test's own sign to itself")]
    let inner = std::env::var(INNER).ok();
    if let Some(port) = inner {
        return Some(port.parse().expect("a port"));
    }
    let aws = MiniStack::start(Containers::Pretended).await;
    let mut command = Command::new(std::env::current_exe().expect("a test knows its own binary"));
    command.args(["--exact", &format!("registry::story::{test}"), "--nocapture"]).envs(aws.environment());
    command.env(INNER, aws.port().to_string()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("a process");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}\n{}", aws.log());
    None
}

/// Which registry the images go to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Ecr,
    Plain,
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    builder: DockerBuilder,
    pub(crate) registry: Arc<dyn Registry>,
    port: u16,
    pub(crate) ecr: aws_sdk_ecr::Client,
    /// Where the images are, as ECR names it.
    pub(crate) repository: String,
    repo: String,
    /// Builds that another test disturbed.
    stumbles: AtomicUsize,
}

impl World {
    pub(crate) async fn new(port: u16, kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Its images differ from those of every other test, down to the first layer: one test may
        // remove what another builds on.
        let repo = own("test/pushed");
        let ecr = aws_sdk_ecr::Client::new(&ministack::config(&format!("http://127.0.0.1:{port}")).await);
        let (registry, repository): (Arc<dyn Registry>, _) = match kind {
            Kind::Ecr => (Arc::new(ecr_at(port).await), format!("gr/{repo}/web")),
            Kind::Plain => {
                let registry = OciRegistry::new(&format!("localhost:{port}/team"), environment());
                (Arc::new(registry), format!("team/{repo}/web"))
            }
        };
        let builder = DockerBuilder::new(BuildSettings {
            data_dir: folder.path().join("data"),
            docker: recorder(folder.path()),
            docker_env: environment(),
            registry: Some(Arc::clone(&registry)),
            cache: None,
            limits: UnpackLimits::default(),
            concurrency: NonZeroUsize::MIN,
        });
        let builder = builder.expect("a builder");
        Self { folder, builder, registry, port, ecr, repository, repo, stumbles: AtomicUsize::new(0) }
    }

    pub(crate) fn stage(&self, name: &str) -> StageId {
        StageId { repo: self.repo.parse().expect("a name"), name: name.parse().expect("a name") }
    }

    /// Builds this Dockerfile over this greeting for a stage.
    pub(crate) async fn build(&self, stage: &str, dockerfile: &str, greeting: &str) -> PortResult<Output> {
        let source = self.folder.path().join("source");
        fs::create_dir_all(&source).expect("a folder");
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        let busybox = busybox.expect("busybox-static is needed: `tests/run` installs it");
        fs::copy(busybox, source.join("busybox")).expect("busybox");
        fs::write(source.join("Dockerfile"), dockerfile).expect("a file");
        self.write_greeting(&source, greeting);
        let (stage, sha, service) = (self.stage(stage), "a".repeat(40).parse().expect("a commit"), service());
        let place = Place::default();
        let source = source.display().to_string();
        let job = BuildJob {
            stage: &stage,
            place: &place,
            sha: &sha,
            trust: greenroom::model::Trust::Preview,
            service: &service,
            generation: greenroom::model::Generation(1),
            builds: &greenroom::model::Builds::default(),
            source: Some(&source),
        };
        let begun = Instant::now();
        loop {
            match self.builder.ensure(&job).await {
                Ok(Progress::Done(output)) => return Ok(output),
                Ok(Progress::Pending { .. }) => {}
                // The engine's first builder looks at every image for one to begin with, and stumbles
                // over what another test removes just then.
                Err(PortError::Retry { reason, .. }) if reason.contains("could not be built") => {
                    self.stumbles.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
            assert!(begun.elapsed() < PATIENCE, "the build takes too long: {:?}", self.asked());
        }
    }

    /// An image for another processor that this engine has: nothing but a greeting.
    pub(crate) async fn base_for(&self, platform: &str, greeting: &str) -> String {
        // A build may begin with what a registry has, and not with what this engine has by itself.
        let repository = own("base");
        self.ecr.create_repository().repository_name(&repository).send().await.expect("a repository");
        let name = format!("localhost:{}/{repository}:b", self.port);
        let folder = self.folder.path().join("base");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY greeting /greeting\n").expect("a file");
        self.write_greeting(&folder, greeting);
        let label = format!("--label=greenroom.repo={}", self.repo);
        let (platform, tag) = (format!("--platform={platform}"), format!("--tag={name}"));
        docker(&["build", "--no-cache", &platform, &tag, &label, &folder.display().to_string()]);
        docker(&["push", "--quiet", &name]);
        name
    }

    fn write_greeting(&self, folder: &Path, greeting: &str) {
        fs::write(folder.join("greeting"), format!("{greeting} from {}", self.repo)).expect("a file");
    }

    pub(crate) async fn built(&self, stage: &str, greeting: &str) -> Artifact {
        match self.build(stage, GREETER, greeting).await.expect("an image") {
            Output::Built(artifact) => artifact,
            other => panic!("built, not {other:?}"),
        }
    }

    pub(crate) async fn reused(&self, stage: &str, greeting: &str) -> Artifact {
        match self.build(stage, GREETER, greeting).await.expect("an image") {
            Output::Reused(artifact) => artifact,
            other => panic!("reused, not {other:?}"),
        }
    }

    /// Takes away what a stage holds.
    pub(crate) async fn untag(&self, stage: &str) {
        let begin = format!("s-{stage}-");
        let tags: Vec<String> = self.tags().await.into_keys().filter(|tag| tag.starts_with(&begin)).collect();
        let (stage, place) = (self.stage(stage), Place::default());
        let site = Site { stage: &stage, place: &place };
        for _ in 0..2 {
            self.registry.untag(site, &web(), &tags).await.expect("absent is success");
        }
    }

    /// Every tag with the digest of its image, as ECR tells it.
    pub(crate) async fn tags(&self) -> BTreeMap<String, String> {
        let answer = self.ecr.describe_images().repository_name(&self.repository).send().await.expect("an answer");
        let images = answer.image_details.unwrap_or_default();
        let pairs = images.into_iter().flat_map(|image| {
            let digest = image.image_digest.unwrap_or_default();
            image.image_tags.unwrap_or_default().into_iter().map(move |tag| (tag, digest.clone()))
        });
        pairs.collect()
    }

    /// Every tag, shortened to what tells it apart: `c`, `s-pr-1`.
    pub(crate) async fn holders(&self) -> Vec<String> {
        let tags = self.tags().await;
        tags.keys().map(|tag| tag.rsplit_once('-').map_or(tag.as_str(), |(begin, _)| begin).to_owned()).collect()
    }

    /// What the Docker command line was asked, a line for each.
    pub(crate) fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often this word was its command; of builds, those that another test did not disturb.
    pub(crate) fn count(&self, verb: &str) -> usize {
        let all = self.asked().iter().filter(|line| line.split(' ').any(|word| word == verb)).count();
        if verb == "build" { all - self.stumbles.load(Ordering::Relaxed) } else { all }
    }

    /// What the private configurations were when they were used: mode, and content.
    pub(crate) fn configurations(&self) -> String {
        fs::read_to_string(self.folder.path().join("configurations")).unwrap_or_default()
    }

    pub(crate) fn break_pushes(&self, how: bool) {
        let sign = self.folder.path().join("broken");
        if how { fs::write(sign, "").expect("a file") } else { fs::remove_file(sign).expect("a file") }
    }

    /// Files of the builder's own data folder, below one of its folders.
    pub(crate) fn left_in(&self, folder: &str) -> usize {
        fs::read_dir(self.folder.path().join("data").join(folder)).map_or(0, Iterator::count)
    }

    /// What the engine has of this test's images, by name.
    pub(crate) fn local_images(&self) -> Vec<String> {
        let label = format!("label=greenroom.repo={}", self.repo);
        let lines = docker(&["image", "ls", "--filter", &label, "--format", "{{.Repository}}:{{.Tag}}"]);
        lines.lines().map(str::to_owned).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for image in self.local_images() {
            // A test that fails may leave one without a name; it must not fail a second time.
            let _ = Command::new("docker").args(["image", "rm", "--force", &image]).output();
        }
    }
}

pub(crate) const GREETER: &str = "FROM scratch\nCOPY greeting /greeting\nCOPY busybox /bin/sh\n\
     CMD [\"/bin/sh\", \"-c\", \"while read line; do echo $line; done < /greeting\"]\n";

pub(crate) fn web() -> ServiceName {
    "web".parse().expect("a name")
}

pub(crate) fn failure(result: PortResult<Output>) -> Failure {
    match result {
        Err(PortError::Failed(failure)) => *failure,
        other => panic!("a failure was expected: {other:?}"),
    }
}

/// A question to the engine itself.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().expect("the Docker command line: `tests/run` installs it");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "docker {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn ecr_at(port: u16) -> greenroom::aws::Ecr {
    let settings = AwsSettings {
        name: "gr".to_owned(),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        registry: Some(format!("localhost:{port}")),
        nat_gateways: NatGateways::None,
        preview_capacity: PreviewCapacity::Fargate,
        permissions_boundary: None,
        proxy: None,
        clock: Arc::new(Stopped),
        slots: Arc::new(NoSlots),
    };
    AwsCloud::new(settings).await.registry()
}

/// The Docker command line, which notes its arguments and how private its configuration is.
fn recorder(folder: &Path) -> PathBuf {
    let path = folder.join("docker");
    let paths = variable("PATH").unwrap_or_default();
    let real = std::env::split_paths(&paths)
        .map(|path| path.join("docker"))
        .find(|path| path.exists())
        .expect("the Docker command line: `tests/run` installs it");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {folder}/asked\n\
         if [ \"$1\" = --config ]; then stat -c %a \"$2\" \"$2/config.json\" >> {folder}/configurations\n\
         cat \"$2/config.json\" >> {folder}/configurations; fi\n\
         case \" $* \" in *\" push \"*) if [ -e {folder}/broken ]; then echo 'i/o timeout' >&2; exit 1; fi;; esac\n\
         exec {real} \"$@\"\n",
        folder = folder.display(),
        real = real.display(),
    );
    fs::write(&path, script).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file");
    path
}

fn environment() -> Vec<(String, String)> {
    let names = ["PATH", "HOME", "DOCKER_HOST"];
    names.into_iter().filter_map(|name| Some((name.to_owned(), variable(name)?))).collect()
}

#[expect(clippy::disallowed_methods, reason = "which engine to use is the test's environment to say")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn service() -> ServiceSpec {
    let image = ImageSpec {
        context: ".".into(),
        dockerfile: "Dockerfile".into(),
        target: None,
        platform: None,
        args: BTreeMap::new(),
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

/// Everything here happens at one moment.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

/// Nothing here has a number.
struct NoSlots;

#[async_trait]
impl Slots for NoSlots {
    async fn take_slot(&self, _: &str, _: &str, _: &BTreeSet<u32>, _: u32) -> PortResult<Option<u32>> {
        Ok(None)
    }

    async fn free_slot(&self, _: &str, _: &str) -> PortResult<()> {
        Ok(())
    }

    async fn slots(&self, _: &str) -> PortResult<Vec<(u32, String)>> {
        Ok(Vec::new())
    }
}
