//! What is shown after live follows what is.

use greenroom::model::{
    Chore, Condition, Failure, FailureKind, Lane, Permission, PullNumber, ServiceName, StageStatus, Timestamp,
    Wellbeing,
};
use greenroom::port::Clock as _;
use tokio_util::sync::CancellationToken;

use crate::commands::shop;
use crate::world::World;

fn web() -> ServiceName {
    "web".parse().expect("a name")
}

fn restarting(since: Timestamp, restarts: u32) -> Condition {
    let failure = Failure::new(FailureKind::Exited, "`web` ended with exit code 3", "Its last lines say why.");
    let why = Failure { exit_code: Some(3), log: vec!["no such table: users".into()], ..failure };
    Condition { state: Wellbeing::Restarting, restarts, well: 0, why: Some(why), ..Condition::well(1, since) }
}

/// The look that a server has every minute.
async fn looked_at(w: &World) {
    w.ring(Lane::Chore(Chore::Watch)).await;
    w.settle().await;
}

async fn live() -> (World, PullNumber, greenroom::model::CommitSha) {
    let w = World::new().await;
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    (w, pull, sha)
}

#[tokio::test]
async fn a_crash_loop_after_live_is_shown_and_so_is_its_end() {
    let (w, pull, sha) = live().await;
    let (stage, began) = (w.stage_id("pr-1"), w.clock.now());
    let built = w.builder.journal();
    w.cloud.ail(&stage, &web(), restarting(began, 1));
    looked_at(&w).await;
    let comment = w.comment(pull);
    assert!(w.headline(pull).contains("pr-1 is not well") && w.headline(pull).contains(sha.short()), "{comment}");
    for told in ["started again once", "exit code 3", "no such table: users", "Its last lines say why"] {
        assert!(comment.contains(told), "{told} is not in {comment}");
    }
    assert!(comment.contains(&format!("since {began}")), "{comment}");
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: failure"]);
    assert_eq!(w.deployments(), [format!("pr-1 {}: failure", sha.short())]);

    w.cloud.ail(&stage, &web(), restarting(w.clock.now(), 4));
    looked_at(&w).await;
    assert!(w.comment(pull).contains("started again 4 times"), "{}", w.comment(pull));
    assert!(w.comment(pull).contains(&format!("since {began}")), "one trouble has one beginning: {}", w.comment(pull));
    w.hears("wes", pull, "/status").await;
    let status = w.answer(pull);
    assert!(status.contains("restarting") && status.contains("started again 4 times"), "{status}");
    w.hears("wes", pull, "/health").await;
    let health = w.answer(pull);
    assert!(health.contains("1 of 2 services") && health.contains("0 of 1 well"), "{health}");

    // It sees to it itself: nothing is built or brought on anew, now or at the next look for drift.
    w.after(2 * 3_600_000).await;
    assert_eq!(w.builder.journal(), built);
    assert!(w.headline(pull).contains("is not well"), "{}", w.comment(pull));

    let over = w.clock.now();
    w.cloud.ail(&stage, &web(), Condition::well(1, over));
    looked_at(&w).await;
    let comment = w.comment(pull);
    assert!(w.headline(pull).contains("pr-1 is live"), "{comment}");
    assert!(comment.contains("web is well again since") && comment.contains("4 times"), "{comment}");
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: success"]);
    assert_eq!(w.deployments(), [format!("pr-1 {}: success", sha.short())]);

    let next = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(next));
    assert!(!w.comment(pull).contains("well again"), "another version, another story: {}", w.comment(pull));
}

#[tokio::test]
async fn the_same_said_again_is_written_nowhere() {
    let (w, _, _) = live().await;
    let stage = w.stage_id("pr-1");
    let began = w.clock.now();
    w.cloud.ail(&stage, &web(), restarting(began, 12));
    looked_at(&w).await;
    let edits = || w.github.counts().of(&http::Method::PATCH, "/repos/{owner}/{repo}/issues/comments/{comment_id}");
    let before = edits();
    for restarts in 13..19 {
        let mut ailing = restarting(began, restarts);
        if let Some(why) = &mut ailing.why {
            why.log = vec![format!("12:00:{restarts} no such table: users")];
        }
        w.cloud.ail(&stage, &web(), ailing);
        looked_at(&w).await;
    }
    assert_eq!(edits(), before, "who ends all the time makes us write now and then");
    w.cloud.ail(&stage, &web(), restarting(began, 20));
    looked_at(&w).await;
    assert_eq!(edits(), before + 1);
}

#[tokio::test]
async fn what_somebody_asks_for_is_done_although_it_is_not_well() {
    let (w, pull, sha) = live().await;
    w.cloud.ail(&w.stage_id("pr-1"), &web(), restarting(w.clock.now(), 3));
    looked_at(&w).await;
    let before = w.stage("pr-1").await.generation;
    w.github.set_permission(&w.repo, "wes", Permission::Write);
    w.hears("wes", pull, "/redeploy").await;
    let stage = w.stage("pr-1").await;
    assert!(stage.generation > before && !stage.is_busy(), "{stage:#?}");
    let started = w.cloud.journal().iter().filter(|line| line.starts_with("start pr-1/web")).count();
    assert_eq!(started, 2, "{:#?} at {sha}", w.cloud.journal());
}

#[tokio::test]
async fn the_very_commit_that_is_not_well_is_deployed_where_somebody_asks_for_it() {
    let (w, pull, _) = live().await;
    let stage = w.stage_id("pr-1");
    w.cloud.ail(&stage, &web(), restarting(w.clock.now(), 3));
    looked_at(&w).await;
    w.github.set_permission(&w.repo, "wes", Permission::Write);
    w.hears("wes", pull, "/deploy").await;
    let deploys = w.store.deploys(&stage, 9).await.expect("the database answers");
    assert_eq!(deploys.len(), 2, "{:#?}", w.answers(pull));
}

#[tokio::test]
async fn what_is_lost_is_made_whole_again_although_something_else_is_not_well() {
    let (w, _, sha) = live().await;
    let stage = w.stage_id("pr-1");
    w.cloud.lose(&stage, &"worker".parse().expect("a name"));
    w.cloud.ail(&stage, &web(), restarting(w.clock.now(), 2));
    w.after(3_600_000).await;
    assert_eq!((w.serving("pr-1", "web"), w.serving("pr-1", "worker")), (Some(sha.clone()), Some(sha)));
}

#[tokio::test]
async fn what_still_serves_beside_a_failed_goal_is_looked_after_too() {
    let (w, pull, good) = live().await;
    w.cloud.mishap(
        greenroom::port::Phase::Start,
        "worker",
        None,
        greenroom::sandbox::Mishap::Fail(crate::world::exited(3, "no")),
    );
    w.push("topic", "3");
    w.settle().await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Failed { .. }));
    w.cloud.ail(&w.stage_id("pr-1"), &web(), restarting(w.clock.now(), 2));
    looked_at(&w).await;
    let comment = w.comment(pull);
    for told in ["| web | restarting |", good.short(), "What serves is not well", "started again 2 times"] {
        assert!(comment.contains(told), "{told} is not in {comment}");
    }
}

#[tokio::test]
async fn a_push_and_a_closing_are_heeded_whatever_is_not_well() {
    let (w, pull, _) = live().await;
    let stage = w.stage_id("pr-1");
    w.cloud.ail(&stage, &web(), restarting(w.clock.now(), 4));
    looked_at(&w).await;
    w.cloud.ail(&stage, &web(), Condition::well(1, w.clock.now()));
    let mended = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(mended));
    assert!(w.headline(pull).contains("is live"), "{}", w.comment(pull));

    w.cloud.ail(&stage, &web(), restarting(w.clock.now(), 5));
    looked_at(&w).await;
    assert!(w.headline(pull).contains("is not well"), "{}", w.comment(pull));
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert!(w.comment(pull).contains("is gone") && !w.comment(pull).contains("not well"), "{}", w.comment(pull));
}

#[tokio::test]
async fn nobody_waits_for_the_answer_about_another() {
    let (w, pull, _) = live().await;
    let (other, _) = w.open("other", "3");
    w.settle().await;
    for stage in ["pr-1", "pr-2"] {
        w.cloud.ail(&w.stage_id(stage), &web(), restarting(w.clock.now(), 1));
    }
    w.cloud.answer_together(2);
    looked_at(&w).await;
    for pull in [pull, other] {
        assert!(w.headline(pull).contains("is not well"), "{}", w.comment(pull));
    }
}

/// Nothing of the commit had to be deployed: what went live with an older one is what is not well.
#[tokio::test]
async fn what_runs_on_unchanged_is_not_brought_on_anew_either() {
    let (w, pull, first) = shop().await;
    let stage = w.stage_id("pr-1");
    let second = w.write("topic", "README.md", "words");
    w.settle().await;
    assert!(w.headline(pull).contains("unchanged"), "{}", w.comment(pull));
    let built = w.builder.journal();
    w.cloud.ail(&stage, &web(), restarting(w.clock.now(), 2));
    looked_at(&w).await;
    assert!(w.headline(pull).contains("is not well"), "{}", w.comment(pull));
    w.after(2 * 3_600_000).await;
    assert_eq!((w.builder.journal(), w.serving("pr-1", "web")), (built, Some(first)), "nothing of {second}");
}

/// A server at work: its target tells, and nobody rings.
#[tokio::test]
async fn what_a_target_tells_is_shown_without_anybody_asking() {
    let (w, pull, _) = live().await;
    let stop = CancellationToken::new();
    let server = tokio::spawn(w.engine.clone().run(stop.clone()));
    w.cloud.ail(&w.stage_id("pr-1"), &web(), restarting(w.clock.now(), 1));
    let shown = async {
        while !w.headline(pull).contains("is not well") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), shown).await.expect("it is shown");
    stop.cancel();
    server.await.expect("it ends");
}
