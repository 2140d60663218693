//! Which stages a step is about: found in the database, because the policy says which an event has.

use std::sync::Arc;

use crate::decide::Deed;
use crate::engine::stage_view;
use crate::model::{
    CommentSource, Event, Generation, GoneReason, PushEvent, ReceiptKey, RepoName, StageId, StageName, StageRecord,
    StageStatus, Subject, SurfaceKind, Target, Timestamp,
};
use crate::port::{PortResult, Store};
use crate::view::StepStage;

/// What a step asks for, and whom it then waits for.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) repo: RepoName,
    pub(super) about: About,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum About {
    /// Every stage of a pull request or branch.
    Subject(Subject),
    /// Stages by their names.
    Named(Vec<StageName>),
    /// What a comment asked for.
    Comment(u64),
    /// All of the repository.
    Everything,
}

impl Scope {
    /// The events to put into the inbox, and whom they are about.
    pub(super) async fn of(deed: &Deed, repo: &RepoName, store: &dyn Store) -> PortResult<(Self, Vec<Event>)> {
        let ask = |stage: StageName, target: Target| Event::Requested { repo: repo.clone(), stage, target };
        let (about, events) = match deed {
            Deed::Deliver(event) => (about(event), vec![(**event).clone().of_repo(repo)]),
            Deed::Ask { stage, target } => {
                (About::Named(vec![stage.clone()]), vec![ask(stage.clone(), target.clone())])
            }
            Deed::Clear(subject) => {
                let mut names = Vec::new();
                for record in store.stages(Some(repo)).await? {
                    if record.subject == *subject && !matches!(record.status, StageStatus::Gone { .. }) {
                        names.push(record.id.name);
                    }
                }
                let gone = |name: &StageName| ask(name.clone(), Target::Gone(GoneReason::Requested));
                let events = names.iter().map(gone).collect();
                (About::Named(names), events)
            }
            Deed::Sweep => (About::Everything, vec![Event::Reconcile { repo: repo.clone() }]),
            Deed::Status { stage: Some(stage), .. } => (About::Named(vec![stage.clone()]), Vec::new()),
            Deed::Status { subject: Some(subject), .. } => (About::Subject(subject.clone()), Vec::new()),
            Deed::Status { .. } | Deed::Plan(_) | Deed::Check | Deed::Notice(_) | Deed::Refuse(_) => {
                (About::Everything, Vec::new())
            }
        };
        Ok((Self { repo: repo.clone(), about }, events))
    }

    /// The stages, as they stand.
    pub(super) async fn stages(&self, store: &dyn Store) -> PortResult<Vec<StageRecord>> {
        let named = match &self.about {
            About::Comment(comment) => {
                let key = ReceiptKey { repo: self.repo.clone(), source: CommentSource::Issue, comment: *comment };
                let bond = store.receipt(&key).await?.and_then(|receipt| receipt.bond);
                About::Named(bond.into_iter().map(|bond| bond.stage).collect())
            }
            about => about.clone(),
        };
        let mut records = store.stages(Some(&self.repo)).await?;
        records.retain(|record| match &named {
            About::Subject(subject) => record.subject == *subject,
            About::Named(names) => names.contains(&record.id.name),
            About::Comment(_) => false,
            About::Everything => true,
        });
        Ok(records)
    }

    /// Why there may be no stage, in one sentence.
    pub(super) fn none(&self) -> String {
        let rules = "no rule under `stages` in .github/greenroom.yml on the default branch wants one";
        match &self.about {
            About::Subject(Subject::PullRequest(number)) => format!("pull request {number} has no stage: {rules}"),
            About::Subject(Subject::Branch(branch)) => format!("the branch {} has no stage: {rules}", branch.0),
            About::Named(names) => match names.first() {
                Some(name) => format!(
                    "there is no stage {name}: {rules}, its branch does not exist, or it is that of another branch or \
                     pull request"
                ),
                None => "there is nothing to remove".to_owned(),
            },
            About::Comment(_) => "what the comment asks for is answered there".to_owned(),
            About::Everything => "no stage of this repository exists".to_owned(),
        }
    }
}

fn about(event: &Event) -> About {
    match event {
        Event::PullRequest { number, .. } => About::Subject(Subject::PullRequest(*number)),
        Event::Push(PushEvent { branch, .. }) | Event::BranchDeleted { branch, .. } => {
            About::Subject(Subject::Branch(branch.clone()))
        }
        Event::Comment(comment) => About::Comment(comment.comment),
        _ => About::Everything,
    }
}

/// What is reported of a stage.
pub(super) async fn reported(store: &Arc<dyn Store>, id: &StageId, now: Timestamp) -> PortResult<Option<StepStage>> {
    let Some(view) = stage_view(store.as_ref(), id, now).await? else { return Ok(None) };
    let history = store.history(id, 1).await?;
    let deployments = history.surfaces.iter().filter(|surface| surface.key.kind == SurfaceKind::Deployment);
    let newest = deployments.max_by_key(|surface| surface.at);
    let deployment_id = newest.and_then(|surface| surface.external.as_ref()).map(ToString::to_string);
    let is_gone = !view.services.iter().any(|service| service.url.is_some()) && view.gone.is_some();
    let release = history.release.filter(|_| !is_gone);
    let image_digests = release.iter().flat_map(|release| &release.artifacts);
    Ok(Some(StepStage {
        image_digests: image_digests.map(|(name, artifact)| (name.clone(), artifact.digest.clone())).collect(),
        release: release.map(|release| release.generation).filter(|generation| *generation > Generation(0)),
        deployment_id,
        view,
    }))
}
