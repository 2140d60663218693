//! The services of a compose file that are built from the repository, read as compose reads them: merged
//! mappings, `extends` in the same file, variables, ranges of ports in either way of writing them.
//!
//! Source: the Compose specification, its pages on services, build, interpolation and fragments. The crates
//! that read it lie under a licence that a binary cannot be given away with (`compose_spec`), or stand on a
//! reader of YAML that nobody keeps any more (`docker-compose-types`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::dockerfile::{Exposed, exposed, first_port};
use super::expand::expand;
use super::{Build, Files, Found, LeftOut};
use crate::config::report::Report;
use crate::config::{text, tree};

/// In the order in which compose looks for them.
pub(super) const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
/// So many services may stand on each other.
const MOST_EXTENDED: usize = 8;

/// What is read, whatever the file holds besides.
pub(super) fn services(files: &Files<'_>, left_out: &mut LeftOut) -> Vec<Found> {
    let Some((file, bytes)) = NAMES.iter().find_map(|name| Some((*name, files.bytes(name)?))) else {
        return Vec::new();
    };
    let mut report = Report::default();
    let Some(document) = tree::read_merged(bytes, &mut report) else {
        let problems = report.finish(file).problems;
        let why = problems.first().map_or_else(|| "it cannot be read".to_owned(), ToString::to_string);
        left_out.add(file, "all", &why);
        return Vec::new();
    };
    let all = document.value.get("services").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut found = Vec::new();
    for name in document.keys("/services") {
        match service(name, &all, files) {
            Ok(service) => found.push(service),
            Err(why) => left_out.add(file, name, &why),
        }
    }
    found
}

/// One service, or why it is none of the app's.
fn service(name: &str, all: &Map<String, Value>, files: &Files<'_>) -> Result<Found, String> {
    let service = extended(name, all, MOST_EXTENDED)?;
    let build = match service.get("build") {
        Some(Value::String(context)) => Map::from_iter([("context".to_owned(), Value::from(context.clone()))]),
        Some(Value::Object(build)) => build.clone(),
        _ => {
            let image =
                service.get("image").and_then(Value::as_str).map_or(String::new(), |image| format!(" ({image})"));
            return Err(format!("it is an image{image}, and a service here is built from the repository"));
        }
    };
    if build.contains_key("dockerfile_inline") {
        return Err("its Dockerfile stands in the compose file: give it a file of its own".to_owned());
    }
    let context = path(build.get("context"), ".")?;
    let dockerfile = path(build.get("dockerfile"), "Dockerfile")?;
    let target = build.get("target").and_then(Value::as_str).and_then(filled);
    let mut notes = Vec::new();
    let args = arguments(build.get("args"));
    let port = port(&service, &mut notes).or_else(|| {
        match exposed_by(files, &context, &dockerfile, target.as_deref(), &args) {
            Exposed::Port(port) => Some(port),
            Exposed::Nothing => None,
            Exposed::Unclear(why) => {
                notes.push(why);
                None
            }
        }
    });
    let port = port.or_else(|| guessed(&service, &mut notes));
    Ok(Found {
        name: name.to_owned(),
        build: Some(Build { context, dockerfile, target }),
        port,
        notes,
        ..Found::default()
    })
}

/// What a Dockerfile of the repository exposes.
pub(super) fn exposed_by(
    files: &Files<'_>,
    context: &str,
    dockerfile: &str,
    target: Option<&str>,
    args: &BTreeMap<String, String>,
) -> Exposed {
    let path = if context == "." { dockerfile.to_owned() } else { format!("{context}/{dockerfile}") };
    files.text(&path).map_or(Exposed::Nothing, |text| exposed(text, target, args))
}

/// The service with what it stands on in the same file.
fn extended(name: &str, all: &Map<String, Value>, deep: usize) -> Result<Map<String, Value>, String> {
    let own = all.get(name).and_then(Value::as_object).ok_or_else(|| format!("`{name}` is no mapping"))?;
    let base = match own.get("extends") {
        None => return Ok(own.clone()),
        Some(Value::String(base)) => base.as_str(),
        Some(base) if base.get("file").is_some() => {
            return Err("it extends a service of another file, which is not read: write its `build` out".to_owned());
        }
        Some(base) => base.get("service").and_then(Value::as_str).ok_or("what it extends is not named")?,
    };
    let deep = deep.checked_sub(1).ok_or("services extend each other without an end")?;
    let mut service = extended(base, all, deep)?;
    for (key, value) in own {
        match (service.get_mut(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => under.extend(over.clone()),
            (Some(Value::Array(under)), Value::Array(over)) => under.extend(over.iter().cloned()),
            _ => drop(service.insert(key.clone(), value.clone())),
        }
    }
    Ok(service)
}

/// A path inside of the repository, its variables filled in.
fn path(written: Option<&Value>, default: &str) -> Result<String, String> {
    let written = written.and_then(Value::as_str).unwrap_or(default);
    let Some(path) = filled(written) else { return Err(format!("{written:?} has a variable without a value here")) };
    if path.contains("://") || path.contains('@') {
        return Err(format!("it is built from {path:?}, which is not in the repository"));
    }
    text::inside(&path)
}

/// Without the environment of whoever calls compose, and without `.env`, which is not read: it holds secrets.
fn filled(text: &str) -> Option<String> {
    expand(text, &|_| None)
}

/// The first port that the container is asked at.
fn port(service: &Map<String, Value>, notes: &mut Vec<String>) -> Option<u16> {
    for key in ["ports", "expose"] {
        for entry in service.get(key).and_then(Value::as_array).into_iter().flatten() {
            match container_port(entry) {
                Ok(Some(port)) => return Some(port),
                Ok(None) => {}
                Err(why) => notes.push(format!("`{key}`: {why}")),
            }
        }
    }
    None
}

/// The container's side of `80`, `"8080:80"`, `"127.0.0.1:8080:80/tcp"`, `"3000-3005"` or `{ target: 80 }`;
/// nothing where it is none for TCP.
fn container_port(entry: &Value) -> Result<Option<u16>, String> {
    let text = match entry {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            if map.get("protocol").and_then(Value::as_str).is_some_and(|protocol| protocol != "tcp") {
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
mod tests {
    use super::*;

    fn read(compose: &str, others: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let files: Vec<(String, Vec<u8>)> = [("compose.yaml", compose)]
            .iter()
            .chain(others)
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect();
        let mut left_out = LeftOut::default();
        let line = |found: Found| {
            let Build { context, dockerfile, target } = found.build.expect("it is built");
            let target = target.map_or(String::new(), |target| format!(" {target}"));
            let notes = if found.notes.is_empty() { String::new() } else { format!(" [{}]", found.notes.join("; ")) };
            format!("{} {:?} {context}/{dockerfile}{target}{notes}", found.name, found.port)
        };
        let found = services(&Files(&files), &mut left_out).into_iter().map(line).collect();
        (found, left_out.into_lines())
    }

    fn one(service: &str) -> String {
        let (found, left_out) = read(&format!("services:\n  web: {service}\n"), &[]);
        found.into_iter().chain(left_out).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn ports_are_read_in_every_way_of_writing_them() {
        for (ports, port) in [
            ("[3000]", 3000),
            ("['3000']", 3000),
            ("['8080:3000']", 3000),
            ("[8080:3000]", 3000),
            ("['127.0.0.1:8080:3000']", 3000),
            ("['[::1]:8080:3000/tcp']", 3000),
            ("['53:53/udp', '8080:3000']", 3000),
            ("['3000-3005']", 3000),
            ("['9000-9005:3000-3005']", 3000),
            ("['${PORT:-8080}:3000']", 3000),
            ("['${PORT}:3000']", 3000),
            ("['8080:${PORT:-3000}']", 3000),
            ("['${HOST:-127.0.0.1}:8080:3000']", 3000),
            ("[{ target: 3000, published: '8080' }]", 3000),
            ("[{ target: 53, protocol: udp }, { target: 3000 }]", 3000),
        ] {
            assert_eq!(
                one(&format!("{{ build: ., ports: {ports} }}")),
                format!("web Some({port}) ./Dockerfile"),
                "{ports}"
            );
        }
        assert_eq!(one("{ build: ., expose: ['3000-3002'] }"), "web Some(3000) ./Dockerfile");
        let unclear = one("{ build: ., ports: ['8080:${PORT}'] }");
        assert_eq!(unclear, "web None ./Dockerfile [`ports`: \"8080:${PORT}\" has a variable without a value here]");
        let guessed = "web Some(3000) ./Dockerfile [the port is the one in its environment]";
        assert_eq!(one("{ build: ., environment: { PORT: 3000 } }"), guessed);
        assert_eq!(one("{ build: ., environment: [A=1, 'PORT=${PORT:-3000}'] }"), guessed);
    }

    #[test]
    fn mappings_are_merged_and_services_extend_each_other() {
        let compose = "
x-base: &base
  build: { context: ./app, target: prod }
  ports: ['80:3000']
x-more: &more { expose: ['9000'] }
services:
  web:
    <<: *base
  api:
    <<: [*more, *base]
    ports: ['81:4000']
  worker:
    extends: { service: web }
    build: { dockerfile: worker.Dockerfile }
  nested:
    build: { <<: { context: other } }
  away:
    extends: { file: base.yml, service: web }
  circle:
    extends: circle
";
        let (found, left_out) = read(compose, &[]);
        assert_eq!(
            found,
            [
                "web Some(3000) app/Dockerfile prod",
                "api Some(4000) app/Dockerfile prod",
                "worker Some(3000) app/worker.Dockerfile prod",
                "nested None other/Dockerfile",
            ]
        );
        assert_eq!(left_out.len(), 2, "{left_out:?}");
        assert!(left_out[0].contains("another file") && left_out[1].contains("without an end"), "{left_out:?}");
    }

    #[test]
    fn what_is_no_service_here_is_said_with_its_reason() {
        for (service, why) in [
            ("{ image: 'postgres:16' }", "web of compose.yaml: it is an image (postgres:16)"),
            ("{}", "it is an image"),
            ("{ build: ../other }", "leaves the repository"),
            ("{ build: 'https://github.com/a/b.git' }", "not in the repository"),
            ("{ build: 'git@github.com:a/b.git' }", "not in the repository"),
            ("{ build: '${DIR}' }", "has a variable without a value here"),
            ("{ build: { dockerfile_inline: 'FROM a' } }", "stands in the compose file"),
            ("1", "`web` is no mapping"),
        ] {
            assert!(one(service).contains(why), "{service}: {}", one(service));
        }
        let (found, left_out) = read("services: [", &[]);
        assert_eq!((found.len(), left_out.len()), (0, 1));
        assert!(left_out[0].starts_with("all of compose.yaml: 1:"), "{left_out:?}");
    }

    #[test]
    fn a_dockerfile_is_asked_where_the_file_says_nothing() {
        let dockerfile = "FROM a AS dev\nARG PORT=80\nEXPOSE ${PORT}\nFROM b\nEXPOSE ${NOWHERE}\n";
        let compose =
            "services:\n  web: { build: { context: app, target: dev, args: [PORT=3000] } }\n  api: { build: app }\n";
        let (found, _) = read(compose, &[("app/Dockerfile", dockerfile)]);
        assert_eq!(
            found,
            ["web Some(3000) app/Dockerfile dev", "api None app/Dockerfile [`EXPOSE ${NOWHERE}` has no value here]",]
        );
    }
}
