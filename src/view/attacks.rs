//! Texts of others in every place where one can stand, read back by a parser of GitHub's Markdown.

use std::fmt::Write as _;

use comrak::nodes::{AstNode, NodeValue};
use comrak::{Arena, Options, parse_document};

use super::fixture::{World, at, service, sha};
use super::*;
use crate::model::{
    Failure, FailureKind, GoneReason, Outcome, Output, Position, Problem, Problems, Resource, StageStatus,
    StepEventKind,
};

/// What GitHub would see in a text.
#[derive(Debug, Default)]
struct Seen {
    links: Vec<String>,
    html: Vec<String>,
    blocks_of_code: Vec<String>,
    /// Text outside of code, as it is shown; `\u{0}` stands between pieces.
    text: String,
}

fn see(markdown: &str) -> Seen {
    let arena = Arena::new();
    let mut options = Options::default();
    options.extension.autolink = true;
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.footnotes = true;
    options.extension.tasklist = true;
    options.extension.math_dollars = true;
    options.extension.math_code = true;
    let mut seen = Seen::default();
    collect(parse_document(&arena, markdown, &options), &mut seen);
    seen
}

fn collect<'a>(node: &'a AstNode<'a>, seen: &mut Seen) {
    match &node.data.borrow().value {
        NodeValue::Link(link) | NodeValue::Image(link) => seen.links.push(link.url.clone()),
        NodeValue::HtmlBlock(html) => seen.html.push(html.literal.clone()),
        NodeValue::HtmlInline(html) => seen.html.push(html.clone()),
        NodeValue::CodeBlock(code) => {
            assert!(code.closed, "a fence is left open");
            seen.blocks_of_code.push(code.literal.clone());
        }
        NodeValue::Text(text) => seen.text.push_str(text),
        NodeValue::Math(math) => panic!("somebody else's text became a formula: {}", math.literal),
        NodeValue::FootnoteDefinition(_) | NodeValue::FootnoteReference(_) => panic!("a footnote"),
        NodeValue::TaskItem(_) => panic!("a task"),
        NodeValue::Emph | NodeValue::Strong | NodeValue::Strikethrough => {}
        _ => seen.text.push('\0'),
    }
    for child in node.children() {
        collect(child, seen);
    }
}

/// Fails if anything in the text acts that is not ours.
pub(super) fn assert_harmless(markdown: &str, what: &str) {
    assert!(markdown.len() <= 65_535, "{what}: {} bytes", markdown.len());
    let seen = see(markdown);
    for link in &seen.links {
        let ours = link.starts_with("https://pr-42.example.com")
            || link.starts_with("https://api-pr-42.example.com")
            || link.starts_with("https://logs.example.com/");
        assert!(ours, "{what}: a link to {link}\n{markdown}");
    }
    for html in &seen.html {
        let ours = html.starts_with("<!-- greenroom:pr-42 {")
            || html.starts_with("<!-- greenroom receipt of 99 -->")
            || html.trim_start().starts_with("<details><summary>The last")
            || is_summary_of_receipt(html.trim())
            || html.trim() == "</details>";
        assert!(ours, "{what}: HTML {html}\n{markdown}");
        assert_eq!(html.matches("-->").count(), html.matches("<!--").count(), "{what}: {html}");
    }
    let text: Vec<char> = seen.text.chars().collect();
    for (index, pair) in text.windows(2).enumerate() {
        let acts = matches!(pair, ['@', name] if name.is_ascii_alphanumeric())
            || matches!(pair, ['#', digit] if digit.is_ascii_digit());
        let around: String = text[index.saturating_sub(20)..(index + 20).min(text.len())].iter().collect();
        assert!(!acts, "{what}: a mention or a reference in {around:?}");
    }
    let hidden = |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!markdown.contains(|c: char| (c.is_control() && c != '\n' && c != '\t') || hidden(c)), "{what}: hidden");
    assert_no_command(markdown, what);
}

/// Whether it is one of the two summaries that receipts have, and nothing else.
fn is_summary_of_receipt(html: &str) -> bool {
    let inner = html.strip_prefix("<details><summary>").and_then(|html| html.strip_suffix("</summary>"));
    inner.is_some_and(|inner| {
        let counts = inner.replace(|c: char| c.is_ascii_digit(), "");
        matches!(counts.as_str(), "What is for others" | " lines" | " lines,  more are left out")
    })
}

/// Fails if a line outside of code begins with a command, as our own parser would read it.
fn assert_no_command(markdown: &str, what: &str) {
    let seen = see(markdown);
    for line in markdown.lines().filter(|line| line.trim_start().starts_with('/')) {
        assert!(seen.blocks_of_code.iter().any(|code| code.contains(line)), "{what}: a command: {line}");
    }
}

/// Every state in which somebody else's text is shown, with `evil` in each of its places.
fn states(evil: &str) -> Vec<StageView> {
    let failure = |kind| Failure {
        kind,
        summary: evil.into(),
        exit_code: Some(1),
        log: evil.split('\n').map(str::to_owned).collect(),
        advice: evil.into(),
    };
    let mut views = Vec::new();

    let mut failed = World::new();
    failed.deploy(sha('a'), 0);
    failed.succeed(0);
    failed.deploy(sha('b'), 300);
    failed.start("build:web", 300);
    failed.event("build:web", 301, StepEventKind::Pending { again: at(302), note: evil.into() });
    views.push(failed.view());
    failed.event("build:web", 302, StepEventKind::Waiting { again: at(303), reason: evil.into(), attempt: 1 });
    views.push(failed.view());
    failed.fail("build:api", 303, 304, failure(FailureKind::Build));
    failed.links.commands = &["/destroy"];
    views.push(failed.view());

    let mut misconfigured = World::new();
    let problem = Problem { at: Position { line: 1, column: 1 }, path: evil.into(), message: evil.into() };
    let problems = Problems { file: evil.into(), problems: vec![problem.clone(), problem] };
    misconfigured.record.status = StageStatus::Misconfigured { sha: sha('c'), problems };
    views.push(misconfigured.view());

    let mut stuck = World::new();
    stuck.remove(GoneReason::Closed, 0);
    let resource = Resource { kind: evil.into(), id: evil.into(), service: Some(service("web")) };
    stuck.done("prove", 0, 1, Output::Left { removed: 1, left: vec![resource] });
    stuck.end(Outcome::Failed, 2);
    views.push(stuck.view());

    let mut address = World::new();
    address.deploy(sha('a'), 0);
    if let crate::model::Wanted::Live(spec) = &mut address.deploys[0].plan.wanted {
        spec.services[0].url = Some(evil.into());
        spec.services[1].url = Some(format!("https://x.example.com/{evil}"));
    }
    views.push(address.view());
    views
}

fn assert_all_harmless(evil: &str) {
    for view in states(evil) {
        let what = format!("{:?} with {evil:?}", view.phase);
        let text = comment(&view);
        assert!(text.starts_with(&marker(&view.stage)), "{what}");
        let facts = text.lines().next().and_then(|line| line.strip_prefix(&marker(&view.stage)));
        let json = facts.and_then(|facts| facts.strip_suffix(" -->")).expect("the marker is the first line");
        let facts: serde_json::Value = serde_json::from_str(json).expect("the facts are JSON");
        assert_eq!(facts["state"], view.phase.as_str(), "{what}");
        assert_harmless(&text, &what);
        let check = check(&view);
        assert_harmless(&check.summary, &what);
        for plain in [line(&view), check.title, deployment(&view).description] {
            assert!(!plain.contains(char::is_control), "{what}: {plain:?}");
        }
        assert!(deployment(&view).description.chars().count() <= 140, "{what}");
    }
}

pub(super) const ATTACKS: &[&str] = &[
    "@octocat @acme/everyone",
    "mail me@evil.example or mailto:me@evil.example",
    "fixes #1, closes acme/shop#2, GH-3",
    "http://evil.example https://evil.example www.evil.example ftp://evil.example",
    "<http://evil.example> <me@evil.example>",
    "[click](http://evil.example) ![x](http://evil.example/x.png) [a]: http://evil.example",
    "[ref]\n\n[ref]: http://evil.example",
    "```\n@octocat\n```",
    "````\n```\n@octocat",
    "~~~\n@octocat\n~~~",
    "`@octocat` `` ` ``",
    "--> <script>alert(1)</script> <!-- ",
    "</details></summary><img src=x onerror=alert(1)>",
    "&lt;img&gt; &#64;octocat &commat;octocat",
    "| a | b |\n|---|---|\n| @c | d |",
    "# h\n## h\n===\n---\n- a\n+ b\n* c\n1. d\n2) e\n> f",
    "    indented @octocat",
    "/destroy\n/approve 123\n\\/destroy",
    "safe\u{202e}txt.exe \u{200b}@octocat @\u{200b}octocat \u{feff}",
    "\x1b[31m@octocat\x1b[0m \x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "@\x1b[0moctocat @\0octocat http:\x1b[0m//evil.example",
    "$x$ $$y$$ $`z`$",
    "\\@octocat \\<b> \\\\[a](http://evil.example)",
    "[^1]\n\n[^1]: note @octocat",
    "- [ ] task\n- [x] done",
    "[!WARNING]\n> @octocat",
    "a  \nb\\\nc\r\nd\re",
    ":tada: @octocat",
    "\u{2028}/destroy\u{2029}@octocat",
    "w\u{ad}ww.evil.example wwww.evil.example WWW.evil.example HTTP://evil.example",
    "",
    " ",
    "\n\n\n",
];

#[test]
fn known_attacks_do_nothing() {
    for attack in ATTACKS {
        assert_all_harmless(attack);
    }
}

/// xorshift64*: the same texts on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).expect("31 bits") % bound
    }
}

#[test]
fn texts_thrown_together_do_nothing() {
    let visible = "@ octocat a@b.c # 12 GH- http : // www . evil.example < > !-- --> [ ] ( ) ! ` `` ``` ~~~ | \\ & ; #64 \
                   * _ ** __ $ $$ / destroy - + = === --- 1. é 日本 👍 </details> <b> { } % {{ }} {% \" ^ [^1] x \
                   ghs_0123456789abcdef0123 password= \u{1b}[ m \0 \u{202e} \u{200b}";
    let pieces: Vec<&str> = visible.split(' ').chain(["\n", "\n\n", "\r", " ", "    ", "\t", "> ", ": "]).collect();
    let mut dice = Dice(0x5eed_0042);
    for _ in 0..400 {
        let length = 1 + dice.below(24);
        let text: String = (0..length).map(|_| pieces[dice.below(pieces.len())]).collect();
        assert_all_harmless(&text);
    }
}

#[test]
fn a_text_of_any_size_fits() {
    let mut log = String::new();
    for number in 0..5_000 {
        let _ = writeln!(log, "line {number} @@@@ {}", "[x](y) ".repeat(200));
    }
    for evil in [log, "@".repeat(500_000), "`".repeat(300_000), "👍".repeat(200_000), "&".repeat(300_000)] {
        for view in states(&evil) {
            assert_harmless(&comment(&view), "a long text");
            assert_harmless(&check(&view).summary, "a long text");
        }
    }
}

#[test]
fn a_long_log_loses_its_first_lines_and_not_the_frame() {
    let mut world = World::new();
    world.deploy(sha('b'), 0);
    let log = (0..3_000).map(|number| format!("{number} {}", "x".repeat(3_000))).collect();
    let advice = "Look at the last line.".to_owned();
    let failure = Failure { kind: FailureKind::Build, summary: "It broke".into(), exit_code: Some(2), log, advice };
    world.fail("build:web", 1, 2, failure);
    let text = comment(&world.view());
    assert!(text.len() <= 65_536 && text.len() > 10_000, "{} bytes", text.len());
    assert!(text.contains("\n2999 xxx"), "the last line stays");
    assert!(text.contains("earlier lines are left out") && text.contains("Look at the last line."), "the frame stays");
    assert!(text.contains("| web | failed |"), "the table stays");
}

#[test]
fn many_problems_and_stages_fit() {
    let mut world = World::new();
    let problem = |line| Problem { at: Position { line, column: 1 }, path: "a.b".into(), message: "m @x ".repeat(100) };
    let problems = Problems { file: "f.yml".into(), problems: (1..=2_000).map(problem).collect() };
    world.record.status = StageStatus::Misconfigured { sha: sha('c'), problems };
    let view = world.view();
    assert_harmless(&comment(&view), "many problems");
    assert!(comment(&view).contains(" more\n"), "it says that there are more");
    assert!(check(&view).title.contains("2000 problems"), "{}", check(&view).title);
}

#[test]
fn secrets_do_not_reach_a_surface() {
    let secret = "password=hunter2 ghs_16C7e42F292c6912E7710c838347Ae178B4a postgres://u:hunter2@db/x \
                  g\x1b[0mhs_16C7e42F292c6912E7710c838347Ae178B4a";
    for view in states(secret) {
        let json = serde_json::to_string(&view).expect("JSON");
        for text in [comment(&view), check(&view).summary, check(&view).title, line(&view), json] {
            assert!(!text.contains("hunter2") && !text.contains("16C7e42F"), "{text}");
        }
    }
}
