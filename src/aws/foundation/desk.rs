//! Foundations by hand: what a change would do, making one, taking one away.

use super::super::marks::Marks;
use super::super::names::{TAG_KIND, TAG_OWNER, TAG_REPO, TAG_STAGE};
use super::super::stack::{self, Driver, Match, Snapshot, Step};
use super::super::template;
use super::{Remembered, extended, not_ours, pending, wish, with_hosted_zones};
use crate::model::{FailureKind, ResourceChange, StageKind};
use crate::port::{PortError, PortResult, Progress, Site};

/// What a stage would add to its foundation; all of it where there is none.
pub(in crate::aws) async fn missing(driver: &Driver<'_>, site: Site<'_>) -> PortResult<Vec<ResourceChange>> {
    let name = driver.shared.names.foundation_stack(site.stage, site.place);
    let live = described(driver, site, &name).await?.filter(Snapshot::is_settled);
    let wanted = Remembered::new(driver.shared, site, 1);
    let Some(live) = live else {
        let wanted = with_hosted_zones(driver, wanted).await?;
        return stack::changes(driver.shared, driver.clients, &wish(driver.shared, site, &wanted)?, None).await;
    };
    let remembered = Remembered::of(&live).ok_or_else(|| not_ours(&live))?;
    if remembered.does_for(&wanted) {
        return Ok(Vec::new());
    }
    let wish = extended(driver, site, &live, remembered, &wanted).await?;
    stack::changes(driver.shared, driver.clients, &wish, Some(&live)).await
}

/// What [`deploy`] would change.
pub(in crate::aws) async fn plan(driver: &Driver<'_>, site: Site<'_>) -> PortResult<Vec<ResourceChange>> {
    let name = driver.shared.names.foundation_stack(site.stage, site.place);
    let live = described(driver, site, &name).await?.filter(Snapshot::is_settled);
    let wanted = renewed(driver, site, live.as_ref()).await?;
    stack::changes(driver.shared, driver.clients, &wish(driver.shared, site, &wanted)?, live.as_ref()).await
}

/// Makes the foundation, or brings it to this release's template and these settings. Answers the
/// stack's name.
pub(in crate::aws) async fn deploy(driver: &Driver<'_>, site: Site<'_>) -> PortResult<Progress<String>> {
    let name = driver.shared.names.foundation_stack(site.stage, site.place);
    let live = described(driver, site, &name).await?.filter(Snapshot::is_settled);
    let wanted = renewed(driver, site, live.as_ref()).await?;
    let marks = Marks::of_foundation(&driver.shared.names, site);
    let is_same = |stack: &Snapshot| {
        let is_new = stack.outputs.get("Template").is_some_and(|made| *made == template::foundation_version());
        if is_new && Remembered::of(stack).as_ref() == Some(&wanted) { Match::Same } else { Match::Different }
    };
    let step = match driver.look(&name, &marks, is_same).await? {
        Step::Create => driver.create(&wish(driver.shared, site, &wanted)?).await?,
        Step::Update(stack) => driver.update(&wish(driver.shared, site, &wanted)?, stack).await?,
        step => step,
    };
    match step {
        Step::Done(_) => Ok(Progress::Done(name)),
        Step::Pending { again_millis, note } => Ok(pending(again_millis, &note)),
        Step::Create | Step::Update(_) => Ok(pending(1_000, "CloudFormation begins")),
    }
}

/// Takes the foundation away, unless stages use it.
pub(in crate::aws) async fn destroy(driver: &Driver<'_>, site: Site<'_>) -> PortResult<Progress<()>> {
    let name = driver.shared.names.foundation_stack(site.stage, site.place);
    let Some(live) = described(driver, site, &name).await? else { return Ok(Progress::Done(())) };
    let users = users(driver, site, &live).await?;
    if users.is_empty() {
        return stack::remove(driver.shared, driver.clients, &name).await;
    }
    Err(PortError::failed(
        FailureKind::Environment,
        format!("the foundation {name} is used by {}", users.join(", ")),
        "Destroy these stages first.",
    ))
}

/// The foundation of that name, as long as it is known to be that.
pub(super) async fn described(driver: &Driver<'_>, site: Site<'_>, name: &str) -> PortResult<Option<Snapshot>> {
    let found = stack::describe(driver.clients, name).await?;
    found.as_ref().map_or(Ok(()), |stack| Marks::of_foundation(&driver.shared.names, site).require(stack))?;
    Ok(found)
}

/// The stages that live on a foundation, by the tags of their stacks; and whatever stack says itself that
/// it stands on it, also one whose tags are gone.
pub(super) async fn users(driver: &Driver<'_>, site: Site<'_>, foundation: &Snapshot) -> PortResult<Vec<String>> {
    let names = &driver.shared.names;
    let is_shared = site.place.kind == StageKind::Ephemeral;
    let own = names.stage_stack(site.stage);
    let stacks = stack::all(driver.clients, names.owner()).await?;
    let uses = |stack: &&Snapshot| {
        let tag = |key: &str| stack.tags.get(key).map(String::as_str);
        if stack.id == foundation.id {
            return false;
        }
        let cluster = foundation.outputs.get("Cluster");
        let stands_on_it = cluster.is_some() && stack.outputs.get("Cluster") == cluster;
        let is_ours = tag(TAG_OWNER) == Some(names.owner()) && tag(TAG_STAGE).is_some();
        stands_on_it || is_ours && if is_shared { tag(TAG_KIND) == Some("ephemeral") } else { stack.name == own }
    };
    let name = |stack: &Snapshot| match (stack.tags.get(TAG_REPO), stack.tags.get(TAG_STAGE)) {
        (Some(repo), Some(stage)) => format!("{repo}/{stage}"),
        _ => format!("the stack {}, whose tags are gone", stack.name),
    };
    Ok(stacks.iter().filter(uses).map(name).collect())
}

/// These settings, with the zones and load balancers that the foundation has already, and its roles
/// where they are.
async fn renewed(driver: &Driver<'_>, site: Site<'_>, live: Option<&Snapshot>) -> PortResult<Remembered> {
    let mut wanted = Remembered::new(driver.shared, site, 1).by_hand();
    if let Some(live) = live {
        wanted = Remembered::of(live).ok_or_else(|| not_ours(live))?.renewed(wanted);
    }
    with_hosted_zones(driver, wanted).await
}
