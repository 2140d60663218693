//! Events in any order: the newest head wins, one deploy is in flight at a time.

use greenroom::model::{Outcome, StageStatus};
use greenroom::port::{Clock as _, Phase};
use greenroom::sandbox::{DeliveryMode, Mishap, Order};

use crate::world::{CONFIG, World};

#[tokio::test]
async fn two_hundred_webhooks_in_random_order_with_duplicates_end_in_one_deploy_of_the_last_head() {
    for seed in 0..3 {
        let w = World::new().await;
        w.cloud.mishap(Phase::Start, "web", None, Mishap::Slow(3));
        let (pull, _) = w.open("topic", "0");
        w.settle().await;
        w.github.set_delivery_mode(DeliveryMode::Hold);
        let mut last = None;
        for index in 0..98 {
            last = Some(w.push("topic", &format!("{seed}.{index}")));
        }
        w.github.label(&w.repo, pull, "one").expect("a label");
        w.github.unlabel(&w.repo, pull, "one").expect("no label");
        w.github.edit_pull(&w.repo, pull, "Another title").expect("a title");
        w.github.release_deliveries(Order::Shuffled(seed));
        w.github.set_delivery_mode(DeliveryMode::Duplicate);
        w.github.edit_pull(&w.repo, pull, "A third title").expect("a title");
        // Ticks while deliveries still come in.
        for _ in 0..40 {
            w.engine.tick().await.expect("the database answers");
            w.clock.advance(100);
        }
        w.settle().await;
        assert!(w.github.deliveries().len() >= 200, "{} deliveries", w.github.deliveries().len());
        assert_eq!(w.serving("pr-1", "web"), last, "seed {seed}");
        assert!(w.headline(pull).contains(last.as_ref().expect("a push").short()), "{}", w.headline(pull));
        let deploys = w.store.deploys(&w.stage_id("pr-1"), 300).await.expect("deploys");
        for pair in deploys.windows(2) {
            let (ended, _) = pair[1].ended.expect("only the newest may run");
            assert!(ended <= pair[0].started_at, "two deploys in flight at once");
        }
        assert_eq!(deploys[0].ended.map(|(_, outcome)| outcome), Some(Outcome::Live));
        w.assert_nothing_doubled("two hundred webhooks");
    }
}

#[tokio::test]
async fn a_newer_push_cuts_into_a_build_and_its_check_is_cancelled() {
    let w = World::new().await;
    let (pull, first) = w.open("topic", "2");
    w.builder.mishap("web", Some(&first), Mishap::Slow(1_000_000));
    w.github.deliveries_settled().await;
    for _ in 0..100 {
        w.engine.tick().await.expect("the database answers");
        w.clock.advance(200);
    }
    assert_eq!(w.checks(&first), ["greenroom / pr-1: in_progress"], "it has been building for a while");
    let second = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(second.clone()));
    assert_eq!(w.checks(&first), ["greenroom / pr-1: cancelled"]);
    assert_eq!(w.checks(&second), ["greenroom / pr-1: success"]);
    assert!(w.headline(pull).contains(second.short()));
    assert_eq!(
        w.deployments(),
        [format!("pr-1 {}: inactive", first.short()), format!("pr-1 {}: success", second.short())]
    );
}

#[tokio::test]
async fn a_migration_is_waited_out_before_a_newer_push_is_deployed() {
    let w = World::new().await;
    let (_, first) = w.open("topic", "2");
    w.cloud.mishap(Phase::Migrate, "web", Some(&first), Mishap::Slow(5));
    w.github.deliveries_settled().await;
    for _ in 0..30 {
        w.engine.tick().await.expect("the database answers");
        w.clock.advance(50);
    }
    let second = w.push("topic", "3");
    w.settle().await;
    let journal = w.cloud.journal();
    let at = |line: String| journal.iter().position(|other| *other == line);
    let migrated = at(format!("migrate pr-1/web {}", first.short()));
    assert!(migrated.is_some() && migrated < at(format!("start pr-1/web {}", second.short())), "{journal:#?}");
    assert!(at(format!("start pr-1/web {}", first.short())).is_none(), "{journal:#?}");
    assert_eq!(w.serving("pr-1", "web"), Some(second));
}

#[tokio::test]
async fn a_label_taken_away_while_the_stage_is_being_made_stops_it() {
    let w = World::with_config(&CONFIG.replace("drafts: skip", "drafts: skip, label: preview")).await;
    let (pull, first) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new(), "it has no label");
    w.builder.mishap("web", Some(&first), Mishap::Slow(1_000_000));
    w.github.label(&w.repo, pull, "preview").expect("a label");
    w.github.deliveries_settled().await;
    for _ in 0..20 {
        w.engine.tick().await.expect("the database answers");
        w.clock.advance(200);
    }
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Deploying { .. }));
    w.github.unlabel(&w.repo, pull, "preview").expect("no label");
    w.settle().await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }));
    assert_eq!((w.cloud.world(), w.builder.sources()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn every_head_is_witnessed_with_its_time_and_the_audit_of_it_all_is_whole() {
    let w = World::new().await;
    w.github.set_delivery_mode(DeliveryMode::Duplicate);
    let (pull, first) = w.open("topic", "2");
    w.settle().await;
    w.github.edit_pull(&w.repo, pull, "Another title").expect("a title");
    w.after(5000).await;
    let between = w.clock.now();
    w.clock.advance(5000);
    let second = w.push("topic", "3");
    w.settle().await;

    let heads = w.store.witnesses(&w.repo, pull, 10).await.expect("witnesses");
    let shas: Vec<_> = heads.iter().map(|head| head.sha.clone()).collect();
    assert_eq!(shas, [second, first], "a new title is no new head");
    assert!(heads[1].at < between && between < heads[0].at, "{heads:?} around {between:?}");
    let verdict = w.store.verify_audit(&w.repo).await.expect("the audit");
    assert_eq!((verdict.before_chain, verdict.first_bad), (0, None));
    assert!(verdict.entries >= 2, "{} entries", verdict.entries);
}
