//! How what serves of a stage is doing after its deploy.
//!
//! Guarantees: of a stage that is well ECS is asked once for ten services, and nothing else, and not at all a
//! moment after it was looked at; what looks otherwise is looked into, and why a task ended is found out
//! once; nothing here changes anything.

use std::sync::Arc;

use super::clients::Clients;
use super::rollout::{
    Life, Noted, Seen, Subject, TaskSeen, Why, calm, describe, doing, ended, is_lacking, is_silent, is_suspicious,
    read_log, serves, targets_of, told,
};
use super::stage_stack::{StageService, StageStack};
use super::{Shared, stage_stack};
use crate::model::{Condition, Conditions, Failure, FailureKind, ServiceName};
use crate::port::{PortResult, Site};

/// Source: ECS, `DescribeServices`: up to 10 services in one call.
const AT_ONCE: usize = 10;
/// Lines that a trouble shows.
const LINES: i32 = 20;

/// One service of a stage.
struct Work<'a> {
    shared: &'a Shared,
    clients: &'a Clients,
    site: Site<'a>,
    stack: &'a StageStack,
    service: &'a StageService,
    name: &'a ServiceName,
}

impl Work<'_> {
    /// A trouble is told also where it may not be read what there is to say of it.
    fn unless_refused<T: Default>(&self, what: &str, read: PortResult<T>) -> PortResult<T> {
        self.shared.said.unless_refused(&format!("{what} of `{}` of {}", self.name, self.site.stage), read)
    }
}

/// Every service that serves, with how it is doing. One on its way to another version is not among them.
pub(super) async fn conditions(shared: &Shared, site: Site<'_>) -> PortResult<Conditions> {
    let clients = &*shared.sessions.at(site).await?;
    let Some(stack) = stack_of(shared, site).await? else { return Ok(Conditions::new()) };
    let mut conditions = Conditions::new();
    let mut rest: Vec<(&ServiceName, &StageService)> = Vec::new();
    for (name, service) in &stack.services {
        match shared.rollouts.noted(site.stage, name).and_then(|noted| noted.if_fresh()) {
            Some(known) => conditions.extend([(name.clone(), known)]),
            None => rest.push((name, service)),
        }
    }
    for batch in rest.chunks(AT_ONCE) {
        let names: Vec<&str> = batch.iter().map(|(_, service)| service.service.as_str()).collect();
        let seen = describe(clients, &stack.cluster, &names).await?;
        for (&(name, service), seen) in batch.iter().zip(seen) {
            let Some(seen) = seen else {
                // What is remembered of the stack is not so any more.
                shared.rollouts.forget_stack(site.stage);
                continue;
            };
            let work = Work { shared, clients, site, stack: &stack, service, name };
            if !serves(&seen) || !is_lacking(&seen) {
                shared.rollouts.lacks_nothing(site.stage, name);
            }
            let condition = if serves(&seen) { of_service(&work, &seen).await? } else { None };
            conditions.extend(condition.map(|condition| (name.clone(), condition)));
        }
    }
    Ok(conditions)
}

/// What the stage's stack answered when it was last read: where its services are does not change by itself.
async fn stack_of(shared: &Shared, site: Site<'_>) -> PortResult<Option<Arc<StageStack>>> {
    if let Some(known) = shared.rollouts.any_stack_of(site.stage) {
        return Ok(Some(known));
    }
    let read = stage_stack::look(shared, site).await?.map(Arc::new);
    if let Some(stack) = &read {
        shared.rollouts.know_stack(site.stage, stack);
    }
    Ok(read)
}

async fn of_service(work: &Work<'_>, seen: &Seen) -> PortResult<Option<Condition>> {
    let (now, memory) = (work.shared.settings.clock.now(), &work.shared.rollouts);
    let before = memory.noted(work.site.stage, work.name);
    // An AWS that tells of no starts is asked what ended, but not at each look.
    let wants_ends = is_silent(seen) && !before.as_ref().is_some_and(Noted::is_asked);
    if !is_suspicious(seen, now) && !wants_ends {
        memory.note(work.site.stage, work.name, Noted::at_a_glance(calm(seen), before.as_ref()));
        return Ok(Some(calm(seen)));
    }
    let ended = ended(work.clients, &work.stack.cluster, &work.service.service, work.name).await?;
    let lacking = is_lacking(seen).then(|| memory.lacks(work.site.stage, work.name, now));
    let Some(doing) = doing(seen, &ended, lacking, now) else { return Ok(None) };
    let mut condition = doing.condition;
    let mut health = String::new();
    if let (true, Some(group)) = (condition.is_trouble(), &work.service.target_group) {
        let targets = targets_of(work.clients, group).await.map(Some);
        if let Some(targets) = work.unless_refused("the health of targets", targets)? {
            condition.well = condition.well.min(u32::try_from(targets.healthy).unwrap_or(u32::MAX));
            health = targets.complaint;
        }
    }
    condition.why = match doing.why {
        Why::Nothing => None,
        Why::Ended { task, cause } => Some(match work.shared.rollouts.end_of(&task.id) {
            Some(known) => known,
            None => find_out(work, task, |subject, log| told(&cause, subject, log, &health)).await?,
        }),
        Why::Sick { said } => Some(Failure::new(
            FailureKind::Unhealthy,
            format!("the health check of `{}` does not pass any more: {said}", work.name),
            "Its log says what it does; the load balancer asks it at `health.path`.",
        )),
        Why::Lacking { said } => Some(Failure::new(
            FailureKind::Environment,
            format!("ECS cannot run every copy of `{}`: {said}", work.name),
            "The sentence is AWS's own: it is most often a quota, a subnet or a lack of room.",
        )),
    };
    memory.note(work.site.stage, work.name, Noted::whole(condition.clone()));
    Ok(Some(condition))
}

/// Why a task ended, with the last lines that it printed. Once they have come, nothing changes any more.
async fn find_out(
    work: &Work<'_>,
    task: &TaskSeen,
    tell: impl FnOnce(&Subject<'_>, Vec<String>) -> Failure,
) -> PortResult<Failure> {
    let log = read_log(work.clients, &work.service.log_group, work.name, &task.id, LINES).await;
    let log = work.unless_refused("the log", log)?;
    let is_whole = !log.is_empty();
    let subject = Subject { name: work.name, life: Life::Serving, path: None, memory: task.memory };
    let failure = tell(&subject, log);
    if is_whole {
        work.shared.rollouts.learn_end(&task.id, &failure);
    }
    Ok(failure)
}

#[cfg(test)]
mod tests;
