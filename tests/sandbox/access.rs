//! Tokens, permissions, limits and faults.

use greenroom::model::{Permission, PullNumber};
use greenroom::sandbox::{Fault, Matcher, Visibility};
use serde_json::{Value, json};

use crate::assert_documented;
use crate::client::{GET, POST, Stage};

#[tokio::test]
async fn the_app_has_tokens_for_its_installations() {
    let stage = Stage::new().await;
    stage.hub.create_repo("acme/blog", [("index.html", "<h1>Blog</h1>")]).unwrap();
    assert_eq!(stage.as_app(GET, "/app", None).await.status, 200);
    assert_eq!(stage.as_app(GET, "/app/installations", None).await.json[0]["account"]["login"], "acme");
    let installation = stage.as_app(GET, "/repos/acme/shop/installation", None).await;
    let tokens = format!("/app/installations/{}/access_tokens", installation.json["id"]);
    let body = json!({ "repositories": ["shop"], "permissions": { "checks": "write", "contents": "read" } });
    let reply = stage.as_app(POST, &tokens, Some(body)).await;
    assert_eq!((reply.status, &reply.json["repositories"][0]["full_name"]), (201, &"acme/shop".into()));
    assert_eq!(reply.json["expires_at"], "2026-11-20T06:04:00Z");

    stage.use_token(reply.json["token"].as_str().unwrap());
    assert_eq!(stage.get("/installation/repositories").await.json["total_count"], 1);
    assert_eq!(stage.get("/repos/acme/shop").await.status, 200);
    assert_eq!(stage.get("/repos/acme/blog").await.status, 404, "another repository");
    let refused = stage.get("/repos/acme/shop/pulls").await;
    assert_eq!((refused.status, &refused.json["message"]), (403, &"Resource not accessible by integration".into()));
    assert_eq!(refused.header("x-accepted-github-permissions"), "pull_requests=read");
    assert_eq!(stage.get("/app").await.status, 401, "an installation is not the app");

    stage.clock.forward(3_600_000);
    assert_eq!(stage.get("/repos/acme/shop").await.status, 401, "an hour later");

    for wrong in [json!({ "repositories": ["nothing"] }), json!({ "permissions": { "members": "write" } })] {
        assert_eq!(stage.as_app(POST, &tokens, Some(wrong)).await.status, 422);
    }
    assert_eq!(stage.as_app(POST, "/app/installations/1/access_tokens", None).await.status, 404);
    assert!(!format!("{:?}", stage.hub.requests()).contains("ghs_1"), "tokens stay out of the transcript");
    assert_documented(&stage);
}

/// GitHub takes names for a token and binds it to the repositories that have them at that moment.
#[tokio::test]
async fn a_token_is_bound_to_numbers_and_says_nothing_of_whoever_takes_a_name_later() {
    let stage = Stage::new().await;
    let installation = stage.as_app(GET, "/repos/acme/shop/installation", None).await;
    let tokens = format!("/app/installations/{}/access_tokens", installation.json["id"]);
    let by_name = stage.as_app(POST, &tokens, Some(json!({ "repositories": ["shop"] }))).await.json;
    let id = by_name["repositories"][0]["id"].clone();
    let store = stage.hub.rename_repo(&stage.shop, "acme/store").unwrap();
    let newcomer = stage.hub.create_repo("acme/shop", [("README.md", "# Another\n")]).unwrap();
    for repo in [&store, &newcomer] {
        stage.hub.commit(repo, "two", [("a", "b")], "Two").unwrap();
        stage.hub.open_pull(repo, "two", "Two").unwrap();
    }

    let by_number = stage.as_app(POST, &tokens, Some(json!({ "repository_ids": [id] }))).await.json;
    assert_eq!(by_number["repositories"][0]["full_name"], "acme/store");
    let hello = || Some(json!({ "body": "hello" }));
    for token in [&by_name, &by_number] {
        stage.use_token(token["token"].as_str().unwrap());
        assert_eq!(stage.get("/installation/repositories").await.json["repositories"][0]["full_name"], "acme/store");
        assert_eq!(stage.get("/repos/acme/store").await.json["id"], id, "it follows its repository");
        assert_eq!(stage.send(POST, "/repos/acme/store/issues/1/comments", hello()).await.status, 201);
        for (visibility, read, written) in [(Visibility::Private, 404, 404), (Visibility::Public, 200, 403)] {
            stage.hub.set_visibility(&newcomer, visibility).unwrap();
            assert_eq!(stage.get("/repos/acme/shop").await.status, read, "{visibility:?}");
            assert_eq!(stage.send(POST, "/repos/acme/shop/issues/1/comments", hello()).await.status, written);
        }
    }
    let comments = [&store, &newcomer].map(|repo| stage.hub.comments(repo, PullNumber(1)).len());
    assert_eq!(comments, [2, 0]);
    assert_documented(&stage);
}

#[tokio::test]
async fn a_token_of_the_app_must_hold() {
    let stage = Stage::new().await;
    let now = greenroom::port::Clock::now(&*stage.clock).0 / 1000;
    let good = json!({ "iat": now, "exp": now + 600, "iss": stage.hub.app_id().to_string() });
    let with = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        stage.jwt(&claims)
    };
    let mut tampered = stage.jwt(&good);
    tampered.replace_range(tampered.len() - 8.., "AAAAAAAA");
    let cases = [
        (stage.jwt(&good), 200),
        (tampered, 401),
        (with("exp", (now - 1).into()), 401),
        (with("exp", (now + 3600).into()), 401),
        (with("iat", (now + 300).into()), 401),
        (with("iss", 7.into()), 401),
        ("ghs_unknown".to_owned(), 401),
    ];
    for (token, status) in cases {
        let reply = stage.ask(GET, "/app", None, &[("authorization", &format!("Bearer {token}"))]).await;
        assert_eq!(reply.status, status, "{}", reply.json["message"]);
    }
    assert_eq!(stage.ask(GET, "/app", None, &[]).await.status, 401);
    assert_documented(&stage);
}

#[tokio::test]
async fn permissions_are_told_in_both_words() {
    let stage = Stage::new().await;
    let id = stage.hub.set_permission(&stage.shop, "maya", Permission::Maintain);
    stage.hub.set_permission(&stage.shop, "nora", Permission::None);
    let maya = stage.get("/repos/acme/shop/collaborators/maya/permission").await.json;
    assert_eq!((&maya["permission"], &maya["role_name"]), (&"write".into(), &"maintain".into()));
    assert_eq!(maya["user"]["id"], id);
    assert_eq!(stage.get("/repos/acme/shop/collaborators/nora/permission").await.json["permission"], "none");
    assert_eq!(stage.get("/repos/acme/shop/collaborators/ada/permission").await.json["permission"], "read");
    assert_eq!(stage.get("/repos/acme/shop/collaborators/nobody/permission").await.status, 404);
    stage.hub.set_app_permission("checks", Permission::Read);
    let head = stage.hub.branch_head(&stage.shop, "main").unwrap();
    let body = json!({ "name": "x", "head_sha": head });
    assert_eq!(stage.send(POST, "/repos/acme/shop/check-runs", Some(body)).await.status, 403);
    assert_documented(&stage);
}

#[tokio::test]
async fn limits_faults_and_conditional_reads() {
    let stage = Stage::with(|settings| greenroom::sandbox::SandboxSettings {
        requests_per_hour: 6,
        writes_per_minute: Some(1),
        ..settings
    })
    .await;
    stage.hub.commit(&stage.shop, "two", [("a", "b")], "Two").unwrap();
    stage.hub.open_pull(&stage.shop, "two", "Two").unwrap();
    let repo = stage.get("/repos/acme/shop").await;
    assert_eq!(repo.header("x-ratelimit-remaining"), "5");
    let again = stage.get_with("/repos/acme/shop", ("if-none-match", repo.header("etag"))).await;
    assert_eq!((again.status, again.header("x-ratelimit-remaining"), again.bytes.len()), (304, "5", 0));

    let (any, comments) = (Matcher::any().path("/repos/acme/shop"), "/repos/acme/shop/issues/1/comments");
    stage.hub.fail_next(any.clone(), Fault::status(502));
    stage.hub.fail_next(any, Fault::secondary_limit(429, 7));
    assert_eq!(stage.get("/repos/acme/shop").await.status, 502);
    let limited = stage.get("/repos/acme/shop").await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, "7"));
    stage.hub.fail_next(Matcher::method(POST).path("/comments"), Fault::LostAnswer { status: 500 });
    let hello = Some(json!({ "body": "hello" }));
    assert_eq!(stage.send(POST, comments, hello.clone()).await.status, 500);
    assert_eq!(stage.hub.comments(&stage.shop, PullNumber(1)).len(), 1, "it was carried out all the same");
    let second = stage.send(POST, comments, hello).await;
    assert_eq!((second.status, second.header("retry-after")), (403, "60"), "one write a minute");

    stage.hub.fail_next(Matcher::any(), Fault::Silence);
    let silent = stage.get("/repos/acme/shop");
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), silent).await.is_err(), "no answer");
    while stage.get("/repos/acme/shop").await.header("x-ratelimit-remaining") != "0" {}
    let over = stage.get("/repos/acme/shop").await;
    assert_eq!((over.status, over.header("x-ratelimit-remaining")), (403, "0"));
    assert_eq!(stage.ask(GET, "/rate_limit", None, &[]).await.json["rate"]["remaining"], 0);
    stage.clock.forward(3_600_000);
    assert_eq!(stage.hub.counts().of(&POST, "/comments"), 2);
    assert!(stage.hub.counts().total() > 9 && stage.hub.counts().writes() == 2);
    assert_documented(&stage);
}
