//! What people read where nothing is deployed: why, and what leads around it.

use greenroom::sandbox::{FileChange, NewPull, PullState};

use crate::commands::{people, shop};
use crate::world::{CONFIG, World};

#[tokio::test]
async fn a_push_that_concerns_no_service_leaves_the_stage_unchanged_and_says_what_runs() {
    let (w, pull, first) = shop().await;
    let second = w.write("topic", "README.md", "words");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(first.clone()), "none of its files changed");
    let headline = w.headline(pull);
    for said in ["unchanged", first.short(), second.short()] {
        assert!(headline.contains(said), "{said}: {headline}");
    }
    assert!(!headline.contains("live"), "{headline}");
    let row = format!("unchanged since `{}` (no file of its paths changed)", first.short());
    assert!(w.comment(pull).contains(&row), "{row}: {}", w.comment(pull));
    assert_eq!(w.checks(&second), ["greenroom / pr-1: success"]);
    w.hears("rita", pull, "/status").await;
    assert!(w.answer(pull).contains("unchanged"), "{}", w.answer(pull));

    let third = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(third.clone()), "the next push that concerns it does");
    assert!(w.headline(pull).contains(&format!("live · `{}`", third.short())), "{}", w.headline(pull));
}

#[tokio::test]
async fn paths_are_what_people_mean_by_them() {
    for (paths, path, is_deployed) in [
        (r#"["./pages/"]"#, "pages/index.tsx", true),
        (r#"["pages/[slug]/**"]"#, "pages/[slug]/page.tsx", true),
        (r#"["!docs/**"]"#, "docs/index.md", false),
        (r#"["!docs/**"]"#, "pages/index.tsx", true),
    ] {
        let config = CONFIG.replace("    build: {}", &format!("    build: {{}}\n    paths: {paths}"));
        let w = World::with_config(&config).await;
        let (_, first) = w.open("topic", "2");
        w.settle().await;
        let second = w.write("topic", path, "words");
        w.settle().await;
        let expected = if is_deployed { second } else { first };
        assert_eq!(w.serving("pr-1", "web"), Some(expected), "{paths} {path}");
    }
}

/// A shop whose pull requests get a stage by a label.
async fn labelled() -> World {
    let config = CONFIG.replace("drafts: skip, forks: approve", "drafts: skip, forks: never, label: Preview");
    let w = World::with_config(&config).await;
    people(&w);
    w
}

#[tokio::test]
async fn a_label_is_one_in_any_case_and_its_absence_is_said_where_somebody_asks() {
    let w = labelled().await;
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.github.comments(&w.repo, pull), [], "nobody asked");
    for command in ["/status", "/why"] {
        w.hears("rita", pull, command).await;
        let answer = w.answer(pull);
        assert!(answer.contains("does not have the label Preview"), "{command}: {answer}");
        assert!(answer.contains("/deploy"), "{command}: {answer}");
    }

    w.github.label(&w.repo, pull, "preview").expect("a label");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha), "GitHub does not look at case");
    w.hears("rita", pull, "/why").await;
    assert!(!w.answer(pull).contains("does not have the label"), "{}", w.answer(pull));

    w.github.unlabel(&w.repo, pull, "preview").expect("no label");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert!(w.comment(pull).contains("the label `Preview` was taken off"), "{}", w.comment(pull));
}

/// Nobody took it off: the rule got its label while the stage was there.
#[tokio::test]
async fn a_label_that_a_pull_request_never_had_was_not_taken_off() {
    let w = World::new().await;
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
    w.write("main", ".github/greenroom.yml", &CONFIG.replace("drafts: skip,", "drafts: skip, label: Preview,"));
    w.github.label(&w.repo, pull, "help").expect("a label");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None);
    let comment = w.comment(pull);
    assert!(comment.contains("the pull request does not have the label `Preview`"), "{comment}");
    assert!(!comment.contains("taken off"), "{comment}");
    // Once it has had the label, that is what is said.
    w.github.label(&w.repo, pull, "preview").expect("a label");
    w.settle().await;
    w.github.unlabel(&w.repo, pull, "preview").expect("no label");
    w.settle().await;
    assert!(w.comment(pull).contains("the label `Preview` was taken off"), "{}", w.comment(pull));
}

#[tokio::test]
async fn a_draft_and_a_fork_are_told_why_they_get_no_stage() {
    let w = labelled().await;
    w.push("topic", "2");
    let mut draft = NewPull::new("topic", "A draft");
    draft.state = PullState::Draft;
    let draft = w.github.open(&w.repo, draft).expect("a pull request");
    let fork = w.github.fork(&w.repo, "eve").expect("a fork");
    w.github.push(&fork, "topic", [FileChange::write("app", "evil")], "Mine").expect("a commit");
    let mut stranger = NewPull::new("topic", "From a fork");
    stranger.head_repo = Some(fork);
    let stranger = w.github.open(&w.repo, stranger).expect("a pull request");
    w.github.label(&w.repo, stranger, "PREVIEW").expect("a label");
    w.settle().await;
    for (pull, said) in [(draft, "it is a draft"), (stranger, "forks: never")] {
        for command in ["/status", "/why"] {
            w.hears("rita", pull, command).await;
            assert!(w.answer(pull).contains(said), "{command}: {}", w.answer(pull));
        }
    }
}

#[tokio::test]
async fn what_a_source_lacks_is_said_while_it_deploys_and_after() {
    let w = World::new().await;
    w.builder.gap("1 submodule is empty (vendor/lib)");
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    assert!(w.headline(pull).contains("live"), "it is no failure: {}", w.headline(pull));
    let noted = w.comment(pull).matches("**Note:** 1 submodule is empty (vendor/lib).").count();
    assert_eq!(noted, 1, "{}", w.comment(pull));
}

#[tokio::test]
async fn a_configuration_under_the_other_name_is_not_met_with_silence() {
    let w = World::new().await;
    let moved = [FileChange::remove(".github/greenroom.yml"), FileChange::write(".github/greenroom.yaml", CONFIG)];
    w.github.push(&w.repo, "main", moved, "Rename").expect("a commit");
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    let comment = w.comment(pull);
    assert!(comment.contains(".github/greenroom.yaml") && comment.contains(".github/greenroom.yml"), "{comment}");
}
