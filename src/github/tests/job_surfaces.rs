//! What a job shows: found again by what it says and by who wrote it.

use serde_json::{Value, json};

use super::fake::{FakeGitHub, Reply};
use super::{PULL, SHA, denial_of, sha, shop};
use crate::github::{GitHub, TokenSettings};
use crate::model::{CheckApp, CheckState, CommitSha, ExternalId, RepoName, StageName};
use crate::port::{CheckRun, Forge, PortError, StickyComment};

const COMMENTS: &str = "/repos/acme/shop/issues/42/comments";
const RUNS: &str = "/repos/acme/shop/check-runs";
const BODY: &str = "<!-- greenroom:pr-42 {} -->\nhello";

fn id(text: &str) -> ExternalId {
    ExternalId::new(text).expect("an id")
}

fn comment(number: u64) -> String {
    format!("/repos/acme/shop/issues/comments/{number}")
}

fn written(id: u64, user: &Value, app: Option<u64>) -> Value {
    json!({ "id": id, "body": BODY, "user": user, "performed_via_github_app": app.map(|id| json!({ "id": id })) })
}

fn sticky<'a>(repo: &'a RepoName, id: Option<&'a ExternalId>) -> StickyComment<'a> {
    StickyComment { repo, pull: PULL, id, marker: "<!-- greenroom:pr-42 ", body: BODY }
}

#[tokio::test]
async fn nobody_elses_comment_is_edited_whatever_it_says() {
    let fake = FakeGitHub::start().await;
    let (github, repo) = (fake.job(), shop());
    let actions = json!({ "id": 41_898_282, "login": "github-actions[bot]", "type": "Bot" });
    let strangers = [
        json!({ "id": 5, "login": "mallory", "type": "User" }),
        json!({ "id": 6, "login": "other[bot]", "type": "Bot" }),
        json!({ "id": 41_898_282, "login": "github-actions", "type": "User" }),
        json!({ "id": 7, "login": "github-actions[bot]", "type": "User" }),
        json!({ "id": 8, "login": "xgithub-actions[bot]", "type": "Bot" }),
        Value::Null,
    ];
    let strange: Vec<Value> = (20..).zip(&strangers).map(|(id, user)| written(id, user, Some(15_368))).collect();
    fake.always("GET", COMMENTS, Reply::json(200, &json!(strange)));
    fake.always("POST", COMMENTS, Reply::json(201, &written(9, &actions, None)));
    assert_eq!(github.publish_comment(&sticky(&repo, None)).await.expect("made"), id("9"));
    assert!(!fake.calls().iter().any(|call| call.starts_with("PATCH")), "{:?}", fake.calls());

    let of_a_server = json!({ "id": 4, "login": "github-actions[bot]", "type": "Bot" });
    for (number, own) in [(12, &actions), (13, &of_a_server)] {
        let mut all = strange.clone();
        all.insert(2, written(number, own, None));
        fake.always("GET", COMMENTS, Reply::json(200, &json!(all)));
        fake.always("PATCH", &comment(number), Reply::json(200, &written(number, own, None)));
        let found = github.publish_comment(&sticky(&repo, None)).await.expect("edited");
        assert_eq!(found, id(&number.to_string()));
    }
    assert_eq!(fake.asked("POST", COMMENTS).len(), 1);
}

#[tokio::test]
async fn the_comment_of_the_server_before_is_taken_over_where_that_may_be() {
    let fake = FakeGitHub::start().await;
    let (github, repo, known) = (fake.job(), shop(), id("77"));
    let server = json!({ "id": 6, "login": "greenroom[bot]", "type": "Bot" });
    let actions = json!({ "id": 41_898_282, "login": "github-actions[bot]", "type": "Bot" });
    fake.always("GET", COMMENTS, Reply::json(200, &json!([written(77, &server, Some(17))])));
    fake.once("PATCH", &comment(77), Reply::json(200, &written(77, &server, Some(17))));
    assert_eq!(github.publish_comment(&sticky(&repo, Some(&known))).await.expect("edited"), known);

    let refused = Reply::json(403, &json!({ "message": "Resource not accessible by integration" }));
    fake.always("PATCH", &comment(77), refused.clone());
    fake.once("POST", COMMENTS, Reply::json(201, &written(78, &actions, None)));
    assert_eq!(github.publish_comment(&sticky(&repo, Some(&known))).await.expect("made"), id("78"));

    // What we may not edit of our own is not made a second time.
    fake.always("GET", COMMENTS, Reply::json(200, &json!([written(77, &actions, None)])));
    fake.always("POST", COMMENTS, Reply::json(201, &written(79, &actions, None)));
    denial_of(github.publish_comment(&sticky(&repo, Some(&known))).await);
    assert_eq!(fake.asked("POST", COMMENTS).len(), 1);
}

#[tokio::test]
async fn with_another_token_its_own_comments_are_found() {
    for (login, kind) in [("deployer[bot]", "Bot"), ("Robot", "User")] {
        let fake = FakeGitHub::start().await;
        let (github, repo) = (fake.job(), shop());
        let own = json!({ "id": 6, "login": login, "type": kind });
        let stranger = json!({ "id": 5, "login": "mallory", "type": "User" });
        fake.always("GET", COMMENTS, Reply::json(200, &json!([written(1, &own, None), written(2, &stranger, None)])));
        let viewer = json!({ "data": { "viewer": { "login": login.to_lowercase() } } });
        fake.always("POST", "/graphql", Reply::json(200, &viewer));
        fake.always("PATCH", &comment(1), Reply::json(200, &written(1, &own, None)));
        for _ in 0..2 {
            assert_eq!(github.publish_comment(&sticky(&repo, None)).await.expect("edited"), id("1"));
        }
        assert_eq!(fake.asked("POST", "/graphql").len(), 1);
    }
    let fake = FakeGitHub::start().await;
    let (github, repo) = (fake.job(), shop());
    let stranger = json!({ "id": 5, "login": "mallory", "type": "User" });
    fake.always("GET", COMMENTS, Reply::json(200, &json!([written(2, &stranger, None)])));
    fake.always("POST", "/graphql", Reply::empty(502));
    let put_off = github.publish_comment(&sticky(&repo, None)).await;
    assert!(matches!(put_off, Err(PortError::Retry { .. })), "not knowing makes no second one: {put_off:?}");
}

fn check<'a>(repo: &'a RepoName, sha: &'a CommitSha, id: Option<&'a ExternalId>, key: &'a str) -> CheckRun<'a> {
    let (name, state, title, summary) = ("greenroom / pr-42", CheckState::Success, "Live", "All is well");
    CheckRun { repo, sha, id, key, name, state, title, summary, details_url: None }
}

#[tokio::test]
async fn a_check_run_of_another_app_is_left_to_it() {
    let fake = FakeGitHub::start().await;
    let (github, repo, commit) = (fake.job(), shop(), sha(SHA));
    let key = format!("pr-42@{SHA}");
    let list = format!("/repos/acme/shop/commits/{SHA}/check-runs");
    let run = |id: u64, app: Value| json!({ "id": id, "external_id": key, "app": app });
    let servers = run(3, json!({ "id": 17, "slug": "greenroom" }));
    fake.once("GET", &list, Reply::json(200, &json!({ "total_count": 1, "check_runs": [servers] })));
    let foreign = json!({ "message": "Invalid app_id `15368` - check run can only be modified by the GitHub App that created it." });
    fake.always("PATCH", &format!("{RUNS}/3"), Reply::json(403, &foreign));
    fake.always("POST", RUNS, Reply::json(201, &run(4, json!({ "id": 15_368, "slug": "github-actions" }))));
    let known = id("3");
    let made = github.publish_check(&check(&repo, &commit, Some(&known), &key)).await.expect("made");
    assert_eq!(made, id("4"));
    let asked = &fake.asked("GET", &list)[0].path;
    assert!(asked.ends_with("?check_name=greenroom%20%2F%20pr-42&filter=all&per_page=100"), "{asked}");
    // Of an Enterprise Server, whose numbers are others.
    for app in [json!({ "id": 15_368 }), json!({ "id": 2, "slug": "github-actions" })] {
        let both = json!({ "total_count": 2, "check_runs": [servers, run(4, app)] });
        fake.once("GET", &list, Reply::json(200, &both));
        fake.always("PATCH", &format!("{RUNS}/4"), Reply::json(200, &run(4, Value::Null)));
        assert_eq!(github.publish_check(&check(&repo, &commit, None, &key)).await.expect("updated"), made);
    }
    assert_eq!(fake.asked("POST", RUNS).len(), 1);
}

#[tokio::test]
async fn checks_of_other_workflows_are_not_our_own() {
    let fake = FakeGitHub::start().await;
    fake.always("GET", "/repos/acme/shop", Reply::json(200, &super::repository("acme/shop")));
    let github = GitHub::with_token(&TokenSettings { own_check: Some(3), ..fake.job_settings() }).expect("settings");
    let run = |id: u64, name: &str, external: &str, slug: &str| {
        let app = json!({ "id": if slug == "github-actions" { 15_368 } else { 9 }, "slug": slug });
        json!({ "id": id, "name": name, "external_id": external, "status": "in_progress", "conclusion": null, "app": app })
    };
    let key = format!("pr-42@{SHA}");
    let runs = [
        run(1, "test", "4fa0", "github-actions"),
        run(2, "greenroom / pr-42", &key, "github-actions"),
        run(3, "preview", "4fa1", "github-actions"),
        run(4, "greenroom / pr-42", "4fa2", "github-actions"),
        run(5, "test", &key, "github-actions"),
        run(6, "greenroom / pr-42", &key, "another"),
        run(7, "Greenroom push", "4fa3", "github-actions"),
        run(8, "Greenroom build", "4fa4", "another"),
    ];
    let list = format!("/repos/acme/shop/commits/{SHA}/check-runs");
    fake.always("GET", &list, Reply::json(200, &json!({ "total_count": runs.len(), "check_runs": runs })));
    fake.always("GET", &format!("/repos/acme/shop/commits/{SHA}/statuses"), Reply::json(200, &json!([])));
    let ours = |checks: crate::model::Checks| {
        let own = checks.runs.into_iter().filter(|run| run.app == CheckApp::Ourselves);
        own.map(|run| run.number).collect::<Vec<_>>()
    };
    assert_eq!(ours(github.checks(&shop(), &sha(SHA)).await.expect("an answer")), [2, 3, 7]);
    let server = fake.client();
    assert_eq!(ours(server.checks(&shop(), &sha(SHA)).await.expect("an answer")), [2, 7], "of the job before it");
}

#[tokio::test]
async fn an_environment_that_may_not_be_removed_is_inactive_all_the_same() {
    let fake = FakeGitHub::start().await;
    let (github, repo) = (fake.job(), shop());
    let stage = StageName::new("pr-42").expect("a name");
    let statuses = "/repos/acme/shop/deployments/1/statuses";
    fake.always("GET", "/repos/acme/shop/deployments", Reply::json(200, &json!([{ "id": 1 }])));
    fake.always("GET", statuses, Reply::json(200, &json!([{ "id": 1, "state": "success" }])));
    fake.always("POST", statuses, Reply::json(201, &json!({ "id": 2, "state": "inactive" })));
    let refused = Reply::json(403, &json!({ "message": "Resource not accessible by integration" }));
    let refused = refused.with("x-accepted-github-permissions", "administration=write");
    fake.always("DELETE", "/repos/acme/shop/environments/pr-42", refused);
    let denied = denial_of(github.remove_environment(&repo, &stage).await);
    assert_eq!(fake.asked("POST", statuses)[0].body["state"], "inactive");
    let words = "no job's own token may: give `github-token` one of an App that has `administration: write`, or remove \
                 the environment by hand";
    assert!(denied.contains(words) && denied.lines().count() == 1, "{denied}");
}
