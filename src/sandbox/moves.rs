//! Repositories that are renamed, handed to somebody else, archived and deleted, and what becomes of the
//! addresses that they had.
//!
//! GitHub: "Renaming a repository" and "Transferring a repository": whatever is asked under an earlier name is
//! redirected, until somebody makes a repository of that name; "Best practices for using the REST API",
//! "Follow redirects": 301 for a read, 307 for whatever else keeps its method.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::action::{Verb, unknown};
use super::api::{Answer, Caller};
use super::body::{EventKind, organization};
use super::record::{AccountKind, Repo, Visibility};
use super::routes::Params;
use super::serve::{Sandbox, SandboxError};
use super::world::{PERSON, World};
use crate::model::RepoName;

/// Numbers of repositories by the names that they had before.
pub(super) type Moved = BTreeMap<RepoName, u64>;

/// A request for what has another name by now.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a [(String, String)],
}

impl Sandbox {
    /// Gives a repository another name, so that its old one is free for others. Tells nobody: an App that
    /// has not asked for such events hears of it by the next event alone. Tokens of before go on speaking for
    /// it, and say nothing of whoever takes its old name.
    pub fn rename_repo(&self, name: &RepoName, to: &str) -> Verb<RepoName> {
        let to = RepoName::new(to).map_err(unknown)?;
        self.shared.world().move_repo(name, &to)?;
        Ok(to)
    }

    /// Hands a repository to another account, which has the app as well. Tells nobody.
    pub fn transfer_repo(&self, name: &RepoName, to: &str) -> Verb<RepoName> {
        let to = RepoName::new(format!("{to}/{}", name.name())).map_err(unknown)?;
        let mut world = self.shared.world();
        world.move_repo(name, &to)?;
        let owner = world.account(to.owner(), AccountKind::Organization);
        world.installation(to.owner());
        if let Some(repo) = world.repo_mut(&to) {
            repo.owner = owner;
        }
        Ok(to)
    }

    /// Tells the webhook what became of a repository: `renamed`, `transferred`, `archived`, ...
    pub fn tell_of_repo(&self, name: &RepoName, action: &str, before: Option<&RepoName>) {
        let mut world = self.shared.world();
        let (sender, changes) = (world.person(PERSON), changes(&world, action, before));
        world.announce(name, &sender, &EventKind::Repository { action, changes });
    }

    /// Deletes a repository. Pull requests from it stay, with no head repository. Tells nobody.
    pub fn delete_repo(&self, name: &RepoName) -> Verb<()> {
        self.shared.world().repos.remove(name).map(drop).ok_or_else(|| unknown(name))
    }

    /// From now on the bodies of deliveries lack what this pointer leads to: `/number`. As whoever plays
    /// GitHub may send them.
    pub fn leave_out(&self, pointer: Option<&'static str>) {
        self.shared.world().hooks.left_out = pointer;
    }
}

fn changes(world: &World, action: &str, before: Option<&RepoName>) -> Value {
    match (action, before) {
        ("renamed", Some(before)) => json!({ "repository": { "name": { "from": before.name() } } }),
        ("transferred", Some(before)) => {
            let owner = world.accounts.get(before.owner()).map(|owner| organization(world, owner));
            json!({ "owner": { "from": { "organization": owner } } })
        }
        _ => Value::Null,
    }
}

impl World {
    fn move_repo(&mut self, name: &RepoName, to: &RepoName) -> Verb<()> {
        if self.repos.contains_key(to) {
            return Err(SandboxError::Refused(format!("{to} exists already")));
        }
        let mut repo = self.repos.remove(name).ok_or_else(|| unknown(name))?;
        repo.name = to.clone();
        let own = repo.pulls.values_mut().filter(|pull| pull.head_repo == *name);
        own.for_each(|pull| pull.head_repo = to.clone());
        self.moved.insert(name.clone(), repo.id);
        self.moved.remove(to);
        self.repos.insert(to.clone(), repo);
        let roles = std::mem::take(&mut self.roles).into_iter();
        let renamed = |repo: RepoName| if repo == *name { to.clone() } else { repo };
        self.roles = roles.map(|((repo, who), role)| ((renamed(repo), who), role)).collect();
        Ok(())
    }

    /// A path with a repository's number as one with its name: `/repositories/7/pulls`.
    pub(super) fn named(&self, path: &str) -> String {
        let by_number = || {
            let (number, rest) = split(path.strip_prefix("/repositories/")?);
            let id: u64 = number.parse().ok()?;
            let repo = self.repos.values().find(|repo| repo.id == id)?;
            Some(format!("/repos/{}{rest}", repo.name))
        };
        by_number().unwrap_or_else(|| path.to_owned())
    }

    /// Where what is asked for is by now, if its repository has another name and the caller may know.
    pub(super) fn redirect(&self, params: &Params, caller: &Caller, asked: &Asked<'_>) -> Option<Answer> {
        let param = |name: &str| params.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str());
        let name = RepoName::new(format!("{}/{}", param("owner")?, param("repo")?)).ok()?;
        if self.repos.contains_key(&name) {
            return None;
        }
        let id = self.moved.get(&name)?;
        let repo = self.repos.values().find(|repo| repo.id == *id)?;
        if !may_know(repo, caller) {
            return None;
        }
        let (_, rest) = split(asked.path.strip_prefix("/repos/")?.split_once('/')?.1);
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(asked.query).finish();
        let query = if query.is_empty() { query } else { format!("?{query}") };
        let url = format!("{}/repositories/{id}{rest}{query}", self.base);
        let (status, message) = match *asked.method {
            Method::GET => (301, "Moved Permanently"),
            _ => (307, "Temporary Redirect"),
        };
        let body = json!({ "message": message, "url": url, "documentation_url": "https://docs.github.com/rest" });
        Some(Answer::json(status, body).with("location", url))
    }
}

fn may_know(repo: &Repo, caller: &Caller) -> bool {
    match caller {
        Caller::App => repo.installed,
        Caller::Installation(token) => token.is_for(repo) || repo.visibility == Visibility::Public,
        Caller::Nobody => repo.visibility == Visibility::Public,
    }
}

/// The first part of a path, and the rest with its slash.
fn split(path: &str) -> (&str, &str) {
    path.find('/').map_or((path, ""), |at| path.split_at(at))
}
