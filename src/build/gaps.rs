//! What a source lacks that its authors have on their disks: GitHub's archives hold no submodules, and of
//! files in Git LFS only what points to them, unless the repository is set to put them in.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Entries that are looked at. What lies behind them is not told; neither is it in most repositories.
const MOST_ENTRIES: usize = 100_000;
/// Source: the specification of Git LFS, "Pointer": "less than 1024 bytes in size", and it begins so.
const LONGEST_POINTER: u64 = 1024;
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// Bytes of `.gitmodules` that are read, and names that are told.
const MOST_BYTES: u64 = 64 * 1024;
const MOST_NAMED: usize = 3;

/// A sentence for each kind of gap.
pub(super) fn gaps(tree: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let pointers = pointers(tree)?;
    if !pointers.is_empty() {
        found.push(format!(
            "{}, of which the archive has the pointers alone: turn on \"Include Git LFS objects in archives\" in \
             the repository's settings on GitHub, under Archives",
            listed(&pointers, "file is in Git LFS", "files are in Git LFS")
        ));
    }
    let empty = empty_submodules(tree)?;
    if !empty.is_empty() {
        found.push(format!(
            "{}, because archives of GitHub have none: put what is needed into the repository, or fetch it in the build",
            listed(&empty, "submodule is empty", "submodules are empty")
        ));
    }
    Ok(found)
}

/// `2 files are in Git LFS (a.png, b.png)`
fn listed(names: &[String], one: &str, many: &str) -> String {
    let shown = names.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(MOST_NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{} {} ({shown}{more})", names.len(), if names.len() == 1 { one } else { many })
}

fn pointers(tree: &Path) -> io::Result<Vec<String>> {
    let (mut found, mut seen, mut folders) = (Vec::new(), 0, vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(tree.join(&folder))? {
            seen += 1;
            if seen > MOST_ENTRIES {
                return Ok(found);
            }
            let entry = entry?;
            let (path, kind) = (folder.join(entry.file_name()), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && entry.metadata()?.len() < LONGEST_POINTER && is_pointer(&entry.path())? {
                found.push(path.display().to_string());
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn is_pointer(file: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(file)?.take(POINTER.len() as u64).read_to_end(&mut start)?;
    Ok(start == POINTER)
}

/// The submodules whose folders hold nothing. Source: gitmodules(5), `submodule.<name>.path`.
fn empty_submodules(tree: &Path) -> io::Result<Vec<String>> {
    let list = tree.join(".gitmodules");
    // A link could lead to what is no list.
    if !fs::symlink_metadata(&list).is_ok_and(|meta| meta.is_file()) {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    File::open(list)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let paths = text.lines().filter_map(|line| {
        let (key, path) = line.split_once('=')?;
        (key.trim() == "path").then(|| path.trim().trim_matches('"'))
    });
    Ok(paths.filter(|path| is_inside(path) && is_empty(&tree.join(path))).map(str::to_owned).collect())
}

fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn is_empty(folder: &Path) -> bool {
    match fs::symlink_metadata(folder) {
        Ok(meta) if meta.is_dir() => fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none()),
        Ok(_) => false,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let top = tempfile::tempdir().expect("a folder");
        for (path, content) in files {
            let path = top.path().join(path);
            fs::create_dir_all(path.parent().expect("it is inside")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        top
    }

    /// Source: the specification of Git LFS, its example.
    const EXAMPLE: &str = "version https://git-lfs.github.com/spec/v1\n\
        oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

    #[test]
    fn pointers_of_lfs_are_named() {
        let names = ["a.png", "b/c.png", "d.bin", "e.bin"];
        let top = tree(&names.map(|name| (name, EXAMPLE)));
        let said = gaps(top.path()).expect("it is ours");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("4 files are in Git LFS (a.png, b/c.png, d.bin and 1 more), of"), "{said:?}");
        let one = gaps(tree(&[("a.png", EXAMPLE)]).path()).expect("it is ours");
        assert!(one[0].starts_with("1 file is in Git LFS (a.png), of"), "{one:?}");
        let large = format!("{EXAMPLE}{}", "x".repeat(2_000));
        let none = tree(&[("a", "version https://git-lfs"), ("b", "1"), ("large", &large)]);
        assert_eq!(gaps(none.path()).expect("it is ours"), [""; 0]);
    }

    #[test]
    fn empty_submodules_are_named() {
        let list = "[submodule \"lib\"]\n\tpath = vendor/lib\n\turl = https://example.com/lib\n[submodule \"x\"]\n\tpath=x\n\
            [submodule \"evil\"]\n\tpath = ../evil\n[submodule \"full\"]\n\tpath = full\n[submodule \"gone\"]\n\tpath = gone\n";
        let top = tree(&[(".gitmodules", list), ("full/file", "1")]);
        for folder in ["vendor/lib", "x"] {
            fs::create_dir_all(top.path().join(folder)).expect("a folder");
        }
        let said = gaps(top.path()).expect("it is ours");
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("3 submodules are empty (vendor/lib, x, gone), because"), "{said:?}");
        assert_eq!(gaps(tree(&[("full/file", "1")]).path()).expect("it is ours"), [""; 0]);
    }
}
