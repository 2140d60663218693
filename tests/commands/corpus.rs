//! Reads the corpus: files of cases, in a form that people write by hand.
//!
//! ```text
//! %% case: what it shows
//! %% prefix: /gr            only where it is not `/`
//! %% ends: crlf             only where lines do not end in a line feed: crlf or cr
//! the comment, with \u{200b} for what nobody sees and \repeat{3}{/deploy\n} for what nobody writes
//! %% expect
//! 1 deploy stage=pr-42      each answered line: its number and its parse, or `misread:` and why
//! ```
//!
//! A case without an expected line is silent.

use std::collections::BTreeSet;
use std::path::Path;

use greenroom::decide::command::Known;
use greenroom::model::{Line, Prefix, Reading, ServiceName, StageName};
use serde_json::Value;

pub(crate) struct Case {
    /// The file's name and the case's own.
    pub(crate) name: String,
    pub(crate) class: String,
    pub(crate) prefix: Prefix,
    pub(crate) body: String,
    pub(crate) expected: Vec<String>,
}

/// Every case, in the order of files and lines.
pub(crate) fn corpus() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the corpus is there").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files
        .iter()
        .flat_map(|path| {
            let class = path.file_stem().expect("a name").to_string_lossy().into_owned();
            cases(&class, &std::fs::read_to_string(path).expect("readable"))
        })
        .collect()
}

fn cases(class: &str, text: &str) -> Vec<Case> {
    let mut cases = text.split("%% case: ");
    assert_eq!(cases.next().map(str::trim), Some(""), "{class} begins with a case");
    cases.map(|case| read_case(class, case)).collect()
}

fn read_case(class: &str, text: &str) -> Case {
    let (title, mut rest) = text.split_once('\n').expect("a name ends with its line");
    let name = format!("{class}: {title}");
    let mut option = |key: &str| {
        let (value, behind) = rest.strip_prefix(key)?.split_once('\n')?;
        rest = behind;
        Some(value.trim().to_owned())
    };
    let prefix = option("%% prefix: ").map_or_else(Prefix::default, |text| Prefix::new(&text).expect(&name));
    let ends = option("%% ends: ");
    let (body, expected) = rest.split_once("%% expect\n").unwrap_or_else(|| panic!("{name} expects nothing"));
    let body = written_out(body.strip_suffix('\n').unwrap_or(body));
    let body = match ends.as_deref() {
        None => body,
        Some("crlf") => body.replace('\n', "\r\n"),
        Some("cr") => body.replace('\n', "\r"),
        Some(other) => panic!("{name} ends its lines with {other}"),
    };
    let expected = expected.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    Case { name, class: class.to_owned(), prefix, body, expected }
}

/// Replaces `\u{hex}`, then `\repeat{times}{text}`.
fn written_out(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\u{") {
        let (hex, after) = after.split_once('}').expect("a code point ends");
        shown.push_str(before);
        shown.extend(char::from_u32(u32::from_str_radix(hex, 16).expect("hexadecimal")));
        rest = after;
    }
    shown.push_str(rest);
    let mut written = String::new();
    let mut rest = shown.as_str();
    while let Some((before, after)) = rest.split_once("\\repeat{") {
        let (times, after) = after.split_once("}{").expect("a number of times");
        let (repeated, after) = after.split_once('}').expect("a text to repeat");
        written.push_str(before);
        written.push_str(&repeated.replace("\\n", "\n").repeat(times.parse().expect("a number")));
        rest = after;
    }
    written.push_str(rest);
    written
}

/// What the comments of the corpus can name.
pub(crate) fn known() -> Known {
    Known {
        stages: names(&["prod", "staging", "dev", "pr-42", "feature-auth", "docs"], |name| StageName::new(name).ok()),
        services: names(&["web", "api", "worker", "docs"], |name| ServiceName::new(name).ok()),
    }
}

fn names<T: Ord>(names: &[&str], named: impl Fn(&str) -> Option<T>) -> BTreeSet<T> {
    names.iter().map(|name| named(name).expect("a valid name")).collect()
}

/// A line as the corpus writes it.
pub(crate) fn shown(line: &Line) -> String {
    match &line.reading {
        Reading::Misread(misread) => format!("{} misread: {misread}", line.number),
        Reading::Run(command) => {
            let value = serde_json::to_value(command).expect("a command is stored");
            let fields = value.as_object().expect("a command has fields");
            let mut text = format!("{} {}", line.number, command.verb());
            for (key, value) in fields.iter().filter(|(key, _)| *key != "command") {
                let value = value_shown(value);
                if !value.is_empty() {
                    text.extend([" ", key, "=", &value]);
                }
            }
            text
        }
    }
}

fn value_shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains(' ') => format!("{text:?}"),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(value_shown).collect::<Vec<_>>().join(","),
        Value::Object(fields) => fields.values().map(value_shown).collect(),
        other => other.to_string(),
    }
}
