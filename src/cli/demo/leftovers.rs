//! The demo's one folder, and the proof that nothing outlives it.
//!
//! Guarantees: however the demo ends, short of `kill -9`, the programs it started end first and then
//! the folder goes. What is counted is read from the machine, not from what Greenroom remembers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};
use tempfile::TempDir;

use crate::app;

/// How long programs may take to end when they are asked to.
const PATIENCE: Duration = Duration::from_secs(3);
/// And when they are not asked any more.
const HARD_PATIENCE: Duration = Duration::from_secs(5);
/// What a server without stages keeps: what tells it from a second one, and its key.
const KEPT: [&str; 2] = ["lock", "image-key"];

/// The folder that everything of the demo lies in.
pub(super) struct Scratch {
    folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = app::scratch_folder("greenroom-demo-")?;
        // Programs are found by this path, so it must be the one that they are told.
        let path = fs::canonicalize(folder.path())?;
        Ok(Self { folder, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder for a person to read.
    pub(super) fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        end_programs(&self.path);
    }
}

/// The programs that have the folder in their environment, ourselves excluded. A program that has
/// ended and waits to be noticed has no environment any more.
pub(super) fn programs(folder: &Path) -> io::Result<Vec<i32>> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let entries = fs::read_dir("/proc")?;
    let own = getpid().as_raw_nonzero().get();
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let carries = |pid: &i32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.windows(needle.len()).any(|window| window == needle)
    };
    Ok(pids.filter(|pid| *pid != own).filter(carries).collect())
}

/// The files in a folder, by their path in it. Folders without a file and the data folder's lock,
/// which the running server holds, do not count.
pub(super) fn files(folder: &Path) -> io::Result<Vec<String>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        let entries = match fs::read_dir(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if !KEPT.iter().any(|kept| entry.file_name() == *kept) {
                let path = entry.path();
                found.push(path.strip_prefix(folder).unwrap_or(&path).display().to_string());
            }
        }
    }
    Ok(found)
}

/// Asks the programs to end, then ends them. Blocks: it is the last thing that happens.
fn end_programs(folder: &Path) {
    let begun = Instant::now();
    loop {
        // Without a list of processes there is nobody to find.
        let left = programs(folder).unwrap_or_default();
        if left.is_empty() || begun.elapsed() > PATIENCE + HARD_PATIENCE {
            return;
        }
        let signal = if begun.elapsed() < PATIENCE { Signal::TERM } else { Signal::KILL };
        for pid in left.into_iter().filter_map(Pid::from_raw) {
            // One that is gone meanwhile is what we want; the next look tells.
            let _ = kill_process(pid, signal);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_folder_takes_its_programs_with_it() {
        let scratch = Scratch::new().expect("a folder");
        let path = scratch.path().to_path_buf();
        let mut child = Command::new("sleep")
            .arg("600")
            .env("HOME", path.join("home"))
            .stdin(Stdio::null())
            .spawn()
            .expect("sleep runs");
        let pid = i32::try_from(child.id()).expect("a process number");
        // Right after its start the child may not show its own environment yet.
        while programs(&path).expect("a list").is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(programs(&path).expect("a list"), [pid]);
        fs::create_dir_all(path.join("a/b")).expect("a folder");
        assert_eq!(files(&path).expect("readable"), Vec::<String>::new());
        fs::write(path.join("a/b/file"), "x").expect("a file");
        assert_eq!(files(&path).expect("readable"), ["a/b/file"]);
        drop(scratch);
        assert!(programs(&path).expect("a list").is_empty() && !path.exists());
        assert!(!child.wait().expect("it ended").success());
    }
}
