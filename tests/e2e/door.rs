//! Webhooks that nobody from GitHub sent, over bare TCP.

use greenroom::sandbox::{DeliveryMode, Order};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::database;
use crate::server::SECRET;
use crate::world::World;

const LIMIT: usize = 25 * 1024 * 1024;

/// A delivery that GitHub signed and has not sent.
pub(crate) struct Genuine {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Has GitHub hold one back.
pub(crate) async fn genuine(w: &World) -> Genuine {
    w.github.deliveries_settled().await;
    w.github.set_delivery_mode(DeliveryMode::Hold);
    w.github.push(&w.repo, "elsewhere", [("other", "1")], "Something else").expect("a commit");
    let delivery = w.github.deliveries().pop().expect("a delivery");
    w.github.set_delivery_mode(DeliveryMode::Send);
    Genuine { headers: w.github.delivery_headers(&delivery), body: delivery.body.to_vec() }
}

/// The head of a request to the door.
pub(crate) fn post_head(headers: &HeaderMap, length: usize) -> Vec<u8> {
    let first =
        format!("POST /webhook HTTP/1.1\r\nhost: greenroom\r\nconnection: close\r\ncontent-length: {length}\r\n");
    let field =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}\r\n", value.to_str().expect("plain text"));
    let fields: String = headers.iter().map(field).collect();
    format!("{first}{fields}\r\n").into_bytes()
}

/// The status and the text of an answer whose length is given.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    while !is_complete(&bytes) {
        let read = stream.read_buf(&mut bytes).await.expect("an answer");
        assert!(read > 0, "the answer broke off: {}", String::from_utf8_lossy(&bytes));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.expect("a status line"), text)
}

fn is_complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next()?.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

async fn send(w: &World, headers: &HeaderMap, length: usize, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(w.server().door).await.expect("the door is open");
    stream.write_all(&post_head(headers, length)).await.expect("the head is taken");
    // The door may answer and close before it has read everything.
    let _ = stream.write_all(body).await;
    if body.len() < length {
        let _ = stream.shutdown().await;
    }
    read_answer(&mut stream).await.0
}

pub(crate) fn sign(headers: &mut HeaderMap, secret: &str, body: &[u8]) {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(body);
    let value = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    headers.insert("x-hub-signature-256", value.parse().expect("plain text"));
}

/// Chunks without an announced length, until the door has enough.
async fn send_endless(w: &World, headers: &HeaderMap) -> u16 {
    let mut stream = TcpStream::connect(w.server().door).await.expect("the door is open");
    let head = String::from_utf8(post_head(headers, 0)).expect("plain text");
    let head = head.replace("content-length: 0", "transfer-encoding: chunked");
    stream.write_all(head.as_bytes()).await.expect("the head is taken");
    let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x1_0000], b"\r\n"].concat();
    for _ in 0..=LIMIT / 0x1_0000 {
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    read_answer(&mut stream).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_did_not_send_is_refused_and_not_stored() {
    let w = World::of_processes().await;
    let Genuine { headers, body } = genuine(&w).await;
    let database = w.home.database_url();

    let mut forged = headers.clone();
    sign(&mut forged, "another secret", &body);
    assert_eq!(send(&w, &forged, body.len(), &body).await, 401, "forged");
    let mut unsigned = headers.clone();
    unsigned.remove("x-hub-signature-256");
    assert_eq!(send(&w, &unsigned, body.len(), &body).await, 401, "unsigned");
    let mut changed = body.clone();
    *changed.last_mut().expect("not empty") = b' ';
    assert_eq!(send(&w, &headers, changed.len(), &changed).await, 401, "changed on the way");

    assert_eq!(send(&w, &headers, LIMIT + 1, b"{").await, 413, "announced as too large");
    assert_eq!(send_endless(&w, &headers).await, 413, "too large without saying so");

    let half = &body[..body.len() / 2];
    assert_eq!(send(&w, &headers, body.len(), half).await, 400, "broken off");
    assert_eq!(send(&w, &headers, half.len(), half).await, 401, "cut short, and its length with it");
    let mut torn = headers.clone();
    sign(&mut torn, SECRET, half);
    assert_eq!(send(&w, &torn, half.len(), half).await, 400, "no JSON, though signed");
    assert_eq!(database::deliveries(&database).await, Vec::<String>::new(), "nothing of it was stored");

    assert_eq!(send(&w, &headers, body.len(), &body).await, 202);
    let id = headers["x-github-delivery"].to_str().expect("plain text");
    assert_eq!(database::deliveries(&database).await, [id]);
    w.github.release_deliveries(Order::AsHappened);
    w.github.deliveries_settled().await;
    assert_eq!(w.github.deliveries().pop().expect("a delivery").status, Some(202), "a second time is no mistake");
    assert_eq!(database::deliveries(&database).await, [id], "but it is not stored again");
    w.finish().await;
}
