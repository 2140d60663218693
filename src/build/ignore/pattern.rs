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
    /// `None` where Go knows no such pattern. `text` is cleaned and not empty.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        if !is_well_formed(text) {
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
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => expression.extend(['\\', c]),
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

/// Whether `filepath.Match` takes it: no class is left open or empty, and no backslash ends it.
fn is_well_formed(mut pattern: &[u8]) -> bool {
    while let Some((first, rest)) = pattern.split_first() {
        let after = match first {
            b'[' => after_class(rest),
            b'\\' => rest.get(1..),
            _ => Some(rest),
        };
        let Some(after) = after else { return false };
        pattern = after;
    }
    true
}

fn after_class(text: &[u8]) -> Option<&[u8]> {
    let mut rest = after_member(text.strip_prefix(b"^").unwrap_or(text))?;
    loop {
        if let Some(after) = rest.strip_prefix(b"]") {
            return Some(after);
        }
        rest = after_member(rest)?;
    }
}

/// What follows a character or a range in a class, which is never nothing.
fn after_member(text: &[u8]) -> Option<&[u8]> {
    let rest = after_character(text)?;
    rest.strip_prefix(b"-").map_or(Some(rest), after_character)
}

fn after_character(text: &[u8]) -> Option<&[u8]> {
    if text.starts_with(b"-") || text.starts_with(b"]") {
        return None;
    }
    let text = text.strip_prefix(b"\\").unwrap_or(text);
    let first = text.utf8_chunks().next()?.valid().chars().next()?;
    text.get(first.len_utf8()..).filter(|rest| !rest.is_empty())
}
