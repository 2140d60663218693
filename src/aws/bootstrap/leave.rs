//! What goes with the stack of what an account has once, and what stays.

use aws_sdk_s3::types::ObjectVersion;
use serde::Serialize;

use super::super::clients::Clients;
use super::super::fault::{fault, is};
use super::look::{boundary_arn, has_bucket, provider, provider_arn};
use super::order::Called;
use crate::model::state_bucket;
use crate::port::PortResult;

/// What becomes of the repository's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateFate {
    Stays,
    Goes,
}

/// What became of what was asked to go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Removed {
    pub gone: Vec<String>,
    pub kept: Vec<Kept>,
}

/// What stays, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub what: String,
    pub why: String,
}

impl Removed {
    fn keep(&mut self, what: &str, why: impl Into<String>) {
        self.kept.push(Kept { what: what.to_owned(), why: why.into() });
    }
}

/// Once the stack is gone. Each part is looked at by itself, so that it can be asked for again.
pub(super) async fn leave(clients: &Clients, called: &Called<'_>, state: StateFate) -> PortResult<Removed> {
    let mut removed = Removed { gone: vec![format!("the stack {} with its roles", called.stack())], kept: Vec::new() };
    leave_provider(clients, called, &mut removed).await?;
    leave_boundary(clients, called, &mut removed).await?;
    leave_bucket(clients, called, state, &mut removed).await?;
    Ok(removed)
}

async fn leave_provider(clients: &Clients, called: &Called<'_>, removed: &mut Removed) -> PortResult<()> {
    let what = format!("the provider of identities {}", called.order.issuer);
    let Some(found) = provider(clients, called).await? else { return Ok(()) };
    if found.owner.as_deref() != Some(called.names.owner()) {
        removed.keep(&what, "this Greenroom did not make it");
        return Ok(());
    }
    let users = users(clients, &provider_arn(clients, called)).await?;
    if !users.is_empty() {
        removed.keep(&what, format!("it is used by {}", some_of(&users)));
        return Ok(());
    }
    let gone = clients.iam.delete_open_id_connect_provider().open_id_connect_provider_arn(&found.arn).send().await;
    match gone {
        Ok(_) => {}
        Err(error) if is(&error, "NoSuchEntity") => {}
        Err(error) => return Err(fault("iam:DeleteOpenIDConnectProvider", error)),
    }
    removed.gone.push(what);
    Ok(())
}

/// The roles of the account that trust the provider.
async fn users(clients: &Clients, arn: &str) -> PortResult<Vec<String>> {
    let mut pages = clients.iam.list_roles().into_paginator().send();
    let mut users = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| fault("iam:ListRoles", error))?;
        let trusts = |document: &str| {
            // IAM writes it as a part of an address.
            percent_encoding::percent_decode_str(document).decode_utf8_lossy().contains(arn)
        };
        let those = page.roles().iter().filter(|role| role.assume_role_policy_document().is_some_and(trusts));
        users.extend(those.map(|role| role.role_name().to_owned()));
    }
    Ok(users)
}

fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(3) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

async fn leave_boundary(clients: &Clients, called: &Called<'_>, removed: &mut Removed) -> PortResult<()> {
    let arn = boundary_arn(clients, called);
    let what = "the boundary of programs' roles";
    let policy = match clients.iam.get_policy().policy_arn(&arn).send().await {
        Ok(answer) => answer.policy,
        Err(error) if is(&error, "NoSuchEntity") => return Ok(()),
        Err(error) => return Err(fault("iam:GetPolicy", error)),
    };
    let count = policy.as_ref().and_then(|policy| policy.permissions_boundary_usage_count).unwrap_or(0);
    let attached = policy.as_ref().and_then(|policy| policy.attachment_count).unwrap_or(0);
    // Other repositories' stacks take it as given: their roles hand it out.
    let others = super::stack::all(clients, called.names.owner()).await?;
    let others: Vec<String> =
        others.into_iter().map(|stack| stack.name).filter(|name| name.ends_with("-bootstrap")).collect();
    if count + attached > 0 || !others.is_empty() {
        let why = if others.is_empty() { "roles are bounded by it".to_owned() } else { some_of(&others) };
        removed.keep(what, format!("still used: {why}"));
        return Ok(());
    }
    let versions = clients.iam.list_policy_versions().policy_arn(&arn).send().await;
    let versions = versions.map_err(|error| fault("iam:ListPolicyVersions", error))?;
    for version in versions.versions().iter().filter(|version| !version.is_default_version()) {
        let gone =
            clients.iam.delete_policy_version().policy_arn(&arn).version_id(version.version_id().unwrap_or("v1"));
        gone.send().await.map_err(|error| fault("iam:DeletePolicyVersion", error))?;
    }
    match clients.iam.delete_policy().policy_arn(&arn).send().await {
        Ok(_) => removed.gone.push(what.to_owned()),
        Err(error) if is(&error, "NoSuchEntity") => {}
        Err(error) if is(&error, "DeleteConflict") => removed.keep(what, "somebody uses it since"),
        Err(error) => return Err(fault("iam:DeletePolicy", error)),
    }
    Ok(())
}

async fn leave_bucket(
    clients: &Clients,
    called: &Called<'_>,
    state: StateFate,
    removed: &mut Removed,
) -> PortResult<()> {
    if !has_bucket(clients).await? {
        return Ok(());
    }
    let bucket = state_bucket(&clients.account, &clients.region);
    let what = format!("the bucket {bucket}");
    if state == StateFate::Goes {
        // Of this repository alone: `774.db` and what lies beside it.
        erase(clients, &bucket, &format!("{}.db", called.order.repo.id)).await?;
        removed.gone.push(format!("the state of {}", called.order.repo.spelling));
    }
    if !versions(clients, &bucket, "", Some(1)).await?.is_empty() {
        let why = if state == StateFate::Goes { "other repositories' state is in it" } else { "state is in it" };
        removed.keep(&what, why);
        return Ok(());
    }
    match clients.s3.delete_bucket().bucket(&bucket).expected_bucket_owner(&clients.account).send().await {
        Ok(_) => removed.gone.push(what),
        Err(error) if is(&error, "NoSuchBucket") => {}
        Err(error) if is(&error, "BucketNotEmpty") => removed.keep(&what, "state came into it since"),
        Err(error) => return Err(fault("s3:DeleteBucket", error)),
    }
    Ok(())
}

async fn erase(clients: &Clients, bucket: &str, prefix: &str) -> PortResult<()> {
    loop {
        let all = versions(clients, bucket, prefix, None).await?;
        if all.is_empty() {
            return Ok(());
        }
        for (key, version) in all {
            let gone = clients.s3.delete_object().bucket(bucket).key(key).set_version_id(version).send().await;
            gone.map_err(|error| fault("s3:DeleteObject", error))?;
        }
    }
}

/// One page of what a bucket holds, old versions and marks of what was deleted among it.
async fn versions(
    clients: &Clients,
    bucket: &str,
    prefix: &str,
    most: Option<i32>,
) -> PortResult<Vec<(String, Option<String>)>> {
    let asked = clients.s3.list_object_versions().bucket(bucket).prefix(prefix).set_max_keys(most);
    let answer = asked.expected_bucket_owner(&clients.account).send().await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if is(&error, "NoSuchBucket") => return Ok(Vec::new()),
        Err(error) => return Err(fault("s3:ListObjectVersions", error)),
    };
    let version = |one: &ObjectVersion| Some((one.key()?.to_owned(), one.version_id().map(str::to_owned)));
    let mut all: Vec<_> = answer.versions().iter().filter_map(version).collect();
    let marks = answer.delete_markers().iter();
    all.extend(marks.filter_map(|one| Some((one.key()?.to_owned(), one.version_id().map(str::to_owned)))));
    Ok(all)
}
