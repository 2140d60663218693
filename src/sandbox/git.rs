//! Just enough of git: commits with whole trees, ancestry, three-dot differences and archives.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::record::Account;
use crate::model::{CommitSha, RepoName, Timestamp};

/// Begins the content of what is a symbolic link; its target follows.
const LINK: &[u8] = b"\0link to ";

/// All files of a commit by path.
pub(super) type Tree = BTreeMap<String, Arc<[u8]>>;

/// Every commit of every repository: forks share them, as they do on GitHub.
pub(super) type Commits = HashMap<CommitSha, Arc<Commit>>;

/// What a commit does to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    Write { path: String, content: Vec<u8> },
    Remove { path: String },
}

impl FileChange {
    /// The file holds this afterwards.
    pub fn write(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self::Write { path: path.into(), content: content.into() }
    }

    /// A symbolic link is there afterwards.
    pub fn link(path: impl Into<String>, target: &str) -> Self {
        Self::write(path, [LINK, target.as_bytes()].concat())
    }

    /// The file is gone afterwards.
    pub fn remove(path: impl Into<String>) -> Self {
        Self::Remove { path: path.into() }
    }
}

impl<P: Into<String>, C: Into<Vec<u8>>> From<(P, C)> for FileChange {
    fn from((path, content): (P, C)) -> Self {
        Self::write(path, content)
    }
}

#[derive(Debug)]
pub(super) struct Commit {
    pub(super) sha: CommitSha,
    pub(super) tree_sha: String,
    pub(super) parents: Vec<CommitSha>,
    pub(super) tree: Arc<Tree>,
    pub(super) message: String,
    pub(super) author: Arc<Account>,
    pub(super) at: Timestamp,
}

/// How one file differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileDiff {
    pub(super) path: String,
    pub(super) status: DiffStatus,
    /// Its content's name afterwards, or before where it was removed.
    pub(super) blob: String,
    pub(super) added: usize,
    pub(super) deleted: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DiffStatus {
    Added,
    Removed,
    Modified,
    Renamed { from: String },
}

/// The outcome of comparing two commits.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) merge_base: Arc<Commit>,
    /// Commits of the head that the base lacks, oldest first.
    pub(super) ahead: Vec<Arc<Commit>>,
    pub(super) behind: usize,
    pub(super) files: Vec<FileDiff>,
}

/// 40 hexadecimal digits that stand for these bytes.
pub(super) fn object_name(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut name = hex::encode(hash.finalize());
    name.truncate(40);
    name
}

/// Whether a content is that of a symbolic link.
pub(super) fn is_link(content: &[u8]) -> bool {
    content.starts_with(LINK)
}

pub(super) fn tree_name(tree: &Tree) -> String {
    let parts: Vec<&[u8]> = tree.iter().flat_map(|(path, content)| [path.as_bytes(), content.as_ref()]).collect();
    object_name(&parts)
}

pub(super) fn apply(tree: &Tree, changes: &[FileChange]) -> Tree {
    let mut next = tree.clone();
    for change in changes {
        match change {
            FileChange::Write { path, content } => {
                next.insert(path.clone(), Arc::from(content.as_slice()));
            }
            FileChange::Remove { path } => {
                next.remove(path);
            }
        }
    }
    next
}

/// The commit and everything before it, newest first.
pub(super) fn ancestry(commits: &Commits, from: &CommitSha) -> Vec<CommitSha> {
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    let mut queue = VecDeque::from([from.clone()]);
    while let Some(sha) = queue.pop_front() {
        if let Some(commit) = commits.get(&sha)
            && seen.insert(sha.clone())
        {
            queue.extend(commit.parents.iter().cloned());
            order.push(sha);
        }
    }
    order
}

/// What `head` has that its merge base with `base` lacks, as `git diff base...head`.
///
/// `None` when the two share no history.
pub(super) fn compare(commits: &Commits, base: &CommitSha, head: &CommitSha) -> Option<Comparison> {
    let (of_base, of_head) = (ancestry(commits, base), ancestry(commits, head));
    let in_base: HashSet<&CommitSha> = of_base.iter().collect();
    let in_head: HashSet<&CommitSha> = of_head.iter().collect();
    let merge_base = commits.get(of_head.iter().find(|sha| in_base.contains(sha))?)?.clone();
    let mut ahead: Vec<_> =
        of_head.iter().filter(|sha| !in_base.contains(sha)).filter_map(|sha| commits.get(sha).cloned()).collect();
    ahead.reverse();
    let behind = of_base.iter().filter(|sha| !in_head.contains(sha)).count();
    let files = diff(&merge_base.tree, &commits.get(head)?.tree);
    Some(Comparison { merge_base, ahead, behind, files })
}

/// The files that differ, by path. Like GitHub it knows an unchanged file under a new path again.
pub(super) fn diff(before: &Tree, after: &Tree) -> Vec<FileDiff> {
    let mut removed: Vec<(&String, &Arc<[u8]>)> =
        before.iter().filter(|(path, _)| !after.contains_key(*path)).collect();
    let mut files = Vec::new();
    for (path, content) in after {
        let blob = object_name(&[content]);
        match before.get(path) {
            Some(old) if old == content => {}
            Some(old) => {
                let (added, deleted) = (lines(content), lines(old));
                files.push(FileDiff { path: path.clone(), status: DiffStatus::Modified, blob, added, deleted });
            }
            None => {
                let origin = removed.iter().position(|(_, old)| *old == content && !content.is_empty());
                let (status, added) = match origin {
                    Some(index) => (DiffStatus::Renamed { from: removed.remove(index).0.clone() }, 0),
                    None => (DiffStatus::Added, lines(content)),
                };
                files.push(FileDiff { path: path.clone(), status, blob, added, deleted: 0 });
            }
        }
    }
    for (path, content) in removed {
        let (blob, deleted) = (object_name(&[content]), lines(content));
        files.push(FileDiff { path: path.clone(), status: DiffStatus::Removed, blob, added: 0, deleted });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn lines(content: &[u8]) -> usize {
    content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()
}

/// The archive as GitHub makes it: a global header with the commit's name, then everything under
/// one folder `owner-name-1234567`. A script (`#!`) is executable.
pub(super) fn tarball(repo: &RepoName, commit: &Commit) -> io::Result<Vec<u8>> {
    let top = format!("{}-{}-{}", repo.owner(), repo.name(), commit.sha.short());
    let seconds = u64::try_from(commit.at.0 / 1000).unwrap_or(0);
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let comment = format!("52 comment={}\n", commit.sha);
    let mut header = header_of(tar::EntryType::XGlobalHeader, 0o666, comment.len(), seconds);
    archive.append_data(&mut header, "pax_global_header", comment.as_bytes())?;
    let mut folders = HashSet::new();
    append_folders(&mut archive, &mut folders, &format!("{top}/."), seconds)?;
    for (path, content) in commit.tree.iter() {
        let full = format!("{top}/{path}");
        append_folders(&mut archive, &mut folders, &full, seconds)?;
        if let Some(target) = content.strip_prefix(LINK) {
            let mut header = header_of(tar::EntryType::Symlink, 0o777, 0, seconds);
            archive.append_link(&mut header, &full, &*String::from_utf8_lossy(target))?;
            continue;
        }
        let is_program = content.starts_with(b"#!") || content.starts_with(b"\x7fELF");
        let mode = if is_program { 0o775 } else { 0o664 };
        let mut header = header_of(tar::EntryType::Regular, mode, content.len(), seconds);
        archive.append_data(&mut header, &full, content.as_ref())?;
    }
    archive.into_inner()?.finish()
}

fn append_folders<W: io::Write>(
    archive: &mut tar::Builder<W>,
    known: &mut HashSet<String>,
    path: &str,
    seconds: u64,
) -> io::Result<()> {
    for (end, _) in path.match_indices('/') {
        let folder = &path[..=end];
        if known.insert(folder.to_owned()) {
            let mut header = header_of(tar::EntryType::Directory, 0o775, 0, seconds);
            archive.append_data(&mut header, folder, io::empty())?;
        }
    }
    Ok(())
}

fn header_of(kind: tar::EntryType, mode: u32, size: usize, seconds: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(seconds);
    header.set_size(u64::try_from(size).unwrap_or(u64::MAX));
    header
}
