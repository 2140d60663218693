//! Names that change hands: a repository is renamed, and another one takes the name that it had.

use std::sync::Arc;

use greenroom::model::{Lane, PullNumber, RepoName, ServiceName, StageStatus};
use greenroom::sandbox::{DeliveryMode, Fault, FileChange, Matcher, Order, Times, Visibility};

use crate::depth::Depth;
use crate::fuse::Fuse;
use crate::other::{Other, config, token};
use crate::world::{CONFIG, World};

#[tokio::test]
async fn who_takes_a_name_inherits_nothing_and_who_gave_it_away_loses_nothing() {
    let mut w = World::with_config(&config(None)).await;
    let (pull, first) = w.open("topic", "2");
    w.settle().await;
    let (shop, own_token) = (w.stage_id("pr-1"), token(&w, &w.stage_id("pr-1")).await);
    w.serves("acme/shop", "preview.test=acme/shop");

    w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
    let mut thief = Other::made(&w, "acme/shop", &config(None));
    let (stolen, _) = thief.open(&w, "evil");
    w.settle().await;
    w.github.comment(&thief.name, stolen, "octocat", "/destroy").expect("a comment");
    w.settle().await;
    assert_eq!(w.cloud.serving(&shop, &ServiceName::new("web").expect("a name")), Some(first.clone()));
    let key = thief.told_key(&w, stolen);
    assert!(key.starts_with("acme.") && key.ends_with("/shop"), "{key}");

    // Served by its own name, it still has neither zone, host, secret nor stage of the first.
    thief.key = key.parse().expect("a name");
    w.serves(&format!("acme/shop,{key}"), "");
    let second = w.push("topic", "3");
    thief.push(&w, "worse");
    w.settle().await;
    let serving = |w: &World| w.cloud.serving(&shop, &ServiceName::new("web").expect("a name"));
    assert_eq!(serving(&w), Some(second.clone()), "the first goes on under its new name");
    assert!(w.raw_comment(pull).contains("pr-1 is live"), "{}", w.raw_comment(pull));
    assert_eq!(thief.serving(&w, "pr-1"), None);
    assert!(matches!(thief.status(&w, "pr-1").await, Some(StageStatus::Misconfigured { .. })));

    w.github
        .push(&thief.name, "main", [FileChange::write(".github/greenroom.yml", config(Some("own.test")))], "A zone")
        .expect("a commit");
    let own = w.github.push(
        &thief.name,
        "topic",
        [FileChange::write(".github/greenroom.yml", config(Some("own.test")))],
        "A zone",
    );
    w.settle().await;
    assert_eq!(thief.serving(&w, "pr-1"), own.ok(), "{:#?}", thief.read(&w, stolen));
    let its_token = token(&w, &thief.stage("pr-1")).await;
    assert_eq!(token(&w, &shop).await, own_token, "the secret goes by the number");
    assert!(its_token != own_token && its_token.ends_with("_TOKEN"), "{its_token} {own_token}");

    w.github.close_pull(&thief.name, stolen).expect("it closes");
    w.settle().await;
    assert_eq!((thief.serving(&w, "pr-1"), serving(&w)), (None, Some(second)));
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(serving(&w), None);
}

/// What was kept under a name speaks for the repository that had it then.
#[tokio::test]
async fn whoever_takes_a_name_is_answered_at_once_by_what_is_true_of_itself() {
    for visibility in [Visibility::Private, Visibility::Public] {
        let mut w = World::new().await;
        let (_, first) = w.open("topic", "2");
        w.settle().await;
        let shop = w.stage_id("pr-1");
        w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
        let mut newcomer = Other::made(&w, "acme/shop", &config(Some("own.test")));
        w.github.set_visibility(&newcomer.name, visibility).expect("it is there");
        let (pull, _) = newcomer.open(&w, "its own");
        w.settle().await;
        let key = newcomer.told_key(&w, pull);
        newcomer.key = key.parse().expect("a name");
        w.serves(&format!("acme/*,{key}"), "");
        let own = newcomer.push(&w, "its next");
        w.settle().await;
        assert_eq!(newcomer.serving(&w, "pr-1"), Some(own), "{visibility:?}: {:#?}", newcomer.read(&w, pull));
        let said = newcomer.read(&w, pull).join("\n");
        assert!(said.contains("pr-1 is live"), "{visibility:?}: {said}");
        assert_eq!(w.cloud.serving(&shop, &ServiceName::new("web").expect("a name")), Some(first));
    }
}

#[tokio::test]
async fn who_gets_its_own_name_back_goes_on_under_it() {
    let mut w = World::new().await;
    w.open("topic", "2");
    w.settle().await;
    let away = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
    let newcomer = Other::made(&w, "acme/shop", CONFIG);
    newcomer.open(&w, "its own");
    w.settle().await;
    let known = w.store.known(&w.repo).await.expect("the database answers").expect("known");
    assert_eq!((known.name, known.rumour), (None, None), "another one has it, and nobody told the new one");
    w.github.delete_repo(&newcomer.name).expect("it goes");
    w.repo = w.github.rename_repo(&away, "acme/shop").expect("it is renamed");
    let next = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(next));
}

#[tokio::test]
async fn a_delivery_from_before_a_rename_gives_the_name_back_to_nobody() {
    let mut w = World::with_config(&config(None)).await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    let shop = w.stage_id("pr-1");
    w.github.set_delivery_mode(DeliveryMode::Hold);
    w.says("octocat", pull, "Sent before the rename, and late.");
    w.github.set_delivery_mode(DeliveryMode::Send);
    w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
    let mut newcomer = Other::made(&w, "acme/shop", &config(Some("own.test")));
    let (its_pull, _) = newcomer.open(&w, "its own");
    w.settle().await;
    let key = newcomer.told_key(&w, its_pull);
    newcomer.key = key.parse().expect("a name");
    w.serves(&format!("acme/shop,{key}"), "");
    let (sha, its_sha) = (w.push("topic", "3"), newcomer.push(&w, "4"));
    w.settle().await;
    let serving = |w: &World| w.cloud.serving(&shop, &ServiceName::new("web").expect("a name"));
    assert_eq!((serving(&w), newcomer.serving(&w, "pr-1")), (Some(sha), Some(its_sha.clone())));

    let names = async |w: &World| {
        let known = async |key: &RepoName| w.store.known(key).await.expect("the database answers").expect("known");
        let (shop, other) = (known(&shop.repo).await, known(&newcomer.key).await);
        [shop.name, other.name].map(|name| name.map(String::from).unwrap_or_default())
    };
    let shown = |w: &World| {
        let (name, pull) = (&newcomer.name, its_pull);
        let checks = w.github.checks(name, &its_sha).len();
        (w.github.comments(name, pull).len(), w.github.deployments(name).len(), checks)
    };
    let (rightly, before) = (["acme/store".to_owned(), "acme/shop".to_owned()], shown(&w));
    assert_eq!(names(&w).await, rightly);
    w.github.release_deliveries(Order::AsHappened);
    w.github.deliveries_settled().await;
    assert_eq!(names(&w).await, rightly, "as soon as it is there");
    w.settle().await;
    assert_eq!(names(&w).await, rightly, "after it was handled");
    let known = w.store.known(&shop.repo).await.expect("the database answers").expect("known");
    assert_eq!(known.rumour, None, "it was looked into");
    w.redeliver_all().await;
    assert_eq!(names(&w).await, rightly, "once more");
    assert_eq!((shown(&w), newcomer.serving(&w, "pr-1")), (before, Some(its_sha.clone())));

    let next = w.push("topic", "5");
    w.settle().await;
    assert_eq!((serving(&w), newcomer.serving(&w, "pr-1")), (Some(next), Some(its_sha.clone())));
    assert!(w.raw_comment(pull).contains("pr-1 is live"), "{}", w.raw_comment(pull));
    assert_eq!(shown(&w), before);
}

#[tokio::test]
async fn whenever_a_name_changes_hands_unheard_nothing_is_written_to_whoever_took_it() {
    const APART: usize = 7;
    let seen = [Visibility::Private, Visibility::Public];
    let all: Vec<_> = (1..=APART).flat_map(|first| seen.map(|visibility| (first, visibility))).collect();
    for (first, visibility) in Depth::of_this_run().of("a name that changes hands", &all) {
        let mut at = first;
        while the_name_changes_hands_after(at, visibility).await {
            at += APART;
        }
        assert!(at > 20, "{at} effects are too few");
    }
}

/// A pull request is opened, and after so many effects its repository has another name, and somebody else
/// the one that it had. Answers whether there were as many.
async fn the_name_changes_hands_after(at: usize, visibility: Visibility) -> bool {
    let mut w = World::new().await;
    let (github, taken) = (Arc::clone(&w.github), w.repo.clone());
    let fuse = Fuse::aside(at, move || {
        github.set_delivery_mode(DeliveryMode::Drop);
        github.rename_repo(&taken, "acme/store").expect("it is renamed");
        let files = [FileChange::write(".github/greenroom.yml", CONFIG), FileChange::write("app", "1")];
        github.create_repo(taken.as_str(), files).expect("a repository");
        github.set_visibility(&taken, visibility).expect("it is there");
        github.push(&taken, "topic", [FileChange::write("app", "its own")], "A change").expect("a commit");
        github.open_pull(&taken, "topic", "Its own").expect("a pull request");
        github.set_delivery_mode(DeliveryMode::Send);
    });
    w.burn(&fuse);
    w.open("topic", "2");
    w.runs(60).await;
    if fuse.seen() < at {
        return false;
    }
    let its_head = w.github.branch_head(&w.repo, "topic").expect("a branch");
    let written = (w.github.comments(&w.repo, PullNumber(1)), w.github.checks(&w.repo, &its_head));
    assert_eq!((written.0.len(), written.1.len()), (0, 0), "after effect {at}: {written:#?}");
    let written = (w.github.deployments(&w.repo).len(), w.github.environments(&w.repo).len());
    assert_eq!(written, (0, 0), "after effect {at}");

    // What could not be fetched or said meanwhile is as soon as the name is told.
    let stage = w.stage_id("pr-1");
    w.repo = "acme/store".parse().expect("a name");
    w.hears("octocat", PullNumber(1), "How is it going?").await;
    w.after(600_000).await;
    let comment = w.raw_comment(PullNumber(1));
    assert!(comment.contains("pr-1 is live"), "after effect {at}: {comment}");

    let next = w.push("topic", "3");
    w.settle().await;
    let serving = w.cloud.serving(&stage, &ServiceName::new("web").expect("a name"));
    assert_eq!(serving, Some(next), "after effect {at}");
    true
}

#[tokio::test]
async fn who_is_no_longer_served_loses_nothing_to_whoever_takes_its_name_unheard() {
    let mut w = World::new().await;
    let (_, sha) = w.open("topic", "2");
    w.settle().await;
    let stage = w.stage_id("pr-1");
    w.serves("acme/web", "");
    w.github.set_delivery_mode(DeliveryMode::Drop);
    w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
    let newcomer = Other::made(&w, "acme/shop", CONFIG);
    let (its_pull, _) = newcomer.open(&w, "its own");
    w.github.close_pull(&newcomer.name, its_pull).expect("it closes");
    w.ring(Lane::Stage(stage.clone())).await;
    w.runs(60).await;
    assert_eq!(w.cloud.serving(&stage, &ServiceName::new("web").expect("a name")), Some(sha));
}

/// What the repository's number is compared for: neither its new name nor who took the old one was told.
#[tokio::test]
async fn a_name_that_leads_to_somebody_else_leads_no_commit_of_theirs_here() {
    for is_thief_known in [false, true] {
        let mut w = World::with_config(&config(None)).await;
        let (pull, first) = w.open("topic", "2");
        w.settle().await;
        let shop = w.stage_id("pr-1");
        w.github.set_delivery_mode(DeliveryMode::Drop);
        w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
        if is_thief_known {
            w.github.set_delivery_mode(DeliveryMode::Send);
        }
        let thief = Other::made(&w, "acme/shop", &config(None));
        let (stolen, evil) = thief.open(&w, "evil");
        assert_eq!(stolen, pull, "the same number as well");
        w.ring(Lane::Stage(shop.clone())).await;
        w.ring(Lane::Repo(shop.repo.clone())).await;
        w.runs(30).await;
        assert_eq!(w.cloud.serving(&shop, &ServiceName::new("web").expect("a name")), Some(first));
        let journal = [w.builder.journal(), w.cloud.journal()].concat();
        assert!(journal.iter().all(|line| !line.contains(evil.short())), "{journal:#?}");
    }
}

/// The stage is at work, so that no look at its repository rings it.
#[tokio::test]
async fn a_deploy_that_was_refused_under_anothers_name_goes_on_soon_after_its_own_is_told() {
    let mut w = World::new().await;
    w.github.fail(Matcher::any().path("/tarball"), Fault::status(502), Times::Always);
    let (_, head) = w.open("topic", "2");
    w.runs(30).await;
    let (stage, before) = (w.stage_id("pr-1"), w.repo.clone());
    w.github.set_delivery_mode(DeliveryMode::Drop);
    w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
    Other::made(&w, "acme/shop", CONFIG).open(&w, "its own");
    w.github.heal();
    w.runs(120).await;
    let known = w.store.known(&stage.repo).await.expect("the database answers").expect("known");
    assert_eq!((known.name, known.rumour), (None, None), "it was refused");
    w.github.set_delivery_mode(DeliveryMode::Send);
    w.github.tell_of_repo(&w.repo, "renamed", Some(&before));
    w.settle().await;
    let serving = w.cloud.serving(&stage, &ServiceName::new("web").expect("a name"));
    assert_eq!(serving, Some(head), "within two minutes");
}
