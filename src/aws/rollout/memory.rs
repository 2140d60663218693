//! What one process remembers of a rollout between two calls.
//!
//! All of it can be lost at any moment: it saves questions to AWS and bounds patience, and decides
//! nothing that AWS itself cannot tell again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::registered::Label;
use crate::aws::stage_stack::StageStack;
use crate::model::{Generation, ServiceName, StageId, VersionKey};
use crate::port::Rollout;

/// Labels never change, so only their number is bounded.
const LABELS: usize = 10_000;

/// What is remembered, of all rollouts.
pub(in crate::aws) struct Memory {
    tracks: Mutex<HashMap<(StageId, ServiceName), Kept>>,
    labels: Cache<String, Label>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { tracks: Mutex::default(), labels: Cache::new(LABELS) }
    }
}

/// A track with the goal that it is of.
type Kept = (Generation, VersionKey, Track);

/// What is remembered of one rollout.
#[derive(Debug, Default)]
pub(in crate::aws) struct Track {
    pub(in crate::aws) stack: Option<Arc<StageStack>>,
    /// The ARN of the version's task definition, registered or found.
    pub(super) definition: Option<String>,
    pub(super) following: Option<Following>,
    pub(super) migration: Migration,
    pub(super) canary: Canary,
    /// Since the public address has been asked.
    pub(super) asked: Stopwatch,
    /// Since the serving version has been waited for.
    pub(super) retiring: Stopwatch,
    /// How often a log was looked for that has not come yet.
    pub(super) log_tries: u32,
}

/// A deployment that is being followed.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) definition: String,
    pub(super) since: Instant,
    pub(super) polls: u32,
    /// Since ECS called it complete while targets were still not healthy.
    pub(super) settled: Stopwatch,
}

impl Following {
    pub(super) fn new(definition: &str) -> Self {
        Self { definition: definition.to_owned(), since: Instant::now(), polls: 0, settled: Stopwatch::default() }
    }
}

/// The one-off task of this rollout.
#[derive(Debug, Default, Clone)]
pub(super) enum Migration {
    #[default]
    Unknown,
    Task(String),
}

/// The copy that is tried beside those that serve.
#[derive(Debug, Default, Clone)]
pub(super) struct Canary {
    /// Its task.
    pub(super) task: Option<String>,
    /// Since the load balancer knows it.
    pub(super) known: Stopwatch,
    /// Since it was seen healthy.
    pub(super) watched: Stopwatch,
}

/// How long something has been going on.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stopwatch(Option<Instant>);

impl Stopwatch {
    pub(super) fn started() -> Self {
        Self(Some(Instant::now()))
    }

    pub(super) fn runs(self) -> bool {
        self.0.is_some()
    }

    /// Starts it when it is asked for the first time.
    pub(super) fn elapsed(&mut self) -> Duration {
        self.0.get_or_insert_with(Instant::now).elapsed()
    }
}

impl Memory {
    /// What is remembered of this very rollout. Taken out, so that a call that is cut off forgets.
    pub(in crate::aws) fn take(&self, rollout: &Rollout<'_>) -> Track {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        match tracks.remove(&key(rollout)) {
            Some((generation, version, track)) if generation == rollout.generation && version == *rollout.version => {
                track
            }
            _ => Track::default(),
        }
    }

    pub(in crate::aws) fn put(&self, rollout: &Rollout<'_>, track: Track) {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        tracks.insert(key(rollout), (rollout.generation, rollout.version.clone(), track));
    }

    pub(super) fn label(&self, definition: &str) -> Option<Label> {
        self.labels.get(definition)
    }

    pub(super) fn learn_label(&self, definition: &str, label: Label) {
        self.labels.insert(definition.to_owned(), label);
    }
}

fn key(rollout: &Rollout<'_>) -> (StageId, ServiceName) {
    (rollout.stage.stage.clone(), rollout.service.name.clone())
}
