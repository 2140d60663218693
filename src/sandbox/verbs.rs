//! What people do on this GitHub: each verb changes the world and tells the webhook about it, in
//! the order in which GitHub does.

use std::sync::MutexGuard;

use serde_json::json;

use super::action::{Verb, unknown};
use super::body::EventKind;
use super::fault::{Fault, Matcher, Times};
use super::git::{FileChange, Tree, apply};
use super::hook::{DeliveryMode, Order};
use super::record::{NewPull, Pull, PullState, Visibility};
use super::serve::{Sandbox, SandboxError, WebhookTarget};
use super::world::{PERSON, World};
use crate::model::{Branch, CommitSha, Permission, PullNumber, RepoName};

fn changes<C: Into<FileChange>>(changes: impl IntoIterator<Item = C>) -> Vec<FileChange> {
    changes.into_iter().map(Into::into).collect()
}

impl Sandbox {
    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// Makes a repository with one commit on `main`, with the app installed on it. Tells nobody.
    pub fn create_repo<C: Into<FileChange>>(&self, name: &str, files: impl IntoIterator<Item = C>) -> Verb<RepoName> {
        let name = RepoName::new(name).map_err(|bad| SandboxError::Refused(bad.to_string()))?;
        let tree = apply(&Tree::new(), &changes(files));
        let mut world = self.world();
        if world.repos.contains_key(&name) {
            return Err(SandboxError::Refused(format!("{name} exists already")));
        }
        let author = world.person(PERSON);
        world.installation(name.owner());
        let first = world.add_commit(Vec::new(), tree, "Begin", author);
        let repo = world.new_repo(name.clone(), None, [(Branch("main".into()), first.sha.clone())]);
        world.moved.remove(&name);
        world.repos.insert(name.clone(), repo);
        Ok(name)
    }

    /// Makes a fork with the same branches, without the app.
    pub fn fork(&self, of: &RepoName, owner: &str) -> Verb<RepoName> {
        let name = RepoName::new(format!("{owner}/{}", of.name())).map_err(unknown)?;
        let mut world = self.world();
        world.person(owner);
        let branches = world.repo(of).ok_or_else(|| unknown(of))?.branches.clone();
        let fork = world.new_repo(name.clone(), Some(of.clone()), branches);
        world.moved.remove(&name);
        world.repos.insert(name.clone(), fork);
        Ok(name)
    }

    /// Shows a repository to everybody, or hides it as every new one is.
    pub fn set_visibility(&self, name: &RepoName, visibility: Visibility) -> Verb<()> {
        let mut world = self.world();
        world.repo_mut(name).ok_or_else(|| unknown(name))?.visibility = visibility;
        Ok(())
    }

    /// Adds a commit to a branch, which begins at the default branch if it is new. Tells nobody:
    /// see [`Self::push`].
    pub fn commit<C: Into<FileChange>>(
        &self,
        repo: &RepoName,
        branch: &str,
        files: impl IntoIterator<Item = C>,
        message: &str,
    ) -> Verb<CommitSha> {
        self.world().commit(repo, &Branch(branch.into()), &changes(files), message)
    }

    /// Adds a commit to a branch and pushes it: `push`, then `synchronize` of each open pull
    /// request from it.
    pub fn push<C: Into<FileChange>>(
        &self,
        repo: &RepoName,
        branch: &str,
        files: impl IntoIterator<Item = C>,
        message: &str,
    ) -> Verb<CommitSha> {
        let (mut world, branch) = (self.world(), Branch(branch.into()));
        let before = world.head(repo, &branch).map(|commit| commit.sha.clone());
        let after = world.commit(repo, &branch, &changes(files), message)?;
        world.pushed(repo, &branch, before.as_ref(), &after);
        Ok(after)
    }

    /// Sets a branch to a commit that is there, as a forced push does.
    pub fn push_to(&self, repo: &RepoName, branch: &str, sha: &CommitSha) -> Verb<()> {
        let (mut world, branch) = (self.world(), Branch(branch.into()));
        if !world.commits.contains_key(sha) {
            return Err(unknown(sha));
        }
        let target = world.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        let before = target.branches.insert(branch.clone(), sha.clone());
        world.pushed(repo, &branch, before.as_ref(), sha);
        Ok(())
    }

    /// Deletes a branch: `push` to nothing, then `delete`.
    pub fn delete_branch(&self, repo: &RepoName, branch: &str) -> Verb<()> {
        let (mut world, branch) = (self.world(), Branch(branch.into()));
        let target = world.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        let before = target.branches.remove(&branch).ok_or_else(|| unknown(&branch.0))?;
        let sender = world.person(PERSON);
        world.announce(repo, &sender, &EventKind::Push { branch: &branch, before: Some(&before), after: None });
        world.announce(repo, &sender, &EventKind::BranchDeleted { branch: &branch });
        Ok(())
    }

    /// Opens a pull request from a branch into the default branch.
    pub fn open_pull(&self, repo: &RepoName, branch: &str, title: &str) -> Verb<PullNumber> {
        self.open(repo, NewPull::new(branch, title))
    }

    /// Opens a pull request.
    pub fn open(&self, repo: &RepoName, new: NewPull) -> Verb<PullNumber> {
        let mut world = self.world();
        let (head_repo, head) = (new.head_repo.unwrap_or_else(|| repo.clone()), Branch(new.head));
        let head_sha = world.head(&head_repo, &head).ok_or_else(|| unknown(&head.0))?.sha.clone();
        let (id, now, author) = (world.id(), world.now(), world.person(&new.author));
        let target = world.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        let number = PullNumber(target.pulls.last_key_value().map_or(1, |(last, _)| last.0 + 1));
        let base = new.base.map_or_else(|| target.default_branch.clone(), Branch);
        let pull = Pull {
            id,
            number,
            title: new.title,
            body: new.body,
            author: author.clone(),
            head_repo,
            head,
            head_sha,
            base,
            state: new.state,
            labels: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        target.pulls.insert(number, pull.clone());
        world.announce(repo, &author, &EventKind::Pull { action: "opened", pull: &pull, more: json!({}) });
        Ok(number)
    }

    /// Closes a pull request without merging it.
    pub fn close_pull(&self, repo: &RepoName, number: PullNumber) -> Verb<()> {
        self.world().change_pull(repo, number, "closed", |pull, at| pull.state = PullState::Closed { at })
    }

    /// Merges a pull request: `push` to its base, then `closed`.
    pub fn merge_pull(&self, repo: &RepoName, number: PullNumber) -> Verb<CommitSha> {
        let mut world = self.world();
        let pull = world.pull(repo, number).cloned().ok_or_else(|| unknown(number))?;
        let base = world.head(repo, &pull.base).cloned().ok_or_else(|| unknown(&pull.base.0))?;
        let head = world.commits.get(&pull.head_sha).cloned().ok_or_else(|| unknown(&pull.head_sha))?;
        let (author, title) = (world.person(PERSON), format!("Merge pull request #{number}"));
        let merge = world
            .add_merge(&base, &head, &title, author)
            .ok_or_else(|| SandboxError::Refused("the branches share no history".into()))?;
        let sha = merge.sha.clone();
        if let Some(repo) = world.repo_mut(repo) {
            repo.branches.insert(pull.base.clone(), sha.clone());
        }
        world.pushed(repo, &pull.base, Some(&base.sha), &sha);
        let commit = sha.clone();
        world.change_pull(repo, number, "closed", |pull, at| pull.state = PullState::Merged { at, commit })?;
        Ok(sha)
    }

    /// Opens a closed pull request again, at its branch's head of now.
    pub fn reopen_pull(&self, repo: &RepoName, number: PullNumber) -> Verb<()> {
        let mut world = self.world();
        let pull = world.pull(repo, number).ok_or_else(|| unknown(number))?;
        let head = world.head(&pull.head_repo, &pull.head).ok_or_else(|| unknown(&pull.head.0))?.sha.clone();
        world.change_pull(repo, number, "reopened", |pull, _| {
            pull.state = PullState::Open;
            pull.head_sha = head;
        })
    }

    /// Turns an open pull request into a draft.
    pub fn draft_pull(&self, repo: &RepoName, number: PullNumber) -> Verb<()> {
        self.world().change_pull(repo, number, "converted_to_draft", |pull, _| pull.state = PullState::Draft)
    }

    /// Says that a draft is ready for review.
    pub fn ready_pull(&self, repo: &RepoName, number: PullNumber) -> Verb<()> {
        self.world().change_pull(repo, number, "ready_for_review", |pull, _| pull.state = PullState::Open)
    }

    /// Changes the title.
    pub fn edit_pull(&self, repo: &RepoName, number: PullNumber, title: &str) -> Verb<()> {
        self.world().change_pull(repo, number, "edited", |pull, _| title.clone_into(&mut pull.title))
    }

    /// Adds a label.
    pub fn label(&self, repo: &RepoName, number: PullNumber, label: &str) -> Verb<()> {
        self.world().set_label(repo, number, label, "labeled")
    }

    /// Takes a label away.
    pub fn unlabel(&self, repo: &RepoName, number: PullNumber, label: &str) -> Verb<()> {
        self.world().set_label(repo, number, label, "unlabeled")
    }

    /// Writes a comment.
    pub fn comment(&self, repo: &RepoName, number: PullNumber, user: &str, body: &str) -> Verb<u64> {
        let mut world = self.world();
        let author = world.person(user);
        world.add_comment(repo, number, &author, body).map(|comment| comment.id).ok_or_else(|| unknown(number))
    }

    /// Edits a comment.
    pub fn edit_comment(&self, repo: &RepoName, comment: u64, user: &str, body: &str) -> Verb<()> {
        let mut world = self.world();
        let sender = world.person(user);
        world.edit_comment(repo, comment, &sender, body).map(drop).ok_or_else(|| unknown(comment))
    }

    /// Deletes a comment.
    pub fn delete_comment(&self, repo: &RepoName, comment: u64, user: &str) -> Verb<()> {
        let mut world = self.world();
        let sender = world.person(user);
        world.delete_comment(repo, comment, &sender).map(drop).ok_or_else(|| unknown(comment))
    }

    /// Says what a person may do; without it everybody may read. Answers the account's id.
    pub fn set_permission(&self, repo: &RepoName, user: &str, level: Permission) -> u64 {
        let mut world = self.world();
        world.roles.insert((repo.clone(), user.to_ascii_lowercase()), level);
        world.person(user).id
    }

    /// Installs the app on a repository: `installation_repositories` `added`.
    pub fn install(&self, repo: &RepoName) -> Verb<()> {
        self.set_installed(repo, "added")
    }

    /// Takes the app away from a repository: `installation_repositories` `removed`.
    pub fn uninstall(&self, repo: &RepoName) -> Verb<()> {
        self.set_installed(repo, "removed")
    }

    fn set_installed(&self, name: &RepoName, action: &str) -> Verb<()> {
        let mut world = self.world();
        world.installation(name.owner());
        world.repo_mut(name).ok_or_else(|| unknown(name))?.installed = action == "added";
        let sender = world.person(PERSON);
        world.announce(name, &sender, &EventKind::InstallationRepositories { action });
        Ok(())
    }

    /// Tells the webhook that the app was installed on the account that owns this repository.
    pub fn announce_installation(&self, repo: &RepoName) {
        let mut world = self.world();
        let sender = world.person(PERSON);
        world.announce(repo, &sender, &EventKind::Installation { action: "created" });
    }

    /// Pings the webhook about this repository's installation.
    pub fn ping(&self, repo: &RepoName) {
        let mut world = self.world();
        let sender = world.person(PERSON);
        world.announce(repo, &sender, &EventKind::Ping);
    }

    /// Sends events there from now on.
    pub fn set_webhook(&self, target: WebhookTarget) {
        self.world().hooks.target = Some(target);
    }

    /// Decides what becomes of events from now on.
    pub fn set_delivery_mode(&self, mode: DeliveryMode) {
        self.world().hooks.mode = mode;
    }

    /// Sends the events that were held back.
    pub fn release_deliveries(&self, order: Order) {
        self.world().hooks.release(order);
    }

    /// Waits until no delivery is on its way. Held ones do not count.
    pub async fn deliveries_settled(&self) {
        loop {
            let quiet = self.shared.quiet.notified();
            tokio::pin!(quiet);
            quiet.as_mut().enable();
            if self.world().hooks.in_flight == 0 {
                return;
            }
            quiet.await;
        }
    }

    /// Lets requests go wrong; the fault armed first strikes first.
    pub fn fail(&self, matcher: Matcher, fault: Fault, times: Times) {
        self.world().faults.arm(matcher, fault, times);
    }

    /// Lets the next such request go wrong.
    pub fn fail_next(&self, matcher: Matcher, fault: Fault) {
        self.fail(matcher, fault, Times::Next(1));
    }

    /// Disarms every fault.
    pub fn heal(&self) {
        self.world().faults.clear();
    }

    /// Takes a permission away from the app, as its owner might, or gives it in full.
    pub fn set_app_permission(&self, name: &str, level: Permission) {
        use super::world::Level;
        let grants = &mut self.world().app.grants;
        match level {
            Permission::None => grants.remove(name),
            Permission::Read | Permission::Triage => grants.insert(name.to_owned(), Level::Read),
            _ => grants.insert(name.to_owned(), Level::Write),
        };
    }
}
