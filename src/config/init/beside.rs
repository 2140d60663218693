//! What lies beside that by which the services were told, and none of them is made of.

use std::collections::BTreeSet;

use super::{Build, Files, Found, LeftOut, is_dockerfile, is_telling, procfile};

/// Names every Dockerfile and every process that no service comes from.
pub(super) fn pass_over(files: &Files<'_>, found: &[Found], left_out: &mut LeftOut) {
    let built: BTreeSet<String> = found.iter().filter_map(|service| service.build.as_ref()).map(Build::file).collect();
    let mut others: Vec<&str> = files.0.iter().map(|(path, _)| path.as_str()).collect();
    others.retain(|path| is_telling(path) && is_dockerfile(name_of(path)) && !built.contains(*path));
    others.sort_unstable();
    for path in others {
        let folder = path.strip_suffix(name_of(path)).map_or("", |folder| folder.trim_end_matches('/'));
        let context = if folder.is_empty() { "." } else { folder };
        let why = format!(
            "nothing here runs what it builds: a service of its own has `build: {{ context: {context}, dockerfile: {} }}`",
            name_of(path)
        );
        left_out.add("this repository", path, &why);
    }
    let Some(text) = files.text(procfile::FILE).filter(|_| !built.is_empty()) else { return };
    for process in procfile::services(text, left_out) {
        if !found.iter().any(|service| service.name == process.name) {
            let why = "beside a Dockerfile it is not read: a service needs an image that starts it";
            left_out.add(procfile::FILE, &process.name, why);
        }
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use crate::config::init::{FirstFile, first_file};

    fn left_out(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<(String, Vec<u8>)> =
            files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        let FirstFile { text, left_out } = first_file("shop", &files);
        assert!(crate::config::check("f.yml", text.as_bytes()).is_ok(), "{text}");
        left_out
    }

    #[test]
    fn what_no_service_comes_from_is_named() {
        let compose = "services:\n  web: { build: { context: ., dockerfile: web.Dockerfile } }\n";
        let dockerfile = "FROM a\n";
        assert_eq!(
            left_out(&[
                ("compose.yaml", compose),
                ("web.Dockerfile", dockerfile),
                ("apps/worker/Dockerfile", dockerfile),
                ("node_modules/x/Dockerfile", dockerfile),
                ("Procfile", "web: a\nclock: b\nrelease: c\n"),
            ]),
            [
                "apps/worker/Dockerfile of this repository: nothing here runs what it builds: a service of its own has \
                 `build: { context: apps/worker, dockerfile: Dockerfile }`",
                "release of Procfile: it runs once before a version serves, as `migrate: { command: [...] }` of a service does",
                "clock of Procfile: beside a Dockerfile it is not read: a service needs an image that starts it",
            ]
        );
        let others = left_out(&[("Dockerfile", dockerfile), ("Dockerfile.worker", dockerfile)]);
        assert_eq!(others.len(), 1, "{others:?}");
        assert!(others[0].contains("context: ., dockerfile: Dockerfile.worker"), "{others:?}");
        assert_eq!(left_out(&[("Dockerfile", dockerfile), ("Dockerfile.dockerignore", "x")]), [""; 0]);
        assert_eq!(left_out(&[("a/Dockerfile", dockerfile), ("b/Dockerfile", dockerfile)]), [""; 0]);
        assert_eq!(left_out(&[("Procfile", "web: a\nclock: b\n")]), [""; 0]);
    }
}
