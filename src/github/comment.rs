//! The sticky comment, and reactions to the comments of others.

use std::ops::ControlFlow;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::api::{Api, Credential, Who};
use super::cache::Freshness;
use super::path;
use super::read::User;
use super::transport::Ask;
use crate::model::{CommentSource, ExternalId, Reaction, RepoName};
use crate::port::{PortError, PortResult, StickyComment};

#[derive(Deserialize)]
struct Comment {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    user: Option<User>,
    performed_via_github_app: Option<App>,
}

#[derive(Deserialize)]
struct App {
    id: u64,
}

/// Edits the comment if there is one, else makes it.
pub(super) async fn publish(api: &Api, comment: &StickyComment<'_>) -> PortResult<ExternalId> {
    let known = match comment.id {
        Some(id) => edit(api, comment, id.as_str()).await?,
        None => None,
    };
    if let Some(id) = known {
        return Ok(id);
    }
    if let Some(found) = find(api, comment).await?
        && let Some(id) = edit(api, comment, &found.to_string()).await?
    {
        return Ok(id);
    }
    let path = path::repo(comment.repo, &format!("/issues/{}/comments", comment.pull));
    let answer = api.send(Who::on(comment.repo), Method::POST, path, Some(json!({ "body": comment.body }))).await?;
    let made: Comment = answer.json(&format!("a comment on pull request {} of {}", comment.pull, comment.repo))?;
    external(made.id)
}

/// The id again, or `None` when the comment is gone.
async fn edit(api: &Api, comment: &StickyComment<'_>, id: &str) -> PortResult<Option<ExternalId>> {
    let path = path::repo(comment.repo, &format!("/issues/comments/{}", path::encode(id)));
    let answer = api.send(Who::on(comment.repo), Method::PATCH, path, Some(json!({ "body": comment.body }))).await?;
    if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Ok(None);
    }
    let edited: Comment = answer.json(&format!("comment {id} of {}", comment.repo))?;
    external(edited.id).map(Some)
}

/// The newest comment of our own that begins with the marker. Anybody can write a marker; only we
/// can write as the app, and only the repository's own workflows as their bot. Whoever gives a job another
/// token has comments that are known by their ids alone.
async fn find(api: &Api, comment: &StickyComment<'_>) -> PortResult<Option<u64>> {
    let mut candidates: Vec<Comment> = Vec::new();
    let first = path::repo(comment.repo, &format!("/issues/{}/comments?per_page=100", comment.pull));
    let what = format!("the comments of pull request {} of {}", comment.pull, comment.repo);
    api.pages(Who::on(comment.repo), first, &what, |page: Vec<Comment>| {
        let marked =
            |candidate: &Comment| candidate.body.as_deref().is_some_and(|body| body.starts_with(comment.marker));
        let by_bot = |comment: &Comment| comment.user.as_ref().is_some_and(|user| user.kind == "Bot");
        candidates.extend(page.into_iter().filter(|comment| marked(comment) && by_bot(comment)));
        ControlFlow::Continue(())
    })
    .await?;
    candidates.sort_unstable_by_key(|comment| std::cmp::Reverse(comment.id));
    for candidate in candidates {
        let ours = match (api.credential(), &candidate.performed_via_github_app, &candidate.user) {
            (Credential::Job(_), _, user) => user.as_ref().is_some_and(|user| user.actor().is_actions_bot()),
            (Credential::App(ours), Some(app), _) => app.id == ours.app_id,
            (Credential::App(_), None, Some(user)) => user.login == bot_login(api).await?,
            (Credential::App(_), None, None) => false,
        };
        if ours {
            return Ok(Some(candidate.id));
        }
    }
    Ok(None)
}

/// Under which name the app writes: `<slug>[bot]`.
async fn bot_login(api: &Api) -> PortResult<String> {
    #[derive(Deserialize)]
    struct Slug {
        slug: String,
    }
    let app: Slug = api.get(Who::App, Ask::get("/app"), Freshness::Conditional).await?.json("the app itself")?;
    Ok(format!("{}[bot]", app.slug))
}

/// GitHub answers 200 for a reaction that is there already, 201 for a new one.
///
/// Source: GitHub REST, "Reactions": "Create reaction for an issue comment" and "Create reaction
/// for a pull request review comment"; there is none for a review.
pub(super) async fn react(
    api: &Api,
    repo: &RepoName,
    source: CommentSource,
    comment: u64,
    reaction: Reaction,
) -> PortResult<()> {
    let place = match source {
        CommentSource::Issue => "issues",
        CommentSource::ReviewComment => "pulls",
        CommentSource::Review | CommentSource::PullRequest => return Ok(()),
    };
    let path = path::repo(repo, &format!("/{place}/comments/{comment}/reactions"));
    let body = json!({ "content": reaction.as_str() });
    let answer = api.send(Who::on(repo), Method::POST, path, Some(body)).await?;
    answer.ok(&format!("a reaction to comment {comment} of {repo}")).map(drop)
}

pub(super) fn external(id: u64) -> PortResult<ExternalId> {
    ExternalId::new(id.to_string()).map_err(|error| PortError::bug("reading an id of GitHub", error))
}
