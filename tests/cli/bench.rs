//! A folder to run the program in, and what it said with everything replaced that differs each time.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use regex::Regex;
use tempfile::TempDir;
use tokio::process::Command;

use crate::hang;

/// A folder of one test, and the environment of what runs in it.
pub(crate) struct Bench {
    top: TempDir,
    env: Vec<(String, String)>,
    /// What is replaced, and by what.
    unsteady: Vec<(String, String)>,
}

impl Bench {
    /// The folder is called `shop`.
    pub(crate) fn new() -> Self {
        hang::watch();
        let top = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(top.path().join("shop")).expect("a folder in it");
        Self { top, env: Vec::new(), unsteady: Vec::new() }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.top.path().join("shop")
    }

    pub(crate) fn env(&mut self, name: &str, value: impl Into<String>) {
        self.env.push((name.into(), value.into()));
    }

    /// Shows `text` as `[name]` from now on.
    pub(crate) fn replace(&mut self, text: impl Into<String>, name: &str) {
        self.unsteady.push((text.into(), name.into()));
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.folder().join(path);
        std::fs::create_dir_all(file.parent().expect("inside the folder")).expect("a folder");
        std::fs::write(file, text).expect("a file");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.folder().join(path)).expect("the file is there")
    }

    pub(crate) fn database(&self) -> String {
        format!("sqlite://{}/greenroom.db", self.folder().display())
    }

    /// The program with these arguments, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        command.args(args).current_dir(self.folder()).env_clear().kill_on_drop(true);
        command.env("PATH", "/usr/bin:/bin").envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().await.expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let (out, err) = (text(output.stdout), text(output.stderr));
        let part = |name: &str, text: &str| match text {
            "" => String::new(),
            text => format!("--- {name}\n{}\n", self.steady(text).trim_end_matches('\n')),
        };
        let code = output.status.code().expect("it ended by itself");
        let all = format!("{}{}--- exit {code}", part("stdout", &out), part("stderr", &err));
        Said { code, out, err, all }
    }

    /// The text with everything replaced that differs each time.
    pub(crate) fn steady(&self, text: &str) -> String {
        let mut text = text.replace(&path(self.top.path()), "[top]");
        for (from, to) in &self.unsteady {
            text = text.replace(from, &format!("[{to}]"));
        }
        let patterns = [
            (r"cli-[0-9a-f]{32}", "cli-[id]"),
            (r"\b(\d+m )?\d+(\.\d)?s\b", "[time]"),
            (r"\[time\] {2,}", "[time]  "),
            (r"/[0-9a-f]{16}\b", "/[version]"),
        ];
        for (pattern, to) in patterns {
            text = Regex::new(pattern).expect("a pattern").replace_all(&text, to).into_owned();
        }
        text
    }
}

fn path(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// How a run ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    all: String,
}

impl Said {
    /// All of it, for a snapshot.
    pub(crate) fn all(&self) -> &str {
        &self.all
    }

    /// Standard output as a document, nothing having been said beside it.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.err, "", "nothing stands beside a document");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Standard error as a document: an error's.
    pub(crate) fn json_error(&self) -> serde_json::Value {
        assert_eq!(self.out, "", "an error has no result");
        serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {}", self.err))
    }
}
