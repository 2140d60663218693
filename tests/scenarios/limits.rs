//! What a pull request may ask for, and who decides it.

use greenroom::model::{PullNumber, Seconds, StageStatus};
use greenroom::port::Clock;
use greenroom::sandbox::{FileChange, Mishap};

use crate::commands::people;
use crate::world::World;

const PATH: &str = ".github/greenroom.yml";

/// A shop whose previews have these limits, and whose service is of this size.
fn shop(limits: &str, size: &str) -> String {
    format!(
        r#"
version: 1
app: shop
stages:
  prod: {{ on: {{ push: main }}, protect: true }}
  "pr-{{number}}": {{ on: {{ pull_request: {{ forks: approve }} }}{limits} }}
services:
  web: {{ kind: ecs, build: {{}}, host: "@", port: 8080, health: {{ path: /health }}{size} }}
"#
    )
}

const LARGE: &str = ", size: { cpu: 16384, memory: 32768 }, scale: { min: 50 }";

/// A pull request that asks for more than anybody has had.
async fn greedy(w: &World) -> PullNumber {
    people(w);
    let sha = w.write("topic", PATH, &shop(", limits: { cpu: 16384, memory: 122880, copies: 1000 }", LARGE));
    let pull = w.github.open_pull(&w.repo, "topic", "Everything").expect("a pull request");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None);
    assert!(w.headline(pull).contains(sha.short()), "{}", w.headline(pull));
    pull
}

#[tokio::test]
async fn a_pull_request_that_asks_for_everything_gets_nothing_and_is_told_why() {
    let w = World::with_config(&shop("", "")).await;
    let pull = greedy(&w).await;
    let comment = w.comment(pull);
    for asked in ["asks for 16384 CPU units", "asks for 32768 MiB of memory", "asks for 50 copies"] {
        assert!(comment.contains(asked), "{comment}");
    }
    assert_eq!(w.builder.journal(), Vec::<String>::new(), "nothing is built for it");
    // Nobody can command it either: who decides is the default branch.
    w.hears("adam", pull, "/deploy").await;
    assert_eq!(w.serving("pr-1", "web"), None);
    let small = w.write("topic", PATH, &shop("", ", size: { cpu: 512, memory: 1024 }"));
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(small), "{}", w.comment(pull));
}

#[tokio::test]
async fn the_default_branch_lets_it_have_more() {
    let w = World::with_config(&shop("", "")).await;
    let pull = greedy(&w).await;
    let more = shop(", limits: { cpu: 16384, memory: 32768, copies: 50 }", "");
    w.github.push(&w.repo, "main", [FileChange::write(PATH, more)], "More for previews").expect("a commit");
    w.hears("wes", pull, "/deploy").await;
    assert!(w.serving("pr-1", "web").is_some(), "{}", w.comment(pull));
}

#[tokio::test]
async fn what_runs_in_previews_today_runs_on_without_a_word_about_limits() {
    let w = World::with_config(&shop("", LARGE)).await;
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha), "{}", w.comment(pull));
}

#[tokio::test]
async fn a_build_that_holds_its_builder_is_given_up_when_the_operator_says() {
    for (span, lasts) in [(Seconds(120), 60), (Seconds(600), 400)] {
        let mut w = World::new().await;
        w.gives_builds(span);
        w.builder.mishap("web", None, Mishap::Slow(100_000));
        let (pull, sha) = w.open("topic", "2");
        let since = w.clock.now();
        while !matches!(w.stage_status("pr-1").await, Some(StageStatus::Failed { .. })) {
            assert!(w.clock.now().since(since) < 1_000 * 3_600, "it goes on: {}", w.comment(pull));
            w.runs(10).await;
        }
        let took = w.clock.now().since(since) / 1_000;
        let most = i64::try_from(span.0).expect("a number") + 60;
        assert!((lasts..most).contains(&took), "{span}: {took} s");
        assert!(w.headline(pull).contains(sha.short()), "{}", w.headline(pull));
    }
}

/// A permanent stage has what it asks for, and what it has built is anybody's to promote.
#[tokio::test]
async fn what_is_promoted_to_a_preview_is_within_its_limits_too() {
    let config = shop("", "").replace("  prod:", "  lab: { on: { push: lab } }\n  prod:");
    let w = World::with_config(&config).await;
    let pull = greedy(&w).await;
    w.hears("adam", pull, "/deploy lab").await;
    assert!(w.serving("lab", "web").is_some(), "{}", w.answer(pull));
    w.after(61_000).await;
    w.hears("adam", pull, "/promote lab pr-1").await;
    assert_eq!(w.serving("pr-1", "web"), None, "{}", w.answer(pull));
    assert!(w.comment(pull).contains("asks for 16384 CPU units"), "{}", w.comment(pull));
}
