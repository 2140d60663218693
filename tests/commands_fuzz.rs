//! Comments made at random from the corpus, and a second opinion on what a reader sees in them.
//!
//! The opinion is independent of the program's: another Markdown library makes the page as HTML, and
//! a small reader of HTML finds the lines of text that stand in a plain paragraph. Whatever runs must
//! be one of them.
//!
//! `GREENROOM_FUZZ_ROUNDS` sets how many comments are tried or `GREENROOM_FUZZ_SECONDS` for how long,
//! `GREENROOM_FUZZ_SEED` which. Beside it other bytes of others are tried: `tests/support/fuzz.rs`.

#[path = "commands_fuzz/configs.rs"]
mod configs;
#[path = "commands/corpus.rs"]
#[expect(dead_code, reason = "only the bodies and the names are used here")]
mod corpus;
#[path = "support/fuzz.rs"]
mod fuzz;
#[path = "commands_fuzz/logs.rs"]
mod logs;
#[path = "commands/page.rs"]
mod page;
#[path = "commands_fuzz/webhooks.rs"]
mod webhooks;

use std::io::Write as _;
use std::time::{Duration, Instant};

use corpus::{Case, corpus, known};
use greenroom::decide::command::read;
use greenroom::model::{Line, Prefix, Reading};
use page::visible_lines;

/// The same course in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides.max(1)
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.roll(from.len())]
    }
}

/// What Markdown, HTML and the commands are made of.
const PIECES: [&str; 78] = [
    "/deploy",
    "/destroy",
    "/plan",
    "/lock prod \"a\"",
    "/logs web",
    "/keep 3d",
    "/approve 0123abc",
    "/depoly",
    "/lgtm",
    "\n",
    "\n",
    "\n\n",
    "\n\n",
    "\r\n",
    "\r",
    " ",
    "  ",
    "    ",
    "\t",
    ">",
    "> ",
    "- ",
    "* ",
    "1. ",
    "# ",
    "---",
    "===",
    "```",
    "~~~",
    "`",
    "``",
    "$",
    "$$",
    "*",
    "**",
    "_",
    "~~",
    "[",
    "]",
    "](",
    ")",
    "![",
    "[^1]",
    "[^1]: ",
    "[a]: ",
    "|",
    "a|b\n-|-\n",
    "\\",
    "&#47;",
    "&amp;",
    "<",
    ">",
    "<!--",
    "-->",
    "--!>",
    "<details>",
    "</details>",
    "<b>",
    "</b>",
    "<br>",
    "<div>",
    "</div>",
    "<div title=\"",
    "\">",
    "<pre>",
    "<script>",
    "<?",
    "<T>",
    "<p>",
    "\"",
    "'",
    "=",
    "\u{200b}",
    "\u{202e}",
    "\u{a0}",
    "\u{435}",
    "x",
    "<a@b.c>",
];

/// One comment: a case, or a piece of several, changed a few times.
fn comment(dice: &mut Dice, cases: &[&Case]) -> String {
    let mut body: Vec<char> = dice.pick(cases).body.chars().collect();
    for _ in 0..=dice.roll(6) {
        let at = dice.roll(body.len() + 1);
        let until = (at + dice.roll(16)).min(body.len());
        match dice.roll(6) {
            0 => drop(body.drain(at..until)),
            1 => {
                let copy = body[at..until].to_vec();
                let to = dice.roll(body.len() + 1);
                drop(body.splice(to..to, copy));
            }
            2 => {
                let other: Vec<char> = dice.pick(cases).body.chars().collect();
                drop(body.splice(at..at, other));
            }
            // Where lines begin is where most is decided.
            3 => {
                let starts: Vec<usize> =
                    (0..=body.len()).filter(|at| *at == 0 || matches!(body[at - 1], '\n' | '\r')).collect();
                let start = starts[dice.roll(starts.len())];
                drop(body.splice(start..start, dice.pick(&PIECES).chars()));
            }
            _ => drop(body.splice(at..at, dice.pick(&PIECES).chars())),
        }
    }
    body.into_iter().collect()
}

/// What is wrong with how a comment was read.
fn fault(body: &str, prefix: &Prefix, lines: &[Line]) -> Option<String> {
    let mut visible = visible_lines(body);
    for line in lines {
        let source = body.split("\r\n").flat_map(|part| part.split(['\n', '\r'])).nth(line.number - 1);
        if !source.is_some_and(|source| source.contains(&line.text)) {
            return Some(format!("line {} does not hold {:?}", line.number, line.text));
        }
        if !matches!(line.reading, Reading::Run(_)) || line.text.chars().count() == 200 {
            continue;
        }
        if !line.text.starts_with(|c: char| c.is_ascii_punctuation()) || prefix.strip(&line.text).is_none() {
            return Some(format!("{:?} does not begin with {prefix}", line.text));
        }
        let unseen = line.text.chars().find(|c| ['\u{200b}', '\u{202e}', '\u{a0}', '\u{feff}'].contains(c));
        if unseen.is_some() {
            return Some(format!("{:?} holds what is not seen", line.text));
        }
        match visible.get_mut(&line.text).filter(|count| **count > 0) {
            Some(count) => *count -= 1,
            None => return Some(format!("{:?} runs from line {} but is not seen", line.text, line.number)),
        }
    }
    (read(body, prefix, &known()) != lines).then(|| "a second reading differs".into())
}

fn setting(name: &str, default: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "how long to try is set from outside")]
    let text = std::env::var(name);
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
fn nothing_runs_that_a_reader_does_not_see() {
    let all = corpus();
    let cases: Vec<&Case> = all.iter().filter(|case| case.body.len() < 2000).collect();
    let rounds = setting("GREENROOM_FUZZ_ROUNDS", 20_000);
    let seconds = Some(setting("GREENROOM_FUZZ_SECONDS", 0)).filter(|seconds| *seconds > 0);
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seed = setting("GREENROOM_FUZZ_SEED", if until.is_some() { rand::random() } else { 7 });
    let mut dice = Dice(seed);
    let (mut ran, mut misread, mut silent) = (0, 0, 0);
    let mut faults = Vec::new();
    let mut round = 0;
    while until.map_or(round < rounds, |until| Instant::now() < until) {
        round += 1;
        let body = comment(&mut dice, &cases);
        let lines = read(&body, &Prefix::default(), &known());
        if let Some(fault) = fault(&body, &Prefix::default(), &lines) {
            let body = smallest(&body);
            faults.push(format!("round {round}: {fault}\n    {body:?}\n    seen: {:?}", visible_lines(&body)));
        }
        assert!(faults.len() < 5, "seed {seed}:\n{}", faults.join("\n"));
        match lines.iter().any(|line| matches!(line.reading, Reading::Run(_))) {
            true => ran += 1,
            false if lines.is_empty() => silent += 1,
            false => misread += 1,
        }
    }
    assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
    // Whoever listens learns from which seed it goes on.
    let _ = writeln!(std::io::stderr(), "fuzz comments: seed {seed}, {round} inputs");
    let least = round / 20;
    assert!(ran > least && misread > least && silent > least, "{ran} ran, {misread} were misread, {silent} silent");
}

/// Takes characters away as long as the comment stays wrong.
fn smallest(body: &str) -> String {
    let is_wrong = |body: &str| fault(body, &Prefix::default(), &read(body, &Prefix::default(), &known())).is_some();
    let mut body: Vec<char> = body.chars().collect();
    let mut length = body.len();
    while length > 0 {
        let mut at = 0;
        while at + length <= body.len() {
            let less: Vec<char> = body[..at].iter().chain(&body[at + length..]).copied().collect();
            if is_wrong(&less.iter().collect::<String>()) {
                body = less;
            } else {
                at += 1;
            }
        }
        length /= 2;
    }
    body.into_iter().collect()
}

#[test]
fn the_second_opinion_sees_what_a_reader_sees() {
    for seen in [
        "/x",
        "a\n/x",
        "> a\n\n/x",
        "<p>\n\n/x",
        "a<br>\n/x",
        "<details>\n\n</details>\n\n/x",
        "Vec<T>\n/x",
        "<!--><e=\">\n/x",
        "<!--></e=\">\n/x",
        "a</p>\n/x",
    ] {
        assert!(visible_lines(seen).contains_key("/x"), "{seen:?}");
    }
    for hidden in [
        "`/x`",
        "`a\n/x`",
        "```\n/x\n```",
        "    /x",
        "> /x",
        "> a\n/x",
        "- /x",
        "# /x",
        "/x\n---",
        "*/x*",
        "**a\n/x**",
        "~~a\n/x~~",
        "[/x](a)",
        "![/x](a)",
        "[a](\n/x)",
        "<!-- /x -->",
        "<!--\n\n/x\n\n-->",
        "<details>\n\n/x",
        "<div>\n/x\n</div>",
        "a <b>\n/x",
        "<div><!--\n\n/x\n\n-->",
        "<div title=\"\n\n/x\n\n\">",
        "a|b\n-|-\n/x",
        "[^1]\n\n[^1]: /x",
        "$$\n/x\n$$",
        "<?x\n\n/x",
        "a /x",
        "/x <b>y</b>",
    ] {
        assert!(!visible_lines(hidden).contains_key("/x"), "{hidden:?}: {:?}", visible_lines(hidden));
    }
}
