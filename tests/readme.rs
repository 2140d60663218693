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

/// The table is of the whole program.
#[cfg(feature = "aws")]
#[test]
fn the_settings_are_those_of_the_program() {
    is_printed_by("settings", &["schema", "--settings"]);
}

#[test]
fn the_keys_are_those_of_the_configuration() {
    is_printed_by("keys", &["schema", "--table"]);
}

#[test]
fn the_commands_are_all_that_are_understood() {
    use greenroom::model::Verb;
    let row = |verb: Verb| {
        let command = format!("/{verb} {}", verb.syntax());
        format!("| `{}` | {} |", command.trim_end(), verb.meaning())
    };
    let expected: Vec<String> = Verb::ALL.into_iter().map(row).collect();
    assert_eq!(part("commands").lines().skip(2).collect::<Vec<_>>(), expected);
}

/// One row for the commands that are for the same people.
#[test]
fn who_may_command_is_what_the_policy_says() {
    use greenroom::model::{Permission, StageKind, Verb, default_role};
    let kinds = [StageKind::Ephemeral, StageKind::Permanent, StageKind::Production];
    let mut rows: Vec<([Permission; 3], Vec<String>)> = Vec::new();
    for verb in Verb::ALL.into_iter().filter(|verb| *verb != Verb::Help) {
        let roles = kinds.map(|kind| default_role(verb, kind));
        let name = format!("`{verb}`");
        match rows.iter_mut().find(|(other, _)| *other == roles) {
            Some((_, names)) => names.push(name),
            None => rows.push((roles, vec![name])),
        }
    }
    let row = |(roles, names): &([Permission; 3], Vec<String>)| {
        format!("| {} | {} |", names.join(", "), roles.map(|role| format!("`{}`", role.name())).join(" | "))
    };
    let expected: Vec<String> = rows.iter().map(row).collect();
    let part = part("who");
    assert_eq!(part.lines().skip(2).collect::<Vec<_>>(), expected);
}
