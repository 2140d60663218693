//! Who speaks to AWS for a stage: the server itself, or the role that the configuration names.
//!
//! Guarantees: a role is taken on with the repository as external id, so that a repository whose
//! configuration names the role of another is refused by AWS itself; the session carries the
//! repository, the stage, its kind and what its names begin with as tags: the policies that we print
//! let a session reach the things of that stage alone, and the account's own records tell it.
//!
//! Source: IAM User Guide, "The confused deputy problem" and "Pass session tags in AWS STS".

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::identity::IdentityCache;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::json;

use super::names::{Names, SESSION_IMAGES, SESSION_STACK, TAG_BASE, TAG_KIND, TAG_REPO, TAG_STAGE};
use crate::model::{StageId, StageKind};
use crate::port::Site;

/// Credentials are renewed this long before they end, so that no call is signed with old ones.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// How long fetching credentials may take.
const FETCH_TIME: Duration = Duration::from_secs(10);
/// The longest session of a role that was taken on by a role. Source: "Role chaining" in the IAM
/// User Guide.
const SESSION: Duration = Duration::from_hours(1);
/// Longest name of a session. Source: `AssumeRole`.
const LONGEST_NAME: usize = 64;

/// A role and for whom it is taken on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RoleSession {
    pub(super) role: String,
    pub(super) stage: StageId,
    pub(super) kind: StageKind,
    /// Under which its hosts lie.
    base: Option<String>,
    stack: String,
    images: String,
}

impl RoleSession {
    pub(super) fn new(names: &Names, role: String, site: Site<'_>) -> Self {
        Self {
            role,
            stage: site.stage.clone(),
            kind: site.place.kind,
            base: site.place.base.clone(),
            stack: names.stage_stack(site.stage),
            images: names.repositories(site.stage),
        }
    }

    /// What the role's trust policy has to ask for: `owner/repo`.
    pub(super) fn external_id(&self) -> &str {
        self.stage.repo.as_str()
    }

    /// `greenroom-pr-42-shop`: what the account's records show.
    fn session_name(&self) -> String {
        let repo = self.external_id().rsplit('/').next().unwrap_or_default();
        let fits = |c: char| if c.is_ascii_alphanumeric() || "+=,.@-_".contains(c) { c } else { '-' };
        let text = format!("greenroom-{}-{repo}", self.stage.name);
        text.chars().map(fits).take(LONGEST_NAME).collect()
    }

    /// Of which each is a condition's key `aws:PrincipalTag/<key>`.
    pub(super) fn tags(&self) -> Vec<(&'static str, String)> {
        let tag = |text: &str| -> String { text.chars().filter(|c| is_tag_letter(*c)).take(256).collect() };
        let mut tags = vec![
            (TAG_REPO, tag(self.stage.repo.as_str())),
            (TAG_STAGE, tag(self.stage.name.as_str())),
            (SESSION_STACK, tag(&self.stack)),
            (SESSION_IMAGES, tag(&self.images)),
            (TAG_KIND, word(self.kind).to_owned()),
        ];
        tags.extend(self.base.as_deref().map(|base| (TAG_BASE, tag(base))));
        tags
    }

    /// The configuration of clients that act in this role.
    pub(super) async fn configure(&self, own: &SdkConfig) -> SdkConfig {
        let provider = AssumeRoleProvider::builder(&self.role)
            .configure(own)
            .session_name(self.session_name())
            .external_id(self.external_id())
            .session_length(SESSION)
            .tags(self.tags())
            .build()
            .await;
        own.to_builder()
            .credentials_provider(SharedCredentialsProvider::new(provider))
            .identity_cache(identity_cache().build())
            .build()
    }

    /// The trust policy that lets `caller` take the role on, on one line.
    pub(super) fn trust_policy(&self, caller: &str) -> String {
        json!({ "Version": "2012-10-17", "Statement": [
            {
                "Effect": "Allow", "Principal": { "AWS": caller }, "Action": "sts:AssumeRole",
                "Condition": { "StringEquals": { "sts:ExternalId": self.external_id() } },
            },
            {
                "Effect": "Allow", "Principal": { "AWS": caller }, "Action": "sts:TagSession",
                "Condition": { "StringEquals": { format!("aws:RequestTag/{TAG_REPO}"): self.external_id() } },
            },
        ] })
        .to_string()
    }
}

/// A cache that renews in time.
pub(super) fn identity_cache() -> aws_config::identity::LazyCacheBuilder {
    IdentityCache::lazy().buffer_time(RENEW_BEFORE).load_timeout(FETCH_TIME)
}

/// The value of [`TAG_KIND`].
fn word(kind: StageKind) -> &'static str {
    match kind {
        StageKind::Ephemeral => "ephemeral",
        StageKind::Permanent => "permanent",
        StageKind::Production => "production",
    }
}

/// Source: "Rules for adding session tags".
fn is_tag_letter(c: char) -> bool {
    c.is_alphanumeric() || " _.:/=+-@".contains(c)
}

/// The role or user behind an identity, as policies write it: `arn:aws:sts::1:assumed-role/r/s`
/// is `arn:aws:iam::1:role/r`. `None` for an account's root. A role's path is not in there.
pub(super) fn principal(identity: &str) -> Option<String> {
    let parts: Vec<&str> = identity.splitn(6, ':').collect();
    let [_, partition, service, _, account, resource] = parts.as_slice() else { return None };
    match resource.split('/').collect::<Vec<_>>().as_slice() {
        ["assumed-role", role, ..] if *service == "sts" => Some(format!("arn:{partition}:iam::{account}:role/{role}")),
        ["user" | "role", ..] => Some(identity.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Place;

    fn session(stage: &str) -> RoleSession {
        let stage = StageId { repo: "acme/shop".parse().unwrap(), name: stage.parse().unwrap() };
        let place = Place { base: Some("example.com".into()), ..Place::default() };
        let role = "arn:aws:iam::123456789012:role/deployer";
        RoleSession::new(&Names::new("greenroom"), role.into(), Site { stage: &stage, place: &place })
    }

    #[test]
    fn a_session_tells_whose_it_is() {
        let session = session("pr-42");
        assert_eq!((session.external_id(), session.session_name().as_str()), ("acme/shop", "greenroom-pr-42-shop"));
        let tags = [
            ("greenroom:repo", "acme/shop"),
            ("greenroom:stage", "pr-42"),
            ("greenroom:stack", session.stack.as_str()),
            ("greenroom:images", "greenroom/acme/shop"),
            ("greenroom:kind", "ephemeral"),
            ("greenroom:base", "example.com"),
        ];
        assert_eq!(session.tags(), tags.map(|(key, value)| (key, value.to_owned())));
        let trust: serde_json::Value =
            serde_json::from_str(&session.trust_policy("arn:aws:iam::1:role/server")).unwrap();
        assert_eq!(trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], "acme/shop");
        assert_eq!(trust["Statement"][1]["Action"], "sts:TagSession");
        assert_eq!(trust["Statement"][1]["Condition"]["StringEquals"]["aws:RequestTag/greenroom:repo"], "acme/shop");
    }

    #[test]
    fn names_of_sessions_fit() {
        let long = session(&"x".repeat(40));
        assert!(long.session_name().len() <= LONGEST_NAME);
    }

    #[test]
    fn the_role_behind_a_session_is_found() {
        let role = Some("arn:aws:iam::1:role/server".to_owned());
        for (identity, found) in [
            ("arn:aws:sts::1:assumed-role/server/i-1", role.clone()),
            ("arn:aws:iam::1:role/server", role),
            ("arn:aws:iam::1:user/team/ada", Some("arn:aws:iam::1:user/team/ada".to_owned())),
            ("arn:aws-cn:sts::1:assumed-role/a/b", Some("arn:aws-cn:iam::1:role/a".to_owned())),
            ("arn:aws:iam::1:root", None),
            ("nonsense", None),
        ] {
            assert_eq!(principal(identity), found, "{identity}");
        }
    }
}
