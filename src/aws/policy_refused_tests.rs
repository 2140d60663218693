//! What no policy may allow.

use super::allowed::{may, policies_of, request};
use super::attacks::{
    ADMIN, Attack, DEPLOYER, attacks_on_a_foundation, attacks_on_a_repository, attacks_on_a_stage, attacks_on_names,
    attacks_on_roles, attacks_on_the_account, escalations, iam,
};
use super::reference::Action;
use super::*;
use crate::aws::iam::{Decision, judge_bounded};
use crate::aws::policy_world::Keys;

#[track_caller]
fn all_refused(who: &str, policies: &[Value], attacks: &[Attack], session: &Keys) {
    for (what, action, thing) in attacks {
        // One that AWS does not have would be refused by any policy.
        let _ = Action::of(action);
        let call = Call { action, things: vec![thing.clone()] };
        assert!(!may(policies, &call, session), "{who}: {what}: {action} on {thing:?}");
    }
}

/// Who acts: a stage of each kind, with the policies for its foundation as well.
fn actors() -> Vec<World> {
    vec![world("acme/shop/pr-42", StageKind::Ephemeral), world("acme/shop/prod", StageKind::Production)]
}

#[test]
fn no_session_makes_itself_more_than_it_is() {
    for me in actors() {
        let (_, policies) = policies_of(&me, Sessions::Tagged);
        all_refused(me.stage.name.as_str(), &policies, &escalations(&me), &me.session);
        // Nor does an identity without a session, which reaches every stage.
        let (_, policies) = policies_of(&me, Sessions::Bare);
        let besides = ["our role tagged as another stage's"];
        let attacks: Vec<Attack> = escalations(&me).into_iter().filter(|attack| !besides.contains(&attack.0)).collect();
        all_refused("bare", &policies, &attacks, &Keys::new());
    }
}

#[test]
fn no_session_reaches_another_stage_or_repository() {
    let others = |me: &World| {
        let all = [
            world("acme/shop/pr-43", StageKind::Ephemeral),
            world("acme/shop/pr-421", StageKind::Ephemeral),
            world("acme/shop/dev", StageKind::Permanent),
            world("acme/shop/prod", StageKind::Production),
            world("acme/shop-admin/pr-42", StageKind::Ephemeral),
            world("evil/shop/pr-42", StageKind::Ephemeral),
            world("evil/shop/prod", StageKind::Production),
        ];
        all.into_iter().filter(|them| them.stage != me.stage).collect::<Vec<_>>()
    };
    for me in actors() {
        let (_, policies) = policies_of(&me, Sessions::Tagged);
        for them in others(&me) {
            let who = format!("{} against {}", me.stage, them.stage);
            all_refused(&who, &policies, &attacks_on_a_stage(&me, &them), &me.session);
            if them.stage.repo != me.stage.repo {
                all_refused(&who, &policies, &attacks_on_a_repository(&them), &me.session);
                all_refused(&who, &policies, &attacks_on_roles(&me, &them), &me.session);
            }
            if them.foundation != me.foundation {
                all_refused(&who, &policies, &attacks_on_a_foundation(&me, &them), &me.session);
            }
        }
    }
}

#[test]
fn no_session_reaches_what_is_nobody_s() {
    for me in actors() {
        let (_, policies) = policies_of(&me, Sessions::Tagged);
        all_refused(me.stage.name.as_str(), &policies, &attacks_on_the_account(&me), &me.session);
    }
    let preview = world("acme/shop/pr-42", StageKind::Ephemeral);
    let (stage, both) = policies_of(&preview, Sessions::Tagged);
    all_refused("pr-42", &both, &attacks_on_names(&preview), &preview.session);
    // A stage alone touches none of what it stands on.
    let reads = ["Get", "List", "Describe"];
    let alone = preview.of_foundation().into_iter().filter(|call| {
        let operation = call.action.split(':').nth(1).unwrap();
        !reads.iter().any(|read| operation.starts_with(read))
    });
    for call in alone {
        assert!(!may(&stage, &call, &preview.session), "{call:?}");
    }
}

#[test]
fn a_session_that_names_no_stage_changes_nothing() {
    for me in actors() {
        let (stage, _) = policies_of(&me, Sessions::Tagged);
        // What has no name of the stage's in it.
        let open = ["s3:CreateBucket", "s3:PutBucketPublicAccessBlock", "s3:PutLifecycleConfiguration"];
        let open = open.into_iter().chain(["ecs:DeregisterTaskDefinition", "iam:CreateServiceLinkedRole"]);
        let open: Vec<&str> = open.chain(["iam:PassRole", "iam:SimulatePrincipalPolicy"]).collect();
        for call in me.of_stage() {
            let operation = call.action.split(':').nth(1).unwrap();
            let is_read = ["Get", "List", "Describe"].iter().any(|read| operation.starts_with(read));
            if !is_read && !open.contains(&call.action) {
                assert!(!may(&stage, &call, &Keys::new()), "{call:?}");
            }
        }
    }
}

#[test]
fn the_server_takes_on_our_roles_for_a_repository_and_does_nothing_else() {
    let server = [document(Policy::Server, Sessions::Tagged)];
    for me in actors() {
        all_refused("server", &server, &escalations(&me), &Keys::new());
        all_refused("server", &server, &attacks_on_the_account(&me), &Keys::new());
        let them = world("evil/shop/pr-42", StageKind::Ephemeral);
        all_refused("server", &server, &attacks_on_a_stage(&me, &them), &Keys::new());
        let attacks = [
            ("a role for nobody", "sts:AssumeRole", iam(DEPLOYER)),
            ("an organization's role", "sts:AssumeRole", {
                iam("role/OrganizationAccountAccessRole").key("sts:ExternalId", "acme/shop")
            }),
            ("tags for an administrator", "sts:TagSession", iam(ADMIN)),
        ];
        all_refused("server", &server, &attacks, &Keys::new());
    }
}

#[test]
fn a_program_does_nothing_beyond_the_boundary_whatever_its_role_was_granted() {
    let boundary = document(Policy::Boundary, Sessions::Tagged);
    let all = serde_json::json!({ "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } });
    for me in actors() {
        let tags = me.foundation_tags().into_iter();
        let role: Keys = tags.map(|(key, value)| (format!("aws:PrincipalTag/{key}"), vec![value])).collect();
        let them = world("evil/shop/pr-42", StageKind::Ephemeral);
        let mut attacks = [escalations(&me), attacks_on_the_account(&me), attacks_on_a_stage(&me, &them)].concat();
        // What it may of ours, on what is not.
        attacks.push(("images of the account", "ecr:BatchGetImage", me.thing("ecr", "repository/payments")));
        let stream = me.thing("logs", "log-group:/aws/lambda/payments:log-stream:1");
        attacks.push(("lines among the account's logs", "logs:PutLogEvents", stream));
        for (what, action, thing) in attacks {
            let decision = judge_bounded(std::slice::from_ref(&all), &boundary, &request(action, &thing, &role));
            assert_ne!(decision, Decision::Allowed, "{what}: {action} on {thing:?}");
        }
    }
}

#[test]
fn the_attacks_are_many_and_of_many_kinds() {
    let me = world("acme/shop/pr-42", StageKind::Ephemeral);
    let them = world("evil/shop/prod", StageKind::Production);
    let all = [
        escalations(&me),
        attacks_on_a_stage(&me, &them),
        attacks_on_a_repository(&them),
        attacks_on_a_foundation(&me, &them),
        attacks_on_the_account(&me),
        attacks_on_names(&me),
    ]
    .concat();
    let distinct: BTreeSet<String> = all.iter().map(|(_, action, thing)| format!("{action} {thing:?}")).collect();
    assert_eq!((distinct.len(), distinct.len() > 100), (all.len(), true));
}
