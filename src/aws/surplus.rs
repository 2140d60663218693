//! Images of a living stage that nothing needs any more.
//!
//! Guarantees: what a release names stays, and so does what was pushed lately, because a deploy may
//! be about to use it; images that another stage uses lose only this stage's tag.

use std::collections::BTreeSet;

use super::clients::Clients;
use super::fault::{fault, is};
use super::inventory::repositories;
use super::{Shared, ecr_images};
use crate::model::{Resource, Seconds, StageKind, StageName, Timestamp};
use crate::port::{PortError, PortResult, Progress, Site, is_tag_of};

/// One tag of an image, `repository:tag`.
pub(super) const IMAGE: &str = "image";

/// So many of a permanent stage stay, to roll back to.
const KEPT: usize = 20;
/// A deploy takes no longer from its build to its release.
const YOUNG: Seconds = Seconds(2 * 3600);

/// An image as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    digest: String,
    pushed_at: Timestamp,
    tags: Vec<String>,
}

/// The stage's images that can go. `used` are the digests that its releases name.
pub(super) async fn surplus(shared: &Shared, site: Site<'_>, used: &BTreeSet<String>) -> PortResult<Vec<Resource>> {
    let clients = &*shared.sessions.at(site).await?;
    let keep = if site.place.kind == StageKind::Ephemeral { 0 } else { KEPT };
    let young = shared.settings.clock.now().after_millis(-YOUNG.millis());
    let mut found = Vec::new();
    for repository in repositories(clients, &shared.names, site.stage).await? {
        let images = images(clients, &repository).await?;
        for tag in superfluous(images, &site.stage.name, used, keep, young) {
            let service = repository.rsplit('/').next().and_then(|name| name.parse().ok());
            found.push(Resource { kind: IMAGE.into(), id: format!("{repository}:{tag}"), service });
        }
    }
    Ok(found)
}

/// Takes the tag away, and the image with its last stage's tag.
pub(super) async fn remove(shared: &Shared, clients: &Clients, site: Site<'_>, id: &str) -> PortResult<Progress<()>> {
    let ours = |(repository, tag): &(&str, &str)| {
        shared.names.service_of_repository(site.stage, repository).is_some() && is_tag_of(&site.stage.name, tag)
    };
    let Some((repository, tag)) = id.split_once(':').filter(ours) else {
        return Err(PortError::Bug { context: format!("image {id} is not this stage's to remove"), source: None });
    };
    ecr_images::untag(clients, repository, &[tag.to_owned()]).await?;
    Ok(Progress::Done(()))
}

fn superfluous(
    mut images: Vec<Image>,
    stage: &StageName,
    used: &BTreeSet<String>,
    keep: usize,
    young: Timestamp,
) -> Vec<String> {
    images.retain(|image| image.tags.iter().any(|tag| is_tag_of(stage, tag)));
    images.sort_by_key(|image| std::cmp::Reverse(image.pushed_at));
    let old = images.into_iter().skip(keep);
    let unneeded = old.filter(|image| !used.contains(&image.digest) && image.pushed_at < young);
    unneeded.flat_map(|image| image.tags).filter(|tag| is_tag_of(stage, tag)).collect()
}

async fn images(clients: &Clients, repository: &str) -> PortResult<Vec<Image>> {
    let mut pages = clients.ecr.describe_images().repository_name(repository).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(image) = pages.next().await {
        let image = match image {
            Ok(image) => image,
            Err(error) if is(&error, "RepositoryNotFoundException") => return Ok(Vec::new()),
            Err(error) => return Err(fault("ecr:DescribeImages", error)),
        };
        let pushed_at = image.image_pushed_at().and_then(|at| at.to_millis().ok());
        let (Some(digest), Some(pushed_at)) = (image.image_digest, pushed_at) else { continue };
        found.push(Image { digest, pushed_at: Timestamp(pushed_at), tags: image.image_tags.unwrap_or_default() });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{content_tag, stage_tag};

    /// An image that these stages use.
    fn image(content: u32, pushed_at: i64, stages: &[&str]) -> Image {
        let stages = stages.iter().map(|stage| stage_tag(&stage.parse().unwrap(), &hash(content)));
        let tags = stages.chain([content_tag(&hash(content))]).collect();
        Image { digest: content.to_string(), pushed_at: Timestamp(pushed_at), tags }
    }

    fn hash(content: u32) -> String {
        format!("{content:040}")
    }

    fn gone(images: Vec<Image>, stage: &str, used: &[u32], keep: usize) -> Vec<String> {
        let used = used.iter().map(u32::to_string).collect();
        superfluous(images, &stage.parse().unwrap(), &used, keep, Timestamp(1000))
    }

    #[test]
    fn a_preview_keeps_what_is_used_and_what_is_young() {
        let images = vec![
            image(1, 1, &["pr-1"]),
            image(2, 2, &["pr-1"]),
            image(3, 1000, &["pr-1"]),
            image(4, 3, &["pr-1-2", "pr-12"]),
            image(5, 4, &["pr-1", "prod"]),
        ];
        let tags = [5, 1].map(|content| format!("s-pr-1-{}", hash(content)));
        assert_eq!(gone(images, "pr-1", &[2], 0), tags);
    }

    #[test]
    fn a_permanent_stage_keeps_its_newest_and_what_a_release_names() {
        let images: Vec<Image> = (1..=25).map(|content| image(content, i64::from(content), &["prod"])).collect();
        let tags = [5, 4, 2].map(|content| format!("s-prod-{}", hash(content)));
        assert_eq!(gone(images, "prod", &[1, 3], KEPT), tags);
    }
}
