//! Where a commit came from, as the deploys of a stage tell it.

use crate::model::{CameBy, CommitSha, Deploy, StageRecord, StageSpec, Subject, Wanted};

/// The goal by which a commit came to a stage first. `deploys` are newest first.
///
/// The first one counts: whoever asked for it again later, on whatever pull request, did not bring it.
pub fn first_brought<'a>(deploys: &'a [Deploy], sha: &CommitSha) -> Option<&'a StageSpec> {
    deploys.iter().rev().find_map(|deploy| match &deploy.plan.wanted {
        Wanted::Live(spec) if spec.sha == *sha => Some(&**spec),
        Wanted::Live(_) | Wanted::Gone(_) => None,
    })
}

/// How a commit came that was named without its origin: on the command line, or by an older version.
/// `first` is the goal by which it came to the stage.
pub fn origin_of(record: &StageRecord, first: Option<&StageSpec>) -> CameBy {
    let by_history = first.map(|spec| spec.origin.or(spec.pull));
    // An older version named it for somebody who had commented there.
    let by_wish = || record.asked.as_ref().map(|asked| asked.pull);
    let pull = by_history.unwrap_or_else(by_wish);
    match (pull, &record.subject) {
        (Some(number), _) => CameBy::PullRequest(number),
        (None, Subject::PullRequest(number)) => CameBy::PullRequest(*number),
        (None, Subject::Branch(branch)) => CameBy::Branch(branch.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{sha, spec, stage};
    use super::*;
    use crate::model::{DeployId, Generation, Place, Plan, PullNumber, Timestamp};

    #[test]
    fn who_asks_for_a_commit_again_has_not_brought_it() {
        let deploy = |number: i64, commit: char, by: Option<u64>| {
            let by = by.map(PullNumber);
            let wanted = Wanted::Live(Box::new(StageSpec { origin: by, pull: by, ..spec(commit) }));
            let (generation, steps, skipped) = (Generation(1), Vec::new(), Vec::new());
            let plan = Plan { stage: stage("staging"), place: Place::default(), generation, wanted, steps, skipped };
            Deploy { id: DeployId(number), plan, started_at: Timestamp(number), ended: None }
        };
        // Newest first: a fork's pull request brought it, then one of the repository's own had it again.
        let deploys = [deploy(4, 'b', Some(9)), deploy(3, 'a', Some(8)), deploy(2, 'a', None), deploy(1, 'a', Some(7))];
        let first = |commit| first_brought(&deploys, &sha(commit)).map(|spec| spec.origin);
        assert_eq!(first('a'), Some(Some(PullNumber(7))));
        assert_eq!((first('b'), first('c')), (Some(Some(PullNumber(9))), None));
    }
}
