//! What AWS refuses or answers otherwise than MiniStack does.

use super::order::Called;
use super::render::{LONGEST_TRUST, text, trust_length};
use super::tests::{order, rendered};
use super::*;
use crate::model::Branch;

/// AWS counts the characters of a trust policy.
#[test]
fn a_trust_policy_fits_a_role_or_is_refused_before_anything_is_made() {
    let names = Names::new("greenroom");
    let stage = |name: &str| PermanentStage {
        name: name.parse().unwrap(),
        branch: Branch(name.into()),
        kind: StageKind::Permanent,
        base: Some(format!("{name}.sgcarstrends.com")),
        reach: CommandReach::No,
    };
    let mut order = order();
    order.app = "sgcarstrends".parse().unwrap();
    order.repo.spelling = "sgcarstrends/sgcarstrends".into();
    order.stages = ["dev", "staging", "qa"].map(stage).to_vec();
    let made = rendered(&order);
    let doors = made.doors().iter().map(|door| &door.trust);
    for trust in doors.chain(made.hands().iter().map(|hand| &hand.trust)) {
        let length = trust_length(trust, made.doors());
        assert!(length > 300 && length <= LONGEST_TRUST, "{length}: {trust}");
    }
    order.stages.extend(["demo", "load", "training"].map(stage));
    let refused = text(&Called::new(&names, &order).unwrap());
    let Err(PortError::Denied { reason }) = refused else { panic!("too much for one role") };
    assert!(reason.contains("deploy-permanent") && reason.contains("2048"), "{reason}");
}

/// A key that is not there is 404 only for whoever may list the bucket, whatever else is said in the request.
#[test]
fn a_state_that_is_not_there_yet_is_told_from_one_that_is_not_allowed() {
    for door in rendered(&order()).doors().iter().filter(|door| door.id != "BuildDoor") {
        let statements = door.policy["Statement"].as_array().unwrap();
        let lists = statements.iter().find(|one| one["Action"] == "s3:ListBucket").expect("it may list");
        assert!(lists.get("Condition").is_none(), "{}: {lists}", door.name);
    }
}
