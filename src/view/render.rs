//! Turns a [`StageView`] into the texts of its surfaces, by the templates alone.
//!
//! Every value that a template prints is escaped for where it is printed; a template cannot turn
//! that off. A text that is too long is rendered again with fewer log lines, then with shorter
//! texts and fewer rows, until it fits: its frame stays whole.

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};
use serde_json::json;

use super::clean::{clean_line, cut};
use super::limit::{Limits, shorten};
use super::markdown;
use super::receipt::Row;
use super::stage::{StagePhase, StageView, StepRow};
use crate::model::{CheckState, DeploymentState, FailureKind, Seconds, StageName, Timestamp};

/// The most that GitHub takes as a comment, in characters; we count bytes, which are never fewer.
///
/// Source: the answer "body is too long (maximum is 65536 characters)".
pub(super) const MAX_COMMENT: usize = 65_536;

/// The most that GitHub takes as a check run's summary.
///
/// Source: GitHub REST, "Create a check run", `output.summary`.
const MAX_SUMMARY: usize = 65_535;

/// Longer titles of check runs are cut by GitHub's pages.
const MAX_TITLE: usize = 140;

/// Source: GitHub REST, "Create a deployment status", `description`.
const MAX_DESCRIPTION: usize = 140;

/// What a check run shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckText {
    pub state: CheckState,
    /// Plain text.
    pub title: String,
    /// Markdown, at most 65,535 bytes.
    pub summary: String,
}

/// What a deployment's status shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentText {
    pub state: DeploymentState,
    /// Plain text, at most 140 characters.
    pub description: String,
    /// Where something of the stage answers now.
    pub url: Option<String>,
}

/// Whether the stage wants a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentWish {
    /// Make it, or edit it.
    Write,
    /// Edit the one that is there; make none: nothing is deployed.
    EditOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Markdown,
    Plain,
}

static MARKDOWN: LazyLock<Environment<'static>> = LazyLock::new(|| environment(Format::Markdown));
static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| environment(Format::Plain));

const TEMPLATES: [(&str, &str); 20] = [
    ("body", include_str!("../../templates/comment/body.md.j2")),
    ("failure", include_str!("../../templates/comment/failure.md.j2")),
    ("footer", include_str!("../../templates/comment/footer.md.j2")),
    ("gone_reason", include_str!("../../templates/comment/gone_reason.md.j2")),
    ("headline", include_str!("../../templates/comment/headline.md.j2")),
    ("health", include_str!("../../templates/comment/health.md.j2")),
    ("history", include_str!("../../templates/comment/history.md.j2")),
    ("line", include_str!("../../templates/check/line.txt.j2")),
    ("receipt", include_str!("../../templates/comment/receipt.md.j2")),
    ("receipt_gates", include_str!("../../templates/comment/receipt_gates.md.j2")),
    ("receipt_help", include_str!("../../templates/comment/receipt_help.md.j2")),
    ("service_state", include_str!("../../templates/comment/service_state.md.j2")),
    ("services", include_str!("../../templates/comment/services.md.j2")),
    ("stage", include_str!("../../templates/comment/stage.md.j2")),
    ("step", include_str!("../../templates/comment/step.md.j2")),
    ("step_line", include_str!("../../templates/check/step_line.txt.j2")),
    ("summary", include_str!("../../templates/check/summary.md.j2")),
    ("title", include_str!("../../templates/check/title.txt.j2")),
    ("unrest", include_str!("../../templates/comment/unrest.md.j2")),
    ("waiting", include_str!("../../templates/comment/waiting.md.j2")),
];

/// The beginning of a stage's comment, by which it is found again: `<!-- greenroom:pr-42 `.
pub fn marker(stage: &StageName) -> String {
    format!("<!-- greenroom:{stage} ")
}

/// The comment's whole body, at most 65,536 bytes, beginning with [`marker`].
pub fn comment(view: &StageView) -> String {
    fitting(view, "stage", MAX_COMMENT)
}

/// Whether there should be a comment at all.
pub fn comment_wish(view: &StageView) -> CommentWish {
    match view.phase {
        StagePhase::Queued | StagePhase::Superseded | StagePhase::Destroying | StagePhase::Destroyed => {
            CommentWish::EditOnly
        }
        StagePhase::Building
        | StagePhase::Deploying
        | StagePhase::Checking
        | StagePhase::Live
        | StagePhase::Unhealthy
        | StagePhase::Failed
        | StagePhase::Misconfigured
        | StagePhase::AwaitingApproval
        | StagePhase::Withheld
        | StagePhase::Full
        | StagePhase::Stuck => CommentWish::Write,
    }
}

/// The check run. While a pull request's deploy runs it says the same all the time, because each
/// writing counts against GitHub's limits and the comment says more.
pub fn check(view: &StageView) -> CheckText {
    let state = match view.phase {
        StagePhase::Queued => CheckState::Queued,
        StagePhase::Building | StagePhase::Deploying | StagePhase::Checking => CheckState::InProgress,
        StagePhase::Live => CheckState::Success,
        StagePhase::Unhealthy | StagePhase::Failed | StagePhase::Misconfigured | StagePhase::Stuck => {
            CheckState::Failure
        }
        StagePhase::Superseded => CheckState::Cancelled,
        StagePhase::AwaitingApproval
        | StagePhase::Withheld
        | StagePhase::Full
        | StagePhase::Destroying
        | StagePhase::Destroyed => CheckState::Neutral,
    };
    CheckText { state, title: cut(&plain(view, "title"), MAX_TITLE), summary: fitting(view, "summary", MAX_SUMMARY) }
}

/// The deployment's status.
pub fn deployment(view: &StageView) -> DeploymentText {
    let ours = |kind| matches!(kind, FailureKind::Environment | FailureKind::GaveUp | FailureKind::Bug);
    let state = match view.phase {
        StagePhase::Queued | StagePhase::AwaitingApproval | StagePhase::Withheld | StagePhase::Full => {
            DeploymentState::Queued
        }
        StagePhase::Building | StagePhase::Deploying | StagePhase::Checking => DeploymentState::InProgress,
        StagePhase::Live => DeploymentState::Success,
        StagePhase::Failed if view.failure.as_ref().is_some_and(|failure| ours(failure.kind)) => DeploymentState::Error,
        StagePhase::Unhealthy | StagePhase::Failed | StagePhase::Misconfigured => DeploymentState::Failure,
        StagePhase::Stuck => DeploymentState::Error,
        StagePhase::Superseded | StagePhase::Destroying | StagePhase::Destroyed => DeploymentState::Inactive,
    };
    let url = view.url.clone().filter(|_| state != DeploymentState::Inactive);
    DeploymentText { state, description: cut(&plain(view, "title"), MAX_DESCRIPTION), url }
}

/// One line for a terminal.
pub fn line(view: &StageView) -> String {
    plain(view, "line")
}

/// One line for a terminal about one step: what it is, how far it is, how long it took.
pub fn step_line(row: &StepRow) -> String {
    clean_line(&rendered(&PLAIN, "step_line", Value::from(Serde(row))))
}

/// The answer to a comment; `left_out` parts are not among these.
pub(super) fn receipt_text(marker: &str, parts: &[Row], left_out: usize) -> String {
    let marker = Value::from_safe_string(marker.to_owned());
    let values = context! { marker, parts => Value::from(Serde(&parts)), left_out };
    rendered(&MARKDOWN, "receipt", values)
}

fn plain(view: &StageView, template: &str) -> String {
    clean_line(&render(&PLAIN, template, view, Limits::FIRST))
}

fn fitting(view: &StageView, template: &str, max: usize) -> String {
    let mut limits = Limits::FIRST;
    loop {
        let text = render(&MARKDOWN, template, view, limits);
        match limits.tighter() {
            Some(next) if text.len() > max => limits = next,
            _ => return text,
        }
    }
}

fn render(environment: &Environment<'_>, template: &str, view: &StageView, limits: Limits) -> String {
    let (view, more) = shorten(view.clone(), limits);
    let facts = Value::from_safe_string(markdown::comment_json(&facts(&view)));
    let values = context! {
        facts => facts,
        more => Value::from(Serde(&more)),
        problem_count => view.problems.len() + more.problems,
        has_logs => view.services.iter().any(|service| service.build_log.is_some() || service.app_log.is_some()),
        running => matches!(view.phase, StagePhase::Building | StagePhase::Deploying | StagePhase::Checking),
        ..Value::from(Serde(&view))
    };
    rendered(environment, template, values)
}

fn rendered(environment: &Environment<'_>, template: &str, values: Value) -> String {
    environment
        .get_template(template)
        .and_then(|template| template.render(values))
        .expect("the templates are part of the program, and every state is rendered by the tests")
}

/// What a program may read from the comment.
fn facts(view: &StageView) -> serde_json::Value {
    let urls: serde_json::Map<_, _> = view
        .services
        .iter()
        .filter_map(|service| Some((service.name.to_string(), json!(service.url.as_ref()?))))
        .collect();
    let expires = view.expires.and_then(|expiry| jiff::Timestamp::from_millisecond(expiry.at.0).ok());
    json!({
        "version": 1,
        "stage": view.stage,
        "generation": view.generation,
        "sha": view.sha,
        "state": view.phase,
        "urls": urls,
        "expires": expires.map(|at| at.to_string()),
    })
}

fn environment(format: Format) -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the syntax is Jinja's own"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // The default is to escape: what is to stand as it is goes through one of the filters below.
    environment.remove_filter("safe");
    environment.set_formatter(move |out, _state, value| {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        let written = match (value.is_safe(), value.is_none(), format) {
            (_, true, _) => Ok(()),
            (true, false, _) => write!(out, "{value}"),
            (false, false, Format::Markdown) => out.write_str(&markdown::escape(&value.to_string())),
            (false, false, Format::Plain) => out.write_str(&clean_line(&value.to_string())),
        };
        written.map_err(Error::from)
    });
    environment.add_filter("span", |millis: Option<i64>| millis.map_or_else(String::new, span));
    environment.add_filter("when", |millis: i64| Timestamp(millis).to_string());
    environment.add_filter("commit", move |sha: String| code(format, &sha.chars().take(7).collect::<String>()));
    environment.add_filter("code", move |text: String| code(format, &text));
    environment.add_filter("prose", |text: String| Value::from_safe_string(markdown::prose(&text)));
    environment.add_filter("fence", |lines: Vec<String>| Value::from_safe_string(markdown::fence(&lines)));
    environment.add_filter("link", |url: Option<String>, label: Option<String>| {
        let link = |url: String| markdown::link(&url, label.as_deref().unwrap_or(&url));
        Value::from_safe_string(url.map_or_else(String::new, link))
    });
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).expect("the templates are part of the program");
    }
    environment
}

fn code(format: Format, text: &str) -> Value {
    match format {
        Format::Markdown => Value::from_safe_string(markdown::code(text)),
        Format::Plain => Value::from(text),
    }
}

/// A span for a headline: tenths below ten seconds, whole seconds above: `0.4s`, `58s`, `2m 41s`.
pub fn span(millis: i64) -> String {
    let millis = u64::try_from(millis).unwrap_or(0);
    if millis < 9_950 {
        let tenths = (millis + 50) / 100;
        if tenths % 10 == 0 { format!("{}s", tenths / 10) } else { format!("{}.{}s", tenths / 10, tenths % 10) }
    } else {
        Seconds((millis + 500) / 1000).to_string()
    }
}
