//! A line of the log says each thing once: what its words say stands in no field beside them.

use std::fs;
use std::path::{Path, PathBuf};

const MACROS: [&str; 5] =
    ["tracing::error!(", "tracing::warn!(", "tracing::info!(", "tracing::debug!(", "tracing::trace!("];
/// Words for why something went wrong. Names of lanes and stages are for filters, and stand twice on purpose.
const REASONS: [&str; 4] = ["error", "cause", "reason", "why"];

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// What stands in the brackets that the text is about to close.
fn arguments(text: &str) -> &str {
    let (mut depth, mut in_text, mut is_escaped) = (1_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text => {
                depth -= 1;
                if depth == 0 {
                    return &text[..at];
                }
            }
            _ => {}
        }
    }
    text
}

/// The reason that a line says twice, if it does.
fn said_twice(arguments: &str) -> Option<&'static str> {
    let (fields, words) = arguments.split_once('"')?;
    REASONS.into_iter().find(|reason| {
        let is_field = fields.split(',').map(str::trim).any(|field| {
            let (name, value) = field.split_once('=').map_or((field, ""), |(name, value)| (name.trim(), value.trim()));
            let bare = |text: &str| text.trim_start_matches(['%', '?', '&']) == *reason;
            bare(name) || bare(value)
        });
        is_field && words.contains(&format!("{{{reason}}}"))
    })
}

#[test]
fn no_reason_stands_twice_in_a_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let (mut lines, mut problems) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable source");
        for found in MACROS.iter().flat_map(|name| text.match_indices(name).map(|(at, name)| at + name.len())) {
            lines += 1;
            if let Some(reason) = said_twice(arguments(&text[found..])) {
                let line = text[..found].lines().count();
                problems.push(format!("{}:{line}: `{reason}` is a field and stands in the words too", file.display()));
            }
        }
    }
    assert!(lines > 50, "only {lines} lines were found");
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn a_line_that_says_it_twice_is_found() {
    for (line, expected) in [
        (r#"%error, "it is put off: {error}""#, Some("error")),
        (r#"stage = %id, %error, "the {} is put off: {error}", kind"#, Some("error")),
        (r#"step = %key, error = %cause, "a bug: {cause}""#, Some("cause")),
        (r#"%error, "it is put off""#, None),
        (r#"stage = %id, "it is put off: {error}""#, None),
        (r#"%lane, "lane {lane} stopped""#, None),
    ] {
        assert_eq!(said_twice(line), expected, "{line}");
    }
    assert_eq!(arguments(r#"%error, "a (b) \" c", f(1)); more()"#), r#"%error, "a (b) \" c", f(1)"#);
}
