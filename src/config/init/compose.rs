//! The services of a compose file that are built from the repository, read as compose reads them: its
//! variables, and ranges of ports, in either way of writing them.
//!
//! Source: the Compose specification, its pages on services, build and interpolation. The crates that read it
//! lie under a licence that a binary cannot be given away with (`compose_spec`), or stand on a reader of YAML
//! that nobody keeps any more (`docker-compose-types`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::dockerfile::{Exposed, exposed, first_port};
use super::expand::expand;
use super::{Build, Files, Found, LeftOut, compose_file};
use crate::config::text;

/// What services have there and a first file does not say, with what to do.
const UNTOLD: [(&str, &str); 4] = [
    ("command", "here the image's own counts: give the build a `target` that starts so"),
    ("entrypoint", "here the image's own counts: give the build a `target` that starts so"),
    ("environment", "write it under `env`, and what is secret under `secrets`"),
    ("env_file", "write what it holds under `env`, and what is secret under `secrets`"),
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
    UNTOLD.into_iter().filter(|(key, _)| service.get(*key).is_some_and(|value| !value.is_null())).collect()
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
    if count(service.get("profiles")) > 0 {
        notes.push("compose starts it only where one of its profiles is asked for".to_owned());
    }
    let port = port(service, &mut notes).or_else(|| {
        match exposed_by(files, &file_of(&context, &dockerfile), target.as_deref(), &args) {
            Exposed::Port(port) => Some(port),
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
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(u16::to_string).collect();
        notes.push(format!("of its ports only the first gets an address, not {}", others.join(", ")));
    }
    Some(*first)
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
            let Build { context, dockerfile, target, args } = found.build.expect("it is built");
            let target = target.map_or(String::new(), |target| format!(" {target}"));
            let args: String = args.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            let notes = if found.notes.is_empty() { String::new() } else { format!(" [{}]", found.notes.join("; ")) };
            format!("{} {:?} {context}/{dockerfile}{target}{args}{notes}", found.name, found.port)
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
        let guessed = "web Some(3000) ./Dockerfile [the port is the one in its environment]; `environment` of web of \
                       compose.yaml: write it under `env`, and what is secret under `secrets`";
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
            [
                "web Some(3000) app/Dockerfile dev PORT=3000",
                "api None app/Dockerfile [`EXPOSE ${NOWHERE}` has no value here]",
            ]
        );
    }

    #[test]
    fn what_lies_over_the_file_is_laid_over_it() {
        let compose = "services:\n  web: { build: app, ports: ['80:3000'] }\n  api: { image: x }\n";
        let over = "services:\n  web: { build: { target: dev }, ports: ['9229:9229'] }\n  api: { build: api }\n  \
                    jobs: { build: ., profiles: [jobs] }\n";
        for name in compose_file::OVERRIDES {
            let (found, left_out) = read(compose, &[(name, over)]);
            assert_eq!(
                found,
                [
                    "web Some(3000) app/Dockerfile dev [of its ports only the first gets an address, not 9229]",
                    "api None api/Dockerfile",
                    "jobs None ./Dockerfile [compose starts it only where one of its profiles is asked for]",
                ],
                "{name}"
            );
            assert_eq!(left_out, [""; 0]);
        }
    }

    #[test]
    fn what_a_first_file_cannot_say_is_left_out_by_name() {
        let compose = "include: [other.yaml]\nservices:\n  web:\n    build: { context: ., args: { A: 1, B: null } }\n    \
                       command: [run, web]\n    env_file: .env\n    environment:\n";
        let (found, left_out) = read(compose, &[]);
        assert_eq!(found, ["web None ./Dockerfile A=1 [some of its build arguments have no value here]"]);
        assert_eq!(
            left_out,
            [
                "`include` of compose.yaml: the files that it names are not read",
                "`command` of web of compose.yaml: here the image's own counts: give the build a `target` that starts so",
                "`env_file` of web of compose.yaml: write what it holds under `env`, and what is secret under `secrets`",
            ]
        );
        let (found, left_out) = read("services:\n  web: { build: ., build: app }\n", &[]);
        assert_eq!(found, ["web None ./Dockerfile"]);
        assert!(left_out.len() == 1 && left_out[0].starts_with("a part of compose.yaml: 2:"), "{left_out:?}");
    }
}
