//! The document under examination: its parts, those already known to be wrong, and the report.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::Seconds;

use super::raw::Span;
use super::report::Report;
use super::tree::{Document, steps};

/// One file while it is checked.
pub(super) struct Sheet<'a> {
    pub(super) document: &'a Document,
    /// Pointers of parts whose shape is wrong; nothing in them is looked at further.
    pub(super) bad: BTreeSet<String>,
    pub(super) report: &'a mut Report,
}

impl Sheet<'_> {
    /// Whether the shape of the part, and of everything in it, is right.
    pub(super) fn is_sound(&self, pointer: &str) -> bool {
        let beneath = format!("{pointer}/");
        !self.bad.contains(pointer)
            && self.bad.range(beneath.clone()..).next().is_none_or(|next| !next.starts_with(&beneath))
    }

    /// Whether a key of the mapping at the pointer is unknown, missing or has a bad value.
    pub(super) fn has_bad_key(&self, pointer: &str) -> bool {
        let beneath = format!("{pointer}/");
        let mut inner = self.bad.range(beneath.clone()..).map_while(|bad| bad.strip_prefix(&beneath));
        inner.any(|key| !key.contains('/'))
    }

    /// The part without what is wrong in it, so that the rest can be looked at.
    pub(super) fn pruned(&self, pointer: &str) -> Option<Value> {
        let mut value = self.document.value.pointer(pointer)?.clone();
        let beneath = format!("{pointer}/");
        for bad in self.bad.range(beneath.clone()..).take_while(|bad| bad.starts_with(&beneath)) {
            prune(&mut value, &steps(&bad[pointer.len()..]).collect::<Vec<_>>());
        }
        Some(value)
    }

    /// A part that is there and sound.
    pub(super) fn read<T: DeserializeOwned>(&mut self, pointer: &str) -> Option<T> {
        if !self.document.has(pointer) || !self.is_sound(pointer) {
            return None;
        }
        match T::deserialize(self.document.value.pointer(pointer)?) {
            Ok(part) => Some(part),
            Err(error) => {
                self.value(pointer, format!("this cannot be read: {error}"));
                None
            }
        }
    }

    /// Reports a problem with a value.
    pub(super) fn value(&mut self, pointer: &str, message: impl Into<String>) {
        self.report.add(self.document.value_at(pointer), pointer, message);
    }

    /// Reports a problem with a key, or with the whole of what it names.
    pub(super) fn key(&mut self, pointer: &str, message: impl Into<String>) {
        self.report.add(self.document.key_at(pointer), pointer, message);
    }

    /// Reads a span that may be zero, up to `most`.
    pub(super) fn span(&mut self, pointer: &str, text: &Span, most: Seconds) -> Seconds {
        match text.0.parse::<Seconds>() {
            Ok(span) if span <= most => span,
            Ok(_) => {
                self.value(pointer, format!("{} is too long: at most {most}", text.0));
                most
            }
            Err(message) => {
                self.value(pointer, message);
                most
            }
        }
    }

    /// Reads a span of at least a second, up to `most`.
    pub(super) fn positive_span(&mut self, pointer: &str, text: &Span, most: Seconds) -> Seconds {
        let span = self.span(pointer, text, most);
        if span == Seconds(0) {
            self.value(pointer, format!("{} is too short: at least 1s", text.0));
        }
        span
    }
}

/// Parts of a service that are nothing without one of their keys.
const HAS_REQUIRED: [&str; 2] = ["migrate", "local"];

/// Takes a part out. What cannot be without it goes as a whole: a list its item, a mapping a key
/// that was missing already.
fn prune(value: &mut Value, way: &[String]) -> Pruned {
    let Some((step, rest)) = way.split_first() else { return Pruned::Whole };
    match value {
        Value::Object(map) => match map.get_mut(step) {
            Some(inner) => {
                if prune(inner, rest) == Pruned::Whole || HAS_REQUIRED.contains(&step.as_str()) {
                    map.remove(step);
                }
                Pruned::Part
            }
            None => Pruned::Whole,
        },
        _ => Pruned::Whole,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pruned {
    Part,
    Whole,
}
