//! Reads a [`StageView`] out of a stage's record, deploys and step log.

use super::clean::{clean_line, cut};
use super::failure::failure;
use super::gone::{Serves, gone, still_offered};
use super::redact::redact;
use super::service::{leave_unchanged, services, tell_since};
use super::stage::{
    Expiry, Full, HistoryRow, Links, ProblemView, Serving, StagePhase, StageView, StepRow, StepRowState, StepView,
    Waiting, WithheldView,
};
use super::times::{PartName, Times, part};
use super::trouble::{is_troubled, troubles};
use crate::model::{
    Action, CommitSha, Conditions, Deploy, Generation, Outcome, Output, Problems, Release, Seconds, StageRecord,
    StageSpec, StageStatus, Step, StepEventKind, StepKey, StepLog, StepState, Target, Timestamp, Wanted, Withholding,
    note_and_page,
};

/// How many goals the history names.
const HISTORY: usize = 5;

/// More of a text than this is never shown, and so not looked at. Far more than a surface has room
/// for, so that a secret which the cut would tear apart is out of sight.
const MOST_CHARACTERS: usize = 16_000;

/// A deploy with its log.
pub(super) type Run<'a> = (&'a Deploy, &'a StepLog);

impl StageView {
    /// What a reader sees of a stage.
    ///
    /// `current` is the newest deploy, running or ended; `history` the newest deploys, newest
    /// first; `serving` the newest release, if the stage was not removed since.
    pub fn of(
        record: &StageRecord,
        current: Option<(&Deploy, &StepLog)>,
        history: &[Deploy],
        serving: Option<&Release>,
        now: Timestamp,
        links: &Links<'_>,
    ) -> Self {
        let phase = phase(record, current);
        let run = current.filter(|run| speaks_of(run, phase, &record.status));
        let goes = matches!(phase, StagePhase::Destroying | StagePhase::Destroyed | StagePhase::Stuck);
        let known = || run.and_then(|(deploy, _)| spec_of(deploy)).or_else(|| serving_spec(serving, current, history));
        let spec = if goes { None } else { known() };
        let mut services =
            spec.map_or_else(Vec::new, |spec| services(spec, run, phase, serving, links, &record.conditions));
        let sha = sha(record, run);
        let is_live = matches!(phase, StagePhase::Live | StagePhase::Unhealthy);
        let left = serving.filter(|release| is_live && is_left(release, run, sha.as_ref()));
        if let (Some(_), Some(spec)) = (left, spec) {
            leave_unchanged(&mut services, spec);
        }
        tell_since(&mut services, history);
        let first = spec.and_then(StageSpec::url);
        let answering = || services.iter().filter_map(|service| service.url.as_deref());
        let url = answering().find(|url| Some(*url) == first).or_else(|| answering().next()).map(str::to_owned);
        let end = run.and_then(|(deploy, _)| deploy.ended).map(|(at, _)| at);
        Self {
            repo: record.id.repo.clone(),
            stage: record.id.name.clone(),
            generation: run.map_or(record.generation, |(deploy, _)| deploy.plan.generation),
            pull: record.pull(),
            phase,
            sha,
            url,
            services,
            steps: run.map_or_else(Vec::new, step_rows),
            started_at: run.map(|(deploy, _)| deploy.started_at),
            times: run.and_then(|(deploy, log)| Times::of(deploy, log)),
            waiting: run.filter(|(deploy, _)| deploy.ended.is_none()).and_then(waiting),
            failure: failure(record, phase, run),
            troubles: if goes || !phase.is_final() { Vec::new() } else { troubles(record) },
            serving: serving
                .filter(|_| shows_serving(record, phase))
                .or(left)
                .map(|release| still_serving(release, run)),
            gaps: run.map_or_else(Vec::new, gaps),
            superseded_by: superseded_by(run),
            problems: problems(&record.status),
            full: full(&record.status),
            withheld: withheld(&record.status),
            gone: gone(record, phase, run, history),
            expires: record.expires_at.map(|at| expiry(at, end.unwrap_or(now))),
            history: history.iter().take(HISTORY).map(history_row).collect(),
            commands: still_offered(
                links.commands,
                phase,
                if serving.is_some() { Serves::Something } else { Serves::Nothing },
            ),
            approve: links.approve.map(str::to_owned),
        }
    }

    /// An older deploy of a stage whose place was taken, for the check run and the deployment of
    /// its own commit.
    pub fn superseded(record: &StageRecord, old: (&Deploy, &StepLog), by: Generation, links: &Links<'_>) -> Self {
        let (deploy, log) = old;
        let mut ended = deploy.clone();
        let at = log.events().last().map_or(deploy.started_at, |event| event.at);
        ended.ended = Some((deploy.ended.map_or(at, |(at, _)| at), Outcome::Superseded { by }));
        // How what serves now is doing is not how the older one did.
        let (status, conditions) = (StageStatus::Deploying { generation: by }, Conditions::new());
        let record = StageRecord { status, conditions, expires_at: None, ..record.clone() };
        Self::of(&record, Some((&ended, log)), &[], None, at, links)
    }
}

/// The services of a deploy's goal.
pub(super) fn spec_of(deploy: &Deploy) -> Option<&StageSpec> {
    match &deploy.plan.wanted {
        Wanted::Live(spec) => Some(spec),
        Wanted::Gone(_) => None,
    }
}

fn phase(record: &StageRecord, current: Option<Run<'_>>) -> StagePhase {
    match (&record.status, current) {
        (StageStatus::New, _) | (StageStatus::Deploying { .. }, None) => StagePhase::Queued,
        (StageStatus::Deploying { .. }, Some((deploy, log))) => match deploy.ended {
            Some((_, Outcome::Superseded { .. })) => StagePhase::Superseded,
            Some(_) => StagePhase::Queued,
            None if spec_of(deploy).is_none() => StagePhase::Destroying,
            None => running_phase(deploy, log),
        },
        (StageStatus::Live { .. }, _) if is_troubled(&record.conditions) => StagePhase::Unhealthy,
        (StageStatus::Live { .. }, _) => StagePhase::Live,
        (StageStatus::RemovalBlocked | StageStatus::Blocked { sha: None, .. }, _) => StagePhase::Stuck,
        (StageStatus::Failed { .. } | StageStatus::Blocked { sha: Some(_), .. }, _) => StagePhase::Failed,
        (StageStatus::Misconfigured { .. }, _) => StagePhase::Misconfigured,
        (StageStatus::AwaitingApproval { .. }, _) => StagePhase::AwaitingApproval,
        (StageStatus::Withheld { .. }, _) => StagePhase::Withheld,
        (StageStatus::Full { .. }, _) => StagePhase::Full,
        (StageStatus::Gone { .. }, _) => StagePhase::Destroyed,
    }
}

/// The phase of the earliest thing that is worked on, or next in turn.
fn running_phase(deploy: &Deploy, log: &StepLog) -> StagePhase {
    let runs = |step: &&Step| matches!(log.state(&step.key), StepState::Running { .. });
    let open = |step: &&Step| matches!(log.state(&step.key), StepState::Untouched);
    let steps = || deploy.plan.steps.iter();
    match steps().find(runs).or_else(|| steps().find(open)).and_then(|step| part(&step.action)) {
        Some(PartName::Build) => StagePhase::Building,
        Some(PartName::Health) => StagePhase::Checking,
        Some(PartName::Deploy) | None => StagePhase::Deploying,
    }
}

/// Whether the newest deploy is what the status speaks of, and not an older goal's.
fn speaks_of(run: &Run<'_>, phase: StagePhase, status: &StageStatus) -> bool {
    let of = |sha: &CommitSha| spec_of(run.0).is_some_and(|spec| spec.sha == *sha);
    // It never came to a deploy.
    if let StageStatus::Blocked { .. } = status {
        return false;
    }
    match phase {
        StagePhase::Queued
        | StagePhase::Misconfigured
        | StagePhase::AwaitingApproval
        | StagePhase::Withheld
        | StagePhase::Full => false,
        StagePhase::Live | StagePhase::Unhealthy | StagePhase::Failed => match status {
            StageStatus::Live { sha } | StageStatus::Failed { sha } => of(sha),
            _ => true,
        },
        StagePhase::Destroyed => spec_of(run.0).is_none(),
        StagePhase::Building
        | StagePhase::Deploying
        | StagePhase::Checking
        | StagePhase::Superseded
        | StagePhase::Destroying
        | StagePhase::Stuck => true,
    }
}

/// What runs, where the newest goal has no services to show.
fn serving_spec<'a>(
    serving: Option<&Release>,
    current: Option<Run<'a>>,
    history: &'a [Deploy],
) -> Option<&'a StageSpec> {
    let release = serving?;
    let known = current.map(|(deploy, _)| deploy).into_iter().chain(history);
    known.into_iter().find(|deploy| deploy.id == release.deploy).and_then(spec_of)
}

fn sha(record: &StageRecord, run: Option<Run<'_>>) -> Option<CommitSha> {
    match &record.status {
        StageStatus::Live { sha }
        | StageStatus::Failed { sha }
        | StageStatus::Misconfigured { sha, .. }
        | StageStatus::AwaitingApproval { sha } => Some(sha.clone()),
        StageStatus::Withheld { sha, .. } | StageStatus::Blocked { sha, .. } => sha.clone(),
        StageStatus::New
        | StageStatus::Deploying { .. }
        | StageStatus::Full { .. }
        | StageStatus::RemovalBlocked
        | StageStatus::Gone { .. } => match (run.and_then(|(deploy, _)| spec_of(deploy)), &record.target) {
            (Some(spec), _) => Some(spec.sha.clone()),
            (None, Target::Commit(commit)) => Some(commit.sha.clone()),
            (None, _) => None,
        },
    }
}

/// A step in words.
pub(super) fn step_view(action: &Action) -> StepView {
    let (kind, resource) = match action {
        Action::Fetch => ("fetch", None),
        Action::Prepare => ("prepare", None),
        Action::Build { .. } => ("build", None),
        Action::Adopt { .. } => ("adopt", None),
        Action::Migrate { .. } => ("migrate", None),
        Action::Canary { .. } => ("canary", None),
        Action::Start { .. } => ("start", None),
        Action::Shift { .. } => ("shift", None),
        Action::Check { .. } => ("check", None),
        Action::Retire { .. } => ("retire", None),
        Action::Tidy => ("tidy", None),
        Action::Remove { resource } => ("remove", Some(text(&resource.to_string()))),
        Action::Prove { .. } => ("prove", None),
    };
    StepView { kind, service: action.service().cloned(), resource }
}

fn step_rows((deploy, log): Run<'_>) -> Vec<StepRow> {
    deploy.plan.steps.iter().map(|step| step_row(deploy, step, log)).collect()
}

fn step_row(deploy: &Deploy, step: &Step, log: &StepLog) -> StepRow {
    let row =
        |state, started_at, millis, note| StepRow { step: step_view(&step.action), state, note, started_at, millis };
    match log.state(&step.key) {
        StepState::Untouched if deploy.ended.is_some() => row(StepRowState::NotReached, None, None, None),
        StepState::Running { since, .. } if deploy.ended.is_some() => {
            row(StepRowState::Cancelled, Some(since), None, None)
        }
        StepState::Untouched => row(StepRowState::Waiting, None, None, None),
        StepState::Running { since, note, .. } => {
            row(StepRowState::Running, Some(since), None, note.map(|note| text(note_and_page(note).0)))
        }
        StepState::Done { since, at, .. } => row(StepRowState::Done, Some(since), Some(at.since(since)), None),
        StepState::Failed { since, at, .. } => row(StepRowState::Failed, Some(since), Some(at.since(since)), None),
        StepState::Cancelled => row(StepRowState::Cancelled, None, None, None),
    }
}

/// The fault that is waited out: the newest line of the log for its step, so that it is gone as
/// soon as the next try began.
fn waiting((deploy, log): Run<'_>) -> Option<Waiting> {
    deploy.plan.steps.iter().find_map(|step| {
        let event = log.events().iter().rev().find(|event| event.step == step.key)?;
        let StepEventKind::Waiting { again, reason, attempt } = &event.kind else { return None };
        let again_millis = again.since(event.at);
        Some(Waiting { step: step_view(&step.action), reason: text(reason), again_millis, attempt: *attempt })
    })
}

/// Whether the goal is met by what was live before, at another commit: nothing of it had to be deployed.
fn is_left(release: &Release, run: Option<Run<'_>>, goal: Option<&CommitSha>) -> bool {
    run.is_none() && goal.is_some_and(|goal| *goal != release.sha)
}

fn shows_serving(record: &StageRecord, phase: StagePhase) -> bool {
    // Of what could not so much as be looked at nothing is removed.
    let is_untouched = matches!(record.status, StageStatus::Blocked { .. });
    let is_told = matches!(
        phase,
        StagePhase::Live | StagePhase::Unhealthy | StagePhase::Destroying | StagePhase::Destroyed | StagePhase::Stuck
    );
    is_untouched || !is_told
}

fn still_serving(release: &Release, run: Option<Run<'_>>) -> Serving {
    let moved = run.map_or_else(Vec::new, |(deploy, log)| {
        let steps = deploy.plan.steps.iter().filter(|step| matches!(log.state(&step.key), StepState::Done { .. }));
        steps
            .filter_map(|step| match &step.action {
                Action::Shift { service } => Some(service.clone()),
                _ => None,
            })
            .collect()
    });
    Serving { sha: release.sha.clone(), moved }
}

fn gaps((_, log): Run<'_>) -> Vec<String> {
    match log.output(&StepKey("fetch".into())) {
        Some(Output::Source { gaps, .. }) => gaps.iter().map(|gap| text(gap)).collect(),
        _ => Vec::new(),
    }
}

fn superseded_by(run: Option<Run<'_>>) -> Option<Generation> {
    match run?.0.ended? {
        (_, Outcome::Superseded { by }) => Some(by),
        (_, Outcome::Live | Outcome::Failed | Outcome::Gone { .. }) => None,
    }
}

fn problems(status: &StageStatus) -> Vec<ProblemView> {
    let StageStatus::Misconfigured { problems: Problems { file, problems }, .. } = status else { return Vec::new() };
    let view = |problem: &crate::model::Problem| ProblemView {
        file: text(file),
        at: problem.at,
        path: text(&problem.path),
        message: text(&problem.message),
    };
    problems.iter().map(view).collect()
}

fn full(status: &StageStatus) -> Option<Full> {
    match status {
        StageStatus::Full { max, holders } => Some(Full { max: *max, holders: holders.clone() }),
        _ => None,
    }
}

fn withheld(status: &StageStatus) -> Option<WithheldView> {
    let StageStatus::Withheld { why, .. } = status else { return None };
    Some(match why {
        Withholding::Locked(lock) => {
            WithheldView::Locked { by: text(&lock.login), reason: text(&lock.reason), until: lock.until }
        }
        Withholding::Refused { evidence, way_out } => {
            WithheldView::Refused { evidence: text(evidence), way_out: text(way_out) }
        }
    })
}

fn expiry(at: Timestamp, from: Timestamp) -> Expiry {
    Expiry { at, span: Seconds(u64::try_from(at.since(from) / 1000).unwrap_or(0)) }
}

fn history_row(deploy: &Deploy) -> HistoryRow {
    let result = match deploy.ended {
        None => "running",
        Some((_, Outcome::Live)) => "live",
        Some((_, Outcome::Failed)) => "failed",
        Some((_, Outcome::Superseded { .. })) => "superseded",
        Some((_, Outcome::Gone { .. })) => "gone",
    };
    HistoryRow {
        generation: deploy.plan.generation,
        sha: spec_of(deploy).map(|spec| spec.sha.clone()),
        result,
        started_at: deploy.started_at,
        millis: deploy.ended.map(|(at, _)| at.since(deploy.started_at)),
    }
}

/// A text of others on one line: cleaned, then redacted.
pub(super) fn text(text: &str) -> String {
    redact(&clean_line(&cut(text, MOST_CHARACTERS)), &[])
}
