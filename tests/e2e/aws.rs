//! The main story with stages on AWS.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::aws_world::{AwsWorld, LAST_WORDS, LAST_WORDS_OF_MIGRATION};
use crate::clients::Report;
use crate::estate::stack_events;

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_on_aws_from_its_first_commit_to_its_end() {
    let mut s = AwsWorld::new().await;
    let one = s.w.open("one");
    s.w.live(&one).await;
    assert_eq!(s.ask().await, (200, "one".into()));
    let comment = s.w.comment().expect("a comment");
    assert!(comment.contains(&s.address()), "{comment}");
    s.stands_once().await;
    assert_eq!(s.foundations().await.len(), 1);
    assert!(s.estate().await.rules[0].ends_with(" pr-1.example.test"), "{:?}", s.estate().await.rules);

    a_second_commit_rolls_without_a_failed_request_or_a_stack_operation(&s).await;
    let two = s.estate().await;
    a_commit_that_exits_fails_and_the_old_version_serves_on(&s).await;
    s.stands_once().await;
    let before = s.estate().await;
    assert_eq!(before.definitions, two.definitions, "the failed one is put away");
    a_migration_that_fails_stops_the_deploy(&s).await;
    s.stands_once().await;
    let after = s.estate().await;
    assert_eq!((after.definitions, after.tasks), (before.definitions, before.tasks), "the same task runs on");

    assert_eq!(s.printed("migrate one").await, 1);
    assert_eq!(s.printed("migrate two").await, 1);
    s.w.close();
    s.nothing_is_left().await;
    s.finish().await;
}

async fn a_second_commit_rolls_without_a_failed_request_or_a_stack_operation(s: &AwsWorld) {
    let events = events(s).await;
    let load = s.load().await;
    let two = s.w.push("two");
    s.w.live(&two).await;
    s.w.until("the load meets the new version", async || load.answered() > 100 && load.met("two")).await;
    let report = load.stop().await;
    assert_none_failed(s, &report);
    assert_eq!(report.answers.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(s.ask().await, (200, "two".into()));
    s.stands_once().await;
    assert_eq!(events, self::events(s).await, "no stack was touched");
}

#[track_caller]
fn assert_none_failed(s: &AwsWorld, report: &Report) {
    let mut failures = BTreeMap::<&str, usize>::new();
    for failure in &report.failures {
        *failures.entry(failure).or_default() += 1;
    }
    let (server, aws) = (s.w.home.log(), s.aws.log());
    let about_tasks: Vec<&str> = aws.lines().filter(|line| line.to_lowercase().contains("ecs")).collect();
    assert!(failures.is_empty(), "{failures:#?} beside {:?}\n{server}\n{about_tasks:#?}", report.answers);
}

/// How many events each stack has had.
async fn events(s: &AwsWorld) -> Vec<(String, usize)> {
    let mut events = Vec::new();
    for stack in [s.estate().await.stacks, s.foundations().await].concat() {
        let count = stack_events(&s.config, &stack).await;
        events.push((stack, count));
    }
    events
}

async fn a_commit_that_exits_fails_and_the_old_version_serves_on(s: &AwsWorld) {
    let load = s.load().await;
    let pushed = Instant::now();
    let three = s.w.push("three exit");
    let comment = s.w.comment_says(&format!("failed · `{}`", three.short())).await;
    assert!(pushed.elapsed() < Duration::from_mins(1), "it took {:?}", pushed.elapsed());
    assert!(comment.contains("exit code 3") && comment.contains(LAST_WORDS), "{comment}");
    assert!(comment.contains("still serves"), "{comment}");
    s.w.until("check and deployment say so too", async || s.w.shown(&three) == ["check failure", "deployment failure"])
        .await;
    let report = load.stop().await;
    assert_none_failed(s, &report);
    assert_eq!(report.answers.keys().collect::<Vec<_>>(), ["two"]);
}

async fn a_migration_that_fails_stops_the_deploy(s: &AwsWorld) {
    let four = s.w.push("four unmigrated");
    let comment = s.w.comment_says(&format!("failed · `{}`", four.short())).await;
    assert!(comment.contains("exit code 4") && comment.contains(LAST_WORDS_OF_MIGRATION), "{comment}");
    assert_eq!(s.printed("start four").await, 0, "the service was not changed");
    assert_eq!(s.ask().await, (200, "two".into()));
}
