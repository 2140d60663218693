//! Where the target pulls images from.
//!
//! An image is in the repository of its service once for its content, under the tag
//! [`content_tag`], and has one more tag, [`stage_tag`], for each stage that uses it: the tags are
//! the count of its users. Who takes away the last stage's tag takes the image away.

use async_trait::async_trait;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::{PortResult, Site};
use crate::model::{RepoName, ServiceName, StageName};

/// Digits of the hash in a tag: 160 bits, so that nobody can prepare two contents of one name.
/// Source: a tag has at most 128 characters (OCI distribution specification, "Pulling manifests").
pub const CONTENT_DIGITS: usize = 40;

/// The repository of one service's images, with what it takes to read and write it.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Host, port and path, without a scheme: `123456789012.dkr.ecr.eu-west-1.amazonaws.com/greenroom/acme/shop/web`.
    pub address: String,
    /// `None` uses what the Docker configuration of this host knows.
    pub login: Option<RegistryLogin>,
}

/// Name and password for a registry.
#[derive(Debug, Clone)]
pub struct RegistryLogin {
    pub user: String,
    pub password: SecretString,
}

/// A registry that the target pulls from.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// The service's repository, made if it is not there, and a login that is good for an hour.
    async fn repository(&self, site: Site<'_>, service: &ServiceName) -> PortResult<Repository>;

    /// A repository for the service's build cache, made if it is not there; its login is that of
    /// [`Self::repository`]. Its tags may be written again, whatever holds for images. `None`
    /// where no cache is kept.
    async fn cache(&self, _site: Site<'_>, _service: &ServiceName) -> PortResult<Option<String>> {
        Ok(None)
    }

    /// Takes these tags from the repository, and every image that no stage uses any more. Absent
    /// is success.
    async fn untag(&self, site: Site<'_>, service: &ServiceName, tags: &[String]) -> PortResult<()>;
}

/// `acme/shop/web`: where a service's images are in any registry, of all its stages.
///
/// A registry admits less than GitHub does: lower case, and one separator between words. What had
/// to be changed for it, lower case apart, gets a hash. Source: OCI distribution specification,
/// "Pulling manifests".
pub fn repository_path(repo: &RepoName, service: &ServiceName) -> String {
    format!("{}/{service}", owner_path(repo))
}

/// Begins the path of every service of a repository: `acme/shop`.
pub fn owner_path(repo: &RepoName) -> String {
    repo.as_str().split('/').map(path_part).collect::<Vec<_>>().join("/")
}

fn path_part(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_plain = words.len() == lower.matches(|c: char| !c.is_ascii_alphanumeric()).count() + 1;
    if is_plain {
        return lower;
    }
    let hash = hex::encode(&Sha256::digest(lower.as_bytes())[..4]);
    words.into_iter().chain([hash.as_str()]).collect::<Vec<_>>().join("-")
}

/// `c-<hash>`: the image of this content, for all stages.
pub fn content_tag(content: &str) -> String {
    format!("c-{content}")
}

/// `s-<stage>-<hash>`: the image of this content is in use by that stage.
pub fn stage_tag(stage: &StageName, content: &str) -> String {
    format!("s-{stage}-{content}")
}

/// Whether it is a tag that [`content_tag`] made: it keeps no image alive.
pub fn is_content_tag(tag: &str) -> bool {
    tag.strip_prefix("c-").is_some_and(is_content)
}

/// Whether it is a tag that [`stage_tag`] made for that stage, and for none whose name goes on.
pub fn is_tag_of(stage: &StageName, tag: &str) -> bool {
    let rest = tag.strip_prefix("s-").and_then(|rest| rest.strip_prefix(stage.as_str()));
    rest.and_then(|rest| rest.strip_prefix('-')).is_some_and(is_content)
}

fn is_content(text: &str) -> bool {
    text.len() == CONTENT_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_repository_has_a_path_of_its_own_that_registries_admit() {
        let service: ServiceName = "web".parse().expect("a name");
        let path = |repo: &str| repository_path(&repo.parse().expect("a name"), &service);
        assert_eq!(path("Acme/shop.js"), "acme/shop.js/web");
        assert_eq!(path("a-b/my_shop"), "a-b/my_shop/web");
        insta::assert_snapshot!(path("acme/-a..b_"), @"acme/a-b-bd0ab378/web");
        assert_ne!(path("acme/a..b"), path("acme/a.b"));
        assert_ne!(path("acme/a..b"), path("acme/a--b"));
    }

    #[test]
    fn a_tag_tells_its_stage_and_no_other() {
        let stage = |name: &str| name.parse::<StageName>().expect("a name");
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let tag = stage_tag(&stage("pr-4"), hash);
        assert_eq!(tag, "s-pr-4-0123456789abcdef0123456789abcdef01234567");
        for (other, is_his) in [("pr-4", true), ("pr", false), ("pr-42", false), ("4", false)] {
            assert_eq!(is_tag_of(&stage(other), &tag), is_his, "{other}");
        }
        // A stage whose name ends as a hash begins: the hash has a fixed length.
        assert!(!is_tag_of(&stage("pr"), &stage_tag(&stage("pr-4"), hash)));
        assert!(is_content_tag(&content_tag(hash)));
        for other in ["c-", "c-latest", "latest", &tag] {
            assert!(!is_content_tag(other), "{other}");
        }
        let longest = stage(&"x".repeat(40));
        assert!(stage_tag(&longest, hash).len() <= 128);
    }
}
