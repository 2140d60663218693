//! What GitHub's tokens say of a job, and the names that roles on AWS ask of them by.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{Branch, RepoId, UserId};

/// The audience that a token must be made out to. Source: IAM User Guide, "Create a role for OpenID
/// Connect federation": AWS STS takes tokens for `sts.amazonaws.com` by default.
pub const AUDIENCE: &str = "sts.amazonaws.com";

/// The one issuer of github.com. Source: GitHub Docs, "OpenID Connect reference".
const GITHUB: &str = "token.actions.githubusercontent.com";

/// The bucket that holds the state of repositories without a server: one for each account and region, so
/// that its name is known to whoever knows the two. Source: S3, "Bucket naming rules": 63 characters.
pub fn state_bucket(account: &str, region: &str) -> String {
    format!("greenroom-state-{account}-{region}")
}

/// Who signs the tokens of jobs, as IAM writes it: without its scheme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issuer(String);

impl Issuer {
    /// As conditions name it before a claim: `token.actions.githubusercontent.com`.
    pub fn key(&self) -> &str {
        &self.0
    }

    /// As a token has it in `iss`.
    pub fn url(&self) -> String {
        format!("https://{}", self.0)
    }

    /// Whether AWS compares claims of its tokens besides `sub` and `aud`: those of github.com alone.
    /// Source: IAM User Guide, "IAM and AWS STS condition context keys", keys for OIDC federation.
    pub fn has_claims(&self) -> bool {
        self.0 == GITHUB
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self(GITHUB.to_owned())
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Issuer {
    type Err = String;

    /// `https://github.example.com/_services/token` of an Enterprise Server, or github.com's own with an
    /// enterprise's name behind it.
    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
        let part = |part: &str| {
            !part.is_empty() && part != ".." && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let is_host = rest.split('/').next().is_some_and(|host| host.contains('.'));
        if is_host && rest.len() <= 255 && rest.split('/').all(part) {
            return Ok(Self(rest.to_owned()));
        }
        Err("an https address, such as https://github.example.com/_services/token".to_owned())
    }
}

/// A repository as the tokens of its jobs name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepoIdentity {
    /// `Owner/Name` as GitHub spells it: AWS compares letter by letter.
    pub spelling: String,
    pub id: RepoId,
    pub owner_id: UserId,
    pub default_branch: Branch,
    /// How its subjects begin by GitHub's own word (`sub_claim_prefix`), where it was asked.
    pub prefix: Option<String>,
}

impl RepoIdentity {
    /// How the subjects of its tokens may begin. New repositories, and old ones once they are renamed or
    /// transferred, have the form with numbers.
    ///
    /// Source: GitHub Docs, "OpenID Connect reference", "Immutable subject claims".
    pub fn subjects(&self) -> Vec<String> {
        let (owner, name) = self.spelling.split_once('/').unwrap_or((&self.spelling, ""));
        let classic = format!("repo:{}", self.spelling);
        let immutable = format!("repo:{owner}@{}/{name}@{}", self.owner_id, self.id);
        let mut all = vec![classic, immutable];
        all.extend(self.prefix.clone().filter(|prefix| !all.contains(prefix)));
        all
    }
}

/// What one token says, by the names of its claims; lists and numbers as text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Claims(pub BTreeMap<String, String>);

impl Claims {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_address_without_its_scheme() {
        for (text, key, has_claims) in [
            ("https://token.actions.githubusercontent.com", GITHUB, true),
            ("https://token.actions.githubusercontent.com/acme/", "token.actions.githubusercontent.com/acme", false),
            ("https://github.example.com/_services/token", "github.example.com/_services/token", false),
        ] {
            let issuer: Issuer = text.parse().unwrap();
            assert_eq!((issuer.key(), issuer.has_claims()), (key, has_claims), "{text}");
        }
        for bad in ["", "http://a.b", "https://*.b/x", "https://a.b/${x}", "https://a.b/../c", "localhost", "a.b:1"] {
            assert!(bad.parse::<Issuer>().is_err(), "{bad}");
        }
    }

    #[test]
    fn both_forms_of_a_subject_are_known_and_a_third_is_believed() {
        let mut shop = RepoIdentity {
            spelling: "Acme/Shop.js".into(),
            id: RepoId(774),
            owner_id: UserId(12),
            default_branch: Branch("main".into()),
            prefix: None,
        };
        assert_eq!(shop.subjects(), ["repo:Acme/Shop.js", "repo:Acme@12/Shop.js@774"]);
        shop.prefix = Some("repo:Acme@12/Shop.js@774".into());
        assert_eq!(shop.subjects().len(), 2);
        shop.prefix = Some("repo:acme@12/shop@774".into());
        assert_eq!(shop.subjects()[2], "repo:acme@12/shop@774");
    }

    #[test]
    fn the_bucket_s_name_fits() {
        assert_eq!(state_bucket("123456789012", "eu-west-1"), "greenroom-state-123456789012-eu-west-1");
        assert!(state_bucket("123456789012", "ap-southeast-1-xyz-1a").len() <= 63);
    }
}
