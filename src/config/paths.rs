//! The patterns of `paths` beside the files that are there: one that means no file is a slip, and a
//! service that has it is never deployed anew.

use serde_json::Value;

use crate::model::{PathFilter, Problem};

use super::complain::code;
use super::report::Report;
use super::tree::{self, Document, below, shown};

/// What of the `paths` in a file can mean none of these files, which are named from the top of the
/// repository. Nothing of it makes the file wrong: the files may come later.
pub fn idle_patterns(bytes: &[u8], files: &[String]) -> Vec<Problem> {
    let Some(document) = tree::read(bytes, &mut Report::default()) else { return Vec::new() };
    let mut report = Report::default();
    for service in document.keys("/services") {
        look_at(&document, &below("/services", service), files, &mut report);
    }
    report.finish("").problems
}

fn look_at(document: &Document, service: &str, files: &[String], report: &mut Report) {
    let at = below(service, "paths");
    let list = document.value.pointer(&at).and_then(Value::as_array);
    let patterns: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
    let context = document.value.pointer(&below(&below(service, "build"), "context")).and_then(Value::as_str);
    let mut are_all_met = !patterns.is_empty();
    for (index, pattern) in patterns.iter().enumerate() {
        if !means_one(bare(pattern), files) {
            let pointer = below(&at, &index.to_string());
            let hint = hint(bare(pattern), context, files);
            report.add(document.value_at(&pointer), &pointer, format!("{} matches no file here{hint}", shown(pattern)));
            are_all_met = false;
        }
    }
    let means_none = |filter: PathFilter| !files.iter().any(|file| filter.concerns(file));
    if are_all_met && PathFilter::new(&patterns).is_ok_and(means_none) {
        let message = "together these match no file here: what one of them matches, a later one with `!` takes away";
        report.add(document.key_at(&at), &at, message);
    }
}

fn bare(pattern: &str) -> &str {
    pattern.strip_prefix('!').unwrap_or(pattern)
}

fn means_one(pattern: &str, files: &[String]) -> bool {
    // One that is no pattern is told by the check itself.
    PathFilter::new(&[pattern]).map_or(true, |filter| files.iter().any(|file| filter.concerns(file)))
}

/// What was probably meant.
fn hint(pattern: &str, context: Option<&str>, files: &[String]) -> String {
    let bare = pattern.trim_start_matches("./").trim_start_matches('/');
    let inside = context.map(|context| format!("{}/{bare}", context.trim_matches('/')));
    if let Some(inside) = inside.filter(|inside| means_one(inside, files)) {
        return format!(": it begins at the top of the repository, so write {}", code(&inside));
    }
    if pattern.contains(',') && !pattern.contains('{') {
        return ": each pattern is an item of its own in the list".to_owned();
    }
    let small: Vec<String> = files.iter().map(|file| file.to_lowercase()).collect();
    if means_one(&pattern.to_lowercase(), &small) {
        return ": upper and lower case are not the same".to_owned();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(paths: &str) -> Vec<String> {
        let text = format!(
            "version: 1\napp: shop\nservices:\n  web:\n    kind: ecs\n    build: {{ context: apps/web }}\n    \
             paths: {paths}\n  api: {{ kind: ecs, build: {{}} }}\n"
        );
        assert!(super::super::check("f.yml", text.as_bytes()).is_ok(), "{paths}");
        let files = ["apps/web/src/main.ts", "apps/web/app/[slug]/page.tsx", "docs/index.md", "README.md"];
        idle_patterns(text.as_bytes(), &files.map(str::to_owned)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pattern_that_means_no_file_is_named_with_what_was_meant() {
        for paths in ["[]", "[./apps/web/**]", "[apps/web/]", "[\"apps/web/app/[slug]/**\"]", "[\"!docs/**\"]"] {
            assert_eq!(said(paths), [""; 0], "{paths}");
        }
        let cases = [
            ("[nowhere/**]", r#"7:13: "nowhere/**" matches no file here (`services.web.paths[0]`)"#),
            ("[docs/**, nowhere]", r#"7:22: "nowhere" matches no file here (`services.web.paths[1]`)"#),
            ("[\"!nowhere\"]", r#"7:13: "!nowhere" matches no file here (`services.web.paths[0]`)"#),
            (
                "[./src/**]",
                r#"7:13: "./src/**" matches no file here: it begins at the top of the repository, so write `apps/web/src/**` (`services.web.paths[0]`)"#,
            ),
            (
                "[Docs/**]",
                r#"7:13: "Docs/**" matches no file here: upper and lower case are not the same (`services.web.paths[0]`)"#,
            ),
            (
                "[\"docs/**, apps/**\"]",
                r#"7:13: "docs/**, apps/**" matches no file here: each pattern is an item of its own in the list (`services.web.paths[0]`)"#,
            ),
            (
                "[docs/**, \"!docs/\"]",
                "7:5: together these match no file here: what one of them matches, a later one with `!` takes away (`services.web.paths`)",
            ),
        ];
        for (paths, expected) in cases {
            assert_eq!(said(paths), [expected], "{paths}");
        }
    }

    #[test]
    fn a_file_that_is_wrong_is_told_by_the_check_alone() {
        for text in ["", "services: 1", "services: { web: 1 }", "services: { web: { paths: [1, \"[\"] } }", "["] {
            assert_eq!(idle_patterns(text.as_bytes(), &[]), [], "{text}");
        }
    }
}
