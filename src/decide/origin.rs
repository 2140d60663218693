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
