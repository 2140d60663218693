//! Arguments before the first `FROM`, and names that are made with them.

use std::collections::BTreeMap;

use super::lines::{BLANK, is_plain};

/// What is known of the arguments that `FROM` may use.
pub(super) struct Arguments<'a> {
    given: &'a BTreeMap<String, String>,
    /// `None` where engines may differ about the value.
    declared: BTreeMap<String, Option<String>>,
    /// An `ARG` was seen of which engines may differ about the name.
    is_anything_declared: bool,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(given: &'a BTreeMap<String, String>) -> Self {
        Self { given, declared: BTreeMap::new(), is_anything_declared: false }
    }

    /// Takes note of an `ARG` that surely is one. One that is declared twice has no value that is known.
    pub(super) fn declare(&mut self, text: &str) {
        let word = text.trim_matches(BLANK);
        let (name, default) = word.split_once('=').unwrap_or((word, ""));
        if !is_name(name) || word.contains(char::is_whitespace) {
            self.declare_anything();
            return;
        }
        let value = match self.given.get(name) {
            Some(given) => Some(given.clone()),
            None => literal(default),
        };
        let value = value.filter(|_| !self.declared.contains_key(name) && !is_engine_s(name));
        self.declared.insert(name.to_owned(), value);
    }

    /// From now on no argument is known.
    pub(super) fn declare_anything(&mut self) {
        self.is_anything_declared = true;
    }

    /// Whether a word may stand for something else than itself and nothing.
    pub(super) fn may_change(&self, word: &str) -> bool {
        let may_be = |part: &str| {
            // What stands in braces may have another value beside it.
            let (name, is_more) = match part.strip_prefix('{') {
                Some(braced) => braced.split_once('}').map_or((braced, true), |(name, _)| (name, !is_name(name))),
                None => (&part[..part.find(|c: char| !is_in_names(c)).unwrap_or(part.len())], false),
            };
            is_more || name.is_empty() || self.declared.contains_key(name) || is_engine_s(name)
        };
        word.contains('$') && (self.is_anything_declared || word.split('$').skip(1).any(may_be))
    }

    /// The name with all variables replaced; `None` where one is not known.
    pub(super) fn expand(&self, written: &str) -> Option<String> {
        if self.is_anything_declared && written.contains('$') {
            return None;
        }
        let mut name = String::new();
        let mut rest = written;
        while let Some((before, after)) = rest.split_once('$') {
            name.push_str(before);
            let (variable, default, after) = match after.strip_prefix('{') {
                Some(braced) => {
                    let (inner, after) = braced.split_once('}')?;
                    let (variable, default) = inner.split_once(":-").unwrap_or((inner, ""));
                    (variable, default, after)
                }
                None => {
                    let end = after.find(|c: char| !is_in_names(c)).unwrap_or(after.len());
                    (&after[..end], "", &after[end..])
                }
            };
            if !is_name(variable) || default.contains('$') {
                return None;
            }
            let value = self.declared.get(variable)?.as_deref()?;
            name.push_str(if value.is_empty() { default } else { value });
            rest = after;
        }
        name.push_str(rest);
        Some(name)
    }
}

/// Engines read no more than the digits of a name that begins with one.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(is_in_names)
}

fn is_in_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether an engine or Docker's command line may give it a value of its own.
///
/// Source: Docker's documentation, "Dockerfile reference", section "Automatic platform ARGs in the global
/// scope", and `buildMetaArgs`, which adds `TARGETSTAGE`.
fn is_engine_s(name: &str) -> bool {
    let is_proxy = name.to_ascii_uppercase().ends_with("_PROXY");
    is_proxy || name.starts_with("TARGET") || name.starts_with("BUILD")
}

/// A default without quotes around it; `None` where it is more than plain text.
fn literal(text: &str) -> Option<String> {
    let inner = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    let text = inner.unwrap_or(text);
    (is_plain(text) && !text.contains('$')).then(|| text.to_owned())
}
