//! By which look at a stage's stack a rollout goes on.

use super::*;
use crate::aws::scripted::{Scripted, answered, spec};
use crate::model::{Artifact, Generation, VersionKey};

const STACKS: &str = "cloudformation:DescribeStacks";

async fn ensured(w: &Scripted, phase: Phase) -> PortResult<Progress<Output>> {
    let (stage, version) = (spec(&w.stage), VersionKey("0123456789abcdef".into()));
    let artifact = Artifact { reference: "r/web@sha256:0".into(), digest: "sha256:0".into() };
    let (service, generation) = (&stage.services[0], Generation(1));
    let rollout = Rollout { stage: &stage, service, artifact: &artifact, version: &version, generation };
    ensure(&w.shared, phase, &rollout).await
}

/// A stack that was read a moment ago, and that serves what is wanted by its blueprint.
fn remember(w: &Scripted, change: impl FnOnce(&mut stage_stack::StageStack)) {
    let mut stack = answered(&prepare::blueprint(&w.shared, &spec(&w.stage)));
    change(&mut stack);
    w.shared.rollouts.know_stack(&w.stage, &Arc::new(stack));
}

#[tokio::test]
async fn what_is_retired_is_read_now_and_not_remembered() {
    let w = Scripted::new();
    remember(&w, |_| ());
    w.script.tells(STACKS, "<Stacks></Stacks>");
    let retired = ensured(&w, Phase::Retire).await;
    assert!(matches!(retired, Ok(Progress::Done(Output::Nothing))), "{retired:?}");
    assert_eq!(w.script.calls(), [STACKS], "the service that is remembered is gone with its stack");
}

#[tokio::test]
async fn nothing_fails_by_a_stack_that_is_another_one_by_now() {
    let w = Scripted::new();
    remember(&w, |stack| stack.services.clear());
    w.has_stack("UPDATE_COMPLETE");
    w.script.refuses("ecs:DescribeServices");
    let started = ensured(&w, Phase::Start).await;
    assert!(matches!(started, Err(PortError::Denied { .. })), "its service was looked for: {started:?}");
    assert_eq!(w.script.calls(), [STACKS, "ecs:DescribeServices"]);
    // What is remembered is looked at without another question where that does.
    let w = Scripted::new();
    remember(&w, |_| ());
    w.script.refuses("ecs:DescribeServices");
    let started = ensured(&w, Phase::Start).await;
    assert!(matches!(started, Err(PortError::Denied { .. })), "{started:?}");
    assert_eq!(w.script.calls(), ["ecs:DescribeServices"]);
}
