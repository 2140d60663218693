//! The Action of this repository, with the program of this package as the one release that it knows.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use greenroom::sandbox::FileChange;
use sha2::{Digest as _, Sha256};

use super::runner::Runner;
use crate::server::inherited;

/// Lays it out as it lies in its own repository, and the program where a runner keeps what it proved.
pub(crate) fn lay(place: &Path, runner: &Runner) {
    copy(&root().join("action.yml"), &place.join("action.yml"));
    for entry in std::fs::read_dir(root().join("action")).expect("the Action has a folder").flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            copy(&entry.path(), &place.join("action").join(entry.file_name()));
        }
    }
    let program = program();
    let digest = hex::encode(Sha256::digest(std::fs::read(&program).expect("the program can be read")));
    copy(&program, &runner.tools().join("greenroom").join(&digest).join("greenroom"));
    let checksums = place.join("action/checksums.txt");
    let known = std::fs::read_to_string(&checksums).expect("the Action has checksums");
    let platforms = ["linux-x64", "linux-arm64", "macos-x64", "macos-arm64"];
    let of_ours = platforms.map(|platform| format!("999.0.0 {platform} {digest} {digest}\n")).concat();
    std::fs::write(checksums, format!("{known}{of_ours}")).expect("a file");
}

/// The workflows of this repository, as the file of a repository that uses them, each line changed so.
pub(crate) fn workflows(change: impl Fn(&str) -> Option<String>) -> Vec<FileChange> {
    let folder = std::fs::read_dir(root().join("workflows")).expect("there are workflows").flatten();
    let file = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a workflow is text");
        let text: String = text.lines().filter_map(|line| change(line).map(|line| line + "\n")).collect();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        FileChange::write(format!(".github/workflows/{name}"), text)
    };
    // Whoever wants tests after the preview has this in place of preview.yml.
    let paths = folder.map(|entry| entry.path()).filter(|path| !path.ends_with("e2e-after-preview.yml"));
    paths.map(file).collect()
}

/// A line as somebody writes it whose stages run on the runner itself.
pub(crate) fn on_this_machine(line: &str) -> Option<String> {
    let begin = line.trim_start();
    match begin.split(':').next() {
        Some("role") if begin.contains("arn:aws:iam") => Some(line.replace(begin, "target: local")),
        Some("aws-region") => None,
        _ => Some(line.to_owned()),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program without what only a debugger reads: a step hashes all of it before it runs it.
fn program() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_greenroom"));
    let made = built.metadata().and_then(|about| about.modified()).expect("the program is there");
    let made = made.duration_since(UNIX_EPOCH).expect("it is younger than 1970").as_nanos();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let place = folder.join(format!("greenroom-{made}"));
    if !place.exists() {
        for old in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if old.file_name().to_string_lossy().starts_with("greenroom-") {
                // Another test may have been faster.
                let _ = std::fs::remove_file(old.path());
            }
        }
        let draft = folder.join(format!("draft-{}", crate::own::own("greenroom")));
        let mut strip = Command::new("strip");
        let stripped = strip.arg("-o").arg(&draft).arg(built).env_clear().envs(inherited()).status();
        if !stripped.is_ok_and(|status| status.success()) {
            copy(built, &draft);
        }
        std::fs::rename(draft, &place).expect("the folder is ours");
    }
    place
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().expect("a file lies in a folder")).expect("a folder");
    std::fs::copy(from, to).unwrap_or_else(|error| panic!("{} cannot be copied: {error}", from.display()));
}
