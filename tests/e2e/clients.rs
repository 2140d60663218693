//! Clients of a stage: one question, or many without a pause.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

type Sender = SendRequest<Full<Bytes>>;

/// What a load of requests came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How often each body came with 200.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Everything else.
    pub(crate) failures: Vec<String>,
}

/// Clients at work.
pub(crate) struct Load {
    stop: CancellationToken,
    answered: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Report>>,
}

impl Load {
    /// Starts `clients` of each kind: those that keep their connection, and those that open a new
    /// one for every request.
    pub(crate) fn start(proxy: SocketAddr, host: &str, clients: usize) -> Self {
        let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let spawn =
            |keeps: Keeps| tokio::spawn(client(proxy, host.to_owned(), keeps, stop.clone(), Arc::clone(&answered)));
        let tasks = (0..clients).flat_map(|_| [spawn(Keeps::Connection), spawn(Keeps::Nothing)]).collect();
        Self { stop, answered, tasks }
    }

    /// How many requests were answered with 200 so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops them and adds up what they saw.
    pub(crate) async fn stop(self) -> Report {
        self.stop.cancel();
        let mut whole = Report::default();
        for task in self.tasks {
            let part = task.await.expect("a client ends well");
            whole.failures.extend(part.failures);
            for (body, count) in part.answers {
                *whole.answers.entry(body).or_default() += count;
            }
        }
        whole
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Connection,
    Nothing,
}

async fn client(
    proxy: SocketAddr,
    host: String,
    keeps: Keeps,
    stop: CancellationToken,
    answered: Arc<AtomicU64>,
) -> Report {
    let mut report = Report::default();
    let mut kept = None;
    while !stop.is_cancelled() {
        let answer = match kept.take() {
            Some(mut sender) => ask(&mut sender, &host, "/").await.map(|answer| (answer, sender)),
            None => fresh(proxy, &host, "/").await,
        };
        match answer {
            Ok(((200, body), sender)) => {
                *report.answers.entry(body).or_default() += 1;
                answered.fetch_add(1, Ordering::Relaxed);
                kept = Some(sender).filter(|sender| keeps == Keeps::Connection && !sender.is_closed());
            }
            Ok((other, _)) => report.failures.push(format!("{other:?}")),
            Err(error) => report.failures.push(error),
        }
    }
    report
}

/// One question on a connection of its own: status and body.
pub(crate) async fn get(proxy: SocketAddr, host: &str, path: &str) -> Result<(u16, String), String> {
    fresh(proxy, host, path).await.map(|(answer, _)| answer)
}

async fn fresh(proxy: SocketAddr, host: &str, path: &str) -> Result<((u16, String), Sender), String> {
    let stream = TcpStream::connect(proxy).await.map_err(|error| format!("connecting: {error}"))?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| format!("{error:?}"))?;
    // It ends when the sender is dropped; what goes wrong on it shows in the answer.
    tokio::spawn(connection);
    let answer = ask(&mut sender, host, path).await?;
    Ok((answer, sender))
}

async fn ask(sender: &mut Sender, host: &str, path: &str) -> Result<(u16, String), String> {
    let words = |error: hyper::Error| format!("{error:?}");
    sender.ready().await.map_err(words)?;
    let request = Request::get(path).header(header::HOST, host).body(Full::default()).expect("a request");
    let response = sender.send_request(request).await.map_err(words)?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(words)?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).trim().to_owned()))
}
