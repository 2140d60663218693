//! The repositories of the App's installations.

use std::ops::ControlFlow;

use serde::Deserialize;

use super::api::{Api, Who};
use super::read::OwnedRepo;
use super::token::Installation;
use crate::model::RepoSeen;
use crate::port::{PortError, PortResult};

#[derive(Deserialize)]
struct RepoPage {
    repositories: Vec<OwnedRepo>,
}

/// The repositories of every installation that is not suspended. One that GitHub will not list is named once
/// and left out; an error only where that leaves nothing.
pub(super) async fn repositories(api: &Api) -> PortResult<Vec<RepoSeen>> {
    let app = api.app()?;
    let mut installations: Vec<Installation> = Vec::new();
    api.pages(Who::App, "/app/installations?per_page=100".into(), "the app's installations", |mut page: Vec<_>| {
        installations.append(&mut page);
        ControlFlow::Continue(())
    })
    .await?;
    let (mut found, mut refused) = (Vec::new(), None);
    for installation in installations.into_iter().filter(|installation| installation.suspended_at.is_none()) {
        match repositories_of(api, installation.id).await {
            Ok(own) => {
                app.leave_out(installation.id, None);
                found.extend(own);
            }
            Err(error @ (PortError::NotFound { .. } | PortError::Denied { .. })) => {
                app.leave_out(installation.id, Some(error.to_string()));
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = refused.filter(|_| found.is_empty()) {
        return Err(error);
    }
    let mut repos: Vec<_> = found.into_iter().map(OwnedRepo::seen).collect::<PortResult<_>>()?;
    repos.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    repos.dedup();
    Ok(repos)
}

async fn repositories_of(api: &Api, installation: u64) -> PortResult<Vec<OwnedRepo>> {
    let token = api.listing_token(installation).await?;
    let mut found = Vec::new();
    let first = "/installation/repositories?per_page=100".to_owned();
    let what = format!("the list of the repositories of installation {installation}");
    api.pages(Who::Listing(&token), first, &what, |page: RepoPage| {
        found.extend(page.repositories);
        ControlFlow::Continue(())
    })
    .await?;
    Ok(found)
}
