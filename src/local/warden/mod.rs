//! Wardens: a process between the server and each program, which sees to it that nothing of the program is
//! left when the program has ended.
//!
//! Whatever a program does to its environment, its session, its group or its parent, its descendants stay
//! descendants of the warden: it is their *subreaper* (`PR_SET_CHILD_SUBREAPER`, prctl(2)), so that the
//! kernel hands every orphan below it to it and to nobody else. A warden without a child is therefore a proof,
//! and the only one, that nothing is left; it writes that down and ends. It goes on when the server is
//! killed, knows the exit code that the server then missed, and keeps the log within its bounds meanwhile.
//! What it writes to are files and pipes: it needs no server.
//!
//! Where a control group can be had (`cgroup`), the program runs in one: then the kernel knows what belongs to
//! it even when the warden itself is killed.
//!
//! | file | purpose |
//! |---|---|
//! | `server` | starting a warden and giving it its order |
//! | `program` | the warden itself |
//! | `roll` | the log that it keeps |
//! | `cgroup` | the program's control group |

mod cgroup;
mod program;
mod roll;
mod server;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use program::watch_over;

pub(super) use cgroup::{kill, members, remove};
pub(super) use roll::older;
pub(super) use server::{NoStart, begin};

/// In a warden's environment: which copy it keeps.
pub(super) const WARDEN: &str = "GREENROOM_WARDEN";
/// In a program's environment, unless it takes it out: which copy it belongs to.
pub(super) const PROGRAM: &str = "GREENROOM_PROCESS";

/// As much as a record of an end takes, so that it fits a disk that is full by then.
const RECORD_BYTES: usize = 4096;
/// Of the names of what a program left running, so many are told.
const NAMES: usize = 8;

/// How this program is started as a warden: its file, and the words behind it.
#[derive(Debug, Clone)]
pub struct WardenProgram {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

/// What a warden is told on its standard input, before it starts anything.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// Which copy it is.
    pub(super) marker: String,
    pub(super) command: Vec<String>,
    pub(super) folder: PathBuf,
    /// The whole environment, secrets included: it passes through a pipe and is written nowhere.
    pub(super) env: BTreeMap<String, String>,
    pub(super) log: PathBuf,
    /// Where [`Ended`] is written.
    pub(super) end: PathBuf,
    /// From the polite signal to the other one.
    pub(super) patience_millis: u64,
}

/// What a warden answers, as one line on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Started {
        cgroup: Option<PathBuf>,
    },
    /// The program cannot be run; nothing of it lives.
    Refused {
        errno: Option<i32>,
        said: String,
    },
}

/// How a program came to its end, as its warden saw it. Without a code it runs, or nobody saw it end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// As a shell shows it: 128 and the signal's number for a killed program.
    pub(super) code: Option<i32>,
    /// Names of what it left running when it ended by itself.
    #[serde(default)]
    pub(super) left: Vec<String>,
    /// Nothing of it lives any more.
    #[serde(default)]
    pub(super) nothing_lives: bool,
}

/// Makes room for the record of an end, which says that nothing lives: nothing was started yet, and a warden
/// that is told to start something takes it back before it does. Room that is there is used again, also on a
/// disk that is full.
pub(super) fn begin_record(path: &Path) -> io::Result<()> {
    let nothing_yet = Ended { nothing_lives: true, ..Ended::default() };
    fill(File::options().write(true).create(true).truncate(false).open(path)?, &nothing_yet)
}

/// What is written of a program's end.
pub(super) fn read_end(path: &Path) -> Option<Ended> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes into the room that was made; where there is none any more, the version is gone.
fn write_end(path: &Path, ended: &Ended) -> io::Result<()> {
    fill(File::options().write(true).open(path)?, ended)
}

fn fill(mut file: File, ended: &Ended) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(ended)?;
    bytes.resize(bytes.len().max(RECORD_BYTES), b' ');
    file.write_all(&bytes)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_written_into_the_room_that_was_made_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("end-0.json");
        assert_eq!(read_end(&path), None);
        let nothing_yet = Some(Ended { nothing_lives: true, ..Ended::default() });
        begin_record(&path).expect("it can be written");
        assert_eq!(read_end(&path), nothing_yet);
        let long = Ended { code: Some(143), left: vec!["x".repeat(15); NAMES], nothing_lives: false };
        for ended in [long, Ended { code: Some(3), left: Vec::new(), nothing_lives: true }] {
            write_end(&path, &ended).expect("it can be written");
            assert_eq!(read_end(&path), Some(ended));
            let length = fs::metadata(&path).expect("a file").len();
            assert_eq!(usize::try_from(length).expect("a length"), RECORD_BYTES, "a full disk has room for it");
        }
        begin_record(&path).expect("it can be written");
        assert_eq!(read_end(&path), nothing_yet, "of the next start");
        assert!(
            write_end(&folder.path().join("gone"), &Ended::default()).is_err(),
            "a version that is gone stays gone"
        );
    }
}
