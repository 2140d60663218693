//! Which move a stack's status asks for.

use aws_sdk_cloudformation::types::StackStatus;

/// What this process has begun on a stack in this attempt. After a restart nothing is known, and
/// what is found failed counts as left over from before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Attempt {
    #[default]
    None,
    /// A create or update was begun, or one of the same holder was waited for.
    Change,
    /// A rollback was asked for: of an update that failed, or of a rollback that was stuck.
    Rollback,
}

/// Whether the stack was made from what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::aws) enum Match {
    /// A stack of one holder, as that one wants it.
    Same,
    Different,
    /// A stack of several holders, to which each only adds: it has all that this one wants.
    Has,
    Lacks,
}

/// What to do about a stack that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Create,
    Update,
    Done,
    /// CloudFormation is at it.
    Wait,
    /// It never lived, so nothing is lost: away with it, then create.
    Clear,
    ContinueRollback,
    /// Tell why our operation failed.
    Fail,
    /// Nothing that we may do helps: tell the way out.
    Stuck,
}

/// Source of the statuses: `CloudFormation` user guide, "Stack status codes".
pub(super) fn to_hold(status: Option<&StackStatus>, same: Match, attempt: Attempt) -> Move {
    use StackStatus as S;
    let Some(status) = status else { return Move::Create };
    match (status, attempt) {
        // What becomes of another's change is nothing to whoever has all that it wants.
        (
            S::UpdateInProgress
            | S::UpdateCompleteCleanupInProgress
            | S::UpdateRollbackInProgress
            | S::UpdateRollbackCompleteCleanupInProgress,
            _,
        ) if same == Match::Has => Move::Done,
        (
            S::CreateComplete
            | S::UpdateComplete
            | S::ImportComplete
            | S::UpdateRollbackComplete
            | S::ImportRollbackComplete,
            _,
        ) if matches!(same, Match::Same | Match::Has) => Move::Done,
        (
            S::UpdateRollbackComplete | S::UpdateFailed | S::CreateFailed | S::RollbackComplete | S::RollbackFailed,
            Attempt::Change,
        ) => Move::Fail,
        (
            S::CreateComplete
            | S::UpdateComplete
            | S::ImportComplete
            | S::UpdateRollbackComplete
            | S::ImportRollbackComplete
            // An update that was not to be rolled back; the next one mends it.
            | S::UpdateFailed,
            _,
        ) => Move::Update,
        (
            S::CreateInProgress
            | S::DeleteInProgress
            | S::ImportInProgress
            | S::ImportRollbackInProgress
            | S::RollbackInProgress
            | S::UpdateCompleteCleanupInProgress
            | S::UpdateInProgress
            | S::UpdateRollbackCompleteCleanupInProgress
            | S::UpdateRollbackInProgress,
            _,
        ) => Move::Wait,
        (
            S::CreateFailed
            | S::RollbackComplete
            | S::RollbackFailed
            // A change set that was never executed made a stack of nothing.
            | S::ReviewInProgress
            | S::DeleteFailed
            | S::DeleteComplete,
            _,
        ) => Move::Clear,
        (S::UpdateRollbackFailed, Attempt::None | Attempt::Change) => Move::ContinueRollback,
        // `UPDATE_ROLLBACK_FAILED` once more, `IMPORT_ROLLBACK_FAILED`, and statuses that AWS added later.
        _ => Move::Stuck,
    }
}

/// How a stack is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delete {
    Plain,
    /// Leaving out what could not be deleted.
    Retain,
    /// Forgetting what could not be deleted.
    Force,
}

/// What to do about a stack that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    Done,
    Wait,
    Delete(Delete),
    Stuck,
}

/// `failures`: how many times deleting it has failed so far.
pub(super) fn to_go(status: Option<&StackStatus>, failures: usize) -> Farewell {
    use StackStatus as S;
    let Some(status) = status else { return Farewell::Done };
    match status {
        S::DeleteComplete => Farewell::Done,
        // What is being changed cannot be deleted; what is being created can.
        S::DeleteInProgress
        | S::ImportInProgress
        | S::ImportRollbackInProgress
        | S::RollbackInProgress
        | S::UpdateCompleteCleanupInProgress
        | S::UpdateInProgress
        | S::UpdateRollbackCompleteCleanupInProgress
        | S::UpdateRollbackInProgress => Farewell::Wait,
        // The first retry often does it, because what stood in the way went with the rest.
        S::DeleteFailed => match failures {
            0 | 1 => Farewell::Delete(Delete::Plain),
            2 => Farewell::Delete(Delete::Retain),
            3 => Farewell::Delete(Delete::Force),
            _ => Farewell::Stuck,
        },
        _ => Farewell::Delete(Delete::Plain),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const FIRST: (Match, Attempt) = (Match::Different, Attempt::None);

    /// Every status of the SDK, for a first look, after our own change, and when it is as wanted.
    #[test]
    fn every_status_has_its_move() {
        let mut table = String::new();
        for text in StackStatus::values() {
            let status = StackStatus::from(*text);
            let of = |(same, attempt)| to_hold(Some(&status), same, attempt);
            let _ = writeln!(
                table,
                "{text}: {:?}, then {:?}, as wanted {:?}, after a rollback {:?}, shared {:?}",
                of(FIRST),
                of((Match::Different, Attempt::Change)),
                of((Match::Same, Attempt::None)),
                of((Match::Different, Attempt::Rollback)),
                of((Match::Has, Attempt::None)),
            );
        }
        insta::assert_snapshot!(table, @r"
        CREATE_COMPLETE: Update, then Update, as wanted Done, after a rollback Update, shared Done
        CREATE_FAILED: Clear, then Fail, as wanted Clear, after a rollback Clear, shared Clear
        CREATE_IN_PROGRESS: Wait, then Wait, as wanted Wait, after a rollback Wait, shared Wait
        DELETE_COMPLETE: Clear, then Clear, as wanted Clear, after a rollback Clear, shared Clear
        DELETE_FAILED: Clear, then Clear, as wanted Clear, after a rollback Clear, shared Clear
        DELETE_IN_PROGRESS: Wait, then Wait, as wanted Wait, after a rollback Wait, shared Wait
        IMPORT_COMPLETE: Update, then Update, as wanted Done, after a rollback Update, shared Done
        IMPORT_IN_PROGRESS: Wait, then Wait, as wanted Wait, after a rollback Wait, shared Wait
        IMPORT_ROLLBACK_COMPLETE: Update, then Update, as wanted Done, after a rollback Update, shared Done
        IMPORT_ROLLBACK_FAILED: Stuck, then Stuck, as wanted Stuck, after a rollback Stuck, shared Stuck
        IMPORT_ROLLBACK_IN_PROGRESS: Wait, then Wait, as wanted Wait, after a rollback Wait, shared Wait
        REVIEW_IN_PROGRESS: Clear, then Clear, as wanted Clear, after a rollback Clear, shared Clear
        ROLLBACK_COMPLETE: Clear, then Fail, as wanted Clear, after a rollback Clear, shared Clear
        ROLLBACK_FAILED: Clear, then Fail, as wanted Clear, after a rollback Clear, shared Clear
        ROLLBACK_IN_PROGRESS: Wait, then Wait, as wanted Wait, after a rollback Wait, shared Wait
        UPDATE_COMPLETE: Update, then Update, as wanted Done, after a rollback Update, shared Done
        UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: Wait, then Wait, as wanted Wait, after a rollback Wait, shared Done
        UPDATE_FAILED: Update, then Fail, as wanted Update, after a rollback Update, shared Update
        UPDATE_IN_PROGRESS: Wait, then Wait, as wanted Wait, after a rollback Wait, shared Done
        UPDATE_ROLLBACK_COMPLETE: Update, then Fail, as wanted Done, after a rollback Update, shared Done
        UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS: Wait, then Wait, as wanted Wait, after a rollback Wait, shared Done
        UPDATE_ROLLBACK_FAILED: ContinueRollback, then ContinueRollback, as wanted ContinueRollback, after a rollback Stuck, shared ContinueRollback
        UPDATE_ROLLBACK_IN_PROGRESS: Wait, then Wait, as wanted Wait, after a rollback Wait, shared Done
        ");
        for same in [Match::Same, Match::Has] {
            let after = |attempt| to_hold(Some(&StackStatus::UpdateRollbackComplete), same, attempt);
            assert_eq!([Attempt::Change, Attempt::Rollback].map(after), [Move::Done; 2], "what was waited for failed");
        }
        assert_eq!(to_hold(None, Match::Different, Attempt::Change), Move::Create);
        assert_eq!(to_hold(Some(&StackStatus::from("NEW_WORD")), Match::Same, Attempt::None), Move::Stuck);
    }

    #[test]
    fn every_status_has_its_way_to_go() {
        let mut table = String::new();
        for text in StackStatus::values() {
            let _ = writeln!(table, "{text}: {:?}", to_go(Some(&StackStatus::from(*text)), 0));
        }
        insta::assert_snapshot!(table, @r"
        CREATE_COMPLETE: Delete(Plain)
        CREATE_FAILED: Delete(Plain)
        CREATE_IN_PROGRESS: Delete(Plain)
        DELETE_COMPLETE: Done
        DELETE_FAILED: Delete(Plain)
        DELETE_IN_PROGRESS: Wait
        IMPORT_COMPLETE: Delete(Plain)
        IMPORT_IN_PROGRESS: Wait
        IMPORT_ROLLBACK_COMPLETE: Delete(Plain)
        IMPORT_ROLLBACK_FAILED: Delete(Plain)
        IMPORT_ROLLBACK_IN_PROGRESS: Wait
        REVIEW_IN_PROGRESS: Delete(Plain)
        ROLLBACK_COMPLETE: Delete(Plain)
        ROLLBACK_FAILED: Delete(Plain)
        ROLLBACK_IN_PROGRESS: Wait
        UPDATE_COMPLETE: Delete(Plain)
        UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: Wait
        UPDATE_FAILED: Delete(Plain)
        UPDATE_IN_PROGRESS: Wait
        UPDATE_ROLLBACK_COMPLETE: Delete(Plain)
        UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS: Wait
        UPDATE_ROLLBACK_FAILED: Delete(Plain)
        UPDATE_ROLLBACK_IN_PROGRESS: Wait
        ");
        let ladder: Vec<Farewell> = (0..=4).map(|failures| to_go(Some(&StackStatus::DeleteFailed), failures)).collect();
        insta::assert_debug_snapshot!(ladder, @r"
        [
            Delete(
                Plain,
            ),
            Delete(
                Plain,
            ),
            Delete(
                Retain,
            ),
            Delete(
                Force,
            ),
            Stuck,
        ]
        ");
        assert_eq!(to_go(None, 3), Farewell::Done);
    }
}
