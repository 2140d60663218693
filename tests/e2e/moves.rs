//! A repository gets another name, another owner and another name again, and names that it had become somebody
//! else's, with the server killed in the middle of each: on either database it goes on where it was, and
//! nothing of it becomes theirs. Stages on AWS have the same in `aws_kills`.

use std::collections::BTreeSet;

use greenroom::model::RepoName;

use crate::clients;
use crate::database::Database;
use crate::kills::kill_and_restart;
use crate::other::{Newcomer, elsewhere};
use crate::own::own;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_its_repository_gets_other_names_and_another_owner() {
    all_goes_along(World::of_processes().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_postgres_while_its_repository_gets_other_names_and_another_owner() {
    all_goes_along(World::of_processes_on(Database::postgres().await).await).await;
}

async fn all_goes_along(mut w: World) {
    let first = w.repo.clone();
    it_is_renamed_and_handed_on(&mut w).await;
    let newcomer = its_names_become_somebody_elses(&mut w, &first).await;
    who_has_its_first_name_is_served_beside_it(&mut w, &newcomer).await;
    w.close();
    w.nothing_is_left().await;

    let journal = w.journal();
    let told: BTreeSet<&String> = journal.iter().collect();
    assert_eq!(told.len(), journal.len(), "nothing was done twice: {journal:?}");
    for version in ["one", "two", "four", "guest"] {
        for what in ["migrate", "start web", "start worker"] {
            assert!(journal.contains(&format!("{what} {version}")), "{what} {version}: {journal:?}");
        }
    }
    let deployments = w.github.deployments(&w.repo);
    let commits: BTreeSet<&str> = deployments.iter().map(|made| made.sha.as_str()).collect();
    assert_eq!(commits.len(), deployments.len(), "one deployment for each commit: {deployments:#?}");
    w.finish().await;
}

async fn it_is_renamed_and_handed_on(w: &mut World) {
    let one = w.open("one");
    w.step_began(1, "build:").await;
    // Nobody tells: the next one asks under the name of before, and GitHub sends it on.
    w.repo = w.github.rename_repo(&w.repo, &own("acme/e2e_moved.web")).expect("it is renamed");
    kill_and_restart(w).await;
    w.live(&one).await;
    assert_eq!(w.ask("/").await, (200, "one".into()));

    let before = w.repo.clone();
    w.repo = w.github.transfer_repo(&before, "beta").expect("it is handed on");
    w.github.tell_of_repo(&w.repo, "transferred", Some(&before));
    let two = w.push("two");
    w.step_began(2, "build:").await;
    kill_and_restart(w).await;
    w.live(&two).await;
    assert_eq!(w.ask("/").await, (200, "two".into()));
    programs_run(w, 2).await;
}

/// The name that the server's operator wrote down, and while no server looks the one that it is known by.
/// Answers who has the first one.
async fn its_names_become_somebody_elses(w: &mut World, first: &RepoName) -> Newcomer {
    w.push("three");
    w.step_began(3, "build:").await;
    w.kill_server().await;
    let known = w.repo.clone();
    w.repo = w.github.rename_repo(&known, &own("beta/e2e_again.web")).expect("it is renamed");
    let config = elsewhere(&w.home.folder);
    let newcomer = Newcomer::takes(w, first, &config);
    let other = Newcomer::takes(w, &known, &config);
    w.github.deliveries_settled().await;
    w.start_server().await;
    newcomer.is_turned_away(w).await;
    other.is_turned_away(w).await;

    // Its next commit tells where it is by now.
    let four = w.push("four");
    w.live(&four).await;
    assert_eq!(w.ask("/").await, (200, "four".into()));
    programs_run(w, 2).await;
    let journal = w.journal();
    assert!(journal.iter().all(|line| !line.ends_with(" newcomer")), "nothing of theirs ran: {journal:?}");
    newcomer
}

/// Under a key of its own, which its pull request was told.
async fn who_has_its_first_name_is_served_beside_it(w: &mut World, newcomer: &Newcomer) {
    let key = newcomer.is_turned_away(w).await;
    assert!(key.starts_with("acme.") && key.ends_with(newcomer.name.name()), "{key}");
    let newest = w.steps().await.iter().map(|line| line.deploy).max().unwrap_or_default();
    w.kill_server().await;
    w.home.allow = format!("{},{key}", w.home.allow);
    w.start_server().await;
    let guest = w.github.push(&newcomer.name, "topic", [("app", "guest")], "Another change").expect("a commit");
    w.step_began(newest + 1, "build:").await;
    kill_and_restart(w).await;
    newcomer.is_live(w, &guest).await;
    let host = format!("pr-{}.other.localhost:{}", newcomer.pull, w.proxy().port());
    assert_eq!(clients::get(w.proxy(), &host, "/").await, Ok((200, "guest".into())));
    assert_eq!(w.ask("/").await, (200, "four".into()));
    programs_run(w, 4).await;

    w.serves_no_more(&newcomer.name, newcomer.pull).await;
    assert_eq!(w.ask("/").await, (200, "four".into()));
    programs_run(w, 2).await;
}

async fn programs_run(w: &World, count: usize) {
    w.until(&format!("{count} programs run"), async || w.programs().len() == count).await;
}
