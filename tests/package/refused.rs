//! `action/script.sh` where something is wrong: nothing runs, one line says why, nothing half made is left.

use std::fs;
use std::os::unix::fs::symlink;

use crate::releases::Answer;
use crate::world::{PLATFORM, PROGRAM, Ran, World, archive, asset, read, sha256};

/// That the run ended so, for a reason that holds these words, and that nothing was run.
fn assert_refused(world: &World, ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    assert!(!ran.said.contains("runs as"), "{ran:?}");
    let reason = world.reason();
    assert!(reason.contains(words), "{words:?} is not in {reason:?}: {ran:?}");
    let annotations: Vec<&str> = ran.said.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(annotations, [format!("::error title=Greenroom::{}", reason.replace('%', "%25"))]);
    assert_eq!(world.drafts(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_version_that_has_no_checksum() {
    let world = World::with(PROGRAM);
    world.add_line(&format!("2.0.0 other-platform {0} {0}", sha256(b"x")));
    for (version, words) in [
        ("9.9.9", "no checksum of version 9.9.9"),
        ("2.0.0", "no checksum of version 2.0.0"),
        ("", "no checksum of version (any)"),
        ("latest", "no checksum of version latest"),
        ("source", "no checksum of version source"),
        ("1.2", "no checksum of version 1.2"),
        ("../1.2.3", "is no version"),
        ("1.2.3\n::add-mask::x", "is no version: 1.2.3 ::add-mask::x"),
        ("100%", "is no version: 100%"),
    ] {
        let ran = world.run(&[("GREENROOM_ACTION_VERSION", version)]);
        assert_refused(&world, &ran, 2, words);
    }
    assert_eq!(world.releases.asked(), Vec::<String>::new(), "nothing was asked for");
}

#[test]
fn before_the_first_release_nothing_is_run() {
    let world = World::new();
    fs::write(world.at("action/checksums.txt"), read("action/checksums.txt")).expect("the checksums");
    let is_released = read("action/checksums.txt").lines().any(|line| line.starts_with(char::is_numeric));
    if !is_released {
        assert_refused(&world, &world.run(&[]), 2, "no checksum of version (any)");
    }
    fs::remove_file(world.at("action/checksums.txt")).expect("it is ours");
    assert_refused(&world, &world.run(&[]), 3, "the checksums are missing");
}

#[test]
fn checksums_that_are_none() {
    let good = sha256(b"x");
    for (packed, program) in
        [("", ""), ("abc", &*good), (&*good, "abc"), (&*good, &*good.to_uppercase()), (&*good, "..")]
    {
        let world = World::new();
        world.add_line(&format!("1.2.3 {PLATFORM} {packed} {program}"));
        assert_refused(&world, &world.run(&[]), 3, "are none");
    }
}

#[test]
fn a_byte_that_is_another_one() {
    let packed = archive(PROGRAM.as_bytes());
    let digests = [sha256(&packed), sha256(PROGRAM.as_bytes())];
    // The archive is another one; the archive is as it should be, and its program is another one; it is no archive.
    let mut flipped = packed.clone();
    *flipped.last_mut().expect("a byte") ^= 1;
    let other = archive(b"#!/bin/sh\necho runs as another\n");
    let unnamed = sha256(b"no archive");
    for (bytes, line, words) in [
        (flipped, digests.join(" "), "is not what was released"),
        (other.clone(), digests.join(" "), "is not what was released"),
        (other.clone(), format!("{} {}", sha256(&other), digests[1]), "the program in http://127.0.0.1"),
        (b"no archive".to_vec(), format!("{unnamed} {}", digests[1]), "could not be unpacked"),
    ] {
        let world = World::new();
        world.add_line(&format!("1.2.3 {PLATFORM} {line}"));
        world.releases.put(&asset("1.2.3"), Answer::File(bytes));
        assert_refused(&world, &world.run(&[]), 3, words);
        assert!(!world.cached(PROGRAM).exists(), "{words}");
    }
}

#[test]
fn a_release_that_cannot_be_had() {
    let world = World::with(PROGRAM);
    for (answer, words) in [
        (Answer::Redirect("/nowhere".into()), "curl ended with 22"),
        (Answer::Redirect("file:///etc/passwd".into()), "curl ended with 1"),
        (Answer::Redirect("ftp://127.0.0.1/x".into()), "curl ended with 1"),
    ] {
        world.releases.put(&asset("1.2.3"), answer);
        assert_refused(&world, &world.run(&[]), 3, words);
    }
}

#[test]
fn a_source_that_is_neither_encrypted_nor_on_this_machine() {
    for source in [
        "http://localhost:1",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://127.0.0.1:x@evil.example",
        "http://greenroom.example",
        "ftp://127.0.0.1:1",
        "file:///tmp",
        "-K/tmp/x",
        "",
    ] {
        let world = World::with(PROGRAM);
        let lines = fs::read_to_string(world.at("action/checksums.txt")).expect("the checksums");
        world.write_checksums(&lines.replace(&world.releases.address, source));
        assert_refused(&world, &world.run(&[]), 3, "is not https");
    }
}

/// What could be used to lead it elsewhere is not among what it reads.
#[test]
fn no_variable_says_where_a_program_comes_from() {
    let script = read("action/script.sh");
    let code: String = script.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let own = regex::Regex::new(r"\$\{?([A-Z][A-Z_]+)").expect("a pattern");
    let mut read: Vec<&str> =
        own.captures_iter(&code).filter_map(|found| found.get(1)).map(|name| name.as_str()).collect();
    read.sort_unstable();
    read.dedup();
    let expected = [
        "BASH_SOURCE",
        "GITHUB_OUTPUT",
        "GITHUB_WORKSPACE",
        "GREENROOM_ACTION_BINARY",
        "GREENROOM_ACTION_VERSION",
        "LC_ALL",
        "PATH",
        "PWD",
        "RUNNER_TEMP",
        "RUNNER_TOOL_CACHE",
        "TMPDIR",
    ];
    assert_eq!(read, expected);
    assert!(!code.contains("eval") && !code.contains("${{") && !code.contains("curl -k"), "{code}");
}

#[test]
fn a_cached_program_that_somebody_changed() {
    let world = World::with(PROGRAM);
    assert_eq!(world.run(&[]).code, Some(0));
    let program = world.cached(PROGRAM);
    for other in [&b"#!/bin/sh\necho runs as another\n"[..], b"", &PROGRAM.as_bytes()[1..]] {
        fs::write(&program, other).expect("it is ours");
        assert_refused(&world, &world.run(&[]), 3, "is not the one that was released");
        assert_eq!(fs::read(&program).expect("it is there"), other, "it is left for whoever looks into it");
    }
    assert_eq!(world.releases.asked().len(), 1);
}

#[test]
fn a_link_or_a_folder_in_the_place_of_the_program() {
    let elsewhere = tempfile::tempdir().expect("a folder");
    fs::write(elsewhere.path().join("greenroom"), PROGRAM).expect("a file");
    for (which, words) in
        [("program", "a link stands"), ("folder", "a link stands"), ("all", "a link stands"), ("none", "is no file")]
    {
        let world = World::with(PROGRAM);
        let program = world.cached(PROGRAM);
        let folder = program.parent().expect("a folder");
        match which {
            "program" => {
                fs::create_dir_all(folder).expect("a folder");
                symlink(elsewhere.path().join("greenroom"), &program).expect("a link");
            }
            "folder" => {
                fs::create_dir_all(folder.parent().expect("a folder")).expect("a folder");
                symlink(elsewhere.path(), folder).expect("a link");
            }
            "all" => symlink(elsewhere.path(), world.at("cache/greenroom")).expect("a link"),
            _ => fs::create_dir_all(&program).expect("a folder"),
        }
        assert_refused(&world, &world.run(&[]), 3, words);
    }
}

/// Writing fails as on a full disk: no file may have more than a block.
#[test]
fn a_full_disk() {
    let noise: String = (0..20_000_u32).map(|number| sha256(&number.to_le_bytes())).collect();
    let world = World::with(&format!("{PROGRAM}# {noise}\n"));
    let mut command = std::process::Command::new("/bin/bash");
    let script = world.at("action/script.sh").display().to_string();
    command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec /bin/bash --noprofile --norc -p \"$0\"", &script]);
    world.settle(&mut command);
    let ran = Ran::from(command.output().expect("bash runs"));
    assert_refused(&world, &ran, 3, "the disk is full");
}

#[test]
fn a_named_program_that_is_none() {
    let world = World::with(PROGRAM);
    fs::write(world.at("work/text"), "no program").expect("a file");
    for binary in ["missing", "text", "/", "."] {
        let ran = world.run(&[("GREENROOM_ACTION_BINARY", binary)]);
        assert_refused(&world, &ran, 2, "the input binary names no program");
    }
}

#[test]
fn a_program_that_this_machine_cannot_run() {
    let world = World::with("#!/nonexistent/interpreter\n");
    assert_refused(&world, &world.run(&[]), 3, "cannot be run here");
}
