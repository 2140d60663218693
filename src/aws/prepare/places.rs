//! Numbers of listener rules: which load balancer a service is behind, and with which priority.
//!
//! A number from 1 up stands for both: the first 95 are the first load balancer's. It is leased by
//! the service's name, so that a service keeps its load balancer for life; a target group cannot
//! move to another.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Shared;
use super::super::fault::fault;
use super::super::foundation::{Door, Foundation, PLACES_PER_DOOR};
use super::super::stack::Driver;
use super::text::is_certified;
use crate::model::{ServiceName, ServiceSpec, StageId, StageSpec};
use crate::port::{PortError, PortResult};

/// A service's place behind a load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) listener: String,
    pub(super) priority: u32,
    /// Empty at the first load balancer, where the wildcard leads already.
    pub(super) door_name: String,
    pub(super) door_zone: String,
}

/// The load balancer, counted from 0, and the priority of a number.
fn place(number: u32) -> (usize, u32) {
    let index = number.saturating_sub(1);
    (usize::try_from(index / PLACES_PER_DOOR).unwrap_or(usize::MAX), index % PLACES_PER_DOOR + 1)
}

fn holder(stage: &StageId, service: &ServiceName) -> String {
    format!("{stage}/{service}")
}

fn pool(shared: &Shared, spec: &StageSpec) -> String {
    shared.names.foundation_stack(&spec.stage, &spec.place)
}

fn public(spec: &StageSpec) -> impl Iterator<Item = (&ServiceSpec, &str)> {
    spec.services.iter().filter_map(|service| Some((service, service.host.as_deref()?)))
}

async fn leased(shared: &Shared, spec: &StageSpec) -> PortResult<BTreeMap<String, u32>> {
    let slots = shared.settings.slots.slots(&pool(shared, spec)).await?;
    Ok(slots.into_iter().map(|(number, holder)| (holder, number)).collect())
}

/// How many load balancers the stage's leased numbers ask for; one at least.
pub(super) async fn doors_needed(shared: &Shared, spec: &StageSpec) -> PortResult<u32> {
    let leased = leased(shared, spec).await?;
    let numbers = public(spec).filter_map(|(service, _)| leased.get(&holder(&spec.stage, &service.name)));
    Ok(numbers.max().map_or(1, |number| number.div_ceil(PLACES_PER_DOOR)))
}

/// A place for each service with an address; `None` when every load balancer is full.
pub(super) async fn take(
    driver: &Driver<'_>,
    spec: &StageSpec,
    foundation: &Foundation,
) -> PortResult<Option<BTreeMap<ServiceName, Seat>>> {
    let (slots, pool) = (&driver.shared.settings.slots, pool(driver.shared, spec));
    let last = PLACES_PER_DOOR.saturating_mul(u32::try_from(foundation.doors.len()).unwrap_or(u32::MAX));
    if public(spec).next().is_none() {
        return Ok(Some(BTreeMap::new()));
    }
    let taken = rules(driver, spec, foundation).await?;
    let leased = leased(driver.shared, spec).await?;
    let mut seats = BTreeMap::new();
    for (service, host) in public(spec) {
        let holder = holder(&spec.stage, &service.name);
        let held = leased.get(&holder).and_then(|number| taken.get(number));
        if held.is_some_and(|hosts| !hosts.contains(host)) {
            // Somebody else's rule has our number, made by hand or by another Greenroom.
            slots.free_slot(&pool, &holder).await?;
        }
        let avoid: BTreeSet<u32> =
            taken.iter().filter(|(_, hosts)| !hosts.contains(host)).map(|(number, _)| *number).collect();
        let Some(number) = slots.take_slot(&pool, &holder, &avoid, last).await? else { return Ok(None) };
        seats.insert(service.name.clone(), seat(number, spec, foundation)?);
    }
    Ok(Some(seats))
}

fn seat(number: u32, spec: &StageSpec, foundation: &Foundation) -> PortResult<Seat> {
    let (index, priority) = place(number);
    let door = foundation.doors.get(index);
    let found = door.and_then(|door| Some((door, listener(door, spec)?)));
    let (door, listener) = found.ok_or_else(|| PortError::Bug {
        context: format!("the foundation has no listener for the number {number}"),
        source: None,
    })?;
    let own = |text: &str| if index == 0 { String::new() } else { text.to_owned() };
    Ok(Seat { listener, priority, door_name: own(&door.dns_name), door_zone: own(&door.dns_zone) })
}

fn listener(door: &Door, spec: &StageSpec) -> Option<String> {
    if is_certified(spec) { door.https.clone() } else { Some(door.http.clone()) }
}

/// The hosts of each rule that exists, by the number that stands for it.
async fn rules(
    driver: &Driver<'_>,
    spec: &StageSpec,
    foundation: &Foundation,
) -> PortResult<BTreeMap<u32, BTreeSet<String>>> {
    let mut found: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (index, door) in (0_u32..).zip(&foundation.doors) {
        let Some(listener) = listener(door, spec) else { continue };
        let mut pages = driver.clients.elb.describe_rules().listener_arn(listener).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| fault("elasticloadbalancing:DescribeRules", error))?;
            for rule in page.rules() {
                // `default` is none of ours.
                let Some(priority) = rule.priority().and_then(|text| text.parse::<u32>().ok()) else { continue };
                if priority <= PLACES_PER_DOOR {
                    found.entry(index * PLACES_PER_DOOR + priority).or_default().extend(hosts(rule));
                }
            }
        }
    }
    Ok(found)
}

fn hosts(rule: &aws_sdk_elasticloadbalancingv2::types::Rule) -> Vec<String> {
    let of_condition = |condition: &aws_sdk_elasticloadbalancingv2::types::RuleCondition| {
        let values = condition.host_header_config().map(|config| config.values().to_vec());
        values.unwrap_or_else(|| condition.values().to_vec())
    };
    rule.conditions().iter().flat_map(of_condition).collect()
}

/// Gives back the numbers of services that the stage no longer has.
pub(super) async fn free_dropped(shared: &Shared, spec: &StageSpec) -> PortResult<()> {
    let pool = pool(shared, spec);
    let prefix = format!("{}/", spec.stage);
    let kept: BTreeSet<String> = public(spec).map(|(service, _)| holder(&spec.stage, &service.name)).collect();
    for holder in leased(shared, spec).await?.into_keys() {
        if holder.starts_with(&prefix) && !kept.contains(&holder) {
            shared.settings.slots.free_slot(&pool, &holder).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_a_load_balancer_and_a_priority() {
        assert_eq!([1, 95, 96, 190, 191].map(place), [(0, 1), (0, 95), (1, 1), (1, 95), (2, 1)]);
    }
}
