//! Workflow commands: what the runner reads out of a step's log.
//!
//! Source: GitHub Docs, "Workflow commands"; actions/runner, `ActionCommand`: a line that begins with `::` after
//! white space, and one that holds `##[` anywhere, is a command.

use super::super::clean::{clean_line, clean_lines, cut};
use super::super::redact::{redact, redact_lines};
use super::super::render::line;
use super::super::stage::{StagePhase, StageView};
use super::{StepEnding, StepReport};

/// How grave an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
    Notice,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// What is shown at the run, and at a file's line where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub level: Level,
    pub title: String,
    pub message: String,
    /// File, line and column, both counted from 1.
    pub place: Option<(String, u32, u32)>,
}

/// GitHub shows so many of each level for a step.
///
/// Source: GitHub Docs, "Workflow commands" and REST "Check runs": 10 errors, 10 warnings and 10 notices a step.
const MOST_EACH: usize = 10;
/// Longer messages are cut by GitHub's pages.
const MOST_MESSAGE: usize = 4_000;
const MOST_TITLE: usize = 200;
/// Spaces before a line that stay.
const MOST_INDENT: usize = 12;

/// What is pointed out of a report, within GitHub's limits.
pub fn annotations(report: &StepReport) -> Vec<Annotation> {
    let mut found: Vec<Annotation> = Vec::new();
    for stage in &report.stages {
        found.extend(of_stage(&stage.view));
    }
    let why = report.why();
    let (level, title) = match report.ending {
        StepEnding::Noticed => (Level::Notice, "Greenroom has nothing to do"),
        StepEnding::Asked => (Level::Notice, "Greenroom goes on without this run"),
        StepEnding::Refused => (Level::Error, "Greenroom refuses"),
        StepEnding::Broken => (Level::Error, "Greenroom could not go on"),
        StepEnding::TimedOut => (Level::Error, "Greenroom is not done in time"),
        StepEnding::Interrupted => (Level::Warning, "Greenroom was interrupted"),
        StepEnding::Done | StepEnding::Failed => (Level::Error, ""),
    };
    let is_said = report.reason.is_empty() && found.iter().any(|one| one.level == level);
    if !title.is_empty() && !why.is_empty() && !is_said {
        found.insert(0, Annotation { level, title: title.into(), message: why, place: None });
    }
    bounded(&found)
}

fn of_stage(view: &StageView) -> Vec<Annotation> {
    let stage = &view.stage;
    let one = |level, title: String, message: String| Annotation { level, title, message, place: None };
    let mut found: Vec<Annotation> = view
        .problems
        .iter()
        .map(|problem| Annotation {
            level: Level::Error,
            title: format!("{stage}: the configuration is wrong"),
            message: problem.message.clone(),
            place: Some((problem.file.clone(), problem.at.line, problem.at.column)),
        })
        .collect();
    match view.phase {
        StagePhase::Failed | StagePhase::Unhealthy | StagePhase::Stuck => {
            let mut message = line(view);
            if let Some(failure) = view.failure.as_ref().filter(|failure| !failure.advice.is_empty()) {
                message += "\n";
                message += &failure.advice;
            }
            found.push(one(Level::Error, format!("{stage} {}", view.phase.as_str()), message));
        }
        StagePhase::AwaitingApproval | StagePhase::Withheld | StagePhase::Full => {
            found.push(one(Level::Warning, format!("{stage} waits"), line(view)));
        }
        _ => {}
    }
    let gap = |gap: &String| one(Level::Warning, format!("{stage}: something is missing"), gap.clone());
    found.extend(view.gaps.iter().map(gap));
    found
}

/// Ten of each level; the tenth says how many more there are.
fn bounded(all: &[Annotation]) -> Vec<Annotation> {
    let mut kept = Vec::new();
    for level in [Level::Error, Level::Warning, Level::Notice] {
        let mut of_level: Vec<Annotation> = all.iter().filter(|one| one.level == level).cloned().collect();
        if of_level.len() > MOST_EACH {
            let more = of_level.len() - (MOST_EACH - 1);
            of_level.truncate(MOST_EACH - 1);
            let message = format!("and {more} more: the job summary has them all");
            of_level.push(Annotation { level, title: "Greenroom".into(), message, place: None });
        }
        kept.extend(of_level);
    }
    kept
}

/// The command for an annotation: one line.
pub fn annotate(annotation: &Annotation) -> String {
    let Annotation { level, title, message, place } = annotation;
    let mut properties = Vec::new();
    if let Some((file, line, column)) = place {
        properties.extend([format!("file={}", property(file)), format!("line={line}"), format!("col={column}")]);
    }
    properties.push(format!("title={}", property(&cut(&clean_line(&redact(title, &[])), MOST_TITLE))));
    let lines: Vec<&str> = message.lines().collect();
    let message = cut(&redact_lines(&clean_lines(&lines), &[]).join("\n"), MOST_MESSAGE);
    format!("::{} {}::{}", level.word(), properties.join(","), data(&message))
}

/// Has the runner take a secret out of everything that is logged from here on. Of a value with several lines
/// each is one, because it takes them out line by line. Nothing for what is too short to be taken out everywhere.
pub fn mask(secret: &str) -> Vec<String> {
    let parts = secret.lines().map(str::trim).filter(|part| part.chars().count() >= 4);
    let mut masks: Vec<String> = parts.map(|part| format!("::add-mask::{}", data(part))).collect();
    masks.dedup();
    masks
}

/// Begins a group of lines that is folded in the log; `::endgroup::` ends it.
pub fn group(title: &str) -> String {
    format!("::group::{}", data(&harmless(title)))
}

/// Lines of somebody else, which the runner reads for no command: it is told to leave all of them alone until
/// it hears the token, and none of them looks like one either.
pub fn quoted<S: AsRef<str>>(lines: &[S], token: &str) -> Vec<String> {
    let mut all = vec![format!("::stop-commands::{token}")];
    let clean = redact_lines(&clean_lines(lines), &[]);
    // A line cannot say the token: it was drawn after the line was written.
    all.extend(clean.iter().filter(|line| !line.contains(token)).map(|line| format!("| {}", broken(line))));
    all.push(format!("::{token}::"));
    all
}

/// One line for the log in which the runner finds no command, whatever stands in it.
pub fn harmless(text: &str) -> String {
    let line = broken(&clean_line(&redact(text, &[])));
    if line.starts_with("::") {
        return format!("| {line}");
    }
    let indent = text.chars().take_while(|c| *c == ' ').count().min(MOST_INDENT);
    format!("{:indent$}{line}", "")
}

fn broken(line: &str) -> String {
    line.replace("##[", "## [")
}

/// Source: actions/toolkit, `core/src/command.ts`, `escapeData`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Source: the same, `escapeProperty`.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
