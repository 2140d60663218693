//! The waiting line in front of the engine: repositories take turns.
//!
//! # Guarantees
//!
//! - A repository that asks for everything has every place but one: that one is for others, who never
//!   wait for all of its builds.
//! - Of those that wait, the repository goes first whose turn lies back the longest, and in it whoever
//!   came first. Who waits once goes before whoever waits a second time.
//! - A place that is given up, by whatever way, is the next one's at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::jobs::locked;
use crate::model::RepoName;

/// Who builds, and who waits for it.
pub(super) struct Line(Mutex<State>);

struct State {
    /// Places that are taken, by repository.
    taken: HashMap<RepoName, usize>,
    /// By the number drawn on arrival.
    waiting: BTreeMap<u64, Waiting>,
    /// When each repository had its last turn, as far as it still builds or waits.
    last_turn: HashMap<RepoName, u64>,
    /// The next number.
    next: u64,
    /// How many may build at once of one repository; all together may be one more.
    most: usize,
}

struct Waiting {
    repo: RepoName,
    call: oneshot::Sender<Turn>,
}

impl Line {
    /// `most`: how many may build at once of one repository.
    pub(super) fn new(most: usize) -> Arc<Self> {
        let (taken, waiting, last_turn) = Default::default();
        Arc::new(Self(Mutex::new(State { taken, waiting, last_turn, next: 0, most: most.max(1) })))
    }

    /// Draws a number. The place in the line is given up with what is returned.
    pub(super) fn enter(self: &Arc<Self>, repo: &RepoName) -> Ticket {
        let (call, called) = oneshot::channel();
        let number = {
            let mut state = locked(&self.0);
            let number = state.next;
            state.next += 1;
            state.waiting.insert(number, Waiting { repo: repo.clone(), call });
            number
        };
        self.call();
        Ticket { line: Arc::clone(self), number, called }
    }

    /// The place of a number, and how many wait; the place is 1 where it does not wait any more.
    pub(super) fn place(&self, number: u64) -> (usize, usize) {
        let state = locked(&self.0);
        (state.place(number), state.waiting.len().max(1))
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        locked(&self.0).waiting.len()
    }

    /// Gives free places to those who wait.
    fn call(self: &Arc<Self>) {
        loop {
            let Some((call, repo)) = locked(&self.0).choose() else { return };
            // Nobody is there any more: the turn goes, and its place with it.
            drop(call.send(Turn { line: Arc::clone(self), repo }));
        }
    }
}

impl State {
    /// Takes the next one out of the line, if there is a place for it.
    fn choose(&mut self) -> Option<(oneshot::Sender<Turn>, RepoName)> {
        if self.taken.values().sum::<usize>() > self.most {
            return None;
        }
        let number = self.first_of_each().into_iter().filter(|(repo, _)| self.held(repo) < self.most);
        let number =
            number.min_by_key(|(repo, number)| (self.last_turn.get(*repo), *number)).map(|(_, number)| number)?;
        let Waiting { repo, call } = self.waiting.remove(&number)?;
        *self.taken.entry(repo.clone()).or_default() += 1;
        self.last_turn.insert(repo.clone(), self.next);
        self.next += 1;
        Some((call, repo))
    }

    fn held(&self, repo: &RepoName) -> usize {
        self.taken.get(repo).copied().unwrap_or_default()
    }

    fn first_of_each(&self) -> BTreeMap<&RepoName, u64> {
        let mut first = BTreeMap::new();
        for (number, waiting) in &self.waiting {
            first.entry(&waiting.repo).or_insert(*number);
        }
        first
    }

    /// How many turns until that of this number, while all who wait may build.
    fn place(&self, number: u64) -> usize {
        let Some(own) = self.waiting.get(&number) else { return 1 };
        let first = self.first_of_each();
        let rank = |repo: &RepoName| (self.last_turn.get(repo), first.get(repo));
        let mut waiting: HashMap<&RepoName, usize> = HashMap::new();
        for other in self.waiting.values() {
            *waiting.entry(&other.repo).or_default() += 1;
        }
        let round = self.waiting.range(..=number).filter(|(_, other)| other.repo == own.repo).count();
        let before = waiting.iter().filter(|(repo, _)| **repo != &own.repo).map(|(repo, count)| {
            let rounds = if rank(repo) < rank(&own.repo) { round } else { round - 1 };
            rounds.min(*count)
        });
        round + before.sum::<usize>()
    }

    /// What is known of a repository that neither builds nor waits is of no use.
    fn forget(&mut self, repo: &RepoName) {
        let builds_or_waits = self.taken.contains_key(repo) || self.waiting.values().any(|other| other.repo == *repo);
        if !builds_or_waits {
            self.last_turn.remove(repo);
        }
    }
}

/// A place in the line.
pub(super) struct Ticket {
    line: Arc<Line>,
    pub(super) number: u64,
    called: oneshot::Receiver<Turn>,
}

impl Ticket {
    /// Waits for the turn; `None` never comes while the ticket is held.
    pub(super) async fn turn(&mut self) -> Option<Turn> {
        (&mut self.called).await.ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = locked(&self.line.0);
        if let Some(Waiting { repo, .. }) = state.waiting.remove(&self.number) {
            state.forget(&repo);
        }
    }
}

/// A place at the engine; dropped, it is the next one's.
pub(super) struct Turn {
    line: Arc<Line>,
    repo: RepoName,
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = locked(&self.line.0);
            match state.taken.get_mut(&self.repo) {
                Some(taken) if *taken > 1 => *taken -= 1,
                _ => drop(state.taken.remove(&self.repo)),
            }
            state.forget(&self.repo);
        }
        self.line.call();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(name: &str) -> RepoName {
        format!("acme/{name}").parse().expect("a name")
    }

    /// The turn of a ticket, if it has one by now.
    fn turn(ticket: &mut Ticket) -> Option<Turn> {
        ticket.called.try_recv().ok()
    }

    #[test]
    fn one_place_is_kept_for_others() {
        for most in 1..4 {
            let line = Line::new(most);
            let mut greedy: Vec<Ticket> = (0..10).map(|_| line.enter(&repo("greedy"))).collect();
            let turns: Vec<Turn> = greedy.iter_mut().filter_map(turn).collect();
            assert_eq!(turns.len(), most);
            let mut other = line.enter(&repo("other"));
            let its_turn = turn(&mut other).expect("there is a place");
            // And no more than that, whoever asks.
            let mut third = line.enter(&repo("third"));
            assert!(turn(&mut third).is_none(), "{most}");
            drop(its_turn);
            assert!(turn(&mut third).is_some(), "{most}");
        }
    }

    #[test]
    fn repositories_take_turns_and_each_keeps_its_own_order() {
        let line = Line::new(1);
        let mut first = line.enter(&repo("a"));
        let mut at_work = vec![turn(&mut first).expect("a place")];
        let mut second = line.enter(&repo("b"));
        at_work.push(turn(&mut second).expect("the place for others"));
        let order = ["a", "a", "a", "b", "b", "c", "a", "c"];
        let mut waiting: Vec<(usize, Ticket)> =
            order.iter().enumerate().map(|(at, name)| (at, line.enter(&repo(name)))).collect();
        let mut called = Vec::new();
        while !at_work.is_empty() {
            drop(at_work.remove(0));
            for (at, ticket) in &mut waiting {
                if let Some(turn) = turn(ticket) {
                    called.push(*at);
                    at_work.push(turn);
                }
            }
            waiting.retain(|(at, _)| !called.contains(at));
        }
        assert_eq!(called.len(), order.len(), "{called:?}");
        let of = |name: &str| called.iter().filter(|at| order[**at] == name).copied().collect::<Vec<_>>();
        assert_eq!((of("a"), of("b"), of("c")), (vec![0, 1, 2, 6], vec![3, 4], vec![5, 7]));
        // Whoever waits once does not wait for all of those that wait twice.
        let place = |at: usize| called.iter().position(|called| *called == at).expect("it was called");
        assert!(place(5) < place(1) && place(7) < place(6), "{called:?}");
        assert!(locked(&line.0).last_turn.is_empty(), "nothing is kept of those that went");
    }

    #[test]
    fn the_place_that_is_told_is_the_place_that_comes() {
        let line = Line::new(1);
        let mut first = line.enter(&repo("z"));
        let mut other = line.enter(&repo("y"));
        let mut at_work = vec![turn(&mut first).expect("a place"), turn(&mut other).expect("a place")];
        let names = ["a", "a", "b", "a", "c", "b", "c", "c", "d"];
        let mut tickets: Vec<Ticket> = names.iter().map(|name| line.enter(&repo(name))).collect();
        let mut told: Vec<(usize, usize)> =
            tickets.iter().enumerate().map(|(at, ticket)| (line.place(ticket.number).0, at)).collect();
        told.sort_unstable();
        let mut called = Vec::new();
        for _ in 0..names.len() {
            // One at a time, as if nobody's build took long.
            at_work.remove(0);
            let (at, turn) = tickets
                .iter_mut()
                .enumerate()
                .find_map(|(at, ticket)| Some((at, turn(ticket)?)))
                .expect("somebody has a turn");
            called.push(at);
            at_work.push(turn);
        }
        assert_eq!(told.iter().map(|(place, _)| *place).collect::<Vec<_>>(), (1..=names.len()).collect::<Vec<_>>());
        assert_eq!(told.into_iter().map(|(_, at)| at).collect::<Vec<_>>(), called);
    }

    #[test]
    fn who_goes_away_leaves_the_place_to_the_next() {
        let line = Line::new(1);
        let mut first = line.enter(&repo("a"));
        let at_work = turn(&mut first).expect("a place");
        let gone = line.enter(&repo("a"));
        let called_and_gone = line.enter(&repo("a"));
        let mut last = line.enter(&repo("a"));
        assert_eq!(line.place(last.number), (3, 3));
        drop(gone);
        assert_eq!(line.place(last.number), (2, 2));
        drop(at_work);
        // It had its turn, and did not know it yet.
        drop(called_and_gone);
        assert!(turn(&mut last).is_some());
        assert_eq!(line.len(), 0);
    }
}
