//! `action/script.sh` where all is well: the program is had once, proved each time, and is the step.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::releases::Answer;
use crate::world::{PLATFORM, PROGRAM, World, archive, asset, sha256};

#[test]
fn the_program_is_had_once_and_gets_what_the_step_got() {
    let world = World::with(PROGRAM);
    for _ in 0..2 {
        let ran =
            world.run(&[("GREENROOM_ACTION_STAGE", "pr-42"), ("PATH", "/own:/usr/bin:/bin"), ("LC_ALL", "C.UTF-8")]);
        let program = world.cached(PROGRAM).display().to_string();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.said.contains(&format!(": {program} action\n")), "{ran:?}");
        assert!(ran.said.contains("stage=pr-42 path=/own:/usr/bin:/bin locale=C.UTF-8 mask=0022"), "{ran:?}");
    }
    assert_eq!(world.releases.asked(), [asset("1.2.3")], "the second run found it in the cache");
    assert_eq!(world.drafts(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn nothing_of_the_scripts_own_is_left_to_the_program() {
    let world = World::with(PROGRAM);
    let mut command = world.command();
    let inner = command.get_args().map(|part| part.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    command = std::process::Command::new("/bin/sh");
    command.args(["-c", &format!("umask 027; exec /bin/bash {inner}")]);
    world.settle(&mut command);
    command.env_remove("PATH");
    let output = command.output().expect("sh runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("locale=unset mask=0027"), "{said} {output:?}");
}

#[test]
fn the_newest_version_runs_where_none_is_named_and_any_other_by_its_name() {
    let world = World::new();
    let programs = ["1.9.0", "1.10.0"].map(|version| (version, format!("#!/bin/sh\necho version {version}\n")));
    for (version, program) in &programs {
        world.release(version, program);
    }
    for (asked, expected) in [("", "1.10.0"), ("1.9.0", "1.9.0"), ("v1.9.0", "1.9.0"), ("1.10.0", "1.10.0")] {
        let ran = world.run(&[("GREENROOM_ACTION_VERSION", asked)]);
        assert_eq!((ran.code, ran.said), (Some(0), format!("version {expected}\n")), "{asked}");
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let world = World::with(PROGRAM);
    world.releases.put(&asset("1.2.3"), Answer::Late(1, archive(PROGRAM.as_bytes())));
    assert_eq!(world.run(&[]).code, Some(0));
    assert_eq!(world.releases.asked().len(), 2);
}

#[test]
fn a_redirect_is_followed_within_its_scheme() {
    let world = World::with(PROGRAM);
    let elsewhere = format!("{}/elsewhere", world.releases.address);
    world.releases.put(&asset("1.2.3"), Answer::Redirect(elsewhere));
    world.releases.put("/elsewhere", Answer::File(archive(PROGRAM.as_bytes())));
    assert_eq!(world.run(&[]).code, Some(0));
}

#[test]
fn eight_steps_at_once_on_one_cache_all_run() {
    let world = World::with(PROGRAM);
    let started: Vec<_> = (0..8)
        .map(|_| {
            let mut command = world.command();
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().expect("bash runs")
        })
        .collect();
    for step in started {
        let output = step.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("runs as"), "{output:?}");
    }
    assert_eq!(world.drafts(), Vec::<std::path::PathBuf>::new());
    let folder = world.cached(PROGRAM);
    assert_eq!(fs::read_dir(folder.parent().expect("a folder")).expect("it is there").count(), 1);
}

#[test]
fn what_steps_left_that_were_killed_goes_a_day_later() {
    let world = World::with(PROGRAM);
    let (old, new) = (world.at("cache/greenroom/.draft.old"), world.at("cache/greenroom/.draft.new"));
    for folder in [&old, &new] {
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join("archive"), "half").expect("a file");
    }
    let touched = std::process::Command::new("touch").args(["-d", "3 days ago"]).arg(&old).status();
    assert!(touched.expect("touch runs").success());
    assert_eq!(world.run(&[]).code, Some(0));
    assert_eq!(world.drafts(), [new]);
}

/// A job in a container has another user than the runner, and the cache of one may be anybody's.
#[test]
fn in_a_cache_that_others_can_change_a_copy_is_proved_and_run() {
    for open in ["cache/greenroom", "folder", "program"] {
        let world = World::with(PROGRAM);
        let program = world.put_into_cache(PROGRAM, PROGRAM.as_bytes());
        let path = match open {
            "folder" => program.parent().expect("a folder").to_path_buf(),
            "program" => program,
            other => world.at(other),
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        let ran = world.run(&[]);
        assert_eq!(ran.code, Some(0), "{open}: {ran:?}");
        assert!(ran.said.contains(&format!(": {}/.draft.", world.at("temp").display())), "{open}: {ran:?}");
    }
}

#[test]
fn without_a_cache_that_can_be_written_the_program_runs_from_the_jobs_own_folder() {
    for cache in ["/proc/none", ""] {
        let world = World::with(PROGRAM);
        let ran = world.run(&[("RUNNER_TOOL_CACHE", cache)]);
        assert_eq!(ran.code, Some(0), "{cache}: {ran:?}");
        assert!(ran.said.contains(&format!(": {}/", world.at("temp").display())), "{cache}: {ran:?}");
    }
}

#[test]
fn a_program_that_is_there_is_run_by_its_name_and_said_to_be_unknown() {
    let world = World::with(PROGRAM);
    let other = "#!/bin/sh\necho \"mine $*\"\n";
    fs::create_dir(world.at("work/out")).expect("a folder");
    for (name, text) in [("mine", other), ("known", PROGRAM)] {
        let path = world.at("work/out").join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let absolute = world.at("work/out/mine").display().to_string();
    for binary in ["out/mine", &absolute] {
        let ran = world.run(&[("GREENROOM_ACTION_BINARY", binary)]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let digest = sha256(other.as_bytes());
        assert!(ran.said.starts_with("::notice title=Greenroom::") && ran.said.contains(&digest), "{ran:?}");
        assert!(ran.said.ends_with("\nmine action\n"), "{ran:?}");
    }
    let ran = world.run(&[("GREENROOM_ACTION_BINARY", "out/known")]);
    assert!(ran.code == Some(0) && !ran.said.contains("::"), "one of a release needs no word: {ran:?}");
    assert_eq!(world.releases.asked(), Vec::<String>::new());
    assert!(PLATFORM.starts_with("linux"));
}
