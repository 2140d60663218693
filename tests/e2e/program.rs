//! The programs that the tests deploy: this test binary, started again as one of its ignored tests.
//!
//! What they do is written in their commit: the file `app` holds a version's name and its mode. What
//! they did they add to the file `journal` of the test's folder, which is all they know of the test
//! besides `gate`, a file whose appearance they wait for when their mode says so. A program that was given a
//! `TOKEN` says which.

#![expect(clippy::disallowed_methods, reason = "a deployed program reads its settings from its environment")]

use std::convert::Infallible;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The variable that names the test's folder.
pub(crate) const FOLDER: &str = "E2E_FOLDER";
/// What a program of mode `exit` says last.
pub(crate) const LAST_WORDS: &str = "cannot go on: the cupboard is bare";

/// How a stage starts one of the programs below.
pub(crate) fn command(program: &str) -> Vec<String> {
    let binary = std::env::current_exe().expect("a test knows its own binary").display().to_string();
    vec![binary, "--ignored".into(), "--exact".into(), format!("program::{program}"), "--nocapture".into()]
}

/// A version as its commit says.
struct Version {
    folder: PathBuf,
    name: String,
    mode: String,
}

impl Version {
    fn read() -> Self {
        let text = std::fs::read_to_string("app").expect("the commit has a file `app`");
        let mut words = text.split_whitespace().map(str::to_owned);
        Self {
            folder: PathBuf::from(std::env::var(FOLDER).expect("the configuration sets the folder")),
            name: words.next().expect("a name"),
            mode: words.next().unwrap_or_default(),
        }
    }

    fn note(&self, what: &str) {
        note(&self.folder, &format!("{what} {}", self.name));
    }

    async fn gate(&self) {
        while !self.folder.join("gate").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn note(folder: &Path, line: &str) {
    let file = std::fs::File::options().append(true).create(true).open(folder.join("journal"));
    // One write, so that lines of several programs do not mix.
    file.expect("the journal opens").write_all(format!("{line}\n").as_bytes()).expect("the journal takes a line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a program that the other tests deploy"]
async fn web() {
    let version = Arc::new(Version::read());
    version.note("start web");
    if let Ok(token) = std::env::var("TOKEN") {
        version.note(&format!("token {token}"));
    }
    match version.mode.as_str() {
        "exit" => give_up(),
        "gate" => version.gate().await,
        "stubborn" => hold_on(Arc::clone(&version)),
        _ => {}
    }
    let port = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let version = Arc::clone(&version);
        let service = service_fn(move |request| answer(request, Arc::clone(&version)));
        // A client that leaves early is no concern of this program.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
    }
}

#[tokio::test]
#[ignore = "a program that the other tests deploy"]
async fn worker() {
    Version::read().note("start worker");
    std::future::pending::<()>().await;
}

#[tokio::test]
#[ignore = "a program that the other tests deploy"]
async fn migration() {
    Version::read().note("migrate");
}

async fn answer(request: Request<Incoming>, version: Arc<Version>) -> Result<Response<Full<Bytes>>, Infallible> {
    match request.uri().path() {
        "/slow" => {
            version.note("slow");
            version.gate().await;
        }
        // Long enough that requests are under way whenever versions are switched.
        "/" => tokio::time::sleep(Duration::from_millis(5)).await,
        "/crash" => leave(7),
        _ => {}
    }
    Ok(Response::new(Full::from(version.name.clone())))
}

/// Does not end when told to, before the gate is open.
fn hold_on(version: Arc<Version>) {
    tokio::spawn(async move {
        let mut told = signal(SignalKind::terminate()).expect("the signal can be had");
        told.recv().await;
        version.note("told");
        version.gate().await;
        leave(0)
    });
}

fn give_up() -> ! {
    let mut log = std::io::stderr();
    log.write_all(format!("starting\n{LAST_WORDS}\n").as_bytes()).expect("the log takes lines");
    leave(3)
}

#[expect(clippy::exit, reason = "a program that ends with a code of its own is what is tested")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}
