//! Reviews, checks of others, statuses and teams: by hand, and by the adapter that Greenroom uses.

use std::sync::Arc;

use greenroom::github::{GitHub, GitHubSettings};
use greenroom::model::{
    Branch, CheckApp, CheckOutcome, CommentSource, Permission, PullNumber, Reaction, ReviewState, UserId,
};
use greenroom::port::{Forge as _, PortError};
use serde_json::{Value, json};

use crate::assert_documented;
use crate::client::{DELETE, POST, Stage};

const ONE: PullNumber = PullNumber(1);

/// A shop with pull request 1 from the branch `two`.
async fn with_pull() -> Stage {
    let stage = Stage::new().await;
    stage.hub.commit(&stage.shop, "two", [("app/two.py", "print(2)")], "Two").expect("a commit");
    stage.hub.open_pull(&stage.shop, "two", "Two").expect("a pull request");
    stage
}

fn adapter(stage: &Stage) -> GitHub {
    let (hub, clock) = (&stage.hub, Arc::clone(&stage.clock));
    GitHub::new(&GitHubSettings::new(hub.api_url(), hub.app_id(), hub.private_key_pem(), clock, 7))
        .expect("good settings")
}

fn denial<T>(result: Result<T, PortError>) -> String {
    match result {
        Err(PortError::Denied { reason }) => reason,
        Err(other) => panic!("not a denial: {other:?}"),
        Ok(_) => panic!("not a denial"),
    }
}

#[tokio::test]
async fn reviews_are_about_the_head_of_their_time() {
    let stage = with_pull().await;
    let (hub, shop) = (&stage.hub, &stage.shop);
    let old = hub.branch_head(shop, "two").unwrap();
    let first = hub.review(shop, ONE, "maya", ReviewState::Approved, "Good").unwrap();
    let new = hub.push(shop, "two", [("app/two.py", "print(3)")], "More").unwrap();
    let second = hub.review(shop, ONE, "nora", ReviewState::ChangesRequested, "").unwrap();
    hub.review(shop, ONE, "qa[bot]", ReviewState::Commented, "Hm").unwrap();
    hub.dismiss_review(shop, first, "ada").unwrap();
    assert!(hub.dismiss_review(shop, first, "ada").is_err(), "it is dismissed");
    assert!(hub.review(shop, ONE, "maya", ReviewState::Dismissed, "").is_err());
    hub.edit_review(shop, second, "nora", "No").unwrap();

    let list = stage.get("/repos/acme/shop/pulls/1/reviews").await.json;
    let seen: Vec<[&Value; 3]> =
        list.as_array().unwrap().iter().map(|one| [&one["state"], &one["commit_id"], &one["body"]]).collect();
    let expected =
        [json!(["DISMISSED", old, "Good"]), json!(["CHANGES_REQUESTED", new, "No"]), json!(["COMMENTED", new, "Hm"])];
    assert_eq!(json!(seen), json!(expected));
    assert_eq!((&list[2]["user"]["type"], &list[0]["submitted_at"]), (&"Bot".into(), &"2026-11-20T05:04:00Z".into()));
    assert_eq!(stage.get(&format!("/repos/acme/shop/pulls/1/reviews/{second}")).await.json["body"], "No");
    let page = stage.get("/repos/acme/shop/pulls/1/reviews?per_page=2&page=2").await;
    assert_eq!((page.json.as_array().unwrap().len(), page.header("link").contains("rel=\"next\"")), (1, false));
    assert_eq!(stage.get("/repos/acme/shop/pulls/9/reviews").await.status, 404);
    assert_eq!(hub.reviews(shop, ONE).len(), 3);

    let found = adapter(&stage).reviews(shop, ONE).await.unwrap();
    let seen: Vec<_> = found.iter().map(|one| (one.by.login.as_str(), one.state, &one.sha)).collect();
    let expected = [
        ("maya", ReviewState::Dismissed, &old),
        ("nora", ReviewState::ChangesRequested, &new),
        ("qa[bot]", ReviewState::Commented, &new),
    ];
    assert_eq!(seen, expected);
    assert_documented(&stage);
}

#[tokio::test]
async fn comments_at_lines_take_reactions_at_an_address_of_their_own() {
    let stage = with_pull().await;
    let (hub, shop) = (&stage.hub, &stage.shop);
    let line = hub.review_comment(shop, ONE, "maya", "/plan").unwrap();
    let said = hub.comment(shop, ONE, "maya", "/plan").unwrap();
    let shown = stage.get(&format!("/repos/acme/shop/pulls/comments/{line}")).await.json;
    assert_eq!((&shown["body"], &shown["path"]), (&"/plan".into(), &"app/two.py".into()));
    assert_eq!(stage.get("/repos/acme/shop/pulls/1/comments").await.json.as_array().unwrap().len(), 1);
    assert_eq!(stage.get("/repos/acme/shop/pulls/1").await.json["review_comments"], 1);
    assert_eq!(hub.review_comments(shop, ONE).len(), 1);

    let reactions = format!("/repos/acme/shop/pulls/comments/{line}/reactions");
    let eyes = Some(json!({ "content": "eyes" }));
    let first = stage.send(POST, &reactions, eyes.clone()).await;
    assert_eq!((first.status, stage.send(POST, &reactions, eyes.clone()).await.status), (201, 200));
    assert_eq!(stage.get(&reactions).await.json.as_array().unwrap().len(), 1);
    assert_eq!(stage.send(DELETE, &format!("{reactions}/{}", first.json["id"]), None).await.status, 204);
    assert_eq!(stage.send(POST, &reactions, Some(json!({ "content": "wow" }))).await.status, 422);
    let crossed = format!("/repos/acme/shop/pulls/comments/{said}/reactions");
    assert_eq!(stage.send(POST, &crossed, eyes.clone()).await.status, 404, "a comment of the conversation");
    let crossed = format!("/repos/acme/shop/issues/comments/{line}/reactions");
    assert_eq!(stage.send(POST, &crossed, eyes).await.status, 404, "a comment at a line");

    let github = adapter(&stage);
    for _ in 0..2 {
        github.react(shop, CommentSource::ReviewComment, line, Reaction::Rocket).await.unwrap();
        github.react(shop, CommentSource::Issue, said, Reaction::Eyes).await.unwrap();
        github.react(shop, CommentSource::Review, 1, Reaction::Eyes).await.unwrap();
    }
    let contents =
        |list: Vec<greenroom::sandbox::ReactionRecord>| list.into_iter().map(|one| one.content).collect::<Vec<_>>();
    assert_eq!(contents(hub.review_comment_reactions(shop, line)), ["rocket"]);
    assert_eq!(contents(hub.reactions(shop, said)), ["eyes"]);
    assert_documented(&stage);
}

#[tokio::test]
async fn checks_of_others_and_statuses_of_commits_count_together() {
    let stage = with_pull().await;
    let (hub, shop, github) = (&stage.hub, &stage.shop, adapter(&stage));
    let head = hub.branch_head(shop, "two").unwrap();
    let own = json!({ "name": "greenroom", "head_sha": head, "conclusion": "success" });
    let own = stage.send(POST, "/repos/acme/shop/check-runs", Some(own)).await.json["id"].as_u64().unwrap();
    let red = hub.check(shop, &head, "ci", "test", "completed", Some("failure")).unwrap();
    let running = hub.check(shop, &head, "ci", "test", "in_progress", None).unwrap();
    let other = hub.check(shop, &head, "lint", "test", "completed", Some("skipped")).unwrap();
    let status = hub.status(shop, &head, "legacy", "pending").unwrap();
    assert!(hub.check(shop, &head, "ci", "test", "completed", None).is_err(), "without a conclusion");
    assert!(hub.status(shop, &head, "legacy", "fine").is_err());

    let runs = format!("/repos/acme/shop/commits/{head}/check-runs");
    let latest = stage.get(&runs).await.json;
    assert_eq!((&latest["total_count"], &latest["check_runs"][2]["id"]), (&3.into(), &other.into()), "{latest}");
    let of_ci = latest["check_runs"][1]["app"]["id"].clone();
    assert_eq!(stage.get(&format!("{runs}?filter=all&app_id={of_ci}")).await.json["total_count"], 2);
    let statuses = stage.get(&format!("/repos/acme/shop/commits/{head}/statuses")).await.json;
    assert_eq!((&statuses[0]["context"], &statuses[0]["state"]), (&"legacy".into(), &"pending".into()));

    let found = github.checks(shop, &head).await.unwrap();
    let app = CheckApp::App(of_ci.as_u64().unwrap());
    let seen: Vec<_> = found.runs.iter().map(|run| (run.number, run.outcome)).collect();
    let expected = [
        (own, CheckOutcome::Passed),
        (red, CheckOutcome::Failed),
        (running, CheckOutcome::Running),
        (other, CheckOutcome::Passed),
        (status, CheckOutcome::Running),
    ];
    assert_eq!(seen, expected);
    let apps: Vec<_> = found.runs.iter().map(|run| run.app).collect();
    assert_eq!((apps[0], apps[1], apps[2], apps[4]), (CheckApp::Ourselves, app, app, CheckApp::Status));
    assert!(apps[3] != app && matches!(apps[3], CheckApp::App(_)));
    for _ in 0..100 {
        hub.check(shop, &head, "ci", "test", "completed", Some("success")).unwrap();
        hub.status(shop, &head, "legacy", "success").unwrap();
    }
    assert_eq!(github.checks(shop, &head).await.unwrap().runs.len(), 205, "all pages");

    hub.set_app_permission("statuses", Permission::None);
    let reason = denial(adapter(&stage).checks(shop, &head).await);
    assert!(reason.contains("Commit statuses: read"), "{reason}");
    assert!(denial(github.checks(shop, &head).await).contains("Commit statuses: read"), "with its token of before");
    assert_eq!(github.repository(shop).await.unwrap().default_branch, Branch("main".into()));
    assert_documented(&stage);
}

#[tokio::test]
async fn teams_are_for_apps_that_may_look_into_them() {
    let stage = with_pull().await;
    let (hub, shop, github) = (&stage.hub, &stage.shop, adapter(&stage));
    let maya = UserId(hub.add_to_team(shop, "ops", "Maya"));
    let nora = UserId(hub.invite_to_team(shop, "ops", "nora"));
    let membership = "/orgs/acme/teams/ops/memberships/maya";
    assert_eq!(stage.get(membership).await.json["state"], "active");
    assert_eq!(stage.get("/orgs/acme/teams/ops/memberships/nora").await.json["state"], "pending");
    assert_eq!(stage.get("/orgs/acme/teams/ops/memberships/ada").await.status, 404);
    assert_eq!(stage.get("/orgs/acme/teams/dev/memberships/maya").await.status, 404);
    assert_eq!(stage.get("/orgs/acme/teams/ops").await.json["members_count"], 1);
    assert_eq!(stage.get("/orgs/acme/teams/dev").await.status, 404);
    assert_eq!(stage.get("/orgs/other/teams/ops").await.status, 404, "a token is for its own organisation");
    assert_eq!(stage.get("/users/maya").await.json["id"], maya.0);
    assert_eq!(stage.get("/users/nobody").await.status, 404);

    let is_in = async |team: &str, login: &str, id: UserId| github.is_in_team(shop, team, login, id).await;
    assert!(is_in("ops", "Maya", maya).await.unwrap());
    assert!(!is_in("ops", "maya", nora).await.unwrap(), "another account");
    assert!(!is_in("ops", "nora", nora).await.unwrap(), "only invited");
    assert!(!is_in("ops", "ada", UserId(9)).await.unwrap());
    assert!(matches!(is_in("dev", "maya", maya).await, Err(PortError::NotFound { .. })));
    hub.remove_from_team(shop, "ops", "maya").unwrap();
    assert!(!is_in("ops", "maya", maya).await.unwrap());

    hub.set_app_permission("members", Permission::None);
    assert_eq!(stage.get(membership).await.status, 403);
    assert!(denial(is_in("ops", "maya", maya).await).contains("Members: read"), "with its token of before");
    assert!(denial(adapter(&stage).is_in_team(shop, "ops", "maya", maya).await).contains("Members: read"));
    assert_eq!(adapter(&stage).repository(shop).await.unwrap().default_branch, Branch("main".into()));
    assert_documented(&stage);
}

#[tokio::test]
async fn a_branch_that_moved_on_leaves_a_commit_behind() {
    let stage = with_pull().await;
    let (hub, shop, github) = (&stage.hub, &stage.shop, adapter(&stage));
    let (main, head) = (Branch("main".into()), hub.branch_head(shop, "two").unwrap());
    assert_eq!(github.behind_by(shop, &main, &head).await.unwrap(), 0);
    for count in 0..3 {
        hub.commit(shop, "main", [("main", count.to_string())], "On").unwrap();
    }
    assert_eq!(github.behind_by(shop, &main, &head).await.unwrap(), 3);
    let own = hub.branch_head(shop, "main").unwrap();
    assert_eq!(github.behind_by(shop, &main, &own).await.unwrap(), 0);
    let gone = github.behind_by(shop, &Branch("gone".into()), &head).await;
    assert!(matches!(gone, Err(PortError::NotFound { .. })), "{gone:?}");
    assert_documented(&stage);
}
