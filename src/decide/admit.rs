//! Who gets a stage: the state of the pull request against its rule, and the rule's places.

use crate::model::{
    CommitSha, DraftPolicy, ForkPolicy, GoneReason, Prefix, PullRequest, PullRequestState, StageName, StageRecord,
    StageRule, StageStatus, Trigger, Verb, is_same_label,
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
    if !matches!(rule.trigger, Trigger::PullRequest { .. }) {
        return Admission::Gone(GoneReason::Unwanted);
    }
    if let Some(why) = unasked(rule, pull) {
        return Admission::Gone(why.into());
    }
    let sha = pull.head.sha.clone();
    if !pull.is_from_fork() || approval == Some(&sha) { Admission::Deploy(sha) } else { Admission::AwaitApproval(sha) }
}

/// Why an open pull request gets no stage by itself, although there is a rule for pull requests. Somebody may
/// ask for one all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unasked {
    Draft,
    /// It does not have this label.
    Label(String),
    /// It is a fork's or Dependabot's.
    Stranger,
}

/// What of the pull request is against its rule; `None` where nothing is.
pub fn unasked(rule: &StageRule, pull: &PullRequest) -> Option<Unasked> {
    let Trigger::PullRequest { drafts, forks, label } = &rule.trigger else { return None };
    if pull.state == PullRequestState::Draft && *drafts == DraftPolicy::Skip {
        return Some(Unasked::Draft);
    }
    let has = |wanted: &str| pull.labels.iter().any(|label| is_same_label(label, wanted));
    if let Some(label) = label.as_ref().filter(|label| !has(label)) {
        return Some(Unasked::Label(label.clone()));
    }
    (*forks == ForkPolicy::Never && pull.is_from_fork()).then_some(Unasked::Stranger)
}

impl From<Unasked> for GoneReason {
    fn from(why: Unasked) -> Self {
        match why {
            Unasked::Draft => Self::Draft,
            Unasked::Label(label) => Self::Unlabeled { label },
            Unasked::Stranger => Self::Stranger,
        }
    }
}

impl Unasked {
    /// What stands in the way, and what leads around it: what follows "because".
    pub fn words(&self, prefix: &Prefix) -> String {
        let or_ask = format!("or ask for a stage with `{prefix}{}`", Verb::Deploy);
        match self {
            Self::Draft => format!("it is a draft: mark it as ready for review, {or_ask}"),
            Self::Label(label) => format!("it does not have the label {label}: add that, {or_ask}"),
            Self::Stranger => "it is of a fork or of Dependabot, and `forks: never` gives those none".to_owned(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixture::{record, rule, sha};
    use crate::model::{Branch, BranchFilter, StagePattern, Subject, Target};

    #[test]
    fn the_stage_of_a_branch_has_its_place_by_whatever_name_it_was_given() {
        let pattern = StagePattern::Branch { prefix: String::new(), suffix: String::new() };
        let trigger = Trigger::Push { branches: BranchFilter::of("*") };
        let rule = StageRule { max: Some(1), ..rule(pattern.clone(), trigger) };
        let of = |name: &str, branch: &str| {
            let branch = Branch(branch.into());
            record(name, Subject::Branch(branch.clone()), Target::Branch(branch))
        };
        let next = of("topic", "topic");
        let names = pattern.names_of_branch(&Branch("feature/login".into()));
        // As an older version called it, and as it is called where another has its first name.
        for name in ["feature-login", names[0].as_str(), names[1].as_str()] {
            let old = of(name, "feature/login");
            let live = StageRecord { status: StageStatus::Live { sha: sha('a') }, ..old };
            let full = Admission::Full { max: 1, holders: vec![live.id.name.clone()] };
            assert_eq!(admit_place(&rule, &next, &[next.clone(), live]), Some(full), "{name}");
        }
        let other = StageRecord { status: StageStatus::Live { sha: sha('a') }, ..of("prod", "main") };
        assert_eq!(admit_place(&rule, &next, &[next.clone(), other]), None, "the stage of another rule");
    }
}
