//! Every kind of comment by its table.

use serde_json::{Value, json};

use crate::model::{
    Actor, ActorKind, CommentEvent, CommentSource, Event, PullNumber, RepoId, RepoName, RepoSeen, Timestamp, UserId,
};
use crate::wire::{Parsed, WireError, parse};

const TEXT: &str = "/deploy\r\n\"now\" \u{e9}";
/// 2026-11-20 05:04:03 UTC
const AT: Timestamp = Timestamp(1_795_151_043_000);

fn read(event: &str, body: &Value) -> Result<Parsed, WireError> {
    parse(Some(event), Some("72d3162e"), body.to_string().as_bytes()).map(|message| message.parsed)
}

fn account(kind: &str) -> Value {
    json!({ "login": "monalisa", "id": 1, "type": kind })
}

/// The body of one of the three events, with the field that holds the text.
fn body(event: &str, action: &str) -> (Value, &'static str) {
    let field = if event == "pull_request_review" { "review" } else { "comment" };
    let time = if field == "review" { "submitted_at" } else { "created_at" };
    let mut body = json!({
        "action": action, "repository": { "id": 7, "full_name": "Acme/Shop", "owner": { "id": 8 } }, "sender": account("User"),
        field: { "id": 99, "body": TEXT, "user": account("User"), time: "2026-11-20T05:04:03Z" },
    });
    if event == "issue_comment" {
        body["issue"] = json!({ "number": 42, "pull_request": { "url": "https://api.github.com/x" } });
    } else {
        body["pull_request"] = json!({ "number": 42, "head": { "sha": "x" } });
    }
    if action == "edited" {
        body["changes"] = json!({ "body": { "from": "/depoly" } });
    }
    (body, field)
}

const EVENTS: [(&str, &str, CommentSource); 3] = [
    ("issue_comment", "created", CommentSource::Issue),
    ("pull_request_review", "submitted", CommentSource::Review),
    ("pull_request_review_comment", "created", CommentSource::ReviewComment),
];

fn seen() -> RepoSeen {
    RepoSeen { id: RepoId(7), owner: UserId(8), name: RepoName::new("acme/shop").expect("a repository's name") }
}

fn comment(source: CommentSource) -> CommentEvent {
    CommentEvent {
        repo: RepoName::new("acme/shop").expect("a repository's name"),
        number: PullNumber(42),
        comment: 99,
        source,
        created_at: AT,
        author: Actor { id: UserId(1), login: "monalisa".into(), kind: ActorKind::Person },
        via_app: None,
        body: TEXT.into(),
    }
}

#[test]
fn what_is_new_and_what_was_changed_are_two_events() {
    for (event, new, source) in EVENTS {
        let expected = Event::Comment(comment(source));
        assert_eq!(read(event, &body(event, new).0), Ok(Parsed::Event(expected, Some(seen()))), "{event}");
        let expected = Event::CommentEdited { comment: comment(source), before: "/depoly".into() };
        assert_eq!(read(event, &body(event, "edited").0), Ok(Parsed::Event(expected, Some(seen()))), "{event}");
        for other in ["deleted", "dismissed", "pinned", ""] {
            let parsed = read(event, &body(event, other).0);
            assert!(matches!(parsed, Ok(Parsed::Ignored { .. })), "{event} {other}: {parsed:?}");
        }
    }
}

#[test]
fn what_nobody_wrote_or_nobody_can_read_is_ignored() {
    for (event, new, _) in EVENTS {
        for missing in ["user", "body"] {
            let (mut body, field) = body(event, new);
            body[field][missing] = Value::Null;
            let parsed = read(event, &body);
            assert!(matches!(parsed, Ok(Parsed::Ignored { .. })), "{event} without {missing}: {parsed:?}");
        }
        let (mut unchanged, _) = body(event, "edited");
        unchanged["changes"] = json!({});
        assert!(matches!(read(event, &unchanged), Ok(Parsed::Ignored { .. })), "{event}");
    }
    let (mut empty, _) = body("pull_request_review", "submitted");
    empty["review"]["body"] = json!(" \r\n");
    assert!(matches!(read("pull_request_review", &empty), Ok(Parsed::Ignored { .. })));
    let (mut on_issue, _) = body("issue_comment", "created");
    on_issue["issue"].as_object_mut().expect("an object").remove("pull_request");
    assert!(matches!(read("issue_comment", &on_issue), Ok(Parsed::Ignored { .. })));
}

#[test]
fn a_program_s_comment_says_so_and_its_edits_are_ignored() {
    for (event, new, _) in EVENTS {
        let (mut created, field) = body(event, new);
        created[field]["user"] = account("Bot");
        let Ok(Parsed::Event(Event::Comment(comment), Some(_))) = read(event, &created) else {
            panic!("{event} was not read")
        };
        assert_eq!(comment.author.kind, ActorKind::Bot);
        let (mut edited, field) = body(event, "edited");
        edited[field]["user"] = account("Bot");
        assert!(matches!(read(event, &edited), Ok(Parsed::Ignored { .. })), "{event}");
    }
}

#[test]
fn a_comment_names_the_app_that_wrote_it() {
    for (event, new, _) in EVENTS {
        for (app, expected) in [(Value::Null, None), (json!({ "id": 424_242, "slug": "greenroom" }), Some(424_242))] {
            let (mut body, field) = body(event, new);
            body[field]["performed_via_github_app"] = app;
            let Ok(Parsed::Event(Event::Comment(comment), Some(_))) = read(event, &body) else {
                panic!("{event} was not read")
            };
            assert_eq!(comment.via_app, expected, "{event}");
        }
    }
}

#[test]
fn a_comment_without_a_time_is_poison() {
    for (event, new, _) in EVENTS {
        for time in [Value::Null, json!("hunter2"), json!("2026-11-20")] {
            let (mut body, field) = body(event, new);
            let name = if field == "review" { "submitted_at" } else { "created_at" };
            body[field][name] = time;
            let Err(WireError::Poison(poison)) = read(event, &body) else { panic!("{event} was taken") };
            assert!(!format!("{poison:?}").contains("hunter2"), "{poison:?}");
        }
    }
}
