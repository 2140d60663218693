//! What exists although nobody knows it: it goes when GitHub says that it may, and not before.

use greenroom::engine::{Fate, SweepReport};
use greenroom::model::{
    Chore, DeliveryId, Event, GoneReason, Lane, Place, PullNumber, StageId, StageKind, StageStatus, Target,
};
use greenroom::port::{Clock as _, InboxContent, NewDelivery};
use greenroom::sandbox::{DeliveryMode, Fault, Matcher, Times};

use crate::world::World;

/// A world where a pull request was opened and something of its stage exists, and nobody told us.
async fn with_a_lost_stage() -> (World, PullNumber) {
    let w = World::new().await;
    w.github.set_delivery_mode(DeliveryMode::Drop);
    let (pull, _) = w.open("topic", "2");
    haunt(&w, &w.stage_id("pr-1"));
    (w, pull)
}

fn haunt(w: &World, stage: &StageId) {
    w.cloud.haunt(stage, &"web".parse().expect("a name"));
}

fn lasting() -> Place {
    Place { kind: StageKind::Permanent, ..Place::default() }
}

/// So many activations, a second apart, whether or not everything is done by then.
async fn turn(w: &World, times: usize) {
    for _ in 0..times {
        w.engine.tick().await.expect("the database answers");
        w.clock.advance(1_000);
    }
}

async fn sweep(w: &World) {
    w.ring(Lane::Chore(Chore::Sweep)).await;
    w.settle().await;
}

async fn report(w: &World) -> SweepReport {
    w.engine.sweep_report().await.expect("a report")
}

/// `pr-1: removed, 1 left, its pull request is closed`
async fn told(w: &World) -> Vec<String> {
    let fate = |fate| match fate {
        Fate::Removed => "removed",
        Fate::Followed => "followed",
        Fate::Kept => "kept",
    };
    let rows = report(w).await.rows;
    rows.iter().map(|row| format!("{}: {}, {} left, {}", row.stage, fate(row.fate), row.left.len(), row.why)).collect()
}

#[tokio::test]
async fn a_lost_stage_of_a_closed_pull_request_goes() {
    let (w, pull) = with_a_lost_stage().await;
    w.github.close_pull(&w.repo, pull).expect("it closes");
    assert_eq!(told(&w).await, ["acme/shop/pr-1: removed, 1 left, its pull request is closed"]);
    assert_eq!(w.cloud.world().len(), 1, "a report changes nothing");
    assert_eq!(w.store.stages(None).await.expect("the database answers"), []);
    sweep(&w).await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { removed: 1 }));
    assert_eq!(report(&w).await, SweepReport { existing: 0, rows: Vec::new() });
}

#[tokio::test]
async fn a_lost_stage_of_an_open_pull_request_is_followed_again() {
    let (w, _) = with_a_lost_stage().await;
    assert_eq!(told(&w).await, ["acme/shop/pr-1: followed, 1 left, its pull request is open"]);
    sweep(&w).await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Live { .. }));
    assert_eq!(report(&w).await.rows, []);
}

#[tokio::test]
async fn what_came_back_is_named_and_goes() {
    let w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    haunt(&w, &w.stage_id("pr-1"));
    let expected = "acme/shop/pr-1: removed, 1 left, it was removed, and this is there all the same";
    assert_eq!(told(&w).await, [expected]);
    sweep(&w).await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
}

#[tokio::test]
async fn without_an_answer_of_github_a_lost_stage_stays() {
    for path in ["/pulls", "/installation"] {
        let (w, pull) = with_a_lost_stage().await;
        w.github.close_pull(&w.repo, pull).expect("it closes");
        for status in [404, 403, 500] {
            w.github.fail(Matcher::any().path(path), Fault::status(status), Times::Always);
            w.ring(Lane::Chore(Chore::Sweep)).await;
            turn(&w, 100).await;
            if let Ok(report) = w.engine.sweep_report().await {
                assert!(report.rows.iter().all(|row| row.fate == Fate::Kept), "{path} {status}: {report:?}");
            }
            assert_eq!(w.cloud.world().len(), 1, "{path} {status}");
            w.github.heal();
        }
        sweep(&w).await;
        assert_eq!(w.cloud.world(), Vec::<String>::new(), "{path}");
    }
}

#[tokio::test]
async fn a_stage_of_a_repository_without_the_app_stays() {
    let (w, pull) = with_a_lost_stage().await;
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.github.uninstall(&w.repo).expect("it is uninstalled");
    let expected =
        "acme/shop/pr-1: kept, 1 left, GitHub tells nothing about acme/shop: install the GitHub App there again";
    assert_eq!(told(&w).await, [expected]);
    sweep(&w).await;
    assert_eq!(w.cloud.world().len(), 1);
    assert_eq!(w.store.stages(None).await.expect("the database answers"), []);
    w.github.install(&w.repo).expect("it is installed");
    sweep(&w).await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
}

#[tokio::test]
async fn without_the_app_a_stage_goes_by_a_wish_and_when_its_time_is_over() {
    let w = World::new().await;
    w.open("one", "2");
    let (_, second) = w.open("two", "3");
    w.settle().await;
    w.github.uninstall(&w.repo).expect("it is uninstalled");
    ask_to_remove(&w, "pr-1").await;
    w.settle().await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }));
    assert_eq!(w.serving("pr-1", "web"), None);
    w.after(6 * 86_400_000).await;
    assert_eq!(w.serving("pr-2", "web"), Some(second), "its time is not over");
    w.after(2 * 86_400_000).await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
}

#[tokio::test]
async fn a_permanent_stage_is_never_swept_and_goes_only_by_a_wish() {
    let (w, pull) = with_a_lost_stage().await;
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.cloud.settle_at(&w.stage_id("pr-1"), lasting());
    haunt(&w, &w.stage_id("old"));
    w.cloud.settle_at(&w.stage_id("old"), lasting());
    haunt(&w, &w.stage_id("feature-x"));
    let said = told(&w).await;
    assert_eq!(said.len(), 3);
    assert!(
        said.iter().all(|line| line.contains(": kept, 1 left, ") && line.contains("greenroom destroy")),
        "{said:?}"
    );
    sweep(&w).await;
    assert_eq!(w.cloud.world().len(), 3);
    for name in ["old", "feature-x"] {
        ask_to_remove(&w, name).await;
        w.settle().await;
        assert!(matches!(w.stage(name).await.status, StageStatus::Gone { removed: 1 }), "{name}");
    }
    assert_eq!(w.cloud.world().len(), 1);
    ask_to_remove(&w, "typo").await;
    w.settle().await;
    assert_eq!(w.store.stage(&w.stage_id("typo")).await.expect("the database answers"), None);
}

/// What `greenroom destroy NAME --yes` puts into the inbox.
async fn ask_to_remove(w: &World, name: &str) {
    let stage = w.stage_id(name);
    let target = Target::Gone(GoneReason::Requested);
    let event = Event::Requested { repo: stage.repo.clone(), stage: stage.name, target };
    let mut body_hash = [0; 32];
    body_hash[..name.len()].copy_from_slice(name.as_bytes());
    let delivery = NewDelivery {
        id: DeliveryId::new(format!("cli-{name}")).expect("an id"),
        body_hash,
        lane: Lane::Repo(stage.repo),
        content: InboxContent::Event(Box::new(event)),
        at: w.clock.now(),
    };
    w.store.receive(delivery).await.expect("the database answers");
}

#[tokio::test]
async fn images_that_no_release_names_go_with_the_sweep() {
    let w = World::new().await;
    w.open("topic", "2");
    w.settle().await;
    let stage = w.stage_id("pr-1");
    let releases = w.store.releases(&stage, 1).await.expect("the database answers");
    let used: Vec<String> = releases[0].artifacts.values().map(|artifact| artifact.digest.clone()).collect();
    assert!(!used.is_empty());
    for digest in used.iter().map(String::as_str).chain(["sha256:unused"]) {
        w.cloud.pile_up(&stage, digest);
    }
    // While a deploy is under way nothing is cleared: it may be about to use what no release names yet.
    w.cloud.mishap(greenroom::port::Phase::Start, "web", None, greenroom::sandbox::Mishap::Slow(400));
    w.push("topic", "3");
    w.github.deliveries_settled().await;
    turn(&w, 60).await;
    w.ring(Lane::Chore(Chore::Sweep)).await;
    turn(&w, 60).await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Deploying { .. }));
    assert!(w.cloud.images(&stage).contains(&"sha256:unused".to_owned()));
    w.settle().await;
    sweep(&w).await;
    // A preview can be led back by a release or two.
    let releases = w.store.releases(&stage, 3).await.expect("the database answers");
    let used: Vec<&String> =
        releases.iter().flat_map(|release| release.artifacts.values()).map(|artifact| &artifact.digest).collect();
    let left = w.cloud.images(&stage);
    assert!(left.iter().all(|digest| used.contains(&digest)), "{left:?}");
}
