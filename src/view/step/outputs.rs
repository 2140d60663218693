//! The outputs of a step, as the file `GITHUB_OUTPUT` wants them.
//!
//! Source: GitHub Docs, "Workflow commands", "Multiline strings": a name, `<<` and a delimiter; the value; the
//! delimiter on a line of its own. Whoever can put the delimiter into a value can set any output, so each value
//! has a random one of its own, and a value that holds it is not written.

use serde_json::json;

use super::super::stage::StagePhase;
use super::{StepReport, urls};
use crate::view::clean_line;

/// Every output, in the order of the table in the README.
pub const OUTPUTS: [&str; 11] = [
    "stage",
    "url",
    "urls",
    "state",
    "sha",
    "image-digests",
    "release",
    "reason",
    "deployment-id",
    "log-url",
    "result",
];

/// A value that holds its own delimiter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the output {0} holds its own delimiter and is not written")]
pub struct OutputClash(pub &'static str);

/// The values of a report, one for each of [`OUTPUTS`]; what is not known is empty.
pub fn outputs(report: &StepReport) -> [(&'static str, String); 11] {
    let first = report.stages.first();
    let view = first.map(|stage| &stage.view);
    let is_gone = view.is_some_and(|view| view.phase == StagePhase::Destroyed);
    let of_view = |value: Option<String>| value.unwrap_or_default();
    let values = [
        of_view(view.map(|view| view.stage.to_string())),
        of_view(view.filter(|_| !is_gone).and_then(|view| view.url.clone())),
        view.filter(|_| !is_gone).map_or_else(|| "{}".to_owned(), |view| json!(urls(view)).to_string()),
        of_view(view.map(|view| view.phase.as_str().to_owned())),
        of_view(view.and_then(|view| view.sha.as_ref()).map(ToString::to_string)),
        first.map_or_else(|| "{}".to_owned(), |stage| json!(stage.image_digests).to_string()),
        of_view(first.and_then(|stage| stage.release).map(|release| release.to_string())),
        report.why(),
        of_view(first.and_then(|stage| stage.deployment_id.clone())),
        clean_line(&report.log_url),
        report.result().to_string(),
    ];
    let mut names = OUTPUTS.into_iter();
    values.map(|value| (names.next().unwrap_or_default(), value))
}

/// What is written to the file for one value. The delimiter is the caller's chance.
pub fn output_file(name: &'static str, value: &str, delimiter: &str) -> Result<String, OutputClash> {
    if value.contains(delimiter) || delimiter.is_empty() {
        return Err(OutputClash(name));
    }
    // A line that ends in CR alone is one line for us and two for some readers.
    let plain: String = value.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    Ok(format!("{name}<<{delimiter}\n{plain}\n{delimiter}\n"))
}
