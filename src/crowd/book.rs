//! Who is there, from where, and since when without anything to do.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Peer;

#[derive(Debug)]
pub(super) struct Book<T> {
    places: usize,
    guests: BTreeMap<u64, Entry<T>>,
    /// Counts what happens, in place of a clock.
    moment: u64,
}

#[derive(Debug)]
struct Entry<T> {
    peer: Peer,
    /// Requests under way.
    requests: usize,
    idle_since: u64,
    /// Whom to tell to go; `None` once told.
    bell: Option<T>,
}

impl<T> Book<T> {
    pub(super) fn new(places: usize) -> Self {
        Self { places: places.max(1), guests: BTreeMap::new(), moment: 0 }
    }

    fn is_full(&self) -> bool {
        self.guests.len() >= self.places
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.is_full() && self.guests.values().all(|guest| guest.requests > 0)
    }

    /// The bells of all without a request.
    pub(super) fn dismiss(&mut self) -> Vec<T> {
        self.guests.values_mut().filter(|guest| guest.requests == 0).filter_map(|guest| guest.bell.take()).collect()
    }

    /// The newcomer's number, if there is a place.
    pub(super) fn enter(&mut self, peer: IpAddr, bell: T) -> Option<u64> {
        if self.is_full() {
            return None;
        }
        let now = self.tick();
        self.guests.insert(now, Entry { peer: Peer::of(peer), requests: 0, idle_since: now, bell: Some(bell) });
        Some(now)
    }

    pub(super) fn begin(&mut self, number: u64) {
        if let Some(guest) = self.guests.get_mut(&number) {
            guest.requests += 1;
        }
    }

    pub(super) fn end(&mut self, number: u64) {
        let now = self.tick();
        if let Some(guest) = self.guests.get_mut(&number) {
            guest.requests = guest.requests.saturating_sub(1);
            guest.idle_since = now;
        }
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.guests.remove(&number);
    }

    /// The bell of whoever has to go for a newcomer from there; `None` while somebody goes already, or
    /// where nobody has to.
    pub(super) fn send_away(&mut self, newcomer: IpAddr) -> Option<T> {
        if self.guests.values().any(|guest| guest.bell.is_none()) {
            return None;
        }
        let number = self.idle_longest().or_else(|| self.too_many(Peer::of(newcomer)))?;
        self.guests.get_mut(&number)?.bell.take()
    }

    /// Of the peer that has most connections, among those with one that has nothing to do.
    fn idle_longest(&self) -> Option<u64> {
        let crowd = self.by_peer();
        let idle = self.guests.iter().filter(|(_, guest)| guest.requests == 0);
        let key = |guest: &Entry<T>| (crowd.get(&guest.peer).copied().unwrap_or(0), u64::MAX - guest.idle_since);
        idle.max_by_key(|(_, guest)| key(guest)).map(|(number, _)| *number)
    }

    /// The oldest one of a peer other than the newcomer's, which has more than half of the places.
    fn too_many(&self, newcomer: Peer) -> Option<u64> {
        let (crowded, _) = self.by_peer().into_iter().find(|(_, count)| *count * 2 > self.places)?;
        let mut theirs = self.guests.iter().filter(|(_, guest)| guest.peer == crowded && crowded != newcomer);
        theirs.next().map(|(number, _)| *number)
    }

    fn by_peer(&self) -> BTreeMap<Peer, usize> {
        let mut counts = BTreeMap::new();
        for guest in self.guests.values() {
            *counts.entry(guest.peer).or_default() += 1;
        }
        counts
    }

    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// A book in which everybody's bell is their own name.
    fn book(places: usize, guests: &[(&'static str, &str)]) -> (Book<&'static str>, Vec<u64>) {
        let mut book = Book::new(places);
        let numbers = guests.iter().map(|(name, peer)| book.enter(ip(peer), *name).expect("a place")).collect();
        (book, numbers)
    }

    #[test]
    fn the_most_crowded_peer_loses_what_it_left_idle_for_longest() {
        let (mut book, numbers) = book(
            5,
            &[("far", "192.0.2.1"), ("a", "192.0.2.7"), ("b", "192.0.2.7"), ("c", "192.0.2.7"), ("d", "192.0.2.8")],
        );
        assert_eq!(book.enter(ip("192.0.2.9"), "late"), None);
        book.begin(numbers[1]);
        book.end(numbers[1]);
        book.begin(numbers[2]);
        assert_eq!(book.send_away(ip("192.0.2.9")), Some("c"), "`a` was at work later, `b` is");
        assert_eq!(book.send_away(ip("192.0.2.9")), None, "one goes already");
        book.leave(numbers[3]);
        assert!(book.enter(ip("192.0.2.9"), "late").is_some());
    }

    #[test]
    fn only_who_has_more_than_half_loses_what_is_at_work() {
        let peers = [("a", "192.0.2.7"), ("b", "192.0.2.7"), ("c", "192.0.2.7"), ("d", "192.0.2.8")];
        let (mut crowded, numbers) = book(4, &peers);
        for number in &numbers {
            crowded.begin(*number);
        }
        assert_eq!(crowded.send_away(ip("192.0.2.7")), None, "nobody makes room for more of their own");
        assert_eq!(crowded.send_away(ip("192.0.2.9")), Some("a"));
        let (mut fair, numbers) = book(4, &[peers[0], peers[1], peers[3], ("e", "192.0.2.9")]);
        for number in &numbers {
            fair.begin(*number);
        }
        assert_eq!(fair.send_away(ip("192.0.2.10")), None);
    }
}
