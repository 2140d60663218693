//! What a step of a workflow tells: outputs, job summary, annotations, log.
//!
//! Texts of others are escaped for where they stand; whoever writes them to a file or to the log adds nothing.

mod commands;
mod outputs;
mod summary;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

pub use commands::{Annotation, Level, annotate, annotations, group, harmless, mask, quoted};
pub use outputs::{OUTPUTS, OutputClash, output_file, outputs};
pub use summary::{MOST_SUMMARY, step_summary};

use super::clean::clean_line;
use super::redact::redact;
use super::render::line;
use super::stage::{StagePhase, StageView};
use crate::model::{Generation, ServiceName};

/// The version of the document in the output `result`. What is there keeps its name and meaning.
pub const RESULT_VERSION: u32 = 1;

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnding {
    /// What was asked for holds.
    Done,
    /// What was deployed failed.
    Failed,
    /// There was nothing to do, for this reason.
    Noticed,
    /// The workflow, its inputs or the configuration are wrong.
    Refused,
    /// Nobody waited for the end: it was asked for and goes on without this run.
    Asked,
    /// The time was up.
    TimedOut,
    /// The run was cancelled.
    Interrupted,
    /// Something around it is missing or does not answer, or a fault of Greenroom.
    Broken,
}

/// A stage, with what programs want to know of it besides what people see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepStage {
    pub view: StageView,
    pub image_digests: BTreeMap<ServiceName, String>,
    /// The generation of the release that runs.
    pub release: Option<Generation>,
    /// GitHub's number of the newest deployment.
    pub deployment_id: Option<String>,
}

/// What a step says at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// The input `command`.
    pub command: &'static str,
    pub ending: StepEnding,
    /// Why, in one sentence or a few, plain text; nothing where a stage's own words say it.
    pub reason: String,
    /// The first is the one that the outputs speak of.
    pub stages: Vec<StepStage>,
    /// Texts to be shown as they are: a plan, a list.
    pub shown: Vec<String>,
    /// Where the log of this run is.
    pub log_url: String,
    /// From the start of the step.
    pub millis: i64,
}

impl StepReport {
    /// Why it ended so: the step's own words, or those of the stage that it is about.
    pub fn why(&self) -> String {
        let own = clean_line(&redact(&self.reason, &[]));
        let of_stage = || self.stages.first().filter(|stage| stage.view.phase != StagePhase::Live);
        if own.is_empty() { of_stage().map(|stage| line(&stage.view)).unwrap_or_default() } else { own }
    }

    /// The whole as one document for programs.
    pub fn result(&self) -> serde_json::Value {
        let stages: Vec<_> = self.stages.iter().map(document).collect();
        json!({
            "version": RESULT_VERSION,
            "command": self.command,
            "ending": self.ending,
            "reason": self.why(),
            "log_url": self.log_url,
            "millis": self.millis,
            "stages": stages,
        })
    }
}

fn document(stage: &StepStage) -> serde_json::Value {
    let view = &stage.view;
    let failure = view.failure.as_ref().map(|failure| {
        json!({
            "kind": failure.kind, "summary": failure.summary, "exit_code": failure.exit_code, "advice": failure.advice,
            "step": failure.step.as_ref().map(|step| step.kind),
            "service": failure.step.as_ref().and_then(|step| step.service.as_ref()),
        })
    });
    json!({
        "stage": view.stage,
        "pull_request": view.pull,
        "state": view.phase,
        "generation": view.generation,
        "sha": view.sha,
        "url": view.url,
        "urls": urls(view),
        "image_digests": stage.image_digests,
        "release": stage.release,
        "deployment_id": stage.deployment_id,
        "millis": view.times.as_ref().map(|times| times.total),
        "failure": failure,
        "problems": view.problems,
    })
}

/// The public address of every service that has one.
fn urls(view: &StageView) -> BTreeMap<&ServiceName, &str> {
    view.services.iter().filter_map(|service| Some((&service.name, service.url.as_deref()?))).collect()
}

#[cfg(test)]
mod tests;
