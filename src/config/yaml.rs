//! YAML, from bytes to nodes with their places.
//!
//! Guarantees: the work is bounded whatever the bytes are (size, depth and nodes are capped, and
//! what an alias brings in counts as if it were written out); no key stands twice in a mapping; no
//! tag, merge key or second document goes unnoticed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Number, Value};

use crate::model::Position;

use super::report::Report;
use super::tree::{START, shown};

/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// How deep lists and mappings may stand in each other.
const MAX_DEPTH: usize = 32;
/// The most keys and values a file may have, aliases written out.
const MAX_NODES: usize = 20_000;
/// A long text counts as one node more for each so many bytes, so that aliases cannot multiply it.
const BYTES_PER_NODE: usize = 64;
/// The longest key, in characters.
const MAX_KEY: usize = 128;

/// What becomes of merge keys, `<<`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merges {
    /// In files of our own.
    Refused,
    /// In files of others, as others read them. Source: YAML's "Merge Key Language-Independent Type".
    Applied,
}

/// Reads the bytes; what is wrong goes to the report. `None` when there is nothing to go on with.
pub(super) fn read(bytes: &[u8], merges: Merges, report: &mut Report) -> Option<Node> {
    let text = text_of(bytes, report)?;
    let last = end_of(text);
    let (open, anchors) = (Vec::new(), BTreeMap::new());
    Reader { text, last, merges, report, open, anchors, nodes: 0, root: None }.read()
}

fn text_of<'a>(bytes: &'a [u8], report: &mut Report) -> Option<&'a str> {
    if bytes.len() > MAX_BYTES {
        report.add(START, "", format!("the file has {} bytes; at most {MAX_BYTES} are read", bytes.len()));
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            report.add(end_of(&good), "", "this is not UTF-8 text: save the file as UTF-8");
            return None;
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        let code = text[at..].chars().next().map_or(0, u32::from);
        report.add(end_of(&text[..at]), "", format!("the control character U+{code:04X} may not stand in YAML"));
        return None;
    }
    Some(text)
}

fn end_of(text: &str) -> Position {
    // Source: YAML 1.2.2, section 5.4: a line ends with CR LF, CR or LF.
    let breaks = text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count() - text.matches("\r\n").count();
    let column = text.rsplit(['\n', '\r']).next().map_or(0, |last| last.chars().count());
    position(breaks + 1, column)
}

/// `line` counts from 1, `column` from 0, as the parser does.
fn position(line: usize, column: usize) -> Position {
    Position {
        line: u32::try_from(line.max(1)).unwrap_or(u32::MAX),
        column: u32::try_from(column + 1).unwrap_or(u32::MAX),
    }
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Position,
    /// Itself and everything in it.
    size: usize,
    depth: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// With what stands in the file, where that is no text: `1.10` is the number 1.1.
    Scalar(Value, String),
    List(Vec<Node>),
    Map(Vec<(String, Position, Node)>),
}

/// A list or mapping whose end was not read yet.
struct Open {
    at: Position,
    anchor: usize,
    body: Body,
}

enum Body {
    List(Vec<Node>),
    Map { entries: Vec<(String, Position, Node)>, seen: BTreeSet<String>, key: Option<Key>, merged: Vec<Node> },
}

/// A key whose value was not read yet.
enum Key {
    Good(String, Position),
    /// What is merged into the mapping.
    Merge,
    /// Was reported; its value is read and dropped.
    Refused,
}

struct Reader<'a, 'r> {
    text: &'a str,
    /// The end of the text, beyond which the parser sees one line more.
    last: Position,
    merges: Merges,
    report: &'r mut Report,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

/// The file cannot be read further; the report says why.
struct Stop;

impl Reader<'_, '_> {
    fn read(mut self) -> Option<Node> {
        let mut documents = 0;
        for event in Parser::new_from_str(self.text) {
            let (event, span) = match event {
                Ok(pair) => pair,
                Err(error) => {
                    self.syntax(&error);
                    return None;
                }
            };
            if matches!(event, Event::DocumentStart(_)) {
                documents += 1;
                if documents > 1 {
                    self.report.add(
                        self.start(span),
                        "",
                        "a second document begins here: keep one document in the file",
                    );
                    return None;
                }
            }
            let at = self.start(span);
            self.event(event, at).ok()?;
        }
        if self.root.is_none() {
            self.report.add(START, "", "the file is empty: it needs `version`, `app` and one of `services`");
        }
        self.root
    }

    fn start(&self, span: Span) -> Position {
        position(span.start.line(), span.start.col()).min(self.last)
    }

    fn syntax(&mut self, error: &ScanError) {
        let at = position(error.marker().line(), error.marker().col()).min(self.last);
        let line = usize::try_from(at.line).ok().and_then(|line| self.text.lines().nth(line - 1)).unwrap_or_default();
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        // The scanner runs ahead of our own count, and has a limit of its own.
        let message = if error.info().contains("recursion limit") {
            too_deep()
        } else if indent.contains('\t') {
            "a tab cannot indent YAML: use spaces".to_owned()
        } else {
            format!("this is not YAML: {}", error.info())
        };
        self.report.add(at, "", message);
    }

    fn event(&mut self, event: Event<'_>, at: Position) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), at),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::SequenceStart(anchor, tag) => self.begin(at, anchor, tag.as_deref(), Body::List(Vec::new())),
            Event::MappingStart(anchor, tag) => {
                let body = Body::Map { entries: Vec::new(), seen: BTreeSet::new(), key: None, merged: Vec::new() };
                self.begin(at, anchor, tag.as_deref(), body)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: Position,
    ) -> Result<(), Stop> {
        let size = 1 + text.len() / BYTES_PER_NODE;
        self.count(size, at)?;
        if text.contains('\0') {
            self.report.add(at, "", "this text holds a NUL character, which no program can be given");
        }
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !is_text {
            self.refuse_tag(tag, at);
        }
        if self.key(&text, at) {
            return Ok(());
        }
        let kind = if style == ScalarStyle::Plain && !is_text {
            Kind::Scalar(plain(&text), text.into_owned())
        } else {
            Kind::Scalar(Value::String(text.into_owned()), String::new())
        };
        self.put(Node { at, size, depth: 0, kind }, anchor);
        Ok(())
    }

    /// Takes the scalar as a key where a key is due.
    fn key(&mut self, text: &str, at: Position) -> bool {
        let Some(Open { body: Body::Map { key: key @ None, seen, .. }, .. }) = self.open.last_mut() else {
            return false;
        };
        if text == "<<" && self.merges == Merges::Applied {
            *key = Some(Key::Merge);
            return true;
        }
        let refusal = if text.chars().count() > MAX_KEY {
            Some(format!("this key has more than {MAX_KEY} characters"))
        } else if text == "<<" {
            Some("merge keys (`<<`) are not supported: write the keys out, or give an alias as a value".to_owned())
        } else if !seen.insert(text.to_owned()) {
            Some(format!("the key {} stands twice in this mapping: keep one", shown(text)))
        } else {
            None
        };
        *key = Some(if refusal.is_some() { Key::Refused } else { Key::Good(text.to_owned(), at) });
        if let Some(message) = refusal {
            self.report.add(at, "", message);
        }
        true
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Stop> {
        if self.wants_key() {
            self.report.add(at, "", "an alias cannot be a key");
            return Err(Stop);
        }
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.report.add(at, "", "this alias stands inside what it refers to");
            return Err(Stop);
        };
        self.count(node.size, at)?;
        if self.open.len() + node.depth > MAX_DEPTH {
            return self.too_deep(at);
        }
        self.put(node, 0);
        Ok(())
    }

    fn begin(&mut self, at: Position, anchor: usize, tag: Option<&Tag>, body: Body) -> Result<(), Stop> {
        self.count(1, at)?;
        self.refuse_tag(tag, at);
        if self.wants_key() {
            self.report.add(at, "", "a key must be plain text; a `{` that belongs to a text wants quotes around it");
            return Err(Stop);
        }
        if self.open.len() >= MAX_DEPTH {
            return self.too_deep(at);
        }
        self.open.push(Open { at, anchor, body });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        let Open { at, anchor, body } = self.open.pop().ok_or(Stop)?;
        let (children, kind): (Vec<(usize, usize)>, Kind) = match body {
            Body::List(items) => (items.iter().map(measure).collect(), Kind::List(items)),
            Body::Map { entries, seen, merged, .. } => {
                let entries = with_merged(entries, seen, merged);
                (entries.iter().map(|(_, _, node)| measure(node)).collect(), Kind::Map(entries))
            }
        };
        let size = 1 + children.iter().map(|(size, _)| size + 1).sum::<usize>();
        let depth = 1 + children.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
        self.put(Node { at, size, depth, kind }, anchor);
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.body) {
            None => self.root = Some(node),
            Some(Body::List(items)) => items.push(node),
            Some(Body::Map { entries, key, merged, .. }) => match key.take() {
                Some(Key::Good(key, at)) => entries.push((key, at, node)),
                Some(Key::Merge) => merged.push(node),
                Some(Key::Refused) | None => {}
            },
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { body: Body::Map { key: None, .. }, .. }))
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, at: Position) {
        if let Some(tag) = tag {
            self.report.add(at, "", format!("the tag {} is not supported: leave it out", shown(&tag.to_string())));
        }
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let message = format!("the file has more than {MAX_NODES} keys and values, counting what aliases repeat");
        self.report.add(at, "", message);
        Err(Stop)
    }

    fn too_deep(&mut self, at: Position) -> Result<(), Stop> {
        self.report.add(at, "", too_deep());
        Err(Stop)
    }
}

/// The entries with those that are merged in, where they are not there already: the first one counts.
fn with_merged(
    mut entries: Vec<(String, Position, Node)>,
    mut seen: BTreeSet<String>,
    merged: Vec<Node>,
) -> Vec<(String, Position, Node)> {
    let maps = merged.into_iter().flat_map(|node| match node.kind {
        Kind::List(items) => items,
        kind => vec![Node { kind, ..node }],
    });
    for map in maps {
        let Kind::Map(more) = map.kind else { continue };
        entries.extend(more.into_iter().filter(|(key, ..)| seen.insert(key.clone())));
    }
    entries
}

fn too_deep() -> String {
    format!("this stands more than {MAX_DEPTH} levels deep")
}

fn measure(node: &Node) -> (usize, usize) {
    (node.size, node.depth)
}

/// What an unquoted text means. Source: YAML 1.2.2, section 10.3.2 (core schema).
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let unsigned = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().filter(|number| *number >= 0);
    let whole = match text.get(..2) {
        Some("0o") => unsigned(&text[2..], 8),
        Some("0x") => unsigned(&text[2..], 16),
        _ => text.parse().ok(),
    };
    if let Some(whole) = whole {
        return Value::Number(whole.into());
    }
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    let fraction = if numeric && text.bytes().any(|b| b.is_ascii_digit()) { text.parse().ok() } else { None };
    fraction.and_then(Number::from_f64).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}
