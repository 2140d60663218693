//! The memory that the bodies of all requests share.
//!
//! # Guarantees
//!
//! - Together they never have more of it than was allowed, and a part of that is for small ones alone.
//! - When it is used up, whoever has most of it gives way to whoever has less: of the peer with the most
//!   bytes, the body that has been arriving for the longest time goes. One that is there as a whole stays.
//! - Behind a load balancer everybody is one peer. There a small body still takes the place of the largest
//!   one that is arriving; a large one is asked to come again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::crowd::Peer;

/// A body up to this size is small: GitHub's deliveries are, nearly all of them.
const SMALL: usize = 256 * 1024;

/// How many bytes of bodies are in memory.
#[derive(Debug)]
pub(super) struct Bodies {
    most: usize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    held: usize,
    /// In the order in which they began.
    entries: BTreeMap<u64, Entry>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    peer: Peer,
    /// As much as its client said that it will be; nothing is kept for it.
    announced: usize,
    bytes: usize,
    /// Cancelled when it gives way; `None` once all of it is there.
    arriving: Option<CancellationToken>,
}

/// What one body takes of it, until dropped.
#[derive(Debug)]
pub(super) struct Share {
    bodies: Arc<Bodies>,
    number: u64,
    taken_away: CancellationToken,
}

/// There is no room for it, or no more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Bodies {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, book: Mutex::default() })
    }

    /// Nothing yet, for a body that begins to arrive, of so many bytes if its client says how many.
    pub(super) fn share(self: &Arc<Self>, peer: Peer, announced: Option<usize>) -> Share {
        let taken_away = CancellationToken::new();
        let number = self.book().begin(peer, announced.unwrap_or_default(), taken_away.clone());
        Share { bodies: Arc::clone(self), number, taken_away }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each change of it is whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn begin(&mut self, peer: Peer, announced: usize, taken_away: CancellationToken) -> u64 {
        self.next += 1;
        self.entries.insert(self.next, Entry { peer, announced, bytes: 0, arriving: Some(taken_away) });
        self.next
    }

    fn end(&mut self, number: u64) {
        if let Some(entry) = self.entries.remove(&number) {
            self.held -= entry.bytes;
        }
    }

    fn by_peer(&self) -> BTreeMap<Peer, usize> {
        let mut bytes = BTreeMap::new();
        for entry in self.entries.values() {
            *bytes.entry(entry.peer).or_default() += entry.bytes;
        }
        bytes
    }

    /// Takes a body away that is still arriving, for so many more bytes of this one. Says whether any were
    /// freed.
    fn give_way(&mut self, newcomer: u64, by: usize) -> bool {
        let Some(goes) = self.of_the_richest(newcomer, by).or_else(|| self.largest_beside(newcomer, by)) else {
            return false;
        };
        let Some(entry) = self.entries.get_mut(&goes) else { return false };
        if let Some(arriving) = entry.arriving.take() {
            arriving.cancel();
        }
        self.held -= std::mem::take(&mut entry.bytes);
        true
    }

    /// The oldest body of the peer that has most, if another one has still less with so many more.
    fn of_the_richest(&self, newcomer: u64, by: usize) -> Option<u64> {
        let newcomer = self.entries.get(&newcomer)?.peer;
        let bytes = self.by_peer();
        let wanted = bytes.get(&newcomer).copied().unwrap_or_default().saturating_add(by);
        let (richest, _) = bytes
            .into_iter()
            .filter(|(peer, bytes)| *peer != newcomer && *bytes > wanted)
            .max_by_key(|(_, bytes)| *bytes)?;
        let arriving = |entry: &Entry| entry.peer == richest && entry.bytes > 0 && entry.arriving.is_some();
        self.entries.iter().find(|(_, entry)| arriving(entry)).map(|(number, _)| *number)
    }

    /// The largest body of the same peer, if this one is small and will still be smaller. Were it for large
    /// ones too, they would send each other away for ever.
    fn largest_beside(&self, newcomer: u64, by: usize) -> Option<u64> {
        let Entry { peer, announced, bytes, arriving: _ } = self.entries.get(&newcomer)?;
        let size = bytes.saturating_add(by).max(*announced);
        let arriving = |entry: &Entry| entry.peer == *peer && entry.bytes > size && entry.arriving.is_some();
        let others =
            self.entries.iter().filter(|(number, entry)| size <= SMALL && **number != newcomer && arriving(entry));
        others.max_by_key(|(_, entry)| entry.bytes).map(|(number, _)| *number)
    }
}

impl Share {
    /// Takes room for more bytes, which have come: what is only announced takes none. The last eighth is
    /// for small bodies alone, so that a few large ones do not keep everybody else out.
    pub(super) fn grow(&mut self, by: usize) -> Result<(), Full> {
        let mut book = self.bodies.book();
        let Some(entry) = book.entries.get(&self.number).filter(|_| !self.taken_away.is_cancelled()) else {
            return Err(Full);
        };
        let bytes = entry.bytes.saturating_add(by);
        let most = if bytes > SMALL { self.bodies.most - self.bodies.most / 8 } else { self.bodies.most };
        while book.held.saturating_add(by) > most {
            if !book.give_way(self.number, by) {
                return Err(Full);
            }
        }
        book.held += by;
        if let Some(entry) = book.entries.get_mut(&self.number) {
            entry.bytes = bytes;
        }
        Ok(())
    }

    /// All of it is there: it is judged now, and gives way to nobody.
    pub(super) fn whole(&mut self) -> Result<(), Full> {
        let mut book = self.bodies.book();
        let arriving = book.entries.get_mut(&self.number).and_then(|entry| entry.arriving.take());
        // Without one it has given way already.
        arriving.map(drop).ok_or(Full)
    }

    /// Cancelled once it has to give way: what has come of it is to be dropped.
    pub(super) fn taken_away(&self) -> CancellationToken {
        self.taken_away.clone()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.bodies.book().end(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of([192, 0, 2, last].into())
    }

    #[test]
    fn large_bodies_leave_room_for_small_ones_and_everything_is_given_back() {
        let bodies = Bodies::new(16 * SMALL);
        let share = || bodies.share(peer(1), None);
        let mut large = share();
        assert_eq!((large.grow(14 * SMALL), large.whole()), (Ok(()), Ok(())));
        assert_eq!(share().grow(SMALL + 1), Err(Full));
        let (mut one, mut two) = (share(), share());
        assert_eq!((one.grow(SMALL), one.whole(), two.grow(SMALL), two.whole()), (Ok(()), Ok(()), Ok(()), Ok(())));
        assert_eq!(share().grow(1), Err(Full), "everything is in use, by what is judged now");
        assert_eq!(one.grow(1), Err(Full));
        drop((large, one, two));
        let book = bodies.book();
        assert_eq!((book.held, book.entries.len()), (0, 0));
    }

    #[test]
    fn who_has_most_gives_way_to_who_has_less_the_oldest_first() {
        let bodies = Bodies::new(16 * SMALL);
        let mut theirs: Vec<Share> = (0..16).map(|_| bodies.share(peer(1), None)).collect();
        assert!(theirs.iter_mut().all(|share| share.grow(SMALL) == Ok(())));
        assert_eq!(theirs[0].whole(), Ok(()));
        let gone = |theirs: &[Share]| theirs.iter().filter(|share| share.taken_away.is_cancelled()).count();

        let mut delivery = bodies.share(peer(2), None);
        assert_eq!(delivery.grow(SMALL), Ok(()));
        assert!(theirs[1].taken_away.is_cancelled() && gone(&theirs) == 1, "the first that is still arriving");
        assert_eq!((theirs[1].grow(1), theirs[1].whole()), (Err(Full), Err(Full)));
        assert_eq!(theirs[2].grow(1), Err(Full), "it gets nothing back by coming again");
        assert_eq!(delivery.grow(6 * SMALL), Ok(()));
        // 7 each, and an eighth that is not for large ones.
        assert_eq!((gone(&theirs), bodies.book().held), (9, 14 * SMALL));
        assert_eq!(delivery.grow(1), Err(Full), "nobody has more");
        assert_eq!(delivery.whole(), Ok(()));

        drop(delivery);
        drop(theirs);
        assert_eq!(bodies.book().held, 0, "what gave way is given back once");
    }

    #[test]
    fn what_is_there_as_a_whole_stays() {
        let bodies = Bodies::new(16 * SMALL);
        let mut theirs: Vec<Share> = (0..16).map(|_| bodies.share(peer(1), None)).collect();
        assert!(theirs.iter_mut().all(|share| share.grow(SMALL) == Ok(()) && share.whole() == Ok(())));
        assert_eq!(bodies.share(peer(2), None).grow(1), Err(Full));
    }

    #[test]
    fn behind_a_load_balancer_a_small_one_takes_the_place_of_the_largest() {
        let bodies = Bodies::new(16 * SMALL);
        let share = |announced| bodies.share(peer(1), announced);
        let mut slow: Vec<Share> = (0..16).map(|_| share(None)).collect();
        assert!(slow.iter_mut().all(|share| share.grow(SMALL) == Ok(())));
        let gone = |slow: &[Share]| slow.iter().filter(|share| share.taken_away.is_cancelled()).count();

        assert_eq!(share(Some(SMALL + 1)).grow(1), Err(Full), "it will be larger than they are");
        assert_eq!(share(Some(SMALL)).grow(SMALL), Err(Full), "it will be as large as they are");
        assert_eq!(share(None).grow(SMALL), Err(Full));
        assert_eq!(gone(&slow), 0);
        let mut delivery = share(Some(SMALL / 8));
        assert_eq!((delivery.grow(SMALL / 8), delivery.whole(), gone(&slow)), (Ok(()), Ok(()), 1));
        let mut unannounced = share(None);
        assert_eq!((unannounced.grow(SMALL / 8), unannounced.whole(), gone(&slow)), (Ok(()), Ok(()), 1));
        drop((delivery, unannounced, slow));
        assert_eq!(bodies.book().held, 0, "what gave way is given back once");
    }
}
