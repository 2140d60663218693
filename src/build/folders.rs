//! Where the builder keeps what it has: everything below one data folder.
//!
//! ```text
//! stages/<owner>/<name>/<stage>/
//!   lock                    held while a source is unpacked
//!   partial/                a source on its way; left over if the server died
//!   sources/<sha>/tree/     a complete source
//!   sources/<sha>/digest    the hash of its content
//!   logs/<service>.log      what the service's newest build printed
//! running/<pid>             a build that runs, for the next start of the server
//! logins/                   Docker configurations for the moment of a push, policies for that of a build
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::model::{CommitSha, ServiceName, StageId};

/// What is left of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remains {
    OtherStages,
    Nothing,
}

/// The data folder.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    root: PathBuf,
}

impl Folders {
    /// Makes the data folder; its path is made absolute, because artifacts name it.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("running"))?;
        let folders = Self { root: root.canonicalize()? };
        // A server that was killed may have left a login there.
        remove_folder(&folders.logins())?;
        Ok(folders)
    }

    pub(super) fn logins(&self) -> PathBuf {
        self.root.join("logins")
    }

    pub(super) fn running(&self) -> PathBuf {
        self.root.join("running")
    }

    /// Names are safe as parts of a path: their types admit neither `/` nor `..`.
    pub(super) fn stage(&self, stage: &StageId) -> PathBuf {
        self.root.join("stages").join(stage.repo.as_str()).join(stage.name.as_str())
    }

    pub(super) fn source(&self, stage: &StageId, sha: &CommitSha) -> PathBuf {
        self.stage(stage).join("sources").join(sha.as_str())
    }

    pub(super) fn tree(&self, stage: &StageId, sha: &CommitSha) -> PathBuf {
        self.source(stage, sha).join("tree")
    }

    pub(super) fn log(&self, stage: &StageId, service: &ServiceName) -> PathBuf {
        self.stage(stage).join("logs").join(format!("{service}.log"))
    }

    /// Removes every source of a stage, also one on its way; its logs stay.
    pub(super) fn remove_sources(&self, stage: &StageId) -> io::Result<()> {
        let folder = self.stage(stage);
        for part in ["sources", "partial"] {
            remove_folder(&folder.join(part))?;
        }
        match fs::remove_file(folder.join("lock")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.remove_if_empty(&folder);
        Ok(())
    }

    /// Removes everything of a stage, and the folders of its repository that this leaves empty.
    pub(super) fn remove_stage(&self, stage: &StageId) -> io::Result<Remains> {
        let folder = self.stage(stage);
        remove_folder(&folder)?;
        self.remove_if_empty(&folder);
        let has_others = folder.parent().is_some_and(Path::exists);
        Ok(if has_others { Remains::OtherStages } else { Remains::Nothing })
    }

    /// Removes a stage's folder, its repository's and its owner's where nothing is in them.
    fn remove_if_empty(&self, folder: &Path) {
        for folder in folder.ancestors().take_while(|folder| *folder != self.root).take(3) {
            // Another stage may be there, or come at this moment: then it is not empty.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Absent is success.
fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The file that holds the content hash of a tree which [`Folders::tree`] named.
pub(super) fn digest_beside(tree: &Path) -> PathBuf {
    tree.with_file_name("digest")
}

/// A source on its way: exclusive for this stage, and only there when it is complete.
#[derive(Debug)]
pub(super) struct Arrival {
    partial: PathBuf,
    target: PathBuf,
    _lock: File,
}

impl Arrival {
    /// Begins anew whatever an earlier one left; `None` while another process is at it.
    pub(super) fn begin(folders: &Folders, stage: &StageId, sha: &CommitSha) -> io::Result<Option<Self>> {
        let folder = folders.stage(stage);
        fs::create_dir_all(folder.join("sources"))?;
        let lock = File::create(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let partial = folder.join("partial");
        remove_folder(&partial)?;
        fs::create_dir_all(partial.join("tree"))?;
        Ok(Some(Self { partial, target: folders.source(stage, sha), _lock: lock }))
    }

    /// Where the tree goes.
    pub(super) fn tree(&self) -> PathBuf {
        self.partial.join("tree")
    }

    /// Makes the source appear, complete and on disk, and answers its tree.
    pub(super) fn complete(self, digest: &str) -> io::Result<PathBuf> {
        fs::write(self.partial.join("digest"), digest)?;
        to_disk(&self.partial)?;
        match fs::rename(&self.partial, &self.target) {
            // Somebody else finished the same commit first.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(&self.partial)?,
            other => other?,
        }
        if let Some(parent) = self.target.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(self.target.join("tree"))
    }

    /// Leaves nothing behind.
    pub(super) fn give_up(self) -> io::Result<()> {
        fs::remove_dir_all(&self.partial)
    }
}

/// Thousands of files in one call: a rename must not reach the disk before them.
#[cfg(target_os = "linux")]
fn to_disk(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

#[cfg(not(target_os = "linux"))]
fn to_disk(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
