//! What to make of a stage that exists: the one table of the sweeper.
//!
//! Nothing here removes anything: a stage that the database does not know is handed to its
//! repository, whose lane asks GitHub, and what cannot be judged is kept.

use std::collections::BTreeSet;

use crate::model::{Place, RepoName, StageId, StageKind, StageRecord, StageStatus};

/// What the sweeper makes of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// The database knows it, and its own lane looks after it.
    Known,
    /// It was removed, and something of it is there all the same: its lane looks again.
    CameBack,
    /// Nobody knows it: its repository's lane asks GitHub.
    Unknown,
    /// Nobody knows it, and it is not one that comes and goes: kept, whatever GitHub says.
    Permanent,
    /// GitHub tells us nothing about its repository: kept.
    NotInstalled,
}

/// Judges every stage that exists. `installed` are the repositories that the app may read.
pub fn sweep<'a>(
    existing: &'a [(StageId, Place)],
    records: &[StageRecord],
    installed: &BTreeSet<RepoName>,
) -> Vec<(&'a StageId, &'a Place, Finding)> {
    existing.iter().map(|(id, place)| (id, place, finding(id, place, records, installed))).collect()
}

fn finding(id: &StageId, place: &Place, records: &[StageRecord], installed: &BTreeSet<RepoName>) -> Finding {
    if !installed.contains(&id.repo) {
        return Finding::NotInstalled;
    }
    match records.iter().find(|record| record.id == *id) {
        Some(record) if matches!(record.status, StageStatus::Gone { .. }) => Finding::CameBack,
        Some(_) => Finding::Known,
        None if place.kind == StageKind::Ephemeral => Finding::Unknown,
        None => Finding::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixture::{pull_record, record, repo, sha, stage};
    use crate::model::{Branch, Subject, Target};

    #[test]
    fn what_cannot_be_judged_is_kept() {
        let main = Branch("main".into());
        let records = [
            StageRecord { status: StageStatus::Live { sha: sha('a') }, ..pull_record(1) },
            StageRecord { status: StageStatus::Gone { removed: 3 }, ..pull_record(2) },
            record("prod", Subject::Branch(main.clone()), Target::Branch(main)),
        ];
        let lasting = Place { kind: StageKind::Permanent, ..Place::default() };
        let foreign = StageId { repo: "acme/elsewhere".parse().unwrap(), name: stage("pr-1").name };
        let cases = [
            (stage("pr-1"), Place::default(), Finding::Known),
            (stage("pr-2"), Place::default(), Finding::CameBack),
            (stage("pr-3"), Place::default(), Finding::Unknown),
            (stage("prod"), lasting.clone(), Finding::Known),
            (stage("old"), lasting, Finding::Permanent),
            (foreign, Place::default(), Finding::NotInstalled),
        ];
        let existing: Vec<(StageId, Place)> = cases.iter().map(|(id, place, _)| (id.clone(), place.clone())).collect();
        let found = sweep(&existing, &records, &BTreeSet::from([repo()]));
        for ((id, _, expected), (.., finding)) in cases.iter().zip(found) {
            assert_eq!(finding, *expected, "{id}");
        }
        let nothing_readable = sweep(&existing, &records, &BTreeSet::new());
        assert!(nothing_readable.iter().all(|(.., finding)| *finding == Finding::NotInstalled));
    }
}
