//! Shows what is: the comment, the check run, the deployment with its status.
//!
//! - What is shown is read from the database alone, so it can be shown again after any crash.
//! - A surface is written only when its text changed. Ends are shown at once; progress is shown when
//!   a deploy takes its time, and then now and then.
//! - A surface that GitHub refuses is skipped with one warning. No surface fails a deploy.

use super::surfaces::{Content, Item, Pace, Shown, items};
use super::{CALL_LIMIT, Comments, Engine};
use crate::model::{Deploy, ExternalId, Outcome, StageId, StageRecord, Timestamp, Verb, Wake};
use crate::port::{
    CheckRun, DeploymentRequest, DeploymentUpdate, Held, PortError, PortResult, StageHistory, StickyComment, Store,
    SurfaceRecord,
};
use crate::view::{self, Links, StageView};

/// Deploys that the comment's history names, and one more to close what a newer goal took over.
const HISTORY: u32 = 6;
/// A goal that ends sooner than this is told once, by its end.
const FIRST_WORD_MILLIS: i64 = 1_500;
/// The mark of a surface that GitHub would not take.
const REFUSED: &str = "refused";
/// The mark of a surface that may be on GitHub, with what words is not known.
const BEGUN: &str = "begun";
/// After this it is offered again: the permission may have been granted since.
const REFUSED_MILLIS: i64 = 3_600_000;

/// What came of showing something.
enum Publication {
    /// It is shown, under this id where it has one.
    Done(Option<ExternalId>),
    /// What it belongs to is not there.
    NoPlace,
}

impl Engine {
    /// Shows what changed. Answers the stage as it was read, and when to come back for what was put
    /// off; `None` where there is no such stage.
    pub(super) async fn report(&self, held: &mut Held, id: &StageId) -> PortResult<Option<(StageRecord, Wake)>> {
        let now = self.ports.clock.now();
        let prefix = self.prefix(&id.repo).await;
        let commands: Vec<String> = self.settings.commands.iter().map(|command| format!("{prefix}{command}")).collect();
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        let approve = format!("{prefix}{}", Verb::Approve);
        let links = Links { commands: &commands, approve: Some(&approve), ..Links::default() };
        let store = self.ports.store.as_ref();
        let Some(shown) = read(store, id, now, &links).await? else { return Ok(None) };
        let mut wake = Wake::OnBell;
        let mut written: Vec<SurfaceRecord> = Vec::new();
        for item in items(&shown) {
            if self.settings.comments == Comments::Left && matches!(item.content, Content::Comment { .. }) {
                continue;
            }
            let before = shown.before.iter().find(|surface| surface.key == item.key);
            match self.due(&item, before, now) {
                Due::Never => continue,
                Due::At(at) => {
                    wake = wake.or(Wake::At(at));
                    continue;
                }
                Due::Now => {}
            }
            self.keep_lease(held).await?;
            if before.is_none() && stays_behind(&item) {
                // On disk before it is on GitHub: whoever comes after a crash knows that it may be there.
                let intent = SurfaceRecord { key: item.key.clone(), external: None, hash: BEGUN.into(), at: now };
                self.ports.store.save_surfaces(held, id, vec![intent]).await?;
            }
            let external = before.and_then(|surface| surface.external.as_ref());
            match self.show(&shown, &item, external, &written).await {
                Ok(Publication::Done(external)) => {
                    written.push(SurfaceRecord { key: item.key, external, hash: item.hash, at: now });
                }
                Ok(Publication::NoPlace) => {}
                Err(PortError::Stale) => return Err(PortError::Stale),
                Err(PortError::Denied { reason } | PortError::NotFound { what: reason }) => {
                    self.metrics.surfaces_refused.inc();
                    let kind = item.key.kind.as_str();
                    tracing::warn!(stage = %id, kind, "GitHub does not take the {kind} of {id}: {reason}");
                    // Whoever may do more finds it there.
                    let external = external.cloned();
                    written.push(SurfaceRecord { key: item.key, external, hash: REFUSED.into(), at: now });
                }
                Err(error) => {
                    let after = match &error {
                        PortError::Retry { after_millis: Some(after), .. } => *after,
                        _ => 5_000,
                    };
                    tracing::warn!(stage = %id, "showing the {} of {id} is put off: {error}", item.key.kind.as_str());
                    wake = wake.or(Wake::At(now.after_millis(after)));
                }
            }
        }
        if !written.is_empty() {
            self.ports.store.save_surfaces(held, id, written).await?;
        }
        Ok(Some((shown.record, wake)))
    }

    fn due(&self, item: &Item, before: Option<&SurfaceRecord>, now: Timestamp) -> Due {
        let settled = |surface: &SurfaceRecord| {
            surface.hash == item.hash || (surface.hash == REFUSED && now.since(surface.at) < REFUSED_MILLIS)
        };
        if before.is_some_and(settled) {
            return Due::Never;
        }
        let at = match item.pace {
            Pace::Now => return Due::Now,
            Pace::Soon { since } => since.after_millis(FIRST_WORD_MILLIS),
            Pace::Progress { since } => {
                let last = before.map_or(since, |surface| surface.at.max(since));
                last.after_millis(self.settings.progress_millis)
            }
        };
        if at <= now { Due::Now } else { Due::At(at) }
    }

    async fn show(
        &self,
        shown: &Shown,
        item: &Item,
        external: Option<&ExternalId>,
        written: &[SurfaceRecord],
    ) -> PortResult<Publication> {
        let call = self.publish(shown, item, external, written);
        match tokio::time::timeout(CALL_LIMIT, call).await {
            Ok(result) => result,
            Err(_) => Err(PortError::retry("GitHub did not answer in time")),
        }
    }

    async fn publish(
        &self,
        shown: &Shown,
        item: &Item,
        id: Option<&ExternalId>,
        written: &[SurfaceRecord],
    ) -> PortResult<Publication> {
        let StageId { repo, name } = &shown.record.id;
        let forge = &self.ports.forge;
        let done = |id| Publication::Done(Some(id));
        match &item.content {
            Content::Comment { body } => {
                let Some(pull) = shown.record.pull() else { return Ok(Publication::NoPlace) };
                let marker = view::marker(name);
                let comment = StickyComment { repo, pull, id, marker: &marker, body };
                forge.publish_comment(&comment).await.map(done)
            }
            Content::Check { sha, text, url } => {
                let title = format!("greenroom / {name}");
                let key = format!("{name}@{sha}");
                let check = CheckRun {
                    repo,
                    sha,
                    id,
                    key: &key,
                    name: &title,
                    state: text.state,
                    title: &text.title,
                    summary: &text.summary,
                    details_url: url.as_deref(),
                };
                forge.publish_check(&check).await.map(done)
            }
            Content::Deployment { sha, lifetime } => {
                let key = format!("{name}/{}", item.key.key);
                let request = DeploymentRequest { repo, sha, environment: name, key: &key, lifetime: *lifetime };
                forge.ensure_deployment(&request).await.map(done)
            }
            Content::Status { deployment, state, description, url } => {
                let made = written.iter().chain(&shown.before).find(|surface| surface.key == *deployment);
                let Some(deployment) = made.and_then(|surface| surface.external.as_ref()) else {
                    return Ok(Publication::NoPlace);
                };
                let update = DeploymentUpdate {
                    repo,
                    deployment,
                    state: *state,
                    description,
                    environment_url: url.as_deref(),
                    log_url: None,
                };
                forge.publish_deployment_status(&update).await.map(|()| Publication::Done(None))
            }
            Content::Removal => forge.remove_environment(repo, name).await.map(|()| Publication::Done(None)),
        }
    }
}

/// Whether it must be corrected or taken away when the stage goes.
fn stays_behind(item: &Item) -> bool {
    matches!(item.content, Content::Comment { .. } | Content::Deployment { .. })
}

enum Due {
    Now,
    At(Timestamp),
    Never,
}

/// Reads all that the surfaces of a stage are made from.
async fn read(store: &dyn Store, id: &StageId, now: Timestamp, links: &Links<'_>) -> PortResult<Option<Shown>> {
    match store.stage(id).await? {
        Some(record) => read_around(store, record, now, links).await.map(Some),
        None => Ok(None),
    }
}

async fn read_around(store: &dyn Store, record: StageRecord, now: Timestamp, links: &Links<'_>) -> PortResult<Shown> {
    let StageHistory { deploys, log, release, surfaces: before } = store.history(&record.id, HISTORY).await?;
    let gone = |deploy: &Deploy| matches!(deploy.ended, Some((_, Outcome::Gone { .. })));
    let release = release.filter(|release| !deploys.iter().take_while(|deploy| deploy.id != release.deploy).any(gone));
    let current = deploys.first().map(|deploy| (deploy, &log));
    let view = StageView::of(&record, current, &deploys, release.as_ref(), now, links);
    Ok(Shown { record, deploys, view, before })
}

/// What the surfaces of a stage will say once this record of it is written.
pub(super) async fn view_around(store: &dyn Store, record: StageRecord, now: Timestamp) -> PortResult<StageView> {
    Ok(read_around(store, record, now, &Links::default()).await?.view)
}

/// What the surfaces of a stage say, for the command line.
pub async fn stage_view(store: &dyn Store, id: &StageId, now: Timestamp) -> PortResult<Option<StageView>> {
    Ok(read(store, id, now, &Links::default()).await?.map(|shown| shown.view))
}
