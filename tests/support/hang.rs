//! A test that hangs says what it waits for, before the test runner ends it
//! (`slow-timeout` in `.config/nextest.toml`).

use std::io::Write as _;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

/// A little less than what the runner grants.
const LONG: Duration = Duration::from_secs(280);

static WATCH: Once = Once::new();
static AWAITED: Mutex<String> = Mutex::new(String::new());

/// Begins to watch this process, once. Every world of a test does.
pub(crate) fn watch() {
    WATCH.call_once(|| {
        std::thread::spawn(|| {
            std::thread::sleep(LONG);
            let awaited = AWAITED.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let awaited = if awaited.is_empty() { "nothing that it has a word for" } else { &awaited };
            let programs = descendants();
            // Whoever reads it is about to end this process; there is nobody to tell of a failure.
            let _ = writeln!(
                std::io::stderr(),
                "this test hangs: after {LONG:?} it waits until {awaited}; programs that it started: {programs:#?}"
            );
        });
    });
}

/// Notes what is waited for from now on.
pub(crate) fn note(what: &str) {
    what.clone_into(&mut AWAITED.lock().unwrap_or_else(PoisonError::into_inner));
}

/// The command lines of everything that this process started, and of what that started.
fn descendants() -> Vec<String> {
    let mut family = vec![std::process::id()];
    let mut lines = Vec::new();
    let mut known = 0;
    while known < family.len() {
        let parent = family[known];
        known += 1;
        for pid in processes().filter(|pid| parent_of(*pid) == Some(parent)) {
            family.push(pid);
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            lines.push(format!("{pid}: {}", String::from_utf8_lossy(&words).replace('\0', " ")));
        }
    }
    lines
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fourth field of `/proc/<pid>/stat`, behind the name in parentheses.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Test binaries share this file, and each uses another part of it.
const _: () = {
    let _ = note;
};
