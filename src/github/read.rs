//! Looking at repositories, branches, files and pull requests.

use std::ops::ControlFlow;

use http::StatusCode;
use serde::Deserialize;

use super::answer::Answer;
use super::api::{Api, Who};
use super::cache::Freshness;
use super::path::{self, encode, encode_segments};
use super::transport::{Ask, RAW};
use crate::model::{
    Actor, ActorKind, BadId, Branch, Changed, CommitSha, HeadRef, Permission, PullNumber, PullRequest,
    PullRequestState, RepoFacts, RepoId, RepoName, RepoSeen, UserId,
};
use crate::port::{PortError, PortResult};

/// GitHub's comparison names at most so many files.
///
/// Source: GitHub Docs, "Compare two commits".
const MOST_FILES: usize = 300;

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) login: String,
    #[serde(rename = "type", default)]
    pub(super) kind: String,
}

impl User {
    pub(super) fn actor(&self) -> Actor {
        let kind = if self.kind == "Bot" { ActorKind::Bot } else { ActorKind::Person };
        Actor { id: UserId(self.id), login: self.login.clone(), kind }
    }
}

/// GitHub shows the work of removed accounts under the name of its ghost.
pub(super) fn author(user: Option<&User>) -> Actor {
    let ghost = || Actor { id: UserId(0), login: "ghost".into(), kind: ActorKind::Person };
    user.map_or_else(ghost, User::actor)
}

#[derive(Deserialize)]
struct NamedRepo {
    /// GitHub always says it.
    id: Option<u64>,
    full_name: String,
}

#[derive(Deserialize)]
struct Pull {
    number: u64,
    title: String,
    state: String,
    #[serde(default)]
    draft: bool,
    merged_at: Option<String>,
    user: Option<User>,
    #[serde(default)]
    labels: Vec<Label>,
    head: Side,
    base: Side,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    reference: String,
    sha: String,
    repo: Option<NamedRepo>,
}

impl Pull {
    /// `only`: the number of the repository that was asked, where that is known.
    fn checked(self, repo: &RepoName, only: Option<RepoId>) -> PortResult<PullRequest> {
        let bad = |error| PortError::bug(format!("reading a pull request of {repo}"), error);
        let state = match (&*self.state, self.merged_at, self.draft) {
            ("open", _, false) => PullRequestState::Open,
            ("open", _, true) => PullRequestState::Draft,
            (_, Some(_), _) => PullRequestState::Merged,
            (_, None, _) => PullRequestState::Closed,
        };
        let base = self.base.repo.and_then(|base| base.id);
        let head_repo =
            self.head.repo.map(|head| head_repo(head, base, repo, only)).transpose().map_err(bad)?.flatten();
        Ok(PullRequest {
            repo: repo.clone(),
            number: PullNumber(self.number),
            title: self.title,
            author: author(self.user.as_ref()),
            head: HeadRef {
                repo: head_repo,
                branch: Branch(self.head.reference),
                sha: CommitSha::new(self.head.sha).map_err(bad)?,
            },
            base: Branch(self.base.reference),
            state,
            labels: self.labels.into_iter().map(|label| label.name).collect(),
        })
    }
}

/// Whose a head is, by its number: whoever was renamed a moment ago is answered under another name than was
/// asked for, and whoever took the name is another one.
fn head_repo(
    head: NamedRepo,
    base: Option<u64>,
    repo: &RepoName,
    only: Option<RepoId>,
) -> Result<Option<RepoName>, BadId> {
    let name = RepoName::new(head.full_name)?;
    let is_asked = only.is_none_or(|only| Some(only.0) == base);
    Ok(match (head.id, base) {
        (Some(head), Some(base)) if head == base && is_asked => Some(repo.clone()),
        (Some(head), Some(base)) if head != base && name == *repo => None,
        _ => Some(name),
    })
}

/// Source: GitHub REST, "List repositories accessible to the app installation" and "Get a
/// repository": all three are always there.
#[derive(Deserialize)]
pub(super) struct OwnedRepo {
    id: u64,
    full_name: String,
    owner: RepoAccount,
}

#[derive(Deserialize)]
struct RepoAccount {
    id: u64,
}

impl OwnedRepo {
    pub(super) fn seen(self) -> PortResult<RepoSeen> {
        let name = RepoName::new(self.full_name);
        let name = name.map_err(|error| PortError::bug("reading the name of a repository", error))?;
        Ok(RepoSeen { id: RepoId(self.id), owner: UserId(self.owner.id), name })
    }
}

pub(super) async fn repository(api: &Api, repo: &RepoName) -> PortResult<RepoFacts> {
    #[derive(Deserialize)]
    struct Repo {
        default_branch: String,
        #[serde(flatten)]
        owned: OwnedRepo,
    }
    let found: Repo = api.itself(repo).await?.json(&format!("repository {repo}"))?;
    Ok(RepoFacts { seen: found.owned.seen()?, default_branch: Branch(found.default_branch) })
}

/// That what was read under a name was read of the one repository that it was asked for: what is public is read
/// with any token, also of somebody who has the name by now.
pub(super) async fn confirm(api: &Api, repo: &RepoName) -> PortResult<()> {
    let Some(only) = api.only else { return Ok(()) };
    if repository(api, repo).await?.seen.id == only {
        return Ok(());
    }
    Err(PortError::NotFound { what: format!("the repository that was called {repo}") })
}

pub(super) async fn branch_head(api: &Api, repo: &RepoName, branch: &Branch) -> PortResult<Option<CommitSha>> {
    #[derive(Deserialize)]
    struct Reference {
        #[serde(rename = "ref")]
        name: String,
        object: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        sha: String,
    }
    // git itself allows no branch with an empty part or "..".
    let Some(encoded) = encode_segments(&branch.0) else { return Ok(None) };
    let ask = Ask::get(path::repo(repo, &format!("/git/ref/heads/{encoded}")));
    let answer = api.get(Who::on(repo), ask, Freshness::Conditional).await?;
    // 409: a repository without a commit.
    if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::CONFLICT) {
        return Ok(None);
    }
    let what = format!("branch {} of {repo}", branch.0);
    let found: Reference = answer.json(&what)?;
    if found.name.strip_prefix("refs/heads/") != Some(&branch.0) {
        return Ok(None);
    }
    CommitSha::new(found.object.sha).map(Some).map_err(|error| PortError::bug(format!("reading {what}"), error))
}

pub(super) async fn pull_request(api: &Api, repo: &RepoName, number: PullNumber) -> PortResult<PullRequest> {
    let ask = Ask::get(path::repo(repo, &format!("/pulls/{number}")));
    let answer = api.get(Who::on(repo), ask, Freshness::Conditional).await?;
    let pull: Pull = answer.json(&format!("pull request {number} of {repo}"))?;
    pull.checked(repo, api.only)
}

pub(super) async fn open_pull_requests(api: &Api, repo: &RepoName) -> PortResult<Vec<PullRequest>> {
    let mut pulls: Vec<Pull> = Vec::new();
    let first = path::repo(repo, "/pulls?state=open&per_page=100");
    api.pages(Who::on(repo), first, &format!("the pull requests of {repo}"), |mut page: Vec<Pull>| {
        pulls.append(&mut page);
        ControlFlow::Continue(())
    })
    .await?;
    pulls.into_iter().map(|pull| pull.checked(repo, api.only)).collect()
}

pub(super) async fn file_at(api: &Api, repo: &RepoName, sha: &CommitSha, file: &str) -> PortResult<Option<Vec<u8>>> {
    let Some(encoded) = encode_segments(file) else { return Ok(None) };
    let mut ask = Ask::get(path::repo(repo, &format!("/contents/{encoded}?ref={sha}")));
    ask.accept = RAW;
    let answer = api.get(Who::on(repo), ask, Freshness::Immutable).await?;
    if answer.status == StatusCode::NOT_FOUND {
        // "No commit found for the ref": not the file is missing but the commit.
        let no_commit = answer.complaint().to_ascii_lowercase().contains("no commit");
        let what = || format!("commit {} of {repo}", sha.short());
        return if no_commit { Err(PortError::NotFound { what: what() }) } else { Ok(None) };
    }
    let answer = answer.ok(&format!("{file} at {} of {repo}", sha.short()))?;
    Ok(content(&answer))
}

/// The file's own bytes; `None` for a folder, which GitHub lists as JSON whatever was asked for.
fn content(answer: &Answer) -> Option<Vec<u8>> {
    let is_raw = answer.header("content-type").is_some_and(|kind| kind.contains("raw"));
    let is_list = || serde_json::from_slice::<Vec<serde_json::Value>>(&answer.body).is_ok();
    (is_raw || !is_list()).then(|| answer.body.to_vec())
}

/// The files that differ. GitHub compares with the merge base, which is the older commit only when
/// the newer one descends from it: otherwise everything counts as changed.
pub(super) async fn changed_files(
    api: &Api,
    repo: &RepoName,
    base: &CommitSha,
    head: &CommitSha,
) -> PortResult<Changed> {
    #[derive(Deserialize)]
    struct Comparison {
        status: String,
        files: Option<Vec<File>>,
    }
    #[derive(Deserialize)]
    struct File {
        filename: String,
        previous_filename: Option<String>,
    }
    if base == head {
        return Ok(Changed::Files(Vec::new()));
    }
    // The files are all on the first page; the commits, which we do not need, are one a page.
    let ask = Ask::get(path::repo(repo, &format!("/compare/{base}...{head}?per_page=1&page=1")));
    let answer = api.get(Who::on(repo), ask, Freshness::Immutable).await?;
    if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY) {
        return Ok(Changed::Everything);
    }
    let comparison: Comparison = answer.json(&format!("the difference of two commits of {repo}"))?;
    let descends = matches!(&*comparison.status, "ahead" | "identical");
    match comparison.files {
        Some(files) if descends && files.len() < MOST_FILES => Ok(Changed::Files(
            files.into_iter().flat_map(|file| [Some(file.filename), file.previous_filename]).flatten().collect(),
        )),
        _ => Ok(Changed::Everything),
    }
}

/// The account that has this login now.
pub(super) async fn account(api: &Api, repo: &RepoName, login: &str) -> PortResult<Actor> {
    let what = format!("the account {login}");
    let Some(user) = path::segment(login) else { return Err(PortError::NotFound { what }) };
    let answer = api.get(Who::on(repo), Ask::get(format!("/users/{user}")), Freshness::Always).await?;
    Ok(answer.json::<User>(&what)?.actor())
}

/// What an account may do: by login, because GitHub asks for that, and believed only when the
/// login still belongs to the numeric id.
pub(super) async fn permission(api: &Api, repo: &RepoName, login: &str, id: UserId) -> PortResult<Permission> {
    #[derive(Deserialize)]
    struct Answered {
        permission: String,
        role_name: Option<String>,
        user: Option<User>,
    }
    let ask = Ask::get(path::repo(repo, &format!("/collaborators/{}/permission", encode(login))));
    let answer = api.get(Who::on(repo), ask, Freshness::Always).await?;
    if answer.status == StatusCode::NOT_FOUND {
        // Of a repository that was not found nobody knows who may do what.
        confirm(api, repo).await?;
        return Ok(Permission::None);
    }
    let found: Answered = answer.json(&format!("what {login} may do in {repo}"))?;
    if found.user.is_none_or(|user| user.id != id.0) {
        return Ok(Permission::None);
    }
    Ok(Permission::of(&found.permission, found.role_name.as_deref().unwrap_or_default()))
}
