//! Every event by its table, every malformed body by its kind, and bodies broken at random.

use serde_json::{Value, json};

use super::*;
use crate::model::{Actor, ActorKind, RepoId, RepoName, UserId};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const GUID: Option<&str> = Some("72d3162e-cc78-11e3-81ab-4c9367dc0958");

fn read(event: &str, body: &Value) -> Result<Parsed, WireError> {
    parse(Some(event), GUID, body.to_string().as_bytes()).map(|message| message.parsed)
}

fn account(kind: &str) -> Value {
    json!({ "login": "monalisa", "id": 1, "node_id": "MDQ6", "type": kind, "site_admin": false })
}

fn pull_request_body(action: &str) -> Value {
    json!({
        "action": action, "number": 42,
        "pull_request": { "title": "a \"quoted\" \u{1F680} title", "head": { "sha": SHA, "ref": "x" }, "body": null,
            "updated_at": "2025-11-24T16:00:00Z" },
        "repository": { "id": 7, "full_name": "Acme/Shop", "owner": { "id": 8, "login": "Acme" } },
        "sender": account("User"), "installation": { "id": 3 }
    })
}

fn push_body(reference: &str, after: &str) -> Value {
    json!({
        "ref": reference, "before": SHA, "after": after, "deleted": after.starts_with('0') && after.ends_with('0'),
        "repository": { "id": 7, "full_name": "acme/shop", "owner": { "id": 8 } }, "sender": account("Bot"), "commits": [{ "id": SHA }]
    })
}

fn comment_body(action: &str) -> Value {
    json!({
        "action": action,
        "issue": { "number": 42, "pull_request": { "url": "https://api.github.com/repos/acme/shop/pulls/42" } },
        "comment": {
            "id": 99, "body": "/deploy\r\n\"now\" \u{e9}", "user": account("User"),
            "created_at": "2026-11-20T05:04:03Z", "updated_at": "2026-11-20T06:00:00Z"
        },
        "repository": { "id": 7, "full_name": "acme/shop", "owner": { "id": 8 } }, "sender": account("User")
    })
}

fn review_body(action: &str, text: &str) -> Value {
    json!({
        "action": action, "pull_request": { "number": 42 },
        "review": { "id": 99, "body": text, "user": account("User"), "submitted_at": "2026-11-20T05:04:03Z" },
        "repository": { "id": 7, "full_name": "acme/shop", "owner": { "id": 8 } }, "sender": account("User")
    })
}

fn monalisa(kind: ActorKind) -> Actor {
    Actor { id: UserId(1), login: "monalisa".into(), kind }
}

fn shop() -> RepoName {
    RepoName::new("acme/shop").expect("a repository's name")
}

fn seen() -> RepoSeen {
    RepoSeen { id: RepoId(7), owner: UserId(8), name: shop() }
}

#[test]
fn every_action_of_a_pull_request_that_matters_is_an_event() {
    use PullRequestAction as Action;
    let actions = [
        ("opened", Action::Opened),
        ("reopened", Action::Reopened),
        ("synchronize", Action::Synchronize),
        ("edited", Action::Edited),
        ("labeled", Action::Labeled),
        ("unlabeled", Action::Unlabeled),
        ("ready_for_review", Action::ReadyForReview),
        ("converted_to_draft", Action::ConvertedToDraft),
        ("closed", Action::Closed),
    ];
    for (name, action) in actions {
        let expected = Event::PullRequest {
            repo: shop(),
            number: PullNumber(42),
            action,
            head: CommitSha::new(SHA).expect("a sha"),
            actor: monalisa(ActorKind::Person),
            updated_at: Timestamp(1_764_000_000_000),
        };
        assert_eq!(read("pull_request", &pull_request_body(name)), Ok(Parsed::Event(expected, Some(seen()))), "{name}");
    }
    for name in ["assigned", "auto_merge_enabled", "review_requested", ""] {
        let parsed = read("pull_request", &pull_request_body(name));
        assert!(matches!(parsed, Ok(Parsed::Ignored { .. })), "{name}: {parsed:?}");
    }
}

#[test]
fn a_pull_request_is_known_by_its_number_wherever_that_stands() {
    let number = |body: &Value| match read("pull_request", body) {
        Ok(Parsed::Event(Event::PullRequest { number, .. }, _)) => Some(number),
        _ => None,
    };
    let mut body = pull_request_body("opened");
    body["pull_request"]["number"] = json!(42);
    assert_eq!(number(&body), Some(PullNumber(42)));
    // As a GitHub that is played sends it.
    body.as_object_mut().expect("an object").remove("number");
    assert_eq!(number(&body), Some(PullNumber(42)));
    body["number"] = Value::Null;
    assert_eq!(number(&body), Some(PullNumber(42)));
    body["pull_request"].as_object_mut().expect("an object").remove("number");
    assert_eq!(number(&body), None);
}

#[test]
fn a_push_names_its_branch_and_its_commit() {
    let push = |branch: &str, after: Option<&str>| {
        let push = PushEvent {
            repo: shop(),
            branch: Branch(branch.into()),
            after: after.map(|sha| CommitSha::new(sha).expect("a sha")),
            actor: Some(monalisa(ActorKind::Bot)),
        };
        Parsed::Event(Event::Push(push), Some(seen()))
    };
    assert_eq!(read("push", &push_body("refs/heads/main", SHA)), Ok(push("main", Some(SHA))));
    assert_eq!(read("push", &push_body("refs/heads/feature/\u{e9}\"x", SHA)), Ok(push("feature/\u{e9}\"x", Some(SHA))));
    assert_eq!(read("push", &push_body("refs/heads/old", &"0".repeat(40))), Ok(push("old", None)));
    assert!(matches!(read("push", &push_body("refs/tags/v1", SHA)), Ok(Parsed::Ignored { .. })));
    let mut by_key = push_body("refs/heads/main", SHA);
    by_key["sender"] = Value::Null;
    assert!(matches!(read("push", &by_key), Ok(Parsed::Event(Event::Push(PushEvent { actor: None, .. }), _))));
}

#[test]
fn the_other_events_by_their_table() {
    let delete = |kind: &str| json!({ "ref": "old", "ref_type": kind, "repository": { "id": 7, "full_name": "acme/shop", "owner": { "id": 8 } } });
    let gone = Event::BranchDeleted { repo: shop(), branch: Branch("old".into()) };
    assert_eq!(read("delete", &delete("branch")), Ok(Parsed::Event(gone, Some(seen()))));
    assert!(matches!(read("delete", &delete("tag")), Ok(Parsed::Ignored { .. })));
    let about = |action: &str| json!({ "action": action, "repository": { "id": 7, "full_name": "acme/shop", "owner": { "id": 8 } } });
    for action in ["renamed", "transferred", "edited", "archived", "unarchived", "privatized", "publicized"] {
        let look = Parsed::Event(Event::Reconcile { repo: shop() }, Some(seen()));
        assert_eq!(read("repository", &about(action)), Ok(look), "{action}");
    }
    let deleted = Parsed::Event(Event::RepositoryDeleted { repo: shop() }, Some(seen()));
    assert_eq!(read("repository", &about("deleted")), Ok(deleted));
    assert!(matches!(read("repository", &about("created")), Ok(Parsed::Ignored { .. })));
    let installed = json!({ "action": "created", "installation": { "id": 3 } });
    for event in ["installation", "installation_repositories"] {
        assert_eq!(read(event, &installed), Ok(Parsed::Event(Event::InstallationChanged, None)), "{event}");
    }
    assert_eq!(read("ping", &json!({ "zen": "Keep it logically awesome." })), Ok(Parsed::Ping));
    assert!(matches!(read("workflow_run", &json!({})), Ok(Parsed::Ignored { .. })));
}

#[test]
fn the_two_headers_must_be_there() {
    let body = pull_request_body("opened").to_string();
    let long = "x".repeat(101);
    assert_eq!(parse(None, GUID, body.as_bytes()), Err(WireError::Header("X-GitHub-Event")));
    for delivery in [None, Some(""), Some("a b"), Some(long.as_str())] {
        let parsed = parse(Some("push"), delivery, body.as_bytes());
        assert_eq!(parsed, Err(WireError::Header("X-GitHub-Delivery")), "{delivery:?}");
    }
}

#[test]
fn json_that_does_not_fit_its_event_is_poison_that_shows_no_value() {
    let cases = [
        ("pull_request", "number", "missing field `number`"),
        ("pull_request", "sender", "missing field `sender`"),
        ("pull_request", "pull_request", "missing field `pull_request`"),
        ("pull_request", "repository", "missing field `repository`"),
    ];
    for (event, missing, reason) in cases {
        let mut body = pull_request_body("opened");
        body["secret_password"] = json!("hunter2");
        body.as_object_mut().expect("an object").remove(missing);
        let Err(WireError::Poison(poison)) = read(event, &body) else { panic!("{missing} was not missed") };
        assert!(poison.reason.starts_with(reason), "{}", poison.reason);
        assert_eq!(poison.repo, (missing != "repository").then(seen));
        assert!(poison.excerpt.contains("action") && !poison.excerpt.contains("hunter2"), "{}", poison.excerpt);
    }
    let mut wrong_type = pull_request_body("opened");
    wrong_type["number"] = json!("hunter2");
    let mut wrong_sha = pull_request_body("opened");
    wrong_sha["pull_request"]["head"]["sha"] = json!("hunter2");
    let mut wrong_repo = pull_request_body("opened");
    wrong_repo["repository"]["full_name"] = json!("../hunter2");
    for body in [wrong_type, wrong_sha, wrong_repo, json!([]), json!(1), json!("hunter2"), json!(null)] {
        let Err(WireError::Poison(poison)) = read("pull_request", &body) else { panic!("{body} was taken") };
        assert!(!format!("{poison:?}").contains("hunter2"), "{poison:?}");
    }
}

#[test]
fn a_body_cut_off_anywhere_is_no_json() {
    for (event, body) in [
        ("pull_request", pull_request_body("opened")),
        ("push", push_body("refs/heads/main", SHA)),
        ("issue_comment", comment_body("created")),
        ("pull_request_review", review_body("submitted", "x")),
        ("installation", json!({ "action": "created" })),
    ] {
        let whole = body.to_string();
        for end in 0..whole.len() {
            let parsed = parse(Some(event), GUID, &whole.as_bytes()[..end]);
            assert_eq!(parsed, Err(WireError::NotJson), "{event} cut at {end}");
        }
    }
    // Wrong before the cut as well: still no JSON.
    assert_eq!(parse(Some("push"), GUID, br#"{"ref": 1, "after"#), Err(WireError::NotJson));
    assert_eq!(parse(Some("push"), GUID, b"payload=%7B%7D"), Err(WireError::NotJson));
    assert_eq!(parse(Some("ping"), GUID, b"payload=%7B%7D"), Err(WireError::NotJson));
    let deep = "[".repeat(100_000);
    assert_eq!(parse(Some("push"), GUID, deep.as_bytes()), Err(WireError::NotJson));
}

#[test]
fn no_mutation_makes_it_panic_or_lose_the_delivery_s_id() {
    let bodies = [
        ("pull_request", pull_request_body("opened")),
        ("push", push_body("refs/heads/main", SHA)),
        ("issue_comment", comment_body("created")),
        (
            "delete",
            json!({ "ref": "old", "ref_type": "branch", "repository": { "id": 7, "full_name": "acme/shop", "owner": { "id": 8 } } }),
        ),
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("smaller than below")
    };
    let alphabet = b"{}[]\":,\\0-9.eEtfn u\x00\xff\xc3";
    let mut outcomes = [0_u32; 3];
    for round in 0..20_000 {
        let (event, body) = &bodies[round % bodies.len()];
        let mut bytes = body.to_string().into_bytes();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = alphabet[next(alphabet.len())],
                1 => bytes.insert(at, alphabet[next(alphabet.len())]),
                _ => drop(bytes.remove(at)),
            }
        }
        match parse(Some(event), GUID, &bytes) {
            Ok(message) => {
                assert_eq!(Some(message.id.as_str()), GUID);
                outcomes[0] += 1;
            }
            Err(WireError::Poison(poison)) => {
                assert_eq!(Some(poison.id.as_str()), GUID);
                outcomes[1] += 1;
            }
            Err(WireError::NotJson) => outcomes[2] += 1,
            Err(WireError::Header(name)) => panic!("the header {name} was there"),
        }
    }
    assert!(outcomes.iter().all(|count| *count > 100), "every outcome was met: {outcomes:?}");
}

#[test]
fn labels_are_a_closed_set() {
    assert_eq!(event_label(Some("push")), "push");
    for strange in [None, Some(""), Some("workflow_run"), Some("push\n")] {
        assert_eq!(event_label(strange), "other");
    }
}

fn run_body(path: &str, event: &str, title: &str) -> Value {
    json!({
        "action": "completed",
        "workflow_run": { "id": 9, "path": path, "event": event, "display_title": title, "conclusion": "success" },
        "workflow": { "id": 1 },
        "repository": { "id": 7, "full_name": "acme/shop", "owner": { "id": 8 } }, "sender": account("Bot")
    })
}

#[test]
fn a_run_of_the_workflow_that_builds_is_a_bell_and_those_of_others_are_none() {
    let path = ".github/workflows/greenroom-build.yml";
    let nonce = "8c1f0e6a2b3d4e5f-7-0123456789abcdef";
    let title = format!("Greenroom builds web of pr-42 [{nonce}]");
    let moved = |parsed: Result<Parsed, WireError>| match parsed.expect("it is read") {
        Parsed::Event(Event::RunMoved { repo, nonce }, Some(seen)) => {
            assert_eq!((repo, seen.id), (shop(), RepoId(7)));
            Some(nonce.map(|nonce| nonce.to_string()))
        }
        Parsed::Ignored { .. } => None,
        other => panic!("{other:?}"),
    };
    for (path, event, title, expected) in [
        (path, "workflow_dispatch", title.as_str(), Some(Some(nonce.to_owned()))),
        (
            ".github/workflows/greenroom-build.yml@refs/heads/main",
            "workflow_dispatch",
            &title,
            Some(Some(nonce.into())),
        ),
        (path, "workflow_dispatch", "Greenroom build", Some(None)),
        (path, "pull_request", &title, None),
        (".github/workflows/ci.yml", "workflow_dispatch", &title, None),
        ("greenroom-build.yml", "workflow_dispatch", &title, None),
    ] {
        assert_eq!(moved(read("workflow_run", &run_body(path, event, title))), expected, "{path} {event} {title}");
    }
    let job = |action: &str, name: &str| {
        let repository = json!({ "id": 7, "full_name": "acme/shop", "owner": { "id": 8 } });
        json!({ "action": action, "workflow_job": { "id": 1, "workflow_name": name }, "repository": repository })
    };
    assert_eq!(moved(read("workflow_job", &job("completed", "Greenroom build"))), Some(None));
    assert_eq!(moved(read("workflow_job", &job("queued", "Greenroom build"))), None);
    assert_eq!(moved(read("workflow_job", &job("completed", "CI"))), None);
    let poison = read("workflow_run", &json!({ "action": "completed" }));
    assert!(matches!(poison, Err(WireError::Poison(_))), "{poison:?}");
}
