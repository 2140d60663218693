//! The first file for a repository, from what is found in it.
//!
//! Guarantees: what `first_file` writes passes `check`. Where it
//! guesses, a comment says so.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::report::Report;
use super::{check, text, tree};

/// The most services that a first file gets.
const MOST_SERVICES: usize = 12;
const COMPOSE: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const FOREIGN: [&str; 7] = ["node_modules", "vendor", "target", "dist", "testdata", "fixtures", ".git"];
const LOCKS: [(&str, &str); 4] =
    [("bun.lock", "bun"), ("bun.lockb", "bun"), ("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn")];
/// Names that a service at the stage's own address tends to have.
const FRONT: [&str; 6] = ["web", "frontend", "app", "site", "www", "ui"];

/// Whether a file tells something about the app, so that its bytes are worth handing over.
pub fn is_telling(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    if parts.len() > 3 || parts.iter().any(|part| FOREIGN.contains(part)) {
        return false;
    }
    let at_top = ["package.json", "Procfile"].contains(&name) || COMPOSE.contains(&name) || is_lock(name);
    name == "Dockerfile" || (parts.is_empty() && at_top)
}

fn is_lock(name: &str) -> bool {
    LOCKS.iter().any(|(lock, _)| *lock == name)
}

/// Writes the file for a repository of that name. `tree` holds paths from its top with their
/// bytes; those that `is_telling` refuses need not be in it.
pub fn first_file(name: &str, tree: &[(String, Vec<u8>)]) -> String {
    let files = Files(tree);
    let mut found = compose(&files);
    if found.is_empty() {
        found = dockerfiles(&files);
    }
    if found.is_empty() {
        found = procfile(&files);
    }
    if found.is_empty() {
        found = package(&files);
    }
    found.truncate(MOST_SERVICES);
    let app = label(name, 32).unwrap_or_else(|| "app".to_owned());
    let written = write(&app, &distinct(found));
    if check(super::PATH, written.as_bytes()).is_ok() { written } else { write(&app, &[]) }
}

struct Files<'a>(&'a [(String, Vec<u8>)]);

impl<'a> Files<'a> {
    fn bytes(&self, path: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(other, _)| other == path).map(|(_, bytes)| bytes.as_slice())
    }

    fn text(&self, path: &str) -> Option<&'a str> {
        self.bytes(path).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

/// A service as it was found.
#[derive(Debug, Default)]
struct Found {
    name: String,
    /// Context and Dockerfile.
    build: Option<(String, String)>,
    command: Option<Vec<String>>,
    port: Option<u16>,
    /// What was guessed or is missing.
    note: Option<&'static str>,
}

fn compose(files: &Files<'_>) -> Vec<Found> {
    let Some(bytes) = COMPOSE.iter().find_map(|path| files.bytes(path)) else { return Vec::new() };
    let mut ignored = Report::default();
    let Some(document) = tree::read(bytes, &mut ignored) else { return Vec::new() };
    let service = |name: &String| {
        let service = document.value.pointer(&tree::below("/services", name))?;
        let build = service.get("build")?;
        let context = build.as_str().or_else(|| build.get("context")?.as_str()).unwrap_or(".");
        let dockerfile = build.get("dockerfile").and_then(Value::as_str).unwrap_or("Dockerfile");
        let (context, dockerfile) = (text::inside(context).ok()?, text::inside(dockerfile).ok()?);
        let first = |key: &str| service.get(key).and_then(|list| list.get(0)).and_then(container_port);
        let port = first("ports").or_else(|| first("expose")).or_else(|| exposed(files, &context, &dockerfile));
        Some(Found { name: name.clone(), build: Some((context, dockerfile)), port, ..Found::default() })
    };
    document.keys("/services").iter().filter_map(service).collect()
}

/// The container's side of `80`, `"8080:80"`, `"127.0.0.1:8080:80/tcp"` or `{ target: 80 }`.
fn container_port(entry: &Value) -> Option<u16> {
    match entry {
        Value::Number(number) => number.as_u64().and_then(|port| u16::try_from(port).ok()),
        Value::String(text) => port_of(text.rsplit(':').next()?),
        Value::Object(map) => container_port(map.get("target")?),
        _ => None,
    }
    .filter(|port| *port > 0)
}

fn port_of(text: &str) -> Option<u16> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if protocol == "tcp" { number.parse().ok().filter(|port| *port > 0) } else { None }
}

fn dockerfiles(files: &Files<'_>) -> Vec<Found> {
    let mut paths: Vec<&str> = files.0.iter().map(|(path, _)| path.as_str()).filter(|path| is_telling(path)).collect();
    paths.sort_unstable();
    let service = |path: &str| {
        let context = match path.strip_suffix("Dockerfile")?.trim_end_matches('/') {
            "" => ".".to_owned(),
            folder => text::inside(folder).ok()?,
        };
        let name = context.rsplit('/').next().filter(|name| *name != ".").unwrap_or("web").to_owned();
        let port = exposed(files, &context, "Dockerfile");
        Some(Found { name, build: Some((context, "Dockerfile".to_owned())), port, ..Found::default() })
    };
    paths.into_iter().filter_map(service).collect()
}

/// The first port of the Dockerfile's last `EXPOSE`.
fn exposed(files: &Files<'_>, context: &str, dockerfile: &str) -> Option<u16> {
    let path = if context == "." { dockerfile.to_owned() } else { format!("{context}/{dockerfile}") };
    files
        .text(&path)?
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let is_expose = words.next().is_some_and(|word| word.eq_ignore_ascii_case("EXPOSE"));
            if is_expose { words.find_map(port_of) } else { None }
        })
        .next_back()
}

const NO_DOCKERFILE: &str = "no Dockerfile found: this runs as a process on one machine; with one, add `build: {}`";

fn procfile(files: &Files<'_>) -> Vec<Found> {
    let service = |line: &str| {
        let (name, command) = line.split_once(':')?;
        let needs_shell = command.contains(|c: char| "$&|;<>`\"'\\*?(){}".contains(c));
        if needs_shell || name.trim() == "release" || name.starts_with('#') {
            return None;
        }
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let port = (name.trim() == "web").then_some(3000);
        let (name, command) = (name.trim().to_owned(), Some(command).filter(|words| !words.is_empty())?);
        Some(Found { name, command: Some(command), port, note: Some(NO_DOCKERFILE), ..Found::default() })
    };
    files.text("Procfile").into_iter().flat_map(str::lines).filter_map(service).collect()
}

fn package(files: &Files<'_>) -> Vec<Found> {
    let package: Option<Value> = files.bytes("package.json").and_then(|bytes| serde_json::from_slice(bytes).ok());
    if package.is_none_or(|package| package.pointer("/scripts/start").is_none()) {
        return Vec::new();
    }
    let runner = LOCKS.iter().find(|(lock, _)| files.bytes(lock).is_some()).map_or("npm", |(_, runner)| runner);
    let command = [runner, "run", "start"].map(str::to_owned).to_vec();
    let found =
        Found { name: "web".into(), command: Some(command), port: Some(3000), note: Some(NO_DOCKERFILE), build: None };
    vec![found]
}

/// A name from any text: lower case, everything else becomes `-`.
fn label(text: &str, most: usize) -> Option<String> {
    let slug = crate::model::StageName::slug(text)?;
    let cut: String = slug.as_str().chars().take(most).collect();
    Some(cut.trim_end_matches('-').to_owned()).filter(|cut| !cut.is_empty())
}

/// Gives every service a valid name of its own.
fn distinct(mut found: Vec<Found>) -> Vec<Found> {
    let mut taken = BTreeSet::new();
    for service in &mut found {
        // Short enough to be a host label too.
        let name = label(&service.name, 18).unwrap_or_else(|| "service".to_owned());
        let numbered = (2..=MOST_SERVICES + 1).map(|number| format!("{name}-{number}"));
        service.name = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name);
        taken.insert(service.name.clone());
    }
    found
}

fn write(app: &str, found: &[Found]) -> String {
    let mut file = format!(
        "# Greenroom gives every pull request its own stage.\n\
         # `greenroom check` reads this file as Greenroom does; `greenroom schema` says all that may stand in it.\n\
         version: 1\napp: {}\n\nservices:\n",
        quoted(app)
    );
    let front = found
        .iter()
        .find(|service| service.port.is_some() && FRONT.contains(&service.name.as_str()))
        .or_else(|| found.iter().find(|service| service.port.is_some()))
        .map(|service| service.name.as_str());
    for service in found {
        write_service(&mut file, service, front == Some(service.name.as_str()));
    }
    if found.is_empty() {
        file.push_str(
            "  # Nothing was found that builds: this expects a `Dockerfile` at the top whose program listens on 8080.\n  \
             web:\n    kind: ecs\n    build: { context: . }\n    host: \"@\"\n    port: 8080\n    health: { path: / }\n",
        );
    }
    file
}

fn write_service(file: &mut String, service: &Found, is_front: bool) {
    let mut line = |text: String| {
        let _ = writeln!(file, "{text}");
    };
    if let Some(note) = service.note {
        line(format!("  # {note}"));
    }
    line(format!("  {}:", quoted(&service.name)));
    line("    kind: ecs".to_owned());
    if let Some((context, dockerfile)) = &service.build {
        line(format!("    build: {{ context: {}, dockerfile: {} }}", quoted(context), quoted(dockerfile)));
    }
    match service.port {
        Some(port) => {
            line(format!("    host: {}", quoted(if is_front { "@" } else { &service.name })));
            line(format!("    port: {port}"));
            line("    health: { path: / } # a path that answers 200 when the service is well".to_owned());
        }
        None => line("    # no port was found, so it has no address; with `host` and `port` it gets one".to_owned()),
    }
    if let Some(command) = &service.command {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        line(format!("    local: {{ command: [{}] }}", words.join(", ")));
    }
}

/// JSON's way of quoting is one of YAML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    /// The services of the first file: name, host, port.
    fn services(files: &[(&str, &str)]) -> Vec<String> {
        let written = first_file("My Shop", &tree(files));
        let project = check("f.yml", written.as_bytes()).unwrap_or_else(|problems| panic!("{written}\n{problems}"));
        assert_eq!(project.app.as_str(), "my-shop");
        let one = |service: &crate::model::Service| {
            let place = service.build.as_ref().map_or("no image", |build| build.context.as_str());
            format!("{} {:?} {:?} {place}", service.name, service.host, service.port)
        };
        project.services.iter().map(one).collect()
    }

    #[test]
    fn dockerfiles_become_services_with_the_ports_that_they_expose() {
        let found = services(&[
            ("apps/api/Dockerfile", "FROM a\nEXPOSE 9090/udp 8080/tcp\n"),
            ("apps/web/Dockerfile", "FROM a\nexpose 3000\n"),
            ("apps/worker/Dockerfile", "FROM a\n"),
            ("node_modules/x/Dockerfile", "FROM a\n"),
        ]);
        let expected = [
            r#"api Some(Label("api")) Some(8080) apps/api"#,
            "web Some(Root) Some(3000) apps/web",
            "worker None None apps/worker",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn compose_names_the_services_that_are_built_here() {
        let compose = "services:\n  front: { build: ./front, ports: ['8080:80'] }\n  db: { image: postgres }\n  \
                       jobs: { build: { context: ., dockerfile: jobs/Dockerfile } }\n  out: { build: ../other }\n";
        let found = services(&[("compose.yaml", compose), ("Dockerfile", "EXPOSE 1\n")]);
        assert_eq!(found, ["front Some(Root) Some(80) front", "jobs None None ."]);
    }

    #[test]
    fn without_a_dockerfile_there_is_the_start_script() {
        let package = r#"{ "scripts": { "start": "node ." } }"#;
        let found = services(&[("package.json", package), ("pnpm-lock.yaml", "")]);
        assert_eq!(found, ["web Some(Root) Some(3000) no image"]);
        let found = services(&[("Procfile", "web: gunicorn app\nrelease: ./migrate\nx: a && b\nclock: python c.py\n")]);
        assert_eq!(found, ["web Some(Root) Some(3000) no image", "clock None None no image"]);
    }

    #[test]
    fn with_nothing_to_go_by_there_is_still_a_file_to_start_from() {
        for files in [&[][..], &[("compose.yml", "services: [")], &[("package.json", "{")], &[("Procfile", "web:")]] {
            assert_eq!(services(files), ["web Some(Root) Some(8080) ."]);
        }
    }

    #[test]
    fn odd_names_still_make_a_file_that_checks() {
        let long = format!("{}/Dockerfile", "Very Long Ünusual \"name\"".repeat(4));
        let found = services(&[(&long, "EXPOSE 80\n"), ("a/web/Dockerfile", ""), ("b/web/Dockerfile", "")]);
        assert_eq!(found.len(), 3, "{found:?}");
        let written = first_file("///", &tree(&[("Dockerfile", "EXPOSE 80")]));
        assert!(check("f.yml", written.as_bytes()).is_ok(), "{written}");
    }

    #[test]
    fn only_files_that_tell_something_are_asked_for() {
        for path in ["Dockerfile", "a/b/c/Dockerfile", "package.json", "compose.yml", "bun.lock"] {
            assert!(is_telling(path), "{path}");
        }
        for path in [".env", "a/b/c/d/Dockerfile", "vendor/Dockerfile", "web/package.json", "src/main.rs"] {
            assert!(!is_telling(path), "{path}");
        }
    }
}
