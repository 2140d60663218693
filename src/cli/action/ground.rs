//! Where the state of a step lies, and who the step is on AWS.
//!
//! Guarantees: AWS is asked for nothing but the role before the state is opened, and for the account only where
//! neither the configuration nor the role says it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::inputs::{Given, Inputs};
use crate::app::TargetName;
use crate::app::action::{Runner, StepIdentity, StepSettings, data_folder, step_forge, step_token};
use crate::cli::ExitStatus;
use crate::config;
#[cfg(feature = "aws")]
use crate::model::{AwsTarget, state_bucket};
use crate::model::{Branch, RepoName, RunFacts, StateLocation};
use crate::port::Forge;

/// What a step stands on.
pub(super) struct Ground<'a> {
    pub(super) runner: &'a Runner,
    pub(super) inputs: &'a Inputs,
    pub(super) given: &'a Given,
    pub(super) facts: &'a RunFacts,
}

/// GitHub, by the step's token.
pub(super) fn forge(runner: &Runner, facts: &RunFacts) -> anyhow::Result<Arc<dyn Forge>> {
    let token =
        step_token().ok_or_else(|| usage("github-token", "it is empty; leave it out for the job's own token"))?;
    step_forge(&runner.api_url, token, facts.repo.clone())
}

/// The configuration on the default branch, as it stands there.
pub(super) async fn policy(
    forge: &dyn Forge,
    repo: &RepoName,
    default_branch: &Branch,
) -> anyhow::Result<Option<Vec<u8>>> {
    let unread = "GitHub does not give the configuration";
    let Some(head) = forge.branch_head(repo, default_branch).await.context(unread)? else { return Ok(None) };
    forge.file_at(repo, &head, config::PATH).await.context(unread)
}

fn usage(input: &str, problem: &str) -> anyhow::Error {
    ExitStatus::Usage.error(format!("input `{input}`: {problem}"))
}

impl Ground<'_> {
    /// Where the state lies, as far as nobody has to be asked; `None` is the bucket that a bootstrap made.
    pub(super) fn state(&self) -> anyhow::Result<Option<StateLocation>> {
        let Given { target, state, role, .. } = self.given;
        let named = state.as_deref().map(str::parse::<StateLocation>).transpose();
        let named = named.map_err(|why| usage("state", &why))?;
        if *target != TargetName::Local {
            return Ok(named);
        }
        if role.is_some() {
            return Err(usage("role", "stages of this machine need none"));
        }
        match named {
            Some(StateLocation::Bucket { .. }) => Err(usage("state", "stages of this machine have theirs in a folder")),
            Some(folder) => Ok(Some(folder)),
            None => Ok(Some(StateLocation::Folder(self.machine()?))),
        }
    }

    fn machine(&self) -> anyhow::Result<PathBuf> {
        let cache = self.runner.tool_cache.clone().or_else(data_folder);
        cache.map(|folder| folder.join("greenroom")).context("RUNNER_TOOL_CACHE is not set: give the input `state`")
    }

    /// All that the step works with; on AWS it takes its role on.
    #[cfg_attr(not(feature = "aws"), expect(clippy::unused_async, unused_variables, reason = "AWS is waited for"))]
    pub(super) async fn settings(
        &self,
        state: Option<StateLocation>,
        forge: &dyn Forge,
        default_branch: &Branch,
    ) -> anyhow::Result<StepSettings> {
        let (state, data, identity) = match self.given.target {
            TargetName::Local => {
                let folder = match state {
                    Some(StateLocation::Folder(folder)) => folder,
                    _ => self.machine()?,
                };
                (StateLocation::Folder(folder.clone()), folder, StepIdentity::default())
            }
            #[cfg(feature = "aws")]
            TargetName::Aws => {
                let temporary = self.runner.temporary.clone().context("RUNNER_TEMP is not set")?;
                let configured = self.configured(state.as_ref(), forge, default_branch).await?;
                let identity = self.identity(configured.as_ref()).await?;
                let state = match state {
                    Some(state) => state,
                    None => self.usual(&identity, configured.as_ref()).await?,
                };
                (state, temporary.join(format!("greenroom-{}", crate::app::chance_id())), identity)
            }
        };
        Ok(StepSettings {
            repo: self.facts.repo.clone(),
            target: self.given.target,
            aws: self.inputs.aws.clone(),
            registry: self.inputs.registry.clone(),
            state,
            data,
            proxy_listen: self.inputs.proxy_listen,
            identity,
            comments: self.given.comments,
        })
    }
}

#[cfg(feature = "aws")]
impl Ground<'_> {
    /// What the configuration says of AWS, where inputs leave anything open. One that is wrong says nothing.
    async fn configured(
        &self,
        state: Option<&StateLocation>,
        forge: &dyn Forge,
        default_branch: &Branch,
    ) -> anyhow::Result<Option<AwsTarget>> {
        if state.is_some() && self.given.region.is_some() {
            return Ok(None);
        }
        let file = policy(forge, &self.facts.repo.name, default_branch).await?;
        Ok(file.and_then(|file| config::check(config::PATH, &file).ok()?.aws))
    }

    async fn identity(&self, configured: Option<&AwsTarget>) -> anyhow::Result<StepIdentity> {
        let region = self.given.region.as_deref().or(configured.map(|aws| aws.region.as_str()));
        let session = session_name(self.facts);
        Ok(StepIdentity::take(self.given.role.as_deref(), &session, region).await?)
    }

    /// The bucket that `greenroom bootstrap` makes.
    async fn usual(&self, identity: &StepIdentity, configured: Option<&AwsTarget>) -> anyhow::Result<StateLocation> {
        let Some(region) = identity.region() else {
            return Err(usage("aws-region", "name the region in which `greenroom bootstrap` made the state's bucket"));
        };
        let known = configured.map(|aws| aws.account.clone());
        let known = known.or_else(|| account_of(self.given.role.as_deref()?).map(str::to_owned));
        let account = match known {
            Some(account) => account,
            None => identity.account(&self.inputs.aws).await.map_err(|error| {
                let status = ExitStatus::of_port(&error);
                let how = "name the bucket that `greenroom bootstrap` made, s3://greenroom-state-<account>-<region>";
                status.error(format!("input `state`: {how}; which account this is cannot be told: {error}"))
            })?,
        };
        Ok(StateLocation::Bucket { bucket: state_bucket(&account, region), prefix: String::new() })
    }
}

/// What the account's own records name the run by.
#[cfg(feature = "aws")]
fn session_name(facts: &RunFacts) -> String {
    format!("greenroom-{}-{}", facts.run, facts.attempt)
}

/// `arn:aws:iam::123456789012:role/name`
#[cfg(feature = "aws")]
fn account_of(role: &str) -> Option<&str> {
    let account = role.split(':').nth(4)?;
    (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(account)
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use super::*;

    #[test]
    fn a_role_says_its_account() {
        for (role, account) in [
            ("arn:aws:iam::012345678901:role/greenroom-shop-preview", Some("012345678901")),
            ("arn:aws-cn:iam::123456789012:role/a/b", Some("123456789012")),
            ("arn:aws:iam::12345:role/x", None),
            ("greenroom-shop-preview", None),
            ("", None),
        ] {
            assert_eq!(account_of(role), account, "{role}");
        }
    }
}
