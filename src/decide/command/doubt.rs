//! Where GitHub may read a line in another way than our parser does.
//!
//! Both follow `CommonMark`; its extensions have no such specification, and its corners are many. A
//! line in doubt never runs:
//!
//! - a table may begin with the last line of a paragraph, and a footnote's name may hold almost
//!   anything: both are looked for in every run of lines without an empty one;
//! - of a footnote that is there twice, some take all that follows for a part of the notes;
//! - what stands directly below a quote, a list or the like may belong to it;
//! - `~` and `$` open and close more than one rule can tell, also over several lines; so do `*` and `_` beside a
//!   `~`, and brackets in brackets.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::model::Block;

/// Runs of lines that may belong to a block, in order.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    runs: Vec<(Range<usize>, Block)>,
}

impl Blocks {
    /// Looks through a comment once.
    pub(super) fn of(body: &str) -> Self {
        let mut blocks = Self::default();
        let mut at = 0;
        let mut above = None;
        let mut is_empty_footnote = false;
        let mut run_begin = 0;
        let mut begun: Option<(usize, Block)> = None;
        for line in body.split_inclusive('\n') {
            let begin = at;
            at += line.len();
            if is_empty(line) {
                // A footnote without a text waits for it.
                if is_empty_footnote {
                    continue;
                }
                blocks.runs.extend(begun.take().map(|(from, block)| (from..begin, block)));
                above = None;
                continue;
            }
            let run = above.map_or(begin, |_| run_begin);
            run_begin = run;
            if begun.is_none() && is_footnote(line) {
                // Whether an odd name is one decides over the lines above as well.
                begun = Some((if has_plain_name(line) { begin } else { run }, Block::Footnote));
            } else if begun.is_none() && is_below_head(line) {
                begun = above.map(|above| (above, Block::Table));
            }
            above = Some(begin);
            is_empty_footnote = is_footnote(line) && line.trim_end().ends_with("]:");
        }
        blocks.runs.extend(begun.map(|(from, block)| (from..at, block)));
        if let Some(first) = first_of_two_footnotes(body) {
            blocks.runs.retain(|(run, _)| run.start < first);
            if let Some((run, _)) = blocks.runs.last_mut() {
                run.end = run.end.min(first);
            }
            blocks.runs.push((first..at, Block::Footnote));
        }
        blocks
    }

    /// The block that a place may belong to.
    pub(super) fn at(&self, place: usize) -> Option<Block> {
        let next = self.runs.partition_point(|(run, _)| run.end <= place);
        self.runs.get(next).filter(|(run, _)| run.contains(&place)).map(|(_, block)| *block)
    }
}

/// As Markdown says it: of other spaces, none makes a line empty.
fn is_empty(line: &str) -> bool {
    line.bytes().all(|byte| b" \t\r\n".contains(&byte))
}

/// A row of dashes and bars: the line above it is a table's head.
fn is_below_head(line: &str) -> bool {
    let is_row = line.contains('-') && line.contains(['|', ':']);
    is_row && line.chars().all(|c| "|:-\u{b}".contains(c) || c.is_ascii_whitespace())
}

fn is_footnote(line: &str) -> bool {
    line.trim_start().strip_prefix("[^").is_some_and(|rest| rest.contains("]:"))
}

/// Where the footnote begins that is the first of which there is another one below.
fn first_of_two_footnotes(body: &str) -> Option<usize> {
    let (mut begun, mut first) = (BTreeMap::new(), None);
    let mut at = 0;
    for line in body.split_inclusive('\n') {
        let mut rest = line;
        while let Some((name, behind)) = rest.split_once("[^").and_then(|(_, rest)| rest.split_once("]:")) {
            if let Some(before) = begun.insert(name.to_lowercase(), at) {
                first = first.or(Some(before)).map(|first: usize| first.min(before));
            }
            rest = behind;
        }
        at += line.len();
    }
    first
}

fn has_plain_name(footnote: &str) -> bool {
    let name = footnote.trim_start().trim_start_matches("[^").split(']').next().unwrap_or_default();
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Whether a paragraph that begins at a place stands directly below something that ends at another,
/// without an empty line between.
pub(super) fn is_directly_below(body: &str, paragraph: usize, end: usize) -> bool {
    let begin = body[..paragraph].rfind('\n').map_or(0, |at| at + 1);
    let Some(above) = begin.checked_sub(1).and_then(|before| body.get(..before)) else { return false };
    let above_begins = above.rfind('\n').map_or(0, |at| at + 1);
    end > above_begins && !is_empty(&above[above_begins..])
}

/// From the first to the last sign of a kind, all may be struck out, code, a formula, emphasized or a link. In order;
/// none touches another.
#[derive(Debug, Default)]
pub(super) struct Signs(Vec<Range<usize>>);

impl Signs {
    pub(super) fn of(body: &str, paragraph: &Range<usize>) -> Self {
        let text = body.get(paragraph.clone()).unwrap_or_default();
        let mut spans: Vec<Range<usize>> = between(text, &['~']).into_iter().collect();
        // A formula can also take away the end of what began before it, such as a link, or where that begins.
        spans.extend(between(text, &['$']).map(|_| 0..text.len()));
        spans.extend(between(text, &['`']).filter(|_| has_loose_ticks(text)));
        spans.extend(emphasis_beside_tildes(text));
        spans.extend(brackets_over_lines(text));
        spans.sort_unstable_by_key(|span| span.start);
        spans.dedup_by(|next, span| {
            let is_beside = next.start <= span.end;
            span.end = if is_beside { span.end.max(next.end) } else { span.end };
            is_beside
        });
        Self(spans.into_iter().map(|span| paragraph.start + span.start..paragraph.start + span.end).collect())
    }

    /// Whether a piece of text may be more than text.
    pub(super) fn touch(&self, piece: &Range<usize>) -> bool {
        let next = self.0.partition_point(|signs| signs.end <= piece.start);
        self.0.get(next).is_some_and(|signs| signs.start < piece.end)
    }
}

/// From the first to the last of some signs.
fn between(text: &str, signs: &[char]) -> Option<Range<usize>> {
    let (first, last) = (text.find(signs)?, text.rfind(signs)?);
    (first < last).then_some(first..last + 1)
}

/// Some look past tildes for what stands beside a sign of emphasis, and so find others that open or close it.
fn emphasis_beside_tildes(text: &str) -> Option<Range<usize>> {
    let is_beside = ["*~", "_~", "~*", "~_"].iter().any(|pair| text.contains(pair));
    between(text, &['*', '_']).filter(|_| is_beside)
}

/// From a bracket that is still open at the end of its line to where all are closed. Which of several brackets
/// make a link with another link between them, not all tell alike, nor where it ends.
fn brackets_over_lines(text: &str) -> Vec<Range<usize>> {
    let (mut spans, mut open, mut begin) = (Vec::new(), 0_usize, 0);
    let mut closed = None;
    let last = text.rfind([']', ')']);
    for (at, c) in text.char_indices() {
        match c {
            '[' => {
                if open == 0 {
                    begin = at;
                }
                open += 1;
                if open == 2 {
                    spans.extend(last.filter(|last| *last > begin).map(|last| begin..last + 1));
                }
            }
            ']' if open > 0 => {
                open -= 1;
                closed = Some(begin..at + 1);
                if open == 0 {
                    spans.extend(closed.take());
                }
            }
            _ => {}
        }
    }
    spans.extend(closed);
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let is_over_lines = |span: &Range<usize>| {
        ends.get(ends.partition_point(|end| *end < span.start)).is_some_and(|end| *end < span.end)
    };
    spans.retain(is_over_lines);
    spans
}

/// Whether the runs of backticks do not pair: then not all find the same code between them.
pub(super) fn has_loose_ticks(text: &str) -> bool {
    let mut runs: BTreeMap<usize, usize> = BTreeMap::new();
    for run in text.split(|c| c != '`').filter(|run| !run.is_empty()) {
        *runs.entry(run.len()).or_default() += 1;
    }
    runs.values().any(|count| !count.is_multiple_of(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_footnotes_are_found_in_runs_of_lines() {
        let at = |text: &str, place: usize| Blocks::of(text).at(place);
        assert_eq!(at("a\nb|c\r\n-|-\nd", 2), Some(Block::Table));
        assert_eq!(at("a\nb|c\r\n-|-\nd", 1), None);
        assert_eq!(at("a\n :-\nb\n\nc", 6), Some(Block::Table));
        assert_eq!(at("a\n :-\nb\n\nc", 9), None);
        assert_eq!(at("a\n :-\nb\n\u{a0}\nc", 11), Some(Block::Table), "the line is not empty");
        assert_eq!(at("a\n [^[]:b\nc", 10), Some(Block::Footnote));
        assert_eq!(at("[^a]:\n\nb\n\nc", 7), Some(Block::Footnote));
        assert_eq!(at("[^a]:\n\nb\n\nc", 10), None);
        assert_eq!(at("z\n\na```\n/x\n[^ 1]:```", 8), Some(Block::Footnote));
        assert_eq!(at("/x\n[^1]: a", 1), None);
        assert_eq!(at("-|-\na", 4), None);
        assert_eq!(at("a - b\n[^a]\nb|c", 12), None);
    }

    #[test]
    fn below_a_footnote_that_is_there_twice_all_is_in_doubt() {
        let at = |text: &str, place: usize| Blocks::of(text).at(place);
        for body in ["a\n\n[^1]:\n[^1]:y\n\n/x", "a\n\n[^b]:l\n\n/x\n[^B]:", "a\n\n- [^1]: b\n\n/x\n\n> [^1]: c"] {
            assert_eq!(at(body, body.find("/x").expect("it is there")), Some(Block::Footnote), "{body:?}");
            assert_eq!(at(body, 0), None, "{body:?}");
        }
        let table = "a|b\n-|-\n[^1]: c\n[^1]: d\n\n/x";
        assert_eq!((at(table, 4), at(table, 26)), (Some(Block::Table), Some(Block::Footnote)));
        assert_eq!(at("[^1]: a\n\n/x\n\n[^2]: b", 9), None);
    }

    #[test]
    fn a_line_directly_below_is_told_from_one_with_space_between() {
        for (text, end, is_below) in [
            ("- a\n/x", 3, true),
            ("- a\n/x", 4, true),
            ("- a\n\n/x", 5, false),
            ("- a\nb\n/x", 4, false),
            ("/x", 0, false),
        ] {
            let paragraph = text.find("/x").expect("it is there");
            assert_eq!(is_directly_below(text, paragraph, end), is_below, "{text:?}");
        }
    }

    #[test]
    fn signs_touch_what_stands_between_them() {
        let touch = |text: &str, piece| Signs::of(text, &(0..text.len())).touch(&piece);
        assert!(touch("a~b\n/x\nc~d", 4..6) && touch("a~b\n/x\nc~d", 0..3));
        assert!(touch("[\n/x\n$$]($)", 2..4));
        assert!(touch("[$$]($ (\n/x\n))", 9..11));
        assert!(touch("```Y`\n`g``\n`\n/x\n``", 13..15) && !touch("`a`\n/x\n`b`", 4..6));
        assert!(!touch("a~b\n/x\nc~d", 0..1) && !touch("a~b\n/x\n$", 4..6));
    }
}
