//! Repositories.

use serde_json::{Map, Value, json};

use super::{extend, user};
use crate::sandbox::record::{Repo, Visibility};
use crate::sandbox::world::{World, iso, node_id};

/// The fields that are addresses under the repository's own.
const ADDRESSES: [(&str, &str); 37] = [
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
    ("url", ""),
];

/// The five fields of a repository in an installation's events.
pub(in crate::sandbox) fn repo_stub(repo: &Repo) -> Value {
    json!({
        "id": repo.id,
        "node_id": node_id("Repository", repo.id),
        "name": repo.name.name(),
        "full_name": repo.name,
        "private": repo.visibility == Visibility::Private,
    })
}

/// A `full-repository`, which is also a `repository` and a webhook's.
pub(in crate::sandbox) fn repo(world: &World, repo: &Repo) -> Value {
    let base = &world.base;
    let (api, web) = (format!("{base}/repos/{}", repo.name), format!("{base}/{}", repo.name));
    let mut value: Value = ADDRESSES
        .into_iter()
        .map(|(field, tail)| (field.to_owned(), Value::from(format!("{api}{tail}"))))
        .collect::<Map<_, _>>()
        .into();
    extend(&mut value, repo_stub(repo));
    extend(
        &mut value,
        json!({
            "owner": user(base, &repo.owner),
            "html_url": web,
            "description": "A repository of the sandbox",
            "fork": repo.parent.is_some(),
            "git_url": format!("git://sandbox.example/{}.git", repo.name),
            "ssh_url": format!("git@sandbox.example:{}.git", repo.name),
            "clone_url": format!("{web}.git"),
            "svn_url": web,
            "homepage": null,
            "mirror_url": null,
            "language": null,
            "license": null,
            "default_branch": repo.default_branch,
            "created_at": iso(repo.created_at),
            "updated_at": iso(repo.pushed_at),
            "pushed_at": iso(repo.pushed_at),
            "size": 0,
        }),
    );
    extend(&mut value, counts_and_switches(repo));
    value
}

fn counts_and_switches(repo: &Repo) -> Value {
    let open = repo.pulls.values().filter(|pull| pull.is_open()).count();
    json!({
        "stargazers_count": 0,
        "watchers": 0,
        "watchers_count": 0,
        "subscribers_count": 0,
        "network_count": 0,
        "forks": 0,
        "forks_count": 0,
        "open_issues": open,
        "open_issues_count": open,
        "has_issues": true,
        "has_projects": true,
        "has_downloads": true,
        "has_wiki": true,
        "has_pages": false,
        "has_discussions": false,
        "archived": false,
        "disabled": false,
        "visibility": repo.visibility.as_str(),
        "topics": [],
        "is_template": false,
        "allow_forking": true,
        "web_commit_signoff_required": false,
    })
}
