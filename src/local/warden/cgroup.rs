//! Control groups, version 2: the kernel's own list of what belongs to a program.
//!
//! They are had where our own group may be written to: as root, or where systemd was told to delegate it.
//! Where not, the descendants of the warden are what there is. Only files are written, so no library is
//! needed. Source: the kernel's documentation, "Control Group v2".

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::local::proc::seen;

/// The program's group, and the one to go back to.
pub(super) struct Entered {
    pub(super) folder: PathBuf,
    home: PathBuf,
}

/// Makes a group for a program and goes into it, so that what is started next begins there; `None` where
/// that cannot be had.
pub(super) fn enter(marker: &str) -> Option<Entered> {
    let home = own()?;
    let folder = home.join(format!("greenroom-{}", &hex::encode(Sha256::digest(marker))[..24]));
    match fs::create_dir(&folder) {
        // An earlier warden of the same copy left it behind.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return None,
        _ => {}
    }
    if move_to(&folder).is_err() {
        remove(&folder);
        return None;
    }
    Some(Entered { folder, home })
}

impl Entered {
    /// Goes back, which what was started meanwhile does not.
    pub(super) fn leave(self) -> Option<PathBuf> {
        match move_to(&self.home) {
            Ok(()) => Some(self.folder),
            // With the warden in it, it is never empty.
            Err(_) => None,
        }
    }
}

/// The numbers of all that is in a group or in one below it. An error where we have nothing left to look with.
pub(in crate::local) fn members(folder: &Path) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for folder in with_those_below(folder)? {
        let text = seen(fs::read_to_string(folder.join("cgroup.procs")))?.unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    Ok(found)
}

/// Ends all that is in a group, at one moment. Where the kernel is older than 5.14, nothing happens.
pub(in crate::local) fn kill(folder: &Path) {
    // Whoever calls this kills one by one as well.
    let _ = fs::write(folder.join("cgroup.kill"), "1");
}

/// Removes a group in which nothing lives; one that has members stays.
pub(in crate::local) fn remove(folder: &Path) {
    let folders = with_those_below(folder).unwrap_or_else(|_| vec![folder.to_path_buf()]);
    for folder in folders.into_iter().rev() {
        // The last one to end may still be leaving.
        for _ in 0..20 {
            match fs::remove_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => break,
            }
        }
    }
}

/// A group and those that the program made in it, each after the one that it lies in.
fn with_those_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_path_buf()];
    let mut at = 0;
    while at < found.len() {
        let entries = seen(fs::read_dir(&found[at]))?.into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let below: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
        found.extend(below);
        at += 1;
    }
    Ok(found)
}

fn move_to(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("cgroup.procs"), "0")
}

/// The folder of our own group.
fn own() -> Option<PathBuf> {
    let mounted = mount(&fs::read_to_string("/proc/self/mountinfo").ok()?)?;
    let path = path_in(&fs::read_to_string("/proc/self/cgroup").ok()?)?;
    Some(mounted.join(path))
}

/// Where the tree of groups is mounted as a whole. Source: `proc_pid_mountinfo(5)`.
fn mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let fields: Vec<&str> = before.split(' ').collect();
        let is_whole = after.split(' ').next() == Some("cgroup2") && fields.get(3) == Some(&"/");
        is_whole.then(|| fields.get(4).map(PathBuf::from)).flatten()
    })
}

/// Our own place in it. Source: cgroups(7), "/proc/pid/cgroup".
fn path_in(cgroup: &str) -> Option<PathBuf> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // Outside of what is mounted here.
    (!path.split('/').any(|part| part == "..")).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_group_is_read_as_the_kernel_writes_it() {
        let pure = "24 30 0:22 / /proc rw,nosuid - proc proc rw\n\
                    35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(mount(pure), Some(PathBuf::from("/sys/fs/cgroup")));
        let hybrid = "40 39 0:33 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      50 39 0:43 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(mount(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        let part = "35 24 0:30 /system.slice /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        assert_eq!(mount(part), None, "only a part of the tree is to be seen");
        assert_eq!(path_in("9:name=systemd:/a\n0::/system.slice/x.service\n"), Some("system.slice/x.service".into()));
        assert_eq!(path_in("0::/\n"), Some(PathBuf::new()));
        assert_eq!(path_in("0::/../other\n"), None);
        assert_eq!(path_in("3:cpu:/\n"), None);
    }

    #[test]
    fn a_group_that_is_gone_has_no_members_and_is_removed_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let gone = folder.path().join("gone");
        assert_eq!(members(&gone).ok(), Some(Vec::new()));
        kill(&gone);
        remove(&gone);
        fs::create_dir_all(gone.join("a/b")).expect("folders");
        remove(&gone);
        assert!(!gone.exists(), "those below go first");
    }
}
