//! A stage's own stack: what it is made from, and making it.
//!
//! Guarantees: nothing here waits for the user's code, because a new service begins with no copies
//! and a definition that is never run; what ECS runs stays as it is, because an update is given
//! what ECS has; a number of a rule is leased before it is used and never twice.

mod live;
mod objections;
mod places;
mod text;

use std::collections::BTreeMap;

pub(super) use objections::objections;
pub(super) use text::{blueprint, render as text};

use self::live::Live;
use self::places::Seat;
use super::foundation::{self, Foundation};
use super::marks::Marks;
use super::names::{TAG_APP, TAG_BASE, TAG_KIND, TAG_OWNER, TAG_REPO, TAG_RETAIN, TAG_STAGE};
use super::stack::{self, AfterFailure, Driver, Match, Pace, Protection, Snapshot, Step, Wish};
use super::{Shared, template};
use crate::model::{Output, ResourceChange, ServiceName, StageKind, StageSpec};
use crate::port::{PortResult, Progress, Site};

/// Makes or changes the stack, and its foundation before it.
pub(super) async fn prepare(shared: &Shared, spec: &StageSpec) -> PortResult<Progress<Output>> {
    let site = Site { stage: &spec.stage, place: &spec.place };
    let clients = shared.sessions.at(site).await?;
    let driver = Driver { shared, clients: &clients, holder: spec.stage.to_string() };
    let name = shared.names.stage_stack(&spec.stage);
    let marks = Marks::of_stage(&shared.names, &spec.stage);
    let blueprint = blueprint(shared, spec);
    let step = match driver.look(&name, &marks, |stack| compare(stack, &blueprint)).await? {
        Step::Create => match furnish(&driver, spec, None).await? {
            Progress::Done(parameters) => driver.create(&wish(shared, spec, parameters)?).await?,
            Progress::Pending { again_millis, note } => Step::Pending { again_millis, note },
        },
        Step::Update(stack) => match furnish(&driver, spec, Some(&stack)).await? {
            Progress::Done(parameters) => driver.update(&wish(shared, spec, parameters)?, stack).await?,
            Progress::Pending { again_millis, note } => Step::Pending { again_millis, note },
        },
        step => step,
    };
    match step {
        Step::Done(_) => {
            places::free_dropped(shared, spec).await?;
            Ok(Progress::Done(Output::Nothing))
        }
        Step::Pending { again_millis, note } => Ok(Progress::Pending { again_millis, note }),
        Step::Create | Step::Update(_) => {
            Ok(Progress::Pending { again_millis: 1_000, note: "CloudFormation begins".into() })
        }
    }
}

/// What [`prepare`] would change, of the foundation too.
pub(super) async fn changes(shared: &Shared, spec: &StageSpec) -> PortResult<Vec<ResourceChange>> {
    let site = Site { stage: &spec.stage, place: &spec.place };
    let clients = shared.sessions.at(site).await?;
    let live = stack::describe(&clients, &shared.names.stage_stack(&spec.stage)).await?;
    live.as_ref().map_or(Ok(()), |stack| Marks::of_stage(&shared.names, &spec.stage).require(stack))?;
    let live = live.filter(|stack| stack.outputs.contains_key("Blueprint"));
    let driver = Driver { shared, clients: &clients, holder: spec.stage.to_string() };
    let mut changes = foundation::missing(&driver, site).await?;
    let known = live.as_ref().map(|stack| stack.parameters.clone()).unwrap_or_default();
    let parameters = text::parameters(spec).into_iter().map(|(key, stand_in)| {
        let value = known.get(&key).cloned().unwrap_or(stand_in);
        (key, value)
    });
    let wish = wish(shared, spec, parameters.collect())?;
    changes.extend(stack::changes(shared, &clients, &wish, live.as_ref()).await?);
    Ok(changes)
}

fn compare(stack: &Snapshot, blueprint: &str) -> Match {
    let is_made = stack.outputs.get("Blueprint").is_some_and(|made| made == blueprint);
    if is_made { Match::Same } else { Match::Different }
}

/// Everything that the stack's text leaves open: the foundation, leased numbers, what ECS runs.
async fn furnish(
    driver: &Driver<'_>,
    spec: &StageSpec,
    stack: Option<&Snapshot>,
) -> PortResult<Progress<BTreeMap<String, String>>> {
    let site = Site { stage: &spec.stage, place: &spec.place };
    let doors = places::doors_needed(driver.shared, spec).await?;
    let foundation = match foundation::ensure(driver, site, doors).await? {
        Progress::Done(foundation) => foundation,
        Progress::Pending { again_millis, note } => return Ok(Progress::Pending { again_millis, note }),
    };
    let Some(seats) = places::take(driver, spec, &foundation).await? else {
        // Every load balancer is full: one more, then look again.
        let more = u32::try_from(foundation.doors.len()).unwrap_or(u32::MAX).saturating_add(1);
        return Ok(match foundation::ensure(driver, site, more).await? {
            Progress::Done(_) => Progress::Pending { again_millis: 1_000, note: "one more load balancer".into() },
            Progress::Pending { again_millis, note } => Progress::Pending { again_millis, note },
        });
    };
    let live = live::read(driver, spec, stack, &foundation).await?;
    Ok(Progress::Done(parameters(driver.shared, spec, &foundation, &seats, &live)))
}

fn parameters(
    shared: &Shared,
    spec: &StageSpec,
    foundation: &Foundation,
    seats: &BTreeMap<ServiceName, Seat>,
    live: &BTreeMap<ServiceName, Live>,
) -> BTreeMap<String, String> {
    let mut values = text::parameters(spec);
    let mut set = |key: &str, value: &str| {
        // Only what the text asks for: CloudFormation refuses the rest.
        if let Some(slot) = values.get_mut(key) {
            value.clone_into(slot);
        }
    };
    set("Blueprint", &blueprint(shared, spec));
    set("Vpc", &foundation.vpc);
    set("Cluster", &foundation.cluster);
    set("ExecutionRole", &foundation.execution_role);
    set("TaskRole", &foundation.task_role);
    set("Subnets", &foundation.subnets);
    set("SecurityGroup", &foundation.security_group);
    set("PublicAddress", &foundation.public_address);
    set("HostedZone", foundation.hosted_zone.as_deref().unwrap_or_default());
    for service in &spec.services {
        let id = template::logical(service.name.as_str());
        if let Some(live) = live.get(&service.name) {
            set(&format!("{id}TaskDefinition"), &live.task_definition);
            set(&format!("{id}Copies"), live.copies);
            set(&format!("{id}Port"), &live.port);
        }
        if let Some(seat) = seats.get(&service.name) {
            set(&format!("{id}Listener"), &seat.listener);
            set(&format!("{id}Priority"), &seat.priority.to_string());
            set(&format!("{id}DoorName"), &seat.door_name);
            set(&format!("{id}DoorZone"), &seat.door_zone);
        }
    }
    values
}

fn wish(shared: &Shared, spec: &StageSpec, parameters: BTreeMap<String, String>) -> PortResult<Wish> {
    let is_ephemeral = spec.kind == StageKind::Ephemeral;
    Ok(Wish {
        name: shared.names.stage_stack(&spec.stage),
        template: text(shared, spec)?,
        parameters,
        tags: tags(shared, Site { stage: &spec.stage, place: &spec.place }),
        protection: if spec.kind == StageKind::Production { Protection::On } else { Protection::Off },
        pace: if is_ephemeral { Pace::Express } else { Pace::Standard },
        after_failure: AfterFailure::Stay,
    })
}

/// The same at every update: CloudFormation hands them down to every resource, so one that changed
/// would touch them all. What the stack was made from stands in its outputs.
pub(super) fn tags(shared: &Shared, site: Site<'_>) -> BTreeMap<String, String> {
    let Site { stage, place } = site;
    let kind = match place.kind {
        StageKind::Ephemeral => "ephemeral",
        StageKind::Permanent => "permanent",
        StageKind::Production => "production",
    };
    let pairs = [
        (TAG_OWNER, Some(shared.names.owner().to_owned())),
        (TAG_APP, place.app.as_ref().map(ToString::to_string)),
        (TAG_REPO, Some(stage.repo.to_string())),
        (TAG_STAGE, Some(stage.name.to_string())),
        (TAG_KIND, Some(kind.to_owned())),
        (TAG_BASE, place.base.clone()),
        (TAG_RETAIN, place.retain.then(|| "true".to_owned())),
    ];
    pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}
