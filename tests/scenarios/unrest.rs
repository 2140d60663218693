//! What went live and does not stay up: told as it is, deployed by nobody, and told again once it has
//! recovered.

use greenroom::model::{Lane, PullNumber, StageId, Timestamp, Unrest};
use greenroom::port::{Clock as _, Store as _};

use crate::commands::shop;
use crate::world::{World, exited};

fn restless(w: &World, restarts: u32, over: Option<Timestamp>) -> Unrest {
    Unrest {
        service: "web".parse().expect("a service"),
        well: u32::from(over.is_some()),
        wanted: 1,
        restarts,
        since: Timestamp(w.clock.now().0 - 30_000),
        over,
        failure: exited(7, "out of handles"),
    }
}

/// The target has news of a stage. What goes on is looked at again and again, so that the world never settles.
async fn news(w: &World, stage: &StageId, unrest: Vec<Unrest>) {
    w.cloud.fare(stage, unrest);
    w.ring(Lane::Stage(stage.clone())).await;
    w.runs(20).await;
}

/// In a minute of its own: nobody is answered at once again and again.
async fn answer_to(w: &World, pull: PullNumber, command: &str) -> String {
    w.clock.advance(61_000);
    w.says("wes", pull, command);
    w.runs(40).await;
    w.answer(pull)
}

#[tokio::test]
async fn what_does_not_stay_up_is_told_until_it_has_recovered() {
    let (w, pull, sha) = shop().await;
    let stage = w.stage_id("pr-1");
    let done = (w.cloud.journal(), w.builder.journal());
    news(&w, &stage, vec![restless(&w, 4, None)]).await;
    let headline = w.headline(pull);
    assert!(headline.contains("does not stay up") && headline.contains("web started again 4 times"), "{headline}");
    let comment = w.comment(pull);
    for told in ["has not been well since", "exit code 7", "out of handles", "| web | unhealthy |"] {
        assert!(comment.contains(told), "{told:?} is missing from {comment}");
    }
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: failure"]);
    assert!(w.deployments()[0].ends_with(": failure"), "{:?}", w.deployments());
    let status = answer_to(&w, pull, "/status").await;
    assert!(status.contains("web  unhealthy") && status.contains("started again 4 times"), "{status}");
    let health = answer_to(&w, pull, "/health").await;
    assert!(health.contains("1 of 2 services of pr-1 are healthy") && health.contains("exit code 7"), "{health}");

    // Nobody tells: the minute is enough.
    w.cloud.fare(&stage, vec![restless(&w, 9, None)]);
    w.clock.advance(60_000);
    w.runs(20).await;
    assert!(w.headline(pull).contains("started again 9 times"), "{}", w.headline(pull));
    assert_eq!((w.cloud.journal(), w.builder.journal()), done, "nothing was brought on for it");

    w.cloud.fare(&stage, vec![restless(&w, 9, Some(w.clock.now()))]);
    w.clock.advance(60_000);
    w.settle().await;
    let comment = w.comment(pull);
    assert!(w.headline(pull).contains("is live ·") && comment.contains("web has recovered"), "{comment}");
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: success"]);
    assert!(w.deployments()[0].ends_with(": success"), "{:?}", w.deployments());

    w.cloud.fare(&stage, Vec::new());
    w.push("topic", "3");
    w.settle().await;
    assert!(!w.comment(pull).contains("has recovered"), "that was another version: {}", w.comment(pull));
}

#[tokio::test]
async fn what_the_target_starts_again_by_itself_is_not_brought_on_anew() {
    let (w, pull, sha) = shop().await;
    let (stage, web) = (w.stage_id("pr-1"), "web".parse().expect("a service"));
    let deploys = async || w.store.deploys(&stage, 99).await.expect("the database answers").len();
    let before = deploys().await;
    // To whoever looks it does not serve.
    w.cloud.lose(&stage, &web);
    news(&w, &stage, vec![restless(&w, 2, None)]).await;
    assert_eq!((deploys().await, w.serving("pr-1", "web")), (before, None));
    assert!(w.headline(pull).contains("does not stay up"), "{}", w.headline(pull));
    // The target is not at work on it any more, and it is still not there: that is drift.
    news(&w, &stage, Vec::new()).await;
    w.settle().await;
    assert_eq!((deploys().await, w.serving("pr-1", "web")), (before + 1, Some(sha)));
    assert!(w.headline(pull).contains("is live ·"), "{}", w.headline(pull));
}

#[tokio::test]
async fn a_push_is_deployed_whatever_does_not_stay_up() {
    let (w, pull, _) = shop().await;
    let stage = w.stage_id("pr-1");
    news(&w, &stage, vec![restless(&w, 4, None)]).await;
    let mended = w.push("topic", "3");
    w.cloud.fare(&stage, Vec::new());
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(mended));
    assert!(w.headline(pull).contains("is live ·"), "{}", w.headline(pull));

    news(&w, &stage, vec![restless(&w, 5, None)]).await;
    assert!(w.headline(pull).contains("does not stay up"), "{}", w.headline(pull));
    w.github.close_pull(&w.repo, pull).expect("closed");
    w.settle().await;
    assert!(w.comment(pull).contains("is gone") && !w.comment(pull).contains("not been well"), "{}", w.comment(pull));
}
