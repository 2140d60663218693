//! Reviews and the comments at lines of the changes.

use serde_json::{Value, json};

use super::comment::{association, rollup};
use super::{extend, user};
use crate::model::{RepoName, ReviewState};
use crate::sandbox::record::{ReviewComment, ReviewRecord};
use crate::sandbox::world::{World, iso, node_id};

/// A `pull-request-review`.
pub(in crate::sandbox) fn review(world: &World, repo: &RepoName, review: &ReviewRecord) -> Value {
    let url = format!("{}/repos/{repo}/pulls/{}", world.base, review.pull);
    let page = format!("{}/{repo}/pull/{}#pullrequestreview-{}", world.base, review.pull, review.id);
    json!({
        "id": review.id,
        "node_id": node_id("PullRequestReview", review.id),
        "user": user(&world.base, &review.author),
        "body": review.body,
        "state": match review.state {
            ReviewState::Approved => "APPROVED",
            ReviewState::ChangesRequested => "CHANGES_REQUESTED",
            ReviewState::Dismissed => "DISMISSED",
            ReviewState::Commented => "COMMENTED",
        },
        "html_url": page,
        "pull_request_url": url,
        "author_association": association(world, repo, &review.author),
        "_links": { "html": { "href": page }, "pull_request": { "href": url } },
        "submitted_at": iso(review.submitted_at),
        "commit_id": review.sha,
    })
}

/// As events write it: the state in small letters, no text as `null`.
pub(in crate::sandbox) fn review_event(world: &World, repo: &RepoName, of: &ReviewRecord) -> Value {
    let mut value = review(world, repo, of);
    value["state"] = value["state"].as_str().unwrap_or_default().to_ascii_lowercase().into();
    if of.body.is_empty() {
        value["body"] = Value::Null;
    }
    value
}

/// A `pull-request-review-comment`.
pub(in crate::sandbox) fn review_comment(world: &World, repo: &RepoName, comment: &ReviewComment) -> Value {
    let pull = format!("{}/repos/{repo}/pulls/{}", world.base, comment.pull);
    let url = format!("{}/repos/{repo}/pulls/comments/{}", world.base, comment.id);
    let page = format!("{}/{repo}/pull/{}#discussion_r{}", world.base, comment.pull, comment.id);
    let mut value = json!({
        "url": url,
        "pull_request_review_id": null,
        "id": comment.id,
        "node_id": node_id("PullRequestReviewComment", comment.id),
        "user": user(&world.base, &comment.author),
        "body": comment.body,
        "commit_id": comment.sha,
        "original_commit_id": comment.sha,
        "created_at": iso(comment.created_at),
        "updated_at": iso(comment.updated_at),
        "html_url": page,
        "pull_request_url": pull,
        "author_association": association(world, repo, &comment.author),
        "_links": { "self": { "href": url }, "html": { "href": page }, "pull_request": { "href": pull } },
        "reactions": rollup(&format!("{url}/reactions"), &comment.reactions),
    });
    extend(
        &mut value,
        json!({
            "path": comment.path,
            "diff_hunk": "@@ -0,0 +1 @@",
            "position": 1,
            "original_position": 1,
            "start_line": null,
            "original_start_line": null,
            "start_side": null,
            "line": 1,
            "original_line": 1,
            "side": "RIGHT",
            "subject_type": "line",
        }),
    );
    value
}
