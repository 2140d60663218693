//! The files that a repository has here, by name alone.

use std::fs;
use std::io;
use std::path::Path;

/// Of more, none is said: a look that ends half-way tells nothing of what is not there.
const MOST: usize = 200_000;

/// Every file below `root`, from there, without what git keeps for itself; `None` where there are too
/// many. Links are files, as they are to git, and lead nowhere.
pub(super) fn files_here(root: &Path) -> io::Result<Option<Vec<String>>> {
    let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(root.join(&folder)) {
            Ok(entries) => entries,
            // What nobody may read here, or what has just gone, is in no commit that is made here.
            Err(_) if !folder.is_empty() => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            // A name that is no text is in no pattern either.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name == ".git" {
                continue;
            }
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
            if files.len() + folders.len() > MOST {
                return Ok(None);
            }
        }
    }
    files.sort_unstable();
    Ok(Some(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_from_the_top_and_no_link_is_followed() {
        let top = tempfile::tempdir().expect("a folder");
        for folder in ["web/src", ".git/objects", ".github"] {
            fs::create_dir_all(top.path().join(folder)).expect("a folder");
        }
        for file in ["web/src/main.ts", ".git/HEAD", ".github/greenroom.yml", "README.md"] {
            fs::write(top.path().join(file), "").expect("a file");
        }
        std::os::unix::fs::symlink("/", top.path().join("web/all")).expect("a link");
        let files = files_here(top.path()).expect("it is ours").expect("they are few");
        assert_eq!(files, [".github/greenroom.yml", "README.md", "web/all", "web/src/main.ts"]);
    }

    #[test]
    fn a_folder_that_cannot_be_read_hides_nothing_else() {
        use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
        let top = tempfile::tempdir().expect("a folder");
        fs::write(top.path().join("a"), "").expect("a file");
        // Deeper than a path can be long: nobody can read that by its path, root neither.
        let name = "d".repeat(250);
        let mut folder = open(top.path(), OFlags::DIRECTORY, Mode::empty()).expect("it is ours");
        for _ in 0..17 {
            mkdirat(&folder, name.as_str(), Mode::RWXU).expect("a folder");
            folder = openat(&folder, name.as_str(), OFlags::DIRECTORY, Mode::empty()).expect("it is ours");
        }
        assert_eq!(files_here(top.path()).expect("it is ours"), Some(vec!["a".to_owned()]));
    }
}
