//! The rules of an ignore file, as Docker reads them: which of a folder's entries are left out.
//!
//! # Guarantees
//!
//! - The answer is Docker's own, also where its documentation says something else: it decides what an
//!   image is made of, and a user who tries `docker build` has to see the same. `tests/context_docker.rs`
//!   compares the two.
//! - What Docker refuses is refused: a file with a rule that cannot be read leaves nothing out, and
//!   nothing is built from it.
//!
//! Source: `ignorefile` and `MatchesUsingParentResults` of <https://github.com/moby/patternmatcher>.

#[cfg(test)]
mod fuzz;
mod pattern;
mod regex;
#[cfg(test)]
mod tests;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use pattern::Pattern;

/// The most that an ignore file may hold: its rules are tried on every entry of a context.
pub(super) const MOST_BYTES: usize = 64 << 10;
const MOST_RULES: usize = 1000;
/// Of one rule; no path is as long. Source: `PATH_MAX` of Linux.
const LONGEST_RULE: usize = 4 << 10;

/// What a rule does with the entries that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Exclude,
    Readmit,
}

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    effect: Effect,
}

/// The rules of one file, in its order.
#[derive(Debug, Default)]
pub(super) struct Ignore(Vec<Rule>);

/// What the rules say of one entry.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) is_excluded: bool,
    /// Which of the rules match it: the entries of a folder are judged with those of the folder.
    pub(super) matches: Vec<bool>,
}

impl Ignore {
    /// Reads a file; the reason why Docker would not.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > MOST_BYTES {
            return Err(format!("it has more than {} KiB", MOST_BYTES >> 10));
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut rules = Vec::new();
        for line in text.split(|byte| *byte == b'\n') {
            if line.len() > LONGEST_RULE {
                return Err(format!("one of its lines has more than {} KiB", LONGEST_RULE >> 10));
            }
            rules.extend(rule(line)?);
        }
        if rules.len() > MOST_RULES {
            return Err(format!("it has more than {MOST_RULES} rules"));
        }
        Ok(Self(rules))
    }

    /// Judges an entry by its path, relative to the context. `outer` is what the rules said of the
    /// folder that it is in, and empty for the context itself. The reason where a rule that has to be
    /// tried cannot be.
    pub(super) fn judge(&self, path: &Path, outer: &[bool]) -> Result<Verdict, String> {
        let path = path.as_os_str().as_bytes();
        let mut verdict = Verdict { is_excluded: false, matches: vec![false; self.0.len()] };
        for (index, rule) in self.0.iter().enumerate() {
            let is_exception = rule.effect == Effect::Readmit;
            let matches = if outer.get(index) == Some(&true) {
                true
            } else if is_exception == verdict.is_excluded {
                rule.pattern.matches(path)?
            } else {
                continue;
            };
            verdict.matches[index] = matches;
            if matches {
                verdict.is_excluded = !is_exception;
            }
        }
        Ok(verdict)
    }

    /// Whether there are exceptions.
    pub(super) fn readmits(&self) -> bool {
        self.0.iter().any(|rule| rule.effect == Effect::Readmit)
    }

    /// Whether an exception begins, letter by letter, with this folder. Docker's first builder looks
    /// into a folder that is left out only then.
    pub(super) fn readmits_below(&self, folder: &Path) -> bool {
        let folder = folder.as_os_str().as_bytes();
        let exceptions = self.0.iter().filter(|rule| rule.effect == Effect::Readmit);
        exceptions
            .map(|rule| rule.pattern.text())
            .any(|text| text.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")))
    }
}

/// Reads one line; `None` where it holds no rule.
fn rule(line: &[u8]) -> Result<Option<Rule>, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(written) = written(line) else { return Ok(None) };
    // Docker reads what it has cleaned a second time: of `./!a`, the first time leaves `!a`.
    let cleaned = clean(trim(&written));
    let (effect, text) = match cleaned.strip_prefix(b"!") {
        Some(rest) => (Effect::Readmit, rest),
        None => (Effect::Exclude, cleaned.as_slice()),
    };
    let pattern = if text.is_empty() { None } else { Pattern::parse(text) };
    match pattern {
        Some(pattern) => Ok(Some(Rule { pattern, effect })),
        None => Err(unreadable(line)),
    }
}

/// The rule of a line with its path cleaned, and its exclamation mark before it.
fn written(line: &[u8]) -> Option<Vec<u8>> {
    if line.starts_with(b"#") {
        return None;
    }
    let line = trim(line);
    let (mark, path) = match line.strip_prefix(b"!") {
        Some(rest) => (b"!".as_slice(), trim(rest)),
        None => (b"".as_slice(), line),
    };
    let path = if path.is_empty() { Vec::new() } else { clean(path) };
    let path = path.strip_prefix(b"/").filter(|rest| !rest.is_empty()).unwrap_or(&path);
    let rule = [mark, path].concat();
    (!trim(&rule).is_empty()).then_some(rule)
}

fn unreadable(line: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).take(100).collect();
    format!("Docker does not understand its rule `{shown}`")
}

/// Without the white space around it, as Unicode knows it.
fn trim(mut text: &[u8]) -> &[u8] {
    while let Some(space) = text.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next())
        && space.is_whitespace()
    {
        text = &text[space.len_utf8()..];
    }
    // No white space is longer than three bytes.
    let ends_in_space = |text: &[u8], length: usize| {
        let end = text.len().checked_sub(length).and_then(|at| str::from_utf8(&text[at..]).ok());
        end.is_some_and(|end| end.chars().count() == 1 && end.chars().all(char::is_whitespace))
    };
    while let Some(length) = (1..=3).find(|length| ends_in_space(text, *length)) {
        text = &text[..text.len() - length];
    }
    text
}

/// The path without `.`, doubled slashes, and `..` where something is before it. Source: Go's
/// `filepath.Clean`.
fn clean(path: &[u8]) -> Vec<u8> {
    let root: &[u8] = if path.starts_with(b"/") { b"/" } else { b"" };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    match [root, &parts.join(b"/".as_slice())].concat() {
        empty if empty.is_empty() => b".".to_vec(),
        cleaned => cleaned,
    }
}
