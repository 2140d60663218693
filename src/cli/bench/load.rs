//! The load: every connection sends one delivery, waits for the answer, sends the next.
//!
//! It shares the machine with the server that it measures, so it does as little as it can: bodies
//! are written from where they lie, and of an answer only the status is looked at.

use std::collections::BTreeMap;
use std::io::{IoSlice, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::mail::{Letter, Mail};

/// What came of the load.
#[derive(Default)]
pub(super) struct Outcome {
    /// Places of the acknowledged deliveries in the mail.
    pub(super) acknowledged: Vec<usize>,
    /// From the first byte sent to the answer read, of the acknowledged ones, in microseconds.
    pub(super) micros: Vec<u64>,
    /// How often each other answer came.
    pub(super) others: BTreeMap<u16, u64>,
    /// From the first delivery to the last answer.
    pub(super) took: Duration,
}

/// Sends everything over so many connections. Runs on one thread, so that the measured server keeps
/// the rest of the machine.
pub(super) async fn send(mail: Rc<Mail>, door: SocketAddr, connections: usize) -> anyhow::Result<Outcome> {
    let next = Rc::new(AtomicUsize::new(0));
    let local = LocalSet::new();
    let begun = Instant::now();
    let running: Vec<_> =
        (0..connections.max(1)).map(|_| local.spawn_local(connection(mail.clone(), next.clone(), door))).collect();
    let mut total = Outcome::default();
    local.await;
    for ended in running {
        let one = ended.await.context("the load panicked")??;
        total.acknowledged.extend(one.acknowledged);
        total.micros.extend(one.micros);
        for (status, count) in one.others {
            *total.others.entry(status).or_default() += count;
        }
    }
    total.took = begun.elapsed();
    Ok(total)
}

/// The status of an acknowledged delivery.
const ACCEPTED: u16 = 202;
/// The longest answer that is expected.
const ANSWER_BYTES: usize = 4096;

async fn connection(mail: Rc<Mail>, next: Rc<AtomicUsize>, door: SocketAddr) -> anyhow::Result<Outcome> {
    let mut stream = TcpStream::connect(door).await.context("the door does not open")?;
    stream.set_nodelay(true)?;
    let mut outcome = Outcome::default();
    let (mut head, mut answer) = (Vec::new(), Vec::with_capacity(ANSWER_BYTES));
    loop {
        let place = next.fetch_add(1, Ordering::Relaxed);
        let Some(letter) = mail.letters.get(place) else { return Ok(outcome) };
        let begun = Instant::now();
        write_request(&mut stream, &mut head, &mail, letter, door).await?;
        let status = read_answer(&mut stream, &mut answer).await?;
        if status == ACCEPTED {
            outcome.acknowledged.push(place);
            outcome.micros.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        } else {
            *outcome.others.entry(status).or_default() += 1;
        }
    }
}

/// Writes the head and the pieces of the body, which the kernel alone puts together.
async fn write_request(
    stream: &mut TcpStream,
    head: &mut Vec<u8>,
    mail: &Mail,
    letter: &Letter,
    door: SocketAddr,
) -> anyhow::Result<()> {
    head.clear();
    write!(
        head,
        "POST /webhook HTTP/1.1\r\nhost: {door}\r\nuser-agent: GitHub-Hookshot/0a1b2c3\r\naccept: */*\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nx-github-event: pull_request\r\n\
         x-github-delivery: {}\r\nx-github-hook-id: 1\r\nx-github-hook-installation-target-type: integration\r\n\
         x-hub-signature-256: {}\r\n\r\n",
        mail.body_bytes(letter),
        letter.id,
        letter.signature
    )?;
    let mut slices: Vec<IoSlice<'_>> =
        std::iter::once(head.as_slice()).chain(mail.body(letter)).map(IoSlice::new).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let written = stream.write_vectored(rest).await.context("the door closed the connection")?;
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

/// Reads one answer to its end, and tells its status.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<u16> {
    answer.clear();
    loop {
        anyhow::ensure!(stream.read_buf(answer).await? > 0, "the door closed the connection");
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = response.parse(answer)? else { continue };
        let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
        if answer.len() >= head + length.context("an answer without a length")? {
            return response.code.context("an answer without a status");
        }
    }
}
