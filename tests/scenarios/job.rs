//! The engine on the token of a job: the same stages, without an App.

use greenroom::model::{Chore, Lane, Permission, StageId, StageStatus};
use greenroom::port::{Clock as _, LaneState};
use greenroom::sandbox::JobOf;

use crate::world::World;

const BOT: &str = "github-actions[bot]";

async fn as_a_job(of: JobOf) -> World {
    let mut w = World::new().await;
    w.runs_as_a_job(of);
    w.github.forget_requests();
    w
}

/// What takes an App was never asked.
fn assert_no_app(w: &World) {
    let asked = w.github.requests();
    let mut of_apps = asked.iter().filter(|one| one.path.starts_with("/app") || one.path.ends_with("/installation"));
    assert!(of_apps.next().is_none() && !asked.is_empty(), "{asked:#?}");
}

/// Requests that were refused, as `METHOD /path`.
fn refused(w: &World) -> Vec<String> {
    let refused = w.github.requests().into_iter().filter(|one| one.status == 403);
    refused.map(|one| format!("{} {}", one.method, one.path)).collect()
}

fn authors(w: &World, pull: greenroom::model::PullNumber) -> Vec<String> {
    w.github.comments(&w.repo, pull).iter().map(|one| one.author.login.clone()).collect()
}

#[tokio::test]
async fn a_pull_request_is_live_is_told_and_goes_and_the_environment_stays_inactive() {
    let w = as_a_job(JobOf::Repository).await;
    let (pull, first) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(first.clone()));
    assert!(w.headline(pull).contains("live"), "{}", w.headline(pull));
    assert_eq!(w.checks(&first), ["greenroom / pr-1: success"]);
    assert_eq!(w.deployments(), [format!("pr-1 {}: success", first.short())]);

    let second = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(second.clone()));
    assert!(w.comment(pull).contains(second.short()), "{}", w.comment(pull));

    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }));
    assert!(w.headline(pull).contains("is gone"), "{}", w.headline(pull));
    assert!(w.deployments().iter().all(|line| line.ends_with("inactive")), "{:?}", w.deployments());
    assert_eq!(w.environments(), ["pr-1"], "GitHub lets no job delete it");
    assert_eq!(refused(&w), ["DELETE /repos/acme/shop/environments/pr-1"], "once, and nothing else is");
    assert_eq!(authors(&w, pull), [BOT]);
    assert_no_app(&w);
    w.assert_nothing_doubled("a job");
}

#[tokio::test]
async fn commands_are_heard_and_what_workflows_write_is_not() {
    let w = as_a_job(JobOf::Repository).await;
    w.github.set_permission(&w.repo, "wes", Permission::Write);
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    w.hears(BOT, pull, "/destroy").await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha), "whoever's workflow said it");
    assert_eq!(w.answers(pull), Vec::<String>::new());
    let comment = w.hears("wes", pull, "/destroy").await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert_eq!(w.answers(pull).len(), 1);
    assert!(!w.reactions(comment).is_empty());
    assert_no_app(&w);
}

#[tokio::test]
async fn a_token_that_only_reads_writes_nothing_and_fails_nothing() {
    let w = as_a_job(JobOf::Fork).await;
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha.clone()));
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Live { .. }));
    assert!(w.github.comments(&w.repo, pull).is_empty() && w.checks(&sha).is_empty() && w.deployments().is_empty());
    let tried = refused(&w);
    assert!(!tried.is_empty());
    w.after(1_800_000).await;
    assert_eq!(refused(&w), tried, "what was refused is left alone for an hour");
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert_no_app(&w);
}

#[tokio::test]
async fn nobody_elses_comment_becomes_ours_by_its_words() {
    let w = as_a_job(JobOf::Repository).await;
    let (pull, _) = w.open("topic", "2");
    let mine = "<!-- greenroom:pr-1 {} -->\nmine";
    for who in ["mallory", "other[bot]", "github-actions"] {
        w.says(who, pull, mine);
    }
    w.settle().await;
    let said = w.github.comments(&w.repo, pull);
    assert!(said[..3].iter().all(|one| one.body == mine && one.edits == 0), "{said:#?}");
    assert_eq!((said.len(), said[3].author.login.as_str()), (4, BOT));
}

#[tokio::test]
async fn a_stage_goes_from_the_server_to_a_job_and_back_and_no_step_is_done() {
    let mut w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    let (made, authors_before) = (w.cloud.journal(), authors(&w, pull));
    for round in 0..2 {
        if round == 0 {
            w.runs_as_a_job(JobOf::Repository);
        } else {
            w.runs_as_the_app();
        }
        w.ring(Lane::Chore(Chore::Reconcile)).await;
        w.settle().await;
        assert_eq!(w.cloud.journal(), made, "round {round}");
        assert_eq!(authors(&w, pull), authors_before);
    }
    w.runs_as_a_job(JobOf::Repository);
    let second = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(second.clone()));
    assert!(w.comment(pull).contains(second.short()), "the one comment goes on");
    w.runs_as_the_app();
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!((w.cloud.world(), w.environments()), (Vec::new(), Vec::new()));
    assert_eq!(authors(&w, pull), authors_before);
}

#[tokio::test]
async fn duties_that_want_an_app_rest_and_the_others_go_on() {
    let w = as_a_job(JobOf::Repository).await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    w.github.set_delivery_mode(greenroom::sandbox::DeliveryMode::Drop);
    w.github.close_pull(&w.repo, pull).expect("it closes");
    for chore in Chore::ALL {
        w.ring(Lane::Chore(chore)).await;
    }
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new(), "the closing was seen by looking");
    for chore in Chore::ALL {
        let state = w.store.lane_state(&Lane::Chore(chore), w.clock.now()).await.expect("the database answers");
        assert_eq!(state, LaneState::AtRest, "{chore:?}");
    }
    let asked = w.github.requests().len();
    w.after(600_000).await;
    assert!(w.github.requests().len() < asked + 20, "nothing spins");
    assert_no_app(&w);
}

#[tokio::test]
async fn the_sweep_of_a_job_leaves_other_repositories_alone() {
    let w = as_a_job(JobOf::Repository).await;
    w.github.set_delivery_mode(greenroom::sandbox::DeliveryMode::Drop);
    let (pull, _) = w.open("topic", "2");
    w.github.close_pull(&w.repo, pull).expect("it closes");
    let theirs = StageId { repo: "acme/other".parse().expect("a name"), name: "pr-1".parse().expect("a name") };
    for stage in [&w.stage_id("pr-1"), &theirs] {
        w.cloud.haunt(stage, &"web".parse().expect("a name"));
    }
    let rows = w.engine.sweep_report().await.expect("a report").rows;
    let told: Vec<String> = rows.iter().map(|row| format!("{}: {}", row.stage, row.why)).collect();
    let expected = [
        "acme/other/pr-1: GitHub tells nothing about acme/other: our token is not for it, a run of its own workflow \
         looks after it",
        "acme/shop/pr-1: its pull request is closed",
    ];
    assert_eq!(told, expected);
    w.ring(Lane::Chore(Chore::Sweep)).await;
    w.settle().await;
    assert_eq!(w.cloud.world().len(), 1, "{:?}", w.cloud.world());
    let elsewhere = w.github.requests().iter().filter(|one| one.path.contains("other")).count();
    assert_eq!(elsewhere, 0, "of another repository nothing is asked");
    assert_no_app(&w);
}

#[tokio::test]
async fn a_token_that_is_over_is_not_tried_again_and_again() {
    let mut w = World::new().await;
    let token = w.runs_as_a_job(JobOf::Repository);
    w.github.end_job(&token);
    w.github.forget_requests();
    w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    let asked = w.github.requests().len();
    assert!((1..=40).contains(&asked), "{asked} requests");
    assert!(w.github.requests().iter().all(|one| one.status == 401));
    w.runs_as_a_job(JobOf::Repository);
    let sha = w.push("topic", "3");
    w.after(600_000).await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha), "the next job goes on");
}
