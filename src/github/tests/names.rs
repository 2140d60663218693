//! Names that change hands: a token speaks for the repository that had the name when it was made.

use serde_json::{Value, json};

use super::fake::{FakeGitHub, INSTALLATION, MINT, Reply};
use super::{PULL, SHA, repository, sha, shop};
use crate::github::GitHub;
use crate::model::{CommentSource, Permission, Reaction, RepoId, StageName, UserId};
use crate::port::{DeploymentRequest, EnvironmentLifetime, Forge, PortError, PortResult, StickyComment};

const REPO: &str = "/repos/acme/shop";
/// The number that `repository` tells.
const OURS: RepoId = RepoId(774);
const ANOTHER: RepoId = RepoId(775);

async fn with_repo() -> (FakeGitHub, GitHub) {
    let fake = FakeGitHub::start().await;
    fake.always("GET", REPO, Reply::json(200, &repository("acme/shop")));
    let github = fake.client();
    (fake, github)
}

fn is_gone<T>(result: &PortResult<T>) -> bool {
    matches!(result, Err(PortError::NotFound { .. }))
}

fn asked_for(fake: &FakeGitHub) -> Vec<Value> {
    let narrowed = |body: &Value| body.get("repository_ids").or(body.get("repositories")).cloned();
    fake.asked("POST", MINT).iter().map(|asked| narrowed(&asked.body).unwrap_or_default()).collect()
}

#[tokio::test]
async fn what_an_old_token_does_not_see_is_asked_once_more_with_a_new_one() {
    let (fake, github) = with_repo().await;
    let (shop, repo) = (shop(), github.only(OURS));
    for forge in [&github as &dyn Forge, &*repo] {
        forge.repository(&shop).await.expect("an answer");
    }
    assert_eq!(asked_for(&fake), [json!(["shop"]), json!([774])]);
    // Another repository has the name by now, or the app was installed anew.
    for token in ["token-1", "token-2"] {
        fake.blind(token);
    }
    for forge in [&github as &dyn Forge, &*repo] {
        let looks = (0..5).map(|_| forge.repository(&shop));
        for look in futures_util::future::join_all(looks).await {
            assert_eq!(look.expect("an answer by a new token").seen.id, OURS);
        }
    }
    assert_eq!(asked_for(&fake)[2..], [json!(["shop"]), json!([774])], "one each, however many ask at once");
}

#[tokio::test]
async fn with_a_token_the_others_of_its_name_are_forgotten() {
    let (fake, github) = with_repo().await;
    let (shop, team) = (shop(), "/orgs/acme/teams/ops/memberships/ada");
    fake.always("GET", team, Reply::json(200, &json!({ "state": "pending" })));
    github.repository(&shop).await.expect("an answer");
    assert!(!github.is_in_team(&shop, "ops", "ada", UserId(1)).await.expect("an answer"));
    fake.blind("token-1");
    github.repository(&shop).await.expect("an answer");
    assert!(!github.is_in_team(&shop, "ops", "ada", UserId(1)).await.expect("an answer"));
    let shown: Vec<_> =
        fake.asked("GET", team).iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(shown, ["token-2", "token-4"].map(|token| Some(format!("Bearer {token}"))));
}

#[tokio::test]
async fn a_repository_that_is_truly_gone_costs_a_token_a_minute_at_most() {
    let fake = FakeGitHub::start().await;
    let (github, shop) = (fake.client(), shop());
    for (millis, tokens) in [(0, 1), (0, 1), (59_000, 1), (1_000, 2), (59_000, 2), (30_000, 3)] {
        fake.clock.advance(millis);
        for _ in 0..5 {
            assert!(is_gone(&github.repository(&shop).await));
        }
        assert_eq!(fake.asked("POST", MINT).len(), tokens, "after {millis} more");
    }
    assert!(fake.asked("GET", REPO).len() <= 30 + 3, "nor is it asked about twice");
    fake.always("GET", INSTALLATION, Reply::json(404, &json!({ "message": "Not Found" })));
    fake.clock.advance(60_000);
    for _ in 0..5 {
        assert!(matches!(github.repository(&shop).await, Err(PortError::Denied { .. })), "it says what to do");
    }
    assert_eq!(fake.asked("POST", MINT).len(), 3);
}

#[tokio::test]
async fn where_the_app_is_not_installed_is_asked_once_a_minute_however_many_want_to_know() {
    let fake = FakeGitHub::start().await;
    let (github, shop) = (fake.client(), shop());
    let suspended = json!({ "id": 7, "permissions": {}, "suspended_at": "2026-01-01T00:00:00Z" });
    for refusal in [Reply::json(404, &json!({ "message": "Not Found" })), Reply::json(200, &suspended)] {
        fake.always("GET", INSTALLATION, refusal);
        fake.clock.advance(60_000);
        let before = fake.asked("GET", INSTALLATION).len();
        for _ in 0..50 {
            fake.clock.advance(1_000);
            assert!(matches!(github.repository(&shop).await, Err(PortError::Denied { .. })));
        }
        assert_eq!(fake.asked("GET", INSTALLATION).len(), before + 1);
    }
    fake.clock.advance(60_000);
    fake.installed(&["metadata"]);
    fake.always("GET", REPO, Reply::json(200, &repository("acme/shop")));
    github.repository(&shop).await.expect("it is installed again");
}

#[tokio::test]
async fn nobody_is_without_rights_because_the_name_is_another_s() {
    let (fake, github) = with_repo().await;
    let path = "/repos/acme/shop/collaborators/monalisa/permission";
    fake.always("GET", path, Reply::json(404, &json!({ "message": "Not Found" })));
    let may = async |id: RepoId| github.only(id).permission(&shop(), "monalisa", UserId(1)).await;
    assert_eq!(may(OURS).await.expect("an answer"), Permission::None);
    assert!(is_gone(&may(ANOTHER).await), "that is asked again under the name of now");
}

#[tokio::test]
async fn a_write_for_a_number_is_made_with_a_token_for_that_number_and_without_a_look() {
    let (fake, github) = with_repo().await;
    let reactions = "/repos/acme/shop/issues/comments/9/reactions";
    fake.always("POST", reactions, Reply::json(201, &json!({ "id": 1 })));
    let shop = shop();
    for id in [OURS, ANOTHER, OURS] {
        github.only(id).react(&shop, CommentSource::Issue, 9, Reaction::Eyes).await.expect("made");
    }
    assert_eq!(asked_for(&fake), [json!([774]), json!([775])], "each its own, though the name is one");
    let shown: Vec<_> =
        fake.asked("POST", reactions).iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(shown, ["token-1", "token-2", "token-1"].map(|token| Some(format!("Bearer {token}"))));
    assert_eq!(fake.asked("GET", REPO).len(), 0);
}

#[tokio::test]
async fn what_one_repository_was_told_is_not_told_the_next_that_has_its_name() {
    let (fake, github) = with_repo().await;
    let (shop, commit) = (shop(), sha(SHA));
    let file = format!("/repos/acme/shop/contents/a?ref={SHA}");
    fake.once("GET", &file, Reply::bytes("application/vnd.github.raw+json", "a secret plan"));
    let read = async |id: RepoId| github.only(id).file_at(&shop, &commit, "a").await.expect("an answer");
    let plan = || Some(b"a secret plan".to_vec());
    assert_eq!((read(OURS).await, read(OURS).await), (plan(), plan()), "asked once");
    assert_eq!(read(ANOTHER).await, None);
    assert_eq!(read(OURS).await, plan());
    assert_eq!(fake.asked("GET", &file).len(), 2);
}

#[tokio::test]
async fn writes_are_counted_for_who_made_them_not_for_who_has_the_name() {
    let (fake, shop) = (FakeGitHub::start().await, shop());
    let github = fake.client_with_budget(8);
    fake.always("POST", "/repos/acme/shop/issues/comments/9/reactions", Reply::json(201, &json!({ "id": 1 })));
    let burst = async |id: RepoId| {
        let mut made = 0;
        while github.only(id).react(&shop, CommentSource::Issue, 9, Reaction::Eyes).await.is_ok() {
            made += 1;
        }
        made
    };
    assert_eq!((burst(OURS).await, burst(ANOTHER).await), (6, 2), "three quarters, and what is left");
}

/// Any token reads what is public, and the list of whoever took the name may look like one's own.
#[tokio::test]
async fn what_is_read_of_a_public_repository_is_not_taken_for_ones_own() {
    let (fake, github) = with_repo().await;
    let (shop, commit, stage) = (shop(), sha(SHA), StageName::new("pr-42").expect("a name"));
    let lifetime = EnvironmentLifetime::Transient;
    let request = DeploymentRequest { repo: &shop, sha: &commit, environment: &stage, key: "k3", lifetime };
    let listed = json!([{ "id": 2, "payload": { "greenroom": "k3" } }]);
    fake.always("GET", "/repos/acme/shop/deployments", Reply::json(200, &listed));
    assert_eq!(github.only(OURS).ensure_deployment(&request).await.expect("found").as_str(), "2");
    assert!(is_gone(&github.only(ANOTHER).ensure_deployment(&request).await));

    fake.always("GET", "/repos/acme/shop/deployments", Reply::json(200, &json!([])));
    github.only(OURS).remove_environment(&shop, &stage).await.expect("it is gone already");
    assert!(is_gone(&github.only(ANOTHER).remove_environment(&shop, &stage).await), "nobody knows");
}

#[tokio::test]
async fn a_write_that_is_sent_elsewhere_and_not_followed_is_not_found() {
    let (fake, github) = with_repo().await;
    let shop = shop();
    let comment = StickyComment { repo: &shop, pull: PULL, id: None, marker: "<!-- m ", body: "<!-- m -->" };
    let comments = format!("/repos/acme/shop/issues/{PULL}/comments");
    fake.always("GET", &comments, Reply::json(200, &json!([])));
    fake.always("POST", &comments, Reply::empty(301).with("location", format!("{}/repositories/774", fake.url)));
    assert!(is_gone(&github.only(OURS).publish_comment(&comment).await));
    let moved = Reply::empty(307).with("location", format!("{}/repositories/774/issues/42/comments", fake.url));
    fake.always("POST", &comments, moved);
    fake.always("POST", "/repositories/774/issues/42/comments", Reply::json(201, &json!({ "id": 7 })));
    assert_eq!(github.only(OURS).publish_comment(&comment).await.expect("followed").as_str(), "7");
}

#[tokio::test]
async fn a_pull_request_is_a_forks_by_its_number_whatever_its_name_is() {
    let (fake, github) = with_repo().await;
    let own = github.only(OURS);
    let path = format!("{REPO}/pulls/42");
    let repo = |id: RepoId, name: &str| json!({ "id": id.0, "full_name": name });
    let cases = [
        (repo(OURS, "acme/shop"), repo(OURS, "acme/shop"), false),
        // It was renamed a moment ago.
        (repo(OURS, "acme/store"), repo(OURS, "acme/store"), false),
        (repo(ANOTHER, "fork/shop"), repo(OURS, "acme/shop"), true),
        // And somebody has its name.
        (repo(ANOTHER, "acme/shop"), repo(OURS, "acme/store"), true),
        // The one that is answered is another one altogether.
        (repo(ANOTHER, "acme/other"), repo(ANOTHER, "acme/other"), true),
        (json!({ "full_name": "acme/shop" }), json!({ "full_name": "acme/shop" }), false),
    ];
    for (head, base, is_from_fork) in cases {
        let side = |branch: &str, repo: Value| json!({ "ref": branch, "sha": SHA, "repo": repo });
        let (head, base) = (side("topic", head), side("main", base));
        let body = json!({ "number": 42, "title": "", "state": "open", "user": null, "head": head, "base": base });
        fake.once("GET", &path, Reply::json(200, &body));
        let found = own.pull_request(&shop(), PULL).await.expect("an answer");
        assert_eq!(found.is_from_fork(), is_from_fork, "{body}");
    }
}
