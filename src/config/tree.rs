//! A file as a value that remembers where each part of it stood.
//!
//! Guarantees: every part of the value can be traced to its line and column, and the keys of every
//! mapping keep the order of the file.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::Position;

use super::report::Report;
use super::yaml::{self, Kind, Merges, Node};

/// A text of the file that is repeated in a message is cut to this many characters.
pub(super) const SHOWN: usize = 60;

/// Where a node stands.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// Its key, or itself in a list.
    key: Position,
    value: Position,
}

/// A whole file: its value, and where each part of it stands. Parts are named by JSON pointers.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    marks: BTreeMap<String, Mark>,
    keys: BTreeMap<String, Vec<String>>,
    /// Numbers, and `true` and `false`, as they stand in the file.
    written: BTreeMap<String, String>,
}

impl Document {
    /// Where the value at the pointer stands; for a part that is not there, what encloses it.
    pub(super) fn value_at(&self, pointer: &str) -> Position {
        self.mark(pointer).value
    }

    /// Where the key of the part at the pointer stands.
    pub(super) fn key_at(&self, pointer: &str) -> Position {
        self.mark(pointer).key
    }

    fn mark(&self, pointer: &str) -> Mark {
        let mut pointer = pointer;
        loop {
            if let Some(mark) = self.marks.get(pointer) {
                return *mark;
            }
            match pointer.rsplit_once('/') {
                Some((parent, _)) => pointer = parent,
                None => return Mark { key: START, value: START },
            }
        }
    }

    /// The keys of the mapping at the pointer, in the order of the file.
    pub(super) fn keys(&self, pointer: &str) -> &[String] {
        self.keys.get(pointer).map_or(&[], Vec::as_slice)
    }

    /// What stands at the pointer, where that is a number, `true` or `false`.
    pub(super) fn written(&self, pointer: &str) -> Option<&str> {
        self.written.get(pointer).map(String::as_str)
    }

    /// Whether the file itself has a part at the pointer.
    pub(super) fn has(&self, pointer: &str) -> bool {
        self.marks.contains_key(pointer)
    }
}

/// The first character of a file.
pub(super) const START: Position = Position { line: 1, column: 1 };

/// One step further down a JSON pointer. Source: RFC 6901, section 3.
pub(super) fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The keys along a JSON pointer.
pub(super) fn steps(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
}

/// Text from the file, fit for a message: in quotes, escaped, cut.
pub(super) fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

/// Reads the bytes; what is wrong goes to the report. `None` when there is nothing to go on with.
pub(super) fn read(bytes: &[u8], report: &mut Report) -> Option<Document> {
    yaml::read(bytes, Merges::Refused, report).map(take_in)
}

/// The same for a file of somebody else, in which merge keys are applied.
pub(super) fn read_merged(bytes: &[u8], report: &mut Report) -> Option<Document> {
    yaml::read(bytes, Merges::Applied, report).map(take_in)
}

fn take_in(root: Node) -> Document {
    let (marks, keys, written) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut document = Document { value: Value::Null, marks, keys, written };
    document.value = document.take(root, "", START);
    document
}

impl Document {
    /// Takes a node in, and gives its value back.
    fn take(&mut self, node: Node, pointer: &str, key: Position) -> Value {
        self.marks.insert(pointer.to_owned(), Mark { key, value: node.at });
        match node.kind {
            Kind::Scalar(value, written) => {
                if matches!(value, Value::Bool(_) | Value::Number(_)) {
                    self.written.insert(pointer.to_owned(), written);
                }
                value
            }
            Kind::List(items) => {
                let item = |(index, item): (usize, Node)| {
                    let at = item.at;
                    self.take(item, &below(pointer, &index.to_string()), at)
                };
                Value::Array(items.into_iter().enumerate().map(item).collect())
            }
            Kind::Map(entries) => {
                let mut map = Map::new();
                self.keys.insert(pointer.to_owned(), entries.iter().map(|(name, _, _)| name.clone()).collect());
                for (name, at, child) in entries {
                    let value = self.take(child, &below(pointer, &name), at);
                    map.insert(name, value);
                }
                Value::Object(map)
            }
        }
    }
}
