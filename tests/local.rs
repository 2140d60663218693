//! Stages on this machine, with real processes behind a real proxy.
//!
//! The programs that run are this test binary itself, started again with `--ignored program`, so
//! that nothing but Rust is needed.

#[path = "local/answers.rs"]
mod answers;
#[path = "local/canary.rs"]
mod canary;
#[path = "local/clients.rs"]
mod clients;
#[path = "support/fuzz.rs"]
mod fuzz;
#[path = "support/hang.rs"]
mod hang;
#[path = "local/leftovers.rs"]
mod leftovers;
#[path = "support/load.rs"]
mod load;
#[path = "local/logs.rs"]
mod logs;
#[path = "local/machine.rs"]
mod machine;
#[path = "local/processes.rs"]
mod processes;
#[path = "local/program.rs"]
mod program;
#[path = "local/unrest.rs"]
mod unrest;

use std::time::Duration;

use clients::get;
use futures_util::{SinkExt, StreamExt};
use greenroom::model::{FailureKind, Migrate, Output, Scale, Seconds};
use greenroom::port::{Cloud, Phase, PortError, Progress};
use machine::{Machine, Step, site, until};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn a_version_starts_is_led_to_answers_and_makes_the_old_one_go() {
    let machine = Machine::new().await;
    let one = machine.web("one");
    machine.settle(Phase::Start, &one).await.unwrap();
    assert_eq!(machine.ask("/").await.0, 404, "nothing is led to a version before its switch");

    machine.settle(Phase::Shift, &one).await.unwrap();
    let Output::Answered { url, status, .. } = machine.settle(Phase::Check, &one).await.unwrap() else {
        panic!("a check answers what it saw");
    };
    assert_eq!((url.as_str(), status), (one.spec.services[0].url.as_deref().unwrap(), 200));
    machine.settle(Phase::Retire, &one).await.unwrap();
    assert_eq!(machine.ask("/").await, (200, "one".into()));

    let two = machine.web("two");
    machine.settle(Phase::Start, &two).await.unwrap();
    assert_eq!(machine.ask("/").await, (200, "one".into()), "the old version serves until the switch");
    for phase in [Phase::Shift, Phase::Check, Phase::Retire] {
        machine.settle(phase, &two).await.unwrap();
    }
    assert_eq!(machine.ask("/").await, (200, "two".into()));
    assert_eq!(machine.programs(), 1);
    let seen = machine.observe().await.services.remove(&two.service().name).unwrap();
    assert_eq!((seen.serving, seen.others), (Some(two.version.clone()), vec![]));
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_phase_may_be_asked_for_again() {
    let machine = Machine::new().await;
    let one = machine.web("one");
    for phase in [Phase::Start, Phase::Shift, Phase::Check, Phase::Retire] {
        let first = machine.settle(phase, &one).await.unwrap();
        let again = machine.settle(phase, &one).await.unwrap();
        assert_eq!(std::mem::discriminant(&first), std::mem::discriminant(&again));
    }
    assert_eq!(machine.programs(), 1);
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_versions_fails_no_request() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("v0")).await;
    let load = machine.load(4).await;
    for version in ["v1", "v2", "v3", "v4"] {
        machine.go_live(&machine.web(version)).await;
        until("the load meets the version", async || load.met(version)).await;
    }
    let answered = load.answered();
    let report = load.stop().await;
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.answers.keys().collect::<Vec<_>>(), ["v0", "v1", "v2", "v3", "v4"]);
    assert!(report.answers.values().sum::<u64>() >= answered, "{:?}", report.answers);
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_outlives_the_version_that_got_it() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let (address, host) = (machine.cloud.proxy_address(), machine.host());
    let slow = tokio::spawn(async move { get(address, &host, "/slow").await });
    until("the slow request arrives", async || machine.ask("/slow-count").await.1 == "1").await;
    machine.go_live(&machine.web("two")).await;
    assert_eq!(slow.await.unwrap().unwrap(), (200, "one".into()));
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_says_its_exit_code_and_its_last_words() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("good")).await;
    let broken = machine.web("broken").env("MODE", "exit").secret("TOKEN", "APP_TOKEN");
    let Err(PortError::Failed(failure)) = machine.settle(Phase::Start, &broken).await else {
        panic!("a program that ends before it is healthy has failed");
    };
    assert_eq!((failure.kind, failure.exit_code), (FailureKind::Exited, Some(3)));
    assert_eq!(failure.summary, "`web` ended with exit code 3 before it was healthy");
    assert_eq!(failure.log.last().map(String::as_str), Some("cannot go on: my token is ***"));

    machine.settle(Phase::Retire, &broken).await.unwrap();
    assert_eq!(machine.ask("/").await, (200, "good".into()), "what served before still serves");
    assert_eq!(machine.programs(), 1);
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_never_becomes_healthy_says_what_the_probe_saw() {
    let machine = Machine::new().await;
    let sick = "`/health` answered 500 in place of 200";
    let elsewhere = "neither on 127.0.0.1 nor on ::1; it listens on 127.0.0.1:";
    for (mode, grace, saw) in [("deaf", 1, "nothing listens on port"), ("elsewhere", 5, elsewhere), ("sick", 5, sick)] {
        let mut step = machine.web(mode).env("MODE", mode);
        step.spec.services[0].health.grace = Seconds(grace);
        let Err(PortError::Failed(failure)) = machine.settle(Phase::Start, &step).await else {
            panic!("{mode} counts as unhealthy");
        };
        assert_eq!(failure.kind, FailureKind::Unhealthy);
        assert!(failure.summary.contains(saw), "{}", failure.summary);
        machine.settle(Phase::Retire, &step).await.unwrap();
    }
    assert_eq!(machine.programs(), 0);
    assert_eq!(machine.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_the_second_family_alone_is_served() {
    let addresses = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    if !addresses.contains(&format!("{:032x}", 1)) {
        // Many a container has no `::1`.
        return;
    }
    let mut machine = Machine::new().await;
    let mut step = machine.web("six").env("MODE", "six");
    // Whoever asks after the restart is there before the first probe has its answer.
    step.spec.services[0].health.path = "/slow".into();
    machine.go_live(&step).await;
    assert_eq!(machine.ask("/").await, (200, "six".into()));
    machine.restart().await;
    assert_eq!(machine.ask("/").await, (200, "six".into()), "at once, before anybody has looked how it is");
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_goal_tries_a_failed_version_again() {
    let machine = Machine::new().await;
    let flag = machine.source().join("mended");
    let step = machine.web("flaky").env("MODE", "exit-unless").env("FLAG", &flag.display().to_string());
    assert!(machine.settle(Phase::Start, &step).await.is_err());
    assert!(machine.settle(Phase::Start, &step).await.is_err(), "the same goal gets the same answer");
    std::fs::write(flag, "").unwrap();
    machine.go_live(&step.next_generation()).await;
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_dies_while_serving_is_started_again() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let before = machine.ask("/pid").await.1;
    assert_eq!(machine.ask("/crash").await.0, 502);
    until("another process answers", async || matches!(machine.ask("/pid").await, (200, pid) if pid != before)).await;
    assert_eq!(machine.programs(), 1);
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_outlive_the_server_and_are_found_again() {
    let mut machine = Machine::new().await;
    let one = machine.web("one");
    machine.go_live(&one).await;
    let pid = machine.ask("/pid").await;
    machine.restart().await;
    assert_eq!(machine.ask("/pid").await, pid, "the same process, at once");
    machine.restart().await;
    assert_eq!(machine.serving().await, Some(one.version.clone()), "it counts as serving, whoever looks how soon");
    machine.go_live(&machine.web("two")).await;
    assert_eq!(machine.programs(), 1);
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_died_while_no_server_ran_is_started_again() {
    let mut machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let (_, pid) = machine.ask("/pid").await;
    machine.stop_server().await;
    processes::kill(pid.parse().unwrap()).await;
    machine.restart().await;
    until("a new process answers", async || matches!(machine.ask("/pid").await, (200, new) if new != pid)).await;
    assert_eq!(machine.programs(), 1);
    machine.tear_down().await;
}

/// The server is a process of its own here and is killed at moments spread over a whole rollout.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_moment_doubles_and_loses_nothing() {
    for millis in [5, 30, 60, 90, 120, 160, 200, 260, 340, 450, 700] {
        let mut machine = Machine::new().await;
        machine.stop_server().await;
        let mut server = machine.spawn_server("one");
        // No condition to wait for: the moment itself is what varies.
        tokio::time::sleep(Duration::from_millis(millis)).await;
        server.start_kill().unwrap();
        server.wait().await.unwrap();

        machine.restart().await;
        machine.go_live(&machine.web("one")).await;
        assert_eq!(machine.programs(), 1, "killed after {millis} ms");
        assert_eq!(machine.ask("/").await, (200, "one".into()));
        machine.tear_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_rolls_leaves_a_version_serving() {
    for millis in [60, 150, 220, 280, 340, 400, 460, 520, 600, 800] {
        let mut machine = Machine::new().await;
        machine.go_live(&machine.web("one")).await;
        machine.stop_server().await;
        let mut server = machine.spawn_server("two");
        // No condition to wait for: the moment itself is what varies.
        tokio::time::sleep(Duration::from_millis(millis)).await;
        server.start_kill().unwrap();
        server.wait().await.unwrap();

        machine.restart().await;
        let (status, name) = machine.ask("/").await;
        assert!(status == 200 && ["one", "two"].contains(&name.as_str()), "after {millis} ms: {status} {name}");
        machine.go_live(&machine.web("two")).await;
        assert_eq!(machine.programs(), 1, "killed after {millis} ms");
        assert_eq!(machine.ask("/").await, (200, "two".into()));
        machine.tear_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_copies_take_turns() {
    let machine = Machine::new().await;
    let mut step = machine.web("many");
    step.spec.services[0].scale = Scale { min: 3, max: 3, cpu: None, memory: None };
    machine.go_live(&step).await;
    let mut pids = std::collections::BTreeSet::new();
    for _ in 0..9 {
        pids.insert(machine.ask("/pid").await.1);
    }
    assert_eq!((pids.len(), machine.programs()), (3, 3));
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_without_an_address() {
    let mut machine = Machine::new().await;
    let mut step = machine.web("worker").env("MODE", "deaf");
    let service = &mut step.spec.services[0];
    (service.host, service.url, service.port) = (None, None, None);
    machine.settle(Phase::Start, &step).await.unwrap();
    machine.settle(Phase::Shift, &step).await.unwrap();
    assert_eq!(machine.settle(Phase::Check, &step).await.unwrap(), Output::Running { copies: 1, wanted: 1 });
    assert_eq!(machine.serving().await, Some(step.version.clone()));
    machine.restart().await;
    assert_eq!(machine.serving().await, Some(step.version.clone()), "a new server has looked at it first");
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_runs_once_for_a_version_and_its_failure_is_told() {
    let machine = Machine::new().await;
    let count = machine.source().join("count");
    let mut step = machine.web("one").env("MODE", "migrate").env("FLAG", &count.display().to_string());
    step.spec.services[0].migrate = Some(Migrate { command: program::command(), timeout: Seconds(60) });
    for _ in 0..3 {
        machine.settle(Phase::Migrate, &step).await.unwrap();
    }
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "migrated\n");

    let mut broken = machine.web("two").env("MODE", "exit");
    broken.spec.services[0].migrate = step.spec.services[0].migrate.clone();
    let Err(PortError::Failed(failure)) = machine.settle(Phase::Migrate, &broken).await else {
        panic!("a migration that exits with 3 has failed");
    };
    assert_eq!((failure.kind, failure.exit_code), (FailureKind::Migration, Some(3)));
    machine.settle(Phase::Retire, &broken).await.unwrap();
    assert_eq!(machine.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_pass_through_and_keep_their_version_alive() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let stream = tokio::net::TcpStream::connect(machine.cloud.proxy_address()).await.unwrap();
    let url = format!("ws://{}/socket", machine.host());
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let two = machine.web("two");
    for phase in [Phase::Start, Phase::Shift] {
        machine.settle(phase, &two).await.unwrap();
    }
    let retire = machine.ensure(Phase::Retire, &two).await.unwrap();
    assert!(matches!(retire, Progress::Pending { .. }), "an open socket is a request in flight");
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "one: hello");
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);
    machine.settle(Phase::Retire, &two).await.unwrap();
    assert_eq!(machine.programs(), 1);
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_tells_the_program_who_asks_and_streams_both_ways() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let (status, heard) = machine.ask("/headers").await;
    assert_eq!(status, 200);
    let host = machine.host();
    let mut lines: Vec<&str> = heard.lines().filter(|line| !line.starts_with("user-agent")).collect();
    lines.sort_unstable();
    let expected = [
        String::from("connection: close"),
        format!("host: {host}"),
        "via: 1.1 greenroom".into(),
        "x-forwarded-for: 127.0.0.1".into(),
        format!("x-forwarded-host: {host}"),
        "x-forwarded-proto: http".into(),
        "x-real-ip: 127.0.0.1".into(),
    ];
    assert_eq!(lines, expected);

    let body = "x".repeat(3_000_000);
    let echoed = clients::post(machine.cloud.proxy_address(), &machine.host(), "/echo", &body).await.unwrap();
    assert_eq!((echoed.0, echoed.1.len()), (200, body.len()));
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_host_is_taken_over_and_nobody_is_told_whose_it_is() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let twin = machine.web("twin").of("acme/twin");
    let Err(PortError::Failed(failure)) = machine.ensure(Phase::Start, &twin).await else {
        panic!("the host of another repository's stage stays its own");
    };
    assert_eq!(failure.kind, FailureKind::Environment);
    assert!(
        failure.summary.contains("another repository") && !format!("{failure:?}").contains("acme/shop"),
        "{failure:?}"
    );
    assert_eq!(machine.ask("/").await, (200, "one".into()));
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_data_folder_has_one_server() {
    let machine = Machine::new().await;
    let second = greenroom::local::LocalCloud::start(machine.settings()).await;
    assert!(matches!(second, Err(PortError::Failed(failure)) if failure.kind == FailureKind::Environment));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_servers_own_is_refused() {
    let machine = Machine::new().await;
    for (variable, told) in [("GREENROOM_WEBHOOK_SECRET", "belongs to Greenroom itself"), ("ABSENT", "is not set")] {
        let step: Step = machine.web("nosy").secret("TOKEN", variable);
        let Err(PortError::Failed(failure)) = machine.settle(Phase::Start, &step).await else {
            panic!("{variable} is refused");
        };
        assert!(failure.kind == FailureKind::Environment && failure.summary.contains(told), "{}", failure.summary);
        machine.settle(Phase::Retire, &step).await.unwrap();
    }
    assert_eq!(machine.files(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_what_serves_can_be_read() {
    let machine = Machine::new().await;
    let one = machine.web("one");
    machine.go_live(&one).await;
    let lines = machine.cloud.logs(site(&one.spec.stage), &one.service().name, 1).await.unwrap();
    assert_eq!(lines, ["one listens"]);
    machine.tear_down().await;
}
