//! What is to be done about a build on a runner, from what is known of its run. Pure.

use crate::model::Timestamp;
use crate::port::{Conclusion, RunState};

/// So long a run that was taken may stay out of GitHub's list.
const UNLISTED_MILLIS: i64 = 120_000;
/// After so long a wish that was not answered is taken for unheard, if no run came of it.
const UNHEARD_MILLIS: i64 = 60_000;
/// So long a registry may take to show what was just pushed.
const GRACE_MILLIS: i64 = 30_000;
/// So long a new run may not be found under the number that GitHub gave it.
const NEW_MILLIS: i64 = 60_000;

/// Whether a run was asked for, by this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    No,
    /// GitHub took it.
    Heard(Timestamp),
    /// It was not answered.
    Unheard(Timestamp),
}

/// What was seen of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// None has the nonce.
    Nothing,
    /// One has, or had, and is not there any more.
    Gone,
    Run(RunState),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask for a run.
    Ask,
    /// Look again.
    Wait(Waiting),
    /// The run has ended: look what is in the registry, which alone counts.
    Collect(Conclusion),
    Fail(Trouble),
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Listing,
    Runner,
    Build,
    Registry,
}

/// Why nothing comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It was taken, and no run has the nonce.
    NeverListed,
    /// Somebody deleted the run.
    Deleted,
    /// The run says success, and there is no image.
    NoImage,
    Ended(Conclusion),
}

impl Waiting {
    /// In milliseconds. Whoever waits is rung when GitHub tells that something happened; this heals what it
    /// does not tell.
    pub(super) fn again_millis(self) -> i64 {
        match self {
            Self::Listing | Self::Registry => 5_000,
            Self::Build => 10_000,
            Self::Runner => 15_000,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Listing => "asked for a runner",
            Self::Runner => "waiting for a runner",
            Self::Build => "building on a runner",
            Self::Registry => "waiting for the image in the registry",
        }
    }
}

/// Decides.
pub(super) fn judge(asked: Asked, seen: Seen, now: Timestamp) -> Verdict {
    match (seen, asked) {
        (Seen::Run(RunState::Waiting), _) => Verdict::Wait(Waiting::Runner),
        (Seen::Run(RunState::Running), _) => Verdict::Wait(Waiting::Build),
        (Seen::Run(RunState::Ended(conclusion)), _) => Verdict::Collect(conclusion),
        // GitHub's copies learn of a run one after the other.
        (Seen::Gone, Asked::Heard(at)) if now.since(at) < NEW_MILLIS => Verdict::Wait(Waiting::Listing),
        (Seen::Gone, _) => Verdict::Fail(Trouble::Deleted),
        (Seen::Nothing, Asked::Unheard(at)) if now.since(at) < UNHEARD_MILLIS => Verdict::Wait(Waiting::Listing),
        (Seen::Nothing, Asked::No | Asked::Unheard(_)) => Verdict::Ask,
        (Seen::Nothing, Asked::Heard(at)) if now.since(at) < UNLISTED_MILLIS => Verdict::Wait(Waiting::Listing),
        (Seen::Nothing, Asked::Heard(_)) => Verdict::Fail(Trouble::NeverListed),
    }
}

/// Decides about a run that has ended, with nothing under the content's tag. `since`: when that was seen
/// first.
pub(super) fn judge_without_image(conclusion: Conclusion, since: Timestamp, now: Timestamp) -> Verdict {
    match conclusion {
        Conclusion::Success if now.since(since) < GRACE_MILLIS => Verdict::Wait(Waiting::Registry),
        Conclusion::Success => Verdict::Fail(Trouble::NoImage),
        other => Verdict::Fail(Trouble::Ended(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn ago(seconds: i64) -> Timestamp {
        Timestamp(NOW.0 - 1_000 * seconds)
    }

    #[test]
    fn each_state_of_a_run_has_its_answer() {
        use Asked::{Heard, No, Unheard};
        use Seen::{Gone, Nothing, Run};
        let ended = |conclusion| Run(RunState::Ended(conclusion));
        let table = [
            // Asked, seen, what to do.
            (No, Nothing, Verdict::Ask),
            (Unheard(ago(59)), Nothing, Verdict::Wait(Waiting::Listing)),
            (Unheard(ago(60)), Nothing, Verdict::Ask),
            (Heard(ago(119)), Nothing, Verdict::Wait(Waiting::Listing)),
            (Heard(ago(120)), Nothing, Verdict::Fail(Trouble::NeverListed)),
            (Heard(ago(59)), Gone, Verdict::Wait(Waiting::Listing)),
            (Heard(ago(60)), Gone, Verdict::Fail(Trouble::Deleted)),
            (Unheard(ago(1)), Gone, Verdict::Fail(Trouble::Deleted)),
            (No, Gone, Verdict::Fail(Trouble::Deleted)),
            (No, Run(RunState::Waiting), Verdict::Wait(Waiting::Runner)),
            (Heard(ago(9_999)), Run(RunState::Waiting), Verdict::Wait(Waiting::Runner)),
            (Unheard(ago(9_999)), Run(RunState::Running), Verdict::Wait(Waiting::Build)),
            (No, ended(Conclusion::Success), Verdict::Collect(Conclusion::Success)),
            (Heard(ago(1)), ended(Conclusion::Failure), Verdict::Collect(Conclusion::Failure)),
            (Heard(ago(1)), ended(Conclusion::Cancelled), Verdict::Collect(Conclusion::Cancelled)),
        ];
        for (asked, seen, expected) in table {
            assert_eq!(judge(asked, seen, NOW), expected, "{asked:?} {seen:?}");
        }
    }

    #[test]
    fn a_success_without_an_image_is_none() {
        let all = [
            (Conclusion::Success, 29, Verdict::Wait(Waiting::Registry)),
            (Conclusion::Success, 30, Verdict::Fail(Trouble::NoImage)),
            (Conclusion::Failure, 0, Verdict::Fail(Trouble::Ended(Conclusion::Failure))),
            (Conclusion::Cancelled, 0, Verdict::Fail(Trouble::Ended(Conclusion::Cancelled))),
            (Conclusion::StartupFailure, 0, Verdict::Fail(Trouble::Ended(Conclusion::StartupFailure))),
            (Conclusion::Other, 0, Verdict::Fail(Trouble::Ended(Conclusion::Other))),
        ];
        for (conclusion, seconds, expected) in all {
            assert_eq!(judge_without_image(conclusion, ago(seconds), NOW), expected, "{conclusion:?} {seconds}");
        }
    }
}
