//! Webhook bodies. GitHub: "Webhook events and payloads".

use std::sync::Arc;

use serde_json::{Value, json};

use super::comment::{comment, rollup};
use super::pull::{comment_count, facts, label};
use super::{
    Detail, extend, installation, job, organization, pull, repo, repo_stub, review_comment, review_event, run, user,
    workflow,
};
use crate::model::{Branch, CommitSha, PullNumber, RepoName};
use crate::sandbox::git::{Commit, DiffStatus, diff};
use crate::sandbox::record::{Account, Comment, Pull, ReviewComment, ReviewRecord};
use crate::sandbox::runs::Run;
use crate::sandbox::world::{APP_ID, World, iso, node_id};

/// No commit, as a push writes it.
const ZERO: &str = "0000000000000000000000000000000000000000";

/// What happened.
#[derive(Debug, Clone)]
pub(in crate::sandbox) enum EventKind<'a> {
    Ping,
    Push {
        branch: &'a Branch,
        before: Option<&'a CommitSha>,
        after: Option<&'a CommitSha>,
    },
    /// `more` are the fields that only some actions have.
    Pull {
        action: &'a str,
        pull: &'a Pull,
        more: Value,
    },
    Label {
        action: &'a str,
        pull: &'a Pull,
        label: &'a str,
    },
    Comment {
        action: &'a str,
        comment: &'a Comment,
        before: Option<&'a str>,
    },
    Review {
        action: &'a str,
        review: &'a ReviewRecord,
        before: Option<&'a str>,
    },
    ReviewComment {
        action: &'a str,
        comment: &'a ReviewComment,
        before: Option<&'a str>,
    },
    BranchDeleted {
        branch: &'a Branch,
    },
    /// `changes` are null where an action has none.
    Repository {
        action: &'a str,
        changes: Value,
    },
    Run {
        action: &'a str,
        run: &'a Run,
    },
    Job {
        action: &'a str,
        run: &'a Run,
    },
    Installation {
        action: &'a str,
    },
    InstallationRepositories {
        action: &'a str,
    },
}

impl EventKind<'_> {
    /// `X-GitHub-Event`
    pub(in crate::sandbox) fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Push { .. } => "push",
            Self::Pull { .. } | Self::Label { .. } => "pull_request",
            Self::Comment { .. } => "issue_comment",
            Self::Review { .. } => "pull_request_review",
            Self::ReviewComment { .. } => "pull_request_review_comment",
            Self::BranchDeleted { .. } => "delete",
            Self::Repository { .. } => "repository",
            Self::Run { .. } => "workflow_run",
            Self::Job { .. } => "workflow_job",
            Self::Installation { .. } => "installation",
            Self::InstallationRepositories { .. } => "installation_repositories",
        }
    }
}

/// The body of an event in a repository, caused by somebody.
pub(in crate::sandbox) fn event(world: &World, name: &RepoName, sender: &Account, kind: &EventKind<'_>) -> Value {
    let id = world.app.installations.get(name.owner()).copied().unwrap_or(0);
    let whole = |mut value: Value| {
        let Some(repository) = world.repo(name) else { return value };
        extend(
            &mut value,
            json!({
                "repository": repo(world, repository),
                "organization": organization(world, &repository.owner),
                "sender": user(&world.base, sender),
                "installation": { "id": id, "node_id": node_id("Installation", id) },
            }),
        );
        value
    };
    match kind {
        EventKind::Ping => ping(world),
        EventKind::Push { branch, before, after } => whole(push(world, name, sender, branch, [*before, *after])),
        EventKind::Pull { action, pull, more } => {
            let mut value = pull_event(world, name, action, pull);
            extend(&mut value, more.clone());
            whole(value)
        }
        EventKind::Label { action, pull, label: text } => {
            let mut value = pull_event(world, name, action, pull);
            extend(&mut value, json!({ "label": label(world, name, text) }));
            whole(value)
        }
        EventKind::Comment { action, comment: said, before } => {
            let (issue, comment) = (issue(world, name, said), comment(world, name, said));
            whole(edited(json!({ "action": action, "issue": issue, "comment": comment }), *before))
        }
        EventKind::Review { action, review, before } => {
            let (pull, review) = (simple_pull(world, name, review.pull), review_event(world, name, review));
            whole(edited(json!({ "action": action, "pull_request": pull, "review": review }), *before))
        }
        EventKind::ReviewComment { action, comment, before } => {
            let (pull, comment) = (simple_pull(world, name, comment.pull), review_comment(world, name, comment));
            whole(edited(json!({ "action": action, "pull_request": pull, "comment": comment }), *before))
        }
        EventKind::BranchDeleted { branch } => {
            whole(json!({ "ref": branch, "ref_type": "branch", "pusher_type": "user" }))
        }
        EventKind::Repository { action, changes: Value::Null } => whole(json!({ "action": action })),
        EventKind::Repository { action, changes } => whole(json!({ "action": action, "changes": changes })),
        EventKind::Run { action, run: about } => {
            let (workflow, run) = (workflow(world, name, about), run(world, name, about));
            whole(json!({ "action": action, "workflow": workflow, "workflow_run": run }))
        }
        EventKind::Job { action, run } => whole(json!({ "action": action, "workflow_job": job(world, name, run) })),
        EventKind::Installation { action } => json!({
            "action": action,
            "installation": installation(world, name.owner(), id),
            "repositories": world.installed(name.owner()).map(repo_stub).collect::<Vec<_>>(),
            "requester": null,
            "sender": user(&world.base, sender),
        }),
        EventKind::InstallationRepositories { action } => {
            let stub: Vec<Value> = world.repo(name).map(repo_stub).into_iter().collect();
            let (added, removed) = if *action == "added" { (stub, vec![]) } else { (vec![], stub) };
            json!({
                "action": action,
                "installation": installation(world, name.owner(), id),
                "repository_selection": "selected",
                "repositories_added": added,
                "repositories_removed": removed,
                "requester": null,
                "sender": user(&world.base, sender),
            })
        }
    }
}

fn pull_event(world: &World, name: &RepoName, action: &str, about: &Pull) -> Value {
    json!({
        "action": action,
        "number": about.number,
        "pull_request": pull(world, name, about, Detail::Full),
    })
}

/// With the text that an edit replaced.
fn edited(mut value: Value, before: Option<&str>) -> Value {
    if let Some(before) = before {
        extend(&mut value, json!({ "changes": { "body": { "from": before } } }));
    }
    value
}

/// The events of reviews carry a pull request as a list does.
fn simple_pull(world: &World, name: &RepoName, number: PullNumber) -> Value {
    world.pull(name, number).map_or(Value::Null, |about| pull(world, name, about, Detail::Simple))
}

fn ping(world: &World) -> Value {
    let at = iso(world.app.created_at);
    let url = world.hooks.target.as_ref().map_or("", |target| target.url.as_str());
    json!({
        "zen": "Practicality beats purity.",
        "hook_id": 1,
        "hook": {
            "type": "App",
            "id": 1,
            "name": "web",
            "active": true,
            "events": world.app.events,
            "config": { "content_type": "json", "insecure_ssl": "0", "secret": "********", "url": url },
            "created_at": at,
            "updated_at": at,
            "app_id": APP_ID,
            "deliveries_url": format!("{}/app/hook/deliveries", world.base),
        },
    })
}

fn push(world: &World, name: &RepoName, sender: &Account, branch: &Branch, ends: [Option<&CommitSha>; 2]) -> Value {
    let [before, after] = ends;
    let text = |sha: Option<&CommitSha>| sha.map_or(ZERO, CommitSha::as_str).to_owned();
    let head = after.and_then(|sha| world.commits.get(sha));
    let commits: Vec<Value> = match (before.and_then(|sha| world.commits.get(sha)), head) {
        (Some(before), Some(head)) => {
            let found = crate::sandbox::git::compare(&world.commits, &before.sha, &head.sha);
            found.map_or_else(Vec::new, |found| {
                found.ahead.iter().map(|commit| pushed_commit(world, name, commit)).collect()
            })
        }
        _ => Vec::new(),
    };
    json!({
        "ref": format!("refs/heads/{}", branch.0),
        "before": text(before),
        "after": text(after),
        "created": before.is_none(),
        "deleted": after.is_none(),
        "forced": false,
        "base_ref": null,
        "compare": format!("{}/{name}/compare/{}...{}", world.base, text(before), text(after)),
        "commits": commits,
        "head_commit": head.map(|head| pushed_commit(world, name, head)),
        "pusher": { "name": sender.login, "email": format!("{}@users.example", sender.login) },
    })
}

fn pushed_commit(world: &World, name: &RepoName, commit: &Arc<Commit>) -> Value {
    let empty = Arc::default();
    let parent = commit.parents.first().and_then(|sha| world.commits.get(sha));
    let files = diff(parent.map_or(&empty, |parent| &parent.tree), &commit.tree);
    let of = |wanted: fn(&DiffStatus) -> bool| -> Vec<&str> {
        files.iter().filter(|file| wanted(&file.status)).map(|file| file.path.as_str()).collect()
    };
    let login = &commit.author.login;
    let signature = json!({ "name": login, "email": format!("{login}@users.example"), "username": login });
    json!({
        "id": commit.sha,
        "tree_id": commit.tree_sha,
        "distinct": true,
        "message": commit.message,
        "timestamp": iso(commit.at),
        "url": format!("{}/{name}/commit/{}", world.base, commit.sha),
        "author": signature,
        "committer": signature,
        "added": of(|status| matches!(status, DiffStatus::Added | DiffStatus::Renamed { .. })),
        "removed": of(|status| *status == DiffStatus::Removed),
        "modified": of(|status| *status == DiffStatus::Modified),
    })
}

/// The issue behind a pull request, as an `issue_comment` event carries it.
fn issue(world: &World, name: &RepoName, said: &Comment) -> Value {
    let Some(about) = world.pull(name, said.pull) else { return Value::Null };
    let mut facts = facts(world, name, about);
    let url = facts["issue_url"].as_str().unwrap_or_default().to_owned();
    let mut value = json!({
        "url": url,
        "repository_url": format!("{}/repos/{name}", world.base),
        "labels_url": format!("{url}/labels{{/name}}"),
        "events_url": format!("{url}/events"),
        "timeline_url": format!("{url}/timeline"),
        "reactions": rollup(&format!("{url}/reactions"), &[]),
        "performed_via_github_app": null,
        "state_reason": null,
        "pull_request": {
            "url": facts["url"], "html_url": facts["html_url"], "diff_url": facts["diff_url"],
            "patch_url": facts["patch_url"], "merged_at": facts["merged_at"],
        },
        "comments": comment_count(world, name, about.number),
    });
    for field in [
        "id",
        "node_id",
        "number",
        "title",
        "user",
        "labels",
        "state",
        "locked",
        "assignee",
        "assignees",
        "milestone",
        "comments_url",
        "html_url",
        "created_at",
        "updated_at",
        "closed_at",
        "author_association",
        "active_lock_reason",
        "body",
        "draft",
    ] {
        value[field] = facts[field].take();
    }
    value
}
