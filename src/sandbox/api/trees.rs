//! Commits and folders as git itself keeps them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::body;
use super::super::git::{Tree, is_link, object_name, tree_name};
use super::super::world::World;
use super::{Answer, Call, Refusal};
use crate::model::CommitSha;

type Answered = Result<Answer, Refusal>;

pub(in super::super) fn commit(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let sha = CommitSha::new(call.param("commit_sha")).map_err(|_| Refusal::NotFound)?;
    let commit = world.commits.get(&sha).ok_or(Refusal::NotFound)?;
    Ok(Answer::ok(body::git_commit(world, &repo.name, commit)))
}

/// A folder by its name. Which commit it is of, nobody says.
pub(in super::super) fn show(world: &mut World, call: &Call) -> Answered {
    let (repo, wanted) = (call.repo(world)?, call.param("tree_sha"));
    let found = world.commits.values().find_map(|commit| folder(&commit.tree, wanted)).ok_or(Refusal::NotFound)?;
    let api = format!("{}/repos/{}/git", world.base, repo.name);
    let mut folders: BTreeMap<String, Tree> = BTreeMap::new();
    let mut entries: BTreeMap<String, Value> = BTreeMap::new();
    for (path, content) in &found {
        if let Some((first, rest)) = path.split_once('/') {
            folders.entry(first.to_owned()).or_default().insert(rest.to_owned(), content.clone());
            continue;
        }
        let sha = object_name(&[content.as_ref()]);
        let mode = if is_link(content) { "120000" } else { "100644" };
        let url = format!("{api}/blobs/{sha}");
        let entry =
            json!({ "path": path, "mode": mode, "type": "blob", "sha": sha, "size": content.len(), "url": url });
        entries.insert(path.clone(), entry);
    }
    for (path, tree) in folders {
        let sha = tree_name(&tree);
        let url = format!("{api}/trees/{sha}");
        entries.insert(path.clone(), json!({ "path": path, "mode": "040000", "type": "tree", "sha": sha, "url": url }));
    }
    let entries: Vec<Value> = entries.into_values().collect();
    Ok(Answer::ok(json!({
        "sha": wanted, "url": format!("{api}/trees/{wanted}"), "tree": entries, "truncated": false,
    })))
}

/// The folder of that name in a tree: itself, or one in it.
fn folder(tree: &Tree, wanted: &str) -> Option<Tree> {
    if tree_name(tree) == wanted {
        return Some(tree.clone());
    }
    let mut inner: BTreeMap<&str, Tree> = BTreeMap::new();
    for (path, content) in tree {
        if let Some((first, rest)) = path.split_once('/') {
            inner.entry(first).or_default().insert(rest.to_owned(), content.clone());
        }
    }
    inner.values().find_map(|tree| folder(tree, wanted))
}
