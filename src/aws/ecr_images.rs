//! The images in a repository of ECR, and the tags by which stages hold them.

use std::collections::BTreeSet;

use aws_sdk_ecr::types::{ImageFailureCode, ImageIdentifier};

use super::clients::Clients;
use super::fault::{fault, is};
use crate::model::{FailureKind, StageName};
use crate::port::{PortError, PortResult, is_content_tag, is_tag_of};

/// Source: `BatchDeleteImage`, `imageIds` has at most 100 items.
const MOST_AT_ONCE: usize = 100;
/// Source: `BatchGetImage`, `acceptedMediaTypes`; what is not named is answered as another type.
const MANIFESTS: [&str; 4] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
];

/// An image and its tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tagged {
    digest: String,
    tags: BTreeSet<String>,
}

/// What is taken from one image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Removal {
    digest: String,
    gone: BTreeSet<String>,
    /// Other users' tags; none where the image goes.
    kept: BTreeSet<String>,
}

/// The tags by which a stage holds images of a repository.
pub(super) fn tags_of_stage(images: &[Tagged], stage: &StageName) -> Vec<String> {
    let tags = images.iter().flat_map(|image| &image.tags);
    let mut tags: Vec<String> = tags.filter(|tag| is_tag_of(stage, tag)).cloned().collect();
    tags.sort();
    tags
}

/// Takes tags away, and every image that no stage's tag is left of. Absent is success.
pub(super) async fn untag(clients: &Clients, repository: &str, tags: &[String]) -> PortResult<()> {
    take(clients, repository, images(clients, repository).await?, tags).await
}

/// The same where it is known what lies there.
pub(super) async fn take(clients: &Clients, repository: &str, images: Vec<Tagged>, tags: &[String]) -> PortResult<()> {
    let (alone, shared): (Vec<Removal>, Vec<Removal>) =
        removals(images, tags).into_iter().partition(|removal| removal.kept.is_empty());
    // Those that nobody else uses go together.
    let gone: BTreeSet<String> = alone.into_iter().flat_map(|removal| removal.gone).collect();
    delete(clients, repository, &gone).await?;
    for removal in shared {
        remove(clients, repository, &removal).await?;
    }
    Ok(())
}

/// Decides what goes: an image that has the tag of its content alone serves nobody.
fn removals(images: Vec<Tagged>, tags: &[String]) -> Vec<Removal> {
    let mut removals = Vec::new();
    for Tagged { digest, tags: present } in images {
        let (mut gone, mut kept): (BTreeSet<_>, BTreeSet<_>) = present.into_iter().partition(|tag| tags.contains(tag));
        if gone.is_empty() {
            continue;
        }
        if kept.iter().all(|tag| is_content_tag(tag)) {
            gone.append(&mut kept);
        }
        removals.push(Removal { digest, gone, kept });
    }
    removals
}

/// An image that others use too.
async fn remove(clients: &Clients, repository: &str, removal: &Removal) -> PortResult<()> {
    // An endpoint may take the image with the first tag; then the other stages' tags are put back.
    let manifest = manifest(clients, repository, &removal.digest).await?;
    delete(clients, repository, &removal.gone).await?;
    if let Some((manifest, media_type)) = manifest {
        put_back(clients, repository, removal, &manifest, &media_type).await?;
    }
    Ok(())
}

/// Always by tag: ECR removes an image with its last one, so that a stage which begins to use the
/// image at this moment keeps it.
async fn delete(clients: &Clients, repository: &str, tags: &BTreeSet<String>) -> PortResult<()> {
    let tags: Vec<&String> = tags.iter().collect();
    for some in tags.chunks(MOST_AT_ONCE) {
        let ids = some.iter().map(|tag| ImageIdentifier::builder().image_tag(*tag).build()).collect();
        let request = clients.ecr.batch_delete_image().repository_name(repository).set_image_ids(Some(ids));
        let answer = request.send().await.map_err(|error| fault("ecr:BatchDeleteImage", error))?;
        let refused = answer.failures().iter().find(|f| f.failure_code() != Some(&ImageFailureCode::ImageNotFound));
        if let Some(refused) = refused {
            let reason = refused.failure_reason().unwrap_or("no reason given");
            let tag = refused.image_id().and_then(ImageIdentifier::image_tag).unwrap_or(some[0].as_str());
            return Err(PortError::failed(
                FailureKind::Environment,
                format!("ECR does not remove an image of {repository}: {reason}"),
                format!("Remove {tag} of the repository {repository} by hand."),
            ));
        }
    }
    Ok(())
}

async fn put_back(clients: &Clients, repository: &str, was: &Removal, text: &str, media: &str) -> PortResult<()> {
    let left: BTreeSet<String> = images(clients, repository).await?.into_iter().flat_map(|image| image.tags).collect();
    for tag in was.kept.difference(&left) {
        tracing::warn!(repository, tag, "a tag of another stage went along and is put back");
        let request = clients.ecr.put_image().repository_name(repository).image_tag(tag);
        let put = request.image_manifest(text).image_manifest_media_type(media).send().await;
        match put {
            Ok(_) => {}
            Err(error) if is(&error, "ImageAlreadyExistsException") || is(&error, "ImageTagAlreadyExistsException") => {
            }
            Err(error) => return Err(fault("ecr:PutImage", error)),
        }
    }
    Ok(())
}

async fn manifest(clients: &Clients, repository: &str, digest: &str) -> PortResult<Option<(String, String)>> {
    let id = ImageIdentifier::builder().image_digest(digest).build();
    let accepted = MANIFESTS.map(str::to_owned).to_vec();
    let request = clients.ecr.batch_get_image().repository_name(repository).image_ids(id);
    let answer = request.set_accepted_media_types(Some(accepted)).send().await;
    let answer = answer.map_err(|error| fault("ecr:BatchGetImage", error))?;
    let image = answer.images.unwrap_or_default().into_iter().next();
    Ok(image.and_then(|image| Some((image.image_manifest?, image.image_manifest_media_type?))))
}

/// Every tagged image; none where there is no repository.
pub(super) async fn images(clients: &Clients, repository: &str) -> PortResult<Vec<Tagged>> {
    let mut pages = clients.ecr.describe_images().repository_name(repository).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            Err(error) if is(&error, "RepositoryNotFoundException") => return Ok(Vec::new()),
            Err(error) => return Err(fault("ecr:DescribeImages", error)),
        };
        for image in page.image_details.unwrap_or_default() {
            let tags: BTreeSet<String> = image.image_tags.unwrap_or_default().into_iter().collect();
            if let (Some(digest), false) = (image.image_digest, tags.is_empty()) {
                found.push(Tagged { digest, tags });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{content_tag, stage_tag};

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn tags(content: &str, stages: &[&str]) -> BTreeSet<String> {
        let of = |name: &&str| stage_tag(&name.parse().expect("a name"), content);
        stages.iter().map(of).chain([content_tag(content)]).collect()
    }

    fn image(digest: &str, tags: BTreeSet<String>) -> Tagged {
        Tagged { digest: digest.into(), tags }
    }

    fn asked(content: &str, stage: &str) -> Vec<String> {
        vec![stage_tag(&stage.parse().expect("a name"), content)]
    }

    #[test]
    fn an_image_goes_with_its_last_stage_and_not_before() {
        let both = vec![image("a", tags(ONE, &["pr-1", "prod"])), image("b", tags(TWO, &["prod"]))];
        let first = removals(both, &asked(ONE, "pr-1"));
        let gone: BTreeSet<String> = asked(ONE, "pr-1").into_iter().collect();
        assert_eq!(first, [Removal { digest: "a".into(), gone, kept: tags(ONE, &["prod"]) }]);

        let last = removals(vec![image("a", tags(ONE, &["prod"]))], &asked(ONE, "prod"));
        assert_eq!(last, [Removal { digest: "a".into(), gone: tags(ONE, &["prod"]), kept: BTreeSet::new() }]);
    }

    #[test]
    fn nothing_goes_that_was_not_asked_for() {
        let images = vec![image("a", tags(ONE, &["pr-11"])), image("b", BTreeSet::from(["c-by-hand".to_owned()]))];
        assert_eq!(removals(images.clone(), &asked(ONE, "pr-1")), []);
        assert_eq!(removals(images, &[]), []);
        // A tag that somebody put by hand keeps the image.
        let mut held = tags(ONE, &["pr-1"]);
        held.insert("keep".into());
        assert!(removals(vec![image("a", held)], &asked(ONE, "pr-1"))[0].kept.contains("keep"));
    }

    #[test]
    fn one_content_under_two_names_is_one_image() {
        // A build that can be repeated byte for byte gives two sources one digest.
        let two = tags(ONE, &["pr-1"]).into_iter().chain(tags(TWO, &["pr-2"])).collect();
        let removal = removals(vec![image("a", two)], &asked(ONE, "pr-1")).remove(0);
        assert_eq!(removal.gone, asked(ONE, "pr-1").into_iter().collect());
        assert!(removal.kept.is_superset(&tags(TWO, &["pr-2"])));
    }
}
