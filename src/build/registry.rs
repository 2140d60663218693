//! Any OCI registry as the place of images: [`OciRegistry`].
//!
//! Its login is this host's own, from `docker login` or a credential helper. Repositories come into
//! being with the first push, as nearly every registry does it.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::credentials::HostConfig;
use super::docker::Docker;
use super::remote::{Remote, Removal, Stored, digest_of};
use super::source::blocking;
use crate::model::ServiceName;
use crate::port::{PortResult, Registry, Repository, Site, is_content_tag, repository_path};

/// [`Registry`] in a registry that speaks the OCI distribution protocol and nothing else.
#[derive(Debug, Clone)]
pub struct OciRegistry {
    prefix: String,
    docker: Docker,
}

impl OciRegistry {
    /// `prefix` is host and path without a scheme: `registry.example/team`. `docker_env` is that of
    /// the builder: it names the Docker configuration that holds the login.
    pub fn new(prefix: &str, docker_env: Vec<(String, String)>) -> Self {
        Self { prefix: prefix.trim_end_matches('/').to_owned(), docker: Docker::new("docker".into(), docker_env) }
    }

    fn address(&self, site: Site<'_>, service: &ServiceName) -> String {
        format!("{}/{}", self.prefix, repository_path(&site.stage.repo, service))
    }

    async fn remote(&self, site: Site<'_>, service: &ServiceName) -> PortResult<Remote> {
        open(&Repository { address: self.address(site, service), login: None }, &self.docker).await
    }
}

/// A repository with its own login, or with that of this host.
pub(super) async fn open(repository: &Repository, docker: &Docker) -> PortResult<Remote> {
    let login = match &repository.login {
        Some(login) => Some(login.clone()),
        None => {
            let reading = docker.clone();
            let config = blocking(move || Ok(HostConfig::read(&reading))).await?;
            config.login(docker, repository.address.split('/').next().unwrap_or_default()).await
        }
    };
    Remote::new(&repository.address, login, docker)
}

#[async_trait]
impl Registry for OciRegistry {
    async fn repository(&self, site: Site<'_>, service: &ServiceName) -> PortResult<Repository> {
        Ok(Repository { address: self.address(site, service), login: None })
    }

    async fn cache(&self, site: Site<'_>, service: &ServiceName) -> PortResult<Option<String>> {
        Ok(Some(format!("{}/cache", self.address(site, service))))
    }

    /// A registry that removes nothing keeps the image; its own retention has to remove it.
    async fn untag(&self, site: Site<'_>, service: &ServiceName, tags: &[String]) -> PortResult<()> {
        let remote = self.remote(site, service).await?;
        for tag in tags {
            untag(&remote, tag).await?;
        }
        Ok(())
    }
}

/// Takes one tag away, and its image if only tags of its content are left.
async fn untag(remote: &Remote, tag: &str) -> PortResult<()> {
    let Some(image) = remote.manifest(tag).await? else { return Ok(()) };
    if detach(remote, tag, &image).await? == Removal::Unsupported {
        tracing::debug!(tag, image.digest, "the registry removes nothing: the image stays");
        return Ok(());
    }
    let mut contents = Vec::new();
    for other in remote.tags().await? {
        if remote.manifest(&other).await?.is_none_or(|found| found.digest != image.digest) {
            continue;
        }
        if !is_content_tag(&other) {
            // Its own turn comes, or it is another stage's.
            return Ok(());
        }
        contents.push(other);
    }
    for content in contents {
        detach(remote, &content, &image).await?;
    }
    remote.remove(&image.digest).await.map(drop)
}

/// Takes a tag from an image. Many registries remove images and no tags: there the tag moves to a
/// manifest of the same layers that says that it is nothing, and that one is removed.
async fn detach(remote: &Remote, tag: &str, image: &Stored) -> PortResult<Removal> {
    if remote.remove(tag).await? == Removal::Removed {
        return Ok(Removal::Removed);
    }
    let Some(tombstone) = tombstone(tag, image) else { return Ok(Removal::Unsupported) };
    remote.tag(tag, &tombstone).await?;
    let removed = remote.remove(&tombstone.digest).await?;
    if removed == Removal::Unsupported {
        // Nothing is removed here at all: the tag goes back to where it was.
        remote.tag(tag, image).await?;
    }
    Ok(removed)
}

/// The same manifest with an annotation that makes its digest another one.
fn tombstone(tag: &str, image: &Stored) -> Option<Stored> {
    let mut manifest: Map<String, Value> = serde_json::from_slice(&image.bytes).ok()?;
    manifest.insert("annotations".into(), json!({ "greenroom.removed": tag }));
    let bytes = serde_json::to_vec(&manifest).ok()?;
    Some(Stored { digest: digest_of(&bytes), media_type: image.media_type.clone(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_marks_a_removed_tag_is_never_the_image_itself() {
        let bytes = br#"{"schemaVersion":2,"layers":[],"annotations":{"a":"b"}}"#.to_vec();
        let image = Stored { digest: digest_of(&bytes), media_type: "t".into(), bytes };
        let (one, two) = (tombstone("s-1", &image), tombstone("s-2", &image));
        assert_ne!(one.as_ref().map(|stone| &stone.digest), Some(&image.digest));
        assert_ne!(one, two);
        let broken = Stored { bytes: b"[]".to_vec(), ..image };
        assert_eq!(tombstone("s-1", &broken), None);
    }
}
