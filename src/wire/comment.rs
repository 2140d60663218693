//! What people write on a pull request: in its conversation, in a review, at a line of its changes.
//!
//! New texts and changed ones are told apart by their event, so that no reader of the one can take
//! the other for it.

use super::parse::{Parsed, Unreadable};
use super::payload::{Changes, Comment, CommentPayload, Repository, ReviewCommentPayload, ReviewPayload};
use crate::model::{ActorKind, CommentEvent, CommentSource, Event, PullNumber, Timestamp};

/// `issue_comment`, of which only those on pull requests matter.
pub(super) fn issue_comment(body: &[u8]) -> Result<Parsed, Unreadable> {
    let payload: CommentPayload<'_> = serde_json::from_slice(body)?;
    if payload.issue.pull_request.is_none() {
        return Ok(Parsed::Ignored { why: "a comment on an issue" });
    }
    written(Written {
        is_new: payload.action == "created",
        is_edited: payload.action == "edited",
        source: CommentSource::Issue,
        number: payload.issue.number,
        comment: payload.comment,
        changes: payload.changes,
        repository: payload.repository,
    })
}

/// `pull_request_review_comment`
pub(super) fn review_comment(body: &[u8]) -> Result<Parsed, Unreadable> {
    let payload: ReviewCommentPayload<'_> = serde_json::from_slice(body)?;
    written(Written {
        is_new: payload.action == "created",
        is_edited: payload.action == "edited",
        source: CommentSource::ReviewComment,
        number: payload.pull_request.number,
        comment: payload.comment,
        changes: payload.changes,
        repository: payload.repository,
    })
}

/// `pull_request_review`; most reviews have no text of their own.
pub(super) fn review(body: &[u8]) -> Result<Parsed, Unreadable> {
    let payload: ReviewPayload<'_> = serde_json::from_slice(body)?;
    if payload.review.body.as_deref().is_none_or(|text| text.trim().is_empty()) {
        return Ok(Parsed::Ignored { why: "a review without a text" });
    }
    written(Written {
        is_new: payload.action == "submitted",
        is_edited: payload.action == "edited",
        source: CommentSource::Review,
        number: payload.pull_request.number,
        comment: payload.review,
        changes: payload.changes,
        repository: payload.repository,
    })
}

struct Written<'a> {
    is_new: bool,
    is_edited: bool,
    source: CommentSource,
    number: u64,
    comment: Comment<'a>,
    changes: Changes<'a>,
    repository: Repository<'a>,
}

fn written(written: Written<'_>) -> Result<Parsed, Unreadable> {
    if !written.is_new && !written.is_edited {
        return Ok(Parsed::Ignored { why: "a comment that is neither new nor changed" });
    }
    let Some(author) = written.comment.user.map(|user| user.actor()) else {
        return Ok(Parsed::Ignored { why: "a comment without an author" });
    };
    let Some(text) = written.comment.body else {
        return Ok(Parsed::Ignored { why: "a comment without a text" });
    };
    let at = written.comment.created_at.or(written.comment.submitted_at);
    let Some(at) = at.and_then(|at| at.parse::<jiff::Timestamp>().ok()) else {
        return Err(Unreadable::Value("time of a comment: not as GitHub writes it".into()));
    };
    // Our own sticky comment is edited all the time.
    if written.is_edited && author.kind == ActorKind::Bot {
        return Ok(Parsed::Ignored { why: "an edit of a program's comment" });
    }
    let before = written.changes.body.map(|before| before.from.unwrap_or_default().into_owned());
    let seen = written.repository.seen()?;
    let comment = CommentEvent {
        repo: seen.name.clone(),
        number: PullNumber(written.number),
        comment: written.comment.id,
        source: written.source,
        created_at: Timestamp(at.as_millisecond()),
        author,
        via_app: written.comment.performed_via_github_app.map(|app| app.id),
        body: text.into_owned(),
    };
    Ok(match before {
        _ if written.is_new => Parsed::Event(Event::Comment(comment), Some(seen)),
        Some(before) => Parsed::Event(Event::CommentEdited { comment, before }, Some(seen)),
        None => Parsed::Ignored { why: "an edit that left the text as it was" },
    })
}

#[cfg(test)]
#[path = "comment_tests.rs"]
mod tests;
