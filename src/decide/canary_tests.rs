//! Plans in which one copy of a new version is watched before the rest follows.

use super::fixture::{all_serving, name, spec, stage};
use super::*;
use crate::model::{
    Changed, Fence, Generation, Observed, Output, Pinned, Place, Plan, Seconds, StageSpec, StepEvent, StepEventKind,
    StepLog, Timestamp, Wanted,
};

const SERVICES: [&str; 3] = ["api", "web", "worker"];

/// The shop's goal, in which these services are watched first.
fn watched(services: &[&str]) -> StageSpec {
    let mut spec = spec('b');
    for service in &mut spec.services {
        service.canary = services.contains(&service.name.as_str()).then_some(Seconds(600));
    }
    spec
}

fn planned(spec: StageSpec, observed: &Observed) -> Plan {
    let present = Present {
        observed,
        release: None,
        changed: &Changed::Everything,
        blueprint: None,
        build_deadline: BUILD_DEADLINE,
    };
    plan(&stage("pr-7"), &Place::default(), Generation(9), &Wanted::Live(Box::new(spec)), &present)
}

/// The order in which the steps run, each done at once.
fn order(plan: &Plan) -> Vec<String> {
    let (mut log, mut order) = (StepLog::default(), Vec::new());
    while let Next::Run { step, .. } = next(plan, &log, Timestamp(10)) {
        order.push(step.key.0.clone());
        for kind in [StepEventKind::Started, StepEventKind::Done(Output::Nothing)] {
            let event =
                StepEvent { seq: log.next_seq(), step: step.key.clone(), fence: Fence(1), at: Timestamp(10), kind };
            log.push(event).unwrap();
        }
    }
    order
}

#[test]
fn one_copy_is_watched_before_anything_else_changes() {
    let order = order(&planned(watched(&["worker"]), &all_serving()));
    let at = |key: &str| order.iter().position(|other| other == key).expect("it is in the plan");
    for later in ["start:worker", "start:api", "start:web", "shift:api"] {
        assert!(at("canary:worker") < at(later), "{later}: {order:?}");
    }
}

#[test]
fn what_a_watched_copy_needs_is_live_before_it() {
    let order = order(&planned(watched(&["web"]), &all_serving()));
    let at = |key: &str| order.iter().position(|other| other == key).expect("it is in the plan");
    assert!(at("check:api") < at("canary:web") && at("canary:web") < at("start:web"), "{order:?}");
}

#[test]
fn whichever_services_are_watched_every_step_finds_its_turn() {
    for set in 0..8_usize {
        let some: Vec<&str> = (0..3).filter(|bit| set >> bit & 1 == 1).map(|bit| SERVICES[bit]).collect();
        for needs in [&[][..], &[("worker", "web")], &[("worker", "api")], &[("api", "worker")]] {
            let mut spec = watched(&some);
            for (service, need) in needs {
                let service = spec.services.iter_mut().find(|found| found.name == name(service));
                service.expect("it is there").needs.push(name(need));
            }
            let plan = planned(spec, &all_serving());
            let canaries = plan.steps.iter().filter(|step| step.key.0.starts_with("canary")).count();
            assert_eq!(canaries, some.len());
            assert_eq!(order(&plan).len(), plan.steps.len(), "{some:?} {needs:?}: {:?}", order(&plan));
        }
    }
}

#[test]
fn nothing_is_watched_where_nothing_serves_or_on_a_way_back() {
    let has_canary = |plan: &Plan| plan.steps.iter().any(|step| step.key.0.starts_with("canary"));
    assert!(has_canary(&planned(watched(&SERVICES), &all_serving())));
    assert!(!has_canary(&planned(watched(&SERVICES), &Observed::default())));
    let artifacts = std::collections::BTreeMap::new();
    let mut returns = watched(&SERVICES);
    returns.pinned = Some(Pinned { stage: stage("pr-7").name, generation: Generation(1), artifacts });
    assert!(!has_canary(&planned(returns, &all_serving())));
}

#[test]
fn how_a_version_comes_is_no_part_of_what_it_is() {
    let (with, without) = (watched(&SERVICES), watched(&[]));
    let artifact = crate::model::Artifact { reference: "r".into(), digest: "sha256:1".into() };
    for (one, other) in with.services.iter().zip(&without.services) {
        assert_eq!(version_key(one, &artifact), version_key(other, &artifact));
    }
}
