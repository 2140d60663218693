//! Which commit a comment means.
//!
//! Guarantees: a command binds to a head only if its author could have seen it and nothing else
//! since, whatever the order in which pushes, comments and our knowledge of them arrived. When in
//! doubt it binds to nothing.

use crate::model::{Binding, CommitSha, Timestamp, Witness};

const SECOND: i64 = 1000;

/// Binds a comment to a head. `written_at` is the comment's `created_at`, `head_now` what GitHub
/// says of the pull request at this moment.
///
/// Source: GitHub REST, "Get an issue comment": `created_at` is in whole seconds, so within that
/// second nobody can say whether a push or the comment came first.
pub fn bind(witnesses: &[Witness], written_at: Timestamp, head_now: &CommitSha) -> Binding {
    let second = |at: Timestamp| at.0.div_euclid(SECOND);
    let written = second(written_at);
    let now = head_now.clone();
    let before = witnesses.iter().filter(|witness| second(witness.at) < written);
    // Of heads of one and the same moment the one that stayed was the last.
    let Some(seen) = before.max_by_key(|witness| (witness.at, witness.sha == now, &witness.sha)) else {
        return Binding::NeverWitnessed { now };
    };
    let seen = seen.sha.clone();
    let others = || witnesses.iter().filter(|witness| witness.sha != seen);
    if others().any(|witness| second(witness.at) == written) {
        Binding::SameSecond { seen, now }
    } else if now != seen || others().any(|witness| second(witness.at) > written) {
        Binding::Moved { seen, now }
    } else {
        Binding::Bound(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{repo, sha};
    use super::*;
    use crate::model::PullNumber;

    fn witness(digit: char, at: i64) -> Witness {
        Witness { repo: repo(), pull: PullNumber(42), sha: sha(digit), at: Timestamp(at), pusher: None }
    }

    /// What it is about, heads with when we heard of them, the head now, and what it binds to.
    type Case = (&'static str, &'static [(char, i64)], char, Binding);

    #[test]
    fn a_comment_means_the_head_that_its_author_saw() {
        let moved = |seen, now| Binding::Moved { seen: sha(seen), now: sha(now) };
        let same_second = |seen, now| Binding::SameSecond { seen: sha(seen), now: sha(now) };
        let cases: [Case; 13] = [
            ("one head", &[('a', 1000)], 'a', Binding::Bound(sha('a'))),
            ("the newest of two", &[('a', 1000), ('b', 4999)], 'b', Binding::Bound(sha('b'))),
            ("told in another order", &[('b', 4999), ('a', 1000)], 'b', Binding::Bound(sha('b'))),
            ("seen again later", &[('a', 1000), ('a', 7000)], 'a', Binding::Bound(sha('a'))),
            ("seen again in that second", &[('a', 1000), ('a', 5000)], 'a', Binding::Bound(sha('a'))),
            ("two at once", &[('a', 1000), ('b', 1000)], 'a', Binding::Bound(sha('a'))),
            ("a push that nobody told us of", &[('a', 1000)], 'b', moved('a', 'b')),
            ("a push afterwards", &[('a', 1000), ('b', 6000)], 'b', moved('a', 'b')),
            ("away and back", &[('a', 1000), ('b', 6000), ('a', 7000)], 'a', moved('a', 'a')),
            ("back before, then away", &[('a', 1000), ('b', 2000)], 'a', moved('b', 'a')),
            ("at the second's begin", &[('a', 1000), ('b', 5000)], 'b', same_second('a', 'b')),
            ("at the second's end", &[('a', 1000), ('b', 5999)], 'b', same_second('a', 'b')),
            ("nothing before", &[('a', 5000)], 'a', Binding::NeverWitnessed { now: sha('a') }),
        ];
        for (what, witnesses, now, expected) in cases {
            let witnesses: Vec<Witness> = witnesses.iter().map(|(digit, at)| witness(*digit, *at)).collect();
            // GitHub says whole seconds; one of ours with more would mean the same.
            for written_at in [5000, 5400, 5999] {
                assert_eq!(bind(&witnesses, Timestamp(written_at), &sha(now)), expected, "{what}");
            }
        }
    }

    /// A pull request in which heads follow each other, `late` after which we hear of each (`None`:
    /// never), a comment, and when the command is judged.
    struct Story {
        pushes: Vec<(char, i64, Option<i64>)>,
        written: i64,
        judged: i64,
    }

    impl Story {
        fn head_at(&self, moment: i64) -> Option<char> {
            self.pushes.iter().rfind(|(_, at, _)| *at <= moment).map(|(digit, ..)| *digit)
        }

        fn judge(&self) -> Option<Binding> {
            let heard = self.pushes.iter().filter_map(|(digit, at, late)| Some(witness(*digit, at + (*late)?)));
            let witnesses: Vec<Witness> = heard.filter(|witness| witness.at.0 <= self.judged).collect();
            let now = self.head_at(self.judged)?;
            Some(bind(&witnesses, Timestamp(self.written / SECOND * SECOND), &sha(now)))
        }
    }

    /// Half seconds, so that a second has two ends.
    const STEP: i64 = 500;

    fn stories(mut tell: impl FnMut(&Story)) {
        let lates = [Some(0), Some(STEP), Some(4 * STEP), None];
        let heads: [&[char]; 4] = [&['a'], &['a', 'b'], &['a', 'b', 'c'], &['a', 'b', 'a']];
        for heads in heads {
            for first in 0..2_i64 {
                for gaps in 0..16_i64 {
                    for delays in 0..4_usize.pow(u32::try_from(heads.len()).unwrap()) {
                        let times = [first, first + gaps % 4, first + gaps % 4 + gaps / 4];
                        let pushes: Vec<_> = heads
                            .iter()
                            .enumerate()
                            .map(|(index, head)| (*head, times[index] * STEP, lates[delays >> (2 * index) & 3]))
                            .collect();
                        for written in 0..10 {
                            for judged in written..14 {
                                let pushes = pushes.clone();
                                tell(&Story { pushes, written: written * STEP, judged: judged * STEP });
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn no_order_of_pushes_and_comment_binds_to_what_its_author_had_not_seen() {
        let (mut bound, mut refused) = (0_u32, 0_u32);
        stories(|story| match story.judge() {
            Some(Binding::Bound(sha_bound)) => {
                bound += 1;
                let was_head = |digit: char| {
                    let begins = story.pushes.iter().filter(|(head, ..)| *head == digit).map(|(_, at, _)| *at);
                    begins.min().is_some_and(|at| at < story.written)
                };
                let digit = ['a', 'b', 'c'].into_iter().find(|digit| sha(*digit) == sha_bound).unwrap();
                assert!(was_head(digit), "{:?} at {}", story.pushes, story.written);
                // And, where no head came back, it is the very one that was up when they wrote.
                if story.pushes.len() < 3 || story.pushes[0].0 != story.pushes[2].0 {
                    assert_eq!(story.head_at(story.written), Some(digit), "{:?} at {}", story.pushes, story.written);
                }
                assert_eq!(story.head_at(story.judged), Some(digit));
            }
            Some(_) => refused += 1,
            None => {}
        });
        assert!(bound > 1000 && refused > 1000, "{bound} bound, {refused} refused: the stories say nothing");
    }

    #[test]
    fn whoever_writes_a_second_after_a_push_that_we_heard_of_is_understood() {
        stories(|story| {
            let is_quiet = story.pushes.iter().all(|(_, at, late)| *late == Some(0) && at + SECOND < story.written);
            let last = story.pushes.last().map(|(digit, at, _)| (*digit, *at)).unwrap();
            let is_last = story.pushes.iter().filter(|(_, at, _)| *at == last.1).count() == 1;
            if is_quiet && is_last {
                assert_eq!(story.judge(), Some(Binding::Bound(sha(last.0))), "{:?}", story.pushes);
            }
        });
    }
}
