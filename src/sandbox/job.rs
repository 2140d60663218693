//! Jobs of workflows: what their `GITHUB_TOKEN` opens, and as whom it acts.
//!
//! Sources: GitHub Docs, "`GITHUB_TOKEN`" (one repository; it expires when its job ends, after 24 hours at the
//! latest; what is done with it starts no workflow), "Workflow syntax for GitHub Actions", `permissions` (what is
//! not named is not granted; a fork's pull request only reads), "Rate limits for the REST API" (1,000 requests
//! an hour for each repository).

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use super::action::{Verb, unknown};
use super::api::Caller;
use super::meter::{Limits, Meter};
use super::record::{Account, ForeignApp};
use super::serve::{Sandbox, SandboxError};
use super::world::{Grants, Level, Token, World};
use crate::model::RepoName;

/// The account as which jobs act, with GitHub's own number for it.
pub(super) const ACTIONS_LOGIN: &str = "github-actions[bot]";
pub(super) const ACTIONS_BOT: u64 = 41_898_282;
/// The App of theirs, likewise.
pub(super) const ACTIONS_SLUG: &str = "github-actions";
pub(super) const ACTIONS_APP: u64 = 15_368;

const LIFE_MILLIS: i64 = 24 * 3_600_000;

/// What a workflow can grant that can be asked of this GitHub.
const GRANTABLE: [&str; 7] = ["actions", "checks", "contents", "deployments", "issues", "pull-requests", "statuses"];

/// Whose commit a job runs at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobOf {
    /// The repository's own, or nobody's: its token may what the workflow grants.
    Repository,
    /// A fork's, of which there is a pull request: its token reads what the workflow grants.
    Fork,
}

/// What only a job's token is.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// The number of the repository.
    pub(super) repo: u64,
    pub(super) actor: Arc<Account>,
    pub(super) app: Arc<ForeignApp>,
}

impl Sandbox {
    /// The `GITHUB_TOKEN` of a job that begins now. `permissions` are written as in a workflow:
    /// `checks: write`. The app need not be installed.
    pub fn job_token(&self, repo: &RepoName, permissions: &[&str], of: JobOf) -> Verb<SecretString> {
        let grants = granted(permissions, of)?;
        let mut world = self.shared.world();
        let found = world.repo(repo).ok_or_else(|| unknown(repo))?;
        let (id, owner) = (found.id, found.owner.login.clone());
        let job = Job { repo: id, actor: world.person(ACTIONS_LOGIN), app: world.foreign_app(ACTIONS_SLUG) };
        let expires_at = world.now().after_millis(LIFE_MILLIS);
        let token = Token { owner, expires_at, repos: Some(vec![id]), grants, job: Some(job) };
        Ok(SecretString::from(world.put_token(token)))
    }

    /// The job of this token ends: it opens nothing any more.
    pub fn end_job(&self, token: &SecretString) {
        self.shared.world().tokens.remove(token.expose_secret());
    }
}

fn granted(permissions: &[&str], of: JobOf) -> Verb<Grants> {
    let mut grants = BTreeMap::from([("metadata".to_owned(), Level::Read)]);
    for line in permissions {
        let refused = || SandboxError::Refused(format!("no workflow can grant {line:?}"));
        let (name, level) = line.split_once(':').ok_or_else(refused)?;
        if !GRANTABLE.contains(&name) {
            return Err(refused());
        }
        let level = match (level.trim(), of) {
            ("none", _) => continue,
            ("write", JobOf::Repository) => Level::Write,
            ("read", _) | ("write", JobOf::Fork) => Level::Read,
            _ => return Err(refused()),
        };
        grants.insert(name.replace('-', "_"), level);
    }
    Ok(grants)
}

impl World {
    /// What the requests of a caller count against: jobs have a limit of their own for each repository.
    pub(super) fn meter_of(&mut self, caller: &Caller) -> &mut Meter {
        match caller {
            Caller::Installation(Token { job: Some(job), .. }) => {
                let limits = Limits { requests_per_hour: self.job_requests_per_hour, ..self.meter.limits };
                let now = self.clock.now();
                self.job_meters.entry(job.repo).or_insert_with(|| Meter::new(limits, now))
            }
            _ => &mut self.meter,
        }
    }

    /// The account as which a caller acts.
    pub(super) fn actor(&self, caller: &Caller) -> Arc<Account> {
        match caller {
            Caller::Installation(Token { job: Some(job), .. }) => job.actor.clone(),
            _ => self.app.bot.clone(),
        }
    }

    /// The App by which an account acts, as far as it is not ours.
    pub(super) fn app_of(&self, account: &Account) -> Option<&ForeignApp> {
        self.foreign_apps.get(ACTIONS_SLUG).filter(|_| account.id == ACTIONS_BOT).map(Arc::as_ref)
    }
}

impl Caller {
    /// The App by which it acts; `None` is ours.
    pub(super) fn foreign_app(&self) -> Option<Arc<ForeignApp>> {
        match self {
            Self::Installation(Token { job: Some(job), .. }) => Some(job.app.clone()),
            _ => None,
        }
    }
}
