//! The planner: from what is to what is wanted, as an immutable list of steps.
//!
//! An empty plan means that nothing needs to change. A plan leaves no choice to whoever carries it
//! out, and carrying it out twice does no harm.

use std::collections::BTreeSet;

use super::version_key;
use crate::model::{
    Action, Changed, Generation, Interruption, Observed, PathFilter, Place, Plan, Release, Runs, Runtime, Seconds,
    ServiceName, ServiceSpec, SkipReason, Skipped, StageId, StageSpec, Step, StepKey, VersionKey, Wanted,
};

/// A first load balancer and its certificate take minutes, and what a hand left behind may have to go first.
const PREPARE_DEADLINE: Seconds = Seconds(45 * 60);
/// Longer than most outages of GitHub, and than the hour after which a rate limit is lifted.
const FETCH_DEADLINE: Seconds = Seconds(2 * 60 * 60);
const SHORT_DEADLINE: Seconds = Seconds(5 * 60);
/// How long one build may take where the operator says nothing.
pub const BUILD_DEADLINE: Seconds = Seconds(60 * 60);
const SHIFT_DEADLINE: Seconds = Seconds(30 * 60);
const CHECK_DEADLINE: Seconds = Seconds(2 * 60);
const REMOVE_DEADLINE: Seconds = Seconds(30 * 60);

/// What is there before the plan, and what the operator set.
#[derive(Debug, Clone, Copy)]
pub struct Present<'a> {
    pub observed: &'a Observed,
    /// What was last verified live.
    pub release: Option<&'a Release>,
    /// Files that differ between that release and the goal.
    pub changed: &'a Changed,
    /// What the target would have to prepare for the goal.
    pub blueprint: Option<&'a str>,
    /// How long one build may take.
    pub build_deadline: Seconds,
}

/// Makes the plan.
pub fn plan(stage: &StageId, place: &Place, generation: Generation, wanted: &Wanted, present: &Present<'_>) -> Plan {
    let (steps, skipped) = match wanted {
        Wanted::Live(spec) if is_settled(spec, present) => (Vec::new(), Vec::new()),
        Wanted::Live(spec) => deploy(spec, present),
        Wanted::Gone(_) => (remove(present.observed), Vec::new()),
    };
    Plan { stage: stage.clone(), place: place.clone(), generation, wanted: wanted.clone(), steps, skipped }
}

/// Whether the stage already runs exactly this, with nothing left over.
pub fn is_settled(spec: &StageSpec, present: &Present<'_>) -> bool {
    let verified = present.release.is_some_and(|release| is_release_of(release, spec));
    let serving = spec.services.iter().all(|service| match present.observed.services.get(&service.name) {
        Some(seen) if seen.others.is_empty() => match pinned_version(spec, service) {
            Some(version) => seen.serving == Some(version),
            None => seen.serving.is_some(),
        },
        Some(_) | None => false,
    });
    verified && serving && is_prepared(present) && dropped_services(spec, present).next().is_none()
}

/// Whether the release is what the goal asks for: the commit, its configuration, its artifacts where
/// they are given, no fewer services, and made since the restart that was asked for.
pub fn is_release_of(release: &Release, spec: &StageSpec) -> bool {
    let editions = spec.services.iter().filter_map(|service| service.edition);
    release.sha == spec.sha
        && release.digest == spec.digest
        && (release.only.is_empty() || release.only == spec.only)
        && editions.max().is_none_or(|edition| release.generation >= edition)
        && spec.pinned.as_ref().is_none_or(|pinned| pinned.artifacts == release.artifacts)
}

/// The version that the service is to run, where it is known before anything is built.
fn pinned_version(spec: &StageSpec, service: &ServiceSpec) -> Option<VersionKey> {
    let artifact = spec.pinned.as_ref()?.artifacts.get(&service.name)?;
    matches!(service.runtime, Runtime::Image(_)).then(|| version_key(service, artifact))
}

/// Whether the goal's source has to be here for the service: not for what is made already, nor for what is made
/// elsewhere.
fn needs_source(spec: &StageSpec, service: &ServiceSpec) -> bool {
    pinned_version(spec, service).is_none() && !spec.builds_elsewhere(service)
}

fn is_prepared(present: &Present<'_>) -> bool {
    present.blueprint == present.observed.blueprint.as_deref()
}

/// Services that run although the goal no longer names them.
fn dropped_services<'a>(spec: &'a StageSpec, present: &Present<'a>) -> impl Iterator<Item = &'a ServiceName> {
    present.observed.services.keys().filter(|name| spec.service(name).is_none())
}

fn deploy(spec: &StageSpec, present: &Present<'_>) -> (Vec<Step>, Vec<Skipped>) {
    let mut skipped = Vec::new();
    let mut due: Vec<&ServiceSpec> = Vec::new();
    for service in &spec.services {
        match skip_reason(service, spec, present) {
            Some(why) => skipped.push(Skipped { service: service.name.clone(), why }),
            None => due.push(service),
        }
    }
    let mut steps = Vec::new();
    if !is_prepared(present) {
        // Beside the builds: neither needs the other.
        steps.push(uninterruptible(step("prepare", &[], Action::Prepare, PREPARE_DEADLINE)));
    }
    let fetches = due.iter().any(|service| needs_source(spec, service));
    if fetches {
        steps.push(step("fetch", &[], Action::Fetch, FETCH_DEADLINE));
    }
    let prepared: Vec<StepKey> =
        steps.iter().filter(|step| step.action == Action::Prepare).map(|step| step.key.clone()).collect();
    for service in &due {
        steps.extend(steps_of(service, spec, present, &due, &prepared));
    }
    steps.extend(remove_dropped(spec, present, &steps));
    if fetches {
        let builds: Vec<StepKey> = due.iter().map(|service| key("build", &service.name)).collect();
        let retires = due.iter().map(|service| key("retire", &service.name));
        let needs = builds.into_iter().chain(retires).collect();
        steps.push(Step { needs, runs: Runs::Always, ..step("tidy", &[], Action::Tidy, SHORT_DEADLINE) });
    }
    (in_order(steps), skipped)
}

/// Why a service that serves is left as it runs; `None` when it is to be brought on.
fn skip_reason(service: &ServiceSpec, spec: &StageSpec, present: &Present<'_>) -> Option<SkipReason> {
    let seen = present.observed.services.get(&service.name);
    let serving = seen.and_then(|seen| seen.serving.as_ref())?;
    if !spec.only.is_empty() && !spec.only.contains(&service.name) {
        return Some(SkipReason::NotAsked);
    }
    if let Some(version) = pinned_version(spec, service) {
        let runs = *serving == version && seen.is_some_and(|seen| seen.others.is_empty());
        return runs.then_some(SkipReason::SameVersion);
    }
    let untouched = service.edition.is_none() && is_untouched(service, spec, present);
    untouched.then_some(SkipReason::NoPathChanged)
}

/// A service is left alone when it says which files concern it, none of them changed since the
/// release, and the configuration is the same.
fn is_untouched(service: &ServiceSpec, spec: &StageSpec, present: &Present<'_>) -> bool {
    let Changed::Files(files) = present.changed else { return false };
    let same = present.release.is_some_and(|release| release.digest == spec.digest);
    same && !service.paths.is_empty() && !concern(&service.paths, files)
}

/// Whether one of the files is meant. The patterns are compiled once, however many files there are.
fn concern(patterns: &[String], files: &[String]) -> bool {
    // Refused by the configuration's check; should one come through, deploy rather than miss a change.
    PathFilter::new(patterns).map_or(!files.is_empty(), |filter| files.iter().any(|file| filter.concerns(file)))
}

fn steps_of(
    service: &ServiceSpec,
    spec: &StageSpec,
    present: &Present<'_>,
    due: &[&ServiceSpec],
    prepared: &[StepKey],
) -> Vec<Step> {
    let name = &service.name;
    let mut steps = Vec::new();
    let mut before_start = prepared.to_vec();
    if pinned_version(spec, service).is_none() {
        let action = Action::Build { service: name.clone() };
        let fetched = needs_source(spec, service).then(|| key_of("fetch"));
        steps.push(step(&key("build", name).0, fetched.as_slice(), action, present.build_deadline));
        before_start.push(key("build", name));
    } else {
        let action = Action::Adopt { service: name.clone() };
        steps.push(step(&key("adopt", name).0, &[], action, SHORT_DEADLINE));
        before_start.push(key("adopt", name));
    }
    before_start
        .extend(due.iter().filter(|other| service.needs.contains(&other.name)).map(|other| key("check", &other.name)));
    // What ran on this stage before has migrated it before.
    if let Some(migrate) = service.migrate.as_ref().filter(|_| !returns(spec)) {
        let migration = key("migrate", name);
        // One migration at a time and before anything starts that needs it.
        let action = Action::Migrate { service: name.clone() };
        let deadline = Seconds(migrate.timeout.0 + 60);
        steps.push(uninterruptible(step(&migration.0, &before_start, action, deadline)));
        before_start.push(migration);
    }
    let patience = Seconds(service.health.patience().0 + 15 * 60);
    if let Some(watch) = watch(service, spec, present) {
        let canary = Action::Canary { service: name.clone() };
        // Whoever takes over from a server that ended watches it anew.
        let deadline = Seconds(patience.0 + 2 * watch.0);
        steps.push(step(&key("canary", name).0, &before_start, canary, deadline));
        before_start.push(key("canary", name));
    }
    // While one copy is watched nothing else changes, but for what that copy needs itself.
    let is_watched = |other: &&&ServiceSpec| {
        let needs_nothing = !due.iter().any(|third| other.needs.contains(&third.name));
        other.name != *name && needs_nothing && watch(other, spec, present).is_some()
    };
    before_start.extend(due.iter().filter(is_watched).map(|other| key("canary", &other.name)));
    let start = Action::Start { service: name.clone() };
    steps.push(step(&key("start", name).0, &before_start, start, patience));
    // The traffic moves only when all that could still stop the deploy has started.
    let starts: Vec<StepKey> =
        due.iter().filter(|other| !depends_on(other, name, due)).map(|other| key("start", &other.name)).collect();
    let shift = step(&key("shift", name).0, &starts, Action::Shift { service: name.clone() }, SHIFT_DEADLINE);
    steps.push(uninterruptible(shift));
    let check = Action::Check { service: name.clone() };
    steps.push(step(&key("check", name).0, &[key("shift", name)], check, CHECK_DEADLINE));
    let retire = Action::Retire { service: name.clone() };
    let retire = step(&key("retire", name).0, &[key("check", name)], retire, SHIFT_DEADLINE);
    steps.push(Step { runs: Runs::Always, ..uninterruptible(retire) });
    steps
}

/// Whether the goal is what ran on this stage before.
fn returns(spec: &StageSpec) -> bool {
    spec.pinned.as_ref().is_some_and(|pinned| pinned.stage == spec.stage.name)
}

/// How long one copy of the service's new version is watched: not where nothing serves that it could
/// stand beside, nor on a way back, which is in a hurry and known.
fn watch(service: &ServiceSpec, spec: &StageSpec, present: &Present<'_>) -> Option<Seconds> {
    let serves = present.observed.services.get(&service.name).is_some_and(|seen| seen.serving.is_some());
    service.canary.filter(|_| serves && !returns(spec))
}

/// Whether `service` needs `name`, directly or through others.
fn depends_on(service: &ServiceSpec, name: &ServiceName, all: &[&ServiceSpec]) -> bool {
    let mut open: Vec<&ServiceSpec> = vec![service];
    let mut seen = BTreeSet::new();
    while let Some(next) = open.pop() {
        if next.needs.contains(name) {
            return true;
        }
        if seen.insert(&next.name) {
            open.extend(all.iter().copied().filter(|other| next.needs.contains(&other.name)));
        }
    }
    false
}

/// What belongs to services that the goal no longer names goes after the rest is live.
fn remove_dropped(spec: &StageSpec, present: &Present<'_>, before: &[Step]) -> Vec<Step> {
    let dropped: BTreeSet<&ServiceName> = dropped_services(spec, present).collect();
    let needs: Vec<StepKey> =
        before.iter().filter(|step| matches!(step.action, Action::Check { .. })).map(|step| step.key.clone()).collect();
    present
        .observed
        .resources
        .iter()
        .filter(|resource| resource.service.as_ref().is_some_and(|service| dropped.contains(service)))
        .enumerate()
        .map(|(index, resource)| {
            let action = Action::Remove { resource: resource.clone() };
            uninterruptible(step(&format!("remove:{}", index + 1), &needs, action, REMOVE_DEADLINE))
        })
        .collect()
}

/// Everything goes in the order that the target gave, then the answer is proven by looking again.
fn remove(observed: &Observed) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(observed.resources.len() + 2);
    for (index, resource) in observed.resources.iter().enumerate() {
        let needs: Vec<StepKey> = steps.last().map(|step| step.key.clone()).into_iter().collect();
        let action = Action::Remove { resource: resource.clone() };
        steps.push(uninterruptible(step(&format!("remove:{}", index + 1), &needs, action, REMOVE_DEADLINE)));
    }
    let needs: Vec<StepKey> = steps.last().map(|step| step.key.clone()).into_iter().collect();
    steps.push(step("tidy", &needs, Action::Tidy, SHORT_DEADLINE));
    let planned = u32::try_from(observed.resources.len()).unwrap_or(u32::MAX);
    steps.push(step("prove", &[key_of("tidy")], Action::Prove { planned }, SHORT_DEADLINE));
    steps
}

fn step(name: &str, needs: &[StepKey], action: Action, deadline: Seconds) -> Step {
    Step {
        key: key_of(name),
        needs: needs.to_vec(),
        action,
        deadline,
        interruption: Interruption::Allowed,
        runs: Runs::AfterSuccess,
    }
}

fn uninterruptible(step: Step) -> Step {
    Step { interruption: Interruption::Forbidden, ..step }
}

fn key(verb: &str, service: &ServiceName) -> StepKey {
    StepKey(format!("{verb}:{service}"))
}

fn key_of(name: &str) -> StepKey {
    StepKey(name.to_owned())
}

/// Each step after those it needs, otherwise as they come: builds first, so that they run together.
fn in_order(mut steps: Vec<Step>) -> Vec<Step> {
    let mut ordered: Vec<Step> = Vec::with_capacity(steps.len());
    while !steps.is_empty() {
        let is_placed = |need: &StepKey| ordered.iter().any(|step| step.key == *need);
        let Some(index) = steps.iter().position(|step| step.needs.iter().all(is_placed)) else {
            // A need outside the plan is met already.
            ordered.append(&mut steps);
            break;
        };
        let step = steps.remove(index);
        ordered.push(step);
    }
    ordered
}
