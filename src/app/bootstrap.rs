//! What lets a repository's jobs in, made or taken away by hand.

use secrecy::SecretString;

use super::aws::cloud_by_hand;
use super::foundation::{Note, follow};
use super::{AwsArgs, chance_seed, proxy, variable};
use crate::app::SystemClock;
use crate::aws::bootstrap::{BootstrapOrder, BootstrapReport, Removed, StateFate, bootstrap_template};
use crate::github::{self, GitHubSettings};
use crate::model::{AwsTarget, RepoIdentity, RepoName, ResourceChange};

/// The repository as GitHub knows it, by the token in `GITHUB_TOKEN`; `None` where there is none.
pub async fn identity(api_url: &str, repo: &RepoName) -> anyhow::Result<Option<RepoIdentity>> {
    let Some(token) = variable("GITHUB_TOKEN").filter(|token| !token.is_empty()) else { return Ok(None) };
    let no_key = SecretString::from(String::new());
    let settings = GitHubSettings::new(api_url, 0, no_key, std::sync::Arc::new(SystemClock), chance_seed());
    let settings = GitHubSettings { proxy: proxy(), ..settings };
    Ok(Some(github::identity(&settings, &SecretString::from(token), repo).await?))
}

/// The stack's text.
pub fn template(args: &AwsArgs, order: &BootstrapOrder) -> anyhow::Result<String> {
    Ok(bootstrap_template(&args.aws_name, order)?)
}

/// What [`deploy`] would make and change.
pub async fn plan(
    args: &AwsArgs,
    order: &BootstrapOrder,
    target: &AwsTarget,
) -> anyhow::Result<(BootstrapReport, Vec<ResourceChange>)> {
    Ok(cloud_by_hand(args).await.plan_bootstrap(order, target).await?)
}

/// Makes it, or brings it to this order.
pub async fn deploy(
    args: &AwsArgs,
    order: &BootstrapOrder,
    target: &AwsTarget,
    note: Note<'_>,
) -> anyhow::Result<BootstrapReport> {
    let cloud = cloud_by_hand(args).await;
    Ok(follow(note, || cloud.deploy_bootstrap(order, target)).await?)
}

/// Takes it away.
pub async fn remove(
    args: &AwsArgs,
    order: &BootstrapOrder,
    target: &AwsTarget,
    state: StateFate,
    note: Note<'_>,
) -> anyhow::Result<Removed> {
    let cloud = cloud_by_hand(args).await;
    Ok(follow(note, || cloud.remove_bootstrap(order, target, state)).await?)
}
