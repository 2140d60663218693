//! What went live and does not stay up, on each surface, until it has recovered.

use super::fixture::{World, at, body, exited, service, sha, small};
use super::*;
use crate::model::{CheckState, DeploymentState, Failure, FailureKind, Outcome, Unrest};

fn unrest(over: Option<i64>) -> Unrest {
    Unrest {
        service: service("web"),
        well: 0,
        wanted: 1,
        restarts: 4,
        since: at(300),
        over: over.map(at),
        failure: Failure {
            kind: FailureKind::Exited,
            summary: "`web` ended with exit code 7".into(),
            exit_code: Some(7),
            log: vec!["out of handles".into()],
            advice: "Its last lines say why.".into(),
        },
    }
}

fn live() -> World {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    world
}

#[test]
fn what_does_not_stay_up_is_live_no_more_wherever_it_is_shown() {
    let mut world = live();
    world.record.unrest = vec![unrest(None)];
    let view = world.view();
    assert_eq!(view.phase, StagePhase::Unhealthy);
    let comment = body(&world);
    let since = format!("web has not been well since {}", at(300));
    for said in [
        "### pr-42 is live and does not stay up · `aaaaaaa` · web started again 4 times",
        since.as_str(),
        "it was started again 4 times, and 0 of 1 copy can be asked now. `web` ended with exit code 7",
        "out of handles",
        "**What to do:** Its last lines say why.",
        "| web | unhealthy | <https://pr-42.example.com> | running 0/1 |",
        "| api | live |",
    ] {
        assert!(comment.contains(said), "{said}\n{comment}");
    }
    assert!(!comment.contains("still serves"), "{comment}");
    let check = check(&view);
    assert_eq!(check.state, CheckState::Failure);
    assert!(check.summary.contains("out of handles"), "{}", check.summary);
    let deployment = deployment(&view);
    assert_eq!(
        (deployment.state, deployment.url.as_deref()),
        (DeploymentState::Failure, Some("https://pr-42.example.com"))
    );
    assert!(small(&view).contains("`web` ended with exit code 7"), "{}", small(&view));
    let rows = status_rows(&[view]);
    assert_eq!((rows[0].state, rows[0].services_up, rows[0].services), (StagePhase::Unhealthy, 2, 3));
}

#[test]
fn what_has_recovered_is_live_and_tells_of_it() {
    let mut world = live();
    world.record.unrest = vec![unrest(Some(420))];
    let view = world.view();
    assert_eq!((view.phase, check(&view).state), (StagePhase::Live, CheckState::Success));
    let comment = body(&world);
    let told =
        format!("web has recovered: it was started again 4 times from {} on, and is well since {}.", at(300), at(420));
    assert!(comment.contains(&told) && comment.contains("| web | live |"), "{comment}");
    assert!(!comment.contains("out of handles"), "{comment}");
}

#[test]
fn what_still_serves_and_does_not_stay_up_is_told_beside_the_goal_that_failed() {
    let mut world = live();
    world.deploy(sha('b'), 310);
    world.done("fetch", 310, 313, crate::model::Output::Nothing);
    world.fail("build:web", 313, 320, exited());
    world.record.unrest = vec![unrest(None)];
    let view = world.view();
    assert_eq!(view.phase, StagePhase::Failed);
    let comment = body(&world);
    assert!(comment.contains("still serves") && comment.contains("has not been well"), "{comment}");
    assert_eq!(world.deploys[0].ended.map(|(_, outcome)| outcome), Some(Outcome::Failed));
}

#[test]
fn a_stage_that_goes_says_nothing_of_it() {
    let mut world = live();
    world.record.unrest = vec![unrest(None)];
    world.remove(crate::model::GoneReason::Closed, 400);
    assert!(world.view().unrest.is_empty());
    assert!(!body(&world).contains("not been well"));
}
