//! What is planned where runners build, and who is rung by what becomes of a run.

use super::fixture::{pull_record, release, repo, shop, spec, stage};
use super::*;
use crate::model::{
    Action, Builds, BuiltBy, Changed, Event, Generation, Nonce, Observed, Place, Runtime, StageRecord, StageSpec,
    StageStatus, Wanted,
};

fn steps(goal: StageSpec) -> Vec<String> {
    let (observed, changed) = (Observed::default(), Changed::Everything);
    let release = release(&spec('a'));
    let present = Present {
        observed: &observed,
        release: Some(&release),
        changed: &changed,
        blueprint: None,
        build_deadline: BUILD_DEADLINE,
    };
    let plan = plan(&stage("pr-7"), &Place::default(), Generation(1), &Wanted::Live(Box::new(goal)), &present);
    let line = |step: &crate::model::Step| {
        let needs: Vec<&str> = step.needs.iter().map(|need| need.0.as_str()).collect();
        format!("{} <- {}", step.key, needs.join(" "))
    };
    let is_early =
        |step: &&crate::model::Step| matches!(step.action, Action::Fetch | Action::Build { .. } | Action::Tidy);
    plan.steps.iter().filter(is_early).map(line).collect()
}

#[test]
fn what_runners_build_is_not_fetched_and_what_runs_here_is() {
    let builds = Builds { by: BuiltBy::Actions, ..Builds::default() };
    let elsewhere = StageSpec { builds, ..spec('b') };
    assert_eq!(steps(elsewhere.clone()), ["build:api <- ", "build:web <- ", "build:worker <- "]);
    let mut mixed = elsewhere;
    mixed.services[2].runtime = Runtime::Process { command: vec!["run".into()] };
    let (name, all) = (mixed.services[2].name.clone(), steps(mixed));
    assert!(all.contains(&format!("build:{name} <- fetch")) && all.contains(&"fetch <- ".to_owned()), "{all:?}");
    assert_eq!(all.iter().filter(|line| line.ends_with("<- fetch")).count(), 1, "{all:?}");
}

#[test]
fn a_run_rings_whoever_builds_it_and_nobody_who_is_at_rest() {
    let deploying = |number: u64| StageRecord {
        status: StageStatus::Deploying { generation: Generation(1) },
        ..pull_record(number)
    };
    let (one, two, rests) = (deploying(1), deploying(2), pull_record(3));
    let nonce = Nonce::new(&two.id, Generation(1), &["web"]);
    let stages = [one, two, rests];
    let rung =
        |nonce: Option<Nonce>| route(&Event::RunMoved { repo: repo(), nonce }, &shop(), &stages, &Sighting::default());
    let ring = |name: &str| Intent::Ring { stage: stage(name).name };
    assert_eq!(rung(Some(nonce)), [ring("pr-2")]);
    assert_eq!(rung(None), [ring("pr-1"), ring("pr-2")]);
    assert_eq!(rung(Some(Nonce::new(&stage("pr-9"), Generation(1), &["web"]))), []);
}
