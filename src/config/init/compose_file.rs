//! A compose file as compose puts it together: merged mappings, the file that it lays over it, and services
//! that extend others of the same file.
//!
//! Source: the Compose specification, its pages "Fragments", "Merge" and "Extends"; compose-go,
//! `DefaultFileNames` and `DefaultOverrideFileNames`.

use serde_json::{Map, Value, json};

use super::{Files, LeftOut};
use crate::config::report::Report;
use crate::config::tree;

/// In the order in which compose looks for them.
pub(super) const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// What it lays over the first one, in the same order.
pub(super) const OVERRIDES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];
/// So many services may stand on each other.
const MOST_EXTENDED: usize = 8;

/// The services of a file.
#[derive(Debug)]
pub(super) struct ComposeFile {
    pub(super) name: &'static str,
    /// In the order of the file.
    pub(super) services: Vec<String>,
    all: Map<String, Value>,
}

/// The file of a repository, with what lies over it.
pub(super) fn read(files: &Files<'_>, left_out: &mut LeftOut) -> Option<ComposeFile> {
    let mut file = part(files, &NAMES, left_out)?;
    if let Some(over) = part(files, &OVERRIDES, left_out) {
        file.all = laid(&file.all, &over.all);
        let new: Vec<String> = over.services.into_iter().filter(|name| !file.services.contains(name)).collect();
        file.services.extend(new);
    }
    Some(file)
}

/// The first of these files that is there.
fn part(files: &Files<'_>, names: &[&'static str], left_out: &mut LeftOut) -> Option<ComposeFile> {
    let (name, bytes) = names.iter().find_map(|name| Some((*name, files.bytes(name)?)))?;
    let mut report = Report::default();
    let Some(document) = tree::read_merged(bytes, &mut report) else {
        let problems = report.finish(name).problems;
        let why = problems.first().map_or_else(|| "it cannot be read".to_owned(), ToString::to_string);
        left_out.add(name, "all", &why);
        return None;
    };
    for problem in report.finish(name).problems {
        left_out.add(name, "a part", &problem.to_string());
    }
    if document.value.get("include").is_some() {
        left_out.add(name, "`include`", "the files that it names are not read");
    }
    let mut all = document.value.get("services").and_then(Value::as_object).cloned().unwrap_or_default();
    all.values_mut().filter_map(Value::as_object_mut).for_each(write_out);
    Some(ComposeFile { name, services: document.keys("/services").to_vec(), all })
}

/// `build: app` is short for `build: { context: app }`.
fn write_out(service: &mut Map<String, Value>) {
    let context = service.get("build").and_then(Value::as_str).map(str::to_owned);
    if let Some(context) = context {
        service.insert("build".to_owned(), json!({ "context": context }));
    }
}

impl ComposeFile {
    /// A service with what it stands on, or why it cannot be told.
    pub(super) fn service(&self, name: &str) -> Result<Map<String, Value>, String> {
        self.extended(name, MOST_EXTENDED)
    }

    fn extended(&self, name: &str, deep: usize) -> Result<Map<String, Value>, String> {
        let own = self.all.get(name).and_then(Value::as_object).ok_or_else(|| format!("`{name}` is no mapping"))?;
        let is_other = |file: &Value| file.as_str().map(|file| file.trim_start_matches("./")) != Some(self.name);
        let base = match own.get("extends") {
            None => return Ok(own.clone()),
            Some(Value::String(base)) => base.as_str(),
            Some(base) if base.get("file").is_some_and(is_other) => {
                return Err("it extends a service of another file, which is not read: write its `build` out".to_owned());
            }
            Some(base) => base.get("service").and_then(Value::as_str).ok_or("what it extends is not named")?,
        };
        let deep = deep.checked_sub(1).ok_or("services extend each other without an end")?;
        Ok(laid(&self.extended(base, deep)?, own))
    }
}

/// One mapping laid over another: mappings in them are laid over each other too, lists follow each other, and
/// of everything else the upper one counts.
fn laid(under: &Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    let mut all = under.clone();
    for (key, value) in over {
        let value = match (under.get(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => Value::Object(laid(under, over)),
            (Some(Value::Array(under)), Value::Array(over)) => {
                Value::Array(under.iter().chain(over).cloned().collect())
            }
            _ => value.clone(),
        };
        all.insert(key.clone(), value);
    }
    all
}
