//! Between the words of the model and the columns of the tables.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::inbox::{POISON, RECEIVED};
use super::sql::fault;
use super::write::{DeliveryRow, DeployRow, Hold, IntakeRows, LineRow, StageRow, SurfaceRow};
use super::{locks, receipt, witness};
use crate::model::{
    AuditEntry, Deploy, DeployId, Fence, Generation, Lane, NewDeploy, Outcome, RepoName, StageId, StageRecord,
    StepEvent, StepKey, SurfaceKey, SurfaceKind, Timestamp,
};
use crate::port::{Held, InboxContent, InboxRow, IntakeWrite, NewDelivery, PortError, PortResult, SurfaceRecord};

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

pub(super) fn parsed<T: std::str::FromStr>(row: &AnyRow, place: usize) -> PortResult<T>
where
    T::Err: std::fmt::Display,
{
    let text: String = column(row, place)?;
    text.parse().map_err(|reason: T::Err| PortError::Bug {
        context: format!("a stored name cannot be read any more: {reason}"),
        source: None,
    })
}

/// A number of GitHub's in a column, which has one bit less for it.
pub(super) fn signed(number: u64) -> PortResult<i64> {
    i64::try_from(number).map_err(|error| PortError::bug(format!("the number {number} from outside"), error))
}

/// A number that [`signed`] put into a column.
pub(super) fn number(row: &AnyRow, place: usize) -> PortResult<u64> {
    u64::try_from(column::<i64>(row, place)?).map_err(|error| PortError::bug("a stored number is negative", error))
}

/// Whether what is written belongs to the repository whose lane is held.
pub(super) fn own(held: &Held, repo: &RepoName) -> PortResult<()> {
    match held.lane() {
        Lane::Repo(own) if own == repo => Ok(()),
        lane => Err(PortError::Bug { context: format!("the lane {lane} writes for {repo}"), source: None }),
    }
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

pub(super) fn intake(held: &Held, write: IntakeWrite) -> PortResult<IntakeRows> {
    let repos = write.witnesses.iter().map(|witness| &witness.repo).chain(write.audit.iter().map(|entry| &entry.repo));
    let repos = repos.chain(write.receipts.iter().map(|receipt| &receipt.key.repo));
    repos.chain(write.stages.iter().map(|stage| &stage.id.repo)).try_for_each(|repo| own(held, repo))?;
    // A ring means now, and the newest time that the decision itself names is that; without any it
    // is due all the same.
    let times = write.stages.iter().map(|stage| stage.touched_at.0).chain(write.audit.iter().map(|entry| entry.at.0));
    let ring_at = times.max().unwrap_or(0);
    Ok(IntakeRows {
        stages: write.stages.iter().map(stage_row).collect::<PortResult<_>>()?,
        repo_lock: write.repo_lock.as_ref().map(|change| locks::row(held, change)).transpose()?,
        rings: write.rings.into_iter().map(String::from).collect(),
        ring_at,
        done: write.done,
        poison: write.poison.into_iter().map(|(seq, reason)| (seq, storable(reason))).collect(),
        witnesses: write.witnesses.into_iter().map(witness::row).collect::<PortResult<_>>()?,
        receipts: write.receipts.iter().map(receipt::row).collect::<PortResult<_>>()?,
        audit: write.audit.into_iter().map(audit_entry).collect(),
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
        queue: if stage.queue.is_empty() { None } else { Some(to_json(&stage.queue)?) },
        keep_until: stage.keep_until.map(|at| at.0),
        asked: stage.asked.as_ref().map(to_json).transpose()?,
        settled: stage.settled.0,
        unrest: if stage.unrest.is_empty() { None } else { Some(to_json(&stage.unrest)?) },
        place: stage.place.as_ref().map(to_json).transpose()?,
        touched_at: stage.touched_at.0,
        expires_at: stage.expires_at.map(|at| at.0),
    })
}

/// The columns that [`stage_record`] reads.
pub(super) const STAGE_COLUMNS: &str = "repo, name, subject, target, generation, status, approval, lock, touched_at, expires_at, place, queue, \
     keep_until, asked, settled, unrest";

pub(super) fn stage_record(row: &AnyRow) -> PortResult<StageRecord> {
    let lock: Option<String> = column(row, 7)?;
    let place: Option<String> = column(row, 10)?;
    let queue: Option<String> = column(row, 11)?;
    let asked: Option<String> = column(row, 13)?;
    let unrest: Option<String> = column(row, 15)?;
    let approval = if column::<Option<String>>(row, 6)?.is_some() { Some(parsed(row, 6)?) } else { None };
    Ok(StageRecord {
        id: StageId { repo: parsed(row, 0)?, name: parsed(row, 1)? },
        subject: from_json(&column::<String>(row, 2)?)?,
        target: from_json(&column::<String>(row, 3)?)?,
        generation: Generation(column(row, 4)?),
        status: from_json(&column::<String>(row, 5)?)?,
        approval,
        lock: lock.as_deref().map(from_json).transpose()?,
        queue: queue.as_deref().map_or(Ok(Vec::new()), from_json)?,
        keep_until: column::<Option<i64>>(row, 12)?.map(Timestamp),
        asked: asked.as_deref().map(from_json).transpose()?,
        settled: Generation(column(row, 14)?),
        unrest: unrest.as_deref().map_or(Ok(Vec::new()), from_json)?,
        place: place.as_deref().map(from_json).transpose()?,
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

/// `kind`, `key`, `external`, `hash`, `at`, at these places.
pub(super) fn surface_record(row: &AnyRow, places: [usize; 5]) -> PortResult<SurfaceRecord> {
    let [kind, key, external, hash, at] = places;
    let kind: String = column(row, kind)?;
    let kinds = [SurfaceKind::Comment, SurfaceKind::Check, SurfaceKind::Deployment, SurfaceKind::DeploymentStatus];
    let kind = kinds
        .into_iter()
        .find(|known| known.as_str() == kind)
        .ok_or_else(|| PortError::Bug { context: format!("{kind:?} is no kind of surface"), source: None })?;
    let external = if column::<Option<String>>(row, external)?.is_some() { Some(parsed(row, external)?) } else { None };
    Ok(SurfaceRecord {
        key: SurfaceKey { kind, key: column(row, key)? },
        external,
        hash: column(row, hash)?,
        at: Timestamp(column(row, at)?),
    })
}

fn audit_entry(entry: AuditEntry) -> AuditEntry {
    let AuditEntry { at, repo, actor, action, subject, details } = entry;
    let (actor, action, subject, details) = (storable(actor), storable(action), storable(subject), storable(details));
    AuditEntry { at, repo, actor, action, subject, details }
}
