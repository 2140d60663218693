//! What went live and does not stay up is known here, and told without being asked.

use greenroom::model::{Condition, Conditions};
use greenroom::port::Cloud;

use crate::machine::{Machine, site, until};

async fn conditions(machine: &Machine) -> Conditions {
    let stage = machine.web("any").spec.stage;
    machine.cloud.conditions(site(&stage)).await.expect("it can be told")
}

/// How the one service is doing; it is always told.
async fn doing(machine: &Machine) -> Condition {
    let mut told: Vec<Condition> = conditions(machine).await.into_values().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
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
    let well = doing(&machine).await;
    assert!(!well.is_trouble() && !well.is_recovered(), "{well:?}");
    assert_eq!((well.well, well.wanted), (1, 1));
    crash(&machine).await;
    crash(&machine).await;
    assert_eq!(machine.cloud.stirred().await, one.spec.stage, "nobody has to ask for it");
    let names: Vec<String> = conditions(&machine).await.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["web"]);
    let told = doing(&machine).await;
    assert_eq!((told.restarts, told.wanted), (2, 1));
    assert!(told.is_trouble(), "it has not been well for long");
    let failure = told.why.as_ref().expect("why");
    assert_eq!((failure.summary.as_str(), failure.exit_code), ("`web` ended with exit code 7", Some(7)));
    assert_eq!(failure.log.last().map(String::as_str), Some("one listens"));
    assert!(failure.advice.contains("started again") && !failure.advice.contains("still serves"), "{failure:?}");

    machine.restart().await;
    assert_eq!(doing(&machine).await.restarts, 2, "the next server knows it too");
    machine.go_live(&machine.web("two")).await;
    let next = doing(&machine).await;
    assert!(!next.is_trouble() && !next.is_recovered(), "that was another version: {next:?}");
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_cannot_be_read_keeps_nobody_from_serving() {
    let mut machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let note = machine.data().join("stages/acme/shop/pr-1/web/one/falls.json");
    std::fs::write(&note, r#"{"since":"#).expect("the version's folder is there");
    machine.restart().await;
    until("it is served", async || machine.ask("/").await == (200, "one".to_owned())).await;
    machine.tear_down().await;
}
