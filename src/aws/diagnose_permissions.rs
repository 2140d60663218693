//! Whether an identity may do what Greenroom does, by IAM's own simulation.
//!
//! The simulation knows identity policies and boundaries; policies of the organization and of
//! resources it leaves out. Source: `SimulatePrincipalPolicy`.

use std::collections::BTreeMap;

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType};

use super::clients::Clients;
use super::credentials::principal;
use super::fault::fault;
use super::finding::Finding;
use super::names::TAG_OWNER;
use super::policy::{Group, Policy, When};
use super::policy_table::GROUPS;
use crate::port::PortResult;

/// Actions that are refused are listed up to this many.
const MOST_SHOWN: usize = 12;

/// Asks for every action of the policies.
pub(super) async fn ask(clients: &Clients, name: &str, policies: &[Policy], check: &str) -> PortResult<Vec<Finding>> {
    let Some(principal) = whole_principal(clients).await else {
        return Ok(vec![Finding::ok(check, "the account's root may do everything")]);
    };
    let mut refused: BTreeMap<&'static str, Vec<&'static str>> = BTreeMap::new();
    let mut asked = 0;
    for group in GROUPS.iter().filter(|group| policies.contains(&group.policy)) {
        asked += group.actions.len();
        let missing = simulate(clients, &principal, group, name).await?;
        if !missing.is_empty() {
            refused.insert(group.sid, missing);
        }
    }
    Ok(vec![judge(check, asked, &refused)])
}

fn judge(check: &str, asked: usize, refused: &BTreeMap<&'static str, Vec<&'static str>>) -> Finding {
    let all: Vec<&str> = refused.values().flatten().copied().collect();
    if all.is_empty() {
        return Finding::ok(check, format!("all {asked} that are needed"));
    }
    let shown = all.iter().take(MOST_SHOWN).copied().collect::<Vec<_>>().join(", ");
    let more = if all.len() > MOST_SHOWN { format!(" and {} more", all.len() - MOST_SHOWN) } else { String::new() };
    let sids = refused.keys().copied().collect::<Vec<_>>().join(", ");
    let fix = format!("attach the statements {sids} of `greenroom doctor --policy`");
    Finding::fail(check, format!("{} of {asked} are missing: {shown}{more}", all.len()), fix)
}

/// The role or user with its path, which an assumed role's identity leaves out.
async fn whole_principal(clients: &Clients) -> Option<String> {
    let short = principal(&clients.identity)?;
    let Some((_, role)) = short.split_once(":role/") else { return Some(short) };
    let found = clients.iam.get_role().role_name(role).send().await.ok();
    Some(found.and_then(|found| Some(found.role()?.arn().to_owned())).unwrap_or(short))
}

/// The group's actions that are allowed on none of its resources.
async fn simulate(clients: &Clients, principal: &str, group: &Group, name: &str) -> PortResult<Vec<&'static str>> {
    let mut missing = group.actions.to_vec();
    for pattern in group.resources {
        let request = clients.iam.simulate_principal_policy().policy_source_arn(principal).max_items(1000);
        let request = request
            .set_action_names(Some(missing.iter().map(|action| (*action).to_owned()).collect()))
            .resource_arns(sample(pattern, clients, name))
            .set_context_entries(Some(context(group.when, name)));
        let answer = request.send().await.map_err(|error| fault("iam:SimulatePrincipalPolicy", error))?;
        let allowed = |action: &str| {
            let mut results = answer.evaluation_results().iter();
            results.any(|result| {
                result.eval_action_name() == action && *result.eval_decision() == PolicyEvaluationDecisionType::Allowed
            })
        };
        missing.retain(|action| !allowed(action));
        if missing.is_empty() {
            break;
        }
    }
    Ok(missing)
}

/// A thing that the pattern matches.
fn sample(pattern: &str, clients: &Clients, name: &str) -> String {
    let pattern = pattern.replace("{name}", name);
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts.as_slice() else { return pattern };
    let or = |part: &str, value: &str| if part == "*" { value.to_owned() } else { part.to_owned() };
    let (region, account) = (or(region, &clients.region), or(account, &clients.account));
    format!("{arn}:{partition}:{service}:{region}:{account}:{}", resource.replace('*', "doctor"))
}

/// What holds when the action is really taken.
fn context(when: When, name: &str) -> Vec<ContextEntry> {
    let entry = |key: String, value: &str| {
        let entry = ContextEntry::builder().context_key_name(key).context_key_values(value);
        entry.context_key_type(ContextKeyTypeEnum::String).build()
    };
    match when {
        When::Always => Vec::new(),
        When::Ours => vec![entry(format!("aws:ResourceTag/{TAG_OWNER}"), name)],
        When::Making(key) => {
            vec![entry(key.into(), "Create"), entry(format!("aws:RequestTag/{TAG_OWNER}"), name)]
        }
        When::ToTasks => vec![entry("iam:PassedToService".into(), "ecs-tasks.amazonaws.com")],
        When::OwnRoleOf(services) => {
            services.first().map(|service| entry("iam:AWSServiceName".into(), service)).into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::finding::Health;

    #[test]
    fn what_is_refused_is_listed_with_its_statement() {
        assert_eq!(judge("permissions", 7, &BTreeMap::new()).health, Health::Ok);
        let refused = [("Images", vec!["ecr:PutImage"]), ("Logs", vec!["logs:TagResource"; 20])].into();
        let found = judge("permissions", 30, &refused);
        assert_eq!(found.health, Health::Fail);
        assert!(found.seen.starts_with("21 of 30 are missing: ecr:PutImage,"), "{}", found.seen);
        assert!(found.seen.ends_with("and 9 more"), "{}", found.seen);
        assert!(found.fix.unwrap().contains("Images, Logs"));
    }
}
