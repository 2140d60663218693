//! The protocol against a registry of a few lines.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http;
use axum::response::IntoResponse;
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::*;

/// Status, headers and body.
type Answer = (u16, Vec<(&'static str, String)>, String);

/// Answers in this order, and remembers what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<String>>,
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> impl IntoResponse {
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("-");
    let line = format!("{} {} {authorization}", request.method(), request.uri());
    script.asked.lock().expect("a lock").push(line);
    let (status, headers, body) = script.answers.lock().expect("a lock").pop_front().expect("an answer");
    let headers: HeaderMap = headers
        .into_iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a header")))
        .collect();
    (StatusCode::from_u16(status).expect("a status"), headers, body)
}

async fn registry(answers: impl FnOnce(&str) -> Vec<Answer>) -> (Remote, Arc<Script>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let script = Arc::new(Script { answers: Mutex::new(answers(&host).into()), asked: Mutex::default() });
    let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let login = RegistryLogin { user: "me".into(), password: SecretString::from("hush") };
    let docker = Docker::new("docker".into(), vec![("HTTP_PROXY".into(), "http://127.0.0.1:9".into())]);
    (Remote::new(&format!("{host}/team/web"), Some(login), &docker).expect("a client"), script)
}

fn asked(script: &Script) -> Vec<String> {
    script.asked.lock().expect("a lock").clone()
}

#[tokio::test]
async fn a_login_is_sent_when_asked_for_and_kept() {
    let challenge = || vec![("www-authenticate", "Basic realm=\"r\"".to_owned())];
    let typed = || vec![("content-type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8".to_owned())];
    let (remote, script) = registry(|_| {
        vec![(401, challenge(), String::new()), (200, typed(), "{}".into()), (404, Vec::new(), String::new())]
    })
    .await;
    let stored = remote.manifest("c-1").await.expect("an answer").expect("a manifest");
    assert_eq!(stored.media_type, "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(stored.digest, digest_of(b"{}"));
    assert_eq!(remote.manifest("c-2").await.expect("an answer"), None);
    insta::assert_snapshot!(asked(&script).join("\n"), @"
    GET /v2/team/web/manifests/c-1 -
    GET /v2/team/web/manifests/c-1 Basic bWU6aHVzaA==
    GET /v2/team/web/manifests/c-2 Basic bWU6aHVzaA==
    ");
}

#[tokio::test]
async fn a_token_is_fetched_for_what_is_done() {
    let (remote, script) = registry(|host| {
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"registry\"");
        vec![
            (401, vec![("www-authenticate", challenge)], String::new()),
            (200, Vec::new(), r#"{"token":"t1"}"#.into()),
            (202, Vec::new(), String::new()),
        ]
    })
    .await;
    assert_eq!(remote.remove("sha256:a").await.expect("an answer"), Removal::Removed);
    insta::assert_snapshot!(asked(&script).join("\n"), @"
    DELETE /v2/team/web/manifests/sha256:a -
    GET /token?service=registry&scope=repository%3Ateam%2Fweb%3Apull%2Cdelete Basic bWU6aHVzaA==
    DELETE /v2/team/web/manifests/sha256:a Bearer t1
    ");
}

#[tokio::test]
async fn a_password_never_goes_to_a_realm_without_https() {
    let challenge = "Bearer realm=\"http://evil.example/token\"".to_owned();
    let (remote, script) = registry(|_| vec![(401, vec![("www-authenticate", challenge)], String::new())]).await;
    match remote.manifest("c-1").await {
        Err(PortError::Denied { reason }) => assert!(reason.contains("http://evil.example/token"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(asked(&script).len(), 1);
}

#[tokio::test]
async fn refusals_are_told_from_passing_faults() {
    let error = r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#;
    let (remote, _script) = registry(|_| {
        vec![
            (403, Vec::new(), error.into()),
            (429, vec![("retry-after", "7".to_owned())], String::new()),
            (500, Vec::new(), "<html>".into()),
            (405, Vec::new(), String::new()),
            (404, Vec::new(), String::new()),
        ]
    })
    .await;
    match remote.manifest("x").await {
        Err(PortError::Denied { reason }) => {
            assert!(reason.contains("answered 403: DENIED: not yours") && reason.contains("docker login"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(remote.manifest("x").await, Err(PortError::Retry { after_millis: Some(7000), .. })));
    assert!(matches!(remote.manifest("x").await, Err(PortError::Retry { after_millis: None, .. })));
    assert_eq!(remote.remove("x").await.expect("an answer"), Removal::Unsupported);
    assert_eq!(remote.remove("x").await.expect("an answer"), Removal::Removed, "absent is success");
}

#[tokio::test]
async fn other_bytes_than_those_asked_for_are_refused() {
    let (remote, _script) =
        registry(|_| vec![(200, Vec::new(), "evil".into()), (200, Vec::new(), "evil".into())]).await;
    let good = digest_of(b"good");
    assert!(matches!(remote.manifest(&good).await, Err(PortError::Retry { .. })));
    assert!(matches!(remote.blob(&good).await, Err(PortError::Retry { .. })));
}

#[tokio::test]
async fn a_list_of_tags_is_read_to_its_end() {
    let link = || vec![("link", "</v2/team/web/tags/list?n=1000&last=b>; rel=\"next\"".to_owned())];
    let (remote, script) = registry(|_| {
        vec![(200, link(), r#"{"tags":["a","b"]}"#.into()), (200, Vec::new(), r#"{"tags":["c"]}"#.into())]
    })
    .await;
    assert_eq!(remote.tags().await.expect("tags"), ["a", "b", "c"]);
    assert!(asked(&script)[1].contains("last=b"), "{:?}", asked(&script));
}

#[test]
fn this_machine_alone_is_spoken_to_without_tls() {
    for (host, expected) in [
        ("localhost", true),
        ("localhost:5000", true),
        ("127.0.0.1:5000", true),
        ("127.9.9.9", true),
        ("[::1]:5000", true),
        ("10.0.0.1:5000", false),
        ("localhost.evil.example", false),
        ("127.0.0.1.evil.example:80", false),
        ("registry.example", false),
        ("", false),
    ] {
        assert_eq!(is_loopback(host), expected, "{host}");
    }
    let docker = Docker::new("docker".into(), Vec::new());
    let base = |address: &str| Remote::new(address, None, &docker).expect("a client").base;
    assert_eq!(base("registry.example/a/b"), "https://registry.example/v2/a/b");
    assert_eq!(base("docker.io/a/b"), "https://registry-1.docker.io/v2/a/b");
    assert_eq!(base("[::1]:5000/a"), "http://[::1]:5000/v2/a");
}
