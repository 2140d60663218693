//! What things are called on AWS, and the tags that everything carries.
//!
//! Names follow from the stage alone, so that what a killed process made is found again.

use sha2::{Digest, Sha256};

use crate::model::{Place, RepoName, ServiceName, StageId, StageKind};
use crate::port::{owner_path, repository_path};

/// The tags by which everything of a stage is found.
pub(super) const TAG_APP: &str = "greenroom:app";
pub(super) const TAG_REPO: &str = "greenroom:repo";
pub(super) const TAG_STAGE: &str = "greenroom:stage";
pub(super) const TAG_GENERATION: &str = "greenroom:generation";
/// On an ECS service: by what mark a copy beside it is known that is tried.
pub(super) const TAG_CANARY: &str = "greenroom:canary";
/// On the stage's stack: `ephemeral`, `permanent`, `production`.
pub(super) const TAG_KIND: &str = "greenroom:kind";
/// On the stage's stack: the name under which its hosts lie.
pub(super) const TAG_BASE: &str = "greenroom:base";
/// On everything: the name of the Greenroom that made it.
pub(super) const TAG_OWNER: &str = "greenroom:owner";
/// On the user's own secrets: whose programs may read them, `owner/name` for the repository's previews or
/// `owner/name/stage` for a permanent stage. No repository's name is the beginning of another's.
pub(super) const TAG_ACCESS: &str = "greenroom:access";

/// On a foundation: `true` where it is to outlive its stage, because data lies there.
pub(super) const TAG_RETAIN: &str = "greenroom:retain";

/// On the session of a role, besides: the stage's stack, which begins its names.
pub(super) const SESSION_STACK: &str = "greenroom:stack";
/// On the session of a role, besides: what begins the repositories of its images.
pub(super) const SESSION_IMAGES: &str = "greenroom:images";

/// The label of a container that tells its version; read back from the task definition.
pub(super) const LABEL_VERSION: &str = "greenroom.version";

/// Longest name of a stage without its prefix, so that a stack's name (128 characters) and a family
/// (255) have room. Source: `CreateStack`, `RegisterTaskDefinition`.
const LONGEST: usize = 80;

/// Names for one Greenroom.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The prefix itself, the value of [`TAG_OWNER`].
    pub(super) fn owner(&self) -> &str {
        &self.prefix
    }

    /// `greenroom-pr-42-shop-1a2b3c`: the stage's stack. The hash tells apart what shortening or
    /// another owner's repository of the same name would make equal.
    pub(super) fn stage_stack(&self, stage: &StageId) -> String {
        format!("{}-{}", self.prefix, unique(stage))
    }

    /// The stack of what the stage shares with others.
    pub(super) fn foundation_stack(&self, stage: &StageId, place: &Place) -> String {
        match place.kind {
            StageKind::Ephemeral => self.previews_foundation(),
            StageKind::Permanent | StageKind::Production => format!("{}-foundation", self.stage_stack(stage)),
        }
    }

    /// The stack that all stages of an account and region share that come and go.
    pub(super) fn previews_foundation(&self) -> String {
        format!("{}-previews-foundation", self.prefix)
    }

    /// The family of a service's task definitions.
    pub(super) fn family(&self, stage: &StageId, service: &ServiceName) -> String {
        format!("{}-{service}", self.stage_stack(stage))
    }

    /// Begins the families of a stage, and of none other.
    pub(super) fn families(&self, stage: &StageId) -> String {
        format!("{}-", self.stage_stack(stage))
    }

    /// `/greenroom/acme/shop/pr-42/web`
    pub(super) fn log_group(&self, stage: &StageId, service: &ServiceName) -> String {
        format!("{}{service}", self.log_groups(stage))
    }

    /// Begins the log groups of a stage, and of none other.
    pub(super) fn log_groups(&self, stage: &StageId) -> String {
        format!("/{}/{}/{}/", self.prefix, stage.repo, stage.name)
    }

    /// Begins the log groups of every stage.
    pub(super) fn all_log_groups(&self) -> String {
        format!("/{}/", self.prefix)
    }

    /// Whose log group it is by its name.
    pub(super) fn stage_of_log_group(&self, group: &str) -> Option<StageId> {
        let mut parts = group.strip_prefix(&self.all_log_groups())?.split('/');
        let (owner, repo, stage, service) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let id = StageId { repo: format!("{owner}/{repo}").parse().ok()?, name: stage.parse().ok()? };
        (!service.is_empty() && parts.next().is_none()).then_some(id)
    }

    /// The service whose images a repository holds, if it is one of the stage's repository. What lies
    /// deeper, such as a cache, holds images of no stage.
    pub(super) fn service_of_repository(&self, stage: &StageId, repository: &str) -> Option<ServiceName> {
        let service = repository.rsplit('/').next()?.parse().ok()?;
        (self.repository(stage, &service) == repository).then_some(service)
    }

    /// `greenroom/acme/shop/web`: the images of a service, of all stages. Source: `CreateRepository`
    /// takes lower-case letters, digits, and `-_./` between them, 2 to 256 characters.
    pub(super) fn repository(&self, stage: &StageId, service: &ServiceName) -> String {
        format!("{}/{}", self.prefix.to_lowercase(), repository_path(&stage.repo, service))
    }

    /// `greenroom/acme/shop`: begins the repositories of a repository's images, and of none other's.
    pub(super) fn repositories(&self, stage: &StageId) -> String {
        self.repositories_of(&stage.repo)
    }

    /// The same of a repository.
    pub(super) fn repositories_of(&self, repo: &RepoName) -> String {
        format!("{}/{}", self.prefix.to_lowercase(), owner_path(repo))
    }

    /// `/greenroom/greenroom-previews-foundation/`: where a foundation's roles lie, apart from all
    /// that are made by hand. Source: `CreateRole`, up to 512 characters.
    pub(super) fn role_path(&self, stage: &StageId, place: &Place) -> String {
        format!("/{}/{}/", self.prefix, self.foundation_stack(stage, place))
    }

    /// Where the roles of a stage's programs lie: for previews apart for each repository, so that a
    /// session passes those of its own alone.
    pub(super) fn program_role_path(&self, stage: &StageId, place: &Place) -> String {
        match place.kind {
            StageKind::Ephemeral => format!("{}repo/{}/", self.role_path(stage, place), stage.repo),
            StageKind::Permanent | StageKind::Production => self.role_path(stage, place),
        }
    }

    /// `greenroom/acme/shop/web/cache`: one level deeper than any service's images.
    pub(super) fn cache_repository(&self, stage: &StageId, service: &ServiceName) -> String {
        format!("{}/cache", self.repository(stage, service))
    }
}

/// `pr-42-shop-1a2b3c`
fn unique(stage: &StageId) -> String {
    let text = stage.to_string();
    let hash = hex::encode(&Sha256::digest(text.as_bytes())[..4]);
    let repo = stage.repo.as_str().rsplit('/').next().unwrap_or_default();
    let letters = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let mut slug: String = format!("{}-{repo}", stage.name).chars().map(letters).collect();
    slug.truncate(LONGEST - hash.len() - 1);
    format!("{}-{hash}", slug.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(text: &str) -> StageId {
        let (repo, name) = text.rsplit_once('/').unwrap();
        StageId { repo: repo.parse().unwrap(), name: name.parse().unwrap() }
    }

    #[test]
    fn names_tell_stages_apart_and_fit() {
        let names = Names::new("greenroom");
        let web: ServiceName = "web".parse().unwrap();
        insta::assert_snapshot!(names.family(&stage("acme/shop.js/pr-42"), &web), @"greenroom-pr-42-shop-js-2969e13a-web");
        assert_ne!(names.stage_stack(&stage("acme/shop/pr-4")), names.stage_stack(&stage("evil/shop/pr-4")));
        let long = stage(&format!("acme/{}/pr-1", "x".repeat(100)));
        assert!(names.foundation_stack(&long, &Place::default()).len() <= 128);
        assert!(names.family(&long, &web).len() <= 255);
        assert_eq!(names.repository(&stage("Acme/Shop/pr-1"), &web), "greenroom/acme/shop/web");
        let pr = stage("acme/shop.js/pr-1");
        for repo in ["acme/shop.js/pr-1", "acme/.github/pr-1", "acme/a--b/pr-1"].map(stage) {
            assert!(names.repository(&repo, &web).starts_with(&format!("{}/", names.repositories(&repo))), "{repo}");
        }
        assert_eq!(names.service_of_repository(&pr, &names.repository(&pr, &web)), Some(web.clone()));
        for other in [names.cache_repository(&pr, &web), "greenroom/acme/shop/web".into(), "web".into()] {
            assert_eq!(names.service_of_repository(&pr, &other), None, "{other}");
        }
        assert_eq!(names.stage_of_log_group(&names.log_group(&pr, &web)), Some(pr));
        for other in ["/greenroom/acme/shop", "/greenroom/acme/shop/pr-1/web/more", "/other/acme/shop/pr-1/web"] {
            assert_eq!(names.stage_of_log_group(other), None, "{other}");
        }
    }
}
