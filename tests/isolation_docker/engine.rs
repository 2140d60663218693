//! The engine of the tests, and one that keeps rules in the kernel's tables, as Docker does by default.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use greenroom::build::{BuildSettings, DockerBuilder, UnpackLimits};
use tempfile::TempDir;

use crate::hang::PATIENCE;

/// An engine, and how the command line finds it.
pub(crate) struct Engine {
    pub(crate) environment: Vec<(String, String)>,
    own: Option<(Child, TempDir)>,
}

impl Engine {
    /// The one that all tests share.
    #[expect(clippy::disallowed_methods, reason = "which engine to use is the test's environment to say")]
    pub(crate) fn shared() -> Self {
        crate::hang::watch();
        let wanted = ["PATH", "HOME", "DOCKER_HOST"];
        Self { environment: std::env::vars().filter(|(name, _)| wanted.contains(&name.as_str())).collect(), own: None }
    }

    /// One with rules, in a network of its own, so that it touches none of this machine's. Where this is
    /// not root, the shared one: whoever gave it to us has it as Docker makes it.
    pub(crate) fn with_rules() -> Self {
        let shared = Self::shared();
        if !rustix::process::geteuid().is_root() {
            return shared;
        }
        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let host = format!("unix://{}", at("socket"));
        let script = format!(
            "ip link set lo up && exec dockerd --host {host} --data-root {} --exec-root {} --pidfile {} > {} 2>&1",
            at("data"),
            at("exec"),
            at("pid"),
            at("log")
        );
        let child = Command::new("unshare").args(["--net", "sh", "-c", &script]).stdin(Stdio::null()).spawn();
        let child = child.expect("unshare of util-linux");
        let mut environment = shared.environment.clone();
        environment.retain(|(name, _)| name != "DOCKER_HOST");
        environment.push(("DOCKER_HOST".to_owned(), host));
        let log = folder.path().join("log");
        let engine = Self { environment, own: Some((child, folder)) };
        let begun = Instant::now();
        while !engine.try_docker(&["version"]).0 {
            let said = fs::read_to_string(&log).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "the engine does not answer: {said}");
            std::thread::sleep(Duration::from_millis(200));
        }
        engine
    }

    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let (success, said) = self.try_docker(arguments);
        assert!(success, "docker {arguments:?}: {said}");
        said
    }

    /// Whether it worked, and what was said.
    pub(crate) fn try_docker(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("docker")
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env("DOCKER_BUILDKIT", "0")
            .output()
            .expect("the Docker command line: `tests/run` installs it");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (output.status.success(), [text(&output.stdout), text(&output.stderr)].join("\n").trim().to_owned())
    }

    /// A builder of one installation.
    pub(crate) fn builder(&self, data: &Path) -> DockerBuilder {
        self.builder_with(data, None)
    }

    /// One that keeps its layers in that registry.
    pub(crate) fn builder_with(&self, data: &Path, cache: Option<&str>) -> DockerBuilder {
        let builder = DockerBuilder::new(BuildSettings {
            data_dir: data.to_path_buf(),
            docker: "docker".into(),
            docker_env: self.environment.clone(),
            registry: None,
            cache: cache.map(str::to_owned),
            limits: UnpackLimits::default(),
            concurrency: NonZeroUsize::MIN,
        });
        builder.expect("a builder")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Some((child, folder)) = &mut self.own else { return };
        let pid = rustix::process::Pid::from_child(child);
        // It takes its containers with it; a failure is what the test tells.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = child.wait();
        // What it mounted goes with it.
        let _ =
            Command::new("umount").arg("--recursive").arg(folder.path().join("data")).stderr(Stdio::null()).status();
    }
}
