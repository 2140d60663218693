//! What an event means: the one table between the inbox and the stages.
//!
//! An event only says where to look. Whether the stage then deploys, waits or goes is judged by
//! its own lane from what GitHub says at that time, so an event that comes late or out of order
//! cannot win.

use std::collections::{BTreeMap, BTreeSet};

use super::admit::unasked;
use super::name::branch_stage;
use crate::model::{
    Branch, CommitSha, Event, GoneReason, Nonce, Place, Project, PullNumber, PullRequest, PullRequestAction, StageKind,
    StageName, StagePattern, StageRecord, StageStatus, Subject, Target, Trigger,
};

/// What to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Give the stage a new goal: a new generation, and its lane is rung.
    Follow { stage: StageName, subject: Subject, target: Target },
    /// Have the stage look again: something about its pull request changed, what it follows did not.
    /// A new generation, so that a deploy which runs is looked at too; but no new wish, so that a
    /// commit which failed is not tried again and a stage does not live longer.
    Nudge { stage: StageName },
    /// Ring the stage's lane and no more: it may have missed something while it was at rest.
    Ring { stage: StageName },
}

/// What a look at the world showed, for [`Event::Reconcile`].
#[derive(Debug, Clone, Default)]
pub struct Sighting {
    pub open: Vec<PullRequest>,
    /// Those of them that are at another head than any event has told last.
    pub moved: BTreeSet<PullNumber>,
    /// Stages of the repository of which something exists on the target.
    pub existing: BTreeMap<StageName, Place>,
}

/// Decides what an event changes. `stages` are those of the repository.
pub fn route(event: &Event, project: &Project, stages: &[StageRecord], seen: &Sighting) -> Vec<Intent> {
    match event {
        Event::PullRequest { number, action, .. } => pull_request(*number, *action, project, stages),
        Event::Push(push) if push.after.is_some() => pushed(&push.branch, project, stages),
        Event::Push(push) => branch_deleted(&push.branch, project, stages),
        Event::BranchDeleted { branch, .. } => branch_deleted(branch, project, stages),
        Event::Reconcile { .. } => reconcile(project, stages, seen),
        Event::RunMoved { nonce, .. } => run_moved(nonce.as_ref(), stages),
        Event::Requested { stage, target, .. } => requested(stage, target, project, stages, seen),
        // Of what is gone with its repository nobody can be asked: its lane sees to it by itself.
        Event::RepositoryDeleted { .. }
        | Event::Comment(_)
        | Event::CommentEdited { .. }
        | Event::InstallationChanged => Vec::new(),
    }
}

/// Whoever builds looks how that goes; where it is not told whose run it is, all of them.
fn run_moved(nonce: Option<&Nonce>, stages: &[StageRecord]) -> Vec<Intent> {
    let builds = |record: &&StageRecord| {
        let is_of = nonce.is_none_or(|nonce| nonce.is_of(&record.id));
        is_of && matches!(record.status, StageStatus::Deploying { .. })
    };
    stages.iter().filter(builds).map(|record| Intent::Ring { stage: record.id.name.clone() }).collect()
}

fn pull_request(
    number: PullNumber,
    action: PullRequestAction,
    project: &Project,
    stages: &[StageRecord],
) -> Vec<Intent> {
    let named: Vec<StageName> = project.rule_for_pull().filter_map(|rule| rule.pattern.for_pull(number)).collect();
    let mut intents: Vec<Intent> = named
        .iter()
        .map(|stage| {
            let known = stages.iter().any(|record| record.id.name == *stage);
            let same_goal =
                matches!(action, PullRequestAction::Edited | PullRequestAction::Labeled | PullRequestAction::Unlabeled);
            if known && same_goal { Intent::Nudge { stage: stage.clone() } } else { follow_pull(stage.clone(), number) }
        })
        .collect();
    // A stage whose rule was renamed or removed since still belongs to this pull request.
    intents.extend(
        stages
            .iter()
            .filter(|record| record.pull() == Some(number) && !named.contains(&record.id.name))
            .map(|record| Intent::Nudge { stage: record.id.name.clone() }),
    );
    intents
}

fn follow_pull(stage: StageName, number: PullNumber) -> Intent {
    Intent::Follow { stage, subject: Subject::PullRequest(number), target: Target::PullRequest(number) }
}

/// What Dependabot pushes is a fork's: it gets a stage by its pull request, once it is approved.
fn pushed(branch: &Branch, project: &Project, stages: &[StageRecord]) -> Vec<Intent> {
    if branch.is_of_dependabot() {
        return Vec::new();
    }
    project
        .stages
        .iter()
        .filter(|rule| matches!(&rule.trigger, Trigger::Push { branches } if branches.asks_for(branch)))
        .filter_map(|rule| branch_stage(rule, branch, project, stages))
        .take(1)
        .map(|stage| Intent::Follow {
            stage,
            subject: Subject::Branch(branch.clone()),
            target: Target::Branch(branch.clone()),
        })
        .collect()
}

/// Only a stage that comes and goes with its branch goes: nobody loses `prod` by tidying branches.
fn branch_deleted(branch: &Branch, project: &Project, stages: &[StageRecord]) -> Vec<Intent> {
    stages
        .iter()
        .filter(|record| record.subject == Subject::Branch(branch.clone()))
        .filter(|record| !is_permanent(&record.id.name, project))
        .map(|record| Intent::Follow {
            stage: record.id.name.clone(),
            subject: record.subject.clone(),
            target: Target::Gone(GoneReason::BranchDeleted),
        })
        .collect()
}

fn is_permanent(stage: &StageName, project: &Project) -> bool {
    project.stages.iter().any(|rule| rule.pattern == StagePattern::Named(stage.clone()))
}

fn reconcile(project: &Project, stages: &[StageRecord], seen: &Sighting) -> Vec<Intent> {
    let mut intents = Vec::new();
    let find = |name: &StageName| stages.iter().find(|record| record.id.name == *name);
    for pull in &seen.open {
        let named = project.rule_for_pull().filter_map(|rule| Some((rule, rule.pattern.for_pull(pull.number)?)));
        for (rule, stage) in named {
            match find(&stage) {
                None => intents.push(follow_pull(stage, pull.number)),
                // Gone although open: its closing was undone while we were not told.
                Some(record) if matches!(record.status, StageStatus::Gone { .. }) => {
                    intents.push(Intent::Ring { stage });
                }
                // A push that was missed.
                Some(record) if seen.moved.contains(&pull.number) || is_behind(record, pull) => {
                    intents.push(follow_pull(stage, pull.number));
                }
                // A label that was taken off or a draft that was made of it, and nobody told.
                Some(record) if follows(record, pull) && unasked(rule, pull).is_some() => {
                    intents.push(Intent::Ring { stage });
                }
                Some(_) => {}
            }
        }
    }
    for record in stages {
        let stage = record.id.name.clone();
        let is_gone = matches!(record.status, StageStatus::Gone { .. });
        match record.pull() {
            _ if is_gone && seen.existing.contains_key(&stage) => intents.push(Intent::Ring { stage }),
            _ if is_gone => {}
            // A closing that was missed.
            Some(number) if seen.open.iter().all(|pull| pull.number != number) => intents.push(Intent::Nudge { stage }),
            Some(_) => {}
            // Perhaps a push that was missed.
            None => intents.push(Intent::Ring { stage }),
        }
    }
    // Only what says of itself that it comes and goes is judged by a pull request.
    let fleeting = seen.existing.iter().filter(|(_, place)| place.kind == StageKind::Ephemeral);
    for (name, _) in fleeting.filter(|(name, _)| find(name).is_none() && !is_permanent(name, project)) {
        if let Some(number) = pull_of(name, project).or_else(|| usual_pull_of(name)) {
            intents.push(follow_pull(name.clone(), number));
        }
    }
    intents.dedup();
    intents
}

/// Whether a stage that follows a pull request has come to rest at another commit than that is at now.
fn is_behind(record: &StageRecord, pull: &PullRequest) -> bool {
    follows(record, pull) && at_rest(&record.status).is_some_and(|sha| *sha != pull.head.sha)
}

/// Whether a stage follows a pull request by itself, and its lane is not about to look anyway.
fn follows(record: &StageRecord, pull: &PullRequest) -> bool {
    record.target == Target::PullRequest(pull.number) && !record.is_busy()
}

/// The commit that a status speaks of.
fn at_rest(status: &StageStatus) -> Option<&CommitSha> {
    match status {
        StageStatus::Live { sha }
        | StageStatus::Failed { sha }
        | StageStatus::Misconfigured { sha, .. }
        | StageStatus::AwaitingApproval { sha } => Some(sha),
        StageStatus::Withheld { sha, .. } | StageStatus::Blocked { sha, .. } => sha.as_ref(),
        StageStatus::New
        | StageStatus::Deploying { .. }
        | StageStatus::Full { .. }
        | StageStatus::RemovalBlocked
        | StageStatus::Gone { .. } => None,
    }
}

/// The pull request that a stage's name speaks of, for stages that the database does not know.
pub(super) fn pull_of(name: &StageName, project: &Project) -> Option<PullNumber> {
    project.rule_for_pull().find_map(|rule| match &rule.pattern {
        StagePattern::PullRequest { prefix, suffix } => {
            name.as_str().strip_prefix(prefix.as_str())?.strip_suffix(suffix.as_str())?.parse().ok().map(PullNumber)
        }
        StagePattern::Named(_) | StagePattern::Branch { .. } => None,
    })
}

/// The pull request that a name speaks of where no rule does any more: `pr-42`, as previews are
/// called unless somebody called them otherwise.
fn usual_pull_of(name: &StageName) -> Option<PullNumber> {
    name.as_str().strip_prefix("pr-")?.parse().ok().map(PullNumber)
}

/// A wish that came by the command line or a comment, its right already checked where it was made.
fn requested(
    stage: &StageName,
    target: &Target,
    project: &Project,
    stages: &[StageRecord],
    seen: &Sighting,
) -> Vec<Intent> {
    let known = stages.iter().find(|record| record.id.name == *stage);
    let asked = match target {
        Target::PullRequest(number) => Some(Subject::PullRequest(*number)),
        Target::Branch(branch) => Some(Subject::Branch(branch.clone())),
        Target::Commit(_) | Target::Release { .. } | Target::Gone(_) => None,
    };
    let subject = match (asked, known) {
        (Some(subject), Some(record)) if is_anothers(record, &subject, project) => None,
        (Some(subject), _) => Some(subject),
        (None, Some(record)) => Some(record.subject.clone()),
        // What nobody knows may still be removed: by its name, whoever it belonged to.
        (None, None) if matches!(target, Target::Gone(_)) && seen.existing.contains_key(stage) => {
            let pull = pull_of(stage, project).map(Subject::PullRequest);
            pull.or_else(|| Some(Subject::Branch(Branch(stage.to_string()))))
        }
        (None, None) => pull_of(stage, project).map(Subject::PullRequest),
    };
    subject
        .map(|subject| Intent::Follow { stage: stage.clone(), subject, target: target.clone() })
        .into_iter()
        .collect()
}

/// Whether a stage that comes and goes is that of another branch or pull request: it would go with whom it
/// follows, and its owner would be left without.
fn is_anothers(record: &StageRecord, subject: &Subject, project: &Project) -> bool {
    let name = &record.id.name;
    let is_named_for = matches!(subject, Subject::PullRequest(number) if pull_of(name, project) == Some(*number));
    record.subject != *subject && !is_named_for && !is_permanent(name, project)
}
