//! The tables of calls and of policies, held against the sources, the templates, and what AWS says of
//! both. What each policy allows is in `policy_allowed_tests`, what it refuses in `policy_refused_tests`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use super::*;
use crate::aws::names::Names;
use crate::aws::policy_calls::{of_programs, of_server};
use crate::aws::policy_types::{BESIDES, FREE, OTHER_NAMES, TYPES, UNSET};
use crate::aws::policy_world::{Call, World};
use crate::model::{Place, StageId, StageKind};

#[path = "policy_allowed_tests.rs"]
mod allowed;
#[path = "policy_attacks_tests.rs"]
mod attacks;
#[path = "policy_reference_tests.rs"]
mod reference;
#[path = "policy_refused_tests.rs"]
mod refused;
#[path = "policy_restrictions_tests.rs"]
mod restrictions;

const ALL: [Policy; 10] = [
    Policy::Server,
    Policy::Previews,
    Policy::PreviewsRoutes,
    Policy::Permanent,
    Policy::PermanentRoutes,
    Policy::PreviewsFoundation,
    Policy::PreviewsNetwork,
    Policy::PermanentFoundation,
    Policy::PermanentNetwork,
    Policy::Boundary,
];
const BOUNDARY_ARN: &str = "arn:aws:iam::123456789012:policy/greenroom-boundary";

const fn terms(sessions: Sessions) -> Terms<'static> {
    Terms { name: "greenroom", boundary: None, sessions }
}

/// As IAM reads it.
fn document(which: Policy, sessions: Sessions) -> Value {
    serde_json::from_str(&policy(which, &terms(sessions))).unwrap()
}

/// A stage of a kind, `owner/name/stage`, on a foundation that this release made.
fn world(stage: &str, kind: StageKind) -> World {
    let (repo, name) = stage.rsplit_once('/').unwrap();
    let stage = StageId { repo: repo.parse().unwrap(), name: name.parse().unwrap() };
    let base = if kind == StageKind::Permanent { format!("{name}.example.com") } else { "example.com".to_owned() };
    let place = Place { kind, base: Some(base), ..Place::default() };
    let mut world = World::unmade(&Names::new("greenroom"), &stage, &place, "eu-west-1", "123456789012");
    world.boundary = Some(BOUNDARY_ARN.to_owned());
    world
}

fn program_path(world: &World) -> String {
    Names::new("greenroom").program_role_path(&world.stage, &Place { kind: world.kind, ..Place::default() })
}

/// A stage of each kind, and again on foundations whose roles lie where older releases made them.
fn worlds() -> Vec<World> {
    let new = [
        world("acme/shop/pr-42", StageKind::Ephemeral),
        world("acme/.github/feature-x", StageKind::Ephemeral),
        world("acme/shop/dev", StageKind::Permanent),
        world("acme/shop/prod", StageKind::Production),
    ];
    let at = |world: World, path: &str| {
        let own = format!("role{}", program_path(&world));
        World { roles: world.roles.iter().map(|role| role.replace(&own, path)).collect(), ..world }
    };
    let shared = new.clone().map(|world| {
        let path = format!("role/greenroom/{}/", world.foundation);
        at(world, &path)
    });
    let old = new.clone().map(|world| at(world, "role/"));
    new.into_iter().chain(shared).chain(old).collect()
}

/// Every call of every kind of stage.
fn every_call() -> Vec<Call> {
    let calls = |world: World| {
        let server = of_server(&world, "arn:aws:iam::123456789012:role/greenroom-previews");
        [world.of_stage(), world.of_foundation(), server].concat()
    };
    worlds().into_iter().flat_map(calls).collect()
}
/// Characters of a managed policy, white space not counted. Source: "IAM and AWS STS quotas".
const MOST_CHARACTERS: usize = 6144;

/// The files of a folder and all below it, by name.
fn read(folder: &str, take: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // What is done by hand once is done with an administrator's rights.
            if name.starts_with("bootstrap") {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if take(&name) {
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

/// The clients' fields, with IAM's names of their services.
const CLIENTS: [(&str, &str); 12] = [
    ("acm", "acm"),
    ("cloudformation", "cloudformation"),
    ("ecr", "ecr"),
    ("ecs", "ecs"),
    ("elb", "elasticloadbalancing"),
    ("iam", "iam"),
    ("logs", "logs"),
    ("quotas", "servicequotas"),
    ("route53", "route53"),
    ("s3", "s3"),
    ("sts", "sts"),
    ("tagging", "tag"),
];

/// Written like actions, but keys of conditions.
const KEYS: [&str; 4] = ["acm:DomainNames", "iam:AWSServiceName", "iam:PassedToService", "sts:ExternalId"];
/// What is called of a client besides its operations.
const NO_OPERATIONS: [&str; 10] =
    ["as_ref", "build", "clone", "config", "is_empty", "is_none", "is_some", "iter", "len", "snapshot"];

/// The operations that a source calls: by `clients.ecs.update_service()`, and as errors name them.
fn calls(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let named = Regex::new(r#""([a-z0-9]+):([A-Z][A-Za-z0-9]+)""#).unwrap();
    let called = Regex::new(r"\b([a-z0-9]+)\s*\.\s*([a-z][a-z0-9_]+)\(\)").unwrap();
    let known = |service: &str| CLIENTS.iter().any(|(_, name)| *name == service);
    let mut found: BTreeSet<String> = named
        .captures_iter(text)
        .filter(|found| known(&found[1]))
        .map(|found| format!("{}:{}", &found[1], &found[2]))
        .filter(|found| !KEYS.contains(&found.as_str()))
        .collect();
    for call in called.captures_iter(text) {
        let Some((_, service)) = CLIENTS.iter().find(|(field, _)| *field == &call[1]) else { continue };
        if !NO_OPERATIONS.contains(&&call[2]) {
            found.insert(format!("{service}:{}", camel(&call[2])));
        }
    }
    found
}

fn camel(snake: &str) -> String {
    let word = |word: &str| format!("{}{}", word[..1].to_uppercase(), &word[1..]);
    snake.split('_').map(word).collect()
}

fn action(operation: String) -> String {
    OTHER_NAMES.iter().find(|(name, _)| *name == operation).map_or(operation, |(_, action)| (*action).to_owned())
}

/// Every action that the sources need, by themselves.
fn called() -> BTreeSet<String> {
    let of_code =
        |name: &str| name.strip_suffix(".rs").is_some() && !name.starts_with("policy") && !name.contains("tests");
    let sources = read("src/aws", of_code);
    assert!(sources.len() > 20, "the sources were found");
    sources.iter().flat_map(|(_, text)| calls(text)).filter(|call| !FREE.contains(&call.as_str())).map(action).collect()
}

/// Every type that the templates make.
fn types() -> BTreeSet<String> {
    let found = Regex::new(r"AWS::[A-Za-z0-9]+::[A-Za-z0-9]+").unwrap();
    let templates = read("templates/cloudformation", |_| true);
    let types = templates.iter().flat_map(|(_, text)| found.find_iter(text).map(|found| found.as_str().to_owned()));
    // Types of parameters, which make nothing.
    let types: BTreeSet<String> = types.filter(|name| !name.ends_with("::Id")).collect();
    assert!(types.len() > 10, "the templates were found: {types:?}");
    types
}

fn listed() -> BTreeSet<String> {
    every_call().into_iter().map(|call| call.action.to_owned()).collect()
}

#[test]
fn every_call_of_the_sources_is_listed() {
    let missing: Vec<String> = called().difference(&listed()).cloned().collect();
    assert!(missing.is_empty(), "add these to src/aws/policy_calls.rs: {missing:?}");
}

#[test]
fn every_type_of_the_templates_is_listed_with_what_cloudformation_says_that_it_needs() {
    let known: BTreeSet<String> = TYPES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let types = types();
    let missing: Vec<&String> = types.difference(&known).collect();
    assert!(missing.is_empty(), "add these to src/aws/policy_types.rs: {missing:?}");
    let unused: Vec<&String> = known.difference(&types).collect();
    assert!(unused.is_empty(), "no template makes these any more: {unused:?}");
    let (listed, mut unset) = (listed(), BTreeSet::new());
    for (name, actions) in TYPES {
        let missing: Vec<_> = actions.iter().filter(|action| !listed.contains(**action)).collect();
        assert!(missing.is_empty(), "{name}: no call of src/aws/policy_calls.rs is {missing:?}");
        let schema = reference::schema(name);
        let besides = schema.into_iter().filter(|permission| !actions.contains(&permission.as_str()));
        unset.extend(besides);
    }
    let expected: BTreeSet<String> = UNSET.iter().map(|action| (*action).to_owned()).collect();
    assert_eq!(unset, expected, "what CloudFormation needs is in TYPES or in UNSET of src/aws/policy_types.rs");
}

#[test]
fn nothing_is_listed_that_is_not_needed() {
    let mut needed = called();
    needed.extend(TYPES.iter().flat_map(|(_, actions)| actions.iter().map(|action| (*action).to_owned())));
    needed.extend(BESIDES.iter().map(|(action, _)| (*action).to_owned()));
    let unused: Vec<String> = listed().difference(&needed).cloned().collect();
    assert!(unused.is_empty(), "take these out of src/aws/policy_calls.rs: {unused:?}");
}

#[test]
fn what_is_needed_besides_has_a_reason_and_is_listed() {
    let listed = listed();
    for (action, why) in BESIDES {
        assert!(listed.contains(*action) && why.len() > 8, "{action}: {why}");
    }
}

#[test]
fn what_roles_are_granted_by_the_templates_is_within_the_boundary() {
    let text = read("templates/cloudformation", |name| name.starts_with("roles"));
    let action = Regex::new(r"\b(ecr|logs|secretsmanager|ssm|iam|ecs|s3):[A-Z][A-Za-z]+").unwrap();
    let granted: BTreeSet<&str> = action.find_iter(&text[0].1).map(|found| found.as_str()).collect();
    let world = world("acme/shop/pr-42", StageKind::Ephemeral);
    let bounded = of_programs(&world, "previews");
    let bounded: BTreeSet<&str> = bounded.iter().map(|call| call.action).collect();
    assert_eq!(granted, bounded, "`of_programs` has the calls, `BOUNDARY` bounds them");
}

#[test]
fn the_policies_fit_iam_and_are_those_in_the_repository() {
    for which in ALL {
        let word = which.word();
        for sessions in [Sessions::Tagged, Sessions::Bare] {
            let document = document(which, sessions);
            // The longest name that there may be.
            let longest = Terms { name: "abcdefghijklmnopqrst", boundary: Some(BOUNDARY_ARN), sessions };
            for text in [policy(which, &longest), document.to_string()] {
                let characters = text.chars().filter(|c| !c.is_whitespace()).count();
                assert!(characters <= MOST_CHARACTERS, "{word}: {characters} characters");
            }
            let mut sids = BTreeSet::new();
            for statement in document["Statement"].as_array().unwrap() {
                let sid = statement["Sid"].as_str().unwrap();
                assert!(sid.chars().all(|c| c.is_ascii_alphanumeric()) && sids.insert(sid), "{sid}");
                assert!(!statement["Action"].to_string().contains('*'), "{sid}: each action is named");
            }
        }
        let kept = format!("templates/aws/policy-{word}.json");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(&kept);
        let help = format!("greenroom doctor --policy {word} > {kept}");
        let is_kept = fs::read_to_string(&file).unwrap_or_default() == policy(which, &terms(Sessions::Tagged));
        assert!(is_kept, "{kept} is old: {help}");
    }
}

#[test]
fn another_name_is_used_everywhere() {
    let another = Terms { name: "team-a", boundary: Some("arn:aws:iam::1:policy/b"), sessions: Sessions::Tagged };
    let stray = Regex::new(r"greenroom[-/]|[^$]\{[a-z]+\}").unwrap();
    for which in ALL {
        let (word, text) = (which.word(), policy(which, &another));
        assert!(!stray.is_match(&text), "{word}: {:?}", stray.find(&text));
    }
    assert!(policy(Policy::PreviewsFoundation, &another).contains("cluster/team-a-previews-foundation-*"));
    assert!(policy(Policy::PreviewsFoundation, &another).contains("\"arn:aws:iam::1:policy/b\""));
}

#[test]
fn calls_are_found_however_they_are_written() {
    for (text, found) in [
        ("clients.ecs.update_service().cluster(x)", "ecs:UpdateService"),
        ("clients\n    .elb\n    .describe_target_health()", "elasticloadbalancing:DescribeTargetHealth"),
        ("fault(\"ecr:PutImage\", error)", "ecr:PutImage"),
        ("s3.list_objects_v2()", "s3:ListObjectsV2"),
    ] {
        assert_eq!(calls(text).into_iter().collect::<Vec<_>>(), [found], "{text}");
    }
    assert!(calls("clients.ecs.clone(); \"http:Foo\"; a.logs.len()").is_empty());
}
