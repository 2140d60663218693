//! The answer to a comment's commands: one comment, a part for each command that needs words.
//!
//! # Guarantees
//!
//! - No line outside of code begins with a sign that a command could begin with, so that no answer
//!   makes a program act, ourselves included.
//! - It fits into a comment: long answers lose lines, then long texts are cut, then the last
//!   parts are counted instead of shown.

use serde::Serialize;

use super::clean::{cut, cut_middle};
use super::read::text as plain;
use super::render::{MAX_COMMENT, receipt_text};
use super::{clean_lines, redact_lines};
use crate::model::{Answer, AuditLink, GateState, Misread, Offer, Prefix, Verdict};

/// What is said about one command.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The line as it was written.
    pub command: String,
    pub told: Told,
}

/// The answer itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// One sentence: what was done.
    Done(String),
    /// The same, of a stage that answers at this address.
    Live {
        text: String,
        url: Option<String>,
    },
    /// One sentence: what goes on from here.
    Begun(String),
    /// One sentence: how it failed.
    Failed(String),
    /// One sentence: why nothing is done.
    Refused(String),
    /// One before it in the same comment was refused.
    NotRun,
    /// It is refused, or waits.
    Judged(Verdict),
    Misread(Misread),
    /// Every gate with its evidence, and why the pull request gets no stage by itself, where it gets none.
    Why {
        verdict: Verdict,
        unasked: Option<String>,
    },
    Help {
        prefix: Prefix,
        offers: Vec<Offer>,
    },
    /// A sentence, and lines of which these are kept when there are too many.
    Long {
        summary: String,
        lines: Vec<String>,
        keep: Keep,
    },
    /// A sentence, and lines that are shown at once, such as a status.
    Short {
        summary: String,
        lines: Vec<String>,
    },
}

/// Which lines of a long answer matter most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Of a plan.
    First,
    /// Of a log.
    Last,
}

/// The first line of the answer to the comment with this id, by which it is found again.
pub fn receipt_marker(comment: u64) -> String {
    format!("<!-- greenroom receipt of {comment} -->")
}

/// The whole comment, at most 65,536 bytes. `comment` is the id of the one that is answered.
pub fn receipt(comment: u64, parts: &[Receipt]) -> String {
    let parts: Vec<Receipt> = parts.iter().map(plainly).collect();
    let text = |limits: &Limits, shown: usize| {
        let rows: Vec<Row> = parts.iter().take(shown).map(|part| row(part, limits)).collect();
        receipt_text(&receipt_marker(comment), &rows, parts.len() - rows.len())
    };
    let fits = |text: &String| text.len() <= MAX_COMMENT;
    let most = parts.len().min(MOST_PARTS);
    if let Some(text) = LIMITS.iter().map(|limits| text(limits, most)).find(fits) {
        return text;
    }
    let tightest = &LIMITS[LIMITS.len() - 1];
    (0..most).rev().map(|shown| text(tightest, shown)).find(fits).unwrap_or_else(|| receipt_marker(comment))
}

/// An answer with one more part at its end; where both do not fit, only the new part.
pub fn receipt_with(body: &str, part: &Receipt) -> String {
    let marker = body.lines().next().unwrap_or_default();
    let part = plainly(part);
    let added = |limits: &Limits| receipt_text("", &[row(&part, limits)], 0);
    let fits = |text: &String| text.len() <= MAX_COMMENT;
    let whole = LIMITS.iter().map(|limits| format!("{}\n{}", body.trim_end(), added(limits))).find(fits);
    whole.unwrap_or_else(|| format!("{marker}\n{}", added(&LIMITS[LIMITS.len() - 1])))
}

/// The answer as it is shown: with the end of the audit's chain, which no reader sees, where nobody who
/// can write the database can write. Where both do not fit, the answer alone.
pub fn receipt_noting(body: &str, end: &AuditLink) -> String {
    let AuditLink { number, hash } = end;
    let noting = format!("{}\n\n<!-- greenroom audit {number} {hash} -->\n", body.trim_end());
    if noting.len() <= MAX_COMMENT { noting } else { body.to_owned() }
}

/// The same with every text cleaned and then redacted: once, however often it is cut afterwards.
fn plainly(part: &Receipt) -> Receipt {
    let lines = |lines: &[String]| redact_lines(&clean_lines(lines), &[]);
    let told = match &part.told {
        Told::Done(text) => Told::Done(plain(text)),
        Told::Live { text, url } => Told::Live { text: plain(text), url: url.clone() },
        Told::Begun(text) => Told::Begun(plain(text)),
        Told::Failed(text) => Told::Failed(plain(text)),
        Told::Refused(text) => Told::Refused(plain(text)),
        Told::Judged(verdict) => Told::Judged(plain_verdict(verdict)),
        Told::Why { verdict, unasked } => {
            Told::Why { verdict: plain_verdict(verdict), unasked: unasked.as_deref().map(plain) }
        }
        Told::Long { summary, lines: shown, keep } => {
            Told::Long { summary: plain(summary), lines: lines(shown), keep: *keep }
        }
        Told::Short { summary, lines: shown } => Told::Short { summary: plain(summary), lines: lines(shown) },
        told @ (Told::NotRun | Told::Misread(_) | Told::Help { .. }) => told.clone(),
    };
    Receipt { command: plain(&part.command), told }
}

fn plain_verdict(verdict: &Verdict) -> Verdict {
    let mut verdict = verdict.clone();
    for gate in &mut verdict.gates {
        gate.evidence = plain(&gate.evidence);
        gate.way_out = gate.way_out.as_deref().map(plain);
    }
    verdict
}

/// More commands than a comment can have.
const MOST_PARTS: usize = 20;

/// How much of each part is shown.
struct Limits {
    lines: usize,
    /// Characters of a line of an answer, and of any other text.
    width: usize,
    /// Stages of a command in a help.
    stages: usize,
}

const LIMITS: [Limits; 6] = [
    Limits { lines: 1000, width: 1000, stages: 50 },
    Limits { lines: 400, width: 500, stages: 50 },
    Limits { lines: 150, width: 300, stages: 20 },
    Limits { lines: 50, width: 200, stages: 10 },
    Limits { lines: 20, width: 100, stages: 5 },
    Limits { lines: 5, width: 60, stages: 3 },
];

/// One part, as the templates see it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Row {
    kind: &'static str,
    label: &'static str,
    command: String,
    text: String,
    url: Option<String>,
    next: Option<String>,
    position: u32,
    gates: Vec<GateRow>,
    shut: usize,
    offers: Vec<OfferRow>,
    lines: Vec<String>,
    left_out: usize,
}

#[derive(Debug, Serialize)]
struct GateRow {
    state: &'static str,
    title: &'static str,
    evidence: String,
    way_out: Option<String>,
}

#[derive(Debug, Serialize)]
struct OfferRow {
    syntax: String,
    meaning: &'static str,
    stages: Vec<String>,
    withheld: Vec<String>,
    next: Option<String>,
    left_out: usize,
}

fn row(part: &Receipt, limits: &Limits) -> Row {
    let text = |text: &str| cut(text, limits.width);
    let base = Row { command: cut(&part.command, 200), ..Row::default() };
    match &part.told {
        Told::Done(said) => said_row("Done", text(said), base),
        Told::Live { text: said, url } => Row { url: url.clone(), ..said_row("Done", text(said), base) },
        Told::Begun(said) => said_row("Begun", text(said), base),
        Told::Failed(said) => said_row("Failed", text(said), base),
        Told::Refused(said) => said_row("Refused", text(said), base),
        Told::NotRun => said_row("Not run", "the command before it was refused".to_owned(), base),
        Told::Misread(misread) => Row { kind: "misread", text: text(&misread.to_string()), ..base },
        Told::Judged(verdict) => {
            let (kind, position) = match verdict.answer {
                Answer::Queued { position } => ("queued", position),
                Answer::Allowed | Answer::Refused | Answer::Ignored => ("refused", 0),
            };
            let shut = gates(verdict, limits).filter(|gate| gate.state != "open").collect();
            Row { kind, position, gates: shut, next: verdict.next_action().map(text), ..base }
        }
        Told::Why { verdict, unasked } => {
            let gates: Vec<GateRow> = gates(verdict, limits).collect();
            let next = verdict.next_action().map(text);
            let unasked = unasked.as_deref().map(text).unwrap_or_default();
            Row { kind: "why", shut: verdict.shut().count(), gates, next, text: unasked, ..base }
        }
        Told::Help { prefix, offers } => {
            Row { kind: "help", offers: offers.iter().map(|offer| offer_row(prefix, offer, limits)).collect(), ..base }
        }
        Told::Long { summary, lines, keep } => {
            let (lines, left_out) = fewer(lines, *keep, limits);
            Row { kind: "long", text: text(summary), lines, left_out, ..base }
        }
        Told::Short { summary, lines } => {
            let (lines, left_out) = fewer(lines, Keep::First, limits);
            Row { kind: "short", text: text(summary), lines, left_out, ..base }
        }
    }
}

fn said_row(label: &'static str, text: String, base: Row) -> Row {
    Row { kind: "said", label, text, ..base }
}

fn gates<'a>(verdict: &'a Verdict, limits: &'a Limits) -> impl Iterator<Item = GateRow> + 'a {
    verdict.gates.iter().map(|gate| GateRow {
        state: match gate.state {
            GateState::Open => "open",
            GateState::Closed => "shut",
            GateState::Unknown => "not known",
        },
        title: gate.gate.title(),
        evidence: cut(&gate.evidence, limits.width),
        way_out: gate.way_out.as_ref().map(|way_out| cut(way_out, limits.width)),
    })
}

fn offer_row(prefix: &Prefix, offer: &Offer, limits: &Limits) -> OfferRow {
    let first = |names: Vec<String>| names.into_iter().take(limits.stages).collect::<Vec<_>>();
    let stages = first(offer.stages.iter().map(ToString::to_string).collect());
    let withheld = first(offer.withheld.iter().map(|withheld| withheld.stage.to_string()).collect());
    OfferRow {
        syntax: format!("{prefix}{} {}", offer.verb, offer.verb.syntax()).trim_end().to_owned(),
        meaning: offer.verb.meaning(),
        left_out: offer.stages.len() + offer.withheld.len() - stages.len() - withheld.len(),
        next: offer.withheld.first().map(|withheld| cut(&withheld.way_out, limits.width)),
        stages,
        withheld,
    }
}

fn fewer(lines: &[String], keep: Keep, limits: &Limits) -> (Vec<String>, usize) {
    let left_out = lines.len().saturating_sub(limits.lines);
    let kept = match keep {
        Keep::First => &lines[..lines.len() - left_out],
        Keep::Last => &lines[left_out..],
    };
    (kept.iter().map(|line| cut_middle(line, limits.width)).collect(), left_out)
}
