//! What a run told: read from the lines of JSON that act writes.

use std::collections::BTreeMap;

use serde_json::Value;

/// What is known of a run from outside.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// `success` or `failure` of each job, by its id.
    pub(crate) jobs: BTreeMap<String, String>,
    /// The outputs of the workflow's own steps; where several steps have one name, the last one's.
    pub(crate) outputs: BTreeMap<String, String>,
    /// The summaries of all steps, one below the other.
    pub(crate) summary: String,
    /// What steps printed, without workflow commands.
    pub(crate) printed: String,
    /// The workflow commands that steps printed: `notice`, `error`, `group`, ... with what they say.
    pub(crate) commands: Vec<(String, String)>,
    /// What act says of itself, and of steps that failed (`exit status 3`).
    remarks: String,
}

impl Told {
    pub(crate) fn read(log: &str) -> Self {
        let mut told = Self::default();
        for line in log.lines() {
            match serde_json::from_str::<Value>(line) {
                Ok(line) => told.hear(&line),
                Err(_) => told.remark(line),
            }
        }
        told
    }

    fn hear(&mut self, line: &Value) {
        let text = |field: &str| line[field].as_str().unwrap_or_default();
        // A step inside an action is told by the id of the step that uses the action, and then its own.
        let is_the_workflow_s = line["stepID"].as_array().is_some_and(|ids| ids.len() == 1);
        if let Some(result) = line["jobResult"].as_str() {
            self.jobs.insert(text("jobID").to_owned(), result.to_owned());
        }
        match (text("command"), line["raw_output"].as_bool()) {
            ("set-output", _) if is_the_workflow_s => {
                self.outputs.insert(text("name").to_owned(), text("arg").to_owned());
            }
            ("summary", _) if is_the_workflow_s => self.summary.push_str(text("content")),
            ("set-output" | "summary" | "ignored", _) => {}
            ("", Some(true)) => self.printed.push_str(text("msg")),
            ("", _) => self.remark(text("msg")),
            (command, _) => self.commands.push((command.to_owned(), text("arg").trim_end().to_owned())),
        }
    }

    fn remark(&mut self, line: &str) {
        self.remarks.push_str(line);
        self.remarks.push('\n');
    }

    /// Every job succeeded, and there was one.
    pub(crate) fn succeeded(&self) -> bool {
        !self.jobs.is_empty() && self.jobs.values().all(|result| result == "success")
    }

    pub(crate) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map_or("", String::as_str)
    }

    /// The exit code of the step that failed last; 0 where none did.
    pub(crate) fn exit_code(&self) -> i32 {
        let mut codes = self.remarks.lines().filter_map(|line| line.strip_prefix("exit status "));
        codes.next_back().and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// For the words of a test that fails.
    pub(crate) fn all(&self) -> String {
        let outputs = self.outputs.iter().map(|(name, value)| format!("{name}={value}"));
        let commands = self.commands.iter().map(|(name, value)| format!("::{name}::{value}"));
        let said: Vec<String> = commands.chain(outputs).collect();
        [&self.remarks, &self.printed, &self.summary, &said.join("\n")].map(String::as_str).join("\n")
    }

    /// Of act, and of steps.
    pub(crate) fn remarks(&self) -> &str {
        &self.remarks
    }
}
