//! The changes behind the verbs and the API: each leaves the world whole and tells the webhook.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::body::EventKind;
use super::git::FileChange;
use super::record::{Account, AccountKind, Comment, Pull, Repo, Visibility};
use super::serve::SandboxError;
use super::world::{PERSON, World};
use crate::model::{Branch, CommitSha, PullNumber, RepoName, Timestamp};

pub(super) type Verb<T> = Result<T, SandboxError>;

pub(super) fn unknown(what: impl std::fmt::Display) -> SandboxError {
    SandboxError::Unknown(what.to_string())
}

impl World {
    pub(super) fn new_repo(
        &mut self,
        name: RepoName,
        parent: Option<RepoName>,
        branches: impl IntoIterator<Item = (Branch, CommitSha)>,
    ) -> Repo {
        let (id, now) = (self.repo_id(), self.now());
        Repo {
            id,
            owner: self.account(name.owner(), AccountKind::Organization),
            name,
            default_branch: Branch("main".into()),
            installed: parent.is_none(),
            parent,
            visibility: Visibility::Private,
            created_at: now,
            pushed_at: now,
            branches: branches.into_iter().collect(),
            pulls: BTreeMap::default(),
            comments: BTreeMap::default(),
            reviews: BTreeMap::default(),
            review_comments: BTreeMap::default(),
            checks: BTreeMap::default(),
            statuses: BTreeMap::default(),
            deployments: BTreeMap::default(),
            environments: BTreeMap::default(),
            runs: BTreeMap::default(),
        }
    }

    pub(super) fn commit(
        &mut self,
        repo: &RepoName,
        branch: &Branch,
        changes: &[FileChange],
        message: &str,
    ) -> Verb<CommitSha> {
        let trunk = &self.repo(repo).ok_or_else(|| unknown(repo))?.default_branch;
        let on = self.head(repo, branch).or_else(|| self.head(repo, trunk)).cloned();
        let on = on.ok_or_else(|| unknown(&branch.0))?;
        let (author, now) = (self.person(PERSON), self.now());
        let sha = self.add_changes(&on, changes, message, author).sha.clone();
        let repo = self.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        repo.branches.insert(branch.clone(), sha.clone());
        repo.pushed_at = now;
        Ok(sha)
    }

    /// Tells of a branch that moved, and takes the open pull requests from it along.
    pub(super) fn pushed(&mut self, repo: &RepoName, branch: &Branch, before: Option<&CommitSha>, after: &CommitSha) {
        let sender = self.person(PERSON);
        self.announce(repo, &sender, &EventKind::Push { branch, before, after: Some(after) });
        let followers: Vec<(RepoName, PullNumber)> = self
            .repos
            .values()
            .flat_map(|into| into.pulls.values().map(move |pull| (into, pull)))
            .filter(|(_, pull)| pull.is_open() && pull.head_repo == *repo && pull.head == *branch)
            .map(|(into, pull)| (into.name.clone(), pull.number))
            .collect();
        let now = self.now();
        for (into, number) in followers {
            let Some(pull) = self.repo_mut(&into).and_then(|into| into.pulls.get_mut(&number)) else { continue };
            let before = std::mem::replace(&mut pull.head_sha, after.clone());
            pull.updated_at = now;
            let (pull, more) = (pull.clone(), json!({ "before": before, "after": after }));
            self.announce(&into, &sender, &EventKind::Pull { action: "synchronize", pull: &pull, more });
        }
    }

    pub(super) fn change_pull(
        &mut self,
        repo: &RepoName,
        number: PullNumber,
        action: &str,
        change: impl FnOnce(&mut Pull, Timestamp),
    ) -> Verb<()> {
        let (now, sender) = (self.now(), self.person(PERSON));
        let target = self.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        let pull = target.pulls.get_mut(&number).ok_or_else(|| unknown(number))?;
        let title = pull.title.clone();
        change(pull, now);
        pull.updated_at = now;
        let pull = pull.clone();
        let more = match action {
            "edited" => json!({ "changes": { "title": { "from": title } } }),
            _ => json!({}),
        };
        self.announce(repo, &sender, &EventKind::Pull { action, pull: &pull, more });
        Ok(())
    }

    pub(super) fn set_label(&mut self, repo: &RepoName, number: PullNumber, label: &str, action: &str) -> Verb<()> {
        let sender = self.person(PERSON);
        let target = self.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        let pull = target.pulls.get_mut(&number).ok_or_else(|| unknown(number))?;
        pull.labels.retain(|known| known != label);
        if action == "labeled" {
            pull.labels.push(label.to_owned());
        }
        let pull = pull.clone();
        self.announce(repo, &sender, &EventKind::Label { action, pull: &pull, label });
        Ok(())
    }

    /// Adds a comment; `None` when there is no such pull request.
    pub(super) fn add_comment(
        &mut self,
        repo: &RepoName,
        pull: PullNumber,
        author: &Arc<Account>,
        body: &str,
    ) -> Option<Comment> {
        let (id, now) = (self.id(), self.now());
        let target = self.repo_mut(repo).filter(|repo| repo.pulls.contains_key(&pull))?;
        let comment = Comment {
            id,
            pull,
            author: author.clone(),
            body: body.to_owned(),
            created_at: now,
            updated_at: now,
            edits: 0,
            reactions: Vec::new(),
        };
        target.comments.insert(id, comment.clone());
        self.announce(repo, author, &EventKind::Comment { action: "created", comment: &comment, before: None });
        Some(comment)
    }

    /// Edits a comment; `None` when there is no such comment.
    pub(super) fn edit_comment(&mut self, repo: &RepoName, id: u64, sender: &Account, body: &str) -> Option<Comment> {
        let now = self.now();
        let comment = self.repo_mut(repo)?.comments.get_mut(&id)?;
        let before = std::mem::replace(&mut comment.body, body.to_owned());
        comment.updated_at = now;
        comment.edits += 1;
        let comment = comment.clone();
        let kind = EventKind::Comment { action: "edited", comment: &comment, before: Some(&before) };
        self.announce(repo, sender, &kind);
        Some(comment)
    }

    /// Deletes a comment; `None` when there is no such comment.
    pub(super) fn delete_comment(&mut self, repo: &RepoName, id: u64, sender: &Account) -> Option<Comment> {
        let comment = self.repo_mut(repo)?.comments.remove(&id)?;
        self.announce(repo, sender, &EventKind::Comment { action: "deleted", comment: &comment, before: None });
        Some(comment)
    }
}
