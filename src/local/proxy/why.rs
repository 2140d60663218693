//! Why an answer cannot be passed on: what its program did, for whoever wonders about a 502.

use std::io::ErrorKind;

use super::chunked::BadChunk;
use super::framing::Unframed;
use super::head::Malformed;

/// Completes `The program behind pr-1.localhost ...`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    #[error("closed the connection before it answered")]
    Silent,
    #[error("broke off the connection before it answered ({0})")]
    Reset(ErrorKind),
    #[error("closed the connection in the midst of the head of its answer")]
    EndedInHead,
    #[error("closed the connection in the midst of its answer")]
    Ended,
    #[error("broke off the connection in the midst of its answer ({0})")]
    Broken(ErrorKind),
    #[error("gave an answer whose head is longer than 256 KiB")]
    LongHead,
    #[error("gave an answer that cannot be read: {0}")]
    Malformed(#[from] Malformed),
    #[error("gave an answer whose end cannot be told: {0}")]
    Unframed(#[from] Unframed),
    #[error("gave an answer that cannot be read to its end: {0}")]
    Chunk(#[from] BadChunk),
    #[error("changed the protocol unasked")]
    Unasked,
    /// Not the program's fault.
    #[error("was asked something that could not be read to its end")]
    Request,
}
