//! The place of one content in a registry, and how an image there is taken for a stage.
//!
//! # Guarantees
//!
//! - The digest is what the registry answers, computed from the manifest's own bytes; what the target
//!   could not start is refused here.
//! - Another server may do the same at the same moment: a tag that is there already is success.

use super::docker::Docker;
use super::manifest::{self, Kind, check_platform, refused};
use super::registry::open;
use super::remote::{Remote, Stored};
use crate::model::{Artifact, Platform, ServiceName};
use crate::port::{PortResult, Registry, Repository, Site, content_tag, stage_tag};

/// A repository, and the tags that the image has there.
pub(super) struct Shelf {
    pub(super) repository: Repository,
    pub(super) remote: Remote,
    /// The tag of the content.
    pub(super) content: String,
    stage: String,
}

impl Shelf {
    /// `content`: the digits of its hash.
    pub(super) async fn open(
        registry: &dyn Registry,
        docker: &Docker,
        site: Site<'_>,
        service: &ServiceName,
        content: &str,
    ) -> PortResult<Self> {
        let repository = registry.repository(site, service).await?;
        let remote = open(&repository, docker).await?;
        Ok(Self { repository, remote, content: content_tag(content), stage: stage_tag(&site.stage.name, content) })
    }

    /// The image if its content is in the registry, marked as in use by this stage.
    pub(super) async fn take(&self, service: &ServiceName, platform: Option<Platform>) -> PortResult<Option<Artifact>> {
        let stored = match self.remote.manifest(&self.stage).await? {
            Some(stored) => {
                self.check(service, platform, &stored).await?;
                stored
            }
            None => {
                let Some(stored) = self.remote.manifest(&self.content).await? else { return Ok(None) };
                self.check(service, platform, &stored).await?;
                let put = self.remote.tag(&self.stage, &stored).await;
                // The image may have gone with its last user just now; an immutable repository
                // refuses a tag that a twin of this put.
                match (self.remote.manifest(&self.stage).await?, put) {
                    (Some(tagged), _) => tagged,
                    (None, Err(error)) => return Err(error),
                    (None, Ok(())) => return Ok(None),
                }
            }
        };
        let reference = format!("{}@{}", self.repository.address, stored.digest);
        Ok(Some(Artifact { reference, digest: stored.digest }))
    }

    /// Refuses what ECS could not start. Lambda takes no index at all: aws/aws-lambda-roadmap#82.
    async fn check(&self, service: &ServiceName, platform: Option<Platform>, stored: &Stored) -> PortResult<()> {
        let refuse = |reason: String| refused(service, &reason);
        let platforms = match manifest::read(&stored.media_type, &stored.bytes).map_err(refuse)? {
            Kind::Index { platforms } => platforms,
            Kind::Image { config } => {
                let config = self.remote.blob(&config).await?;
                vec![manifest::platform_of(&config).map_err(refuse)?]
            }
        };
        check_platform(service, platform, &platforms)
    }
}
