//! A test that hangs says what it waits for, and ends. Of a matrix, each world has the time of a test.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// A little less than what the runner grants a test (`slow-timeout` in `.config/nextest.toml`).
const LONG: Duration = Duration::from_secs(280);

/// What anything that is waited for may take, however little time the machine has for it: less than a test
/// may, so that whoever waits says more of it than that it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);

static WATCH: Once = Once::new();
/// When the newest world of this process began.
static BEGUN: Mutex<Option<Instant>> = Mutex::new(None);
static AWAITED: Mutex<String> = Mutex::new(String::new());

/// Watches this process, from now on anew. Every world of a test calls it when it begins.
pub(crate) fn watch() {
    *locked(&BEGUN) = Some(Instant::now());
    WATCH.call_once(|| drop(std::thread::spawn(end_what_hangs)));
}

fn end_what_hangs() {
    while let Some(left) = time_left() {
        std::thread::sleep(left + Duration::from_millis(1));
    }
    let awaited = locked(&AWAITED).clone();
    let awaited = if awaited.is_empty() { "nothing that it has a word for" } else { &awaited };
    let programs = descendants();
    // This process is about to end; there is nobody to tell of a failure.
    let _ = writeln!(
        std::io::stderr(),
        "this test hangs: after {LONG:?} it waits until {awaited}; programs that it started: {programs:#?}"
    );
    std::process::abort();
}

/// `None` where the newest world has had its time.
fn time_left() -> Option<Duration> {
    let begun = *locked(&BEGUN);
    LONG.checked_sub(begun?.elapsed())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what is waited for from now on.
pub(crate) fn note(what: &str) {
    what.clone_into(&mut locked(&AWAITED));
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
    let _ = (note, PATIENCE);
};
