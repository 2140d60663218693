//! Tokens: for whom, for what, how long.

use serde_json::json;

use super::fake::{APP_ID, FakeGitHub, INSTALLATION, MINT, Reply, START};
use super::{denial_of, main_branch, repository, shop, wait_of};
use crate::github::{GitHub, GitHubSettings, SetupError};
use crate::model::StageName;
use crate::port::Forge;

const REPO: &str = "/repos/acme/shop";

async fn with_repo() -> FakeGitHub {
    let fake = FakeGitHub::start().await;
    fake.always("GET", REPO, Reply::json(200, &repository("acme/shop")));
    fake
}

#[tokio::test]
async fn a_token_is_for_one_repository_with_named_permissions() {
    let fake = with_repo().await;
    let github = fake.client();
    assert_eq!(github.repository(&shop()).await.expect("an answer").default_branch, main_branch());
    let minted = &fake.asked("POST", MINT)[0];
    assert_eq!(
        minted.body,
        json!({
            "repositories": ["shop"],
            "permissions": {
                "metadata": "read", "contents": "read", "pull_requests": "write", "issues": "write",
                "checks": "write", "deployments": "write"
            }
        })
    );
    let asked = &fake.asked("GET", REPO)[0];
    assert_eq!(asked.header("authorization"), Some("Bearer token-1"));
    assert_eq!(asked.header("accept"), Some("application/vnd.github+json"));
    assert_eq!(asked.header("user-agent"), Some("greenroom"));
    assert_eq!(asked.header("x-github-api-version"), Some("2022-11-28"));
}

#[tokio::test]
async fn the_app_proves_itself_with_a_token_of_less_than_ten_minutes() {
    let fake = with_repo().await;
    fake.client().repository(&shop()).await.expect("an answer");
    let asked = &fake.asked("GET", INSTALLATION)[0];
    let token = asked.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).expect("a bearer");
    let claims = token.split('.').nth(1).expect("claims");
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).expect("base64");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    let now = START / 1000;
    assert_eq!(claims, json!({ "iss": APP_ID.to_string(), "iat": now - 60, "exp": now + 540 }));
}

#[tokio::test]
async fn a_token_is_used_until_shortly_before_it_expires() {
    let fake = with_repo().await;
    let github = fake.client();
    for (millis, tokens) in [(0, 1), (54 * 60_000, 1), (2 * 60_000, 2), (30 * 60_000, 2)] {
        fake.clock.advance(millis);
        github.repository(&shop()).await.expect("an answer");
        assert_eq!(fake.asked("POST", MINT).len(), tokens);
    }
}

#[tokio::test]
async fn many_calls_at_once_share_one_token() {
    let fake = with_repo().await;
    let (github, repo) = (fake.client(), shop());
    let calls = (0..20).map(|_| github.repository(&repo));
    for answer in futures_util::future::join_all(calls).await {
        answer.expect("an answer");
    }
    assert_eq!(fake.asked("POST", MINT).len(), 1);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let fake = with_repo().await;
    let github = fake.client();
    fake.once("GET", REPO, Reply::json(401, &json!({ "message": "Bad credentials" })));
    github.repository(&shop()).await.expect("the second token is taken");
    let tokens: Vec<_> =
        fake.asked("GET", REPO).iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(tokens, [Some("Bearer token-1".into()), Some("Bearer token-2".into())]);

    let other = with_repo().await;
    other.always("GET", REPO, Reply::json(401, &json!({ "message": "Bad credentials" })));
    let refused = other.client().repository(&shop()).await;
    assert!(!format!("{refused:?}").contains("token-"), "{refused:?}");
    assert_eq!(wait_of(refused), None);
    assert_eq!(other.asked("GET", REPO).len(), 2, "once, not for ever");
}

#[tokio::test]
async fn where_the_app_may_not_go_it_says_what_to_do() {
    let fake = with_repo().await;
    let github = fake.client();
    fake.once("GET", INSTALLATION, Reply::json(404, &json!({ "message": "Not Found" })));
    assert!(denial_of(github.repository(&shop()).await).contains("install it there"));
    fake.once("GET", INSTALLATION, Reply::json(200, &json!({ "id": 7, "suspended_at": "2026-01-01T00:00:00Z" })));
    fake.clock.advance(60_000);
    assert!(denial_of(github.repository(&shop()).await).contains("suspended"));
    fake.clock.advance(60_000);
    github.repository(&shop()).await.expect("neither answer is believed for long");
}

#[tokio::test]
async fn environments_are_removed_with_a_token_of_their_own() {
    let fake = with_repo().await;
    let github = fake.client();
    let stage = StageName::new("pr-42").expect("a name");
    fake.always("GET", "/repos/acme/shop/deployments", Reply::json(200, &json!([])));
    fake.always("DELETE", "/repos/acme/shop/environments/pr-42", Reply::empty(204));
    github.remove_environment(&shop(), &stage).await.expect("removed");
    let bodies: Vec<_> = fake.asked("POST", MINT).into_iter().map(|asked| asked.body["permissions"].clone()).collect();
    assert_eq!(bodies[1], json!({ "metadata": "read", "administration": "write" }));
    assert_eq!(bodies[0].get("administration"), None);
    let removal = &fake.asked("DELETE", "/repos/acme/shop/environments/pr-42")[0];
    assert_eq!(removal.header("authorization"), Some("Bearer token-2"));

    let lesser = with_repo().await;
    lesser.installed(&["metadata", "contents", "deployments"]);
    lesser.always("GET", "/repos/acme/shop/deployments", Reply::json(200, &json!([])));
    let refused = lesser.client().remove_environment(&shop(), &stage).await;
    assert!(denial_of(refused).contains("Administration"));
    assert_eq!(lesser.asked("DELETE", "/repos/acme/shop/environments/pr-42").len(), 0);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_without_showing_the_key() {
    let fake = FakeGitHub::start().await;
    let with_pem = |pem: &str| GitHub::new(&GitHubSettings { private_key: pem.into(), ..fake.settings() });
    for pem in ["", "hunter2", "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----"] {
        let error = with_pem(pem).err().expect("no key");
        assert!(matches!(error, SetupError::PrivateKey) && !format!("{error:?} {error}").contains("hunter2"));
    }
    assert!(!format!("{:?}", fake.settings()).contains("unused"));
    for url in ["", "api.github.com", "ftp://api.github.com", "https://me:hunter2@api.github.com", "https://x/?a=b"] {
        let key = super::super::key::AppKey::new(
            APP_ID,
            octocrab::jsonwebtoken::EncodingKey::from_secret(b"x"),
            octocrab::jsonwebtoken::Algorithm::HS256,
        );
        let settings = GitHubSettings { api_url: url.into(), ..fake.settings() };
        let refused = GitHub::with_key(&settings, key).err();
        let refused = refused.expect("no address");
        assert!(matches!(refused, SetupError::ApiUrl), "{url}");
        assert!(!format!("{refused:?} {refused} {settings:?}").contains("hunter2"), "{refused}");
    }
}
