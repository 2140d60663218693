//! What is owed to a comment that asked for something: a reaction, and words where it needs them.

use serde::{Deserialize, Serialize};

use super::{
    AuditLink, CommentSource, ExternalId, Generation, PullNumber, Reaction, RepoName, StageName, Timestamp, Verb,
};

/// Which comment. Each source numbers its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReceiptKey {
    pub repo: RepoName,
    pub source: CommentSource,
    pub comment: u64,
}

/// How far the answer to a comment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptState {
    /// What is wanted is not shown yet.
    Due,
    /// It is shown, and something more is owed when what the receipt is bound to ends.
    Waiting,
    /// Nothing more is owed.
    Settled,
}

/// What became of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    /// It is under way.
    Accepted,
    /// It waits for its turn.
    Queued,
    Done,
    Failed,
    /// A gate is closed, or the command was not understood.
    Refused,
    /// One before it in the same comment was refused.
    NotRun,
}

/// One command of a comment, in the order in which they stand there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// As it was written, cut for showing.
    pub said: String,
    /// `None` when it is no command that we know.
    pub verb: Option<Verb>,
    pub outcome: CommandOutcome,
    /// What to say about it, as Markdown.
    pub words: String,
}

/// The deploy whose end decides about the final answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptBond {
    pub stage: StageName,
    pub generation: Generation,
}

/// The one answer to all commands of a comment. Only the lane of its repository writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReceipt {
    pub key: ReceiptKey,
    pub pull: PullNumber,
    pub state: ReceiptState,
    pub results: Vec<CommandResult>,
    /// The reaction that the comment is to have.
    pub reaction: Option<Reaction>,
    /// The answer that is to be there, as Markdown; `None` where the sticky comment says it all.
    pub body: Option<String>,
    /// Our answer, once it is there.
    pub external: Option<ExternalId>,
    /// SHA-256 of what was shown last, hexadecimal.
    pub shown: Option<String>,
    pub bond: Option<ReceiptBond>,
    /// The end of the repository's audit when the receipt was shown last: it is noted here, outside of
    /// the chain, so that a chain that was cut is noticed.
    #[serde(default)]
    pub audit: Option<AuditLink>,
    /// When the comment came in.
    pub at: Timestamp,
}
