//! A runner of GitHub Actions: nektos/act, which runs the steps of a workflow as processes of this machine.
//!
//! It keeps its tools in a folder from run to run, as a self-hosted runner does; a run's own folder goes with it.
//! When a run is over, every process that carries its mark is ended, as GitHub's runner does it: whoever means to
//! stay takes `RUNNER_TRACKING_ID` out of the environment. Source: actions/runner, `JobExtension`, "Cleaning up
//! orphan processes".

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::told::Told;
use crate::hang::{self, PATIENCE};
use crate::server::inherited;

/// Names the program.
const VARIABLE: &str = "GREENROOM_TEST_ACT";
const MARK: &str = "RUNNER_TRACKING_ID";
/// What `runs-on` may say.
const LABELS: [&str; 2] = ["ubuntu-latest", "ubuntu-24.04"];

pub(crate) struct Runner {
    program: PathBuf,
    /// Of its own: its home, its tools, its runs.
    folder: PathBuf,
    runs: AtomicU64,
}

/// What a run is started with.
pub(crate) struct Job<'a> {
    /// Where the workflow lies in its repository.
    pub(crate) path: &'a str,
    /// What it says.
    pub(crate) text: &'a str,
    /// `pull_request`
    pub(crate) event: &'a str,
    /// What the event file holds.
    pub(crate) body: &'a Value,
    pub(crate) actor: &'a str,
    /// What the job's steps find in their environment.
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) secrets: Vec<(&'static str, String)>,
    /// The repository's variables, `vars`.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Where the actions lie that the workflow uses, by what it calls them.
    pub(crate) actions: Vec<(String, PathBuf)>,
    /// What a checkout finds besides the workflow.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Runner {
    /// A runner that keeps what it has in this folder.
    pub(crate) fn new(folder: &Path) -> Self {
        #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the program is")]
        let program = std::env::var(VARIABLE).unwrap_or_else(|_| {
            panic!("{VARIABLE} is not set: run the tests with the README's test command, which installs act")
        });
        for part in ["home", "work/tool_cache", "bin"] {
            std::fs::create_dir_all(folder.join(part)).expect("a folder");
        }
        Self { program: program.into(), folder: folder.to_path_buf(), runs: AtomicU64::new(0) }
    }

    /// `RUNNER_TOOL_CACHE` of every run.
    pub(crate) fn tools(&self) -> PathBuf {
        self.folder.join("work/tool_cache")
    }

    /// The home of the user as whom it runs.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Puts a script before a program of this machine.
    #[cfg(feature = "aws")]
    pub(crate) fn stand_in(&self, program: &str, script: &str) {
        let place = self.folder.join("bin").join(program);
        std::fs::write(&place, script).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&place, mode).expect("its mode");
    }

    fn path(&self) -> String {
        let path = inherited().into_iter().find_map(|(name, value)| (name == "PATH").then_some(value));
        format!("{}:{}", self.folder.join("bin").display(), path.unwrap_or_default())
    }

    pub(crate) fn start(&self, job: &Job<'_>) -> Run {
        hang::watch();
        let number = self.runs.fetch_add(1, Ordering::SeqCst);
        let folder = self.folder.join(format!("run-{number}"));
        let checkout = folder.join("checkout");
        let workflow = (job.path.to_owned(), job.text.as_bytes().to_vec());
        for (path, bytes) in job.files.iter().chain([&workflow]) {
            write(&checkout.join(path), bytes);
        }
        let mark = format!("github_{}", crate::own::own("run"));
        let mut variables = job.variables.clone();
        variables.push((MARK, mark.clone()));
        write(&folder.join("event.json"), job.body.to_string().as_bytes());
        write(&folder.join("variables"), &lines(&variables));
        write(&folder.join("secrets"), &lines(&job.secrets));
        write(&folder.join("settings"), &lines(&job.settings));
        write(&folder.join("inputs"), b"");
        let log = std::fs::File::create(folder.join("log")).expect("a log file");
        let mut command = Command::new(&self.program);
        command.arg(job.event);
        for label in LABELS {
            command.arg("--platform").arg(format!("{label}=-self-hosted"));
        }
        command.args(["--json", "--no-cache-server", "--action-offline-mode", "--actor", job.actor]);
        for (flag, path) in [
            ("--workflows", checkout.join(job.path)),
            ("--eventpath", folder.join("event.json")),
            ("--env-file", folder.join("variables")),
            ("--secret-file", folder.join("secrets")),
            ("--var-file", folder.join("settings")),
            ("--input-file", folder.join("inputs")),
            ("--action-cache-path", self.folder.join("work")),
        ] {
            command.arg(flag).arg(path);
        }
        for (name, place) in &job.actions {
            command.arg("--local-repository").arg(format!("{name}={}", place.display()));
        }
        let child = command
            .current_dir(&checkout)
            .env_clear()
            // What act has in its environment its steps have too.
            .envs(inherited())
            .env("HOME", self.home())
            .env("PATH", self.path())
            .env("ACT_DISABLE_VERSION_CHECK", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{VARIABLE} names a program that does not start: {error}"));
        Run { child, folder, mark }
    }
}

/// A run that goes on. Where it is dropped, it ends with all that it started.
pub(crate) struct Run {
    child: Child,
    folder: PathBuf,
    mark: String,
}

impl Run {
    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Told {
        let waited = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let log = self.log();
        let ended = waited.unwrap_or_else(|_| panic!("a run does not end:\n{}", Told::read(&log).all()));
        ended.expect("it ends");
        Told::read(&log)
    }

    /// What it said so far, as act writes it.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits until a step has printed a line with these words.
    pub(crate) async fn printed(&self, words: &str) {
        hang::note(&format!("a run prints {words:?}"));
        let begun = Instant::now();
        while !Told::read(&self.log()).printed.contains(words) {
            let said = || Told::read(&self.log()).all();
            assert!(begun.elapsed() < PATIENCE, "waited in vain until a run prints {words:?}:\n{}", said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Somebody cancels it: SIGINT to the entry process of the step, SIGTERM 7.5 seconds later, and the end after 2.5
    /// more. Answers how long the step took to end. Source: GitHub, "Workflow cancellation".
    pub(crate) async fn cancel(&self) -> Duration {
        let begun = Instant::now();
        for (signal, millis) in [(Signal::INT, 7500), (Signal::TERM, 2500), (Signal::KILL, 0)] {
            let begun_again = Instant::now();
            for pid in self.entries() {
                signal_to(pid, signal);
            }
            while !self.entries().is_empty() && begun_again.elapsed() < Duration::from_millis(millis) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if self.entries().is_empty() {
                break;
            }
        }
        begun.elapsed()
    }

    /// The machine goes: nothing of the run gets to do anything more, and what it said is lost.
    pub(crate) fn kill(mut self) {
        // Gone already is as good.
        let _ = self.child.start_kill();
        self.end_what_is_marked();
    }

    /// The processes that act itself started: the shell of the step, or what it became.
    pub(crate) fn entries(&self) -> Vec<i32> {
        let Some(act) = self.child.id() else { return Vec::new() };
        self.processes().into_iter().filter(|pid| parent_of(*pid) == Some(act)).collect()
    }

    /// All that carry the mark of this run.
    fn processes(&self) -> Vec<i32> {
        processes_with("environ", &format!("{MARK}={}\0", self.mark))
    }

    fn end_what_is_marked(&self) {
        for _ in 0..100 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for pid in left {
                signal_to(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.end_what_is_marked();
    }
}

fn signal_to(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Gone meanwhile is as good.
        let _ = kill_process(pid, signal);
    }
}

/// The living processes of this machine in whose file of this name below `/proc` these words stand.
pub(crate) fn processes_with(file: &str, words: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let has_it = |folder: &Path| {
        let bytes = std::fs::read(folder.join(file)).unwrap_or_default();
        bytes.windows(words.len()).any(|window| window == words.as_bytes())
    };
    let found = entries.filter(|entry| has_it(&entry.path()) && !is_zombie(&entry.path()));
    found.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn is_zombie(process: &Path) -> bool {
    let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

/// The fourth field of `/proc/<pid>/stat`, behind the name in parentheses.
fn parent_of(pid: i32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
    std::fs::write(path, bytes).expect("a file");
}

/// As act reads a file of variables: values of several lines would have to be quoted, and none of ours has them.
fn lines(variables: &[(&'static str, String)]) -> Vec<u8> {
    let line = |(name, value): &(&str, String)| {
        assert!(!value.contains('\n'), "{name} has several lines");
        format!("{name}={value}\n")
    };
    variables.iter().map(line).collect::<String>().into_bytes()
}
