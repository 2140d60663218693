//! The pull request as the control room: a story for each command.

use greenroom::model::{CommitSha, Permission, PullNumber, StageStatus};
use greenroom::port::Phase;
use greenroom::sandbox::{FileChange, Mishap};

use crate::world::{World, exited};

/// A shop with everything that commands are about: previews, a stage for everybody who maintains, and
/// one that is protected.
pub(crate) const SHOP: &str = r#"
version: 1
app: shop
stages:
  prod: { on: { push: main }, protect: true }
  staging: { on: { push: staging } }
  "pr-{number}": { on: { pull_request: { drafts: skip, forks: approve } }, expires: 7d }
services:
  web: { kind: ecs, build: {}, host: "@", port: 8080, health: { path: /health }, paths: ["app"] }
  worker: { kind: ecs, build: {}, paths: ["jobs"] }
"#;

/// `rita` reads, `wes` writes, `mia` maintains, `adam` administers.
pub(crate) fn people(w: &World) {
    for (who, right) in [
        ("rita", Permission::Read),
        ("wes", Permission::Write),
        ("mia", Permission::Maintain),
        ("adam", Permission::Admin),
    ] {
        w.github.set_permission(&w.repo, who, right);
    }
}

fn builds(w: &World) -> usize {
    w.builder.journal().iter().filter(|line| line.starts_with("build")).count()
}

/// The shop with its people and one pull request that is live.
pub(crate) async fn shop() -> (World, PullNumber, CommitSha) {
    let w = World::with_config(SHOP).await;
    people(&w);
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    (w, pull, sha)
}

#[tokio::test]
async fn deploy_brings_a_draft_the_stage_that_it_does_not_get_by_itself() {
    let (w, pull, _) = shop().await;
    w.github.draft_pull(&w.repo, pull).expect("a draft");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None);
    let head = w.push("topic", "3");
    w.settle().await;
    let comment = w.hears("wes", pull, "Please have a look:\n\n/deploy").await;
    assert_eq!(w.serving("pr-1", "web"), Some(head.clone()));
    assert!(w.headline(pull).contains("live") && w.headline(pull).contains(head.short()));
    assert_eq!(w.reactions(comment).last().map(String::as_str), Some("rocket"));
    assert_eq!(w.answers(pull), Vec::<String>::new(), "the stage's own comment says it");
}

#[tokio::test]
async fn deploy_takes_a_commit_to_another_stage_and_says_how_it_ended() {
    let (w, pull, sha) = shop().await;
    let comment = w.hears("mia", pull, "/deploy staging").await;
    assert_eq!(w.serving("staging", "web"), Some(sha.clone()));
    let answer = w.answer(pull);
    for told in [&format!("{} goes to staging", sha.short()), "**Done:**", "staging is live"] {
        assert!(answer.contains(told), "{told:?} is missing from {answer}");
    }
    assert_eq!(w.reactions(comment).last().map(String::as_str), Some("rocket"));

    w.cloud.mishap(Phase::Start, "web", None, Mishap::Fail(exited(3, "no such table")));
    w.push("topic", "3");
    w.settle().await;
    let comment = w.hears("mia", pull, "/deploy staging").await;
    assert_eq!(w.serving("staging", "web"), Some(sha), "the old version serves on");
    let answer = w.answer(pull);
    assert!(answer.contains("**Failed:**") && answer.contains("exit code 3"), "{answer}");
    assert_eq!(w.reactions(comment).last().map(String::as_str), Some("-1"));
}

#[tokio::test]
async fn deploy_of_one_service_leaves_the_others_as_they_run() {
    let (w, pull, first) = shop().await;
    w.hears("mia", pull, "/deploy staging").await;
    w.write("topic", "app", "3");
    w.settle().await;
    let head = w.write("topic", "jobs", "3");
    w.settle().await;
    w.hears("mia", pull, "/deploy staging worker").await;
    assert_eq!((w.serving("staging", "web"), w.serving("staging", "worker")), (Some(first), Some(head.clone())));
    w.hears("mia", pull, "/deploy staging").await;
    assert_eq!(w.serving("staging", "web"), Some(head), "what was left out is caught up with");
}

#[tokio::test]
async fn whoever_may_not_is_told_what_would_help_and_nothing_happens() {
    let (w, pull, _) = shop().await;
    for (who, command, told) in [
        ("wes", "/deploy staging", "deploy is for maintain"),
        ("mia", "/deploy prod", "deploy is for admin"),
        ("rita", "/destroy", "destroy is for write"),
        ("nobody", "/logs web", "logs is for write"),
        ("mia", "/destroy prod", "ask an admin"),
    ] {
        let comment = w.hears(who, pull, command).await;
        let answer = w.answer(pull);
        assert!(answer.contains("**Refused:**") && answer.contains(told), "{who} {command}: {answer}");
        assert_eq!(w.reactions(comment), ["confused"], "{who} {command}");
        w.after(61_000).await;
    }
    assert_eq!(w.store.stages(Some(&w.repo)).await.expect("the database answers").len(), 1);
}

#[tokio::test]
async fn commands_run_in_order_and_stop_at_the_first_that_is_refused() {
    let (w, pull, sha) = shop().await;
    w.hears("mia", pull, "/deploy staging\n/deploy prod\n/destroy").await;
    assert_eq!((w.serving("staging", "web"), w.serving("prod", "web")), (Some(sha.clone()), None));
    assert_eq!(w.serving("pr-1", "web"), Some(sha), "what came after the refusal was not run");
    let answer = w.answer(pull);
    let places: Vec<usize> =
        ["**Begun:**", "**Refused:**", "**Not run:**"].iter().filter_map(|label| answer.find(label)).collect();
    assert!(places.len() == 3 && places.is_sorted(), "{answer}");
}

#[tokio::test]
async fn what_is_nearly_a_command_is_answered_and_never_run() {
    let (w, pull, sha) = shop().await;
    w.hears("wes", pull, "/destory").await;
    assert!(w.answer(pull).contains("destroy"), "{}", w.answer(pull));
    w.hears("mia", pull, "/deploy stagign").await;
    assert!(w.answer(pull).contains("staging"), "{}", w.answer(pull));
    w.hears("wes", pull, "```\n/destroy\n```\n\n> /destroy\n\n<!-- \n/destroy\n-->\n\nwrite `/destroy`").await;
    assert_eq!(w.answers(pull).len(), 2, "{:#?}", w.answers(pull));
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn destroy_removes_the_stage_and_a_push_brings_it_back() {
    let (w, pull, _) = shop().await;
    let comment = w.hears("wes", pull, "/destroy").await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert!(w.headline(pull).contains("0 of"), "{}", w.headline(pull));
    assert_eq!(w.reactions(comment).last().map(String::as_str), Some("+1"));
    let head = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(head));
}

#[tokio::test]
async fn redeploy_restarts_the_same_commit_once() {
    let (w, pull, sha) = shop().await;
    let starts = |w: &World| w.cloud.journal().iter().filter(|line| line.starts_with("start pr-1/web")).count();
    assert_eq!(starts(&w), 1);
    w.hears("wes", pull, "/redeploy").await;
    assert_eq!((starts(&w), w.serving("pr-1", "web")), (2, Some(sha)));
    w.after(3 * 3_600_000).await;
    w.github.label(&w.repo, pull, "help").expect("a label");
    w.settle().await;
    assert_eq!(starts(&w), 2, "it was asked for once");
}

#[tokio::test]
async fn retry_takes_up_what_failed() {
    let (w, pull, first) = shop().await;
    w.cloud.mishap(Phase::Start, "web", None, Mishap::Fail(exited(3, "the database sleeps")));
    let head = w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(first));
    w.cloud.mishap(Phase::Start, "web", None, Mishap::Slow(0));
    let comment = w.hears("wes", pull, "/retry").await;
    assert_eq!(w.serving("pr-1", "web"), Some(head));
    assert_eq!(w.reactions(comment).last().map(String::as_str), Some("rocket"));
    w.hears("wes", pull, "/retry").await;
    assert!(w.answer(pull).contains("nothing failed on pr-1"), "{}", w.answer(pull));
}

#[tokio::test]
async fn rollback_goes_back_release_by_release() {
    let (w, pull, first) = shop().await;
    let mut commits = vec![first];
    for content in ["3", "4"] {
        commits.push(w.push("topic", content));
        w.settle().await;
    }
    let built = builds(&w);
    w.hears("wes", pull, "/rollback").await;
    assert_eq!(w.serving("pr-1", "web"), Some(commits[1].clone()));
    w.hears("wes", pull, "/rollback").await;
    assert_eq!(w.serving("pr-1", "web"), Some(commits[0].clone()));
    w.hears("wes", pull, "/rollback").await;
    assert!(w.answer(pull).contains("no release before"), "{}", w.answer(pull));
    assert_eq!(builds(&w), built, "nothing is built again: {:#?}", w.builder.journal());
    w.after(61_000).await;
    w.hears("wes", pull, "/rollback 99").await;
    assert!(w.answer(pull).contains("no such release"), "{}", w.answer(pull));
    let head = w.push("topic", "5");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(head), "the next push goes on from the branch");
}

#[tokio::test]
async fn promote_brings_the_very_same_and_proves_it() {
    let (w, pull, sha) = shop().await;
    w.hears("mia", pull, "/deploy staging").await;
    let built = builds(&w);
    w.hears("mia", pull, "/promote staging prod").await;
    assert_eq!(w.serving("prod", "web"), None, "prod is for admins");
    let comment = w.hears("adam", pull, "/promote staging prod").await;
    assert_eq!(w.serving("prod", "web"), Some(sha), "{}", w.answer(pull));
    assert_eq!(builds(&w), built, "nothing is built again");
    let answer = w.answer(pull);
    assert!(answer.contains("The same as on staging") && answer.contains("configuration"), "{answer}");
    assert_eq!(w.reactions(comment).last().map(String::as_str), Some("rocket"));
    let of = |name: &'static str| async {
        let id = w.stage_id(name);
        w.store.releases(&id, 1).await.expect("the database answers").remove(0).artifacts
    };
    assert_eq!(of("staging").await, of("prod").await);
    w.after(61_000).await;
    w.hears("adam", pull, "/promote prod prod").await;
    assert!(w.answer(pull).contains("names prod twice"), "{}", w.answer(pull));
}

#[tokio::test]
async fn an_image_that_knows_its_stage_is_not_promoted() {
    let config = SHOP.replace("host: \"@\",", "host: \"@\", build: { args: { API_URL: \"{urls.web}\" } },");
    let config = config.replacen("build: {}, host", "host", 1);
    let w = World::with_config(&config).await;
    people(&w);
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    w.hears("adam", pull, "/deploy staging\n/deploy prod").await;
    assert_eq!(w.serving("prod", "web"), Some(sha));
    w.push("topic", "3");
    w.settle().await;
    w.hears("adam", pull, "/deploy staging").await;
    w.hears("adam", pull, "/promote staging prod").await;
    let answer = w.answer(pull);
    assert!(answer.contains("API\\_URL") && answer.contains("deploy prod instead"), "{answer}");
}

#[tokio::test]
async fn cancel_stops_a_build_and_leads_back_to_what_served() {
    let (w, pull, first) = shop().await;
    let head = w.github.commit(&w.repo, "topic", [FileChange::write("app", "3")], "Go on").expect("a commit");
    w.builder.mishap("web", Some(&head), Mishap::Slow(100_000));
    w.github.push_to(&w.repo, "topic", &head).expect("a push");
    w.runs(20).await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Deploying { .. }));
    let comment = w.hears("wes", pull, "/cancel").await;
    assert_eq!(w.serving("pr-1", "web"), Some(first.clone()));
    assert_eq!(w.stage("pr-1").await.status, StageStatus::Live { sha: first.clone() });
    let answer = w.answer(pull);
    for told in ["stopped during", "build:web", first.short(), "Nothing had been changed yet"] {
        assert!(answer.contains(told), "{told:?} is missing from {answer}");
    }
    assert_eq!(w.reactions(comment).last().map(String::as_str), Some("+1"));
    w.hears("wes", pull, "/cancel").await;
    assert!(w.answer(pull).contains("nothing is under way"), "{}", w.answer(pull));
}

#[tokio::test]
async fn cancel_of_a_rollout_leads_every_service_back() {
    let (w, pull, first) = shop().await;
    let head = w.github.commit(&w.repo, "topic", [FileChange::write("app", "3")], "Go on").expect("a commit");
    w.cloud.mishap(Phase::Start, "web", Some(&head), Mishap::Slow(100_000));
    w.github.push_to(&w.repo, "topic", &head).expect("a push");
    w.runs(30).await;
    w.hears("wes", pull, "/cancel").await;
    assert_eq!(w.serving("pr-1", "web"), Some(first.clone()));
    assert_eq!(
        w.cloud.world(),
        [format!("pr-1/web serves {}", first.short()), format!("pr-1/worker serves {}", first.short())],
        "nothing is left beside it"
    );
}

/// A pull request's next commit, in whose configuration one copy of `web` is watched first.
fn commit_with_canary(w: &World) -> CommitSha {
    let config = SHOP.replace("paths: [\"app\"]", "canary: 10m, paths: [\"app\"]");
    let files = [FileChange::write("app", "3"), FileChange::write(".github/greenroom.yml", config)];
    w.github.commit(&w.repo, "topic", files, "Go on").expect("a commit")
}

#[tokio::test]
async fn cancel_of_a_canary_takes_it_away_and_nothing_else_has_changed() {
    let (w, pull, first) = shop().await;
    let head = commit_with_canary(&w);
    w.cloud.mishap(Phase::Canary, "web", Some(&head), Mishap::Slow(100_000));
    let before = w.cloud.world();
    w.github.push_to(&w.repo, "topic", &head).expect("a push");
    w.runs(40).await;
    let [web, worker] = &before[..] else { panic!("two services serve: {before:?}") };
    assert_eq!(w.cloud.world(), [format!("{web} beside 1 more"), worker.clone()], "one copy beside what serves");
    assert!(w.comment(pull).contains("canary"), "{}", w.comment(pull));
    let comment = w.hears("wes", pull, "/cancel").await;
    assert_eq!(w.cloud.world(), before);
    assert_eq!(w.stage("pr-1").await.status, StageStatus::Live { sha: first.clone() });
    let answer = w.answer(pull);
    for told in ["stopped during", "canary:web", first.short()] {
        assert!(answer.contains(told), "{told:?} is missing from {answer}");
    }
    assert_eq!(w.reactions(comment).last().map(String::as_str), Some("+1"));
    assert!(!w.cloud.journal().iter().any(|line| line.ends_with(head.short()) && line.starts_with("start")));
}

#[tokio::test]
async fn a_canary_that_fails_ends_the_deploy_before_anything_else_changes() {
    let (w, pull, first) = shop().await;
    let head = commit_with_canary(&w);
    w.cloud.mishap(Phase::Canary, "web", Some(&head), Mishap::Fail(exited(3, "no such table")));
    let before = w.cloud.world();
    w.github.push_to(&w.repo, "topic", &head).expect("a push");
    w.settle().await;
    assert_eq!((w.cloud.world(), w.serving("pr-1", "web")), (before, Some(first)));
    let comment = w.comment(pull);
    for told in ["failed", "exit code 3", "no such table", "still serves"] {
        assert!(comment.contains(told), "{told:?} is missing from {comment}");
    }
}

#[tokio::test]
async fn cancel_while_the_new_version_has_the_traffic_and_is_on_trial_leads_back() {
    let (w, pull, first) = shop().await;
    let change = FileChange::write("app", "3");
    let head = w.github.commit(&w.repo, "topic", [change], "Go on").expect("a commit");
    w.cloud.mishap(Phase::Check, "web", Some(&head), Mishap::Slow(100_000));
    w.github.push_to(&w.repo, "topic", &head).expect("a push");
    w.runs(40).await;
    assert_eq!(w.serving("pr-1", "web"), Some(head.clone()), "the traffic is there already");
    let comment = w.hears("wes", pull, "/cancel").await;
    assert_eq!(w.serving("pr-1", "web"), Some(first.clone()));
    assert_eq!(w.stage("pr-1").await.status, StageStatus::Live { sha: first.clone() });
    let answer = w.answer(pull);
    for told in ["stopped during", "check:web", first.short()] {
        assert!(answer.contains(told), "{told:?} is missing from {answer}");
    }
    assert_eq!(w.reactions(comment).last().map(String::as_str), Some("+1"));
    let nothing_else = [format!("pr-1/web serves {}", first.short()), format!("pr-1/worker serves {}", first.short())];
    assert_eq!(w.cloud.world(), nothing_else);
}

#[tokio::test]
async fn cancel_of_the_first_deploy_leaves_nothing() {
    let w = World::with_config(SHOP).await;
    people(&w);
    w.builder.mishap("web", None, Mishap::Slow(100_000));
    let (pull, _) = w.open("topic", "2");
    w.runs(20).await;
    w.hears("wes", pull, "/cancel").await;
    assert_eq!(w.cloud.world(), Vec::<String>::new());
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }), "{:?}", w.stage("pr-1").await.status);
    assert!(w.answer(pull).contains("nothing served before"), "{}", w.answer(pull));
}

#[tokio::test]
async fn questions_are_answered_without_changing_anything() {
    let (w, pull, sha) = shop().await;
    let before = (w.cloud.journal(), w.builder.journal());
    for (command, told) in [
        ("/status", "pr-1 is live"),
        ("/plan staging", "staging to"),
        ("/health", "2 of 2 services of pr-1 are healthy"),
        ("/logs web 5", "web"),
        ("/why staging", "deploy is for maintain"),
    ] {
        w.hears("wes", pull, command).await;
        let answer = w.answer(pull);
        assert!(answer.contains(told), "{command}: {answer}");
        w.after(61_000).await;
    }
    assert_eq!((w.cloud.journal(), w.builder.journal()), before);
    assert!(w.answers(pull)[0].contains(sha.short()));
    let comment = w.hears("wes", pull, "/help").await;
    let answer = w.answer(pull);
    let (may, others) = answer.split_once("What is for others").expect("two parts");
    assert!(may.contains("/deploy") && may.contains("pr-1") && !may.contains("prod |"), "{answer}");
    assert!(others.contains("prod"), "{answer}");
    assert_eq!(w.reactions(comment), ["+1"]);
}

#[tokio::test]
async fn keep_lets_a_stage_live_longer() {
    let (w, pull, sha) = shop().await;
    w.hears("wes", pull, "/keep 10d").await;
    assert!(w.answer(pull).contains("pr-1 lives until"), "{}", w.answer(pull));
    w.after(8 * 86_400_000).await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
    w.after(3 * 86_400_000).await;
    assert_eq!(w.serving("pr-1", "web"), None, "then it expires");
    w.hears("mia", pull, "/keep 3d staging").await;
    assert!(w.answer(pull).contains("there is no stage staging"), "{}", w.answer(pull));
}
