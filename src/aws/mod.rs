//! Stages on AWS: images in a registry, two tiers of stacks, rolling ECS deploys.
//!
//! Guarantees: what is made is found again by its name and its tags alone, so that a server that was
//! killed at any moment doubles nothing; images never go through CloudFormation; live means that the
//! one deployment that we started succeeded, its targets are healthy, the public address answered
//! and the running digest is the wanted one; nothing of a stage stays without being named.
//!
//! | file | purpose |
//! |---|---|
//! | `settings`, `names`, `marks` | what the composition root tells; what things are called; whose a stack is |
//! | `clients`, `credentials` | who speaks to AWS for a stage |
//! | `oidc` | credentials by the token that GitHub gives a job |
//! | `bootstrap` | what lets a repository's jobs in: provider, roles, bucket |
//! | `outbound`, `pace`, `calls` | proxy, rate budget and counts, the same for every call |
//! | `policy`, `policy_table`, `policy_foundation` | the least that we must be allowed |
//! | `policy_world`, `policy_calls*`, `policy_types` | every call that is made, as policies see it |
//! | `diagnose`, `diagnose_*`, `delegation`, `finding` | what `greenroom doctor` looks at |
//! | `fault`, `refusal`, `quota` | what an error means |
//! | `stack`, `template` | driving CloudFormation; rendering templates |
//! | `foundation` | what stages share |
//! | `prepare`, `stage_stack` | a stage's own stack, and what it answers |
//! | `phases`, `rollout` | the steps of a rollout |
//! | `observe`, `conditions` | what serves, and how it is doing |
//! | `inventory`, `teardown`, `families` | everything that exists of a stage, and its removal |
//! | `lately` | what was seen a moment ago of a stage that goes |
//! | `once` | what is said once |
//! | `sweep`, `surplus` | every stage of which something exists; images that nothing needs any more |
//! | `logs` | what programs printed |
//! | `ecr`, `ecr_images` | repositories of images; who uses them |
//! | `objects` | small files in a bucket, which several machines replace |
//! | `scripted` | an AWS that says what a test wants |

pub mod bootstrap;
mod calls;
mod clients;
mod conditions;
mod credentials;
mod delegation;
mod diagnose;
mod diagnose_doors;
mod diagnose_metadata;
mod diagnose_permissions;
mod diagnose_quotas;
mod diagnose_secrets;
mod ecr;
mod ecr_images;
mod families;
mod fault;
mod finding;
mod foundation;
#[cfg(test)]
#[path = "../../tests/support/iam.rs"]
mod iam;
mod inventory;
mod lately;
mod logs;
mod marks;
mod names;
mod objects;
mod observe;
mod oidc;
mod once;
mod outbound;
mod pace;
mod phases;
mod policy;
mod policy_calls;
mod policy_calls_foundation;
mod policy_foundation;
mod policy_table;
#[cfg(test)]
mod policy_types;
mod policy_world;
mod prepare;
mod quota;
mod refusal;
mod rollout;
#[cfg(test)]
mod scripted;
mod settings;
mod stack;
mod stage_stack;
mod surplus;
mod sweep;
mod teardown;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;

pub use diagnose::Question;
pub use diagnose_metadata::metadata;
pub use ecr::{Ecr, is_ecr};
pub use finding::{Finding, Health};
pub use objects::{ObjectsSettings, S3Objects};
pub use oidc::{OidcRequest, OidcWay, credentials};
pub use policy::{Policy, Sessions as PolicySessions, Terms as PolicyTerms, policy};
pub use settings::{AwsSettings, NatGateways, OutboundProxy, PreviewCapacity};

use self::clients::Sessions;
use self::names::Names;
use crate::model::{
    Addressing, Conditions, FoundationReport, LocalCommands, Observed, Output, Place, Resource, ResourceChange, Scheme,
    ServiceName, StageId, StageSpec,
};
use crate::port::{Cloud, Phase, PortResult, Progress, Rollout, Site};

/// What every part of the adapter works with.
pub(crate) struct Shared {
    settings: AwsSettings,
    names: Names,
    sessions: Sessions,
    begun: stack::Begun,
    rollouts: rollout::Memory,
    lately: lately::Lately,
    said: once::SaidOnce,
}

/// [`Cloud`] on AWS.
pub struct AwsCloud {
    shared: Arc<Shared>,
}

impl AwsCloud {
    /// Reads the standard chain of credentials; asks AWS nothing yet.
    pub async fn new(settings: AwsSettings) -> Self {
        let sessions = Sessions::new(&settings, None).await;
        Self::over(settings, sessions)
    }

    /// Speaks to AWS with these credentials, such as those of [`credentials`]; asks AWS nothing yet.
    pub async fn with_credentials(settings: AwsSettings, given: SharedCredentialsProvider) -> Self {
        let sessions = Sessions::new(&settings, Some(given)).await;
        Self::over(settings, sessions)
    }

    fn over(settings: AwsSettings, sessions: Sessions) -> Self {
        let names = Names::new(&settings.name);
        let (begun, rollouts) = (stack::Begun::default(), rollout::Memory::default());
        let (lately, said) = (lately::Lately::default(), once::SaidOnce::default());
        Self { shared: Arc::new(Shared { settings, names, sessions, begun, rollouts, lately, said }) }
    }

    /// How often each operation of AWS was called since the program began: `ecs:UpdateService`.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.shared.sessions.calls()
    }

    /// What a stage's foundation and its own stack are made from, as sent to CloudFormation. A zone of
    /// Route 53 has a stand-in for its id.
    pub fn templates(&self, spec: &StageSpec) -> PortResult<[String; 2]> {
        let site = Site { stage: &spec.stage, place: &spec.place };
        Ok([foundation::text(&self.shared, site)?, prepare::text(&self.shared, spec)?])
    }

    /// What [`Self::deploy_foundation`] would change.
    pub async fn plan_foundation(&self, site: Site<'_>) -> PortResult<Vec<ResourceChange>> {
        let clients = self.shared.sessions.at(site).await?;
        foundation::plan(&stack::Driver::by_hand(&self.shared, &clients), site).await
    }

    /// What it is, there or not.
    pub async fn report_foundation(&self, site: Site<'_>) -> PortResult<FoundationReport> {
        let clients = self.shared.sessions.at(site).await?;
        foundation::report(&stack::Driver::by_hand(&self.shared, &clients), site).await
    }

    /// Makes the foundation of the stages at a place, or brings it to this release's template and
    /// these settings. Answers the name of its stack.
    pub async fn deploy_foundation(&self, site: Site<'_>) -> PortResult<Progress<String>> {
        let clients = self.shared.sessions.at(site).await?;
        foundation::deploy(&stack::Driver::by_hand(&self.shared, &clients), site).await
    }

    /// Takes the foundation away; `Failed` while stages use it.
    pub async fn destroy_foundation(&self, site: Site<'_>) -> PortResult<Progress<()>> {
        let clients = self.shared.sessions.at(site).await?;
        foundation::destroy(&stack::Driver::by_hand(&self.shared, &clients), site).await
    }

    /// The account that our own credentials reach, in a region or the environment's.
    pub async fn account(&self, region: Option<&str>) -> PortResult<String> {
        Ok(self.shared.sessions.own(region).await?.account.clone())
    }

    /// The registry of this account's images.
    pub fn registry(&self) -> Ecr {
        Ecr::new(Arc::clone(&self.shared))
    }
}

#[async_trait]
impl Cloud for AwsCloud {
    fn addressing(&self) -> Addressing {
        Addressing {
            scheme: Scheme::HttpsIfCertified,
            zone: String::new(),
            port: None,
            local_commands: LocalCommands::Ignore,
        }
    }

    fn objections(&self, spec: &StageSpec) -> Vec<String> {
        prepare::objections(spec)
    }

    fn blueprint(&self, spec: &StageSpec) -> Option<String> {
        Some(prepare::blueprint(&self.shared, spec))
    }

    async fn prepare(&self, spec: &StageSpec) -> PortResult<Progress<Output>> {
        prepare::prepare(&self.shared, spec).await
    }

    async fn changes(&self, spec: &StageSpec) -> PortResult<Vec<ResourceChange>> {
        prepare::changes(&self.shared, spec).await
    }

    async fn observe(&self, site: Site<'_>) -> PortResult<Observed> {
        observe::observe(&self.shared, site).await
    }

    async fn inventory(&self, site: Site<'_>) -> PortResult<Vec<Resource>> {
        inventory::inventory(&self.shared, site).await
    }

    async fn ensure(&self, phase: Phase, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
        phases::ensure(&self.shared, phase, rollout).await
    }

    async fn remove(&self, site: Site<'_>, resource: &Resource) -> PortResult<Progress<()>> {
        teardown::remove(&self.shared, site, resource).await
    }

    async fn stages(&self, known: &[(StageId, Place)]) -> PortResult<Vec<(StageId, Place)>> {
        sweep::stages(&self.shared, known).await
    }

    async fn surplus(&self, site: Site<'_>, used: &BTreeSet<String>) -> PortResult<Vec<Resource>> {
        surplus::surplus(&self.shared, site, used).await
    }

    async fn conditions(&self, site: Site<'_>) -> PortResult<Conditions> {
        conditions::conditions(&self.shared, site).await
    }

    async fn logs(&self, site: Site<'_>, service: &ServiceName, lines: usize) -> PortResult<Vec<String>> {
        logs::tail(&self.shared, site, service, lines).await
    }
}
