use super::*;

#[test]
fn an_image_is_a_registrys_as_docker_reads_its_name() {
    for (name, registry) in [
        ("node", None),
        ("node:22", None),
        ("localhost:5000", None),
        ("team/web", None),
        ("localhost/web", Some("localhost")),
        ("localhost:5000/web", Some("localhost:5000")),
        ("Team/web", Some("Team")),
        ("127.0.0.1/x", Some("127.0.0.1")),
        ("[::1]:5000/x", Some("[::1]:5000")),
        ("local-host/x", None),
        ("a:1/x", Some("a:1")),
    ] {
        assert_eq!(registry_of(name), registry, "{name}");
    }
}

#[test]
fn the_server_itself_is_found_in_every_spelling() {
    for (registries, said) in [
        (
            "127.0.0.1 127.0.0.1:5000 127.8.9.1:80 localhost localhost:5000 LocalHost:5000 a.localhost:1 localhost.:1 \
             A.B.LOCALHOST 127.0.0.1.:5000 0.0.0.0:5000 0.1.2.3:1 [::1]:5000 [::]:5000 [0:0:0:0:0:0:0:1]:1 \
             [::ffff:127.0.0.1]:1 [::ffff:7f00:1]:1 [::7f00:1]:1 [64:ff9b::7f00:1]:1 [2002:7f00:1::]:1 \
             [::ffff:0:7f00:1]:1 localhost.localdomain:1 host.docker.internal:1",
            SERVER,
        ),
        ("169.254.169.254 169.254.170.2:80 [fe80::1]:1 [::ffff:a9fe:a9fe] [64:ff9b::a9fe:a9fe] 224.0.0.1:1", LINK),
        (
            "100.100.100.200 168.63.129.16 192.0.0.192 [fd00:ec2::254] [fd20:ce::254]:80 metadata.google.internal \
             instance-data.ec2.internal:80",
            MACHINE,
        ),
        (
            "2130706433:5000 0x7f000001:1 0x7f.1:1 0177.0.0.1 127.1 127.0.1:5000 127.0.0.01 10.0.0.010:1 017700000001:1 \
             1.2.3.4.5 0x:1 registry.0x7f:1 [::1%eth0]:1 [127.0.0.1 ::g:1 [1.2.3.4]x.example:1",
            ODD,
        ),
        ("Team registry:5000 metadata:80 ip6-localhost:1 LOOPBACK", ALONE),
    ] {
        for registry in registries.split_whitespace() {
            let name = format!("{registry}/x");
            assert_eq!(why(registry), Some(said), "{registry}");
            let refusal = is_at_home(&name, Some("registry.example/greenroom/")).expect("refused");
            assert!(refusal.contains(registry) && refusal.ends_with(said), "{refusal}");
        }
    }
}

#[test]
fn a_registry_of_a_teams_own_may_be_asked() {
    for name in [
        "node:22",
        "team/web",
        "ghcr.io/acme/base",
        "registry.example:5000/base",
        "10.0.0.1:5000/x",
        "172.16.3.4/x",
        "192.168.1.1:5000/x",
        "100.64.0.1/x",
        "[fd12::5]:5000/x",
        "[2001:db8::1]:5000/x",
        "8.8.8.8/x",
        "notlocalhost.example/x",
        "localhost.example/x",
        "1.registry.example/x",
    ] {
        assert_eq!(is_at_home(name, None), None, "{name}");
    }
}

#[test]
fn the_own_registry_is_meant_only_as_it_is_written() {
    let own = Some("localhost:5000/greenroom/");
    assert_eq!(is_at_home("localhost:5000/base/node:22", own), None);
    for other in
        ["127.0.0.1:5000/base", "Localhost:5000/base", "localhost:05000/base", "localhost.:5000/base", "[::1]:5000/b"]
    {
        assert!(is_at_home(other, own).is_some(), "{other}");
    }
    assert_eq!(is_at_home("registry:5000/base", Some("registry:5000/greenroom/")), None);
}

#[test]
fn a_name_that_leads_home_is_found_once_it_is_looked_up() {
    let own = Some("registry.example/greenroom/");
    let to = |name: &str, address: &str| leads_home(name, own, &[address.parse().expect("an address")]).is_some();
    assert!(to("evil.example:5000/x", "127.0.0.1") && to("evil.example/x", "::1"));
    assert!(to("evil.example/x", "169.254.169.254") && to("evil.example/x", "::ffff:127.0.0.1"));
    assert!(!to("evil.example/x", "10.0.0.7") && !to("evil.example/x", "203.0.113.7"));
    assert!(!to("registry.example/base", "127.0.0.1"), "the operator's own choice");
    let both = ["203.0.113.7", "127.0.0.1"].map(|address| address.parse().expect("an address"));
    assert!(leads_home("evil.example/x", own, &both).is_some(), "one of them is enough");
    for (name, host) in [
        ("Evil.example.:5000/x", Some("evil.example")),
        ("node", None),
        ("docker.io/library/node", None),
        ("10.0.0.1:5000/x", None),
        ("[fd12::5]:5000/x", None),
    ] {
        assert_eq!(to_look_up(name).as_deref(), host, "{name}");
    }
}

#[test]
fn what_greenroom_keeps_is_below_its_place_whatever_a_variable_adds() {
    let own = "registry.example/greenroom/";
    for (name, is_below) in [
        ("registry.example/greenroom/acme/shop/web:s-prod", true),
        ("Registry.example/greenroom/acme/shop/web", true),
        ("registry.example:443/greenroom/acme/shop/web", true),
        ("registry.example:80/greenroom/acme/shop/web", true),
        ("registry.example./greenroom/acme/shop/web", true),
        ("registry.example:5000/greenroom/acme/shop/web", false),
        ("registry.example/base/node", false),
        ("node", false),
        ("greenroom/acme", false),
        ("$BASE", true),
        ("registry.example/${TEAM}/node", true),
        ("registry.example:443/${TEAM}/node", true),
        ("registry.example/greenroom/$X", true),
        ("other.example/$X", false),
        ("team/$X", false),
        ("node:$VERSION", false),
        ("base-${TARGETARCH}", false),
    ] {
        assert_eq!(may_be_below(name, own), is_below, "{name}");
    }
}

#[test]
fn other_spellings_of_the_own_registry_lead_to_the_same_place() {
    let all: &[(&str, &[&str], &[&str])] = &[
        (
            "localhost:5000/greenroom/",
            &[
                "localhost:5000",
                "LOCALHOST:5000",
                "127.0.0.1:5000",
                "127.1.1.1:05000",
                "[::1]:5000",
                "localhost.:5000",
                "0:5000",
                "2130706433:5000",
            ],
            &["localhost:5001", "localhost", "registry.example:5000"],
        ),
        (
            "10.0.0.5/greenroom/",
            &["10.0.0.5:443", "10.0.0.5:80", "[::ffff:a00:5]", "167772165:443", "0xa000005:80"],
            &["10.0.0.6", "10.0.0.5:5000"],
        ),
        ("[fd12::5]:5000/greenroom/", &["[fd12:0::0:5]:5000", "[FD12::5]:5000"], &["[fd12::6]:5000"]),
        (
            "docker.io/greenroom/",
            &["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.io:443"],
            &["docker.io:5000"],
        ),
    ];
    for (own, same, other) in all {
        for registry in *same {
            assert!(may_be_below(&format!("{registry}/greenroom/acme/shop/web"), own), "{registry}");
        }
        for registry in *other {
            assert!(!may_be_below(&format!("{registry}/greenroom/acme/shop/web"), own), "{registry}");
        }
    }
    // Docker's own registry is meant without a host as well.
    for (own, name, is_below) in [
        ("docker.io/team/", "team/acme/shop/web", true),
        ("docker.io/team/", "team/$X", true),
        ("docker.io/team/", "te${X}", true),
        ("team/", "docker.io/team/acme/shop/web", true),
        ("team/", "team/acme/shop/web", true),
        ("docker.io/team/", "node", false),
        ("docker.io/team/", "other/$X", false),
        ("10.0.0.5/greenroom/", "10.${X}/greenroom/a", true),
        ("10.0.0.5/greenroom/", "node${X}", false),
    ] {
        assert_eq!(may_be_below(name, own), is_below, "{own} {name}");
    }
}
