//! Looking: what is asked, how often, and what the answers mean.

use serde_json::{Value, json};

use super::fake::{FakeGitHub, Reply};
use super::{OTHER, PULL, SHA, main_branch, repository, sha, shop};
use crate::model::{
    ActorKind, Branch, Changed, Permission, PullRequestState, RepoId, RepoName, RepoSeen, Timestamp, UserId,
};
use crate::port::{AppForge, Forge, PortError};

const RAW: &str = "application/vnd.github.raw+json; charset=utf-8";

#[tokio::test]
async fn a_changing_thing_is_asked_with_what_was_known() {
    let fake = FakeGitHub::start().await;
    let github = fake.client();
    let path = "/repos/acme/shop/git/ref/heads/main";
    let head = |sha: &str| json!({ "ref": "refs/heads/main", "object": { "type": "commit", "sha": sha } });
    fake.once("GET", path, Reply::json(200, &head(SHA)).with("etag", "W/\"one\""));
    fake.once("GET", path, Reply::empty(304));
    fake.once("GET", path, Reply::json(200, &head(OTHER)).with("etag", "W/\"two\""));
    fake.once("GET", path, Reply::empty(304));
    for expected in [SHA, SHA, OTHER, OTHER] {
        let found = github.branch_head(&shop(), &main_branch()).await.expect("an answer");
        assert_eq!(found, Some(sha(expected)));
    }
    let known: Vec<_> =
        fake.asked("GET", path).iter().map(|asked| asked.header("if-none-match").map(str::to_owned)).collect();
    let (one, two) = (Some("W/\"one\"".to_owned()), Some("W/\"two\"".to_owned()));
    assert_eq!(known, [None, one.clone(), one, two]);
}

#[tokio::test]
async fn a_branch_that_is_not_there_has_no_head() {
    let fake = FakeGitHub::start().await;
    let github = fake.client();
    let branch = |name: &str| Branch(name.into());
    assert_eq!(github.branch_head(&shop(), &branch("gone")).await.expect("an answer"), None);
    let empty = json!({ "message": "Git Repository is empty." });
    fake.always("GET", "/repos/acme/shop/git/ref/heads/main", Reply::json(409, &empty));
    assert_eq!(github.branch_head(&shop(), &main_branch()).await.expect("an answer"), None);
    let odd = "/repos/acme/shop/git/ref/heads/feature/%23%C3%A9";
    let answer = json!({ "ref": "refs/heads/feature/#é", "object": { "sha": SHA } });
    fake.always("GET", odd, Reply::json(200, &answer));
    assert_eq!(github.branch_head(&shop(), &branch("feature/#é")).await.expect("an answer"), Some(sha(SHA)));
    let before = fake.calls().len();
    assert_eq!(github.branch_head(&shop(), &branch("../../x")).await.expect("an answer"), None);
    assert_eq!(fake.calls().len(), before, "a branch cannot climb out of its path");
}

#[tokio::test]
async fn a_file_at_a_commit_is_read_once_and_raw() {
    let fake = FakeGitHub::start().await;
    let github = fake.client();
    let path = format!("/repos/acme/shop/contents/.github/greenroom.yml?ref={SHA}");
    fake.always("GET", &path, Reply::bytes(RAW, "version: 1\n"));
    for _ in 0..3 {
        let file = github.file_at(&shop(), &sha(SHA), ".github/greenroom.yml").await.expect("an answer");
        assert_eq!(file.as_deref(), Some(b"version: 1\n".as_slice()));
    }
    let asked = fake.asked("GET", &path);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("accept"), Some("application/vnd.github.raw+json"));
}

#[tokio::test]
async fn of_a_file_of_any_length_the_beginning_is_read() {
    let fake = FakeGitHub::start().await;
    let github = fake.client();
    let path = format!("/repos/acme/shop/contents/.github/greenroom.yml?ref={SHA}");
    let long = "# long\n".repeat(500_000);
    fake.always("GET", &path, Reply::bytes(RAW, long.clone()));
    let file = github.file_at(&shop(), &sha(SHA), ".github/greenroom.yml").await.expect("an answer").expect("a file");
    assert_eq!(file.len(), 1 << 20, "enough to be refused for its length");
    assert!(long.as_bytes().starts_with(&file));
}

#[tokio::test]
async fn what_is_no_file_is_none_and_what_is_no_commit_is_said() {
    let fake = FakeGitHub::start().await;
    let github = fake.client();
    let file = async |path: &str| github.file_at(&shop(), &sha(SHA), path).await;
    assert_eq!(file("absent.yml").await.expect("an answer"), None);
    assert_eq!(file("../../../user").await.expect("an answer"), None);
    fake.always("GET", "/repos/acme/shop/contents/folder", Reply::json(200, &json!([{ "name": "x" }])));
    assert_eq!(file("folder").await.expect("an answer"), None);
    fake.always("GET", "/repos/acme/shop/contents/list.json", Reply::bytes(RAW, "[1]"));
    assert_eq!(file("list.json").await.expect("an answer").as_deref(), Some(b"[1]".as_slice()));
    let unknown = json!({ "message": format!("No commit found for the ref {SHA}") });
    fake.always("GET", "/repos/acme/shop/contents/x", Reply::json(404, &unknown));
    assert!(matches!(file("x").await, Err(PortError::NotFound { .. })));
    let refused = json!({ "message": "Resource not accessible by integration" });
    fake.always("GET", "/repos/acme/shop/contents/y", Reply::json(403, &refused));
    assert!(matches!(file("y").await, Err(PortError::Denied { .. })), "a refusal is not an absence");
}

fn pull(state: &str, draft: bool, merged_at: Option<&str>, head_repo: Option<&str>) -> Value {
    json!({
        "number": 42, "title": "A title", "state": state, "draft": draft, "merged_at": merged_at,
        "user": { "id": 1, "login": "monalisa", "type": "Bot" }, "labels": [{ "name": "preview" }],
        "head": { "ref": "feature", "sha": SHA, "repo": head_repo.map(|name| json!({ "full_name": name })) },
        "base": { "ref": "main", "sha": OTHER, "repo": { "full_name": "acme/shop" } }
    })
}

#[tokio::test]
async fn a_pull_request_is_what_github_says_now() {
    let fake = FakeGitHub::start().await;
    let github = fake.client();
    let path = "/repos/acme/shop/pulls/42";
    let cases = [
        (pull("open", false, None, Some("Acme/Shop")), PullRequestState::Open, false),
        (pull("open", true, None, Some("acme/shop")), PullRequestState::Draft, false),
        (pull("closed", false, None, Some("fork/shop")), PullRequestState::Closed, true),
        (pull("closed", false, Some("2026-01-01T00:00:00Z"), None), PullRequestState::Merged, true),
    ];
    for (body, state, is_from_fork) in cases {
        fake.once("GET", path, Reply::json(200, &body));
        let found = github.pull_request(&shop(), PULL).await.expect("an answer");
        assert_eq!((found.state, found.is_from_fork()), (state, is_from_fork));
        assert_eq!((found.head.sha, found.base), (sha(SHA), main_branch()));
        assert_eq!(
            (found.author.id, found.author.kind, found.labels),
            (UserId(1), ActorKind::Bot, vec!["preview".into()])
        );
    }
    assert!(matches!(github.pull_request(&shop(), PULL).await, Err(PortError::NotFound { .. })));
    let mut by_ghost = pull("open", false, None, None);
    by_ghost["user"] = Value::Null;
    fake.once("GET", path, Reply::json(200, &by_ghost));
    assert_eq!(github.pull_request(&shop(), PULL).await.expect("an answer").author.login, "ghost");
}

#[tokio::test]
async fn every_page_of_the_open_pull_requests_is_read() {
    let fake = FakeGitHub::start().await;
    let first = "/repos/acme/shop/pulls?state=open&per_page=100";
    let second = "/repos/acme/shop/pulls?state=open&per_page=100&page=2";
    let next = format!("<{}{second}>; rel=\"next\", <{}/x>; rel=\"last\"", fake.url, fake.url);
    let open = pull("open", false, None, Some("acme/shop"));
    fake.always("GET", first, Reply::json(200, &json!([open, open])).with("link", next));
    fake.always("GET", second, Reply::json(200, &json!([open])));
    assert_eq!(fake.client().open_pull_requests(&shop()).await.expect("an answer").len(), 3);

    fake.always("GET", second, Reply::empty(502));
    let half = fake.client().open_pull_requests(&shop()).await;
    assert!(matches!(half, Err(PortError::Retry { .. })), "half a list is none: {half:?}");
}

#[tokio::test]
async fn changed_files_are_believed_only_between_ancestor_and_descendant() {
    let fake = FakeGitHub::start().await;
    let path = format!("/repos/acme/shop/compare/{OTHER}...{SHA}");
    let renamed = json!({ "filename": "b.rs", "previous_filename": "a.rs", "status": "renamed" });
    let many: Vec<_> = (0..300).map(|number| json!({ "filename": format!("{number}.rs") })).collect();
    let cases = [
        (Reply::json(200, &json!({ "status": "ahead", "files": [renamed] })), Some(vec!["b.rs", "a.rs"])),
        (Reply::json(200, &json!({ "status": "ahead", "files": [] })), Some(vec![])),
        (Reply::json(200, &json!({ "status": "diverged", "files": [renamed] })), None),
        (Reply::json(200, &json!({ "status": "behind", "files": [] })), None),
        (Reply::json(200, &json!({ "status": "ahead", "files": many })), None),
        (Reply::json(200, &json!({ "status": "ahead" })), None),
        (Reply::json(404, &json!({ "message": "Not Found" })), None),
    ];
    for (reply, files) in cases {
        fake.always("GET", &path, reply);
        // A new client each time: the comparison of two commits is read once.
        let changed = fake.client().changed_files(&shop(), &sha(OTHER), &sha(SHA)).await.expect("an answer");
        let expected = files.map(|files| Changed::Files(files.into_iter().map(str::to_owned).collect()));
        assert_eq!(changed, expected.unwrap_or(Changed::Everything));
    }
    let same = fake.client().changed_files(&shop(), &sha(SHA), &sha(SHA)).await.expect("an answer");
    assert_eq!(same, Changed::Files(Vec::new()));
}

#[tokio::test]
async fn rights_go_by_the_numeric_id() {
    let fake = FakeGitHub::start().await;
    let github = fake.client();
    let path = "/repos/acme/shop/collaborators/monalisa/permission";
    let answer = |permission: &str, role: Value, id: u64| {
        let user = json!({ "id": id, "login": "monalisa", "type": "User" });
        Reply::json(200, &json!({ "permission": permission, "role_name": role, "user": user }))
    };
    let cases = [
        (answer("admin", json!("admin"), 1), Permission::Admin),
        (answer("write", json!("maintain"), 1), Permission::Maintain),
        (answer("write", json!("write"), 1), Permission::Write),
        (answer("read", json!("triage"), 1), Permission::Triage),
        (answer("read", json!("read"), 1), Permission::Read),
        (answer("none", json!("none"), 1), Permission::None),
        (answer("write", json!("a role of our own"), 1), Permission::Write),
        (answer("read", json!("admin"), 1), Permission::Read),
        (answer("read", json!("maintain"), 1), Permission::Read),
        (answer("none", json!("write"), 1), Permission::None),
        (answer("write", Value::Null, 1), Permission::Write),
        (answer("strange", Value::Null, 1), Permission::None),
        (answer("admin", json!("admin"), 2), Permission::None),
        (Reply::json(200, &json!({ "permission": "admin", "user": null })), Permission::None),
        (Reply::json(404, &json!({ "message": "Not Found" })), Permission::None),
    ];
    for (number, (reply, expected)) in cases.into_iter().enumerate() {
        fake.always("GET", path, reply);
        let found = github.permission(&shop(), "monalisa", UserId(1)).await.expect("an answer");
        assert_eq!(found, expected, "case {number}");
    }
    fake.always("GET", path, Reply::empty(502));
    assert!(github.permission(&shop(), "monalisa", UserId(1)).await.is_err(), "not knowing is not a right");
    assert!(fake.asked("GET", path).iter().all(|asked| asked.header("if-none-match").is_none()));
}

#[tokio::test]
async fn the_repositories_of_every_installation_are_listed() {
    let fake = FakeGitHub::start().await;
    let installations = json!([
        { "id": 7, "permissions": {}, "suspended_at": null },
        { "id": 8, "permissions": {}, "suspended_at": "2026-01-01T00:00:00Z" }
    ]);
    fake.always("GET", "/app/installations", Reply::json(200, &installations));
    let repo = |id: u64, name: &str| json!({ "id": id, "full_name": name, "owner": { "id": 7, "login": "acme" } });
    let page = json!({ "total_count": 2, "repositories": [repo(2, "Acme/Web"), repo(1, "acme/shop")] });
    fake.always("GET", "/installation/repositories", Reply::json(200, &page));
    let seen = |id, name| RepoSeen { id: RepoId(id), owner: UserId(7), name: RepoName::new(name).expect("a name") };
    let expected = [seen(1, "acme/shop"), seen(2, "acme/web")];
    assert_eq!(fake.client().repositories().await.expect("an answer"), expected);
    assert_eq!(fake.asked("GET", "/installation/repositories").len(), 1, "a suspended one is not asked");
}

#[tokio::test]
async fn an_installation_that_does_not_list_holds_up_no_other() {
    let fake = FakeGitHub::start().await;
    let installed = |id: u64| json!({ "id": id, "permissions": {}, "suspended_at": null });
    fake.always("GET", "/app/installations", Reply::json(200, &json!([installed(7), installed(8), installed(9)])));
    let message = "Although you appear to have the correct authorization credentials, the organization has an IP \
                   allow list enabled, and your IP address is not permitted to access this resource.";
    fake.always("POST", "/app/installations/8/access_tokens", Reply::json(403, &json!({ "message": message })));
    let token = json!({ "token": "listing", "expires_at": "2026-11-20T06:00:00Z" });
    fake.always("POST", "/app/installations/9/access_tokens", Reply::json(201, &token));
    let page = |id: u64, name: &str| {
        let repo = json!({ "id": id, "full_name": name, "owner": { "id": 7, "login": "acme" } });
        Reply::json(200, &json!({ "total_count": 1, "repositories": [repo] }))
    };
    fake.once("GET", "/installation/repositories", page(1, "acme/shop"));
    fake.once("GET", "/installation/repositories", page(2, "beta/site"));
    let names: Vec<_> =
        fake.client().repositories().await.expect("an answer").into_iter().map(|repo| repo.name).collect();
    assert_eq!(names, ["acme/shop", "beta/site"].map(|name| RepoName::new(name).expect("a name")));

    fake.always("POST", "/app/installations/9/access_tokens", Reply::empty(502));
    fake.once("GET", "/installation/repositories", page(1, "acme/shop"));
    assert!(fake.client().repositories().await.is_err(), "what may pass is asked again");
}

#[tokio::test]
async fn an_installation_that_cannot_be_listed_hides_none_of_the_others() {
    let fake = FakeGitHub::start().await;
    let installations = json!([{ "id": 7, "permissions": {} }, { "id": 8, "permissions": {} }]);
    fake.always("GET", "/app/installations", Reply::json(200, &installations));
    fake.always("POST", "/app/installations/8/access_tokens", Reply::json(404, &json!({ "message": "Not Found" })));
    let repo = json!({ "id": 1, "full_name": "acme/shop", "owner": { "id": 7, "login": "acme" } });
    let page = json!({ "total_count": 1, "repositories": [repo] });
    fake.always("GET", "/installation/repositories", Reply::json(200, &page));
    let github = fake.client();
    for _ in 0..2 {
        let names: Vec<_> =
            github.repositories().await.expect("those of the other").into_iter().map(|it| it.name).collect();
        assert_eq!(names, [shop()]);
    }
    // Where nothing is left it is no empty list.
    fake.always("GET", "/installation/repositories", Reply::json(404, &json!({ "message": "Not Found" })));
    assert!(matches!(github.repositories().await, Err(PortError::NotFound { .. })));
    fake.always("GET", "/installation/repositories", Reply::empty(502));
    assert!(matches!(github.repositories().await, Err(PortError::Retry { .. })), "what passes is no reason");
}

#[tokio::test]
async fn a_renamed_repository_is_followed_on_the_same_host_only() {
    let fake = FakeGitHub::start().await;
    let elsewhere = FakeGitHub::start().await;
    let github = fake.client();
    let moved = |url: &str| Reply::empty(301).with("location", format!("{url}/repositories/99"));
    fake.once("GET", "/repos/acme/shop", moved(&fake.url));
    fake.always("GET", "/repositories/99", Reply::json(200, &repository("acme/store")));
    let facts = github.repository(&shop()).await.expect("an answer");
    assert_eq!((facts.seen.id, facts.seen.name.as_str()), (RepoId(774), "acme/store"));
    fake.once("GET", "/repos/acme/shop", moved(&elsewhere.url));
    assert!(github.repository(&shop()).await.is_err());
    assert_eq!(elsewhere.all().len(), 0, "no token leaves for another host");
}

#[tokio::test]
async fn deliveries_are_listed_back_to_a_time() {
    let fake = FakeGitHub::start().await;
    let first = "/app/hook/deliveries?per_page=100";
    let second = "/app/hook/deliveries?per_page=100&cursor=v1_2";
    let third = "/app/hook/deliveries?per_page=100&cursor=v1_3";
    let delivery = |id: u64, at: &str, code: u16| json!({ "id": id, "guid": format!("guid-{id}"), "delivered_at": at, "status_code": code, "status": "x" });
    let link = |path: &str| format!("<{}{path}>; rel=\"next\"", fake.url);
    let page = json!([delivery(4, "2026-11-20T05:00:04Z", 202), delivery(3, "2026-11-20T05:00:03Z", 502)]);
    fake.always("GET", first, Reply::json(200, &page).with("link", link(second)));
    let page = json!([delivery(2, "2026-11-20T05:00:02Z", 0), delivery(1, "2026-11-20T05:00:00Z", 500)]);
    fake.always("GET", second, Reply::json(200, &page).with("link", link(third)));
    let since = Timestamp(super::fake::START + 1_000);
    let found = fake.client().deliveries(since).await.expect("an answer");
    let seen: Vec<_> = found.iter().map(|d| (d.id, d.guid.as_str(), d.arrived, d.at.since(since))).collect();
    assert_eq!(seen, [(4, "guid-4", true, 3_000), (3, "guid-3", false, 2_000), (2, "guid-2", false, 1_000)]);
    assert_eq!(fake.asked("GET", third).len(), 0, "nothing older is read");

    fake.always("POST", "/app/hook/deliveries/3/attempts", Reply::json(202, &json!({})));
    fake.client().redeliver(3).await.expect("sent again");
    assert!(matches!(fake.client().redeliver(5).await, Err(PortError::NotFound { .. })));
}

#[tokio::test]
async fn of_very_many_deliveries_the_newest_are_looked_at() {
    let fake = FakeGitHub::start().await;
    let path = "/app/hook/deliveries?per_page=100";
    let young = json!([{ "id": 4, "guid": "guid-4", "delivered_at": "2026-11-20T05:00:04Z", "status_code": 502 }]);
    fake.always("GET", path, Reply::json(200, &young).with("link", format!("<{}{path}>; rel=\"next\"", fake.url)));
    let found =
        fake.client().deliveries(Timestamp(super::fake::START)).await.expect("no end is no reason to heal none");
    assert_eq!((found.len(), fake.asked("GET", path).len()), (20, 20));
}
