//! MiniStack, an AWS on this machine: one of its own for whoever starts it.
//!
//! It answers when [`MiniStack::start`] returns. When it is dropped its process ends, and with it go
//! the containers that it started and the images that were pulled from it.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::hang;
use crate::hang::PATIENCE;

/// Names the program.
const VARIABLE: &str = "GREENROOM_TEST_MINISTACK";
/// A port that was free when it was looked for may be taken a moment later.
const ATTEMPTS: usize = 5;
/// In the labels of its containers, before the port.
const OWNER: &str = "greenroom-tests";

/// What it runs tasks as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Containers {
    /// Containers of the Docker engine.
    Real,
    /// Nothing: a task is `RUNNING` as soon as it is wanted.
    Pretended,
}

/// What it lets callers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Everything.
    Open,
    /// What their policies allow, as IAM does.
    Policies,
}

/// An AWS that runs.
pub(crate) struct MiniStack {
    child: Child,
    port: u16,
    _claim: UdpSocket,
    containers: Containers,
    folder: TempDir,
}

impl MiniStack {
    pub(crate) async fn start(containers: Containers) -> Self {
        Self::start_as(containers, Guard::Open).await
    }

    pub(crate) async fn start_as(containers: Containers, guard: Guard) -> Self {
        hang::watch();
        for _ in 0..ATTEMPTS {
            let mut started = Self::spawn(containers, guard);
            if started.answers().await {
                return started;
            }
        }
        panic!("MiniStack found no free port");
    }

    fn spawn(containers: Containers, guard: Guard) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test has no app.rs to read the environment for it")]
        let program = std::env::var(VARIABLE).unwrap_or_else(|_| {
            panic!("{VARIABLE} is not set: run the tests with the README's test command, which installs MiniStack")
        });
        let (claim, port) = claim_port();
        let folder = TempDir::new().expect("a folder");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log file");
        let mut command = Command::new(program);
        command.env_clear().envs(inherited());
        if guard == Guard::Policies {
            command.env("AUTH", "true");
        }
        if containers == Containers::Pretended {
            command.env("DOCKER_HOST", "unix:///nonexistent");
        }
        let child = command
            .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
            .env("GATEWAY_PORT", port.to_string())
            .env("MINISTACK_HOSTNAME", OWNER)
            // A container that takes longer to start counts as one that cannot.
            .env("MINISTACK_DOCKER_TIMEOUT", "60")
            .env("STATE_DIR", folder.path().join("state"))
            .env("S3_DATA_DIR", folder.path().join("s3"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{VARIABLE} names a program that does not start: {error}"));
        Self { child, port, containers, folder, _claim: claim }
    }

    /// Waits until it answers; `false` when it ended instead, because its port was taken.
    async fn answers(&mut self) -> bool {
        let begun = Instant::now();
        while ask(self.port, "GET /_ministack/health").await.is_none() {
            if let Some(ended) = self.child.try_wait().expect("the process can be asked") {
                let log = self.log();
                assert!(log.contains("in use"), "MiniStack ended with {ended}:\n{log}");
                return false;
            }
            assert!(begun.elapsed() < PATIENCE, "MiniStack does not answer:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Somebody else may have answered at a port that was taken.
        self.child.try_wait().expect("the process can be asked").is_none()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The value for `AWS_ENDPOINT_URL`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The value for `GREENROOM_REGISTRY`: images are pushed to and pulled from here.
    pub(crate) fn registry(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// What a program needs in its environment to take it for AWS.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", REGION.into()),
            ("AWS_ACCESS_KEY_ID", KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", KEY.into()),
            // No file of the machine's owner may have a say.
            ("AWS_CONFIG_FILE", "/dev/null".into()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".into()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ]
    }

    /// Has it forget everything that was made.
    pub(crate) async fn reset(&self) {
        let done = ask(self.port, "POST /_ministack/reset").await;
        assert!(done.is_some(), "MiniStack is not reset:\n{}", self.log());
    }

    /// For a test's own questions.
    pub(crate) async fn config(&self) -> SdkConfig {
        config(&self.endpoint()).await
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The containers that run, by name. Of those that ended MiniStack keeps some for minutes.
    pub(crate) fn containers(&self) -> Vec<String> {
        docker(&["ps", "--filter", &self.label(), "--format", "{{.Names}}"])
    }

    fn label(&self) -> String {
        format!("label=ministack.instance={OWNER}:{}", self.port)
    }

    /// The images that the engine has from its registry, as `repository:tag`.
    pub(crate) fn images(&self) -> Vec<String> {
        let begin = format!("{}/", self.registry());
        let all = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}@{{.ID}}"]);
        all.into_iter().filter(|line| line.starts_with(&begin)).collect()
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.containers == Containers::Real {
            for name in docker(&["ps", "--all", "--filter", &self.label(), "--format", "{{.Names}}"]) {
                docker(&["rm", "--force", "--volumes", &name]);
            }
            for image in self.images() {
                let id = image.rsplit('@').next().unwrap_or_default();
                docker(&["rmi", "--force", id]);
            }
        }
    }
}

pub(crate) const REGION: &str = "us-east-1";
/// Its account, without a setting.
pub(crate) const ACCOUNT: &str = "000000000000";
/// It takes any.
const KEY: &str = "test";

/// The configuration of an SDK client that finds AWS at this address.
pub(crate) async fn config(endpoint: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(KEY, KEY, None, None, OWNER))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .load()
        .await
}

/// A port that the kernel gives to nobody who asks for any, so that no other server of the tests is asked whether
/// it is MiniStack. Among the tests it is whose it is for datagrams.
fn claim_port() -> (UdpSocket, u16) {
    for _ in 0..1000 {
        let port = 10_000 + rand::random::<u16>() % 10_000;
        let Ok(claim) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return (claim, port);
        }
    }
    panic!("no port is free for MiniStack");
}

/// A question to the program itself; `None` is everything but 200.
async fn ask(port: u16, line: &str) -> Option<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    let request = format!("{line} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.ok()?;
    (&status == b"HTTP/1.1 200").then_some(())
}

/// What it needs to find the Docker engine.
#[expect(clippy::disallowed_methods, reason = "tests find the engine as every user of docker does")]
fn inherited() -> impl Iterator<Item = (&'static str, String)> {
    ["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)))
}

/// The lines that the engine answers; none when it answers none, because this also tidies up after
/// a test that failed.
fn docker(arguments: &[&str]) -> Vec<String> {
    let output = Command::new("docker").args(arguments).env_clear().envs(inherited()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Test binaries share this file, and each uses another part of it.
const _: () = {
    let _ = (MiniStack::port, MiniStack::registry, MiniStack::environment, MiniStack::config, MiniStack::log);
    let _ =
        (MiniStack::reset, MiniStack::containers, MiniStack::images, Containers::Real, Containers::Pretended, ACCOUNT);
    let _ = (MiniStack::start, Guard::Open, Guard::Policies);
};
