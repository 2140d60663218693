//! Copies that are looked after.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::local::sample;
use crate::model::Seconds;

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn the_first_end_of_what_went_live_meanwhile_is_none_before_it_was_healthy() {
    let folder = tempfile::tempdir().expect("a folder");
    let shared = sample::shared(folder.path());
    let unit = sample::unit(|record| {
        record.fate = Fate::Unproven;
        record.spec.port = None;
    });
    let mut shell = tokio::process::Command::new("/bin/sh");
    let mut child = shell.args(["-c", "read line"]).stdin(Stdio::piped()).kill_on_drop(true).spawn().expect("a shell");
    let input = child.stdin.take();
    let mut attended = std::pin::pin!(attend(&shared, &unit, 0, Body::Child(child)));
    tokio::select! {
        biased;
        _ = attended.as_mut() => panic!("it runs"),
        () = std::future::ready(()) => {}
    }
    unit.amend(&shared, |record| record.fate = Fate::Proven).expect("it is live");
    drop(input);
    let Came::Down(failure) = attended.await else { panic!("it came down") };
    assert_eq!(failure.summary, "`web` ended, and nobody saw with which exit code");
}

#[tokio::test]
async fn what_is_live_and_cannot_be_started_by_this_server_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let shared = sample::shared(folder.path());
    let unit = Arc::new(sample::unit(|_| ()));
    // What was written down of its last start cannot be read.
    std::fs::create_dir_all(shared.disk.version_dir(&unit.id).join("run-0.json")).expect("a folder");
    keep(&shared, &unit);
    let mut states = unit.states.subscribe();
    let is_stuck = |states: &Vec<CopyState>| matches!(states.first(), Some(CopyState::Stuck { .. }));
    let stuck = tokio::time::timeout(PATIENCE, states.wait_for(is_stuck)).await;
    assert!(stuck.is_ok_and(|seen| seen.is_ok()));
    let falls = shared.disk.read_falls(&unit.id).expect("a note of it");
    assert!(format!("{falls:?}").contains("`web` cannot be started: "), "{falls:?}");
    unit.halt.cancel();
}

/// A program that is well, with how often it was asked.
async fn program() -> (SocketAddr, Arc<AtomicUsize>, JoinHandle<()>) {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let (address, asked) = (listener.local_addr().expect("an address"), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&asked);
    let served = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    (address, asked, served)
}

#[tokio::test]
async fn a_program_is_followed_to_its_other_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let shared = sample::shared(folder.path());
    let unit = sample::unit(|record| {
        let health = &mut record.spec.health;
        (health.healthy, health.unhealthy, health.interval) = (1, 1_000, Seconds(0));
    });
    let ((first, _, served), (second, asked, _other)) = (program().await, program().await);
    let story = async {
        while unit.upstream.pick().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(unit.upstream.pick(), Some(first));
        served.abort();
        assert!(served.await.is_err(), "nobody listens there any more");
        // When it is asked again, its answer was heard.
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(unit.upstream.pick(), Some(second));
    };
    let addresses = [first, second];
    let probes = examine(&shared, &unit, 0, &addresses);
    tokio::select! {
        saw = probes => panic!("it was given up: {saw}"),
        told = tokio::time::timeout(PATIENCE, story) => told.expect("it is asked"),
    }
}

#[test]
fn a_copy_is_given_up_when_it_had_its_time_and_its_tries() {
    let health = Health {
        path: "/".into(),
        status: 200,
        interval: Seconds(10),
        timeout: Seconds(5),
        healthy: 2,
        unhealthy: 3,
        grace: Seconds(30),
    };
    for (starting, missed, given_up) in [
        (Some(59), 9, false),
        (Some(60), 3, true),
        // The machine stood still for an hour.
        (Some(3_600), 1, false),
        (Some(3_600), 3, true),
        (None, 2, false),
        (None, 3, true),
    ] {
        let starting = starting.map(Duration::from_secs);
        assert_eq!(is_given_up(&health, starting, missed), given_up, "{starting:?}, {missed} missed");
    }
}
