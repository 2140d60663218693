//! How a foundation grows, and what it is read from.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::StackStatus;

use super::remembered::access_of;
use super::*;
use crate::model::{Place, StageId};

fn zone(base: &str, dns: Dns, certificate: Option<&str>) -> Zone {
    let certificate = certificate.map(str::to_owned);
    Zone { base: base.into(), zone: base.into(), dns, certificate, hosted_zone: None, holder: None }
}

fn foundation(doors: u32, zones: Vec<Zone>) -> Remembered {
    Remembered {
        access: "previews".into(),
        nat: 0,
        boundary: None,
        role_path: None,
        protect: false,
        root: false,
        doors,
        zones,
        repositories: Vec::new(),
    }
}

#[test]
fn a_foundation_grows_and_never_shrinks() {
    let (plain, certified) = (zone("a.test", Dns::None, None), zone("a.test", Dns::None, Some("arn:1")));
    let other = zone("b.test", Dns::Route53, None);
    let live = foundation(2, vec![certified.clone()]);
    assert!(live.does_for(&foundation(1, vec![plain.clone()])), "a certified zone serves one that needs none");
    assert!(!live.does_for(&foundation(1, vec![other.clone()])), "another zone is missing");
    assert!(!live.does_for(&foundation(3, vec![plain.clone()])), "a load balancer is missing");
    assert!(!foundation(2, vec![plain.clone()]).does_for(&foundation(1, vec![certified.clone()])));

    let grown = live.clone().with(&foundation(1, vec![plain, other.clone()]));
    assert_eq!(grown, foundation(2, vec![certified, other]));
    assert!(grown.does_for(&live));
}

#[test]
fn the_roles_of_an_older_foundation_stay_where_they_are() {
    let old = r#"{"access":"previews","nat":0,"boundary":null,"protect":false,"root":false,"doors":2,"zones":[]}"#;
    let old: Remembered = serde_json::from_str(old).expect("as an older release wrote it");
    let path = Some("/greenroom/greenroom-previews-foundation/".to_owned());
    let boundary = Some("arn:aws:iam::123456789012:policy/greenroom-boundary".to_owned());
    let wanted = Remembered { role_path: path, boundary: boundary.clone(), ..foundation(1, Vec::new()) };
    assert!(
        wanted.render("greenroom").expect("a text").contains("Path: \"/greenroom/greenroom-previews-foundation/\"")
    );
    let renewed = old.renewed(wanted);
    assert_eq!((renewed.role_path.as_ref(), renewed.doors, &renewed.boundary), (None, 2, &boundary));
    let text = renewed.render("greenroom").expect("a text");
    assert!(!text.contains(" Path:") && text.contains("PermissionsBoundary"), "{text}");
}

#[test]
fn a_door_is_read_with_and_without_https() {
    let plain = door("arn,lb.test,Z1,arn:http").expect("a door");
    assert_eq!((plain.http.as_str(), plain.https), ("arn:http", None));
    assert_eq!(door("arn,lb.test,Z1,arn:http,arn:https").expect("a door").https.as_deref(), Some("arn:https"));
    assert!(door("arn,lb.test").is_err());
}

#[test]
fn each_repository_has_roles_of_its_own_and_none_reads_what_all_share() {
    let of = |repos: &[&str]| Remembered {
        repositories: repos.iter().map(|repo| repo.parse().expect("a name")).collect(),
        ..foundation(1, Vec::new())
    };
    let both = of(&["acme/shop"]).with(&of(&["evil/shop", "acme/shop"]));
    assert_eq!(both, of(&["acme/shop", "evil/shop"]));
    assert!(!of(&["acme/shop"]).does_for(&of(&["evil/shop"])), "a repository without roles is given some");
    let text = both.render("greenroom").expect("a text");
    let may_read: Vec<&str> = text.lines().filter(|line| line.contains("ResourceTag/greenroom:access")).collect();
    assert_eq!(may_read.len(), 2, "{text}");
    for repo in ["acme/shop", "evil/shop"] {
        assert!(may_read.iter().any(|line| line.contains(&format!(": \"{repo}\" }}"))), "{repo}: {may_read:?}");
        assert!(text.contains(&format!("Path: \"/greenroom/greenroom-previews-foundation/repo/{repo}/\"")), "{text}");
        assert!(text.contains(&format!("Tags: [{{ Key: \"greenroom:repo\", Value: \"{repo}\" }}]")), "{text}");
        for own in ["arn:${AWS::Partition}:ecr:*:${AWS::AccountId}:repository/greenroom", "log-group:/greenroom"] {
            assert_eq!(text.matches(&format!("{own}/{repo}/*\"")).count(), 1, "{own} of {repo}: {text}");
        }
    }
}

#[test]
fn a_program_is_started_by_a_role_of_its_own_repository_or_by_none() {
    let repos = ["acme/shop", "evil/shop"];
    let remembered = Remembered {
        repositories: repos.iter().map(|repo| repo.parse().expect("a name")).collect(),
        ..foundation(0, Vec::new())
    };
    let remembered = serde_json::to_string(&remembered).expect("JSON");
    let mut outputs = BTreeMap::from([("Remembered".to_owned(), remembered)]);
    for shared in ["Vpc", "Cluster", "Subnets", "SecurityGroup", "PublicAddress", "ExecutionRole", "TaskRole"] {
        outputs.insert(shared.to_owned(), format!("the shared {shared}"));
    }
    for repo in repos {
        outputs.insert(format!("Roles{}", template::long_hash(repo)), format!("starts {repo},is {repo}"));
    }
    let stack = Snapshot {
        id: "arn:stack".into(),
        name: "stack".into(),
        status: StackStatus::CreateComplete,
        reason: String::new(),
        outputs,
        parameters: BTreeMap::new(),
        tags: BTreeMap::new(),
        is_protected: false,
        began: 0,
    };
    let roles = |repo: &str| {
        let stage = StageId { repo: repo.parse().expect("a name"), name: "pr-1".parse().expect("a name") };
        let read = Foundation::read(&stack, Site { stage: &stage, place: &Place::default() });
        read.map(|made| (made.execution_role, made.task_role)).ok()
    };
    for repo in repos {
        assert_eq!(roles(repo), Some((format!("starts {repo}"), format!("is {repo}"))));
    }
    assert_eq!(roles("acme/new"), None, "it takes nobody's, nor what all share");
}

#[test]
fn a_permanent_stage_reads_what_is_tagged_with_its_repository_and_itself() {
    let of = |repo: &str, kind: StageKind| {
        let stage = StageId { repo: repo.parse().expect("a name"), name: "prod".parse().expect("a name") };
        access_of(Site { stage: &stage, place: &Place { kind, ..Place::default() } })
    };
    for kind in [StageKind::Permanent, StageKind::Production] {
        assert_eq!([of("acme/shop", kind), of("evil/shop", kind)], ["acme/shop/prod", "evil/shop/prod"]);
    }
    let access = of("acme/shop", StageKind::Production);
    let text = Remembered { access, root: true, ..foundation(1, Vec::new()) }.render("greenroom").expect("a text");
    let may_read: Vec<&str> = text.lines().filter(|line| line.contains("ResourceTag/greenroom:access")).collect();
    assert!(matches!(may_read.as_slice(), [one] if one.contains(": \"acme/shop/prod\" }")), "{may_read:?}");
}

#[test]
fn a_permanent_stage_s_programs_reach_their_repository_s_images_and_their_own_log() {
    let of = |access: &str| {
        let own = Remembered { access: access.into(), root: true, ..foundation(1, Vec::new()) };
        own.render("greenroom").expect("a text")
    };
    let text = of("acme/shop/prod");
    assert!(text.contains("repository/greenroom/acme/shop/*\""), "{text}");
    assert!(text.contains("log-group:/greenroom/acme/shop/prod/*\""), "{text}");
    assert!(!text.contains("/greenroom/*\""), "{text}");
    assert!(of("prod").contains("repository/greenroom/*\""), "an older one does not say whose it is");
}

#[test]
fn a_zone_that_somebody_else_set_up_is_not_replaced_for_one_who_comes_later() {
    let held = |holder: Option<&str>, certificate: Option<&str>| {
        let holder = holder.map(|repo| repo.parse().expect("a name"));
        foundation(1, vec![Zone { holder, ..zone("a.test", Dns::None, certificate) }])
    };
    let live = held(Some("acme/shop"), Some("arn:1"));
    assert!(live.contested(&held(Some("evil/shop"), Some("arn:evil"))).is_some());
    assert!(live.contested(&held(Some("acme/shop"), Some("arn:2"))).is_none(), "its own");
    assert!(live.contested(&held(Some("evil/shop"), None)).is_none(), "it does for that one too");
    assert!(
        held(None, Some("arn:1")).contested(&held(Some("acme/shop"), Some("arn:2"))).is_some(),
        "nobody knows whose"
    );
    let own = Remembered { root: true, ..live };
    assert!(own.contested(&held(Some("acme/shop"), Some("arn:2"))).is_none(), "a permanent stage's own foundation");
}
