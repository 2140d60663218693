//! What a client makes of the bytes that it got: a small reader of its own, which shares nothing with the
//! one that is tested. It takes what a lenient client takes.

use std::fmt;

use crate::script::End;

/// One answer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// Names in small letters.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) is_whole: bool,
}

impl Message {
    pub(crate) fn is_final(&self) -> bool {
        self.status >= 200 || self.status == 101
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.is_whole { "whole" } else { "CUT" };
        write!(f, "{} {}, {whole}, {:?}, ", self.status, self.reason, self.fields)?;
        let start = self.body.get(..300).unwrap_or(&self.body);
        write!(f, "{} bytes \"{}\", {:?}", self.body.len(), start.escape_ascii(), self.trailers)
    }
}

/// All answers to requests with this method, the last one perhaps not whole.
pub(crate) fn read(bytes: &[u8], end: End, method: &str) -> Vec<Message> {
    let (mut rest, mut messages) = (bytes, Vec::new());
    while let Some(more) = rest.strip_prefix(b"\r\n") {
        rest = more;
    }
    while !rest.is_empty() {
        let Some((head, body)) = head(rest) else {
            messages.push(broken(rest));
            break;
        };
        let Some(mut message) = first(head) else {
            messages.push(broken(rest));
            break;
        };
        rest = take_body(&mut message, body, end, method);
        let goes_on = message.is_whole;
        messages.push(message);
        if !goes_on {
            break;
        }
    }
    messages
}

fn broken(rest: &[u8]) -> Message {
    Message {
        status: 0,
        reason: String::new(),
        fields: Vec::new(),
        body: rest.to_vec(),
        trailers: Vec::new(),
        is_whole: false,
    }
}

/// Parts at the first empty line.
fn head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let crlf = find(bytes, b"\r\n\r\n").map(|at| (at, at + 4));
    let (head, body) = crlf.or_else(|| find(bytes, b"\n\n").map(|at| (at, at + 2)))?;
    Some((&bytes[..head], &bytes[body..]))
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The first line and the headers.
fn first(head: &[u8]) -> Option<Message> {
    let text = String::from_utf8_lossy(head).into_owned();
    let (line, fields) = text.split_once('\n').unwrap_or((text.as_str(), ""));
    let mut words = line.trim_end().splitn(3, ' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = words.next()?.parse().ok()?;
    let mut message = broken(b"");
    (message.status, message.reason) = (status, words.next().unwrap_or_default().to_owned());
    message.fields = lines(fields);
    Some(message)
}

fn lines(text: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().map(|line| line.trim_end_matches('\r')) {
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some((_, value))) => format!("{value} {}", line.trim()).trim().clone_into(value),
            _ => {
                if let Some((name, value)) = line.split_once(':') {
                    fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                }
            }
        }
    }
    fields
}

/// Gives the message its body, and leaves what follows it.
fn take_body<'a>(message: &mut Message, bytes: &'a [u8], end: End, method: &str) -> &'a [u8] {
    let codings = message.value("transfer-encoding").unwrap_or_default().to_ascii_lowercase();
    let length: Option<usize> =
        message.value("content-length").and_then(|length| length.split(',').next()?.trim().parse().ok());
    if (100..200).contains(&message.status) && message.status != 101 {
        message.is_whole = true;
        return bytes;
    }
    if message.status != 101 && (method == "HEAD" || [204, 304].contains(&message.status)) {
        message.is_whole = true;
        return bytes;
    }
    if message.status != 101 && codings.ends_with("chunked") {
        return take_chunks(message, bytes);
    }
    if let Some(length) = length.filter(|_| message.status != 101) {
        let some = length.min(bytes.len());
        message.body = bytes[..some].to_vec();
        message.is_whole = some == length;
        return &bytes[some..];
    }
    message.body = bytes.to_vec();
    message.is_whole = end == End::Closed;
    &[]
}

fn take_chunks<'a>(message: &mut Message, bytes: &'a [u8]) -> &'a [u8] {
    let mut rest = bytes;
    loop {
        let Some(line) = find(rest, b"\n") else { return &[] };
        let size = String::from_utf8_lossy(&rest[..line]).into_owned();
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else { return &[] };
        rest = &rest[line + 1..];
        if size == 0 {
            return take_trailers(message, rest);
        }
        message.body.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(after) = rest.get(size..).and_then(|after| after.strip_prefix(b"\r\n")) else { return &[] };
        rest = after;
    }
}

fn take_trailers<'a>(message: &mut Message, bytes: &'a [u8]) -> &'a [u8] {
    if let Some(rest) = bytes.strip_prefix(b"\r\n") {
        message.is_whole = true;
        return rest;
    }
    let Some((trailers, rest)) = head(bytes) else { return &[] };
    message.trailers = lines(&String::from_utf8_lossy(trailers));
    message.is_whole = true;
    rest
}

/// Without what is for one connection only or is this proxy's own, so that what two clients were told can
/// be compared.
pub(crate) fn comparable(messages: &[Message], has_date: bool) -> Vec<Message> {
    let plain = |message: &Message| {
        let mut message = message.clone();
        let is_chunked = message.value("transfer-encoding").is_some();
        let changes = [101, 426].contains(&message.status);
        message.fields.retain(|(name, _)| match name.as_str() {
            "connection" | "keep-alive" | "transfer-encoding" | "x-greenroom-version" => false,
            "upgrade" => changes,
            "content-length" => !is_chunked,
            "date" => has_date,
            _ => true,
        });
        message.fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        message
    };
    messages.iter().map(plain).collect()
}
