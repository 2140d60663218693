//! Answers made at random, and a second opinion on them: a reader that knows only what is beyond doubt.
//! What it takes for whole arrives whole, what it takes for broken never looks whole, and whatever comes,
//! the proxy answers something and goes on.
//!
//! `GREENROOM_FUZZ_ROUNDS` sets how many are tried, `GREENROOM_FUZZ_SEED` which.

use std::net::SocketAddr;

use crate::cases::{Got, Until};
use crate::client::say;
use crate::script::{Do, End};
use crate::transcript::{Message, find};

/// The same course in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides.max(1)
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.roll(from.len())]
    }
}

/// What answers begin with.
const STARTS: [&[u8]; 12] = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 404 Not Found\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 304 Not Modified\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 500\r\n",
    b"HTTP/2 200\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n",
];

/// Their lines.
const LINES: [&[u8]; 22] = [
    b"Content-Length: 5\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 11\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 18446744073709551615\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"transfer-encoding : chunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: Content-Length, Transfer-Encoding\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"X-A: 1\r\n",
    b"X-A: \xFF\xFE\r\n",
    b"X A: 1\r\n",
    b"X-A: 1\n",
    b"Trailer: X-Sum\r\n",
];

/// What may follow them.
const PIECES: [&[u8]; 24] = [
    b"hello",
    b"hello",
    b" world",
    b"5\r\nhello\r\n",
    b"5\r\nhello\r\n",
    b"6\r\n world\r\n",
    b"5;a=b\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"5\nhello\n",
    b"0x5\r\nhello\r\n",
    b"ffffffffffffffff\r\nhello",
    b"0\r\n\r\n",
    b"0\r\n\r\n",
    b"0\r\n\r\n",
    b"0\r\nX-Sum: 1\r\n\r\n",
    b"0\r\nContent-Length: 9\r\n\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
    b"x",
    b"-1\r\n",
    b"\xFF",
];

/// An answer, more or less.
pub(crate) fn answer(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = dice.pick(&STARTS).to_vec();
    for _ in 0..dice.roll(4) {
        bytes.extend_from_slice(dice.pick(&LINES));
    }
    bytes.extend_from_slice(b"\r\n");
    for _ in 0..dice.roll(5) {
        bytes.extend_from_slice(dice.pick(&PIECES));
    }
    // Half of them are as they were made.
    for _ in 0..dice.roll(6).saturating_sub(3) {
        let (at, piece) = (dice.roll(bytes.len() + 1), dice.pick(&PIECES));
        match dice.roll(4) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, piece.iter().copied())),
            2 if at < bytes.len() => {
                bytes.remove(at);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.roll(8);
                }
            }
        }
    }
    bytes
}

/// The second opinion.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// It is this, and all of it is there.
    Whole { status: u16, body: Vec<u8> },
    /// Its end is missing, or nobody can say where it is.
    Broken,
    /// Readers differ.
    Unsure,
}

/// What is beyond doubt of an answer to a POST whose connection ends behind it.
pub(crate) fn opinion(bytes: &[u8]) -> Opinion {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Opinion::Unsure };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let Ok(text) = std::str::from_utf8(head) else { return Opinion::Unsure };
    let mut lines = text.split("\r\n");
    let Some((version, status)) = lines.next().and_then(status) else { return Opinion::Unsure };
    let Some(fields) = lines.map(field).collect::<Option<Vec<_>>>() else { return Opinion::Unsure };
    let values =
        |name: &str| fields.iter().filter(|(known, _)| known == name).map(|(_, value)| *value).collect::<Vec<_>>();
    if status == 101 || fields.iter().any(|(name, _)| name == "connection") {
        return Opinion::Unsure;
    }
    if status < 200 {
        return opinion(body);
    }
    let whole = |body: &[u8]| Opinion::Whole { status, body: body.to_vec() };
    if [204, 304].contains(&status) {
        // A length that is none may be refused all the same.
        let is_doubtful = !values("content-length").is_empty() || !values("transfer-encoding").is_empty();
        return if is_doubtful { Opinion::Unsure } else { whole(b"") };
    }
    match (values("transfer-encoding").as_slice(), values("content-length").as_slice()) {
        ([], []) => whole(body),
        ([], [length]) if is_number(length) => match length.parse::<usize>() {
            Ok(length) if length <= body.len() => whole(&body[..length]),
            _ => Opinion::Broken,
        },
        ([], [one, other]) if is_number(one) && is_number(other) && one != other => Opinion::Broken,
        (["chunked"], _)
            if version == "HTTP/1.1" && values("content-length").iter().all(|length| is_number(length)) =>
        {
            chunks(body).map_or_else(|opinion| opinion, |body| whole(&body))
        }
        (["gzip, chunked"], _) => Opinion::Broken,
        _ => Opinion::Unsure,
    }
}

fn status(line: &str) -> Option<(&str, u16)> {
    let (version, rest) = line.split_once(' ')?;
    let (digits, words) = rest.split_once(' ')?;
    let is_plain = ["HTTP/1.0", "HTTP/1.1"].contains(&version) && digits.len() == 3 && is_number(digits);
    let is_plain = is_plain && words.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let status = digits.parse::<u16>().ok().filter(|status| (100..600).contains(status))?;
    is_plain.then_some((version, status))
}

fn field(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once(": ")?;
    let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_plain = is_plain && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (is_plain && value.trim() == value).then(|| (name.to_ascii_lowercase(), value))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The data in the chunks, or what there is to think of them.
fn chunks(mut rest: &[u8]) -> Result<Vec<u8>, Opinion> {
    let mut data = Vec::new();
    loop {
        let line = find(rest, b"\r\n").ok_or(Opinion::Unsure)?;
        let size = std::str::from_utf8(&rest[..line]).map_err(|_| Opinion::Unsure)?;
        let is_plain = !size.is_empty() && size.len() < 8 && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(size, 16).ok().filter(|_| is_plain).ok_or(Opinion::Unsure)?;
        rest = &rest[line + 2..];
        if size == 0 {
            // Nothing else may follow than lines that end with an empty one.
            return if rest.starts_with(b"\r\n") || rest.starts_with(b"X-Sum: 1\r\n\r\n") {
                Ok(data)
            } else {
                Err(Opinion::Unsure)
            };
        }
        let chunk = rest.get(..size).ok_or(Opinion::Broken)?;
        rest = rest[size..].strip_prefix(b"\r\n").ok_or(Opinion::Broken)?;
        data.extend_from_slice(chunk);
    }
}

/// Has the program say the bytes, and judges what comes through.
pub(crate) async fn judge(proxy: SocketAddr, bytes: &[u8]) -> Result<Opinion, String> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: say\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    let request = [head.as_bytes(), bytes].concat();
    let got = say(proxy, &[Do::Send(request)], "POST", Until::End).await.ok_or("it never ends")?;
    let opinion = opinion(bytes);
    verdict(&opinion, &got).map(|()| opinion).map_err(|why| format!("{why}: {got:?}"))
}

fn verdict(opinion: &Opinion, got: &Got) -> Result<(), String> {
    let last = got.messages.last().ok_or("nothing came")?;
    let finals = got.messages.iter().filter(|message| message.is_final()).count();
    if finals > 1 {
        return Err("one answer became two".into());
    }
    let is_page = |message: &Message| message.status == 502 && message.value("x-greenroom-version").is_none();
    match opinion {
        Opinion::Whole { status, body } => {
            let is_it = last.status == *status && last.is_whole && last.body == *body;
            if is_it && !is_page(last) { Ok(()) } else { Err(format!("it is {status} with {} bytes", body.len())) }
        }
        Opinion::Broken if last.is_whole && !is_page(last) => Err("it is broken and looks whole".into()),
        Opinion::Broken | Opinion::Unsure if got.end == End::Open => Err("its connection does not end".into()),
        Opinion::Broken | Opinion::Unsure => Ok(()),
    }
}
