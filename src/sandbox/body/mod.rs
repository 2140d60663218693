//! Things as GitHub's API writes them. Every field that GitHub's `OpenAPI` description requires is
//! there; the tests hold each body against it.

mod app;
mod check;
mod comment;
mod commit;
mod deployment;
mod event;
mod people;
mod pull;
mod repo;
mod review;
mod run;

pub(super) use app::{app, foreign_app, grants, installation};
pub(super) use check::{check, commit_status};
pub(super) use comment::{comment, is_reaction, reaction};
pub(super) use commit::{commit, comparison, content_entry};
pub(super) use deployment::{deployment, environment, status};
pub(super) use event::{EventKind, event};
pub(super) use people::{membership, organization, public_user, team};
pub(super) use pull::{Detail, pull};
pub(super) use repo::{repo, repo_stub};
pub(super) use review::{review, review_comment, review_event};
pub(super) use run::{git_commit, job, run, workflow};

use serde_json::{Map, Value, json};

use super::record::{Account, AccountKind};
use super::world::node_id;

/// A `simple-user`.
pub(super) fn user(base: &str, account: &Account) -> Value {
    let login = &account.login;
    // A program's login ends in `[bot]`.
    let path = login.replace('[', "%5B").replace(']', "%5D");
    let api = format!("{base}/users/{path}");
    let kind = match account.kind {
        AccountKind::User => "User",
        AccountKind::Organization => "Organization",
        AccountKind::Bot => "Bot",
    };
    json!({
        "login": login,
        "id": account.id,
        "node_id": node_id(kind, account.id),
        "avatar_url": format!("{base}/avatars/{}", account.id),
        "gravatar_id": "",
        "url": api,
        "html_url": format!("{base}/{path}"),
        "followers_url": format!("{api}/followers"),
        "following_url": format!("{api}/following{{/other_user}}"),
        "gists_url": format!("{api}/gists{{/gist_id}}"),
        "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{api}/subscriptions"),
        "organizations_url": format!("{api}/orgs"),
        "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events{{/privacy}}"),
        "received_events_url": format!("{api}/received_events"),
        "type": kind,
        "user_view_type": "public",
        "site_admin": false,
    })
}

/// Adds the fields of one object to another.
pub(super) fn extend(target: &mut Value, more: Value) {
    if let (Value::Object(target), Value::Object(more)) = (target, more) {
        target.extend::<Map<_, _>>(more);
    }
}
