//! What stages share: network, load balancers, certificates and records, cluster, roles.
//!
//! Guarantees: it is made when the first stage needs it, by whichever lane comes first; a foundation
//! that exists is changed by a stage only to add a zone or a load balancer, also when a newer
//! Greenroom has another template. What it was made from stands in its outputs, so that whoever
//! extends it, from whichever repository, keeps what the others need.

mod desk;
mod remembered;
mod report;
#[cfg(test)]
mod tests;
mod world;

pub(super) use desk::{deploy, destroy, missing, plan};
pub(super) use report::report;
pub(super) use world::world;

use remembered::{Remembered, Zone};

use super::clients::Clients;
use super::marks::Marks;
use super::names::TAG_OWNER;
use super::stack::{self, AfterFailure, Driver, Match, Pace, Protection, Snapshot, Step, Wish};
use super::{Shared, prepare, template};
use crate::model::{Dns, FailureKind, StageKind};
use crate::port::{PortError, PortResult, Progress, Site};

/// Rules and target groups of one load balancer that stages may take. AWS allows 100 of each, not
/// adjustable for target groups. Source: quotas of Application Load Balancers.
pub(super) const PLACES_PER_DOOR: u32 = 95;

/// What a stage takes from its foundation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Foundation {
    pub(super) vpc: String,
    pub(super) cluster: String,
    pub(super) execution_role: String,
    pub(super) task_role: String,
    /// With commas.
    pub(super) subnets: String,
    pub(super) security_group: String,
    /// `ENABLED` or `DISABLED`.
    pub(super) public_address: String,
    pub(super) doors: Vec<Door>,
    pub(super) hosted_zone: Option<String>,
}

/// A load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Door {
    /// ARN.
    balancer: String,
    pub(super) dns_name: String,
    /// Route 53's id for aliases to it.
    pub(super) dns_zone: String,
    pub(super) http: String,
    pub(super) https: Option<String>,
}

impl Foundation {
    fn read(stack: &Snapshot, Site { stage, place }: Site<'_>) -> PortResult<Self> {
        let get = |key: &str| stack.output(key).map(str::to_owned);
        let remembered = Remembered::of(stack).ok_or_else(|| not_ours(stack))?;
        let zone = place.base.as_ref().and_then(|base| remembered.zones.iter().find(|zone| zone.base == *base));
        let (execution_role, task_role) = match place.kind {
            StageKind::Ephemeral => {
                let roles = get(&format!("Roles{}", template::long_hash(stage.repo.as_str())))?;
                let (execution, task) = roles.split_once(',').unwrap_or((roles.as_str(), ""));
                (execution.to_owned(), task.to_owned())
            }
            StageKind::Permanent | StageKind::Production => (get("ExecutionRole")?, get("TaskRole")?),
        };
        let doors = (1..=remembered.doors).map(|number| door(stack.output(&format!("Door{number}"))?));
        Ok(Self {
            vpc: get("Vpc")?,
            cluster: get("Cluster")?,
            execution_role,
            task_role,
            subnets: get("Subnets")?,
            security_group: get("SecurityGroup")?,
            public_address: get("PublicAddress")?,
            doors: doors.collect::<PortResult<_>>()?,
            hosted_zone: zone.and_then(|zone| zone.hosted_zone.clone()),
        })
    }
}

fn door(text: &str) -> PortResult<Door> {
    let parts: Vec<&str> = text.split(',').collect();
    let [balancer, dns_name, dns_zone, http, https @ ..] = &parts[..] else {
        return Err(PortError::Bug { context: format!("a load balancer's output reads {text}"), source: None });
    };
    Ok(Door {
        balancer: (*balancer).to_owned(),
        dns_name: (*dns_name).to_owned(),
        dns_zone: (*dns_zone).to_owned(),
        http: (*http).to_owned(),
        https: https.first().map(|arn| (*arn).to_owned()),
    })
}

fn not_ours(stack: &Snapshot) -> PortError {
    PortError::failed(
        FailureKind::Environment,
        format!("the stack {} has the name of a foundation, but it was not made by Greenroom", stack.name),
        "Rename or remove that stack, or give this Greenroom another name with GREENROOM_AWS_NAME.",
    )
}

fn contested(zone: &Zone) -> PortError {
    PortError::failed(
        FailureKind::Environment,
        format!(
            "the zone {} stands here already with another certificate or `dns`, set up by somebody else",
            zone.base
        ),
        "Say the same under `domain`, or use another zone; who runs Greenroom changes it by `greenroom foundation deploy`.",
    )
}

/// Makes the foundation, or adds to it what this stage needs: its zone, and so many load balancers.
pub(super) async fn ensure(driver: &Driver<'_>, site: Site<'_>, doors: u32) -> PortResult<Progress<Foundation>> {
    let name = driver.shared.names.foundation_stack(site.stage, site.place);
    let wanted = Remembered::new(driver.shared, site, doors);
    let marks = Marks::of_foundation(&driver.shared.names, site);
    let is_same = |stack: &Snapshot| match Remembered::of(stack) {
        Some(remembered) if remembered.does_for(&wanted) => Match::Has,
        _ => Match::Lacks,
    };
    let step = match driver.look(&name, &marks, is_same).await? {
        Step::Create => {
            let wanted = with_hosted_zones(driver, wanted).await?;
            driver.create(&wish(driver.shared, site, &wanted)?).await?
        }
        Step::Update(stack) => {
            let live = Remembered::of(&stack).ok_or_else(|| not_ours(&stack))?;
            if let Some(zone) = live.contested(&wanted) {
                return Err(contested(zone));
            }
            let wish = extended(driver, site, &stack, live, &wanted).await?;
            driver.update(&wish, stack).await?
        }
        step => step,
    };
    match step {
        Step::Done(stack) => Ok(Progress::Done(Foundation::read(&stack, site)?)),
        Step::Pending { again_millis, note } => Ok(pending(again_millis, &note)),
        Step::Create | Step::Update(_) => Ok(pending(1_000, "CloudFormation begins")),
    }
}

/// The foundation with what is wanted besides, and otherwise as it was made.
async fn extended(
    driver: &Driver<'_>,
    site: Site<'_>,
    stack: &Snapshot,
    live: Remembered,
    wanted: &Remembered,
) -> PortResult<Wish> {
    let wanted = with_hosted_zones(driver, live.with(wanted)).await?;
    let mut wish = wish(driver.shared, site, &wanted)?;
    if stack.output("Template")? != template::foundation_version() {
        let live = stack::live_template(driver.clients, &stack.id).await?;
        wish.template = template::extend(&live, &wish.template)?;
    }
    Ok(wish)
}

fn pending<T>(again_millis: i64, note: &str) -> Progress<T> {
    Progress::Pending { again_millis, note: format!("the foundation: {note}") }
}

fn wish(shared: &Shared, site: Site<'_>, remembered: &Remembered) -> PortResult<Wish> {
    let owner = shared.names.owner();
    let is_shared = site.place.kind == StageKind::Ephemeral;
    let tags = if is_shared { [(TAG_OWNER.to_owned(), owner.to_owned())].into() } else { prepare::tags(shared, site) };
    Ok(Wish {
        name: shared.names.foundation_stack(site.stage, site.place),
        template: remembered.render(owner)?,
        parameters: [].into(),
        tags,
        protection: if remembered.protect { Protection::On } else { Protection::Off },
        // Stages need all of it ready, and other stages live on it: it waits, and rolls back.
        pace: Pace::Standard,
        after_failure: AfterFailure::Back,
    })
}

/// The text of a stage's foundation, with a stand-in for what only AWS knows.
pub(super) fn text(shared: &Shared, site: Site<'_>) -> PortResult<String> {
    let mut remembered = Remembered::new(shared, site, 1);
    for zone in remembered.zones.iter_mut().filter(|zone| zone.dns == Dns::Route53) {
        zone.hosted_zone = Some("Z0123456789ABCDEFGHIJ".to_owned());
    }
    remembered.render(shared.names.owner())
}

/// Fills in Route 53's ids. A zone that nobody delegated would leave the certificate pending for ever.
async fn with_hosted_zones(driver: &Driver<'_>, mut remembered: Remembered) -> PortResult<Remembered> {
    for zone in &mut remembered.zones {
        if zone.dns == Dns::Route53 && zone.hosted_zone.is_none() {
            zone.hosted_zone = Some(hosted_zone(driver.clients, &zone.zone).await?);
        }
    }
    Ok(remembered)
}

async fn hosted_zone(clients: &Clients, zone: &str) -> PortResult<String> {
    let request = clients.route53.list_hosted_zones_by_name().dns_name(zone).max_items(10);
    let answer = request.send().await.map_err(|error| super::fault::fault("route53:ListHostedZonesByName", error))?;
    let is_it = |found: &&aws_sdk_route53::types::HostedZone| {
        let is_private = found.config().is_some_and(aws_sdk_route53::types::HostedZoneConfig::private_zone);
        found.name().trim_end_matches('.') == zone && !is_private
    };
    let found = answer.hosted_zones().iter().find(is_it);
    // `/hostedzone/Z1` in answers, `Z1` in templates.
    let id = found.map(|found| found.id().rsplit('/').next().unwrap_or_default().to_owned());
    id.ok_or_else(|| {
        PortError::failed(
            FailureKind::Environment,
            format!("Route 53 of account {} has no public hosted zone {zone}", clients.account),
            "Make the zone there and delegate it, or set `domain.dns` to who serves it.",
        )
    })
}
