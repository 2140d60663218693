//! The server's own folder: nobody else's to read, whatever the process was told to let others have.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// What the server keeps in it, besides its database's files.
const OURS: [&str; 3] = ["build", "local", "lock"];
const DATABASE: &str = "greenroom.db";
const OWNER_ALONE: u32 = 0o700;

/// Makes a folder that nobody else can read; one that is there stays as it is.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(OWNER_ALONE).create(folder)
}

/// Makes the data folder, and corrects one that was made by an older version. One in which somebody
/// keeps other things as well stays as it is: only what is ours in it is closed.
pub(super) fn folder(data: &Path) -> io::Result<()> {
    let build = data.join("build");
    DirBuilder::new().recursive(true).mode(OWNER_ALONE).create(&build)?;
    let mut is_ours_alone = true;
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !OURS.contains(&name.as_ref()) {
            is_ours_alone &= name.starts_with(DATABASE);
        } else if entry.file_type()?.is_dir() {
            close(&entry.path())?;
        }
    }
    if is_ours_alone { close(data) } else { Ok(()) }
}

fn close(folder: &Path) -> io::Result<()> {
    if fs::metadata(folder)?.permissions().mode() & 0o777 == OWNER_ALONE {
        return Ok(());
    }
    fs::set_permissions(folder, Permissions::from_mode(OWNER_ALONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_ours_is_closed_and_nothing_else() {
        let top = tempfile::tempdir().expect("a folder");
        let data = top.path().join("data");
        for name in ["build", "local"] {
            fs::create_dir_all(data.join(name)).expect("a folder");
            fs::set_permissions(data.join(name), Permissions::from_mode(0o755)).expect("it is ours");
        }
        for name in ["lock", "greenroom.db", "greenroom.db-wal"] {
            fs::write(data.join(name), "").expect("a file");
        }
        fs::set_permissions(&data, Permissions::from_mode(0o755)).expect("it is ours");
        fs::write(data.join("somebody's"), "").expect("a file");
        folder(&data).expect("it is ours");
        assert_eq!((mode(&data), mode(&data.join("build")), mode(&data.join("local"))), (0o755, 0o700, 0o700));
        fs::remove_file(data.join("somebody's")).expect("it is there");
        folder(&data).expect("it is ours");
        assert_eq!(mode(&data), 0o700);
    }
}
