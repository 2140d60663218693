//! What the runner of a workflow says in the variables of a step.
//!
//! Source: GitHub Docs, "Variables reference", "Default environment variables".

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::app::variable;
use crate::model::{Branch, CommitSha, Occasion, PullNumber, RepoId, RepoName, RepoSeen, RunFacts, UserId};
use crate::wire::{self, WireError};

/// The most of an event file that is read. GitHub caps what it sends to a webhook at 25 MB.
///
/// Source: GitHub Docs, "Webhook events and payloads", "Payload cap".
const MOST_EVENT: u64 = 32 * 1024 * 1024;

/// Secrets of the step's environment that nobody needs to see in a log.
const SECRETS: [&str; 4] =
    ["GREENROOM_ACTION_GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];

/// Why the runner's words cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Not in a workflow, or not as GitHub runs one.
    #[error("{0}")]
    Surroundings(String),
    /// The event file does not hold what its event must have.
    #[error("{0}")]
    Event(String),
}

/// The step's surroundings.
#[derive(Debug, Clone)]
pub struct Runner {
    event: Option<String>,
    event_path: Option<PathBuf>,
    repository: Option<String>,
    pub api_url: String,
    /// The page of this run's log; empty where it cannot be told.
    pub log_url: String,
    /// The files that outputs and the summary are appended to.
    pub output: Option<PathBuf>,
    pub summary: Option<PathBuf>,
    pub workspace: Option<PathBuf>,
    /// Where a step may leave things until the job ends.
    pub temporary: Option<PathBuf>,
    /// Where a runner of one's own keeps what outlives jobs.
    pub tool_cache: Option<PathBuf>,
}

impl Runner {
    /// Reads the variables; what is missing is asked for when it is needed.
    pub fn from_environment() -> Self {
        let path = |name: &str| said(name).map(PathBuf::from);
        let repository = said("GITHUB_REPOSITORY");
        let server = said("GITHUB_SERVER_URL").unwrap_or_else(|| "https://github.com".to_owned());
        let log_url = match (&repository, said("GITHUB_RUN_ID")) {
            (Some(repository), Some(run)) => {
                let attempt = said("GITHUB_RUN_ATTEMPT").unwrap_or_else(|| "1".to_owned());
                format!("{server}/{repository}/actions/runs/{run}/attempts/{attempt}")
            }
            _ => String::new(),
        };
        Self {
            event: said("GITHUB_EVENT_NAME"),
            event_path: path("GITHUB_EVENT_PATH"),
            repository,
            api_url: said("GITHUB_API_URL").unwrap_or_else(|| "https://api.github.com".to_owned()),
            log_url,
            output: path("GITHUB_OUTPUT"),
            summary: path("GITHUB_STEP_SUMMARY"),
            workspace: path("GITHUB_WORKSPACE"),
            temporary: path("RUNNER_TEMP"),
            tool_cache: path("RUNNER_TOOL_CACHE"),
        }
    }

    /// Reads the event file, and what the runner says of the run beside it.
    pub fn occasion(&self) -> Result<(Occasion, RunFacts), RunnerError> {
        let missing = |name: &str| {
            let what = format!("{name} is not set: `greenroom action` runs as a step of a GitHub workflow");
            RunnerError::Surroundings(what)
        };
        let event = self.event.clone().ok_or_else(|| missing("GITHUB_EVENT_NAME"))?;
        let path = self.event_path.as_ref().ok_or_else(|| missing("GITHUB_EVENT_PATH"))?;
        let name = self.repository.as_deref().ok_or_else(|| missing("GITHUB_REPOSITORY"))?;
        let name =
            RepoName::new(name).map_err(|error| RunnerError::Surroundings(format!("GITHUB_REPOSITORY: {error}")))?;
        let occasion =
            wire::occasion(&event, &read(path)?).map_err(|error| RunnerError::Event(told(&event, &error)))?;
        let repo = own(name, occasion.repo.as_ref());
        Ok((occasion, facts(event, repo)))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RunnerError> {
    let trouble = |error| RunnerError::Surroundings(format!("cannot read the event file {}: {error}", path.display()));
    let file = File::open(path).map_err(trouble)?;
    let mut body = Vec::new();
    file.take(MOST_EVENT + 1).read_to_end(&mut body).map_err(trouble)?;
    if body.len() as u64 > MOST_EVENT {
        return Err(RunnerError::Event(format!("the event file has more than {} MiB", MOST_EVENT >> 20)));
    }
    Ok(body)
}

/// Never a value of the file.
fn told(event: &str, error: &WireError) -> String {
    match error {
        WireError::NotJson => "the event file is not JSON".to_owned(),
        WireError::Poison(poison) => {
            format!("the event file of {event:?} is not as GitHub writes it: {}", poison.reason)
        }
        WireError::Header(name) => format!("the event has no name ({name})"),
    }
}

/// The run's own repository by its number. A runner that does not say the number is believed for the name, and
/// the event file for the number of a repository of that name.
fn own(name: RepoName, told: Option<&RepoSeen>) -> RepoSeen {
    let number = |variable: &str| said(variable).and_then(|text| text.parse().ok());
    let told = told.filter(|told| told.name == name);
    let id = number("GITHUB_REPOSITORY_ID").map(RepoId).or(told.map(|told| told.id));
    let owner = number("GITHUB_REPOSITORY_OWNER_ID").map(UserId).or(told.map(|told| told.owner));
    RepoSeen { id: id.unwrap_or_default(), owner: owner.unwrap_or_default(), name }
}

fn facts(event: String, repo: RepoSeen) -> RunFacts {
    let reference = said("GITHUB_REF").unwrap_or_default();
    let pull = reference.strip_prefix("refs/pull/").and_then(|rest| rest.split('/').next()?.parse().ok());
    RunFacts {
        repo,
        event,
        run: said("GITHUB_RUN_ID").and_then(|text| text.parse().ok()).unwrap_or_default(),
        attempt: said("GITHUB_RUN_ATTEMPT").and_then(|text| text.parse().ok()).unwrap_or(1),
        branch: reference.strip_prefix("refs/heads/").map(|branch| Branch(branch.to_owned())),
        pull: pull.map(PullNumber),
        sha: said("GITHUB_SHA").and_then(|text| CommitSha::new(text).ok()),
    }
}

/// What is to be taken out of the log by the runner itself.
pub fn step_secrets() -> Vec<SecretString> {
    SECRETS.into_iter().filter_map(said).map(SecretString::from).collect()
}

/// The token that GitHub is asked and told by.
pub fn step_token() -> Option<SecretString> {
    said("GREENROOM_ACTION_GITHUB_TOKEN").map(SecretString::from)
}

/// The check run of the step's own job. A runner that does not know it yet leaves it empty.
///
/// Source: GitHub Docs, "Contexts reference", `job` context, `check_run_id`.
pub(super) fn own_check() -> Option<u64> {
    said("GREENROOM_JOB_CHECK")?.parse().ok()
}

/// A variable that says something: an input that is not given is empty.
fn said(name: &str) -> Option<String> {
    variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
