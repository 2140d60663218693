//! Command lines, and what is read out of a build's words.

use std::collections::BTreeMap;
use std::fs;

use super::super::context::{Context, Dockerfile};
use super::super::demand::Demand;
use super::*;
use crate::model::Platform;

fn work() -> ImageWork {
    ImageWork {
        docker: Docker::new("docker".into(), Vec::new()),
        names: Names::default(),
        registry: None,
        cache: None,
        records: PathBuf::new(),
        logins: PathBuf::new(),
        log: PathBuf::new(),
        stage: StageId { repo: "acme/shop".parse().expect("a name"), name: "pr-1".parse().expect("a name") },
        place: Place::default(),
        trust: Trust::Preview,
        service: "web".parse().expect("a name"),
        spec: ImageSpec {
            context: "web".into(),
            dockerfile: "Dockerfile".into(),
            target: Some("app".into()),
            platform: Some(Platform::LinuxArm64),
            args: BTreeMap::from([("API_URL".to_owned(), "https://api.example/?a=b c".to_owned())]),
        },
        source: PathBuf::new(),
    }
}

fn recipe(tools: Tools) -> Recipe {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let real = folder.path().join("Dockerfile");
    fs::write(&real, "FROM scratch\n").expect("a file");
    let dockerfile = Dockerfile { named: "Dockerfile".as_ref(), real: &real };
    Recipe {
        reference: "greenroom/acme-shop/pr-1-web:0123456789abcdef".into(),
        earlier: None,
        content: "0123456789abcdef".into(),
        context: Arc::new(Context::read(folder.path(), dockerfile, tools, &Demand::lasting()).expect("a context")),
    }
}

fn arguments(tools: Tools) -> String {
    arguments_with(tools, CacheFormat::Default)
}

fn arguments_with(tools: Tools, format: CacheFormat) -> String {
    let cache = Cache { address: "registry.example/team/greenroom/acme-shop/cache".into(), format, config: None };
    let earlier = ["sha256:2".to_owned(), "sha256:1".to_owned()];
    work().arguments(&recipe(tools), tools, Layers::Reused(Some(&cache)), &earlier).join("\n")
}

#[test]
fn the_first_builder_is_told_what_it_understands() {
    insta::assert_snapshot!(arguments(Tools::Legacy), @r"
    build
    --force-rm
    --network=greenroom-builds
    --tag=greenroom/acme-shop/pr-1-web:0123456789abcdef
    --file=Dockerfile
    --label=greenroom.repo=acme/shop
    --label=greenroom.service=web
    --label=greenroom.context=sha256:16830f0c186c8e523352de9870c4998fd5541ae32d33d2fcb58f27fb46131579
    --label=greenroom.stage=pr-1
    --target=app
    --platform=linux/arm64
    --build-arg=API_URL=https://api.example/?a=b c
    --label=greenroom.layers=db7fc4d4491b3c9b
    --cache-from=sha256:2
    --cache-from=sha256:1
    -
    ");
}

#[test]
fn buildx_keeps_its_cache_in_the_registry() {
    insta::assert_snapshot!(arguments(Tools::Buildx), @r"
    buildx
    build
    --progress=plain
    --provenance=false
    --load
    --builder=greenroom-preview-d21b2cdf12b74c75
    --tag=greenroom/acme-shop/pr-1-web:0123456789abcdef
    --file=Dockerfile
    --label=greenroom.repo=acme/shop
    --label=greenroom.service=web
    --label=greenroom.context=sha256:16830f0c186c8e523352de9870c4998fd5541ae32d33d2fcb58f27fb46131579
    --label=greenroom.stage=pr-1
    --target=app
    --platform=linux/arm64
    --build-arg=API_URL=https://api.example/?a=b c
    --build-arg=BUILDKIT_CACHE_MOUNT_NS=68843caec2384f7895d507f1fb0de787
    --cache-from=type=registry,ref=registry.example/team/greenroom/acme-shop/cache:preview-b5cac645c86d186c24da5481a50da548
    --cache-to=type=registry,ref=registry.example/team/greenroom/acme-shop/cache:preview-b5cac645c86d186c24da5481a50da548,mode=max,ignore-error=true
    -
    ");
}

#[test]
fn each_trust_has_layers_of_its_own() {
    let of = |trust, tools| {
        let cache = Cache { address: "registry.example/cache".into(), format: CacheFormat::Default, config: None };
        let work = ImageWork { trust, ..work() };
        work.arguments(&recipe(tools), tools, Layers::Reused(Some(&cache)), &[])
    };
    let has = |args: &[String], word: &str| args.iter().any(|arg| arg.contains(word));
    let buildx = Tools::Buildx;
    for trust in [Trust::Fork, Trust::Preview, Trust::Permanent] {
        let args = of(trust, buildx);
        let mounts = cache_names::mounts(&work().stage, &trust.to_string());
        assert!(has(&args, &format!("BUILDKIT_CACHE_MOUNT_NS={mounts}")), "{args:?}");
        assert_eq!(has(&args, "--no-cache"), trust == Trust::Fork, "{trust}");
        assert!(has(&args, &format!("--builder=greenroom-{trust}-")), "{args:?}");
        assert_eq!(has(&args, &format!("cache:{trust}-")), trust != Trust::Fork, "{trust}");
        // There is none: the builder is not let into the engine's whole store.
        let first = of(trust, Tools::Legacy);
        assert!(has(&first, "--no-cache") && !has(&first, "--cache-from"), "{first:?}");
    }
}

#[test]
fn nobody_marks_an_image_for_another() {
    use crate::model::StageKind;
    let marked = |repo: &str, stage: &str, kind, trust, service: &str, platform| {
        let mut work = ImageWork { trust, service: service.parse().expect("a name"), ..work() };
        work.stage = StageId { repo: repo.parse().expect("a name"), name: stage.parse().expect("a name") };
        (work.place.kind, work.spec.platform) = (kind, platform);
        work.layers_label()
    };
    let (preview, permanent) = (StageKind::Ephemeral, StageKind::Permanent);
    let cases = [
        ("acme/shop", "pr-1", preview, Trust::Preview, "web", None),
        ("acme/shop", "pr-1", preview, Trust::Fork, "web", None),
        ("acme/shop", "pr-2", preview, Trust::Fork, "web", None),
        ("acme/shop", "main", permanent, Trust::Permanent, "web", None),
        ("acme/shop", "main", permanent, Trust::Preview, "web", None),
        ("acme/shop", "pr-1", preview, Trust::Preview, "api", None),
        ("acme/shop", "pr-1", preview, Trust::Preview, "web", Some(Platform::LinuxArm64)),
        ("acme/shop-web", "pr-1", preview, Trust::Preview, "web", None),
        ("acme-shop/web", "pr-1", preview, Trust::Preview, "web", None),
    ];
    let labels: std::collections::BTreeSet<_> = cases
        .into_iter()
        .map(|(repo, stage, kind, trust, service, platform)| marked(repo, stage, kind, trust, service, platform))
        .collect();
    assert_eq!(labels.len(), cases.len());
    assert!(labels.iter().all(Option::is_some), "{labels:?}");
    // Commits of several forks come there one after the other.
    assert_eq!(marked("acme/shop", "main", permanent, Trust::Fork, "web", None), None);
    let of = |stage| marked("acme/shop", stage, preview, Trust::Preview, "web", None);
    assert_eq!(of("pr-1"), of("pr-2"), "they trust each other");
    let of = |stage| marked("acme/shop", stage, permanent, Trust::Permanent, "web", None);
    assert_eq!(of("main"), of("prod"));
}

#[test]
fn a_cache_for_ecr_is_written_as_an_image() {
    let text = arguments_with(Tools::Buildx, CacheFormat::Image);
    let option = text.lines().find(|line| line.starts_with("--cache-to")).expect("an option");
    assert!(option.ends_with(",mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true"), "{option}");
}

#[test]
fn the_step_is_read_from_either_builder() {
    for (line, step) in [
        ("Step 3/7 : RUN make", Some("3/7")),
        ("#9 [web 3/7] RUN make", Some("3/7")),
        ("#9 [3/12] COPY . .", Some("3/12")),
        ("#9 [internal] load build context", None),
        ("#9 0.123 [1/2] of their own", Some("1/2")),
        ("Step by step", None),
        ("Step a/b : x", None),
        ("# comment [x", None),
        ("", None),
    ] {
        assert_eq!(step_of(line), step, "{line}");
    }
}

fn explained(lines: &[&str]) -> PortError {
    work().explain(Some(1), lines.iter().map(ToString::to_string).collect())
}

#[test]
fn a_failing_step_is_the_commits_fault_whatever_it_printed() {
    for last in [
        "The command '/bin/sh -c npm ci' returned a non-zero code: 7",
        "ERROR: failed to solve: process \"/bin/sh -c npm ci\" did not complete successfully: exit code: 7",
    ] {
        match explained(&["npm ERR! network i/o timeout", last]) {
            PortError::Failed(failure) => {
                assert_eq!((failure.kind, failure.exit_code), (FailureKind::Build, Some(7)));
                assert_eq!(failure.summary, "The image of `web` could not be built: a step ended with exit code 7");
                assert_eq!(failure.log.len(), 2);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn faults_are_told_apart() {
    let kind = |line: &str| match explained(&["Step 1/2 : FROM busybox", line]) {
        PortError::Failed(failure) => format!("{:?}", failure.kind),
        PortError::Retry { .. } => "Retry".to_owned(),
        other => format!("{other:?}"),
    };
    for (line, expected) in [
        ("Get \"https://registry.example/v2/\": net/http: TLS handshake timeout", "Retry"),
        ("toomanyrequests: You have reached your pull rate limit", "Retry"),
        ("No such image: sha256:220d0a3ee3e9", "Retry"),
        ("failed to get destination image \"sha256:220d0a3ee3e9\": No such image: sha256:220d0a3ee3e9", "Retry"),
        ("failed to get digest sha256:220d0a3ee3e9: open /var/lib/x: no such file or directory", "Retry"),
        ("unable to find image \"sha256:220d0a3ee3e9\"", "Retry"),
        ("failed to export image: failed to set parent sha256:1: unknown parent image ID sha256:2", "Retry"),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "Environment"),
        ("write /var/lib/x: no space left on device", "Environment"),
        ("image with reference x was found but does not match the specified platform: wanted linux/amd64", "Build"),
        ("the --mount option requires BuildKit", "Environment"),
        ("pull access denied for nothing, repository does not exist", "Build"),
    ] {
        assert_eq!(kind(line), expected, "{line}");
    }
}
