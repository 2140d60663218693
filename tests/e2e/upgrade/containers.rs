//! Containers of this machine are handed over: the very ones run on, of the very images.

use greenroom::model::{Permission, RepoName};

use super::{End, as_before, audit_is_whole, calm, end, looked, looks, seen};
use crate::docker::{self, CleanUp, containers, docker, everything};
use crate::world::World;

/// The repository's containers, which of them they are and since when they run; its images.
fn engine_has(repo: &RepoName) -> (Vec<String>, String) {
    let of = |name: &String| docker(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}", name]);
    let label = format!("label=greenroom.repo={repo}");
    let images = docker(&["images", "--no-trunc", "--filter", &label, "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
    (containers(repo).iter().map(of).collect(), images)
}

async fn containers_are_handed_over(how: End) {
    docker(&["version"]);
    let mut w = World::begin_behind(&as_before(), Vec::new(), docker::files).await;
    let _clean_up = CleanUp(w.repo.clone());
    w.github.set_permission(&w.repo, "adam", Permission::Admin);
    let one = w.open("one");
    w.live(&one).await;
    calm(&w).await;
    let repo = w.repo.clone();
    let pulls = [(&repo, w.pull)];
    let before = (seen(&w, &pulls).await, engine_has(&repo));
    assert_eq!(before.1.0.len(), 1);

    w.home.before = String::new();
    for allow in [String::new(), repo.to_string()] {
        end(&mut w, how).await;
        let asked = looks(&w);
        w.home.allow = allow;
        w.start_server().await;
        w.until("it answers as ever", async || w.ask("/").await == (200, "one".into())).await;
        looked(&w, asked).await;
        assert_eq!((seen(&w, &pulls).await, engine_has(&repo)), before);
    }
    let load = w.load().await;
    let two = w.push("two");
    w.live(&two).await;
    w.until("the load meets the new version", async || load.answered() > 100 && load.met("two")).await;
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    w.github.comment(&w.repo, w.pull, "adam", "/rollback").expect("a comment");
    w.comment_says(&format!("is live · `{}`", one.short())).await;
    w.until("the old image serves again", async || w.ask("/").await == (200, "one".into())).await;
    let images = engine_has(&repo).1;
    assert!(before.1.1.lines().all(|line| images.contains(line)), "it is the very image: {images}");
    audit_is_whole(&w).await;

    w.close();
    w.nothing_is_left().await;
    assert_eq!(everything(&repo), Vec::<String>::new());
    let label = format!("label=greenroom.repo={repo}");
    assert_eq!(docker(&["network", "ls", "--filter", &label, "--format", "{{.Name}}"]), "");
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants the program of the version before"]
async fn containers_of_the_version_before_run_on_after_it_was_stopped() {
    containers_are_handed_over(End::Polite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants the program of the version before"]
async fn containers_of_the_version_before_run_on_after_it_was_killed() {
    containers_are_handed_over(End::Killed).await;
}
