//! The token of a job: for one repository, never renewed, and told how it may be helped.

use serde_json::json;

use super::fake::{FakeGitHub, JOB_TOKEN, Reply};
use super::{PULL, SHA, denial_of, main_branch, repository, sha, shop, wait_of};
use crate::github::{GitHub, SetupError, TokenSettings};
use crate::model::{CommentSource, Permission, Reaction, RepoId, RepoName, StageName, Timestamp, UserId};
use crate::port::{AppForge, Forge, PortError, StickyComment};

const REPO: &str = "/repos/acme/shop";
const BRANCH: &str = "/repos/acme/shop/git/ref/heads/main";
const RESOURCE: &str = "Resource not accessible by integration";

fn branch() -> Reply {
    Reply::json(200, &json!({ "ref": "refs/heads/main", "object": { "sha": SHA } }))
}

fn refused(accepted: Option<&str>) -> Reply {
    let reply = Reply::json(403, &json!({ "message": RESOURCE }));
    match accepted {
        Some(accepted) => reply.with("x-accepted-github-permissions", accepted),
        None => reply,
    }
}

#[tokio::test]
async fn it_asks_as_it_is_and_looks_once_whose_the_name_is() {
    let fake = FakeGitHub::start().await;
    let github = fake.job();
    fake.always("GET", BRANCH, branch());
    for _ in 0..2 {
        assert_eq!(github.branch_head(&shop(), &main_branch()).await.expect("an answer"), Some(sha(SHA)));
    }
    let own = github.only(RepoId(774));
    own.branch_head(&shop(), &main_branch()).await.expect("the same repository");
    assert_eq!(fake.asked("GET", REPO).len(), 1, "{:?}", fake.calls());
    let everything = fake.all();
    assert_eq!(everything.len(), 4, "no key, no installation: {:?}", fake.calls());
    let bearer = format!("Bearer {JOB_TOKEN}");
    assert!(everything.iter().all(|asked| asked.header("authorization") == Some(bearer.as_str())));
}

#[tokio::test]
async fn of_another_repository_nothing_is_asked() {
    let fake = FakeGitHub::start().await;
    let github = fake.job();
    let other = RepoName::new("acme/other").expect("a name");
    let stage = StageName::new("pr-1").expect("a name");
    let denied = denial_of(github.repository(&other).await);
    assert!(denied.contains("acme/shop") && denied.contains("acme/other"), "{denied}");
    denial_of(github.branch_head(&other, &main_branch()).await);
    denial_of(github.permission(&other, "ada", UserId(1)).await);
    denial_of(github.remove_environment(&other, &stage).await);
    denial_of(github.is_in_team(&other, "ops", "ada", UserId(1)).await);
    let comment = StickyComment { repo: &other, pull: PULL, id: None, marker: "<!-- m ", body: "b" };
    denial_of(github.publish_comment(&comment).await);
    let namesake = github.only(RepoId(775));
    assert!(denial_of(namesake.repository(&shop()).await).contains("another one of that name"));
    for denied in [
        denial_of(github.repositories().await.map(drop)),
        denial_of(github.deliveries(Timestamp(0)).await.map(drop)),
        denial_of(github.redeliver(1).await),
    ] {
        assert!(denied.contains("not an App"), "{denied}");
    }
    assert_eq!(fake.all().len(), 0, "{:?}", fake.calls());
}

#[tokio::test]
async fn where_another_repository_has_the_name_nothing_else_is_asked() {
    let fake = FakeGitHub::start().await;
    let github = fake.job();
    let mut taken = repository("acme/shop");
    taken["id"] = json!(999);
    fake.always("GET", REPO, Reply::json(200, &taken));
    let react = || github.react(&shop(), CommentSource::Issue, 9, Reaction::Eyes);
    for _ in 0..3 {
        assert!(denial_of(react().await).contains("another repository by now"));
        denial_of(github.repository(&shop()).await);
    }
    assert_eq!(fake.calls(), [format!("GET {REPO}")]);
    fake.always("GET", REPO, Reply::json(200, &repository("acme/shop")));
    fake.always("POST", "/repos/acme/shop/issues/comments/9/reactions", Reply::json(201, &json!({ "id": 1 })));
    fake.clock.advance(60_000);
    react().await.expect("a mistake of GitHub's is not believed for ever");
}

#[tokio::test]
async fn a_renamed_repository_is_followed_to_its_own_number() {
    let fake = FakeGitHub::start().await;
    let github = fake.job();
    let moved = |path: &str| Reply::empty(301).with("location", format!("{}{path}", fake.url));
    fake.always("GET", REPO, moved("/repositories/774"));
    fake.always("GET", "/repositories/774", Reply::json(200, &repository("acme/store")));
    fake.always("GET", BRANCH, moved("/repositories/774/git/ref/heads/main"));
    fake.always("GET", "/repositories/774/git/ref/heads/main", branch());
    assert_eq!(github.branch_head(&shop(), &main_branch()).await.expect("an answer"), Some(sha(SHA)));
}

#[tokio::test]
async fn a_token_that_is_over_is_told_once_and_left_alone() {
    let fake = FakeGitHub::start().await;
    let github = fake.job();
    fake.always("GET", REPO, Reply::json(401, &json!({ "message": "Bad credentials" })));
    for _ in 0..5 {
        let denied = denial_of(github.branch_head(&shop(), &main_branch()).await);
        for words in ["Bad credentials", "run the job again", "${{ github.token }}", "`permissions:`"] {
            assert!(denied.contains(words), "{words}: {denied}");
        }
        assert!(denied.lines().count() == 1 && !denied.contains(JOB_TOKEN), "{denied}");
    }
    assert_eq!(fake.all().len(), 2, "asked once more, then never again");
    fake.clock.advance(61_000);
    denial_of(github.branch_head(&shop(), &main_branch()).await);
    assert_eq!(fake.all().len(), 4, "but for a look each minute");

    let other = FakeGitHub::start().await;
    let github = other.job();
    other.once("GET", BRANCH, Reply::json(401, &json!({ "message": "Bad credentials" })));
    other.always("GET", BRANCH, branch());
    github.branch_head(&shop(), &main_branch()).await.expect("GitHub was mistaken");
}

#[tokio::test]
async fn a_limit_is_waited_for_without_asking() {
    let fake = FakeGitHub::start().await;
    let github = fake.job();
    let reset = (super::fake::START / 1000 + 90).to_string();
    let over = Reply::json(403, &json!({ "message": "API rate limit exceeded for installation." }));
    fake.once("GET", BRANCH, over.with("x-ratelimit-remaining", "0").with("x-ratelimit-reset", reset));
    fake.always("GET", BRANCH, branch());
    let wait = wait_of(github.branch_head(&shop(), &main_branch()).await).expect("a named wait");
    assert!((90_000..93_000).contains(&wait), "{wait}");
    wait_of(github.branch_head(&shop(), &main_branch()).await);
    assert_eq!(fake.asked("GET", BRANCH).len(), 1);
}

#[tokio::test]
async fn a_refusal_names_the_line_that_is_missing() {
    let fake = FakeGitHub::start().await;
    let github = fake.job();
    let cases = [
        (Some("contents=read"), "add `contents: read` to the `permissions:` block"),
        (Some("issues=write; pull_requests=write"), "add `pull-requests: write` to"),
        (Some("pull_requests=read,contents=read; checks=write"), "add `pull-requests: read`, `contents: read` to"),
        (Some("administration=write; checks=read"), "add `checks: read` to"),
        (
            Some("administration=write"),
            "no job's own token may: give `github-token` one of an App that has `administration: write`",
        ),
        (Some("`$(rm)`=write"), "the `permissions:` that the README names"),
        (Some("nonsense"), "the `permissions:` that the README names"),
        (None, "the `permissions:` that the README names"),
    ];
    for (accepted, words) in cases {
        fake.always("GET", BRANCH, refused(accepted));
        let denied = denial_of(github.branch_head(&shop(), &main_branch()).await);
        assert!(denied.contains(words) && denied.contains(RESOURCE), "{accepted:?}: {denied}");
        assert!(denied.lines().count() == 1, "{denied}");
    }
}

#[tokio::test]
async fn what_no_job_may_says_the_way_out() {
    let fake = FakeGitHub::start().await;
    let github = fake.job();
    let membership = "/orgs/acme/teams/ops/memberships/ada";
    for accepted in [Some("members=read"), None] {
        fake.always("GET", membership, refused(accepted));
        let denied = denial_of(github.is_in_team(&shop(), "ops", "ada", UserId(1)).await);
        assert!(denied.contains("no job's own token may") && denied.contains("instead of teams"), "{denied}");
    }
    let right = "/repos/acme/shop/collaborators/ada/permission";
    fake.always("GET", right, refused(Some("metadata=read")));
    denial_of(github.permission(&shop(), "ada", UserId(1)).await);
    let found = json!({ "permission": "write", "role_name": "write", "user": { "id": 1, "login": "ada" } });
    fake.always("GET", right, Reply::json(200, &found));
    assert_eq!(github.permission(&shop(), "ada", UserId(1)).await.expect("an answer"), Permission::Write);
}

#[tokio::test]
async fn the_token_is_in_no_words() {
    let fake = FakeGitHub::start().await;
    let github = fake.job();
    let settings = fake.job_settings();
    assert!(!format!("{settings:?}").contains(JOB_TOKEN));
    let echo = json!({ "message": format!("no such thing as {JOB_TOKEN}") });
    fake.always("GET", REPO, Reply::json(200, &repository("acme/shop")));
    for status in [400, 401, 403, 404, 409, 418, 422, 500] {
        fake.always("GET", BRANCH, Reply::json(status, &echo));
        let error: Option<PortError> = github.branch_head(&shop(), &main_branch()).await.err();
        let said = error.map(|error| format!("{error} {error:?}")).unwrap_or_default();
        assert!(!said.contains(JOB_TOKEN), "{status}: {said}");
        fake.clock.advance(61_000);
    }
    for token in ["", " \n"] {
        let settings = TokenSettings { token: token.into(), ..fake.job_settings() };
        let error = GitHub::with_token(&settings).err().expect("no token");
        assert!(matches!(error, SetupError::Token) && error.to_string().contains("${{ github.token }}"), "{error}");
    }
    let padded = TokenSettings { token: format!(" {JOB_TOKEN}\n").into(), ..fake.job_settings() };
    fake.always("GET", BRANCH, branch());
    let github = GitHub::with_token(&padded).expect("good settings");
    github.branch_head(&shop(), &main_branch()).await.expect("an answer");
}
