//! What a signed body says.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::comment::{issue_comment, review, review_comment};
use super::payload::{
    DeletePayload, JobPayload, Outline, PullRequestPayload, PushPayload, RepositoryPayload, RunPayload,
};
use crate::model::{
    BUILD_WORKFLOW, BUILD_WORKFLOW_NAME, BadId, Branch, CommitSha, DeliveryId, Event, Nonce, PullNumber,
    PullRequestAction, PushEvent, RepoSeen, Timestamp,
};

/// A delivery that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: DeliveryId,
    pub parsed: Parsed,
}

/// What a delivery asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// Something for a lane, with the repository that it is about, by its number. The event has its
    /// name of that moment.
    Event(Event, Option<RepoSeen>),
    /// GitHub tries the webhook out.
    Ping,
    /// Nothing that could change a stage.
    Ignored { why: &'static str },
}

/// A body that GitHub signed but that lacks what its event must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    pub id: DeliveryId,
    /// The repository, where the body names one.
    pub repo: Option<RepoSeen>,
    pub reason: String,
    /// Event, size and the names of the outermost fields: no value, so no secret either.
    pub excerpt: String,
}

/// Why a delivery was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A header that GitHub always sends is not there or not readable.
    #[error("the {0} header is missing or not readable")]
    Header(&'static str),
    /// The bytes are no JSON: cut off on the way, or sent as a form.
    #[error("the body is not JSON: set the webhook's content type to application/json")]
    NotJson,
    #[error("the body lacks what its event must have: {}", .0.reason)]
    Poison(Box<Poison>),
}

/// Why one event could not be read, before it is known to whom it belongs.
pub(super) enum Unreadable {
    Json(serde_json::Error),
    Value(String),
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<BadId> for Unreadable {
    fn from(error: BadId) -> Self {
        // The refused text is the sender's: only the rule goes on.
        Self::Value(format!("{}: {}", error.kind, error.rule))
    }
}

const KNOWN: [&str; 12] = [
    "pull_request",
    "push",
    "issue_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "delete",
    "repository",
    "workflow_run",
    "workflow_job",
    "installation",
    "installation_repositories",
    "ping",
];

/// The event's name where it is one that is handled, else `other`: a closed set, for metrics.
pub fn event_label(event_header: Option<&str>) -> &'static str {
    KNOWN.into_iter().find(|known| Some(*known) == event_header).unwrap_or("other")
}

/// What a delivery's headers say it is.
pub(super) fn named<'h>(
    event_header: Option<&'h str>,
    delivery_header: Option<&str>,
) -> Result<(&'h str, DeliveryId), WireError> {
    let event = event_header.ok_or(WireError::Header("X-GitHub-Event"))?;
    let id = delivery_header.and_then(|text| DeliveryId::new(text).ok());
    Ok((event, id.ok_or(WireError::Header("X-GitHub-Delivery"))?))
}

/// Reads a delivery. Call it only after [`verify`](super::verify).
pub fn parse(event_header: Option<&str>, delivery_header: Option<&str>, body: &[u8]) -> Result<Message, WireError> {
    let (event, id) = named(event_header, delivery_header)?;
    let parsed = match event {
        "pull_request" => pull_request(body),
        "push" => push(body),
        "issue_comment" => issue_comment(body),
        "pull_request_review" => review(body),
        "pull_request_review_comment" => review_comment(body),
        "delete" => delete(body),
        "repository" => repository(body),
        "workflow_run" => workflow_run(body),
        "workflow_job" => workflow_job(body),
        "installation" | "installation_repositories" => serde_json::from_slice::<IgnoredAny>(body)
            .map(|_| Parsed::Event(Event::InstallationChanged, None))
            .map_err(Into::into),
        // A webhook that is set to send forms is told so at its first ping.
        "ping" => serde_json::from_slice::<IgnoredAny>(body).map(|_| Parsed::Ping).map_err(Into::into),
        _ => Ok(Parsed::Ignored { why: "an event that is not used" }),
    };
    match parsed {
        Ok(parsed) => Ok(Message { id, parsed }),
        Err(unreadable) => Err(explain(event, id, body, unreadable)),
    }
}

fn pull_request(body: &[u8]) -> Result<Parsed, Unreadable> {
    let payload: PullRequestPayload<'_> = serde_json::from_slice(body)?;
    let action = match &*payload.action {
        "opened" => PullRequestAction::Opened,
        "reopened" => PullRequestAction::Reopened,
        "synchronize" => PullRequestAction::Synchronize,
        "edited" => PullRequestAction::Edited,
        "labeled" => PullRequestAction::Labeled,
        "unlabeled" => PullRequestAction::Unlabeled,
        "ready_for_review" => PullRequestAction::ReadyForReview,
        "converted_to_draft" => PullRequestAction::ConvertedToDraft,
        "closed" => PullRequestAction::Closed,
        _ => return Ok(Parsed::Ignored { why: "an action that changes no stage" }),
    };
    // It only ever moves a witness to a later time: without it, our own clock counts.
    let updated_at = payload.pull_request.updated_at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let number = payload.number.or(payload.pull_request.number);
    let number = number.ok_or_else(|| Unreadable::Value("missing field `number`".into()))?;
    let seen = payload.repository.seen()?;
    let event = Event::PullRequest {
        updated_at: updated_at.map_or(Timestamp(0), |at| Timestamp(at.as_millisecond())),
        repo: seen.name.clone(),
        number: PullNumber(number),
        action,
        head: CommitSha::new(payload.pull_request.head.sha)?,
        actor: payload.sender.actor(),
    };
    Ok(Parsed::Event(event, Some(seen)))
}

fn push(body: &[u8]) -> Result<Parsed, Unreadable> {
    let payload: PushPayload<'_> = serde_json::from_slice(body)?;
    let Some(branch) = payload.reference.strip_prefix("refs/heads/") else {
        return Ok(Parsed::Ignored { why: "a push to something other than a branch" });
    };
    // A deleted branch is announced as a push to 40 zeros.
    let gone = payload.deleted || payload.after.bytes().all(|digit| digit == b'0');
    let seen = payload.repository.seen()?;
    let push = PushEvent {
        repo: seen.name.clone(),
        branch: Branch(branch.to_owned()),
        after: if gone { None } else { Some(CommitSha::new(payload.after)?) },
        actor: payload.sender.map(|sender| sender.actor()),
    };
    Ok(Parsed::Event(Event::Push(push), Some(seen)))
}

fn delete(body: &[u8]) -> Result<Parsed, Unreadable> {
    let payload: DeletePayload<'_> = serde_json::from_slice(body)?;
    if payload.ref_type != "branch" {
        return Ok(Parsed::Ignored { why: "the removal of something other than a branch" });
    }
    let branch = Branch(payload.reference.into_owned());
    let seen = payload.repository.seen()?;
    Ok(Parsed::Event(Event::BranchDeleted { repo: seen.name.clone(), branch }, Some(seen)))
}

/// What became of the repository itself. Its number is what it was; all else is looked at.
fn repository(body: &[u8]) -> Result<Parsed, Unreadable> {
    let payload: RepositoryPayload<'_> = serde_json::from_slice(body)?;
    let seen = payload.repository.seen()?;
    let repo = seen.name.clone();
    let event = match &*payload.action {
        "deleted" => Event::RepositoryDeleted { repo },
        "renamed" | "transferred" | "edited" | "archived" | "unarchived" | "privatized" | "publicized" => {
            Event::Reconcile { repo }
        }
        _ => return Ok(Parsed::Ignored { why: "an action that changes no stage" }),
    };
    Ok(Parsed::Event(event, Some(seen)))
}

/// A run of the workflow that builds. Those of other workflows are many, and nothing to us.
fn workflow_run(body: &[u8]) -> Result<Parsed, Unreadable> {
    let payload: RunPayload<'_> = serde_json::from_slice(body)?;
    let run = payload.workflow_run;
    let file = run.path.split('@').next().unwrap_or_default();
    let is_build = file.strip_prefix(".github/workflows/") == Some(BUILD_WORKFLOW) && run.event == "workflow_dispatch";
    if !is_build {
        return Ok(Parsed::Ignored { why: "a run of another workflow" });
    }
    let seen = payload.repository.seen()?;
    let nonce = run.display_title.as_deref().and_then(Nonce::in_title);
    Ok(Parsed::Event(Event::RunMoved { repo: seen.name.clone(), nonce }, Some(seen)))
}

/// A job has no title: it is known by its workflow's name, and where that was changed the run itself tells.
fn workflow_job(body: &[u8]) -> Result<Parsed, Unreadable> {
    let payload: JobPayload<'_> = serde_json::from_slice(body)?;
    if payload.workflow_job.workflow_name.as_deref() != Some(BUILD_WORKFLOW_NAME) {
        return Ok(Parsed::Ignored { why: "a job of another workflow" });
    }
    if !matches!(&*payload.action, "in_progress" | "completed") {
        return Ok(Parsed::Ignored { why: "an action that changes no stage" });
    }
    let seen = payload.repository.seen()?;
    Ok(Parsed::Event(Event::RunMoved { repo: seen.name.clone(), nonce: None }, Some(seen)))
}

/// Tells bytes that are no JSON from JSON that does not fit.
fn explain(event: &str, id: DeliveryId, body: &[u8], unreadable: Unreadable) -> WireError {
    let reason = match unreadable {
        Unreadable::Json(error) if error.classify() != Category::Data => return WireError::NotJson,
        // The reader stops at the first field that does not fit: the rest may still be cut off.
        Unreadable::Json(_) if serde_json::from_slice::<IgnoredAny>(body).is_err() => return WireError::NotJson,
        Unreadable::Json(error) => misfit(&error),
        Unreadable::Value(reason) => reason,
    };
    let outline: Outline<'_> = serde_json::from_slice(body).unwrap_or_default();
    let repo = outline.repository.and_then(|named| named.seen().ok());
    let excerpt = excerpt(event, body);
    WireError::Poison(Box::new(Poison { id, repo, reason, excerpt }))
}

/// Where the reader stopped and, for a missing field, which; never a value from the body.
fn misfit(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    let text = error.to_string();
    match text.split('`').nth(1) {
        Some(field) if text.starts_with("missing field `") => format!("missing field `{field}` at {place}"),
        _ => format!("a field of another type at {place}"),
    }
}

fn excerpt(event: &str, body: &[u8]) -> String {
    const FIELDS: usize = 20;
    let is_plain = |name: &String| name.len() <= 40 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let fields: BTreeMap<String, &RawValue> = serde_json::from_slice(body).unwrap_or_default();
    let names: Vec<_> = fields.keys().filter(|name| is_plain(name)).take(FIELDS).map(String::as_str).collect();
    format!("{} of {} bytes with the fields: {}", event_label(Some(event)), body.len(), names.join(", "))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
