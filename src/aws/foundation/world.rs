//! What `greenroom doctor` asks AWS about: the foundation that is there.

use super::super::Shared;
use super::super::clients::Clients;
use super::super::marks::{Marks, Whose};
use super::super::policy_world::World;
use super::super::stack::{self, Snapshot};
use super::{Foundation, hosted_zone};
use crate::model::Dns;
use crate::port::{PortResult, Site};

/// What calls for the stage meet: its foundation as it is, or as it will be.
pub(in crate::aws) async fn world(shared: &Shared, clients: &Clients, site: Site<'_>) -> PortResult<World> {
    let mut world = World::unmade(&shared.names, site.stage, site.place, &clients.region, &clients.account);
    world.boundary.clone_from(&shared.settings.permissions_boundary);
    let domain = site.place.domain.as_ref().filter(|domain| domain.dns == Dns::Route53);
    if let Some(domain) = domain {
        // That there is no zone is told by who looks at the zone.
        if let Ok(found) = hosted_zone(clients, &domain.zone).await {
            world.hosted_zone = found;
        }
    }
    let marks = Marks::of_foundation(&shared.names, site);
    let is_known = |stack: &Snapshot| stack.is_settled() && marks.whose(&stack.tags) == Whose::Own;
    let stack = stack::describe(clients, &world.foundation).await?.filter(is_known);
    let Some(stack) = stack else { return Ok(world) };
    // One that the repository has no roles on yet gives it some with the first stage.
    let Ok(made) = Foundation::read(&stack, site) else { return Ok(world) };
    world.is_made = true;
    world.cluster = made.cluster;
    world.roles = vec![made.execution_role, made.task_role];
    if let Some(door) = made.doors.into_iter().next() {
        world.load_balancer = door.balancer;
        world.listener = door.https.unwrap_or(door.http);
    }
    Ok(world)
}
