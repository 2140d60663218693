//! GitHub Actions, as far as a build on a runner needs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::PortResult;
use crate::model::{Branch, CommitSha, RepoId, RepoName};

/// A wish for a run of a workflow.
#[derive(Debug, Clone, Copy)]
pub struct Dispatch<'a> {
    pub repo: &'a RepoName,
    /// The file's name below `.github/workflows/`.
    pub workflow: &'a str,
    /// Whose file runs.
    pub branch: &'a Branch,
    /// At most 25.
    pub inputs: &'a BTreeMap<&'static str, String>,
}

/// What was told of a run that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatched {
    /// Its number.
    Run(u64),
    /// It was taken, and not told which run it is: GitHub Enterprise Server does so before 3.20.
    Unnamed,
}

/// One run of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRun {
    pub id: u64,
    pub title: String,
    pub state: RunState,
    pub origin: RunOrigin,
    /// Its page for people.
    pub page: String,
}

/// Where a run comes from, and what says that it is one that we asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOrigin {
    /// The file's name below `.github/workflows/`.
    pub workflow: String,
    /// The event: `workflow_dispatch`, `push`, ...
    pub event: String,
    pub branch: String,
    pub starter: RunStarter,
}

/// Who started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStarter {
    /// Greenroom's own account, the first time and whenever it was run again.
    Ourselves,
    SomebodyElse,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It has no runner yet, or waits for something else.
    Waiting,
    Running,
    Ended(Conclusion),
}

/// How a run ended, in GitHub's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    Success,
    Failure,
    Cancelled,
    TimedOut,
    /// The workflow could not be begun: its file is wrong.
    StartupFailure,
    /// Somebody has to allow it first.
    ActionRequired,
    /// Skipped, stale, neutral, and what GitHub may think of.
    Other,
}

/// How a run is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {
    /// Its steps may still clean up.
    Gentle,
    /// Also what runs whatever happens: `always()`.
    Forced,
}

/// What lies at a path of a commit, by git's name of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeEntry {
    Folder(String),
    File(String),
    /// A link or another repository's commit.
    Other,
}

/// The runs of a repository's workflows. What a call is refused is `Denied`, what is not there `NotFound`.
#[async_trait]
pub trait Workflows: Send + Sync + 'static {
    /// The same for one repository alone, by GitHub's number: see [`super::Forge::only`].
    fn only(&self, repo: RepoId) -> Arc<dyn Workflows>;

    /// The branch whose workflow files run when somebody asks for them.
    async fn default_branch(&self, repo: &RepoName) -> PortResult<Branch>;

    /// What a commit has at a path, `.` for all of it; `None` where it has nothing there.
    async fn tree_entry(&self, repo: &RepoName, sha: &CommitSha, path: &str) -> PortResult<Option<TreeEntry>>;

    /// Asks for a run. `Failed` says what is wrong with the workflow: it is not there, switched off, or of another
    /// version. An error that passes says nothing about whether it was taken.
    async fn dispatch(&self, dispatch: &Dispatch<'_>) -> PortResult<Dispatched>;

    /// The runs of a workflow that we asked for, newest first, at most the newest 300.
    async fn runs(&self, repo: &RepoName, workflow: &str) -> PortResult<Vec<WorkflowRun>>;

    /// One run. `NotFound` where somebody deleted it.
    async fn run(&self, repo: &RepoName, run: u64) -> PortResult<WorkflowRun>;

    /// Asks a run to end. One that has ended, or is not there, is success.
    async fn cancel(&self, repo: &RepoName, run: u64, how: Cancellation) -> PortResult<()>;

    /// The last lines of the job that a run failed in, else of its newest; empty where there are none (any more).
    async fn log(&self, repo: &RepoName, run: u64, lines: usize) -> PortResult<Vec<String>>;
}
