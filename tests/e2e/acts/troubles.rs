//! Runs that end before their time, that meet, and that nobody may trust; with stages on the runner itself.

use std::time::Duration;

use super::local::{answers, is_live, shop};
use super::told::Told;
use super::yard::Yard;

/// What the programs that were deployed did, in order.
fn journal(yard: &Yard) -> Vec<String> {
    let text = std::fs::read_to_string(yard.folder().join("journal")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn journaled(yard: &Yard, line: &str) {
    yard.until(&format!("the journal says {line:?}"), async || journal(yard).iter().any(|it| it == line)).await;
}

/// Lets go on what waits there.
fn open_gate(yard: &Yard) {
    std::fs::write(yard.folder().join("gate"), "").expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_says_who_goes_on_and_the_next_one_does() {
    let mut yard = shop().await;
    let opened = yard.open("one gate").await;
    let run = yard.begins(&opened);
    journaled(&yard, "start web one").await;
    let took = run.cancel().await;
    assert!(took < Duration::from_millis(7500), "it took {took:?}");
    let told = run.ended().await;
    assert!(!told.succeeded(), "{}", told.all());
    assert_eq!(told.output("stage"), "pr-1", "outputs are written: {}", told.all());
    assert!(told.output("result").contains("\"interrupted\"") && !told.summary.is_empty(), "{}", told.all());
    let comments = yard.comments_of_bots();
    assert!(comments.len() == 1 && comments[0].contains("the next run for this stage goes on"), "{comments:#?}");

    open_gate(&yard);
    let again = yard.happens(&opened).await;
    is_live(&yard, &again, "pr-1", &opened);
    answers(&yard, &again, "one").await;
    assert_eq!(yard.comments_of_bots().len(), 1);
    assert_eq!(journal(&yard).iter().filter(|line| *line == "migrate one").count(), 1, "{:?}", journal(&yard));
    assert!(yard.happens(&yard.close().await).await.succeeded());
    yard.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_is_gone_on_with_by_the_next_one() {
    let mut yard = shop().await;
    let opened = yard.open("one gate").await;
    let run = yard.begins(&opened);
    journaled(&yard, "start web one").await;
    run.kill();
    open_gate(&yard);
    let again = yard.happens(&opened).await;
    is_live(&yard, &again, "pr-1", &opened);
    answers(&yard, &again, "one").await;
    assert_eq!(yard.comments_of_bots().len(), 1);
    assert_eq!(journal(&yard).iter().filter(|line| *line == "migrate one").count(), 1, "{:?}", journal(&yard));
    assert!(yard.happens(&yard.close().await).await.succeeded());
    yard.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_on_one_stage_end_with_the_newer_commit() {
    let mut yard = shop().await;
    let opened = yard.open("one gate").await;
    let first = yard.begins(&opened);
    journaled(&yard, "start web one").await;
    let pushed = yard.push("two").await;
    let second = yard.begins(&pushed);
    let second = second.ended().await;
    is_live(&yard, &second, "pr-1", &pushed);
    // Nobody opened the gate for the older one.
    answers(&yard, &second, "two").await;
    let first = first.ended().await;
    assert!(first.succeeded(), "what a newer commit took over from did not fail: {}", first.all());
    assert_eq!(yard.comments_of_bots().len(), 1);
    assert!(yard.happens(&yard.close().await).await.succeeded());
    yard.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_pull_requests_at_once_get_five_stages() {
    let yard = shop().await;
    let mut events = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        events.push(yard.open_from(name, name).await);
    }
    let runs: Vec<_> = events.iter().map(|event| yard.begins(event)).collect();
    for ((run, event), name) in runs.into_iter().zip(&events).zip(["a", "b", "c", "d", "e"]) {
        let told = run.ended().await;
        is_live(&yard, &told, &format!("pr-{}", event.body["number"]), event);
        answers(&yard, &told, name).await;
    }
    yard.asked_only_what_is_documented();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_pull_request_is_deployed_once_somebody_approved_it() {
    let mut yard = shop().await;
    let opened = yard.open_from_fork("mallory", "one").await;
    assert!(opened.is_of_a_fork());
    let told = yard.happens(&opened).await;
    assert!(told.succeeded(), "{}", told.all());
    assert!(told.output("reason").contains("/approve"), "{}", told.all());
    assert_eq!((journal(&yard), yard.github.deployments(&yard.repo).len()), (vec![], 0), "nothing of it ran");
    assert_eq!(yard.comments_of_bots(), Vec::<String>::new());

    let sha = opened.body["pull_request"]["head"]["sha"].as_str().expect("a commit").to_owned();
    let told = yard.happens(&yard.comment("mallory", &format!("/approve {sha}")).await).await;
    assert!(told.succeeded(), "{}", told.all());
    assert_eq!(journal(&yard), Vec::<String>::new(), "whoever wrote it approves nothing");

    let told = approved(&yard, &sha).await;
    answers(&yard, &told, "one").await;
    assert!(yard.happens(&yard.comment("ada", "/destroy").await).await.succeeded());
    yard.finish().await;
}

/// Somebody who may approves a commit. Where nobody has heard of a stranger's head, Greenroom learns of it by the
/// first comment and binds nobody to what they may not have seen: it asks for the command once more.
async fn approved(yard: &Yard, sha: &str) -> Told {
    for _ in 0..2 {
        let told = yard.happens(&yard.comment("ada", &format!("/approve {sha}")).await).await;
        assert!(told.succeeded(), "{}", told.all());
        if told.output("state") == "live" {
            return told;
        }
    }
    panic!("it is not approved: {:#?}", yard.comments_of_bots())
}
