//! The program that the tests deploy: a small web server that misbehaves as told by `MODE`.

#![expect(clippy::disallowed_methods, reason = "a deployed program reads its settings from its environment")]

use std::convert::Infallible;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

/// How a stage starts it.
pub(crate) fn command() -> Vec<String> {
    restart_as("program::program")
}

/// This test binary, run as one of its ignored tests.
pub(crate) fn restart_as(test: &str) -> Vec<String> {
    let binary = std::env::current_exe().expect("a test knows its own binary").display().to_string();
    vec![binary, "--ignored".into(), "--exact".into(), test.into(), "--nocapture".into()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the program that the other tests deploy"]
async fn program() {
    let value = |name| std::env::var(name).unwrap_or_default();
    match value("MODE").as_str() {
        "exit" => give_up(&value("TOKEN")),
        "exit-unless" if !std::path::Path::new(&value("FLAG")).exists() => give_up(""),
        "deaf" => std::future::pending().await,
        "migrate" => {
            let mut file = std::fs::File::options().append(true).create(true).open(value("FLAG")).unwrap();
            writeln!(file, "migrated").unwrap();
            return;
        }
        _ => {}
    }
    let (ip, port): (IpAddr, u16) = match value("MODE").as_str() {
        "six" => (Ipv6Addr::LOCALHOST.into(), value("PORT").parse().unwrap()),
        "elsewhere" => (Ipv4Addr::LOCALHOST.into(), 0),
        _ => (Ipv4Addr::LOCALHOST.into(), value("PORT").parse().unwrap()),
    };
    let listener = TcpListener::bind((ip, port)).await.unwrap();
    say(&format!("{} listens", value("NAME")));
    let (name, mode): (Arc<str>, Arc<str>) = (value("NAME").into(), value("MODE").into());
    let slow = Arc::new(AtomicU32::new(0));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(stream, Arc::clone(&name), Arc::clone(&mode), Arc::clone(&slow)));
    }
}

async fn serve(stream: TcpStream, name: Arc<str>, mode: Arc<str>, slow: Arc<AtomicU32>) {
    let mut head = [0; 12];
    while stream.peek(&mut head).await.is_ok_and(|read| (1..head.len()).contains(&read)) {
        tokio::task::yield_now().await;
    }
    if head.starts_with(b"POST /repeat") {
        // A proxy that leaves early is no concern of this program.
        let _ = repeat(stream).await;
        return;
    }
    if head.starts_with(b"GET /socket ") {
        let mut socket = tokio_tungstenite::accept_async(stream).await.expect("a WebSocket");
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                socket.send(Message::text(format!("{name}: {text}"))).await.expect("the client listens");
            }
        }
        return;
    }
    let service = service_fn(move |request| answer(request, Arc::clone(&name), Arc::clone(&mode), Arc::clone(&slow)));
    // A client that leaves early is no concern of this program.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

type Body = BoxBody<Bytes, hyper::Error>;

fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

async fn answer(
    request: Request<Incoming>,
    name: Arc<str>,
    mode: Arc<str>,
    slow: Arc<AtomicU32>,
) -> Result<Response<Body>, Infallible> {
    let text = match request.uri().path() {
        "/health" if *mode == *"sick" => {
            return Ok(Response::builder().status(500).body(whole("")).expect("a response"));
        }
        "/echo" => return Ok(Response::new(request.into_body().boxed())),
        "/drip" => {
            let late = async move {
                tokio::time::sleep(Duration::from_millis(1500)).await;
                Ok(Frame::data(Bytes::from(name.to_string())))
            };
            return Ok(Response::new(BodyExt::boxed(StreamBody::new(stream::once(late)))));
        }
        "/pid" => std::process::id().to_string(),
        "/crash" => leave(7),
        "/slow" => {
            slow.fetch_add(1, Ordering::SeqCst);
            // The time that this answer takes is what is tested.
            tokio::time::sleep(Duration::from_millis(1500)).await;
            name.to_string()
        }
        "/slow-count" => slow.load(Ordering::SeqCst).to_string(),
        "/headers" => {
            let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                format!("{name}: {}\n", value.to_str().expect("plain text"))
            };
            request.headers().iter().map(line).collect()
        }
        _ => {
            // Long enough that many requests are under way when versions are switched.
            tokio::time::sleep(Duration::from_millis(5)).await;
            name.to_string()
        }
    };
    let _ = request.into_body().collect().await;
    Ok(Response::new(whole(text)))
}

fn give_up(token: &str) -> ! {
    say("starting");
    say(&format!("cannot go on: my token is {token}"));
    leave(3)
}

fn say(line: &str) {
    let mut log = std::io::stderr();
    log.write_all(format!("{line}\n").as_bytes()).expect("the log takes a line");
}

#[expect(clippy::exit, reason = "a program that ends with a code of its own is what is tested")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}

/// Answers a request with its own body, byte for byte, whatever that says, and says no more.
async fn repeat(mut stream: TcpStream) -> std::io::Result<()> {
    let mut heard: Vec<u8> = Vec::new();
    let begin = loop {
        if let Some(end) = heard.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut heard).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&heard[..begin]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    while heard.len() < begin + length {
        if stream.read_buf(&mut heard).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(&heard[begin..begin + length]).await?;
    stream.shutdown().await
}
