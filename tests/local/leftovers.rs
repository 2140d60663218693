//! Nothing that a program started outlives it, whatever it does to its environment, its session, its parent
//! and its signals; and what cannot be proven gone is not called gone.

use std::process::Stdio;
use std::time::Duration;

use greenroom::model::{Failure, FailureKind, Migrate, Resource, Runtime, Seconds};
use greenroom::port::{Cloud, Phase, PortError, Progress};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::machine::{Machine, Step, site, until};
use crate::processes::{kill, parent, with_argument};

/// A program's brood: one that hears nothing, and one whose parents are gone; both with an environment and a
/// session of their own. They are known by what stands last among their arguments.
const BROOD: &str = r#"
env -i setsid sh -c 'trap "" TERM HUP INT QUIT; while :; do sleep 1; done' "$BROOD" &
(env -i setsid sh -c '(while :; do sleep 1; done) & exit' "$BROOD" &)
"#;

/// The tests' own program with a brood.
fn brooding(machine: &Machine, name: &str) -> Step {
    machine.web(name).env("BROOD", &mark(machine)).drain(1).behind(&format!("{BROOD} exec \"$@\""))
}

/// Its command, for a server that is told nothing else.
fn brooding_command(machine: &Machine) -> Vec<String> {
    let script = format!("BROOD='{}'; {BROOD} exec \"$@\"", mark(machine));
    match machine.web("one").behind(&script).service().runtime.clone() {
        Runtime::Process { command } => command,
        Runtime::Image(_) => panic!("it runs as a process"),
    }
}

fn mark(machine: &Machine) -> String {
    format!("brood of {}", machine.data().display())
}

fn brood(machine: &Machine) -> Vec<i32> {
    with_argument(&mark(machine))
}

async fn hatched(machine: &Machine) {
    until("the brood is there", async || brood(machine).len() >= 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brood_that_left_its_session_its_parent_and_its_environment_goes_with_its_program() {
    let machine = Machine::new().await;
    machine.go_live(&brooding(&machine, "one")).await;
    hatched(&machine).await;
    machine.tear_down().await;
    assert_eq!(brood(&machine), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brood_goes_with_a_version_that_another_one_replaces() {
    let machine = Machine::new().await;
    machine.go_live(&brooding(&machine, "one")).await;
    hatched(&machine).await;
    machine.go_live(&machine.web("two")).await;
    assert_eq!(brood(&machine), Vec::<i32>::new());
    assert_eq!(machine.ask("/").await, (200, "two".into()));
    machine.tear_down().await;
}

/// The server is a process of its own here, and is killed while the brood is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_makes_no_brood_lost() {
    let mut machine = Machine::new().await;
    machine.stop_server().await;
    let mut server = machine.spawn_server_of("one", &brooding_command(&machine));
    hatched(&machine).await;
    server.start_kill().expect("it is killed");
    server.wait().await.expect("it ended");
    assert!(brood(&machine).len() >= 2, "the programs go on without a server");
    machine.restart().await;
    machine.tear_down().await;
    assert_eq!(brood(&machine), Vec::<i32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_server_a_program_that_ends_takes_its_brood_with_it() {
    let mut machine = Machine::new().await;
    machine.go_live(&brooding(&machine, "one")).await;
    hatched(&machine).await;
    let pid = machine.ask("/pid").await.1.parse().expect("a number");
    machine.stop_server().await;
    kill(pid).await;
    until("the brood is gone", async || brood(&machine).is_empty()).await;
    machine.restart().await;
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_goes_into_the_background_is_told_to_stay() {
    let machine = Machine::new().await;
    let step = brooding(&machine, "one").command(&["sh", "-c", &format!("{BROOD} sleep 0.3; exit 0")]);
    let Err(PortError::Failed(failure)) = machine.settle(Phase::Start, &step).await else {
        panic!("a program that ends before it is healthy has failed");
    };
    assert_eq!((failure.kind, failure.exit_code), (FailureKind::Exited, Some(0)));
    assert!(failure.summary.contains("in the background") && failure.summary.contains("`sh`"), "{}", failure.summary);
    assert!(failure.advice.contains("in the foreground"), "{}", failure.advice);
    assert_eq!(brood(&machine), Vec::<i32>::new());
    machine.settle(Phase::Retire, &step).await.expect("it goes");
    assert_eq!(machine.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_leaves_no_brood() {
    let machine = Machine::new().await;
    let mut step = machine.web("one").env("BROOD", &mark(&machine)).drain(1);
    let command = ["sh", "-c", &format!("{BROOD} sleep 0.3; exit 4")].map(str::to_owned).to_vec();
    step.spec.services[0].migrate = Some(Migrate { command, timeout: Seconds(60) });
    let Err(PortError::Failed(failure)) = machine.settle(Phase::Migrate, &step).await else {
        panic!("a migration that exits with 4 has failed");
    };
    assert_eq!((failure.kind, failure.exit_code), (FailureKind::Migration, Some(4)));
    assert_eq!(failure.advice, "Mend the migration and push; nothing was started.", "nothing served before");
    assert_eq!(brood(&machine), Vec::<i32>::new());
    machine.settle(Phase::Retire, &step).await.expect("it goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_under_way_is_not_run_again() {
    let mut machine = Machine::new().await;
    let (count, go) = (machine.source().join("count"), machine.source().join("go"));
    let script = r#"echo migrated >> "$COUNT"; while [ ! -e "$GO" ]; do sleep 0.05; done"#;
    let mut step = machine.web("one").env("COUNT", &count.display().to_string()).env("GO", &go.display().to_string());
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    step.spec.services[0].migrate = Some(Migrate { command, timeout: Seconds(60) });
    assert!(matches!(machine.ensure(Phase::Migrate, &step).await, Ok(Progress::Pending { .. })));
    until("it is under way", async || count.exists()).await;
    machine.restart().await;
    std::fs::write(&go, "").expect("a file");
    machine.settle(Phase::Migrate, &step).await.expect("it ended well");
    assert_eq!(std::fs::read_to_string(&count).expect("a file"), "migrated\n");
    machine.settle(Phase::Retire, &step).await.expect("it goes");
    assert_eq!(machine.files(), Vec::<String>::new());
}

/// The program of the machine that is listed as left.
async fn process(machine: &Machine) -> Option<Resource> {
    machine.observe().await.resources.into_iter().find(|resource| resource.kind == "process")
}

/// Asks for a removal until it holds or has failed.
async fn removed(machine: &Machine, resource: &Resource) -> Result<(), Box<Failure>> {
    let stage = machine.web("any").spec.stage;
    loop {
        match machine.cloud.remove(site(&stage), resource).await {
            Ok(Progress::Done(())) => return Ok(()),
            Ok(Progress::Pending { .. }) | Err(PortError::Retry { .. }) => tokio::task::yield_now().await,
            Err(PortError::Failed(failure)) => return Err(failure),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// The warden is killed too: what it kept is found by its control group where there is one. Where there is
/// none it may not be found, and then nobody says that it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_proven_gone_is_not_called_gone() {
    let machine = Machine::new().await;
    machine.go_live(&brooding(&machine, "one")).await;
    hatched(&machine).await;
    let pid: i32 = machine.ask("/pid").await.1.parse().expect("a number");
    kill(parent(pid)).await;
    // It goes and another one comes: whichever is seen first is asked to go.
    let listed = loop {
        match process(&machine).await {
            Some(listed) => break listed,
            None => tokio::task::yield_now().await,
        }
    };
    match removed(&machine, &listed).await {
        Ok(()) => {
            assert_eq!(brood(&machine), Vec::<i32>::new(), "it was called gone");
            machine.tear_down().await;
        }
        Err(failure) => {
            assert!(failure.summary.contains("may still run"), "{failure:?}");
            assert!(failure.advice.contains("kill "), "{failure:?}");
            assert!(process(&machine).await.is_some(), "it is still listed");
            for pid in brood(&machine) {
                kill(pid).await;
            }
        }
    }
}

/// Of a warden that was killed and had no control group, the record is all that there is: whatever one of its heirs
/// has taken in since then may be what it left.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_warden_may_have_left_is_named_until_it_is_gone() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let mut heir = tokio::process::Command::new("sh")
        .args(["-c", "sleep 600 & echo $!; wait"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a shell");
    let mut lines = BufReader::new(heir.stdout.take().expect("an output")).lines();
    let orphan: i32 = lines.next_line().await.expect("a line").expect("a line").parse().expect("a number");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("the kernel tells it");
    let lost = serde_json::json!([{
        "pid": std::process::id(), "started": 0, "boot": boot.trim(), "cgroup": null, "heirs": [heir.id()],
    }]);
    let record = machine.data().join("stages/acme/shop/pr-1/web/one/lost-0.json");
    std::fs::write(record, lost.to_string()).expect("the version's folder is there");

    let listed = process(&machine).await.expect("it runs");
    let Err(failure) = removed(&machine, &listed).await else { panic!("something of it may still run") };
    assert!(failure.summary.contains(&format!("It may be process {orphan} (`sleep`)")), "{failure:?}");
    assert_eq!(machine.programs(), 0, "what is known of it is gone");
    assert!(process(&machine).await.is_some(), "it is still listed");
    kill(orphan).await;
    heir.wait().await.expect("it ended");
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_an_earlier_server_started_says_its_exit_code_to_the_next_one() {
    let mut machine = Machine::new().await;
    let flag = machine.source().join("now").display().to_string();
    let script = r#"while [ ! -e "$FLAG" ]; do sleep 0.05; done; echo "cannot go on" >&2; exit 5"#;
    let step = machine.web("late").env("FLAG", &flag).command(&["sh", "-c", script]);
    assert!(matches!(machine.ensure(Phase::Start, &step).await, Ok(Progress::Pending { .. })));
    until("the program runs", async || machine.programs() > 0).await;
    machine.restart().await;
    assert!(matches!(machine.ensure(Phase::Start, &step).await, Ok(Progress::Pending { .. })), "it is taken over");
    std::fs::write(&flag, "").expect("a file");
    let Err(PortError::Failed(failure)) = machine.settle(Phase::Start, &step).await else {
        panic!("it ended before it was healthy");
    };
    assert_eq!((failure.exit_code, failure.log), (Some(5), vec!["cannot go on".to_owned()]));
    machine.settle(Phase::Retire, &step).await.expect("it goes");
    assert_eq!(machine.programs(), 0);
}

/// What is killed at any moment between the start of a warden and the word that its program runs is started
/// once all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_starts_a_program_leaves_no_second_one() {
    for millis in [20, 40, 60, 80, 100, 130, 170] {
        let mut machine = Machine::new().await;
        machine.stop_server().await;
        let mut server = machine.spawn_server_of("one", &brooding_command(&machine));
        // No condition to wait for: the moment itself is what varies.
        tokio::time::sleep(Duration::from_millis(millis)).await;
        server.start_kill().expect("it is killed");
        server.wait().await.expect("it ended");
        machine.restart().await;
        machine.go_live(&machine.web("one").drain(1)).await;
        assert_eq!(machine.ask("/").await, (200, "one".into()));
        machine.tear_down().await;
        assert_eq!(brood(&machine), Vec::<i32>::new(), "killed after {millis} ms");
    }
}
