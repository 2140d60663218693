//! The one thread of this process that writes: group commit.
//!
//! While one transaction is being committed the next writes queue up; then all of them become the
//! next transaction. The more is asked at once, the fewer commits each write costs.
//!
//! - A passing fault (busy, deadlock, lost connection) is tried again a few times, then every write
//!   of the batch is answered `Retry`. When the connection is lost while committing, nobody knows
//!   whether it was committed, and trying again could do it twice: that is `Retry` at once.
//! - A batch that the database refuses is cut in halves until the refused write is alone, so that
//!   one bad write never fails another.

use std::time::Duration;
use std::{io, thread};

use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, Connection, Executor};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use super::Dialect;
use super::batch::{self, Broken, Frame};
use super::known::Known;
use super::sql::{connect, fault, is_lost, is_passing};
use super::state::ObjectWriter;
use super::write::{Answer, Job, Write};
use crate::port::{PortError, PortResult};

/// How many writes may wait; the next caller waits for a place.
const QUEUE: usize = 1024;
/// How many writes one transaction takes.
const BATCH: usize = 256;
/// How often a batch is tried.
const TRIES: u32 = 6;
/// Before the second try; doubled after each.
const PAUSE: Duration = Duration::from_millis(10);

/// Hands writes to the task.
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    /// A connection that is given must not depend on the runtime that made it.
    ///
    /// The task has a thread and a runtime of its own: otherwise each of the database's answers, of
    /// which a transaction waits for a dozen, would wait behind all requests that are ready to run.
    pub(super) fn spawn(
        connection: Option<AnyConnection>,
        options: AnyConnectOptions,
        dialect: &'static Dialect,
    ) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let mut runtime = runtime::Builder::new_current_thread();
        runtime.enable_time();
        if dialect.over_socket {
            runtime.enable_io();
        }
        let runtime = runtime.build()?;
        let home = Home::Database { connection, options, dialect };
        let task = Task { home, known: None }.run(waiting);
        thread::Builder::new().name("store-writer".to_owned()).spawn(move || runtime.block_on(task))?;
        Ok(Self { queue })
    }

    /// That of a state. It has no thread of its own: what an object waits for is the network, whose
    /// connections belong to the runtime that calls.
    pub(super) fn of_object(writer: ObjectWriter) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(Task { home: Home::Object(Box::new(writer)), known: None }.run(waiting));
        Self { queue }
    }

    /// Writes, and answers when it is on disk.
    pub(super) async fn write(&self, write: Write) -> PortResult<Answer> {
        let (answer, answered) = oneshot::channel();
        let gone = || PortError::retry("the database's writer has stopped");
        self.queue.send(Job { write, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

pub(super) enum Fault {
    /// Nothing was written; later it may be.
    Passing(PortError),
    /// It may have been written, or trying again would not help.
    Unknown(PortError),
    /// Nothing was written, and one of the writes never can be.
    Refused(PortError),
}

struct Task {
    home: Home,
    known: Option<Known>,
}

/// What is written to.
enum Home {
    Database { connection: Option<AnyConnection>, options: AnyConnectOptions, dialect: &'static Dialect },
    Object(Box<ObjectWriter>),
}

impl Home {
    /// How long to wait before each further try of a batch.
    fn pauses(&mut self) -> Vec<Duration> {
        match self {
            Self::Database { .. } => (0..TRIES - 1).map(|tries| PAUSE * 2_u32.pow(tries)).collect(),
            Self::Object(writer) => writer.pauses(),
        }
    }
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut jobs, BATCH).await > 0 {
            // Who is ready to run may be about to write too: under load this makes few large
            // transactions out of many small ones, and without load it costs nothing.
            tokio::task::yield_now().await;
            while jobs.len() < BATCH
                && let Ok(job) = waiting.try_recv()
            {
                jobs.push(job);
            }
            self.settle(std::mem::take(&mut jobs)).await;
        }
        if let Home::Database { connection: Some(connection), .. } = self.home
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "closing the database");
        }
    }

    /// Writes and answers every job.
    async fn settle(&mut self, jobs: Vec<Job>) {
        let mut groups = vec![jobs];
        while let Some(mut group) = groups.pop() {
            match self.persist(&group).await {
                Ok(answers) => {
                    for (job, answer) in group.into_iter().zip(answers) {
                        reply(job, answer);
                    }
                }
                Err(Fault::Refused(_)) if group.len() > 1 => {
                    let rest = group.split_off(group.len() / 2);
                    groups.extend([rest, group]);
                }
                Err(Fault::Passing(error) | Fault::Unknown(error) | Fault::Refused(error)) => answer_all(group, error),
            }
        }
    }

    /// One transaction over all jobs, tried again while its faults pass.
    async fn persist(&mut self, jobs: &[Job]) -> Result<Vec<PortResult<Answer>>, Fault> {
        for pause in self.home.pauses() {
            match self.attempt(jobs).await {
                Err(Fault::Passing(error)) => tracing::debug!(%error, "writing again"),
                settled => return settled,
            }
            tokio::time::sleep(pause).await;
        }
        self.attempt(jobs).await
    }

    async fn attempt(&mut self, jobs: &[Job]) -> Result<Vec<PortResult<Answer>>, Fault> {
        let known = &mut self.known;
        let outcome = match &mut self.home {
            Home::Object(writer) => writer.attempt(known, jobs).await,
            Home::Database { connection: kept, options, dialect } => {
                let dialect = *dialect;
                let mut connection = match kept.take() {
                    Some(connection) => connection,
                    None => connect(options, dialect.on_write).await.map_err(|error| {
                        Fault::Passing(PortError::retry(format!("cannot reach the database: {error}")))
                    })?,
                };
                let (outcome, usable) = transact(&mut connection, dialect, known, jobs).await;
                *kept = usable.then_some(connection);
                outcome
            }
        };
        if outcome.is_err() {
            self.known = None;
        }
        outcome
    }
}

/// Runs one transaction; the second value says whether the connection may be used again.
pub(super) async fn transact(
    connection: &mut AnyConnection,
    dialect: &'static Dialect,
    known: &mut Option<Known>,
    jobs: &[Job],
) -> (Result<Vec<PortResult<Answer>>, Fault>, bool) {
    let mut frame = Frame::new(dialect);
    let fault = match batch::run(connection, &mut frame, known, jobs).await {
        Ok(answers) => return (Ok(answers), true),
        Err(Broken::Sql(error)) if frame.is_ending() && is_lost(&error) => {
            let error = PortError::retry(format!("the database was lost in a commit: {error}"));
            return (Err(Fault::Unknown(error)), false);
        }
        Err(Broken::Sql(error)) if is_lost(&error) => return (Err(sort(error)), false),
        Err(Broken::Sql(error)) => sort(error),
        Err(Broken::Refused(error)) => Fault::Refused(error),
    };
    // Without a transaction to roll back the connection's state is not the one we think.
    let usable = connection.execute("ROLLBACK").await.is_ok();
    (Err(fault), usable)
}

pub(super) fn sort(error: sqlx::Error) -> Fault {
    let passing = is_passing(&error);
    let error = fault("writing", error);
    if passing { Fault::Passing(error) } else { Fault::Refused(error) }
}

fn reply(job: Job, answer: PortResult<Answer>) {
    // Whoever asked may have gone: a claim that nobody takes ends with its lease.
    let _ = job.answer.send(answer);
}

/// Gives everybody the same error; an error with a cause is not to be copied, so one gets it whole.
fn answer_all(jobs: Vec<Job>, error: PortError) {
    let reason = error.to_string();
    let mut whole = Some(error);
    for job in jobs {
        reply(job, Err(whole.take().unwrap_or_else(|| PortError::retry(reason.clone()))));
    }
}
