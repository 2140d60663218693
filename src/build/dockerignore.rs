//! `.dockerignore`, as far as it decides what belongs to an image's content.
//!
//! # Guarantees
//!
//! - A file that any version of Docker sends to the engine counts as content: where versions
//!   disagree or a pattern cannot be read, excluding rules match less and readmitting ones more.
//!   The worst outcome is a build that was not needed, never an image that is out of date.
//!
//! Source: Docker's documentation, "Build context", section ".dockerignore files": Go's
//! `filepath.Match`, `**` for any number of folders, `!` for exceptions, the last match decides,
//! and a match of a folder is one of everything in it.

use std::path::Path;

use regex::Regex;

/// What a rule does with the paths that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Exclude,
    Readmit,
}

#[derive(Debug)]
struct Rule {
    pattern: Regex,
    effect: Effect,
}

/// The rules of one file, in its order.
#[derive(Debug, Default)]
pub(super) struct DockerIgnore(Vec<Rule>);

impl DockerIgnore {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
        Self(lines.filter(|line| !line.starts_with('#')).filter_map(rule).collect())
    }

    /// Whether a path, relative to the context, is left out of it.
    pub(super) fn excludes(&self, path: &Path) -> bool {
        let prefixes: Vec<_> =
            path.ancestors().filter(|part| *part != Path::new("")).map(Path::to_string_lossy).collect();
        let decisive = self.0.iter().rev().find(|rule| prefixes.iter().any(|part| rule.pattern.is_match(part)));
        decisive.is_some_and(|rule| rule.effect == Effect::Exclude)
    }
}

fn rule(line: &str) -> Option<Rule> {
    let line = line.trim();
    let (effect, line) = match line.strip_prefix('!') {
        Some(rest) => (Effect::Readmit, rest.trim()),
        None => (Effect::Exclude, line),
    };
    let cleaned = clean(line);
    if cleaned.is_empty() {
        return None;
    }
    match (Regex::new(&translate(&cleaned, effect)), effect) {
        (Ok(pattern), effect) => Some(Rule { pattern, effect }),
        (Err(_), Effect::Exclude) => None,
        (Err(_), Effect::Readmit) => Regex::new("").ok().map(|pattern| Rule { pattern, effect }),
    }
}

/// The pattern without `.`, `..`, doubled and outer slashes.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The pattern as a regular expression over whole paths.
fn translate(pattern: &str, effect: Effect) -> String {
    let mut regex = String::from("(?s)^");
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**") {
            let folders = after.strip_prefix('/');
            // A leading `**.md` means any file ending so to newer versions, a folder to older ones.
            let wide = effect == Effect::Readmit && folders.is_none();
            regex.push_str(if after.is_empty() || wide { ".*" } else { "(.*/)?" });
            rest = folders.unwrap_or(after);
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => rest = class(rest, &mut regex),
            '\\' => {
                let escaped = rest.chars().next().unwrap_or('\\');
                rest = rest.get(escaped.len_utf8()..).unwrap_or("");
                regex.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
            }
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    regex + "$"
}

/// Translates a character class whose `[` is behind us, and answers what follows it. One that is
/// never closed stays so, which is an error of the expression, as it is one in Docker.
fn class<'a>(text: &'a str, regex: &mut String) -> &'a str {
    regex.push('[');
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ']' => {
                regex.push(']');
                return &text[at + 1..];
            }
            '\\' => {
                let escaped = chars.next().map_or('\\', |(_, escaped)| escaped);
                regex.push('\\');
                regex.push(escaped);
            }
            '^' | '-' => regex.push(c),
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_left_out_as_docker_documents_it() {
        let cases: [(&str, &[&str], &[&str]); 15] = [
            ("", &[], &["a", "a/b"]),
            ("# node_modules\n\n  \n", &[], &["node_modules/x", "# node_modules"]),
            ("node_modules", &["node_modules", "node_modules/a/b"], &["web/node_modules/a", "node_modules2"]),
            ("/dist/", &["dist/a"], &["web/dist/a"]),
            ("./a//b/../c", &["a/c"], &["a/b", "a/b/c"]),
            ("*/temp*", &["a/temporary.txt", "a/temp/x"], &["temp", "a/b/temp"]),
            ("temp?", &["tempa", "tempb/x"], &["temp", "tempab"]),
            ("**/*.log", &["x.log", "a/x.log", "a/b/x.log"], &["x.logs", "a/log"]),
            ("a/**", &["a/b", "a/b/c"], &["b/a"]),
            ("a/**/z", &["a/z", "a/b/z", "a/b/c/z", "a/z/deeper"], &["a/zz", "z"]),
            ("*.md\n!README.md", &["CHANGES.md"], &["README.md", "doc/a.md"]),
            ("doc\n!doc/keep", &["doc/a", "doc/keeper"], &["doc/keep", "doc/keep/a"]),
            ("!a\na", &["a"], &["b"]),
            ("[a-c]x\n[^d]y\n\\*z", &["bx", "ey", "*z"], &["dx", "dy", "az"]),
            ("\u{feff}a.b+c(d){e}", &["a.b+c(d){e}"], &["aXb+c(d){e}", "a.bbc(d){e}"]),
        ];
        for (text, left_out, kept) in cases {
            let rules = DockerIgnore::parse(text);
            for path in left_out {
                assert!(rules.excludes(Path::new(path)), "{text:?} leaves out {path}");
            }
            for path in kept {
                assert!(!rules.excludes(Path::new(path)), "{text:?} keeps {path}");
            }
        }
    }

    #[test]
    fn what_versions_disagree_on_counts_as_content() {
        let kept = [("**.md", "a/b.md"), ("*\n!**.md", "a/b.md"), ("[a", "a"), ("*\n![a", "b"), ("[a&&b]c\n!\\", "x")];
        for (text, path) in kept {
            assert!(!DockerIgnore::parse(text).excludes(Path::new(path)), "{text:?} keeps {path}");
        }
    }
}
