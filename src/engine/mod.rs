//! The engine: claims lanes, one activation at a time, and brings what it finds to its goal.
//!
//! # Guarantees
//!
//! - Event, timer and restart come in by one way: a lane is due. An activation reads the world and
//!   is given nothing else.
//! - Every write carries the lane's fence. A process that lost its lane stops at its next write.
//! - An activation never waits for long work: it notes when to ask again and gives the lane back.
//! - A fault in one lane (an error, a panic) delays that lane alone.
//! - Repositories take turns: of one, whatever it asks for, no more than its share is worked at.

mod blocked;
mod board;
mod by_key;
mod carry;
mod chore;
mod deleted;
mod drive;
mod effect;
mod intake;
mod loader;
mod metrics;
mod once;
mod origin;
mod preview;
mod report;
mod ruling;
mod run;
mod stage;
mod surfaces;
mod sweep;
mod talk;
mod wall;
mod watch;
mod withhold;
mod workflows;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::Notify;

use crate::decide::BUILD_DEADLINE;
use crate::model::{Lane, LaneShare, Seconds, Wake, Wall};
use crate::port::{AppForge, Builder, Claimed, Clock, Cloud, Forge, Held, PortError, PortResult, Store};

pub use loader::CONFIG_PATH;
pub use metrics::EngineMetrics;
pub use preview::Preview;
pub use report::stage_view;
pub use sweep::{Fate, SweepReport, SweepRow};
pub use workflows::WorkflowsByKey;

/// How long a claimed lane is ours; a killed process delays its lanes by this much at most.
const LEASE_MILLIS: i64 = 60_000;
/// After so many answers in a row that it may not, or that something is not there, a lane is tried again so
/// seldom only.
const DENIED_TRIES: u32 = 8;
const DENIED_MILLIS: i64 = 300_000;
/// A port call may take this long; it must end well before the lease does.
const CALL_LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

/// The ports that the engine works through.
#[derive(Clone)]
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub forge: Arc<dyn Forge>,
    /// What only an App can do; without one, the duties that want it rest.
    pub app: Option<Arc<dyn AppForge>>,
    pub cloud: Arc<dyn Cloud>,
    pub builder: Arc<dyn Builder>,
    pub clock: Arc<dyn Clock>,
}

/// What the operator may turn.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Activations at once; those of one repository are [`LaneShare::of`] them.
    pub workers: usize,
    /// How long a deploy runs before progress is shown on GitHub beyond its first comment, and the
    /// shortest time between two such edits, in milliseconds.
    pub progress_millis: i64,
    /// How long one build may take before it is given up.
    pub build_deadline: Seconds,
    /// Slash-commands offered in comments, without their prefix.
    pub commands: Vec<String>,
    /// The number of the GitHub App: what it wrote itself is no command.
    pub app_id: u64,
    /// Who is served, and whose zones are. By default, nobody is.
    pub wall: Wall,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            workers: 64,
            progress_millis: 5_000,
            build_deadline: BUILD_DEADLINE,
            commands: Vec::new(),
            app_id: 0,
            wall: Wall::default(),
        }
    }
}

/// The engine of one process; several may share one database.
pub struct Engine {
    ports: Ports,
    settings: EngineSettings,
    bell: Arc<Notify>,
    projects: loader::ProjectCache,
    sighted: tokio::sync::Mutex<Option<sweep::Sighted>>,
    prefixes: loader::Prefixes,
    spoken: talk::Spoken,
    stumbles: intake::Stumbles,
    carried: tokio::sync::OnceCell<()>,
    listings: chore::Listings,
    unsent: chore::Unsent,
    once: once::SaidOnce,
    metrics: EngineMetrics,
}

impl Engine {
    /// An engine over these ports. `bell` is rung by whoever makes lanes due in this process, to
    /// save the wait for the next poll.
    pub fn new(ports: Ports, settings: EngineSettings, bell: Arc<Notify>) -> Self {
        let (projects, sighted) = (loader::ProjectCache::default(), tokio::sync::Mutex::default());
        let (prefixes, spoken, stumbles, carried, listings, unsent, once, metrics) = Default::default();
        let ports = by_key::by_key(ports);
        Self {
            ports,
            settings,
            bell,
            projects,
            sighted,
            prefixes,
            spoken,
            stumbles,
            carried,
            listings,
            unsent,
            once,
            metrics,
        }
    }

    /// What the engine counts.
    pub fn metrics(&self) -> &EngineMetrics {
        &self.metrics
    }

    /// Claims one due lane, brings it on, and gives it back. `false` when no lane was due.
    pub async fn tick(&self) -> PortResult<bool> {
        let now = self.ports.clock.now();
        let claimed = self.ports.store.claim_in_turn(now, LEASE_MILLIS, self.share()).await?;
        let Some(claimed) = claimed else { return Ok(false) };
        self.work(claimed).await?;
        Ok(true)
    }

    /// How many lanes of one repository may be worked at.
    fn share(&self) -> LaneShare {
        LaneShare::of(self.settings.workers)
    }

    /// One activation, from claim to release.
    async fn work(&self, claimed: Claimed) -> PortResult<()> {
        let Claimed { mut held, attempts } = claimed;
        let lane = held.lane().clone();
        // A panic is that lane's fault alone; what it holds is read anew by the next activation.
        let activation = AssertUnwindSafe(self.activate(&mut held, attempts)).catch_unwind().await;
        let result = activation.unwrap_or_else(|panic| {
            self.metrics.lane_panics.inc();
            Err(PortError::Bug { context: format!("it panicked: {}", said(panic.as_ref())), source: None })
        });
        let (wake, attempts) = match result {
            Ok(wake) => (wake, 0),
            Err(PortError::Stale) => {
                tracing::warn!(%lane, "another process holds lane {lane} by now; its work goes on there");
                return Ok(());
            }
            Err(error) => self.after_fault(&mut held, attempts.saturating_add(1), &error).await,
        };
        match self.ports.store.release(held, wake, attempts).await {
            Ok(()) | Err(PortError::Stale) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn activate(&self, held: &mut Held, attempts: u32) -> PortResult<Wake> {
        match held.lane().clone() {
            Lane::Repo(repo) => self.drain(held, &repo, attempts).await,
            Lane::Stage(stage) => self.bring_on(held, &stage, attempts).await,
            Lane::Chore(chore) => self.chore(held, chore).await,
        }
    }

    /// When to try a lane again after an error, and how many attempts failed by then. Logged here
    /// and nowhere else.
    async fn after_fault(&self, held: &mut Held, attempts: u32, error: &PortError) -> (Wake, u32) {
        self.metrics.lane_faults.inc();
        let lane = held.lane().clone();
        let asked = match error {
            PortError::Retry { after_millis, .. } => *after_millis,
            // Somebody has to give it back to us, which is seldom done in the next minute.
            PortError::Denied { .. } | PortError::NotFound { .. } if attempts > DENIED_TRIES => Some(DENIED_MILLIS),
            _ => None,
        };
        let wait = crate::decide::backoff_millis(&lane.to_string(), attempts, asked);
        let cause = chain(error);
        if matches!(error, PortError::Bug { .. }) {
            tracing::error!(%lane, attempts, wait_ms = wait, "lane {lane} stopped: {cause}");
        } else {
            tracing::warn!(%lane, attempts, wait_ms = wait, "lane {lane} is tried again: {cause}");
        }
        let now = self.ports.clock.now();
        if let Lane::Repo(repo) = &lane {
            match self.set_aside(held, repo, attempts, error).await {
                Ok(true) => return (Wake::At(now), 0),
                Ok(false) => {}
                Err(error) => tracing::error!(%lane, "the first delivery of {lane} stays: {error}"),
            }
        }
        (Wake::At(now.after_millis(wait)), attempts)
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

/// An error with its causes, as one line. A cause that the error's own words end with is not said again.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_stands_twice_in_a_line() {
        let cause = || std::io::Error::other("the disk is full");
        let error = PortError::bug("cannot write the log", cause());
        assert_eq!(chain(&error), "cannot write the log: the disk is full");
        let error = PortError::bug("cannot write the log: the disk is full", cause());
        assert_eq!(chain(&error), "cannot write the log: the disk is full");
    }
}
