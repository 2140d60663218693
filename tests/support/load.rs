//! Clients that ask without a pause.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) type Sender = SendRequest<Full<Bytes>>;

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
    seen: Arc<Mutex<Report>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `clients` of each kind: those that keep their connection, and those that open a new
    /// one for every request. When it returns, there is a load.
    pub(crate) async fn start(proxy: SocketAddr, host: &str, clients: usize) -> Self {
        let (stop, seen) = (CancellationToken::new(), Arc::<Mutex<Report>>::default());
        let spawn = |keeps: Keeps| tokio::spawn(client(proxy, host.to_owned(), keeps, stop.clone(), Arc::clone(&seen)));
        let tasks = (0..clients).flat_map(|_| [spawn(Keeps::Connection), spawn(Keeps::Nothing)]).collect();
        let load = Self { stop, seen, tasks };
        while load.asked() < clients as u64 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        load
    }

    fn asked(&self) -> u64 {
        let seen = locked(&self.seen);
        seen.failures.len() as u64 + seen.answers.values().sum::<u64>()
    }

    /// How many requests were answered with 200 so far.
    pub(crate) fn answered(&self) -> u64 {
        locked(&self.seen).answers.values().sum()
    }

    /// Whether somebody was answered this.
    pub(crate) fn met(&self, body: &str) -> bool {
        locked(&self.seen).answers.contains_key(body)
    }

    /// Stops them, and tells what they saw.
    pub(crate) async fn stop(self) -> Report {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("a client ends well");
        }
        std::mem::take(&mut *locked(&self.seen))
    }
}

fn locked(seen: &Mutex<Report>) -> MutexGuard<'_, Report> {
    seen.lock().expect("nobody panics with it")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Connection,
    Nothing,
}

async fn client(proxy: SocketAddr, host: String, keeps: Keeps, stop: CancellationToken, seen: Arc<Mutex<Report>>) {
    let mut kept = None;
    while !stop.is_cancelled() {
        let answer = match kept.take() {
            Some(mut sender) => ask(&mut sender, &host, "/").await.map(|answer| (answer, sender)),
            None => fresh(proxy, &host, "/").await,
        };
        match answer {
            Ok(((200, body), sender)) => {
                *locked(&seen).answers.entry(body).or_default() += 1;
                kept = Some(sender).filter(|sender| keeps == Keeps::Connection && !sender.is_closed());
            }
            Ok((other, _)) => locked(&seen).failures.push(format!("{other:?}")),
            Err(error) => locked(&seen).failures.push(error),
        }
    }
}

/// One question on a connection of its own; its answer, and the connection.
pub(crate) async fn fresh(proxy: SocketAddr, host: &str, path: &str) -> Result<((u16, String), Sender), String> {
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
