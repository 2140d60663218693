//! Objects in memory, with the conditions of S3, that fail on order.
//!
//! As on S3 equal contents have equal tags; `If-Match` where there is nothing, or something else, and
//! `If-None-Match: *` where there is something, write nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use greenroom::port::{ETag, Expect, Got, Objects, PortError, PortResult, Put};
use sha2::{Digest as _, Sha256};

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// It never arrives.
    Lost,
    /// It is done, and the answer never arrives.
    Unheard,
    /// The same, and somebody else writes before anybody looks.
    UnheardAndFollowed,
    /// The caller gives up, and it is done once the next call has arrived.
    Late,
    /// Somebody else writes before it arrives.
    Raced,
    /// S3 says 409: another request got between, and is not there to be seen.
    Conflict,
    /// It takes long.
    Slow,
    /// It is not allowed.
    Denied,
    /// Neither it nor anything after it arrives.
    DeadBefore,
    /// The same, but it is done.
    DeadAfter,
}

/// Somebody else, who writes.
pub(crate) type Rival = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What lies there.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, Bytes>>);

impl Memory {
    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().expect("nobody panicked")
    }

    pub(crate) fn content(&self, key: &str) -> Option<Bytes> {
        self.held().get(key).cloned()
    }

    /// What nobody of Greenroom does.
    pub(crate) fn set(&self, key: &str, content: Option<Bytes>) {
        match content {
            Some(content) => self.held().insert(key.to_owned(), content),
            None => self.held().remove(key),
        };
    }
}

fn tag(content: &[u8]) -> ETag {
    ETag(format!("\"{}\"", hex::encode(Sha256::digest(content))))
}

#[async_trait]
impl Objects for Memory {
    async fn get(&self, key: &str, known: Option<&ETag>) -> PortResult<Got> {
        tokio::task::yield_now().await;
        Ok(match self.content(key) {
            None => Got::Absent,
            Some(content) if Some(&tag(&content)) == known => Got::Unchanged,
            Some(content) => Got::Found { etag: tag(&content), bytes: content },
        })
    }

    async fn put(&self, key: &str, bytes: Bytes, expect: &Expect) -> PortResult<Put> {
        tokio::task::yield_now().await;
        let mut held = self.held();
        let holds = match (held.get(key), expect) {
            (None, Expect::Absent) => true,
            (Some(there), Expect::Is(etag)) => tag(there) == *etag,
            _ => false,
        };
        if !holds {
            return Ok(Put::Lost);
        }
        let etag = tag(&bytes);
        held.insert(key.to_owned(), bytes);
        Ok(Put::Written(etag))
    }
}

#[derive(Default)]
struct Book {
    calls: usize,
    order: Option<(usize, Mishap)>,
    hit: Option<&'static str>,
    is_dead: bool,
    late: Option<(String, Bytes, Expect)>,
}

/// The way of one process to what lies there.
pub(crate) struct Faulty {
    memory: Arc<Memory>,
    book: Mutex<Book>,
    rival: Mutex<Option<Arc<Rival>>>,
}

impl Faulty {
    pub(crate) fn new(memory: &Arc<Memory>) -> Arc<Self> {
        Arc::new(Self { memory: Arc::clone(memory), book: Mutex::default(), rival: Mutex::default() })
    }

    /// At the call of this number, counted from 0.
    pub(crate) fn order(self: Arc<Self>, number: usize, mishap: Mishap) -> Arc<Self> {
        self.book().order = Some((number, mishap));
        self
    }

    pub(crate) fn rival(self: Arc<Self>, rival: Rival) -> Arc<Self> {
        *self.rival.lock().expect("nobody panicked") = Some(Arc::new(rival));
        self
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panicked")
    }

    /// Which call the order fell on: `get` or `put`.
    pub(crate) fn hit(&self) -> Option<&'static str> {
        self.book().hit
    }

    pub(crate) fn calls(&self) -> usize {
        self.book().calls
    }

    /// Answers once nothing arrives any more.
    pub(crate) async fn died(&self) {
        while !self.book().is_dead {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// What happens at this call.
    async fn arrive(&self, name: &'static str) -> PortResult<Option<Mishap>> {
        let late = self.book().late.take();
        if let Some((key, bytes, expect)) = late {
            self.memory.put(&key, bytes, &expect).await?;
        }
        let mut book = self.book();
        if book.is_dead {
            return Err(gone());
        }
        let number = book.calls;
        book.calls += 1;
        match book.order {
            Some((chosen, mishap)) if chosen == number => {
                book.hit = Some(name);
                book.is_dead = matches!(mishap, Mishap::DeadBefore | Mishap::DeadAfter);
                Ok(Some(mishap))
            }
            _ => Ok(None),
        }
    }

    async fn let_rival_write(&self) {
        let rival = self.rival.lock().expect("nobody panicked").clone();
        if let Some(rival) = rival {
            rival().await;
        }
    }
}

fn gone() -> PortError {
    PortError::retry("nobody answers")
}

#[async_trait]
impl Objects for Faulty {
    async fn get(&self, key: &str, known: Option<&ETag>) -> PortResult<Got> {
        match self.arrive("get").await? {
            Some(Mishap::Denied) => return Err(PortError::Denied { reason: "s3:GetObject".to_owned() }),
            Some(Mishap::Raced) => self.let_rival_write().await,
            Some(Mishap::Slow) => tokio::time::sleep(Duration::from_millis(700)).await,
            Some(_) => return Err(gone()),
            None => {}
        }
        self.memory.get(key, known).await
    }

    async fn put(&self, key: &str, bytes: Bytes, expect: &Expect) -> PortResult<Put> {
        let mishap = self.arrive("put").await?;
        match mishap {
            Some(Mishap::Denied) => return Err(PortError::Denied { reason: "s3:PutObject".to_owned() }),
            Some(Mishap::Conflict) => return Ok(Put::Lost),
            Some(Mishap::Lost | Mishap::DeadBefore) => return Err(gone()),
            Some(Mishap::Late) => {
                self.book().late = Some((key.to_owned(), bytes, expect.clone()));
                return Err(gone());
            }
            Some(Mishap::Raced) => self.let_rival_write().await,
            Some(Mishap::Slow) => tokio::time::sleep(Duration::from_millis(700)).await,
            Some(Mishap::Unheard | Mishap::UnheardAndFollowed | Mishap::DeadAfter) | None => {}
        }
        let put = self.memory.put(key, bytes, expect).await?;
        match mishap {
            Some(Mishap::UnheardAndFollowed) => self.let_rival_write().await,
            Some(Mishap::Unheard | Mishap::DeadAfter) => {}
            _ => return Ok(put),
        }
        Err(gone())
    }
}

/// Test binaries share this file, and each uses another part of it.
const _: () = {
    let _ = (Memory::content, Memory::set);
    let _ = (Faulty::new, Faulty::order, Faulty::rival, Faulty::hit, Faulty::calls, Faulty::died);
    let _ = [Mishap::Lost, Mishap::Unheard, Mishap::UnheardAndFollowed, Mishap::Late, Mishap::Raced];
    let _ = [Mishap::Conflict, Mishap::Slow, Mishap::Denied, Mishap::DeadBefore, Mishap::DeadAfter];
};
