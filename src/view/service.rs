//! What each service of a stage is at.

use super::read::{Run, text};
use super::stage::{HealthView, Links, ServiceState, ServiceView, StagePhase, Unchanged};
use super::times::{PartName, part};
use super::unrest::unwell;
use crate::model::{
    Action, Deploy, Output, Release, ServiceName, ServiceSpec, SkipReason, StageSpec, Step, StepLog, StepState, Unrest,
};

/// One row for each service of the goal, in its order.
pub(super) fn services(
    spec: &StageSpec,
    run: Option<Run<'_>>,
    phase: StagePhase,
    serving: Option<&Release>,
    unrest: &[Unrest],
    links: &Links<'_>,
) -> Vec<ServiceView> {
    let row = |service: &ServiceSpec| {
        let row = row(spec, service, run, phase, serving, links);
        let restless = unrest.iter().find(|unrest| unrest.service == service.name && unrest.is_going_on());
        match restless {
            Some(unrest) => unwell(row, unrest),
            None => row,
        }
    };
    spec.services.iter().map(row).collect()
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
    let answers = serves || matches!(state, ServiceState::Live | ServiceState::Unchanged | ServiceState::Serving);
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
        url: service.url.as_deref().filter(|_| answers).map(text),
        health: run.and_then(|(deploy, log)| health(deploy, log, &service.name)),
        build_millis: millis(PartName::Build),
        deploy_millis: millis(PartName::Deploy),
        health_millis: millis(PartName::Health),
        note: run.and_then(|(deploy, log)| note(deploy, log, &service.name)),
        build_log: log_page(links.build_logs),
        app_log: log_page(links.app_logs).filter(|_| answers),
    }
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
        StepState::Running { note: Some(note), .. } => Some(text(note)),
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
