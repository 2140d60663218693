//! What `greenroom doctor` looks at on AWS.
//!
//! Guarantees: it only reads; a check that is refused or fails says so in its own line, and the
//! others go on; the order is that in which things would fail in a deploy.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::clients::Clients;
use super::finding::Finding;
use super::policy::Policy;
use super::{AwsCloud, Shared, diagnose_doors, diagnose_permissions, diagnose_quotas, fault};
use crate::model::{AwsTarget, Domain, Place, RepoName, StageId, StageKind, StageName};
use crate::port::{PortError, PortResult, Site};

/// What to look at.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose stages: a role is taken on for a repository.
    pub repo: Option<RepoName>,
    /// Where stages of each kind live, by the configuration; none where it names nothing.
    pub targets: Vec<(StageKind, AwsTarget)>,
    pub domain: Option<Domain>,
    /// The names under which the stages' hosts lie.
    pub bases: BTreeSet<String>,
    /// A resolver that sees what the world sees.
    pub resolver: SocketAddr,
    /// Whose permissions are asked for.
    pub policies: Vec<Policy>,
}

/// A place that was reached.
struct Reached {
    label: String,
    clients: Arc<Clients>,
}

impl AwsCloud {
    /// Looks at everything that deploys rest on.
    pub async fn diagnose(&self, question: &Question) -> Vec<Finding> {
        diagnose(&self.shared, question).await
    }
}

async fn diagnose(shared: &Shared, question: &Question) -> Vec<Finding> {
    let region = question.targets.first().map(|(_, target)| target.region.as_str());
    let own = match shared.sessions.own(region).await {
        Ok(own) => own,
        Err(error) => return vec![Finding::fail("identity", error.to_string(), "give the server credentials of AWS")],
    };
    let mut found = vec![identity(&own), Finding::ok("region", own.region.clone())];
    let mut reached = Vec::new();
    for (kind, target) in &question.targets {
        let (finding, place) = reach(shared, question, *kind, target).await;
        found.push(finding);
        reached.extend(place);
    }
    if question.targets.is_empty() {
        reached.push(Reached { label: "the server".into(), clients: own });
    }
    let mut identities = BTreeSet::new();
    for place in &reached {
        if identities.insert(place.clients.identity.clone()) {
            let check = format!("permissions of {}", place.label);
            let name = shared.names.owner();
            let asked = diagnose_permissions::ask(&place.clients, name, &question.policies, &check).await;
            found.extend(told(&check, asked));
        }
    }
    let mut places = BTreeSet::new();
    for Reached { clients, .. } in &reached {
        if places.insert((clients.account.clone(), clients.region.clone())) {
            found.extend(told("service-linked role of ECS", service_role(clients).await.map(|found| vec![found])));
            found.extend(diagnose_quotas::ask(clients).await);
            if let Some(domain) = &question.domain {
                found.extend(diagnose_doors::ask(clients, domain, &question.bases, question.resolver).await);
            }
        }
    }
    found
}

/// What a check came to; one that could not be made is a finding too.
pub(super) fn told(check: &str, result: PortResult<Vec<Finding>>) -> Vec<Finding> {
    result.unwrap_or_else(|error| {
        let fix = match &error {
            PortError::Denied { .. } => "add the statement, or look by yourself",
            PortError::Retry { .. } => "run the doctor again",
            _ => "look by yourself",
        };
        vec![Finding::warn(check, format!("cannot be seen: {error}"), fix)]
    })
}

fn identity(own: &Clients) -> Finding {
    let seen = format!("{} in account {}", own.identity, own.account);
    if own.identity.ends_with(":root") {
        let fix = "use a role or user with the policies of `greenroom doctor --policy` instead of the account's root";
        return Finding::warn("identity", seen, fix);
    }
    Finding::ok("identity", seen)
}

fn word(kind: StageKind) -> &'static str {
    match kind {
        StageKind::Ephemeral => "previews",
        StageKind::Permanent => "permanent stages",
        StageKind::Production => "production",
    }
}

/// Goes where stages of a kind live, as a deploy would.
async fn reach(
    shared: &Shared,
    question: &Question,
    kind: StageKind,
    target: &AwsTarget,
) -> (Finding, Option<Reached>) {
    let check = format!("role of {}", word(kind));
    let Some(repo) = &question.repo else {
        if target.role.is_some() {
            let fix = "name the repository with --repo owner/name: a role is taken on for one repository";
            return (Finding::warn(check, "not tried", fix), None);
        }
        return reach_for(shared, &check, "doctor/doctor", kind, target).await;
    };
    reach_for(shared, &check, repo.as_str(), kind, target).await
}

async fn reach_for(
    shared: &Shared,
    check: &str,
    repo: &str,
    kind: StageKind,
    target: &AwsTarget,
) -> (Finding, Option<Reached>) {
    let (Ok(repo), Ok(name)) = (RepoName::new(repo), StageName::new("doctor")) else {
        return (Finding::fail(check, format!("`{repo}` is no repository"), "name it as owner/name"), None);
    };
    let stage = StageId { repo, name };
    let place = Place { kind, aws: Some(target.clone()), ..Place::default() };
    match shared.sessions.at(Site { stage: &stage, place: &place }).await {
        Ok(clients) => {
            let seen = match &target.role {
                Some(role) => format!("{role} taken on, in account {}", clients.account),
                None => format!("the server's own, in account {}", clients.account),
            };
            (Finding::ok(check, seen), Some(Reached { label: word(kind).into(), clients }))
        }
        Err(error) => (Finding::fail(check, error.to_string(), "mend what is said, and run the doctor again"), None),
    }
}

/// Trap: the first cluster of an account races ECS making its own role.
async fn service_role(clients: &Clients) -> PortResult<Finding> {
    let check = "service-linked role of ECS";
    match clients.iam.get_role().role_name("AWSServiceRoleForECS").send().await {
        Ok(_) => Ok(Finding::ok(check, "exists")),
        Err(error) if fault::is(&error, "NoSuchEntity") => Ok(Finding::warn(
            check,
            "does not exist: the first deploy of this account may fail once",
            "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com",
        )),
        Err(error) => Err(fault::fault("iam:GetRole", error)),
    }
}
