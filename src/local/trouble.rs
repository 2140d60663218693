//! Why a program cannot be run, in words that fit: the kernel's own are a few for many causes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::io::Errno;

use super::warden::Order;
use crate::model::{Failure, FailureKind};
use crate::port::{PortError, is_own_exhaustion};

/// Read of a file to see what it is; longer interpreters' names are cut by the kernel too.
const FIRST_BYTES: u64 = 256;
/// Variables that are named because they are large.
const LARGE: usize = 3;
/// The longest single argument or variable. Source: execve(2), `MAX_ARG_STRLEN`.
const LONGEST_STRING: usize = 128 * 1024;
const NAME_ONE: &str = "Name a program that is on the server's PATH, or a file of the repository as `./name`.";

/// What there is under a program's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    /// A file of the repository: the name has a slash in it.
    of_repository: bool,
    kind: Kind,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Kind {
    /// Nothing, or a bare name, which is looked for on the PATH.
    #[default]
    Absent,
    Folder,
    File {
        mode: u32,
        /// How it begins.
        first: Vec<u8>,
        interpreter: Interpreter,
    },
}

/// What the first line of a script asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Interpreter {
    Nothing,
    There,
    Missing(String),
    /// The kernel takes the return at the end of the line for a part of the name.
    WithReturn,
}

/// The failure of a start; what this server lacks itself passes.
pub(super) fn cannot_run(order: &Order, error: &io::Error) -> PortError {
    if is_own_exhaustion(error) {
        return PortError::retry(format!("this server has nothing left to start a program with: {error}"));
    }
    let seen = order.command.first().map(|program| look(&order.folder, program)).unwrap_or_default();
    PortError::Failed(Box::new(explain(order, &seen, error)))
}

/// Advice on a script that ran and found nothing to run it with: `env` says so with this exit code.
pub(super) fn of_exit_code(folder: &Path, command: &[String], code: i32) -> Option<String> {
    let program = command.first().filter(|_| code == 127)?;
    let is_for_windows = matches!(look(folder, program).kind, Kind::File { interpreter: Interpreter::WithReturn, .. });
    is_for_windows.then(|| line_ends(program))
}

fn look(folder: &Path, program: &str) -> Seen {
    if !program.contains('/') {
        return Seen::default();
    }
    let path = folder.join(program);
    let kind = match path.metadata() {
        Err(_) => Kind::Absent,
        Ok(data) if data.is_dir() => Kind::Folder,
        Ok(data) => {
            let first = beginning(&path).unwrap_or_default();
            Kind::File { mode: data.permissions().mode(), interpreter: interpreter(&first), first }
        }
    };
    Seen { of_repository: !program.starts_with('/'), kind }
}

fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    File::open(path)?.take(FIRST_BYTES).read_to_end(&mut first)?;
    Ok(first)
}

fn interpreter(first: &[u8]) -> Interpreter {
    let line = first.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
    let Some(line) = line.map(String::from_utf8_lossy) else { return Interpreter::Nothing };
    let name = line.split_whitespace().next().unwrap_or_default();
    match name {
        _ if line.ends_with('\r') => Interpreter::WithReturn,
        name if Path::new(name).exists() => Interpreter::There,
        name => Interpreter::Missing(name.to_owned()),
    }
}

fn explain(order: &Order, seen: &Seen, error: &io::Error) -> Failure {
    let program = order.command.first().map_or("", String::as_str);
    let (summary, advice) = match (Errno::from_io_error(error), &seen.kind) {
        (Some(Errno::ACCESS), Kind::Folder) => {
            (format!("`{program}` is a folder"), "Name the program in it that is to run.".to_owned())
        }
        (Some(Errno::ACCESS), Kind::File { mode, .. }) if mode & 0o111 == 0 => not_executable(program, seen),
        (Some(Errno::NOENT), Kind::Absent) if is_several_words(&order.command) => one_word(program),
        (Some(Errno::NOENT), Kind::File { interpreter, .. }) => not_startable(program, interpreter),
        (Some(Errno::NOENT), Kind::Absent) if seen.of_repository => (
            format!("there is no file `{program}` in the commit"),
            "Name a file of the repository as `./name`, from the folder that the service is built from.".to_owned(),
        ),
        (Some(Errno::NOENT), Kind::Absent) => {
            (format!("there is no program `{program}` on this server"), NAME_ONE.to_owned())
        }
        (Some(Errno::NOEXEC), Kind::File { first, .. }) => no_program(program, first),
        (Some(Errno::TOOBIG), _) => too_big(order, program),
        _ => (format!("`{program}` cannot be run: {error}"), NAME_ONE.to_owned()),
    };
    Failure::new(FailureKind::Exited, summary, advice)
}

/// The file is there; what is missing is something that it needs.
fn not_startable(program: &str, interpreter: &Interpreter) -> (String, String) {
    match interpreter {
        Interpreter::WithReturn => (
            format!("`{program}` cannot be run: the line that names its interpreter ends in CR LF"),
            line_ends(program),
        ),
        Interpreter::Missing(asked) => (
            format!("`{program}` asks for the interpreter `{asked}`, which this server does not have"),
            format!("Install `{asked}` on the server, or begin the file with one that is there."),
        ),
        Interpreter::Nothing | Interpreter::There => (
            format!("`{program}` needs a loader or a library that this server does not have"),
            "Build it for this system (`ldd` names what it needs), or link it statically.".to_owned(),
        ),
    }
}

fn not_executable(program: &str, seen: &Seen) -> (String, String) {
    let summary = format!("`{program}` may not be executed: it has no execute bit");
    let advice = if seen.of_repository {
        let file = program.trim_start_matches("./");
        format!("Give it one: `git update-index --chmod=+x {file}`, commit and push. Git keeps it from then on.")
    } else {
        format!("Give it one on the server: `chmod +x {program}`.")
    };
    (summary, advice)
}

fn line_ends(program: &str) -> String {
    let file = program.trim_start_matches("./");
    format!(
        "Save it with LF at the ends of its lines. `{file} text eol=lf` in `.gitattributes`, then \
         `git add --renormalize {file}`, and it stays so on Windows too."
    )
}

/// A whole command line in place of a program.
fn is_several_words(command: &[String]) -> bool {
    matches!(command, [only] if only.split_whitespace().nth(1).is_some())
}

fn one_word(program: &str) -> (String, String) {
    let for_a_shell = program.contains(['|', '&', ';', '<', '>', '$', '*', '"', '\'', '`', '(']);
    let words: Vec<&str> = if for_a_shell { vec!["sh", "-c", program] } else { program.split_whitespace().collect() };
    // Words that were read from YAML can be written as JSON, which is YAML too.
    let list = serde_json::to_string(&words).unwrap_or_default();
    (
        format!("`{program}` is the name of no program: it is a whole command line in one word"),
        format!("A command is a list of words: {list}"),
    )
}

fn no_program(program: &str, first: &[u8]) -> (String, String) {
    let advice = if first.starts_with(b"\x7fELF") {
        "It is built for another kind of machine: build it for this one."
    } else if first.is_empty() {
        "It is empty. With Git LFS or a build, see that its content is in the commit."
    } else {
        "Begin it with a line that names its interpreter, such as `#!/bin/sh`, or run that: `[\"sh\", \"./name\"]`."
    };
    (format!("`{program}` is no program that this machine can run"), advice.to_owned())
}

/// Sizes and names are told, values never.
fn too_big(order: &Order, program: &str) -> (String, String) {
    let mut sizes: Vec<(usize, &str)> =
        order.env.iter().map(|(name, value)| (name.len() + value.len() + 2, name.as_str())).collect();
    sizes.sort_unstable();
    sizes.reverse();
    let named: Vec<String> =
        sizes.iter().take(LARGE).map(|(size, name)| format!("`{name}` has {} KiB", size.div_ceil(1024))).collect();
    let arguments: usize = order.command.iter().map(|word| word.len() + 1).sum();
    let is_argument = order.command.iter().any(|word| word.len() >= LONGEST_STRING) || arguments >= LONGEST_STRING;
    let what = if is_argument { "its arguments are" } else { "its environment is" };
    (
        format!("`{program}` cannot be run: {what} larger than Linux passes on ({})", named.join(", ")),
        "One argument or variable has 128 KiB at most, all together about 2 MiB. Put what is larger into a file and \
         name that."
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    fn order(folder: &Path, command: &[&str]) -> Order {
        Order {
            marker: "m".into(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            folder: folder.to_path_buf(),
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            log: folder.join("log"),
            end: folder.join("end"),
            patience_millis: 0,
        }
    }

    /// What the kernel really says of it, and what we make of that.
    fn told(order: &Order) -> (String, String) {
        let program = &order.command[0];
        let path = if program.contains('/') { order.folder.join(program) } else { program.into() };
        let mut command = std::process::Command::new(path);
        command.args(&order.command[1..]).env_clear().envs(&order.env).current_dir(&order.folder);
        let error = command.spawn().expect_err("it cannot be run");
        match cannot_run(order, &error) {
            PortError::Failed(failure) => (failure.summary, failure.advice),
            other => panic!("{other:?}"),
        }
    }

    fn file(folder: &Path, name: &str, content: &[u8], mode: u32) {
        let path = folder.join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    #[test]
    fn each_cause_has_a_way_out_that_fits() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        file(folder, "plain.sh", b"#!/bin/sh\n", 0o644);
        file(folder, "windows.sh", b"#!/bin/sh\r\necho\r\n", 0o755);
        file(folder, "exotic", b"#!/opt/exotic/9/bin/run -x\n", 0o755);
        fs::create_dir(folder.join("bin")).expect("a folder");
        let cases: [(&[&str], &str, &str); 8] = [
            (&["./plain.sh"], "has no execute bit", "git update-index --chmod=+x plain.sh"),
            (&["./windows.sh"], "ends in CR LF", "eol=lf"),
            (&["./exotic"], "the interpreter `/opt/exotic/9/bin/run`", "Install"),
            (&["./bin"], "is a folder", "the program in it"),
            (&["./gone"], "no file `./gone` in the commit", "a file of the repository"),
            (&["no-such-program-anywhere"], "no program `no-such-program-anywhere`", "PATH"),
            (&["python3 app.py --port 1"], "in one word", r#"["python3","app.py","--port","1"]"#),
            (&["npm ci && npm start"], "in one word", r#"["sh","-c","npm ci && npm start"]"#),
        ];
        for (command, summary, advice) in cases {
            let (said, way_out) = told(&order(folder, command));
            assert!(said.contains(summary) && way_out.contains(advice), "{command:?}: {said} / {way_out}");
        }
    }

    #[test]
    fn what_is_too_large_is_named_and_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut large = order(folder.path(), &["true"]);
        large.env.insert("BIG".into(), "hush".repeat(50_000));
        let (said, way_out) = told(&large);
        assert!(said.contains("its environment is larger") && said.contains("`BIG` has 196 KiB"), "{said}");
        assert!(!said.contains("hush") && way_out.contains("128 KiB"), "{said} / {way_out}");
    }

    #[test]
    fn a_file_of_another_machine_is_told_from_one_without_a_first_line() {
        let of = |first: &[u8]| no_program("./x", first).1;
        assert!(of(b"\x7fELF\x02").contains("another kind of machine"));
        assert!(of(b"").contains("empty"));
        assert!(of(b"echo hi").contains("#!/bin/sh"));
    }

    #[test]
    fn a_script_for_windows_is_known_by_what_env_says_too() {
        let folder = tempfile::tempdir().expect("a folder");
        file(folder.path(), "app", b"#!/usr/bin/env python3\r\n", 0o755);
        let command = ["./app".to_owned()];
        assert!(of_exit_code(folder.path(), &command, 127).is_some_and(|advice| advice.contains("eol=lf")));
        assert_eq!(of_exit_code(folder.path(), &command, 1), None);
        assert_eq!(of_exit_code(folder.path(), &["sh".to_owned()], 127), None);
    }
}
