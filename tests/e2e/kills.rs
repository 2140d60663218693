//! `kill -9` of the server in the middle of a step, and a new one on the same folder: the world ends
//! as it would have without it. Each story is the same; only the moment differs.

use greenroom::sandbox::{Fault, Matcher};

use crate::world::World;

/// The whole life of a pull request without a kill, as the programs wrote it down.
const WHOLE_LIFE: [&str; 6] =
    ["migrate one", "migrate two", "start web one", "start web two", "start worker one", "start worker two"];

/// Checks what must hold at the end of every story, whenever the server was killed.
async fn ends_as_without_a_kill(w: World) {
    w.nothing_is_left().await;
    let mut journal = w.journal();
    journal.retain(|line| !line.starts_with("slow ") && !line.starts_with("told "));
    journal.sort();
    assert_eq!(journal, WHOLE_LIFE, "each program started once, each migration ran once");
    assert_eq!(w.github.deployments(&w.repo).len(), 2, "one deployment for each commit");
    w.finish().await;
}

/// The server is killed and another one takes its place.
pub(crate) async fn kill_and_restart(w: &mut World) {
    w.kill_server().await;
    w.start_server().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_fetches_and_builds() {
    let mut w = World::of_processes().await;
    w.github.fail_next(Matcher::any().path("/tarball/"), Fault::Silence);
    let one = w.open("one");
    w.step_began(1, "fetch").await;
    kill_and_restart(&mut w).await;
    w.step_began(1, "build:").await;
    kill_and_restart(&mut w).await;
    w.live(&one).await;
    assert_eq!(w.ask("/").await, (200, "one".into()));
    let two = w.push("two");
    w.step_began(2, "build:").await;
    kill_and_restart(&mut w).await;
    w.live(&two).await;
    w.close();
    ends_as_without_a_kill(w).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_starts_a_version() {
    let mut w = World::of_processes().await;
    let one = w.open("one gate");
    w.journaled("start web one").await;
    kill_and_restart(&mut w).await;
    w.open_gate();
    w.live(&one).await;
    assert_eq!(w.ask("/").await, (200, "one".into()));
    std::fs::remove_file(w.home.folder.join("gate")).expect("the gate closes");

    let two = w.push("two gate");
    w.journaled("start web two").await;
    w.kill_server().await;
    // It goes on while no server looks.
    w.open_gate();
    w.start_server().await;
    w.until("the stage answers again", async || w.ask("/").await.0 == 200).await;
    w.live(&two).await;
    assert_eq!(w.ask("/").await, (200, "two".into()));
    assert_eq!(w.programs().len(), 2);
    w.close();
    ends_as_without_a_kill(w).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_switches_under_load() {
    let mut w = World::of_processes().await;
    let one = w.open("one");
    w.live(&one).await;
    let load = w.load().await;
    let two = w.push("two");
    w.step_began(2, "shift:").await;
    w.kill_server().await;
    let seen = load.stop().await;
    assert!(seen.answers.contains_key("one"), "the load was there before the kill: {:?}", seen.answers);
    w.start_server().await;
    w.until("the stage answers again", async || w.ask("/").await.0 == 200).await;

    let load = w.load().await;
    w.live(&two).await;
    let report = load.stop().await;
    assert_eq!(report.failures, Vec::<String>::new(), "from its first answer on it fails no request");
    assert_eq!(w.ask("/").await, (200, "two".into()));
    assert_eq!(w.programs().len(), 2);
    w.close();
    ends_as_without_a_kill(w).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_canary_has_its_share() {
    let mut w = World::of_processes().await;
    let one = w.open("one");
    w.live(&one).await;
    let two = w.push_all([("app", "two"), (".github/greenroom.yml", &w.with_canary("2s"))]);
    w.until("the new version answers too", async || w.ask("/").await == (200, "two".into())).await;
    kill_and_restart(&mut w).await;
    w.live(&two).await;
    assert_eq!(w.ask("/").await, (200, "two".into()));
    assert_eq!(w.programs().len(), 2);
    w.close();
    ends_as_without_a_kill(w).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_old_version_drains() {
    let mut w = World::of_processes().await;
    let one = w.open("one");
    w.live(&one).await;
    let (proxy, host) = (w.proxy(), w.host());
    let slow = tokio::spawn(async move { crate::clients::get(proxy, &host, "/slow").await });
    w.journaled("slow one").await;
    let two = w.push("two");
    w.step_began(2, "retire:web").await;
    assert_eq!(w.ask("/").await, (200, "two".into()), "the new version answers while the old one drains");
    kill_and_restart(&mut w).await;
    assert!(slow.await.expect("a client").is_err(), "its connection was the server's");
    w.until("the stage answers again", async || w.ask("/").await.0 == 200).await;
    assert_eq!(w.ask("/").await, (200, "two".into()), "never the old version again");
    w.live(&two).await;
    assert_eq!(w.programs().len(), 2);
    w.close();
    ends_as_without_a_kill(w).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_removes_a_stage() {
    let mut w = World::of_processes().await;
    let one = w.open("one");
    w.live(&one).await;
    let two = w.push("two stubborn");
    w.live(&two).await;
    w.close();
    w.journaled("told two").await;
    kill_and_restart(&mut w).await;
    w.open_gate();
    ends_as_without_a_kill(w).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_no_server_ran_is_caught_up_with() {
    let mut w = World::of_processes().await;
    let one = w.open("one");
    w.live(&one).await;
    w.kill_server().await;
    let two = w.push("two");
    w.github.deliveries_settled().await;
    w.start_server().await;
    w.live(&two).await;
    w.kill_server().await;
    w.close();
    w.github.deliveries_settled().await;
    w.start_server().await;
    ends_as_without_a_kill(w).await;
}
