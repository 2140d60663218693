//! The job summary: Markdown on the page of the run.

use std::fmt::Write as _;

use super::super::clean::{clean_lines, cut};
use super::super::markdown;
use super::super::redact::redact_lines;
use super::super::render::{comment, marker, span};
use super::super::stage::StagePhase;
use super::{StepEnding, StepReport, StepStage};

/// The most that GitHub takes of one step, in bytes.
///
/// Source: GitHub Docs, "Workflow commands", "Adding a job summary": 1 MiB; more fails the step's upload.
pub const MOST_SUMMARY: usize = 1024 * 1024;

/// Stages that are shown whole; of more there is a row in the table.
const WHOLE: usize = 10;
/// Rows of the table.
const ROWS: usize = 200;
/// Lines of a shown text.
const SHOWN_LINES: usize = 400;
const REASON: usize = 2_000;

/// The summary of a step; it fits.
pub fn step_summary(report: &StepReport) -> String {
    let mut text = heading(report);
    if report.stages.len() > 1 {
        text += &table(&report.stages);
    }
    let mut left = 0;
    for (index, stage) in report.stages.iter().enumerate() {
        let part = if index < WHOLE { whole(stage) } else { String::new() };
        if part.is_empty() || text.len() + part.len() > MOST_SUMMARY - 4_096 {
            left += 1;
        } else {
            text += &part;
        }
    }
    if left > 0 {
        let _ = write!(text, "\nand {left} more, of which the table above says how they are.\n");
    }
    for shown in &report.shown {
        let lines: Vec<&str> = shown.lines().take(SHOWN_LINES).collect();
        let fenced = format!("\n{}\n", markdown::fence(&redact_lines(&clean_lines(&lines), &[])));
        if text.len() + fenced.len() <= MOST_SUMMARY - 1_024 {
            text += &fenced;
        }
    }
    text
}

/// What the step came to, where no stage says it.
fn heading(report: &StepReport) -> String {
    let took = span(report.millis);
    let head = match report.ending {
        StepEnding::Done if report.stages.is_empty() => format!("Greenroom: done in {took}"),
        StepEnding::Done | StepEnding::Failed if report.reason.is_empty() && !report.stages.is_empty() => {
            return String::new();
        }
        StepEnding::Done => format!("Greenroom: done in {took}"),
        StepEnding::Failed => format!("Greenroom: failed after {took}"),
        StepEnding::Noticed => "Greenroom: nothing to do".to_owned(),
        StepEnding::Refused => "Greenroom: not done".to_owned(),
        StepEnding::Asked => "Greenroom: asked for, and not waited for".to_owned(),
        StepEnding::TimedOut => format!("Greenroom: not done after {took}"),
        StepEnding::Interrupted => format!("Greenroom: interrupted after {took}"),
        StepEnding::Broken => format!("Greenroom: could not go on after {took}"),
    };
    let why = if report.reason.is_empty() { String::new() } else { cut(&report.why(), REASON) };
    format!("### {head}\n\n{}\n", markdown::prose(&why))
}

fn table(stages: &[StepStage]) -> String {
    let mut text = "\n| Stage | State | Commit | URL |\n|---|---|---|---|\n".to_owned();
    for StepStage { view, .. } in stages.iter().take(ROWS) {
        let sha = view.sha.as_ref().map_or_else(String::new, |sha| markdown::code(sha.short()));
        let url = view.url.as_deref().filter(|_| view.phase != StagePhase::Destroyed);
        let url = url.map_or_else(String::new, |url| markdown::link(url, url));
        let _ = writeln!(text, "| {} | {} | {sha} | {url} |", view.stage, view.phase.as_str().replace('_', " "));
    }
    if stages.len() > ROWS {
        let _ = write!(text, "\nand {} more\n", stages.len() - ROWS);
    }
    text
}

/// A stage as its comment shows it, without what a comment is found by.
fn whole(stage: &StepStage) -> String {
    let text = comment(&stage.view);
    let body = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with(&marker(&stage.view.stage)) => rest,
        _ => &text,
    };
    format!("\n{body}\n")
}
