//! Repositories of images in ECR.
//!
//! # Guarantees
//!
//! - A repository is made with a scan on push, with tags that nobody can move, and with one
//!   lifecycle rule that cannot reach a live image: untagged ones alone expire. Whatever runs has a
//!   tag of its stage.
//! - An image goes with the tag of the last stage that used it, and never with another one's.
//! - The repositories are every stage's: none is removed with a stage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use aws_sdk_ecr::types::{
    AuthorizationData, EncryptionConfiguration, EncryptionType, ImageScanningConfiguration, ImageTagMutability, Tag,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::clients::Clients;
use super::fault::{fault, is};
use super::{Shared, ecr_images, names};
use crate::model::{ServiceName, Timestamp};
use crate::port::{PortError, PortResult, Registry, RegistryLogin, Repository, Site};

/// A login that ends sooner is renewed. Source: `GetAuthorizationToken`, tokens are valid for 12 h.
const RENEW_BEFORE_MILLIS: i64 = 60 * 60 * 1000;

/// One build asks for its repository several times.
const FOUND_MILLIS: i64 = 60 * 1000;

/// The one rule of an image repository. ECR does not know what ECS runs; a rule that counts or ages
/// tagged images deletes live ones.
const UNTAGGED_EXPIRE: &str = r#"{"rules":[{"rulePriority":1,"description":"Greenroom: what no stage uses","selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":14},"action":{"type":"expire"}}]}"#;

/// In a cache nothing is live.
const CACHE_EXPIRES: &str = r#"{"rules":[{"rulePriority":1,"description":"Greenroom: build cache","selection":{"tagStatus":"any","countType":"sinceImagePushed","countUnit":"days","countNumber":14},"action":{"type":"expire"}}]}"#;

/// Region, account and name of a repository.
type Key = (String, String, String);

/// [`Registry`] in ECR.
pub struct Ecr {
    shared: Arc<Shared>,
    /// By region and account.
    logins: Mutex<BTreeMap<(String, String), Login>>,
    /// Repositories whose lifecycle rule was seen.
    ruled: Mutex<BTreeSet<Key>>,
    /// Addresses of repositories that were there, and when.
    found: Mutex<BTreeMap<Key, (Timestamp, String)>>,
}

#[derive(Clone)]
struct Login {
    login: RegistryLogin,
    expires: Timestamp,
}

/// What a repository is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Images,
    /// A cache is written again under the same tag, which an immutable repository refuses.
    Cache,
}

impl Ecr {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, logins: Mutex::default(), ruled: Mutex::default(), found: Mutex::default() }
    }

    /// The repository's address, made if it is not there.
    async fn ensure(&self, clients: &Clients, name: &str, purpose: Purpose, site: Site<'_>) -> PortResult<String> {
        let key = (clients.region.clone(), clients.account.clone(), name.to_owned());
        let now = self.shared.settings.clock.now();
        let known = locked(&self.found).get(&key).filter(|(at, _)| now.since(*at) < FOUND_MILLIS).cloned();
        let uri = match known {
            Some((_, uri)) => uri,
            None => {
                let uri = match find(clients, name).await? {
                    Some(uri) => uri,
                    None => self.create(clients, name, purpose, site).await?,
                };
                locked(&self.found).insert(key, (now, uri.clone()));
                uri
            }
        };
        self.ensure_rule(clients, name, purpose).await?;
        Ok(match self.shared.settings.registry.as_deref() {
            Some(other) => format!("{}/{name}", host_of(other)),
            None => uri,
        })
    }

    async fn create(&self, clients: &Clients, name: &str, purpose: Purpose, site: Site<'_>) -> PortResult<String> {
        let mutability = match purpose {
            Purpose::Images => ImageTagMutability::Immutable,
            Purpose::Cache => ImageTagMutability::Mutable,
        };
        let scan = ImageScanningConfiguration::builder().scan_on_push(purpose == Purpose::Images).build();
        let encryption = EncryptionConfiguration::builder().encryption_type(EncryptionType::Aes256).build();
        let encryption = encryption.map_err(|error| PortError::bug("writing ecr:CreateRepository", error))?;
        let made = clients
            .ecr
            .create_repository()
            .repository_name(name)
            .image_tag_mutability(mutability)
            .image_scanning_configuration(scan)
            .encryption_configuration(encryption)
            .set_tags(Some(self.tags(site)?))
            .send()
            .await;
        match made {
            Ok(made) => {
                tracing::info!(repository = name, "made a repository for images");
                let uri = made.repository.and_then(|repository| repository.repository_uri);
                uri.ok_or_else(|| PortError::retry(format!("ecr:CreateRepository named no address of {name}")))
            }
            // Another stage made it at the same moment.
            Err(error) if is(&error, "RepositoryAlreadyExistsException") => find(clients, name)
                .await?
                .ok_or_else(|| PortError::retry(format!("the repository {name} is being made or removed"))),
            Err(error) => Err(fault("ecr:CreateRepository", error)),
        }
    }

    /// It belongs to no stage, so it carries none's name.
    fn tags(&self, site: Site<'_>) -> PortResult<Vec<Tag>> {
        let app = site.place.app.as_ref().map(ToString::to_string);
        let pairs = [
            (names::TAG_OWNER, Some(self.shared.names.owner().to_owned())),
            (names::TAG_REPO, Some(site.stage.repo.to_string())),
            (names::TAG_APP, app),
        ];
        let tags = pairs.into_iter().filter_map(|(key, value)| Some(Tag::builder().key(key).value(value?).build()));
        tags.collect::<Result<_, _>>().map_err(|error| PortError::bug("writing the tags of a repository", error))
    }

    /// Puts the rule where there is none: a rule that somebody wrote stays.
    async fn ensure_rule(&self, clients: &Clients, name: &str, purpose: Purpose) -> PortResult<()> {
        let key = (clients.region.clone(), clients.account.clone(), name.to_owned());
        if locked(&self.ruled).contains(&key) {
            return Ok(());
        }
        match clients.ecr.get_lifecycle_policy().repository_name(name).send().await {
            Ok(_) => {}
            Err(error) if is(&error, "LifecyclePolicyNotFoundException") => {
                let rule = match purpose {
                    Purpose::Images => UNTAGGED_EXPIRE,
                    Purpose::Cache => CACHE_EXPIRES,
                };
                let put = clients.ecr.put_lifecycle_policy().repository_name(name).lifecycle_policy_text(rule);
                put.send().await.map_err(|error| fault("ecr:PutLifecyclePolicy", error))?;
            }
            Err(error) => return Err(fault("ecr:GetLifecyclePolicy", error)),
        }
        locked(&self.ruled).insert(key);
        Ok(())
    }

    async fn login(&self, clients: &Clients) -> PortResult<RegistryLogin> {
        let key = (clients.region.clone(), clients.account.clone());
        let now = self.shared.settings.clock.now();
        let known = locked(&self.logins).get(&key).cloned();
        if let Some(known) = known.filter(|known| known.expires > now.after_millis(RENEW_BEFORE_MILLIS)) {
            return Ok(known.login);
        }
        let answer = clients.ecr.get_authorization_token().send().await;
        let answer = answer.map_err(|error| fault("ecr:GetAuthorizationToken", error))?;
        let login = answer.authorization_data().first().and_then(|data| login_from(data, now));
        let login = login.ok_or_else(|| PortError::retry("ecr:GetAuthorizationToken answered no login"))?;
        locked(&self.logins).insert(key, login.clone());
        Ok(login.login)
    }
}

#[async_trait]
impl Registry for Ecr {
    async fn repository(&self, site: Site<'_>, service: &ServiceName) -> PortResult<Repository> {
        let clients = Box::pin(self.shared.sessions.at(site)).await?;
        let name = self.shared.names.repository(site.stage, service);
        let address = self.ensure(&clients, &name, Purpose::Images, site).await?;
        Ok(Repository { address, login: Some(self.login(&clients).await?) })
    }

    async fn cache(&self, site: Site<'_>, service: &ServiceName) -> PortResult<Option<String>> {
        let clients = Box::pin(self.shared.sessions.at(site)).await?;
        let name = self.shared.names.cache_repository(site.stage, service);
        self.ensure(&clients, &name, Purpose::Cache, site).await.map(Some)
    }

    async fn untag(&self, site: Site<'_>, service: &ServiceName, tags: &[String]) -> PortResult<()> {
        let clients = Box::pin(self.shared.sessions.at(site)).await?;
        ecr_images::untag(&clients, &self.shared.names.repository(site.stage, service), tags).await
    }
}

/// Whether images are kept in ECR: with no other registry, with one whose host is that of the AWS
/// endpoint, and with one that is named as ECR's own are.
pub fn is_ecr(registry: Option<&str>, endpoint: Option<&str>) -> bool {
    let Some(registry) = registry else { return true };
    let host = host_of(registry);
    let of_endpoint = endpoint.and_then(|endpoint| endpoint.split_once("://")).map(|(_, rest)| host_of(rest));
    of_endpoint.is_some_and(|endpoint| is_same(endpoint, host)) || has_ecr_shape(host)
}

/// This machine has more than one name: a Docker engine may know an endpoint by another of them.
fn is_same(one: &str, other: &str) -> bool {
    let parts = |host: &str| {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        let is_here = name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]";
        (if is_here { "localhost".to_owned() } else { name.to_ascii_lowercase() }, port.to_owned())
    };
    parts(one) == parts(other)
}

/// `123456789012.dkr.ecr.eu-west-1.amazonaws.com`, `.cn` in China; `dkr.ecr-fips` is the other door
/// of the same. Source: ECR's user guide, "Amazon ECR private registry".
fn has_ecr_shape(host: &str) -> bool {
    let parts: Vec<&str> = host.split('.').collect();
    let [account, "dkr", "ecr" | "ecr-fips", _, "amazonaws", "com", rest @ ..] = parts.as_slice() else { return false };
    account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && matches!(rest, [] | ["cn"])
}

/// Host and port. In ECR a repository's name is its whole path, so a path in the setting has no place.
fn host_of(registry: &str) -> &str {
    registry.split('/').next().unwrap_or_default()
}

async fn find(clients: &Clients, name: &str) -> PortResult<Option<String>> {
    match clients.ecr.describe_repositories().repository_names(name).send().await {
        Ok(found) => Ok(found.repositories().first().and_then(|found| found.repository_uri.clone())),
        Err(error) if is(&error, "RepositoryNotFoundException") => Ok(None),
        Err(error) => Err(fault("ecr:DescribeRepositories", error)),
    }
}

/// The token is `user:password` in Base64.
fn login_from(data: &AuthorizationData, now: Timestamp) -> Option<Login> {
    let text = String::from_utf8(STANDARD.decode(data.authorization_token()?).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    let login = RegistryLogin { user: user.to_owned(), password: SecretString::from(password) };
    let expires = data.expires_at().and_then(|at| at.to_millis().ok()).map_or(now, Timestamp);
    Some(Login { login, expires })
}

/// A value that is whole even after a panic elsewhere.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::aws::scripted::Scripted;

    #[tokio::test]
    async fn one_build_looks_for_its_repository_once() {
        const LOOK: &str = "ecr:DescribeRepositories";
        let w = Scripted::new();
        w.script.tells(LOOK, r#"{"repositories":[{"repositoryUri":"registry.example/greenroom/acme/shop/web"}]}"#);
        w.script.tells("ecr:GetLifecyclePolicy", r#"{"lifecyclePolicyText":"{}"}"#);
        let token = r#"{"authorizationData":[{"authorizationToken":"QVdTOnA=","expiresAt":9999999}]}"#;
        w.script.tells("ecr:GetAuthorizationToken", token);
        let (ecr, web) = (Ecr::new(Arc::clone(&w.shared)), "web".parse().unwrap());
        for (millis, looks) in [(1_000, 1), (60_999, 1), (61_000, 2)] {
            w.clock.set(millis);
            let found = ecr.repository(w.site(), &web).await.expect("it is there");
            assert_eq!(found.address, "registry.example/greenroom/acme/shop/web");
            assert_eq!(w.script.count(LOOK), looks, "at {millis}");
        }
    }

    #[test]
    fn the_registry_of_the_account_is_told_from_others() {
        let local = Some("http://127.0.0.1:4566");
        for (registry, endpoint, expected) in [
            (None, None, true),
            (Some("123456789012.dkr.ecr.eu-west-1.amazonaws.com"), None, true),
            (Some("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/x"), local, true),
            (Some("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com"), None, true),
            (Some("127.0.0.1:4566"), local, true),
            (Some("localhost:4566/team"), local, true),
            (Some("localhost:5000"), local, false),
            (Some("127.0.0.1:5000"), local, false),
            (Some("127.0.0.1:4566"), None, false),
            (Some("registry.example/team"), local, false),
            (Some("12345.dkr.ecr.eu-west-1.amazonaws.com"), None, false),
            (Some("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example"), None, false),
        ] {
            assert_eq!(is_ecr(registry, endpoint), expected, "{registry:?} {endpoint:?}");
        }
    }

    #[test]
    fn a_login_is_read_from_the_token_and_nothing_else_is() {
        let token = |text: &str| {
            let token = STANDARD.encode(text);
            AuthorizationData::builder().authorization_token(token).build()
        };
        let read = login_from(&token("AWS:a:b"), Timestamp(5)).expect("a login");
        assert_eq!((read.login.user.as_str(), read.login.password.expose_secret()), ("AWS", "a:b"));
        assert_eq!(read.expires, Timestamp(5), "a token without an end is asked for again");
        assert!(login_from(&token("nothing"), Timestamp(5)).is_none());
    }

    #[test]
    fn the_rule_of_images_reaches_untagged_ones_alone() {
        for (text, status) in [(UNTAGGED_EXPIRE, "untagged"), (CACHE_EXPIRES, "any")] {
            let rules: serde_json::Value = serde_json::from_str(text).expect("JSON");
            let rules = rules["rules"].as_array().expect("rules");
            assert_eq!(rules.len(), 1);
            assert_eq!(rules[0]["selection"]["tagStatus"], status);
            assert_eq!(rules[0]["selection"]["countNumber"], 14);
        }
    }
}
