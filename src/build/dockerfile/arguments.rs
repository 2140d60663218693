//! Arguments before the first `FROM`, and names that are made with them.

use std::collections::BTreeMap;

use super::lines::words;

/// What is known of the arguments that `FROM` may use.
pub(super) struct Arguments<'a> {
    given: &'a BTreeMap<String, String>,
    /// `None` where engines may differ about the value.
    declared: BTreeMap<String, Option<String>>,
}

impl<'a> Arguments<'a> {
    pub(super) fn new(given: &'a BTreeMap<String, String>) -> Self {
        Self { given, declared: BTreeMap::new() }
    }

    /// Takes note of an `ARG`. One that is declared twice, or where some engine may see no instruction,
    /// has no value that is known.
    pub(super) fn declare(&mut self, text: &str, is_certain: bool) {
        for word in text.split_whitespace() {
            let (name, default) = word.split_once('=').unwrap_or((word, ""));
            let name = words(name).concat();
            let value = match self.given.get(&name) {
                Some(given) => Some(given.clone()),
                None => literal(default),
            };
            let value = value.filter(|_| is_certain && !self.declared.contains_key(&name));
            self.declared.insert(name, value);
        }
    }

    /// The name with all variables replaced; `None` where one is not known.
    pub(super) fn expand(&self, written: &str) -> Option<String> {
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
                    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                    (&after[..end], "", &after[end..])
                }
            };
            let is_name = !variable.is_empty() && variable.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !is_name || default.contains('$') {
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

/// A default without quotes around it; `None` where it is more than plain text.
fn literal(text: &str) -> Option<String> {
    let inner = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    let text = inner.unwrap_or(text);
    (!text.contains(['"', '\'', '\\', '`', '$'])).then(|| text.to_owned())
}
