//! A repository goes from a workflow's state to a server and back, as `greenroom state` carries it: whoever
//! goes on with it finds its stages as they are.

use greenroom::model::{Chore, Lane, PullNumber, StageStatus};
use greenroom::port::Clock as _;
use greenroom::sandbox::JobOf;
use greenroom::store::{MoveError, MovePlace, Moved, export, import, open};

use crate::postgres;
use crate::world::{CONFIG, Database, World};

/// Every comment of the pull request, and who wrote it.
fn comments(w: &World, pull: PullNumber) -> Vec<String> {
    let comments = w.github.comments(&w.repo, pull);
    comments.iter().map(|comment| format!("comment {} of {}", comment.id, comment.author.login)).collect()
}

/// Everything that was ever done, and where it is told.
fn done(w: &World, pull: PullNumber) -> Vec<String> {
    [w.cloud.journal(), w.builder.journal(), w.deployments(), comments(w, pull)].concat()
}

/// Takes the repository out at one place and puts it in at the other, by way of a file.
async fn carry(w: &World, from: &MovePlace, to: &MovePlace) -> Moved {
    let mut file = Vec::new();
    let moved = export(from, w.clock.now()).await.expect("it is at rest");
    moved.write(&mut file).expect("it is written");
    let moved = Moved::read(&file[..]).expect("it is read");
    import(to, &moved, w.clock.now()).await.expect("it is put in");
    moved
}

/// Looks at everything anew, as whoever takes over does, and finds nothing to do.
async fn finds_nothing_to_do(w: &World, pull: PullNumber, who: &str) {
    let before = done(w, pull);
    w.ring(Lane::Chore(Chore::Reconcile)).await;
    w.ring(Lane::Chore(Chore::Sweep)).await;
    w.settle().await;
    assert_eq!(done(w, pull), before, "{who}");
}

/// The next commit is live, and told in the comment that was there.
async fn goes_on(w: &World, pull: PullNumber, content: &str, who: &str) {
    let before = comments(w, pull);
    let sha = w.push("topic", content);
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha.clone()), "{who}");
    assert!(w.headline(pull).contains("pr-1 is live") && w.headline(pull).contains(sha.short()), "{}", w.comment(pull));
    assert_eq!(comments(w, pull), before, "{who}: the one comment goes on");
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: success"], "{who}");
}

/// A job makes a stage, the App takes it over on this database, and a job takes it back.
async fn there_and_back(url: &str) {
    let mut w = World::on(&Database::Object, "acme/shop", CONFIG).await;
    let (state, server) = (w.state(), MovePlace::Database { url: url.to_owned(), repo: Some(w.repo.clone()) });
    w.runs_as_a_job(JobOf::Repository);
    let (pull, first) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(first));

    let outdated = carry(&w, &state, &server).await;
    w.moves_to(open(url).await.expect("a database")).await;
    w.runs_as_the_app();
    finds_nothing_to_do(&w, pull, "the App").await;
    goes_on(&w, pull, "3", "the App").await;
    // Carried once more, what the job left would undo what the App did since.
    let refused = import(&server, &outdated, w.clock.now()).await.expect_err("the App has gone on");
    assert!(matches!(refused, MoveError::Ahead(_)), "{refused:?}");

    carry(&w, &server, &state).await;
    w.next_run().await;
    w.runs_as_a_job(JobOf::Repository);
    finds_nothing_to_do(&w, pull, "a job").await;
    goes_on(&w, pull, "4", "a job").await;
    w.assert_nothing_doubled("there and back");
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }));
    assert!(w.headline(pull).contains("is gone"), "{}", w.headline(pull));
}

#[tokio::test]
async fn the_app_takes_a_stage_over_from_the_action_and_hands_it_back() {
    let folder = tempfile::tempdir().expect("a folder");
    there_and_back(&format!("sqlite://{}", folder.path().join("server.db").display())).await;
}

#[tokio::test]
async fn the_same_on_a_server_with_postgresql() {
    there_and_back(&postgres::fresh_database().await).await;
}

/// What was asked for and not handled when the repository was carried is done by whoever has it then, once.
#[tokio::test]
async fn what_waits_when_it_is_carried_is_done_where_it_is_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("server.db").display());
    let mut w = World::on(&Database::Object, "acme/shop", CONFIG).await;
    w.runs_as_a_job(JobOf::Repository);
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    let second = w.push("topic", "3");
    w.github.deliveries_settled().await;
    let server = MovePlace::Database { url: url.clone(), repo: Some(w.repo.clone()) };
    carry(&w, &w.state(), &server).await;
    w.moves_to(open(&url).await.expect("a database")).await;
    w.runs_as_the_app();
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(second.clone()));
    assert!(w.headline(pull).contains(second.short()), "{}", w.headline(pull));
    w.assert_nothing_doubled("carried while it waited");
}
