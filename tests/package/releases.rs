//! A server of releases on loopback, which answers as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What it answers to one path.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    File(Vec<u8>),
    /// 503 so often, then the file.
    Late(u32, Vec<u8>),
    Redirect(String),
    /// The beginning of an answer, and then nothing for as long as anybody waits.
    Stall,
}

#[derive(Debug, Default)]
struct Known {
    answers: BTreeMap<String, Answer>,
    asked: Vec<String>,
}

/// Ends with the test's process.
#[derive(Debug, Clone)]
pub(crate) struct Releases {
    pub(crate) address: String,
    known: Arc<Mutex<Known>>,
}

impl Releases {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let known = Arc::new(Mutex::new(Known::default()));
        let shared = Arc::clone(&known);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(answer(stream, &shared)));
            }
        });
        Self { address, known }
    }

    pub(crate) fn put(&self, path: &str, answer: Answer) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).answers.insert(path.to_owned(), answer);
    }

    /// The paths that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }
}

fn answer(stream: TcpStream, known: &Mutex<Known>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let found = {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.answers.get(&path).cloned();
        if let Some(Answer::Late(left @ 1.., _)) = known.answers.get_mut(&path) {
            *left -= 1;
        }
        known.asked.push(path);
        found
    };
    let mut stream = stream;
    match found {
        Some(Answer::File(bytes) | Answer::Late(0, bytes)) => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
            stream.write_all(&bytes)
        }
        Some(Answer::Late(..)) => write!(stream, "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        Some(Answer::Redirect(to)) => {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        }
        Some(Answer::Stall) => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegins")?;
            stream.flush()?;
            std::thread::sleep(Duration::from_mins(5));
            Ok(())
        }
        None => write!(stream, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
    }
}
