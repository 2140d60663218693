//! One copy's share for a new version beside the one that serves.

use greenroom::model::{FailureKind, Output, VersionKey};
use greenroom::port::{Phase, PortError, Progress};

use crate::clients::Begun;
use crate::machine::{Machine, Step, until};

/// How many of the next requests a version answers.
async fn share_of(machine: &Machine, version: &str, requests: usize) -> usize {
    let mut answers = 0;
    for _ in 0..requests {
        answers += usize::from(machine.ask("/").await == (200, version.into()));
    }
    answers
}

/// Asks for the canary until it has answered, and once more: then its turn is next.
async fn until_both_answer(machine: &Machine, canary: &Step) {
    until("the new version answers too", async || {
        machine.ensure(Phase::Canary, canary).await.expect("it is healthy");
        machine.ask("/").await.1 == canary.version.0
    })
    .await;
    assert_eq!(machine.ask("/").await.1, "one", "they take turns");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_has_its_share_for_its_time_and_then_the_rest_follows() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let load = machine.load(2).await;
    let two = machine.web("two").canary(3);
    until("it has its share", async || {
        let progress = machine.ensure(Phase::Canary, &two).await.expect("it is healthy");
        matches!(progress, Progress::Pending { note, .. } if note == "watching one copy for 3s")
    })
    .await;
    let share = share_of(&machine, "two", 20).await;
    assert!((1..20).contains(&share), "both answer: {share} of 20");
    assert_eq!(machine.serving().await, Some(VersionKey("one".into())), "it is not what serves");
    machine.settle(Phase::Canary, &two).await.unwrap();
    machine.go_live(&two).await;
    assert_eq!(share_of(&machine, "two", 5).await, 5);
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    assert_eq!(machine.programs(), 1);

    let same = machine.settle(Phase::Canary, &two.next_generation()).await.unwrap();
    assert_eq!(same, Output::Nothing, "what serves has nothing to prove");
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_given_up_leaves_the_old_version_alone() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let two = machine.web("two").canary(3600);
    until_both_answer(&machine, &two).await;
    let slow = Begun::get(machine.cloud.proxy_address(), &machine.host(), "/drip").await.unwrap();
    let retiring = machine.ensure(Phase::Retire, &two).await.unwrap();
    assert!(matches!(retiring, Progress::Pending { .. }), "a request is in flight: {retiring:?}");
    assert_eq!(share_of(&machine, "one", 10).await, 10, "no other comes after it");
    machine.settle(Phase::Retire, &two).await.unwrap();
    assert_eq!(slow.end().await.unwrap(), (200, "two".into()));
    assert_eq!((share_of(&machine, "one", 10).await, machine.programs()), (10, 1));
    machine.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_falls_once_has_failed_even_if_it_is_up_again() {
    let machine = Machine::new().await;
    machine.go_live(&machine.web("one")).await;
    let two = machine.web("two").canary(3600);
    until_both_answer(&machine, &two).await;
    assert_eq!(machine.ask("/crash").await.0, 502);
    until("it is up again", async || machine.programs() == 2).await;
    let Err(PortError::Failed(failure)) = machine.settle(Phase::Canary, &two).await else {
        panic!("it fell while it was watched");
    };
    assert_eq!(failure.kind, FailureKind::Exited, "{}", failure.summary);
    assert_eq!(share_of(&machine, "one", 10).await, 10, "nothing is led to it any more");
    machine.settle(Phase::Retire, &two).await.unwrap();
    assert_eq!(machine.programs(), 1);
    machine.tear_down().await;
}
