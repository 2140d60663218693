//! A database of before there were walls: whose the hosts of its stages are is taken down by the first
//! server of now, once, while it works already.

use greenroom::model::{RepoName, StageId, StageStatus};
use greenroom::sandbox::FileChange;

use crate::world::{CONFIG, World};

const HOST: &str = "pr-1.preview.test";

async fn owner(w: &World, host: &str) -> Option<StageId> {
    w.store.host_owner(host).await.expect("the database answers")
}

/// Another repository that asks for the same host as the shop's first pull request.
fn late(w: &World) -> RepoName {
    let files = [FileChange::write(".github/greenroom.yml", CONFIG), FileChange::write("app", "1")];
    let late = w.github.create_repo("acme/late", files).expect("a repository");
    w.github.push(&late, "topic", [FileChange::write("app", "late")], "Too late").expect("a commit");
    w.github.open_pull(&late, "topic", "Too late").expect("a pull request");
    late
}

#[tokio::test]
async fn hosts_of_stages_from_before_there_was_a_wall_are_taken_down() {
    let mut w = World::new().await;
    w.open("topic", "2");
    w.settle().await;
    w.had_no_walls().await;
    assert_eq!(owner(&w, HOST).await, None);
    let before = (w.builder.journal(), w.cloud.journal());
    w.engine.carry_over().await.expect("the database answers");
    w.settle().await;
    assert_eq!(owner(&w, HOST).await, Some(w.stage_id("pr-1")));
    assert_eq!((w.builder.journal(), w.cloud.journal()), before, "nothing is brought on for it");
}

#[tokio::test]
async fn nobody_gets_a_host_of_before_while_it_is_not_taken_down_whose_it_is() {
    let mut w = World::new().await;
    let (_, sha) = w.open("topic", "2");
    w.settle().await;
    w.had_no_walls().await;
    let late = late(&w);
    // Nobody asked for what is to be carried over: whoever needs a host does it first.
    w.settle().await;
    assert_eq!(owner(&w, HOST).await, Some(w.stage_id("pr-1")));
    let other = StageId { repo: late, name: w.stage_id("pr-1").name };
    let record = w.store.stage(&other).await.expect("the database answers").expect("it was asked for");
    assert!(matches!(record.status, StageStatus::Misconfigured { .. }), "{:?}", record.status);
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
}

/// A server that had read the stage before it went would else take its hosts down afterwards, for nobody.
#[tokio::test]
async fn nothing_is_given_back_while_it_is_not_taken_down_whose_it_is() {
    let mut w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    w.had_no_walls().await;
    let later = w.another_engine();
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert!(w.store.are_hosts_carried().await.expect("the database answers"));
    later.carry_over().await.expect("the database answers");
    assert_eq!(owner(&w, HOST).await, None);
}

#[tokio::test]
async fn two_servers_that_start_at_once_end_as_one_would_and_what_goes_later_stays_gone() {
    let mut w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    w.had_no_walls().await;
    let others = [w.another_engine(), w.another_engine()];
    let late = late(&w);
    w.github.deliveries_settled().await;
    let (first, second, third) = tokio::join!(w.engine.carry_over(), others[0].carry_over(), w.engine.tick());
    assert!(first.is_ok() && second.is_ok() && third.is_ok(), "{first:?} {second:?} {third:?}");
    w.settle().await;
    assert_eq!(owner(&w, HOST).await, Some(w.stage_id("pr-1")));

    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(owner(&w, HOST).await, None);
    others[1].carry_over().await.expect("the database answers");
    assert_eq!(owner(&w, HOST).await, None, "a server that starts later finds it done");
    w.github.push(&late, "topic", [FileChange::write("app", "again")], "Once more").expect("a commit");
    w.settle().await;
    assert_eq!(owner(&w, HOST).await.map(|stage| stage.repo), Some(late), "the host is free for the next");
}

/// Without walls two stages could serve at one host: whoever came first has it, however often it was deployed
/// since.
#[tokio::test]
async fn who_served_at_a_host_first_has_it() {
    let mut w = World::new().await;
    w.open("topic", "2");
    w.settle().await;
    let shop = w.stage_id("pr-1");
    let release = async |stage: &StageId| w.store.keep_hosts(stage, &[]).await.expect("the database answers");
    release(&shop).await;
    let other = StageId { repo: late(&w), name: shop.name.clone() };
    w.settle().await;
    let record = w.store.stage(&other).await.expect("the database answers").expect("it was asked for");
    assert!(matches!(record.status, StageStatus::Live { .. }), "{:?}", record.status);
    release(&other).await;
    for content in ["3", "4"] {
        w.push("topic", content);
        w.settle().await;
    }
    w.had_no_walls().await;
    w.engine.carry_over().await.expect("the database answers");
    assert_eq!(owner(&w, HOST).await, Some(shop));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_stage_from_its_hosts_but_its_own() {
    let mut w = World::new().await;
    for (branch, content) in [("one", "2"), ("two", "3"), ("three", "4")] {
        w.open(branch, content);
    }
    w.settle().await;
    w.had_no_walls().await;
    w.by_hand(
        "UPDATE stage SET status = '{' WHERE name = 'pr-1'; UPDATE deploy SET plan = '{' WHERE stage LIKE '%/pr-2'; \
         UPDATE release SET content = '{' WHERE stage LIKE '%/pr-3'",
    )
    .await;
    w.engine.carry_over().await.expect("it goes on without what cannot be read");
    assert_eq!(owner(&w, HOST).await, Some(w.stage_id("pr-1")), "what it deployed says what it has");
    assert_eq!(owner(&w, "pr-2.preview.test").await, None);
    assert_eq!(owner(&w, "pr-3.preview.test").await, Some(w.stage_id("pr-3")), "by what was asked for last");
}
