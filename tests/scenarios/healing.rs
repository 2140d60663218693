//! What webhooks did not bring is found by looking.

use greenroom::model::{Chore, Lane, Permission, Target};
use greenroom::port::{Clock as _, LaneState};
use greenroom::sandbox::{DeliveryMode, Fault, Matcher, Times};

use crate::world::World;

#[tokio::test]
async fn deliveries_that_never_arrived_are_found_and_sent_again() {
    let w = World::new().await;
    w.github.set_delivery_mode(DeliveryMode::Drop);
    let (_, sha) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new(), "nobody told us");
    w.github.set_delivery_mode(DeliveryMode::Send);
    w.ring(Lane::Chore(Chore::Deliveries)).await;
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
    let arrived = w.github.deliveries().iter().filter(|delivery| delivery.redelivery).count();
    assert!(arrived > 0);
    w.ring(Lane::Chore(Chore::Deliveries)).await;
    w.settle().await;
    let again = w.github.deliveries().iter().filter(|delivery| delivery.redelivery).count();
    assert_eq!(again, arrived, "what arrived is not sent again");
}

#[tokio::test]
async fn a_delivery_that_is_not_sent_again_hides_none_of_the_others() {
    let w = World::new().await;
    let before = w.github.deliveries().len();
    w.github.set_delivery_mode(DeliveryMode::Drop);
    let (_, one) = w.open("topic", "2");
    let (_, other) = w.open("other", "3");
    w.settle().await;
    w.github.set_delivery_mode(DeliveryMode::Send);
    let first = w.github.deliveries()[before].id;
    let path = format!("/app/hook/deliveries/{first}/attempts");
    for status in [404, 422] {
        w.github.fail(Matcher::any().path(&path), Fault::status(status), Times::Next(1));
    }
    w.ring(Lane::Chore(Chore::Deliveries)).await;
    w.settle().await;
    assert_eq!((w.serving("pr-1", "web"), w.serving("pr-2", "web")), (Some(one), Some(other)));
    let asked = || w.github.counts().of(&http::Method::POST, "/app/hook/deliveries/{delivery_id}/attempts");
    let until_then = asked();
    w.ring(Lane::Chore(Chore::Deliveries)).await;
    w.settle().await;
    assert_eq!(asked(), until_then, "nor is it asked for every few minutes");
    w.after(3_600_000).await;
    assert_eq!(asked(), until_then + 1, "but once in an hour");
}

#[tokio::test]
async fn a_missed_opening_and_a_missed_closing_are_seen_by_reconciling() {
    let w = World::new().await;
    w.github.set_delivery_mode(DeliveryMode::Drop);
    let (pull, sha) = w.open("topic", "2");
    w.ring(Lane::Chore(Chore::Reconcile)).await;
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.ring(Lane::Chore(Chore::Reconcile)).await;
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
}

/// As the next push does that is told.
#[tokio::test]
async fn a_push_that_was_missed_takes_a_stage_on_from_the_commit_that_somebody_asked_for() {
    let w = World::new().await;
    w.github.set_permission(&w.repo, "wes", Permission::Write);
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    w.hears("wes", pull, "/redeploy").await;
    assert!(matches!(w.stage("pr-1").await.target, Target::Commit(_)), "{:#?}", w.stage("pr-1").await);
    w.github.set_delivery_mode(DeliveryMode::Drop);
    let missed = w.push("topic", "3");
    w.github.set_delivery_mode(DeliveryMode::Send);
    w.ring(Lane::Chore(Chore::Reconcile)).await;
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(missed));
    assert_eq!(w.stage("pr-1").await.target, Target::PullRequest(pull));
}

#[tokio::test]
async fn deliveries_that_may_not_be_listed_are_asked_for_at_their_next_time() {
    let w = World::new().await;
    let lane = Lane::Chore(Chore::Deliveries);
    for status in [403, 404] {
        w.github.fail(Matcher::any().path("/app/hook/deliveries"), Fault::status(status), Times::Always);
        w.ring(lane.clone()).await;
        w.settle().await;
        let state = w.store.lane_state(&lane, w.clock.now()).await.expect("the database answers");
        assert_eq!(state, LaneState::AtRest, "{status}");
        w.github.heal();
    }
}

#[tokio::test]
async fn a_github_that_does_not_answer_is_no_reason_to_delete() {
    let w = World::new().await;
    let (_, sha) = w.open("topic", "2");
    w.settle().await;
    for fault in [Fault::status(404), Fault::status(403), Fault::status(500)] {
        w.github.fail(Matcher::any(), fault, Times::Always);
        w.ring(Lane::Chore(Chore::Reconcile)).await;
        w.ring(Lane::Chore(Chore::Sweep)).await;
        w.ring(Lane::Stage(w.stage_id("pr-1"))).await;
        w.ring(Lane::Repo(w.repo.clone())).await;
        for _ in 0..200 {
            w.engine.tick().await.expect("the database answers");
            w.clock.advance(1_000);
        }
        assert_eq!(w.serving("pr-1", "web"), Some(sha.clone()));
        w.github.heal();
    }
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn a_stage_that_lost_a_service_is_made_whole_again() {
    let w = World::new().await;
    let (_, sha) = w.open("topic", "2");
    w.settle().await;
    w.cloud.lose(&w.stage_id("pr-1"), &"web".parse().expect("a name"));
    w.after(3_600_000).await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn what_came_back_after_a_teardown_is_swept() {
    let w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    w.cloud.haunt(&w.stage_id("pr-1"), &"web".parse().expect("a name"));
    assert_ne!(w.cloud.world(), Vec::<String>::new());
    w.ring(Lane::Chore(Chore::Sweep)).await;
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
}
