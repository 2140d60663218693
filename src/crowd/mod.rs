//! The connections of one listener: how many there are, and who goes when one more comes.
//!
//! # Guarantees
//!
//! - There are never more than were allowed, so that descriptors are left for everything else.
//! - A newcomer is let in as long as any connection has nothing to do: of the peer that has most of
//!   them, the one that has had nothing to do for the longest time goes. Who has just come has something
//!   to do for [`GRACE`]: what it says first is on its way, and many come at once.
//! - Nobody keeps others out by staying: a peer with more than half of all places loses its oldest
//!   connection to somebody else, even one at work.

mod book;
mod peer;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use book::Book;
pub use peer::Peer;

/// So long nobody is sent away who has just come.
const GRACE: Duration = Duration::from_secs(1);

/// The connections of one listener.
#[derive(Debug)]
pub struct Crowd {
    book: Mutex<Book<CancellationToken>>,
    /// Told whenever one is gone or has nothing to do any more.
    changed: Notify,
}

/// One connection. Its place is free once this is dropped.
#[derive(Debug)]
pub struct Guest {
    crowd: Arc<Crowd>,
    number: u64,
    peer: Peer,
    sent_away: CancellationToken,
}

/// A request of a guest, until dropped.
#[derive(Debug)]
pub struct AtWork(Arc<Guest>);

impl Crowd {
    /// With places for so many.
    pub fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { book: Mutex::new(Book::new(places)), changed: Notify::new() })
    }

    /// A place for a connection from there. Waits while nobody can go.
    pub async fn admit(self: &Arc<Self>, peer: IpAddr) -> Arc<Guest> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(guest) = self.enter(peer) {
                return guest;
            }
            changed.await;
        }
    }

    /// Whether a newcomer may have to wait, because everybody is at work.
    pub fn is_stuck(&self) -> bool {
        self.book().is_stuck()
    }

    /// A place if there is one; otherwise somebody is sent away, if anybody can go.
    fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Arc<Guest>> {
        let mut book = self.book();
        let sent_away = CancellationToken::new();
        if let Some(number) = book.enter(peer, sent_away.clone()) {
            book.begin(number);
            self.end_grace(number);
            return Some(Arc::new(Guest { crowd: Arc::clone(self), number, peer: Peer::of(peer), sent_away }));
        }
        if let Some(goes) = book.send_away(peer) {
            goes.cancel();
        }
        None
    }

    /// Ends what a newcomer has to do by coming, in a while.
    fn end_grace(self: &Arc<Self>, number: u64) {
        let crowd = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(GRACE).await;
            if let Some(crowd) = crowd.upgrade() {
                crowd.end(number);
            }
        });
    }

    fn end(&self, number: u64) {
        self.book().end(number);
        self.changed.notify_waiters();
    }

    /// Sends away everybody who has nothing to do.
    pub fn dismiss(&self) {
        for goes in self.book().dismiss() {
            goes.cancel();
        }
    }

    fn book(&self) -> MutexGuard<'_, Book<CancellationToken>> {
        // Each change of it is whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// From whom it is.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Waits until its place is wanted for somebody else: the connection is to be closed.
    pub fn sent_away(&self) -> WaitForCancellationFuture<'_> {
        self.sent_away.cancelled()
    }

    /// It has something to do as long as the answer is kept.
    pub fn at_work(self: &Arc<Self>) -> AtWork {
        self.crowd.book().begin(self.number);
        AtWork(Arc::clone(self))
    }
}

impl AtWork {
    /// Whose request it is.
    pub fn guest(&self) -> &Guest {
        &self.0
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.crowd.end(self.0.number);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.crowd.book().leave(self.number);
        self.crowd.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test(start_paused = true)]
    async fn who_has_just_come_is_not_sent_away() {
        let crowd = Crowd::new(1);
        let only = crowd.admit(HERE).await;
        let mut next = Box::pin(crowd.admit(HERE));
        for _ in 0..9 {
            assert!(futures_util::poll!(next.as_mut()).is_pending());
            tokio::time::sleep(GRACE / 10).await;
        }
        assert!(!only.sent_away.is_cancelled() && crowd.is_stuck());
        tokio::time::sleep(GRACE / 5).await;
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        assert!(only.sent_away.is_cancelled(), "it has said nothing");
        drop(only);
        next.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_for_whoever_is_sent_away_to_be_gone() {
        let crowd = Crowd::new(2);
        let (first, second) = (crowd.admit(HERE).await, crowd.admit(HERE).await);
        tokio::time::sleep(GRACE * 2).await;
        assert!(!crowd.is_stuck());
        let mut third = Box::pin(crowd.admit(HERE));
        assert!(futures_util::poll!(third.as_mut()).is_pending());
        first.sent_away().await;
        assert!(futures_util::poll!(third.as_mut()).is_pending(), "its place is not free yet");
        drop(first);
        third.await;
        assert!(!second.sent_away.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_nothing_to_do_is_dismissed_and_who_is_at_work_is_not() {
        let crowd = Crowd::new(3);
        let (idle, busy) = (crowd.admit(HERE).await, crowd.admit(HERE).await);
        let work = busy.at_work();
        tokio::time::sleep(GRACE * 2).await;
        crowd.dismiss();
        idle.sent_away().await;
        assert!(!busy.sent_away.is_cancelled());
        drop(work);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_at_work_is_waited_for() {
        let crowd = Crowd::new(1);
        let only = crowd.admit(HERE).await;
        let work = only.at_work();
        tokio::time::sleep(GRACE * 2).await;
        let mut next = Box::pin(crowd.admit(HERE));
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        assert!(crowd.is_stuck() && !work.guest().sent_away.is_cancelled());
        drop(work);
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        assert!(only.sent_away.is_cancelled(), "it goes as soon as it has nothing to do");
        drop(only);
        next.await;
    }
}
