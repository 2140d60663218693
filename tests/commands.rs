//! The corpus of comments: each of `tests/commands/*.txt` with what is read in it.

#[path = "commands/corpus.rs"]
mod corpus;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use corpus::{corpus, known, shown};
use greenroom::decide::command::{Known, MOST_LINES, read, read_edit};
use greenroom::model::{Prefix, Reading, Verb};

#[test]
fn every_comment_is_read_as_its_case_says() {
    let cases = corpus();
    let mut wrong = Vec::new();
    for case in &cases {
        let lines: Vec<String> = read(&case.body, &case.prefix, &known()).iter().map(shown).collect();
        if lines != case.expected {
            let list = |sign: &str, lines: &[String]| {
                let lines: Vec<String> = lines.iter().map(|line| format!("  {sign} {line}\n")).collect();
                if lines.is_empty() { format!("  {sign} (silent)\n") } else { lines.concat() }
            };
            let body: String = case.body.chars().take(400).flat_map(char::escape_debug).collect();
            let (expected, found) = (list("-", &case.expected), list("+", &lines));
            wrong.push(format!("{}\n    {body}\n{expected}{found}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_corpus_holds_every_class_and_every_command() {
    let cases = corpus();
    assert!(cases.len() >= 150, "only {} cases", cases.len());
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "a name is there twice");
    let count = |class: &str| cases.iter().filter(|case| case.class == class).count();
    for (class, least) in [
        ("arguments", 30),
        ("bidirectional", 5),
        ("blocks", 15),
        ("fenced", 10),
        ("homoglyph", 8),
        ("html", 15),
        ("large", 8),
        ("line_ends", 5),
        ("near_misses", 15),
        ("other_bots", 10),
        ("plain", 20),
        ("prefix", 8),
        ("quoted", 6),
        ("several", 6),
        ("zero_width", 8),
    ] {
        assert!(count(class) >= least, "{class}: only {} cases", count(class));
    }
    for verb in Verb::ALL {
        let runs = |line: &String| line.split(' ').nth(1) == Some(verb.name());
        assert!(cases.iter().any(|case| case.expected.iter().any(runs)), "no case runs {verb}");
    }
}

#[test]
fn the_files_show_every_character_that_they_hold() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands");
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let unseen = text.chars().find(|c| {
            c.is_control() && *c != '\n' && *c != '\t'
                || matches!(u32::from(*c), 0xa0 | 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff)
        });
        assert_eq!(unseen, None, "{}", path.display());
    }
}

/// What the longest comments are filled with.
const UNITS: [&str; 60] = [
    "/deploy\n",
    "/depoly\n",
    "/deploi pr-42 \"\n",
    "/x\n",
    "> ",
    "> /deploy\n",
    "- ",
    "- /deploy\n",
    "*a **a ",
    "_a*b",
    "[",
    "[\n",
    "[\n]",
    "[[a]\n](b)",
    "[a](",
    "![",
    "![a](\n/deploy",
    "`",
    "`` ` ",
    "```\n",
    "<",
    "<b>",
    "</b>",
    "<!--",
    "<b \"",
    "<details>\n\n/deploy\n\n",
    "&",
    "&amp;",
    "\\",
    "|a",
    "a|b\n-|-\n/deploy\n\n",
    "[^1]",
    "[^1]: a\n",
    "[a]: b\n",
    "~~a",
    "$a",
    "$$\n",
    "$ `` `<b \"` ",
    "\"",
    "/lock \"",
    "\n",
    "\r",
    " ",
    "\t",
    "#",
    "---\n",
    "/\u{200b}",
    "\u{200b}/deploy\n",
    "/deploy \u{202e}\n\n",
    "\u{1f680}",
    "/help ",
    "1. a\n",
    "a\n===\n",
    "<a@b.c>",
    "https://a.b ",
    "/deploy a=b ",
    "/deploy --a=\"b\" ",
    "[a]\n/deploy\n[a]",
    "<?",
    "<![CDATA[",
];

#[test]
fn the_longest_comment_is_read_in_time_whatever_it_holds() {
    let filled = |unit: &str| {
        let length = unit.chars().count();
        unit.repeat(65_536 / length)
    };
    // Far above what it takes, far below what a square would take: this finds growth, not slowness.
    let most = Duration::from_secs(4);
    for unit in UNITS {
        for body in [filled(unit), format!("/deploy {}", filled(unit)), format!("{}\n\n/deploy", filled(unit))] {
            let mut took = Duration::MAX;
            let mut lines = Vec::new();
            // The machine may stand still in the middle of one.
            for _ in 0..3 {
                let begun = Instant::now();
                lines = read(&body, &Prefix::default(), &known());
                took = took.min(begun.elapsed());
                if took < most {
                    break;
                }
            }
            assert!(took < most, "{unit:?} took {took:?}");
            assert!(lines.len() <= MOST_LINES + 1, "{unit:?}: {} lines", lines.len());
            assert!(lines.iter().all(|line| line.text.chars().count() <= 200), "{unit:?}");
        }
    }
}

#[test]
fn an_edit_answers_only_what_it_added() {
    let edit = |before: &str, after: &str| -> Vec<String> {
        read_edit(before, after, &Prefix::default(), &known()).iter().map(shown).collect()
    };
    assert_eq!(edit("/deploy pr-42", "/deploy pr-42\n\nthanks"), [""; 0]);
    assert_eq!(edit("/depoly", "/deploy"), ["1 deploy"]);
    assert_eq!(edit("`/deploy`", "/deploy"), ["1 deploy"]);
    assert_eq!(edit("/plan\n/deploy", "hello\n\n/deploy\n/deploy"), ["4 deploy"]);
    assert_eq!(edit("/deploy", ""), [""; 0]);
}

#[test]
fn nothing_known_means_that_names_are_not_held_against_anything() {
    let lines = read("/deploy any-stage any-service", &Prefix::default(), &Known::default());
    assert!(matches!(lines[0].reading, Reading::Run(_)), "{lines:?}");
}
