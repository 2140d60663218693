//! What is kept of how a stage is doing: what was known, put together with what is seen now.
//!
//! Guarantees: what is well and always was leaves nothing to keep, so that a stage of which nothing is to be
//! told is written by nobody; a trouble is one from its beginning to its end, whatever its target forgets
//! meanwhile; and what changes with every look without meaning anything else is kept as it was.

use crate::model::{
    Condition, Conditions, Failure, Seconds, ServiceName, StageRecord, StageStatus, Subject, Timestamp,
};

/// How long after its newest goal somebody is likely to look at a stage of a pull request.
const WATCHED: Seconds = Seconds(86_400);

/// Puts what is seen together with what was known. What is not seen is not there any more.
pub fn follow(known: &Conditions, seen: Conditions) -> Conditions {
    let kept = |(service, now): (ServiceName, Condition)| {
        let followed = match known.get(&service) {
            Some(before) => followed(before, now),
            None => now,
        };
        (followed.is_trouble() || followed.is_recovered()).then_some((service, followed))
    };
    seen.into_iter().filter_map(kept).collect()
}

fn followed(before: &Condition, now: Condition) -> Condition {
    match (before.is_trouble(), now.is_trouble()) {
        (true, true) => Condition {
            since: before.since.min(now.since),
            restarts: before.restarts.max(now.restarts),
            why: latest(before, &now),
            ..now
        },
        // It is over, and what it was is told.
        (true, false) => {
            let why = now.why.clone().or_else(|| before.why.clone());
            Condition { restarts: before.restarts.max(now.restarts), why, ..now }
        }
        (false, false) if now.restarts <= before.restarts => {
            let why = before.why.clone().or(now.why);
            Condition { since: before.since.min(now.since), restarts: before.restarts, why, ..now }
        }
        // Another trouble, or one that began and ended since the last look.
        (false, _) => now,
    }
}

/// The last lines of a program have times in them, and what a cloud says the ids of its tasks: as long as
/// nothing else is told, they stay.
fn latest(before: &Condition, now: &Condition) -> Option<Failure> {
    let said = |condition: &Condition| {
        let why = condition.why.as_ref().map(|why| (why.kind, why.exit_code));
        (condition.state, condition.restarts_told(), why)
    };
    let means = |condition: &Condition| condition.why.as_ref().map(|why| without_ids(&why.summary));
    if before.why.is_some() && said(before) == said(now) && means(before) == means(now) {
        before.why.clone()
    } else {
        now.why.clone().or_else(|| before.why.clone())
    }
}

/// The words of a summary but those that are ids of tasks and requests, or days.
fn without_ids(summary: &str) -> String {
    let is_id = |word: &&str| {
        let digits = word.bytes().any(|b| b.is_ascii_digit());
        digits && word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
    };
    let words = summary.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| !is_id(word)).collect::<Vec<_>>().join(" ")
}

/// Whether a stage is looked at every minute: one that serves, while somebody is likely to look at it or
/// something of it is not well.
pub fn is_watched(record: &StageRecord, now: Timestamp) -> bool {
    let is_recent = matches!(record.subject, Subject::Branch(_)) || now.since(record.touched_at) < WATCHED.millis();
    let may_serve = match record.status {
        StageStatus::Live { .. }
        | StageStatus::Failed { .. }
        | StageStatus::Misconfigured { .. }
        | StageStatus::AwaitingApproval { .. }
        | StageStatus::Withheld { .. } => true,
        StageStatus::New
        | StageStatus::Deploying { .. }
        | StageStatus::Full { .. }
        | StageStatus::RemovalBlocked
        | StageStatus::Blocked { .. }
        | StageStatus::Gone { .. } => false,
    };
    let is_troubled = record.conditions.values().any(Condition::is_trouble);
    may_serve && !record.is_busy() && (is_recent || is_troubled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixture::{name, pull_record, record, sha};
    use crate::model::{Branch, FailureKind, Generation, Target, Wellbeing};

    fn web(condition: Condition) -> Conditions {
        Conditions::from([(name("web"), condition)])
    }

    fn well(since: i64) -> Condition {
        Condition::well(1, Timestamp(since))
    }

    fn ended(code: i32, line: &str) -> Failure {
        let failure = Failure::new(FailureKind::Exited, format!("`web` ended with exit code {code}"), "Mend it.");
        Failure { exit_code: Some(code), log: vec![line.into()], ..failure }
    }

    fn restarting(since: i64, restarts: u32, line: &str) -> Condition {
        Condition { state: Wellbeing::Restarting, restarts, well: 0, why: Some(ended(3, line)), ..well(since) }
    }

    #[test]
    fn what_is_well_and_always_was_leaves_nothing() {
        assert_eq!(follow(&Conditions::new(), web(well(5))), Conditions::new());
        assert_eq!(follow(&web(restarting(1, 2, "a")), Conditions::new()), Conditions::new(), "it is not there");
    }

    #[test]
    fn a_trouble_is_one_from_its_beginning_to_its_end() {
        let first = follow(&Conditions::new(), web(restarting(10, 1, "at 10")));
        assert_eq!(first, web(restarting(10, 1, "at 10")));
        // The same told anew changes nothing, whatever the clock in its lines says.
        assert_eq!(follow(&first, web(restarting(10, 1, "at 11"))), first);
        let second = follow(&first, web(restarting(12, 2, "at 12")));
        assert_eq!(second, web(restarting(10, 2, "at 12")), "since the first");
        // The target was started anew and counts from the beginning.
        let forgetful = Condition { why: None, ..restarting(90, 0, "") };
        assert_eq!(follow(&second, web(forgetful)), web(restarting(10, 2, "at 12")));
        let unhealthy = Condition { state: Wellbeing::Unhealthy, ..restarting(95, 2, "at 95") };
        let third = follow(&second, web(unhealthy.clone()));
        assert_eq!(third, web(Condition { since: Timestamp(10), ..unhealthy }));

        let recovered = follow(&third, web(well(100)));
        assert_eq!(recovered, web(Condition { restarts: 2, why: Some(ended(3, "at 95")), ..well(100) }));
        assert!(recovered.values().all(Condition::is_recovered));
        assert_eq!(follow(&recovered, web(well(130))), recovered, "since it was first seen well");
        let next = follow(&recovered, web(restarting(200, 1, "again")));
        assert_eq!(next, web(restarting(200, 1, "again")), "another one");
    }

    #[test]
    fn the_reason_of_a_trouble_is_the_one_of_now() {
        let unhealthy = |saw: &str, line: &str| {
            let failure = Failure::new(FailureKind::Unhealthy, format!("`web` is not healthy: {saw}"), "Mend it.");
            let why = Some(Failure { log: vec![line.into()], ..failure });
            web(Condition { state: Wellbeing::Unhealthy, well: 0, why, ..well(10) })
        };
        let first = follow(&Conditions::new(), unhealthy("it answers 500", "at 10"));
        assert_eq!(follow(&first, unhealthy("it answers 500", "at 11")), first, "the same");
        for other in ["it answers 503", "nothing listens on port 20001", "gr\u{fc}n"] {
            assert_eq!(follow(&first, unhealthy(other, "at 12")), unhealthy(other, "at 12"));
        }
        // AWS says the same of another task.
        let of = |task: &str| unhealthy(&format!("(task {task}) failed, request id: {task}"), task);
        let (one, other) = ("0f2d1c1be8a14a5c9d0e1f2a3b4c5d6e", "9a6b1c2d-3e4f-5061-7283-94a5b6c7d8e9");
        let first = follow(&Conditions::new(), of(one));
        assert_eq!(follow(&first, of(other)), first);
    }

    #[test]
    fn what_came_and_went_between_two_looks_is_told() {
        let over = Condition { restarts: 1, why: Some(ended(3, "once")), ..well(50) };
        let known = follow(&Conditions::new(), web(over.clone()));
        assert_eq!(known, web(over));
        let again = Condition { restarts: 2, why: Some(ended(4, "twice")), ..well(80) };
        assert_eq!(follow(&known, web(again.clone())), web(again));
    }

    #[test]
    fn many_restarts_change_what_is_kept_seldom() {
        let mut known = Conditions::new();
        let mut told = std::collections::BTreeSet::new();
        for restarts in 1..=1_000_u32 {
            known = follow(&known, web(restarting(10, restarts, &format!("line {restarts}"))));
            let kept = known.values().next().expect("a trouble");
            told.insert((kept.restarts_told(), kept.why.clone().map(|why| why.log)));
        }
        assert!(told.len() < 20, "{told:?}");
    }

    #[test]
    fn what_somebody_looks_at_is_watched() {
        let day = WATCHED.millis();
        let live =
            StageRecord { status: StageStatus::Live { sha: sha('a') }, settled: Generation(1), ..pull_record(7) };
        assert!(is_watched(&live, Timestamp(day - 1)) && !is_watched(&live, Timestamp(day)));
        let troubled = StageRecord { conditions: web(restarting(1, 1, "")), ..live.clone() };
        assert!(is_watched(&troubled, Timestamp(9 * day)));
        let main = Branch("main".into());
        let prod = record("prod", Subject::Branch(main.clone()), Target::Branch(main));
        let prod = StageRecord { status: live.status.clone(), settled: Generation(1), ..prod };
        assert!(is_watched(&prod, Timestamp(9 * day)));
        let busy = StageRecord { settled: Generation(0), ..live.clone() };
        let gone = StageRecord { status: StageStatus::Gone { removed: 1 }, ..live };
        assert!(!is_watched(&busy, Timestamp(0)) && !is_watched(&gone, Timestamp(0)));
    }
}
