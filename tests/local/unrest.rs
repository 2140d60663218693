//! What went live and does not stay up is known here, and told without being asked.

use greenroom::model::Unrest;
use greenroom::port::Cloud;

use crate::machine::{Machine, site, until};

async fn unrest(machine: &Machine) -> Vec<Unrest> {
    let stage = machine.web("any").spec.stage;
    machine.cloud.unrest(site(&stage)).await.expect("it can be told")
}

/// Ends the program that answers, and waits for the one that comes after it.
async fn crash(machine: &Machine) {
    let before = machine.ask("/pid").await.1;
    assert_eq!(machine.ask("/crash").await.0, 502);
    until("another process answers", async || matches!(machine.ask("/pid").await, (200, pid) if pid != before)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_again_and_again_is_told_with_its_last_words() {
    let mut machine = Machine::new().await;
    let one = machine.web("one");
    machine.go_live(&one).await;
    assert_eq!(unrest(&machine).await, []);
    crash(&machine).await;
    crash(&machine).await;
    assert_eq!(machine.cloud.news().await, one.spec.stage, "nobody has to ask for it");
    let told = unrest(&machine).await.pop().expect("it is told");
    assert_eq!((told.service.as_str(), told.restarts, told.wanted), ("web", 2, 1));
    assert!(told.is_going_on(), "it has not been well for long");
    let failure = &told.failure;
    assert_eq!((failure.summary.as_str(), failure.exit_code), ("`web` ended with exit code 7", Some(7)));
    assert_eq!(failure.log.last().map(String::as_str), Some("one listens"));
    assert!(failure.advice.contains("started again") && !failure.advice.contains("still serves"), "{failure:?}");

    machine.restart().await;
    assert_eq!(unrest(&machine).await.pop().map(|told| told.restarts), Some(2), "the next server knows it too");
    machine.go_live(&machine.web("two")).await;
    assert_eq!(unrest(&machine).await, [], "that was another version");
    machine.tear_down().await;
}
