//! Between the words of the model and the columns of the tables.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::inbox::{POISON, RECEIVED};
use super::sql::fault;
use super::write::{AuditRow, DeliveryRow, DeployRow, Hold, IntakeRows, LineRow, StageRow, SurfaceRow};
use crate::model::{
    Deploy, DeployId, Fence, Generation, NewDeploy, Outcome, StageId, StageRecord, StepEvent, StepKey, SurfaceKey,
    SurfaceKind, Timestamp,
};
use crate::port::{
    AuditEntry, Held, InboxContent, InboxRow, IntakeWrite, NewDelivery, PortError, PortResult, SurfaceRecord,
};

pub(super) fn to_json<T: Serialize>(value: &T) -> PortResult<String> {
    serde_json::to_string(value).map_err(|error| PortError::bug("writing a value as JSON", error))
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> PortResult<T> {
    serde_json::from_str(text).map_err(|error| PortError::bug("a stored value cannot be read any more", error))
}

/// PostgreSQL's text cannot hold the character NUL, and texts from outside may.
fn storable(mut text: String) -> String {
    if text.contains('\0') {
        text = text.replace('\0', "\u{fffd}");
    }
    text
}

/// The column of a row by its place.
pub(super) fn column<'r, T>(row: &'r AnyRow, place: usize) -> PortResult<T>
where
    T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>,
{
    row.try_get(place).map_err(|error| fault("reading a column", error))
}

fn parsed<T: std::str::FromStr>(row: &AnyRow, place: usize) -> PortResult<T>
where
    T::Err: std::fmt::Display,
{
    let text: String = column(row, place)?;
    text.parse().map_err(|reason: T::Err| PortError::Bug {
        context: format!("a stored name cannot be read any more: {reason}"),
        source: None,
    })
}

pub(super) fn hold(held: &Held) -> Hold {
    Hold { lane: held.lane().to_string(), fence: held.fence().0 }
}

pub(super) fn delivery(new: NewDelivery) -> PortResult<DeliveryRow> {
    let (state, content, reason) = match new.content {
        InboxContent::Event(event) => (RECEIVED, to_json(&event)?, None),
        InboxContent::Poison { reason, excerpt } => (POISON, storable(excerpt), Some(storable(reason))),
    };
    Ok(DeliveryRow {
        keys: super::known::keys(new.id.as_str(), &new.body_hash),
        id: new.id.into(),
        body: new.body_hash.to_vec(),
        lane: new.lane.into(),
        state,
        at: new.at.0,
        content,
        reason,
    })
}

/// `id`, `seq`, `content`, `at`
pub(super) fn inbox_row(row: &AnyRow) -> PortResult<InboxRow> {
    Ok(InboxRow {
        id: parsed(row, 0)?,
        seq: column(row, 1)?,
        event: from_json(&column::<String>(row, 2)?)?,
        at: Timestamp(column(row, 3)?),
    })
}

pub(super) fn intake(write: IntakeWrite) -> PortResult<IntakeRows> {
    // A ring means now, and the newest time that the decision itself names is that; without any it
    // is due all the same.
    let times = write.stages.iter().map(|stage| stage.touched_at.0).chain(write.audit.iter().map(|entry| entry.at.0));
    let ring_at = times.max().unwrap_or(0);
    Ok(IntakeRows {
        stages: write.stages.iter().map(stage_row).collect::<PortResult<_>>()?,
        rings: write.rings.into_iter().map(String::from).collect(),
        ring_at,
        done: write.done,
        poison: write.poison.into_iter().map(|(seq, reason)| (seq, storable(reason))).collect(),
        audit: write.audit.into_iter().map(audit_row).collect(),
    })
}

pub(super) fn stage_row(stage: &StageRecord) -> PortResult<StageRow> {
    Ok(StageRow {
        repo: stage.id.repo.to_string(),
        name: stage.id.name.to_string(),
        subject: to_json(&stage.subject)?,
        target: to_json(&stage.target)?,
        generation: stage.generation.0,
        status: to_json(&stage.status)?,
        approval: stage.approval.as_ref().map(ToString::to_string),
        lock: stage.lock.as_ref().map(to_json).transpose()?,
        touched_at: stage.touched_at.0,
        expires_at: stage.expires_at.map(|at| at.0),
    })
}

/// The columns that [`stage_record`] reads.
pub(super) const STAGE_COLUMNS: &str =
    "repo, name, subject, target, generation, status, approval, lock, touched_at, expires_at";

pub(super) fn stage_record(row: &AnyRow) -> PortResult<StageRecord> {
    let lock: Option<String> = column(row, 7)?;
    let approval = if column::<Option<String>>(row, 6)?.is_some() { Some(parsed(row, 6)?) } else { None };
    Ok(StageRecord {
        id: StageId { repo: parsed(row, 0)?, name: parsed(row, 1)? },
        subject: from_json(&column::<String>(row, 2)?)?,
        target: from_json(&column::<String>(row, 3)?)?,
        generation: Generation(column(row, 4)?),
        status: from_json(&column::<String>(row, 5)?)?,
        approval,
        lock: lock.as_deref().map(from_json).transpose()?,
        touched_at: Timestamp(column(row, 8)?),
        expires_at: column::<Option<i64>>(row, 9)?.map(Timestamp),
    })
}

pub(super) fn deploy_row(deploy: &NewDeploy) -> PortResult<DeployRow> {
    Ok(DeployRow {
        stage: deploy.plan.stage.to_string(),
        generation: deploy.plan.generation.0,
        plan: to_json(&deploy.plan)?,
        started_at: deploy.started_at.0,
    })
}

/// `id`, `plan`, `started_at`, `ended_at`, `outcome`
pub(super) fn deploy(row: &AnyRow) -> PortResult<Deploy> {
    let ended_at: Option<i64> = column(row, 3)?;
    let outcome: Option<String> = column(row, 4)?;
    let ended = match (ended_at, outcome) {
        (Some(at), Some(outcome)) => Some((Timestamp(at), from_json::<Outcome>(&outcome)?)),
        _ => None,
    };
    Ok(Deploy {
        id: DeployId(column(row, 0)?),
        plan: from_json(&column::<String>(row, 1)?)?,
        started_at: Timestamp(column(row, 2)?),
        ended,
    })
}

pub(super) fn line_row(deploy: DeployId, event: StepEvent) -> PortResult<LineRow> {
    Ok(LineRow {
        deploy: deploy.0,
        seq: event.seq,
        kind: to_json(&event.kind)?,
        step: event.step.0,
        fence: event.fence.0,
        at: event.at.0,
    })
}

/// `seq`, `step`, `fence`, `at`, `kind`
pub(super) fn step_event(row: &AnyRow) -> PortResult<StepEvent> {
    Ok(StepEvent {
        seq: column(row, 0)?,
        step: StepKey(column(row, 1)?),
        fence: Fence(column(row, 2)?),
        at: Timestamp(column(row, 3)?),
        kind: from_json(&column::<String>(row, 4)?)?,
    })
}

pub(super) fn surface_row(stage: &StageId, surface: SurfaceRecord) -> SurfaceRow {
    SurfaceRow {
        stage: stage.to_string(),
        kind: surface.key.kind.as_str(),
        key: surface.key.key,
        external: surface.external.map(String::from),
        hash: surface.hash,
        at: surface.at.0,
    }
}

/// `kind`, `key`, `external`, `hash`, `at`
pub(super) fn surface_record(row: &AnyRow) -> PortResult<SurfaceRecord> {
    let kind: String = column(row, 0)?;
    let kinds = [SurfaceKind::Comment, SurfaceKind::Check, SurfaceKind::Deployment, SurfaceKind::DeploymentStatus];
    let kind = kinds
        .into_iter()
        .find(|known| known.as_str() == kind)
        .ok_or_else(|| PortError::Bug { context: format!("{kind:?} is no kind of surface"), source: None })?;
    let external = if column::<Option<String>>(row, 2)?.is_some() { Some(parsed(row, 2)?) } else { None };
    Ok(SurfaceRecord {
        key: SurfaceKey { kind, key: column(row, 1)? },
        external,
        hash: column(row, 3)?,
        at: Timestamp(column(row, 4)?),
    })
}

fn audit_row(entry: AuditEntry) -> AuditRow {
    AuditRow {
        at: entry.at.0,
        repo: entry.repo.into(),
        actor: storable(entry.actor),
        action: storable(entry.action),
        subject: storable(entry.subject),
        details: storable(entry.details),
    }
}

/// `at`, `repo`, `actor`, `action`, `subject`, `details`
pub(super) fn audit_entry(row: &AnyRow) -> PortResult<AuditEntry> {
    Ok(AuditEntry {
        at: Timestamp(column(row, 0)?),
        repo: parsed(row, 1)?,
        actor: column(row, 2)?,
        action: column(row, 3)?,
        subject: column(row, 4)?,
        details: column(row, 5)?,
    })
}
