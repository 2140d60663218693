//! Repositories that get another name or another owner, or are deleted: what they have goes along with them,
//! on both databases and whenever the process dies.

use std::collections::BTreeSet;

use greenroom::model::{CommitSha, PullNumber, RepoName, ServiceName, StageId, StageStatus};
use greenroom::sandbox::{DeliveryMode, Fault, Matcher, Times};

use crate::depth::Depth;
use crate::fuse::{Fuse, Point};
use crate::world::{CONFIG, Database, World};

/// What a stage answers from, whatever its repository is called now.
fn serving(w: &World, stage: &StageId) -> Option<CommitSha> {
    w.cloud.serving(stage, &ServiceName::new("web").expect("a name"))
}

async fn status(w: &World, stage: &StageId) -> StageStatus {
    w.store.stage(stage).await.expect("the database answers").expect("a stage").status
}

async fn name_of(w: &World, key: &RepoName) -> Option<String> {
    w.store.known(key).await.expect("the database answers").expect("known").name.map(String::from)
}

/// The next push is deployed, told in the comment that was there, and goes when its pull request does.
async fn goes_on_where_it_was(w: &World, stage: &StageId, pull: PullNumber) {
    let next = w.push("topic", "next");
    w.settle().await;
    assert_eq!(serving(w, stage), Some(next.clone()));
    assert!(
        w.headline(pull).contains("pr-1 is live") && w.headline(pull).contains(next.short()),
        "{}",
        w.comment(pull)
    );
    assert_eq!(w.checks(&next), ["greenroom / pr-1: success"]);
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(serving(w, stage), None);
    assert!(matches!(status(w, stage).await, StageStatus::Gone { removed } if removed > 0));
    assert!(w.comment(pull).contains("0 of "), "{}", w.comment(pull));
    assert_eq!(w.environments(), Vec::<String>::new());
}

#[tokio::test]
async fn a_new_name_is_found_by_what_github_sends_on() {
    for (database, name) in [(Database::Sqlite, "acme/shop"), (Database::postgres().await, "acme/sent-on")] {
        let mut w = World::on(&database, name, CONFIG).await;
        let (pull, _) = w.open("topic", "2");
        w.settle().await;
        let stage = w.stage_id("pr-1");
        w.repo = w.github.rename_repo(&w.repo, &format!("{name}-store")).expect("it is renamed");
        // Nobody tells, and a timer asks under the name of before.
        w.ring(greenroom::model::Lane::Stage(stage.clone())).await;
        w.settle().await;
        assert_eq!(name_of(&w, &stage.repo).await, Some(format!("{name}-store")), "GitHub sends reads on");
        goes_on_where_it_was(&w, &stage, pull).await;
    }
}

#[tokio::test]
async fn what_is_written_under_the_name_of_before_arrives() {
    let mut w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    let stage = w.stage_id("pr-1");
    // The name changes between the ruling and what is said of it.
    w.github.fail(Matcher::any().path("/comments"), Fault::status(502), Times::Always);
    w.push("topic", "3");
    w.runs(60).await;
    w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
    w.github.heal();
    w.settle().await;
    assert!(w.headline(pull).contains("is live"), "{}", w.comment(pull));
    goes_on_where_it_was(&w, &stage, pull).await;
}

#[tokio::test]
async fn what_is_written_under_the_name_of_another_owner_is_written_again_at_once() {
    let mut w = World::new().await;
    w.serves("acme/*,beta/*", "");
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    let stage = w.stage_id("pr-1");
    w.github.fail(Matcher::any().path("/comments"), Fault::status(502), Times::Always);
    let next = w.push("topic", "3");
    w.runs(60).await;
    // Unlike a new name, this one ends the tokens of before, and nobody tells of it.
    w.repo = w.github.transfer_repo(&w.repo, "beta").expect("it is handed on");
    w.github.heal();
    w.settle().await;
    assert!(w.headline(pull).contains("is live") && w.headline(pull).contains(next.short()), "{}", w.comment(pull));
    goes_on_where_it_was(&w, &stage, pull).await;
}

#[tokio::test]
async fn an_event_tells_the_new_name_and_a_look_follows() {
    let mut w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    let stage = w.stage_id("pr-1");
    w.github.set_delivery_mode(DeliveryMode::Drop);
    let missed = w.push("topic", "3");
    w.github.set_delivery_mode(DeliveryMode::Send);
    let before = w.repo.clone();
    w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
    w.github.tell_of_repo(&w.repo, "renamed", Some(&before));
    w.settle().await;
    assert_eq!(name_of(&w, &stage.repo).await.as_deref(), Some("acme/store"));
    assert_eq!(serving(&w, &stage), Some(missed), "what was missed is seen by the look");
    for action in ["archived", "unarchived", "publicized", "privatized"] {
        w.github.tell_of_repo(&w.repo, action, None);
    }
    w.settle().await;
    goes_on_where_it_was(&w, &stage, pull).await;
}

#[tokio::test]
async fn who_is_handed_a_repository_has_its_stages_where_both_are_served() {
    for (database, name) in [(Database::Sqlite, "acme/shop"), (Database::postgres().await, "acme/handed")] {
        let mut w = World::on(&database, name, CONFIG).await;
        w.serves("acme/*,beta/*", "");
        let (pull, first) = w.open("topic", "2");
        w.settle().await;
        let (stage, before) = (w.stage_id("pr-1"), w.repo.clone());
        w.repo = w.github.transfer_repo(&w.repo, "beta").expect("it is handed on");
        w.github.tell_of_repo(&w.repo, "transferred", Some(&before));
        w.settle().await;
        assert_eq!(name_of(&w, &stage.repo).await, Some(w.repo.to_string()));
        assert_eq!(serving(&w, &stage), Some(first));
        goes_on_where_it_was(&w, &stage, pull).await;
    }
}

#[tokio::test]
async fn who_is_handed_a_repository_without_a_word_is_found_by_looking() {
    let mut w = World::new().await;
    w.push("side", "1");
    w.settle().await;
    let stage = w.stage_id("pr-1");
    w.serves("beta/*", "");
    w.github.set_delivery_mode(DeliveryMode::Drop);
    w.repo = w.github.transfer_repo(&w.repo, "beta").expect("it is handed on");
    let (_, sha) = w.open("topic", "2");
    w.github.set_delivery_mode(DeliveryMode::Send);
    w.ring(greenroom::model::Lane::Chore(greenroom::model::Chore::Reconcile)).await;
    w.settle().await;
    assert_eq!(serving(&w, &stage), Some(sha), "its key says nothing of whose it is");
}

#[tokio::test]
async fn who_is_handed_a_repository_and_is_not_served_gets_nothing_new_of_it() {
    let mut w = World::new().await;
    let (pull, first) = w.open("topic", "2");
    w.settle().await;
    let stage = w.stage_id("pr-1");
    w.repo = w.github.transfer_repo(&w.repo, "beta").expect("it is handed on");
    w.push("topic", "3");
    w.settle().await;
    assert_eq!(serving(&w, &stage), Some(first), "what runs runs on");
    assert!(w.answer(pull).contains("GREENROOM"), "{:?}", w.answers(pull));
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(serving(&w, &stage), None, "and goes with its pull request");
}

#[tokio::test]
async fn previews_of_a_deleted_repository_go_and_what_is_permanent_stays() {
    let w = World::new().await;
    w.open("topic", "2");
    let main = w.push("main", "5");
    w.settle().await;
    let (preview, prod) = (w.stage_id("pr-1"), w.stage_id("prod"));
    // Somebody says so, and it is not true.
    w.github.tell_of_repo(&w.repo, "deleted", None);
    w.settle().await;
    assert!(serving(&w, &preview).is_some(), "GitHub still knows it");

    w.github.tell_of_repo(&w.repo, "deleted", None);
    w.github.delete_repo(&w.repo).expect("it is deleted");
    w.settle().await;
    assert_eq!((serving(&w, &preview), serving(&w, &prod)), (None, Some(main)));
    assert!(matches!(status(&w, &preview).await, StageStatus::Gone { .. }));
}

/// Nobody tells another name of it, because there is none.
#[tokio::test]
async fn previews_of_a_deleted_repository_go_although_its_name_is_anothers_by_then() {
    let w = World::new().await;
    w.open("topic", "2");
    w.settle().await;
    let preview = w.stage_id("pr-1");
    w.github.tell_of_repo(&w.repo, "deleted", None);
    w.github.deliveries_settled().await;
    w.github.delete_repo(&w.repo).expect("it is deleted");
    let newcomer = crate::other::Other::made(&w, w.repo.as_str(), CONFIG);
    newcomer.open(&w, "its own");
    w.settle().await;
    assert_eq!(name_of(&w, &preview.repo).await, None, "another has it");
    w.after(320_000).await;
    assert_eq!(serving(&w, &preview), None);
    assert!(matches!(status(&w, &preview).await, StageStatus::Gone { .. }));
}

/// The process is killed at so many points of a story in which the repository gets another name, another
/// owner and another name again, and its earlier name is somebody else's in the end.
#[tokio::test]
async fn whenever_the_process_dies_meanwhile_all_goes_along() {
    let points: Vec<usize> = (2..60).step_by(3).collect();
    let postgres = Database::postgres().await;
    for at in Depth::of_this_run().of("a process dies while its repository moves", &points) {
        for database in [Database::Sqlite, postgres.clone()] {
            let w = World::on(&database, &format!("acme/moved-{at}"), CONFIG).await;
            all_goes_along(w, at).await;
        }
    }
}

async fn all_goes_along(mut w: World, at: usize) {
    // Accounts of scenarios that share a database must not be taken for each other.
    let heir = format!("beta-{at}");
    w.serves(&format!("acme/*,{heir}/*"), "");
    let (key, stage) = (w.repo.clone(), w.stage_id("pr-1"));
    let (pull, _) = w.open("topic", "2");
    let mut points = BTreeSet::new();
    for round in 0..3 {
        let fuse = Fuse::new(at, Point::After);
        w.burn(&fuse);
        w.github.deliveries_settled().await;
        // What is short of the point ends by itself.
        for _ in 0..400 {
            if fuse.is_blown() {
                break;
            }
            if !matches!(w.engine.tick().await, Ok(true)) {
                w.clock.advance(1_000);
            }
        }
        points.insert(fuse.seen());
        let before = w.repo.clone();
        w.repo = match round {
            0 => w.github.rename_repo(&w.repo, &format!("{key}-store")).expect("it is renamed"),
            1 => w.github.transfer_repo(&w.repo, &heir).expect("it is handed on"),
            _ => w.github.rename_repo(&w.repo, &format!("{heir}/shop-{at}")).expect("it is renamed"),
        };
        // Now and then nobody tells.
        if round != 0 {
            w.github.tell_of_repo(&w.repo, if round == 1 { "transferred" } else { "renamed" }, Some(&before));
        }
        w.push("topic", &format!("round {round}"));
        w.restart();
        // The dead one's lease runs out.
        w.clock.advance(61_000);
    }
    w.settle().await;
    assert!(points.iter().any(|seen| *seen >= at.min(20)), "the process died: {points:?}");
    let newcomer = crate::other::Other::made(&w, key.as_str(), CONFIG);
    newcomer.open(&w, "its own");
    w.settle().await;
    assert_eq!(
        w.cloud.serving(&stage, &"web".parse().expect("a name")),
        w.github.branch_head(&w.repo, "topic"),
        "dead after {at}"
    );
    goes_on_where_it_was(&w, &stage, pull).await;
}
