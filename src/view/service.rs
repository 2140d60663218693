//! What each service of a stage is at.

use super::read::{Run, spec_of, text};
use super::stage::{HealthView, Links, ServiceState, ServiceView, StagePhase, Unchanged};
use super::times::{PartName, part};
use super::trouble;
use crate::model::{
    Action, CommitSha, Conditions, Deploy, Outcome, Output, Release, ServiceName, ServiceSpec, SkipReason, StageSpec,
    Step, StepEventKind, StepKey, StepLog, StepState, note_and_page,
};

/// One row for each service of the goal, in its order.
pub(super) fn services(
    spec: &StageSpec,
    run: Option<Run<'_>>,
    phase: StagePhase,
    serving: Option<&Release>,
    links: &Links<'_>,
    conditions: &Conditions,
) -> Vec<ServiceView> {
    let of = |service: &ServiceSpec| {
        let seen = trouble::state(conditions.get(&service.name));
        let row = row(spec, service, run, phase, serving, links);
        // What a deploy at work has brought is another version than the one that was seen.
        let is_new = row.state == ServiceState::Live && run.is_some_and(|(deploy, _)| deploy.ended.is_none());
        match seen.filter(|_| is_up(row.state) && !is_new) {
            // What it answered when it went live is not how it is doing now.
            Some(state) => ServiceView { state, unchanged: None, health: None, ..row },
            None => row,
        }
    };
    spec.services.iter().map(of).collect()
}

fn row(
    spec: &StageSpec,
    service: &ServiceSpec,
    run: Option<Run<'_>>,
    phase: StagePhase,
    serving: Option<&Release>,
    links: &Links<'_>,
) -> ServiceView {
    let serves = serving.is_some_and(|release| release.artifacts.contains_key(&service.name));
    let state = match run {
        Some((deploy, log)) => state(deploy, log, &service.name, serves),
        None if matches!(phase, StagePhase::Live | StagePhase::Unhealthy) => ServiceState::Live,
        None => ServiceState::Serving,
    };
    let answers = serves || is_up(state);
    let millis = |name| run.and_then(|(deploy, log)| own_millis(deploy, log, &service.name, name));
    let log_page = |base: Option<&str>| {
        base.map(|base| format!("{base}/{}/{}/{}", spec.stage.repo, spec.stage.name, service.name))
    };
    ServiceView {
        name: service.name.clone(),
        state,
        unchanged: run
            .filter(|_| state == ServiceState::Unchanged)
            .map(|(deploy, _)| why_unchanged(deploy, &service.name)),
        since: None,
        url: service.url.as_deref().filter(|_| answers).map(text),
        health: run.and_then(|(deploy, log)| health(deploy, log, &service.name)),
        build_millis: millis(PartName::Build),
        deploy_millis: millis(PartName::Deploy),
        health_millis: millis(PartName::Health),
        note: run.and_then(|(deploy, log)| note(deploy, log, &service.name)),
        build_log: run.and_then(|(deploy, log)| run_page(deploy, log, &service.name)).or(log_page(links.build_logs)),
        app_log: log_page(links.app_logs).filter(|_| answers),
    }
}

/// Whether something of the service serves, as far as its deploys say.
fn is_up(state: ServiceState) -> bool {
    matches!(state, ServiceState::Live | ServiceState::Unchanged | ServiceState::Serving)
}

/// The rows of a goal of which nothing had to be deployed: each service runs on as it did. `spec` is what
/// runs, which differs from the goal in nothing but the commit.
pub(super) fn leave_unchanged(rows: &mut [ServiceView], spec: &StageSpec) {
    for row in rows.iter_mut().filter(|row| row.state == ServiceState::Live) {
        let has_paths = spec.service(&row.name).is_some_and(|service| !service.paths.is_empty());
        row.state = ServiceState::Unchanged;
        row.unchanged = Some(if has_paths { Unchanged::NoPathChanged } else { Unchanged::SameVersion });
    }
}

/// Says of the rows that were left out of a goal at which commit they run on.
pub(super) fn tell_since(rows: &mut [ServiceView], history: &[Deploy]) {
    for row in rows {
        if matches!(row.unchanged, Some(Unchanged::NoPathChanged | Unchanged::NotAsked)) {
            row.since = brought_at(history, &row.name);
        }
    }
}

/// The commit that the newest deploy of the service has brought. Of one that did not go to its end nothing is
/// known: it may have switched the service already.
fn brought_at(history: &[Deploy], service: &ServiceName) -> Option<CommitSha> {
    let deploy = history.iter().find(|deploy| steps(deploy, service).next().is_some())?;
    let is_live = matches!(deploy.ended, Some((_, Outcome::Live)));
    spec_of(deploy).filter(|_| is_live).map(|spec| spec.sha.clone())
}

/// The steps that take the service to its goal; cleaning up after it is not among them.
fn steps<'a>(deploy: &'a Deploy, service: &'a ServiceName) -> impl Iterator<Item = &'a Step> {
    deploy.plan.steps.iter().filter(move |step| step.action.service() == Some(service) && part(&step.action).is_some())
}

fn state(deploy: &Deploy, log: &StepLog, service: &ServiceName, serves: bool) -> ServiceState {
    let mut touched = false;
    let mut open = None;
    for step in steps(deploy, service) {
        match log.state(&step.key) {
            StepState::Failed { .. } => return ServiceState::Failed,
            StepState::Cancelled if touched => return ServiceState::Cancelled,
            StepState::Done { .. } => touched = true,
            StepState::Running { .. } => {
                touched = true;
                open = open.or_else(|| Some(working(&step.action)));
            }
            StepState::Untouched | StepState::Cancelled => open = open.or(Some(ServiceState::Waiting)),
        }
    }
    match open {
        None if touched => ServiceState::Live,
        None => ServiceState::Unchanged,
        Some(state) if deploy.ended.is_none() => state,
        Some(ServiceState::Waiting) if serves => ServiceState::Serving,
        Some(ServiceState::Waiting) => ServiceState::NotDeployed,
        Some(_) => ServiceState::Cancelled,
    }
}

fn working(action: &Action) -> ServiceState {
    match action {
        Action::Build { .. } => ServiceState::Building,
        Action::Migrate { .. } => ServiceState::Migrating,
        Action::Canary { .. } => ServiceState::Canary,
        Action::Adopt { .. } | Action::Start { .. } => ServiceState::Starting,
        Action::Shift { .. } => ServiceState::Switching,
        Action::Check { .. } => ServiceState::Checking,
        Action::Fetch
        | Action::Prepare
        | Action::Retire { .. }
        | Action::Tidy
        | Action::Remove { .. }
        | Action::Prove { .. } => ServiceState::Waiting,
    }
}

fn why_unchanged(deploy: &Deploy, service: &ServiceName) -> Unchanged {
    match deploy.plan.skipped.iter().find(|skipped| skipped.service == *service).map(|skipped| skipped.why) {
        Some(SkipReason::NoPathChanged) => Unchanged::NoPathChanged,
        Some(SkipReason::NotAsked) => Unchanged::NotAsked,
        Some(SkipReason::SameVersion) | None => Unchanged::SameVersion,
    }
}

fn health(deploy: &Deploy, log: &StepLog, service: &ServiceName) -> Option<HealthView> {
    steps(deploy, service).find_map(|step| match log.output(&step.key)? {
        Output::Answered { status, millis, .. } => Some(HealthView::Answered { status: *status, millis: *millis }),
        Output::Running { copies, wanted } => Some(HealthView::Running { copies: *copies, wanted: *wanted }),
        _ => None,
    })
}

fn note(deploy: &Deploy, log: &StepLog, service: &ServiceName) -> Option<String> {
    steps(deploy, service).find_map(|step| match log.state(&step.key) {
        StepState::Running { note: Some(note), .. } => Some(text(note_and_page(note).0)),
        _ => None,
    })
}

/// The page of the runner's run that the service was built by.
fn run_page(deploy: &Deploy, log: &StepLog, service: &ServiceName) -> Option<String> {
    let builds = |step: &StepKey| {
        let own = deploy.plan.steps.iter().find(|own| own.key == *step);
        matches!(own.map(|own| &own.action), Some(Action::Build { service: built }) if built == service)
    };
    log.events().iter().rev().filter(|event| builds(&event.step)).find_map(|event| match &event.kind {
        StepEventKind::Pending { note, .. } => note_and_page(note).1.map(text),
        _ => None,
    })
}

/// The sum of the service's own ended steps of one part; `None` where none ended.
fn own_millis(deploy: &Deploy, log: &StepLog, service: &ServiceName, name: PartName) -> Option<i64> {
    steps(deploy, service)
        .filter(|step| part(&step.action) == Some(name))
        .filter_map(|step| match log.state(&step.key) {
            StepState::Done { since, at, .. } | StepState::Failed { since, at, .. } => Some(at.since(since)),
            StepState::Untouched | StepState::Running { .. } | StepState::Cancelled => None,
        })
        .reduce(|sum, millis| sum + millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixture::{World, service, sha};

    #[test]
    fn what_a_deploy_that_did_not_end_well_may_have_switched_is_told_no_commit() {
        let mut world = World::new();
        assert_eq!(brought_at(&world.deploys, &service("worker")), None);
        world.deploy(sha('a'), 0);
        world.succeed(0);
        world.deploy(sha('b'), 300);
        assert_eq!(brought_at(&world.deploys, &service("worker")), Some(sha('a')), "the newer one left it out");
        world.release = None;
        world.deploy(sha('c'), 600);
        assert_eq!(brought_at(&world.deploys, &service("worker")), None);
    }
}
