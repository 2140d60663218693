//! The hash of a tree: equal for equal content, wherever it lies and whenever it was written.
//!
//! It covers every file's path, bytes and executable bit and every symbolic link's target, in the
//! order of their paths. Times, owners and empty folders, which git does not keep, do not count.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::demand::Demand;

/// A hash over a list of fields, each with its length, so that no two lists read the same.
#[derive(Default)]
pub(super) struct Fields(Sha256);

impl Fields {
    pub(super) fn add(&mut self, field: &[u8]) {
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field);
    }

    /// Hexadecimal.
    pub(super) fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// The hash of everything below `root`, in hexadecimal; an error once nobody waits for it.
pub(super) fn tree_hash(root: &Path, demand: &Demand) -> io::Result<String> {
    let mut entries = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        demand.check()?;
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() || kind.is_symlink() {
                entries.push(OsString::from(path));
            }
        }
    }
    entries.sort_unstable();
    let mut fields = Fields::default();
    for path in &entries {
        fields.add(path.as_bytes());
        add_entry(&mut fields, &root.join(path), demand)?;
    }
    Ok(fields.finish())
}

fn add_entry(fields: &mut Fields, path: &Path, demand: &Demand) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        fields.add(b"link");
        fields.add(fs::read_link(path)?.as_os_str().as_bytes());
    } else {
        fields.add(if meta.permissions().mode() & 0o100 == 0 { b"file" } else { b"executable" });
        fields.add(&file_hash(path, demand)?);
    }
    Ok(())
}

/// SHA-256 of a file's bytes.
fn file_hash(path: &Path, demand: &Demand) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        demand.check()?;
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(root.path().join("src/deep")).expect("a folder");
        for (name, text) in [("README", "hello"), ("src/main.py", "print()"), ("src/deep/x", "")] {
            fs::write(root.path().join(name), text).expect(name);
        }
        symlink("README", root.path().join("link")).expect("a link");
        root
    }

    fn hash(root: &Path) -> String {
        tree_hash(root, &Demand::lasting()).expect("a readable tree")
    }

    #[test]
    fn a_hash_that_nobody_waits_for_is_not_computed() {
        let ended = tree_hash(tree().path(), &Demand::over());
        assert_eq!(ended.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionAborted));
    }

    #[test]
    fn equal_trees_have_equal_hashes() {
        assert_eq!(hash(tree().path()), hash(tree().path()));
        let touched = tree();
        fs::create_dir(touched.path().join("empty")).expect("a folder");
        let old = std::time::UNIX_EPOCH;
        File::open(touched.path().join("README")).and_then(|file| file.set_modified(old)).expect("an old file");
        assert_eq!(hash(tree().path()), hash(touched.path()), "times and empty folders do not count");
    }

    type Change = fn(&Path) -> io::Result<()>;

    #[test]
    fn every_difference_shows() {
        let run_bit = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
        let changes: [(&str, Change); 6] = [
            ("content", |root| fs::write(root.join("README"), "hellO")),
            ("name", |root| fs::rename(root.join("README"), root.join("README2"))),
            ("place", |root| fs::rename(root.join("src/deep/x"), root.join("src/x"))),
            ("gone", |root| fs::remove_file(root.join("src/deep/x"))),
            ("new", |root| fs::write(root.join("new"), "")),
            ("link", |root| fs::remove_file(root.join("link")).and_then(|()| symlink("src", root.join("link")))),
        ];
        let plain = hash(tree().path());
        for (what, change) in changes {
            let root = tree();
            change(root.path()).expect(what);
            assert_ne!(plain, hash(root.path()), "{what}");
        }
        let root = tree();
        run_bit(&root.path().join("README")).expect("a file");
        assert_ne!(plain, hash(root.path()), "executable");
    }

    #[test]
    fn fields_do_not_run_together() {
        let of = |parts: &[&str]| {
            let mut fields = Fields::default();
            for part in parts {
                fields.add(part.as_bytes());
            }
            fields.finish()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), of(&["ab", ""]));
    }
}
