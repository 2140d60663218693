//! One copy of a new version beside those that serve.

use std::time::{Duration, Instant};

use greenroom::model::{FailureKind, Output, Seconds};
use greenroom::port::{Phase, Progress};

use super::failed;
use super::world::{SERVE, Step, World, ensure};
use crate::hang::PATIENCE;
use crate::ministack::Containers;

fn watched(mut step: Step, seconds: u64) -> Step {
    step.service().canary = Some(Seconds(seconds));
    step
}

/// Whether the door answers from both versions, as requests come to them in turn.
async fn both_answer(w: &World) -> bool {
    let mut names = Vec::new();
    for _ in 0..6 {
        names.push(w.name().await);
    }
    names.contains(&"one".to_owned()) && names.contains(&"two".to_owned())
}

async fn is_all(w: &World, name: &str) -> bool {
    for _ in 0..10 {
        if w.name().await != name {
            return false;
        }
    }
    true
}

/// Asks for the canary, each time by a process that remembers nothing if `anew`, until both answer.
async fn until_both_answer(w: &World, step: &Step, anew: bool) {
    let begun = Instant::now();
    while !both_answer(w).await {
        let progress = if anew {
            ensure(&w.restarted().await, Phase::Canary, step).await
        } else {
            ensure(&w.cloud, Phase::Canary, step).await
        };
        let Ok(Progress::Pending { note, .. }) = progress else { panic!("it is not watched: {progress:?}") };
        assert!(begun.elapsed() < PATIENCE, "{note}\n{}", w.aws.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_canary_has_its_share_and_goes_when_the_rest_has_followed() {
    let mut w = World::new(Containers::Real).await;
    let (first, second) = (w.image("one", SERVE).await, w.image("two", SERVE).await);
    let one = w.goal(&first);
    w.go_live(&one).await;
    let two = watched(w.goal(&second), 5);
    until_both_answer(&w, &two, false).await;
    assert_eq!(w.versions().await, (Some(one.version.clone()), vec![two.version.clone()]));
    assert_eq!(w.service().await.deployments().len(), 1, "the service is as it was");
    assert_eq!(w.settle(Phase::Canary, &two).await.expect("it is healthy"), Output::Nothing);
    w.go_live(&two).await;
    assert!(is_all(&w, "two").await);
    assert_eq!((w.one_offs().await, w.running_tasks().await.len()), (1, 1), "the canary is gone");
    assert_eq!(w.active_definitions().await, std::slice::from_ref(&two.version.0));

    let mut same = watched(two.clone(), 3_600);
    same.generation = same.generation.next();
    assert_eq!(w.settle(Phase::Canary, &same).await.expect("it serves"), Output::Nothing);
    assert_eq!(w.one_offs().await, 1, "what serves has nothing to prove");
}

#[tokio::test]
async fn a_canary_is_started_once_and_taken_away_by_whoever_comes() {
    let mut w = World::new(Containers::Real).await;
    let (first, second) = (w.image("one", SERVE).await, w.image("two", SERVE).await);
    let one = w.goal(&first);
    w.go_live(&one).await;
    let two = watched(w.goal(&second), 3_600);
    until_both_answer(&w, &two, true).await;
    assert_eq!(w.one_offs().await, 1);
    let begun = Instant::now();
    while !matches!(ensure(&w.restarted().await, Phase::Retire, &two).await, Ok(Progress::Done(_))) {
        assert!(begun.elapsed() < PATIENCE, "{}", w.aws.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(is_all(&w, "one").await);
    assert_eq!((w.running_tasks().await.len(), w.versions().await), (1, (Some(one.version.clone()), vec![])));
    assert_eq!(w.active_definitions().await, std::slice::from_ref(&one.version.0));
}

#[tokio::test]
async fn a_canary_that_exits_is_named_and_nothing_is_led_to_it() {
    let mut w = World::new(Containers::Real).await;
    let good = w.image("one", SERVE).await;
    let dies = SERVE.replace("& wait", "& sleep 40; echo no table users >&2; exit 3");
    let bad = w.image("two", &dies).await;
    w.go_live(&w.goal(&good)).await;
    let two = watched(w.goal(&bad), 3_600);
    until_both_answer(&w, &two, false).await;
    let failure = failed(w.settle(Phase::Canary, &two).await);
    assert_eq!((failure.kind, failure.exit_code), (FailureKind::Exited, Some(3)), "{failure:?}");
    assert_eq!(failure.log.last().map(String::as_str), Some("no table users"));
    assert!(is_all(&w, "one").await, "also before it is retired");
    w.settle(Phase::Retire, &two).await.expect("it is cleaned up");
    assert!(is_all(&w, "one").await);
    assert_eq!(w.running_tasks().await.len(), 1);
}
