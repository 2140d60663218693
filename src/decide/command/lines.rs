//! The lines of a comment's source that could be meant for us, before it is known where they stand.

use std::ops::Range;

use super::near::near;
use super::unseen::{Look, look};
use crate::model::{Prefix, Verb};

/// Words that are no command are compared with the commands so often in one comment.
const MOST_COMPARISONS: usize = 100;

/// A line that begins with the prefix, whether or not a reader sees it.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    /// Counted from 1.
    pub number: usize,
    /// Where its text stands in the comment, in bytes.
    pub span: Range<usize>,
    /// Without the space around it.
    pub text: &'a str,
    pub meant: Meant,
    /// The first word after the prefix.
    pub word: String,
    /// What follows that word.
    pub arguments: &'a str,
    /// The first character that is not seen, with its column from 1.
    pub unseen: Option<(char, usize)>,
}

/// What the first word is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meant {
    Command(Verb),
    Other {
        near: Option<Verb>,
    },
    /// There is none.
    Nothing,
}

/// The candidates, in order; what is for somebody else is left out already.
pub(super) fn candidates<'a>(body: &'a str, prefix: &Prefix) -> Vec<Candidate<'a>> {
    let mut comparisons = 0;
    source_lines(body)
        .enumerate()
        .filter_map(|(index, (start, line))| candidate(index + 1, start, line, prefix, &mut comparisons))
        .collect()
}

/// Lines with where they begin. Line ends are those of Markdown: `\n`, `\r\n` and `\r`.
fn source_lines(body: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let rest = &body[start..];
        let length = rest.find(['\n', '\r']);
        next = length.map(|length| start + length + if rest[length..].starts_with("\r\n") { 2 } else { 1 });
        Some((start, &rest[..length.unwrap_or(rest.len())]))
    })
}

fn candidate<'a>(
    number: usize,
    start: usize,
    line: &'a str,
    prefix: &Prefix,
    comparisons: &mut usize,
) -> Option<Candidate<'a>> {
    const BLANKS: [char; 2] = [' ', '\t'];
    let text = line.trim_matches(BLANKS);
    let begin = start + line.len() - line.trim_start_matches(BLANKS).len();
    let unseen = line.chars().enumerate().find(|(_, character)| look(*character) != Look::Seen);
    // As a reader takes the line: what is not seen is gone, what looks like a space is one.
    let as_seen: Option<String> = unseen.map(|_| {
        let seen = text.chars().filter_map(|character| match look(character) {
            Look::Seen => Some(character),
            Look::Nothing => None,
            Look::Space => Some(' '),
        });
        seen.collect::<String>().trim().to_owned()
    });
    let after = prefix.strip(as_seen.as_deref().unwrap_or(text))?;
    let word = after.split(BLANKS).next().unwrap_or_default();
    let meant = meaning(word, prefix, comparisons)?;
    // Arguments are read only where every character was seen.
    let arguments = prefix.strip(text).and_then(|after| after.get(word.len()..)).unwrap_or_default();
    let unseen = unseen.map(|(index, character)| (character, index + 1));
    Some(Candidate { number, span: begin..begin + text.len(), text, meant, word: word.to_owned(), arguments, unseen })
}

fn meaning(word: &str, prefix: &Prefix, comparisons: &mut usize) -> Option<Meant> {
    if let Some(verb) = Verb::named(word) {
        return Some(Meant::Command(verb));
    }
    if word.is_empty() {
        return prefix.is_named().then_some(Meant::Nothing);
    }
    // A path, such as `/logs/today`, is nobody's slip.
    let is_compared = !word.contains('/') && *comparisons < MOST_COMPARISONS;
    *comparisons += 1;
    let near = is_compared.then(|| near(word, &Verb::ALL).copied()).flatten();
    (near.is_some() || prefix.is_named()).then_some(Meant::Other { near })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_of_markdown_ends_a_line() {
        let lines: Vec<_> = source_lines("a\r\nb\n\rc\r").collect();
        assert_eq!(lines, [(0, "a"), (3, "b"), (5, ""), (6, "c"), (8, "")]);
        assert_eq!(source_lines("").collect::<Vec<_>>(), [(0, "")]);
    }

    #[test]
    fn a_candidate_knows_where_it_stands() {
        let found = candidates("x\r\n \t/Deploy\tpr-42  \r\n/\u{200b}logs web", &Prefix::default());
        let [deploy, logs] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((deploy.number, deploy.span.clone(), deploy.text), (2, 5..18, "/Deploy\tpr-42"));
        assert_eq!((&deploy.meant, deploy.arguments), (&Meant::Command(Verb::Deploy), "\tpr-42"));
        assert_eq!((&logs.meant, logs.unseen), (&Meant::Command(Verb::Logs), Some(('\u{200b}', 2))));
    }

    #[test]
    fn the_work_for_words_of_others_is_bounded() {
        let slip = |others: usize| format!("{}/depoly", "/xxxxx\n".repeat(others));
        assert_eq!(candidates(&slip(99), &Prefix::default()).len(), 1);
        assert_eq!(candidates(&slip(100), &Prefix::default()).len(), 0);
    }
}
