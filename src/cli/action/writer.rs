//! The one place where a step writes: its log, and the files that the runner reads.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use crate::app;
use crate::app::action::Runner;
use crate::view::{
    StepReport, annotate, annotations, group, harmless, mask, output_file, outputs, quoted, redact, step_summary,
};

/// Lines of a failed program that the log of the step shows.
const MOST_QUOTED: usize = 200;

/// The step's log. What it is given is somebody else's text: no command of it reaches the runner.
pub(super) struct StepLog {
    out: Box<dyn Write + Send>,
}

impl StepLog {
    pub(super) fn standard() -> Self {
        Self { out: Box::new(io::stdout()) }
    }

    /// A line.
    pub(super) fn say(&mut self, text: &str) {
        self.command(&harmless(text));
    }

    /// Has the runner take secrets out of whatever is logged from here on.
    pub(super) fn hide(&mut self, secrets: &[SecretString]) {
        for secret in secrets {
            for line in mask(secret.expose_secret()) {
                self.command(&line);
            }
        }
    }

    /// Lines of a program, folded.
    fn quote(&mut self, title: &str, lines: &[String]) {
        self.command(&group(title));
        for line in quoted(&lines[lines.len().saturating_sub(MOST_QUOTED)..], &app::chance_id()) {
            self.command(&line);
        }
        self.command("::endgroup::");
    }

    /// A line that the runner may read as a command.
    fn command(&mut self, line: &str) {
        // A log that nobody reads any more is no reason to stop working.
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
}

/// A writer for whoever writes lines by itself.
pub(super) struct HarmlessLines(pub(super) io::Stdout);

impl Write for HarmlessLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        for line in text.to_string().lines() {
            writeln!(self.0, "{}", harmless(line))?;
        }
        Ok(())
    }
}

/// Writes what a step came to: log, annotations, summary, outputs. What cannot be written is said in the log.
pub(super) fn publish(report: &StepReport, runner: &Runner, log: &mut StepLog) {
    for stage in &report.stages {
        if let Some(failure) = stage.view.failure.as_ref().filter(|failure| !failure.log.is_empty()) {
            log.quote(&format!("The last lines of {}: {}", stage.view.stage, failure.summary), &failure.log);
        }
    }
    for text in &report.shown {
        for line in text.lines() {
            log.say(line);
        }
    }
    for annotation in annotations(report) {
        log.command(&annotate(&annotation));
    }
    let mut file = String::new();
    for (name, value) in outputs(report) {
        // Of the value as it leaves; a secret in a file of the runner's is one in the log of a later step.
        match output_file(name, &redact(&value, &[]), &format!("greenroom_{}", app::chance_id())) {
            Ok(text) => file.push_str(&text),
            Err(clash) => log.say(&clash.to_string()),
        }
    }
    let files = [
        ("GITHUB_OUTPUT", runner.output.as_deref(), file),
        ("GITHUB_STEP_SUMMARY", runner.summary.as_deref(), step_summary(report)),
    ];
    for (variable, path, text) in files {
        match path.map(|path| append(path, &text)) {
            Some(Ok(())) => {}
            Some(Err(error)) => log.say(&format!("what belongs into {variable} is lost: {error}")),
            None => log.say(&format!("{variable} is not set: what belongs there is not written")),
        }
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())
}
