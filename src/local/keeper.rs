//! Keeping the copies of a version running: one task for each copy.
//!
//! A copy that ends before its version was healthy has failed. One that ends, or stops being
//! healthy, afterwards is started again, with pauses that grow from a quarter of a second to half a
//! minute.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::{Fate, VersionRecord};
use super::health::{self, Silence};
use super::launch::{Body, Occasion, launch, log_file};
use super::log::FAILURE_LINES;
use super::shared::Shared;
use super::unit::{CopyState, Unit};
use super::{log, process};
use crate::model::{Failure, FailureKind, Health};
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

/// How a copy came to its end.
enum End {
    Exited(Option<i32>),
    Unhealthy(String),
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
            Err(PortError::Failed(failure)) => Ok(*failure),
            Err(error) => Err(error.to_string()),
        };
        unit.upstream.set(copy, None);
        why = Occasion::Restart;
        restarts = if begun.elapsed() >= STABLE { 1 } else { restarts + 1 };
        match ended {
            Ok(failure) if unit.record().fate != Fate::Proven => return unit.set(copy, CopyState::Failed { failure }),
            Ok(failure) => {
                tracing::warn!(stage = %unit.id.stage, service = %unit.id.service, restarts, why = failure.summary, "starting a program again");
                unit.set(copy, CopyState::Down { restarts, failure });
            }
            Err(reason) => {
                tracing::warn!(stage = %unit.id.stage, service = %unit.id.service, reason, "a program cannot be started");
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
async fn attend(shared: &Arc<Shared>, unit: &Unit, copy: usize, mut body: Body) -> Failure {
    let record = unit.record();
    let address = body.address(&record, copy);
    let proven = record.fate == Fate::Proven;
    if proven {
        // It served before this server came: no request waits for the first probe.
        unit.upstream.set(copy, address);
    }
    let end = tokio::select! {
        biased;
        code = body.exited(shared) => End::Exited(code),
        saw = examine(shared, unit, copy, address) => End::Unhealthy(saw),
    };
    unit.upstream.set(copy, None);
    let drain = record.spec.drain.duration();
    let known = match &body {
        Body::Child(_, process) | Body::Adopted(process) => Some(*process),
        Body::Container(container) => {
            if matches!(end, End::Unhealthy(_)) {
                container.stop(&shared.docker, drain).await;
            }
            None
        }
    };
    let lines = match &body {
        Body::Container(container) => {
            container.log(&shared.docker, FAILURE_LINES, &shared.secret_values(&record.spec)).await
        }
        Body::Child(..) | Body::Adopted(_) => {
            process::stop(&shared.marker(&unit.id, &copy.to_string()), known, drain).await;
            let path = log_file(shared, &unit.id, &copy.to_string());
            log::tail(&path, FAILURE_LINES, &shared.secret_values(&record.spec))
        }
    };
    explain(&record, end, lines)
}

/// Probes until the copy counts as unhealthy, and answers what the last probe saw.
async fn examine(shared: &Shared, unit: &Unit, copy: usize, address: Option<SocketAddr>) -> String {
    let record = unit.record();
    let Some(address) = address else {
        tokio::time::sleep(SETTLED).await;
        if let Some(port) = record.spec.port {
            return format!("the engine published port {port} of the container nowhere");
        }
        unit.set_healthy(shared, copy);
        return std::future::pending().await;
    };
    let health = &record.spec.health;
    let host = record.spec.host.as_deref().unwrap_or("localhost");
    let interval = health.interval.duration();
    let path = log_file(shared, &unit.id, &copy.to_string());
    let begun = Instant::now();
    let (mut passed, mut missed, mut up, mut gap) = (0, 0, false, FIRST_GAP);
    loop {
        let saw = match health::get(address, host, &health.path, health.timeout.duration()).await {
            Ok(answer) if answer.status == health.status => None,
            Ok(answer) => Some(format!("`{}` answered {} in place of {}", health.path, answer.status, health.status)),
            Err(Silence::Theirs(trouble)) => Some(trouble),
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
                return saw;
            }
            if !up {
                unit.set(copy, CopyState::Coming { saw });
            }
        } else {
            (passed, missed) = (passed + 1, 0);
            if !up && passed >= health.healthy {
                up = true;
                unit.upstream.set(copy, Some(address));
                unit.set_healthy(shared, copy);
            }
        }
        gap = match (up, passed) {
            (true, _) => {
                log::bound(&path);
                interval
            }
            (false, 0) => (gap * 3 / 2).min(LONGEST_FIRST_GAP).min(interval),
            (false, _) => CONFIRM_GAP.min(interval),
        };
        // An interval of 0 would otherwise never let anything else run.
        tokio::time::sleep(gap.max(Duration::from_millis(10))).await;
    }
}

/// Whether a copy is unhealthy after so many missed probes in a row, those of its grace not counted.
/// `starting`: how long it has been on its way; `None` once it was healthy.
fn is_given_up(health: &Health, starting: Option<Duration>, missed: u32) -> bool {
    // Both time and tries: on a machine that stood still, time alone says nothing.
    let patience = health.grace.duration() + health.interval.duration() * health.unhealthy;
    starting.is_none_or(|age| age >= patience) && missed >= health.unhealthy.max(1)
}

/// Says why a copy ended and what to do.
fn explain(record: &VersionRecord, end: End, log: Vec<String>) -> Failure {
    let name = &record.spec.name;
    let when = if record.fate == Fate::Proven { "" } else { " before it was healthy" };
    let (kind, exit_code, summary, advice) = match end {
        End::Exited(Some(code)) => (
            FailureKind::Exited,
            Some(code),
            format!("`{name}` ended with exit code {code}{when}"),
            "Its last lines say why. Mend it and push; what served before still serves.".to_owned(),
        ),
        End::Exited(None) => (
            FailureKind::Exited,
            None,
            format!("`{name}` ended{when}; its exit code is unknown because the server was started meanwhile"),
            "Its last lines may say why. Deploy again or push.".to_owned(),
        ),
        End::Unhealthy(saw) => (
            FailureKind::Unhealthy,
            None,
            format!("`{name}` runs but its health check does not pass: {saw}"),
            format!(
                "Let it listen on the port in `PORT` and answer `GET {}` with {}, or change `health` in the configuration.",
                record.spec.health.path, record.spec.health.status
            ),
        ),
    };
    Failure { kind, summary, exit_code, log, advice }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seconds;

    #[test]
    fn a_copy_is_given_up_when_it_had_its_time_and_its_tries() {
        let health = Health {
            path: "/".into(),
            status: 200,
            interval: Seconds(10),
            timeout: Seconds(5),
            healthy: 2,
            unhealthy: 3,
            grace: Seconds(30),
        };
        for (starting, missed, given_up) in [
            (Some(59), 9, false),
            (Some(60), 3, true),
            // The machine stood still for an hour.
            (Some(3_600), 1, false),
            (Some(3_600), 3, true),
            (None, 2, false),
            (None, 3, true),
        ] {
            let starting = starting.map(Duration::from_secs);
            assert_eq!(is_given_up(&health, starting, missed), given_up, "{starting:?}, {missed} missed");
        }
    }
}
