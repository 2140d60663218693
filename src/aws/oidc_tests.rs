//! Credentials by a job's token, against a GitHub and an AWS that answer as told.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const REGION: &str = "eu-west-1";
const ROLE: &str = "arn:aws:iam::123456789012:role/greenroom-bootstrap/greenroom-shop-preview";
/// Of the request for a token.
const ASKING: &str = "asking-with-this-hunter2";

/// Answers every request with the next of its answers, and with the last one from then on; keeps what it
/// was asked.
struct Told {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Told {
    async fn new(answers: Vec<(u16, String)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (book, count) = (Arc::clone(&asked), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let mut bytes = Vec::new();
                let mut part = [0_u8; 4096];
                loop {
                    let read = stream.read(&mut part).await.unwrap_or(0);
                    bytes.extend_from_slice(&part[..read]);
                    if read == 0 || is_whole(&bytes) {
                        break;
                    }
                }
                book.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
                let number = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
                let (status, body) = &answers[number];
                let head = format!(
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: \
                     close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        Self { address, asked, task }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// A token as GitHub makes one, signed by nobody.
fn token(claims: &[(&str, &str)]) -> String {
    let payload: serde_json::Map<String, Value> =
        claims.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    let payload = URL_SAFE_NO_PAD.encode(Value::Object(payload).to_string());
    format!("e30.{payload}.hunter2signature")
}

const PULL: [(&str, &str); 7] = [
    ("aud", "sts.amazonaws.com"),
    ("sub", "repo:Acme/Shop:pull_request"),
    ("repository", "Acme/Shop"),
    ("repository_id", "774"),
    ("repository_owner_id", "12"),
    ("ref", "refs/pull/42/merge"),
    ("job_workflow_ref", "Acme/Shop/.github/workflows/preview.yml@refs/pull/42/merge"),
];

fn given(token: &str) -> (u16, String) {
    (200, serde_json::json!({ "count": 1, "value": token }).to_string())
}

fn keys(id: &str, ends: &str) -> (u16, String) {
    let inner = format!(
        "<Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
         <Expiration>{ends}</Expiration></Credentials>"
    );
    let name = "AssumeRoleWithWebIdentity";
    (200, format!("<{name}Response><{name}Result>{inner}</{name}Result></{name}Response>"))
}

fn refusal(code: &str, message: &str) -> (u16, String) {
    let status = if code == "AccessDenied" { 403 } else { 400 };
    let error = format!("<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>");
    (status, format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>"))
}

async fn ask(github: &Told, aws: &Told, role: Option<&str>) -> PortResult<SharedCredentialsProvider> {
    let url = format!("{}/token?api-version=2.0", github.address);
    let request = OidcRequest { url, token: SecretString::from(ASKING.to_owned()) };
    let way = OidcWay { endpoint: Some(aws.address.clone()), proxy: None };
    credentials(&request, role, "greenroom-acme/shop", REGION, &way).await
}

fn reason(result: PortResult<SharedCredentialsProvider>) -> String {
    let error = result.expect_err("a refusal");
    assert!(matches!(error, PortError::Denied { .. }), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2") && !text.contains("e30."), "no token is told: {text}");
    error.to_string()
}

const LATER: &str = "2099-01-01T00:00:00Z";

#[tokio::test]
async fn a_job_s_token_is_changed_for_credentials_and_again_before_they_end() {
    let (github, aws) =
        (Told::new(vec![given(&token(&PULL))]).await, Told::new(vec![keys("ONE", LATER), keys("TWO", LATER)]).await);
    let provider = ask(&github, &aws, Some(ROLE)).await.expect("it is let in");
    assert_eq!((github.asked().len(), aws.asked().len()), (1, 1));
    // What was fetched to see is used once; the next time a new token is asked for.
    let first = provider.provide_credentials().await.unwrap();
    assert_eq!((first.access_key_id(), github.asked().len()), ("ONE", 1));
    assert!(first.expiry().is_some(), "so that it is renewed in time");
    let second = provider.provide_credentials().await.unwrap();
    assert_eq!((second.access_key_id(), github.asked().len(), aws.asked().len()), ("TWO", 2, 2));
    let asked = github.asked().remove(0);
    assert!(asked.starts_with("GET /token?api-version=2.0&audience=sts.amazonaws.com "), "{asked}");
    assert!(asked.contains(&format!("Bearer {ASKING}")));
    let sent = aws.asked().remove(0);
    assert!(sent.contains("RoleSessionName=greenroom-acme-shop") && !sent.to_lowercase().contains("authorization:"));
    assert!(!format!("{provider:?}").contains("hunter2"), "nobody prints it by mistake");
}

#[tokio::test]
async fn a_refusal_says_what_is_asked_and_what_the_token_says() {
    let push = [("sub", "repo:Acme/Shop:ref:refs/heads/main"), ("ref", "refs/heads/main")];
    let said: Vec<(&str, &str)> =
        PULL.iter().map(|pair| push.iter().find(|(name, _)| *name == pair.0).copied().unwrap_or(*pair)).collect();
    let github = Told::new(vec![given(&token(&said))]).await;
    let aws = Told::new(vec![refusal("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")]).await;
    insta::assert_snapshot!(reason(ask(&github, &aws, Some(ROLE)).await), @"");
    let right = Told::new(vec![given(&token(&PULL))]).await;
    insta::assert_snapshot!(reason(ask(&right, &aws, Some(ROLE)).await), @"");
    insta::assert_snapshot!(reason(ask(&right, &aws, Some("arn:aws:iam::1:role/deployer")).await), @"");
}

#[tokio::test]
async fn other_refusals_say_what_to_do() {
    let github = Told::new(vec![given(&token(&PULL))]).await;
    for (code, message, says) in [
        (
            "InvalidIdentityToken",
            "No OpenIDConnect provider found in your account for https://x",
            "greenroom bootstrap",
        ),
        ("InvalidIdentityToken", "Incorrect token audience", "must take tokens for `sts.amazonaws.com`"),
        ("ValidationError", "Request ARN is invalid", "for no role"),
    ] {
        let aws = Told::new(vec![refusal(code, message)]).await;
        let said = reason(ask(&github, &aws, Some(ROLE)).await);
        assert!(said.contains(says), "{code}: {said}");
    }
    // AWS repeats what it was given.
    let aws = Told::new(vec![refusal("InvalidIdentityToken", &token(&PULL))]).await;
    reason(ask(&github, &aws, Some(ROLE)).await);
    for code in ["ExpiredTokenException", "IDPCommunicationError"] {
        let aws = Told::new(vec![refusal(code, "again")]).await;
        let error = ask(&github, &aws, Some(ROLE)).await.expect_err("not now");
        assert!(matches!(error, PortError::Retry { .. }), "{code}: {error:?}");
    }
}

#[tokio::test]
async fn a_job_without_a_token_asks_aws_nothing() {
    let aws = Told::new(vec![keys("ONE", LATER)]).await;
    let none = Told::new(vec![(403, "{}".to_owned())]).await;
    assert!(reason(ask(&none, &aws, Some(ROLE)).await).contains("id-token: write"));
    let busy = Told::new(vec![(503, String::new())]).await;
    assert!(matches!(ask(&busy, &aws, Some(ROLE)).await, Err(PortError::Retry { .. })));
    let odd = Told::new(vec![(200, "no JSON hunter2".to_owned())]).await;
    let error = ask(&odd, &aws, Some(ROLE)).await.expect_err("unread");
    assert!(!format!("{error:?}").contains("hunter2"));
    assert!(aws.asked().is_empty());
    for url in ["", "http://evil.example/token?x=1", "ftp://x?y", "https://github.example/token"] {
        let request = OidcRequest { url: url.to_owned(), token: SecretString::from(ASKING.to_owned()) };
        let refused = credentials(&request, Some(ROLE), "s", REGION, &OidcWay::default()).await;
        assert!(reason(refused).contains("ACTIONS_ID_TOKEN_REQUEST_URL"), "{url}");
    }
}

#[tokio::test]
async fn a_redirect_takes_the_request_s_token_nowhere() {
    let aws = Told::new(vec![keys("ONE", LATER)]).await;
    let thief = Told::new(vec![given("x")]).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let to = thief.address.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut part = [0_u8; 4096];
            let _ = stream.read(&mut part).await;
            let answer = format!("HTTP/1.1 302 x\r\nlocation: {to}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let request = OidcRequest { url: format!("http://{address}/t?a=1"), token: SecretString::from(ASKING.to_owned()) };
    let way = OidcWay { endpoint: Some(aws.address.clone()), proxy: None };
    let refused = credentials(&request, Some(ROLE), "s", REGION, &way).await;
    assert!(refused.is_err() && thief.asked().is_empty());
}

#[test]
fn whatever_a_token_is_its_claims_are_read_without_panic() {
    for odd in ["", ".", "a.b.c", "..", "a.e30", "a.W10.b", "a.\u{fffd}.b"] {
        assert_eq!(claims(odd), Claims::default(), "{odd}");
    }
    let long = "x".repeat(10_000);
    let said = claims(&token(&[("sub", &long), ("ref", "refs/heads/a\u{1b}[31mb")]));
    assert!(told(&said).len() < 1_000 && !told(&said).contains('\u{1b}'));
}
