//! What went wrong, as a reader sees it.

use super::clean::{clean_lines, cut};
use super::read::{Run, step_view, text};
use super::redact::redact_lines;
use super::stage::{FailureView, StagePhase, StepView};
use super::trouble::reason;
use crate::model::{Failure, StageRecord, StageStatus};

/// More of a log than these last lines, and these characters of each, is never shown, and so not looked at.
const MOST_LINES: usize = 200;
const MOST_WIDTH: usize = 4_000;

/// Why the newest goal failed, or what is live is not well.
pub(super) fn failure(record: &StageRecord, phase: StagePhase, run: Option<Run<'_>>) -> Option<FailureView> {
    if let StageStatus::Blocked { failure, .. } = &record.status {
        return Some(failure_view(None, failure));
    }
    if phase == StagePhase::Unhealthy {
        return reason(&record.conditions);
    }
    let (deploy, log) = run?;
    let (key, failure) = log.failure()?;
    let step = deploy.plan.steps.iter().find(|step| step.key == *key);
    Some(failure_view(step.map(|step| step_view(&step.action)), failure))
}

pub(super) fn failure_view(step: Option<StepView>, failure: &Failure) -> FailureView {
    let Failure { kind, summary, exit_code, log, advice } = failure;
    FailureView {
        step,
        kind: *kind,
        summary: text(summary),
        exit_code: *exit_code,
        log: last_lines(log),
        advice: text(advice),
    }
}

fn last_lines(log: &[String]) -> Vec<String> {
    let last = &log[log.len().saturating_sub(MOST_LINES)..];
    let lines: Vec<String> = last.iter().map(|line| cut(line, MOST_WIDTH)).collect();
    redact_lines(&clean_lines(&lines), &[])
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{World, at, body, sha, small};
    use super::super::{status_rows, status_table};
    use super::*;
    use crate::model::{FailureKind, GoneReason, Outcome, Target};

    fn blocked(world: &mut World, commit: Option<char>) {
        let summary = "AWS refused ecr:DescribeRepositories on `repository/*`";
        let failure = Failure::new(FailureKind::Environment, summary, "Grant what is missing.");
        world.record.status = StageStatus::Blocked { sha: commit.map(sha), failure };
    }

    #[test]
    fn a_removal_that_cannot_begin_is_told_with_the_way_out() {
        for before in [Outcome::Live, Outcome::Failed] {
            let mut world = World::new();
            world.deploy(sha('a'), 0);
            world.succeed(0);
            if before == Outcome::Failed {
                world.deploy(sha('b'), 300);
                world.end(Outcome::Failed, 310);
            }
            world.record.target = Target::Gone(GoneReason::Closed);
            blocked(&mut world, None);
            let (body, small) = (body(&world), small(&world.view()));
            assert!(body.contains("### pr-42 could not be removed\n"), "{body}");
            for told in ["ecr:DescribeRepositories", "**What to do:** Grant what is missing", "still serves"] {
                assert!(body.contains(told), "{told} is not in {body}");
            }
            assert!(small.contains("line: pr-42 could not be removed · AWS refused"), "{small}");
            assert!(small.contains("comment: Write"), "{small}");
            let table = status_table(&status_rows(&[world.view()]), at(600));
            assert!(table.contains("stuck") && table.contains("Grant what is missing."), "{table}");
        }
    }

    #[test]
    fn a_deploy_that_cannot_begin_is_told_with_the_commit_that_serves() {
        let mut world = World::new();
        world.deploy(sha('a'), 0);
        world.succeed(0);
        blocked(&mut world, Some('b'));
        let (body, small) = (body(&world), small(&world.view()));
        assert!(body.contains("### pr-42 failed · `bbbbbbb`"), "{body}");
        assert!(body.contains("ecr:DescribeRepositories") && body.contains("`aaaaaaa` still serves."), "{body}");
        assert!(small.contains("check Failure: pr-42 failed · bbbbbbb"), "{small}");
    }
}
