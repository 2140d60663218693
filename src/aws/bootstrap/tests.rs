//! The trust policies as the template has them, judged by IAM's rules over the claims of every event; and
//! what each role may do, held against what AWS knows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::order::Called;
use super::render::{Text, text};
use super::*;
use crate::aws::iam::{Decision, Request, judge};
use crate::model::{Branch, Claims, Issuer, RepoId, RepoIdentity, StageId, UserId};

const HOST: &str = "token.actions.githubusercontent.com";

pub(super) fn order() -> BootstrapOrder {
    let stage = |name: &str, branch: &str, kind| PermanentStage {
        name: name.parse().unwrap(),
        branch: Branch(branch.into()),
        kind,
        base: Some(if kind == StageKind::Production { "shop.test".into() } else { format!("{name}.shop.test") }),
        reach: CommandReach::No,
    };
    BootstrapOrder {
        app: "shop".parse().unwrap(),
        repo: RepoIdentity {
            spelling: "Acme/Shop".into(),
            id: RepoId(774),
            owner_id: UserId(12),
            default_branch: Branch("main".into()),
            prefix: None,
        },
        issuer: Issuer::default(),
        preview_base: Some("shop.test".into()),
        preview_names: vec!["pr-*".into()],
        stages: vec![stage("prod", "main", StageKind::Production), stage("dev", "dev", StageKind::Permanent)],
        build_actor: Some(99),
    }
}

pub(super) fn rendered(order: &BootstrapOrder) -> Text {
    let names = Names::new("greenroom");
    text(&Called::new(&names, order).unwrap()).unwrap()
}

/// A trust policy as this judge reads policies: who is named there is whoever asks.
fn policy_of(trust: &Value, principal: Option<&str>) -> Value {
    let mut trust = trust.clone();
    let statements = trust["Statement"].as_array_mut().unwrap();
    let names = |statement: &Value| {
        let all = statement["Principal"]["AWS"].as_array().cloned().unwrap_or_default();
        principal.is_none_or(|id| all.iter().any(|one| one["Fn::GetAtt"][0] == id))
    };
    statements.retain(names);
    for statement in statements {
        statement.as_object_mut().unwrap().remove("Principal");
        statement["Resource"] = json!("*");
    }
    trust
}

/// Claims as GitHub writes them, beside those that all tokens for AWS have.
fn request(claims: &[(&str, &str)]) -> Request {
    let with = |request: Request, (name, value): &(&str, &str)| request.key(&format!("{HOST}:{name}"), &[*value]);
    claims.iter().fold(Request::new("sts:AssumeRoleWithWebIdentity", "*"), with)
}

/// The doors that let a token in, by the ends of their names.
fn let_in(order: &BootstrapOrder, claims: &[(&str, &str)]) -> Vec<String> {
    let text = rendered(order);
    let mut doors = Vec::new();
    for (door, made) in order.trusts().iter().zip(text.doors()) {
        let judged = judge(&[policy_of(&made.trust, None)], &request(claims)) == Decision::Allowed;
        let token = Claims(claims.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect());
        assert_eq!(judged, door.against(&token).is_empty(), "what we say of it is what IAM does: {token:?}");
        if judged {
            doors.push(door.door.suffix());
        }
    }
    doors
}

const REPO: [(&str, &str); 3] = [("aud", "sts.amazonaws.com"), ("repository", "Acme/Shop"), ("repository_id", "774")];

/// A token of the repository: subject behind its prefix, ref, workflow file, and what else there is.
fn of(prefix: &str, context: &str, at: &str, file: &str, besides: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut claims: Vec<(String, String)> =
        REPO.iter().chain(besides).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    claims.push(("sub".into(), format!("{prefix}:{context}")));
    claims.push(("ref".into(), at.into()));
    claims.push(("job_workflow_ref".into(), format!("Acme/Shop/.github/workflows/{file}@{at}")));
    claims
}

const CLASSIC: &str = "repo:Acme/Shop";
const IMMUTABLE: &str = "repo:Acme@12/Shop@774";
const MAIN: &str = "refs/heads/main";
const MERGE: &str = "refs/pull/42/merge";

fn told(order: &BootstrapOrder, claims: &[(String, String)]) -> String {
    let claims: Vec<(&str, &str)> = claims.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let doors = let_in(order, &claims);
    if doors.is_empty() { "-".to_owned() } else { doors.join(",") }
}

#[test]
fn exactly_the_wanted_events_are_let_in() {
    let (order, main) = (order(), format!("ref:{MAIN}"));
    let prod = [("environment", "prod")];
    let bot = [("actor_id", "99")];
    for prefix in [CLASSIC, IMMUTABLE] {
        let of = |context: &str, at: &str, file: &str, besides: &[(&str, &str)]| {
            told(&order, &of(prefix, context, at, file, besides))
        };
        for (what, door, expected) in [
            ("pull request", of("pull_request", MERGE, "preview.yml", &[]), "preview"),
            ("pull request, another workflow", of("pull_request", MERGE, "ci.yml", &[]), "preview"),
            ("pull request that edits commands.yml", of("pull_request", MERGE, "commands.yml", &[]), "preview"),
            ("pull request in prod", of("environment:prod", MERGE, "preview.yml", &prod), "-"),
            ("issue_comment", of(&main, MAIN, "commands.yml", &[]), "commands"),
            ("schedule", of(&main, MAIN, "sweep.yml", &[]), "commands"),
            ("schedule of another workflow", of(&main, MAIN, "nightly.yml", &[]), "-"),
            ("push to the default branch", of(&main, MAIN, "deploy.yml", &[]), "-"),
            ("push in prod", of("environment:prod", MAIN, "deploy.yml", &prod), "permanent-prod"),
            ("dispatch in prod", of("environment:prod", MAIN, "any.yml", &prod), "permanent-prod"),
            ("prod on another branch", of("environment:prod", "refs/heads/x", "deploy.yml", &prod), "-"),
            ("prod on a tag", of("environment:prod", "refs/tags/main", "deploy.yml", &prod), "-"),
            (
                "dev on its branch",
                of("environment:dev", "refs/heads/dev", "deploy.yml", &[("environment", "dev")]),
                "permanent-dev",
            ),
            ("dev on main", of("environment:dev", MAIN, "deploy.yml", &[("environment", "dev")]), "-"),
            ("push to another branch", of("ref:refs/heads/x", "refs/heads/x", "commands.yml", &[]), "-"),
            ("dispatch on another branch", of("ref:refs/heads/x", "refs/heads/x", "sweep.yml", &[]), "-"),
            ("comment in an environment", of("environment:prod", MAIN, "commands.yml", &prod), "permanent-prod"),
            ("a build that the server starts", of(&main, MAIN, "greenroom-build.yml", &bot), "build"),
            ("a build that somebody starts", of(&main, MAIN, "greenroom-build.yml", &[("actor_id", "1")]), "-"),
            (
                "merge queue",
                of(
                    "ref:refs/heads/gh-readonly-queue/main/pr-1",
                    "refs/heads/gh-readonly-queue/main/pr-1",
                    "commands.yml",
                    &[],
                ),
                "-",
            ),
        ] {
            assert_eq!(door, expected, "{prefix}: {what}");
        }
    }
}

#[test]
fn what_is_not_this_repository_is_let_in_nowhere() {
    let order = order();
    let pull = of(CLASSIC, "pull_request", MERGE, "preview.yml", &[]);
    let with = |changes: &[(&str, &str)]| {
        let mut claims = pull.clone();
        for (name, value) in changes {
            claims.retain(|(other, _)| other != name);
            claims.push(((*name).to_owned(), (*value).to_owned()));
        }
        told(&order, &claims)
    };
    assert_eq!(with(&[]), "preview");
    for (what, changes) in [
        ("another that took the old name", vec![("repository_id", "999")]),
        ("one that was renamed, until a bootstrap again", vec![("sub", "repo:Acme@12/Store@774:pull_request")]),
        ("one that was transferred", vec![("sub", "repo:Evil@66/Shop@774:pull_request")]),
        ("numbers of another", vec![("sub", "repo:Acme@12/Shop@775:pull_request")]),
        ("another spelling", vec![("sub", "repo:acme/shop:pull_request")]),
        ("another audience", vec![("aud", "https://github.com/Acme")]),
        ("a star", vec![("sub", "repo:Acme/*:pull_request")]),
        ("a fork that runs by itself", vec![("sub", "repo:evil/Shop:pull_request"), ("repository_id", "13")]),
    ] {
        assert_eq!(with(&changes), "-", "{what}");
    }
    for left_out in ["aud", "sub", "repository_id"] {
        let claims: Vec<_> = pull.iter().filter(|(name, _)| name != left_out).cloned().collect();
        assert_eq!(told(&order, &claims), "-", "without {left_out}");
    }
    // A workflow of ours that another repository calls runs as that one's; one of theirs runs as ours, and
    // is no workflow of ours.
    let mut called = of(CLASSIC, &format!("ref:{MAIN}"), MAIN, "commands.yml", &[]);
    called.retain(|(name, _)| name != "job_workflow_ref");
    called.push(("job_workflow_ref".into(), "evil/tools/.github/workflows/commands.yml@refs/heads/main".into()));
    assert_eq!(told(&order, &called), "-");
    // After a rename and a bootstrap again both forms of the new name are let in.
    let mut renamed = order;
    renamed.repo.spelling = "Acme/Store".into();
    assert_eq!(told(&renamed, &of("repo:Acme@12/Store@774", "pull_request", MERGE, "preview.yml", &[])), "preview");
    assert_eq!(told(&renamed, &pull), "-");
}

#[test]
fn each_door_is_one_statement_of_equalities() {
    for door in rendered(&order()).doors() {
        let statements = door.trust["Statement"].as_array().unwrap();
        assert_eq!(statements.len(), 1, "{}", door.name);
        let operators: Vec<&String> = statements[0]["Condition"].as_object().unwrap().keys().collect();
        assert_eq!(operators, ["StringEquals"], "{}", door.name);
        let keys = statements[0]["Condition"]["StringEquals"].as_object().unwrap();
        for claim in ["aud", "sub", "repository_id"] {
            assert!(keys.contains_key(&format!("{HOST}:{claim}")), "{}: {claim}", door.name);
        }
        assert!(door.name.len() <= 64 && door.name.starts_with("greenroom-shop-"), "{}", door.name);
    }
}

#[test]
fn a_name_stands_for_itself_whatever_it_is() {
    for branch in ["*", "feat-*", "${aws:username}", "a$b{c}'\"", "${*}", "release/2.x?"] {
        let mut order = order();
        order.repo.default_branch = Branch(branch.into());
        order.stages[0].branch = Branch(branch.into());
        let own = format!("refs/heads/{branch}");
        let comment = |at: &str| told(&order, &of(CLASSIC, &format!("ref:{at}"), at, "commands.yml", &[]));
        let deploy =
            |at: &str| told(&order, &of(CLASSIC, "environment:prod", at, "deploy.yml", &[("environment", "prod")]));
        assert_eq!((comment(&own), deploy(&own)), ("commands".into(), "permanent-prod".into()), "{branch}");
        for other in ["refs/heads/feat-x", MAIN, "refs/heads/", "refs/heads/release/2.x1", "refs/heads/someone"] {
            assert_eq!((comment(other), deploy(other)), ("-".into(), "-".into()), "{branch}: {other}");
        }
        // And the text that has it is still a template.
        let text = bootstrap_template("greenroom", &order).unwrap();
        assert!(text.contains("AWS::IAM::Role") && text.lines().all(|line| !line.starts_with("{{")));
    }
    for stage in ["*", "prod*", "${x}", "a b", "prod:x"] {
        assert!(stage.parse::<StageName>().is_err(), "{stage} is no name of a stage");
    }
}

/// Whether a door's session may take on the hand with these tags.
fn takes_on(order: &BootstrapOrder, hand: &str, door: &str, tags: &[(&str, &str)]) -> bool {
    let text = rendered(order);
    let hand = text.hands().iter().find(|one| one.id == hand).expect("a hand");
    let policy = [policy_of(&hand.trust, Some(door))];
    ["sts:AssumeRole", "sts:TagSession"].into_iter().all(|action| {
        let mut request = Request::new(action, "*");
        if action == "sts:AssumeRole" {
            request = request.key("sts:ExternalId", &["acme/shop"]);
        }
        for (key, value) in tags {
            request = request.key(&format!("aws:RequestTag/greenroom:{key}"), &[*value]);
        }
        judge(&policy, &request) == Decision::Allowed
    })
}

/// The tags of a session as they are made for a stage.
fn tags_of(stage: &str, kind: StageKind, base: &str) -> Vec<(String, String)> {
    let names = Names::new("greenroom");
    let stage = StageId { repo: "acme/shop".parse().unwrap(), name: stage.parse().unwrap() };
    let place = Place { kind, base: Some(base.into()), ..Place::default() };
    let session =
        super::super::credentials::RoleSession::new(&names, String::new(), Site { stage: &stage, place: &place });
    session.tags().into_iter().map(|(key, value)| (key.trim_start_matches("greenroom:").to_owned(), value)).collect()
}

fn as_texts(tags: &[(String, String)]) -> Vec<(&str, &str)> {
    tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[test]
fn a_door_takes_on_the_sessions_that_greenroom_asks_for() {
    let order = order();
    let (pr, prod) =
        (tags_of("pr-42", StageKind::Ephemeral, "shop.test"), tags_of("prod", StageKind::Production, "shop.test"));
    let dev = tags_of("dev", StageKind::Permanent, "dev.shop.test");
    for (hand, door, tags, expected) in [
        ("PreviewHand", "PreviewDoor", &pr, true),
        ("PreviewHand", "CommandsDoor", &pr, true),
        ("PreviewHand", "PermanentDoorProd", &pr, false),
        ("PreviewHand", "BuildDoor", &pr, false),
        ("ProductionHand", "PermanentDoorProd", &prod, true),
        ("ProductionHand", "PreviewDoor", &prod, false),
        ("ProductionHand", "CommandsDoor", &prod, false),
        ("PermanentHand", "PermanentDoorDev", &dev, true),
        ("PermanentHand", "PermanentDoorProd", &dev, false),
        ("PermanentHand", "PermanentDoorDev", &prod, false),
    ] {
        assert_eq!(takes_on(&order, hand, door, &as_texts(tags)), expected, "{door} on {hand}: {tags:?}");
    }
    let mut reaching = order;
    reaching.stages[0].reach = CommandReach::Yes;
    assert!(takes_on(&reaching, "ProductionHand", "CommandsDoor", &as_texts(&prod)), "where it was said so");
    assert!(!takes_on(&reaching, "ProductionHand", "CommandsDoor", &as_texts(&dev)));
}

#[test]
fn a_pull_request_that_makes_up_its_tags_stays_a_preview() {
    let order = order();
    let own = tags_of("pr-42", StageKind::Ephemeral, "shop.test");
    let prod = tags_of("prod", StageKind::Production, "shop.test");
    let stack = |tags: &[(String, String)]| tags.iter().find(|(key, _)| key == "stack").unwrap().1.clone();
    let (prods, other) = (stack(&prod), "greenroom-pr-42-till-1a2b3c4d".to_owned());
    for (what, key, value) in [
        ("prod's name", "stage", "prod"),
        ("no preview's name", "stage", "staging"),
        ("prod's stack", "stack", prods.as_str()),
        ("another repository's stack", "stack", other.as_str()),
        ("its foundation", "stack", "greenroom-pr-42-shop-1a2b3c4d-foundation"),
        ("this very stack", "stack", "greenroom-shop-1a2b3c4d-bootstrap"),
        ("all stacks", "stack", "*"),
        ("another repository", "repo", "acme/till"),
        ("another's images", "images", "greenroom/acme/till"),
        ("another kind", "kind", "production"),
        ("another zone", "base", "bank.test"),
    ] {
        let mut tags = own.clone();
        tags.iter_mut().find(|(name, _)| name == key).unwrap().1 = value.to_owned();
        assert!(!takes_on(&order, "PreviewHand", "PreviewDoor", &as_texts(&tags)), "{what}");
    }
    for left_out in ["repo", "stage", "stack", "images", "kind"] {
        let tags: Vec<_> = own.iter().filter(|(key, _)| key != left_out).cloned().collect();
        assert!(!takes_on(&order, "PreviewHand", "PreviewDoor", &as_texts(&tags)), "without {left_out}");
    }
}

/// Actions that a policy allows.
fn actions(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().unwrap().iter();
    let of = |statement: &Value| match &statement["Action"] {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    };
    statements.flat_map(of).collect()
}

#[test]
fn a_door_by_itself_may_little() {
    let reference: Value = serde_json::from_str(include_str!("../../../tests/data/iam.json")).unwrap();
    for door in rendered(&order()).doors() {
        for action in actions(&door.policy) {
            assert!(reference["actions"].get(&action).is_some(), "{}: {action} is no action", door.name);
            let verb = action.split(':').nth(1).unwrap();
            let is_read =
                ["Get", "List", "Describe", "BatchGet", "BatchCheck"].iter().any(|read| verb.starts_with(read));
            let is_known = ["s3:PutObject", "sts:AssumeRole", "sts:TagSession"].contains(&action.as_str());
            let pushes = door.id == "BuildDoor" && action.starts_with("ecr:");
            assert!(is_read || is_known || pushes, "{}: {action}", door.name);
        }
    }
    let text = rendered(&order());
    let build = text.doors().iter().find(|door| door.id == "BuildDoor").unwrap();
    assert!(actions(&build.policy).iter().all(|action| action.starts_with("ecr:")), "builds push, and nothing else");
    let preview = text.doors().iter().find(|door| door.id == "PreviewDoor").unwrap().policy.to_string();
    assert!(preview.contains("774.db*") && !preview.contains("deploy-production"), "{preview}");
}

#[test]
fn what_is_made_is_named_so_that_no_stage_s_session_reaches_it() {
    let names = Names::new("greenroom");
    let mut order = order();
    // As an app would be called by somebody who wants its roles taken for a foundation's.
    for app in ["shop", "a", "previews", &"x".repeat(32)] {
        order.app = app.parse().unwrap();
        let called = Called::new(&names, &order).unwrap();
        for suffix in ["preview", "deploy-production", &format!("permanent-{}", "s".repeat(40))] {
            let role = called.role(suffix);
            assert!(role.len() <= 64 && role.ends_with(suffix), "{role}");
        }
        assert!(called.stack().ends_with("-bootstrap"), "{}", called.stack());
    }
    for app in ["previews-foundation", "prod-shop-1a2b3c4d-foundation", "foundation"] {
        order.app = app.parse().unwrap();
        assert!(matches!(Called::new(&names, &order), Err(PortError::Denied { .. })), "{app}");
    }
}
