//! Who gets a stage: the state of the pull request against its rule, and the rule's places.

use crate::model::{
    CommitSha, DraftPolicy, ForkPolicy, GoneReason, PullRequest, PullRequestState, StageName, StageRecord, StageRule,
    StageStatus, Trigger,
};

/// What a pull request gets now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// A stage at this commit.
    Deploy(CommitSha),
    /// Nothing is built or run until somebody who may approves this commit.
    AwaitApproval(CommitSha),
    /// Every place is taken.
    Full { max: u32, holders: Vec<StageName> },
    /// No stage; one that exists goes.
    Gone(GoneReason),
}

/// Judges a pull request as GitHub describes it now. `approval` is the fork commit that was
/// approved; any other commit is not.
pub fn admit(rule: &StageRule, pull: &PullRequest, approval: Option<&CommitSha>) -> Admission {
    match pull.state {
        PullRequestState::Closed => return Admission::Gone(GoneReason::Closed),
        PullRequestState::Merged => return Admission::Gone(GoneReason::Merged),
        PullRequestState::Open | PullRequestState::Draft => {}
    }
    let Trigger::PullRequest { drafts, forks, label } = &rule.trigger else {
        return Admission::Gone(GoneReason::Unwanted);
    };
    if pull.state == PullRequestState::Draft && *drafts == DraftPolicy::Skip {
        return Admission::Gone(GoneReason::Unwanted);
    }
    if label.as_ref().is_some_and(|label| !pull.labels.contains(label)) {
        return Admission::Gone(GoneReason::Unwanted);
    }
    let sha = pull.head.sha.clone();
    if !pull.is_from_fork() {
        return Admission::Deploy(sha);
    }
    match forks {
        ForkPolicy::Never => Admission::Gone(GoneReason::Unwanted),
        ForkPolicy::Approve if approval == Some(&sha) => Admission::Deploy(sha),
        ForkPolicy::Approve => Admission::AwaitApproval(sha),
    }
}

/// Whether a stage may take one of its rule's places: `None` when it may.
///
/// Stages that have a place keep it. Stages that wait are served in the order of their newest goal,
/// so that many lanes which decide at once come to the same answer without talking to each other.
pub fn admit_place(rule: &StageRule, own: &StageRecord, all: &[StageRecord]) -> Option<Admission> {
    let max = rule.max?;
    if has_place(own) {
        return None;
    }
    let comes_first = |stage: &StageRecord| {
        stage.status == StageStatus::New && (stage.touched_at, &stage.id.name) < (own.touched_at, &own.id.name)
    };
    let holders: Vec<StageName> = all
        .iter()
        .filter(|stage| stage.id != own.id && stage.id.repo == own.id.repo && belongs(rule, stage))
        .filter(|stage| has_place(stage) || comes_first(stage))
        .map(|stage| stage.id.name.clone())
        .collect();
    let taken = u32::try_from(holders.len()).unwrap_or(u32::MAX);
    (taken >= max).then_some(Admission::Full { max, holders })
}

/// Whether a stage holds one of its rule's places.
pub fn has_place(stage: &StageRecord) -> bool {
    !matches!(
        stage.status,
        StageStatus::New | StageStatus::Full { .. } | StageStatus::Gone { .. } | StageStatus::AwaitingApproval { .. }
    )
}

fn belongs(rule: &StageRule, stage: &StageRecord) -> bool {
    use crate::model::Subject;
    match &stage.subject {
        Subject::PullRequest(number) => rule.pattern.for_pull(*number).as_ref() == Some(&stage.id.name),
        Subject::Branch(branch) => rule.pattern.is_of_branch(branch, &stage.id.name),
    }
}
