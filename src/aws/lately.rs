//! What was seen of a stage a moment ago, while it is being removed.
//!
//! Guarantees: a look serves the removals that follow it at once, and no others: none is older than
//! [`FRESH`] when it is used, what was changed since is forgotten, and whoever remembers nothing asks AWS
//! for the same. What is left at the end is read, whatever is remembered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_cloudformation::types::StackStatus;

use super::ecr_images::Tagged;
use super::stack::{Snapshot, StackResource};
use crate::model::StageId;

/// One step follows the other within this time on an AWS that answers at once; where the stack's end is
/// waited for longer, some more calls are none that anybody notices.
const FRESH: Duration = Duration::from_secs(10);
/// What does not change by itself while a stage goes. A step has no longer (`decide::plan`).
const TEARDOWN: Duration = Duration::from_mins(30);

/// What is remembered, of all stages.
#[derive(Debug, Default)]
pub(super) struct Lately(Mutex<HashMap<StageId, Sight>>);

/// What was seen of one stage.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Its own stack. `Some` of nothing: there was none.
    own: Option<Seen<Option<Snapshot>>>,
    /// What that stack holds.
    held: Option<Seen<Vec<StackResource>>>,
    /// Things that go with the stack whose deletion was asked for, by their ids.
    leaving: Option<Seen<BTreeSet<String>>>,
    /// Tasks of its families that were told to stop.
    stopping: BTreeMap<String, Seen<Vec<String>>>,
    /// Where its tasks run.
    cluster: Option<Seen<String>>,
    /// Which repositories its images may lie in.
    repositories: Option<Seen<Vec<String>>>,
    /// The active revisions of its families, newest first.
    revisions: BTreeMap<String, Seen<Vec<String>>>,
    /// What lies in each repository.
    images: BTreeMap<String, Seen<Vec<Tagged>>>,
}

/// Something with the time at which it was so.
#[derive(Debug, Clone)]
struct Seen<T> {
    at: Instant,
    what: T,
}

/// What is known of a stage's own stack.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Own {
    Unknown,
    /// There is none.
    Nowhere,
    There(Box<Snapshot>),
}

impl<T> Seen<T> {
    fn now(what: T) -> Self {
        Self { at: Instant::now(), what }
    }

    fn within(self, age: Duration) -> Option<T> {
        (self.at.elapsed() < age).then_some(self.what)
    }
}

/// Whether it is another one a moment later: CloudFormation works at it, or its deletion failed and is about to
/// be asked for once more.
fn is_moving(stack: &Snapshot) -> bool {
    stack.status.as_str().ends_with("_IN_PROGRESS") || stack.status == StackStatus::DeleteFailed
}

impl Sight {
    /// Notes the stage's own stack with all that it holds.
    pub(super) fn saw_stack(&mut self, stack: Snapshot, held: Vec<StackResource>) {
        self.cluster = stack.outputs.get("Cluster").filter(|name| !name.is_empty()).cloned().map(Seen::now);
        self.own = (!is_moving(&stack)).then(|| Seen::now(Some(stack)));
        self.held = self.own.is_some().then(|| Seen::now(held));
    }

    /// Notes which repositories there are.
    pub(super) fn saw_repositories(&mut self, repositories: Vec<String>) {
        self.repositories = Some(Seen::now(repositories));
    }

    /// Notes the active revisions of a family that is the stage's.
    pub(super) fn saw_revisions(&mut self, family: &str, newest_first: Vec<String>) {
        self.revisions.insert(family.to_owned(), Seen::now(newest_first));
    }

    /// Notes what lies in a repository.
    pub(super) fn saw_images(&mut self, repository: &str, images: Vec<Tagged>) {
        self.images.insert(repository.to_owned(), Seen::now(images));
    }
}

impl Lately {
    /// In place of all that was known of the stage.
    pub(super) fn put(&self, stage: &StageId, sight: Sight) {
        self.with(|all| all.insert(stage.clone(), sight));
    }

    pub(super) fn forget(&self, stage: &StageId) {
        self.with(|all| all.remove(stage));
    }

    pub(super) fn own(&self, stage: &StageId) -> Own {
        let seen = self.with(|all| all.get(stage)?.own.clone());
        match seen.and_then(|seen| seen.within(FRESH)) {
            Some(Some(stack)) => Own::There(Box::new(stack)),
            Some(None) => Own::Nowhere,
            None => Own::Unknown,
        }
    }

    /// Notes the stack as it is now. One at which CloudFormation works is looked at anew each time; what a
    /// failed deletion took along is not known.
    pub(super) fn saw(&self, stage: &StageId, own: Option<&Snapshot>) {
        self.with(|all| {
            let sight = all.entry(stage.clone()).or_default();
            if own.is_some_and(|stack| stack.status == StackStatus::DeleteFailed) {
                sight.leaving = None;
            }
            sight.own = (!own.is_some_and(is_moving)).then(|| Seen::now(own.cloned()));
        });
    }

    /// What the stack holds, if that is known.
    pub(super) fn held(&self, stage: &StageId) -> Option<Vec<StackResource>> {
        self.with(|all| all.get(stage)?.held.clone()?.within(FRESH))
    }

    /// Before the stack's deletion is asked for: it is no longer what it was, and these things go with it.
    pub(super) fn leaves(&self, stage: &StageId, things: BTreeSet<String>) {
        self.with(|all| {
            let sight = all.entry(stage.clone()).or_default();
            (sight.own, sight.held, sight.leaving) = (None, None, Some(Seen::now(things)));
        });
    }

    /// How long ago the stack's deletion was asked for.
    pub(super) fn asked(&self, stage: &StageId) -> Option<Duration> {
        self.with(|all| Some(all.get(stage)?.leaving.as_ref()?.at.elapsed()))
    }

    /// Whether it goes, or went, with the stack.
    pub(super) fn is_leaving(&self, stage: &StageId, thing: &str) -> bool {
        let leaving = self.with(|all| all.get(stage)?.leaving.clone()?.within(TEARDOWN));
        leaving.is_some_and(|things| things.contains(thing))
    }

    /// Notes which tasks of a family were told to stop: ECS lists them no longer among those that run.
    pub(super) fn stops(&self, stage: &StageId, family: &str, tasks: Vec<String>) {
        self.with(|all| {
            all.entry(stage.clone()).or_default().stopping.insert(family.to_owned(), Seen::now(tasks));
        });
    }

    pub(super) fn stopping(&self, stage: &StageId, family: &str) -> Vec<String> {
        let told = self.with(|all| all.get(stage)?.stopping.get(family).cloned()?.within(TEARDOWN));
        told.unwrap_or_default()
    }

    pub(super) fn cluster(&self, stage: &StageId) -> Option<String> {
        self.with(|all| all.get(stage)?.cluster.clone()?.within(TEARDOWN))
    }

    /// Where to look for images. None is made for a stage that goes.
    pub(super) fn repositories(&self, stage: &StageId) -> Option<Vec<String>> {
        self.with(|all| all.get(stage)?.repositories.clone()?.within(TEARDOWN))
    }

    /// The active revisions of a family, once: they are about to change.
    pub(super) fn take_revisions(&self, stage: &StageId, family: &str) -> Option<Vec<String>> {
        self.with(|all| all.get_mut(stage)?.revisions.remove(family)?.within(FRESH))
    }

    /// What lies in a repository, once.
    pub(super) fn take_images(&self, stage: &StageId, repository: &str) -> Option<Vec<Tagged>> {
        self.with(|all| all.get_mut(stage)?.images.remove(repository)?.within(FRESH))
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<StageId, Sight>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage() -> StageId {
        StageId { repo: "acme/shop".parse().unwrap(), name: "pr-1".parse().unwrap() }
    }

    fn stack(status: StackStatus) -> Snapshot {
        Snapshot {
            id: "arn:stack".into(),
            name: "stack".into(),
            status,
            reason: String::new(),
            outputs: BTreeMap::from([("Cluster".to_owned(), "previews".to_owned())]),
            parameters: BTreeMap::new(),
            tags: BTreeMap::new(),
            is_protected: false,
            began: 0,
        }
    }

    fn holding(status: StackStatus) -> Sight {
        let mut sight = Sight::default();
        sight.saw_stack(stack(status), Vec::new());
        sight
    }

    #[test]
    fn a_stack_is_known_until_it_is_asked_to_go_or_works() {
        let (lately, stage) = (Lately::default(), stage());
        assert_eq!(lately.own(&stage), Own::Unknown);
        lately.put(&stage, holding(StackStatus::UpdateInProgress));
        assert_eq!((lately.own(&stage), lately.held(&stage)), (Own::Unknown, None), "it is another one a moment later");
        lately.put(&stage, holding(StackStatus::CreateComplete));
        assert_eq!(lately.own(&stage), Own::There(Box::new(stack(StackStatus::CreateComplete))));
        assert_eq!((lately.held(&stage), lately.cluster(&stage).as_deref()), (Some(Vec::new()), Some("previews")));
        lately.leaves(&stage, BTreeSet::from(["rule".to_owned()]));
        assert_eq!((lately.own(&stage), lately.held(&stage)), (Own::Unknown, None));
        lately.saw(&stage, Some(&stack(StackStatus::DeleteInProgress)));
        assert_eq!(lately.own(&stage), Own::Unknown, "it is looked at each time");
        assert_eq!([lately.is_leaving(&stage, "rule"), lately.is_leaving(&stage, "other")], [true, false]);
        assert!(lately.asked(&stage).is_some());
        lately.saw(&stage, None);
        assert_eq!((lately.own(&stage), lately.is_leaving(&stage, "rule")), (Own::Nowhere, true));
    }

    #[test]
    fn what_a_failed_deletion_left_is_not_told_to_be_gone() {
        let (lately, stage) = (Lately::default(), stage());
        lately.leaves(&stage, BTreeSet::from(["rule".to_owned()]));
        lately.saw(&stage, Some(&stack(StackStatus::DeleteFailed)));
        assert!(!lately.is_leaving(&stage, "rule"));
        assert_eq!(lately.own(&stage), Own::Unknown, "the next deletion makes another one of it");
        lately.put(&stage, holding(StackStatus::DeleteFailed));
        assert_eq!((lately.own(&stage), lately.held(&stage)), (Own::Unknown, None));
    }

    #[test]
    fn a_new_look_takes_the_place_of_the_one_before() {
        let (lately, stage) = (Lately::default(), stage());
        lately.leaves(&stage, BTreeSet::from(["rule".to_owned()]));
        let mut sight = holding(StackStatus::CreateComplete);
        sight.saw_revisions("web", vec!["web:2".into()]);
        lately.put(&stage, sight);
        assert!(!lately.is_leaving(&stage, "rule"));
        assert_eq!(lately.take_revisions(&stage, "web"), Some(vec!["web:2".to_owned()]));
        assert_eq!(lately.take_revisions(&stage, "web"), None, "it serves one removal");
        lately.forget(&stage);
        assert_eq!(lately.own(&stage), Own::Unknown);
    }

    #[test]
    fn what_is_old_is_asked_again() {
        let old = Seen { at: Instant::now().checked_sub(FRESH).unwrap(), what: 1 };
        assert_eq!(old.clone().within(FRESH), None);
        assert_eq!(old.within(TEARDOWN), Some(1));
    }
}
