//! The one-off command of a version, once.
//!
//! Two never run at the same time. As a process, one that was under way when the server was killed
//! is waited for and then run again, because nobody saw how it ended; migrations are written to
//! stand that. As a container it is found again and its exit code read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::disk::MigrationRecord;
use super::launch::{log_file, prepare, record_process, recorded};
use super::log::{self, FAILURE_LINES};
use super::shared::Shared;
use super::unit::Unit;
use super::{docker, process};
use crate::model::{Failure, FailureKind, Migrate, Runtime};
use crate::port::{PortError, PortResult, is_own_exhaustion};

/// How the program is called in markers and files.
const ROLE: &str = "migrate";
/// From the polite signal to the other one, when the time is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command to its end and writes down what became of it.
pub(super) async fn run(shared: Arc<Shared>, unit: Arc<Unit>, migrate: Migrate) -> PortResult<()> {
    let halt = unit.halt.clone();
    let ended = tokio::select! {
        () = halt.cancelled() => return Err(PortError::retry("the server stops")),
        ended = attempt(&shared, &unit, &migrate) => ended,
    };
    match ended {
        Ok(()) => shared.disk.write_migration(&unit.id, &MigrationRecord::Done),
        Err(PortError::Failed(failure)) => {
            shared.disk.write_migration(&unit.id, &MigrationRecord::Failed(failure.clone()))?;
            Err(PortError::Failed(failure))
        }
        Err(error) => Err(error),
    }
}

async fn attempt(shared: &Arc<Shared>, unit: &Unit, migrate: &Migrate) -> PortResult<()> {
    let begun_before = shared.disk.read_migration(&unit.id)?.is_some();
    shared.disk.write_migration(&unit.id, &MigrationRecord::Begun)?;
    let record = unit.record();
    let limit = migrate.timeout.duration();
    let ended = if matches!(record.spec.runtime, Runtime::Process { .. }) {
        as_process(shared, unit, migrate, limit).await?
    } else {
        if !begun_before {
            docker::remove_once(shared, &unit.id).await?;
        }
        let image = &record.artifact.reference;
        let run = docker::run_once(shared, &unit.id, &record.spec, image, &migrate.command);
        let ended = tokio::time::timeout(limit, run).await.ok().transpose()?;
        docker::remove_once(shared, &unit.id).await?;
        ended
    };
    let name = &record.spec.name;
    let failed = |summary, exit_code, log| {
        let advice = "Mend the migration and push; nothing was started, what served before still serves.".to_owned();
        Err(PortError::Failed(Box::new(Failure { kind: FailureKind::Migration, summary, exit_code, log, advice })))
    };
    match ended {
        Some((Some(0), _)) => Ok(()),
        Some((Some(code), log)) => {
            failed(format!("the migration of `{name}` ended with exit code {code}"), Some(code), log)
        }
        Some((None, log)) => failed(format!("the migration of `{name}` ended without an exit code"), None, log),
        None => failed(format!("the migration of `{name}` took longer than {}", migrate.timeout), None, Vec::new()),
    }
}

/// The exit code and the last lines; `None` if it took too long.
async fn as_process(
    shared: &Arc<Shared>,
    unit: &Unit,
    migrate: &Migrate,
    limit: Duration,
) -> PortResult<Option<(Option<i32>, Vec<String>)>> {
    let marker = shared.marker(&unit.id, ROLE);
    let record = unit.record();
    wait_for_earlier(&marker, limit).await;
    let mut child = {
        let _nothing_ends = unit.launching.lock().await;
        let launch = prepare(shared, &unit.id, &record, migrate.command.clone(), ROLE, BTreeMap::new()).await?;
        let spawned = process::spawn(&launch).map_err(|error| {
            if is_own_exhaustion(&error) {
                return PortError::retry(format!("this server has nothing left to start a migration with: {error}"));
            }
            let summary = format!("the migration of `{}` cannot be run: {error}", record.spec.name);
            PortError::failed(FailureKind::Migration, summary, "Name a program that is on the server's PATH.")
        });
        let (child, process) = spawned?;
        record_process(shared, &unit.id, ROLE, process)?;
        child
    };
    let ended = tokio::time::timeout(limit, child.wait()).await;
    // On its end nothing of it stays; out of time it is ended.
    process::stop(&marker, recorded(shared, &unit.id, ROLE), PATIENCE).await;
    let lines = log::tail(&log_file(shared, &unit.id, ROLE), FAILURE_LINES, &shared.secret_values(&record.spec));
    match ended {
        Err(_) => Ok(None),
        Ok(Ok(status)) => Ok(Some((process::exit_code(status), lines))),
        Ok(Err(error)) => Err(PortError::retry(format!("waiting for the migration: {error}"))),
    }
}

/// One that was started before the server was killed runs to its end, or its time.
async fn wait_for_earlier(marker: &str, limit: Duration) {
    let earlier = async {
        loop {
            let prefix = marker.to_owned();
            let found = tokio::task::spawn_blocking(move || process::scan(&prefix)).await;
            // What cannot be seen is there until it can.
            if let Ok(Ok(found)) = found
                && found.iter().all(|found| found.marker != marker)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    if tokio::time::timeout(limit, earlier).await.is_err() {
        process::stop(marker, None, PATIENCE).await;
    }
}
