//! What the restrictions of the printed policies are good for: a call that is made, with one thing of it
//! somebody else's, is refused; and each condition, taken out, lets some attack through.

use super::allowed::{may, policies_of};
use super::attacks::{
    Attack, attacks_on_a_foundation, attacks_on_a_repository, attacks_on_a_stage, attacks_on_names, attacks_on_roles,
    attacks_on_the_account, escalations,
};
use super::*;
use crate::aws::policy_world::{Keys, Thing};

/// What a key says in a call about somebody else's things, by the end of its name.
const FOREIGN: [(&str, &str); 13] = [
    ("Tag/greenroom:owner", "payments"),
    ("Tag/greenroom:repo", "evil/shop"),
    ("Tag/greenroom:stage", "other"),
    ("iam:PermissionsBoundary", "arn:aws:iam::aws:policy/AdministratorAccess"),
    ("iam:PassedToService", "lambda.amazonaws.com"),
    ("iam:AWSServiceName", "organizations.amazonaws.com"),
    ("ecs:cluster", "arn:aws:ecs:eu-west-1:123456789012:cluster/payments"),
    ("ecs:CreateAction", "CreateService"),
    ("application-autoscaling:service-namespace", "dynamodb"),
    ("application-autoscaling:scalable-dimension", "dynamodb:table:ReadCapacityUnits"),
    ("acm:DomainNames", "payments.test"),
    ("RecordNames", "payments.test"),
    ("RecordTypes", "MX"),
];

/// A stage of each kind, with the policies of its role for its foundation as well, by their words.
fn actors() -> Vec<(World, Vec<(Policy, Value)>)> {
    let worlds = [world("acme/shop/pr-42", StageKind::Ephemeral), world("acme/shop/prod", StageKind::Production)];
    let with_policies = |me: World| {
        let words = match me.ground() {
            Ground::Previews => {
                [Policy::Previews, Policy::PreviewsRoutes, Policy::PreviewsFoundation, Policy::PreviewsNetwork]
            }
            Ground::Permanent => {
                [Policy::Permanent, Policy::PermanentRoutes, Policy::PermanentFoundation, Policy::PermanentNetwork]
            }
        };
        let (_, documents) = policies_of(&me, Sessions::Tagged);
        (me, words.into_iter().zip(documents).collect())
    };
    worlds.map(with_policies).to_vec()
}

/// The calls that are made for a stage and its foundation, each with one thing wrong, and what is wrong.
fn with_one_thing_wrong(me: &World) -> Vec<(String, Call)> {
    let mut wrong = Vec::new();
    for call in [me.of_stage(), me.of_foundation()].concat() {
        for (place, thing) in call.things.iter().enumerate() {
            let mut spoil = |what: String, keys: Keys| {
                let mut spoiled = call.clone();
                spoiled.things[place].keys = keys;
                wrong.push((format!("{} {what}", call.action), spoiled));
            };
            for (index, (key, _)) in thing.keys.iter().enumerate() {
                if let Some((_, value)) = FOREIGN.iter().find(|(end, _)| key.ends_with(end)) {
                    let mut keys = thing.keys.clone();
                    keys[index].1 = vec![(*value).to_owned()];
                    spoil(format!("{key} of another"), keys);
                }
                let mut keys = thing.keys.clone();
                keys.remove(index);
                spoil(format!("{key} unsaid"), keys);
            }
            // What all previews share has no stage's name: with one, it is somebody's.
            for side in ["aws:RequestTag", "aws:ResourceTag"] {
                let has = |tag: &str| thing.keys.iter().any(|(key, _)| *key == format!("{side}/greenroom:{tag}"));
                if has("owner") && !has("stage") {
                    let keys = thing.clone().tagged(side, &[("greenroom:stage", "pr-43".to_owned())]).keys;
                    spoil(format!("{side}/greenroom:stage of another"), keys);
                }
                // What is tagged as it is made is somebody's already.
                if side == "aws:ResourceTag" && !has("owner") {
                    let keys = thing.clone().tagged(side, &[("greenroom:owner", "payments".to_owned())]).keys;
                    spoil("on a thing that is another Greenroom's".to_owned(), keys);
                }
            }
        }
    }
    wrong
}

/// Those that are allowed all the same.
fn allowed_all_the_same(me: &World, policies: &[Value]) -> Vec<String> {
    let wrong = with_one_thing_wrong(me);
    let allowed = wrong.into_iter().filter(|(_, call)| may(policies, call, &me.session)).map(|(what, _)| what);
    allowed.collect::<BTreeSet<String>>().into_iter().collect()
}

#[test]
fn a_call_with_one_thing_wrong_is_refused() {
    let [previews, permanent] = [0, 1].map(|index| {
        let (me, policies) = actors().swap_remove(index);
        let policies: Vec<Value> = policies.into_iter().map(|(_, document)| document).collect();
        allowed_all_the_same(&me, &policies).join("\n")
    });
    insta::assert_snapshot!("previews", previews);
    insta::assert_snapshot!("permanent", permanent);
}

/// Every attack on a stage, with the wrong calls among them.
fn all_attacks(me: &World) -> Vec<(String, Call)> {
    let others = [
        world("acme/shop/pr-43", StageKind::Ephemeral),
        world("acme/shop/dev", StageKind::Permanent),
        world("evil/shop/pr-42", StageKind::Ephemeral),
        world("evil/shop/prod", StageKind::Production),
    ];
    let mut attacks: Vec<Attack> = [escalations(me), attacks_on_the_account(me)].concat();
    if me.ground() == Ground::Previews {
        attacks.extend(attacks_on_names(me));
    }
    for them in &others {
        attacks.extend(attacks_on_a_stage(me, them));
        if them.stage.repo != me.stage.repo {
            attacks.extend(attacks_on_a_repository(them));
            attacks.extend(attacks_on_roles(me, them));
        }
        if them.foundation != me.foundation {
            attacks.extend(attacks_on_a_foundation(me, them));
        }
    }
    let named = attacks
        .into_iter()
        .map(|(what, action, thing): (_, _, Thing)| (what.to_owned(), Call { action, things: vec![thing] }));
    named.chain(with_one_thing_wrong(me)).collect()
}

/// The keys of a statement's conditions, each with its operator.
fn conditions_of_statement(statement: &Value) -> Vec<(String, String)> {
    let operators = statement["Condition"].as_object().into_iter().flatten();
    let keys = operators
        .flat_map(|(operator, keys)| keys.as_object().unwrap().keys().map(move |key| (operator.clone(), key.clone())));
    keys.collect()
}

/// Taken out one by one, each condition is missed: some attack that is refused would be none any more.
#[test]
fn each_restriction_keeps_some_attack_out() {
    let mut idle = BTreeSet::new();
    for (me, policies) in actors() {
        let whole: Vec<Value> = policies.iter().map(|(_, document)| document.clone()).collect();
        let attacks = all_attacks(&me).into_iter().filter(|(_, call)| !may(&whole, call, &me.session));
        let attacks: Vec<(String, Call)> = attacks.collect();
        for (number, (which, document)) in policies.iter().enumerate() {
            for (place, statement) in document["Statement"].as_array().unwrap().iter().enumerate() {
                let actions = statement["Action"].to_string();
                for (operator, key) in conditions_of_statement(statement) {
                    let mut lesser = whole.clone();
                    let condition = &mut lesser[number]["Statement"][place]["Condition"];
                    condition[&operator].as_object_mut().unwrap().remove(&key);
                    let mut those =
                        attacks.iter().filter(|(_, call)| actions.contains(&format!("\"{}\"", call.action)));
                    if !those.any(|(_, call)| may(&lesser, call, &me.session)) {
                        let sid = statement["Sid"].as_str().unwrap();
                        idle.insert(format!("{} {sid}: {operator} {key}", which.word()));
                    }
                }
            }
        }
    }
    assert!(idle.is_empty(), "no attack shows what these are for: {idle:#?}");
}
