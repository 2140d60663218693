//! The Docker command line itself: what it sends, and what an engine makes of it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use tar::{Archive, EntryType};
use tokio::net::UnixListener;

/// What is at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thing {
    Folder,
    File(String),
    Executable(String),
    Link(Vec<u8>),
    Other(EntryType),
}

/// Everything that was sent, by path.
pub(crate) type Sent = BTreeMap<Vec<u8>, Thing>;

/// Reads an archive; a folder is there for what it holds, too.
pub(crate) fn read_archive(bytes: &[u8]) -> Sent {
    let mut sent = Sent::new();
    let mut long = Long::default();
    for entry in Archive::new(bytes).entries().expect("an archive").raw(true) {
        let mut entry = entry.expect("an entry");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("bytes");
        let header = entry.header();
        if long.take(header.entry_type(), &content) {
            continue;
        }
        let Long { name, link } = std::mem::take(&mut long);
        let path = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        let path = path.strip_suffix(b"/").unwrap_or(path).to_vec();
        if path.is_empty() {
            continue;
        }
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            sent.entry(path[..at].to_vec()).or_insert(Thing::Folder);
        }
        let thing = match header.entry_type() {
            EntryType::Directory => Thing::Folder,
            EntryType::Symlink => {
                Thing::Link(link.unwrap_or_else(|| header.link_name_bytes().expect("a target").into_owned()))
            }
            EntryType::Regular => {
                let text = content.escape_ascii().to_string();
                let is_executable = header.mode().expect("a mode") & 0o100 != 0;
                if is_executable { Thing::Executable(text) } else { Thing::File(text) }
            }
            other => Thing::Other(other),
        };
        sent.insert(path, thing);
    }
    sent
}

/// What an entry says of the next one. The crate `tar` reads a name with a line break in it wrongly.
#[derive(Default)]
struct Long {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Long {
    /// Whether the entry is about another one.
    fn take(&mut self, kind: EntryType, content: &[u8]) -> bool {
        let text = || Some(content.strip_suffix(&[0]).unwrap_or(content).to_vec());
        match kind {
            EntryType::GNULongName => self.name = text(),
            EntryType::GNULongLink => self.link = text(),
            EntryType::XGlobalHeader => {}
            EntryType::XHeader => self.take_records(content),
            _ => return false,
        }
        true
    }

    /// `LENGTH KEY=VALUE\n`, the length that of the whole. Source: POSIX, pax, "pax Extended Header".
    fn take_records(&mut self, mut records: &[u8]) {
        while let Some(space) = records.iter().position(|byte| *byte == b' ') {
            let length = str::from_utf8(&records[..space]).expect("digits").parse().expect("a length");
            let (record, rest) = records.split_at(length);
            let record = &record[space + 1..length - 1];
            if let Some(name) = record.strip_prefix(b"path=") {
                self.name = Some(name.to_vec());
            } else if let Some(target) = record.strip_prefix(b"linkpath=") {
                self.link = Some(target.to_vec());
            }
            records = rest;
        }
    }
}

/// The Docker command line as a user has it, with the first builder.
fn docker() -> Command {
    let mut command = Command::new("docker");
    command.env("DOCKER_BUILDKIT", "0").stdin(Stdio::null());
    command
}

fn build_arguments(folder: &Path, dockerfile: &str, name: &str) -> Vec<String> {
    let mut words: Vec<String> = ["build", "--quiet", "--force-rm"].map(str::to_owned).into();
    words.extend([format!("--tag={name}"), format!("--file={}", folder.join(dockerfile).display())]);
    words.push(folder.display().to_string());
    words
}

/// Builds an image of a folder; `None` where Docker does not.
pub(crate) fn build(folder: &Path, dockerfile: &str, name: &str) -> Option<String> {
    let output = docker().args(build_arguments(folder, dockerfile, name)).output();
    let output = output.expect("the Docker command line: `tests/run` installs it");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_engine_there = !said.contains("Cannot connect to the Docker daemon");
    assert!(is_engine_there, "these tests need a Docker engine: {said}");
    output.status.success().then(|| name.to_owned())
}

/// What is in two images of the engine, whatever their layers.
pub(crate) fn images(names: [&str; 2]) -> [Sent; 2] {
    let output = docker().arg("save").args(names).output().expect("the Docker command line");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    // A layer that two images share is saved once, and the other one leads there.
    let mut links: BTreeMap<String, String> = BTreeMap::new();
    for entry in Archive::new(output.stdout.as_slice()).entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let (name, mut bytes) = (String::from_utf8_lossy(&entry.path_bytes()).into_owned(), Vec::new());
        entry.read_to_end(&mut bytes).expect("bytes");
        if let Some(target) = entry.link_name_bytes() {
            let target = String::from_utf8_lossy(&target).trim_start_matches("../").to_owned();
            links.insert(name.clone(), target);
        }
        files.insert(name, bytes);
    }
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).expect("a manifest");
    names.map(|name| {
        let images = manifest.as_array().expect("images");
        let tagged = |image: &serde_json::Value| {
            image["RepoTags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == name))
        };
        // Two names of one image stand in one entry.
        let image = images.iter().find(|image| tagged(image)).expect("an image");
        let layers = image["Layers"].as_array().expect("layers").iter();
        let names = layers.map(|layer| layer.as_str().expect("a name"));
        names.flat_map(|name| read_archive(&files[links.get(name).map_or(name, String::as_str)])).collect()
    })
}

type Received = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Something that takes what the command line sends to an engine, and builds nothing.
pub(crate) struct Engine {
    socket: PathBuf,
    home: PathBuf,
    received: Received,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State(received): State<Received>,
    Query(query): Query<BTreeMap<String, String>>,
    context: Bytes,
) -> impl IntoResponse {
    received.lock().unwrap_or_else(PoisonError::into_inner).insert(query["t"].clone(), context.to_vec());
    "{\"stream\":\"Successfully built 0123456789ab\\n\"}\r\n"
}

/// The answer to everything that the command line wants to know beforehand.
async fn ping() -> impl IntoResponse {
    (StatusCode::OK, [("Api-Version", "1.41"), ("Ostype", "linux"), ("Builder-Version", "1")], "OK")
}

impl Engine {
    pub(crate) fn start(folder: &Path) -> Self {
        let (socket, received) = (folder.join("engine"), Received::default());
        let listener = UnixListener::bind(&socket).expect("a socket");
        let router = Router::new()
            .route("/{version}/build", post(receive))
            .fallback(ping)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&received));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        Self { socket, home: folder.to_owned(), received, task }
    }

    /// What the command line sends for a folder; `None` where it refuses.
    pub(crate) async fn sent_for(&self, number: usize, folder: &Path, dockerfile: &str) -> Option<Sent> {
        let name = format!("judge:{number}");
        let mut command = tokio::process::Command::from(docker());
        command.args(build_arguments(folder, dockerfile, &name)).env("HOME", &self.home);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket.display()));
        let output = command.output().await.expect("the Docker command line: `tests/run` installs it");
        let sent = self.received.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(sent.is_some() || said.contains("pattern"), "Docker refuses for another reason: {said}");
        sent.map(|bytes| read_archive(&bytes))
    }
}
