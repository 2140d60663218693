//! When a plan prepares a stage, and what waits for it.

use super::fixture::{all_serving, release, spec, stage};
use super::*;
use crate::model::{Action, Changed, Generation, Interruption, Observed, Place, Plan, StepKey, Wanted};

fn planned(wanted: &Wanted, present: &Present<'_>) -> Plan {
    plan(&stage("pr-7"), &Place::default(), Generation(1), wanted, present)
}

#[test]
fn a_stage_is_prepared_beside_its_builds_when_its_blueprint_differs() {
    let wanted = Wanted::Live(Box::new(spec('b')));
    let (settled, release) = (all_serving(), release(&spec('a')));
    let observed = |blueprint: Option<&str>| Observed { blueprint: blueprint.map(Into::into), ..settled.clone() };
    let needs_of = |step: &str, had: Option<&str>, wants: Option<&str>| {
        let observed = observed(had);
        let changed = Changed::Everything;
        let present = Present {
            observed: &observed,
            release: Some(&release),
            changed: &changed,
            blueprint: wants,
            build_deadline: BUILD_DEADLINE,
        };
        let plan = planned(&wanted, &present);
        plan.steps.into_iter().find(|found| found.key.0 == step).map(|found| (found.needs, found.interruption))
    };
    for (had, wants) in [(None, Some("new")), (Some("old"), Some("new")), (Some("old"), None)] {
        assert_eq!(needs_of("prepare", had, wants), Some((vec![], Interruption::Forbidden)), "{had:?} {wants:?}");
        for step in ["migrate:api", "start:web", "start:worker"] {
            let (needs, _) = needs_of(step, had, wants).unwrap();
            assert!(needs.contains(&StepKey("prepare".into())), "{step} waits for it");
        }
        let (needs, _) = needs_of("build:web", had, wants).unwrap();
        assert_eq!(needs, [StepKey("fetch".into())], "a build does not");
    }
    for same in [None, Some("same")] {
        assert_eq!(needs_of("prepare", same, same), None);
    }
}

#[test]
fn what_is_live_is_not_settled_while_its_blueprint_differs() {
    let (observed, live) = (Observed { blueprint: Some("old".into()), ..all_serving() }, spec('a'));
    let (release, none) = (release(&live), Changed::Files(Vec::new()));
    let present = |blueprint| Present {
        observed: &observed,
        release: Some(&release),
        changed: &none,
        blueprint,
        build_deadline: BUILD_DEADLINE,
    };
    let wanted = Wanted::Live(Box::new(live.clone()));
    assert_eq!(planned(&wanted, &present(Some("old"))).steps, []);
    assert_eq!(planned(&wanted, &present(Some("new"))).steps[0].action, Action::Prepare);
}
