//! Who may go first: locks, queues, approvals, second looks, and everything that tries to get around
//! them.

use greenroom::model::{Permission, ReviewState, StageStatus};
use greenroom::port::Phase;
use greenroom::sandbox::{FileChange, Mishap, NewPull};

use crate::commands::{SHOP, people, shop};
use crate::world::World;

#[tokio::test]
async fn a_comment_that_is_older_than_anything_remembered_is_never_heard() {
    let (w, pull, sha) = shop().await;
    for (days, expected) in [(8, None), (6, Some(sha))] {
        w.says("mia", pull, "/deploy staging");
        w.github.deliveries_settled().await;
        w.clock.advance(days * 24 * 3_600_000);
        w.settle().await;
        assert_eq!(w.serving("staging", "web"), expected, "after {days} days");
    }
}

#[tokio::test]
async fn a_lock_keeps_a_stage_from_pushes_and_from_others_until_its_time_is_over() {
    let (w, pull, sha) = shop().await;
    w.hears("mia", pull, "/deploy staging").await;
    w.hears("mia", pull, "/lock staging \"trying the new checkout\" for 2h").await;
    let pushed = w.push("staging", "4");
    w.settle().await;
    assert_eq!(w.serving("staging", "web"), Some(sha.clone()), "a push waits as well");
    assert!(matches!(w.stage("staging").await.status, StageStatus::Withheld { .. }));
    w.hears("adam", pull, "/deploy staging").await;
    let answer = w.answer(pull);
    assert!(answer.contains("locked by mia") && answer.contains("trying the new checkout"), "{answer}");
    assert_eq!(w.serving("staging", "web"), Some(sha.clone()));
    w.hears("adam", pull, "/unlock staging").await;
    assert!(w.answer(pull).contains("**Refused:**"), "{}", w.answer(pull));
    assert_eq!(w.serving("staging", "web"), Some(sha));
    w.after(2 * 3_600_000).await;
    assert_eq!(w.serving("staging", "web"), Some(pushed), "then what waited is deployed");
}

#[tokio::test]
async fn a_lock_is_for_its_owner_is_overruled_with_a_reason_and_ends_with_its_pull_request() {
    let (w, pull, _) = shop().await;
    w.hears("mia", pull, "/deploy staging\n/lock staging \"demo\"").await;
    let mine = w.push("topic", "3");
    w.settle().await;
    w.hears("mia", pull, "/deploy staging").await;
    assert_eq!(w.serving("staging", "web"), Some(mine.clone()), "its owner goes on");
    let (other, theirs) = w.open("other", "5");
    w.settle().await;
    w.hears("mia", other, "/deploy staging").await;
    assert_eq!(w.serving("staging", "web"), Some(mine), "not from another pull request of theirs");
    w.hears("adam", other, "/unlock staging --force \"the demo is over\"").await;
    assert!(w.answer(other).contains("mia's lock"), "{}", w.answer(other));
    w.hears("mia", other, "/deploy staging").await;
    assert_eq!(w.serving("staging", "web"), Some(theirs));

    w.hears("adam", pull, "/lock all \"freeze\"").await;
    let held = w.push("staging", "6");
    w.settle().await;
    assert_ne!(w.serving("staging", "web"), Some(held.clone()));
    w.github.close_pull(&w.repo, pull).expect("closed");
    w.settle().await;
    assert_eq!(w.serving("staging", "web"), Some(held), "the lock went with its pull request");
    assert_eq!(w.serving("pr-1", "web"), None, "and no lock keeps what nobody needs");
}

#[tokio::test]
async fn a_lock_that_comes_before_the_goal_begins_holds_it_until_it_is_gone() {
    let (w, pull, sha) = shop().await;
    w.hears("mia", pull, "/deploy staging").await;
    let pushed = w.push("staging", "4");
    w.settle().await;
    assert_eq!(w.serving("staging", "web"), Some(pushed.clone()));
    w.says("mia", pull, "/deploy staging");
    w.says("adam", pull, "/lock staging \"not now\"");
    w.settle().await;
    assert_eq!(w.serving("staging", "web"), Some(pushed));
    w.hears("adam", pull, "/unlock staging").await;
    assert_eq!(w.serving("staging", "web"), Some(sha), "then it goes on: {}", w.answer(pull));
}

#[tokio::test]
async fn a_push_right_behind_a_command_takes_its_place_and_the_command_is_told_so() {
    let (w, pull, _) = shop().await;
    w.hears("mia", pull, "/deploy staging").await;
    w.github.set_delivery_mode(greenroom::sandbox::DeliveryMode::Hold);
    let comment = w.says("mia", pull, "/redeploy staging");
    let pushed = w.push("staging", "4");
    w.github.set_delivery_mode(greenroom::sandbox::DeliveryMode::Send);
    w.github.release_deliveries(greenroom::sandbox::Order::AsHappened);
    w.settle().await;
    assert_eq!(w.serving("staging", "web"), Some(pushed));
    assert!(w.answer(pull).contains("a newer goal took the place"), "{}", w.answer(pull));
    assert_eq!(w.reactions(comment).last().map(String::as_str), Some("-1"));
}

#[tokio::test]
async fn a_lock_is_handed_over() {
    let (w, pull, _) = shop().await;
    w.hears("mia", pull, "/deploy staging\n/lock staging \"demo\" to=@adam").await;
    assert!(w.answer(pull).contains("locked by adam"), "{}", w.answer(pull));
    let (other, theirs) = w.open("other", "5");
    w.settle().await;
    w.hears("mia", other, "/deploy staging").await;
    assert!(w.answer(other).contains("locked by adam"), "{}", w.answer(other));
    w.hears("adam", other, "/deploy staging").await;
    assert_eq!(w.serving("staging", "web"), Some(theirs));
}

#[tokio::test]
async fn who_comes_second_waits_for_the_stage_and_is_judged_again_when_the_turn_comes() {
    let (w, first, _) = shop().await;
    let (second, theirs) = w.open("second", "3");
    w.settle().await;
    let (third, _) = w.open("third", "4");
    w.settle().await;
    w.github.set_permission(&w.repo, "max", Permission::Maintain);
    w.builder.mishap("web", None, Mishap::Slow(40));
    w.cloud.mishap(Phase::Start, "web", None, Mishap::Slow(40));
    w.says("mia", first, "/deploy staging");
    w.runs(10).await;
    let waiting = w.says("mia", second, "/deploy staging");
    w.runs(10).await;
    let refused = w.says("max", third, "/deploy staging");
    w.runs(10).await;
    assert!(w.answer(second).contains("number 1 of those that wait"), "{}", w.answer(second));
    assert!(w.answer(third).contains("number 2 of those that wait"), "{}", w.answer(third));
    assert_eq!(w.reactions(waiting), ["eyes"]);
    w.github.set_permission(&w.repo, "max", Permission::Write);
    w.settle().await;
    w.after(120_000).await;
    w.after(120_000).await;
    assert_eq!(w.serving("staging", "web"), Some(theirs), "{:#?}", w.cloud.journal());
    assert_eq!(w.reactions(waiting).last().map(String::as_str), Some("rocket"));
    assert!(w.answer(third).contains("its turn came, and max has write"), "{}", w.answer(third));
    assert_eq!(w.reactions(refused).last().map(String::as_str), Some("confused"));
    assert!(w.stage("staging").await.queue.is_empty());
}

#[tokio::test]
async fn a_right_that_is_lost_before_the_goal_begins_stops_it() {
    let (w, pull, sha) = shop().await;
    w.hears("mia", pull, "/deploy staging").await;
    let slow = w.push("staging", "4");
    w.settle().await;
    assert_eq!(w.serving("staging", "web"), Some(slow.clone()));
    w.says("mia", pull, "/deploy staging");
    w.github.deliveries_settled().await;
    // The command is judged, and before the stage's lane takes it up the right is gone.
    while w.stage("staging").await.asked.is_none_or(|asked| asked.sha.as_ref() != Some(&sha) || asked.generation.0 < 3)
    {
        assert!(w.engine.tick().await.expect("the database answers"), "nobody was asked");
    }
    w.github.set_permission(&w.repo, "mia", Permission::Read);
    w.settle().await;
    assert_eq!(w.serving("staging", "web"), Some(slow));
    assert!(matches!(w.stage("staging").await.status, StageStatus::Withheld { .. }));
    assert!(w.answer(pull).contains("mia has read"), "{}", w.answer(pull));
}

#[tokio::test]
async fn a_forks_commit_runs_only_while_exactly_it_is_approved() {
    let w = World::with_config(SHOP).await;
    people(&w);
    let fork = w.github.fork(&w.repo, "stranger").expect("a fork");
    let sha = w.github.commit(&fork, "idea", [FileChange::write("app", "evil")], "An idea").expect("a commit");
    let new = NewPull { author: "stranger".into(), head_repo: Some(fork.clone()), ..NewPull::new("idea", "An idea") };
    let pull = w.github.open(&w.repo, new).expect("a pull request");
    w.settle().await;
    assert_eq!(w.builder.journal(), Vec::<String>::new());
    for who in ["stranger", "rita"] {
        w.hears(who, pull, &format!("/approve {sha}")).await;
        assert!(w.answer(pull).contains("**Refused:**"), "{}", w.answer(pull));
    }
    w.hears("wes", pull, "/deploy").await;
    assert!(w.answer(pull).contains("is not approved"), "{}", w.answer(pull));
    w.hears("wes", pull, &format!("/approve {}", "0".repeat(40))).await;
    assert!(w.answer(pull).contains("is not the head"), "{}", w.answer(pull));
    assert_eq!(w.builder.journal(), Vec::<String>::new());
    w.after(61_000).await;
    w.hears("wes", pull, &format!("/approve {sha}")).await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha.clone()));

    let next = w.github.push(&fork, "idea", [FileChange::write("app", "worse")], "Another").expect("a push");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha), "a new push is not approved");
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::AwaitingApproval { .. }));
    w.hears("adam", pull, "/deploy staging").await;
    assert!(w.answer(pull).contains("is not approved"), "{}", w.answer(pull));
    assert_eq!(w.serving("staging", "web"), None);
    assert_ne!(w.serving("pr-1", "web"), Some(next));
}

#[tokio::test]
async fn what_ran_from_a_fork_is_promoted_only_where_it_is_approved() {
    let w = World::with_config(SHOP).await;
    people(&w);
    let fork = w.github.fork(&w.repo, "stranger").expect("a fork");
    let sha = w.github.commit(&fork, "idea", [FileChange::write("app", "evil")], "An idea").expect("a commit");
    let new = NewPull { author: "stranger".into(), head_repo: Some(fork), ..NewPull::new("idea", "An idea") };
    let pull = w.github.open(&w.repo, new).expect("a pull request");
    w.settle().await;
    w.hears("wes", pull, &format!("/approve {sha}")).await;
    w.hears("adam", pull, "/promote pr-1 staging").await;
    assert!(w.answer(pull).contains("is not approved"), "{}", w.answer(pull));
    assert_eq!(w.serving("staging", "web"), None);
}

#[tokio::test]
async fn approvals_checks_and_branches_are_asked_for_where_the_policy_says_so() {
    let strict = SHOP.replace(
        "staging: { on: { push: staging } }",
        "staging: { on: { push: staging }, allow: { deploy: { who: [write], approvals: 1, checks: all, up_to_date: true, branches: [\"topic*\"] } } }",
    );
    let w = World::with_config(&strict).await;
    people(&w);
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    let refused = async |told: &str| {
        w.hears("wes", pull, "/deploy staging").await;
        let answer = w.answer(pull);
        assert!(answer.contains("**Refused:**") && answer.contains(told), "{told}: {answer}");
        assert_eq!(w.serving("staging", "web"), None);
        w.after(61_000).await;
    };
    refused("0 of 1 approvals").await;
    w.github.review(&w.repo, pull, "rita", ReviewState::Approved, "").expect("a review");
    refused("0 of 1 approvals").await;
    w.github.review(&w.repo, pull, "mia", ReviewState::Approved, "").expect("a review");
    refused("has no check at all").await;
    w.github.check(&w.repo, &sha, "ci", "test", "completed", Some("failure")).expect("a check");
    refused("test failed").await;
    w.github.check(&w.repo, &sha, "ci", "test", "completed", Some("success")).expect("a check");
    w.github.status(&w.repo, &sha, "lint", "pending").expect("a status");
    refused("lint is still running").await;
    w.github.status(&w.repo, &sha, "lint", "success").expect("a status");
    w.push("main", "9");
    w.settle().await;
    refused("lacks 1 commit of its base").await;
}

#[tokio::test]
async fn edits_never_run_and_are_told_so_once() {
    let (w, pull, sha) = shop().await;
    let comment = w.hears("wes", pull, "looks good").await;
    for text in ["/destroy", "/destroy now", "/destroy"] {
        w.github.edit_comment(&w.repo, comment, "wes", text).expect("an edit");
        w.settle().await;
    }
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
    assert_eq!(w.answers(pull).len(), 1, "{:#?}", w.answers(pull));
    assert_eq!(w.answer(pull).matches("an edit is never run").count(), 1, "{}", w.answer(pull));
}

#[tokio::test]
async fn programs_are_not_heard_unless_the_policy_lists_them_and_nobody_answers_themselves() {
    let w = World::with_config(SHOP).await;
    people(&w);
    let bot = w.github.set_permission(&w.repo, "robot[bot]", Permission::Write);
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    w.hears("robot[bot]", pull, "/destroy").await;
    assert_eq!((w.answers(pull).len(), w.serving("pr-1", "web")), (0, Some(sha.clone())));
    w.hears("wes", pull, "/help").await;
    w.after(61_000).await;
    assert_eq!(w.answers(pull).len(), 1, "our own answer is no command: {:#?}", w.answers(pull));
    w.write("main", ".github/greenroom.yml", &format!("{SHOP}commands: {{ bots: [{bot}] }}\n"));
    w.settle().await;
    w.hears("robot[bot]", pull, "/destroy").await;
    assert_eq!(w.serving("pr-1", "web"), None);
}

#[tokio::test]
async fn a_pull_request_cannot_give_itself_rights() {
    let (w, pull, _) = shop().await;
    let lax = SHOP.replace("protect: true", "allow: { \"*\": { who: [read] } }");
    w.write("topic", ".github/greenroom.yml", &lax);
    w.settle().await;
    w.hears("wes", pull, "/deploy prod").await;
    assert!(w.answer(pull).contains("deploy is for admin"), "{}", w.answer(pull));
    assert_eq!(w.serving("prod", "web"), None);
}

#[tokio::test]
async fn reviews_and_comments_at_a_line_command_too() {
    let (w, pull, sha) = shop().await;
    w.github.review(&w.repo, pull, "mia", ReviewState::Commented, "Fine.\n\n/deploy staging").expect("a review");
    w.settle().await;
    assert_eq!(w.serving("staging", "web"), Some(sha));
    w.github.review_comment(&w.repo, pull, "wes", "/destroy").expect("a comment");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None);
}

#[tokio::test]
async fn nobody_makes_us_flood_a_pull_request() {
    let (w, pull, _) = shop().await;
    for _ in 0..12 {
        w.says("rita", pull, "/destroy");
    }
    w.github.deliveries_settled().await;
    for _ in 0..60 {
        w.engine.tick().await.expect("the database answers");
        w.clock.advance(500);
    }
    assert_eq!(w.answers(pull).len(), 5, "within a minute");
    w.after(61_000).await;
    w.after(61_000).await;
    assert_eq!(w.answers(pull).len(), 12, "all in the end");
}

#[tokio::test]
async fn a_delivery_that_comes_again_does_nothing_again() {
    let (w, pull, _) = shop().await;
    w.hears("wes", pull, "/destroy").await;
    let goals = w.store.deploys(&w.stage_id("pr-1"), 50).await.expect("the database answers").len();
    w.redeliver_all().await;
    let again = w.store.deploys(&w.stage_id("pr-1"), 50).await.expect("the database answers").len();
    assert_eq!((again, w.answers(pull).len()), (goals, 0));
}

#[tokio::test]
async fn who_asked_what_is_on_record_with_every_gate() {
    let (w, pull, sha) = shop().await;
    w.hears("mia", pull, "/deploy staging").await;
    w.hears("wes", pull, "/deploy prod").await;
    let lines = w.store.audit(Some(&w.repo), None, 50).await.expect("the database answers");
    let of = |action: &str, subject: &str| {
        let found = lines.iter().find(|line| line.entry.action == action && line.entry.subject == subject);
        found.map(|line| (line.entry.actor.clone(), line.entry.details.clone())).expect("it is on record")
    };
    let (actor, details) = of("deploy", "staging");
    assert!(
        actor.starts_with("mia (") && details.contains("\"allowed\"") && details.contains(sha.as_str()),
        "{details}"
    );
    let (actor, details) = of("deploy", "prod");
    assert!(
        actor.starts_with("wes (") && details.contains("\"refused\"") && details.contains("is for admin"),
        "{details}"
    );
    let verdict = w.store.verify_audit(&w.repo).await.expect("the database answers");
    assert!(verdict.entries == 3 && verdict.first_bad.is_none(), "{verdict:?}");
}
