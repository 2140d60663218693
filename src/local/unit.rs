//! One version of a service in memory: its record, its copies' states, and its end.
//!
//! Guarantees: once a version retires, nothing of it is started; its retirement waits for a start
//! that is under way, so that nothing comes to life behind its back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::disk::{Fate, VersionId, VersionRecord};
use super::proxy::Upstream;
use super::shared::Shared;
use super::unrest::{self, Watch};
use super::{docker, launch};
use crate::model::{Failure, Output, Runtime};
use crate::port::{PortError, PortResult};

/// What one copy is at.
#[derive(Debug, Clone)]
pub(super) enum CopyState {
    /// Not healthy yet; what the last probe saw.
    Coming {
        saw: String,
    },
    Healthy,
    /// It was healthy once, ended, and is being started again for the `restarts`th time in a row.
    Down {
        restarts: u32,
        failure: Failure,
    },
    /// It ended before it was healthy, and stays so.
    Failed {
        failure: Failure,
    },
    /// It could not be started for a reason that may pass.
    Stuck {
        reason: String,
    },
}

/// How a version ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Requests in flight may finish first.
    Drain,
    /// The stage goes: nobody waits for an answer.
    Now,
}

/// A version that takes a share of the traffic while it is being watched.
#[derive(Debug)]
struct Trial {
    since: Instant,
    /// Why a copy of it went down meanwhile, even if it is up again.
    fell: Option<Failure>,
}

/// Whoever waits for a check's answer asks more often than this.
const CHECK_KEPT: Duration = Duration::from_secs(5);

/// Background work whose result is asked for again and again.
type Job<T> = tokio::sync::Mutex<Option<JoinHandle<PortResult<T>>>>;

pub(super) struct Unit {
    pub(super) id: VersionId,
    pub(super) upstream: Arc<Upstream>,
    pub(super) states: watch::Sender<Vec<CopyState>>,
    /// Stops the tasks that keep the copies running.
    pub(super) halt: CancellationToken,
    /// Held while something is started.
    pub(super) launching: Arc<tokio::sync::Mutex<()>>,
    pub(super) kept: AtomicBool,
    pub(super) migration: Job<()>,
    pub(super) check: Job<Output>,
    /// When somebody last asked how the check goes.
    check_asked: Mutex<Option<tokio::time::Instant>>,
    retirement: Job<()>,
    /// Until when the first look at it waits.
    first_look: OnceLock<tokio::time::Instant>,
    trial: Mutex<Option<Trial>>,
    /// How it fares once it is live.
    pub(super) watch: Mutex<Watch>,
    record: Mutex<VersionRecord>,
}

impl Unit {
    pub(super) fn new(id: VersionId, record: VersionRecord, watch: Watch, halt: &CancellationToken) -> Self {
        let copies = record.ports.len();
        let coming = CopyState::Coming { saw: "not started yet".to_owned() };
        Self {
            upstream: Arc::new(Upstream::new(&id.version.0, copies)),
            states: watch::Sender::new(vec![coming; copies]),
            halt: halt.child_token(),
            launching: Arc::default(),
            kept: AtomicBool::new(false),
            migration: Job::default(),
            check: Job::default(),
            check_asked: Mutex::default(),
            retirement: Job::default(),
            first_look: OnceLock::new(),
            trial: Mutex::default(),
            watch: Mutex::new(watch),
            record: Mutex::new(record),
            id,
        }
    }

    pub(super) fn record(&self) -> VersionRecord {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the record, on disk first.
    pub(super) fn amend(&self, shared: &Shared, change: impl FnOnce(&mut VersionRecord)) -> PortResult<()> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = record.clone();
        change(&mut next);
        shared.disk.write_version(&self.id, &next)?;
        *record = next;
        Ok(())
    }

    pub(super) fn is_retiring(&self) -> bool {
        self.record().fate == Fate::Retiring
    }

    pub(super) fn set(&self, copy: usize, state: CopyState) {
        if let CopyState::Down { failure, .. } = &state
            && let Some(trial) = &mut *self.trial.lock().unwrap_or_else(PoisonError::into_inner)
        {
            trial.fell.get_or_insert_with(|| failure.clone());
        }
        self.states.send_modify(|states| states[copy] = state);
    }

    /// Takes note that a copy is healthy; with the last one the version is proven.
    pub(super) fn set_healthy(&self, shared: &Shared, copy: usize) {
        self.set(copy, CopyState::Healthy);
        if self.healthy_copies() == self.copies() && self.record().fate == Fate::Unproven {
            let proven = self.amend(shared, |record| {
                if record.fate == Fate::Unproven {
                    record.fate = Fate::Proven;
                }
            });
            if let Err(error) = proven {
                tracing::warn!(version = %self.id.version, %error, "cannot note that a version is healthy");
            }
        }
        if self.is_healthy() {
            unrest::rose(shared, self);
        }
    }

    pub(super) fn is_well(&self, copy: usize) -> bool {
        matches!(self.states.borrow().get(copy), Some(CopyState::Healthy))
    }

    /// How long the version has been on trial, which begins now if it has not; or why it failed it.
    ///
    /// It begins anew with the server: what happened while none was there was not watched.
    pub(super) fn tried(&self) -> Result<Duration, Failure> {
        let mut trial = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        let trial = trial.get_or_insert_with(|| Trial { since: Instant::now(), fell: None });
        trial.fell.clone().map_or_else(|| Ok(trial.since.elapsed()), Err)
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.trial.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn copies(&self) -> usize {
        self.states.borrow().len()
    }

    pub(super) fn healthy_copies(&self) -> usize {
        self.states.borrow().iter().filter(|state| matches!(state, CopyState::Healthy)).count()
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.healthy_copies() == self.copies()
    }

    /// Drops a check whose answer nobody came for: what was asked then says nothing of now.
    pub(super) async fn drop_old_check(&self) {
        let now = tokio::time::Instant::now();
        let last = self.check_asked.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if last.is_some_and(|last| last.elapsed() >= CHECK_KEPT)
            && let Some(old) = self.check.lock().await.take()
        {
            old.abort();
        }
    }

    /// Waits until something is known of every copy, at the latest until then, or until the first time
    /// that was given: what hangs is waited for once. A server that has just begun has not looked yet at
    /// what served before it came, which is no reason to bring it on anew.
    pub(super) async fn known(&self, by: tokio::time::Instant) {
        if self.is_retiring() {
            return;
        }
        let by = by.min(*self.first_look.get_or_init(|| by));
        let mut states = self.states.subscribe();
        let is_known = |states: &Vec<CopyState>| !states.iter().any(|state| matches!(state, CopyState::Coming { .. }));
        // What takes longer is as it is seen then.
        let _ = tokio::time::timeout_at(by, states.wait_for(is_known)).await;
    }

    /// Waits up to `wait` for the version to be gone, beginning its end if nobody has.
    pub(super) async fn retired(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        how: Farewell,
        wait: Duration,
    ) -> PortResult<bool> {
        let begin = || tokio::spawn(retire(Arc::clone(self), Arc::clone(shared), how));
        Ok(poll(&self.retirement, wait, begin).await?.is_some())
    }
}

/// The job's result if it is there within `wait`; begins the job if none is under way. A result is
/// handed out once: the next call begins anew.
pub(super) async fn poll<T: Send + 'static>(
    job: &Job<T>,
    wait: Duration,
    begin: impl FnOnce() -> JoinHandle<PortResult<T>>,
) -> PortResult<Option<T>> {
    let mut job = job.lock().await;
    let handle = job.get_or_insert_with(begin);
    match tokio::time::timeout(wait, handle).await {
        Err(_) => Ok(None),
        Ok(ended) => {
            *job = None;
            let result = ended.map_err(|error| PortError::bug("a task of the local target ended early", error))?;
            result.map(Some)
        }
    }
}

/// What programs a version may have: its copies, and its one-off command.
pub(super) fn roles(copies: usize) -> impl Iterator<Item = String> {
    (0..copies).map(|copy| copy.to_string()).chain(["migrate".to_owned()])
}

/// Ends every program of a version and removes its files. What cannot be proven gone keeps its files, which
/// are the evidence of it.
async fn retire(unit: Arc<Unit>, shared: Arc<Shared>, how: Farewell) -> PortResult<()> {
    if !unit.is_retiring() {
        unit.amend(&shared, |record| record.fate = Fate::Retiring)?;
    }
    unit.halt.cancel();
    let _nothing_starts = unit.launching.lock().await;
    let record = unit.record();
    let drain = record.spec.drain.duration();
    if how == Farewell::Drain && tokio::time::timeout(drain, unit.upstream.quiet()).await.is_err() {
        tracing::info!(stage = %unit.id.stage, service = %unit.id.service, "requests outlast the drain time");
    }
    match record.spec.runtime {
        Runtime::Process { .. } => {
            let traces = roles(unit.copies()).map(|role| launch::trace(&shared, &unit.id, &role));
            let traces = traces.collect::<PortResult<Vec<_>>>()?;
            let stops = traces.into_iter().map(|trace| {
                let id = unit.id.clone();
                async move { launch::end_traced(&id, &trace, drain).await }
            });
            let ended = futures_util::future::join_all(stops).await;
            ended.into_iter().collect::<PortResult<()>>()?;
            for role in roles(unit.copies()) {
                launch::prove_gone(&shared, &unit.id, &role).await?;
            }
        }
        Runtime::Image(_) => docker::stop_version(&shared, &unit.id, drain).await?,
    }
    for copy in 0..unit.copies() {
        unit.upstream.set(copy, None);
    }
    let (disk, id) = (Arc::clone(&shared), unit.id.clone());
    tokio::task::spawn_blocking(move || disk.disk.remove_version(&id))
        .await
        .map_err(|error| PortError::bug("removing a version's files", error))??;
    shared.forget(&unit.id);
    Ok(())
}

impl Unit {
    /// True for the first caller: there is one keeper for each copy.
    pub(super) fn claim_keeping(&self) -> bool {
        !self.kept.swap(true, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::sample;

    /// One that served before this server came.
    fn unit() -> Unit {
        sample::unit(|_| ())
    }

    /// How long a look waits that may wait for `patience`.
    async fn look(unit: &Unit, patience: Duration) -> Duration {
        let begun = tokio::time::Instant::now();
        unit.known(begun + patience).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_waited_for_once() {
        const PATIENCE: Duration = Duration::from_secs(10);
        let unit = unit();
        assert!(look(&unit, PATIENCE).await >= PATIENCE, "nothing is known of it yet");
        for _ in 0..3 {
            assert_eq!(look(&unit, PATIENCE).await, Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_was_given_up_leaves_the_rest_of_the_time_to_the_next() {
        const PATIENCE: Duration = Duration::from_secs(10);
        let unit = unit();
        let given_up = tokio::time::timeout(Duration::from_secs(4), look(&unit, PATIENCE)).await;
        assert!(given_up.is_err());
        let waited = look(&unit, PATIENCE).await;
        assert!(waited > Duration::from_secs(5) && waited < Duration::from_secs(7), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_ends_as_soon_as_something_is_known() {
        let unit = unit();
        unit.set(0, CopyState::Stuck { reason: "no port is free".to_owned() });
        assert_eq!(look(&unit, Duration::from_secs(10)).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_somebody_who_left_is_told_to_nobody_else() {
        const MOMENT: Duration = Duration::from_millis(10);
        let unit = unit();
        let ask = async |copies: u32| {
            unit.drop_old_check().await;
            let look = async move {
                tokio::time::sleep(MOMENT).await;
                Ok(Output::Running { copies, wanted: 1 })
            };
            let asked = poll(&unit.check, Duration::ZERO, || tokio::spawn(look)).await.expect("it is asked");
            asked.map(|output| format!("{output:?}"))
        };
        let told = |copies: u32| Some(format!("{:?}", Output::Running { copies, wanted: 1 }));
        assert_eq!(ask(1).await, None, "it has only begun");
        tokio::time::sleep(CHECK_KEPT.saturating_sub(MOMENT * 2)).await;
        assert_eq!(ask(2).await, told(1), "whoever waits gets what was begun for it");
        assert_eq!(ask(3).await, None);
        tokio::time::sleep(CHECK_KEPT).await;
        assert_eq!(ask(4).await, None, "it is begun anew");
        tokio::time::sleep(MOMENT * 2).await;
        assert_eq!(ask(5).await, told(4));
    }
}
