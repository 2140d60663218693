//! Plans for what was made before, for some services alone, and for a restart.

use std::collections::BTreeMap;

use super::fixture::{all_serving, name, release, spec, stage};
use super::*;
use crate::model::{
    Artifact, Changed, Generation, ImageSpec, Migrate, Observed, Pinned, Place, Runtime, Seconds, SkipReason,
    StageSpec, Wanted,
};

fn image() -> Runtime {
    let (context, dockerfile) = (".".into(), "Dockerfile".into());
    Runtime::Image(ImageSpec { context, dockerfile, target: None, platform: None, args: BTreeMap::new() })
}

fn artifact(digit: char) -> Artifact {
    let digest = format!("sha256:{}", digit.to_string().repeat(64));
    Artifact { reference: format!("registry.test/shop@{digest}"), digest }
}

/// A goal of images that were made before, on that stage.
fn pinned(from: &str) -> StageSpec {
    let mut spec = spec('a');
    for service in &mut spec.services {
        service.runtime = image();
    }
    let artifacts = spec.services.iter().map(|service| (service.name.clone(), artifact('1'))).collect();
    spec.pinned = Some(Pinned { stage: stage(from).name, generation: Generation(1), artifacts });
    spec
}

fn steps(spec: &StageSpec, observed: &Observed, release: Option<&crate::model::Release>) -> Vec<String> {
    let present =
        Present { observed, release, changed: &Changed::Everything, blueprint: None, build_deadline: BUILD_DEADLINE };
    let plan = plan(&stage("pr-7"), &Place::default(), Generation(9), &Wanted::Live(Box::new(spec.clone())), &present);
    plan.steps.iter().map(|step| step.key.to_string()).collect()
}

/// What runs is exactly what the goal asks for.
fn runs(spec: &StageSpec) -> Observed {
    let mut observed = all_serving();
    for service in &spec.services {
        let seen = observed.services.get_mut(&service.name).expect("it is there");
        seen.serving = Some(version_key(service, &artifact('1')));
    }
    observed
}

#[test]
fn what_was_made_before_is_taken_as_it_is_and_never_built() {
    let spec = pinned("pr-7");
    let all = steps(&spec, &all_serving(), None);
    assert!(all.iter().any(|step| step == "adopt:web") && all.iter().any(|step| step == "start:web"), "{all:?}");
    assert!(!all.iter().any(|step| ["build", "fetch", "tidy"].iter().any(|verb| step.starts_with(verb))), "{all:?}");
}

#[test]
fn a_migration_runs_for_another_stages_release_and_not_on_the_way_back() {
    let migrate = |mut spec: StageSpec| {
        let web = spec.services.iter_mut().find(|service| service.name == name("web")).expect("it is there");
        web.migrate = Some(Migrate { command: vec!["migrate".into()], timeout: Seconds(60) });
        spec
    };
    let has_migration = |spec: &StageSpec| steps(spec, &all_serving(), None).contains(&"migrate:web".to_owned());
    assert!(has_migration(&migrate(pinned("staging"))));
    assert!(!has_migration(&migrate(pinned("pr-7"))));
}

#[test]
fn a_release_that_runs_still_needs_nothing_and_one_that_was_half_replaced_needs_the_rest() {
    let spec = pinned("pr-7");
    let mut known = release(&spec);
    known.artifacts = spec.pinned.as_ref().expect("pinned").artifacts.clone();
    let mut observed = runs(&spec);
    assert_eq!(steps(&spec, &observed, Some(&known)), Vec::<String>::new());
    observed.services.get_mut(&name("web")).expect("there").serving = Some(crate::model::VersionKey("newer".into()));
    let rest = steps(&spec, &observed, Some(&known));
    assert!(rest.contains(&"start:web".to_owned()) && !rest.contains(&"start:api".to_owned()), "{rest:?}");
}

#[test]
fn some_services_alone() {
    let mut spec = spec('b');
    spec.only = vec![name("worker")];
    let observed = all_serving();
    let present = Present {
        observed: &observed,
        release: None,
        changed: &Changed::Everything,
        blueprint: None,
        build_deadline: BUILD_DEADLINE,
    };
    let plan = plan(&stage("pr-7"), &Place::default(), Generation(9), &Wanted::Live(Box::new(spec.clone())), &present);
    assert_eq!(plan.skipped.iter().map(|skipped| skipped.why).collect::<Vec<_>>(), [SkipReason::NotAsked; 2]);
    assert!(plan.steps.iter().any(|step| step.key.0 == "start:worker"));
    // What does not serve at all is brought on whoever asked for what.
    let nothing = steps(&spec, &Observed::default(), None);
    assert!(nothing.contains(&"start:web".to_owned()), "{nothing:?}");
}

#[test]
fn a_restart_is_another_version_once() {
    let mut spec = spec('a');
    let known = release(&spec);
    let observed = all_serving();
    assert_eq!(steps(&spec, &observed, Some(&known)), Vec::<String>::new(), "it is settled");
    let plain = version_key(&spec.services[0], &artifact('1'));
    for service in &mut spec.services {
        service.edition = Some(Generation(5));
    }
    assert_ne!(version_key(&spec.services[0], &artifact('1')), plain);
    assert!(steps(&spec, &observed, Some(&known)).contains(&"start:web".to_owned()));
    let since = crate::model::Release { generation: Generation(5), ..known };
    assert_eq!(steps(&spec, &observed, Some(&since)), Vec::<String>::new(), "it was restarted");
}
