//! The main story of the Action with stages on the runner itself.

use std::path::Path;

use greenroom::model::Permission;
use greenroom::sandbox::FileChange;
use serde_json::{Value, json};

use super::action::{lay, on_this_machine, workflows};
use super::event::Event;
use super::told::Told;
use super::yard::Yard;
use crate::clients;
use crate::world::processes;

/// Previews, and one stage that lasts.
fn files(folder: &Path) -> Vec<FileChange> {
    let stages =
        "stages:\n  prod: { on: { push: main } }\n  \"pr-{number}\": { on: { pull_request: {} } }\nservices:\n";
    let config = processes(folder).replace("services:\n", stages);
    let mut files = workflows(on_this_machine);
    files.push(FileChange::write(".github/greenroom.yml", config));
    files
}

pub(super) async fn shop() -> Yard {
    let mut yard = Yard::begin(files, lay).await;
    // Tests share a machine; the first run finds a free port, and those that follow keep it.
    yard.environment = vec![("GREENROOM_PROXY_LISTEN", "127.0.0.1:0".into())];
    yard.github.set_permission(&yard.repo, "ada", Permission::Write);
    yard
}

/// Asks the address that a run told, as a browser on this machine does.
pub(super) async fn ask(told: &Told) -> (u16, String) {
    let url = url::Url::parse(told.output("url")).unwrap_or_else(|bad| panic!("{bad}: {}", told.all()));
    let (host, port) = (url.host_str().expect("a host"), url.port().expect("a port of its own"));
    let address = ([127, 0, 0, 1], port).into();
    clients::get(address, &format!("{host}:{port}"), "/").await.unwrap_or_else(|error| (0, error))
}

/// Waits until the stage answers with these words: when a run ends, a process of the machine takes over from it.
pub(super) async fn answers(yard: &Yard, told: &Told, words: &str) {
    yard.until(&format!("{words:?} answers"), async || ask(told).await == (200, words.to_owned())).await;
}

/// A run that brought a commit live says so everywhere.
#[track_caller]
pub(super) fn is_live(yard: &Yard, told: &Told, stage: &str, event: &Event) {
    assert!(told.succeeded(), "{}", told.all());
    assert_eq!((told.output("stage"), told.output("state")), (stage, "live"), "{}", told.all());
    let (_, sha) = event.place(&yard.github, &yard.repo);
    assert_eq!(told.output("sha"), sha, "{}", told.all());
    assert!(told.summary.contains(told.output("url")), "{}", told.all());
    let result: Value = serde_json::from_str(told.output("result")).expect("JSON");
    assert_eq!((&result["version"], &result["ending"]), (&json!(1), &json!("done")), "{result:#}");
    assert_eq!(result["stages"][0]["url"], told.output("url"), "{result:#}");
    let deployments = yard.github.deployments(&yard.repo);
    let newest = deployments.iter().rev().find(|made| made.environment == stage).expect("a deployment");
    assert_eq!((newest.sha.as_str(), newest.state()), (sha.as_str(), "success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_by_workflows_on_this_machine_from_its_first_commit_to_its_end() {
    let mut yard = shop().await;
    let opened = yard.open("one").await;
    let one = yard.happens(&opened).await;
    is_live(&yard, &one, "pr-1", &opened);
    // It outlives the run.
    answers(&yard, &one, "one").await;
    let comments = yard.comments_of_bots();
    assert!(comments.len() == 1 && comments[0].contains(one.output("url")), "{comments:#?}");

    let pushed = yard.push("two").await;
    let two = yard.happens(&pushed).await;
    is_live(&yard, &two, "pr-1", &pushed);
    answers(&yard, &two, "two").await;
    let comments = yard.comments_of_bots();
    assert!(comments.len() == 1 && comments[0].contains("is live"), "{comments:#?}");

    commands(&yard, &two).await;

    let closed = yard.close().await;
    let gone = yard.happens(&closed).await;
    assert!(gone.succeeded(), "{}", gone.all());
    assert_eq!(gone.output("state"), "destroyed", "{}", gone.all());
    assert_ne!(ask(&two).await.0, 200);
    yard.finish().await;
}

async fn commands(yard: &Yard, two: &Told) {
    let said = || yard.comments_of_bots().len();
    let before = said();
    let told = yard.happens(&yard.comment("ada", "/status").await).await;
    assert!(told.succeeded() && said() == before + 1, "{}\n{:#?}", told.all(), yard.comments_of_bots());

    let stranger = yard.happens(&yard.comment("mallory", "/destroy").await).await;
    assert!(stranger.succeeded(), "{}", stranger.all());
    // Whoever may only read destroys nothing.
    answers(yard, two, "two").await;

    let told = yard.happens(&yard.comment("ada", "/destroy").await).await;
    assert!(told.succeeded(), "{}", told.all());
    assert_ne!(ask(two).await.0, 200, "{}", told.all());

    let told = yard.happens(&yard.comment("ada", "/deploy").await).await;
    assert!(told.succeeded(), "{}", told.all());
    answers(yard, &told, "two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_deploys_the_stage_that_lasts_and_a_schedule_sweeps_what_was_missed() {
    let mut yard = shop().await;
    let pushed = yard.push_to("main", "first").await;
    let first = yard.happens(&pushed).await;
    is_live(&yard, &first, "prod", &pushed);
    answers(&yard, &first, "first").await;

    let opened = yard.open("one").await;
    let one = yard.happens(&opened).await;
    is_live(&yard, &one, "pr-1", &opened);
    by_hand(&yard, &pushed).await;

    // Nobody runs anything for it: a conflict, or a runner that was away.
    yard.close().await;
    let swept = yard.happens(&Event::schedule("23 * * * *")).await;
    assert!(swept.succeeded(), "{}", swept.all());
    assert_ne!(ask(&one).await.0, 200, "the sweep takes away what is closed: {}", swept.all());
    answers(&yard, &first, "first").await;
    // What lasts goes with the test.
    yard.asked_only_what_is_documented();
}

/// "Run workflow" on the branch of a stage, and of the sweep.
async fn by_hand(yard: &Yard, pushed: &Event) {
    for file in ["deploy.yml", "sweep.yml"] {
        let event = Event::dispatch(file, &json!({}), pushed);
        let started = yard.started_by(&event).into_iter().find(|workflow| workflow.file == file);
        let told = yard.start(&started.expect("it can be started by hand"), &event).ended().await;
        assert!(told.succeeded(), "{file}: {}", told.all());
        if file == "deploy.yml" {
            assert_eq!((told.output("stage"), told.output("state")), ("prod", "live"), "{}", told.all());
        }
    }
}
