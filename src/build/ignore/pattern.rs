//! One pattern of an ignore file.
//!
//! Source: `New` and `compile` of <https://github.com/moby/patternmatcher>, and Go's `filepath.Match`,
//! which that asks whether a pattern is one.

use regex::Regex;

use super::regex::from_go;

/// A pattern that matches whole paths.
#[derive(Debug)]
pub(super) struct Pattern {
    text: Vec<u8>,
    matcher: Matcher,
}

#[derive(Debug, PartialEq, Eq)]
enum Shape {
    Exact,
    Prefix,
    Suffix,
    Expression,
}

#[derive(Debug)]
enum Matcher {
    Exact,
    /// What ends in `**` and is plain before it.
    Prefix,
    /// What begins with `**` and is plain after it.
    Suffix,
    Expression(Regex),
    /// Docker fails when it comes to try it, and not before.
    Broken,
}

impl Pattern {
    /// `None` where Docker refuses the whole file for it. `text` is cleaned and not empty.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        if !is_accepted(text) {
            return None;
        }
        let (shape, expression) = compile(text);
        let matcher = match shape {
            Shape::Exact => Matcher::Exact,
            Shape::Prefix => Matcher::Prefix,
            Shape::Suffix => Matcher::Suffix,
            Shape::Expression => {
                let compiled = from_go(&expression).and_then(|expression| Regex::new(&expression).ok());
                compiled.map_or(Matcher::Broken, Matcher::Expression)
            }
        };
        Some(Self { text: text.to_vec(), matcher })
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn matches(&self, path: &[u8]) -> Result<bool, String> {
        Ok(match &self.matcher {
            Matcher::Exact => path == self.text,
            Matcher::Prefix => path.starts_with(&self.text[..self.text.len() - 2]),
            Matcher::Suffix => {
                let suffix = &self.text[2..];
                path.ends_with(suffix) || suffix.strip_prefix(b"/") == Some(path)
            }
            Matcher::Expression(regex) => regex.is_match(&runes(path)),
            Matcher::Broken => return Err(super::unreadable(&self.text)),
        })
    }
}

/// A text as Go reads it: every byte that is no UTF-8 is a replacement character of its own.
fn runes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// The expression that Docker makes of a pattern, in Go's syntax and without the `^` and `$` around it.
fn compile(pattern: &[u8]) -> (Shape, String) {
    let pattern = runes(pattern);
    // Go's scanner takes it for a mark of the encoding.
    let mut rest = pattern.strip_prefix('\u{feff}').unwrap_or(&pattern).chars().peekable();
    let (mut shape, mut expression) = (Shape::Exact, String::new());
    let mut is_first = true;
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                shape = match (rest.peek(), shape) {
                    (None, Shape::Exact) => Shape::Prefix,
                    (None, _) => {
                        expression.push_str(".*");
                        Shape::Expression
                    }
                    (Some(_), _) => {
                        expression.push_str("(.*/)?");
                        Shape::Expression
                    }
                };
                if is_first {
                    shape = Shape::Suffix;
                }
            }
            '*' => {
                expression.push_str("[^/]*");
                shape = Shape::Expression;
            }
            '?' => {
                expression.push_str("[^/]");
                shape = Shape::Expression;
            }
            // Docker means to mark `{`, `|` and `}` too, and does not: its table of marks has no room
            // for characters above 63. Source: `escapeBytes` of the same.
            '.' | '+' | '(' | ')' | '$' => expression.extend(['\\', c]),
            '\\' => {
                expression.push(c);
                expression.extend(rest.next());
                shape = Shape::Expression;
            }
            '[' | ']' => {
                expression.push(c);
                shape = Shape::Expression;
            }
            other => expression.push(other),
        }
        is_first = false;
    }
    (shape, expression)
}

/// Whether `filepath.Match` of the pattern and `.` is no error, which is all that Docker asks of it
/// beforehand. It ends with the first part between two stars that does not match: what is wrong behind
/// that comes out where the pattern is tried.
fn is_accepted(mut pattern: &[u8]) -> bool {
    let mut name: &[u8] = b".";
    while !pattern.is_empty() {
        let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
        let (part, rest) = pattern[stars..].split_at(part_length(&pattern[stars..]));
        pattern = rest;
        if stars > 0 && part.is_empty() {
            return true;
        }
        let mut start = match_part(part, name);
        let is_whole = |start: &Start<'_>| matches!(start, Start::Same(left) if left.is_empty() || !rest.is_empty());
        // The star takes the dot, where it is still there.
        if start != Start::NoPattern && !is_whole(&start) && stars > 0 && !name.is_empty() {
            start = match_part(part, &name[1..]);
        }
        name = match start {
            Start::NoPattern => return false,
            Start::Same(left) if is_whole(&start) => left,
            Start::Same(_) | Start::Other => return true,
        };
    }
    true
}

/// How far it is to the next star outside of a class.
fn part_length(pattern: &[u8]) -> usize {
    let (mut at, mut is_in_class) = (0, false);
    while let Some(byte) = pattern.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' => is_in_class = true,
            b']' => is_in_class = false,
            b'*' if !is_in_class => return at,
            _ => {}
        }
        at += 1;
    }
    pattern.len()
}

/// How a name begins.
#[derive(PartialEq, Eq)]
enum Start<'a> {
    /// With the part; and what follows.
    Same(&'a [u8]),
    Other,
    /// The part is none: a class is open or empty, or a backslash ends it.
    NoPattern,
}

/// Compares a name with a part of a pattern. The part is read to its end, whatever the name is.
fn match_part<'a>(part: &[u8], name: &'a [u8]) -> Start<'a> {
    let mut left = name;
    match begins_with(part, &mut left) {
        None => Start::NoPattern,
        Some(true) => Start::Same(left),
        Some(false) => Start::Other,
    }
}

/// Whether `name` begins with the part; then what follows is left of it.
fn begins_with(mut part: &[u8], name: &mut &[u8]) -> Option<bool> {
    let mut matches = true;
    while let Some((first, rest)) = part.split_first() {
        let next = name.split_first();
        matches &= next.is_some();
        let (fits, after) = match first {
            b'[' => class_has(rest, next.map(|(byte, _)| char::from(*byte)))?,
            b'?' => (next.is_some_and(|(byte, _)| *byte != b'/'), rest),
            b'\\' => {
                let (literal, rest) = rest.split_first()?;
                (next.is_some_and(|(byte, _)| byte == literal), rest)
            }
            literal => (next.is_some_and(|(byte, _)| byte == literal), rest),
        };
        matches &= fits;
        *name = next.map_or(*name, |(_, after)| after);
        part = after;
    }
    Some(matches)
}

/// Whether the class, whose `[` is behind us, has the character, and what follows its `]`.
fn class_has(text: &[u8], wanted: Option<char>) -> Option<(bool, &[u8])> {
    let (is_negated, text) = text.strip_prefix(b"^").map_or((false, text), |rest| (true, rest));
    let (mut has, mut rest) = member_is(text, wanted)?;
    loop {
        if let Some(after) = rest.strip_prefix(b"]") {
            return Some((has != is_negated, after));
        }
        let (is, after) = member_is(rest, wanted)?;
        has |= is;
        rest = after;
    }
}

/// Whether a character or a range in a class is the one, and what follows it, which is never nothing.
fn member_is(text: &[u8], wanted: Option<char>) -> Option<(bool, &[u8])> {
    let (low, rest) = character(text)?;
    let (high, rest) = rest.strip_prefix(b"-").map_or(Some((low, rest)), character)?;
    Some((wanted.is_some_and(|wanted| (low..=high).contains(&wanted)), rest))
}

fn character(text: &[u8]) -> Option<(char, &[u8])> {
    if text.starts_with(b"-") || text.starts_with(b"]") {
        return None;
    }
    let text = text.strip_prefix(b"\\").unwrap_or(text);
    let first = text.utf8_chunks().next()?.valid().chars().next()?;
    Some((first, text.get(first.len_utf8()..).filter(|rest| !rest.is_empty())?))
}
