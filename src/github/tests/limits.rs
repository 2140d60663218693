//! Faults and limits: what is tried again, and when.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fake::{FakeGitHub, MINT, Reply, client};
use super::{main_branch, repository, shop, wait_of};
use crate::github::{GitHubSettings, ProxySettings};
use crate::model::{CommentSource, Reaction};
use crate::port::{Forge, PortError};

const REPO: &str = "/repos/acme/shop";
const REACTIONS: &str = "/repos/acme/shop/issues/comments/9/reactions";

fn repo() -> Reply {
    Reply::json(200, &repository("acme/shop"))
}

#[tokio::test]
async fn after_a_limit_the_account_is_left_alone_until_its_time() {
    let fake = FakeGitHub::start().await;
    let github = fake.client();
    let limited = json!({ "message": "You have exceeded a secondary rate limit" });
    fake.once("GET", REPO, Reply::json(403, &limited).with("retry-after", "30"));
    fake.always("GET", REPO, repo());
    let wait = wait_of(github.repository(&shop()).await).expect("a named wait");
    assert!((30_000..33_000).contains(&wait), "{wait}");
    fake.clock.advance(20_000);
    let rest = wait_of(github.repository(&shop()).await).expect("a named wait");
    assert!((10_000..13_000).contains(&rest), "{rest}");
    assert_eq!(fake.asked("GET", REPO).len(), 1, "GitHub was not asked again");
    fake.clock.advance(10_000);
    assert_eq!(github.repository(&shop()).await.expect("an answer").default_branch, main_branch());
}

#[tokio::test]
async fn a_refusal_is_no_limit_and_is_not_waited_for() {
    let fake = FakeGitHub::start().await;
    fake.always("GET", REPO, Reply::json(403, &json!({ "message": "Resource not accessible by integration" })));
    let refused = fake.client().repository(&shop()).await;
    assert!(matches!(&refused, Err(PortError::Denied { reason }) if reason.contains("Resource not accessible")));
}

#[tokio::test]
async fn faults_of_the_other_side_are_passing() {
    let fake = FakeGitHub::start().await;
    let github = fake.client();
    for (reply, wait) in [
        (Reply::empty(500), false),
        (Reply::empty(502), false),
        (Reply::bytes("text/html", "<html>").with("x-a", "b"), false),
        (Reply::empty(503).with("retry-after", "5"), true),
    ] {
        fake.always("GET", REPO, reply.clone());
        match github.repository(&shop()).await {
            Err(PortError::Retry { after_millis, .. }) => assert_eq!(after_millis.is_some(), wait),
            // A page of HTML with 200 is no answer that we know.
            Err(PortError::Bug { .. }) => assert!(!wait),
            other => panic!("{other:?}"),
        }
    }
    fake.silent(REPO);
    assert_eq!(wait_of(fake.impatient_client().repository(&shop()).await), None, "a timeout");
}

#[tokio::test]
async fn a_github_that_is_not_there_is_a_passing_fault() {
    let fake = FakeGitHub::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let closed = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let github = client(&GitHubSettings { api_url: closed, ..fake.settings() });
    let error = github.repository(&shop()).await;
    assert!(error.as_ref().is_err_and(|error| error.to_string().lines().count() == 1), "no backtrace: {error:?}");
    assert_eq!(wait_of(error), None);
}

#[tokio::test]
async fn writes_beyond_the_budget_wait_without_asking() {
    let fake = FakeGitHub::start().await;
    let github = fake.client_with_budget(2);
    fake.always("POST", REACTIONS, Reply::json(201, &json!({ "id": 1 })));
    fake.always("GET", REPO, repo());
    for reaction in [Reaction::Eyes, Reaction::Rocket] {
        github.react(&shop(), CommentSource::Issue, 9, reaction).await.expect("within the budget");
    }
    let wait = wait_of(github.react(&shop(), CommentSource::Issue, 9, Reaction::ThumbsUp).await).expect("a named wait");
    assert!((60_000..63_000).contains(&wait), "{wait}");
    assert_eq!(fake.asked("POST", REACTIONS).len(), 2);
    github.repository(&shop()).await.expect("reads are not budgeted");
    fake.clock.advance(60_000);
    github.react(&shop(), CommentSource::Issue, 9, Reaction::ThumbsUp).await.expect("a minute later");
    let contents: Vec<_> =
        fake.asked("POST", REACTIONS).into_iter().map(|asked| asked.body["content"].clone()).collect();
    assert_eq!(contents, ["eyes", "rocket", "+1"]);
}

#[tokio::test]
async fn a_limit_on_the_app_itself_holds_the_app() {
    let fake = FakeGitHub::start().await;
    fake.once("POST", MINT, Reply::empty(429).with("retry-after", "9"));
    fake.always("GET", REPO, repo());
    let github = fake.client();
    assert!(wait_of(github.repository(&shop()).await).is_some_and(|wait| wait >= 9_000));
    assert!(wait_of(github.repository(&shop()).await).is_some());
    assert_eq!(fake.all().len(), 2, "installation and token, once");
}

/// A proxy that knows `CONNECT` alone, and counts.
async fn proxy() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (seen, heads) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.expect("a whole head"));
                }
                let head = String::from_utf8(head).expect("a text");
                let target = head.split(' ').nth(1).expect("a target").to_owned();
                seen.send(head).expect("the test listens");
                let mut server = TcpStream::connect(target).await.expect("the target is there");
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("the client listens");
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    (format!("http://user:pass@{address}"), heads)
}

#[tokio::test]
async fn a_proxy_is_used_unless_the_host_is_exempt() {
    let fake = FakeGitHub::start().await;
    fake.always("GET", REPO, repo());
    let (url, mut heads) = proxy().await;
    let through = |no: &str| {
        let proxy = ProxySettings { http: Some(url.as_str().into()), https: None, no: no.into() };
        client(&GitHubSettings { proxy: Some(proxy), ..fake.settings() })
    };
    through("").repository(&shop()).await.expect("an answer through the proxy");
    let head = heads.recv().await.expect("the proxy was asked");
    let host = fake.url.trim_start_matches("http://");
    assert!(head.starts_with(&format!("CONNECT {host} ")), "{head}");
    assert!(head.to_lowercase().contains("proxy-authorization: basic "), "{head}");
    assert!(!head.to_lowercase().contains("\nauthorization:"), "GitHub's token is not the proxy's: {head}");
    while heads.try_recv().is_ok() {}
    through("127.0.0.1").repository(&shop()).await.expect("an answer without the proxy");
    assert!(heads.try_recv().is_err());
}
