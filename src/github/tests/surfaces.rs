//! Publishing: twice makes one.

use serde_json::{Value, json};

use super::fake::{APP_ID, FakeGitHub, Reply};
use super::{PULL, SHA, sha, shop};
use crate::model::{CheckState, CommentSource, CommitSha, DeploymentState, ExternalId, Reaction, RepoName, StageName};
use crate::port::{
    CheckRun, DeploymentRequest, DeploymentUpdate, EnvironmentLifetime, Forge, PortError, StickyComment,
};

const COMMENTS: &str = "/repos/acme/shop/issues/42/comments";
const MARKER: &str = "<!-- greenroom:pr-42 ";

fn id(text: &str) -> ExternalId {
    ExternalId::new(text).expect("an id")
}

fn sticky<'a>(repo: &'a RepoName, id: Option<&'a ExternalId>) -> StickyComment<'a> {
    StickyComment { repo, pull: PULL, id, marker: MARKER, body: "<!-- greenroom:pr-42 {} -->\nhello" }
}

fn theirs(id: u64, body: &str, kind: &str, app: Option<u64>) -> Value {
    let user = json!({ "id": 5, "login": "greenroom[bot]", "type": kind });
    json!({ "id": id, "body": body, "user": user, "performed_via_github_app": app.map(|id| json!({ "id": id })) })
}

fn comment(number: u64) -> String {
    format!("/repos/acme/shop/issues/comments/{number}")
}

#[tokio::test]
async fn the_first_comment_is_made_and_the_known_one_edited() {
    let fake = FakeGitHub::start().await;
    let (github, repo) = (fake.client(), shop());
    fake.always("GET", COMMENTS, Reply::json(200, &json!([])));
    fake.always("POST", COMMENTS, Reply::json(201, &theirs(9, "", "Bot", None)));
    fake.always("PATCH", &comment(9), Reply::json(200, &theirs(9, "", "Bot", None)));
    let made = github.publish_comment(&sticky(&repo, None)).await.expect("made");
    assert_eq!(made, id("9"));
    assert_eq!(github.publish_comment(&sticky(&repo, Some(&made))).await.expect("edited"), made);
    let list = format!("GET {COMMENTS}?per_page=100");
    assert_eq!(fake.calls(), [list.as_str(), &format!("POST {COMMENTS}"), &format!("PATCH {}", comment(9))]);
    assert_eq!(fake.asked("PATCH", &comment(9))[0].body, json!({ "body": sticky(&repo, None).body }));
}

#[tokio::test]
async fn a_lost_id_is_found_again_by_marker_among_our_own() {
    let fake = FakeGitHub::start().await;
    let repo = shop();
    let ours = "<!-- greenroom:pr-42 {} -->\nold";
    let second = format!("{COMMENTS}?per_page=100&page=2");
    let page = json!([theirs(1, ours, "Bot", Some(APP_ID)), theirs(2, ours, "User", Some(APP_ID))]);
    let link = format!("<{}{second}>; rel=\"next\"", fake.url);
    fake.always("GET", &format!("{COMMENTS}?per_page=100"), Reply::json(200, &page).with("link", link));
    let quoted = format!("> {ours}");
    let page = json!([
        theirs(3, ours, "Bot", Some(APP_ID)),
        theirs(4, &quoted, "Bot", Some(APP_ID)),
        theirs(5, ours, "User", None),
        theirs(6, ours, "Bot", Some(99)),
        theirs(7, "<!-- greenroom:pr-421 {} -->", "Bot", Some(APP_ID))
    ]);
    fake.always("GET", &second, Reply::json(200, &page));
    fake.always("PATCH", &comment(3), Reply::json(200, &theirs(3, "", "Bot", None)));
    assert_eq!(fake.client().publish_comment(&sticky(&repo, None)).await.expect("edited"), id("3"));
    assert_eq!(fake.asked("POST", COMMENTS).len(), 0);
}

#[tokio::test]
async fn without_the_app_s_number_a_comment_is_known_by_the_app_s_name() {
    let fake = FakeGitHub::start().await;
    let repo = shop();
    fake.always("GET", "/app", Reply::json(200, &json!({ "id": APP_ID, "slug": "greenroom" })));
    let mut other = theirs(2, "<!-- greenroom:pr-42 {} -->", "Bot", None);
    other["user"]["login"] = json!("somebody[bot]");
    let page = json!([theirs(1, "<!-- greenroom:pr-42 {} -->", "Bot", None), other]);
    fake.always("GET", COMMENTS, Reply::json(200, &page));
    fake.always("PATCH", &comment(1), Reply::json(200, &theirs(1, "", "Bot", None)));
    assert_eq!(fake.client().publish_comment(&sticky(&repo, None)).await.expect("edited"), id("1"));
}

#[tokio::test]
async fn a_comment_that_somebody_deleted_is_made_anew() {
    let fake = FakeGitHub::start().await;
    let repo = shop();
    fake.always("GET", COMMENTS, Reply::json(200, &json!([])));
    fake.always("POST", COMMENTS, Reply::json(201, &theirs(10, "", "Bot", None)));
    let gone = id("9");
    assert_eq!(fake.client().publish_comment(&sticky(&repo, Some(&gone))).await.expect("made"), id("10"));
}

#[tokio::test]
async fn a_surface_that_github_refuses_is_denied_or_not_found() {
    let fake = FakeGitHub::start().await;
    let (github, repo) = (fake.client(), shop());
    fake.always("GET", COMMENTS, Reply::json(200, &json!([])));
    for (status, message) in [(403, "Unable to create comment because issue is locked."), (422, "Validation Failed")] {
        fake.always("POST", COMMENTS, Reply::json(status, &json!({ "message": message })));
        let refused = github.publish_comment(&sticky(&repo, None)).await;
        assert!(matches!(&refused, Err(PortError::Denied { reason }) if reason.contains(message)), "{refused:?}");
    }
    fake.always("POST", COMMENTS, Reply::empty(410));
    assert!(matches!(github.publish_comment(&sticky(&repo, None)).await, Err(PortError::NotFound { .. })));
}

fn check<'a>(repo: &'a RepoName, sha: &'a CommitSha, id: Option<&'a ExternalId>, state: CheckState) -> CheckRun<'a> {
    let (name, key, title, summary) = ("greenroom / pr-42", "pr-42:3", "Live", "All is **well**");
    CheckRun { repo, sha, id, key, name, state, title, summary, details_url: Some("https://example.com/1") }
}

#[tokio::test]
async fn a_check_run_is_made_found_again_and_updated() {
    let fake = FakeGitHub::start().await;
    let (github, repo, commit) = (fake.client(), shop(), sha(SHA));
    let list = format!("/repos/acme/shop/commits/{SHA}/check-runs");
    let run = |id: u64, key: &str| json!({ "id": id, "external_id": key });
    fake.once("GET", &list, Reply::json(200, &json!({ "total_count": 1, "check_runs": [run(1, "pr-42:2")] })));
    fake.always("POST", "/repos/acme/shop/check-runs", Reply::json(201, &run(2, "pr-42:3")));
    let made = github.publish_check(&check(&repo, &commit, None, CheckState::InProgress)).await.expect("made");
    assert_eq!(made, id("2"));
    let body = &fake.asked("POST", "/repos/acme/shop/check-runs")[0].body;
    let expected = json!({
        "name": "greenroom / pr-42", "head_sha": SHA, "external_id": "pr-42:3", "status": "in_progress",
        "details_url": "https://example.com/1", "output": { "title": "Live", "summary": "All is **well**" }
    });
    assert_eq!(*body, expected);
    let asked = &fake.asked("GET", &list)[0].path;
    assert!(asked.ends_with("?check_name=greenroom%20%2F%20pr-42&app_id=17&filter=all&per_page=100"), "{asked}");

    let runs = json!({ "total_count": 2, "check_runs": [run(1, "pr-42:2"), run(2, "pr-42:3")] });
    fake.always("GET", &list, Reply::json(200, &runs));
    fake.always("PATCH", "/repos/acme/shop/check-runs/2", Reply::json(200, &run(2, "pr-42:3")));
    for known in [None, Some(&made)] {
        let state = CheckState::ActionRequired;
        assert_eq!(github.publish_check(&check(&repo, &commit, known, state)).await.expect("updated"), made);
    }
    let body = &fake.asked("PATCH", "/repos/acme/shop/check-runs/2")[0].body;
    assert_eq!((&body["status"], &body["conclusion"]), (&json!("completed"), &json!("action_required")));
    assert_eq!(fake.asked("POST", "/repos/acme/shop/check-runs").len(), 1);
}

#[tokio::test]
async fn a_reaction_goes_where_the_text_was_written() {
    let fake = FakeGitHub::start().await;
    let (github, repo) = (fake.client(), shop());
    let places = [(CommentSource::Issue, "issues"), (CommentSource::ReviewComment, "pulls")];
    for (source, place) in places {
        let path = format!("/repos/acme/shop/{place}/comments/9/reactions");
        fake.always("POST", &path, Reply::json(200, &json!({ "id": 1 })));
        github.react(&repo, source, 9, Reaction::Eyes).await.expect("it was there already");
        assert_eq!(fake.asked("POST", &path)[0].body, json!({ "content": "eyes" }));
    }
    let before = fake.all().len();
    github.react(&repo, CommentSource::Review, 9, Reaction::Eyes).await.expect("a review takes none");
    assert_eq!(fake.all().len(), before);
    let gone = github.react(&repo, CommentSource::ReviewComment, 10, Reaction::Eyes).await;
    assert!(matches!(gone, Err(PortError::NotFound { .. })), "{gone:?}");
}

const DEPLOYMENTS: &str = "/repos/acme/shop/deployments";

#[tokio::test]
async fn a_deployment_is_made_once_for_its_key() {
    let fake = FakeGitHub::start().await;
    let (github, repo, commit) = (fake.client(), shop(), sha(SHA));
    let stage = StageName::new("pr-42").expect("a name");
    let lifetime = EnvironmentLifetime::Transient;
    let request = DeploymentRequest { repo: &repo, sha: &commit, environment: &stage, key: "k3", lifetime };
    fake.once("GET", DEPLOYMENTS, Reply::json(200, &json!([{ "id": 1, "payload": { "greenroom": "k2" } }])));
    fake.always("POST", DEPLOYMENTS, Reply::json(201, &json!({ "id": 2, "payload": {} })));
    assert_eq!(github.ensure_deployment(&request).await.expect("made"), id("2"));
    let expected = json!({
        "ref": SHA, "task": "deploy", "auto_merge": false, "required_contexts": [],
        "payload": { "greenroom": "k3" }, "environment": "pr-42", "description": "greenroom deploys pr-42",
        "transient_environment": true, "production_environment": false
    });
    assert_eq!(fake.asked("POST", DEPLOYMENTS)[0].body, expected);
    let asked = &fake.asked("GET", DEPLOYMENTS)[0].path;
    assert!(asked.ends_with(&format!("?sha={SHA}&environment=pr-42&per_page=100")), "{asked}");

    for payload in [json!({ "greenroom": "k3" }), json!("{\"greenroom\":\"k3\"}")] {
        let listed = json!([{ "id": 2, "payload": payload }, { "id": 3, "payload": "" }, { "id": 4 }]);
        fake.always("GET", DEPLOYMENTS, Reply::json(200, &listed));
        assert_eq!(github.ensure_deployment(&request).await.expect("found"), id("2"));
    }
    assert_eq!(fake.asked("POST", DEPLOYMENTS).len(), 1);
}

#[tokio::test]
async fn a_status_is_added_unless_the_newest_says_the_same() {
    let fake = FakeGitHub::start().await;
    let (github, repo, deployment) = (fake.client(), shop(), id("2"));
    let path = format!("{DEPLOYMENTS}/2/statuses");
    let long = "é".repeat(200);
    let url = Some("https://pr-42.example.com");
    let state = DeploymentState::Success;
    let update = DeploymentUpdate {
        repo: &repo,
        deployment: &deployment,
        state,
        description: &long,
        environment_url: url,
        log_url: None,
    };
    let status = |id: u64, state: &str| json!({ "id": id, "state": state, "description": "é".repeat(140), "environment_url": url, "log_url": "" });
    fake.always("POST", &path, Reply::json(201, &status(3, "success")));
    fake.once("GET", &path, Reply::json(200, &json!([])));
    fake.once("GET", &path, Reply::json(200, &json!([status(5, "failure"), status(4, "success")])));
    for _ in 0..2 {
        github.publish_deployment_status(&update).await.expect("added");
    }
    let sent = fake.asked("POST", &path);
    let expected = json!({ "state": "success", "description": "é".repeat(140), "environment_url": url });
    assert_eq!(sent.iter().map(|asked| asked.body.clone()).collect::<Vec<_>>(), [expected.clone(), expected]);
    fake.once("GET", &path, Reply::json(200, &json!([status(6, "success"), status(5, "failure")])));
    github.publish_deployment_status(&update).await.expect("nothing to add");
    assert_eq!(fake.asked("POST", &path).len(), 2);
}

#[tokio::test]
async fn an_environment_goes_after_its_deployments_are_inactive() {
    let fake = FakeGitHub::start().await;
    let (github, repo) = (fake.client(), shop());
    let stage = StageName::new("pr-42").expect("a name");
    fake.always("GET", DEPLOYMENTS, Reply::json(200, &json!([{ "id": 1 }, { "id": 2 }, { "id": 3 }])));
    for (number, statuses) in [
        (1, json!([{ "id": 1, "state": "success" }])),
        (2, json!([{ "id": 3, "state": "inactive" }, { "id": 2, "state": "success" }])),
        (3, json!([])),
    ] {
        let path = format!("{DEPLOYMENTS}/{number}/statuses");
        fake.always("GET", &path, Reply::json(200, &statuses));
        fake.always("POST", &path, Reply::json(201, &json!({ "id": 9, "state": "inactive" })));
    }
    let environment = "/repos/acme/shop/environments/pr-42";
    fake.once("DELETE", environment, Reply::empty(204));
    github.remove_environment(&repo, &stage).await.expect("removed");
    let changes: Vec<_> = fake.calls().into_iter().filter(|call| !call.starts_with("GET")).collect();
    let expected = [
        format!("POST {DEPLOYMENTS}/1/statuses"),
        format!("POST {DEPLOYMENTS}/3/statuses"),
        format!("DELETE {environment}"),
    ];
    assert_eq!(changes, expected);
    fake.always("GET", DEPLOYMENTS, Reply::json(200, &json!([])));
    github.remove_environment(&repo, &stage).await.expect("absent is removed");
    fake.always("DELETE", environment, Reply::json(403, &json!({ "message": "Resource not accessible" })));
    assert!(matches!(github.remove_environment(&repo, &stage).await, Err(PortError::Denied { .. })));
}
