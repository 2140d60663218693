//! Bodies in chunks, read strictly: what one reader takes for the end of a chunk and another does not is
//! refused.
//!
//! Source: RFC 9112, section 7.1.

use bytes::{Buf as _, Bytes, BytesMut};
use httparse::{EMPTY_HEADER, Status};

use super::body::Piece;
use super::fields::Fields;
use super::head::{Looks, shown};

/// The longest line with a chunk's size and its extensions, in bytes.
const SIZE_LINE: usize = 4 * 1024;
/// The most of trailers, in bytes.
const TRAILERS: usize = 64 * 1024;
const LINE_END: &[u8] = b"\r\n";

/// Why a body is not in chunks.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadChunk {
    #[error("a chunk has no size: `{0}`")]
    Size(String),
    #[error("a chunk is longer or shorter than it says")]
    End,
    #[error("a line behind its last chunk is no header")]
    Trailer,
    #[error("the lines behind its last chunk are longer than 64 KiB")]
    LongTrailers,
}

/// Where in a body in chunks its reader is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    Size,
    /// So many bytes of a chunk are to come.
    Data(u64),
    /// Behind the bytes of a chunk.
    DataEnd,
    /// Behind the last chunk. Many lines that come byte by byte are not read again for each byte.
    Trailers(Looks),
}

impl Chunks {
    /// Takes the next piece from what has been read.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Piece, BadChunk> {
        loop {
            match self {
                Self::Size => {
                    let Some(line) = input.iter().position(|byte| *byte == b'\n') else {
                        return if input.len() > SIZE_LINE {
                            Err(BadChunk::Size(shown(input)))
                        } else {
                            Ok(Piece::More)
                        };
                    };
                    let size = size(&input[..=line]).ok_or_else(|| BadChunk::Size(shown(&input[..=line])))?;
                    input.advance(line + 1);
                    *self = if size == 0 { Self::Trailers(Looks::default()) } else { Self::Data(size) };
                }
                Self::Data(left) => {
                    let some = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    if some == 0 {
                        return Ok(Piece::More);
                    }
                    *left -= some as u64;
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Piece::Data(input.split_to(some).freeze()));
                }
                Self::DataEnd => {
                    if !LINE_END.starts_with(&input[..input.len().min(LINE_END.len())]) {
                        return Err(BadChunk::End);
                    }
                    if input.len() < LINE_END.len() {
                        return Ok(Piece::More);
                    }
                    input.advance(LINE_END.len());
                    *self = Self::Size;
                }
                Self::Trailers(looks) => return if looks.is_worth(input) { trailers(input) } else { more(input) },
            }
        }
    }
}

/// The size in `1a;name=value\r\n`. Some senders fill up with blanks.
fn size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(LINE_END).filter(|line| line.len() <= SIZE_LINE)?;
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(digits);
    if rest.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return None;
    }
    let is_extension = rest.trim_ascii_start().first().is_none_or(|byte| *byte == b';');
    if !is_extension {
        return None;
    }
    // No digits and too many of them are no number either.
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn trailers(input: &mut BytesMut) -> Result<Piece, BadChunk> {
    let mut headers = vec![EMPTY_HEADER; input[..].split(|byte| *byte == b'\n').count()];
    let (length, fields) = match httparse::parse_headers(input, &mut headers) {
        Ok(Status::Complete((length, headers))) => (length, Fields::from(headers)),
        Ok(Status::Partial) => return more(input),
        Err(_) => return Err(BadChunk::Trailer),
    };
    input.advance(length);
    Ok(Piece::End(fields))
}

fn more(input: &BytesMut) -> Result<Piece, BadChunk> {
    if input.len() > TRAILERS { Err(BadChunk::LongTrailers) } else { Ok(Piece::More) }
}

/// Adds one chunk. An empty one would be the last.
pub(super) fn write(data: &Bytes, out: &mut Vec<u8>) {
    if !data.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(LINE_END);
    }
}

/// Adds the last chunk, and what is told behind it.
pub(super) fn write_end(trailers: &Fields, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    trailers.write(out);
    out.extend_from_slice(LINE_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body's data, how many trailers it has, and what is left behind it.
    type Whole = (Vec<u8>, usize, Vec<u8>);

    /// Reads a body that comes in two parts.
    fn read(first: &[u8], second: &[u8]) -> Result<Option<Whole>, BadChunk> {
        let (mut chunks, mut input, mut data) = (Chunks::Size, BytesMut::from(first), Vec::new());
        let mut parts = [second].into_iter();
        loop {
            match chunks.next(&mut input)? {
                Piece::Data(bytes) => data.extend_from_slice(&bytes),
                Piece::End(trailers) => return Ok(Some((data, trailers.iter().count(), input.to_vec()))),
                Piece::More => match parts.next() {
                    Some(part) => input.extend_from_slice(part),
                    None => return Ok(None),
                },
            }
        }
    }

    #[test]
    fn a_body_is_the_same_wherever_it_is_cut_on_its_way() {
        let body = b"5\r\nhello\r\n6 ; a=\"b\"\r\n world\r\n0\r\nx: 1\r\nY: 2\r\n\r\n";
        for cut in 0..=body.len() {
            let (first, second) = body.split_at(cut);
            assert_eq!(read(first, second), Ok(Some((b"hello world".to_vec(), 2, Vec::new()))), "{cut}");
            let ends = cut == body.len();
            assert_eq!(read(first, b"").map(|read| read.is_some()), Ok(ends), "without its end: {cut}");
        }
        let with_next = [&body[..], b"GET /"].concat();
        assert_eq!(read(&with_next, b""), Ok(Some((b"hello world".to_vec(), 2, b"GET /".to_vec()))));
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for body in [
            &b"\r\n"[..],
            b"hello\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b"-1\r\n",
            b"5\nhello\r\n",
            b"5 6\r\nhello\r\n",
            b"5\r;a\r\nhello\r\n",
            b"10000000000000000\r\n",
            b"5;\x01\r\nhello\r\n",
        ] {
            assert!(matches!(read(body, b""), Err(BadChunk::Size(_))), "{}", body.escape_ascii());
        }
        for body in [&b"5\r\nhello world\r\n"[..], b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\rx"] {
            assert_eq!(read(body, b""), Err(BadChunk::End), "{}", body.escape_ascii());
        }
        assert_eq!(read(b"0\r\nno header\r\n\r\n", b""), Err(BadChunk::Trailer));
        let endless = [b'5'; SIZE_LINE + 1];
        assert!(matches!(read(&endless, b""), Err(BadChunk::Size(_))));
        let long = format!("0\r\nx: {}", "y".repeat(TRAILERS));
        assert_eq!(read(long.as_bytes(), b""), Err(BadChunk::LongTrailers));
    }

    #[test]
    fn trailers_are_not_read_again_for_every_byte() {
        let (mut chunks, mut input) = (Chunks::Size, BytesMut::from(&b"0\r\n"[..]));
        input.extend_from_slice("a: 1\n".repeat(1_000).as_bytes());
        assert_eq!(chunks.next(&mut input), Ok(Piece::More));
        input.extend_from_slice(b"no header\n");
        assert_eq!(chunks.next(&mut input), Ok(Piece::More), "it is not looked at before there is more or an end");
        input.extend_from_slice(b"\n");
        assert_eq!(chunks.next(&mut input), Err(BadChunk::Trailer));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut fields = Fields::default();
        fields.push("x", "1");
        let mut out = Vec::new();
        write(&Bytes::from_static(b"hello"), &mut out);
        write(&Bytes::new(), &mut out);
        write_end(&fields, &mut out);
        assert_eq!(out, b"5\r\nhello\r\n0\r\nx: 1\r\n\r\n");
    }
}
