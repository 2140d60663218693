//! What zizmor, actionlint and shellcheck find in what is handed out: nothing.
//!
//! `tests/run` installs them and says where they are.

#![expect(clippy::disallowed_methods, reason = "a test finds its tools by what tests/run says")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::hang;
use crate::world::{read, root};

/// What actionlint says of what is newer than it: the file, the line that it points to, what it says, and why it
/// is wrong.
const NEWER: [(&str, &str, &str, &str); 2] = [
    (
        "deploy.yml",
        "      deployment: false",
        "unexpected key \"deployment\" for \"environment\" section",
        "GitHub has it since March 2026",
    ),
    (
        "greenroom-build.yml",
        "  workflow_dispatch:",
        "maximum number of inputs for \"workflow_dispatch\" event is 10",
        "GitHub takes 25 since December 2025",
    ),
];

fn tool(variable: &str) -> PathBuf {
    let path = std::env::var(variable);
    let path = path.unwrap_or_else(|_| panic!("set {variable} to the program, or run tests/run, which installs it"));
    PathBuf::from(path)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// Those that users copy, and our own.
fn workflows() -> Vec<String> {
    let names = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let names = entries.flatten().map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy()));
        names.collect::<Vec<String>>()
    };
    let mut all = [names("workflows"), names(".github/workflows")].concat();
    all.sort();
    assert!(all.len() >= 8, "{all:?}");
    all
}

#[test]
fn zizmor_finds_nothing() {
    hang::watch();
    let mut command = Command::new(tool("GREENROOM_TEST_ZIZMOR"));
    command.args(["--offline", "--persona", "pedantic", "--no-config", "--color", "never", "action.yml"]);
    let output = command.args(workflows()).current_dir(root()).output().expect("zizmor runs");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("No findings to report"), "{}", said(&output));
}

/// As they are written for somebody, with more stages than the example has.
#[test]
fn zizmor_finds_nothing_in_what_init_writes() {
    hang::watch();
    let folder = crate::init::shop();
    assert_eq!(crate::init::init(folder.path()).code, Some(0));
    let mut command = Command::new(tool("GREENROOM_TEST_ZIZMOR"));
    command.args(["--offline", "--persona", "pedantic", "--no-config", "--color", "never", "."]);
    let output = command.current_dir(folder.path()).output().expect("zizmor runs");
    assert!(
        output.status.success() && said(&output).contains("completed .github/workflows/deploy.yml"),
        "{}",
        said(&output)
    );
}

/// Each exception stands at its line with a reason, and is of one kind.
#[test]
fn what_zizmor_is_told_to_pass_over_says_why() {
    for name in workflows() {
        for line in read(&name).lines().filter(|line| line.contains("zizmor:")) {
            let (_, rest) = line.split_once("# zizmor: ignore[").unwrap_or_else(|| panic!("{name}: {line}"));
            let (rule, why) = rest.split_once("] ").unwrap_or_else(|| panic!("{name}: why? {line}"));
            assert!(["unpinned-uses", "dangerous-triggers"].contains(&rule) && why.len() > 20, "{name}: {line}");
        }
    }
}

#[test]
fn actionlint_finds_nothing() {
    hang::watch();
    let mut output = String::new();
    // It reads what lies where workflows lie.
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join(".github/workflows");
    fs::create_dir_all(&place).expect("a folder");
    for name in workflows() {
        let (_, file) = name.rsplit_once('/').expect("a folder");
        assert!(!place.join(file).exists(), "two workflows are called {file}");
        fs::copy(root().join(&name), place.join(file)).expect("a copy");
    }
    let run = Command::new(tool("GREENROOM_TEST_ACTIONLINT"))
        .args(["--no-color", ".github/workflows/*.yml"])
        .env("NO_COLOR", "1")
        .current_dir(folder.path())
        .output()
        .expect("actionlint runs");
    output.push_str(&said(&run));
    assert!(output.contains(&format!("Checking {} workflow file(s)", workflows().len())), "{output}");
    let head = regex::Regex::new(r"(?m)^\.github/workflows/([a-z0-9-]+\.yml):(\d+):\d+ (.*)$").expect("a pattern");
    let mut unseen = NEWER.to_vec();
    let mut found = Vec::new();
    for line in head.captures_iter(&output) {
        let [file, number, message] = [1, 2, 3].map(|at| line.get(at).map_or("", |found| found.as_str()));
        let text = fs::read_to_string(place.join(file)).expect("it was copied");
        let pointed = number.parse::<usize>().ok().and_then(|number| text.lines().nth(number - 1)).unwrap_or_default();
        let excepted =
            |known: &(&str, &str, &str, &str)| known.0 == file && known.1 == pointed && message.starts_with(known.2);
        match unseen.iter().position(excepted) {
            Some(at) => drop(unseen.remove(at)),
            None => found.push(format!("{file}:{number}: {message}")),
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(unseen.is_empty(), "actionlint knows by now, take it out: {unseen:#?}");
}

/// The scripts of the Action, and what workflows run.
#[test]
fn shellcheck_finds_nothing() {
    hang::watch();
    let folder = tempfile::tempdir().expect("a folder");
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(root().join("action")).expect("a folder").flatten() {
        files.extend(Some(entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "sh")));
    }
    for (number, (name, script)) in workflows().iter().flat_map(|name| crate::workflows::scripts_of(name)).enumerate() {
        let path = folder.path().join(format!("{number}.sh"));
        fs::write(&path, format!("#!/usr/bin/env bash\n# {name}\nset -e\n{script}\n")).expect("a file");
        files.push(path);
    }
    assert!(files.len() > 4, "{files:?}");
    let output = Command::new(tool("GREENROOM_TEST_SHELLCHECK")).args(&files).output().expect("shellcheck runs");
    assert!(output.status.success(), "{}", said(&output));
}
