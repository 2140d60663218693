//! Whether an identity may do what Greenroom does, by IAM's own simulation.
//!
//! Guarantees: it asks about the very calls that are made, on the foundation that is there, and with
//! what AWS would know of them. The simulation knows identity policies and boundaries; policies of
//! the organization and of resources it leaves out. Source: `SimulatePrincipalPolicy`.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::clients::Clients;
use super::credentials::principal;
use super::fault::fault;
use super::finding::Finding;
use super::policy::{Group, Policy, groups};
use super::policy_world::{Call, Keys, Thing};
use crate::port::PortResult;

/// Actions that are refused are listed up to this many.
const MOST_SHOWN: usize = 12;
/// Questions that are asked side by side.
const AT_ONCE: usize = 8;
/// Keys that have several values at once, also where they have one.
const LISTS: [&str; 3] = ["aws:TagKeys", "acm:DomainNames", "route53:ChangeResourceRecordSets"];

/// What is asked for, and which policies grant it.
pub(super) struct Wanted<'a> {
    pub(super) check: String,
    pub(super) policies: &'static [Policy],
    pub(super) calls: Vec<Call>,
    /// The tags of the session; none where no role is taken on.
    pub(super) session: &'a Keys,
    /// Whether a role can be given the boundary that the policy asks for.
    pub(super) boundary: Option<&'a str>,
}

/// The actions that are refused: what was looked at, and with what it ended.
pub(super) async fn ask(clients: &Clients, wanted: &Wanted<'_>) -> PortResult<[Finding; 1]> {
    let Some(principal) = whole_principal(clients).await else {
        return Ok([Finding::ok(&wanted.check, "the account's root may do everything")]);
    };
    let questions = questions(&wanted.calls);
    let asked: BTreeSet<&str> = wanted.calls.iter().map(|call| call.action).collect();
    let answers =
        stream::iter(&questions).map(|(thing, actions)| simulate(clients, &principal, thing, actions, wanted));
    let refused: Vec<BTreeSet<&'static str>> = answers.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok([judge(wanted, asked.len(), &refused.into_iter().flatten().collect())])
}

/// Each thing once, with what is done to it.
fn questions(calls: &[Call]) -> Vec<(&Thing, BTreeSet<&'static str>)> {
    let mut questions: BTreeMap<(&str, String), (&Thing, BTreeSet<&'static str>)> = BTreeMap::new();
    for call in calls {
        for thing in &call.things {
            let key = (thing.arn.as_str(), format!("{:?}", thing.keys));
            questions.entry(key).or_insert_with(|| (thing, BTreeSet::new())).1.insert(call.action);
        }
    }
    questions.into_values().collect()
}

fn judge(wanted: &Wanted<'_>, asked: usize, refused: &BTreeSet<&'static str>) -> Finding {
    if refused.is_empty() {
        return Finding::ok(&wanted.check, format!("all {asked} that are needed"));
    }
    let shown = refused.iter().take(MOST_SHOWN).copied().collect::<Vec<_>>().join(", ");
    let more =
        if refused.len() > MOST_SHOWN { format!(" and {} more", refused.len() - MOST_SHOWN) } else { String::new() };
    let missing = wanted.policies.iter().filter_map(|policy| {
        let grants = |group: &&Group| group.actions.iter().any(|action| refused.contains(action));
        let sids: Vec<&str> = groups(*policy).0.iter().filter(grants).map(|group| group.sid).collect();
        let word = policy.word();
        (!sids.is_empty()).then(|| format!("{} of `greenroom doctor --policy {word}`", sids.join(", ")))
    });
    let mut fix = format!("attach the statements {}", missing.collect::<Vec<_>>().join(", "));
    if refused.contains("iam:CreateRole") && wanted.boundary.is_none() {
        fix.push_str(
            "; roles are made within a boundary alone: make a policy of `greenroom doctor --policy boundary` and \
             set GREENROOM_AWS_PERMISSIONS_BOUNDARY to its ARN",
        );
    }
    Finding::fail(&wanted.check, format!("{} of {asked} are missing: {shown}{more}", refused.len()), fix)
}

/// The role or user with its path, which an assumed role's identity leaves out.
async fn whole_principal(clients: &Clients) -> Option<String> {
    let short = principal(&clients.identity)?;
    let Some((_, role)) = short.split_once(":role/") else { return Some(short) };
    let found = clients.iam.get_role().role_name(role).send().await.ok();
    Some(found.and_then(|found| Some(found.role()?.arn().to_owned())).unwrap_or(short))
}

/// The actions that are not allowed on the thing.
async fn simulate(
    clients: &Clients,
    principal: &str,
    thing: &Thing,
    actions: &BTreeSet<&'static str>,
    wanted: &Wanted<'_>,
) -> PortResult<BTreeSet<&'static str>> {
    let context = thing.keys.iter().chain(wanted.session).map(|(key, values)| entry(key, values));
    let request = clients.iam.simulate_principal_policy().policy_source_arn(principal).max_items(1000);
    let request = request
        .set_action_names(Some(actions.iter().map(|action| (*action).to_owned()).collect()))
        .resource_arns(&thing.arn)
        .set_context_entries(Some(context.collect()));
    let answer = request.send().await.map_err(|error| fault("iam:SimulatePrincipalPolicy", error))?;
    let is_allowed = |action: &str| {
        answer.evaluation_results().iter().any(|result| {
            result.eval_action_name() == action && *result.eval_decision() == PolicyEvaluationDecisionType::Allowed
        })
    };
    Ok(actions.iter().copied().filter(|action| !is_allowed(action)).collect())
}

fn entry(key: &str, values: &[String]) -> ContextEntry {
    let is_list = LISTS.iter().any(|list| key.starts_with(list));
    let kind = if is_list { ContextKeyTypeEnum::StringList } else { ContextKeyTypeEnum::String };
    let entry = ContextEntry::builder().context_key_name(key).context_key_type(kind);
    entry.set_context_key_values(Some(values.to_vec())).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::finding::Health;
    use crate::aws::policy_world::calls;

    const NO_TAGS: &Keys = &Vec::new();

    fn wanted(policies: &'static [Policy]) -> Wanted<'static> {
        Wanted { check: "permissions".into(), policies, calls: Vec::new(), session: NO_TAGS, boundary: None }
    }

    #[test]
    fn what_is_refused_is_listed_with_its_statements() {
        const BOTH: &[Policy] = &[Policy::Previews, Policy::PreviewsRoutes];
        assert_eq!(judge(&wanted(BOTH), 7, &BTreeSet::new()).health, Health::Ok);
        let groups = || BOTH.iter().flat_map(|policy| groups(*policy).0);
        let of = |sid: &str| groups().find(|group| group.sid == sid).unwrap().actions;
        let refused = of("Images").iter().chain(of("Changes")).copied().collect();
        let found = judge(&wanted(BOTH), 30, &refused);
        assert_eq!(found.health, Health::Fail);
        assert!(found.seen.starts_with("14 of 30 are missing: ecr:BatchCheckLayerAvailability,"), "{}", found.seen);
        assert!(found.seen.ends_with("and 2 more"), "{}", found.seen);
        let fix = found.fix.unwrap();
        assert!(fix.contains("Images of `greenroom doctor --policy previews`, Changes of"), "{fix}");
        assert!(!fix.contains("BOUNDARY"), "{fix}");
    }

    #[test]
    fn roles_that_cannot_be_made_for_want_of_a_boundary_are_told_so() {
        let refused = ["iam:CreateRole"].into();
        let said = |wanted: &Wanted<'_>| judge(wanted, 3, &refused).fix.unwrap();
        assert!(said(&wanted(&[Policy::PreviewsFoundation])).contains("GREENROOM_AWS_PERMISSIONS_BOUNDARY"));
        let bounded = Wanted { boundary: Some("arn"), ..wanted(&[Policy::PreviewsFoundation]) };
        assert!(!said(&bounded).contains("GREENROOM_AWS_PERMISSIONS_BOUNDARY"));
    }

    #[test]
    fn a_thing_is_asked_about_once_for_each_way_that_it_is_seen() {
        let thing = Thing { arn: "arn:1".into(), keys: Vec::new() };
        let tagged = thing.clone().key("aws:ResourceTag/a", "b");
        let all =
            [calls(&["a:A", "a:B"], std::slice::from_ref(&thing)), calls(&["a:C"], &[thing.clone(), tagged])].concat();
        let questions = questions(&all);
        let asked: Vec<Vec<&str>> = questions.into_iter().map(|(_, actions)| actions.into_iter().collect()).collect();
        assert_eq!(asked, [vec!["a:C"], vec!["a:A", "a:B", "a:C"]]);
    }
}
