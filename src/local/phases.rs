//! The phases of a rollout on this machine. Each call looks, sets background work going, and waits
//! at most [`WAIT`] for its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Fate, MigrationRecord, RouteRecord};
use super::health::{self, Silence};
use super::keeper::keep;
use super::migrate;
use super::proxy::{BUSY_HEADER, VERSION_HEADER};
use super::shared::{Shared, host_taken, version_id};
use super::unit::{CopyState, Farewell, Unit, poll};
use crate::crowd::Crowd;
use crate::model::{Failure, FailureKind, Output, ServiceSpec};
use crate::port::{Phase, PortError, PortResult, Progress, Rollout};

/// How long a call may wait for what is nearly there.
const WAIT: Duration = Duration::from_millis(600);
const AGAIN_MILLIS: i64 = 250;
/// How soon a version on trial that fails is noticed.
const CANARY_LOOK_MILLIS: i64 = 1_000;
/// How long the public address may answer wrongly after a switch.
const CHECK_PATIENCE: Duration = Duration::from_secs(10);
const CHECK_GAP: Duration = Duration::from_millis(200);
/// A version that was healthy once and ends this often in a row is not coming back.
const GIVE_UP_RESTARTS: u32 = 3;

/// Moves a rollout one step on.
pub(super) async fn ensure(shared: &Arc<Shared>, phase: Phase, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
    match phase {
        Phase::Migrate => migrate(shared, rollout).await,
        Phase::Canary => canary(shared, rollout).await,
        Phase::Start => start(shared, rollout).await,
        Phase::Shift => shift(shared, rollout).await,
        Phase::Check => check(shared, rollout).await,
        Phase::Retire => retire(shared, rollout).await,
    }
}

/// The version, unless an earlier attempt at it has to go first.
async fn fresh_unit(shared: &Arc<Shared>, rollout: &Rollout<'_>) -> PortResult<Option<Arc<Unit>>> {
    let unit = shared.unit_for(rollout)?;
    let failed = unit.states.borrow().iter().any(|state| matches!(state, CopyState::Failed { .. }))
        || matches!(shared.disk.read_migration(&unit.id)?, Some(MigrationRecord::Failed(_)));
    let of_earlier_goal = unit.record().generation < rollout.generation;
    if unit.is_retiring() || failed && of_earlier_goal {
        unit.retired(shared, Farewell::Drain, WAIT).await?;
        return Ok(None);
    }
    Ok(Some(unit))
}

async fn migrate(shared: &Arc<Shared>, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
    let Some(spec) = &rollout.service.migrate else { return Ok(Progress::Done(Output::Nothing)) };
    let Some(unit) = fresh_unit(shared, rollout).await? else { return Ok(waiting("the earlier attempt to end")) };
    match shared.disk.read_migration(&unit.id)? {
        Some(MigrationRecord::Done) => return Ok(Progress::Done(Output::Nothing)),
        Some(MigrationRecord::Failed(failure)) => return Err(PortError::Failed(failure)),
        Some(MigrationRecord::Begun) | None => {}
    }
    let begin = || tokio::spawn(migrate::run(Arc::clone(shared), Arc::clone(&unit), spec.clone()));
    match poll(&unit.migration, WAIT, begin).await? {
        Some(()) => Ok(Progress::Done(Output::Nothing)),
        None => Ok(waiting("the migration")),
    }
}

async fn start(shared: &Arc<Shared>, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
    shared.host_is_free(&rollout.stage.stage, rollout.service)?;
    let Some(unit) = fresh_unit(shared, rollout).await? else { return Ok(waiting("the earlier attempt to end")) };
    keep(shared, &unit);
    match standing(&unit).await {
        Standing::Up => Ok(Progress::Done(Output::Version(rollout.version.clone()))),
        Standing::Coming(note) => Ok(waiting(&note)),
        Standing::Lost(failure) => Err(PortError::Failed(Box::new(failure))),
    }
}

/// The version runs with all its copies, which costs little here, and gets the share of one.
async fn canary(shared: &Arc<Shared>, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
    let (stage, service) = (&rollout.stage.stage, &rollout.service.name);
    let serving = shared.disk.read_route(stage, service)?.map(|route| route.version);
    let Some(watch) = rollout.service.canary.filter(|_| serving.as_ref() != Some(rollout.version)) else {
        return Ok(Progress::Done(Output::Nothing));
    };
    let begun = shared.unit(&version_id(rollout)?)?.filter(|unit| unit.is_on_trial() && !unit.is_retiring());
    let unit = match begun {
        Some(unit) => unit,
        None => match start(shared, rollout).await? {
            Progress::Done(_) => existing(shared, rollout)?,
            pending @ Progress::Pending { .. } => return Ok(pending),
        },
    };
    let tried = unit.tried().inspect_err(|_| shared.routes.end_trial(stage, service));
    let tried = tried.map_err(|failure| PortError::Failed(Box::new(failure)))?;
    if tried >= watch.duration() {
        return Ok(Progress::Done(Output::Nothing));
    }
    shared.routes.try_out(stage, service, &unit.upstream);
    let left = i64::try_from(watch.duration().saturating_sub(tried).as_millis()).unwrap_or(i64::MAX);
    Ok(Progress::Pending { again_millis: left.min(CANARY_LOOK_MILLIS), note: format!("watching one copy for {watch}") })
}

/// What a version's copies add up to.
enum Standing {
    Up,
    Coming(String),
    Lost(Failure),
}

/// Waits a little for the version to be up or lost.
async fn standing(unit: &Unit) -> Standing {
    let mut states = unit.states.subscribe();
    let decided = states.wait_for(|states| !matches!(add_up(states), Standing::Coming(_)));
    // Undecided after the wait is an answer too.
    let _ = tokio::time::timeout(WAIT, decided).await.is_ok();
    add_up(&unit.states.borrow())
}

fn add_up(states: &[CopyState]) -> Standing {
    let lost = states.iter().find_map(|state| match state {
        CopyState::Failed { failure } => Some(failure),
        CopyState::Down { restarts, failure } if *restarts >= GIVE_UP_RESTARTS => Some(failure),
        _ => None,
    });
    if let Some(failure) = lost {
        return Standing::Lost(failure.clone());
    }
    let missing = states.iter().find_map(|state| match state {
        CopyState::Coming { saw } => Some(format!("the health check ({saw})")),
        CopyState::Down { failure, .. } => Some(format!("a restart ({})", failure.summary)),
        CopyState::Stuck { reason } => Some(reason.clone()),
        CopyState::Healthy | CopyState::Failed { .. } => None,
    });
    missing.map_or(Standing::Up, Standing::Coming)
}

async fn shift(shared: &Arc<Shared>, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
    let (stage, service) = (&rollout.stage.stage, rollout.service);
    let unit = existing(shared, rollout)?;
    keep(shared, &unit);
    match standing(&unit).await {
        Standing::Up => {}
        Standing::Coming(note) => return Ok(waiting(&note)),
        Standing::Lost(failure) => return Err(PortError::Failed(Box::new(failure))),
    }
    if unit.record().fate == Fate::Unproven {
        unit.amend(shared, |record| record.fate = Fate::Proven)?;
    }
    match &service.host {
        Some(host) => {
            let taken = shared.routes.set(host, stage, &service.name, &unit.upstream);
            taken.map_err(|taken| host_taken(host, stage, &taken.0))?;
        }
        None => shared.routes.remove(stage, &service.name),
    }
    // After the switch: until this is written, a restart serves the old version, which still runs.
    let route = RouteRecord { version: rollout.version.clone(), host: service.host.clone(), since: shared.clock.now() };
    if shared
        .disk
        .read_route(stage, &service.name)?
        .is_none_or(|old| old.version != route.version || old.host != route.host)
    {
        shared.disk.write_route(stage, &service.name, &route)?;
    }
    Ok(Progress::Done(Output::Nothing))
}

async fn check(shared: &Arc<Shared>, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
    let unit = existing(shared, rollout)?;
    keep(shared, &unit);
    if rollout.service.host.is_none() {
        return match standing(&unit).await {
            Standing::Up => Ok(Progress::Done(Output::Running {
                copies: count(unit.healthy_copies()),
                wanted: count(unit.copies()),
            })),
            Standing::Coming(note) => Ok(waiting(&note)),
            Standing::Lost(failure) => Err(PortError::Failed(Box::new(failure))),
        };
    }
    let question = Question {
        door: shared.door,
        crowd: Arc::clone(&shared.crowd),
        port_shown: shared.port_shown,
        service: rollout.service.clone(),
        version: rollout.version.0.clone(),
    };
    unit.drop_old_check().await;
    match poll(&unit.check, WAIT, || tokio::spawn(question.ask())).await? {
        Some(answered) => Ok(Progress::Done(answered)),
        None => Ok(waiting("the public address")),
    }
}

/// Asks the public address through the public door.
struct Question {
    door: SocketAddr,
    /// Of the door.
    crowd: Arc<Crowd>,
    port_shown: u16,
    service: ServiceSpec,
    version: String,
}

impl Question {
    async fn ask(self) -> PortResult<Output> {
        let host = self.service.host.as_deref().unwrap_or_default();
        let authority = if self.port_shown == 80 { host.to_owned() } else { format!("{host}:{}", self.port_shown) };
        let url = self.service.url.clone().unwrap_or_else(|| format!("http://{authority}"));
        let health = &self.service.health;
        let patience = CHECK_PATIENCE.max(health.timeout.duration() * 2);
        let mut begun = std::time::Instant::now();
        loop {
            let saw = match health::get(&[self.door], &authority, &health.path, health.timeout.duration()).await {
                Err(Silence::Theirs(trouble)) if !self.crowd.is_stuck() => trouble,
                Err(Silence::Absent(port)) if !self.crowd.is_stuck() => format!("nothing listens on port {port}"),
                Ok(answer) if !answer.headers.contains_key(BUSY_HEADER) => {
                    let version = answer.headers.get(VERSION_HEADER).and_then(|value| value.to_str().ok());
                    if answer.status == health.status && version == Some(self.version.as_str()) {
                        let millis = u32::try_from(answer.took.as_millis()).unwrap_or(u32::MAX);
                        return Ok(Output::Answered { url, status: answer.status, millis });
                    }
                    match version {
                        Some(version) if version != self.version => format!("another version answered: {version}"),
                        _ => format!("`{}` answered {} in place of {}", health.path, answer.status, health.status),
                    }
                }
                // We are busy: it was not asked yet, and has all of its time.
                Err(_) | Ok(_) => {
                    begun = std::time::Instant::now();
                    tokio::time::sleep(CHECK_GAP).await;
                    continue;
                }
            };
            if begun.elapsed() >= patience {
                let summary = format!("{url} does not answer as it should: {saw}");
                let advice = "The program is healthy when asked directly: look at its log, and at what it does with the `Host` header.";
                return Err(PortError::failed(FailureKind::Unreachable, summary, advice));
            }
            tokio::time::sleep(CHECK_GAP).await;
        }
    }
}

async fn retire(shared: &Arc<Shared>, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
    let (stage, service) = (&rollout.stage.stage, &rollout.service.name);
    shared.routes.end_trial(stage, service);
    let serving = shared.disk.read_route(stage, service)?.map(|route| route.version);
    let mut ends = Vec::new();
    for id in shared.disk.versions(stage, service)? {
        if Some(&id.version) == serving.as_ref() {
            continue;
        }
        match shared.unit(&id)? {
            Some(unit) => ends.push(unit),
            // Only a folder: its record was never written, so nothing of it was started.
            None => shared.disk.remove_version(&id)?,
        }
    }
    let ends = ends.iter().map(|unit| unit.retired(shared, Farewell::Drain, WAIT));
    let gone = futures_util::future::try_join_all(ends).await?;
    if gone.iter().all(|gone| *gone) {
        return Ok(Progress::Done(Output::Nothing));
    }
    Ok(waiting("the old version to finish its requests"))
}

/// The version of a phase that comes after its start.
fn existing(shared: &Shared, rollout: &Rollout<'_>) -> PortResult<Arc<Unit>> {
    let unit = shared.unit(&version_id(rollout)?)?.filter(|unit| !unit.is_retiring());
    unit.ok_or_else(|| PortError::NotFound {
        what: format!("version {} of `{}`", rollout.version, rollout.service.name),
    })
}

fn waiting(what: &str) -> Progress<Output> {
    Progress::Pending { again_millis: AGAIN_MILLIS, note: format!("waiting for {what}") }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
