//! The services of a compose file that are built from the repository, read as compose reads them: its
//! variables, and ranges of ports, in either way of writing them.
//!
//! Source: the Compose specification, its pages on services, build and interpolation. The crates that read it
//! lie under a licence that a binary cannot be given away with (`compose_spec`), or stand on a reader of YAML
//! that nobody keeps any more (`docker-compose-types`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::dockerfile::{Exposed, exposed, first_port, told_of};
use super::expand::expand;
use super::{Build, Files, Found, LeftOut, compose_file};
use crate::config::text;

/// What services have there and a first file does not say, with what to do.
const UNTOLD: [(&str, &str); 8] = [
    ("command", "here the image's own counts: give the build a `target` that starts so"),
    ("entrypoint", "here the image's own counts: give the build a `target` that starts so"),
    ("environment", "write it under `env`, and what is secret under `secrets`"),
    ("env_file", "write what it holds under `env`, and what is secret under `secrets`"),
    (
        "volumes",
        "here nothing is mounted, and a copy keeps nothing: what must stay belongs into a database or a bucket",
    ),
    ("secrets", "name each under `secrets` with the store that has it"),
    ("configs", "put the files into the image"),
    ("depends_on", "name those of them that are services here under `needs`"),
];

/// What is read, whatever the file holds besides.
pub(super) fn services(files: &Files<'_>, left_out: &mut LeftOut) -> Vec<Found> {
    let Some(file) = compose_file::read(files, left_out) else { return Vec::new() };
    let mut found = Vec::new();
    for name in &file.services {
        match file.service(name).and_then(|service| Ok((built(name, &service, files)?, untold(&service)))) {
            Ok((service, untold)) => {
                found.push(service);
                for (key, why) in untold {
                    left_out.add(file.name, &format!("`{key}` of {name}"), why);
                }
            }
            Err(why) => left_out.add(file.name, name, &why),
        }
    }
    found
}

fn untold(service: &Map<String, Value>) -> Vec<(&'static str, &'static str)> {
    let is_there = |value: &Value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    UNTOLD.into_iter().filter(|(key, _)| service.get(*key).is_some_and(is_there)).collect()
}

/// One service, or why it is none of the app's.
fn built(name: &str, service: &Map<String, Value>, files: &Files<'_>) -> Result<Found, String> {
    let Some(Value::Object(build)) = service.get("build") else {
        let image = service.get("image").and_then(Value::as_str).map_or(String::new(), |image| format!(" ({image})"));
        return Err(format!("it is an image{image}, and a service here is built from the repository"));
    };
    if build.contains_key("dockerfile_inline") {
        return Err("its Dockerfile stands in the compose file: give it a file of its own".to_owned());
    }
    let context = path(build.get("context"), ".")?;
    let dockerfile = path(build.get("dockerfile"), "Dockerfile")?;
    let target = build.get("target").and_then(Value::as_str).and_then(filled);
    let mut notes = Vec::new();
    let args = arguments(build.get("args"));
    let is_told = |name: &String| text::variable(name).is_none();
    if count(build.get("args")) > args.keys().filter(|name| is_told(name)).count() {
        notes.push("some of its build arguments have no value here".to_owned());
    }
    if target.is_none() && build.get("target").is_some_and(|target| !target.is_null()) {
        notes.push("the stage that its build names has no value here".to_owned());
    }
    for key in ["additional_contexts", "secrets", "ssh"].into_iter().filter(|key| count(build.get(*key)) > 0) {
        notes.push(format!("its build has `{key}` in compose, which builds here do not have"));
    }
    if count(service.get("profiles")) > 0 {
        notes.push("compose starts it only where one of its profiles is asked for".to_owned());
    }
    let port = port(service, &mut notes).or_else(|| {
        match exposed_by(files, &file_of(&context, &dockerfile), target.as_deref(), &args) {
            Exposed::Port(port, others) => {
                notes.extend(told_of(&others));
                Some(port)
            }
            Exposed::Nothing => None,
            Exposed::Unclear(why) => {
                notes.push(why);
                None
            }
        }
    });
    let port = port.or_else(|| guessed(service, &mut notes));
    let args = args.into_iter().filter(|(name, _)| is_told(name)).collect();
    let build = Some(Build { context, dockerfile, target, args });
    Ok(Found { name: name.to_owned(), build, port, notes, ..Found::default() })
}

/// How many a list or a mapping has.
fn count(written: Option<&Value>) -> usize {
    match written {
        Some(Value::Object(map)) => map.len(),
        Some(Value::Array(list)) => list.len(),
        _ => 0,
    }
}

/// Where a Dockerfile lies that a build names inside of its context.
pub(super) fn file_of(context: &str, dockerfile: &str) -> String {
    if context == "." { dockerfile.to_owned() } else { format!("{context}/{dockerfile}") }
}

/// What a Dockerfile of the repository exposes.
pub(super) fn exposed_by(
    files: &Files<'_>,
    path: &str,
    target: Option<&str>,
    args: &BTreeMap<String, String>,
) -> Exposed {
    files.text(path).map_or(Exposed::Nothing, |text| exposed(text, target, args))
}

/// A path inside of the repository, its variables filled in.
fn path(written: Option<&Value>, default: &str) -> Result<String, String> {
    let written = written.and_then(Value::as_str).unwrap_or(default);
    let Some(path) = filled(written) else { return Err(format!("{written:?} has a variable without a value here")) };
    if is_elsewhere(&path) {
        return Err(format!("it is built from {path:?}, which is not in the repository"));
    }
    text::inside(&path)
}

/// Whether Docker would fetch it. Source: `BuildKit`'s `gitutil.ParseGitRef`: by a scheme, by `git@host:path`, or
/// from GitHub.
fn is_elsewhere(path: &str) -> bool {
    let over_ssh = path.split_once(':').is_some_and(|(host, _)| host.contains('@') && !host.contains('/'));
    path.contains("://") || over_ssh || path.starts_with("github.com/")
}

/// Without the environment of whoever calls compose, and without `.env`, which is not read: it holds secrets.
fn filled(text: &str) -> Option<String> {
    expand(text, &|_| None)
}

/// The first port that the container is asked at.
fn port(service: &Map<String, Value>, notes: &mut Vec<String>) -> Option<u16> {
    let mut found = Vec::new();
    for key in ["ports", "expose"] {
        for entry in service.get(key).and_then(Value::as_array).into_iter().flatten() {
            match container_port(entry) {
                Ok(Some(port)) if !found.contains(&port) => found.push(port),
                Ok(_) => {}
                Err(why) => notes.push(format!("`{key}`: {why}")),
            }
        }
        // What is exposed to other services alone counts where nothing else is.
        if !found.is_empty() {
            break;
        }
    }
    let (first, others) = found.split_first()?;
    notes.extend(told_of(others));
    Some(*first)
}

/// The container's side of `80`, `"8080:80"`, `"127.0.0.1:8080:80/tcp"`, `"3000-3005"` or `{ target: 80 }`;
/// nothing where it is none for TCP.
fn container_port(entry: &Value) -> Result<Option<u16>, String> {
    let text = match entry {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let protocol = map.get("protocol").and_then(Value::as_str).unwrap_or("tcp");
            if !protocol.eq_ignore_ascii_case("tcp") {
                return Ok(None);
            }
            return map.get("target").map_or(Ok(None), container_port);
        }
        _ => return Ok(None),
    };
    // What only whoever calls compose knows may stand on the machine's side.
    let inside = last_colon(&text).map_or(text.as_str(), |at| &text[at + 1..]);
    let Some(inside) = filled(inside) else {
        return Err(format!("{text:?} has a variable without a value here"));
    };
    if inside.split_once('/').is_some_and(|(_, protocol)| !protocol.eq_ignore_ascii_case("tcp")) {
        return Ok(None);
    }
    first_port(&inside).map(Some).ok_or_else(|| format!("{text:?} is no port"))
}

/// The last colon that belongs to no variable.
fn last_colon(text: &str) -> Option<usize> {
    let (mut open, mut last) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            ':' if open == 0 => last = Some(at),
            _ => {}
        }
    }
    last
}

/// What the environment of the service says of a port, which most programs listen on.
fn guessed(service: &Map<String, Value>, notes: &mut Vec<String>) -> Option<u16> {
    let port = arguments(service.get("environment")).get("PORT")?.parse::<u16>().ok().filter(|port| *port > 0)?;
    notes.push("the port is the one in its environment".to_owned());
    Some(port)
}

/// `{ NAME: value }` or `[NAME=value]`, those whose value is known.
fn arguments(written: Option<&Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => filled(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match written {
        Some(Value::Object(map)) => map.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect(),
        Some(Value::Array(list)) => {
            let pairs = list.iter().filter_map(Value::as_str).filter_map(|pair| pair.split_once('='));
            pairs.filter_map(|(name, value)| Some((name.to_owned(), filled(value)?))).collect()
        }
        _ => BTreeMap::new(),
    }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
