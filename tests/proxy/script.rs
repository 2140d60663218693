//! What a client and a program say and wait for, byte by byte.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One thing that a client or a program does.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    Send(Vec<u8>),
    /// So many bytes of nothing in particular.
    Fill(usize),
    /// The same, and who cannot say them all hears nothing more either: so most clients do it.
    Insist(usize),
    /// Until this has come, behind what was heard before.
    Await(&'static str),
    /// Until so many bytes have come, behind what was heard before.
    Take(usize),
    /// Until the other side says no more.
    AwaitEnd,
    /// Answers with everything that has come.
    Echo,
    /// Says no more, and goes on listening.
    Finish,
    /// Closes at once, whatever has not been read.
    Leave,
    /// Closes so that it is an error for the other side.
    Reset,
    /// Keeps a word for whoever asks for it.
    Note(&'static str),
}

/// What is known of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    /// It says no more.
    Closed,
    /// The connection is broken.
    Reset,
}

/// One side of a connection.
pub(crate) struct Party {
    stream: Option<TcpStream>,
    /// What has come and was not looked at yet.
    input: Vec<u8>,
    /// What has come and was looked at.
    pub(crate) heard: Vec<u8>,
    pub(crate) end: End,
}

impl Party {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a connection");
        Self { stream: Some(stream), input: Vec::new(), heard: Vec::new(), end: End::Open }
    }

    /// Does it; what cannot be said any more is not said.
    pub(crate) async fn perform(&mut self, step: &Do) {
        match step {
            // What was told before may still be there to read.
            Do::Send(bytes) => drop(self.send(bytes).await),
            Do::Fill(length) => drop(self.send(&vec![b'x'; *length]).await),
            Do::Insist(length) => {
                if self.send(&vec![b'x'; *length]).await.is_err() {
                    self.end = End::Reset;
                }
            }
            Do::Await(text) => {
                let before = self.heard.len();
                self.hear_until(|heard| heard[before..].ends_with(text.as_bytes())).await;
            }
            Do::Take(length) => {
                let all = self.heard.len() + length;
                self.hear_until(|heard| heard.len() >= all).await;
            }
            Do::AwaitEnd => self.hear_until(|_| false).await,
            Do::Echo => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", self.heard.len());
                let answer = [head.as_bytes(), self.heard.as_slice()].concat();
                drop(self.send(&answer).await);
            }
            Do::Finish => {
                if let Some(stream) = &mut self.stream {
                    // Whoever is gone already does not need to be told.
                    let _ = stream.shutdown().await;
                }
            }
            Do::Leave => self.stream = None,
            Do::Reset => {
                if let Some(stream) = self.stream.take() {
                    stream.set_zero_linger().expect("a connection");
                }
            }
            Do::Note(_) => {}
        }
    }

    /// Looks at what comes, byte by byte, until it is what was waited for or nothing more comes.
    pub(crate) async fn hear_until(&mut self, is_it: impl Fn(&[u8]) -> bool) {
        let mut looked_at = 0;
        while !is_it(&self.heard) {
            if looked_at == self.input.len() {
                self.input.clear();
                looked_at = 0;
                if !self.fill().await {
                    return;
                }
            }
            self.heard.push(self.input[looked_at]);
            looked_at += 1;
        }
        self.input.drain(..looked_at);
    }

    /// Looks at all that comes until it is enough or nothing more comes.
    pub(crate) async fn hear_while(&mut self, wants_more: impl Fn(&[u8], End) -> bool) {
        loop {
            self.heard.append(&mut self.input);
            if self.end != End::Open || !wants_more(&self.heard, self.end) || !self.fill().await {
                return;
            }
        }
    }

    /// Whether anything came.
    async fn fill(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        self.input.reserve(64 * 1024);
        match stream.read_buf(&mut self.input).await {
            Ok(0) => self.end = End::Closed,
            Ok(_) => return true,
            Err(_) => self.end = End::Reset,
        }
        false
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Some(stream) => stream.write_all(bytes).await,
            None => Ok(()),
        }
    }
}
