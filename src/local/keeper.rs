//! Keeping the copies of a version running: one task for each copy.
//!
//! A copy that ends before its version was healthy has failed. One that ends, or stops being
//! healthy, afterwards is started again, with pauses that grow from a quarter of a second to half a
//! minute.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::Fate;
use super::explain::{Age, Before, End, Place, Sight, Story, explain};
use super::health::{self, Silence};
use super::launch::{Body, Occasion, end_file, end_program, launch, log_file, trace};
use super::log::FAILURE_LINES;
use super::shared::Shared;
use super::unit::{CopyState, Unit};
use super::warden::{self, Ended};
use super::{log, process, sockets, trouble, unrest};
use crate::model::{Failure, FailureKind, Health, Runtime};
use crate::port::PortError;

/// A program without an address is healthy when it has run this long.
const SETTLED: Duration = Duration::from_secs(1);
/// The first probes come quickly, so that a quick program is live quickly.
const FIRST_GAP: Duration = Duration::from_millis(40);
const LONGEST_FIRST_GAP: Duration = Duration::from_secs(1);
/// Between the successes that make a copy healthy.
const CONFIRM_GAP: Duration = Duration::from_millis(100);
/// A copy that ran this long starts over with short pauses.
const STABLE: Duration = Duration::from_mins(1);
/// The log of a program without a warden is looked at this often.
const LOG_LOOK: Duration = Duration::from_secs(30);

/// What became of a copy that was brought to life.
enum Came {
    Down(Failure),
    /// An earlier server started it, and nobody saw it end.
    Away,
}

/// Keeps every copy of the version running until it retires or the server stops.
pub(super) fn keep(shared: &Arc<Shared>, unit: &Arc<Unit>) {
    if unit.is_retiring() || !unit.claim_keeping() {
        return;
    }
    for copy in 0..unit.copies() {
        let (shared, unit) = (Arc::clone(shared), Arc::clone(unit));
        tokio::spawn(async move {
            let halt = unit.halt.clone();
            tokio::select! {
                () = halt.cancelled() => {}
                () = keep_copy(&shared, &unit, copy) => {}
            }
        });
    }
}

async fn keep_copy(shared: &Arc<Shared>, unit: &Arc<Unit>, copy: usize) {
    let mut why = Occasion::Arrival;
    let mut restarts = 0;
    loop {
        let begun = Instant::now();
        let ended = match launch(shared, unit, copy, why).await {
            Ok(body) => Ok(attend(shared, unit, copy, body).await),
            Err(PortError::Failed(failure)) => Ok(Came::Down(*failure)),
            Err(error) => Err(error.to_string()),
        };
        unit.upstream.set(copy, None);
        why = Occasion::Restart;
        restarts = if begun.elapsed() >= STABLE { 1 } else { restarts + 1 };
        match ended {
            Ok(Came::Down(failure)) if unit.record().fate != Fate::Proven => {
                return unit.set(copy, CopyState::Failed { failure });
            }
            Ok(Came::Down(failure)) => {
                tracing::warn!(stage = %unit.id.stage, service = %unit.id.service, restarts, why = failure.summary, "starting a program again");
                unit.set(copy, CopyState::Down { restarts, failure: failure.clone() });
                unrest::fell(shared, unit, &failure);
            }
            Ok(Came::Away) => {
                tracing::info!(stage = %unit.id.stage, service = %unit.id.service, "a program ended while no server saw it, and is started again");
                unit.set(copy, CopyState::Coming { saw: "it ended while no server saw it".to_owned() });
            }
            Err(reason) => {
                tracing::warn!(stage = %unit.id.stage, service = %unit.id.service, reason, "a program cannot be started");
                if unit.record().fate == Fate::Proven {
                    let summary = format!("`{}` cannot be started: {reason}", unit.id.service);
                    let advice = "It lies with this server, and is tried again by itself.";
                    unrest::fell(shared, unit, &Failure::new(FailureKind::Environment, summary, advice));
                }
                unit.set(copy, CopyState::Stuck { reason });
            }
        }
        tokio::time::sleep(pause_before(restarts)).await;
    }
}

fn pause_before(restart: u32) -> Duration {
    (Duration::from_millis(250) * 2_u32.saturating_pow(restart.saturating_sub(1).min(10))).min(Duration::from_secs(30))
}

/// Looks after a running copy until it ends or is unhealthy; nothing of it runs afterwards.
async fn attend(shared: &Arc<Shared>, unit: &Unit, copy: usize, mut body: Body) -> Came {
    let record = unit.record();
    let role = copy.to_string();
    let (end_file, log_path) = (end_file(shared, &unit.id, &role), log_file(shared, &unit.id, &role));
    let addresses = body.addresses(&record, copy);
    if record.fate == Fate::Proven {
        // It served before this server came: no request waits for the first probe.
        unit.upstream.set(copy, health::reachable(&addresses).await);
    }
    let is_bare = body.is_bare();
    let end = tokio::select! {
        biased;
        ended = body.exited(shared, &end_file) => End::Exited(ended),
        saw = examine(shared, unit, copy, &addresses) => End::Unhealthy(saw),
        never = bounded(&log_path, is_bare) => match never {},
    };
    unit.upstream.set(copy, None);
    let (was_adopted, was_well) = (body.is_adopted(), unit.is_well(copy));
    // What is left of it may take its time to end; nobody calls it well meanwhile.
    unit.set(copy, CopyState::Coming { saw: "it is down, and what it left is being ended".to_owned() });
    let drain = record.spec.drain.duration();
    let secrets = shared.secret_values(&record.spec);
    let (end, log) = match body {
        Body::Container(container) => {
            if matches!(end, End::Unhealthy(_)) {
                container.stop(&shared.docker, drain).await;
            }
            (end, container.log(&shared.docker, FAILURE_LINES, &secrets).await)
        }
        Body::Child(_) | Body::Adopted(_) => {
            // Whoever was found unhealthy may have ended just now; its warden knows.
            let ended = warden::read_end(&end_file).filter(|ended| ended.code.is_some() && !is_bare).map(End::Exited);
            let end = if matches!(end, End::Unhealthy(_)) { ended.unwrap_or(end) } else { end };
            end_program(shared, &unit.id, &role, drain).await;
            (end, log::tail(&log_path, FAILURE_LINES, &secrets))
        }
    };
    if was_adopted && matches!(end, End::Exited(Ended { code: None, .. })) {
        return Came::Away;
    }
    // Asked anew: it may have become live meanwhile.
    let age = match (unit.record().fate, was_well) {
        (Fate::Proven, _) => Age::Live,
        (_, true) => Age::Grown,
        (_, false) => Age::Young,
    };
    let (name, health) = (record.spec.name.as_str(), &record.spec.health);
    let before = what_served(shared, unit);
    let hint = hint(shared, unit, &end);
    let place = match (&record.spec.runtime, record.spec.port) {
        (Runtime::Image(_), Some(port)) => Place::Inside(port),
        _ => Place::Told,
    };
    Came::Down(explain(&Story { name, age, before, end, log, health, place, hint }))
}

/// Keeps the log of a program that no warden keeps within bounds, as long as it is asked to.
async fn bounded(path: &std::path::Path, is_bare: bool) -> std::convert::Infallible {
    if !is_bare {
        return std::future::pending().await;
    }
    loop {
        log::bound(path);
        tokio::time::sleep(LOG_LOOK).await;
    }
}

/// Whether another version of the service serves.
pub(super) fn what_served(shared: &Shared, unit: &Unit) -> Before {
    match shared.disk.read_route(&unit.id.stage, &unit.id.service) {
        Ok(Some(route)) if route.version != unit.id.version => Before::Serves,
        _ => Before::Nothing,
    }
}

/// What the file of the program says about its end.
fn hint(shared: &Shared, unit: &Unit, end: &End) -> Option<String> {
    let (End::Exited(Ended { code: Some(code), .. }), Runtime::Process { command }) = (end, unit.record().spec.runtime)
    else {
        return None;
    };
    trouble::of_exit_code(&shared.disk.version_dir(&unit.id).join("source"), &command, *code)
}

/// Probes until the copy counts as unhealthy, and answers what the last probe saw.
async fn examine(shared: &Shared, unit: &Unit, copy: usize, addresses: &[SocketAddr]) -> Sight {
    let record = unit.record();
    if addresses.is_empty() {
        tokio::time::sleep(SETTLED).await;
        if let Some(port) = record.spec.port {
            return Sight::Wrong(format!("the engine published port {port} of the container nowhere"));
        }
        unit.set_healthy(shared, copy);
        return std::future::pending().await;
    }
    let health = &record.spec.health;
    let host = record.spec.host.as_deref().unwrap_or("localhost");
    let interval = health.interval.duration();
    let begun = Instant::now();
    let (mut passed, mut missed, mut up, mut gap) = (0, 0, false, FIRST_GAP);
    loop {
        let answered = health::get(addresses, host, &health.path, health.timeout.duration()).await;
        let saw = match &answered {
            Ok(answer) if answer.status == health.status => None,
            Ok(answer) => {
                let (path, status) = (&health.path, answer.status);
                Some(Sight::Wrong(format!("`{path}` answered {status} in place of {}", health.status)))
            }
            // A container is asked where the engine publishes it, and nowhere else.
            Err(Silence::Absent(port)) if addresses.len() == 1 => {
                Some(Sight::Wrong(format!("nothing listens on port {port}")))
            }
            Err(Silence::Absent(port)) => Some(Sight::Absent { port: *port, listens: Vec::new() }),
            Err(Silence::Theirs(trouble)) => Some(Sight::Wrong(trouble.clone())),
            // As if it had not been asked.
            Err(Silence::Ours(trouble)) => {
                tracing::warn!(stage = %unit.id.stage, service = %unit.id.service, trouble, "a program cannot be asked how it is");
                tokio::time::sleep(gap.max(FIRST_GAP)).await;
                continue;
            }
        };
        if let Some(saw) = saw {
            let starting = (!up).then(|| begun.elapsed());
            let is_early = starting.is_some_and(|age| age < health.grace.duration());
            (passed, missed) = (0, if is_early { 0 } else { missed + 1 });
            if is_given_up(health, starting, missed) {
                return looked_for(shared, unit, copy, saw).await;
            }
            if !up {
                unit.set(copy, CopyState::Coming { saw: saw.to_string() });
            }
        } else {
            (passed, missed) = (passed + 1, 0);
            let is_new = !up && passed >= health.healthy;
            up |= is_new;
            if up {
                // A program that begins anew by itself may come back at its other address.
                unit.upstream.set(copy, answered.ok().map(|answer| answer.from));
            }
            if is_new {
                unit.set_healthy(shared, copy);
            }
        }
        gap = match (up, passed) {
            (true, _) => interval,
            (false, 0) => (gap * 3 / 2).min(LONGEST_FIRST_GAP).min(interval),
            (false, _) => CONFIRM_GAP.min(interval),
        };
        // An interval of 0 would otherwise never let anything else run.
        tokio::time::sleep(gap.max(Duration::from_millis(10))).await;
    }
}

/// Where nothing listens as it should: where the program listens in truth.
async fn looked_for(shared: &Shared, unit: &Unit, copy: usize, saw: Sight) -> Sight {
    let Sight::Absent { port, .. } = saw else { return saw };
    if !matches!(unit.record().spec.runtime, Runtime::Process { .. }) {
        return saw;
    }
    let Ok(trace) = trace(shared, &unit.id, &copy.to_string()) else { return saw };
    let look = move || {
        let members = process::members(&trace).unwrap_or_default();
        sockets::listening(members.others.into_iter().map(|id| id.pid))
    };
    Sight::absent(port, tokio::task::spawn_blocking(look).await.unwrap_or_default())
}

/// Whether a copy is unhealthy after so many missed probes in a row, those of its grace not counted.
/// `starting`: how long it has been on its way; `None` once it was healthy.
fn is_given_up(health: &Health, starting: Option<Duration>, missed: u32) -> bool {
    // Both time and tries: on a machine that stood still, time alone says nothing.
    let patience = health.grace.duration() + health.interval.duration() * health.unhealthy;
    starting.is_none_or(|age| age >= patience) && missed >= health.unhealthy.max(1)
}

#[cfg(test)]
mod tests;
