//! Logs: within bounds, with their end, for services and workers alike, with a server and without one.

use std::path::{Path, PathBuf};

use greenroom::port::{Cloud, Phase};

use crate::machine::{Machine, Step, site, until};
use crate::processes::parent;

/// What a log may take, in bytes: two files of 16 MiB and what was read last.
const MOST: u64 = 33 << 20;

/// The files that the service's first copy prints into.
fn files(machine: &Machine) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![machine.data().join("stages")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().starts_with("log-0") {
                found.push(entry.path());
            }
        }
    }
    found
}

fn size(files: &[PathBuf]) -> u64 {
    files.iter().map(|path| std::fs::metadata(path).map_or(0, |data| data.len())).sum()
}

async fn last(machine: &Machine, step: &Step) -> String {
    let lines = machine.cloud.logs(site(&step.spec.stage), &step.service().name, 1).await.expect("a log");
    lines.into_iter().next_back().unwrap_or_default()
}

/// A worker that prints 100 MiB when the flag is there, says that, and stays.
fn flood(machine: &Machine, flag: &Path) -> Step {
    let script = r#"
while [ ! -e "$FLAG" ]; do sleep 0.05; done
yes "a line of a program that has much to say" | head -c 104857600
printf "\nthe very end\n"
exec sleep 600"#;
    machine.web("flood").worker().env("FLAG", &flag.display().to_string()).command(&["sh", "-c", script])
}

/// What the wardens of the programs hold open.
fn held(machine: &Machine) -> Vec<String> {
    let pids = machine.pids();
    let wardens = pids.iter().map(|pid| parent(*pid)).filter(|parent| !pids.contains(parent));
    let entries = wardens.flat_map(|warden| std::fs::read_dir(format!("/proc/{warden}/fd")).expect("it is ours"));
    let target = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry.ok()?.path()).ok();
    entries.filter_map(target).map(|path| path.display().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_prints_without_end_fills_no_disk_and_keeps_its_end() {
    let machine = Machine::new().await;
    let flag = machine.source().join("flag");
    let step = flood(&machine, &flag);
    machine.go_live(&step).await;
    std::fs::write(&flag, "").expect("a file");
    until("the end is there", async || last(&machine, &step).await == "the very end").await;
    let files = files(&machine);
    assert!(files.len() == 2 && size(&files) <= MOST && size(&files) > MOST / 4, "{files:?}: {}", size(&files));
    let held = held(&machine);
    assert!(held.iter().any(|path| path.ends_with("/log-0")), "its warden writes there: {held:?}");
    assert!(!held.iter().any(|path| path.ends_with(" (deleted)")), "room that nobody finds: {held:?}");
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_has_bounds_while_no_server_runs() {
    let mut machine = Machine::new().await;
    let flag = machine.source().join("flag");
    let step = flood(&machine, &flag);
    machine.go_live(&step).await;
    machine.stop_server().await;
    std::fs::write(&flag, "").expect("a file");
    let said = |path: &PathBuf| std::fs::read(path).unwrap_or_default().ends_with(b"the very end\n");
    until("it has said all", async || files(&machine).iter().any(said)).await;
    assert!(size(&files(&machine)) <= MOST, "{}", size(&files(&machine)));
    machine.restart().await;
    assert_eq!(last(&machine, &step).await, "the very end");
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_shows_the_last_line_however_long_it_is() {
    let machine = Machine::new().await;
    let script = r"
printf 'downloading 10%%\rdownloading 100%%\rdone\n'
printf 'Error: cannot parse '
head -c 600000 /dev/zero | tr '\0' 'x'
printf ' at line 7'
exit 2";
    let step = machine.web("long").command(&["sh", "-c", script]);
    let Err(greenroom::port::PortError::Failed(failure)) = machine.settle(Phase::Start, &step).await else {
        panic!("it ended before it was healthy");
    };
    let last = failure.log.last().expect("a line");
    assert!(last.starts_with("Error: cannot parse xxx") && last.ends_with("xxx at line 7"), "{last}");
    assert!(last.chars().count() <= 2_000, "{}", last.len());
    assert!(failure.advice.starts_with("Its last lines say why."), "{}", failure.advice);
    machine.settle(Phase::Retire, &step).await.expect("it goes");

    let step = machine.web("bar").command(&["sh", "-c", r"printf '10%%\r90%%\rbroken off'; exit 2"]);
    let Err(greenroom::port::PortError::Failed(failure)) = machine.settle(Phase::Start, &step).await else {
        panic!("it ended before it was healthy");
    };
    assert_eq!(failure.log, ["broken off"]);
    machine.settle(Phase::Retire, &step).await.expect("it goes");
    assert_eq!(machine.files(), Vec::<String>::new());
}
