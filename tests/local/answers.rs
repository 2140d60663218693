//! Answers made at random, said by a program byte for byte: whoever asks through the proxy gets one whole
//! answer, one that is plainly cut off, or the proxy's own word, and the next who asks gets his own.

use std::time::Duration;

use httparse::{EMPTY_HEADER, Response, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fuzz::{Target, Verdict};
use crate::hang;
use crate::machine::Machine;

/// A program that has said its word is not waited for.
const PATIENCE: Duration = Duration::from_mins(1);
const MOST_HEADERS: usize = 4_096;

const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\xff",
    b"HTTP/1.1 ",
    b"HTTP/1.0 ",
    b"HTTP/2.0 ",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 304 Not Modified\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 999 Odd\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 05\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, content-length\r\n",
    b"Upgrade: websocket\r\n",
    b"Trailer: X-Sum\r\n",
    b"X-Folded: a\r\n b\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"fffffffffffffffff\r\n",
    b"hello",
];

#[test]
fn whatever_a_program_says_one_answer_comes_of_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let machine = runtime.block_on(async {
        let machine = Machine::new().await;
        machine.go_live(&machine.web("one")).await;
        machine
    });
    let target = Target { name: "answers", seeds: Vec::new(), pieces: PIECES, rounds: 150 };
    target.hold(|said| runtime.block_on(judge(&machine, said)));
    runtime.block_on(machine.tear_down());
}

async fn judge(machine: &Machine, said: &[u8]) -> Verdict {
    hang::watch();
    let heard = match tokio::time::timeout(PATIENCE, ask(machine, said)).await {
        Ok(Ok(heard)) => heard,
        Ok(Err(error)) => return Err(format!("the proxy cannot be asked: {error}")),
        Err(_) => return Err("there is no end to it".to_owned()),
    };
    let shape = read(&heard).map_err(|fault| format!("{fault}: {:?}", String::from_utf8_lossy(&heard)))?;
    match machine.ask("/").await {
        (200, name) if name == "one" => Ok(shape),
        other => Err(format!("the next who asks gets {other:?}")),
    }
}

/// Has the program say this, and hears what comes of it, to the end.
async fn ask(machine: &Machine, said: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(machine.cloud.proxy_address()).await?;
    let (host, length) = (machine.host(), said.len());
    let head =
        format!("POST /repeat HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), said].concat()).await?;
    let mut heard = Vec::new();
    // A connection that is broken off tells as plainly as one that ends that something is missing.
    let _ = stream.read_to_end(&mut heard).await;
    Ok(heard)
}

/// What a client that keeps to RFC 9112 makes of what it heard.
fn read(heard: &[u8]) -> Verdict {
    let mut rest = heard;
    loop {
        let mut headers = vec![EMPTY_HEADER; MOST_HEADERS];
        let mut response = Response::new(&mut headers);
        let begin = match response.parse(rest) {
            Ok(Status::Complete(begin)) => begin,
            Ok(Status::Partial) if heard.is_empty() => return Err("nothing is heard".into()),
            Ok(Status::Partial) => return Err("a head that does not end".into()),
            Err(error) => return Err(format!("no head: {error}")),
        };
        let code = response.code.unwrap_or_default();
        let values = |name: &str| -> Vec<String> {
            let of_name = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            of_name.map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase()).collect()
        };
        let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
        rest = &rest[begin..];
        return match code {
            101 => Ok("101".to_owned()),
            // RFC 9110, 15.2: any number of these come before the answer.
            100..200 => continue,
            204 | 304 if rest.is_empty() => Ok(code.to_string()),
            204 | 304 => Err(format!("{code} with a body")),
            _ if !lengths.is_empty() && !codings.is_empty() => Err("it is framed twice".to_owned()),
            _ if !codings.is_empty() => chunks(rest).map(|end| format!("{code} in chunks, {end}")),
            _ => match &lengths[..] {
                [] => Ok(format!("{code} until the end")),
                [length] => of_length(rest.len(), length).map(|end| format!("{code} of a length, {end}")),
                _ => Err("it has more than one length".to_owned()),
            },
        };
    }
}

fn of_length(heard: usize, told: &str) -> Verdict {
    let is_number = !told.is_empty() && told.bytes().all(|byte| byte.is_ascii_digit());
    match told.parse::<usize>() {
        Ok(told) if is_number && heard > told => Err(format!("{heard} bytes, where {told} are told")),
        Ok(told) if is_number => Ok(if heard == told { "whole" } else { "cut off" }.to_owned()),
        _ => Err(format!("{told:?} is no length")),
    }
}

/// RFC 9112, 7.1: chunks, a last one of nothing, trailers, and nothing behind them.
fn chunks(mut rest: &[u8]) -> Verdict {
    let cut_off = || Ok("cut off".to_owned());
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return cut_off() };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        let digits = line.split(';').next().unwrap_or_default().trim_end();
        let Ok(size) = usize::from_str_radix(digits, 16) else { return Err(format!("{line:?} is no chunk's size")) };
        rest = &rest[end + 2..];
        if size == 0 {
            return trailers(rest);
        }
        if rest.len() < size.saturating_add(2) {
            return cut_off();
        }
        if &rest[size..size + 2] != b"\r\n" {
            return Err("a chunk is longer than it says".to_owned());
        }
        rest = &rest[size + 2..];
    }
}

fn trailers(mut rest: &[u8]) -> Verdict {
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else { return Ok("cut off".to_owned()) };
        let is_last = end == 0;
        rest = &rest[end + 2..];
        if is_last {
            return if rest.is_empty() { Ok("whole".to_owned()) } else { Err("something comes behind it".to_owned()) };
        }
    }
}
