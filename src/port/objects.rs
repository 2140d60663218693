//! A place for small files that several machines read and replace.

use async_trait::async_trait;
use bytes::Bytes;

use super::PortResult;

/// What an object's content is told apart by. Two contents have two of them; nothing else is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ETag(pub String);

/// What a look at an object found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// It is what is known already.
    Unchanged,
    /// There is none.
    Absent,
    Found {
        etag: ETag,
        bytes: Bytes,
    },
}

/// What has to be there for a new content to take its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// Exactly this.
    Is(ETag),
}

/// What became of a new content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Written(ETag),
    /// Something else is, or was being, written: this one never will be.
    Lost,
}

/// Objects by their keys. What is written is seen by every look that begins after the answer.
///
/// `NotFound` is the place itself, such as a bucket. `Retry` of a [`Self::put`] says nothing of what came
/// of it: it may have been written, or be written later; who wants to know looks whether what is there
/// is its own, or made from it. No other error is of a put that was written.
#[async_trait]
pub trait Objects: Send + Sync + 'static {
    /// The object, unless it is the known one.
    async fn get(&self, key: &str, known: Option<&ETag>) -> PortResult<Got>;

    /// Puts a content into the place of the expected one, all of it or nothing. Asked once and never
    /// again: an answer of [`Put::Lost`] is about this very call.
    async fn put(&self, key: &str, bytes: Bytes, expect: &Expect) -> PortResult<Put>;
}
