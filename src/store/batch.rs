//! One batch of writes in one transaction.
//!
//! The writes of a batch were all in flight at once, so no order among them was promised: lanes
//! are checked first, equal writes are put into one statement, claims come last.

use sqlx::{AnyConnection, Executor};

use super::audit;
use super::carried;
use super::claims::{self, Terms};
use super::deploys;
use super::inbox;
use super::known::{self, Known};
use super::lanes::Lanes;
use super::locks;
use super::receipt;
use super::slots;
use super::stages;
use super::surfaces;
use super::walls;
use super::witness;
use super::write::{Answer, DeliveryRow, IntakeRows, Job, Write};
use super::{Dedupe, Dialect};
use crate::port::{PortError, PortResult, Receipt};

/// How many deliveries one statement takes in that is a transaction of its own.
const MOST_ALONE: usize = 64;

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
    let new = receive_alone(connection, frame, jobs).await?;
    if !new.is_empty() && new.iter().all(|new| *new) {
        return Ok(new.iter().map(|_| Ok(Answer::Receipt(Receipt::Accepted))).collect());
    }
    // With the memory at hand, the first statement for deliveries is the question for their keys.
    if known.is_none() || !jobs.iter().all(|job| matches!(job.write, Write::Receive(_))) {
        frame.begin(connection).await?;
    }
    let mut lanes = Lanes::read(connection, dialect, jobs).await?;
    let mut answers: Vec<PortResult<Answer>> = Vec::with_capacity(jobs.len());
    let (mut deliveries, mut claims, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
    let (mut statuses, mut shown) = (Vec::new(), Vec::new());
    let (mut opened, mut appended, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for (place, job) in jobs.iter().enumerate() {
        if job.write.hold().is_some_and(|hold| !lanes.holds(hold)) {
            answers.push(Err(PortError::Stale));
            continue;
        }
        let mut outcome = Answer::Written;
        match &job.write {
            Write::Receive(_) if new.get(place) == Some(&true) => outcome = Answer::Receipt(Receipt::Accepted),
            Write::Receive(delivery) => deliveries.push((place, delivery)),
            Write::Claim(terms) => claims.push((*terms, place)),
            Write::ClaimAmong(wish) => chosen.push((wish, place)),
            Write::Append { lines, .. } => appended.extend(lines),
            Write::Intend { hold, bell, lines, intent } => {
                let is_rung = lanes.is_rung(hold, *bell);
                appended.extend(lines.iter().chain((!is_rung).then_some(intent)));
                outcome = Answer::Intended(!is_rung);
            }
            Write::Ring { lane, at } => lanes.ring(lane, *at),
            Write::Renew { hold, until } => lanes.renew(hold, *until),
            Write::Release { hold, bell, wake_at, attempts } => lanes.release(hold, *bell, *wake_at, *attempts),
            Write::Intake { intake, .. } => take_intake(connection, &mut lanes, intake).await?,
            Write::Status { stage, .. } => statuses.push(stage),
            Write::Open { deploy, .. } => opened.push((place, deploy)),
            Write::Close { end, .. } => ends.push(end),
            Write::Surfaces { surfaces, .. } => shown.extend(surfaces),
            Write::Receipts { receipts, .. } => receipt::save(connection, receipts).await?,
            Write::TakeSlot { pool, holder, avoid, last } => {
                outcome = Answer::Slot(slots::take(connection, pool, holder, avoid, *last).await?);
            }
            Write::FreeSlot { pool, holder } => slots::free(connection, pool, holder).await?,
            Write::Identify(seen) => walls::identify(connection, seen).await?,
            Write::Hear(seen) => walls::hear(connection, seen).await?,
            Write::Dismiss { id, rumour } => walls::dismiss(connection, *id, rumour).await?,
            Write::TakeHosts { stage, hosts } => {
                outcome = Answer::Hosts(walls::take_hosts(connection, stage, hosts).await?);
            }
            Write::KeepHosts { stage, hosts } => walls::keep_hosts(connection, stage, hosts).await?,
            Write::CarryHosts(holders) => {
                outcome = Answer::Carried(carried::carry_hosts(connection, holders).await?);
            }
            Write::Forget { before } => {
                let heads = witness::forget(connection, *before).await?;
                outcome = Answer::Pruned(heads + receipt::forget(connection, *before).await?);
            }
            Write::Prune { below, limit } => outcome = prune(connection, dialect, known, *below, *limit).await?,
        }
        answers.push(Ok(outcome));
    }
    deploys::open(connection, &opened, &mut answers).await?;
    deploys::append(connection, &appended).await?;
    statuses.extend(deploys::end(connection, &ends).await?);
    stages::save_statuses(connection, &statuses).await?;
    surfaces::save(connection, &shown).await?;
    receive(connection, frame, known, &mut lanes, &deliveries, &mut answers).await?;
    let is_last = claims.is_empty() && chosen.is_empty();
    lanes.save(connection, || if is_last { frame.closing() } else { "" }).await?;
    claim(connection, dialect, claims, &mut answers).await?;
    for (wish, place) in chosen {
        answers[place] = Ok(Answer::Claimed(claims::claim_among(connection, wish).await?));
    }
    frame.commit(connection).await?;
    Ok(answers)
}

/// Where deliveries are all that a batch holds, and unique indices tell the known ones, one statement
/// does: that saves three answers to wait for. Says which of them were new and are on disk by that;
/// nothing where it was not done.
async fn receive_alone<'a>(
    connection: &mut AnyConnection,
    frame: &mut Frame,
    jobs: &'a [Job],
) -> Result<Vec<bool>, sqlx::Error> {
    let delivery = |job: &'a Job| match &job.write {
        Write::Receive(delivery) => Some(delivery),
        _ => None,
    };
    let deliveries: Option<Vec<&DeliveryRow>> = jobs.iter().map(delivery).collect();
    let Some(deliveries) = deliveries.filter(|rows| rows.len() <= MOST_ALONE) else { return Ok(Vec::new()) };
    if matches!(frame.dialect.dedupe, Dedupe::Known) {
        return Ok(Vec::new());
    }
    frame.ending = true;
    let new = inbox::receive_alone(connection, &deliveries).await?;
    frame.ending = false;
    Ok(new)
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

/// Claims of the same moment are answered together.
async fn claim(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    mut claims: Vec<(Terms, usize)>,
    answers: &mut [PortResult<Answer>],
) -> Result<(), Broken> {
    claims.sort_unstable();
    for same in claims.chunk_by(|a, b| a.0 == b.0) {
        let mut won = claims::claim(connection, dialect, same[0].0, same.len()).await?.into_iter();
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
    stages::set_goals(connection, &intake.stages).await?;
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

pub(super) fn refused(context: String) -> Broken {
    Broken::Refused(PortError::Bug { context, source: None })
}
