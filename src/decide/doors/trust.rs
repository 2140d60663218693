//! What a role asks of a token.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{AUDIENCE, Branch, Claims, Issuer, RepoIdentity, StageName};

/// The workflows whose jobs may become the role for commands, by their files on the default branch.
const COMMANDS: [&str; 2] = ["commands.yml", "sweep.yml"];
const BUILD: [&str; 1] = ["greenroom-build.yml"];

/// A role that a job comes in by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Jobs of pull requests.
    Preview,
    /// Jobs in the stage's environment, on its branch.
    Permanent { stage: StageName, branch: Branch },
    /// Comments and schedules, by workflows of the default branch.
    Commands,
    /// Pushing what another job built; with the number of the only account that may start it, if one is set.
    Build { actor: Option<u64> },
}

impl Door {
    /// How the role's name ends.
    pub fn suffix(&self) -> String {
        match self {
            Self::Preview => "preview".to_owned(),
            Self::Permanent { stage, .. } => format!("permanent-{stage}"),
            Self::Commands => "commands".to_owned(),
            Self::Build { .. } => "build".to_owned(),
        }
    }

    /// The events whose jobs the role is for.
    pub(super) fn events(&self) -> &'static [&'static str] {
        match self {
            Self::Preview => &["pull_request"],
            Self::Permanent { .. } => &["push", "workflow_dispatch"],
            Self::Commands => &["issue_comment", "schedule", "workflow_dispatch"],
            Self::Build { .. } => &["workflow_dispatch"],
        }
    }
}

/// What a role asks of a token: each claim must have one of its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trust {
    pub door: Door,
    pub claims: BTreeMap<&'static str, Vec<String>>,
}

/// A claim that is not as the role asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    pub claim: &'static str,
    pub expected: Vec<String>,
    /// `None` where the token says nothing.
    pub actual: Option<String>,
}

/// What the role asks. Of an issuer whose other claims AWS does not know, the subject and the audience alone.
///
/// Source: GitHub Docs, "OpenID Connect reference", for the subject's forms; IAM User Guide, keys for OIDC
/// federation, for the claims that AWS compares.
pub fn trust(door: &Door, repo: &RepoIdentity, issuer: &Issuer) -> Trust {
    let head = |branch: &Branch| format!("refs/heads/{}", branch.0);
    let context = match door {
        Door::Preview => "pull_request".to_owned(),
        // Source: the same page: a colon in an environment's name is written `%3A`.
        Door::Permanent { stage, .. } => format!("environment:{}", stage.as_str().replace(':', "%3A")),
        Door::Commands | Door::Build { .. } => format!("ref:{}", head(&repo.default_branch)),
    };
    let subjects = repo.subjects().into_iter().map(|prefix| format!("{prefix}:{context}")).collect();
    let mut claims = BTreeMap::from([("aud", vec![AUDIENCE.to_owned()]), ("sub", subjects)]);
    if issuer.has_claims() {
        claims.insert("repository_id", vec![repo.id.to_string()]);
        let files = |files: &[&str]| {
            let at = head(&repo.default_branch);
            files.iter().map(|file| format!("{}/.github/workflows/{file}@{at}", repo.spelling)).collect()
        };
        match door {
            Door::Preview => {}
            Door::Permanent { stage, branch } => {
                claims.insert("environment", vec![stage.to_string()]);
                // Without it, an environment that nobody protected would let every branch in.
                claims.insert("ref", vec![head(branch)]);
            }
            Door::Commands => {
                claims.insert("ref", vec![head(&repo.default_branch)]);
                claims.insert("job_workflow_ref", files(&COMMANDS));
            }
            Door::Build { actor } => {
                claims.insert("ref", vec![head(&repo.default_branch)]);
                claims.insert("job_workflow_ref", files(&BUILD));
                claims.extend(actor.map(|actor| ("actor_id", vec![actor.to_string()])));
            }
        }
    }
    Trust { door: door.clone(), claims }
}

impl Trust {
    /// What stands against a token; nothing where it is let in. AWS judges the same way: all keys of a
    /// statement, and of a key one value.
    pub fn against(&self, token: &Claims) -> Vec<Mismatch> {
        let lacks = |(claim, expected): (&&'static str, &Vec<String>)| {
            let actual = token.get(claim).map(str::to_owned);
            let has = actual.as_ref().is_some_and(|actual| expected.contains(actual));
            (!has).then(|| Mismatch { claim, expected: expected.clone(), actual })
        };
        self.claims.iter().filter_map(lacks).collect()
    }
}

/// The door that a role's name tells, of those that a bootstrap makes.
pub fn door_of_role(role: &str, claims: &Claims) -> Option<Door> {
    let name = role.rsplit('/').next().unwrap_or(role);
    if name.ends_with("-preview") {
        return Some(Door::Preview);
    }
    if name.ends_with("-commands") {
        return Some(Door::Commands);
    }
    if name.ends_with("-build") {
        return Some(Door::Build { actor: None });
    }
    let (_, stage) = name.rsplit_once("-permanent-")?;
    let branch = claims.get("ref").and_then(|at| at.strip_prefix("refs/heads/"));
    Some(Door::Permanent { stage: stage.parse().ok()?, branch: Branch(branch.unwrap_or("<its branch>").to_owned()) })
}

/// A text as a value in a policy that means itself. Equality knows no stars, but variables are filled in.
///
/// Source: IAM User Guide, "IAM policy elements: Variables and tags", special characters.
pub fn literal(text: &str) -> String {
    text.replace('$', "${$}")
}
