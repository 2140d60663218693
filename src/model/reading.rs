//! What was read in a comment: commands to run, and lines that were meant as commands but cannot
//! be, each with the reason in one sentence.
//!
//! The sentences are plain text and repeat what somebody wrote: whoever shows them escapes them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BadId, Command, ServiceName, StageName, Verb};

/// A line of a comment that is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Counted from 1, in the comment's source.
    pub number: usize,
    /// The line as it was written, without the space around it, cut to 200 characters.
    pub text: String,
    pub reading: Reading,
}

/// What a line means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    Run(Command),
    /// Answered, never run.
    Misread(Misread),
}

/// Why a line that was meant for us does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misread {
    /// A character that a reader does not see, or takes for a space; its column is counted from 1.
    Unseen {
        character: char,
        column: usize,
    },
    /// Code, emphasis, a link, a formula, HTML or an escape in the line or around it.
    Formatted,
    /// Markdown counts the line to the block above it.
    Inside {
        block: Block,
    },
    /// The prefix alone.
    NoCommand,
    UnknownCommand {
        word: String,
        near: Option<Verb>,
    },
    UnknownStage {
        word: String,
        near: Option<StageName>,
    },
    UnknownService {
        word: String,
        near: Option<ServiceName>,
    },
    /// A `key=value` or `--flag` that this command does not have.
    UnknownOption {
        word: String,
        near: Option<String>,
    },
    /// The same argument twice.
    Duplicate {
        key: String,
    },
    UnclosedQuote,
    Missing {
        slot: Slot,
    },
    /// More arguments than the command has.
    Unwanted {
        word: String,
    },
    BadValue {
        slot: Slot,
        word: String,
    },
    /// The comment has more than ten lines for us; `left` of them were not looked at.
    TooMany {
        left: usize,
    },
    /// The comment is longer than GitHub allows.
    TooLong,
}

/// A block of Markdown that takes in lines that follow it without an empty line between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    Quote,
    List,
    Table,
    Footnote,
    /// A line of `-` or `=` below makes it a title.
    Heading,
}

/// The place of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    Stage,
    From,
    To,
    Service,
    Release,
    Lines,
    Reason,
    Span,
    Account,
    Sha,
    Command,
}

impl Slot {
    /// What is written there.
    fn wanted(self) -> &'static str {
        match self {
            Self::Stage => "a stage: a-z, 0-9 and '-', at most 40",
            Self::From => "the stage to take it from",
            Self::To => "the stage to bring it to",
            Self::Service => "a service: a-z, 0-9 and '-', at most 32",
            Self::Release => "a release's number, for example 12",
            Self::Lines => "a number of lines from 1 to 1000",
            Self::Reason => "a reason in quotes, at most 200 characters",
            Self::Span => "a span, for example 90m, 2h or 3d, at most 366d",
            Self::Account => "an account, for example @octocat",
            Self::Sha => "a commit: all 40 hexadecimal digits of it",
            Self::Command => "a command's name",
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quote => "quote",
            Self::List => "list",
            Self::Table => "table",
            Self::Footnote => "footnote",
            Self::Heading => "heading",
        })
    }
}

impl fmt::Display for Misread {
    /// One sentence that says what to do instead; names that are suggested are known ones.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unseen { character, column } => write!(
                f,
                "it contains an invisible or look-alike character, U+{:04X} at column {column}: type the line anew",
                u32::from(*character)
            ),
            Self::Formatted => f.write_str("formatting touches it: write it as plain text, in a paragraph of its own"),
            Self::Inside { block: Block::Heading } => {
                f.write_str("the line below it makes it a heading: leave an empty line between them")
            }
            Self::Inside { block } => {
                write!(f, "it belongs to the {block} above it: leave an empty line between them")
            }
            Self::NoCommand => f.write_str("the command is missing"),
            Self::UnknownCommand { word, near } => unknown(f, "command", word, near.as_ref()),
            Self::UnknownStage { word, near } => unknown(f, "stage", word, near.as_ref()),
            Self::UnknownService { word, near } => unknown(f, "service", word, near.as_ref()),
            Self::UnknownOption { word, near } => unknown(f, "option", word, near.as_ref()),
            Self::Duplicate { key } => write!(f, "it names {key} twice"),
            Self::UnclosedQuote => f.write_str("a quote is not closed"),
            Self::Missing { slot } => write!(f, "it lacks {}", slot.wanted()),
            Self::Unwanted { word } => write!(f, "{word:?} is more than the command takes"),
            Self::BadValue { slot, word } => write!(f, "{word:?} is not {}", slot.wanted()),
            Self::TooMany { left } => {
                write!(f, "a comment has at most ten commands, and {left} more were not looked at")
            }
            Self::TooLong => f.write_str("the comment is longer than GitHub allows"),
        }
    }
}

fn unknown(f: &mut fmt::Formatter<'_>, kind: &str, word: &str, near: Option<&impl fmt::Display>) -> fmt::Result {
    write!(f, "there is no {kind} {word:?}")?;
    near.map_or(Ok(()), |near| write!(f, ": did you mean {near}?"))
}

/// What every command begins with.
///
/// Either one sign (`/`, `!`): a word that is no command is then for somebody else. Or a sign and
/// a name (`/gr`, `@greenroom`), with space behind it: every word after it is for us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    sign: char,
    name: String,
}

/// Signs that begin nothing else in Markdown, at the start of a line.
const SIGNS: &str = "/!@.,:;%?^";

impl Prefix {
    /// Reads `/`, `!`, `/gr ` or `@greenroom`; the space behind a name may be left out here.
    pub fn new(text: &str) -> Result<Self, BadId> {
        let refuse = || BadId {
            kind: "command prefix",
            text: text.chars().take(80).collect(),
            rule: "one of / ! @ . , : ; % ? ^, alone or with a name of up to 32 of a-z, 0-9 and '-'",
        };
        let mut rest = text.trim_end_matches(' ').chars();
        let sign = rest.next().filter(|sign| SIGNS.contains(*sign)).ok_or_else(refuse)?;
        let name = rest.as_str().to_ascii_lowercase();
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let fits =
            name.len() <= 32 && name.bytes().all(is_part) && !name.starts_with('-') && Verb::named(&name).is_none();
        if fits { Ok(Self { sign, name }) } else { Err(refuse()) }
    }

    /// Whether all that follows it is meant for us.
    pub fn is_named(&self) -> bool {
        !self.name.is_empty()
    }

    /// What follows the prefix in a line, if the line begins with it.
    pub fn strip<'a>(&self, line: &'a str) -> Option<&'a str> {
        let rest = line.strip_prefix(self.sign)?;
        if !self.is_named() {
            return Some(rest);
        }
        let (name, rest) = rest.split_at_checked(self.name.len())?;
        let is_complete = rest.is_empty() || rest.starts_with([' ', '\t']);
        (is_complete && name.eq_ignore_ascii_case(&self.name)).then(|| rest.trim_start_matches([' ', '\t']))
    }
}

impl Default for Prefix {
    /// `/`
    fn default() -> Self {
        Self { sign: '/', name: String::new() }
    }
}

impl fmt::Display for Prefix {
    /// As it stands directly before a command's name, so with the space behind a name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.is_named() { " " } else { "" };
        write!(f, "{}{}{space}", self.sign, self.name)
    }
}

impl TryFrom<String> for Prefix {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        Self::new(&text)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_sign_or_a_sign_and_a_name() {
        for (text, shown) in [("/", "/"), ("!", "!"), ("/gr", "/gr "), ("/gr ", "/gr "), ("@Greenroom", "@greenroom ")]
        {
            assert_eq!(Prefix::new(text).map(|prefix| prefix.to_string()).as_deref(), Ok(shown));
        }
        for bad in ["", " ", "gr", "#", ">", "- ", "`", "<", "/a b", "/gr\n", "\u{2215}", "/g\u{435}", "//", "/deploy"]
        {
            assert!(Prefix::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_a_whole_prefix_is_one() {
        let named = Prefix::new("/gr").expect("a prefix");
        for (line, rest) in [
            ("/gr deploy x", Some("deploy x")),
            ("/GR \t deploy", Some("deploy")),
            ("/gr", Some("")),
            ("/great", None),
            ("/grdeploy", None),
            ("/g\u{e9}", None),
            ("gr deploy", None),
        ] {
            assert_eq!(named.strip(line), rest, "{line}");
        }
        assert_eq!(Prefix::default().strip("/deploy"), Some("deploy"));
        assert_eq!(Prefix::default().strip("\u{2215}deploy"), None);
    }

    #[test]
    fn a_sentence_shows_an_invisible_character_by_its_number() {
        let misread = Misread::Unseen { character: '\u{202e}', column: 8 };
        assert!(misread.to_string().contains("U+202E at column 8"), "{misread}");
        let unknown = Misread::UnknownStage { word: "prd\u{202e}".into(), near: StageName::new("prod").ok() };
        assert_eq!(unknown.to_string(), "there is no stage \"prd\\u{202e}\": did you mean prod?");
    }
}
