//! Pull requests.

use serde_json::{Value, json};

use super::comment::association;
use super::{extend, repo, user};
use crate::model::{Branch, PullNumber, RepoName};
use crate::sandbox::git;
use crate::sandbox::record::{Pull, PullState};
use crate::sandbox::world::{World, iso, node_id};

/// How much of a pull request is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Detail {
    /// As in a list.
    Simple,
    /// As by itself and in events.
    Full,
}

/// A `pull-request` or a `pull-request-simple`.
pub(in crate::sandbox) fn pull(world: &World, name: &RepoName, pull: &Pull, detail: Detail) -> Value {
    let mut value = facts(world, name, pull);
    extend(
        &mut value,
        json!({
            "head": side(world, &pull.head_repo, &pull.head, pull.head_sha.as_str()),
            "base": base_side(world, name, pull),
            "auto_merge": null,
        }),
    );
    if detail == Detail::Full {
        extend(&mut value, figures(world, name, pull));
    }
    value
}

/// What a pull request has in common with the issue behind it, and its addresses.
pub(super) fn facts(world: &World, name: &RepoName, pull: &Pull) -> Value {
    let mut value = addresses(world, name, pull);
    let (state, closed_at, merged_at, merge_commit) = match &pull.state {
        PullState::Open | PullState::Draft => ("open", None, None, None),
        PullState::Closed { at } => ("closed", Some(iso(*at)), None, None),
        PullState::Merged { at, commit } => ("closed", Some(iso(*at)), Some(iso(*at)), Some(commit)),
    };
    extend(
        &mut value,
        json!({
            "id": pull.id,
            "node_id": node_id("PullRequest", pull.id),
            "number": pull.number,
            "state": state,
            "locked": false,
            "title": pull.title,
            "user": user(&world.base, &pull.author),
            "body": pull.body,
            "created_at": iso(pull.created_at),
            "updated_at": iso(pull.updated_at),
            "closed_at": closed_at,
            "merged_at": merged_at,
            "merge_commit_sha": merge_commit,
            "assignee": null,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "labels": pull.labels.iter().map(|label| self::label(world, name, label)).collect::<Vec<_>>(),
            "milestone": null,
            "draft": pull.state == PullState::Draft,
            "author_association": association(world, name, &pull.author),
            "active_lock_reason": null,
        }),
    );
    value
}

pub(super) fn comment_count(world: &World, name: &RepoName, number: PullNumber) -> usize {
    world.repo(name).map_or(0, |repo| repo.comments.values().filter(|one| one.pull == number).count())
}

/// A `label`.
pub(in crate::sandbox) fn label(world: &World, repo: &RepoName, name: &str) -> Value {
    let id = name.bytes().fold(7_u64, |id, byte| id.wrapping_mul(31).wrapping_add(u64::from(byte)) % 1_000_000_007);
    json!({
        "id": id,
        "node_id": node_id("Label", id),
        "url": format!("{}/repos/{repo}/labels/{}", world.base, name.replace(' ', "%20")),
        "name": name,
        "color": "ededed",
        "default": false,
        "description": "",
    })
}

fn addresses(world: &World, name: &RepoName, pull: &Pull) -> Value {
    let (number, sha) = (pull.number, &pull.head_sha);
    let api = format!("{}/repos/{name}", world.base);
    let (url, issue) = (format!("{api}/pulls/{number}"), format!("{api}/issues/{number}"));
    let page = format!("{}/{name}/pull/{number}", world.base);
    let (comments, reviews) = (format!("{issue}/comments"), format!("{url}/comments"));
    let (commits, statuses) = (format!("{url}/commits"), format!("{api}/statuses/{sha}"));
    let review = format!("{api}/pulls/comments{{/number}}");
    json!({
        "url": url,
        "html_url": page,
        "diff_url": format!("{page}.diff"),
        "patch_url": format!("{page}.patch"),
        "issue_url": issue,
        "comments_url": comments,
        "commits_url": commits,
        "statuses_url": statuses,
        "review_comments_url": reviews,
        "review_comment_url": review,
        "_links": {
            "self": { "href": url },
            "html": { "href": page },
            "issue": { "href": issue },
            "comments": { "href": comments },
            "review_comments": { "href": reviews },
            "review_comment": { "href": review },
            "commits": { "href": commits },
            "statuses": { "href": statuses },
        },
    })
}

/// GitHub writes `null` for the repository of a head whose fork is gone.
fn side(world: &World, name: &RepoName, branch: &Branch, sha: &str) -> Value {
    let from = world.repo(name);
    json!({
        "label": format!("{}:{}", name.owner(), branch.0),
        "ref": branch,
        "sha": sha,
        "user": from.map(|from| user(&world.base, &from.owner)),
        "repo": from.map(|from| repo(world, from)),
    })
}

fn base_side(world: &World, name: &RepoName, pull: &Pull) -> Value {
    let sha = world.head(name, &pull.base).map_or("", |commit| commit.sha.as_str());
    side(world, name, &pull.base, sha)
}

/// What only the full form tells.
fn figures(world: &World, name: &RepoName, pull: &Pull) -> Value {
    let base = world.head(name, &pull.base);
    let found = base.and_then(|base| git::compare(&world.commits, &base.sha, &pull.head_sha));
    let files = found.as_ref().map_or(&[][..], |found| &found.files);
    let merged = matches!(pull.state, PullState::Merged { .. });
    let at_lines =
        world.repo(name).map_or(0, |repo| repo.review_comments.values().filter(|one| one.pull == pull.number).count());
    json!({
        "additions": files.iter().map(|file| file.added).sum::<usize>(),
        "deletions": files.iter().map(|file| file.deleted).sum::<usize>(),
        "changed_files": files.len(),
        "comments": comment_count(world, name, pull.number),
        "commits": found.as_ref().map_or(0, |found| found.ahead.len()),
        "review_comments": at_lines,
        "mergeable": pull.is_open().then_some(true),
        "rebaseable": pull.is_open().then_some(true),
        "mergeable_state": if pull.is_open() { "clean" } else { "unknown" },
        "merged": merged,
        "merged_by": if merged { user(&world.base, &pull.author) } else { Value::Null },
        "maintainer_can_modify": false,
    })
}
