//! A machine of a runner with a copy of the Action on it, whose releases lie on loopback.
//!
//! Where releases lie is said by `checksums.txt` alone, so a test has a file of its own; the script is the one
//! that is handed out, byte for byte.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::hang;
use crate::releases::{Answer, Releases};

/// Says that it runs, as what, and what it was given.
pub(crate) const PROGRAM: &str = "#!/bin/sh\necho \"runs as $$: $0 $*\"\necho \"stage=$GREENROOM_ACTION_STAGE path=$PATH \
                                  locale=${LC_ALL-unset} mask=$(umask)\"\n";
pub(crate) const PLATFORM: &str = if cfg!(target_arch = "aarch64") { "linux-arm64" } else { "linux-x64" };

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// As a release packs a program: one file called `greenroom`.
pub(crate) fn archive(program: &[u8]) -> Vec<u8> {
    let mut packed = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_ustar();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    packed.append_data(&mut header, "greenroom", program).expect("memory");
    packed.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory")
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) releases: Releases,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    /// Both outputs.
    pub(crate) said: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let both = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Self { code: output.status.code(), said: both.concat() }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        hang::watch();
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["action", "cache", "temp", "work"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let world = Self { folder, releases: Releases::new() };
        fs::copy(root().join("action/script.sh"), world.at("action/script.sh")).expect("the script");
        world.write_checksums(&format!("# of a test\nsource {}\n", world.releases.address));
        world
    }

    /// One whose only release is this program.
    pub(crate) fn with(program: &str) -> Self {
        let world = Self::new();
        world.release("1.2.3", program);
        world
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write_checksums(&self, text: &str) {
        fs::write(self.at("action/checksums.txt"), text).expect("the checksums");
    }

    pub(crate) fn add_line(&self, line: &str) {
        let mut file = fs::File::options().append(true).open(self.at("action/checksums.txt")).expect("the checksums");
        writeln!(file, "{line}").expect("a line");
    }

    /// Puts a release where it is looked for and commits its checksums.
    pub(crate) fn release(&self, version: &str, program: &str) {
        let packed = archive(program.as_bytes());
        self.add_line(&format!("{version} {PLATFORM} {} {}", sha256(&packed), sha256(program.as_bytes())));
        self.releases.put(&asset(version), Answer::File(packed));
    }

    /// Where this program lies once it is cached.
    pub(crate) fn cached(&self, program: &str) -> PathBuf {
        self.at("cache/greenroom").join(sha256(program.as_bytes())).join("greenroom")
    }

    /// Puts a file into the cache in the place of the program.
    pub(crate) fn put_into_cache(&self, program: &str, bytes: &[u8]) -> PathBuf {
        let path = self.cached(program);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        path
    }

    /// The script as the step runs it, with nothing in its environment but a runner's own variables.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("/bin/bash");
        command.args(["--noprofile", "--norc", "-p"]).arg(self.at("action/script.sh"));
        self.settle(&mut command);
        command
    }

    pub(crate) fn settle(&self, command: &mut Command) {
        command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).current_dir(self.at("work"));
        command.env("RUNNER_TOOL_CACHE", self.at("cache")).env("RUNNER_TEMP", self.at("temp"));
        command.env("GITHUB_WORKSPACE", self.at("work")).env("GITHUB_OUTPUT", self.at("output"));
    }

    pub(crate) fn run(&self, environment: &[(&str, &str)]) -> Ran {
        let mut command = self.command();
        command.envs(environment.iter().copied());
        command.output().expect("bash runs").into()
    }

    /// The output `reason` of the last run.
    pub(crate) fn reason(&self) -> String {
        let outputs = fs::read_to_string(self.at("output")).unwrap_or_default();
        outputs.lines().filter_map(|line| line.strip_prefix("reason=")).next_back().unwrap_or_default().to_owned()
    }

    /// What no step leaves behind: drafts, in the cache or beside it.
    pub(crate) fn drafts(&self) -> Vec<PathBuf> {
        let entries = |name: &str| fs::read_dir(self.at(name)).into_iter().flatten().flatten();
        let paths = entries("cache/greenroom").chain(entries("temp")).map(|entry| entry.path());
        paths.filter(|path| path.to_string_lossy().contains(".draft.")).collect()
    }
}

/// The path of a release's archive for this machine.
pub(crate) fn asset(version: &str) -> String {
    format!("/v{version}/greenroom-{PLATFORM}.tar.gz")
}
