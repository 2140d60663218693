//! The first part of a message: a line that says what it is, and its header lines.
//!
//! Source: RFC 9112, sections 2 to 5. `httparse` reads; what is no head is said here, line by line.

use bytes::{Buf as _, BytesMut};
use httparse::{EMPTY_HEADER, Error, ParserConfig, Status};

use super::fields::Fields;

/// As much of a line as is shown, in bytes.
const SHOWN: usize = 80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestHead {
    pub(super) method: String,
    /// As it stands in the first line.
    pub(super) target: String,
    pub(super) version: Version,
    pub(super) fields: Fields,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnswerHead {
    pub(super) version: Version,
    pub(super) status: u16,
    /// What follows the status in the first line, often empty.
    pub(super) reason: Vec<u8>,
    pub(super) fields: Fields,
}

/// Why something is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it does not begin as HTTP/1 does: `{0}`")]
    FirstLine(String),
    #[error("it is of a version of HTTP other than 1.0 and 1.1: `{0}`")]
    Version(String),
    /// Counted from 1, which is the first line.
    #[error("line {number} is no header: `{text}`")]
    Line { number: usize, text: String },
}

/// When it is worth to read a head, or other lines with an empty one behind them, that may not be whole yet:
/// at its end, and whenever twice as much of it is there as at the time before. One that comes byte by byte
/// costs little more than one that comes at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Looks {
    scanned: usize,
    looked_at: usize,
}

impl Looks {
    pub(super) fn is_worth(&mut self, bytes: &[u8]) -> bool {
        let new = bytes.get(self.scanned.saturating_sub(2)..).unwrap_or_default();
        self.scanned = bytes.len();
        let ends = new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n");
        if bytes.is_empty() || !(ends || bytes.len() >= self.looked_at * 2) {
            return false;
        }
        self.looked_at = bytes.len();
        true
    }
}

/// Takes away the empty lines before a message, which are none of it. Each of them would look like its end.
///
/// Source: RFC 9112, section 2.2.
pub(super) fn skip_empty_lines(input: &mut BytesMut) {
    loop {
        let end = if input.starts_with(b"\r\n") { 2 } else { usize::from(input.starts_with(b"\n")) };
        if end == 0 {
            return;
        }
        input.advance(end);
    }
}

/// The head of a request and its length in bytes, once it is whole.
pub(super) fn request(bytes: &[u8]) -> Result<Option<(RequestHead, usize)>, Malformed> {
    let mut headers = vec![EMPTY_HEADER; lines(bytes)];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(malformed(bytes, error, is_request_line)),
    };
    let head = RequestHead {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        version: version(request.version),
        fields: Fields::from(&*request.headers),
    };
    Ok(Some((head, length)))
}

/// The head of an answer and its length in bytes, once it is whole.
pub(super) fn answer(bytes: &[u8]) -> Result<Option<(AnswerHead, usize)>, Malformed> {
    let mut headers = vec![EMPTY_HEADER; lines(bytes)];
    let mut answer = httparse::Response::new(&mut headers);
    let length = match forgiving().parse_response(&mut answer, bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(malformed(bytes, error, is_answer_line)),
    };
    let status = answer.code.unwrap_or_default();
    if status < 100 {
        return Err(Malformed::FirstLine(shown(first_line(bytes))));
    }
    let head = AnswerHead {
        version: version(answer.version),
        status,
        // Not `answer.reason`, which is empty where the words are not ASCII.
        reason: first_line(bytes).get("HTTP/1.1 200 ".len()..).unwrap_or_default().to_vec(),
        fields: Fields::from(&*answer.headers),
    };
    Ok(Some((head, length)))
}

/// A gateway has to mend these two in an answer, and to refuse them in a request.
///
/// Source: RFC 9112, sections 5.1 and 5.2.
fn forgiving() -> ParserConfig {
    let mut config = ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    config.allow_obsolete_multiline_headers_in_responses(true);
    config
}

/// One more than there are line ends: never fewer than there are headers.
fn lines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count()
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::Http10 } else { Version::Http11 }
}

fn malformed(bytes: &[u8], error: Error, is_fine: impl Fn(&[u8]) -> bool) -> Malformed {
    let text = || shown(first_line(bytes));
    match error {
        Error::Version if first_line(bytes).windows(5).any(|five| five == b"HTTP/") => Malformed::Version(text()),
        Error::HeaderName | Error::HeaderValue | Error::NewLine | Error::TooManyHeaders => {
            let lines = (1..).zip(trimmed_start(bytes).split(|byte| *byte == b'\n'));
            let mut headers = lines.skip(1).map(|(number, line)| (number, line.strip_suffix(b"\r").unwrap_or(line)));
            // The first of them has nothing to go on with.
            let is_lone =
                |number: usize, line: &[u8]| number == 2 && line.first().is_some_and(|byte| b" \t".contains(byte));
            match headers.find(|(number, line)| is_lone(*number, line) || !is_fine(line)) {
                Some((number, line)) => Malformed::Line { number, text: shown(line) },
                None => Malformed::FirstLine(text()),
            }
        }
        Error::Version | Error::Status | Error::Token => Malformed::FirstLine(text()),
    }
}

fn is_request_line(line: &[u8]) -> bool {
    let alone = [&b"GET / HTTP/1.1\r\n"[..], line, b"\r\n\r\n"].concat();
    httparse::Request::new(&mut [EMPTY_HEADER; 2]).parse(&alone).is_ok()
}

/// A line that goes on with the one before it is as good as that one.
fn is_answer_line(line: &[u8]) -> bool {
    let start: &[u8] = if line.starts_with(b" ") || line.starts_with(b"\t") { b"X: \r\n" } else { b"" };
    let alone = [&b"HTTP/1.1 200\r\n"[..], start, line, b"\r\n\r\n"].concat();
    forgiving().parse_response(&mut httparse::Response::new(&mut [EMPTY_HEADER; 2]), &alone).is_ok()
}

/// Source: RFC 9112, section 2.2: empty lines before the first one are ignored.
fn trimmed_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let line = trimmed_start(bytes).split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Somebody else's bytes in a text of ours: one line, without control characters, not too long.
pub(super) fn shown(bytes: &[u8]) -> String {
    let start = bytes.get(..SHOWN).unwrap_or(bytes).escape_ascii().to_string();
    if bytes.len() > SHOWN { format!("{start}...") } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let whole = b"\r\nGET /a?b HTTP/1.0\r\nhost: x\r\n\r\nGET /next";
        for end in 0..whole.len() - "GET /next".len() {
            assert_eq!(request(&whole[..end]), Ok(None), "{end}");
        }
        let (head, length) = request(whole).unwrap().expect("a whole head");
        assert_eq!((head.method.as_str(), head.target.as_str(), head.version), ("GET", "/a?b", Version::Http10));
        assert_eq!(&whole[length..], b"GET /next");
    }

    #[test]
    fn what_an_answer_says_is_kept_byte_for_byte() {
        let bytes = b"HTTP/1.1 299 tr\xE8s bien\r\nX-A : 1\r\nx-b: 2\r\n  and 3\r\nX-C:\r\n\r\n";
        let (head, length) = answer(bytes).unwrap().expect("a whole head");
        assert_eq!((head.status, head.reason.as_slice(), length), (299, &b"tr\xE8s bien"[..], bytes.len()));
        let mut out = Vec::new();
        head.fields.write(&mut out);
        assert_eq!(out, b"X-A: 1\r\nx-b: 2 and 3\r\nX-C: \r\n");
        let (bare, _) = answer(b"HTTP/1.0 204\n\n").unwrap().expect("a whole head");
        assert_eq!((bare.version, bare.reason.as_slice()), (Version::Http10, &b""[..]));
    }

    #[test]
    fn any_number_of_headers_is_read() {
        let many = (0..5_000).map(|number| format!("h{number}: v\r\n")).collect::<Vec<_>>().concat();
        let (head, _) = answer(format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes()).unwrap().expect("a whole head");
        assert_eq!(head.fields.iter().count(), 5_000);
    }

    #[test]
    fn what_is_no_head_says_which_line_is_not() {
        let line = |number, text: &str| Malformed::Line { number, text: text.into() };
        let answers: [(&[u8], Malformed); 10] = [
            (b"HTTP/1.1 200 OK\r\n X-A: 1\r\n\r\n", line(2, " X-A: 1")),
            (b"HTTP/1.1 200 OK\r\n\tX-A: 1\r\nb: 2\r\n\r\n", line(2, "\\tX-A: 1")),
            (b"HTTP/1.1 200 OK\r\na: 1\r\nno colon\r\n\r\n", line(3, "no colon")),
            (b"HTTP/1.1 200 OK\r\nb\xC3\xBC: 1\r\n\r\n", line(2, "b\\xc3\\xbc: 1")),
            (b"HTTP/1.1 200 OK\r\na: 1\0\r\n\r\n", line(2, "a: 1\\x00")),
            (b"HTTP/1.1 200 OK\r\n: 1\r\n\r\n", line(2, ": 1")),
            (b"HTTP/2 200 OK\r\n\r\n", Malformed::Version("HTTP/2 200 OK".into())),
            (b"HTTP/1.1 2 OK\r\n\r\n", Malformed::FirstLine("HTTP/1.1 2 OK".into())),
            (b"HTTP/1.1 099 OK\r\n\r\n", Malformed::FirstLine("HTTP/1.1 099 OK".into())),
            (b"hello, world\r\n\r\n", Malformed::FirstLine("hello, world".into())),
        ];
        for (bytes, why) in answers {
            assert_eq!(answer(bytes), Err(why), "{}", bytes.escape_ascii());
        }
        let requests: [(&[u8], Malformed); 4] = [
            (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", line(2, "host : x")),
            (b"GET / HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n", line(3, " folded")),
            (b"GET / HTTP/2.0\r\n\r\n", Malformed::Version("GET / HTTP/2.0".into())),
            (b"\x16\x03\x01\x02\0\x01", Malformed::FirstLine("\\x16\\x03\\x01\\x02\\x00\\x01".into())),
        ];
        for (bytes, why) in requests {
            assert_eq!(request(bytes), Err(why), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_is_looked_at_a_few_times() {
        let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(60_000));
        let mut looks = Looks::default();
        let worth = (0..=head.len()).filter(|end| looks.is_worth(&head.as_bytes()[..*end])).count();
        assert!((2..30).contains(&worth), "{worth} times");
        let (mut looks, mut input, mut worth) = (Looks::default(), BytesMut::new(), 0);
        for byte in format!("{}GET", "\n\r\n".repeat(20_000)).bytes() {
            input.extend_from_slice(&[byte]);
            skip_empty_lines(&mut input);
            worth += usize::from(looks.is_worth(&input));
        }
        assert!(worth < 30 && input == b"GET"[..], "{worth} times, {input:?} is left");
        assert!(Looks::default().is_worth(b"x"), "what is no HTTP at all is said at once");
        let mut looks = Looks::default();
        assert!(looks.is_worth(b"GET / HTTP/1.1\r\nx: y\r\n") && looks.is_worth(b"GET / HTTP/1.1\r\nx: y\r\n\r\n"));
    }
}
