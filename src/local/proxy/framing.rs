//! Where the body of a message ends.
//!
//! Source: RFC 9112, section 6. Whoever reads it otherwise than its sender meant it takes the rest of one
//! message for the start of another, so what can be read in two ways is refused.

use super::head::{AnswerHead, RequestHead, Version, shown};

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, and nothing may be said of one.
    Nothing,
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// Why nobody can say where a body ends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unframed {
    #[error("it has two lengths, {0} and {1}")]
    TwoLengths(u64, u64),
    #[error("its `Content-Length` is no number: `{0}`")]
    NoNumber(String),
    #[error("it has a `Content-Length` and a `Transfer-Encoding`")]
    Both,
    #[error("its `Transfer-Encoding` is `{0}`, and only `chunked` can be passed on")]
    Coding(String),
    #[error("its `Transfer-Encoding` says `chunked` twice")]
    ChunkedTwice,
    #[error("it is of HTTP/1.0 and has a `Transfer-Encoding`")]
    CodingOfOld,
}

/// How the body of a request ends.
pub(super) fn of_request(head: &RequestHead) -> Result<Framing, Unframed> {
    let length = length(head.fields.values("content-length"))?;
    if !head.fields.has("transfer-encoding") {
        return Ok(length.map_or(Framing::Nothing, Framing::Length));
    }
    if head.version == Version::Http10 {
        return Err(Unframed::CodingOfOld);
    }
    if length.is_some() {
        return Err(Unframed::Both);
    }
    chunked(&head.fields.words("transfer-encoding"))
}

/// How the body of an answer ends to somebody who asked with this method. Its `Content-Length` counts only
/// where it has no `Transfer-Encoding`.
pub(super) fn of_answer(head: &AnswerHead, method: &str) -> Result<Framing, Unframed> {
    let has_none = method == "HEAD" || matches!(head.status, 100..=199 | 204 | 304);
    let codings = head.fields.words("transfer-encoding");
    // Once a word for none at all (RFC 2616, section 3.6), and still sent.
    let codings: Vec<String> = codings.into_iter().filter(|coding| coding != "identity").collect();
    if !codings.is_empty() && !has_none {
        if head.version == Version::Http10 {
            return Err(Unframed::CodingOfOld);
        }
        return chunked(&codings);
    }
    let length = length(head.fields.values("content-length"))?;
    if has_none {
        return Ok(Framing::Nothing);
    }
    Ok(length.map_or(Framing::UntilClose, Framing::Length))
}

fn chunked(codings: &[String]) -> Result<Framing, Unframed> {
    match codings {
        [only] if only == "chunked" => Ok(Framing::Chunked),
        [_, ..] if codings.iter().all(|coding| coding == "chunked") => Err(Unframed::ChunkedTwice),
        _ => Err(Unframed::Coding(shown(codings.join(", ").as_bytes()))),
    }
}

/// The same length said twice is one length.
fn length<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<u64>, Unframed> {
    let mut known = None;
    for value in values {
        for text in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(text).ok().filter(|_| is_number).and_then(|text| text.parse::<u64>().ok());
            let number = number.ok_or_else(|| Unframed::NoNumber(shown(value)))?;
            match known {
                Some(other) if other != number => return Err(Unframed::TwoLengths(other, number)),
                _ => known = Some(number),
            }
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::proxy::head;

    fn request(lines: &str) -> Result<Framing, Unframed> {
        let text = format!("POST / {lines}\r\n\r\n");
        of_request(&head::request(text.as_bytes()).unwrap().expect("a whole head").0)
    }

    fn answer(method: &str, lines: &str) -> Result<Framing, Unframed> {
        let text = format!("{lines}\r\n\r\n");
        of_answer(&head::answer(text.as_bytes()).unwrap().expect("a whole head").0, method)
    }

    #[test]
    fn a_request_has_a_body_where_it_says_so() {
        for (lines, framing) in [
            ("HTTP/1.1", Ok(Framing::Nothing)),
            ("HTTP/1.1\r\ncontent-length: 0", Ok(Framing::Length(0))),
            ("HTTP/1.0\r\ncontent-length: 5", Ok(Framing::Length(5))),
            ("HTTP/1.1\r\ncontent-length: 5\r\nContent-Length: 5, 5", Ok(Framing::Length(5))),
            ("HTTP/1.1\r\ntransfer-encoding: Chunked", Ok(Framing::Chunked)),
            ("HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6", Err(Unframed::TwoLengths(5, 6))),
            ("HTTP/1.1\r\ncontent-length: +5", Err(Unframed::NoNumber("+5".into()))),
            ("HTTP/1.1\r\ncontent-length: 0x5", Err(Unframed::NoNumber("0x5".into()))),
            ("HTTP/1.1\r\ncontent-length:", Err(Unframed::NoNumber(String::new()))),
            ("HTTP/1.1\r\ncontent-length: 5,", Err(Unframed::NoNumber("5,".into()))),
            (
                "HTTP/1.1\r\ncontent-length: 18446744073709551616",
                Err(Unframed::NoNumber("18446744073709551616".into())),
            ),
            ("HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked", Err(Unframed::Both)),
            ("HTTP/1.0\r\ntransfer-encoding: chunked", Err(Unframed::CodingOfOld)),
            ("HTTP/1.1\r\ntransfer-encoding: gzip, chunked", Err(Unframed::Coding("gzip, chunked".into()))),
            ("HTTP/1.1\r\ntransfer-encoding: chunked, gzip", Err(Unframed::Coding("chunked, gzip".into()))),
            ("HTTP/1.1\r\ntransfer-encoding: identity", Err(Unframed::Coding("identity".into()))),
            ("HTTP/1.1\r\ntransfer-encoding:", Err(Unframed::Coding(String::new()))),
            ("HTTP/1.1\r\ntransfer-encoding: \u{a0}chunked", Err(Unframed::Coding("\\xc2\\xa0chunked".into()))),
            ("HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked", Err(Unframed::ChunkedTwice)),
        ] {
            assert_eq!(request(lines), framing, "{lines:?}");
        }
    }

    #[test]
    fn an_answer_ends_as_it_says_or_with_its_connection() {
        for (method, lines, framing) in [
            ("GET", "HTTP/1.1 200 OK", Ok(Framing::UntilClose)),
            ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5", Ok(Framing::Length(5))),
            ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked", Ok(Framing::Chunked)),
            ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: identity", Ok(Framing::Length(5))),
            ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5", Ok(Framing::Nothing)),
            ("HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip", Ok(Framing::Nothing)),
            ("GET", "HTTP/1.1 204 No Content\r\ncontent-length: 5", Ok(Framing::Nothing)),
            ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5", Ok(Framing::Nothing)),
            ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 5, 6", Err(Unframed::TwoLengths(5, 6))),
            ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: five", Err(Unframed::NoNumber("five".into()))),
            (
                "GET",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked",
                Err(Unframed::Coding("gzip, chunked".into())),
            ),
            ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked", Err(Unframed::ChunkedTwice)),
            ("GET", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked", Err(Unframed::CodingOfOld)),
        ] {
            assert_eq!(answer(method, lines), framing, "{method} {lines:?}");
        }
    }
}
