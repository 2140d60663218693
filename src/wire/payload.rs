//! The fields of GitHub's webhook payloads that are used, borrowed from the body where possible.
//!
//! Source: GitHub Docs, "Webhook events and payloads". Everything else in a body is skipped.

use std::borrow::Cow;

use serde::Deserialize;

use crate::model::{Actor, ActorKind, BadId, RepoId, RepoName, RepoSeen, UserId};

#[derive(Deserialize)]
pub(super) struct Account<'a> {
    id: u64,
    #[serde(borrow)]
    login: Cow<'a, str>,
    /// `User`, `Bot`, `Organization` or `Mannequin`.
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
}

impl Account<'_> {
    pub(super) fn actor(&self) -> Actor {
        let kind = if self.kind == "Bot" { ActorKind::Bot } else { ActorKind::Person };
        Actor { id: UserId(self.id), login: self.login.clone().into_owned(), kind }
    }
}

#[derive(Deserialize)]
pub(super) struct Repository<'a> {
    id: u64,
    #[serde(borrow)]
    full_name: Cow<'a, str>,
    owner: Owner,
}

/// Of a repository; its name is the beginning of the repository's.
#[derive(Deserialize)]
struct Owner {
    id: u64,
}

impl Repository<'_> {
    pub(super) fn seen(&self) -> Result<RepoSeen, BadId> {
        let name = RepoName::new(self.full_name.as_ref())?;
        Ok(RepoSeen { id: RepoId(self.id), owner: UserId(self.owner.id), name })
    }
}

#[derive(Deserialize)]
pub(super) struct PullRequestPayload<'a> {
    #[serde(borrow)]
    pub(super) action: Cow<'a, str>,
    /// The same as the pull request's own; whoever plays GitHub may leave out either.
    pub(super) number: Option<u64>,
    #[serde(borrow)]
    pub(super) pull_request: Pull<'a>,
    #[serde(borrow)]
    pub(super) repository: Repository<'a>,
    #[serde(borrow)]
    pub(super) sender: Account<'a>,
}

#[derive(Deserialize)]
pub(super) struct Pull<'a> {
    pub(super) number: Option<u64>,
    #[serde(borrow)]
    pub(super) head: Head<'a>,
    #[serde(borrow)]
    pub(super) updated_at: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    pub(super) sha: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct PushPayload<'a> {
    #[serde(borrow, rename = "ref")]
    pub(super) reference: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) after: Cow<'a, str>,
    #[serde(default)]
    pub(super) deleted: bool,
    #[serde(borrow)]
    pub(super) repository: Repository<'a>,
    /// A deploy key's push has none.
    #[serde(borrow)]
    pub(super) sender: Option<Account<'a>>,
}

#[derive(Deserialize)]
pub(super) struct CommentPayload<'a> {
    #[serde(borrow)]
    pub(super) action: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) issue: Issue<'a>,
    #[serde(borrow)]
    pub(super) comment: Comment<'a>,
    #[serde(borrow, default)]
    pub(super) changes: Changes<'a>,
    #[serde(borrow)]
    pub(super) repository: Repository<'a>,
}

/// A comment at a line of the changes.
#[derive(Deserialize)]
pub(super) struct ReviewCommentPayload<'a> {
    #[serde(borrow)]
    pub(super) action: Cow<'a, str>,
    pub(super) pull_request: Numbered,
    #[serde(borrow)]
    pub(super) comment: Comment<'a>,
    #[serde(borrow, default)]
    pub(super) changes: Changes<'a>,
    #[serde(borrow)]
    pub(super) repository: Repository<'a>,
}

#[derive(Deserialize)]
pub(super) struct ReviewPayload<'a> {
    #[serde(borrow)]
    pub(super) action: Cow<'a, str>,
    pub(super) pull_request: Numbered,
    #[serde(borrow)]
    pub(super) review: Comment<'a>,
    #[serde(borrow, default)]
    pub(super) changes: Changes<'a>,
    #[serde(borrow)]
    pub(super) repository: Repository<'a>,
}

#[derive(Deserialize)]
pub(super) struct Numbered {
    pub(super) number: u64,
}

/// What an edit replaced; empty for everything else.
#[derive(Deserialize, Default)]
pub(super) struct Changes<'a> {
    #[serde(borrow)]
    pub(super) body: Option<Before<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Before<'a> {
    /// `null` where there was no text.
    #[serde(borrow)]
    pub(super) from: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Issue<'a> {
    pub(super) number: u64,
    /// Present when the issue is a pull request.
    #[serde(borrow)]
    pub(super) pull_request: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Comment<'a> {
    pub(super) id: u64,
    /// `null` for a review without a text.
    #[serde(borrow)]
    pub(super) body: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) created_at: Option<Cow<'a, str>>,
    /// What a review has in its place.
    #[serde(borrow)]
    pub(super) submitted_at: Option<Cow<'a, str>>,
    /// `null` when the account is gone.
    #[serde(borrow)]
    pub(super) user: Option<Account<'a>>,
    /// `null` for what a person wrote by hand; a review and a comment at a line have no such field.
    pub(super) performed_via_github_app: Option<App>,
}

#[derive(Deserialize)]
pub(super) struct App {
    pub(super) id: u64,
}

#[derive(Deserialize)]
pub(super) struct DeletePayload<'a> {
    #[serde(borrow, rename = "ref")]
    pub(super) reference: Cow<'a, str>,
    /// `branch` or `tag`.
    #[serde(borrow)]
    pub(super) ref_type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) repository: Repository<'a>,
}

/// What became of a repository.
#[derive(Deserialize)]
pub(super) struct RepositoryPayload<'a> {
    #[serde(borrow)]
    pub(super) action: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) repository: Repository<'a>,
}

/// What became of a run of a workflow.
#[derive(Deserialize)]
pub(super) struct RunPayload<'a> {
    #[serde(borrow)]
    pub(super) workflow_run: Run<'a>,
    #[serde(borrow)]
    pub(super) repository: Repository<'a>,
}

#[derive(Deserialize)]
pub(super) struct Run<'a> {
    /// The workflow's file, from the top of the repository; `@` and a reference may follow.
    #[serde(borrow)]
    pub(super) path: Cow<'a, str>,
    /// What started it.
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) display_title: Option<Cow<'a, str>>,
}

/// What became of a job of such a run.
#[derive(Deserialize)]
pub(super) struct JobPayload<'a> {
    #[serde(borrow)]
    pub(super) action: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) workflow_job: Job<'a>,
    #[serde(borrow)]
    pub(super) repository: Repository<'a>,
}

#[derive(Deserialize)]
pub(super) struct Job<'a> {
    #[serde(borrow)]
    pub(super) workflow_name: Option<Cow<'a, str>>,
}

/// The little that is looked for in a body that could not be read as its event.
#[derive(Deserialize, Default)]
pub(super) struct Outline<'a> {
    #[serde(borrow)]
    pub(super) repository: Option<Repository<'a>>,
}
