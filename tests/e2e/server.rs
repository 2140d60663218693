//! `greenroom serve` as a process of its own: started, killed, started again on the same folder.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use greenroom::sandbox::Sandbox;
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret as _;
use tokio::process::{Child, Command};

use crate::database::Database;
use crate::hang::PATIENCE;

pub(crate) const SECRET: &str = "the secret of the end-to-end tests";

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    pub(crate) door: SocketAddr,
    /// Where the stages of this machine answer; `None` where they run elsewhere.
    pub(crate) proxy: Option<SocketAddr>,
}

/// Where a server keeps what it has, and which addresses it takes.
#[derive(Clone)]
pub(crate) struct Home {
    pub(crate) folder: PathBuf,
    pub(crate) store: Database,
    /// `None` takes free ones; a server that is started again keeps its addresses.
    pub(crate) addresses: Option<(SocketAddr, Option<SocketAddr>)>,
    /// What `GREENROOM_ALLOW` says.
    pub(crate) allow: String,
    /// More variables, or others.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// What a shell does before it becomes the server; may be nothing.
    pub(crate) before: String,
}

impl Home {
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The file of a database that is one.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("greenroom.db")
    }

    /// The value for `GREENROOM_DATABASE_URL`.
    pub(crate) fn database_url(&self) -> String {
        match &self.store {
            Database::Sqlite => format!("sqlite://{}", self.database().display()),
            Database::Postgres(url) => url.clone(),
        }
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Everything that the servers of this home have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Server {
    /// Starts and waits until it says where it listens.
    pub(crate) async fn start(home: &Home, github: &Sandbox) -> Self {
        let log = File::options().append(true).create(true).open(home.log_file()).expect("a log file");
        let before = home.log().len();
        let mut child = command(home, github)
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the binary of this package runs");
        let begun = Instant::now();
        loop {
            let log = home.log();
            if let Some((door, proxy)) = log.get(before..).and_then(addresses) {
                return Self { child, door, proxy };
            }
            let ended = child.try_wait().expect("the process can be asked");
            assert!(ended.is_none(), "the server ended with {ended:?}:\n{log}");
            assert!(begun.elapsed() < PATIENCE, "the server does not say where it listens:\n{log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL: it gets to do nothing more.
    pub(crate) async fn kill(mut self) {
        self.child.start_kill().expect("it can be killed");
        let ended = self.child.wait().await.expect("it ends");
        assert_eq!(ended.signal(), Some(9), "it ended before it was killed");
    }

    /// The most memory that it has had resident, in megabytes. Source: proc(5), `VmHWM`.
    pub(crate) fn peak_megabytes(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    /// How many files it may have open at once.
    pub(crate) fn descriptors(&self) -> usize {
        let pid = self.child.id().expect("it runs");
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let soft = line.and_then(|line| line.split_whitespace().next()).expect("the kernel says");
        soft.parse().expect("a number")
    }

    /// SIGTERM, without waiting.
    pub(crate) fn ask_to_stop(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), Signal::TERM).expect("it can be told");
    }

    /// Waits for the end that it was asked for.
    pub(crate) async fn stopped(mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it stops in time").expect("it ends")
    }
}

fn command(home: &Home, github: &Sandbox) -> Command {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (door, proxy) = home.addresses.unwrap_or((any, None));
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{}\nexec \"$0\" \"$@\"", home.before))
        .arg(env!("CARGO_BIN_EXE_greenroom"))
        .arg("serve")
        .current_dir(&home.folder)
        .env_clear()
        .envs(inherited())
        .env("NO_COLOR", "1")
        .env("GREENROOM_LISTEN", door.to_string())
        .env("GREENROOM_OPS_LISTEN", any.to_string())
        .env("GREENROOM_PROXY_LISTEN", proxy.unwrap_or(any).to_string())
        .env("GREENROOM_DATABASE_URL", home.database_url())
        .env("GREENROOM_DATA", home.data())
        .env("GREENROOM_GITHUB_API_URL", github.api_url())
        .env("GREENROOM_GITHUB_APP_ID", github.app_id().to_string())
        .env("GREENROOM_GITHUB_PRIVATE_KEY", github.private_key_pem().expose_secret())
        .env("GREENROOM_WEBHOOK_SECRET", SECRET)
        .env("GREENROOM_TARGET", "local")
        .env("GREENROOM_ALLOW", &home.allow)
        .env("GREENROOM_LOG", "info")
        .envs(home.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What the Docker command line needs to find its engine.
#[expect(clippy::disallowed_methods, reason = "tests find the engine as every user of docker does")]
pub(crate) fn inherited() -> Vec<(String, String)> {
    let wanted = ["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG"];
    wanted.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect()
}

/// The addresses in the line `webhooks at http://<door>/webhook`, which may go on with
/// `, stages at http://<stage>.localhost:<port>`.
fn addresses(log: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let (_, rest) = log.split_once("webhooks at http://")?;
    let (line, _) = rest.split_once('\n')?;
    let (door, rest) = line.split_once("/webhook")?;
    let port = rest.strip_prefix(", stages at http://<stage>.localhost:").and_then(|port| port.trim().parse().ok());
    Some((door.parse().ok()?, port.map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)))))
}

/// Every file below a folder, by its path inside it.
pub(crate) fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            found.push(path.strip_prefix(folder).expect("it lies below").display().to_string());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}
