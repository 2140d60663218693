//! One batch of writes in one transaction.
//!
//! The writes of a batch were all in flight at once, so no order among them was promised: lanes
//! are checked first, equal writes are put into one statement, claims come last.

use sqlx::{AnyConnection, Executor, Row, query as fixed};

use super::audit;
use super::inbox;
use super::known::{self, Known};
use super::lanes::{self, Lanes};
use super::locks;
use super::receipt;
use super::slots;
use super::sql::{query, runs, values};
use super::witness;
use super::write::{
    Answer, DeliveryRow, DeployRow, EndRow, IntakeRows, Job, LineRow, RunningRow, StageRow, SurfaceRow, Write,
};
use super::{Dedupe, Dialect};
use crate::port::{PortError, PortResult, Receipt};

/// Why a batch cannot be committed as it is.
pub(super) enum Broken {
    Sql(sqlx::Error),
    /// One of its writes contradicts what is there.
    Refused(PortError),
}

impl From<sqlx::Error> for Broken {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

/// How far the transaction of a batch is.
///
/// A statement for SQLite is handed to another thread and back, which costs more than many a
/// statement itself: where they can, BEGIN and COMMIT go along with the statements beside them.
pub(super) struct Frame {
    dialect: &'static Dialect,
    begun: bool,
    ending: bool,
}

impl Frame {
    pub(super) fn new(dialect: &'static Dialect) -> Self {
        Self { dialect, begun: false, ending: false }
    }

    /// Whether the database may have been told to commit.
    pub(super) fn is_ending(&self) -> bool {
        self.ending
    }

    async fn begin(&mut self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        self.begun = true;
        connection.execute(self.dialect.begin).await.map(drop)
    }

    /// What the next statement must be preceded by.
    fn opening(&mut self) -> &'static str {
        if std::mem::replace(&mut self.begun, true) { "" } else { self.dialect.begin_along }
    }

    /// What to put behind the last statement.
    pub(super) fn closing(&mut self) -> &'static str {
        self.ending = !self.dialect.commit_along.is_empty();
        self.dialect.commit_along
    }

    async fn commit(&mut self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if std::mem::replace(&mut self.ending, true) {
            return Ok(());
        }
        connection.execute("COMMIT").await.map(drop)
    }
}

/// Runs every write in one transaction, and says in their order what each came to.
pub(super) async fn run(
    connection: &mut AnyConnection,
    frame: &mut Frame,
    known: &mut Option<Known>,
    jobs: &[Job],
) -> Result<Vec<PortResult<Answer>>, Broken> {
    let dialect = frame.dialect;
    // With the memory at hand, the first statement for deliveries is the question for their keys.
    if known.is_none() || !jobs.iter().all(|job| matches!(job.write, Write::Receive(_))) {
        frame.begin(connection).await?;
    }
    let mut lanes = Lanes::read(connection, dialect, jobs).await?;
    let mut answers: Vec<PortResult<Answer>> = Vec::with_capacity(jobs.len());
    let (mut deliveries, mut appended, mut claims) = (Vec::new(), Vec::new(), Vec::new());
    for (place, job) in jobs.iter().enumerate() {
        if job.write.hold().is_some_and(|hold| !lanes.holds(hold)) {
            answers.push(Err(PortError::Stale));
            continue;
        }
        let mut outcome = Answer::Written;
        match &job.write {
            Write::Receive(delivery) => deliveries.push((place, delivery)),
            Write::Claim { now, lease_millis } => claims.push(((*now, *lease_millis), place)),
            Write::Append { lines, .. } => appended.extend(lines),
            Write::Ring { lane, at } => lanes.ring(lane, *at),
            Write::Renew { hold, until } => lanes.renew(hold, *until),
            Write::Release { hold, bell, wake_at, attempts } => lanes.release(hold, *bell, *wake_at, *attempts),
            Write::Intake { intake, .. } => take_intake(connection, &mut lanes, intake).await?,
            Write::Status { stage, .. } => save_status(connection, stage).await?,
            Write::Open { deploy, .. } => outcome = open(connection, deploy).await?,
            Write::Close { end, .. } => close(connection, end).await?,
            Write::Surfaces { surfaces, .. } => save_surfaces(connection, surfaces).await?,
            Write::Receipts { receipts, .. } => receipt::save(connection, receipts).await?,
            Write::TakeSlot { pool, holder, avoid, last } => {
                outcome = Answer::Slot(slots::take(connection, pool, holder, avoid, *last).await?);
            }
            Write::FreeSlot { pool, holder } => slots::free(connection, pool, holder).await?,
            Write::Forget { before } => {
                let heads = witness::forget(connection, *before).await?;
                outcome = Answer::Pruned(heads + receipt::forget(connection, *before).await?);
            }
            Write::Prune { below, limit } => outcome = prune(connection, dialect, known, *below, *limit).await?,
        }
        answers.push(Ok(outcome));
    }
    append(connection, &appended).await?;
    receive(connection, frame, known, &mut lanes, &deliveries, &mut answers).await?;
    lanes.save(connection, || if claims.is_empty() { frame.closing() } else { "" }).await?;
    claim(connection, dialect, claims, &mut answers).await?;
    frame.commit(connection).await?;
    Ok(answers)
}

async fn receive(
    connection: &mut AnyConnection,
    frame: &mut Frame,
    known: &mut Option<Known>,
    lanes: &mut Lanes,
    deliveries: &[(usize, &DeliveryRow)],
    answers: &mut [PortResult<Answer>],
) -> Result<(), Broken> {
    let rows: Vec<_> = deliveries.iter().map(|(_, delivery)| *delivery).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let receipts = match frame.dialect.dedupe {
        Dedupe::Indices => inbox::receive(connection, &rows).await?,
        Dedupe::Known => remembered(connection, known).await?.receive(connection, frame.opening(), &rows).await?,
    };
    for ((place, delivery), receipt) in deliveries.iter().zip(receipts) {
        if receipt == Receipt::Accepted {
            lanes.ring(&delivery.lane, delivery.at);
        }
        answers[*place] = Ok(Answer::Receipt(receipt));
    }
    Ok(())
}

/// The newest deliveries' keys, read when they are not at hand.
async fn remembered<'a>(
    connection: &mut AnyConnection,
    known: &'a mut Option<Known>,
) -> Result<&'a mut Known, sqlx::Error> {
    if known.is_none() {
        *known = Some(Known::read(connection, known::ROUND).await?);
    }
    known.as_mut().ok_or(sqlx::Error::RowNotFound)
}

async fn prune(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    known: &mut Option<Known>,
    below: i64,
    limit: i64,
) -> Result<Answer, sqlx::Error> {
    let rows = inbox::handled(connection, below, limit).await?;
    match dialect.dedupe {
        Dedupe::Indices => {}
        Dedupe::Known => remembered(connection, known).await?.forget(connection, &rows).await?,
    }
    let seqs: Vec<i64> = rows.iter().map(|(seq, ..)| *seq).collect();
    inbox::remove(connection, &seqs).await?;
    Ok(Answer::Pruned(rows.len() as u64))
}

/// One statement for all claims of the same moment.
async fn claim(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    mut claims: Vec<((i64, i64), usize)>,
    answers: &mut [PortResult<Answer>],
) -> Result<(), Broken> {
    claims.sort_unstable();
    for same in claims.chunk_by(|a, b| a.0 == b.0) {
        let (now, lease_millis) = same[0].0;
        let mut won = lanes::claim(connection, dialect, now, lease_millis, same.len()).await?.into_iter();
        for (_, place) in same {
            answers[*place] = Ok(Answer::Claimed(won.next()));
        }
    }
    Ok(())
}

async fn take_intake(
    connection: &mut AnyConnection,
    lanes: &mut Lanes,
    intake: &IntakeRows,
) -> Result<(), sqlx::Error> {
    for stage in &intake.stages {
        upsert_stage(
            connection,
            stage,
            "subject = excluded.subject, target = excluded.target, generation = excluded.generation, \
             approval = excluded.approval, lock = excluded.lock, queue = excluded.queue, \
             keep_until = excluded.keep_until, asked = excluded.asked, touched_at = excluded.touched_at",
        )
        .await?;
    }
    if let Some(change) = &intake.repo_lock {
        locks::set(connection, change).await?;
    }
    for lane in &intake.rings {
        lanes.ring(lane, intake.ring_at);
    }
    inbox::finish(connection, &intake.done).await?;
    for (seq, reason) in &intake.poison {
        inbox::poison(connection, *seq, reason).await?;
    }
    witness::add(connection, &intake.witnesses).await?;
    receipt::add(connection, &intake.receipts).await?;
    audit::append(connection, &intake.audit).await
}

async fn save_status(connection: &mut AnyConnection, stage: &StageRow) -> Result<(), sqlx::Error> {
    upsert_stage(
        connection,
        stage,
        "status = excluded.status, expires_at = excluded.expires_at, place = excluded.place, settled = excluded.settled",
    )
    .await
}

/// Inserts a stage whole; of an existing one only `columns` are written.
async fn upsert_stage(connection: &mut AnyConnection, stage: &StageRow, columns: &str) -> Result<(), sqlx::Error> {
    query(values(
        "INSERT INTO stage (repo, name, subject, target, generation, status, approval, lock, touched_at, expires_at, place, \
         queue, keep_until, asked, settled) VALUES",
        15,
        1,
        &format!("ON CONFLICT (repo, name) DO UPDATE SET {columns}"),
    ))
    .bind(&stage.repo)
    .bind(&stage.name)
    .bind(&stage.subject)
    .bind(&stage.target)
    .bind(stage.generation)
    .bind(&stage.status)
    .bind(stage.approval.as_deref())
    .bind(stage.lock.as_deref())
    .bind(stage.touched_at)
    .bind(stage.expires_at)
    .bind(stage.place.as_deref())
    .bind(stage.queue.as_deref())
    .bind(stage.keep_until)
    .bind(stage.asked.as_deref())
    .bind(stage.settled)
    .execute(connection)
    .await?;
    Ok(())
}

async fn open(connection: &mut AnyConnection, deploy: &DeployRow) -> Result<Answer, sqlx::Error> {
    let running =
        fixed("SELECT id, plan, started_at FROM deploy WHERE stage = $1 AND generation = $2 AND ended_at IS NULL")
            .bind(&deploy.stage)
            .bind(deploy.generation)
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(row) = running {
        let running = RunningRow { plan: row.try_get(1)?, started_at: row.try_get(2)? };
        return Ok(Answer::Opened { id: row.try_get(0)?, running: Some(running) });
    }
    let row = fixed("INSERT INTO deploy (stage, generation, plan, started_at) VALUES ($1, $2, $3, $4) RETURNING id")
        .bind(&deploy.stage)
        .bind(deploy.generation)
        .bind(&deploy.plan)
        .bind(deploy.started_at)
        .fetch_one(connection)
        .await?;
    Ok(Answer::Opened { id: row.try_get(0)?, running: None })
}

async fn close(connection: &mut AnyConnection, end: &EndRow) -> Result<(), Broken> {
    let ended = fixed("UPDATE deploy SET ended_at = $1, outcome = $2 WHERE id = $3 AND ended_at IS NULL")
        .bind(end.at)
        .bind(&end.outcome)
        .bind(end.deploy)
        .execute(&mut *connection)
        .await?;
    if ended.rows_affected() != 1 {
        return Err(refused(format!("deploy {} is not running, so it cannot end", end.deploy)));
    }
    save_status(connection, &end.stage).await?;
    if let Some((stage, content)) = &end.release {
        fixed("INSERT INTO release (deploy, stage, content) VALUES ($1, $2, $3)")
            .bind(end.deploy)
            .bind(stage)
            .bind(content)
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn append(connection: &mut AnyConnection, lines: &[&LineRow]) -> Result<(), Broken> {
    for run in runs(lines) {
        let head = "INSERT INTO step_log (deploy, seq, step, fence, at, kind) VALUES";
        let mut insert = query(values(head, 6, run.len(), "ON CONFLICT DO NOTHING"));
        for line in run {
            insert = insert.bind(line.deploy).bind(line.seq).bind(&line.step);
            insert = insert.bind(line.fence).bind(line.at).bind(&line.kind);
        }
        if insert.execute(&mut *connection).await?.rows_affected() != run.len() as u64 {
            return Err(refused("a line of the step log has a number that is taken".to_owned()));
        }
    }
    Ok(())
}

async fn save_surfaces(connection: &mut AnyConnection, surfaces: &[SurfaceRow]) -> Result<(), sqlx::Error> {
    for surface in surfaces {
        fixed(
            "INSERT INTO surface (stage, kind, key, external, hash, at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (stage, kind, key) DO UPDATE SET external = excluded.external, hash = excluded.hash, at = excluded.at",
        )
        .bind(&surface.stage)
        .bind(surface.kind)
        .bind(&surface.key)
        .bind(surface.external.as_deref())
        .bind(&surface.hash)
        .bind(surface.at)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn refused(context: String) -> Broken {
    Broken::Refused(PortError::Bug { context, source: None })
}
