//! Comments and reactions.

use serde_json::{Value, json};

use super::{user, via};
use crate::model::{Permission, RepoName};
use crate::sandbox::record::{Account, Comment, ReactionRecord};
use crate::sandbox::world::{World, iso, node_id};

/// GitHub's eight.
const REACTIONS: [&str; 8] = ["+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"];

/// What an account is to a repository.
pub(in crate::sandbox) fn association(world: &World, repo: &RepoName, account: &Account) -> &'static str {
    match world.role(repo, &account.login) {
        _ if account.login == repo.owner() => "OWNER",
        Permission::Admin | Permission::Maintain | Permission::Write | Permission::Triage => "COLLABORATOR",
        Permission::Read | Permission::None => "NONE",
    }
}

/// A `reaction-rollup`.
pub(in crate::sandbox) fn rollup(url: &str, reactions: &[ReactionRecord]) -> Value {
    let mut value = json!({ "url": url, "total_count": reactions.len() });
    for content in REACTIONS {
        let count = reactions.iter().filter(|reaction| reaction.content == content).count();
        value[content] = count.into();
    }
    value
}

/// An `issue-comment`.
pub(in crate::sandbox) fn comment(world: &World, repo: &RepoName, comment: &Comment) -> Value {
    let api = format!("{}/repos/{repo}/issues", world.base);
    let url = format!("{api}/comments/{}", comment.id);
    json!({
        "url": url,
        "html_url": format!("{}/{repo}/pull/{}#issuecomment-{}", world.base, comment.pull, comment.id),
        "issue_url": format!("{api}/{}", comment.pull),
        "id": comment.id,
        "node_id": node_id("IssueComment", comment.id),
        "user": user(&world.base, &comment.author),
        "created_at": iso(comment.created_at),
        "updated_at": iso(comment.updated_at),
        "body": comment.body,
        "author_association": association(world, repo, &comment.author),
        "reactions": rollup(&format!("{url}/reactions"), &comment.reactions),
        "performed_via_github_app": via(world, &comment.author),
    })
}

/// A `reaction`.
pub(in crate::sandbox) fn reaction(world: &World, reaction: &ReactionRecord) -> Value {
    json!({
        "id": reaction.id,
        "node_id": node_id("Reaction", reaction.id),
        "user": user(&world.base, &reaction.user),
        "content": reaction.content,
        "created_at": iso(reaction.at),
    })
}

/// Whether GitHub knows this reaction.
pub(in crate::sandbox) fn is_reaction(content: &str) -> bool {
    REACTIONS.contains(&content)
}
