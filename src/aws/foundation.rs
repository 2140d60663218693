//! What stages share: network, load balancers, certificates and records, cluster, roles.
//!
//! Guarantees: it is made when the first stage needs it, by whichever lane comes first; a foundation
//! that exists is changed by a stage only to add a zone or a load balancer, also when a newer
//! Greenroom has another template. What it was made from stands in its outputs, so that whoever
//! extends it, from whichever repository, keeps what the others need.

mod desk;
#[cfg(test)]
mod tests;
mod world;

pub(super) use desk::{deploy, destroy, missing, plan};
pub(super) use world::world;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::clients::Clients;
use super::names::{TAG_ACCESS, TAG_OWNER};
use super::settings::NatGateways;
use super::stack::{self, AfterFailure, Driver, Match, Pace, Protection, Snapshot, Step, Wish};
use super::{Shared, prepare, template};
use crate::model::{Dns, FailureKind, Place, StageKind};
use crate::port::{PortError, PortResult, Progress, Site};

/// Rules and target groups of one load balancer that stages may take. AWS allows 100 of each, not
/// adjustable for target groups. Source: quotas of Application Load Balancers.
pub(super) const PLACES_PER_DOOR: u32 = 95;

/// What a foundation was made from, as it stands in its output `Remembered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// Whose secrets its programs may read: `previews`, or the stage's name.
    access: String,
    nat: u8,
    boundary: Option<String>,
    /// Where its roles lie, apart from those that are made by hand. An older foundation's lie among
    /// them and stay there: a role that is moved is another role, and what runs has this one.
    #[serde(default)]
    role_path: Option<String>,
    protect: bool,
    /// Whether the base itself leads here, not only the names below it.
    root: bool,
    pub(super) doors: u32,
    /// The first one's certificate is the listener's own, so the order stays.
    zones: Vec<Zone>,
}

/// Names under which stages answer.
#[expect(clippy::struct_field_names, reason = "as the configuration and Route 53 call them")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Zone {
    base: String,
    zone: String,
    dns: Dns,
    /// Given by the user; else one is made where the DNS is known.
    certificate: Option<String>,
    /// Route 53's id of the zone.
    hosted_zone: Option<String>,
}

impl Zone {
    fn is_certified(&self) -> bool {
        self.certificate.is_some() || self.dns != Dns::None
    }

    /// Whether what is there does for what is wanted. A zone that needs no certificate is served by
    /// one that has one, so that two repositories do not undo each other's.
    fn does_for(&self, wanted: &Self) -> bool {
        let same = self.dns == wanted.dns && self.certificate == wanted.certificate;
        self.base == wanted.base && (same || !wanted.is_certified())
    }
}

impl Remembered {
    fn new(shared: &Shared, site: Site<'_>, doors: u32) -> Self {
        let settings = &shared.settings;
        let is_permanent = site.place.kind != StageKind::Ephemeral;
        Self {
            access: if is_permanent { site.stage.name.to_string() } else { "previews".to_owned() },
            nat: match settings.nat_gateways {
                NatGateways::None => 0,
                NatGateways::One => 1,
                NatGateways::Two => 2,
            },
            boundary: settings.permissions_boundary.clone(),
            role_path: Some(shared.names.role_path(site.stage, site.place)),
            protect: site.place.kind == StageKind::Production,
            root: is_permanent,
            doors,
            zones: zone_of(site.place).into_iter().collect(),
        }
    }

    fn of(stack: &Snapshot) -> Option<Self> {
        stack.outputs.get("Remembered").and_then(|text| serde_json::from_str(text).ok())
    }

    fn does_for(&self, wanted: &Self) -> bool {
        let has = |wanted: &Zone| self.zones.iter().any(|zone| zone.does_for(wanted));
        self.doors >= wanted.doors && wanted.zones.iter().all(has)
    }

    /// Both, with the settings of `self`.
    fn with(mut self, wanted: &Self) -> Self {
        self.doors = self.doors.max(wanted.doors);
        for wanted in &wanted.zones {
            match self.zones.iter_mut().find(|zone| zone.base == wanted.base) {
                Some(zone) if zone.does_for(wanted) => {}
                Some(zone) => zone.clone_from(wanted),
                None => self.zones.push(wanted.clone()),
            }
        }
        self
    }

    /// Itself as it is wanted now, with the zones and load balancers that it has already, and its
    /// roles where they are.
    fn renewed(self, wanted: Self) -> Self {
        let live = self.with(&wanted);
        Self { doors: live.doors, zones: live.zones, role_path: live.role_path, ..wanted }
    }

    fn render(&self, owner: &str) -> PortResult<String> {
        let zones: Vec<_> = self.zones.iter().map(|zone| self.zone_context(zone)).collect();
        let certificates: Vec<_> = self.zones.iter().filter(|zone| zone.is_certified()).map(certificate).collect();
        template::foundation(&json!({
            "owner": owner,
            "access": self.access,
            "access_tag": TAG_ACCESS,
            "nat": self.nat,
            "boundary": self.boundary,
            "role_path": self.role_path,
            "protect": self.protect.to_string(),
            "doors": (1..=self.doors).collect::<Vec<_>>(),
            "zones": zones,
            "certified": !certificates.is_empty(),
            "certificates": certificates,
            "template": template::foundation_version(),
            "remembered": serde_json::to_string(self).map_err(|error| PortError::bug("cannot write a foundation's memory", error))?,
        }))
    }

    fn zone_context(&self, zone: &Zone) -> serde_json::Value {
        let wildcard = format!("*.{}", zone.base);
        let root = Some(zone.base.clone()).filter(|_| self.root);
        json!({
            "id": template::short_hash(&zone.base),
            "base": zone.base,
            "makes_certificate": zone.certificate.is_none() && zone.is_certified(),
            "hosted_zone": zone.hosted_zone,
            "records": root.into_iter().chain([wildcard]).collect::<Vec<_>>(),
        })
    }
}

/// As the listeners name it.
fn certificate(zone: &Zone) -> serde_json::Value {
    let id = template::short_hash(&zone.base);
    let made = format!("!Ref Certificate{id}");
    json!({ "id": id, "reference": zone.certificate.clone().unwrap_or(made) })
}

fn zone_of(place: &Place) -> Option<Zone> {
    let (domain, base) = place.domain.as_ref().zip(place.base.as_ref())?;
    Some(Zone {
        base: base.clone(),
        zone: domain.zone.clone(),
        dns: domain.dns,
        certificate: domain.certificate.clone(),
        hosted_zone: None,
    })
}

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
    fn read(stack: &Snapshot, place: &Place) -> PortResult<Self> {
        let get = |key: &str| stack.output(key).map(str::to_owned);
        let remembered = Remembered::of(stack).ok_or_else(|| not_ours(stack))?;
        let zone = place.base.as_ref().and_then(|base| remembered.zones.iter().find(|zone| zone.base == *base));
        let doors = (1..=remembered.doors).map(|number| door(stack.output(&format!("Door{number}"))?));
        Ok(Self {
            vpc: get("Vpc")?,
            cluster: get("Cluster")?,
            execution_role: get("ExecutionRole")?,
            task_role: get("TaskRole")?,
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

/// Makes the foundation, or adds to it what this stage needs: its zone, and so many load balancers.
pub(super) async fn ensure(driver: &Driver<'_>, site: Site<'_>, doors: u32) -> PortResult<Progress<Foundation>> {
    let name = driver.shared.names.foundation_stack(site.stage, site.place);
    let wanted = Remembered::new(driver.shared, site, doors);
    let is_same = |stack: &Snapshot| match Remembered::of(stack) {
        Some(remembered) if remembered.does_for(&wanted) => Match::Same,
        _ => Match::Different,
    };
    let step = match driver.look(&name, is_same).await? {
        Step::Create => {
            let wanted = with_hosted_zones(driver, wanted).await?;
            driver.create(&wish(driver.shared, site, &wanted)?).await?
        }
        Step::Update(stack) => {
            let live = Remembered::of(&stack).ok_or_else(|| not_ours(&stack))?;
            let wish = extended(driver, site, &stack, live, &wanted).await?;
            driver.update(&wish, stack).await?
        }
        step => step,
    };
    match step {
        Step::Done(stack) => Ok(Progress::Done(Foundation::read(&stack, site.place)?)),
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
