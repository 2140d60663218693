//! Work that blocks a thread, for as long as somebody wants it.

use std::io;

use tokio_util::sync::CancellationToken;

/// Whether somebody still waits for a piece of work that no runtime can stop: it asks again and again.
#[derive(Debug, Clone)]
pub(super) struct Demand(CancellationToken);

impl Demand {
    /// Until the token is cancelled.
    pub(super) fn until(gone: CancellationToken) -> Self {
        Self(gone)
    }

    /// Fails once nobody waits any more. Of a kind that no reader takes for a reason to try again.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.0.is_cancelled() { Err(nobody_waits()) } else { Ok(()) }
    }

    /// Waits until nobody waits any more.
    pub(super) async fn gone(&self) {
        self.0.cancelled().await;
    }

    /// The same for what is waited for: whichever is first.
    pub(super) async fn or_gone<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::select! {
            biased;
            () = self.gone() => Err(nobody_waits()),
            done = work => done,
        }
    }
}

#[cfg(test)]
impl Demand {
    /// Never ends.
    pub(super) fn lasting() -> Self {
        Self(CancellationToken::new())
    }

    /// Has ended.
    pub(super) fn over() -> Self {
        let gone = CancellationToken::new();
        gone.cancel();
        Self(gone)
    }
}

fn nobody_waits() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "nobody waits for it any more")
}
