//! A version's own copy of its source.
//!
//! Guarantees: links are copied as links and never followed; devices and sockets are left out; the
//! copy appears under its name only when it is complete; however deep the tree is, one folder of it is
//! open at a time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Copies the folder `from` to `to`, unless `to` is there already. Blocks.
pub(super) fn copy_once(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        return Ok(());
    }
    let partial = to.with_extension("part");
    match fs::remove_dir_all(&partial) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    copy(from, &partial)?;
    fs::rename(&partial, to)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        fs::create_dir_all(to.join(&folder))?;
        for entry in fs::read_dir(from.join(&folder))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let path = folder.join(entry.file_name());
            if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(entry.path())?, to.join(path))?;
            } else if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                fs::copy(entry.path(), to.join(path))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_links_and_programs_stay_executable() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let (from, to) = (data.path().join("from"), data.path().join("to"));
        fs::create_dir_all(from.join("bin")).unwrap();
        fs::write(from.join("bin/run"), "#!").unwrap();
        fs::set_permissions(from.join("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", from.join("out")).unwrap();
        // What a crash in the middle of an earlier copy leaves.
        fs::create_dir_all(data.path().join("to.part/junk")).unwrap();

        copy_once(&from, &to).unwrap();
        assert_eq!(fs::read_link(to.join("out")).unwrap(), Path::new("/nowhere/at/all"));
        assert_eq!(fs::metadata(to.join("bin/run")).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(!to.join("junk").exists() && !data.path().join("to.part").exists());

        fs::write(from.join("later"), "x").unwrap();
        copy_once(&from, &to).unwrap();
        assert!(!to.join("later").exists(), "a complete copy is never touched again");
    }
}
