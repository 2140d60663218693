//! The story that Greenroom is for.

use greenroom::model::StageStatus;

use crate::world::{CONFIG, World};

#[tokio::test]
async fn a_pull_request_gets_a_stage_follows_its_pushes_and_leaves_nothing() {
    let w = World::new().await;
    let (pull, first) = w.open("topic", "2");
    w.settle().await;

    assert_eq!(
        w.cloud.world(),
        [format!("pr-1/web serves {}", first.short()), format!("pr-1/worker serves {}", first.short())]
    );
    assert_eq!(w.checks(&first), ["greenroom / pr-1: success"]);
    assert_eq!(w.deployments(), [format!("pr-1 {}: success", first.short())]);
    assert!(w.headline(pull).contains(&format!("live · `{}`", first.short())), "{}", w.headline(pull));
    assert!(w.comment(pull).contains("https://pr-1.preview.test"), "{}", w.comment(pull));
    assert!(w.raw_comment(pull).starts_with("<!-- greenroom:pr-1 "));

    let second = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(second.clone()));
    assert!(w.headline(pull).contains(second.short()), "{}", w.headline(pull));
    assert_eq!(w.checks(&second), ["greenroom / pr-1: success"]);
    assert_eq!(
        w.deployments(),
        [format!("pr-1 {}: inactive", first.short()), format!("pr-1 {}: success", second.short())]
    );

    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert_eq!(w.environments(), Vec::<String>::new());
    assert!(w.comment(pull).contains("0 of 4"), "{}", w.comment(pull));
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { removed: 4 }));
    w.assert_nothing_doubled("the whole story");
}

#[tokio::test]
async fn closing_while_the_stage_is_being_made_removes_it() {
    let w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.github.deliveries_settled().await;
    // Far enough that something exists.
    while w.cloud.world().is_empty() {
        assert!(w.engine.tick().await.expect("the database answers"), "something is due");
        w.clock.advance(1);
    }
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert_eq!(w.builder.sources(), Vec::<String>::new());
    assert_eq!(w.environments(), Vec::<String>::new());
}

#[tokio::test]
async fn a_reopened_pull_request_gets_its_stage_again() {
    let w = World::new().await;
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    w.github.reopen_pull(&w.repo, pull).expect("it opens");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha.clone()));
    assert!(w.headline(pull).contains("live"), "{}", w.headline(pull));
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert_eq!(w.environments(), Vec::<String>::new());
}

#[tokio::test]
async fn a_push_to_a_permanent_stages_branch_deploys_it_by_the_same_path() {
    let w = World::new().await;
    let sha = w.push("main", "2");
    w.settle().await;
    assert_eq!(w.serving("prod", "web"), Some(sha.clone()));
    assert_eq!(w.deployments(), [format!("prod {}: success", sha.short())]);
    assert_eq!(w.checks(&sha), ["greenroom / prod: success"]);
    let next = w.push("main", "3");
    w.settle().await;
    assert_eq!(w.serving("prod", "web"), Some(next));
}

#[tokio::test]
async fn a_service_none_of_whose_files_changed_is_left_alone_and_the_comment_says_so() {
    let config = CONFIG.replace("    host", "    paths: [\"app\"]\n    host");
    let w = World::with_config(&config).await;
    let (pull, first) = w.open("topic", "2");
    w.settle().await;
    let second = w.write("topic", "README.md", "words");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(first.clone()), "none of its files changed");
    assert_eq!(w.serving("pr-1", "worker"), Some(second.clone()));
    let row = format!("unchanged since `{}`", first.short());
    assert!(w.comment(pull).contains(&row), "{row}: {}", w.comment(pull));
    assert!(w.headline(pull).contains(second.short()), "{}", w.headline(pull));
}

#[tokio::test]
async fn a_draft_waits_until_it_is_ready_and_goes_when_it_is_a_draft_again() {
    let w = World::new().await;
    let sha = w.push("topic", "2");
    let mut new = greenroom::sandbox::NewPull::new("topic", "A draft");
    new.state = greenroom::sandbox::PullState::Draft;
    let pull = w.github.open(&w.repo, new).expect("a pull request");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert_eq!(w.github.comments(&w.repo, pull), [], "no comment when nothing is deployed");
    w.github.ready_pull(&w.repo, pull).expect("it is ready");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
    w.github.draft_pull(&w.repo, pull).expect("a draft again");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
}

#[tokio::test]
async fn a_forks_commit_is_neither_built_nor_run_and_the_check_is_neutral() {
    let w = World::new().await;
    let fork = w.github.fork(&w.repo, "eve").expect("a fork");
    let sha = w
        .github
        .push(&fork, "topic", [greenroom::sandbox::FileChange::write("app", "evil")], "Mine")
        .expect("a commit");
    let mut new = greenroom::sandbox::NewPull::new("topic", "From a fork");
    new.head_repo = Some(fork);
    let pull = w.github.open(&w.repo, new).expect("a pull request");
    w.settle().await;
    assert_eq!((w.builder.journal(), w.cloud.journal()), (Vec::new(), Vec::new()), "nothing of it ran");
    assert_eq!(w.checks(&sha), ["greenroom / pr-1: neutral"]);
    assert!(w.headline(pull).contains("approv"), "{}", w.headline(pull));
}

#[tokio::test]
async fn an_expired_stage_goes_by_itself_and_a_push_brings_it_back() {
    let w = World::new().await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    w.after(7 * 86_400_000 + 1_000).await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert!(w.comment(pull).contains("xpired"), "{}", w.comment(pull));
    let sha = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn at_the_limit_a_stage_waits_names_who_holds_the_places_and_follows_when_one_goes() {
    let w = World::with_config(&CONFIG.replace("max: 20", "max: 1")).await;
    let (first, _) = w.open("one", "2");
    w.settle().await;
    let (second, sha) = w.open("two", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-2", "web"), None);
    assert!(w.comment(second).contains("pr-1"), "{}", w.comment(second));
    w.github.close_pull(&w.repo, first).expect("it closes");
    w.settle().await;
    w.after(60_000).await;
    assert_eq!(w.serving("pr-2", "web"), Some(sha));
}

/// GitHub's own token is what keeps a write from whoever else may have the name by now: none is paid for with a
/// look at the repository. The event has one, and the ruling.
#[tokio::test]
async fn a_write_is_not_paid_for_with_a_look() {
    let w = World::new().await;
    w.open("topic", "2");
    w.settle().await;
    let repo = ("GET".to_owned(), "/repos/{owner}/{repo}");
    w.github.forget_requests();
    w.push("topic", "3");
    w.settle().await;
    let counts = w.github.counts();
    let (looks, writes) = (counts.by_endpoint.get(&repo).copied().unwrap_or_default(), counts.writes());
    assert!(looks <= 2 && writes > 2, "an update took {looks} looks for {writes} writes");
}

#[tokio::test]
async fn a_new_preview_and_an_update_write_little_to_github() {
    let w = World::new().await;
    w.github.forget_requests();
    w.open("topic", "2");
    w.settle().await;
    let first = w.github.counts().writes();
    w.github.forget_requests();
    w.push("topic", "3");
    w.settle().await;
    let update = w.github.counts().writes();
    assert!(first <= 10, "a new preview took {first} writes: {:#?}", w.github.counts());
    assert!(update <= 5, "an update took {update} writes: {:#?}", w.github.counts());
}
