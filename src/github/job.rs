//! Calls with the token of one job of a workflow.
//!
//! # Guarantees
//!
//! - It is for exactly one repository, by name and number: a call for another one is refused before anything
//!   is sent, and so is every call where another repository has that name by now.
//! - It is never renewed. Once GitHub does not accept it, nothing is asked with it for a minute at a time.
//! - A refusal says which line of the workflow's `permissions:` is missing, or that no job's token may do that.
//!
//! Sources: GitHub Docs, "Use `GITHUB_TOKEN` for authentication in workflows"; "Troubleshooting the REST API"
//! for `x-accepted-github-permissions`.

use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::answer::Answer;
use super::api::{Api, Pass, Who};
use super::app::no_app;
use super::cache::Freshness;
use super::pace::{Account, Payer};
use super::path;
use super::settings::{SetupError, TokenSettings};
use super::token::{Refusal, Scope};
use super::transport::Ask;
use crate::model::{RepoId, RepoName, RepoSeen, Timestamp};
use crate::port::{PortError, PortResult};

/// What a workflow can grant to its jobs of what is asked for here, by GitHub's names, the least first.
///
/// Source: GitHub Docs, "Workflow syntax for GitHub Actions", `permissions`.
const GRANTABLE: [&str; 7] = ["pull_requests", "checks", "deployments", "contents", "statuses", "actions", "issues"];

/// The token, and what is known of it.
pub(super) struct JobToken {
    token: SecretString,
    repo: RepoSeen,
    pub(super) own_check: Option<u64>,
    /// The name was found to be the repository's own.
    proven: OnceCell<()>,
    refusal: Mutex<Refusal>,
}

impl JobToken {
    pub(super) fn new(settings: &TokenSettings) -> Result<Self, SetupError> {
        let token = settings.token.expose_secret().trim();
        if token.is_empty() {
            return Err(SetupError::Token);
        }
        Ok(Self {
            token: SecretString::from(token),
            repo: settings.repo.clone(),
            own_check: settings.own_check,
            proven: OnceCell::new(),
            refusal: Mutex::default(),
        })
    }

    /// GitHub does not know the token any more: it is left alone from now on.
    pub(super) fn is_over(&self, complaint: &str, now: Timestamp) -> PortError {
        self.refuse(
            format!(
                "GitHub does not accept the token of this job ({complaint}): it ends with its job, so run the job \
                 again; where the input `github-token` is given, let it be ${{{{ github.token }}}}, with what it may \
                 do in the `permissions:` block of the workflow"
            ),
            now,
        )
    }

    /// Why nothing is asked for now.
    fn refusal(&self, now: Timestamp) -> PortResult<()> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.now(now).map_or(Ok(()), |reason| Err(PortError::Denied { reason: reason.to_owned() }))
    }

    fn refuse(&self, reason: String, now: Timestamp) -> PortError {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).note(&reason, now);
        PortError::Denied { reason }
    }

    /// Whether it is for the repository of that name, where `only` this number is meant.
    fn is_for(&self, repo: &RepoName, only: Option<RepoId>) -> PortResult<()> {
        if *repo == self.repo.name && only.is_none_or(|only| only == self.repo.id) {
            return Ok(());
        }
        let (own, other) =
            (&self.repo.name, if *repo == self.repo.name { "another one of that name" } else { repo.as_str() });
        Err(PortError::Denied { reason: format!("the token of this job is for {own}, not for {other}") })
    }

    /// What to do about a refusal.
    pub(super) fn way_out(scope: Scope, answer: &Answer) -> String {
        let accepted = answer.header("x-accepted-github-permissions").unwrap_or_default();
        let instead = match scope {
            Scope::Environments => ", or remove the environment by hand",
            Scope::Members => ", or name people and roles instead of teams",
            Scope::Work | Scope::Statuses => "",
        };
        match wanted(accepted) {
            Wanted::Line(line) => {
                format!("add `{line}` to the `permissions:` block of the workflow (a fork's pull request only reads)")
            }
            Wanted::More(permission) => {
                format!("no job's own token may: give `github-token` one of an App that has `{permission}`{instead}")
            }
            Wanted::Unknown if matches!(scope, Scope::Environments | Scope::Members) => {
                format!("no job's own token may: give `github-token` one of an App that may{instead}")
            }
            Wanted::Unknown => {
                "give the workflow the `permissions:` that the README names (a fork's pull request only reads)"
                    .to_owned()
            }
        }
    }
}

/// What a refusal asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// A line of a workflow.
    Line(String),
    /// What no workflow can grant.
    More(String),
    Unknown,
}

/// Of the ways that GitHub accepts, `a=read,b=write; c=write`, one that a workflow can grant.
fn wanted(accepted: &str) -> Wanted {
    let ways: Vec<Vec<(&str, &str)>> = accepted
        .split(';')
        .map(|way| way.split(',').filter_map(|one| one.trim().split_once('=')).collect::<Vec<_>>())
        .filter(|way| !way.is_empty())
        .collect();
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if ways.iter().flatten().any(|(name, level)| !is_word(name) || !is_word(level)) {
        return Wanted::Unknown;
    }
    let rank = |name: &str| GRANTABLE.iter().position(|known| *known == name);
    let cost = |way: &Vec<(&str, &str)>| way.iter().map(|(name, _)| rank(name)).collect::<Option<Vec<_>>>();
    let written = |way: &Vec<(&str, &str)>| {
        let lines = way.iter().map(|(name, level)| format!("{}: {level}", name.replace('_', "-")));
        lines.collect::<Vec<_>>().join("`, `")
    };
    match (ways.iter().filter(|way| cost(way).is_some()).min_by_key(|way| cost(way)), ways.first()) {
        (Some(way), _) => Wanted::Line(written(way)),
        (None, Some(way)) => Wanted::More(written(way)),
        (None, None) => Wanted::Unknown,
    }
}

impl Api {
    pub(super) async fn job_pass(&self, job: &JobToken, who: Who<'_>) -> PortResult<Pass> {
        match who {
            Who::Repo(repo, _) => {
                job.is_for(repo, self.only)?;
                job.refusal(self.now())?;
                job.proven.get_or_try_init(|| self.prove(job)).await?;
            }
            Who::Job => job.refusal(self.now())?,
            Who::App | Who::Listing(_) => return Err(no_app()),
        }
        let payer = Some(Payer::Number(job.repo.id));
        Ok(Pass { token: job.token.clone(), account: Account::Job, payer, serial: 0 })
    }

    /// That the name is still that of the repository which the job is of: once, before anything else.
    async fn prove(&self, job: &JobToken) -> PortResult<()> {
        #[derive(Deserialize)]
        struct Numbered {
            id: u64,
        }
        let name = &job.repo.name;
        // Boxed: a job's own look is proven by nothing, so this goes one level deep.
        let look = Box::pin(self.get(Who::Job, Ask::get(path::repo(name, "")), Freshness::Conditional));
        let found: Numbered = look.await?.json(&format!("repository {name}"))?;
        if RepoId(found.id) == job.repo.id {
            return Ok(());
        }
        let reason = format!("{name} is another repository by now than the one that this job is of: run the job again");
        Err(job.refuse(reason, self.now()))
    }
}
