//! The floors hold: the table in `src/lib.rs` is read, and so is every source file.
//!
//! A module imports only strictly lower floors. Floors 0 and 1 are pure. Only `app` reads the
//! environment, the clock and randomness. No file has more than 400 lines.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const MOST_LINES: usize = 400;
/// The only reader of the environment, the clock and randomness.
const ROOT_OF_ALL: &str = "app";
/// Crates that do I/O or are asynchronous; a trailing `*` stands for any ending.
const IMPURE_CRATES: [&str; 13] = [
    "async_trait",
    "aws_*",
    "axum",
    "flate2",
    "futures_*",
    "hyper*",
    "octocrab",
    "reqwest",
    "rustix",
    "sqlx",
    "tar",
    "tempfile",
    "tokio*",
];
/// Parts of the standard library that do I/O or tell the time.
const IMPURE_STD: [&str; 8] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];
/// Reads of the environment, the clock and randomness, as ends of paths or as crates. A generator
/// made from a given seed is none.
const SOURCES_OF_CHANCE: [&str; 20] = [
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "Utc::now",
    "env::var",
    "env::var_os",
    "env::vars",
    "env::vars_os",
    "env::current_dir",
    "env::temp_dir",
    "rand::rng",
    "rand::random",
    "rand::make_rng",
    "rngs::ThreadRng",
    "rngs::SysRng",
    "SmallRng::from_os_rng",
    "StdRng::from_os_rng",
    "fastrand",
    "getrandom",
    "uuid",
];

type Floors = BTreeMap<String, u8>;

#[test]
fn each_room_has_tests_of_its_own_to_run() {
    let read = |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name);
    let (script, page) = (read("tests/run"), read("ARCHITECTURE.md"));
    let (_, lookup) = script.split_once("look_up_room() {").expect("the script knows rooms");
    let (lookup, _) = lookup.split_once("\n}\n").expect("it ends");
    let cases = lookup.lines().filter_map(|line| line.trim().split_once(')').map(|(rooms, _)| rooms));
    let known: Vec<&str> = cases.flat_map(|rooms| rooms.split(" | ")).collect();
    let rows: String = page.lines().filter(|line| line.starts_with("| `tests/run ")).collect();
    for room in floors(&read("src/lib.rs")).keys() {
        assert!(known.contains(&room.as_str()), "tests/run does not know the room {room}: {known:?}");
        let is_told = [format!("`tests/run {room}`"), format!("`{room}`")].iter().any(|word| rows.contains(word));
        assert!(is_told, "ARCHITECTURE.md does not say what `tests/run {room}` tells");
    }
}

#[test]
fn the_floors_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floors = floors(&fs::read_to_string(root.join("lib.rs")).expect("src/lib.rs"));
    assert!(floors.len() >= 14 && floors.values().any(|floor| *floor == 0), "the table was read: {floors:?}");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 30, "the sources were found");
    let problems: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).expect("a readable source");
            problems(path.strip_prefix(&root).expect("a file below src"), &text, &floors)
        })
        .collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

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

/// The table of the crate's documentation: lines like ``//! | 3 | `engine`, `store` |``.
fn floors(lib: &str) -> Floors {
    let mut floors = Floors::new();
    for line in lib.lines() {
        let cells: Vec<&str> = line.trim_start_matches("//!").split('|').map(str::trim).collect();
        if let [_, floor, modules, ..] = cells.as_slice()
            && let Ok(floor) = floor.parse()
        {
            floors.extend(modules.split('`').skip(1).step_by(2).map(|module| (module.to_owned(), floor)));
        }
    }
    floors
}

/// Everything wrong with one file, named by its path below `src`.
fn problems(file: &Path, text: &str, floors: &Floors) -> Vec<String> {
    let mut found = Vec::new();
    let mut report = |problem: String| found.push(format!("src/{}: {problem}", file.display()));
    let lines = text.lines().count();
    if lines > MOST_LINES {
        report(format!("{lines} lines; {MOST_LINES} are the most: give a part of it a file of its own"));
    }
    let modules = module_path(file);
    let paths = paths(&tokens(text), modules.len());
    let is_test_file = file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
    for path in paths.iter().filter(|path| !path.in_tests && !is_test_file) {
        if modules.first().is_none_or(|module| module != ROOT_OF_ALL) && path.is_one_of(&SOURCES_OF_CHANCE) {
            report(format!("`{}`: only `{ROOT_OF_ALL}` reads environment, clock and randomness", path.text));
        }
    }
    let Some(own) = modules.first() else { return found };
    let Some(floor) = floors.get(own) else {
        report(format!("`{own}` is on no floor: add it to the table in src/lib.rs"));
        return found;
    };
    for path in &paths {
        let impure = path.is_one_of(&IMPURE_CRATES) || path.is_one_of(&IMPURE_STD);
        if *floor <= 1 && impure && !path.in_tests && !is_test_file {
            report(format!("`{}`: floors 0 and 1 are pure", path.text));
        }
        let Some(module) = path.text.strip_prefix("crate::").and_then(|rest| rest.split("::").next()) else { continue };
        match floors.get(module) {
            _ if module == own => {}
            None => report(format!("`{}`: `{module}` is on no floor", path.text)),
            Some(other) if other < floor => {}
            Some(other) => report(format!("`{}`: `{own}` is on floor {floor}, `{module}` on {other}", path.text)),
        }
    }
    found
}

/// `build/unpack.rs` is `[build, unpack]`; `lib.rs` and `main.rs` are the root.
fn module_path(file: &Path) -> Vec<String> {
    let path = file.with_extension("");
    let mut parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    parts.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
    parts
}

/// A path as the code names it, from the root of its crate.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    text: String,
    in_tests: bool,
}

impl Named {
    /// Whether it begins with one of the names, or ends with one of more than one part.
    fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| {
            if let Some(start) = name.strip_suffix('*') {
                return self.text.starts_with(start) && self.text.contains("::");
            }
            let begins = self.text.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"));
            let ends = self.text.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with("::"));
            begins || (ends && name.contains("::"))
        })
    }
}

/// Identifiers and punctuation, without comments, strings and characters. `::` is one token.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(end) = end_of_literal(rest) {
            end
        } else if c.is_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            c.len_utf8()
        };
        rest = &rest[skip..];
    }
    tokens
}

/// Where the string or character that the text begins with ends, if it begins with one.
fn end_of_literal(text: &str) -> Option<usize> {
    let unprefixed = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r').filter(|raw| prefix < 2 && raw.starts_with(['#', '"'])) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let closing = format!("\"{}", "#".repeat(hashes));
        let body = raw[hashes..].strip_prefix('"')?;
        return Some(text.len() - body.len() + body.find(&closing).map_or(body.len(), |end| end + closing.len()));
    }
    let quote = unprefixed.chars().next().filter(|c| prefix < 2 && matches!(c, '"' | '\''))?;
    let body = &unprefixed[1..];
    // `'a` without a closing quote is a lifetime.
    if quote == '\''
        && !body.starts_with('\\')
        && body.char_indices().nth(1).is_none_or(|(at, _)| !body[at..].starts_with('\''))
    {
        return None;
    }
    let mut escaped = false;
    let end = body.char_indices().find(|(_, c)| {
        let closes = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    Some(text.len() - body.len() + end.map_or(body.len(), |(at, _)| at + 1))
}

/// Every path of at least two parts, groups spread out, `super` resolved at the crate's root.
fn paths(tokens: &[String], depth: usize) -> Vec<Named> {
    let mut found = Vec::new();
    // The braces that are open; those of inline modules say whether they are tests.
    let mut braces: Vec<Option<bool>> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let in_tests = braces.contains(&Some(true));
        match token.as_str() {
            "mod" if tokens.get(at + 2).is_some_and(|next| next == "{") => {
                braces.push(Some(in_tests || follows_cfg_test(&tokens[..at])));
                at += 3;
                continue;
            }
            "{" => braces.push(None),
            "}" => drop(braces.pop()),
            "::" | "$" => {}
            name if is_name(name) && tokens.get(at + 1).is_some_and(|next| next == "::") => {
                let inline = braces.iter().flatten().count();
                let mut spread = Vec::new();
                at = spread_out(tokens, at, "", &mut spread);
                let rooted = spread.into_iter().map(|text| from_root(&text, depth + inline));
                found.extend(rooted.map(|text| Named { text, in_tests }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn follows_cfg_test(before: &[String]) -> bool {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    before
        .rsplit(|token| token == "}" || token == ";")
        .next()
        .is_some_and(|near| near.windows(7).any(|w| w == attribute))
}

/// Adds the paths that begin at a token, and answers where they end.
fn spread_out(tokens: &[String], mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") if path.ends_with("::") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = if tokens[at] == "," { at + 1 } else { spread_out(tokens, at, &path, found).max(at + 1) };
                }
                return at + 1;
            }
            Some(name) if is_name(name) || name == "*" => path.push_str(name),
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_none_or(|next| next != "::") {
            break;
        }
        path.push_str("::");
        at += 1;
    }
    found.push(path.trim_end_matches(':').to_owned());
    // `as other_name` inside a group.
    if tokens.get(at).is_some_and(|token| token == "as") { at + 2 } else { at }
}

/// `super::super::port::Clock`, two modules deep, is `crate::port::Clock`.
fn from_root(path: &str, depth: usize) -> String {
    let below = path.trim_start_matches("self::");
    let rest = below.trim_start_matches("super::");
    let ups = (below.len() - rest.len()) / "super::".len();
    if ups > 0 && ups >= depth { format!("crate::{rest}") } else { path.to_owned() }
}

#[test]
fn the_table_is_read() {
    let table = "//! | floor | modules |\n//! |---|---|\n//! | 3 | `engine`, `store` |\n//! | 0 | `model` |\n";
    let expected = [("engine", 3), ("model", 0), ("store", 3)];
    assert_eq!(floors(table), expected.map(|(name, floor)| (name.to_owned(), floor)).into());
}

/// What is found in a file of the given name with the given content.
fn found(file: &str, text: &str) -> Vec<String> {
    let floors = [("app", 5), ("server", 4), ("engine", 3), ("store", 3), ("port", 2), ("view", 1), ("model", 0)];
    problems(Path::new(file), text, &floors.map(|(name, floor)| (name.to_owned(), floor)).into())
}

#[test]
fn a_violation_is_caught_however_it_is_written() {
    for (file, text, reason) in [
        ("store/mod.rs", "use crate::engine::Tick;", "`engine` on 3"),
        ("store/mod.rs", "use crate::{model::Plan, engine::{self, Tick}};", "`engine` on 3"),
        ("store/mod.rs", "use crate::{\n    model,\n    server::Door as D,\n};", "`server` on 4"),
        ("store/mod.rs", "fn f() -> crate::app::Settings { todo() }", "`app` on 5"),
        ("store/mod.rs", "use super::engine::Tick;", "`engine` on 3"),
        ("store/sqlite.rs", "use super::super::engine;", "`engine` on 3"),
        ("store/mod.rs", "mod inner { use super::super::engine::Tick; }", "`engine` on 3"),
        ("store/mod.rs", "#[cfg(test)] mod tests { use crate::engine::Tick; }", "`engine` on 3"),
        ("model/id.rs", "use crate::port::Clock;", "`port` on 2"),
        ("port/mod.rs", "use crate::nowhere::X;", "`nowhere` is on no floor"),
        ("attic/mod.rs", "", "`attic` is on no floor"),
        ("view/html.rs", "use tokio::sync::Mutex;", "pure"),
        ("view/html.rs", "use std::{fmt, fs};", "pure"),
        ("model/id.rs", "fn f() { std::time::Instant::now(); }", "pure"),
        ("model/id.rs", "use aws_sdk_ecs::Client;", "pure"),
        ("engine/mod.rs", "let now = SystemTime::now();", "only `app`"),
        ("engine/mod.rs", "let now = jiff::Timestamp::now();", "only `app`"),
        ("server/mod.rs", "std::env::var(\"HOME\")", "only `app`"),
        ("store/mod.rs", "fn f() { rand::rng().next_u64() }", "only `app`"),
        ("main.rs", "use std::env; fn main() { env::var(\"X\"); }", "only `app`"),
        ("store/mod.rs", "const Q: char = '\"'; use crate::engine::Tick; const R: char = '\"';", "`engine` on 3"),
        ("store/mod.rs", "fn f<'a>(x: &'a str) {} use crate::engine::Tick; fn g<'a>() {}", "`engine` on 3"),
        ("view/html.rs", &"\n".repeat(401), "401 lines"),
    ] {
        let found = found(file, text);
        let all = found.iter().all(|problem| problem.contains(reason));
        assert!(!found.is_empty() && all, "{file}: {text}: {found:?}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (file, text) in [
        ("store/mod.rs", "use crate::model::{Plan, Step}; use crate::port::Store; use tokio::fs; mod sqlite;"),
        ("store/sqlite/row.rs", "use super::super::engine; use super::app; use crate::store::Row;"),
        ("store/mod.rs", "#[cfg(test)] mod tests { use super::engine::X; fn f() { std::env::vars(); } }"),
        ("store/mod.rs", "// crate::engine::Tick\n/* crate::app::X */ const T: &str = \"crate::engine::X\";"),
        ("store/mod.rs", "const T: &str = r#\"a \" crate::engine::X\"#; const U: &[u8] = b\"crate::app::X\";"),
        ("view/html.rs", "use std::fmt; use serde::Serialize; fn f(tokio: u8) {}"),
        (
            "app.rs",
            "use crate::server::Door; use std::env; fn f() { env::var(\"X\"); rand::rng(); SystemTime::now(); }",
        ),
        ("store/mod.rs", "let begun = std::time::Instant::now(); let operand::X = rand_like::f();"),
        ("app/settings.rs", "use std::env; fn f() { env::var(\"X\"); }"),
        ("store/mod.rs", "use rand::{RngExt, SeedableRng, rngs::SmallRng}; fn f() { SmallRng::seed_from_u64(7) }"),
        ("engine/tests.rs", "fn f() { std::env::var(\"X\"); }"),
        ("lib.rs", "pub mod engine; pub use crate::app::run;"),
    ] {
        assert_eq!(found(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}
