//! How much of the quotas is used that previews use up first.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::TargetGroup;

use super::clients::Clients;
use super::diagnose::told;
use super::fault::fault;
use super::finding::{Finding, usage};
use crate::port::PortResult;

/// vCPUs of on-demand tasks at a time. Source: Service Quotas, service `fargate`.
const FARGATE: [(&str, &str); 2] = [("L-3032A538", "Fargate vCPUs"), ("L-36FBB829", "Fargate Spot vCPUs")];
/// The smallest task has a quarter of one.
const TASKS_PER_VCPU: f64 = 4.0;
/// What a new account may get, and what a handful of previews needs.
const FEW_VCPUS: f64 = 6.0;

pub(super) async fn ask(clients: &Clients) -> Vec<Finding> {
    let mut found = told("quota: stacks", async || stacks(clients).await).await;
    found.extend(told("quota: load balancers", async || load_balancers(clients).await).await);
    found.extend(told("quota: Fargate vCPUs", async || fargate(clients).await).await);
    found
}

async fn stacks(clients: &Clients) -> PortResult<Vec<Finding>> {
    let limits = clients.cloudformation.describe_account_limits().send().await;
    let limits = limits.map_err(|error| fault("cloudformation:DescribeAccountLimits", error))?;
    let limit = limits.account_limits().iter().find(|limit| limit.name() == Some("StackLimit"));
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit.value()?).ok()) else { return Ok(Vec::new()) };
    let mut pages = clients.cloudformation.describe_stacks().into_paginator().send();
    let mut used = 0;
    while let Some(page) = pages.next().await {
        used += page.map_err(|error| fault("cloudformation:DescribeStacks", error))?.stacks().len();
    }
    let raise = "destroy stages that nobody needs, or ask for more stacks in Service Quotas, service `cloudformation`";
    Ok(vec![usage("stacks", used, limit, raise)])
}

/// The names of `DescribeAccountLimits`.
async fn load_balancers(clients: &Clients) -> PortResult<Vec<Finding>> {
    let limits = clients.elb.describe_account_limits().page_size(400).send().await;
    let limits = limits.map_err(|error| fault("elasticloadbalancing:DescribeAccountLimits", error))?;
    let limit = |name: &str| {
        let found = limits.limits().iter().find(|limit| limit.name() == Some(name))?;
        found.max().and_then(|max| max.parse::<usize>().ok())
    };
    let mut balancers = 0;
    let mut pages = clients.elb.describe_load_balancers().page_size(400).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| fault("elasticloadbalancing:DescribeLoadBalancers", error))?;
        balancers += page.load_balancers().len();
    }
    let (groups, of_one) = target_groups(clients).await?;
    let rules = match &of_one {
        Some((balancer, _)) => rules(clients, balancer).await?,
        None => 0,
    };
    let of_one = of_one.map_or(0, |(_, groups)| groups);
    let raise = "destroy stages that nobody needs, or ask for more in Service Quotas, service `elasticloadbalancing`";
    let taken = "nothing: a further load balancer is made when this one is full";
    let rows = [
        ("load balancers", balancers, limit("application-load-balancers"), raise),
        ("target groups", groups, limit("target-groups"), raise),
        (
            "target groups of the fullest load balancer",
            of_one,
            limit("target-groups-per-application-load-balancer"),
            taken,
        ),
        ("rules of the fullest load balancer", rules, limit("rules-per-application-load-balancer"), taken),
    ];
    let known = rows.into_iter().filter_map(|(what, used, limit, raise)| Some(usage(what, used, limit?, raise)));
    Ok(known.collect())
}

/// How many there are, and the load balancer that has most of them.
async fn target_groups(clients: &Clients) -> PortResult<(usize, Option<(String, usize)>)> {
    let (mut all, mut by_balancer) = (0, BTreeMap::<String, usize>::new());
    let mut pages = clients.elb.describe_target_groups().page_size(400).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| fault("elasticloadbalancing:DescribeTargetGroups", error))?;
        all += page.target_groups().len();
        for balancer in page.target_groups().iter().flat_map(TargetGroup::load_balancer_arns) {
            *by_balancer.entry(balancer.clone()).or_default() += 1;
        }
    }
    Ok((all, by_balancer.into_iter().max_by_key(|(_, groups)| *groups)))
}

/// The rules of all listeners of a load balancer, without their default ones, which are not counted.
async fn rules(clients: &Clients, balancer: &str) -> PortResult<usize> {
    let listeners = clients.elb.describe_listeners().load_balancer_arn(balancer).send().await;
    let listeners = listeners.map_err(|error| fault("elasticloadbalancing:DescribeListeners", error))?;
    let mut rules = 0;
    for listener in listeners.listeners().iter().filter_map(|listener| listener.listener_arn()) {
        let answer = clients.elb.describe_rules().listener_arn(listener).page_size(400).send().await;
        let answer = answer.map_err(|error| fault("elasticloadbalancing:DescribeRules", error))?;
        rules += answer.rules().iter().filter(|rule| rule.is_default() != Some(true)).count();
    }
    Ok(rules)
}

async fn fargate(clients: &Clients) -> PortResult<Vec<Finding>> {
    let answer = clients.quotas.list_service_quotas().service_code("fargate").send().await;
    let answer = answer.map_err(|error| fault("servicequotas:ListServiceQuotas", error))?;
    let value = |code: &str| answer.quotas().iter().find(|quota| quota.quota_code() == Some(code))?.value();
    Ok(FARGATE.iter().filter_map(|(code, what)| Some(vcpus(what, value(code)?))).collect())
}

fn vcpus(what: &str, limit: f64) -> Finding {
    let check = format!("quota: {what}");
    let seen = format!("{limit} at a time, enough for {} of the smallest tasks", limit * TASKS_PER_VCPU);
    if limit < FEW_VCPUS {
        return Finding::warn(check, seen, "ask for more in Service Quotas, service `fargate`");
    }
    Finding::ok(check, seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::finding::Health;

    #[test]
    fn few_vcpus_are_a_warning() {
        assert_eq!(vcpus("Fargate vCPUs", 2.0).health, Health::Warn);
        let found = vcpus("Fargate vCPUs", 6.0);
        assert_eq!(
            (found.health, found.seen.as_str()),
            (Health::Ok, "6 at a time, enough for 24 of the smallest tasks")
        );
    }
}
