//! The main story with services that run as processes, and whose code may not run at all.

use std::time::{Duration, Instant};

use greenroom::model::Permission;

use crate::database;
use crate::program::LAST_WORDS;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_of_processes_from_its_first_commit_to_its_end() {
    let mut w = World::of_processes().await;
    let one = w.open("one");
    w.live(&one).await;
    assert_eq!(w.ask("/").await, (200, "one".into()));
    assert_eq!(w.programs().len(), 2);
    let comment = w.comment().expect("a comment");
    assert!(comment.contains(&format!("http://{}", w.host())), "{comment}");

    let load = w.load().await;
    let two = w.push("two");
    w.live(&two).await;
    assert_eq!(w.ask("/").await, (200, "two".into()));
    w.until("the load meets the new version", async || load.answered() > 300 && load.met("two")).await;
    let report = load.stop().await;
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.answers.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(w.programs().len(), 2, "the old version is gone");
    w.until("the old deployment is put away", async || w.shown(&one) == ["check success", "deployment inactive"]).await;

    a_broken_commit_fails_and_the_old_version_serves_on(&w).await;

    w.close();
    w.nothing_is_left().await;
    let mut journal = w.journal();
    // Whether the worker was started too before the other service broke is a matter of time.
    journal.retain(|line| line != "start worker three");
    journal.sort();
    let expected = [
        "migrate one",
        "migrate three",
        "migrate two",
        "start web one",
        "start web three",
        "start web two",
        "start worker one",
        "start worker two",
    ];
    assert_eq!(journal, expected, "each program started once, each migration ran once");
    w.finish().await;
}

async fn a_broken_commit_fails_and_the_old_version_serves_on(w: &World) {
    let pushed = Instant::now();
    let three = w.push("three exit");
    let comment = w.comment_says(&format!("failed · `{}`", three.short())).await;
    assert!(pushed.elapsed() < Duration::from_mins(1), "it took {:?}", pushed.elapsed());
    assert!(comment.contains("exit code 3") && comment.contains(LAST_WORDS), "{comment}");
    assert!(comment.contains("still serves"), "{comment}");
    w.until("check and deployment say so too", async || w.shown(&three) == ["check failure", "deployment failure"])
        .await;
    assert_eq!(w.ask("/").await, (200, "two".into()));
    w.until("nothing of the broken version is left", async || w.programs().len() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_is_cancelled_by_a_comment_and_no_request_fails() {
    let mut w = World::of_processes().await;
    w.github.set_permission(&w.repo, "adam", Permission::Admin);
    let one = w.open("one");
    w.live(&one).await;
    let load = w.load().await;
    let two = w.push_all([("app", "two"), (".github/greenroom.yml", &w.with_canary("10m"))]);
    w.until("the new version answers too", async || w.ask("/").await == (200, "two".into())).await;
    w.until("and so does the old one", async || w.ask("/").await == (200, "one".into())).await;
    w.github.comment(&w.repo, w.pull, "adam", "/cancel").expect("a comment");
    w.until("the answer says what was stopped", async || {
        w.answers()
            .pop()
            .is_some_and(|answer| answer.contains("stopped during canary:web") && answer.contains("Led back by"))
    })
    .await;
    for _ in 0..20 {
        assert_eq!(w.ask("/").await, (200, "one".into()));
    }
    assert_eq!(w.programs().len(), 2, "nothing of the canary is left");
    assert_ne!(w.shown(&two).first().map(String::as_str), Some("check success"));

    let three = w.push_all([("app", "three"), (".github/greenroom.yml", &w.with_canary("2s"))]);
    w.live(&three).await;
    assert_eq!(w.ask("/").await, (200, "three".into()));
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    w.close();
    w.nothing_is_left().await;
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_not_allowed_is_told_the_setting_and_nothing_of_it_runs() {
    let mut w = World::of_processes().await;
    let stranger = w.stranger();
    w.github.push(&stranger, "topic", [("app", "stranger")], "From elsewhere").expect("a commit");
    let refused = w.github.open_pull(&stranger, "topic", "From elsewhere").expect("a pull request");
    let one = w.open("one");
    w.live(&one).await;
    let answers = || w.github.comments(&stranger, refused);
    w.until("an answer names the setting", async || {
        answers().iter().any(|comment| comment.body.contains("GREENROOM") && comment.body.contains("ALLOW"))
    })
    .await;
    assert_eq!(answers().len(), 1, "{:#?}", answers());
    assert!(w.journal().iter().all(|line| line.ends_with(" one")), "{:?}", w.journal());
    assert!(w.files().iter().all(|file| !file.contains("stranger")), "{:?}", w.files());
    assert_eq!(w.ask("/").await, (200, "one".into()), "the allowed one has the host");

    assert!(w.github.environments(&stranger).is_empty(), "nothing was made for it");
    w.close();
    w.comment_says("Destroyed at").await;
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_down_whose_the_hosts_of_an_older_one_are_and_says_that_it_serves_nobody() {
    let mut w = World::of_processes().await;
    let one = w.open("one");
    w.live(&one).await;
    let database = w.home.database_url();
    let hosts = database::hosts(&database).await;
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    let server = w.take_server();
    server.ask_to_stop();
    assert!(server.stopped().await.success(), "{}", w.home.log());
    // As an older version left it.
    database::forget_hosts(&database).await;
    assert!(!w.home.log().contains("no repository is served"), "{}", w.home.log());
    w.home.allow = String::new();
    w.start_server().await;
    w.until("the hosts are known again", async || database::hosts(&database).await == hosts).await;
    w.until("it says so", async || w.home.log().contains("no repository is served: name those")).await;
    w.until("what runs, runs on", async || w.ask("/").await == (200, "one".into())).await;
    w.close();
    w.comment_says("Destroyed at").await;
    w.finish().await;
}
