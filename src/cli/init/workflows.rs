//! `greenroom init --workflows`: what fits the configuration, written where nothing stands yet.
//!
//! A file that is there is never changed: somebody may have made it their own.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::super::{ExitStatus, Printer};
use crate::config::{self, RunnerBuilds, WorkflowFile};
use crate::model::AppName;

const FOLDER: &str = ".github/workflows";
/// More of a file is not compared: it is another one.
const MOST_BYTES: u64 = 256 * 1024;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Written {
    app: AppName,
    workflows: Vec<Row>,
    left_to_do: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    file: String,
    found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Found {
    /// Nothing, so it was written.
    Written,
    /// The very same.
    Same,
    /// Another one, which is left as it is.
    Changed,
}

pub(super) fn write_all(printer: &mut Printer) -> anyhow::Result<ExitStatus> {
    let bytes = match fs::read(config::PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message =
                format!("there is no {} here to write workflows for: `greenroom init` writes one", config::PATH);
            return Err(ExitStatus::Usage.error(message));
        }
        read => read.with_context(|| format!("cannot read {}", config::PATH))?,
    };
    let project = match config::check(config::PATH, &bytes) {
        Ok(project) => project,
        Err(problems) => return Err(ExitStatus::Usage.error(problems.to_string())),
    };
    let made = config::workflows(&project, RunnerBuilds::No);
    let mut rows = Vec::new();
    for workflow in &made.files {
        let file = Path::new(FOLDER).join(workflow.name);
        let found = place(&file, workflow).with_context(|| format!("cannot write {}", file.display()))?;
        rows.push(Row { file: file.display().to_string(), found });
    }
    printer.result(&Written { app: project.app, workflows: rows, left_to_do: made.left }, human)?;
    Ok(ExitStatus::Ok)
}

/// Writes a workflow where nothing is, a link included.
fn place(file: &Path, workflow: &WorkflowFile) -> anyhow::Result<Found> {
    match file.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            super::write(file, &workflow.text)?;
            Ok(Found::Written)
        }
        Err(error) => Err(error.into()),
        Ok(there) if there.is_file() && there.len() <= MOST_BYTES && fs::read(file)? == workflow.text.as_bytes() => {
            Ok(Found::Same)
        }
        Ok(_) => Ok(Found::Changed),
    }
}

fn human(written: &Written) -> String {
    let row = |row: &Row| match row.found {
        Found::Written => format!("wrote {}\n", row.file),
        Found::Same => format!("{} is there already\n", row.file),
        Found::Changed => format!("{} is another one, and stays as it is\n", row.file),
    };
    let rows: String = written.workflows.iter().map(row).collect();
    let left = written.left_to_do.iter().enumerate().map(|(at, line)| format!("  {}. {line}\n", at + 1));
    format!("{rows}\nLeft to do:\n{}", left.collect::<String>())
}
