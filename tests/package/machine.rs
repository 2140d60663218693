//! Other machines: the tools of macOS, other processors, a step before this one that spoils the environment.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::releases::Answer;
use crate::world::{PROGRAM, Ran, World, archive, read, sha256};

/// All that the script needs of a machine, beside one of `sha256sum` and `shasum`.
const TOOLS: [&str; 15] =
    ["awk", "bash", "chmod", "cp", "curl", "find", "gzip", "mkdir", "mktemp", "mv", "rm", "sed", "sh", "tar", "tr"];

/// A folder with these tools of this machine, and a `uname` that tells of another one.
fn tools(folder: &Path, hasher: Option<&str>, machine: [&str; 2]) {
    fs::create_dir(folder).expect("a folder");
    for tool in TOOLS.into_iter().chain(hasher) {
        let place = ["/usr/bin", "/bin"].into_iter().map(|at| Path::new(at).join(tool)).find(|path| path.exists());
        symlink(place.unwrap_or_else(|| panic!("this machine has no {tool}")), folder.join(tool)).expect("a link");
    }
    let [system, processor] = machine;
    let uname = format!("#!/bin/sh\necho {system} {processor}\n");
    fs::write(folder.join("uname"), uname).expect("a file");
    fs::set_permissions(folder.join("uname"), fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// The script, on a machine that has those tools alone.
fn run_on(world: &World, hasher: Option<&str>, machine: [&str; 2]) -> Ran {
    let folder = world.at("tools");
    tools(&folder, hasher, machine);
    let script = read("action/script.sh");
    let known = "PATH=/usr/bin:/bin:/usr/sbin:/sbin";
    assert_eq!(script.matches(known).count(), 1, "the script names its places once");
    fs::write(world.at("action/script.sh"), script.replace(known, &format!("PATH={}", folder.display())))
        .expect("it is ours");
    world.run(&[("PATH", folder.to_str().expect("text"))])
}

#[test]
fn each_machine_gets_its_own_program() {
    for (machine, platform, hasher) in [
        (["Linux", "x86_64"], "linux-x64", "sha256sum"),
        (["Linux", "aarch64"], "linux-arm64", "sha256sum"),
        (["Darwin", "arm64"], "macos-arm64", "shasum"),
        (["Darwin", "x86_64"], "macos-x64", "shasum"),
    ] {
        let world = World::new();
        for other in ["linux-x64", "linux-arm64", "macos-arm64", "macos-x64"] {
            let program = format!("{PROGRAM}# {other}\n");
            let packed = archive(program.as_bytes());
            world.add_line(&format!("1.2.3 {other} {} {}", sha256(&packed), sha256(program.as_bytes())));
            world.releases.put(&format!("/v1.2.3/greenroom-{other}.tar.gz"), Answer::File(packed));
        }
        let ran = run_on(&world, Some(hasher), machine);
        assert_eq!(ran.code, Some(0), "{platform}: {ran:?}");
        assert_eq!(world.releases.asked(), [format!("/v1.2.3/greenroom-{platform}.tar.gz")]);
    }
}

#[test]
fn a_machine_without_a_program_or_a_proof_is_told_so() {
    for (machine, hasher, code, words) in [
        (["Linux", "riscv64"], Some("sha256sum"), 2, "no program for Linux riscv64"),
        (["MINGW64_NT-10.0", "x86_64"], Some("sha256sum"), 2, "no program for MINGW64_NT-10.0 x86_64"),
        (["Linux", "x86_64"], None, 3, "neither sha256sum nor shasum"),
    ] {
        let world = World::with(PROGRAM);
        let ran = run_on(&world, hasher, machine);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(world.reason().contains(words), "{ran:?}");
    }
}

/// The step of `action.yml` as a runner starts it: its `shell`, with its `run` in a file.
fn step(world: &World) -> Command {
    let action = read("action.yml");
    let value = |key: &str| {
        let line = action.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_else(|| panic!("action.yml says {key}")).trim().to_owned()
    };
    let file = world.at("step.sh");
    fs::write(&file, value("run:")).expect("a file");
    let shell = value("shell:").replace("{0}", file.to_str().expect("text"));
    let mut words = shell.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words);
    world.settle(&mut command);
    let home = world.folder.path().join("checked-out");
    fs::create_dir_all(home.join("action")).expect("a folder");
    for name in ["script.sh", "checksums.txt"] {
        fs::copy(world.at("action").join(name), home.join("action").join(name)).expect("a file");
    }
    command.env("GITHUB_ACTION_PATH", home);
    command
}

#[test]
fn an_environment_that_an_earlier_step_spoiled_changes_nothing() {
    let world = World::with(PROGRAM);
    world.put_into_cache(PROGRAM, b"#!/bin/sh\necho runs as another\n");
    let spoiler = world.at("spoiler");
    fs::write(&spoiler, "echo spoiled\nsha256sum() { echo spoiled; }\n").expect("a file");
    let lie = format!("() {{ echo {}; }}", sha256(PROGRAM.as_bytes()));
    let mut command = step(&world);
    for name in ["BASH_ENV", "ENV"] {
        command.env(name, &spoiler);
    }
    for function in ["sha256sum", "awk", "exec", "curl", "main", "refuse"] {
        command.env(format!("BASH_FUNC_{function}%%"), &lie);
    }
    command
        .env("SHELLOPTS", "xtrace:noexec")
        .env("BASHOPTS", "extdebug")
        .env("CDPATH", "/tmp")
        .env("PS4", "$(echo spoiled)");
    command.env("IFS", "0").env("POSIXLY_CORRECT", "1");
    let ran = Ran::from(command.output().expect("env runs"));
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.said.contains("is not the one that was released"), "{ran:?}");
    assert!(!ran.said.contains("spoiled") && !ran.said.contains("runs as"), "{ran:?}");
}

#[test]
fn the_step_becomes_the_program() {
    let world = World::with(PROGRAM);
    let ran = Ran::from(step(&world).output().expect("env runs"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let program = world.cached(PROGRAM).display().to_string();
    assert!(ran.said.contains(&format!(": {program} action\n")), "{ran:?}");
}
