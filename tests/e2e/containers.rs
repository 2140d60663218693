//! The main story with services that run as containers of a real Docker engine.

use std::time::{Duration, Instant};

use crate::docker::{CleanUp, LAST_WORDS, containers, docker, everything, files, printed, tags};
use crate::world::World;

async fn world() -> (World, CleanUp) {
    docker(&["version"]);
    let world = World::begin(files).await;
    let clean_up = CleanUp(world.repo.clone());
    (world, clean_up)
}

/// Closes the pull request, and sees that the engine has nothing of it any more.
async fn close_and_leave_nothing(w: World) {
    w.close();
    w.nothing_is_left().await;
    assert_eq!(everything(&w.repo), Vec::<String>::new(), "the engine has something left");
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_of_containers_from_its_first_commit_to_its_end() {
    let (mut w, _clean_up) = world().await;
    let one = w.open("one");
    w.live(&one).await;
    assert_eq!(w.ask("/").await, (200, "one".into()));
    assert_eq!(containers(&w.repo).len(), 1);
    // Nobody who knows the commit can tell what its image is called: 32 digits, by this server's own key.
    let tags = tags(&w.repo);
    assert!(!tags.is_empty() && tags.iter().all(|tag| tag.len() == 32), "{tags:?}");

    let load = w.load().await;
    let two = w.push("two");
    w.live(&two).await;
    w.until("the load meets the new version", async || load.answered() > 300 && load.met("two")).await;
    let report = load.stop().await;
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.answers.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(w.ask("/").await, (200, "two".into()));
    assert_eq!(containers(&w.repo).len(), 1, "the old version is gone");

    let pushed = Instant::now();
    let three = w.push("three exit");
    let comment = w.comment_says(&format!("failed · `{}`", three.short())).await;
    assert!(pushed.elapsed() < Duration::from_mins(1), "it took {:?}", pushed.elapsed());
    assert!(comment.contains("exit code 3") && comment.contains(LAST_WORDS), "{comment}");
    assert!(comment.contains("still serves"), "{comment}");
    w.until("check and deployment say so too", async || w.shown(&three) == ["check failure", "deployment failure"])
        .await;
    assert_eq!(w.ask("/").await, (200, "two".into()));
    w.until("nothing of the broken version is left", async || containers(&w.repo).len() == 1).await;
    close_and_leave_nothing(w).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_builds_an_image() {
    let (mut w, _clean_up) = world().await;
    let one = w.open("one slow");
    w.until("the build is at its slow step", async || {
        let logs = w.files().into_iter().filter(|file| file.starts_with("build/") && file.ends_with("web.log"));
        logs.into_iter().any(|file| {
            let text = std::fs::read_to_string(w.home.data().join(file)).unwrap_or_default();
            text.lines().any(|line| line == "begun" || line.ends_with(" begun"))
        })
    })
    .await;
    w.kill_server().await;
    w.start_server().await;
    w.live(&one).await;
    assert_eq!(w.ask("/").await, (200, "one".into()));
    assert_eq!(containers(&w.repo).len(), 1);
    close_and_leave_nothing(w).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_starts_a_container() {
    let (mut w, _clean_up) = world().await;
    let one = w.open("one gate");
    let started = async || containers(&w.repo).first().is_some_and(|name| printed(name) == "start one\n");
    w.until("the container waits at the gate", started).await;
    let container = containers(&w.repo).remove(0);
    w.kill_server().await;
    docker(&["exec", &container, "/bin/touch", "/gate"]);
    w.start_server().await;
    w.live(&one).await;
    assert_eq!(w.ask("/").await, (200, "one".into()));
    assert_eq!(containers(&w.repo), [container.as_str()], "the same container");
    assert_eq!(printed(&container), "start one\n", "it was started once");

    let two = w.push("two");
    w.step_began(2, "shift:").await;
    w.kill_server().await;
    w.start_server().await;
    w.live(&two).await;
    assert_eq!(w.ask("/").await, (200, "two".into()));
    w.until("the old container is gone", async || containers(&w.repo).len() == 1).await;
    close_and_leave_nothing(w).await;
}
