//! The command line as it is read.
//!
//! Guarantee: what a setting holds is never said again, neither where it is wrong nor in the help. It may
//! be a secret that was put where none belongs, and a log keeps what a program says at its start.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::OsString;
use std::sync::LazyLock;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _, FromArgMatches as _};
use regex::Regex;

use super::{Cli, ExitStatus};
use crate::view::redact;

/// What was given, as every parser of ours quotes it.
static QUOTED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#""(?:[^"\\]|\\.)*""#).expect("the pattern is fixed"));

/// Fewer characters stand in other words too.
const LONG: usize = 8;

impl Cli {
    /// Reads the arguments of the process, its own name first. Help, and what is wrong with them, is printed.
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, ExitStatus> {
        parse(line).map_err(|error| tell(&error))
    }
}

fn parse(line: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = quiet(Cli::command()).try_get_matches_from(line)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))
}

/// The same command, whose help shows no value of the environment.
fn quiet(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(quiet)
}

fn tell(error: &clap::Error) -> ExitStatus {
    // When even this cannot be written, the exit status is all that is left to say.
    let _ = match said(error) {
        Some(text) => clap::Error::raw(error.kind(), text).print(),
        None => error.print(),
    };
    if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Ok }
}

/// What is said in place of the error's own words, where those say too much.
fn said(error: &clap::Error) -> Option<String> {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return None;
    }
    if let Some(text) = of_setting(error) {
        return Some(text);
    }
    let plain = error.render().to_string();
    let shown = redact(&plain, &[]);
    (shown != plain).then(|| shown.strip_prefix("error: ").unwrap_or(&shown).to_owned())
}

/// What is wrong with a setting, without the setting's value.
fn of_setting(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let name = text(ContextKind::InvalidArg)?;
    let value = text(ContextKind::InvalidValue).filter(|value| !value.is_empty())?;
    let variable = settings().remove(name)?;
    let why = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(why), _) => unquoted(&why.to_string(), value),
        (None, Some(ContextValue::Strings(words))) => format!("it is none of {}", words.join(", ")),
        (None, _) => "it is not understood".to_owned(),
    };
    Some(format!(
        "invalid value for '{name}': {why}\n\n\
         It came by the flag or by {variable}, and has {} characters, which are not shown: it may be a secret.\n\n\
         For more information, try '--help'.\n",
        value.chars().count()
    ))
}

/// What an error says of a value, without the value and its parts.
fn unquoted(why: &str, value: &str) -> String {
    let why = QUOTED.replace_all(why, "it");
    if value.len() < LONG { why.into_owned() } else { why.replace(value, "it") }
}

/// The flags that the environment can give too, as errors call them, with their variables.
fn settings() -> BTreeMap<String, String> {
    let mut command = Cli::command();
    command.build();
    let mut found = BTreeMap::new();
    collect(&command, &mut found);
    found
}

fn collect(command: &Command, found: &mut BTreeMap<String, String>) {
    for arg in command.get_arguments() {
        if let Some(variable) = arg.get_env() {
            found.insert(arg.to_string(), variable.to_string_lossy().into_owned());
        }
    }
    command.get_subcommands().for_each(|inner| collect(inner, found));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The last is a key in base64.
    const VALUES: [&str; 6] = [
        "hunter2",
        "me:hunter2@x",
        "a b,hunter2=Hunter2/x y",
        "\"hunter2\"",
        "https://me:hunter2@x/y",
        "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQphSFZ1ZEdWeU1nPT0KLS0tLS1FTkQgUlNBIFBSSVZBVEUgS0VZLS0tLS0K",
    ];

    fn refused(words: &[&str]) -> Option<String> {
        let line = std::iter::once("greenroom").chain(words.iter().copied()).map(OsString::from);
        let error = parse(line).err()?;
        Some(said(&error).unwrap_or_else(|| error.render().to_string()))
    }

    #[test]
    fn no_setting_is_said_again_whatever_it_holds() {
        let mut command = Cli::command();
        command.build();
        let serve = command.find_subcommand("serve").expect("a verb");
        let flags: Vec<String> = serve
            .get_arguments()
            .filter(|arg| arg.get_env().is_some())
            .filter_map(|arg| arg.get_long().map(|flag| format!("--{flag}")))
            .collect();
        assert!(flags.len() > 10, "{flags:?}");
        let (mut count, mut told) = (0, BTreeSet::new());
        for flag in &flags {
            for value in VALUES {
                let mut words = vec!["serve", flag.as_str(), value];
                if flag != "--github-app-id" {
                    words.extend(["--github-app-id", "1"]);
                }
                let Some(said) = refused(&words) else { continue };
                assert!(!said.to_lowercase().contains("hunter2") && !said.contains("LS0t"), "{flag}: {said}");
                told.insert(flag.as_str());
                assert!(said.contains(flag) && said.contains("GREENROOM_"), "it says which: {said}");
                count += 1;
            }
        }
        assert!(count > 30, "only {count} were refused");
        // What each of these holds is looked at where it is used.
        let later = ["--database-url", "--github-api-url", "--aws-permissions-boundary", "--log"];
        for flag in flags.iter().filter(|flag| !told.contains(flag.as_str())) {
            assert!(later.contains(&flag.as_str()), "{flag} takes whatever is given");
        }
    }

    #[test]
    fn what_is_wrong_is_still_said() {
        let said = |words: &[&str]| refused(words).expect("it is wrong");
        let id = said(&["serve", "--github-app-id", "Iv23li0123456789abcd"]);
        assert!(id.contains("it is the App's client id") && id.contains("App ID"), "{id}");
        let target = said(&["serve", "--github-app-id", "1", "--target", "clod"]);
        assert!(target.contains("local") && target.contains("GREENROOM_TARGET"), "{target}");
        let allow = said(&["serve", "--github-app-id", "1", "--allow", "acme"]);
        assert!(allow.contains("owner/name"), "{allow}");
        let stage = said(&["deploy", "PR 1", "--repo", "acme/shop", "--pr", "1"]);
        assert!(stage.contains("'PR 1' for '<STAGE>'"), "what is no setting is shown: {stage}");
        let token = format!("ghp_{}", "a1B2".repeat(9));
        assert!(!said(&["deploy", &token, "--repo", "acme/shop", "--pr", "1"]).contains(&token));
        assert!(refused(&["serve", "--help"]).is_some_and(|help| help.contains("Usage")));
    }
}
