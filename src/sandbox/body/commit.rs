//! Commits, comparisons and files.

use serde_json::{Value, json};

use super::user;
use crate::model::RepoName;
use crate::sandbox::git::{Commit, Comparison, DiffStatus, FileDiff, object_name};
use crate::sandbox::world::{World, iso, node_id};

/// GitHub: "Compare two commits": at most 300 files, all on the first page.
const MOST_FILES: usize = 300;

/// A `commit` without its files.
pub(in crate::sandbox) fn commit(world: &World, repo: &RepoName, commit: &Commit) -> Value {
    let (api, web) = (format!("{}/repos/{repo}", world.base), format!("{}/{repo}", world.base));
    let sha = &commit.sha;
    let signature = json!({
        "name": commit.author.login,
        "email": format!("{}@users.example", commit.author.login),
        "date": iso(commit.at),
    });
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|parent| {
            let (url, page) = (format!("{api}/commits/{parent}"), format!("{web}/commit/{parent}"));
            json!({ "sha": parent, "url": url, "html_url": page })
        })
        .collect();
    let author = user(&world.base, &commit.author);
    json!({
        "sha": sha,
        "node_id": node_id(sha.as_str(), 0),
        "commit": {
            "author": signature,
            "committer": signature,
            "message": commit.message,
            "tree": { "sha": commit.tree_sha, "url": format!("{api}/git/trees/{}", commit.tree_sha) },
            "url": format!("{api}/git/commits/{sha}"),
            "comment_count": 0,
            "verification": {
                "verified": false, "reason": "unsigned", "signature": null, "payload": null, "verified_at": null,
            },
        },
        "url": format!("{api}/commits/{sha}"),
        "html_url": format!("{web}/commit/{sha}"),
        "comments_url": format!("{api}/commits/{sha}/comments"),
        "author": author,
        "committer": author,
        "parents": parents,
    })
}

/// A `commit-comparison`.
pub(in crate::sandbox) fn comparison(
    world: &World,
    repo: &RepoName,
    ends: [&Commit; 2],
    found: &Comparison,
    page: std::ops::Range<usize>,
) -> Value {
    let [base, head] = ends;
    let basehead = format!("{}...{}", base.sha, head.sha);
    let (api, web) =
        (format!("{}/repos/{repo}/compare", world.base), format!("{}/{repo}/compare/{basehead}", world.base));
    let status = match (found.ahead.len(), found.behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let first_page = page.start == 0;
    let commits: Vec<Value> =
        found.ahead.iter().skip(page.start).take(page.len()).map(|one| commit(world, repo, one)).collect();
    let files: Vec<Value> = found
        .files
        .iter()
        .take(if first_page { MOST_FILES } else { 0 })
        .map(|file| diff_entry(world, repo, head, file))
        .collect();
    json!({
        "url": format!("{api}/{basehead}"),
        "html_url": web,
        "permalink_url": web,
        "diff_url": format!("{web}.diff"),
        "patch_url": format!("{web}.patch"),
        "base_commit": commit(world, repo, base),
        "merge_base_commit": commit(world, repo, &found.merge_base),
        "status": status,
        "ahead_by": found.ahead.len(),
        "behind_by": found.behind,
        "total_commits": found.ahead.len(),
        "commits": commits,
        "files": files,
    })
}

/// A `diff-entry`.
fn diff_entry(world: &World, repo: &RepoName, head: &Commit, file: &FileDiff) -> Value {
    let (base, path, sha) = (&world.base, &file.path, &head.sha);
    let status = match file.status {
        DiffStatus::Added => "added",
        DiffStatus::Removed => "removed",
        DiffStatus::Modified => "modified",
        DiffStatus::Renamed { .. } => "renamed",
    };
    let mut value = json!({
        "sha": file.blob,
        "filename": path,
        "status": status,
        "additions": file.added,
        "deletions": file.deleted,
        "changes": file.added + file.deleted,
        "blob_url": format!("{base}/{repo}/blob/{sha}/{path}"),
        "raw_url": format!("{base}/{repo}/raw/{sha}/{path}"),
        "contents_url": format!("{base}/repos/{repo}/contents/{path}?ref={sha}"),
    });
    if let DiffStatus::Renamed { from } = &file.status {
        value["previous_filename"] = from.as_str().into();
    }
    value
}

/// The fields that a file and a folder's entry have in common.
pub(in crate::sandbox) fn content_entry(
    world: &World,
    repo: &RepoName,
    reference: &str,
    path: &str,
    content: Option<&[u8]>,
) -> Value {
    let (base, file) = (&world.base, content.is_some());
    let sha = object_name(&[content.unwrap_or(path.as_bytes())]);
    let url = format!("{base}/repos/{repo}/contents/{path}?ref={reference}");
    let (git_kind, web_kind) = if file { ("blobs", "blob") } else { ("trees", "tree") };
    let git = format!("{base}/repos/{repo}/git/{git_kind}/{sha}");
    let html = format!("{base}/{repo}/{web_kind}/{reference}/{path}");
    json!({
        "name": path.rsplit('/').next(),
        "path": path,
        "sha": sha,
        "size": content.map_or(0, <[u8]>::len),
        "url": url,
        "html_url": html,
        "git_url": git,
        "download_url": file.then(|| format!("{base}/{repo}/raw/{reference}/{path}")),
        "type": if file { "file" } else { "dir" },
        "_links": { "self": url, "git": git, "html": html },
    })
}
