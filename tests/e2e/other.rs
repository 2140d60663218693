//! Other repositories beside the world's own.

use std::path::Path;

use greenroom::model::{CommitSha, PullNumber, RepoName};
use greenroom::sandbox::FileChange;

use crate::own::own;
use crate::world::{World, processes};

/// What the world's own repository says, with a zone of its own.
pub(crate) fn elsewhere(folder: &Path) -> String {
    format!("{}domain: {{ zone: other.localhost }}\n", processes(folder))
}

/// A repository that has a name which the world's own had before, and a pull request with the same number
/// and branch.
pub(crate) struct Newcomer {
    pub(crate) name: RepoName,
    pub(crate) pull: PullNumber,
}

impl Newcomer {
    /// Makes it with this configuration, and opens the pull request.
    pub(crate) fn takes(w: &World, name: &RepoName, config: &str) -> Self {
        let files = [FileChange::write(".github/greenroom.yml", config)];
        let name = w.github.create_repo(name.as_str(), files).expect("the name is free");
        w.github.push(&name, "topic", [("app", "newcomer")], "A change of its own").expect("a commit");
        let pull = w.github.open_pull(&name, "topic", "A change").expect("a pull request");
        Self { name, pull }
    }

    /// Waits until it is told that it is not served, which is all that is done for it. Answers what it is to
    /// be called in `GREENROOM_ALLOW`.
    pub(crate) async fn is_turned_away(&self, w: &World) -> String {
        let what = format!("{} is told that it is not served", self.name);
        w.until(&what, async || self.told(w).contains(" to GREENROOM_ALLOW")).await;
        assert_eq!(w.comment_of(&self.name, self.pull), None, "it has no stage");
        let shown = (w.github.environments(&self.name).len(), w.github.deployments(&self.name).len());
        assert_eq!(shown, (0, 0), "environments and deployments of {}", self.name);
        let told = self.told(w);
        let key = told.split("they add ").nth(1).and_then(|rest| rest.split(' ').next());
        key.unwrap_or_else(|| panic!("no way out: {told}")).to_owned()
    }

    /// Waits until its comment calls this commit live.
    pub(crate) async fn is_live(&self, w: &World, sha: &CommitSha) {
        let text = format!("is live · `{}`", sha.short());
        let says = || w.comment_of(&self.name, self.pull).is_some_and(|comment| comment.contains(&text));
        w.until(&format!("{} {text}", self.name), async || says()).await;
    }

    /// Everything that was written on its pull request, without the backslashes of Markdown.
    fn told(&self, w: &World) -> String {
        let comments = w.github.comments(&self.name, self.pull);
        comments.into_iter().map(|comment| comment.body.replace('\\', "")).collect()
    }
}

impl World {
    /// A server that may run two repositories of processes, behind what a shell does first; and the second,
    /// whose stages have a zone of their own.
    pub(crate) async fn of_two(before: &str) -> (Self, RepoName) {
        let other = own("acme/e2e_other.web");
        let allow = vec![("GREENROOM_ALLOW", "acme/*".to_owned())];
        let config = |folder: &Path| vec![FileChange::write(".github/greenroom.yml", processes(folder))];
        let world = Self::begin_behind(before, allow, config).await;
        let text = elsewhere(&world.home.folder);
        let files = [FileChange::write(".github/greenroom.yml", text), FileChange::write("app", "none")];
        let other = world.github.create_repo(&other, files).expect("a repository");
        (world, other)
    }

    /// Opens a pull request of another repository, and waits until its stage is live.
    pub(crate) async fn serves(&self, repo: &RepoName) -> PullNumber {
        self.github.push(repo, "topic", [("app", "other")], "Make it another").expect("a commit");
        let pull = self.github.open_pull(repo, "topic", "A change").expect("a pull request");
        let is_live = || self.comment_of(repo, pull).is_some_and(|comment| comment.contains("is live · "));
        self.until("the other repository's pull request is live", async || is_live()).await;
        pull
    }

    /// Closes it, and waits until its stage is gone.
    pub(crate) async fn serves_no_more(&self, repo: &RepoName, pull: PullNumber) {
        self.github.close_pull(repo, pull).expect("it closes");
        let is_gone = || self.comment_of(repo, pull).is_some_and(|comment| comment.contains("Destroyed at"));
        self.until("the other repository's stage is gone", async || is_gone()).await;
    }

    /// Another repository of processes, which the server may not run.
    pub(crate) fn stranger(&self) -> RepoName {
        let files = [FileChange::write(".github/greenroom.yml", processes(&self.home.folder))];
        self.github.create_repo("stranger/shop", files).expect("a repository")
    }
}
