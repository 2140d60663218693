//! Everything this GitHub knows, in one value behind one mutex.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::body::{EventKind, event};
use super::fault::Faults;
use super::git::{self, Commit, Commits, FileChange, Tree};
use super::hook::{Draft, Hooks};
use super::key::AppKey;
use super::meter::Meter;
use super::moves::Moved;
use super::record::{Account, AccountKind, Environment, ForeignApp, Pull, Repo, Team};
use super::runs::Actions;
use super::transcript::Transcript;
use crate::model::{Branch, CommitSha, Permission, PullNumber, RepoName, Timestamp};
use crate::port::Clock;

/// Who acts where a verb names nobody.
pub(super) const PERSON: &str = "ada";
/// The app's name in addresses; its account is `greenroom-sandbox[bot]`.
pub(super) const APP_SLUG: &str = "greenroom-sandbox";
pub(super) const CLIENT_ID: &str = "Iv23sandboxgreenroom";
pub(super) const APP_ID: u64 = 424_242;

/// Lives of installation tokens. GitHub: "expire one hour from the time you create them".
const TOKEN_LIFE_MILLIS: i64 = 3_600_000;

/// How much a permission lets one do; `Write` includes `Read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Read,
    Write,
}

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            _ => None,
        }
    }
}

/// What an installation or a token may do, by GitHub's names.
pub(super) type Grants = BTreeMap<String, Level>;

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) owner: String,
    pub(super) expires_at: Timestamp,
    /// The numbers of those that it is for, however they are called later; `None` is every repository of
    /// the installation.
    pub(super) repos: Option<Vec<u64>>,
    pub(super) grants: Grants,
}

impl Token {
    /// Whether it was made for this repository, whatever that was called then.
    pub(super) fn is_for(&self, repo: &Repo) -> bool {
        repo.installed
            && repo.owner.login == self.owner
            && self.repos.as_ref().is_none_or(|repos| repos.contains(&repo.id))
    }
}

/// The app as it was registered.
#[derive(Debug)]
pub(super) struct App {
    pub(super) key: AppKey,
    pub(super) bot: Arc<Account>,
    pub(super) owner: Arc<Account>,
    pub(super) grants: Grants,
    pub(super) events: Vec<String>,
    pub(super) created_at: Timestamp,
    /// By the account that installed it.
    pub(super) installations: BTreeMap<String, u64>,
}

pub(super) struct World {
    /// `http://127.0.0.1:1234`
    pub(super) base: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seed: u64,
    pub(super) serial: u64,
    pub(super) accounts: BTreeMap<String, Arc<Account>>,
    pub(super) repos: BTreeMap<RepoName, Repo>,
    pub(super) moved: Moved,
    pub(super) commits: Commits,
    pub(super) roles: BTreeMap<(RepoName, String), Permission>,
    /// By organisation and slug.
    pub(super) teams: BTreeMap<(String, String), Team>,
    pub(super) foreign_apps: BTreeMap<String, Arc<ForeignApp>>,
    pub(super) app: App,
    pub(super) tokens: HashMap<String, Token>,
    pub(super) hooks: Hooks,
    pub(super) faults: Faults,
    pub(super) transcript: Transcript,
    pub(super) meter: Meter,
    pub(super) actions: Actions,
}

impl World {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A number that nothing else here has.
    pub(super) fn id(&mut self) -> u64 {
        self.serial += 1;
        1_000_000 + self.serial
    }

    /// A repository's number, which no other sandbox gives either unless it has the same seed: several
    /// of them may be looked at by one server.
    pub(super) fn repo_id(&mut self) -> u64 {
        const SEEDS: u64 = 1_000_003;
        self.id() + self.seed % SEEDS * 10_000_000
    }

    /// 40 hexadecimal digits that nobody can confuse with another draw.
    pub(super) fn draw(&mut self, purpose: &str) -> String {
        self.serial += 1;
        git::object_name(&[purpose.as_bytes(), &self.seed.to_be_bytes(), &self.serial.to_be_bytes()])
    }

    /// The account of that name, made on first sight.
    pub(super) fn account(&mut self, login: &str, kind: AccountKind) -> Arc<Account> {
        if let Some(account) = self.accounts.get(login) {
            return account.clone();
        }
        let account = Arc::new(Account { id: self.id(), login: login.to_owned(), kind });
        self.accounts.insert(login.to_owned(), account.clone());
        account
    }

    /// Whoever writes under that name, made on first sight. Only a program's ends in `[bot]`.
    pub(super) fn person(&mut self, login: &str) -> Arc<Account> {
        self.account(login, if login.ends_with("[bot]") { AccountKind::Bot } else { AccountKind::User })
    }

    /// The app of that name that is not ours, made on first sight.
    pub(super) fn foreign_app(&mut self, slug: &str) -> Arc<ForeignApp> {
        if let Some(app) = self.foreign_apps.get(slug) {
            return app.clone();
        }
        let app = Arc::new(ForeignApp { id: self.id(), slug: slug.to_owned() });
        self.foreign_apps.insert(slug.to_owned(), app.clone());
        app
    }

    /// The number of the app's installation on an account, made on first sight.
    pub(super) fn installation(&mut self, owner: &str) -> u64 {
        if let Some(id) = self.app.installations.get(owner) {
            return *id;
        }
        let id = self.id();
        self.app.installations.insert(owner.to_owned(), id);
        id
    }

    /// The repositories of an installation.
    pub(super) fn installed(&self, owner: &str) -> impl Iterator<Item = &Repo> {
        self.repos.values().filter(move |repo| repo.installed && repo.owner.login == owner)
    }

    /// Makes a token for some or all repositories of an installation.
    pub(super) fn grant(&mut self, owner: &str, repos: Option<Vec<u64>>, grants: Grants) -> (String, Token) {
        let text = format!("ghs_{}", &self.draw("token")[..36]);
        let expires_at = self.now().after_millis(TOKEN_LIFE_MILLIS);
        let token = Token { owner: owner.to_owned(), expires_at, repos, grants };
        self.tokens.insert(text.clone(), token.clone());
        (text, token)
    }

    /// What an account may do. Everybody may read, as an organisation's base permission lets its members.
    pub(super) fn role(&self, repo: &RepoName, login: &str) -> Permission {
        self.roles.get(&(repo.clone(), login.to_ascii_lowercase())).copied().unwrap_or(Permission::Read)
    }

    pub(super) fn repo(&self, name: &RepoName) -> Option<&Repo> {
        self.repos.get(name)
    }

    pub(super) fn pull(&self, repo: &RepoName, number: PullNumber) -> Option<&Pull> {
        self.repos.get(repo)?.pulls.get(&number)
    }

    pub(super) fn head(&self, repo: &RepoName, branch: &Branch) -> Option<&Arc<Commit>> {
        self.commits.get(self.repos.get(repo)?.branches.get(branch)?)
    }

    /// The commit that a text names: a full sha, a branch, `heads/branch`, or `owner:branch` of
    /// a fork.
    pub(super) fn resolve(&self, repo: &RepoName, reference: &str) -> Option<Arc<Commit>> {
        if let Ok(sha) = CommitSha::new(reference)
            && let Some(commit) = self.commits.get(&sha)
        {
            return Some(commit.clone());
        }
        let reference = reference.strip_prefix("refs/").unwrap_or(reference);
        let branch = reference.strip_prefix("heads/").unwrap_or(reference);
        if let Some(commit) = self.head(repo, &Branch(branch.to_owned())) {
            return Some(commit.clone());
        }
        let (owner, branch) = branch.split_once(':')?;
        let fork = RepoName::new(format!("{owner}/{}", repo.name())).ok()?;
        self.head(&fork, &Branch(branch.to_owned())).cloned()
    }

    /// Adds a commit on top of its parents; no branch moves.
    pub(super) fn add_commit(
        &mut self,
        parents: Vec<CommitSha>,
        tree: Tree,
        message: &str,
        author: Arc<Account>,
    ) -> Arc<Commit> {
        let tree_sha = git::tree_name(&tree);
        let at = self.now();
        // By the commits before it alone: what else was asked of this GitHub changes no commit's name.
        let (seed, serial) = (self.seed.to_be_bytes(), self.commits.len().to_be_bytes());
        let mut parts: Vec<&[u8]> = vec![tree_sha.as_bytes(), message.as_bytes(), &seed, &serial];
        parts.extend(parents.iter().map(|parent| parent.as_str().as_bytes()));
        let sha = CommitSha::new(git::object_name(&parts)).unwrap_or_else(|bad| unreachable!("{bad}"));
        let message = message.to_owned();
        let commit =
            Arc::new(Commit { sha: sha.clone(), tree_sha, parents, tree: Arc::new(tree), message, author, at });
        self.commits.insert(sha, commit.clone());
        commit
    }

    /// Adds a commit with these changes on top of one.
    pub(super) fn add_changes(
        &mut self,
        on: &Commit,
        changes: &[FileChange],
        message: &str,
        author: Arc<Account>,
    ) -> Arc<Commit> {
        let tree = git::apply(&on.tree, changes);
        self.add_commit(vec![on.sha.clone()], tree, message, author)
    }

    /// Adds the merge of `head` into `base`: what `head` changed, put onto `base`.
    pub(super) fn add_merge(
        &mut self,
        base: &Commit,
        head: &Commit,
        message: &str,
        author: Arc<Account>,
    ) -> Option<Arc<Commit>> {
        let files = git::compare(&self.commits, &base.sha, &head.sha)?.files;
        let mut tree = Tree::clone(&base.tree);
        for file in files {
            if let git::DiffStatus::Renamed { from } = &file.status {
                tree.remove(from);
            }
            match head.tree.get(&file.path) {
                Some(content) => tree.insert(file.path, content.clone()),
                None => tree.remove(&file.path),
            };
        }
        Some(self.add_commit(vec![base.sha.clone(), head.sha.clone()], tree, message, author))
    }

    /// The environment of that name, made on first sight.
    pub(super) fn environment(&mut self, repo: &RepoName, name: &str) {
        let (id, created_at) = (self.id(), self.now());
        if let Some(repo) = self.repos.get_mut(repo) {
            let fresh = Environment { id, name: name.to_owned(), created_at };
            repo.environments.entry(name.to_owned()).or_insert(fresh);
        }
    }

    /// Tells the webhook, if there is one and the app is installed there.
    pub(super) fn announce(&mut self, name: &RepoName, sender: &Account, kind: &EventKind<'_>) {
        let wanted = self.repos.get(name).is_some_and(|repo| repo.installed)
            || matches!(kind, EventKind::Installation { .. } | EventKind::InstallationRepositories { .. });
        if self.hooks.target.is_none() || !wanted {
            return;
        }
        let body = event(self, name, sender, kind);
        self.post(kind.name(), body);
    }

    /// Puts an event on its way under a new delivery id.
    pub(super) fn post(&mut self, event: &'static str, body: serde_json::Value) {
        let (digits, ids, at) = (self.draw("delivery"), [self.id(), self.id()], self.now());
        let guid = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32]].join("-");
        self.hooks.post(Draft { event, guid, body }, ids, at);
    }

    pub(super) fn repo_mut(&mut self, name: &RepoName) -> Option<&mut Repo> {
        self.repos.get_mut(name)
    }
}

/// GitHub's opaque node id.
pub(super) fn node_id(kind: &str, id: u64) -> String {
    STANDARD.encode(format!("{kind}:{id}"))
}

/// `2026-11-20T05:04:00Z`
pub(super) fn iso(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
