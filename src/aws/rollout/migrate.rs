//! The one-off command with the new image, once for a goal, before the service changes.

use std::time::Duration;

use aws_sdk_ecs::types::{ContainerOverride, TaskOverride};

use super::autopsy::{Finding, examine, failure};
use super::doctor::last_lines;
use super::memory::{Migration, Track};
use super::one_off;
use super::registered::{self, label_of};
use super::start::{is_complete, see};
use super::task::{self, TaskSeen};
use super::{Work, pending};
use crate::model::{Failure, FailureKind, Migrate, Output, Timestamp};
use crate::port::{PortError, PortResult, Progress};

/// What `StopTask` gives as the reason, and by what a task that ran out of time is known.
const OUT_OF_TIME: &str = "the migration took longer than its timeout";
const LINES: i32 = 20;
/// How often a log that has not come yet is looked for again.
const LOG_TRIES: u32 = 5;
const AGAIN_MILLIS: i64 = 1_000;
const LONGEST_MILLIS: i64 = 5_000;

/// Runs the command if it has not run, and says how far it is.
pub(in crate::aws) async fn migrate(work: &Work<'_>, track: &mut Track) -> PortResult<Progress<Output>> {
    let Some(spec) = &work.rollout.service.migrate else { return Ok(Progress::Done(Output::Nothing)) };
    let task = match &track.migration {
        Migration::Task(id) => task::look(work, std::slice::from_ref(id)).await?.pop(),
        Migration::Unknown => match begun(work, track).await? {
            Begun::Served => return Ok(Progress::Done(Output::Nothing)),
            Begun::Task(task) => Some(*task),
        },
    };
    let Some(task) = task else {
        // ECS has forgotten it: look for it by its mark again.
        track.migration = Migration::Unknown;
        return Ok(pending(AGAIN_MILLIS, "looking for the migration's task"));
    };
    track.migration = Migration::Task(task.id.clone());
    if !task.is_stopped() {
        return running(work, spec, &task, track.migrating.elapsed()).await;
    }
    match judge(work, spec, &task) {
        Ended::Well => Ok(Progress::Done(Output::Nothing)),
        Ended::Badly(mut failure) => {
            failure.log = last_lines(work, &task, LINES).await?;
            if failure.log.is_empty() && task.exit_code.is_some() && track.log_tries < LOG_TRIES {
                track.log_tries += 1;
                return Ok(pending(AGAIN_MILLIS, format!("{}; reading its log", failure.summary)));
            }
            Err(PortError::Failed(failure))
        }
    }
}

enum Begun {
    /// The version serves already, so its command has run.
    Served,
    Task(Box<TaskSeen>),
}

/// Finds the task or starts it.
async fn begun(work: &Work<'_>, track: &mut Track) -> PortResult<Begun> {
    let seen = see(work).await?;
    let label = label_of(&work.shared.rollouts, work.clients, seen.live()).await?;
    if is_complete(&seen) && label.version.as_ref() == Some(work.rollout.version) {
        return Ok(Begun::Served);
    }
    let mark = format!("greenroom-{}", one_off::hash(work));
    if let Some(task) = one_off::find(work, &mark).await? {
        return Ok(Begun::Task(Box::new(task)));
    }
    let definition = registered::ensure(work, track, seen.live()).await?.arn;
    let command = work.rollout.service.migrate.as_ref().map(|migrate| migrate.command.clone());
    let container = ContainerOverride::builder().name(work.name().as_str()).set_command(command).build();
    let overrides = TaskOverride::builder().container_overrides(container).build();
    let task = one_off::run(work, &mark, &definition, Some(overrides)).await?;
    Ok(Begun::Task(Box::new(task)))
}

async fn running(work: &Work<'_>, spec: &Migrate, task: &TaskSeen, waited: Duration) -> PortResult<Progress<Output>> {
    let began = Timestamp(task.created.saturating_mul(1000));
    let is_late = task.created > 0 && work.shared.settings.clock.now().since(began) > spec.timeout.millis();
    if is_late && task.stopped_reason.is_empty() {
        task::stop(work, task, OUT_OF_TIME).await?;
        return Ok(pending(AGAIN_MILLIS, "stopping the migration, it took too long"));
    }
    let state = task.status.to_lowercase();
    Ok(pending(again_millis(waited), format!("the migration's task {} is {state}", task.id)))
}

/// As long again as it has been waited for; a command that takes minutes is not asked for each second of it.
fn again_millis(waited: Duration) -> i64 {
    i64::try_from(waited.as_millis()).unwrap_or(LONGEST_MILLIS).clamp(AGAIN_MILLIS, LONGEST_MILLIS)
}

#[derive(Debug)]
enum Ended {
    Well,
    Badly(Box<Failure>),
}

/// Only a program that ended by itself with 0 has done its work.
fn judge(work: &Work<'_>, spec: &Migrate, task: &TaskSeen) -> Ended {
    let name = work.name();
    let advice = "Mend the migration and push; nothing was started.";
    let failed = |summary: String, exit_code: Option<i32>| {
        let failure = Failure::new(FailureKind::Migration, summary, advice);
        Ended::Badly(Box::new(Failure { exit_code, ..failure }))
    };
    if task.stopped_reason.contains(OUT_OF_TIME) {
        return failed(format!("the migration of `{name}` took longer than {}", spec.timeout), None);
    }
    if task.stop_code == "UserInitiated" {
        return failed(format!("the migration of `{name}` was stopped: {}", task.stopped_reason), None);
    }
    match (task.exit_code, examine(task)) {
        (Some(0), _) => Ended::Well,
        (Some(code), Finding::Fault(super::autopsy::Cause::Exited { .. })) => {
            failed(format!("the migration of `{name}` ended with exit code {code}"), Some(code))
        }
        (exit_code, Finding::Fault(cause) | Finding::Hiccup(cause)) => {
            let known = failure(&cause, work.rollout.service, Vec::new(), "");
            let summary = format!("the migration of `{name}` failed: {}", known.summary);
            let advice = format!("{} Nothing was started.", known.advice);
            Ended::Badly(Box::new(Failure { exit_code, advice, ..Failure::new(FailureKind::Migration, summary, "") }))
        }
        (exit_code, Finding::Transient) => {
            failed(format!("the migration of `{name}` was taken away: {}", task.stopped_reason), exit_code)
        }
    }
}
