//! The demo as its first user meets it: the real program, with nothing around it.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::tcgetattr;
use serde_json::Value;
use tempfile::TempDir;

use crate::hang::PATIENCE;

#[path = "support/hang.rs"]
mod hang;

/// Runs the demo with an empty environment but for the folder that it may use, and returns when it
/// ended.
fn demo(arguments: &[&str], folder: &Path) -> Output {
    let mut child = command(arguments, folder).env("PATH", "").spawn().expect("the program starts");
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("the program can be waited for") {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
            panic!("the demo did not end; it said:\n{}", read(folder, "out"));
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    Output { status, stdout: read(folder, "out").into_bytes(), stderr: read(folder, "err").into_bytes() }
}

fn command(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    command
        .arg("demo")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(fs::File::create(folder.join("out")).expect("a file"))
        .stderr(fs::File::create(folder.join("err")).expect("a file"));
    command
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect("the program's words")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// No program carries the folder, and nothing but the two files of words is in it.
fn assert_nothing_is_left(folder: &Path) {
    let entries = fs::read_dir(folder).expect("the folder is readable");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    assert_eq!(names, ["err", "out"], "the demo's folder is gone");
    assert_eq!(carriers(folder), Vec::<String>::new(), "no program is left");
}

/// The programs whose environment or command line names the folder.
fn carriers(folder: &Path) -> Vec<String> {
    let needle = folder.to_str().expect("UTF-8");
    let entries = fs::read_dir("/proc").expect("a list of processes");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let words = |pid: u32| {
        ["environ", "cmdline"].map(|file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default()).concat()
    };
    pids.map(|pid| (pid, String::from_utf8_lossy(&words(pid)).into_owned()))
        .filter(|(_, words)| words.contains(needle))
        .map(|(pid, words)| format!("{pid}: {words}"))
        .collect()
}

fn folder() -> TempDir {
    hang::watch();
    tempfile::tempdir().expect("a folder")
}

#[test]
fn it_runs_through_and_shows_all_it_promises() {
    let folder = folder();
    let output = demo(&["--once"], folder.path());
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    assert_eq!(errors, "", "a good run has no complaints");
    for promised in [
        "✓ GET http://pr-1.localhost:",
        ": 200 in ",
        "/acme/shop/pull/1",
        "pr-1 is live · ",
        " requests, 0 failed",
        "exit code 3",
        "\"two for one\" is not a price",
        "still serves",
        "✓ no process is left",
        "✓ no file is left",
        "0 of 6 resources left",
        "✓ what the stage has on this machine: 2 processes",
        "expectations held",
    ] {
        assert!(said.contains(promised), "{promised:?} is missing in:\n{said}");
    }
    assert_eq!(said.matches('✗').count(), 1, "only the broken commit's step fails:\n{said}");
    assert!(!said.contains('\u{1b}'), "no colours where nobody sees them");
    assert_nothing_is_left(folder.path());
}

#[test]
fn as_json_it_is_one_document_with_every_stage_of_the_comment() {
    let folder = folder();
    let output = demo(&["--once", "--json"], folder.path());
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    assert_eq!(errors, "");
    let report: Value = serde_json::from_str(&said).expect("one JSON document");
    assert_eq!(report["held"], true);
    assert_eq!(report["logs"], Value::Null);
    let chapters = report["chapters"].as_array().expect("chapters");
    assert_eq!(chapters.len(), 4, "{said}");
    let field = |chapter: usize, name: &str| chapters[chapter][name].as_str().unwrap_or_default().to_owned();
    let commit = |chapter: usize| field(chapter, "commit")[..7].to_owned();

    for (chapter, words) in [
        (0, vec!["is live".to_owned(), commit(0), "http://pr-1.localhost:".to_owned()]),
        (1, vec!["is live".to_owned(), commit(1)]),
        (2, vec!["failed".to_owned(), commit(2), "exit code 3".to_owned(), format!("`{}` still serves", commit(1))]),
        (3, vec!["0 of 6 resources left".to_owned()]),
    ] {
        let comment = field(chapter, "comment");
        assert!(words.iter().all(|word| comment.contains(word)), "{words:?} in:\n{comment}");
    }
    for chapter in [0, 1, 2] {
        assert_eq!(chapters[chapter]["answer"]["status"], 200, "{said}");
    }
    let titles = [0, 1, 2].map(|chapter| chapters[chapter]["answer"]["title"].as_str().unwrap_or_default());
    assert_ne!(titles[0], titles[1], "the second commit is seen");
    assert_eq!(titles[1], titles[2], "the broken commit is not");

    let requests = &chapters[1]["requests"];
    assert_eq!(requests["failed"], 0, "{requests}");
    for chapter in [0, 1] {
        assert!(requests["by_commit"][commit(chapter)].as_u64() >= Some(25), "both versions answered: {requests}");
    }
    let checks = chapters.iter().flat_map(|chapter| chapter["checks"].as_array().expect("checks"));
    assert!(checks.clone().count() >= 20 && checks.clone().all(|check| check["held"] == true), "{said}");
    assert_nothing_is_left(folder.path());
}

/// A demo that goes on while the test acts.
struct Running {
    child: Child,
    folder: TempDir,
}

impl Running {
    fn start(arguments: &[&str], stdin: Stdio) -> Self {
        let folder = folder();
        let child = command(arguments, folder.path()).stdin(stdin).spawn().expect("the program starts");
        Self { child, folder }
    }

    fn said(&self) -> String {
        read(self.folder.path(), "out")
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        hang::note(what);
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE, "{what} did not happen:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The demo itself carries the folder too.
    fn wait_for_a_service(&self) {
        self.wait_until("the start of a service", |demo| carriers(demo.folder.path()).len() > 1);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is told");
    }
}

#[test]
fn interrupted_in_the_middle_it_leaves_nothing_behind() {
    let mut demo = Running::start(&["--once"], Stdio::null());
    demo.wait_for_a_service();
    demo.signal(Signal::INT);
    let status = demo.child.wait().expect("it ends");
    assert_eq!(status.code(), Some(1), "it did not come to its end:\n{}", demo.said());
    assert!(demo.said().contains("Interrupted"), "{}", demo.said());
    assert_nothing_is_left(demo.folder.path());
}

#[test]
fn killed_outright_its_programs_end_by_themselves() {
    let mut demo = Running::start(&["--once"], Stdio::null());
    demo.wait_for_a_service();
    demo.signal(Signal::KILL);
    demo.child.wait().expect("it ends");
    demo.wait_until("the end of the services", |demo| carriers(demo.folder.path()).is_empty());
}

#[test]
fn at_a_terminal_it_does_what_the_keys_say() {
    let (mut keyboard, terminal) = terminal();
    let before = tcgetattr(&keyboard).expect("a terminal");
    let mut demo = Running::start(&[], terminal.into());
    for (turn, key) in ["n", "b", "c", "o", "q"].into_iter().enumerate() {
        demo.wait_until("the next question", |demo| demo.said().matches("q quit").count() > turn);
        keyboard.write_all(key.as_bytes()).expect("a key is pressed");
    }
    let status = demo.child.wait().expect("it ends");
    let said = demo.said();
    assert!(status.success(), "{said}");
    let chapters = [
        "1  A pull request is opened",
        "2  A commit is pushed",
        "3  A broken commit is pushed",
        "4  The pull request is closed",
        "5  The pull request is opened again",
        "6  The pull request is closed",
    ];
    assert!(chapters.iter().all(|chapter| said.contains(chapter)), "{said}");
    let after = tcgetattr(&keyboard).expect("a terminal");
    assert_eq!(after.local_modes, before.local_modes, "the terminal is as it was");
    assert_nothing_is_left(demo.folder.path());
}

/// A keyboard, and the terminal that it is connected to.
fn terminal() -> (fs::File, OwnedFd) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&keyboard).expect("it is granted");
    unlockpt(&keyboard).expect("it is unlocked");
    let name = ptsname(&keyboard, Vec::new()).expect("it has a name").into_string().expect("UTF-8");
    let terminal = fs::File::options().read(true).write(true).open(name).expect("it opens");
    (keyboard.into(), terminal.into())
}
