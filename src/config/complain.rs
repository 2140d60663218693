//! Says in words what the JSON Schema refuses: one problem for each mistake, at its place.

use std::collections::BTreeSet;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::report::Report;
use super::schema::{schema_ref, validator};
use super::tree::{Document, SHOWN, below, shown, steps};

/// Characters of a path that are looked at one by one: more than it may have.
const MOST_LOOKED_AT: usize = 1100;

/// The title of what is a path of an address.
const PATH: &str = "a path that begins with `/`";

/// What is planned but not there yet, with what to write meanwhile.
const NOT_YET: [(&str, &[&str]); 1] = [("kind", &["lambda", "static"])];

/// Checks the document's shape. The pointers of all parts that are wrong come back, so that only
/// sound parts are looked at further.
pub(super) fn check_shape(document: &Document, report: &mut Report) -> BTreeSet<String> {
    let mut bad = BTreeSet::new();
    let Some(validator) = validator() else { return bad };
    for error in validator.iter_errors(&document.value) {
        let pointer = error.instance_path().as_str().to_owned();
        let rule = rule_of(&error);
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for key in unexpected {
                    let place = below(&pointer, key);
                    report.add(document.key_at(&place), &place, unknown_key(key, rule));
                    bad.insert(place);
                }
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let place = below(&pointer, key);
                report.add(document.key_at(&pointer), &place, missing_key(key, rule));
                bad.insert(place);
            }
            // A value is wrong once, however many rules it breaks.
            _ if bad.contains(&pointer) => {}
            _ => {
                report.add(
                    document.value_at(&pointer),
                    &pointer,
                    wrong_value(document, &pointer, error.instance(), rule),
                );
                bad.insert(pointer);
            }
        }
    }
    bad
}

/// The part of the schema that holds the keyword that failed.
fn rule_of(error: &ValidationError<'_>) -> &'static Value {
    let path = error.schema_path().as_str();
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    schema_ref().pointer(parent).unwrap_or(&Value::Null)
}

fn unknown_key(key: &str, rule: &Value) -> String {
    let known: Vec<&str> = rule
        .get("properties")
        .and_then(Value::as_object)
        .map(|map| map.keys().map(String::as_str).collect())
        .unwrap_or_default();
    match nearest(key, &known) {
        Some(near) => format!("unknown key {}: did you mean `{near}`?", code(key)),
        None => format!("unknown key {}: the keys here are {}", code(key), listed(&known, "and")),
    }
}

/// The word that was most likely meant.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // Longer than any of ours: not a slip of the keyboard, and not worth the comparison.
    if word.chars().count() > 40 {
        return None;
    }
    let word = word.to_lowercase();
    let (distance, near) = known.iter().map(|near| (strsim::damerau_levenshtein(&word, near), *near)).min()?;
    (distance <= near.len().div_ceil(3).min(3)).then_some(near)
}

fn missing_key(key: &str, rule: &Value) -> String {
    let meaning = rule.pointer(&below("/properties", key)).and_then(|part| part.get("description"));
    match meaning.and_then(Value::as_str) {
        Some(meaning) => format!("`{key}` is missing: {}", first_sentence(meaning)),
        None => format!("`{key}` is missing"),
    }
}

fn first_sentence(text: &str) -> String {
    let sentence = text.split_inclusive('.').next().unwrap_or(text).trim_end_matches('.');
    let mut chars = sentence.chars();
    let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    if chars.clone().next().is_some_and(char::is_uppercase) { sentence.to_owned() } else { first + chars.as_str() }
}

fn wrong_value(document: &Document, pointer: &str, value: &Value, rule: &Value) -> String {
    let written = document.written(pointer);
    let key = steps(pointer).filter(|step| step.parse::<usize>().is_err()).last();
    let Some(mut name) = key.as_deref().map(code) else {
        return format!("the file must be a mapping with `version`, `app` and `services`, not {}", got(value, written));
    };
    if pointer.rsplit('/').next().is_some_and(|last| last.parse::<usize>().is_ok()) {
        name = format!("each item of {name}");
    }
    if let (Some(key), Value::String(word)) = (key.as_deref(), value)
        && NOT_YET.iter().any(|(of, words)| *of == key && words.contains(&word.as_str()))
    {
        return format!("{name}: `{word}` is not available yet; for now it must be {}", expected(rule));
    }
    if let Some(flaw) = value.as_str().and_then(|text| flaw_of_path(text, rule)) {
        return format!("{name} {flaw}");
    }
    // What stands there may be the secret itself.
    let is_secret = steps(pointer).any(|step| step == "secrets") && !value.is_null();
    let given = if is_secret { kind(value).to_owned() } else { got(value, written) };
    let mut message = format!("{name} must be {}, not {given}", expected(rule));
    let (words, choices) = (value.as_str(), choices(rule));
    let choices: Vec<&str> = choices.iter().filter_map(|choice| choice.as_str()).collect();
    if let Some(near) = words.filter(|_| choices.len() > 1).and_then(|word| nearest(word, &choices)) {
        message = format!("{message}: did you mean `{near}`?");
    } else if written.is_some_and(|written| jsonschema::is_valid(rule, &Value::from(written))) {
        message = format!("{message}: put it in quotes");
    } else if value.is_null() && rule.get("type") == Some(&Value::from("object")) {
        message = format!("{message}: write `{{}}` for the defaults, or take the key out");
    }
    message
}

/// What a schema asks for, in words.
pub(super) fn expected(rule: &Value) -> String {
    let number = |keyword: &str| rule.get(keyword).and_then(Value::as_i64);
    let choices = choices(rule);
    if !choices.is_empty() {
        let words: Vec<String> =
            choices.iter().map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned)).collect();
        return listed(&words.iter().map(String::as_str).collect::<Vec<_>>(), "or");
    }
    if let Some(title) = rule.get("title").and_then(Value::as_str) {
        return title.to_owned();
    }
    match rule.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => match (number("minimum"), number("maximum")) {
            (Some(min), Some(max)) if min == max => format!("{min}"),
            (Some(min), Some(max)) => format!("a number from {min} to {max}"),
            (Some(min), None) => format!("a number of at least {min}"),
            _ => "a number".to_owned(),
        },
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("string") => match (number("minLength"), number("maxLength")) {
            (Some(min), Some(max)) => format!("a text of {min} to {max} characters"),
            (Some(_), None) => "a text that is not empty".to_owned(),
            _ => "a text".to_owned(),
        },
        Some("array") if number("maxItems").is_some() => {
            format!("a list of at most {} items", number("maxItems").unwrap_or_default())
        }
        Some("array") if number("minItems").is_some() => "a list with at least one item".to_owned(),
        Some("array") => "a list".to_owned(),
        _ => match (number("minProperties"), number("maxProperties")) {
            (Some(min), Some(max)) => format!("a mapping with {min} to {max} keys"),
            (None, Some(max)) => format!("a mapping with at most {max} keys"),
            _ => "a mapping of keys to values".to_owned(),
        },
    }
}

fn choices(rule: &Value) -> Vec<&Value> {
    if let Some(list) = rule.get("enum").and_then(Value::as_array) {
        return list.iter().collect();
    }
    if let Some(only) = rule.get("const") {
        return vec![only];
    }
    rule.get("oneOf").and_then(Value::as_array).map(|list| list.iter().flat_map(choices).collect()).unwrap_or_default()
}

/// What is wrong with a path that does begin with `/`.
fn flaw_of_path(text: &str, rule: &Value) -> Option<String> {
    let is_path = rule.get("title").and_then(Value::as_str) == Some(PATH);
    let inside = text.strip_prefix('/').filter(|_| is_path)?;
    let validator = jsonschema::validator_for(rule).ok()?;
    let odd = inside.chars().take(MOST_LOOKED_AT).find(|c| !validator.is_valid(&Value::from(format!("/{c}"))));
    Some(match odd {
        Some('#') => "holds `#`, and what follows that is never sent: leave it out".to_owned(),
        Some(c) => {
            let sent = utf8_percent_encode(c.encode_utf8(&mut [0; 4]), NON_ALPHANUMERIC).to_string();
            let what = if c == ' ' { "a space".to_owned() } else { shown(&c.to_string()) };
            format!("holds {what}, which no path can: write `{sent}` in its place")
        }
        None => format!("has {} characters: that is too long", text.chars().count()),
    })
}

/// A value by its kind alone.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn got(value: &Value, written: Option<&str>) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::Bool(_) | Value::Number(_) => {
            written.map_or_else(|| value.to_string(), |written| written.chars().take(SHOWN).collect())
        }
        Value::String(text) => shown(text),
        Value::Array(list) if list.is_empty() => "an empty list".to_owned(),
        Value::Array(list) => format!("a list of {}", counted(list.len(), "item")),
        Value::Object(map) if map.is_empty() => "an empty mapping".to_owned(),
        Value::Object(map) => format!("a mapping with {}", counted(map.len(), "key")),
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// `a`, `b` or `c`
pub(super) fn listed(words: &[&str], joint: &str) -> String {
    match words {
        [] => String::new(),
        [only] => code(only),
        [most @ .., last] => {
            format!("{} {joint} {}", most.iter().map(|word| code(word)).collect::<Vec<_>>().join(", "), code(last))
        }
    }
}

/// A word of the file as code. What could end the code, or fill the page, is escaped and cut.
pub(super) fn code(word: &str) -> String {
    let plain = word.chars().count() <= 60 && word.chars().all(|c| !c.is_control() && c != '`');
    if plain { format!("`{word}`") } else { shown(word) }
}
