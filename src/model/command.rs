//! What people can ask for in a comment, with every argument already checked.
//!
//! A [`Command`] says what was asked, not that it may be done: policy judges that. An argument
//! that is absent stays absent here, so that the policy can tell "this pull request's stage" from a
//! stage that was named.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{BadId, CommitSha, Generation, Seconds, ServiceName, StageName};

/// One thing that somebody asked for. `stage: None` means the stage of the pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Brings the head to a stage; no service named means all of them.
    Deploy { stage: Option<StageName>, services: Vec<ServiceName> },
    /// Removes a stage and everything in it.
    Destroy { stage: Option<StageName> },
    /// Deploys again what the stage is at, unchanged services included.
    Redeploy { stage: Option<StageName> },
    /// Takes up a failed deploy where it stopped.
    Retry { stage: Option<StageName> },
    /// Stops the deploy that runs and undoes what it began.
    Cancel { stage: Option<StageName> },
    /// Goes back to a release, by its generation; `None` is the one before the present one.
    Rollback { stage: Option<StageName>, release: Option<Generation> },
    /// Brings what one stage runs to another, without building.
    Promote { from: StageName, to: StageName },
    /// Shows what a deploy would change.
    Plan { stage: Option<StageName> },
    /// Shows what a stage is at.
    Status { stage: Option<StageName> },
    /// Shows the last lines that a service printed.
    Logs { service: ServiceName, lines: Option<LineCount>, stage: Option<StageName> },
    /// Asks every service for its health now.
    Health { stage: Option<StageName> },
    /// Keeps a stage as it is. `hand_to` gives the lock to somebody else.
    Lock { on: LockScope, reason: String, span: Option<Seconds>, hand_to: Option<Login>, force: Force },
    /// Takes a lock away; with force also somebody else's, and then with a reason.
    Unlock { on: LockScope, reason: Option<String>, force: Force },
    /// Lets a stage live longer.
    Keep { span: Seconds, stage: Option<StageName> },
    /// Allows one commit of a fork, or one for a protected stage.
    Approve { sha: NamedCommit, stage: Option<StageName> },
    /// Shows every gate with its evidence and the one next action.
    Why { stage: Option<StageName> },
    /// Shows what the caller may do; with a command, only that one.
    Help { about: Option<Verb> },
}

/// What a lock is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockScope {
    /// The pull request's own stage.
    Own,
    Stage(StageName),
    /// Every stage of the repository; written `all`.
    All,
}

/// Whether somebody else's lock is overruled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    Respect,
    Overrule,
}

macro_rules! verbs {
    ($($verb:ident $name:literal $syntax:literal $meaning:literal;)*) => {
        /// The name of a command, without its arguments.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Verb { $(#[doc = $meaning] $verb,)* }

        impl Verb {
            /// All of them, in the order in which help shows them.
            pub const ALL: [Self; [$(Self::$verb),*].len()] = [$(Self::$verb),*];

            /// As it is written, without the prefix.
            pub fn name(self) -> &'static str {
                match self { $(Self::$verb => $name,)* }
            }

            /// Its arguments: `<needed>`, `[may be left out]`, `..` for several. Empty for none.
            pub fn syntax(self) -> &'static str {
                match self { $(Self::$verb => $syntax,)* }
            }

            /// What it does, in one line.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$verb => $meaning,)* }
            }
        }

        impl Command {
            /// Which command it is.
            pub fn verb(&self) -> Verb {
                match self { $(Self::$verb { .. } => Verb::$verb,)* }
            }
        }
    };
}

verbs! {
    Deploy "deploy" "[stage] [service..]" "deploy the head of this pull request";
    Destroy "destroy" "[stage]" "remove the stage and everything in it";
    Redeploy "redeploy" "[stage]" "deploy the same commit again, unchanged services included";
    Retry "retry" "[stage]" "take up a failed deploy where it stopped";
    Cancel "cancel" "[stage]" "stop the deploy that runs and undo what it began";
    Rollback "rollback" "[stage] [release]" "go back to an earlier release, by default the one before";
    Promote "promote" "<from> <to>" "bring exactly what one stage runs to another, without building";
    Plan "plan" "[stage]" "show what a deploy would change";
    Status "status" "[stage]" "show what the stage is at";
    Logs "logs" "<service> [lines] [stage]" "show the last lines that a service printed";
    Health "health" "[stage]" "ask every service for its health now";
    Lock "lock" "[stage or all] \"reason\" [for 2h] [to=@login] [--force]" "keep the stage as it is";
    Unlock "unlock" "[stage or all] [--force \"reason\"]" "take the lock away";
    Keep "keep" "<span> [stage]" "let the stage live longer, for example 3d";
    Approve "approve" "<sha> [stage]" "allow this one commit, all 40 digits of it, to be built and run";
    Why "why" "[stage]" "show every gate with its evidence, and what to do next";
    Help "help" "[command]" "show what you may do here";
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Verb {
    /// The verb of this name, in any case of its ASCII letters; nothing that only looks alike.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name().eq_ignore_ascii_case(text))
    }
}

/// A commit as somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NamedCommit {
    /// All 40 digits: this commit and no other.
    Whole(CommitSha),
    /// Fewer digits. Whoever can push makes another commit that begins the same, so it names none.
    Beginning(ShaBeginning),
}

impl fmt::Display for NamedCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(sha) => sha.fmt(f),
            Self::Beginning(digits) => digits.fmt(f),
        }
    }
}

impl FromStr for NamedCommit {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        CommitSha::new(text).map(Self::Whole).or_else(|_| text.parse().map(Self::Beginning))
    }
}

impl TryFrom<String> for NamedCommit {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<NamedCommit> for String {
    fn from(commit: NamedCommit) -> Self {
        commit.to_string()
    }
}

/// The beginning of a commit's name: 1 to 39 hexadecimal digits. It is only ever shown, and compared
/// with nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShaBeginning(String);

impl FromStr for ShaBeginning {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let fits = (1..40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| Self(text.to_ascii_lowercase())).ok_or_else(|| bad("commit", text, "40 hexadecimal digits"))
    }
}

/// A GitHub account's name. Source: GitHub's sign-up page, at most 39 of letters, digits and
/// hyphens; accounts that a company manages carry `_` and its short name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Login(String);

impl FromStr for Login {
    type Err = BadId;

    /// With or without `@`.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let name = text.strip_prefix('@').unwrap_or(text);
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let fits = (1..=39).contains(&name.len()) && name.bytes().all(is_part) && !name.starts_with('-');
        fits.then(|| Self(name.to_owned())).ok_or_else(|| bad("account", text, "1-39 letters, digits and '-'"))
    }
}

macro_rules! as_text {
    ($($name:ident)*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    )* };
}

as_text!(ShaBeginning Login);

/// How many lines of a log to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct LineCount(u16);

impl LineCount {
    /// As many as a comment can hold.
    pub const MOST: u16 = 1000;

    /// The number, from 1 to [`Self::MOST`].
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for LineCount {
    type Error = BadId;

    fn try_from(lines: u16) -> Result<Self, BadId> {
        let fits = (1..=Self::MOST).contains(&lines);
        fits.then_some(Self(lines)).ok_or_else(|| bad("number of lines", &lines.to_string(), "1 to 1000"))
    }
}

impl From<LineCount> for u16 {
    fn from(lines: LineCount) -> Self {
        lines.0
    }
}

fn bad(kind: &'static str, text: &str, rule: &'static str) -> BadId {
    BadId { kind, text: text.chars().take(80).collect(), rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_found_by_its_name_alone() {
        for verb in Verb::ALL {
            assert_eq!(Verb::named(verb.name()), Some(verb));
            assert_eq!(Verb::named(&verb.name().to_ascii_uppercase()), Some(verb));
            assert!(verb.meaning().len() < 80 && !verb.meaning().ends_with('.'), "{verb}");
        }
        // The Kelvin sign becomes `k` where all of Unicode is folded.
        for other in ["", "deplo", "deploys", "\u{212a}eep", "d\u{435}ploy", "loc\u{212a}"] {
            assert_eq!(Verb::named(other), None, "{other}");
        }
    }

    #[test]
    fn forty_digits_name_a_commit_and_fewer_none() {
        let digits = "0123456789abcdef0123456789abcdef01234567";
        let whole = NamedCommit::Whole(CommitSha::new(digits).expect("a sha"));
        for written in [digits, &digits.to_uppercase()] {
            assert_eq!(written.parse::<NamedCommit>().ok().as_ref(), Some(&whole), "{written}");
        }
        for length in 1..40 {
            let beginning = digits[..length].parse::<NamedCommit>().expect("digits");
            assert!(matches!(&beginning, NamedCommit::Beginning(_)), "{length} digits");
            assert_eq!(beginning.to_string(), digits[..length]);
        }
        for bad in ["", "012345g", "main", &format!("{digits}0")] {
            assert!(bad.parse::<NamedCommit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_survives_its_storage() {
        let command = Command::Lock {
            on: LockScope::Stage(StageName::new("prod").expect("a name")),
            reason: "sale".into(),
            span: Some(Seconds(7200)),
            hand_to: "@octo-cat".parse().ok(),
            force: Force::Overrule,
        };
        let stored = serde_json::to_string(&command).expect("it is stored");
        assert_eq!(serde_json::from_str::<Command>(&stored).ok(), Some(command));
        for bad in [
            r#"{"command":"approve","sha":"main","stage":null}"#,
            r#"{"command":"logs","service":"web","lines":0,"stage":null}"#,
            r#"{"command":"promote","from":"UP","to":"prod"}"#,
        ] {
            assert!(serde_json::from_str::<Command>(bad).is_err(), "{bad}");
        }
    }
}
