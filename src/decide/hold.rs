//! Which lock holds a goal back.

use crate::model::{Lock, StageRecord, Target, Timestamp};

/// The lock that keeps the stage as it is, against this goal. `everything` is the one on all stages
/// of the repository.
///
/// Its owner's own goals pass, from the pull request that it was taken for; a stage that is to go
/// goes, because what nobody needs any more must not stay for a forgotten lock.
pub fn hold<'a>(record: &'a StageRecord, everything: Option<&'a Lock>, now: Timestamp) -> Option<&'a Lock> {
    if matches!(record.target, Target::Gone(_)) {
        return None;
    }
    let passes =
        |lock: &Lock| {
            record.asked.as_ref().filter(|asked| asked.generation == record.generation).is_some_and(|asked| {
                asked.by.id == lock.owner && (lock.pull.is_none() || lock.pull == Some(asked.pull))
            })
        };
    let mut locks = everything.into_iter().chain(&record.lock);
    locks.find(|lock| is_live(lock, now) && !passes(lock))
}

/// Whether its time has not run out.
pub fn is_live(lock: &Lock, now: Timestamp) -> bool {
    lock.until.is_none_or(|until| now < until)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{actor, pull_record};
    use super::*;
    use crate::model::{Asked, Generation, GoneReason, PullNumber, UserId, Verb};

    fn lock(owner: UserId, pull: Option<u64>, until: Option<i64>) -> Lock {
        let (login, reason, since) = ("ann".into(), "a sale".into(), Timestamp(0));
        Lock { owner, login, pull: pull.map(PullNumber), reason, since, until: until.map(Timestamp) }
    }

    fn asked(generation: Generation, pull: u64) -> Asked {
        let (verb, by, pull) = (Verb::Deploy, actor(), PullNumber(pull));
        Asked { verb, generation, by, pull, sha: None, from: None, services: Vec::new(), at: Timestamp(0) }
    }

    #[test]
    fn a_lock_holds_all_but_its_owners_own_goals() {
        let now = Timestamp(100);
        let mut record = pull_record(7);
        assert_eq!(hold(&record, None, now), None);
        record.lock = Some(lock(actor().id, Some(7), Some(101)));
        assert_eq!(hold(&record, None, now), record.lock.as_ref(), "a push asks nobody");
        assert_eq!(hold(&record, None, Timestamp(101)), None, "its time ran out");
        record.asked = Some(asked(record.generation, 7));
        assert_eq!(hold(&record, None, now), None, "the owner's own");
        record.asked = Some(asked(record.generation, 8));
        assert!(hold(&record, None, now).is_some(), "the owner's other pull request");
        record.asked = Some(asked(record.generation.next(), 7));
        assert!(hold(&record, None, now).is_some(), "an older wish of the owner's");
        record.asked = Some(asked(record.generation, 7));
        let everything = lock(UserId(99), None, None);
        assert_eq!(hold(&record, Some(&everything), now), Some(&everything));
        record.target = Target::Gone(GoneReason::Closed);
        assert_eq!(hold(&record, Some(&everything), now), None);
    }
}
