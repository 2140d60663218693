//! The things that a GitHub remembers, as tests and pages read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::runs::Run;
use crate::model::{Branch, CommitSha, PullNumber, RepoName, ReviewState, Timestamp};

/// What an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    User,
    Organization,
    Bot,
}

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: u64,
    pub login: String,
    pub kind: AccountKind,
}

/// A reaction to a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReactionRecord {
    pub id: u64,
    pub user: Arc<Account>,
    /// As GitHub writes it: `+1`, `eyes`, ...
    pub content: String,
    pub at: Timestamp,
}

/// A comment in a pull request's conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    pub id: u64,
    pub pull: PullNumber,
    pub author: Arc<Account>,
    pub body: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// How often it was edited since it was made.
    pub edits: u32,
    pub reactions: Vec<ReactionRecord>,
}

/// A review of a pull request that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewRecord {
    pub id: u64,
    pub pull: PullNumber,
    pub author: Arc<Account>,
    pub state: ReviewState,
    /// Empty where nothing was written.
    pub body: String,
    /// The head at the time.
    pub sha: CommitSha,
    pub submitted_at: Timestamp,
}

/// A comment at a line of a pull request's changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewComment {
    pub id: u64,
    pub pull: PullNumber,
    pub author: Arc<Account>,
    pub body: String,
    /// The head at the time.
    pub sha: CommitSha,
    pub path: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub reactions: Vec<ReactionRecord>,
}

/// A status that somebody gave a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    pub id: u64,
    pub sha: CommitSha,
    pub context: String,
    /// `error`, `failure`, `pending` or `success`.
    pub state: String,
    pub creator: Arc<Account>,
    pub at: Timestamp,
}

/// A team of an organisation.
#[derive(Debug, Clone)]
pub(super) struct Team {
    pub(super) id: u64,
    pub(super) created_at: Timestamp,
    /// By their login in lower case.
    pub(super) members: BTreeMap<String, Membership>,
}

/// Whether somebody has accepted the invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    Active,
    Pending,
}

/// A GitHub App that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignApp {
    pub id: u64,
    pub slug: String,
}

/// A check run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub id: u64,
    /// Whose it is; `None` is ours.
    pub app: Option<Arc<ForeignApp>>,
    pub sha: CommitSha,
    pub name: String,
    pub external_id: Option<String>,
    pub details_url: Option<String>,
    /// `queued`, `in_progress` or `completed`.
    pub status: String,
    /// Only of a completed one.
    pub conclusion: Option<String>,
    pub title: Option<String>,
    pub summary: Option<String>,
    pub text: Option<String>,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
}

/// A status of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentStatus {
    pub id: u64,
    pub state: String,
    pub description: String,
    pub environment: String,
    pub environment_url: String,
    pub log_url: String,
    pub creator: Arc<Account>,
    pub at: Timestamp,
}

/// A deployment with its statuses, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    pub id: u64,
    pub sha: CommitSha,
    /// As it was asked for: a branch or a commit.
    pub reference: String,
    pub task: String,
    pub environment: String,
    pub description: Option<String>,
    pub payload: Value,
    pub transient: bool,
    pub production: bool,
    pub creator: Arc<Account>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub statuses: Vec<DeploymentStatus>,
}

impl Deployment {
    /// The newest status; `pending` before the first.
    pub fn state(&self) -> &str {
        self.statuses.last().map_or("pending", |status| status.state.as_str())
    }
}

/// An environment: made by the first deployment to it, and there until somebody deletes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub id: u64,
    pub name: String,
    pub created_at: Timestamp,
}

/// Where a pull request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullState {
    Open,
    Draft,
    Closed { at: Timestamp },
    Merged { at: Timestamp, commit: CommitSha },
}

/// A pull request. The head's commit stays what it was when its branch goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    pub id: u64,
    pub number: PullNumber,
    pub title: String,
    pub body: String,
    pub author: Arc<Account>,
    /// Where the commits come from; the repository itself or a fork of it.
    pub head_repo: RepoName,
    pub head: Branch,
    pub head_sha: CommitSha,
    pub base: Branch,
    pub state: PullState,
    pub labels: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Pull {
    /// Whether it can still be merged.
    pub fn is_open(&self) -> bool {
        matches!(self.state, PullState::Open | PullState::Draft)
    }
}

/// A pull request to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPull {
    pub title: String,
    pub body: String,
    pub author: String,
    /// `None` is the repository itself.
    pub head_repo: Option<RepoName>,
    pub head: String,
    /// `None` is the default branch.
    pub base: Option<String>,
    /// [`PullState::Open`] or [`PullState::Draft`].
    pub state: PullState,
}

impl NewPull {
    /// From a branch of the repository itself into the default branch, by the sandbox's usual
    /// person.
    pub fn new(head: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            body: "What it does and why.".into(),
            author: super::world::PERSON.into(),
            head_repo: None,
            head: head.into(),
            base: None,
            state: PullState::Open,
        }
    }
}

/// Who sees a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Those whom it is for. To everybody else it is not there.
    Private,
    /// Everybody, with any token; it is written by those whom it is for alone.
    Public,
}

impl Visibility {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

/// A repository.
#[derive(Debug)]
pub(super) struct Repo {
    pub(super) id: u64,
    pub(super) name: RepoName,
    pub(super) owner: Arc<Account>,
    pub(super) default_branch: Branch,
    pub(super) parent: Option<RepoName>,
    pub(super) visibility: Visibility,
    /// Whether the app is installed on it.
    pub(super) installed: bool,
    pub(super) created_at: Timestamp,
    pub(super) pushed_at: Timestamp,
    pub(super) branches: BTreeMap<Branch, CommitSha>,
    pub(super) pulls: BTreeMap<PullNumber, Pull>,
    pub(super) comments: BTreeMap<u64, Comment>,
    pub(super) reviews: BTreeMap<u64, ReviewRecord>,
    pub(super) review_comments: BTreeMap<u64, ReviewComment>,
    pub(super) checks: BTreeMap<u64, Check>,
    pub(super) statuses: BTreeMap<u64, CommitStatus>,
    pub(super) deployments: BTreeMap<u64, Deployment>,
    pub(super) environments: BTreeMap<String, Environment>,
    pub(super) runs: BTreeMap<u64, Run>,
}
