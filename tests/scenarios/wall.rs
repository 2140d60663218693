//! Two repositories on one server, with the same zone, stage names, secret names and app name: who is served at
//! all, and whose a host and a zone are.

use greenroom::model::{Permission, StageStatus};
use greenroom::port::Phase;
use greenroom::sandbox::{FileChange, Mishap};

use crate::other::{Other, config, token};
use crate::world::World;

#[tokio::test]
async fn a_stranger_who_installs_the_app_gets_nothing_and_one_answer() {
    let w = World::new().await;
    let stranger = Other::made(&w, "stranger/shop", &config(None));
    let (pull, _) = stranger.open(&w, "evil");
    w.settle().await;
    stranger.push(&w, "more evil");
    w.github.push(&stranger.name, "main", [FileChange::write("app", "2")], "To prod").expect("a commit");
    w.github.comment(&stranger.name, pull, "stranger", "/deploy").expect("a comment");
    w.settle().await;
    w.redeliver_all().await;

    assert_eq!((w.builder.journal(), w.cloud.journal()), (Vec::new(), Vec::new()));
    assert_eq!(w.store.stages(None).await.expect("the database answers"), []);
    let asked = w.github.requests();
    let read = asked.iter().filter(|asked| asked.path.contains("/contents") || asked.path.contains("/tarball"));
    assert_eq!(
        read.map(|asked| asked.path.clone()).collect::<Vec<_>>(),
        Vec::<String>::new(),
        "no file of it was read"
    );
    let answers: Vec<String> =
        stranger.read(&w, pull).into_iter().filter(|body| body.starts_with("<!-- greenroom")).collect();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert!(answers[0].contains("they add stranger/shop to GREENROOM_ALLOW"), "{}", answers[0]);
}

#[tokio::test]
async fn who_is_no_longer_served_keeps_what_runs_until_the_pull_request_goes() {
    let mut w = World::new().await;
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    w.serves("acme/web", "");
    w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha), "what runs, runs on");
    assert_eq!(w.answers(pull).len(), 1);
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }));
    assert_eq!(w.cloud.world(), Vec::<String>::new());
}

#[tokio::test]
async fn a_deploy_at_work_stops_when_its_repository_is_no_longer_served() {
    let mut w = World::new().await;
    w.cloud.mishap(Phase::Start, "web", None, Mishap::Slow(5));
    w.open("topic", "2");
    w.runs(4).await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Deploying { .. }));
    w.serves("", "");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None, "{:#?}", w.cloud.journal());
    assert!(!matches!(w.stage("pr-1").await.status, StageStatus::Live { .. }));
}

#[tokio::test]
async fn a_host_is_its_first_repositorys_and_the_other_is_told_no_more_than_that() {
    let w = World::with_config(&config(None)).await;
    let other = Other::made(&w, "acme/secret-plans", &config(None));
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    let (late, _) = other.open(&w, "3");
    w.settle().await;
    assert_eq!((w.serving("pr-1", "web"), other.serving(&w, "pr-1")), (Some(sha), None));
    assert!(matches!(other.status(&w, "pr-1").await, Some(StageStatus::Misconfigured { .. })));
    let said = other.read(&w, late).join("\n");
    assert!(said.contains("pr-1.preview.test belongs to another repository"), "{said}");
    assert!(!said.contains("acme/shop"), "{said}");
    assert!(w.builder.journal().iter().all(|line| !line.contains("secret-plans")), "{:?}", w.builder.journal());

    // A plan says so as well: it is known before anything is begun.
    w.github.set_permission(&other.name, "rita", Permission::Read);
    w.github.comment(&other.name, late, "rita", "/plan").expect("a comment");
    w.settle().await;
    let mut answers = other.read(&w, late).into_iter().filter(|body| body.starts_with("<!-- greenroom receipt"));
    let answer = answers.next_back().expect("an answer");
    assert!(answer.contains("belongs to another repository"), "{answer}");

    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    let next = other.push(&w, "4");
    w.settle().await;
    assert_eq!(other.serving(&w, "pr-1"), Some(next), "free since: {:#?}", other.read(&w, late));
    w.github.reopen_pull(&w.repo, pull).expect("it opens again");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None, "now it is the other's");
    assert!(!w.raw_comment(pull).contains("secret"), "{}", w.raw_comment(pull));
}

#[tokio::test]
async fn a_zone_and_what_lies_under_it_are_for_whom_they_are_kept() {
    let mut w = World::with_config(&config(Some("shop.example.com"))).await;
    w.serves("acme/*", "shop.example.com=acme/shop,web.example.com=acme/web");
    let inside = Other::made(&w, "acme/inside", &config(Some("x.shop.example.com")));
    let same = Other::made(&w, "acme/same", &config(Some("shop.example.com")));
    let above =
        Other::made(&w, "acme/above", &config(Some("example.com")).replace("\"pr-{number}\"", "\"web-{number}\""));
    let (_, sha) = w.open("topic", "2");
    let pulls = [inside.open(&w, "3").0, same.open(&w, "3").0, above.open(&w, "3").0];
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
    for (other, pull) in [&inside, &same].into_iter().zip(pulls) {
        assert_eq!(other.serving(&w, "pr-1"), None);
        let said = other.read(&w, pull).join("\n");
        assert!(said.contains("shop.example.com is kept for other repositories"), "{said}");
        assert!(!said.contains("acme/shop"), "{said}");
    }
    assert!(above.serving(&w, "web-1").is_some(), "{:#?}", above.read(&w, pulls[2]));
}

#[tokio::test]
async fn of_who_is_no_longer_served_no_file_is_read_and_no_commit_comes() {
    let read = |w: &World| {
        let asked = w.github.requests();
        asked.iter().filter(|asked| asked.path.contains("/contents") || asked.path.contains("/tarball")).count()
    };
    let mut w = World::new().await;
    let (_, sha) = w.open("topic", "2");
    w.settle().await;
    w.serves("acme/web", "");
    w.push("topic", "3");
    let before = read(&w);
    // By itself it is looked at again every hour.
    for _ in 0..3 {
        w.after(3_601_000).await;
    }
    assert_eq!(w.stage("pr-1").await.status, StageStatus::Live { sha }, "it runs on as it is");
    assert_eq!(read(&w), before, "no file of it is read");
}

#[tokio::test]
async fn nobody_asks_for_the_variable_of_another_repository() {
    let w = World::with_config(&config(None)).await;
    w.open("topic", "2");
    w.settle().await;
    let theirs = token(&w, &w.stage_id("pr-1")).await;
    let config = config(Some("thief.test")).replace("env:TOKEN", &format!("env:{theirs}"));
    let thief = Other::made(&w, "acme/thief", &config);
    let (pull, _) = thief.open(&w, "evil");
    w.settle().await;
    assert_eq!(thief.serving(&w, "pr-1"), None);
    let said = thief.read(&w, pull).join("\n");
    assert!(said.contains("no digit first"), "{said}");
}
