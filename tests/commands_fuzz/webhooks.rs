//! Bodies of webhooks: signed by GitHub, and still read as if by anybody.

use greenroom::model::{Event, PushEvent};
use greenroom::wire::{Message, Parsed, Secrets, SignatureError, WireError, parse, sign, verify};
use secrecy::SecretString;
use serde_json::Value;

use crate::fuzz::{Target, Verdict};

const EVENTS: [&str; 12] = [
    "pull_request",
    "push",
    "issue_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "delete",
    "installation",
    "installation_repositories",
    "repository",
    "workflow_run",
    "workflow_job",
    "ping",
];
const DELIVERY: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
/// A value that is nobody's business: it is never told in what is kept of a body that could not be read.
const CANARY: &str = "CANARY-0123456789";

const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\"",
    b"\\",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\u0000",
    b"\\ud800",
    b"\\u202e",
    b"\"CANARY-0123456789\"",
    b"\"CANARY-0123456789\":",
    b"\"number\":",
    b"\"number\":42,",
    b"\"action\":\"closed\",",
    b"\"action\":\"synchronize\",",
    b"\"repository\":",
    b"\"repository\":{\"id\":7,\"full_name\":\"acme/shop\",\"owner\":{\"id\":8}},",
    b"\"id\":",
    b"\"full_name\":\"a/b\",",
    b"\"sender\":",
    b"\"ref\":\"refs/heads/\",",
    b"\"ref\":\"refs/tags/v1\",",
    b"\"after\":\"0000000000000000000000000000000000000000\",",
    b"\"head\":{\"sha\":\"0123456789abcdef0123456789abcdef01234567\"},",
    b"\"updated_at\":\"2025-11-24T16:00:00Z\",",
    b"payload=%7B%7D",
];

#[test]
fn a_body_is_read_or_refused_and_what_is_read_stands_there() {
    Target { name: "webhooks", seeds: Vec::new(), pieces: PIECES, rounds: 3_000 }.hold(judge);
}

fn judge(body: &[u8]) -> Verdict {
    is_signed(body)?;
    let whole: Option<Value> = serde_json::from_slice(body).ok();
    let mut shape = String::new();
    for event in EVENTS {
        let read = parse(Some(event), Some(DELIVERY), body);
        if read != parse(Some(event), Some(DELIVERY), body) {
            return Err(format!("{event} is read differently a second time"));
        }
        shape.push_str(&match read {
            Ok(Message { parsed: Parsed::Event(event, _), .. }) => told(&event, whole.as_ref())?,
            Ok(Message { parsed: Parsed::Ping, .. }) => "ping".into(),
            Ok(Message { parsed: Parsed::Ignored { why }, .. }) => why.into(),
            Err(WireError::Poison(poison)) => {
                for text in [&poison.reason, &poison.excerpt] {
                    if text.contains(CANARY) {
                        return Err(format!("{event} tells a value of the body: {text}"));
                    }
                }
                poison.reason.split([' ', '`']).take(4).collect::<Vec<_>>().join(" ")
            }
            Err(WireError::NotJson) => "no JSON".into(),
            Err(error @ WireError::Header(_)) => return Err(format!("{event}: {error}")),
        });
        shape.push(';');
    }
    Ok(shape)
}

/// Whoever signs is believed, and nobody else.
fn is_signed(body: &[u8]) -> Result<(), String> {
    let secret = || SecretString::from("a secret of sixteen letters");
    let secrets = Secrets::new(secret(), None).map_err(|error| error.to_string())?;
    let signature = sign(body, &secret());
    if verify(body, Some(&signature), &secrets).is_err() {
        return Err("what is signed is not believed".into());
    }
    let more = [body, b"x"].concat();
    match verify(&more, Some(&signature), &secrets) {
        Err(SignatureError::Mismatch) => Ok(()),
        other => Err(format!("one byte more is no mismatch: {other:?}")),
    }
}

/// What an event says stands where GitHub's documentation has it. Of a body that no other reader takes there
/// is nothing to compare with.
fn told(event: &Event, whole: Option<&Value>) -> Verdict {
    let Some(whole) = whole else { return Ok("read by us alone".into()) };
    match event {
        Event::PullRequest { number, head, action, .. } => {
            let numbers = [&whole["number"], &whole["pull_request"]["number"]].map(Value::as_u64);
            if !numbers.contains(&Some(number.0)) {
                return Err(format!("pull request {number:?} stands nowhere"));
            }
            let sha = whole["pull_request"]["head"]["sha"].as_str().unwrap_or_default();
            if !sha.eq_ignore_ascii_case(&head.to_string()) {
                return Err(format!("the head {head} is not {sha}"));
            }
            Ok(format!("{action:?}"))
        }
        Event::Push(PushEvent { branch, after, .. }) => {
            let reference = whole["ref"].as_str().unwrap_or_default();
            if reference != format!("refs/heads/{}", branch.0) {
                return Err(format!("the branch {} is not {reference}", branch.0));
            }
            Ok(if after.is_some() { "push" } else { "push of nothing" }.into())
        }
        other => Ok(format!("{other:?}").split([' ', '{', '(']).next().unwrap_or_default().to_owned()),
    }
}
