//! What one process remembers of a rollout between two calls.
//!
//! All of it can be lost at any moment: it saves questions to AWS and bounds patience, and decides
//! nothing that AWS itself cannot tell again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::registered::Label;
use super::snapshot::Seen;
use crate::aws::stage_stack::StageStack;
use crate::model::{Condition, Failure, Generation, ServiceName, StageId, Timestamp, VersionKey};
use crate::port::Rollout;

/// Labels never change, so only their number is bounded.
const LABELS: usize = 10_000;
const STACKS: usize = 1_000;
const ENDS: usize = 1_000;
/// What was whole a moment ago needs no look of its own to be cleaned up after.
const FRESH: Duration = Duration::from_secs(10);
/// Another server may have changed a stack since.
const STACK: Duration = Duration::from_mins(10);
/// A little less than lies between two looks at what is live.
const ASKED: Duration = Duration::from_secs(50);

/// What is remembered, of all rollouts.
pub(in crate::aws) struct Memory {
    tracks: Mutex<HashMap<(StageId, ServiceName), Kept>>,
    labels: Cache<String, Label>,
    /// For which stage this process registered a definition, by ARN.
    made: Cache<String, StageId>,
    /// What it registered of each family, by the ARN without the revision.
    families: Cache<String, Vec<String>>,
    /// What a stage's stack answered last, and when.
    stacks: Cache<StageId, (Instant, Arc<StageStack>)>,
    /// Why tasks ended, by their ids.
    ends: Cache<String, Failure>,
    /// How services are doing.
    doing: Cache<(StageId, ServiceName), Noted>,
    /// Since when copies of services are missing.
    lacks: Cache<(StageId, ServiceName), Timestamp>,
}

/// How a service was doing when it was last looked at.
#[derive(Debug, Clone)]
pub(in crate::aws) struct Noted {
    at: Instant,
    /// When what ended of it was last asked for, or it was known that nothing did.
    asked: Instant,
    condition: Condition,
}

impl Noted {
    /// Now, with all that is to be known of it.
    pub(in crate::aws) fn whole(condition: Condition) -> Self {
        let now = Instant::now();
        Self { at: now, asked: now, condition }
    }

    /// Now, as far as the service itself tells; `before` is what was known.
    pub(in crate::aws) fn at_a_glance(condition: Condition, before: Option<&Self>) -> Self {
        let now = Instant::now();
        Self { at: now, asked: before.map_or(now, |before| before.asked), condition }
    }

    /// How it was doing, if that was a moment ago.
    pub(in crate::aws) fn if_fresh(&self) -> Option<Condition> {
        (self.at.elapsed() < FRESH).then(|| self.condition.clone())
    }

    /// Whether what ended was asked for lately enough for a target that tells nothing by itself.
    pub(in crate::aws) fn is_asked(&self) -> bool {
        self.asked.elapsed() < ASKED
    }
}

impl Default for Memory {
    fn default() -> Self {
        let (labels, made, families) = (Cache::new(LABELS), Cache::new(LABELS), Cache::new(STACKS));
        let (stacks, ends) = (Cache::new(STACKS), Cache::new(ENDS));
        let (doing, lacks) = (Cache::new(LABELS), Cache::new(LABELS));
        Self { tracks: Mutex::default(), labels, made, families, stacks, ends, doing, lacks }
    }
}

/// A track with the goal that it is of.
type Kept = (Generation, VersionKey, Track);

/// What is remembered of one rollout.
#[derive(Debug, Default)]
pub(in crate::aws) struct Track {
    pub(in crate::aws) stack: Option<Arc<StageStack>>,
    /// The same, where it was not read for this rollout but before: a failure by it is looked at again.
    pub(in crate::aws) recalled: Option<Arc<StageStack>>,
    /// The active definitions of the family, newest first, where all of them are known.
    pub(super) definitions: Option<Vec<String>>,
    /// The look by which the version was found whole.
    pub(super) whole: Option<Look>,
    /// The ARN of the version's task definition, registered or found.
    pub(super) definition: Option<String>,
    pub(super) following: Option<Following>,
    pub(super) migration: Migration,
    /// Since the migration has been waited for.
    pub(super) migrating: Stopwatch,
    pub(super) canary: Canary,
    /// Since the public address has been asked.
    pub(super) asked: Stopwatch,
    /// Since the serving version has been waited for.
    pub(super) retiring: Stopwatch,
    /// How often a log was looked for that has not come yet.
    pub(super) log_tries: u32,
}

/// A service as it was at some time.
#[derive(Debug)]
pub(super) struct Look {
    at: Instant,
    seen: Seen,
}

impl Look {
    pub(super) fn now(seen: Seen) -> Self {
        Self { at: Instant::now(), seen }
    }

    /// What was seen, if that was a moment ago.
    pub(super) fn if_fresh(self) -> Option<Seen> {
        (self.at.elapsed() < FRESH).then_some(self.seen)
    }
}

/// A deployment that is being followed.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) definition: String,
    pub(super) since: Instant,
    pub(super) polls: u32,
    /// The most copies of it that were seen alive at once.
    pub(super) most: i32,
    /// Since ECS called it complete while targets were still not healthy.
    pub(super) settled: Stopwatch,
}

impl Following {
    pub(super) fn new(definition: &str) -> Self {
        let (definition, since) = (definition.to_owned(), Instant::now());
        Self { definition, since, polls: 0, most: 0, settled: Stopwatch::default() }
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

    /// Notes what a stage's stack answered.
    pub(in crate::aws) fn know_stack(&self, stage: &StageId, stack: &Arc<StageStack>) {
        self.stacks.insert(stage.clone(), (Instant::now(), Arc::clone(stack)));
    }

    /// What a stage's stack answered last, if that was made from this blueprint: then whoever changed it since
    /// made it anew, and what fails by it is looked at again.
    pub(in crate::aws) fn stack_of(&self, stage: &StageId, blueprint: &str) -> Option<Arc<StageStack>> {
        self.any_stack_of(stage).filter(|stack| stack.blueprint.as_deref() == Some(blueprint))
    }

    /// The same, whatever it was made from.
    pub(in crate::aws) fn any_stack_of(&self, stage: &StageId) -> Option<Arc<StageStack>> {
        self.stacks.get(stage).filter(|(at, _)| at.elapsed() < STACK).map(|(_, stack)| stack)
    }

    /// Why a task ended, if that was found out before: it ends once.
    pub(in crate::aws) fn end_of(&self, task: &str) -> Option<Failure> {
        self.ends.get(task)
    }

    pub(in crate::aws) fn learn_end(&self, task: &str, failure: &Failure) {
        self.ends.insert(task.to_owned(), failure.clone());
    }

    /// How a service was doing, if this process looked at it.
    pub(in crate::aws) fn noted(&self, stage: &StageId, service: &ServiceName) -> Option<Noted> {
        self.doing.get(&(stage.clone(), service.clone()))
    }

    pub(in crate::aws) fn note(&self, stage: &StageId, service: &ServiceName, noted: Noted) {
        self.doing.insert((stage.clone(), service.clone()), noted);
    }

    /// Since when copies of the service are missing, as far as this process saw.
    pub(in crate::aws) fn lacks(&self, stage: &StageId, service: &ServiceName, now: Timestamp) -> Timestamp {
        let key = (stage.clone(), service.clone());
        let since = self.lacks.get(&key).unwrap_or(now);
        self.lacks.insert(key, since);
        since
    }

    /// Notes that none is missing, or none is wanted.
    pub(in crate::aws) fn lacks_nothing(&self, stage: &StageId, service: &ServiceName) {
        self.lacks.remove(&(stage.clone(), service.clone()));
    }

    pub(in crate::aws) fn forget_stack(&self, stage: &StageId) {
        self.stacks.remove(stage);
    }

    /// For which stage this process registered the definition, if it did.
    pub(in crate::aws) fn made_for(&self, definition: &str) -> Option<StageId> {
        self.made.get(definition)
    }

    pub(in crate::aws) fn learn_made(&self, definition: &str, stage: &StageId) {
        self.made.insert(definition.to_owned(), stage.clone());
        let Some((family, _)) = definition.rsplit_once(':') else { return };
        let mut all = self.families.get(family).unwrap_or_default();
        all.push(definition.to_owned());
        self.families.insert(family.to_owned(), all);
    }

    /// Every revision that a family ever had, newest first, where this process registered all of them: they are
    /// numbered from 1, and no number is given twice. `newest` is the newest of them. Told once: they are about
    /// to go.
    pub(in crate::aws) fn take_family(&self, newest: &str) -> Option<Vec<String>> {
        let (family, revision) = newest.rsplit_once(':')?;
        let (_, mut all) = self.families.remove(family)?;
        all.reverse();
        let is_whole = all.first().is_some_and(|first| first == newest) && revision.parse() == Ok(all.len());
        is_whole.then_some(all)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn stage() -> StageId {
        StageId { repo: "acme/shop".parse().unwrap(), name: "pr-1".parse().unwrap() }
    }

    #[test]
    fn a_stack_is_remembered_for_a_while() {
        let (memory, stage) = (Memory::default(), stage());
        let stack = Arc::new(StageStack {
            id: "arn:stack".into(),
            status: "CREATE_COMPLETE".into(),
            blueprint: Some("b1".into()),
            cluster: "previews".into(),
            execution_role: String::new(),
            task_role: String::new(),
            subnets: Vec::new(),
            security_group: String::new(),
            public_address: false,
            services: BTreeMap::new(),
        });
        memory.know_stack(&stage, &stack);
        assert_eq!(memory.any_stack_of(&stage), Some(Arc::clone(&stack)));
        assert_eq!((memory.stack_of(&stage, "b1"), memory.stack_of(&stage, "b2")), (Some(Arc::clone(&stack)), None));
        // Another server may have made it anew.
        memory.stacks.insert(stage.clone(), (Instant::now().checked_sub(STACK).unwrap(), stack));
        assert_eq!((memory.any_stack_of(&stage), memory.stack_of(&stage, "b1")), (None, None));
    }

    #[test]
    fn what_is_missing_is_so_since_it_was_first_seen() {
        let (memory, stage, web): (_, _, ServiceName) = (Memory::default(), stage(), "web".parse().unwrap());
        let at = |millis| memory.lacks(&stage, &web, Timestamp(millis));
        assert_eq!([at(1_000), at(2_000)], [Timestamp(1_000); 2]);
        memory.lacks_nothing(&stage, &web);
        assert_eq!(at(3_000), Timestamp(3_000));
    }

    #[test]
    fn a_family_is_known_whole_only_by_who_registered_all_of_it() {
        let stage = stage();
        let of = |revision: u32| format!("arn:aws:ecs:eu-west-1:1:task-definition/shop-web:{revision}");
        let learned = |revisions: &[u32]| {
            let memory = Memory::default();
            for revision in revisions {
                memory.learn_made(&of(*revision), &stage);
            }
            memory
        };
        assert_eq!(learned(&[]).take_family(&of(1)), None);
        let memory = learned(&[1, 2, 3]);
        assert_eq!(memory.made_for(&of(2)), Some(stage.clone()));
        assert_eq!(memory.take_family(&of(3)), Some(vec![of(3), of(2), of(1)]));
        assert_eq!(memory.take_family(&of(3)), None, "they are gone");
        assert_eq!(learned(&[1, 2, 3]).take_family(&of(2)), None, "another is newer");
        assert_eq!(learned(&[1, 2, 4]).take_family(&of(4)), None, "somebody else registered the third");
    }
}
