//! Where a command's words go: its result to standard output, all else to standard error.
//!
//! A reader who went away (a closed pipe) is no error. What is written is redacted.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::ExitStatus;
use crate::model::Failure;
use crate::port::PortError;
use crate::view::redact;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON document on standard output; errors as one on standard error.
    Json,
}

/// Writes a command's result, notes and errors.
pub struct Printer {
    format: OutputFormat,
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
}

impl Printer {
    /// Writes to the process's own standard streams.
    pub fn standard(format: OutputFormat) -> Self {
        Self::new(format, Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// Writes to the given streams.
    pub fn new(format: OutputFormat, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self { format, out, err }
    }

    /// The chosen format.
    pub fn format(&self) -> OutputFormat {
        self.format
    }

    /// The command's result: the value as JSON, or what `human` makes of it.
    pub fn result<T: Serialize>(&mut self, value: &T, human: impl FnOnce(&T) -> String) -> io::Result<()> {
        match self.format {
            OutputFormat::Human => write(&mut self.out, &redact(&human(value), &[])),
            OutputFormat::Json => {
                let mut document = serde_json::to_value(value).map_err(io::Error::other)?;
                redact_document(&mut document);
                write(&mut self.out, &format!("{document:#}"))
            }
        }
    }

    /// A line for people about what happens, on standard error; nothing as JSON.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        match self.format {
            OutputFormat::Human => write(&mut self.err, &redact(text, &[])),
            OutputFormat::Json => Ok(()),
        }
    }

    /// An error with its causes, and the status that the command ends with.
    pub fn error(&mut self, error: &anyhow::Error) -> ExitStatus {
        let status = ExitStatus::of_error(error);
        let causes: Vec<String> = error.chain().map(what_happened).collect();
        let failure = error.chain().find_map(failure);
        let text = match self.format {
            OutputFormat::Human => redact(&(human_error(&causes) + &what_to_do(failure)), &[]),
            OutputFormat::Json => {
                let mut document = json!({ "error": causes[0], "causes": &causes[1..], "exit": status });
                if let Some(Failure { exit_code, log, advice, .. }) = failure {
                    document["advice"] = json!(advice);
                    document["log"] = json!(log);
                    document["exit_code"] = json!(exit_code);
                }
                redact_document(&mut document);
                document.to_string()
            }
        };
        // When even this cannot be written, the exit status is all that is left to say.
        let _ = write(&mut self.err, &text);
        status
    }
}

/// The failure that a cause is, with its log and its advice.
fn failure<'e>(cause: &'e (dyn std::error::Error + 'static)) -> Option<&'e Failure> {
    match cause.downcast_ref::<PortError>() {
        Some(PortError::Failed(failure)) => Some(failure.as_ref()),
        _ => None,
    }
}

/// A cause, without what is said in a place of its own.
fn what_happened(cause: &(dyn std::error::Error + 'static)) -> String {
    failure(cause).map_or_else(|| cause.to_string(), |failure| failure.summary.clone())
}

/// The last lines of what failed, and what to do: each error has three parts, and every reader gets them.
fn what_to_do(failure: Option<&Failure>) -> String {
    let Some(Failure { exit_code, log, advice, .. }) = failure else { return String::new() };
    let mut text = exit_code.map_or_else(String::new, |code| format!("\n  exit code {code}"));
    for line in log {
        text.extend(["\n  | ", line.as_str()]);
    }
    if !advice.is_empty() {
        text.extend(["\n  → ", advice.as_str()]);
    }
    text
}

/// `error: reading the key: no such file`, each cause on a line of its own, none twice.
fn human_error(causes: &[String]) -> String {
    let mut text = format!("error: {}", causes[0]);
    for pair in causes.windows(2).filter(|pair| !pair[0].contains(&pair[1])) {
        text.push_str("\n  because: ");
        text.push_str(&pair[1]);
    }
    text
}

/// Redacts every text of a document by itself, and whole where its name is one for secrets: seen
/// from outside, a document's own syntax could be taken for a part of a secret, or the other way.
fn redact_document(value: &mut Value) {
    match value {
        Value::String(text) => *text = redact(text, &[]),
        Value::Array(items) => items.iter_mut().for_each(redact_document),
        Value::Object(entries) => {
            for (name, value) in entries {
                let sample = format!("{name}=x");
                let shown = redact(&sample, &[]);
                match value {
                    Value::String(text) if shown != sample => shown[name.len() + 1..].clone_into(text),
                    value => redact_document(value),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Writes what is redacted already.
fn write(stream: &mut Box<dyn Write + Send>, text: &str) -> io::Result<()> {
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::FailureKind;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printer(format: OutputFormat) -> (Printer, Page, Page) {
        let (out, err) = (Page::default(), Page::default());
        (Printer::new(format, Box::new(out.clone()), Box::new(err.clone())), out, err)
    }

    #[test]
    fn people_read_text() {
        let (mut printer, out, err) = printer(OutputFormat::Human);
        printer.note("reading password=hunter2").expect("written");
        printer.result(&2, |two| format!("{two} stages")).expect("written");
        let error = anyhow::anyhow!("no such file").context("reading the key");
        assert_eq!(printer.error(&error), ExitStatus::Environment);
        assert_eq!(out.text(), "2 stages\n");
        assert_eq!(err.text(), "reading password=[redacted]\nerror: reading the key\n  because: no such file\n");
    }

    #[test]
    fn programs_read_one_document() {
        let (mut printer, out, err) = printer(OutputFormat::Json);
        printer.note("reading").expect("written");
        printer.result(&json!({ "stages": 2 }), |_| unreachable!("not for people")).expect("written");
        printer.error(&ExitStatus::Usage.error("write a name"));
        let result: Value = serde_json::from_str(&out.text()).expect("JSON");
        let error: Value = serde_json::from_str(&err.text()).expect("JSON");
        assert_eq!(result, json!({ "stages": 2 }));
        assert_eq!(error, json!({ "error": "write a name", "causes": [], "exit": "usage" }));
    }

    #[test]
    fn an_error_says_what_to_do() {
        let failure = Failure {
            exit_code: Some(3),
            log: vec!["connecting".into(), "password=hunter2".into()],
            ..Failure::new(FailureKind::Environment, "There is no zone", "Run `aws route53 create-hosted-zone`.")
        };
        let error = || anyhow::Error::from(PortError::Failed(Box::new(failure.clone()))).context("cannot plan it");
        let (mut human, _, err) = printer(OutputFormat::Human);
        assert_eq!(human.error(&error()), ExitStatus::Environment);
        assert_eq!(
            err.text(),
            "error: cannot plan it\n  because: There is no zone\n  exit code 3\n  | connecting\n  | \
             password=[redacted]\n  → Run `aws route53 create-hosted-zone`.\n"
        );
        let (mut json, _, err) = printer(OutputFormat::Json);
        json.error(&error());
        let document: Value = serde_json::from_str(&err.text()).expect("JSON");
        let expected = json!({
            "error": "cannot plan it", "causes": ["There is no zone"], "exit": "environment", "exit_code": 3,
            "advice": "Run `aws route53 create-hosted-zone`.", "log": ["connecting", "password=[redacted]"],
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn a_document_keeps_its_form_and_loses_its_secrets() {
        let (mut printer, out, _) = printer(OutputFormat::Json);
        let token = format!("ghp_{}", "a1B2".repeat(9));
        let document = json!({
            "key": "build:web", "token": null, "env": { "API_TOKEN": "two words, and more", "STAGE": "pr-1" },
            "log": [format!("using {token}"), "postgres://me:hunter2@db/x"],
        });
        printer.result(&document, |_| unreachable!("not for people")).expect("written");
        let shown: Value = serde_json::from_str(&out.text()).expect("JSON");
        let expected = json!({
            "key": "build:web", "token": null, "env": { "API_TOKEN": "[redacted]", "STAGE": "pr-1" },
            "log": ["using [redacted]", "postgres://[redacted]@db/x"],
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_reader_who_went_away_is_no_error() {
        let mut printer = Printer::new(OutputFormat::Human, Box::new(Closed), Box::new(Closed));
        printer.result(&1, |_| "one".into()).expect("no error");
    }
}
