//! Programs that are found, and ended.

use std::process::Stdio;

use tokio::process::{Child, Command};

use super::*;

/// A program as an older version started it: without a warden.
fn bare(marker: &str, script: &str) -> Child {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env_clear().env("PATH", "/usr/bin:/bin").env(warden::PROGRAM, marker);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
    command.spawn().expect("a shell")
}

fn trace(marker: &str) -> Trace {
    Trace { marker: marker.to_owned(), run: None }
}

/// No other run's.
fn marker(name: &str) -> String {
    format!("greenroom-test:{}:{name}", std::process::id())
}

fn id(child: &Child) -> ProcessId {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).expect("a number");
    ProcessId::of(pid).expect("it is seen").expect("it is there")
}

#[test]
fn what_does_not_end_is_given_up_and_named() {
    let all = |pids: &[i32]| pids.iter().map(|pid| ProcessId { pid: *pid, started: 1 }).collect::<BTreeSet<_>>();
    let next = |wardens: &[i32], others: &[i32], waited: u64, alone: u64| {
        let members = Members { wardens: all(wardens), others: all(others) };
        let (waited, alone) = (Duration::from_secs(waited), Duration::from_secs(alone));
        push(&members, waited, alone, Duration::from_secs(10))
    };
    let given_up = |pid| Push::GiveUp(ProcessId { pid, started: 1 });
    assert_eq!(next(&[1], &[2], 9, 0), Push::Ask);
    assert_eq!((next(&[1], &[2], 10, 0), next(&[1], &[2], 39, 0)), (Push::Kill, Push::Kill));
    assert_eq!((next(&[1], &[2], 40, 0), next(&[], &[3], 40, 0)), (given_up(2), given_up(3)));
    assert_eq!((next(&[1], &[], 40, 0), next(&[1], &[], 45, 5)), (Push::Wake, Push::KillWarden));
    assert_eq!((next(&[1], &[], 74, 34), next(&[1], &[], 75, 35)), (Push::KillWarden, given_up(1)));
}

#[test]
fn a_mark_is_read_whole_and_a_warden_is_told_from_its_program() {
    let both = b"PATH=/bin\0GREENROOM_PROCESS=home/b\0GREENROOM_WARDEN=home/a\0";
    assert_eq!(mark(both, "home/"), Some((Part::Warden, "home/a".into())));
    assert_eq!(mark(b"GREENROOM_PROCESS=home/b\0", "home/"), Some((Part::Program, "home/b".into())));
    assert_eq!(mark(b"GREENROOM_PROCESS_X=home/b\0", "home/"), None);
    assert_eq!(mark(b"GREENROOM_PROCESS=other/b\0", "home/"), None);
    assert_eq!(mark(b"", ""), None);
}

#[test]
fn a_start_that_an_older_version_wrote_down_can_be_read_and_the_other_way_round() {
    let older: Run = serde_json::from_str(r#"{"pid":7,"started":42}"#).expect("a record");
    assert!(!older.has_warden() && older.is_of_this_boot());
    let newer = Run { boot: Some("b".into()), heirs: vec![1], ..older };
    let text = serde_json::to_string(&newer).expect("a record");
    assert_eq!(serde_json::from_str::<ProcessId>(&text).expect("an older version reads it"), newer.process);
    assert_eq!(serde_json::from_str::<Run>(&text).expect("a record"), newer);
    assert!(!newer.is_of_this_boot() && !newer.is_alive());
    let unknown = Run { boot: Some(String::new()), ..newer };
    assert!(unknown.has_warden() && unknown.is_of_this_boot(), "where the boot is not told, it is no other one");
}

#[tokio::test]
async fn a_program_is_found_by_its_mark_and_a_zombie_is_dead() {
    let marker = marker("found/0");
    let mut child = bare(&marker, "exec sleep 600");
    let id = id(&child);
    // Between fork and exec the child still shows our environment.
    while scan(&marker).expect("a list").is_empty() {
        tokio::task::yield_now().await;
    }
    let expected = Found { id, part: Part::Program, marker: marker.clone() };
    assert_eq!(scan(marker.trim_end_matches('0')).expect("a list"), [expected]);

    stop(&trace(&marker), Duration::from_mins(1)).await.expect("it ends");
    // Nobody has waited for it yet: it is a zombie or was just reaped, and counts as gone.
    assert!(!id.is_alive());
    assert!(!child.wait().await.expect("it ended").success());
}

#[tokio::test]
async fn what_descends_from_a_program_goes_with_it_whatever_its_environment_says() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let marker = marker("descendants");
    let mut child = bare(&marker, "env -i setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait");
    let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
    let deaf: i32 = lines.next_line().await.expect("a line").expect("a line").parse().expect("a number");
    let deaf = ProcessId::of(deaf).expect("it is seen").expect("it is there");
    assert!(members(&trace(&marker)).expect("a list").others.contains(&deaf));
    stop(&trace(&marker), Duration::ZERO).await.expect("it ends");
    assert!(!deaf.is_alive());
    assert!(!child.wait().await.expect("it ended").success());
}

#[tokio::test]
async fn one_that_is_stopped_hears_that_it_is_to_end() {
    use std::os::unix::process::ExitStatusExt;
    let marker = marker("stopped");
    let mut child = bare(&marker, "kill -STOP $$; exit 3");
    let id = id(&child);
    let is_stopped = || {
        let table = Table::read().expect("a list");
        table.living().any(|(found, stat)| found == id && stat.state == 'T')
    };
    while !is_stopped() {
        tokio::task::yield_now().await;
    }
    stop(&trace(&marker), Duration::from_secs(20)).await.expect("it ends");
    assert_eq!(child.wait().await.expect("it ended").signal(), Some(15), "by SIGTERM, and before SIGKILL");
}

/// In a process of its own, as nextest runs it: others would be short of descriptors as well.
#[tokio::test]
async fn while_we_have_no_descriptor_left_nothing_is_taken_for_gone_or_ill() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let known = ProcessId::of(proc::own()).expect("it is seen").expect("it lives");
    let group = tempfile::tempdir().expect("a folder");
    let run = Run { process: known, boot: proc::boot(), first: proc::first(), cgroup: None, heirs: vec![] };
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).expect("it may be less");
    let (lives, scanned) = (known.is_alive(), scan("greenroom-test:none"));
    let (run_lives, members) = (run.is_alive(), warden::members(group.path()));
    let addresses = [std::net::SocketAddr::from(([127, 0, 0, 1], 1))];
    let asked = super::super::health::get(&addresses, "localhost", "/", Duration::from_mins(5)).await;
    setrlimit(Resource::Nofile, before).expect("as it was");
    assert!(lives, "it was not seen to be gone");
    assert!(run_lives, "its boot is not another one");
    assert!(members.is_err(), "its group was not seen to be empty: {members:?}");
    assert!(matches!(scanned, Err(PortError::Retry { .. })), "{scanned:?}");
    assert!(matches!(asked, Err(super::super::health::Silence::Ours(_))), "{asked:?}");
}
