//! What each policy allows: every call that is made, and nothing that none of them needs.

use super::*;
use crate::aws::iam::{Decision, Request, judge, judge_bounded};
use crate::aws::policy_world::{Keys, Thing};

/// What IAM is asked when a call touches a thing.
pub(super) fn request(action: &str, thing: &Thing, session: &Keys) -> Request {
    let mut request = Request::new(action, &thing.arn);
    for (key, values) in thing.keys.iter().chain(session) {
        request.keys.insert(key.to_ascii_lowercase(), values.clone());
        if let Some(tag) = key.strip_prefix("aws:RequestTag/") {
            request.keys.entry("aws:tagkeys".to_owned()).or_default().push(tag.to_owned());
        }
    }
    request
}

/// Whether a call is allowed on each of the things that it touches.
pub(super) fn may(policies: &[Value], call: &Call, session: &Keys) -> bool {
    let allowed = |thing: &Thing| judge(policies, &request(call.action, thing, session)) == Decision::Allowed;
    call.things.iter().all(allowed)
}

/// The policies of a stage's role, alone and with those for its foundation.
pub(super) fn policies_of(world: &World, sessions: Sessions) -> (Vec<Value>, Vec<Value>) {
    let (stage, foundation) = match world.ground() {
        Ground::Previews => {
            ([Policy::Previews, Policy::PreviewsRoutes], [Policy::PreviewsFoundation, Policy::PreviewsNetwork])
        }
        Ground::Permanent => {
            ([Policy::Permanent, Policy::PermanentRoutes], [Policy::PermanentFoundation, Policy::PermanentNetwork])
        }
    };
    let stage = stage.map(|which| document(which, sessions));
    let both = stage.iter().cloned().chain(foundation.map(|which| document(which, sessions)));
    (stage.to_vec(), both.collect())
}

fn refused<'a>(policies: &[Value], calls: &'a [Call], session: &Keys) -> Vec<&'a Call> {
    calls.iter().filter(|call| !may(policies, call, session)).collect()
}

const ROLE: &str = "arn:aws:iam::123456789012:role/greenroom-previews";

#[test]
fn every_call_is_allowed_to_a_session_of_its_stage() {
    for world in worlds() {
        let (stage, both) = policies_of(&world, Sessions::Tagged);
        let calls = world.of_stage();
        assert!(
            refused(&stage, &calls, &world.session).is_empty(),
            "{}: {:#?}",
            world.stage,
            refused(&stage, &calls, &world.session)
        );
        let calls = world.of_foundation();
        assert!(
            refused(&both, &calls, &world.session).is_empty(),
            "{}: {:#?}",
            world.stage,
            refused(&both, &calls, &world.session)
        );
        let server = [document(Policy::Server, Sessions::Tagged)];
        let calls = of_server(&world, ROLE);
        assert!(refused(&server, &calls, &Keys::new()).is_empty(), "{:#?}", refused(&server, &calls, &Keys::new()));
    }
}

#[test]
fn every_call_is_allowed_to_an_identity_without_a_session() {
    for world in worlds() {
        let (stage, both) = policies_of(&world, Sessions::Bare);
        let (calls, more) = (world.of_stage(), world.of_foundation());
        assert!(refused(&stage, &calls, &Keys::new()).is_empty(), "{:#?}", refused(&stage, &calls, &Keys::new()));
        assert!(refused(&both, &more, &Keys::new()).is_empty(), "{:#?}", refused(&both, &more, &Keys::new()));
    }
}

#[test]
fn what_programs_are_started_with_is_within_the_boundary_and_nothing_more_is() {
    let boundary = document(Policy::Boundary, Sessions::Tagged);
    let all = serde_json::json!({ "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } });
    let own = |world: &World| world.roles[0].contains(&program_path(world));
    for world in worlds().into_iter().filter(own) {
        let is_preview = world.ground() == Ground::Previews;
        let access = if is_preview { world.stage.repo.to_string() } else { world.stage.to_string() };
        let access = access.as_str();
        // A role's own tags are those of whoever takes it on.
        let role: Keys = world
            .role_tags(&world.roles[0])
            .into_iter()
            .map(|(key, value)| (format!("aws:PrincipalTag/{key}"), vec![value]))
            .collect();
        let within = |call: &Call| {
            let decide = |thing: &Thing| {
                judge_bounded(std::slice::from_ref(&all), &boundary, &request(call.action, thing, &role))
            };
            call.things.iter().all(|thing| decide(thing) == Decision::Allowed)
        };
        let outside: Vec<Call> = of_programs(&world, access).into_iter().filter(|call| !within(call)).collect();
        assert!(outside.is_empty(), "{}: {outside:#?}", world.stage);
        // Of another repository, of another stage, and as they were tagged before.
        let other_ground = if is_preview { "acme/shop/prod" } else { "acme/shop" };
        let others =
            [other_ground, "evil/shop", "evil/shop/prod", "acme/shop/staging", "acme/shop-admin", "previews", "prod"];
        let secrets = ["secretsmanager:GetSecretValue", "ssm:GetParameters"];
        let calls = others.into_iter().flat_map(|access| of_programs(&world, access));
        for call in calls.filter(|call| secrets.contains(&call.action)) {
            assert!(!within(&call), "{}: {call:?}", world.stage);
        }
        let stages = [world.of_stage(), world.of_foundation()].concat();
        let programs: BTreeSet<&str> = of_programs(&world, access).iter().map(|call| call.action).collect();
        for call in stages.iter().filter(|call| !programs.contains(call.action)) {
            assert!(!within(call), "{}: {call:?}", world.stage);
        }
    }
}

/// Taken out one by one, each action of each statement and each resource is missed by some call.
#[test]
fn nothing_is_allowed_that_no_call_needs() {
    let calls = |which: Policy, world: &World| match which {
        Policy::Server => of_server(world, ROLE),
        Policy::Previews | Policy::PreviewsRoutes | Policy::Permanent | Policy::PermanentRoutes => world.of_stage(),
        Policy::PreviewsFoundation
        | Policy::PreviewsNetwork
        | Policy::PermanentFoundation
        | Policy::PermanentNetwork => world.of_foundation(),
        Policy::Boundary => Vec::new(),
    };
    for which in ALL.into_iter().filter(|which| *which != Policy::Boundary) {
        let (word, ground, document) = (which.word(), groups(which).1, document(which, Sessions::Tagged));
        let worlds = worlds().into_iter().filter(|world| which == Policy::Server || world.ground() == ground);
        // What the policy allows, whole.
        let needed: Vec<(Call, Keys)> = worlds
            .flat_map(|world| calls(which, &world).into_iter().map(move |call| (call, world.session.clone())))
            .filter(|(call, session)| may(std::slice::from_ref(&document), call, session))
            .collect();
        let is_missed = |lesser: &Value, actions: &[String]| {
            let mut calls = needed.iter().filter(|(call, _)| actions.iter().any(|action| action == call.action));
            calls.any(|(call, session)| !may(std::slice::from_ref(lesser), call, session))
        };
        for (place, statement) in document["Statement"].as_array().unwrap().iter().enumerate() {
            let sid = &statement["Sid"];
            let texts = |element: &str| -> Vec<String> {
                statement[element].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
            };
            let (actions, resources) = (texts("Action"), texts("Resource"));
            let without = |element: &str, all: &[String], gone: &String| {
                let mut lesser = document.clone();
                lesser["Statement"][place][element] = all.iter().filter(|one| *one != gone).cloned().collect();
                lesser
            };
            for action in &actions {
                let lesser = without("Action", &actions, action);
                assert!(is_missed(&lesser, std::slice::from_ref(action)), "{word} {sid}: nothing needs {action}");
            }
            for resource in &resources {
                let lesser = without("Resource", &resources, resource);
                assert!(is_missed(&lesser, &actions), "{word} {sid}: nothing needs {resource}");
            }
        }
    }
}
