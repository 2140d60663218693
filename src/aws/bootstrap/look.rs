//! What the account has already, and whether it does.

use std::collections::{BTreeMap, BTreeSet};

use super::super::clients::Clients;
use super::super::fault::{fault, is};
use super::super::stack::{self, Snapshot};
use super::order::Called;
use super::render::boundary_name;
use crate::model::{AUDIENCE, FailureKind, state_bucket};
use crate::port::{PortError, PortResult};

/// The account's provider for the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provider {
    pub(super) arn: String,
    pub(super) audiences: Vec<String>,
    /// Whose Greenroom made it, where one did.
    pub(super) owner: Option<String>,
}

/// What is there.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) stack: Option<Snapshot>,
    pub(super) provider: Option<Provider>,
    has_boundary: bool,
    has_bucket: bool,
    /// What of it this very stack made, by its logical id.
    own: BTreeSet<String>,
}

/// As ARNs begin in this part of AWS.
pub(super) fn partition(clients: &Clients) -> &str {
    clients.identity.split(':').nth(1).filter(|part| !part.is_empty()).unwrap_or("aws")
}

pub(super) fn provider_arn(clients: &Clients, called: &Called<'_>) -> String {
    format!("arn:{}:iam::{}:oidc-provider/{}", partition(clients), clients.account, called.order.issuer.key())
}

pub(super) fn boundary_arn(clients: &Clients, called: &Called<'_>) -> String {
    format!("arn:{}:iam::{}:policy/{}", partition(clients), clients.account, boundary_name(called.names.owner()))
}

pub(super) async fn look(clients: &Clients, called: &Called<'_>) -> PortResult<Found> {
    let stack = stack::describe(clients, &called.stack()).await?;
    let resources = match &stack {
        Some(stack) => stack::resources(clients, &stack.id).await?,
        None => Vec::new(),
    };
    let has_made = |one: &stack::StackResource| !one.physical.is_empty() && !one.status.ends_with("FAILED");
    Ok(Found {
        provider: provider(clients, called).await?,
        has_boundary: has_boundary(clients, called).await?,
        has_bucket: has_bucket(clients).await?,
        own: resources.into_iter().filter(has_made).map(|one| one.logical).collect(),
        stack,
    })
}

pub(super) async fn provider(clients: &Clients, called: &Called<'_>) -> PortResult<Option<Provider>> {
    let arn = provider_arn(clients, called);
    let answer = match clients.iam.get_open_id_connect_provider().open_id_connect_provider_arn(&arn).send().await {
        Ok(answer) => answer,
        Err(error) if is(&error, "NoSuchEntity") => return Ok(None),
        Err(error) => return Err(fault("iam:GetOpenIDConnectProvider", error)),
    };
    let owner = answer.tags().iter().find(|tag| tag.key() == super::TAG_OWNER).map(|tag| tag.value().to_owned());
    Ok(Some(Provider { arn, audiences: answer.client_id_list.unwrap_or_default(), owner }))
}

async fn has_boundary(clients: &Clients, called: &Called<'_>) -> PortResult<bool> {
    match clients.iam.get_policy().policy_arn(boundary_arn(clients, called)).send().await {
        Ok(_) => Ok(true),
        Err(error) if is(&error, "NoSuchEntity") => Ok(false),
        Err(error) => Err(fault("iam:GetPolicy", error)),
    }
}

/// The names of buckets are everybody's: whoever knows the account's number may have taken this one.
pub(super) async fn has_bucket(clients: &Clients) -> PortResult<bool> {
    let bucket = state_bucket(&clients.account, &clients.region);
    let asked = clients.s3.head_bucket().bucket(&bucket).expected_bucket_owner(&clients.account).send().await;
    let Err(error) = asked else { return Ok(true) };
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(404) => Ok(false),
        Some(403) => Err(PortError::failed(
            FailureKind::Environment,
            format!("the bucket {bucket} belongs to another account, or you may not see it"),
            "Use credentials that may call `s3:ListBucket` on it. If it is another account's, say so to AWS Support, and \
             keep the state elsewhere with the input `state`.",
        )),
        _ => Err(fault("s3:HeadBucket", error)),
    }
}

impl Found {
    /// What would not do as it is.
    pub(super) fn objections(&self, clients: &Clients, called: &Called<'_>) -> PortResult<()> {
        let Some(provider) = self.provider.as_ref().filter(|provider| !provider.takes(AUDIENCE)) else { return Ok(()) };
        let has = if provider.audiences.is_empty() { "none".to_owned() } else { provider.audiences.join(", ") };
        Err(PortError::failed(
            FailureKind::Environment,
            format!(
                "account {} knows {} as a provider of identities, but not for the audience {AUDIENCE} (it has: {has})",
                clients.account, called.order.issuer
            ),
            format!(
                "Add it; nothing that uses the provider now changes: `aws iam add-client-id-to-open-id-connect-provider \
                 --open-id-connect-provider-arn {} --client-id {AUDIENCE}`. Then ask for the same again.",
                provider.arn
            ),
        ))
    }

    /// Where somebody else made it, the stack takes it as it is. What the stack made itself stays its own.
    pub(super) fn parameters(&self) -> BTreeMap<String, String> {
        let adopts = |is_there: bool, logical: &str| is_there && !self.own.contains(logical);
        let word = |is_there: bool, logical: &str| if adopts(is_there, logical) { "keep" } else { "make" };
        let provider = self.provider.as_ref().filter(|_| adopts(true, "IdentityProvider"));
        [
            ("Provider", provider.map_or("", |provider| provider.arn.as_str())),
            ("Boundary", word(self.has_boundary, "ProgramBoundary")),
            ("StateBucket", word(self.has_bucket, "State")),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// Whether the account has what the template would make under this id.
    pub(super) fn has(&self, logical: &str) -> bool {
        let parameters = self.parameters();
        let is = |key: &str, value: &str| parameters.get(key).is_some_and(|said| said == value);
        match logical {
            "IdentityProvider" => !is("Provider", ""),
            "ProgramBoundary" => is("Boundary", "keep"),
            "State" | "StatePolicy" => is("StateBucket", "keep"),
            _ => false,
        }
    }

    /// In words for people.
    pub(super) fn adopted(&self) -> Vec<String> {
        [
            ("IdentityProvider", "the provider of identities"),
            ("ProgramBoundary", "the boundary of programs' roles"),
            ("State", "the bucket of the state"),
        ]
        .into_iter()
        .filter(|(logical, _)| self.has(logical))
        .map(|(_, words)| words.to_owned())
        .collect()
    }
}

impl Provider {
    fn takes(&self, audience: &str) -> bool {
        self.audiences.iter().any(|one| one == audience)
    }
}
