//! What there is to show of a stage, decided from what the database holds: no call is made here.

use sha2::{Digest, Sha256};

use crate::model::{
    CommitSha, Deploy, DeploymentState, GoneReason, Outcome, StageKind, StageRecord, StageStatus, StepLog, SurfaceKey,
    SurfaceKind, Target, Timestamp, Wanted,
};
use crate::port::{EnvironmentLifetime, SurfaceRecord};
use crate::view::{self, CommentWish, Links, StageView};

/// Something to show, with what decides whether it is shown now.
pub(super) struct Item {
    pub(super) key: SurfaceKey,
    /// What it says, in short: equal means that nothing is written.
    pub(super) hash: String,
    pub(super) pace: Pace,
    pub(super) content: Content,
}

/// How soon something must be seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Now,
    /// The first word on a new goal: soon, unless the end is sooner.
    Soon {
        since: Timestamp,
    },
    /// Only after the deploy has run for a while, and not too often.
    Progress {
        since: Timestamp,
    },
}

pub(super) enum Content {
    Comment { body: String },
    Check { sha: CommitSha, text: view::CheckText, url: Option<String> },
    Deployment { sha: CommitSha, lifetime: EnvironmentLifetime },
    Status { deployment: SurfaceKey, state: DeploymentState, description: String, url: Option<String> },
    Removal,
}

/// Everything that the surfaces of a stage are made from.
pub(super) struct Shown {
    pub(super) record: StageRecord,
    pub(super) deploys: Vec<Deploy>,
    pub(super) view: StageView,
    pub(super) before: Vec<SurfaceRecord>,
}

pub(super) fn items(shown: &Shown) -> Vec<Item> {
    // There is no place left for it, and it would be tried for ever where the name is another's.
    if shown.record.target == Target::Gone(GoneReason::RepositoryDeleted) {
        return Vec::new();
    }
    let mut items = Vec::new();
    items.extend(comment_item(shown));
    items.extend(check_item(shown));
    items.extend(deployment_items(shown));
    items.extend(superseded_items(shown));
    items.extend(removal_item(shown));
    items
}

/// Progress waits; an end, and the first word on a new goal, do not.
fn pace(view: &StageView) -> Pace {
    match view.started_at {
        Some(since) if !view.phase.is_final() => Pace::Progress { since },
        _ => Pace::Now,
    }
}

fn comment_item(shown: &Shown) -> Option<Item> {
    shown.record.pull()?;
    let key = SurfaceKey { kind: SurfaceKind::Comment, key: String::new() };
    let before = shown.before.iter().find(|surface| surface.key == key);
    if before.is_none() && view::comment_wish(&shown.view) == CommentWish::EditOnly {
        return None;
    }
    let body = view::comment(&shown.view);
    // The goal it speaks of is part of the mark, so that the first word on a new goal is seen at once.
    let goal = format!("{}{}/", shown.view.generation, if shown.view.phase.is_final() { "!" } else { "" });
    let is_first_word = before.is_none_or(|surface| !surface.hash.starts_with(&goal));
    let pace = match pace(&shown.view) {
        Pace::Progress { since } if is_first_word => Pace::Soon { since },
        pace => pace,
    };
    Some(Item { key, hash: format!("{goal}{}", digest(&[&body])), pace, content: Content::Comment { body } })
}

fn check_item(shown: &Shown) -> Option<Item> {
    let gone = matches!(shown.record.status, StageStatus::Gone { .. } | StageStatus::RemovalBlocked | StageStatus::New);
    let removing = shown
        .deploys
        .first()
        .is_some_and(|deploy| matches!(deploy.plan.wanted, Wanted::Gone(_)) && deploy.ended.is_none());
    if gone || removing {
        return None;
    }
    let sha = shown.view.sha.clone()?;
    let text = view::check(&shown.view);
    let key = SurfaceKey { kind: SurfaceKind::Check, key: sha.to_string() };
    let hash = digest(&[&text.title, &text.summary, &format!("{:?}", text.state)]);
    let content = Content::Check { sha, text, url: shown.view.url.clone() };
    Some(Item { key, hash, pace: pace(&shown.view), content })
}

/// The newest deploy's deployment, made when the deploy begins, and its status.
fn deployment_items(shown: &Shown) -> Vec<Item> {
    let Some(deploy) = shown.deploys.first() else { return Vec::new() };
    let Wanted::Live(spec) = &deploy.plan.wanted else { return Vec::new() };
    // What stands against a newer commit (a wrong file, a missing approval) says nothing of this one.
    let speaks_of_it = matches!(
        shown.record.status,
        StageStatus::Deploying { .. } | StageStatus::Live { .. } | StageStatus::Failed { .. }
    );
    if !speaks_of_it || shown.view.sha.as_ref() != Some(&spec.sha) {
        return Vec::new();
    }
    let key = deployment_key(deploy);
    let lifetime = match spec.kind {
        StageKind::Ephemeral => EnvironmentLifetime::Transient,
        StageKind::Permanent => EnvironmentLifetime::Permanent,
        StageKind::Production => EnvironmentLifetime::Production,
    };
    let content = Content::Deployment { sha: spec.sha.clone(), lifetime };
    let made = Item { key: key.clone(), hash: "made".into(), pace: Pace::Now, content };
    let text = view::deployment(&shown.view);
    vec![made, status_item(key, text.state, text.description, text.url, pace(&shown.view))]
}

/// What a newer goal took over no longer counts: its deployment is inactive, and its check
/// cancelled if it never went live.
fn superseded_items(shown: &Shown) -> Vec<Item> {
    let mut items = Vec::new();
    for deploy in shown.deploys.iter().skip(1) {
        let Wanted::Live(spec) = &deploy.plan.wanted else { continue };
        let by = match deploy.ended {
            Some((_, Outcome::Superseded { by })) => by,
            Some((_, Outcome::Live)) if is_replaced(shown) => shown.view.generation,
            _ => continue,
        };
        let shows = |key: &SurfaceKey| shown.before.iter().any(|surface| surface.key == *key);
        let old = StageView::superseded(&shown.record, (deploy, &StepLog::default()), by, &Links::default());
        let key = deployment_key(deploy);
        if shows(&key) {
            let text = view::deployment(&old);
            items.push(status_item(key, text.state, text.description, text.url, Pace::Now));
        }
        let check = SurfaceKey { kind: SurfaceKind::Check, key: spec.sha.to_string() };
        let is_current = shown.view.sha.as_ref() == Some(&spec.sha);
        let tried_since = shown
            .deploys
            .iter()
            .take_while(|newer| newer.id != deploy.id)
            .any(|newer| matches!(&newer.plan.wanted, Wanted::Live(other) if other.sha == spec.sha));
        let was_live = matches!(deploy.ended, Some((_, Outcome::Live)));
        if shows(&check) && !is_current && !tried_since && !was_live {
            let text = view::check(&old);
            let hash = digest(&["superseded", &text.title]);
            items.push(Item {
                key: check,
                hash,
                pace: Pace::Now,
                content: Content::Check { sha: spec.sha.clone(), text, url: None },
            });
        }
    }
    items
}

/// Whether the newest deploy took the place of what was live before it.
fn is_replaced(shown: &Shown) -> bool {
    shown.deploys.first().is_some_and(|newest| matches!(newest.ended, Some((_, Outcome::Live))))
}

/// A stage that is gone leaves no environment behind on GitHub.
fn removal_item(shown: &Shown) -> Option<Item> {
    let StageStatus::Gone { .. } = shown.record.status else { return None };
    let had_any = shown.before.iter().any(|surface| surface.key.kind == SurfaceKind::Deployment);
    let key = SurfaceKey { kind: SurfaceKind::DeploymentStatus, key: "environment".into() };
    // Made again by a later life of the stage, it is removed again.
    let hash = format!("removed at {}", shown.deploys.first().map_or(0, |deploy| deploy.id.0));
    had_any.then_some(Item { key, hash, pace: Pace::Now, content: Content::Removal })
}

fn deployment_key(deploy: &Deploy) -> SurfaceKey {
    SurfaceKey { kind: SurfaceKind::Deployment, key: format!("{}-{}", deploy.plan.generation, deploy.id) }
}

fn status_item(
    deployment: SurfaceKey,
    state: DeploymentState,
    description: String,
    url: Option<String>,
    pace: Pace,
) -> Item {
    let key = SurfaceKey { kind: SurfaceKind::DeploymentStatus, key: deployment.key.clone() };
    // Progress of the same state is not worth a write: a deployment shows its state alone.
    let hash = digest(&[state.as_str(), url.as_deref().unwrap_or_default()]);
    Item { key, hash, pace, content: Content::Status { deployment, state, description, url } }
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExternalId, PullNumber, StageId, Subject};

    #[test]
    fn of_a_repository_that_was_deleted_nothing_is_shown() {
        let shown = |reason: GoneReason| {
            let id = StageId { repo: "acme/shop".parse().unwrap(), name: "pr-1".parse().unwrap() };
            let subject = Subject::PullRequest(PullNumber(1));
            let record = StageRecord::new(id, subject, Target::Gone(reason), Timestamp(0));
            let record = StageRecord { status: StageStatus::Gone { removed: 2 }, ..record };
            let view = StageView::of(&record, None, &[], None, Timestamp(0), &Links::default());
            let key = SurfaceKey { kind: SurfaceKind::Comment, key: String::new() };
            let (external, hash) = (ExternalId::new("1").ok(), "0!/before".to_owned());
            let before = vec![SurfaceRecord { key, external, hash, at: Timestamp(0) }];
            items(&Shown { record, deploys: Vec::new(), view, before }).len()
        };
        assert_eq!((shown(GoneReason::Closed), shown(GoneReason::RepositoryDeleted)), (1, 0));
    }

    #[test]
    fn a_digest_tells_parts_from_their_joint() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }
}
