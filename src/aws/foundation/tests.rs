//! How a foundation grows, and what it is read from.

use super::*;

fn zone(base: &str, dns: Dns, certificate: Option<&str>) -> Zone {
    let certificate = certificate.map(str::to_owned);
    Zone { base: base.into(), zone: base.into(), dns, certificate, hosted_zone: None }
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
