//! `greenroom init`: a first configuration, from what is found in the folder, and workflows for it.
//!
//! Follows no link, and reads only files that tell something, each and all of them up to a limit.

mod workflows;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::{ExitStatus, Printer};
use crate::config::{self, FirstFile};
use crate::model::{AppName, ServiceName};

/// Folder entries that are looked at.
const MOST_ENTRIES: usize = 20_000;
/// Files that are read, and bytes of each.
const MOST_FILES: usize = 200;
const MOST_BYTES: u64 = 256 * 1024;

/// Write a first configuration from what is found here.
#[derive(Debug, Args)]
#[command(after_help = "\
Looks for Dockerfiles, a compose file, a Procfile or a start script, in this folder and below.

Examples:
  greenroom init
  greenroom init --app shop --force
  greenroom init --workflows")]
pub(super) struct Init {
    /// The app's name, if it is not the folder's.
    #[arg(long, value_name = "NAME")]
    app: Option<AppName>,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    /// Write the workflows that fit the configuration, and say what is left to do.
    #[arg(long, conflicts_with_all = ["app", "force"])]
    workflows: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Written {
    file: &'static str,
    app: AppName,
    services: Vec<ServiceName>,
    /// What was found and is not in it, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
}

impl Init {
    pub(super) fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        if self.workflows {
            return workflows::write_all(printer);
        }
        let file = Path::new(config::PATH);
        if !self.force && file.symlink_metadata().is_ok() {
            let message =
                format!("{} is there already: `greenroom check` reads it, --force replaces it", file.display());
            return Err(ExitStatus::Usage.error(message));
        }
        let name = match self.app {
            Some(app) => app.to_string(),
            None => folder_name()?,
        };
        let (tree, is_whole) = tree(Path::new("."))?;
        let FirstFile { text, mut left_out } = config::first_file(&name, &tree);
        if !is_whole {
            left_out.push(format!(
                "what lies behind the first {MOST_ENTRIES} entries of this folder, or {MOST_FILES} files that tell something"
            ));
        }
        let project = config::check(config::PATH, text.as_bytes()).context("the first file is wrong: a bug")?;
        write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        let services = project.services.into_iter().map(|service| service.name).collect();
        printer.result(&Written { file: config::PATH, app: project.app, services, left_out }, human)?;
        Ok(ExitStatus::Ok)
    }
}

fn human(written: &Written) -> String {
    let services: Vec<&str> = written.services.iter().map(ServiceName::as_str).collect();
    let left_out: Vec<String> = written.left_out.iter().map(|line| format!("  - {line}\n")).collect();
    let left_out = if left_out.is_empty() { String::new() } else { format!("Left out:\n{}\n", left_out.concat()) };
    format!(
        "wrote {file}: the app {app} with {services}\n\n\
         {left_out}Next:\n  \
         1. read it, and set what was guessed: the ports, and a health path that answers 200\n  \
         2. greenroom check\n  \
         3. commit it to the default branch, and open a pull request\n",
        file = written.file,
        app = written.app,
        services = services.join(", "),
    )
}

fn folder_name() -> anyhow::Result<String> {
    let folder = fs::canonicalize(".").context("cannot tell which folder this is")?;
    Ok(folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

/// Telling files with their bytes, by path.
type Files = Vec<(String, Vec<u8>)>;

/// The telling files below `root` with their bytes, by path, those near the top first; and whether that is all.
fn tree(root: &Path) -> anyhow::Result<(Files, bool)> {
    let mut found = Vec::new();
    let mut seen = 0;
    let mut folders = std::collections::VecDeque::from([String::new()]);
    while let Some(folder) = folders.pop_front() {
        let entries = match fs::read_dir(root.join(&folder)) {
            Ok(entries) => entries,
            // A folder below that is not ours to read is none of the app's.
            Err(_) if !folder.is_empty() => continue,
            Err(error) => return Err(error).context("cannot read this folder"),
        };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MOST_ENTRIES || found.len() == MOST_FILES {
                return Ok((found, false));
            }
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            // The type of the entry itself: a link is neither file nor folder.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && config::is_telling(&format!("{path}/Dockerfile")) => {
                    folders.push_back(path);
                }
                Ok(kind) if kind.is_file() && config::is_telling(&path) => {
                    let bytes = start_of(&entry.path()).with_context(|| format!("cannot read {path}"))?;
                    found.push((path, bytes));
                }
                _ => {}
            }
        }
    }
    Ok((found, true))
}

fn start_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes the whole file or nothing; a link in its place is replaced and not followed.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = file.parent().context("the file has a folder")?;
    fs::create_dir_all(folder)?;
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(text.as_bytes())?;
    draft.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    draft.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_foreign_folders_are_not_entered() {
        let top = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("Dockerfile"), "EXPOSE 1").unwrap();
        for folder in ["web", "node_modules/x", ".git", "target", "a/b/c/d"] {
            fs::create_dir_all(top.path().join(folder)).unwrap();
            fs::write(top.path().join(folder).join("Dockerfile"), "EXPOSE 80").unwrap();
        }
        std::os::unix::fs::symlink(outside.path(), top.path().join("linked")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("Dockerfile"), top.path().join("Dockerfile")).unwrap();
        fs::write(top.path().join("Procfile"), vec![b'#'; 1024 * 1024]).unwrap();
        let (files, is_whole) = tree(top.path()).unwrap();
        assert!(is_whole);
        let mut found: Vec<(String, usize)> = files.into_iter().map(|(path, bytes)| (path, bytes.len())).collect();
        found.sort();
        assert_eq!(found, [("Procfile".to_owned(), 256 * 1024), ("web/Dockerfile".to_owned(), 9)]);
    }

    #[test]
    fn a_look_that_ends_half_way_says_so() {
        let top = tempfile::tempdir().unwrap();
        for number in 0..=MOST_FILES {
            fs::write(top.path().join(format!("Dockerfile.{number}")), "").unwrap();
        }
        let (files, is_whole) = tree(top.path()).unwrap();
        assert_eq!((files.len(), is_whole), (MOST_FILES, false));
    }
}
