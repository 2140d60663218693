//! Deliveries that say what is known already in the same words, or what nobody can read: none is lost.

use greenroom::model::{Chore, Lane, StageStatus};
use greenroom::sandbox::{DeliveryMode, Fault, Matcher, Times};

use crate::world::{CONFIG, World};

/// Everything that is due, within the second of GitHub's clock.
async fn at_once(w: &World) {
    w.github.deliveries_settled().await;
    while w.engine.tick().await.expect("the database answers") {}
}

#[tokio::test]
async fn what_happens_twice_in_one_second_is_heard_twice() {
    let w = World::new().await;
    let (pull, head) = w.open("topic", "2");
    w.settle().await;
    w.github.close_pull(&w.repo, pull).expect("it closes");
    at_once(&w).await;
    assert_eq!(w.serving("pr-1", "web"), None);
    w.github.reopen_pull(&w.repo, pull).expect("it opens");
    at_once(&w).await;
    assert!(!matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }), "{head} is on its way back");
    w.github.close_pull(&w.repo, pull).expect("it closes");
    let closings: Vec<_> =
        w.github.deliveries().into_iter().filter(|it| it.action.as_deref() == Some("closed")).collect();
    assert_eq!(closings.len(), 2);
    assert_eq!(closings[0].body, closings[1].body, "GitHub says both in the same words");
    assert_ne!(closings[0].guid, closings[1].guid);
    at_once(&w).await;
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None);
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }));
}

#[tokio::test]
async fn a_pull_request_without_its_outer_number_is_heard() {
    let w = World::new().await;
    w.github.leave_out(Some("/number"));
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    let next = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(next));
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None);
    assert_eq!(w.store.counts(greenroom::port::Clock::now(&*w.clock)).await.expect("counted").inbox_poison, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_looked_for_at_once() {
    for missing in ["/sender", "/pull_request/head", "/action"] {
        let w = World::new().await;
        w.github.leave_out(Some(missing));
        let (pull, first) = w.open("topic", "2");
        w.settle().await;
        assert_eq!(w.serving("pr-1", "web"), Some(first), "without {missing} an opening is seen");
        let next = w.push("topic", "3");
        w.settle().await;
        assert_eq!(w.serving("pr-1", "web"), Some(next), "without {missing} a push is seen");
        w.github.close_pull(&w.repo, pull).expect("it closes");
        w.settle().await;
        assert_eq!(w.serving("pr-1", "web"), None, "without {missing} a closing is seen");
        let poison = w.store.counts(greenroom::port::Clock::now(&*w.clock)).await.expect("counted").inbox_poison;
        assert!(poison > 0, "and the operator is told");
    }
}

#[tokio::test]
async fn a_label_and_a_draft_that_cannot_be_read_are_looked_for_at_once() {
    let w = World::with_config(&CONFIG.replace("drafts: skip,", "drafts: skip, label: preview,")).await;
    w.github.leave_out(Some("/sender"));
    let (pull, head) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None, "it has no label yet");
    let labelled = || w.github.label(&w.repo, pull, "preview").expect("a label");
    labelled();
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(head.clone()));
    w.github.unlabel(&w.repo, pull, "preview").expect("no label");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None, "a label that was taken off");
    labelled();
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(head));
    w.github.draft_pull(&w.repo, pull).expect("a draft");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None, "a draft");
}

#[tokio::test]
async fn whoever_has_what_cannot_be_read_sent_again_has_it_looked_for_again() {
    let w = World::new().await;
    w.github.leave_out(Some("/sender"));
    w.open("topic", "2");
    w.settle().await;
    let opened =
        w.github.deliveries().into_iter().find(|it| it.action.as_deref() == Some("opened")).expect("it was told");
    w.github.set_delivery_mode(DeliveryMode::Drop);
    let missed = w.push("topic", "3");
    w.github.set_delivery_mode(DeliveryMode::Send);
    w.after(20_000).await;
    w.redeliver(opened.id).await;
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(missed));
}

#[tokio::test]
async fn of_whomever_it_speaks_all_are_looked_at() {
    let w = World::new().await;
    w.github.leave_out(Some("/repository"));
    let (_, first) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(first));
}

#[tokio::test]
async fn a_pull_request_that_is_not_there_any_more_is_asked_for_seldom_and_serves_on() {
    let w = World::new().await;
    let (_, head) = w.open("topic", "2");
    w.settle().await;
    w.github.fail(Matcher::any().path("/pulls/1"), Fault::status(404), Times::Always);
    w.ring(Lane::Stage(w.stage_id("pr-1"))).await;
    w.settle().await;
    let asked = || w.github.counts().of(&http::Method::GET, "/pulls/{pull_number}");
    let before = asked();
    for _ in 0..10 {
        w.after(60_000).await;
    }
    assert!(asked() - before <= 3, "asked {} times in ten minutes", asked() - before);
    assert_eq!(w.serving("pr-1", "web"), Some(head.clone()), "that is no reason to remove it");
    w.github.heal();
    w.after(320_000).await;
    assert!(asked() > before);
    assert_eq!(w.serving("pr-1", "web"), Some(head));
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Live { .. }));
}

#[tokio::test]
async fn an_installation_that_is_not_listed_is_not_asked_every_minute() {
    for path in ["/app/installations", "/installation/repositories", "/access_tokens"] {
        let w = World::new().await;
        w.open("topic", "2");
        w.settle().await;
        w.github.set_delivery_mode(DeliveryMode::Drop);
        let missed = w.push("topic", "3");
        w.github.set_delivery_mode(DeliveryMode::Send);
        let listing = "/app/installations";
        w.github.fail(Matcher::any().path(path), Fault::status(404), Times::Always);
        let asked = || w.github.counts().of(&http::Method::GET, listing);
        let before = asked();
        w.ring(Lane::Chore(Chore::Reconcile)).await;
        w.ring(Lane::Chore(Chore::Sweep)).await;
        w.settle().await;
        for _ in 0..10 {
            w.after(60_000).await;
        }
        assert!(asked() - before <= 2, "{path}: asked {} times in ten minutes", asked() - before);
        // A token that is there already looks at what has a stage here.
        if path != "/access_tokens" {
            assert_eq!(w.serving("pr-1", "web"), Some(missed), "{path}");
        }
        w.github.heal();
        w.ring(Lane::Chore(Chore::Reconcile)).await;
        w.settle().await;
        assert!(asked() > before, "{path}");
    }
}
