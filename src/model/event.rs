//! What GitHub tells us, cut down to what a bell needs: the payload says *where* to look, never
//! what is true.

use serde::{Deserialize, Serialize};

use super::{CommitSha, PullNumber, RepoName, Timestamp, UserId};

/// A branch's name without `refs/heads/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Branch(pub String);

/// Whether an account is a person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    Person,
    Bot,
}

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub id: UserId,
    /// Only for showing; rights go by `id`.
    pub login: String,
    pub kind: ActorKind,
}

impl Actor {
    /// Whether it is the account as which the jobs of workflows act: by its number on github.com, and on an
    /// Enterprise Server, which counts for itself, by its login, whose brackets nobody else can have.
    pub fn is_actions_bot(&self) -> bool {
        self.kind == ActorKind::Bot && (self.id == ACTIONS_BOT || self.login == "github-actions[bot]")
    }
}

/// `github-actions[bot]` on github.com.
const ACTIONS_BOT: UserId = UserId(41_898_282);

/// Where a pull request's commits come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRef {
    /// `None` when the fork was deleted.
    pub repo: Option<RepoName>,
    pub branch: Branch,
    pub sha: CommitSha,
}

/// Open, or closed with or without a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestState {
    Open,
    Draft,
    Closed,
    Merged,
}

/// A pull request as GitHub's API describes it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    pub repo: RepoName,
    pub number: PullNumber,
    pub title: String,
    pub author: Actor,
    pub head: HeadRef,
    pub base: Branch,
    pub state: PullRequestState,
    pub labels: Vec<String>,
}

impl Branch {
    /// Whether Dependabot pushes here: `dependabot/npm_and_yarn/..`.
    ///
    /// Source: GitHub Docs, "Dependabot options reference", `pull-request-branch-name.separator`: one
    /// of `-`, `_` and `/`.
    pub fn is_of_dependabot(&self) -> bool {
        self.0.strip_prefix("dependabot").is_some_and(|rest| rest.starts_with(['-', '_', '/']))
    }
}

impl Actor {
    /// Whether it is GitHub's Dependabot. No person's name can hold a bracket.
    fn is_dependabot(&self) -> bool {
        self.kind == ActorKind::Bot && self.login == "dependabot[bot]"
    }
}

impl PullRequest {
    /// Whether the commits are of others than those who write here: they come from another
    /// repository, or Dependabot brings what strangers published.
    ///
    /// Source: GitHub Docs, "Troubleshooting Dependabot on GitHub Actions": workflows that Dependabot
    /// causes are treated as if they came from a fork.
    pub fn is_from_fork(&self) -> bool {
        self.head.repo.as_ref() != Some(&self.repo) || self.author.is_dependabot()
    }

    /// Whether it can still be merged.
    pub fn is_open(&self) -> bool {
        matches!(self.state, PullRequestState::Open | PullRequestState::Draft)
    }
}

/// The `action` of a `pull_request` event, those that can change a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullRequestAction {
    Opened,
    Reopened,
    Synchronize,
    Edited,
    Labeled,
    Unlabeled,
    ReadyForReview,
    ConvertedToDraft,
    Closed,
}

/// A push to a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushEvent {
    pub repo: RepoName,
    pub branch: Branch,
    /// `None` when the push deleted the branch.
    pub after: Option<CommitSha>,
    pub actor: Option<Actor>,
}

/// Where on a pull request something was written.
///
/// Source: GitHub REST, "Reactions": an issue comment and a review comment take reactions, each at
/// an address of its own; a review takes none there, so it is answered in words alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommentSource {
    /// In the conversation.
    #[default]
    Issue,
    /// The text of a review as a whole.
    Review,
    /// At a line of the changes.
    ReviewComment,
    /// Nothing written: the pull request itself, by its number, of which something is said once.
    PullRequest,
}

/// What somebody wrote on a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommentEvent {
    pub repo: RepoName,
    pub number: PullNumber,
    /// Its id among those of its source.
    pub comment: u64,
    #[serde(default)]
    pub source: CommentSource,
    /// By GitHub's clock, in whole seconds; 0 where an older version stored the event.
    #[serde(default)]
    pub created_at: Timestamp,
    /// Programs, Greenroom among them, are [`ActorKind::Bot`].
    pub author: Actor,
    /// The GitHub App, by its id, that wrote it or through which somebody did; reviews do not say.
    #[serde(default)]
    pub via_app: Option<u64>,
    pub body: String,
}

/// One row of the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A pull request changed; `head` is what the sender saw, kept as a witness.
    PullRequest {
        repo: RepoName,
        number: PullNumber,
        action: PullRequestAction,
        head: CommitSha,
        actor: Actor,
        /// When GitHub last changed it, in whole seconds; 0 where an older version stored the event.
        #[serde(default)]
        updated_at: Timestamp,
    },
    /// A branch moved.
    Push(PushEvent),
    /// Somebody wrote a comment. Edits never arrive here.
    Comment(CommentEvent),
    /// Somebody changed a comment's text. It never runs; `comment` has the text and the author, not
    /// the editor, `before` the text that it had.
    CommentEdited { comment: CommentEvent, before: String },
    /// A branch was deleted.
    BranchDeleted { repo: RepoName, branch: Branch },
    /// The app was installed, removed, or given other repositories: look at all of them.
    InstallationChanged,
    /// The repository was deleted, says a delivery: GitHub is asked whether it is there.
    RepositoryDeleted { repo: RepoName },
    /// Our own timer or operator asks to compare this repository with its stages; so does a delivery that
    /// says of it what is best looked at, such as its new name.
    Reconcile { repo: RepoName },
    /// A build on a runner went on: whoever waits for it looks. `nonce` is the run's, where it was told.
    RunMoved { repo: RepoName, nonce: Option<super::Nonce> },
    /// The operator or the command line asks for a stage to be brought to a target.
    Requested { repo: RepoName, stage: super::StageName, target: super::Target },
}

impl Event {
    /// The repository whose lane handles it; `None` is for the whole installation.
    pub fn repo(&self) -> Option<&RepoName> {
        match self {
            Self::PullRequest { repo, .. }
            | Self::BranchDeleted { repo, .. }
            | Self::RepositoryDeleted { repo }
            | Self::Reconcile { repo }
            | Self::RunMoved { repo, .. }
            | Self::Requested { repo, .. } => Some(repo),
            Self::Push(push) => Some(&push.repo),
            Self::Comment(comment) | Self::CommentEdited { comment, .. } => Some(&comment.repo),
            Self::InstallationChanged => None,
        }
    }

    /// The same event under another name of its repository.
    #[must_use]
    pub fn of_repo(mut self, name: &RepoName) -> Self {
        match &mut self {
            Self::PullRequest { repo, .. }
            | Self::BranchDeleted { repo, .. }
            | Self::RepositoryDeleted { repo }
            | Self::Reconcile { repo }
            | Self::RunMoved { repo, .. }
            | Self::Requested { repo, .. } => repo.clone_from(name),
            Self::Push(push) => push.repo.clone_from(name),
            Self::Comment(comment) | Self::CommentEdited { comment, .. } => comment.repo.clone_from(name),
            Self::InstallationChanged => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependabot_is_a_stranger_and_nobody_else_can_be_called_so() {
        let pull = |login: &str, kind, repo: &str| {
            let repo = RepoName::new(repo).expect("a repository");
            let sha = CommitSha::new("a".repeat(40)).expect("a sha");
            PullRequest {
                repo: RepoName::new("acme/shop").expect("a repository"),
                number: PullNumber(42),
                title: String::new(),
                author: Actor { id: UserId(1), login: login.into(), kind },
                head: HeadRef { repo: Some(repo), branch: Branch("topic".into()), sha },
                base: Branch("main".into()),
                state: PullRequestState::Open,
                labels: Vec::new(),
            }
        };
        let (bot, person) = (ActorKind::Bot, ActorKind::Person);
        for (login, kind, repo, is_strange) in [
            ("ann", person, "acme/shop", false),
            ("ann", person, "ann/shop", true),
            ("dependabot[bot]", bot, "acme/shop", true),
            ("renovate[bot]", bot, "acme/shop", false),
            ("dependabot", person, "acme/shop", false),
        ] {
            assert_eq!(pull(login, kind, repo).is_from_fork(), is_strange, "{login} {repo}");
        }
    }

    #[test]
    fn a_comment_stored_by_an_older_version_is_read() {
        let row = r#"{"event":"comment","repo":"acme/shop","number":42,"comment":99,
            "author":{"id":1,"login":"monalisa","kind":"person"},"body":"/deploy"}"#;
        let Ok(Event::Comment(comment)) = serde_json::from_str(row) else { panic!("it is not read") };
        assert_eq!((comment.source, comment.created_at), (CommentSource::Issue, Timestamp(0)));
        assert_eq!(comment.via_app, None);
        let edited = Event::CommentEdited { comment, before: "/depoly".into() };
        let stored = serde_json::to_string(&edited).expect("it is stored");
        assert_eq!(serde_json::from_str::<Event>(&stored).ok(), Some(edited));
    }
}
