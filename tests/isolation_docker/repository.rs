//! A repository that builds on an engine, and a server on the host that no build may reach.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use greenroom::build::DockerBuilder;
use greenroom::model::{
    Artifact, CommitSha, Failure, FailureKind, Health, ImageSpec, Output, Place, Runtime, Scale, Seconds, ServiceSpec,
    Size, StageId, Trust,
};
use greenroom::port::{BuildJob, Builder, PortError, PortResult, Progress};

use crate::engine::Engine;
use crate::hang::PATIENCE;
use crate::own::own;

/// A repository with a builder on an engine.
pub(crate) struct Repository {
    pub(crate) data: tempfile::TempDir,
    pub(crate) builder: DockerBuilder,
    pub(crate) stage: StageId,
    pub(crate) trust: Trust,
}

impl Repository {
    pub(crate) fn new(engine: &Engine, name: &str) -> Self {
        Self::with_cache(engine, name, None)
    }

    pub(crate) fn with_cache(engine: &Engine, name: &str, cache: Option<&str>) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let builder = engine.builder_with(&data.path().join("data"), cache).with_key(&name.into());
        let stage = StageId { repo: own(name).parse().expect("a name"), name: "pr-1".parse().expect("a name") };
        Self { data, builder, stage, trust: Trust::Preview }
    }

    pub(crate) fn source(&self, dockerfile: &str) -> PathBuf {
        let folder = self.data.path().join("source");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        if dockerfile.contains("busybox") {
            fs::copy(crate::busybox(), folder.join("busybox")).expect("busybox");
        }
        // No other test's layers: what one removes, another may build on.
        fs::write(folder.join("mark"), self.stage.repo.as_str()).expect("a file");
        fs::write(folder.join("Dockerfile"), dockerfile).expect("a file");
        folder
    }

    pub(crate) async fn build(&self, dockerfile: &str, arguments: &[(&str, &str)]) -> PortResult<Artifact> {
        let source = self.source(dockerfile);
        let sha: CommitSha = "a".repeat(40).parse().expect("a commit");
        let service = service("web", arguments);
        let job = BuildJob {
            stage: &self.stage,
            place: &Place::default(),
            sha: &sha,
            trust: self.trust,
            service: &service,
            generation: greenroom::model::Generation(1),
            builds: &greenroom::model::Builds::default(),
            source: Some(source.to_str().expect("a plain path")),
        };
        let begun = Instant::now();
        loop {
            match self.builder.ensure(&job).await {
                Ok(Progress::Done(Output::Built(artifact) | Output::Reused(artifact))) => return Ok(artifact),
                Ok(Progress::Done(other)) => panic!("{other:?}"),
                // Another test may remove a layer of this build.
                Ok(Progress::Pending { .. }) | Err(PortError::Retry { .. }) => {}
                Err(error) => return Err(error),
            }
            assert!(begun.elapsed() < PATIENCE, "the build takes too long");
        }
    }

    pub(crate) async fn refused(&self, dockerfile: &str, arguments: &[(&str, &str)]) -> Failure {
        match self.build(dockerfile, arguments).await {
            Err(PortError::Failed(failure)) => {
                assert_eq!(failure.kind, FailureKind::Build);
                assert!(failure.summary.contains("is not built: "), "{dockerfile}: {}", failure.summary);
                *failure
            }
            other => panic!("{dockerfile}: {other:?}"),
        }
    }

    /// What the builds of this repository printed last.
    pub(crate) fn log(&self) -> String {
        let stage = format!("data/stages/{}/{}/logs/web.log", self.stage.repo, self.stage.name);
        fs::read_to_string(self.data.path().join(stage)).unwrap_or_default()
    }

    /// Ends what is built.
    pub(crate) async fn cancel(&self) {
        self.builder.cancel(&self.stage).await.expect("it ends");
    }

    pub(crate) async fn clean_up(&self, images: &[Artifact]) {
        let begun = Instant::now();
        for image in images {
            // A busy engine takes its time.
            while let Err(error) = self.builder.remove(image).await {
                assert!(begun.elapsed() < PATIENCE, "the image does not go: {error}");
            }
        }
    }
}

/// A service of the image that a `Dockerfile` makes, which asks for nothing else.
pub(crate) fn service(name: &str, arguments: &[(&str, &str)]) -> ServiceSpec {
    let image = ImageSpec {
        context: ".".into(),
        dockerfile: "Dockerfile".into(),
        target: None,
        platform: None,
        args: arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    ServiceSpec {
        name: name.parse().expect("a name"),
        runtime: Runtime::Image(image),
        port: None,
        host: None,
        url: None,
        size: Size { cpu: 256, memory: 64 },
        scale: Scale { min: 1, max: 1, cpu: None, memory: None },
        health: Health {
            path: "/".into(),
            status: 200,
            interval: Seconds(1),
            timeout: Seconds(5),
            healthy: 1,
            unhealthy: 3,
            grace: Seconds(30),
        },
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        migrate: None,
        needs: vec![],
        paths: vec![],
        drain: Seconds(1),
        canary: None,
        edition: None,
    }
}

/// Ends the answers also where the work panics.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Something that listens on the host's loopback alone.
pub(crate) struct Secret(TcpListener);

impl Secret {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        Self(listener)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// Answers who asks until the work is done; whether anybody did.
    pub(crate) fn asked_during<T>(&self, work: impl FnOnce() -> T) -> (bool, T) {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let answering = scope.spawn(|| {
                let mut asked = false;
                loop {
                    match self.0.accept() {
                        Ok((mut stream, _)) => {
                            asked = true;
                            stream.set_nonblocking(false).expect("a stream");
                            let _ = stream.read(&mut [0; 512]);
                            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            // Whoever asked before the end waits in the listener's queue.
                            if done.load(Ordering::SeqCst) {
                                return asked;
                            }
                            std::thread::sleep(Duration::from_millis(10));
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            let result = {
                let _ending = Ending(&done);
                work()
            };
            (answering.join().expect("the answers"), result)
        })
    }
}
