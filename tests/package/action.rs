//! `action.yml`: that every input reaches the program, every output leaves it, and nothing else is in it.

use std::collections::BTreeMap;

use crate::world::read;

/// What a program of this version is given.
pub(crate) const INPUTS: [&str; 15] = [
    "command",
    "stage",
    "services",
    "config",
    "aws-region",
    "role",
    "wait",
    "timeout",
    "comment",
    "target",
    "version",
    "binary",
    "dry-run",
    "state",
    "github-token",
];
/// What it says.
pub(crate) const OUTPUTS: [&str; 11] = [
    "stage",
    "url",
    "urls",
    "state",
    "sha",
    "image-digests",
    "release",
    "reason",
    "deployment-id",
    "log-url",
    "result",
];
/// Some of those that the Marketplace has.
const ICONS: [&str; 4] = ["layers", "cloud", "git-pull-request", "upload-cloud"];
const COLOURS: [&str; 8] = ["white", "black", "yellow", "blue", "green", "orange", "red", "purple"];

/// An entry of `inputs` or `outputs`: its keys with what they say.
pub(crate) type Entry = (String, BTreeMap<String, String>);

/// The entries below a key at the top, in order. The file keeps to one key a line.
pub(crate) fn entries(block: &str) -> Vec<Entry> {
    let text = read("action.yml");
    let (_, rest) = text.split_once(&format!("\n{block}:\n")).unwrap_or_else(|| panic!("action.yml has {block}"));
    let mut found: Vec<Entry> = Vec::new();
    for line in rest.lines().take_while(|line| line.is_empty() || line.starts_with(' ')).filter(|line| !line.is_empty())
    {
        let (key, value) = line.trim().split_once(':').unwrap_or_else(|| panic!("a key: {line}"));
        let value = value.trim();
        let plain = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value);
        assert!(!plain.contains('\\') && !plain.starts_with(['|', '>', '\'']), "this reader knows plain texts: {line}");
        match line.len() - line.trim_start().len() {
            2 => found.push((key.to_owned(), BTreeMap::new())),
            4 => drop(found.last_mut().map(|(_, keys)| keys.insert(key.to_owned(), plain.to_owned()))),
            depth => panic!("nothing is so deep ({depth}): {line}"),
        }
    }
    found
}

fn names(block: &str) -> Vec<String> {
    entries(block).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn inputs_and_outputs_are_those_of_the_program() {
    assert_eq!(names("inputs"), INPUTS);
    assert_eq!(names("outputs"), OUTPUTS);
}

#[test]
fn each_input_goes_by_the_environment_and_each_output_comes_from_the_step() {
    let text = read("action.yml");
    for name in INPUTS {
        let variable = name.to_uppercase().replace('-', "_");
        let line = format!("\n        GREENROOM_ACTION_{variable}: ${{{{ inputs.{name} }}}}\n");
        assert_eq!(text.matches(&line).count(), 1, "{line}");
    }
    assert_eq!(text.matches("GREENROOM_ACTION_").count(), INPUTS.len(), "and nothing else does");
    // Or a gate that asks for green checks waits for the very job that asks.
    let own = "\n        GREENROOM_JOB_CHECK: ${{ job.check_run_id }}\n";
    assert!(text.contains(own) && sources(&crate::world::root().join("src")).contains("\"GREENROOM_JOB_CHECK\""));
    for (name, keys) in entries("outputs") {
        assert_eq!(keys["value"], format!("${{{{ steps.greenroom.outputs.{name} }}}}"));
    }
    for (name, keys) in entries("inputs") {
        let expected = if name == "github-token" { "${{ github.token }}" } else { &keys["default"] };
        assert!(keys["default"] == expected && !keys.contains_key("required"), "{name}");
        assert!(name == "github-token" || !keys["default"].contains("${{"), "{name}");
    }
}

#[test]
fn there_is_one_step_and_no_expression_in_its_script() {
    let text = read("action.yml");
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    assert_eq!(code.iter().filter(|line| line.trim_start().starts_with("- ")).count(), 1);
    assert!(!code.iter().any(|line| line.contains("uses:")), "nothing of others runs in it");
    for key in ["run:", "shell:"] {
        let lines: Vec<&&str> = code.iter().filter(|line| line.trim_start().starts_with(key)).collect();
        assert!(lines.len() == 1 && !lines[0].contains("${{") && !lines[0].ends_with('|'), "{lines:?}");
    }
    let line = code.iter().find(|line| line.trim_start().starts_with("run:")).expect("a script");
    assert!(line.contains("run: exec "), "signals reach the program: {line}");
}

#[test]
fn the_marketplace_has_what_it_asks_for() {
    let text = read("action.yml");
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix(key));
        line.unwrap_or_else(|| panic!("action.yml says {key}")).trim().to_owned()
    };
    assert!(!value("name:").is_empty() && !value("author:").is_empty());
    assert!(value("description:").len() <= 125, "a longer one is cut in lists");
    assert!(ICONS.contains(&value("icon:").as_str()) && COLOURS.contains(&value("color:").as_str()));
}

/// Whoever writes a line by hand is told what is wrong with it.
#[test]
fn the_committed_checksums_are_well_formed() {
    let text = read("action/checksums.txt");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (sources, releases): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("source "));
    assert!(sources.len() == 1 && sources[0].starts_with("source https://"), "{sources:?}");
    let mut seen = std::collections::BTreeSet::new();
    for line in releases {
        let words: Vec<&str> = line.split(' ').collect();
        let [version, platform, packed, program] = words[..] else { panic!("four words: {line}") };
        assert!(version.split('.').count() == 3 && version.starts_with(char::is_numeric), "{line}");
        assert!(["linux-x64", "linux-arm64", "macos-x64", "macos-arm64"].contains(&platform), "{line}");
        let is_digest =
            |word: &str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit() && !c.is_uppercase());
        assert!(is_digest(packed) && is_digest(program) && packed != program, "{line}");
        assert!(seen.insert((version, platform)), "twice: {line}");
    }
}

/// The texts of all sources below a folder.
fn sources(folder: &std::path::Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.push_str(&sources(&path));
        } else {
            all.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
    all
}

/// `version` and `binary` are the script's, the others the program's.
#[test]
fn the_program_reads_each_input_that_the_script_does_not() {
    let code = sources(&crate::world::root().join("src"));
    if !code.contains("GREENROOM_ACTION_COMMAND") {
        return;
    }
    let own = regex::Regex::new("GREENROOM_ACTION_([A-Z_]+)").expect("a pattern");
    let mut read: Vec<String> =
        own.captures_iter(&code).map(|found| found[1].to_lowercase().replace('_', "-")).collect();
    read.sort();
    read.dedup();
    let mut expected: Vec<&str> = INPUTS.into_iter().filter(|name| !["version", "binary"].contains(name)).collect();
    expected.sort_unstable();
    assert_eq!(read, expected);
}
