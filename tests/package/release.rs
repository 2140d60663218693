//! What a release is made of, in a repository and with programs of the test's own: `action/release.sh`, and what
//! `action/script.sh` then has from it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::releases::Answer;
use crate::world::{PLATFORM, Ran, World, read, root};

pub(crate) const PLATFORMS: [&str; 4] = ["linux-arm64", "linux-x64", "macos-arm64", "macos-x64"];

/// A checkout with what a release needs, at a first commit.
pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        crate::hang::watch();
        let house = Self { folder: tempfile::tempdir().expect("a folder") };
        for name in
            ["action/release.sh", "action/script.sh", "action/checksums.txt", "npm/greenroom.js", "npm/pack.mjs"]
        {
            let to = house.folder.path().join(name);
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::copy(root().join(name), to).expect("a copy");
        }
        house.git(&["init", "--quiet", "."]);
        house.commit("A");
        house
    }

    pub(crate) fn at(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path());
        for (name, value) in
            [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_SYSTEM", "/dev/null"), ("HOME", "/nonexistent")]
        {
            command.env(name, value);
        }
        command.output().unwrap_or_else(|error| panic!("{program}: {error}")).into()
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let own = ["-c", "user.name=A", "-c", "user.email=a@greenroom.example", "-c", "commit.gpgsign=false"];
        let ran = self.run("git", &[&own, arguments].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.said.trim().to_owned()
    }

    /// Everything that changed, as a commit; answers its name.
    fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn release(&self, arguments: &[&str]) -> Ran {
        self.run("/bin/bash", &[&["action/release.sh"], arguments].concat())
    }

    /// A program for each platform, packed into `dist`.
    pub(crate) fn pack(&self, version: &str) {
        for platform in PLATFORMS {
            let text = program(version, platform);
            fs::write(self.at("program"), text).expect("a file");
            let ran = self.release(&["pack", platform, "program", "dist"]);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            fs::remove_file(self.at("program")).expect("it is ours");
        }
    }

    pub(crate) fn checksums(&self) -> String {
        fs::read_to_string(self.at("action/checksums.txt")).expect("the checksums")
    }
}

pub(crate) fn program(version: &str, platform: &str) -> String {
    format!("#!/bin/sh\n# {platform}\n[ \"$1\" = --version ] && echo greenroom {version} || echo \"runs $*\"\n")
}

fn assert_fails(ran: &Ran, words: &str) {
    assert!(ran.code == Some(1) && ran.said.contains(words), "{words:?}: {ran:?}");
}

#[test]
fn what_was_packed_is_what_the_action_runs() {
    let house = House::new();
    let built = house.git(&["rev-parse", "HEAD"]);
    house.pack("7.8.9");
    let first = fs::read(house.at("dist/greenroom-linux-x64.tar.gz")).expect("an archive");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    house.pack("7.8.9");
    assert_eq!(
        first,
        fs::read(house.at("dist/greenroom-linux-x64.tar.gz")).expect("it is there"),
        "the same bytes again"
    );
    assert_eq!(house.release(&["checksums", "7.8.9", "dist"]).code, Some(0));
    fs::rename(house.at("dist"), house.folder.path().join(".git/dist")).expect("out of the commit");
    let released = house.commit("B");
    let ran = house.release(&["prove", &built, &released]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = house.release(&["verify", "7.8.9", ".git/dist"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let world = World::new();
    let source = read("action/checksums.txt").lines().find_map(|line| line.strip_prefix("source ").map(str::to_owned));
    world.write_checksums(&house.checksums().replace(&source.expect("a source"), &world.releases.address));
    let name = format!("greenroom-{PLATFORM}.tar.gz");
    let bytes = fs::read(house.at(".git/dist").join(&name)).expect("an archive");
    world.releases.put(&format!("/v7.8.9/{name}"), Answer::File(bytes));
    assert_eq!(world.run(&[]).said, "runs action\n");
}

#[test]
fn a_version_is_released_once_and_whole() {
    let house = House::new();
    house.pack("7.8.9");
    let before = house.checksums();
    fs::rename(house.at("dist/greenroom-macos-x64.tar.gz"), house.at("kept")).expect("it is ours");
    assert_fails(&house.release(&["checksums", "7.8.9", "dist"]), "no archive for macos-x64");
    assert_eq!(house.checksums(), before, "nothing half made");
    fs::rename(house.at("kept"), house.at("dist/greenroom-macos-x64.tar.gz")).expect("it is ours");
    assert_eq!(house.release(&["checksums", "7.8.9", "dist"]).code, Some(0));
    assert_fails(&house.release(&["checksums", "7.8.9", "dist"]), "never changes");
    assert_eq!(house.release(&["checksums", "latest", "dist"]).code, Some(2));
    assert_eq!(house.release(&["pack", "windows-x64", "program", "dist"]).code, Some(2));
}

/// Something that a commit may also have done.
type Deed = fn(&House);

#[test]
fn a_commit_that_does_anything_else_is_no_release() {
    let deeds: [(&str, Deed); 8] = [
        ("something else", |house| fs::write(house.at("action/script.sh"), "exit 0\n").expect("it is ours")),
        ("something else", |house| fs::write(house.at("new"), "").expect("it is ours")),
        ("something else", |house| fs::remove_file(house.at("npm/pack.mjs")).expect("it is ours")),
        ("something else", |house| {
            let path = house.at("action/checksums.txt");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }),
        ("something else", |house| {
            fs::rename(house.at("action/checksums.txt"), house.at("elsewhere")).expect("it is ours");
            std::os::unix::fs::symlink("../elsewhere", house.at("action/checksums.txt")).expect("a link");
        }),
        ("is not one that a release adds", |house| {
            let text = house.checksums().replace("source https://", "source https://evil.example/");
            fs::write(house.at("action/checksums.txt"), text).expect("it is ours");
        }),
        ("is not one that a release adds", |house| {
            let text = house.checksums().replacen("# ", "# changed ", 1);
            fs::write(house.at("action/checksums.txt"), text).expect("it is ours");
        }),
        ("does not follow", |house| {
            house.commit("between");
            fs::write(house.at("later"), "").expect("it is ours");
        }),
    ];
    for (words, deed) in deeds {
        let house = House::new();
        let built = house.git(&["rev-parse", "HEAD"]);
        house.pack("7.8.9");
        assert_eq!(house.release(&["checksums", "7.8.9", "dist"]).code, Some(0));
        fs::remove_dir_all(house.at("dist")).expect("it is ours");
        deed(&house);
        let released = house.commit("B");
        assert_fails(&house.release(&["prove", &built, &released]), words);
    }
    let house = House::new();
    assert_fails(&house.release(&["prove", "HEAD", "--output=x"]), "is no commit");
}

type Damage = fn(&Path);

#[test]
fn what_is_drafted_is_compared_byte_by_byte_and_name_by_name() {
    let changes: [(&str, Damage); 6] = [
        ("is another one", |dist| {
            let path = dist.join("greenroom-linux-x64.tar.gz");
            let mut bytes = fs::read(&path).expect("an archive");
            bytes[9] ^= 1;
            fs::write(path, bytes).expect("it is ours");
        }),
        ("is another one", |dist| {
            let [one, other] = ["linux-x64", "macos-x64"].map(|name| dist.join(format!("greenroom-{name}.tar.gz")));
            fs::copy(one, other).expect("it is ours");
        }),
        ("no archive for linux-x64", |dist| {
            fs::remove_file(dist.join("greenroom-linux-x64.tar.gz")).expect("it is ours");
        }),
        ("no archive for linux-x64", |dist| {
            let path = dist.join("greenroom-linux-x64.tar.gz");
            fs::rename(&path, dist.join("linux.tar.gz")).expect("it is ours");
            std::os::unix::fs::symlink("linux.tar.gz", path).expect("a link");
        }),
        ("there is more", |dist| fs::write(dist.join("greenroom-linux-x64"), "").expect("a file")),
        ("SHA256SUMS says something else", |dist| fs::write(dist.join("SHA256SUMS"), "0  x\n").expect("a file")),
    ];
    let house = House::new();
    house.pack("7.8.9");
    assert_eq!(house.release(&["checksums", "7.8.9", "dist"]).code, Some(0));
    let sums = house.release(&["sums", "dist"]);
    for (words, change) in changes {
        let copied = house.run("cp", &["-R", "dist", "drafted"]);
        assert_eq!(copied.code, Some(0), "{copied:?}");
        fs::write(house.at("drafted/SHA256SUMS"), &sums.said).expect("a file");
        assert_eq!(house.release(&["verify", "7.8.9", "drafted"]).code, Some(0), "{words}");
        change(&house.at("drafted"));
        assert_fails(&house.release(&["verify", "7.8.9", "drafted"]), words);
        fs::remove_dir_all(house.at("drafted")).expect("it is ours");
    }
    assert_fails(&house.release(&["verify", "7.8.8", "dist"]), "does not know version 7.8.8");
}

#[test]
fn a_program_that_is_another_version_or_does_not_run_is_not_packed() {
    let house = House::new();
    let path = house.at("program");
    for (text, words) in [
        (program("1.2.3", "x"), ""),
        (program("1.2.4", "x"), "says that it is 'greenroom 1.2.4'"),
        ("#!/bin/sh\nexit 1\n".to_owned(), "does not run"),
    ] {
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let ran = house.release(&["smoke", "1.2.3", "./program"]);
        if words.is_empty() { assert_eq!(ran.code, Some(0), "{ran:?}") } else { assert_fails(&ran, words) }
    }
}

/// This very program passes what a release asks of its own.
#[test]
fn our_own_program_passes() {
    let house = House::new();
    let ran = house.release(&["smoke", env!("CARGO_PKG_VERSION"), env!("CARGO_BIN_EXE_greenroom")]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn binstall_finds_the_archives_of_a_release() {
    let manifest = read("Cargo.toml");
    let source = read("action/checksums.txt").lines().find_map(|line| line.strip_prefix("source ").map(str::to_owned));
    let repo =
        manifest.lines().find_map(|line| line.strip_prefix("repository = ")).expect("a repository").trim_matches('"');
    assert_eq!(source, Some(format!("{repo}/releases/download")));
    let urls: Vec<&str> = manifest.lines().filter_map(|line| line.strip_prefix("pkg-url = ")).collect();
    for platform in PLATFORMS {
        let expected = format!("\"{{ repo }}/releases/download/v{{ version }}/greenroom-{platform}.tar.gz\"");
        assert!(urls.contains(&expected.as_str()), "{expected} {urls:?}");
    }
    assert!(manifest.contains("bin-dir = \"{ bin }\"") && manifest.contains("pkg-fmt = \"tgz\""));
}

/// The two files differ in where the program comes from.
#[test]
fn the_image_of_a_release_is_the_image_of_a_checkout() {
    let lasting = |name: &str| {
        let text = read(name);
        let (_, rest) = text.rsplit_once("FROM debian:").expect("what it runs in");
        let kept = rest
            .lines()
            .filter(|line| !line.starts_with(['#', 'C']) && !line.starts_with("ARG ") || line.starts_with("CMD"));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lasting("action/Dockerfile"), lasting("Dockerfile"));
}

/// The last thing that happens is what everybody follows, and only one job can write the repository before.
#[test]
fn nothing_is_public_before_it_is_proved() {
    let text = read(".github/workflows/release.yml");
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("release.yml says {words}"));
    let order = [
        "release.sh smoke",
        "uses: actions/attest",
        "release.sh checksums",
        "release.sh prove \"$GITHUB_SHA\" HEAD",
        "gh release create",
        "gh attestation verify",
        "--draft=false",
        "published/$name",
        "docker push",
        "publish --access public --provenance --tag \"$tag\"",
        "refs/tags/v1",
    ];
    for pair in order.windows(2) {
        assert!(at(pair[0]) < at(pair[1]), "{pair:?}");
    }
    // A version with a hyphen is nobody's newest, neither at GitHub nor at npm.
    assert_eq!(text.matches("case $VERSION in *-*) ").count(), 2, "{text}");
    let (_, last) = text.rsplit_once("\n  move:\n").expect("the last job");
    assert!(last.contains("needs: [commit, draft, images, npm]") && !last.contains("\n  x:"), "{last}");
}
