//! The README's tables are printed by the program, so that they cannot be out of date.

use std::path::Path;
use std::process::Command;

/// What stands between `<!-- name -->` and `<!-- /name -->`.
fn part(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(file).expect("there is a README");
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let inner = readme.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).map(|(inner, _)| inner);
    inner.unwrap_or_else(|| panic!("the README has no part between {begin:?} and {end:?}")).trim().to_owned()
}

fn is_printed_by(name: &str, args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    let output = command.args(args).env_clear().output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let command = args.join(" ");
    assert!(printed.lines().count() > 10, "`greenroom {command}` prints a table:\n{printed}");
    assert!(
        part(name) == printed.trim(),
        "put what `greenroom {command}` prints between `<!-- {name} -->` and `<!-- /{name} -->` in README.md"
    );
}

#[test]
fn the_settings_are_those_of_the_program() {
    is_printed_by("settings", &["schema", "--settings"]);
}

#[test]
fn the_keys_are_those_of_the_configuration() {
    is_printed_by("keys", &["schema", "--table"]);
}
