//! The texts of a step, and strangers who would command it.

use insta::assert_snapshot;

use super::*;
use crate::model::{Outcome, Output, Position};
use crate::view::ProblemView;
use crate::view::fixture::{World, exited, service, sha};

fn stage(view: StageView) -> StepStage {
    let image_digests = BTreeMap::from([(service("web"), format!("sha256:{}", "b".repeat(64)))]);
    StepStage { view, image_digests, release: Some(Generation(1)), deployment_id: Some("77".into()) }
}

fn report(ending: StepEnding, reason: &str, stages: Vec<StepStage>) -> StepReport {
    StepReport {
        command: "auto",
        ending,
        reason: reason.into(),
        stages,
        shown: Vec::new(),
        log_url: "https://github.com/acme/shop/actions/runs/99/attempts/1".into(),
        millis: 61_000,
    }
}

fn live() -> StageView {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.done("fetch", 0, 3, Output::Nothing);
    world.done("build:web", 3, 80, Output::Nothing);
    world.done("start:web", 80, 130, Output::Nothing);
    world.end(Outcome::Live, 170);
    world.view()
}

fn failed() -> StageView {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.fail("build:web", 0, 3, exited());
    world.end(Outcome::Failed, 4);
    world.view()
}

fn file(report: &StepReport) -> String {
    outputs(report).iter().map(|(name, value)| output_file(name, value, "DELIMITER").expect("it fits")).collect()
}

#[test]
fn the_outputs_of_a_live_stage() {
    assert_snapshot!(file(&report(StepEnding::Done, "", vec![stage(live())])));
}

#[test]
fn the_outputs_of_a_failure_and_of_nothing() {
    assert_snapshot!(file(&report(StepEnding::Failed, "", vec![stage(failed())])));
    assert_snapshot!(file(&report(StepEnding::Noticed, "an edited comment runs nothing", Vec::new())));
}

#[test]
fn every_output_has_its_name_once_and_a_versioned_document() {
    let all = outputs(&report(StepEnding::Done, "", vec![stage(live())]));
    assert_eq!(all.each_ref().map(|(name, _)| *name), OUTPUTS);
    let result: serde_json::Value = serde_json::from_str(&all[10].1).expect("one JSON document");
    assert_eq!((&result["version"], &result["stages"][0]["state"]), (&json!(1), &json!("live")));
}

#[test]
fn the_summaries() {
    assert_snapshot!(step_summary(&report(StepEnding::Done, "", vec![stage(live())])));
    assert_snapshot!(step_summary(&report(StepEnding::Failed, "", vec![stage(failed())])));
    let going = "the run was cancelled; the next run on this stage goes on";
    assert_snapshot!(step_summary(&report(StepEnding::Interrupted, going, vec![stage(live()), stage(failed())])));
    let mut plan = report(StepEnding::Done, "", Vec::new());
    plan.shown = vec!["acme/shop/pr-42 to aaaaaaa, 2 steps:\n   1  fetch the source\n```\n<img src=x>".into()];
    assert_snapshot!(step_summary(&plan));
}

#[test]
fn a_thousand_stages_fit_into_a_summary() {
    let mut world = failed();
    world.failure.as_mut().expect("it failed").log = vec!["x".repeat(2_000); 100];
    let text = step_summary(&report(StepEnding::Failed, "", vec![stage(world); 1_000]));
    assert!(
        text.len() <= MOST_SUMMARY && text.contains("and 990 more") && text.contains("and 800 more"),
        "{}",
        text.len()
    );
}

#[test]
fn annotations_point_at_what_is_wrong() {
    let mut wrong = failed();
    wrong.problems = vec![ProblemView {
        file: ".github/greenroom.yml".into(),
        at: Position { line: 3, column: 5 },
        path: "services.web".into(),
        message: "there is no `kind`".into(),
    }];
    let lines: Vec<String> =
        annotations(&report(StepEnding::Failed, "", vec![stage(wrong)])).iter().map(annotate).collect();
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn no_more_annotations_than_github_shows() {
    let mut wrong = failed();
    let problem = |line| ProblemView {
        file: "greenroom.yml".into(),
        at: Position { line, column: 1 },
        path: String::new(),
        message: format!("wrong {line}"),
    };
    wrong.problems = (1..=40).map(problem).collect();
    wrong.gaps = (1..=11).map(|number| format!("gap {number}")).collect();
    let found = annotations(&report(StepEnding::Failed, "", vec![stage(wrong)]));
    let of = |level| found.iter().filter(|one| one.level == level).collect::<Vec<_>>();
    assert_eq!((of(Level::Error).len(), of(Level::Warning).len()), (10, 10));
    assert!(of(Level::Error)[9].message.starts_with("and 32 more"), "{:?}", of(Level::Error)[9]);
    assert!(of(Level::Warning)[9].message.starts_with("and 2 more"));
}

/// What a stranger writes into a title, a branch, a log.
const ATTACKS: [&str; 10] = [
    "::set-output name=url::https://evil.example",
    "  ::add-path::/tmp/evil",
    "\t::error::x",
    "##[error]x",
    "text ##[add-mask]e",
    "a\n::set-env name=X::y",
    "a\r::stop-commands::x",
    "a\r\n##[group]x",
    "\u{1b}[31m::warning::x",
    "%0A::error::x",
];

#[test]
fn no_line_of_a_stranger_is_a_command() {
    let is_command = |line: &str| line.trim_start().starts_with("::") || line.contains("##[");
    for attack in ATTACKS {
        let line = harmless(attack);
        assert!(!is_command(&line) && !line.contains(['\n', '\r']), "{attack:?}: {line:?}");
        let lines = quoted(&[attack], "token");
        assert_eq!((lines.first(), lines.last()), (Some(&"::stop-commands::token".into()), Some(&"::token::".into())));
        for line in &lines[1..lines.len() - 1] {
            assert!(!is_command(line) && !line.contains(['\n', '\r']), "{attack:?}: {line:?}");
        }
        let group = group(attack);
        assert!(!group.contains(['\n', '\r']) && group.starts_with("::group::"), "{attack:?}: {group:?}");
        let annotation = Annotation {
            level: Level::Error,
            title: attack.into(),
            message: attack.into(),
            place: Some((attack.into(), 1, 1)),
        };
        let command = annotate(&annotation);
        assert!(!command.contains(['\n', '\r']), "{attack:?}: {command:?}");
        let (properties, _) = command["::error ".len()..].split_once("::").expect("a message");
        assert!(!properties.contains("::") && properties.matches(',').count() == 3, "{attack:?}: {command:?}");
    }
    // Not even by the token, which it cannot know.
    assert_eq!(quoted(&["::token::", "x"], "token"), ["::stop-commands::token", "| x", "::token::"]);
}

#[test]
fn no_value_ends_its_output_and_begins_another() {
    for value in ["x\nDELIMITER\nurl<<Y\nhttps://evil.example\nY", "DELIMITER", "a DELIMITER b"] {
        assert_eq!(output_file("reason", value, "DELIMITER"), Err(OutputClash("reason")), "{value:?}");
    }
    assert_eq!(output_file("reason", "a\r\0b\nc", "D").as_deref(), Ok("reason<<D\nab\nc\nD\n"));
    assert!(output_file("reason", "x", "").is_err());
    let evil = "x\nEOF\nurl=https://evil.example\n::error::y";
    let told = report(StepEnding::Noticed, evil, Vec::new());
    assert!(!told.why().contains('\n'), "{}", told.why());
}

#[test]
fn a_secret_is_masked_line_by_line_and_what_is_too_short_is_not() {
    assert_eq!(mask("hunter2"), ["::add-mask::hunter2"]);
    assert_eq!(mask("first%line\r\n\nsecond"), ["::add-mask::first%25line", "::add-mask::second"]);
    for none in ["", "abc", "\n \n"] {
        assert!(mask(none).is_empty(), "{none:?}");
    }
}

#[test]
fn a_summary_holds_nothing_of_a_stranger_that_is_markdown() {
    for attack in [
        "<script>alert(1)</script>",
        "@acme/everyone look",
        "[x](https://evil.example)",
        "![x](https://evil.example/p)",
    ] {
        let text = step_summary(&report(StepEnding::Broken, attack, Vec::new()));
        let page = has_markup(&text);
        assert!(!page, "{attack}: {text}");
    }
}

/// Whether a text holds HTML, a mention or a link that is not escaped.
fn has_markup(text: &str) -> bool {
    let mut links = pulldown_cmark::Parser::new(text);
    links.any(|event| {
        use pulldown_cmark::{Event, Tag};
        matches!(
            event,
            Event::Html(_) | Event::InlineHtml(_) | Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::HtmlBlock)
        )
    })
}
