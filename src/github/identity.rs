//! A repository as the tokens of its jobs name it, asked of GitHub with somebody's own token.

use secrecy::SecretString;
use serde::Deserialize;

use super::path;
use super::settings::GitHubSettings;
use super::transport::{Ask, Transport};
use crate::model::{Branch, FailureKind, RepoId, RepoIdentity, RepoName, UserId};
use crate::port::{PortError, PortResult};

/// What a subject has without anybody's doing. Source: GitHub Docs, "Customizing the token claims".
const DEFAULT_KEYS: [&str; 2] = ["repo", "context"];

#[derive(Deserialize)]
struct Repo {
    id: u64,
    full_name: String,
    default_branch: String,
    owner: Owner,
}

#[derive(Deserialize)]
struct Owner {
    id: u64,
}

#[derive(Deserialize, Default)]
struct Customization {
    #[serde(default = "yes")]
    use_default: bool,
    #[serde(default)]
    include_claim_keys: Vec<String>,
    sub_claim_prefix: Option<String>,
}

fn yes() -> bool {
    true
}

/// Name, numbers, default branch and how its subjects begin. A subject that somebody made up of other claims
/// is refused: no role that is made here would know it.
pub async fn identity(settings: &GitHubSettings, token: &SecretString, repo: &RepoName) -> PortResult<RepoIdentity> {
    let transport = Transport::new(settings).map_err(|error| PortError::Denied { reason: error.to_string() })?;
    let what = format!("the repository {repo}");
    let answer = transport.exchange(&Ask::get(path::repo(repo, "")), token).await?;
    if answer.status == http::StatusCode::UNAUTHORIZED {
        let reason = "GitHub does not know the token in GITHUB_TOKEN: set a valid one".to_owned();
        return Err(PortError::Denied { reason });
    }
    let found: Repo = answer.json(&what)?;
    let asked = Ask::get(path::repo(repo, "/actions/oidc/customization/sub"));
    let answer = transport.exchange(&asked, token).await?;
    // Whoever may not read it, and servers that do not have it: both forms are known without it.
    let custom: Customization = if answer.status.is_success() { answer.json(&what)? } else { Customization::usual() };
    let keys: Vec<&str> = custom.include_claim_keys.iter().map(String::as_str).collect();
    if !custom.use_default && !keys.is_empty() && keys != DEFAULT_KEYS {
        return Err(PortError::failed(
            FailureKind::Environment,
            format!("the tokens of {repo} have a subject of its own making: {}", keys.join(", ")),
            format!(
                "Go back to the usual one: `gh api -X PUT repos/{repo}/actions/oidc/customization/sub -F use_default=true`. \
                 Roles that others made for it have to be changed first."
            ),
        ));
    }
    Ok(RepoIdentity {
        spelling: found.full_name,
        id: RepoId(found.id),
        owner_id: UserId(found.owner.id),
        default_branch: Branch(found.default_branch),
        prefix: custom.sub_claim_prefix.filter(|prefix| prefix.starts_with("repo:")),
    })
}

impl Customization {
    fn usual() -> Self {
        Self { use_default: true, ..Self::default() }
    }
}
