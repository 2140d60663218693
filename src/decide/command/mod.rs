//! From a comment to commands, as its reader sees it.
//!
//! # When a line runs
//!
//! All of this holds, or it does not run:
//!
//! - it begins with the prefix, a command's name in ASCII letters of any case, and then a space or
//!   the end. Spaces before the prefix do not count where Markdown shows none;
//! - it stands in a paragraph on the page itself: not in a quote, list, table, footnote or heading,
//!   and inside no HTML element, open `<details>` and unfinished comments or tags included;
//! - it is plain text from end to end: no code, emphasis, link, image, formula, HTML, escape;
//! - it has no character that a reader does not see or takes for an ordinary space;
//! - every argument is read, known and given once.
//!
//! GitHub shows a line break of a comment as a line break, so every line of a paragraph counts.
//! A line that follows a quote or list without an empty line belongs to it, as Markdown has it.
//!
//! # When a line is answered without being run
//!
//! - a command's exact name in a line that a reader sees, but that breaks one of the rules above. A
//!   line in a quote, list, table, footnote or heading is answered only where it begins with the
//!   prefix in the source too, which is how a forgotten empty line looks; `> /deploy` is silent;
//! - a word that is a slip away from a command's name: one letter, or two for names of six letters
//!   and more that begin alike. It is never run;
//! - with a prefix that has a name (`/gr deploy`), every word after it.
//!
//! Everything else is for somebody else, and silent: other words, paths, code, HTML, struck-out
//! text. So is `\/deploy`, the way to write of a command without running it.
//!
//! # Bounds
//!
//! Time grows with the length of the comment alone. Ten lines are read; the last line of the answer
//! then says how many were left. `tests/commands/` is the corpus.

mod arguments;
mod build;
mod doubt;
mod html;
mod lines;
mod near;
mod unseen;
mod visible;
mod words;

use std::collections::BTreeSet;

use crate::model::{Line, Misread, Prefix, Reading, ServiceName, StageName};
use lines::{Candidate, Meant};
use visible::Standing;

/// Lines of one comment that are read.
pub const MOST_LINES: usize = 10;

/// GitHub's limit for a comment is 65,536 characters, of at most four bytes each.
const MOST_BYTES: usize = 4 * 65_536;

/// Characters of a line or word that are repeated to its writer.
const SHOWN_LINE: usize = 200;
const SHOWN_WORD: usize = 40;

/// The names that arguments are held against.
///
/// `stages` must hold every name that may be meant: those that exist, and those that this pull
/// request would get. An empty set says that nothing is known of them, and any valid name passes.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub stages: BTreeSet<StageName>,
    pub services: BTreeSet<ServiceName>,
}

/// Reads a comment: what to run and what to answer, in the order of its lines.
pub fn read(body: &str, prefix: &Prefix, known: &Known) -> Vec<Line> {
    let candidates = lines::candidates(body, prefix);
    let Some(first) = candidates.first() else { return Vec::new() };
    if body.len() > MOST_BYTES {
        return vec![line(first, Reading::Misread(Misread::TooLong))];
    }
    let spans: Vec<_> = candidates.iter().map(|candidate| candidate.span.clone()).collect();
    let mut found = Vec::new();
    let mut left: Option<(&Candidate<'_>, usize)> = None;
    for (candidate, standing) in candidates.iter().zip(visible::standings(body, &spans)) {
        if found.len() < MOST_LINES {
            found.extend(reading(candidate, standing, known).map(|reading| line(candidate, reading)));
        } else if is_answered(candidate, standing) {
            left = Some(left.map_or((candidate, 1), |(first, count)| (first, count + 1)));
        }
    }
    found.extend(left.map(|(first, left)| line(first, Reading::Misread(Misread::TooMany { left }))));
    found
}

/// What an edit added that would be answered in a new comment. Edits never run; this is for saying so.
pub fn read_edit(before: &str, after: &str, prefix: &Prefix, known: &Known) -> Vec<Line> {
    let mut old: Vec<String> = read(before, prefix, known).into_iter().map(|line| line.text).collect();
    let mut added = read(after, prefix, known);
    added.retain(|line| match old.iter().position(|text| *text == line.text) {
        Some(at) => {
            old.swap_remove(at);
            false
        }
        None => true,
    });
    added
}

fn is_answered(candidate: &Candidate<'_>, standing: Standing) -> bool {
    match standing {
        Standing::Hidden => false,
        Standing::Plain => true,
        Standing::Inside(_) | Standing::Formatted => {
            matches!(candidate.meant, Meant::Command(_))
                || (candidate.unseen.is_some() && standing == Standing::Formatted)
        }
    }
}

fn reading(candidate: &Candidate<'_>, standing: Standing, known: &Known) -> Option<Reading> {
    if !is_answered(candidate, standing) {
        return None;
    }
    let unseen = candidate.unseen.map(|(character, column)| Misread::Unseen { character, column });
    let misread = match (standing, unseen) {
        (Standing::Inside(block), _) => Misread::Inside { block },
        (_, Some(unseen)) => unseen,
        (Standing::Formatted, None) => Misread::Formatted,
        _ => match &candidate.meant {
            Meant::Command(verb) => {
                return Some(
                    build::command(*verb, candidate.arguments, known).map_or_else(Reading::Misread, Reading::Run),
                );
            }
            Meant::Nothing => Misread::NoCommand,
            Meant::Other { near } => Misread::UnknownCommand { word: cut(&candidate.word, SHOWN_WORD), near: *near },
        },
    };
    Some(Reading::Misread(misread))
}

fn line(candidate: &Candidate<'_>, reading: Reading) -> Line {
    Line { number: candidate.number, text: cut(candidate.text, SHOWN_LINE), reading }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
