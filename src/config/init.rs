//! The first file for a repository, from what is found in it.
//!
//! Guarantees: what `first_file` writes passes `check`. Where it guesses, a comment says so; what it finds
//! and does not write down is named with its reason, in the file and beside it.

mod beside;
mod compose;
mod compose_file;
mod dockerfile;
mod expand;
mod procfile;
mod workflows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::{check, text};
use dockerfile::Exposed;

pub use workflows::{RunnerBuilds, WorkflowFile, Workflows, workflows};

/// The most services that a first file gets.
const MOST_SERVICES: usize = 12;
const FOREIGN: [&str; 7] = ["node_modules", "vendor", "target", "dist", "testdata", "fixtures", ".git"];
const LOCKS: [(&str, &str); 4] =
    [("bun.lock", "bun"), ("bun.lockb", "bun"), ("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn")];
/// Names that a service at the stage's own address tends to have.
const FRONT: [&str; 6] = ["web", "frontend", "app", "site", "www", "ui"];
/// Characters of a reason that are kept.
const MOST_REASON: usize = 200;

/// A first file, and what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstFile {
    pub text: String,
    /// `db of compose.yaml: it is an image (postgres:16), ...`
    pub left_out: Vec<String>,
}

/// Whether a file tells something about the app, so that its bytes are worth handing over.
pub fn is_telling(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    if parts.len() > 3 || parts.iter().any(|part| FOREIGN.contains(part)) {
        return false;
    }
    let is_compose = compose_file::NAMES.contains(&name) || compose_file::OVERRIDES.contains(&name);
    let at_top = ["package.json", procfile::FILE].contains(&name) || is_compose || is_lock(name);
    is_dockerfile(name) || (parts.is_empty() && at_top)
}

/// As compose files and builds name them; only one called `Dockerfile` is a service by itself.
fn is_dockerfile(name: &str) -> bool {
    // BuildKit's list of what stays out of the context is called after its Dockerfile.
    let is_list = name.ends_with(".dockerignore");
    name == "Dockerfile" || (name.starts_with("Dockerfile.") && !is_list) || name.ends_with(".Dockerfile")
}

fn is_lock(name: &str) -> bool {
    LOCKS.iter().any(|(lock, _)| *lock == name)
}

/// Writes the file for a repository of that name. `tree` holds paths from its top with their
/// bytes; those that `is_telling` refuses need not be in it.
pub fn first_file(name: &str, tree: &[(String, Vec<u8>)]) -> FirstFile {
    let files = Files(tree);
    let mut left_out = LeftOut::default();
    let mut found = compose::services(&files, &mut left_out);
    if found.is_empty() {
        found = dockerfiles(&files);
    }
    if found.is_empty() {
        found = files.text(procfile::FILE).map_or_else(Vec::new, |text| procfile::services(text, &mut left_out));
    }
    if found.is_empty() {
        found = package(&files);
    }
    beside::pass_over(&files, &found, &mut left_out);
    for service in found.drain(found.len().min(MOST_SERVICES)..) {
        left_out.add("this repository", &service.name, "a first file has 12 services at most");
    }
    let app = label(name, 32).unwrap_or_else(|| "app".to_owned());
    let found = distinct(found);
    let left_out = left_out.into_lines();
    let text = write(&app, &found, &left_out);
    match check(super::PATH, text.as_bytes()) {
        Ok(_) => FirstFile { text, left_out },
        Err(problems) => {
            let why = problems.problems.first().map_or_else(String::new, ToString::to_string);
            let mut without = LeftOut(left_out);
            without.add("this repository", "all", &format!("what was found does not make a file that is right: {why}"));
            let left_out = without.into_lines();
            FirstFile { text: write(&app, &[], &left_out), left_out }
        }
    }
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

/// What was found and is no service, a line each.
#[derive(Debug, Default)]
struct LeftOut(Vec<String>);

impl LeftOut {
    fn add(&mut self, file: &str, what: &str, why: &str) {
        self.0.push(line(&format!("{what} of {file}: {why}")));
    }

    fn into_lines(self) -> Vec<String> {
        self.0
    }
}

/// Fit for a comment: on one line, without what would end it.
fn line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_REASON + 1).collect();
    match plain.char_indices().nth(MOST_REASON) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

/// How an image is made.
#[derive(Debug, Default)]
struct Build {
    context: String,
    dockerfile: String,
    target: Option<String>,
    args: BTreeMap<String, String>,
}

impl Build {
    /// The path of its Dockerfile.
    fn file(&self) -> String {
        compose::file_of(&self.context, &self.dockerfile)
    }
}

/// A service as it was found.
#[derive(Debug, Default)]
struct Found {
    name: String,
    build: Option<Build>,
    command: Option<Vec<String>>,
    port: Option<u16>,
    /// What was guessed or is missing.
    notes: Vec<String>,
}

fn dockerfiles(files: &Files<'_>) -> Vec<Found> {
    let mut paths: Vec<&str> = files.0.iter().map(|(path, _)| path.as_str()).filter(|path| is_telling(path)).collect();
    paths.sort_unstable();
    let service = |path: &str| {
        let context =
            match path.strip_suffix("Dockerfile").filter(|folder| folder.is_empty() || folder.ends_with('/'))? {
                "" => ".".to_owned(),
                folder => text::inside(folder.trim_end_matches('/')).ok()?,
            };
        let name = context.rsplit('/').next().filter(|name| *name != ".").unwrap_or("web").to_owned();
        let dockerfile = "Dockerfile".to_owned();
        let (port, notes) = match compose::exposed_by(files, path, None, &BTreeMap::new()) {
            Exposed::Port(port, others) => (Some(port), dockerfile::told_of(&others).into_iter().collect()),
            Exposed::Nothing => (None, Vec::new()),
            Exposed::Unclear(why) => (None, vec![why]),
        };
        let build = Some(Build { context, dockerfile, ..Build::default() });
        Some(Found { name, build, port, notes, ..Found::default() })
    };
    paths.into_iter().filter_map(service).collect()
}

fn package(files: &Files<'_>) -> Vec<Found> {
    let package: Option<Value> = files.bytes("package.json").and_then(|bytes| serde_json::from_slice(bytes).ok());
    if package.is_none_or(|package| package.pointer("/scripts/start").is_none()) {
        return Vec::new();
    }
    let runner = LOCKS.iter().find(|(lock, _)| files.bytes(lock).is_some()).map_or("npm", |(_, runner)| runner);
    let command = [runner, "run", "start"].map(str::to_owned).to_vec();
    let notes = vec![procfile::NO_DOCKERFILE.to_owned()];
    vec![Found { name: "web".into(), command: Some(command), port: Some(3000), notes, build: None }]
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

fn write(app: &str, found: &[Found], left_out: &[String]) -> String {
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
    if !left_out.is_empty() {
        file.push_str("\n# Left out:\n");
        for line in left_out {
            file.extend(["# - ", line.as_str(), "\n"]);
        }
    }
    file
}

fn write_service(file: &mut String, service: &Found, is_front: bool) {
    let mut put = |text: String| {
        let _ = writeln!(file, "{text}");
    };
    for note in &service.notes {
        put(format!("  # {}", line(note)));
    }
    put(format!("  {}:", quoted(&service.name)));
    put("    kind: ecs".to_owned());
    if let Some(Build { context, dockerfile, target, args }) = &service.build {
        let target = target.as_ref().map_or(String::new(), |target| format!(", target: {}", quoted(target)));
        let args: Vec<String> =
            args.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(&literal(value)))).collect();
        let args = if args.is_empty() { String::new() } else { format!(", args: {{ {} }}", args.join(", ")) };
        put(format!("    build: {{ context: {}, dockerfile: {}{target}{args} }}", quoted(context), quoted(dockerfile)));
    }
    match service.port {
        Some(port) => {
            put(format!("    host: {}", quoted(if is_front { "@" } else { &service.name })));
            put(format!("    port: {port}"));
            put("    health: { path: / } # a path that answers 200 when the service is well".to_owned());
        }
        None => put("    # no port was found, so it has no address; with `host` and `port` it gets one".to_owned()),
    }
    if let Some(command) = &service.command {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        put(format!("    local: {{ command: [{}] }}", words.join(", ")));
    }
}

/// The text as it is, where braces mean something.
fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
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
        let written = first_file("My Shop", &tree(files)).text;
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
        let names = ["web Some(Root) Some(3000) no image", "x None None no image", "clock None None no image"];
        assert_eq!(found, names);
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
        let written = first_file("///", &tree(&[("Dockerfile", "EXPOSE 80")])).text;
        assert!(check("f.yml", written.as_bytes()).is_ok(), "{written}");
    }

    #[test]
    fn what_is_left_out_stands_in_the_file_and_beside_it() {
        let compose = "services:\n  web: { build: ., ports: ['80:3000'] }\n  db: { image: 'postgres:16' }\n  \
                       \"evil\\n\\nversion: 2\": { image: x }\n";
        let FirstFile { text, left_out } = first_file("shop", &tree(&[("compose.yaml", compose)]));
        assert_eq!(left_out.len(), 2, "{left_out:?}");
        let db = "db of compose.yaml: it is an image (postgres:16), and a service here is built from the repository";
        assert_eq!(left_out[0], db);
        assert!(text.ends_with(&format!("# Left out:\n# - {db}\n# - {}\n", left_out[1])), "{text}");
        assert!(check("f.yml", text.as_bytes()).is_ok(), "a name of theirs ends no comment: {text}");

        let many: Vec<String> = (0..15).map(|number| format!("  s{number}: {{ build: . }}\n")).collect();
        let many = many.concat();
        let FirstFile { left_out, .. } = first_file("shop", &tree(&[("compose.yaml", &format!("services:\n{many}"))]));
        assert_eq!(left_out.len(), 3, "{left_out:?}");

        let unclear = first_file("shop", &tree(&[("Dockerfile", "FROM a\nEXPOSE ${PORT}\n")]));
        assert!(unclear.text.contains("  # `EXPOSE ${PORT}` has no value here\n  \"web\":"), "{}", unclear.text);
    }

    #[test]
    fn a_target_and_a_command_for_a_shell_stand_in_the_file() {
        let compose = "services:\n  web: { build: { context: ., target: prod }, ports: [3000] }\n";
        let text = first_file("shop", &tree(&[("compose.yaml", compose)])).text;
        assert!(text.contains(r#"build: { context: ".", dockerfile: "Dockerfile", target: "prod" }"#), "{text}");
        let text = first_file("shop", &tree(&[("Procfile", "web: node s.js --port ${PORT:-1}\n")])).text;
        assert!(text.contains(r#"command: ["sh", "-c", "exec node s.js --port ${{PORT:-1}}"]"#), "{text}");
        assert!(check("f.yml", text.as_bytes()).is_ok(), "{text}");
    }

    #[test]
    fn only_files_that_tell_something_are_asked_for() {
        for path in ["Dockerfile", "a/b/c/Dockerfile", "web.Dockerfile", "package.json", "compose.yml", "bun.lock"] {
            assert!(is_telling(path), "{path}");
        }
        for path in [".env", "a/b/c/d/Dockerfile", "vendor/Dockerfile", "web/package.json", "src/main.rs"] {
            assert!(!is_telling(path), "{path}");
        }
    }
}
