//! What this process has heard and found to be known: nearly every delivery says it again.
//!
//! Guarantees: what GitHub has answered here about a number or a name is asked of the database from then
//! on, also by whoever was reading meanwhile; what another server was answered, within a minute.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{RepoId, RepoName, RepoSeen, Timestamp};

/// Repositories kept in memory; beyond, they are read again.
const KEPT: usize = 10_000;
/// Another server may have learned otherwise, so nothing is believed for longer.
const BELIEVED_MILLIS: u64 = 60_000;

#[derive(Default)]
pub(super) struct Heard(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Rises with everything that is forgotten.
    era: Era,
    by_id: HashMap<RepoId, Entry>,
}

struct Entry {
    seen: RepoSeen,
    key: RepoName,
    at: Timestamp,
}

/// What was read in one era is not kept in a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Era(u64);

impl Heard {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, seen: &RepoSeen, now: Timestamp) -> Option<RepoName> {
        let kept = self.kept();
        let entry = kept.by_id.get(&seen.id)?;
        // A clock may be put back too.
        let is_fresh = now.0.abs_diff(entry.at.0) < BELIEVED_MILLIS;
        (is_fresh && entry.seen == *seen).then(|| entry.key.clone())
    }

    /// Asked for before the database is read.
    pub(super) fn era(&self) -> Era {
        self.kept().era
    }

    pub(super) fn keep(&self, seen: &RepoSeen, key: &RepoName, at: Timestamp, era: Era) {
        let mut kept = self.kept();
        if kept.era != era {
            return;
        }
        if kept.by_id.len() >= KEPT {
            kept.by_id.clear();
        }
        kept.by_id.insert(seen.id, Entry { seen: seen.clone(), key: key.clone(), at });
    }

    /// Forgets what was heard of this number.
    pub(super) fn forget_number(&self, id: RepoId) {
        let mut kept = self.kept();
        kept.era.0 += 1;
        kept.by_id.remove(&id);
    }

    /// Forgets what was heard of this number and of this name: it may have been another's.
    pub(super) fn forget(&self, seen: &RepoSeen) {
        let mut kept = self.kept();
        kept.era.0 += 1;
        kept.by_id.retain(|id, entry| *id != seen.id && entry.seen.name != seen.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;

    fn seen(id: u64) -> RepoSeen {
        RepoSeen { id: RepoId(id), owner: UserId(7), name: "acme/shop".parse().unwrap() }
    }

    #[test]
    fn what_was_read_before_something_was_forgotten_is_not_kept_after_it() {
        let (heard, one, two) = (Heard::default(), seen(1), seen(2));
        let era = heard.era();
        // Between the reading and the keeping, GitHub answers that the name is another's.
        heard.forget(&two);
        heard.keep(&one, &one.name, Timestamp(0), era);
        assert_eq!(heard.get(&one, Timestamp(0)), None);
        heard.keep(&one, &one.name, Timestamp(0), heard.era());
        assert_eq!(heard.get(&one, Timestamp(0)), Some(one.name.clone()));
    }

    #[test]
    fn nothing_is_believed_for_longer_than_a_minute_whichever_way_the_clock_goes() {
        let (heard, one) = (Heard::default(), seen(1));
        heard.keep(&one, &one.name, Timestamp(100_000), heard.era());
        let believed = |at| heard.get(&one, Timestamp(at)).is_some();
        assert!(believed(100_000) && believed(159_999) && !believed(160_000));
        assert!(believed(40_001) && !believed(40_000));
    }
}
