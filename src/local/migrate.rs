//! The one-off command of a version, once.
//!
//! Two never run at the same time. One that was under way when the server was killed is waited for, and
//! its exit code read from what its warden wrote, or from its container. Where a signal ended it, or nobody
//! saw how it ended, it is run again; migrations are written to stand that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::disk::{MigrationRecord, VersionId};
use super::keeper::what_served;
use super::launch::{self, end_file, log_file, prepare};
use super::log::{self, FAILURE_LINES};
use super::process::{self, Members, Trace};
use super::shared::Shared;
use super::unit::Unit;
use super::warden::{self, Order};
use super::{docker, explain::Before};
use crate::model::{Failure, FailureKind, Migrate, Runtime};
use crate::port::{PortError, PortResult};

/// How the program is called in markers and files.
const ROLE: &str = "migrate";
/// From the polite signal to the other one, when the time is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// Exit codes from here on stand for signals.
const SIGNALS: i32 = 128;

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
        let advice = match what_served(shared, unit) {
            Before::Serves => "Mend the migration and push; nothing was started, what served before still serves.",
            Before::Nothing => "Mend the migration and push; nothing was started.",
        };
        let advice = advice.to_owned();
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
    let record = unit.record();
    let before = launch::trace(shared, &unit.id, ROLE)?;
    wait_for_earlier(&unit.id, &before, limit).await?;
    if let Some(code) = code_of(shared, unit, &before) {
        return Ok(Some((Some(code), printed(shared, unit))));
    }
    let mut child = {
        let _nothing_ends = unit.launching.lock().await;
        let order = prepare(shared, &unit.id, &record, migrate.command.clone(), ROLE, BTreeMap::new()).await?;
        let order = Order { patience_millis: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX), ..order };
        launch::run(shared, &unit.id, ROLE, &order).await.map_err(as_migration)?
    };
    let ended = tokio::time::timeout(limit, child.wait()).await;
    // On its end nothing of it stays; out of time it is ended.
    launch::end_program(shared, &unit.id, ROLE, PATIENCE).await;
    let lines = printed(shared, unit);
    match ended {
        Err(_) => Ok(None),
        Ok(Ok(_)) => {
            let seen = warden::read_end(&end_file(shared, &unit.id, ROLE)).unwrap_or_default();
            Ok(Some((seen.code, lines)))
        }
        Ok(Err(error)) => Err(PortError::retry(format!("waiting for the migration: {error}"))),
    }
}

/// How a migration ended that was begun before, where its own end is an answer.
fn code_of(shared: &Shared, unit: &Unit, before: &Trace) -> Option<i32> {
    let run = before.run.as_ref()?;
    let ended = warden::read_end(&end_file(shared, &unit.id, ROLE)).filter(|_| run.has_warden())?;
    // A machine that goes down ends it, and so do we when its time is over.
    ended.code.filter(|code| run.is_of_this_boot() && *code < SIGNALS)
}

fn printed(shared: &Shared, unit: &Unit) -> Vec<String> {
    let secrets = shared.secret_values(&unit.record().spec);
    log::tail(&log_file(shared, &unit.id, ROLE), FAILURE_LINES, &secrets)
}

/// A migration that cannot be run has failed as one.
fn as_migration(error: PortError) -> PortError {
    match error {
        PortError::Failed(failure) => {
            let summary = format!("the migration cannot be run: {}", failure.summary);
            PortError::Failed(Box::new(Failure { kind: FailureKind::Migration, summary, ..*failure }))
        }
        other => other,
    }
}

/// One that was started before the server was killed runs to its end, or its time.
async fn wait_for_earlier(id: &VersionId, earlier: &Trace, limit: Duration) -> PortResult<()> {
    let ended = async {
        loop {
            let trace = earlier.clone();
            let members = tokio::task::spawn_blocking(move || process::members(&trace)).await;
            // What cannot be seen is there until it can.
            if let Ok(Ok(members)) = members
                && members == Members::default()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    if tokio::time::timeout(limit, ended).await.is_err() {
        // Two never run at the same time.
        launch::end_traced(id, earlier, PATIENCE).await?;
    }
    Ok(())
}
