//! When two images have one name, and what is never built.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::model::Platform;

const BUILDX: Tools = Tools::Buildx;

fn source() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir_all(root.path().join("web/node_modules")).expect("a folder");
    for (name, text) in [
        ("web/Dockerfile", "FROM scratch\n"),
        ("web/other.Dockerfile", "FROM scratch\n"),
        ("web/other.Dockerfile.dockerignore", "app.js\n"),
        ("web/app.js", "1"),
        ("web/node_modules/x.js", "1"),
        ("web/.dockerignore", "node_modules\n.dockerignore\nDockerfile\n"),
        ("README.md", "hello"),
    ] {
        fs::write(root.path().join(name), text).expect(name);
    }
    root
}

fn spec() -> ImageSpec {
    ImageSpec {
        context: "web".into(),
        dockerfile: "Dockerfile".into(),
        target: None,
        platform: None,
        args: BTreeMap::from([("API_URL".to_owned(), "http://api".to_owned())]),
    }
}

fn stage(repo: &str, name: &str) -> StageId {
    StageId { repo: repo.parse().expect("a name"), name: name.parse().expect("a name") }
}

fn named(root: &Path, spec: &ImageSpec) -> String {
    named_by(root, spec, Tools::Legacy)
}

fn named_by(root: &Path, spec: &ImageSpec, tools: Tools) -> String {
    read_for(&stage("acme/shop", "pr-1"), spec, root, tools).expect("a recipe").reference
}

fn read_for(stage: &StageId, spec: &ImageSpec, root: &Path, tools: Tools) -> PortResult<Recipe> {
    let service = "web".parse().expect("a name");
    let purpose = Purpose { stage, kind: StageKind::Ephemeral, trust: Trust::Preview, service: &service };
    read(&purpose, spec, &Sources { root, tools, names: &Names::default(), demand: &Demand::lasting() })
}

fn content(purpose: &Purpose<'_>, root: &Path) -> String {
    let sources = Sources { root, tools: BUILDX, names: &Names::default(), demand: &Demand::lasting() };
    read(purpose, &spec(), &sources).expect("a recipe").content
}

#[test]
fn the_name_stays_while_the_content_does() {
    let (one, two) = (source(), source());
    let name = named(one.path(), &spec());
    let (place, hash) = name.split_once(':').expect("a tag");
    assert_eq!((place, hash.len()), ("greenroom/acme-shop/pr-1-web", 16));
    assert_eq!(name, named(two.path(), &spec()));
    for outside in ["README.md", "web/node_modules/x.js", "web/node_modules/new.js"] {
        let path = two.path().join(outside);
        let text = fs::read_to_string(&path).unwrap_or_default() + "\n";
        fs::write(path, text).expect(outside);
        assert_eq!(name, named(two.path(), &spec()), "{outside} is not in the image");
    }
}

/// One thing done differently.
type Change = fn(&mut ImageSpec);

#[test]
fn the_name_changes_with_everything_that_makes_the_image() {
    let plain = named(source().path(), &spec());
    for inside in ["web/app.js", "web/Dockerfile", "web/new.js", "web/.dockerignore"] {
        let root = source();
        fs::write(root.path().join(inside), "2").expect(inside);
        assert_ne!(plain, named(root.path(), &spec()), "{inside}");
    }
    let changes: [(&str, Change); 6] = [
        ("target", |spec| spec.target = Some("app".into())),
        ("platform", |spec| spec.platform = Some(Platform::LinuxArm64)),
        ("value", |spec| drop(spec.args.insert("API_URL".into(), "http://api2".into()))),
        ("argument", |spec| drop(spec.args.insert("MORE".into(), String::new()))),
        ("dockerfile", |spec| spec.dockerfile = "other.Dockerfile".into()),
        ("context", |spec| (spec.context, spec.dockerfile) = (".".into(), "web/Dockerfile".into())),
    ];
    for (what, change) in changes {
        let mut other = spec();
        change(&mut other);
        assert_ne!(plain, named(source().path(), &other), "{what}");
    }
}

#[test]
fn a_dockerfile_has_its_own_ignore_file_where_the_builder_knows_that() {
    let other = ImageSpec { dockerfile: "other.Dockerfile".into(), ..spec() };
    let (before, after) = (source(), source());
    fs::write(after.path().join("web/app.js"), "2").expect("a file");
    assert_eq!(named_by(before.path(), &other, BUILDX), named_by(after.path(), &other, BUILDX));
    assert_ne!(named(before.path(), &other), named(after.path(), &other));
}

#[test]
fn stages_share_a_content_and_repositories_do_not() {
    let root = source();
    let of = |repo, name| read_for(&stage(repo, name), &spec(), root.path(), BUILDX).expect("a recipe");
    let (one, two) = (of("acme/shop", "pr-1"), of("acme/shop", "prod"));
    assert_eq!((one.content.len(), &one.content), (40, &two.content));
    assert_ne!(one.reference, two.reference);
    assert_ne!(one.content, of("acme/shop2", "pr-1").content);
}

#[test]
fn nothing_is_shared_across_trust() {
    let (root, service) = (source(), "web".parse().expect("a name"));
    let mut contents = std::collections::BTreeSet::new();
    for (name, kind, trust) in [
        ("prod", StageKind::Production, Trust::Permanent),
        ("pr-1", StageKind::Ephemeral, Trust::Preview),
        ("pr-1", StageKind::Ephemeral, Trust::Fork),
        // Somebody asked for a pull request's commit there.
        ("prod", StageKind::Production, Trust::Preview),
        ("staging", StageKind::Permanent, Trust::Preview),
    ] {
        let purpose = Purpose { stage: &stage("acme/shop", name), kind, trust, service: &service };
        contents.insert(content(&purpose, root.path()));
    }
    assert_eq!(contents.len(), 5);
    let of = |name, trust| {
        let purpose =
            Purpose { stage: &stage("acme/shop", name), kind: StageKind::Permanent, trust, service: &service };
        content(&purpose, root.path())
    };
    assert_eq!(of("prod", Trust::Permanent), of("staging", Trust::Permanent), "permanent stages share theirs");
}

#[test]
fn every_repository_gets_a_valid_name() {
    for (repo, prefix) in [
        ("acme/shop", "greenroom/acme-shop"),
        ("Acme/My_Shop.js", "greenroom/acme-my-shop-js"),
        ("a--b/-c..d__", "greenroom/a-b-c-d"),
        ("_/-", "greenroom/repository"),
    ] {
        assert_eq!(repo_prefix(&stage(repo, "dev")), prefix);
    }
    let root = source();
    let of = |repo| read_for(&stage(repo, "dev"), &spec(), root.path(), BUILDX).expect("a recipe").reference;
    assert_ne!(of("a/b-c"), of("a-b/c"), "one place, two contents");
}

#[test]
fn what_lies_outside_or_nowhere_is_refused() {
    let root = source();
    symlink("/etc", root.path().join("out")).expect("a link");
    symlink("/etc/passwd", root.path().join("web/Out.Dockerfile")).expect("a link");
    for (context, dockerfile, reason) in [
        ("..", "Dockerfile", "outside"),
        ("web/../..", "Dockerfile", "outside"),
        ("out", "Dockerfile", "outside"),
        ("web", "Out.Dockerfile", "outside"),
        ("web", "../../nobody-has-this", "not in the commit"),
        ("/etc", "passwd", "not in the commit"),
        ("nowhere", "Dockerfile", "not in the commit"),
        ("README.md", "Dockerfile", "not a folder"),
        ("web", "Dockerfile2", "not in the commit"),
        ("web", "node_modules", "not a file"),
    ] {
        let spec = ImageSpec { context: context.into(), dockerfile: dockerfile.into(), ..spec() };
        match read_for(&stage("acme/shop", "pr-1"), &spec, root.path(), BUILDX) {
            Err(PortError::Failed(failure)) => {
                assert_eq!(failure.kind, FailureKind::Build);
                assert!(failure.summary.contains(reason), "{context} {dockerfile}: {}", failure.summary);
            }
            other => panic!("{context} {dockerfile}: {other:?}"),
        }
    }
}

#[test]
fn a_name_cannot_be_told_from_the_content_and_the_old_one_is_known() {
    let (root, stage) = (source(), stage("acme/shop", "pr-1"));
    let service = "web".parse().expect("a name");
    let purpose = Purpose { stage: &stage, kind: StageKind::Ephemeral, trust: Trust::Preview, service: &service };
    let of = |key: &str| {
        let names = Names::with_key(&key.into());
        let sources = Sources { root: root.path(), tools: Tools::Legacy, names: &names, demand: &Demand::lasting() };
        read(&purpose, &spec(), &sources).expect("a recipe")
    };
    let (one, plain) = (of("one"), named(root.path(), &spec()));
    assert_eq!((&one.reference, &one.content), (&of("one").reference, &of("two").content));
    assert_ne!(one.reference, of("two").reference);
    let (place, tag) = one.reference.split_once(':').expect("a tag");
    assert_eq!((place, tag.len()), ("greenroom/acme-shop/pr-1-web", 32));
    assert_eq!(one.earlier, Some(plain));
}

#[test]
fn an_argument_is_no_setting_of_the_builder() {
    // Of the command line it is none, whatever its name: it is not in its environment.
    for good in ["API_URL", "node_version", "_x", "HOMEPAGE", "DOCKER_HOST", "LD_PRELOAD", "PATH", "HTTPS_PROXY"] {
        assert!(check_argument(good).is_ok(), "{good}");
    }
    for bad in ["BUILDKIT_SYNTAX", "buildkit_cache_mount_ns", "BUILDX_X", "A=B", "", "1A", "--push", "A B"] {
        assert!(check_argument(bad).is_err(), "{bad}");
    }
}
