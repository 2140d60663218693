//! The body of a message on its way: taken apart as its sender framed it, put together as its receiver
//! can read it.

use bytes::{Bytes, BytesMut};

use super::chunked::{self, BadChunk, Chunks};
use super::fields::Fields;
use super::framing::Framing;

/// What comes next of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    /// It is whole; what was told behind it.
    End(Fields),
    /// More has to be read first.
    More,
}

/// A body that is being read.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes are to come.
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is; its end is known otherwise.
    Plain,
    Chunked,
}

impl Body {
    pub(super) fn of(framing: Framing) -> Self {
        match framing {
            Framing::Nothing => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::Size),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Takes the next piece from what has been read.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Piece, BadChunk> {
        match self {
            Self::Length(0) => Ok(Piece::End(Fields::default())),
            Self::Chunked(chunks) => chunks.next(input),
            _ if input.is_empty() => Ok(Piece::More),
            Self::Length(left) => {
                let some = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= some as u64;
                Ok(Piece::Data(input.split_to(some).freeze()))
            }
            Self::UntilClose => Ok(Piece::Data(input.split().freeze())),
        }
    }

    /// Whether it is whole where nothing more comes.
    pub(super) fn ends_with_its_connection(&self) -> bool {
        matches!(self, Self::UntilClose | Self::Length(0))
    }
}

impl Coding {
    pub(super) fn write(self, data: &Bytes, out: &mut Vec<u8>) {
        match self {
            Self::Plain => out.extend_from_slice(data),
            Self::Chunked => chunked::write(data, out),
        }
    }

    /// Only chunks have room for trailers.
    pub(super) fn write_end(self, trailers: &Fields, out: &mut Vec<u8>) {
        if self == Self::Chunked {
            chunked::write_end(trailers, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_after_its_length_and_what_follows_is_left() {
        let (mut body, mut input) = (Body::of(Framing::Length(5)), BytesMut::from(&b"hel"[..]));
        assert_eq!(body.next(&mut input), Ok(Piece::Data(Bytes::from_static(b"hel"))));
        assert_eq!(body.next(&mut input), Ok(Piece::More));
        assert!(!body.ends_with_its_connection());
        input.extend_from_slice(b"lo, world");
        assert_eq!(body.next(&mut input), Ok(Piece::Data(Bytes::from_static(b"lo"))));
        assert_eq!(body.next(&mut input), Ok(Piece::End(Fields::default())));
        assert_eq!(input, &b", world"[..]);
    }

    #[test]
    fn without_a_length_everything_that_comes_is_the_body() {
        let (mut body, mut input) = (Body::of(Framing::UntilClose), BytesMut::from(&b"hello"[..]));
        assert_eq!(body.next(&mut input), Ok(Piece::Data(Bytes::from_static(b"hello"))));
        assert_eq!(body.next(&mut input), Ok(Piece::More));
        assert!(body.ends_with_its_connection());
        let mut nothing = Body::of(Framing::Nothing);
        input.extend_from_slice(b"next");
        assert_eq!(nothing.next(&mut input), Ok(Piece::End(Fields::default())));
    }
}
