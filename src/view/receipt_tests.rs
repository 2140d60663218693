//! What the answers look like, and that no text of others in them does anything.

use insta::assert_snapshot;

use super::attacks::{ATTACKS, assert_harmless};
use super::fixture::sha;
use super::*;
use crate::model::{
    Answer, Binding, Gate, GateResult, GateState, Misread, Offer, Prefix, Slot, StageName, Verb, Verdict, Withheld,
};

fn told(command: &str, told: Told) -> Receipt {
    Receipt { command: command.into(), told }
}

fn gate(gate: Gate, state: GateState, evidence: &str, way_out: &str) -> GateResult {
    let way_out = (state != GateState::Open).then(|| way_out.to_owned());
    GateResult { gate, state, evidence: evidence.into(), way_out }
}

fn verdict(answer: Answer, gates: Vec<GateResult>) -> Verdict {
    Verdict { answer, gates, commit: Some(sha('a')), binding: Some(Binding::Bound(sha('a'))) }
}

fn moved() -> Verdict {
    let found = "the head was aaaaaaa when the comment was written and is bbbbbbb now";
    verdict(
        Answer::Refused,
        vec![
            gate(Gate::Person, GateState::Open, "ann is a person", ""),
            gate(Gate::Commit, GateState::Closed, found, "look at the new head, then give the command again"),
            gate(
                Gate::Checks,
                GateState::Unknown,
                "the checks of aaaaaaa could not be learned",
                "try again in a minute",
            ),
        ],
    )
}

fn offers() -> Vec<Offer> {
    let stage = |name: &str| StageName::new(name).unwrap();
    let withheld = Withheld { stage: stage("prod"), way_out: "ask somebody of admin to give the command".into() };
    let status = Offer { verb: Verb::Status, stages: vec![stage("pr-42"), stage("prod")], withheld: Vec::new() };
    vec![Offer { verb: Verb::Deploy, stages: vec![stage("pr-42")], withheld: vec![withheld] }, status]
}

fn one(command: &str, what: Told) -> String {
    let text = receipt(99, &[told(command, what)]);
    assert_harmless(&text, command);
    text.strip_prefix(&receipt_marker(99)).expect("the marker is first").trim().to_owned()
}

#[test]
fn a_refusal_says_which_gates_and_what_to_do() {
    assert_snapshot!(one("/deploy prod", Told::Judged(moved())));
}

#[test]
fn what_waits_says_its_place() {
    let busy = gate(Gate::Turn, GateState::Closed, "a deploy of pull request 8 is under way", "nothing: it waits");
    assert_snapshot!(one("/deploy staging", Told::Judged(verdict(Answer::Queued { position: 2 }, vec![busy]))));
}

fn why(verdict: Verdict) -> Told {
    Told::Why { verdict, unasked: None }
}

#[test]
fn why_says_that_nothing_is_asked_for() {
    let open = verdict(Answer::Allowed, vec![gate(Gate::Person, GateState::Open, "ann is a person", "")]);
    let unasked = Some("it does not have the label <b>pre @all: add that, or ask with `/deploy`".to_owned());
    let text = one("/why", Told::Why { verdict: open, unasked });
    let said = text.lines().find(|line| line.starts_with("**By itself**")).expect("it is said");
    assert!(said.contains("gets no stage: it does not have the label"), "{said}");
    assert!(!said.contains("<b>") && !said.contains(" @all"), "it is a label of others: {said}");
}

#[test]
fn why_shows_every_gate() {
    let open = verdict(Answer::Allowed, vec![gate(Gate::Person, GateState::Open, "ann is a person", "")]);
    let text = format!("{}\n\n----\n\n{}", one("/why prod", why(moved())), one("/why", why(open)));
    assert_snapshot!(text);
}

#[test]
fn a_misread_line_says_what_was_meant() {
    let near = Misread::UnknownCommand { word: "depoly".into(), near: Some(Verb::Deploy) };
    let missing = Misread::Missing { slot: Slot::Service };
    assert_snapshot!(receipt(99, &[told("/depoly", Told::Misread(near)), told("/logs", Told::Misread(missing))]));
}

#[test]
fn help_says_what_the_caller_may() {
    let named = Prefix::new("/gr").unwrap();
    assert_snapshot!(one("/help", Told::Help { prefix: Prefix::default(), offers: offers() }));
    let text = one("/gr help", Told::Help { prefix: named, offers: offers() });
    assert!(text.contains("| `/gr deploy [stage] [service..]` |"), "{text}");
}

#[test]
fn long_answers_are_folded_and_short_ones_are_not() {
    let lines: Vec<String> = ["build web", "start web"].map(Into::into).to_vec();
    let short = Told::Short { summary: "pr-42 is live at `aaaaaaa`.".into(), lines: lines.clone() };
    let long = Told::Long { summary: "A deploy of pr-42 would take 2 steps.".into(), lines, keep: Keep::First };
    let done = Told::Done("pr-42 now lives until 2026-11-23 05:04 UTC.".into());
    let parts = [told("/status", short), told("/plan", long), told("/keep 3d", done)];
    assert_snapshot!(receipt(99, &parts));
}

/// Every answer with `evil` in each of its places.
fn answers(evil: &str) -> Vec<Receipt> {
    let gates = || {
        let states = [GateState::Open, GateState::Closed, GateState::Unknown];
        states.map(|state| gate(Gate::Lock, state, evil, evil)).to_vec()
    };
    let lines = || evil.split('\n').map(str::to_owned).collect();
    let mut offers = offers();
    offers[0].withheld[0].way_out = evil.into();
    let misread = Misread::UnknownStage { word: evil.into(), near: None };
    [
        Told::Done(evil.into()),
        Told::Judged(verdict(Answer::Refused, gates())),
        Told::Judged(verdict(Answer::Queued { position: 1 }, gates())),
        Told::Misread(misread),
        Told::Why { verdict: verdict(Answer::Refused, gates()), unasked: Some(evil.into()) },
        Told::Help { prefix: Prefix::default(), offers },
        Told::Long { summary: evil.into(), lines: lines(), keep: Keep::Last },
        Told::Short { summary: evil.into(), lines: lines() },
    ]
    .map(|what| told(evil, what))
    .to_vec()
}

/// Every sign that a prefix can be.
const SIGNS: &str = "/!@.,:;%?^";

#[test]
fn no_text_of_others_does_anything_in_an_answer() {
    for attack in ATTACKS {
        let answers = answers(attack);
        for part in &answers {
            let text = receipt(99, std::slice::from_ref(part));
            assert_harmless(&text, &format!("{part:?}"));
            if matches!(part.told, Told::Long { .. } | Told::Short { .. }) {
                continue;
            }
            let begins = text.lines().find(|line| line.trim_start().starts_with(|c: char| SIGNS.contains(c)));
            assert_eq!(begins, None, "{part:?}\n{text}");
        }
        assert_harmless(&receipt(99, &answers), attack);
    }
}

#[test]
fn an_answer_of_any_size_fits_and_keeps_what_matters() {
    for evil in ["@".repeat(300_000), "`\n".repeat(100_000), "👍&|".repeat(100_000)] {
        let answers = answers(&evil);
        assert_harmless(&receipt(99, &answers), "all at once");
    }
    let log: Vec<String> = (0..5000).map(|number| format!("{number} {}", "x".repeat(500))).collect();
    let of = |keep| receipt(99, &[told("/logs web", Told::Long { summary: "web".into(), lines: log.clone(), keep })]);
    let (first, last) = (of(Keep::First), of(Keep::Last));
    assert!(first.contains("\n0 xxx") && !first.contains("\n4999 xxx"), "a plan keeps its first lines");
    assert!(last.contains("\n4999 xxx") && !last.contains("\n0 xxx"), "a log keeps its last lines");
    assert!(first.len() > 20_000 && first.contains("more are left out"), "{} bytes", first.len());
    let many: Vec<Receipt> = (0..5).flat_map(|_| answers("@&|".repeat(500).as_str())).collect();
    let text = receipt(99, &many);
    assert_harmless(&text, "very many");
    assert!(text.contains("more commands did not fit") && text.len() > 5_000, "{} bytes", text.len());
}

#[test]
fn an_end_is_added_to_an_answer_and_stands_alone_where_both_do_not_fit() {
    let begun = receipt(99, &[told("/deploy prod", Told::Begun("abc1234 goes to prod".into()))]);
    let end = told("/deploy prod", Told::Failed("prod failed @everyone".into()));
    let both = receipt_with(&begun, &end);
    assert_harmless(&both, "an end");
    assert!(both.starts_with(&receipt_marker(99)) && both.contains("abc1234 goes") && both.contains("**Failed:**"));
    let long = format!("{}\n{}", receipt_marker(99), "x".repeat(65_500));
    let alone = receipt_with(&long, &end);
    assert!(
        alone.starts_with(&receipt_marker(99)) && alone.contains("prod failed") && !alone.contains("xxx"),
        "{alone}"
    );
}

#[test]
fn no_answer_shows_a_secret_whatever_lies_inside_of_it() {
    let token = "ghp_abcdefgh\u{1b}[31mijklmnopqrstuvwxyz0123456789";
    let refused = verdict(Answer::Refused, vec![gate(Gate::Lock, GateState::Closed, token, token)]);
    let long = |lines: &[&str]| {
        let lines = lines.iter().map(ToString::to_string).collect();
        Told::Long { summary: token.into(), lines, keep: Keep::Last }
    };
    for answer in [
        Told::Done(token.into()),
        Told::Failed(format!("it said {token}")),
        Told::Refused(token.into()),
        Told::Judged(refused.clone()),
        Told::Why { verdict: refused, unasked: Some(token.into()) },
        long(&["a", token]),
        long(&["-----BEGIN EC PRIVATE KEY-----", "MHcCAQEE\u{1b}[0m", "ijklmnop", "-----END EC PRIVATE KEY-----"]),
        Told::Short { summary: "s".into(), lines: vec![token.into()] },
    ] {
        let shown = receipt(1, &[told(token, answer.clone())]);
        assert!(!shown.contains("abcd") && !shown.contains("ijkl"), "{answer:?}: {shown}");
    }
}

#[test]
fn the_end_of_the_audit_is_noted_where_no_reader_sees_it() {
    let end = crate::model::AuditLink { number: 12, hash: "ab".repeat(32) };
    let body = receipt(7, &[told("/status", Told::Done("It is live.".into()))]);
    let noting = receipt_noting(&body, &end);
    assert!(noting.starts_with(body.trim_end()), "{noting}");
    assert_eq!(noting.lines().last(), Some(&*format!("<!-- greenroom audit 12 {} -->", end.hash)));
    let full = "x".repeat(65_536);
    assert_eq!(receipt_noting(&full, &end), full, "the answer comes first");
}
