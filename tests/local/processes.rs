//! The processes of this machine, as `/proc` tells them.

use std::path::{Path, PathBuf};

use crate::machine::until;

/// The numbers of those that live and are so.
pub(crate) fn living(is_so: impl Fn(&Path) -> bool) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").expect("a process list").flatten();
    let found = processes.filter(|process| lives(&process.path()) && is_so(&process.path()));
    found.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
}

/// Those with this among their arguments, whatever their environment says.
pub(crate) fn with_argument(argument: &str) -> Vec<i32> {
    living(|process| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
    })
}

pub(crate) fn has_in_environment(process: &Path, mark: &[u8]) -> bool {
    let environment = std::fs::read(process.join("environ")).unwrap_or_default();
    environment.windows(mark.len()).any(|window| window == mark)
}

pub(crate) fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    rest.split_whitespace().nth(1).expect("a parent").parse().expect("a number")
}

/// Kills a process and waits until it is gone.
pub(crate) async fn kill(pid: i32) {
    let id = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(id, rustix::process::Signal::KILL).expect("it can be killed");
    let path = PathBuf::from(format!("/proc/{pid}"));
    until("the process is gone", async || !lives(&path)).await;
}

/// A zombie does not.
fn lives(process: &Path) -> bool {
    let Ok(stat) = std::fs::read_to_string(process.join("stat")) else { return false };
    !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}
