//! What the gates are judged by. Whoever collects it leaves [`Fact::Unknown`] what it could not
//! learn in full: half a list of checks is not known.

use std::collections::BTreeSet;

use crate::model::{
    ActorKind, Binding, Branch, Checks, CommitSha, Lock, Permission, PullNumber, Review, StageStatus, Timestamp,
    UserId, Witness,
};

/// Something that may not have been learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact<T> {
    Known(T),
    /// Not asked for, not answered, or answered in part: whatever needs it is shut.
    Unknown,
}

impl<T> Fact<T> {
    /// It, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(fact) => Some(fact),
            Self::Unknown => None,
        }
    }
}

/// Who commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub id: UserId,
    /// Only for showing.
    pub login: String,
    pub kind: CallerKind,
    /// What they may do in the repository now.
    pub role: Fact<Permission>,
    /// The slugs of their teams in the repository's organisation, parents of their teams included.
    pub teams: Fact<BTreeSet<String>>,
}

/// What a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    Person,
    Bot,
    /// Greenroom itself.
    Ourselves,
}

impl CallerKind {
    /// Of an account that is not our own.
    pub fn of(kind: ActorKind) -> Self {
        match kind {
            ActorKind::Person => Self::Person,
            ActorKind::Bot => Self::Bot,
        }
    }
}

/// The pull request that was commented on, as GitHub describes it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullFacts {
    pub author: UserId,
    pub origin: Origin,
    pub head_now: CommitSha,
    pub head_branch: Branch,
    pub base: Branch,
}

/// Whose repository commits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Own,
    Fork,
}

/// Where a commit that ran already came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub branch: Branch,
    pub origin: Origin,
}

/// A review, with what its author may do in the repository now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voice {
    pub review: Review,
    pub role: Fact<Permission>,
}

/// How many commits of the base a commit lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    pub sha: CommitSha,
    pub behind_by: u32,
}

/// A lock that concerns the stage; its time may have run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLock {
    pub lock: Lock,
    pub reach: LockReach,
}

/// What a lock holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockReach {
    Stage,
    /// Every stage of the repository.
    All,
}

/// Whether the stage is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupancy {
    Free,
    /// A deploy runs, for this pull request if for one, and so many wait already.
    Busy {
        pull: Option<PullNumber>,
        waiting: u32,
    },
}

/// Everything that a gate may ask for; see [`super::needs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub caller: Caller,
    pub pull: Fact<PullFacts>,
    pub bound: Fact<Binding>,
    /// The commit that a rollback, promotion, redeploy or retry brings.
    pub commit: Fact<CommitSha>,
    /// Where that commit came from.
    pub source: Fact<Source>,
    /// The fork commit that was approved for the stage.
    pub approval: Fact<Option<CommitSha>>,
    pub reviews: Fact<Vec<Voice>>,
    /// Heads of the pull request, with who pushed each where that was seen.
    pub heads: Fact<Vec<Witness>>,
    pub checks: Fact<Checks>,
    pub divergence: Fact<Divergence>,
    pub locks: Fact<Vec<HeldLock>>,
    /// What the stage is at; `None` when there was never one.
    pub stage: Fact<Option<StageStatus>>,
    pub occupancy: Fact<Occupancy>,
    pub now: Timestamp,
}

impl Facts {
    /// Nothing is known but who asks, and when.
    pub fn of(caller: Caller, now: Timestamp) -> Self {
        Self {
            caller,
            pull: Fact::Unknown,
            bound: Fact::Unknown,
            commit: Fact::Unknown,
            source: Fact::Unknown,
            approval: Fact::Unknown,
            reviews: Fact::Unknown,
            heads: Fact::Unknown,
            checks: Fact::Unknown,
            divergence: Fact::Unknown,
            locks: Fact::Unknown,
            stage: Fact::Unknown,
            occupancy: Fact::Unknown,
            now,
        }
    }
}
