//! What `greenroom doctor` looks at on AWS.
//!
//! Guarantees: it only reads; a check that is refused or fails says so in its own line, and the
//! others go on; the order is that in which things would fail in a deploy.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::clients::Clients;
use super::finding::{Finding, Health};
use super::policy::Policy;
use super::policy_calls::of_server;
use super::policy_world::{Keys, World};
use super::{
    AwsCloud, Shared, diagnose_doors, diagnose_permissions, diagnose_quotas, diagnose_secrets, fault, foundation,
};
use crate::model::{Domain, Place, RepoName, StageId, StageKind, StageName};
use crate::port::{PortError, PortResult, Site};

/// Before it is asked again.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// What to look at.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose stages: a role is taken on for a repository.
    pub repo: Option<RepoName>,
    /// A stage of each kind and place that the configuration names; none where it names nothing.
    pub targets: Vec<(StageId, Place)>,
    pub domain: Option<Domain>,
    /// The names under which the stages' hosts lie.
    pub bases: BTreeSet<String>,
    /// A resolver that sees what the world sees.
    pub resolver: SocketAddr,
}

/// A place that was reached.
struct Reached {
    label: String,
    clients: Arc<Clients>,
    stage: StageId,
    place: Place,
}

impl AwsCloud {
    /// Looks at everything that deploys rest on.
    pub async fn diagnose(&self, question: &Question) -> Vec<Finding> {
        diagnose(&self.shared, question).await
    }
}

async fn diagnose(shared: &Shared, question: &Question) -> Vec<Finding> {
    let first = question.targets.iter().find_map(|(_, place)| place.aws.as_ref());
    let own = match patiently(async || shared.sessions.own(first.map(|target| target.region.as_str())).await).await {
        Ok(own) => own,
        Err(error) => return vec![Finding::fail("identity", error.to_string(), "give the server credentials of AWS")],
    };
    let mut found = vec![identity(&own), Finding::ok("region", own.region.clone())];
    let mut reached = Vec::new();
    for (stage, place) in &question.targets {
        let (finding, place) = reach(shared, question, stage, place).await;
        found.push(finding);
        reached.extend(place);
    }
    if let Some(stage) = preview_of_nobody().filter(|_| question.targets.is_empty()) {
        reached.push(Reached { label: "the server".into(), clients: Arc::clone(&own), stage, place: Place::default() });
    }
    let mut identities = BTreeSet::new();
    for reached in &reached {
        if identities.insert((reached.clients.identity.clone(), reached.place.kind)) {
            found.extend(permissions(shared, reached).await);
        }
    }
    if let Some(reached) = reached.iter().find(|reached| role_of(&reached.place).is_some()) {
        found.extend(permissions_of_server(shared, &own, reached).await);
    }
    let mut places = BTreeSet::new();
    for Reached { clients, .. } in &reached {
        if places.insert((clients.account.clone(), clients.region.clone())) {
            found.extend(told("service-linked role of ECS", async || service_role(clients).await).await);
            found.extend(diagnose_quotas::ask(clients).await);
            let secrets = async || diagnose_secrets::ask(clients, question.repo.as_ref()).await;
            found.extend(told("secrets of programs", secrets).await);
            if let Some(domain) = &question.domain {
                found.extend(diagnose_doors::ask(clients, domain, &question.bases, question.resolver).await);
            }
        }
    }
    found
}

/// What deploys of the stage, and the making of its foundation, ask AWS for.
async fn permissions(shared: &Shared, reached: &Reached) -> Vec<Finding> {
    let Reached { label, clients, stage, place } = reached;
    let world = match patiently(async || foundation::world(shared, clients, Site { stage, place }).await).await {
        Ok(world) => world,
        Err(error) => return vec![unseen(&format!("permissions of {label}"), &error)],
    };
    let (of_stage, of_foundation): (&[Policy], &[Policy]) = match place.kind {
        StageKind::Ephemeral => {
            (&[Policy::Previews, Policy::PreviewsRoutes], &[Policy::PreviewsFoundation, Policy::PreviewsNetwork])
        }
        StageKind::Permanent | StageKind::Production => {
            (&[Policy::Permanent, Policy::PermanentRoutes], &[Policy::PermanentFoundation, Policy::PermanentNetwork])
        }
    };
    // Without a role there is no session, and so no tags of one.
    let no_tags = Keys::new();
    let session = if role_of(place).is_some() { &world.session } else { &no_tags };
    let wanted = |policies, what: &str, calls| diagnose_permissions::Wanted {
        check: format!("permissions {what}{label}"),
        policies,
        calls,
        session,
        boundary: world.boundary.as_deref(),
    };
    let stages = wanted(of_stage, "of ", world.of_stage());
    let ground = wanted(of_foundation, "for the foundation of ", world.of_foundation());
    let mut found = told(&stages.check, async || diagnose_permissions::ask(clients, &stages).await).await;
    // A foundation that is there may be somebody else's to change.
    let soften = |finding: Finding| match finding.health {
        Health::Fail if world.is_made => Finding { health: Health::Warn, ..finding },
        _ => finding,
    };
    let asked = told(&ground.check, async || diagnose_permissions::ask(clients, &ground).await).await;
    found.extend(asked.into_iter().map(soften));
    found
}

/// What the server's own identity asks for where configurations name roles.
async fn permissions_of_server(shared: &Shared, own: &Clients, reached: &Reached) -> Vec<Finding> {
    let Reached { stage, place, .. } = reached;
    let world = World::unmade(&shared.names, stage, place, &own.region, &own.account);
    let wanted = diagnose_permissions::Wanted {
        check: "permissions of the server".into(),
        policies: &[Policy::Server],
        calls: of_server(&world, role_of(place).unwrap_or_default()),
        session: &Keys::new(),
        boundary: None,
    };
    told(&wanted.check, async || diagnose_permissions::ask(own, &wanted).await).await
}

fn role_of(place: &Place) -> Option<&str> {
    place.aws.as_ref()?.role.as_deref()
}

/// What a check comes to; one that cannot be made is a finding too.
pub(super) async fn told<T: Into<Vec<Finding>>>(check: &str, ask: impl AsyncFn() -> PortResult<T>) -> Vec<Finding> {
    patiently(ask).await.map_or_else(|error| vec![unseen(check, &error)], Into::into)
}

/// Asks again what may pass: an account that is busy is no reason to send anybody away.
async fn patiently<T>(ask: impl AsyncFn() -> PortResult<T>) -> PortResult<T> {
    for pause in PAUSES {
        match ask().await {
            Err(PortError::Retry { .. }) => tokio::time::sleep(pause).await,
            answer => return answer,
        }
    }
    ask().await
}

fn unseen(check: &str, error: &PortError) -> Finding {
    let fix = match error {
        PortError::Denied { .. } => "add the statement, or look by yourself",
        PortError::Retry { .. } => "run the doctor again",
        _ => "look by yourself",
    };
    Finding::warn(check, format!("cannot be seen: {error}"), fix)
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

/// A preview of no repository, where none is named.
fn preview_of_nobody() -> Option<StageId> {
    Some(StageId { repo: RepoName::new("doctor/doctor").ok()?, name: StageName::new("pr-1").ok()? })
}

/// Goes where stages of a kind live, as a deploy would.
async fn reach(shared: &Shared, question: &Question, stage: &StageId, place: &Place) -> (Finding, Option<Reached>) {
    let check = format!("role of {}", word(place.kind));
    if question.repo.is_none() && role_of(place).is_some() {
        let fix = "name the repository with --repo owner/name: a role is taken on for one repository";
        return (Finding::warn(check, "not tried", fix), None);
    }
    match patiently(async || shared.sessions.at(Site { stage, place }).await).await {
        Ok(clients) => {
            let seen = match role_of(place) {
                Some(role) => format!("{role} taken on, in account {}", clients.account),
                None => format!("the server's own, in account {}", clients.account),
            };
            let (label, stage, place) = (word(place.kind).into(), stage.clone(), place.clone());
            let reached = Reached { label, clients, stage, place };
            (Finding::ok(check, seen), Some(reached))
        }
        Err(error) => (Finding::fail(check, error.to_string(), "mend what is said, and run the doctor again"), None),
    }
}

/// Trap: the first cluster of an account races ECS making its own role.
async fn service_role(clients: &Clients) -> PortResult<[Finding; 1]> {
    let check = "service-linked role of ECS";
    match clients.iam.get_role().role_name("AWSServiceRoleForECS").send().await {
        Ok(_) => Ok([Finding::ok(check, "exists")]),
        Err(error) if fault::is(&error, "NoSuchEntity") => Ok([Finding::warn(
            check,
            "does not exist: the first deploy of this account may fail once",
            "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com",
        )]),
        Err(error) => Err(fault::fault("iam:GetRole", error)),
    }
}
