//! Repositories, branches, commits, files, pull requests: everything that is only read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::body::{self, Detail};
use super::super::git;
use super::super::record::Pull;
use super::super::world::{World, node_id};
use super::{Answer, Body, Call, Refusal, linked};
use crate::model::{Branch, Permission};

type Answered = Result<Answer, Refusal>;

/// GitHub: "Get repository content": between 1 and 100 MB the JSON form has no content.
const LARGEST_INLINE: usize = 1024 * 1024;

pub(in super::super) fn repo(world: &mut World, call: &Call) -> Answered {
    Ok(Answer::ok(body::repo(world, call.repo(world)?)))
}

/// `permission` is the old word of four, `role_name` the exact one.
pub(in super::super) fn permission(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let login = call.param("username");
    let account = world.accounts.values().find(|account| account.login.eq_ignore_ascii_case(login));
    let account = account.ok_or(Refusal::NotFound)?;
    let role = world.role(&repo.name, login);
    let (permission, role_name) = match role {
        Permission::None => ("none", ""),
        Permission::Read => ("read", "read"),
        Permission::Triage => ("read", "triage"),
        Permission::Write => ("write", "write"),
        Permission::Maintain => ("write", "maintain"),
        Permission::Admin => ("admin", "admin"),
    };
    let mut user = body::user(&world.base, account);
    user["role_name"] = role_name.into();
    user["permissions"] = json!({
        "pull": role >= Permission::Read,
        "triage": role >= Permission::Triage,
        "push": role >= Permission::Write,
        "maintain": role >= Permission::Maintain,
        "admin": role >= Permission::Admin,
    });
    Ok(Answer::ok(json!({ "permission": permission, "role_name": role_name, "user": user })))
}

pub(in super::super) fn branch(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let name = Branch(call.param("branch").to_owned());
    let head = world.head(&repo.name, &name).ok_or(Refusal::NotFound)?;
    let api = format!("{}/repos/{}/branches/{}", world.base, repo.name, name.0);
    Ok(Answer::ok(json!({
        "name": name,
        "commit": body::commit(world, &repo.name, head),
        "_links": { "self": api, "html": format!("{}/{}/tree/{}", world.base, repo.name, name.0) },
        "protected": false,
        "protection": { "enabled": false },
        "protection_url": format!("{api}/protection"),
    })))
}

pub(in super::super) fn reference(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let name = call.param("ref").strip_prefix("heads/").ok_or(Refusal::NotFound)?;
    let head = world.head(&repo.name, &Branch(name.to_owned())).ok_or(Refusal::NotFound)?;
    let api = format!("{}/repos/{}/git", world.base, repo.name);
    Ok(Answer::ok(json!({
        "ref": format!("refs/heads/{name}"),
        "node_id": node_id(name, repo.id),
        "url": format!("{api}/refs/heads/{name}"),
        "object": { "type": "commit", "sha": head.sha, "url": format!("{api}/commits/{}", head.sha) },
    })))
}

pub(in super::super) fn commit(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let reference = call.param("ref");
    let absent = || Refusal::invalid("ref", "invalid", format!("No commit found for SHA: {reference}"));
    let commit = world.resolve(&repo.name, reference).ok_or_else(absent)?;
    if call.accept.contains("vnd.github.sha") || call.accept.contains("vnd.github.v3.sha") {
        let bytes = commit.sha.to_string().into_bytes().into();
        return Ok(plain("application/vnd.github.sha; charset=utf-8", bytes));
    }
    Ok(Answer::ok(body::commit(world, &repo.name, &commit)))
}

pub(in super::super) fn contents(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let reference = call.query("ref").unwrap_or(&repo.default_branch.0);
    let commit = world.resolve(&repo.name, reference).ok_or(Refusal::NotFound)?;
    let path = call.param("path").trim_matches('/');
    if let Some(content) = commit.tree.get(path) {
        if call.accept.contains(".raw") {
            return Ok(plain("application/vnd.github.raw; charset=utf-8", content.to_vec().into()));
        }
        let mut entry = body::content_entry(world, &repo.name, reference, path, Some(content));
        let large = content.len() > LARGEST_INLINE;
        entry["encoding"] = if large { "none" } else { "base64" }.into();
        entry["content"] = if large { String::new() } else { wrapped(&STANDARD.encode(content)) }.into();
        return Ok(Answer::ok(entry));
    }
    let folder = format!("{path}/");
    let mut entries = Vec::<Value>::new();
    let mut seen = std::collections::BTreeSet::new();
    for (file, content) in commit.tree.iter() {
        let Some(rest) = file.strip_prefix(&folder) else { continue };
        let name = rest.split('/').next().unwrap_or(rest);
        if seen.insert(name.to_owned()) {
            let (full, is_file) = (format!("{folder}{name}"), name == rest);
            let content = is_file.then_some(content.as_ref());
            entries.push(body::content_entry(world, &repo.name, reference, &full, content));
        }
    }
    if entries.is_empty() { Err(Refusal::NotFound) } else { Ok(Answer::ok(entries.into())) }
}

/// GitHub breaks the base64 of a file into lines of 60 characters.
fn wrapped(text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + text.len() / 60 + 1);
    for (index, c) in text.chars().enumerate() {
        if index > 0 && index % 60 == 0 {
            lines.push('\n');
        }
        lines.push(c);
    }
    lines.push('\n');
    lines
}

pub(in super::super) fn compare(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let (base, head) = call.param("basehead").split_once("...").ok_or(Refusal::NotFound)?;
    let find = |reference| world.resolve(&repo.name, reference).ok_or(Refusal::NotFound);
    let (base, head) = (find(base)?, find(head)?);
    let found = git::compare(&world.commits, &base.sha, &head.sha).ok_or(Refusal::NotFound)?;
    let total = found.ahead.len();
    // Without a page GitHub tells 250 commits.
    let paged = call.query("page").is_some() || call.query("per_page").is_some();
    let range = if paged { call.range(total) } else { 0..total.min(250) };
    let links = call.links(&world.base, &range, total).filter(|_| paged);
    Ok(linked(Answer::ok(body::comparison(world, &repo.name, [&base, &head], &found, range)), links))
}

pub(in super::super) fn tarball(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let commit = world.resolve(&repo.name, call.param("ref")).ok_or(Refusal::NotFound)?;
    let to = format!("{}/codeload/{}/legacy.tar.gz/{}", world.base, repo.name, commit.sha);
    Ok(Answer::empty(302).with("location", to))
}

/// Where the redirect leads: on GitHub another host, which takes no token.
pub(in super::super) fn codeload(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let commit = world.resolve(&repo.name, call.param("ref")).ok_or(Refusal::NotFound)?;
    let name = format!("{}-{}-{}.tar.gz", repo.name.owner(), repo.name.name(), commit.sha.short());
    let archive = Answer { status: 200, headers: Vec::new(), body: Body::Archive { repo: repo.name.clone(), commit } };
    Ok(archive.with("content-disposition", format!("attachment; filename={name}")))
}

fn plain(kind: &'static str, bytes: bytes::Bytes) -> Answer {
    Answer { status: 200, headers: Vec::new(), body: Body::Bytes { kind, bytes } }
}

pub(in super::super) fn pulls(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let state = call.query("state").unwrap_or("open");
    let wanted = |pull: &&Pull| {
        let in_state = match state {
            "open" => pull.is_open(),
            "closed" => !pull.is_open(),
            _ => true,
        };
        let head = format!("{}:{}", pull.head_repo.owner(), pull.head.0);
        in_state
            && call.query("head").is_none_or(|wanted| wanted == head)
            && call.query("base").is_none_or(|wanted| wanted == pull.base.0)
    };
    let mut pulls: Vec<&Pull> = repo.pulls.values().filter(wanted).collect();
    if call.query("direction").unwrap_or("desc") == "desc" {
        pulls.reverse();
    }
    Ok(call.page(&world.base, &pulls, |pull| body::pull(world, &repo.name, pull, Detail::Simple)))
}

pub(in super::super) fn pull(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let pull = repo.pulls.get(&call.pull_number("pull_number")?).ok_or(Refusal::NotFound)?;
    Ok(Answer::ok(body::pull(world, &repo.name, pull, Detail::Full)))
}
