//! Every stage of which something exists, for the sweeper.
//!
//! Guarantees: a stage is found by its stack, and one whose stack is gone by what was left behind;
//! a place that cannot be read, or a part of one that may not be, is named in the log once and hides none
//! of the others; nothing here removes anything, and what is not found is no reason to.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types::TaskDefinitionField;
use aws_sdk_resourcegroupstagging::types::TagFilter;

use super::Shared;
use super::clients::Clients;
use super::fault::{fault, is};
use super::inventory::{log_groups, service_state};
use super::marks::{Marks, Whose};
use super::names::{Names, TAG_APP, TAG_BASE, TAG_KIND, TAG_OWNER, TAG_REPO, TAG_STAGE};
use crate::model::{AwsTarget, Chore, Place, StageId, StageKind, Timestamp};
use crate::port::{PortResult, Site};

/// Families that no known stage explains and that are asked for their tags in one run.
const ASKED: usize = 25;

/// What tags say, by their keys.
type Tags = BTreeMap<String, String>;

/// Every stage of which something exists at the server's own place and where known stages live.
pub(super) async fn stages(shared: &Shared, known: &[(StageId, Place)]) -> PortResult<Vec<(StageId, Place)>> {
    let mut found: BTreeMap<StageId, Place> = BTreeMap::new();
    let mut looked = BTreeSet::new();
    let mut faults = Vec::new();
    let others = distinct(known).map(|(stage, place)| Some(Site { stage, place }));
    for site in std::iter::once(None).chain(others) {
        match look(shared, site, known, &mut looked).await {
            Ok(stages) => {
                for (stage, place) in stages {
                    found.entry(stage).or_insert(place);
                }
            }
            Err(error) => {
                let at = at(site);
                if shared.said.is_news(&at, &error.to_string()) {
                    tracing::warn!("the stages in {at} cannot be listed, the sweep goes on without: {error}");
                }
                faults.push(error);
            }
        }
    }
    match faults.into_iter().next() {
        // Nothing could be read: no empty answer, but none.
        Some(error) if looked.is_empty() => Err(error),
        _ => Ok(found.into_iter().collect()),
    }
}

fn at(site: Option<Site<'_>>) -> String {
    let target = site.and_then(|site| site.place.aws.as_ref());
    target.map_or_else(|| "the server's own account".into(), |aws| format!("account {}, {}", aws.account, aws.region))
}

/// One known stage for each account, region and role.
fn distinct(known: &[(StageId, Place)]) -> impl Iterator<Item = (&StageId, &Place)> {
    let mut seen = BTreeSet::new();
    known.iter().filter_map(move |(stage, place)| {
        let aws = place.aws.as_ref()?;
        seen.insert((&aws.account, &aws.region, &aws.role)).then_some((stage, place))
    })
}

/// The database knows best; then the way by which others of the repository are reached.
fn place_of(stage: &StageId, seen: Place, known: &[(StageId, Place)]) -> Place {
    if let Some((_, place)) = known.iter().find(|(id, _)| id == stage) {
        return place.clone();
    }
    let is_reached = |place: &Place| !place.is_elsewhere(&seen) || is_own(&seen) && place.aws.is_none();
    let sibling = known.iter().find(|(id, place)| id.repo == stage.repo && is_reached(place));
    Place { aws: sibling.map_or_else(|| seen.aws.clone(), |(_, place)| place.aws.clone()), ..seen }
}

/// Whether it was reached by the server's own identity.
fn is_own(place: &Place) -> bool {
    place.aws.as_ref().is_none_or(|aws| aws.role.is_none())
}

/// Lists one account and region, unless that was done already. Without a site, the server's own.
async fn look(
    shared: &Shared,
    site: Option<Site<'_>>,
    known: &[(StageId, Place)],
    looked: &mut BTreeSet<(String, String)>,
) -> PortResult<BTreeMap<StageId, Place>> {
    let clients = match site {
        Some(site) => shared.sessions.at(site).await?,
        None => shared.sessions.own(None).await?,
    };
    let here = (clients.account.clone(), clients.region.clone());
    if looked.contains(&here) {
        return Ok(BTreeMap::new());
    }
    let (clients, names) = (&*clients, &shared.names);
    let lives_here = |place: &Place| {
        place.aws.as_ref().is_none_or(|aws| (aws.account.as_str(), aws.region.as_str()) == (&*here.0, &*here.1))
    };
    let ids: Vec<StageId> =
        known.iter().filter(|(_, place)| lives_here(place)).map(|(stage, _)| stage.clone()).collect();
    let mut found = by_stack(clients, names, &ids).await?;
    // Without their stacks nothing is known of stages; without the rest only leftovers are missed.
    let part = |part: &str| format!("{part} of account {}, {}", here.0, here.1);
    let groups = log_groups(clients, &names.all_log_groups()).await;
    let groups = shared.said.unless_refused(&part("the list of log groups"), groups)?;
    let mut left: Vec<(StageId, StageKind)> =
        groups.iter().filter_map(|group| Some((names.stage_of_log_group(group)?, StageKind::Ephemeral))).collect();
    let services = by_service(clients, names, &found).await;
    left.extend(shared.said.unless_refused(&part("the list of services by their tags"), services)?);
    let families = by_family(clients, names, &found, &ids, shared.settings.clock.now()).await;
    left.extend(shared.said.unless_refused(&part("the list of task definitions"), families)?);
    for (stage, kind) in left {
        found.entry(stage).or_insert_with(|| Place { kind, ..Place::default() });
    }
    let role = site.and_then(|site| site.place.aws.as_ref()?.role.clone());
    let aws = AwsTarget { region: clients.region.clone(), account: clients.account.clone(), role };
    looked.insert(here);
    let placed = found.into_iter().map(|(stage, seen)| {
        let place = place_of(&stage, Place { aws: Some(aws.clone()), ..seen }, known);
        (stage, place)
    });
    Ok(placed.collect())
}

/// A stack that has the name of a known stage's and no tags counts too: what is there is not told to be gone.
async fn by_stack(clients: &Clients, names: &Names, known: &[StageId]) -> PortResult<BTreeMap<StageId, Place>> {
    let by_name: BTreeMap<String, &StageId> = known.iter().map(|stage| (names.stage_stack(stage), stage)).collect();
    let mut pages = clients.cloudformation.describe_stacks().into_paginator().items().send();
    let mut found = BTreeMap::new();
    while let Some(stack) = pages.next().await {
        let stack = stack.map_err(|error| fault("cloudformation:DescribeStacks", error))?;
        let pair = |tag: &aws_sdk_cloudformation::types::Tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned()));
        let tags: Tags = stack.tags().iter().filter_map(pair).collect();
        if let Some((name, stage)) = stack.stack_name().and_then(|name| by_name.get_key_value(name)) {
            let marks = Marks::of_stage(names, stage);
            if marks.whose(&tags) == Whose::Unmarked {
                let why = marks.unmarked(name);
                tracing::warn!(%stage, "{why}");
                found.insert((*stage).clone(), Place::default());
                continue;
            }
        }
        let Some(stage) = stage_of(&tags, names) else { continue };
        // A foundation carries the tags too; what a stage's own stack says counts more.
        let is_own = stack.stack_name() == Some(&*names.stage_stack(&stage));
        let place = Place {
            app: tags.get(TAG_APP).and_then(|app| app.parse().ok()),
            // Nothing that does not say that it comes and goes is ever swept.
            kind: kind_of(&tags).unwrap_or(StageKind::Permanent),
            base: tags.get(TAG_BASE).cloned(),
            ..Place::default()
        };
        if is_own || !found.contains_key(&stage) {
            found.insert(stage, place);
        }
    }
    Ok(found)
}

fn stage_of(tags: &Tags, names: &Names) -> Option<StageId> {
    if tags.get(TAG_OWNER).is_none_or(|owner| owner != names.owner()) {
        return None;
    }
    Some(StageId { repo: tags.get(TAG_REPO)?.parse().ok()?, name: tags.get(TAG_STAGE)?.parse().ok()? })
}

fn kind_of(tags: &Tags) -> Option<StageKind> {
    match tags.get(TAG_KIND)?.as_str() {
        "ephemeral" => Some(StageKind::Ephemeral),
        "permanent" => Some(StageKind::Permanent),
        "production" => Some(StageKind::Production),
        _ => None,
    }
}

/// Services that outlived their stack. A listing by tag lags behind, so each is looked up.
async fn by_service(
    clients: &Clients,
    names: &Names,
    found: &BTreeMap<StageId, Place>,
) -> PortResult<Vec<(StageId, StageKind)>> {
    let owner = TagFilter::builder().key(TAG_OWNER).values(names.owner()).build();
    let list = clients.tagging.get_resources().tag_filters(owner).resource_type_filters("ecs:service");
    let mut pages = list.into_paginator().items().send();
    let mut left = Vec::new();
    while let Some(mapping) = pages.next().await {
        let mapping = mapping.map_err(|error| fault("tag:GetResources", error))?;
        let tags: Tags = mapping.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
        let Some((stage, arn)) = stage_of(&tags, names).zip(mapping.resource_arn()) else { continue };
        if !found.contains_key(&stage) && service_state(clients, arn).await?.is_some() {
            left.push((stage, kind_of(&tags).unwrap_or(StageKind::Ephemeral)));
        }
    }
    Ok(left)
}

/// Families of task definitions that outlived their stack, by their tags: a name is chosen by anybody.
async fn by_family(
    clients: &Clients,
    names: &Names,
    found: &BTreeMap<StageId, Place>,
    known: &[StageId],
    now: Timestamp,
) -> PortResult<Vec<(StageId, StageKind)>> {
    let families = super::inventory::families(clients, &format!("{}-", names.owner())).await?;
    let standing: Vec<String> = found.keys().map(|stage| names.families(stage)).collect();
    let remembered: Vec<String> = known.iter().map(|stage| names.families(stage)).collect();
    let begins = |family: &str, with: &[String]| with.iter().any(|prefix| family.starts_with(prefix.as_str()));
    // A stage whose stack stands is known by that.
    let unexplained = families.into_iter().filter(|family| !begins(family, &standing));
    let (first, rest): (Vec<String>, Vec<String>) = unexplained.partition(|family| begins(family, &remembered));
    let mut left = Vec::new();
    for family in first.iter().chain(&turn(rest, now)) {
        left.extend(stage_of_definition(clients, names, family).await?);
    }
    Ok(left)
}

/// Those that are asked this time: the next run goes on behind them, so that however many are somebody
/// else's, ours have their turn.
fn turn(mut families: Vec<String>, now: Timestamp) -> Vec<String> {
    if families.len() > ASKED {
        tracing::info!("more than {ASKED} families of task definitions are unexplained; the next sweep goes on");
        let runs = usize::try_from(now.0 / Chore::Sweep.period().millis()).unwrap_or(0);
        let begin = runs.wrapping_mul(ASKED) % families.len();
        families.rotate_left(begin);
        families.truncate(ASKED);
    }
    families
}

/// Whose task definition it is, by its tags; of a family, its newest one's.
pub(super) async fn stage_of_definition(
    clients: &Clients,
    names: &Names,
    definition: &str,
) -> PortResult<Option<(StageId, StageKind)>> {
    let ask = clients.ecs.describe_task_definition().task_definition(definition).include(TaskDefinitionField::Tags);
    let answer = match ask.send().await {
        Ok(answer) => answer,
        // Gone between listing and asking.
        Err(error) if is(&error, "ClientException") => return Ok(None),
        Err(error) => return Err(fault("ecs:DescribeTaskDefinition", error)),
    };
    let pair = |tag: &aws_sdk_ecs::types::Tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned()));
    let tags: Tags = answer.tags().iter().filter_map(pair).collect();
    let family = definition.rsplit('/').next().unwrap_or(definition);
    let stage = stage_of(&tags, names).filter(|stage| family.starts_with(&names.families(stage)));
    Ok(stage.map(|stage| (stage, kind_of(&tags).unwrap_or(StageKind::Ephemeral))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(account: &str, role: Option<&str>) -> Place {
        let role = role.map(str::to_owned);
        Place { aws: Some(AwsTarget { region: "eu-west-1".into(), account: account.into(), role }), ..Place::default() }
    }

    fn stage(repo: &str, name: &str) -> StageId {
        StageId { repo: repo.parse().unwrap(), name: name.parse().unwrap() }
    }

    #[test]
    fn each_account_region_and_role_is_asked_once() {
        let known = [
            (stage("acme/shop", "pr-1"), place("1", Some("a"))),
            (stage("acme/shop", "pr-2"), place("1", Some("a"))),
            (stage("acme/shop", "prod"), place("2", Some("a"))),
            (stage("acme/blog", "pr-1"), place("1", Some("b"))),
            (stage("acme/blog", "old"), Place::default()),
        ];
        let asked: Vec<String> = distinct(&known).map(|(stage, _)| stage.to_string()).collect();
        assert_eq!(asked, ["acme/shop/pr-1", "acme/shop/prod", "acme/blog/pr-1"]);
    }

    #[test]
    fn an_unknown_stage_is_reached_by_its_own_repository_s_role() {
        let known = [
            (stage("acme/shop", "pr-1"), place("1", Some("shop"))),
            (stage("acme/blog", "pr-1"), place("1", Some("blog"))),
        ];
        let seen = place("1", Some("shop"));
        assert_eq!(place_of(&stage("acme/blog", "pr-9"), seen.clone(), &known), place("1", Some("blog")));
        assert_eq!(place_of(&stage("acme/new", "pr-9"), seen.clone(), &known), seen);
        assert_eq!(place_of(&stage("acme/blog", "pr-1"), Place::default(), &known), place("1", Some("blog")));
        let own = [(stage("acme/own", "pr-1"), Place::default())];
        assert_eq!(place_of(&stage("acme/own", "pr-2"), place("1", None), &own), Place::default());
        assert_eq!(place_of(&stage("acme/own", "pr-2"), seen.clone(), &own), seen);
    }

    #[test]
    fn families_that_are_somebody_else_s_hide_none_of_ours() {
        let all: Vec<String> = (0..3 * ASKED + 7).map(|number| format!("greenroom-{number}")).collect();
        let hour = Chore::Sweep.period().millis();
        let asked = (1_000..1_005).flat_map(|run| turn(all.clone(), Timestamp(run * hour + 17)));
        assert_eq!(asked.collect::<BTreeSet<_>>(), all.iter().cloned().collect());
        assert_eq!(turn(all.clone(), Timestamp(hour)).len(), ASKED);
        assert_eq!(turn(all[..ASKED].to_vec(), Timestamp(hour)), all[..ASKED]);
    }

    #[test]
    fn only_what_this_greenroom_made_counts_and_a_kind_is_never_guessed() {
        let names = Names::new("greenroom");
        let tags = |owner: &str, kind: &str| -> Tags {
            [(TAG_OWNER, owner), (TAG_REPO, "acme/shop"), (TAG_STAGE, "pr-1"), (TAG_KIND, kind)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into()
        };
        assert_eq!(stage_of(&tags("greenroom", ""), &names), Some(stage("acme/shop", "pr-1")));
        assert_eq!(stage_of(&tags("another", ""), &names), None);
        assert_eq!(stage_of(&Tags::new(), &names), None);
        assert_eq!(kind_of(&tags("greenroom", "production")), Some(StageKind::Production));
        assert_eq!(kind_of(&tags("greenroom", "whatever")), None);
    }
}
