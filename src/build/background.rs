//! Work in the background that short calls ask about: it goes on whatever becomes of a call, and its
//! result is told once.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::jobs::locked;
use crate::port::{PortError, PortResult};

/// One piece of work, under way or at its end.
pub(super) struct Background<T> {
    begun: Instant,
    result: Mutex<Option<PortResult<T>>>,
    ended: watch::Sender<bool>,
}

impl<T: Send + 'static> Background<T> {
    /// Not begun yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), result: Mutex::default(), ended: watch::Sender::new(false) })
    }

    /// Begins the work; a panic in it is a result too, in these words.
    pub(super) fn begin(
        self: &Arc<Self>,
        broken: &'static str,
        work: impl Future<Output = PortResult<T>> + Send + 'static,
    ) {
        let told = Arc::clone(self);
        tokio::spawn(async move {
            let result = tokio::spawn(work).await.unwrap_or_else(|error| Err(PortError::bug(broken, error)));
            *locked(&told.result) = Some(result);
            told.ended.send_replace(true);
        });
    }

    /// Waits for its end.
    pub(super) async fn end(&self) {
        // The sender is our own.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// The same for so long at most.
    pub(super) async fn end_within(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.end()).await;
    }

    /// The result, for the first who asks after the end.
    pub(super) fn take(&self) -> Option<PortResult<T>> {
        locked(&self.result).take()
    }

    /// When to ask again: of what takes long, less often, because answers become lines of a log.
    pub(super) fn again_millis(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis() / 10).unwrap_or(5000).clamp(500, 5000)
    }
}
