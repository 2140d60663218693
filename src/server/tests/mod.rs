//! The door through real TCP, before a store in memory.

mod exhaustion;
mod fake_store;
mod form;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus::Registry;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use self::fake_store::FakeStore;
use super::{DoorMetrics, DoorState, Limits, ServeError, serve, serve_ops};
use crate::model::{Chore, Event, Lane, RepoName, Timestamp};
use crate::port::{Clock, InboxContent, NewDelivery};
use crate::wire::{Secrets, sign};

const SECRET: &str = "the current secret";
const GUID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
const PUSH: &str = r#"{"ref":"refs/heads/main","after":"0123456789abcdef0123456789abcdef01234567",
    "repository":{"id":7,"full_name":"acme/shop","owner":{"id":8}},"sender":{"id":1,"login":"monalisa","type":"User"}}"#;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000)
    }
}

/// A door that is open on a port of its own, and the listener of operators on another.
struct Door {
    address: std::net::SocketAddr,
    ops: std::net::SocketAddr,
    store: Arc<FakeStore>,
    bell: Arc<Notify>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Door {
    async fn open(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let beside = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let ops = beside.local_addr().expect("an address");
        let store = Arc::new(FakeStore::default());
        let bell = Arc::new(Notify::new());
        let secrets = Secrets::new(SECRET.into(), Some("the previous secret".into())).expect("two secrets");
        let state = DoorState {
            store: store.clone(),
            clock: Arc::new(Noon),
            secrets: Arc::new(secrets),
            bell: bell.clone(),
            metrics: Arc::new(DoorMetrics::new(Registry::new()).expect("an empty registry")),
            limits,
        };
        tokio::spawn(serve_ops(beside, state.clone(), std::future::pending()));
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, state, async move { drop(stopped.await) }));
        Self { address, ops, store, bell, stop, served }
    }

    async fn with_defaults() -> Self {
        Self::open(Limits::default()).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the door is open")
    }

    /// Sends bytes as they are and reads until the door closes; the status and the whole answer.
    async fn raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = self.connect().await;
        stream.write_all(request).await.expect("the door reads");
        answer(&mut stream).await
    }

    async fn get(&self, path: &str) -> (u16, String) {
        get(self.address, path).await
    }

    /// What operators ask.
    async fn ask(&self, path: &str) -> (u16, String) {
        get(self.ops, path).await
    }

    async fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> u16 {
        self.raw(&delivery(headers, body)).await.0
    }

    async fn post_signed(&self, event: &str, guid: &str, body: &str) -> u16 {
        let signature = sign(body.as_bytes(), &SECRET.into());
        let headers = [("x-github-event", event), ("x-github-delivery", guid), ("x-hub-signature-256", &signature)];
        self.post(&headers, body.as_bytes()).await
    }

    fn stored(&self) -> Vec<NewDelivery> {
        self.store.received.lock().expect("no test panics inside").clone()
    }
}

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    answer(&mut stream).await
}

async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut text = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = stream.read_to_end(&mut text).await;
    let text = String::from_utf8(text).expect("a text");
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, text)
}

fn delivery(headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "POST /webhook HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{}\r\n",
        headers.concat()
    );
    [head.as_bytes(), body].concat()
}

/// Headers as GitHub sends them, with a signature of nothing.
fn forged() -> String {
    let zeros = "0".repeat(64);
    format!("x-github-event: push\r\nx-github-delivery: {GUID}\r\nx-hub-signature-256: sha256={zeros}\r\n")
}

fn shop() -> Lane {
    Lane::Repo(RepoName::new("acme/shop").expect("a repository's name"))
}

#[tokio::test]
async fn a_signed_delivery_is_stored_once_and_rings_its_lane() {
    let door = Door::with_defaults().await;
    assert_eq!(door.post_signed("push", GUID, PUSH).await, 202);
    let stored = door.stored();
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0].id.as_str(), &stored[0].lane, stored[0].at), (GUID, &shop(), Timestamp(1_000_000)));
    assert!(matches!(&stored[0].content, InboxContent::Event(event) if matches!(**event, Event::Push(_))));
    tokio::time::timeout(Duration::from_secs(5), door.bell.notified()).await.expect("the bell was rung");

    assert_eq!(door.post_signed("push", GUID, PUSH).await, 202, "a duplicate is accepted as well");
    assert_eq!(door.stored().len(), 1);
    assert!(door.ask("/metrics").await.1.contains(r#"greenroom_deliveries_total{event="push",fate="duplicate"} 1"#));

    assert_eq!(door.post_signed("push", "another-id", PUSH).await, 202);
    assert_eq!(door.stored().len(), 2, "what happens twice in a second is told twice in the same words");
}

#[tokio::test]
async fn the_previous_secret_still_opens() {
    let door = Door::with_defaults().await;
    let previous: SecretString = "the previous secret".into();
    let signature = sign(PUSH.as_bytes(), &previous);
    let headers = [("x-github-event", "push"), ("x-github-delivery", GUID), ("x-hub-signature-256", &*signature)];
    assert_eq!(door.post(&headers, PUSH.as_bytes()).await, 202);
}

#[tokio::test]
async fn what_is_not_signed_is_not_stored() {
    let door = Door::with_defaults().await;
    let named = [("x-github-event", "push"), ("x-github-delivery", GUID)];
    assert_eq!(door.post(&named, PUSH.as_bytes()).await, 401, "no signature");
    for forged in ["sha256=00", "sha1=abc", &sign(PUSH.as_bytes(), &"a guess".into()), &sign(b"{}", &SECRET.into())] {
        let headers = [named[0], named[1], ("x-hub-signature-256", forged)];
        assert_eq!(door.post(&headers, PUSH.as_bytes()).await, 401, "{forged}");
    }
    // The signature is looked at before the body: what is no JSON is told only to GitHub.
    assert_eq!(door.post(&named, b"{").await, 401);
    assert_eq!(door.stored(), []);
}

#[tokio::test]
async fn a_truncated_body_is_refused_and_not_stored() {
    let door = Door::with_defaults().await;
    assert_eq!(door.post_signed("push", GUID, &PUSH[..PUSH.len() - 1]).await, 400);
    assert_eq!(door.post_signed("push", GUID, "").await, 400);
    let rung = || door.store.rung.lock().expect("no test panics inside").clone();
    assert_eq!(rung(), [Lane::Chore(Chore::Reconcile), Lane::Chore(Chore::Reconcile)], "what it said is looked for");
    let whole = delivery(&[("x-github-event", "push")], PUSH.as_bytes());
    let mut stream = door.connect().await;
    stream.write_all(&whole[..whole.len() - 10]).await.expect("the door reads");
    stream.shutdown().await.expect("the sender hangs up");
    assert_ne!(answer(&mut stream).await.0, 202);
    assert_eq!((door.stored(), rung().len()), (Vec::new(), 2), "what was never signed is nothing");
}

#[tokio::test]
async fn signed_json_that_lacks_what_it_must_have_is_kept_as_poison() {
    let door = Door::with_defaults().await;
    assert_eq!(
        door.post_signed("push", GUID, r#"{"repository":{"id":7,"full_name":"acme/shop","owner":{"id":8}}}"#).await,
        202
    );
    assert_eq!(door.post_signed("push", "another", r#"{"token":"hunter2"}"#).await, 202);
    let stored = door.stored();
    let lanes: Vec<_> = stored.iter().map(|row| &row.lane).collect();
    assert_eq!(lanes, [&shop(), &shop(), &Lane::Chore(Chore::Reconcile)]);
    let looks = |row: &NewDelivery| matches!(&row.content, InboxContent::Event(event) if matches!(**event, Event::Reconcile { .. }));
    assert_eq!(stored.iter().map(looks).collect::<Vec<_>>(), [true, false, false], "what it says is looked for");
    for row in stored.iter().filter(|row| !looks(row)) {
        assert!(
            matches!(&row.content, InboxContent::Poison { excerpt, .. } if !excerpt.contains("hunter2")),
            "{row:?}"
        );
    }
}

#[tokio::test]
async fn what_changes_nothing_is_answered_and_not_stored() {
    let door = Door::with_defaults().await;
    assert_eq!(door.post_signed("ping", GUID, r#"{"zen":"x"}"#).await, 200);
    assert_eq!(door.post_signed("check_suite", GUID, "{}").await, 202);
    assert_eq!(door.stored(), []);
    assert_eq!(door.post_signed("installation", GUID, r#"{"action":"created"}"#).await, 202);
    assert_eq!(door.stored()[0].lane, Lane::Chore(Chore::Reconcile));
}

#[tokio::test]
async fn a_delivery_without_its_headers_is_refused() {
    let door = Door::with_defaults().await;
    let signature = sign(PUSH.as_bytes(), &SECRET.into());
    let signed = ("x-hub-signature-256", &*signature);
    assert_eq!(door.post(&[signed, ("x-github-event", "push")], PUSH.as_bytes()).await, 400);
    assert_eq!(door.post(&[signed, ("x-github-delivery", GUID)], PUSH.as_bytes()).await, 400);
    assert_eq!(door.stored(), []);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let door = Door::open(Limits { body_bytes: 1000, ..Limits::default() }).await;
    assert_eq!(door.post(&[], &[b'x'; 1001]).await, 413);
    let claims = forged();
    let announced = b"POST /webhook HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999\r\n\r\n";
    assert_eq!(door.raw(announced).await.0, 413, "refused before a byte of it came");
    let head =
        format!("POST /webhook HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n{claims}\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 600, "x".repeat(600));
    assert_eq!(door.raw(format!("{head}{chunk}{chunk}0\r\n\r\n").as_bytes()).await.0, 413);
    assert_eq!(door.post(&[], &[b'x'; 1000]).await, 401, "the limit itself is allowed");
    assert_eq!(door.stored(), []);
}

#[tokio::test]
async fn a_slow_sender_is_not_waited_for() {
    let short = Duration::from_millis(50);
    let door = Door::open(Limits { body_time: short, header_time: short, ..Limits::default() }).await;
    let claims = forged();
    let begun =
        format!("POST /webhook HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n{claims}\r\nabc");
    assert_eq!(door.raw(begun.as_bytes()).await.0, 408, "a body that stops");
    assert_ne!(door.raw(b"POST /webhook HTTP/1.1\r\nhost:").await.0, 202, "headers that stop end the connection");
}

#[tokio::test]
async fn a_store_that_fails_is_a_failed_delivery_for_github() {
    let door = Door::with_defaults().await;
    door.store.broken.store(true, Ordering::SeqCst);
    assert_eq!(door.post_signed("push", GUID, PUSH).await, 503);
    assert_eq!(door.ask("/readyz").await.0, 503);
    assert_eq!(door.get("/healthz").await.0, 200);
    let metrics = door.ask("/metrics").await;
    assert!(metrics.0 == 200 && metrics.1.contains("greenroom_store_up 0"), "{}", metrics.1);
}

#[tokio::test]
async fn the_probes_say_little_and_the_metrics_what_happened() {
    let door = Door::with_defaults().await;
    let (status, text) = door.get("/healthz").await;
    assert!(status == 200 && text.ends_with("\r\n\r\nok\n"), "{text}");
    let names_itself = |line: &str| line.starts_with("server:") || line.contains(env!("CARGO_PKG_VERSION"));
    assert!(!text.to_lowercase().lines().any(names_itself), "{text}");
    assert_eq!(door.ask("/readyz").await.0, 200);
    assert_eq!((door.get("/").await.0, door.get("/webhook").await.0), (404, 405));
    for path in ["/readyz", "/metrics"] {
        assert_eq!(door.get(path).await.0, 404, "{path} is for operators");
    }
    assert_eq!((door.ask("/healthz").await.0, door.ask("/webhook").await.0), (200, 404));

    door.post_signed("push", GUID, PUSH).await;
    door.post(&[("x-github-event", "no\u{7f}such")], b"{}").await;
    door.post(&[("x-github-event", "made_up")], b"{}").await;
    let (_, metrics) = door.ask("/metrics").await;
    for line in [
        r#"greenroom_deliveries_total{event="push",fate="received"} 1"#,
        r#"greenroom_deliveries_total{event="push",fate="verified"} 1"#,
        r#"greenroom_deliveries_total{event="push",fate="accepted"} 1"#,
        r#"greenroom_deliveries_total{event="other",fate="rejected"} 1"#,
        "greenroom_store_up 1",
        "greenroom_inbox_waiting 1",
        "greenroom_inbox_oldest_seconds 4",
        "greenroom_stages 3",
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
    assert!(!metrics.contains("made_up"), "labels are a closed set:\n{metrics}");
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_and_takes_nothing_more() {
    let door = Door::with_defaults().await;
    let gate = door.store.close_gate().await;
    let signature = sign(PUSH.as_bytes(), &SECRET.into());
    let headers = [("x-github-event", "push"), ("x-github-delivery", GUID), ("x-hub-signature-256", &*signature)];
    let mut in_flight = door.connect().await;
    in_flight.write_all(&delivery(&headers, PUSH.as_bytes())).await.expect("the door reads");
    let mut idle = door.connect().await;
    door.store.reached.notified().await;
    door.stop.send(()).expect("the server runs");
    assert_eq!(answer(&mut idle).await.0, 0, "an idle connection is closed");
    assert!(!door.served.is_finished(), "the request in flight is waited for");
    drop(gate);
    assert_eq!(answer(&mut in_flight).await.0, 202);
    assert!(matches!(door.served.await, Ok(Ok(()))));
    assert!(TcpStream::connect(door.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let door = Door::open(Limits { drain_time: Duration::from_millis(50), ..Limits::default() }).await;
    let _gate = door.store.close_gate().await;
    let signature = sign(PUSH.as_bytes(), &SECRET.into());
    let headers = [("x-github-event", "push"), ("x-github-delivery", GUID), ("x-hub-signature-256", &*signature)];
    let mut in_flight = door.connect().await;
    in_flight.write_all(&delivery(&headers, PUSH.as_bytes())).await.expect("the door reads");
    door.store.reached.notified().await;
    door.stop.send(()).expect("the server runs");
    assert!(matches!(door.served.await, Ok(Err(ServeError::Drain(_)))));
}

#[tokio::test]
async fn one_place_serves_many_one_after_the_other() {
    let door = Door::open(Limits { connections: 1, ..Limits::default() }).await;
    for round in 0..20 {
        assert_eq!(door.get("/healthz").await.0, 200, "{round}");
    }
}
