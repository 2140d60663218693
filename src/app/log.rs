//! The log's sink: every line passes redaction on its way out, whoever wrote it.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::LogFormat;
use crate::view::{harmless, redact};

/// Starts logging to standard error.
pub fn start_log(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt().with_env_filter(parsed(filter)?).with_writer(Redacted);
    let started = match format {
        LogFormat::Text => builder.with_ansi(console::colors_enabled_stderr()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow!("logging was started twice: {error}"))
}

/// Starts logging to a file, for commands whose own words fill the terminal.
pub fn start_log_in(file: File, filter: &str) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt().with_env_filter(parsed(filter)?).with_writer(RedactedFile(Arc::new(file)));
    let started = builder.with_ansi(false).with_target(false).try_init();
    started.map_err(|error| anyhow!("logging was started twice: {error}"))
}

/// Starts logging to standard error, where a runner looks for commands in every line: it finds none.
pub fn start_log_in_step(filter: &str) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt().with_env_filter(parsed(filter)?).with_writer(Harmless);
    let started = builder.with_ansi(false).with_target(false).without_time().try_init();
    started.map_err(|error| anyhow!("logging was started twice: {error}"))
}

/// Without the cause of what is wrong, which quotes what was given.
fn parsed(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(filter).map_err(|_| anyhow!("the log filter is not understood: try info, or greenroom=debug"))
}

/// Makes writers to a file that redact what passes.
#[derive(Debug, Clone)]
struct RedactedFile(Arc<File>);

impl<'a> MakeWriter<'a> for RedactedFile {
    type Writer = Line<Arc<File>>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { text: Vec::new(), sink: Arc::clone(&self.0) }
    }
}

/// Makes writers to standard error that redact what passes.
#[derive(Debug, Clone, Copy)]
struct Redacted;

impl<'a> MakeWriter<'a> for Redacted {
    type Writer = Line<io::StderrLock<'static>>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { text: Vec::new(), sink: io::stderr().lock() }
    }
}

/// Makes writers to standard error whose lines hold no command for a runner.
#[derive(Debug, Clone, Copy)]
struct Harmless;

impl<'a> MakeWriter<'a> for Harmless {
    type Writer = Line<Spelled>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { text: Vec::new(), sink: Spelled }
    }
}

/// Standard error, line by line.
struct Spelled;

impl Write for Spelled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stderr().lock();
        for line in String::from_utf8_lossy(bytes).lines() {
            writeln!(out, "{}", harmless(line))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Gathers one event and writes it when it is complete, so that nothing is split across writes.
struct Line<W: Write> {
    text: Vec<u8>,
    sink: W,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let clean = redact(&String::from_utf8_lossy(&self.text), &[]);
        self.text.clear();
        self.sink.write_all(clean.as_bytes())?;
        self.sink.flush()
    }
}

impl<W: Write> Drop for Line<W> {
    fn drop(&mut self) {
        // A log that cannot be written has nobody left to tell.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_reaches_the_sink_whatever_pieces_it_comes_in() {
        let token = format!("ghs_{}", "a1B2".repeat(9));
        let mut out = Vec::new();
        {
            let mut line = Line { text: Vec::new(), sink: &mut out };
            for piece in ["renewed ", &token[..10], &token[10..], " for acme/shop\n"] {
                line.write_all(piece.as_bytes()).unwrap();
            }
        }
        let written = String::from_utf8(out).unwrap();
        assert!(written.starts_with("renewed ") && written.ends_with(" for acme/shop\n"), "{written}");
        assert!(!written.contains(&token) && !written.contains("a1B2a1B2"), "{written}");
    }

    #[test]
    fn a_filter_that_is_not_understood_is_not_said_again() {
        for filter in ["shop=hunter2", "shop[{key=hunter2(}]=info", "\"hunter2\""] {
            let error = parsed(filter).expect_err("it is none");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
