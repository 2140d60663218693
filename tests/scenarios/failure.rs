//! What goes wrong, and what people are told.

use greenroom::model::{Chore, Failure, FailureKind, Lane, StageStatus};
use greenroom::port::{Clock, LaneState, Phase};
use greenroom::sandbox::{Fault, FileChange, Matcher, Mishap, Times};
use http::Method;

use crate::world::{CONFIG, World, exited};

#[tokio::test]
async fn a_program_that_ends_fails_the_deploy_with_its_exit_code_and_the_old_version_serves_on() {
    let w = World::new().await;
    let (pull, good) = w.open("topic", "2");
    w.settle().await;
    let broken = w.github.commit(&w.repo, "topic", [FileChange::write("app", "3")], "Break it").expect("a commit");
    w.cloud.mishap(Phase::Start, "web", Some(&broken), Mishap::Fail(exited(3, "no such table: users")));
    w.github.push_to(&w.repo, "topic", &broken).expect("a push");
    w.settle().await;

    assert_eq!(w.serving("pr-1", "web"), Some(good.clone()));
    assert_eq!(
        w.cloud.world(),
        [format!("pr-1/web serves {}", good.short()), format!("pr-1/worker serves {}", good.short())],
        "nothing half made is left beside it"
    );
    let comment = w.comment(pull);
    assert!(w.headline(pull).contains("failed") && w.headline(pull).contains(broken.short()), "{comment}");
    for told in ["exit code 3", "no such table: users", "Mend it and push again", good.short()] {
        assert!(comment.contains(told), "{told:?} is missing from {comment}");
    }
    assert_eq!(w.checks(&broken), ["greenroom / pr-1: failure"]);
    assert_eq!(w.builder.sources(), Vec::<String>::new());

    let mended = w.push("topic", "4");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(mended.clone()));
    assert!(w.headline(pull).contains("live"), "{}", w.headline(pull));
}

#[tokio::test]
async fn a_failing_build_and_a_failing_migration_change_nothing_that_runs() {
    for phase in ["build", "migrate"] {
        let w = World::new().await;
        let (pull, good) = w.open("topic", "2");
        w.settle().await;
        let broken = w.github.commit(&w.repo, "topic", [FileChange::write("app", "3")], "Break it").expect("a commit");
        let failure = Failure { exit_code: Some(1), ..Failure::new(FailureKind::Build, "it went wrong", "Mend it.") };
        match phase {
            "build" => w.builder.mishap("web", Some(&broken), Mishap::Fail(failure)),
            _ => w.cloud.mishap(Phase::Migrate, "web", Some(&broken), Mishap::Fail(failure)),
        }
        w.github.push_to(&w.repo, "topic", &broken).expect("a push");
        w.settle().await;
        assert_eq!(
            (w.serving("pr-1", "web"), w.serving("pr-1", "worker")),
            (Some(good.clone()), Some(good)),
            "{phase}"
        );
        assert!(!w.cloud.journal().iter().any(|line| line == &format!("shift pr-1/web {}", broken.short())), "{phase}");
        assert!(w.comment(pull).contains("it went wrong"), "{phase}: {}", w.comment(pull));
        assert!(matches!(w.stage("pr-1").await.status, StageStatus::Failed { .. }), "{phase}");
    }
}

#[tokio::test]
async fn a_failed_commit_is_not_tried_again_until_somebody_asks() {
    let w = World::new().await;
    w.cloud.mishap(Phase::Start, "web", None, Mishap::Fail(exited(3, "no")));
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    let tried = w.builder.journal().len();
    w.github.label(&w.repo, pull, "help").expect("a label");
    w.settle().await;
    w.after(3 * 3_600_000).await;
    assert_eq!(w.builder.journal().len(), tried, "{:#?}", w.builder.journal());
    w.cloud.mishap(Phase::Start, "web", None, Mishap::Slow(0));
    w.github.close_pull(&w.repo, pull).expect("closed");
    w.github.reopen_pull(&w.repo, pull).expect("opened");
    w.settle().await;
    assert!(w.headline(pull).contains("live"), "{}", w.headline(pull));
}

#[tokio::test]
async fn a_wrong_configuration_is_told_with_line_and_column_and_what_runs_stays() {
    let w = World::new().await;
    let (pull, good) = w.open("topic", "2");
    w.settle().await;
    let wrong = CONFIG.replace("port: 8080", "prot: 8080").replace("kind: ecs\n", "kind: ecs\n    size: { cpu: 7 }\n");
    let sha = w.write("topic", ".github/greenroom.yml", &wrong);
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(good));
    let comment = w.comment(pull);
    for told in ["prot", "port", "cpu", ".github/greenroom.yml:10:11"] {
        assert!(comment.contains(told), "{told:?} is missing from {comment}");
    }
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: failure"]);
    assert_eq!(w.deployments().len(), 1, "nothing was deployed of it");
    assert!(w.deployments()[0].ends_with(": success"), "what runs is still told as running: {:?}", w.deployments());
    let right = w.write("topic", ".github/greenroom.yml", CONFIG);
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(right));
}

#[tokio::test]
async fn github_stumbling_delays_and_the_comment_says_what_it_waits_for() {
    let w = World::new().await;
    w.github.fail(Matcher::any().path("/tarball"), Fault::status(502), Times::Next(3));
    let (pull, sha) = w.open("topic", "2");
    w.github.deliveries_settled().await;
    let mut said = Vec::new();
    for _ in 0..400 {
        if !w.engine.tick().await.expect("the database answers") {
            w.clock.advance(500);
        }
        if let Some(comment) = w.github.comments(&w.repo, pull).first() {
            said.push(comment.body.clone());
        }
    }
    w.settle().await;
    assert!(said.iter().any(|body| body.contains("502")), "nobody was told: {:#?}", said.last());
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
    assert!(!w.comment(pull).contains("502"), "what is over is not told any more: {}", w.comment(pull));
}

#[tokio::test]
async fn github_being_away_for_an_hour_fails_no_deploy() {
    let w = World::new().await;
    w.github.fail(Matcher::any().path("/tarball"), Fault::status(503), Times::Always);
    let (pull, sha) = w.open("topic", "2");
    for _ in 0..60 {
        w.runs(120).await;
    }
    assert!(w.comment(pull).contains("503"), "{}", w.comment(pull));
    w.github.heal();
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn a_limit_that_lasts_for_most_of_an_hour_fails_no_deploy() {
    let w = World::new().await;
    w.github.fail(Matcher::any().path("/tarball"), Fault::secondary_limit(403, 3_000), Times::Next(1));
    let (_, sha) = w.open("topic", "2");
    w.runs(600).await;
    assert_eq!(w.serving("pr-1", "web"), None, "GitHub is left alone");
    w.after(3_000_000).await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
}

/// How many events were given up.
async fn set_aside(w: &World) -> i64 {
    w.store.counts(w.clock.now()).await.expect("the database answers").inbox_poison
}

#[tokio::test]
async fn an_outage_of_github_loses_no_event() {
    let w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    w.github.fail(Matcher::any(), Fault::status(503), Times::Always);
    let (other, sha) = w.open("other", "3");
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.github.deliveries_settled().await;
    let asked = w.says("wes", other, "/status");
    for minute in 0..30 {
        if minute % 10 == 5 {
            // In between it says what nobody knows what to make of.
            w.github.heal();
            w.github.fail(Matcher::any(), Fault::status(418), Times::Next(3));
            w.github.fail(Matcher::any(), Fault::status(503), Times::Always);
        }
        for _ in 0..60 {
            w.runs(2).await;
        }
    }
    assert!(w.answers(other).is_empty(), "GitHub answers nothing: {:?}", w.answers(other));
    w.github.heal();
    w.settle().await;
    assert_eq!(w.serving("pr-2", "web"), Some(sha));
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }));
    assert!(w.answer(other).starts_with("**Answer:** `/status`: pr-2 is "), "{}", w.answer(other));
    assert_eq!(w.reactions(asked), ["+1"]);
    assert_eq!(set_aside(&w).await, 0);
}

#[tokio::test]
async fn an_event_that_cannot_be_handled_is_set_aside_alone() {
    let w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    // An answer that GitHub never gives: nobody knows what to make of it.
    w.github.fail(Matcher::any().path("/permission"), Fault::status(418), Times::Always);
    let (_, before) = w.open("before", "3");
    w.github.deliveries_settled().await;
    let asked = w.says("wes", pull, "/deploy");
    w.github.deliveries_settled().await;
    let (_, after) = w.open("after", "4");
    w.settle().await;
    assert_eq!(w.serving("pr-2", "web"), Some(before));
    assert_eq!(w.serving("pr-3", "web"), Some(after));
    assert_eq!(set_aside(&w).await, 1);
    let answer = w.answer(pull);
    assert!(answer.contains("`/deploy`") && answer.contains("nothing was done"), "{answer}");
    assert_eq!(w.reactions(asked), ["-1"]);
}

#[tokio::test]
async fn throttling_and_lost_answers_double_nothing() {
    let w = World::new().await;
    w.github.fail(Matcher::method(Method::POST).path("/comments"), Fault::LostAnswer { status: 502 }, Times::Next(1));
    w.github.fail(Matcher::method(Method::POST).path("/check-runs"), Fault::LostAnswer { status: 500 }, Times::Next(1));
    w.github.fail(
        Matcher::method(Method::POST).path("/deployments"),
        Fault::LostAnswer { status: 503 },
        Times::Next(2),
    );
    w.github.fail(Matcher::method(Method::PATCH).path("/comments"), Fault::secondary_limit(403, 20), Times::Next(1));
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    assert!(w.headline(pull).contains("live"), "{}", w.headline(pull));
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: success"]);
    assert_eq!(w.deployments(), [format!("pr-1 {}: success", sha.short())]);
}

#[tokio::test]
async fn a_surface_that_github_refuses_fails_no_deploy() {
    for path in ["/check-runs", "/deployments", "/comments"] {
        let w = World::new().await;
        w.github.fail(Matcher::method(Method::POST).path(path), Fault::status(403), Times::Always);
        let (_, sha) = w.open("topic", "2");
        w.settle().await;
        assert_eq!(w.serving("pr-1", "web"), Some(sha), "{path}");
        assert!(matches!(w.stage("pr-1").await.status, StageStatus::Live { .. }), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_removed_is_named_and_tried_again() {
    let w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    w.cloud.refuse_removal("version");
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(w.stage("pr-1").await.status, StageStatus::RemovalBlocked);
    assert!(w.comment(pull).contains("version web/"), "{}", w.comment(pull));
    w.cloud.allow_removal();
    w.after(300_000).await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert!(w.comment(pull).contains("0 of"), "{}", w.comment(pull));
}

#[tokio::test]
async fn while_the_policy_is_broken_nothing_is_deployed_and_what_closes_goes_all_the_same() {
    let w = World::new().await;
    let (pull, good) = w.open("topic", "2");
    w.settle().await;
    w.write("main", ".github/greenroom.yml", "version: 1\napp: shop\nservces: {}\n");
    let head = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(good));
    assert!(w.headline(pull).contains(head.short()), "{}", w.headline(pull));
    assert!(w.comment(pull).contains("servces"), "{}", w.comment(pull));
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert_eq!(w.environments(), Vec::<String>::new());
}

#[tokio::test]
async fn a_removal_that_its_target_refuses_is_told_and_tried_again() {
    const REFUSED: &str = "AWS refused ecr:DescribeRepositories on repository/*";
    for fails_before in [false, true] {
        let w = World::new().await;
        let (pull, good) = w.open("topic", "2");
        w.settle().await;
        if fails_before {
            w.cloud.mishap(Phase::Start, "web", None, Mishap::Fail(exited(3, "no")));
            w.push("topic", "3");
            w.settle().await;
            assert!(w.headline(pull).contains("failed"), "{}", w.headline(pull));
        }
        w.cloud.refuse_looks(Some(REFUSED));
        w.github.close_pull(&w.repo, pull).expect("it closes");
        w.settle().await;
        assert!(matches!(w.stage("pr-1").await.status, StageStatus::Blocked { sha: None, .. }));
        let comment = w.comment(pull);
        assert!(w.headline(pull).contains("could not be removed"), "{comment}");
        for told in ["ecr:DescribeRepositories", "Grant what is missing", "every five minutes", good.short()] {
            assert!(comment.contains(told), "{told} is not in {comment}");
        }
        // Neither the sweep nor another pull request waits for it.
        w.ring(Lane::Chore(Chore::Sweep)).await;
        w.ring(Lane::Chore(Chore::Reconcile)).await;
        w.settle().await;
        for lane in [Lane::Chore(Chore::Sweep), Lane::Repo(w.repo.clone())] {
            let state = w.store.lane_state(&lane, w.clock.now()).await.expect("the database answers");
            assert_eq!(state, LaneState::AtRest, "{lane}");
        }
        w.cloud.refuse_looks(None);
        w.after(300_000).await;
        assert_eq!(w.cloud.world(), Vec::<String>::new());
        assert!(w.comment(pull).contains("0 of "), "{}", w.comment(pull));
    }
}

#[tokio::test]
async fn a_deploy_whose_target_refuses_a_look_is_told_and_goes_on_once_it_may() {
    let w = World::new().await;
    w.cloud.refuse_looks(Some("AWS refused sts:AssumeRole"));
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    assert!(w.headline(pull).contains("failed") && w.headline(pull).contains(sha.short()), "{}", w.comment(pull));
    assert!(w.comment(pull).contains("sts:AssumeRole"), "{}", w.comment(pull));
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: failure"]);
    w.cloud.refuse_looks(None);
    w.after(300_000).await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha.clone()));
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: success"]);

    // What is live and is not to change is not told to have failed because nobody may look for drift.
    w.cloud.refuse_looks(Some("AWS refused sts:AssumeRole"));
    w.after(2 * 3_600_000).await;
    assert!(w.headline(pull).contains("is live"), "{}", w.comment(pull));
    // Nor because somebody changes something that is not its commit.
    w.github.label(&w.repo, pull, "help").expect("a label");
    w.settle().await;
    assert!(w.headline(pull).contains("is live"), "{}", w.comment(pull));
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: success"]);
    assert!(!w.stage("pr-1").await.is_busy());
}

#[tokio::test]
async fn what_could_never_be_deployed_is_closed_without_a_look() {
    let one = CONFIG.replace("max: 20", "max: 1");
    let w = World::with_config(&one).await;
    w.cloud.refuse_looks(Some("AWS refused sts:AssumeRole"));
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Blocked { sha: Some(_), .. }));
    let (next, _) = w.open("other", "3");
    w.settle().await;
    assert!(matches!(w.stage("pr-2").await.status, StageStatus::Full { .. }));
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(w.stage("pr-1").await.status, StageStatus::Gone { removed: 0 });
    assert!(w.headline(pull).contains("is gone"), "{}", w.comment(pull));
    assert!(w.headline(next).contains("failed"), "it has the place now: {}", w.comment(next));
    // Whatever else is done to it.
    w.github.label(&w.repo, pull, "help").expect("a label");
    w.settle().await;
    assert!(w.headline(pull).contains("is gone"), "{}", w.comment(pull));
    assert!(!w.stage("pr-1").await.is_busy());
}
