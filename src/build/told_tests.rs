//! What the Docker command line is told where no engine of the tests could do it: `buildx`, and images
//! of a registry. It is a script here that writes everything down.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

mod buildx;

use super::*;
use crate::model::{Failure, ImageSpec, Place, Platform, Trust};

/// It has the images of `$FOLDER/held` and pulls those of `$FOLDER/registry`, by their last word.
const SCRIPT: &str = r#"#!/bin/sh
echo "$*" >> "$FOLDER/told"
env >> "$FOLDER/environment"
for last; do :; done
case "$1 $2" in
"buildx version") exit "$NO_BUILDX" ;;
"info --format") cat "$FOLDER/store" ;;
"image ls") [ ! -e "$FOLDER/listed" ] || cat "$FOLDER/listed" ;;
"buildx inspect") [ -e "$FOLDER/builder" ] || { echo "no builder" >&2; exit 1; } ;;
"buildx create") : > "$FOLDER/builder" ;;
"buildx build" | "build "*)
    [ -e "$FOLDER/network" ] || { echo "network greenroom-builds not found"; exit 1; }
    cat > /dev/null
    [ -z "$EXPERIMENTAL_BUILDKIT_SOURCE_POLICY" ] || cp "$EXPERIMENTAL_BUILDKIT_SOURCE_POLICY" "$FOLDER/policy"
    case "$*" in *--tag=*) ;; *) cat "$FOLDER/tried"; exit 1 ;; esac
    for word; do case $word in --tag=*) echo '{}' > "$FOLDER/held/${word##*/}" ;; esac; done
    while [ -e "$FOLDER/busy" ]; do sleep 0.05; done ;;
"image inspect")
    name=${last##*/}
    [ -e "$FOLDER/held/$name" ] || { echo "No such image: $name" >&2; exit 1; }
    if [ "$4" = "{{.Id}}" ]; then echo sha256:0; else cat "$FOLDER/held/$name"; fi ;;
"pull "*) cp "$FOLDER/registry/${last##*/}" "$FOLDER/held/" || exit 1 ;;
"network create") [ -e "$FOLDER/stubborn" ] || : > "$FOLDER/network" ;;
"network ls") [ ! -e "$FOLDER/networks" ] || cat "$FOLDER/networks" ;;
"network rm" | "buildx rm") ;;
*) exit 9 ;;
esac
"#;

/// What Docker 20.10.24 says of where it keeps images.
const OWN_STORE: &str = r#"overlay2 [["Backing Filesystem","extfs"],["Supports d_type","true"]]"#;

struct World {
    folder: tempfile::TempDir,
    builder: DockerBuilder,
    stage: StageId,
}

impl World {
    fn new(no_buildx: &str) -> Self {
        Self::with(no_buildx, None, None)
    }

    /// Of a target that pulls its images from a registry, or with one for the build cache.
    fn with(no_buildx: &str, registry: Option<Arc<dyn Registry>>, cache: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["held", "registry", "source"] {
            fs::create_dir(at(name)).expect("a folder");
        }
        fs::write(at("store"), OWN_STORE).expect("a store");
        fs::write(at("docker"), SCRIPT).expect("a script");
        fs::set_permissions(at("docker"), fs::Permissions::from_mode(0o755)).expect("a program");
        let env =
            [("PATH", "/usr/bin:/bin"), ("NO_BUILDX", no_buildx), ("FOLDER", folder.path().to_str().expect("plain"))];
        let builder = DockerBuilder::new(BuildSettings {
            data_dir: at("data"),
            docker: at("docker"),
            docker_env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            registry,
            cache: cache.map(str::to_owned),
            limits: UnpackLimits::default(),
            concurrency: NonZeroUsize::MIN,
        });
        let stage = StageId { repo: "acme/shop".parse().expect("a name"), name: "pr-1".parse().expect("a name") };
        Self { builder: builder.expect("a builder"), folder, stage }
    }

    /// An image of the registry.
    fn publish(&self, name: &str, platform: &str, triggers: &[&str]) {
        let (os, architecture) = platform.split_once('/').expect("a platform");
        let image = serde_json::json!({
            "RepoDigests": [format!("hub/{name}@sha256:00")], "Os": os, "Architecture": architecture,
            "Config": { "OnBuild": triggers },
        });
        fs::write(self.folder.path().join("registry").join(name), image.to_string()).expect("an image");
    }

    async fn build(&self, dockerfile: &str, platform: Option<Platform>) -> PortResult<Output> {
        loop {
            match self.ask(dockerfile, platform, Trust::Preview).await? {
                Progress::Done(output) => return Ok(output),
                Progress::Pending { .. } => {}
            }
        }
    }

    /// How far the build for a commit of that trust is.
    async fn ask(&self, dockerfile: &str, platform: Option<Platform>, trust: Trust) -> PortResult<Progress<Output>> {
        let source = self.folder.path().join("source");
        fs::write(source.join("Dockerfile"), dockerfile).expect("a file");
        let spec = ImageSpec {
            context: ".".into(),
            dockerfile: "Dockerfile".into(),
            target: None,
            platform,
            args: BTreeMap::from([("DOCKER_HOST".to_owned(), "tcp://evil.example".to_owned())]),
        };
        let service = tests::service(&Runtime::Image(spec));
        let sha: CommitSha = "a".repeat(40).parse().expect("a commit");
        let source = source.to_str().expect("a plain path");
        let place = Place::default();
        let (generation, builds) = (crate::model::Generation(1), crate::model::Builds::default());
        let stage = &self.stage;
        let (place, sha, service, builds, source) = (&place, &sha, &service, &builds, Some(source));
        let job = BuildJob { stage, place, sha, trust, service, generation, builds, source };
        self.builder.ensure(&job).await
    }

    async fn refused(&self, dockerfile: &str, platform: Option<Platform>) -> Failure {
        match self.build(dockerfile, platform).await {
            Err(PortError::Failed(failure)) => *failure,
            other => panic!("{dockerfile}: {other:?}"),
        }
    }

    /// The words of the calls that begin so.
    fn told(&self, beginning: &str) -> Vec<String> {
        let told = fs::read_to_string(self.folder.path().join("told")).expect("the command line was used");
        told.lines().filter(|line| line.starts_with(beginning)).map(str::to_owned).collect()
    }

    fn has_nothing_of_a_commit_in_its_environment(&self) -> bool {
        let seen = fs::read_to_string(self.folder.path().join("environment")).expect("an environment");
        seen.contains("FOLDER=") && !seen.contains("evil.example")
    }
}

#[tokio::test]
async fn what_a_base_image_has_its_children_do_is_judged_before_the_build() {
    let world = World::new("1");
    world.publish("honest", "linux/amd64", &["RUN true", "COPY . /app", "ADD app.tar /"]);
    for (name, trigger) in [
        ("adds", "ADD http://127.0.0.1/ /x"),
        ("expands", "ADD $URL /x"),
        ("copies", "COPY --from=greenroom/acme-other/pr-1-web:0 /secret /x"),
        ("joins", "RUN true \\\nADD http://127.0.0.1/ /x"),
    ] {
        world.publish(name, "linux/amd64", &["RUN true", trigger]);
        for dockerfile in [format!("FROM hub/{name}\n"), format!("FROM scratch\nFROM hub/{name} AS x\nFROM scratch\n")]
        {
            let failure = world.refused(&dockerfile, None).await;
            assert!(failure.summary.contains("ONBUILD"), "{}", failure.summary);
        }
    }
    assert_eq!(world.told("build "), Vec::<String>::new(), "nothing was built");
    let built = world.build("FROM hub/honest\n", None).await;
    assert!(matches!(built, Ok(Output::Built(_))), "{built:?}");
    assert_eq!(world.told("pull ").last().map(String::as_str), Some("pull --quiet -- hub/honest"));
    assert!(world.told("build ").concat().contains(" --network=greenroom-builds "));
    assert!(world.has_nothing_of_a_commit_in_its_environment());
}

#[tokio::test]
async fn the_engine_is_not_asked_for_what_the_server_itself_would_answer() {
    let world = World::new("1");
    world.publish("base", "linux/amd64", &[]);
    for dockerfile in [
        "FROM 127.0.0.1:5000/base\n",
        "FROM scratch\nCOPY --from=169.254.169.254/base /x /y\n",
        "FROM scratch\nCOPY --from=[::1]:5000/base [\"/x\", \"/y\"]\n",
        "ARG BASE=LocalHost:5000/base\nFROM $BASE\n",
        "ARG HOST=registry\nFROM ${HOST}:5000/base\n",
        "FROM [::1]:5000/base\n",
        "FROM hub/base AS x\nFROM 2130706433:5000/base\n",
    ] {
        let failure = world.refused(dockerfile, None).await;
        assert!(failure.summary.contains("is of the registry `"), "{dockerfile}: {}", failure.summary);
    }
    assert_eq!((world.told("build "), world.told("pull ")), (vec![], vec![]));
}

#[tokio::test]
async fn what_greenroom_keeps_is_nobodys_base_in_any_spelling_of_its_registry() {
    for no_buildx in ["0", "1"] {
        let world = World::with(no_buildx, None, Some("registry.example/team"));
        for name in [
            "registry.example:443/team/greenroom/acme-other/cache:x",
            "Registry.example/team/greenroom/acme-other/cache:x",
        ] {
            let failure = world.refused(&format!("FROM {name}\n"), None).await;
            assert!(failure.summary.contains("is kept by Greenroom"), "{}", failure.summary);
        }
        assert_eq!((world.told("build "), world.told("buildx build"), world.told("pull ")), (vec![], vec![], vec![]));
    }
}

/// The name would lead elsewhere while another build of the same author, judged already, is to begin.
#[tokio::test]
async fn a_name_that_is_held_for_another_processor_is_not_pulled_anew() {
    let world = World::new("1");
    world.publish("base", "linux/amd64", &[]);
    world.build("FROM hub/base\n", Some(Platform::LinuxAmd64)).await.expect("an image");
    world.publish("base", "linux/arm64", &["ADD http://127.0.0.1/ /x"]);
    for (dockerfile, platform) in [
        ("FROM hub/base\nLABEL a=b\n", Some(Platform::LinuxArm64)),
        ("FROM --platform=linux/arm64 hub/base\n", None),
        ("FROM --platform=linux/arm64/v8 hub/base\n", Some(Platform::LinuxAmd64)),
        ("FROM hub/base\nFROM --platform=aarch64 hub/base\n", Some(Platform::LinuxAmd64)),
    ] {
        let failure = world.refused(dockerfile, platform).await;
        assert!(failure.summary.contains("is held by this server's engine for `linux/amd64`"), "{}", failure.summary);
        assert!(failure.advice.contains("digest"), "{}", failure.advice);
    }
    assert_eq!(world.told("pull "), ["pull --quiet --platform=linux/amd64 -- hub/base"]);
    assert_eq!(world.told("build ").len(), 2, "nothing more was built: the first had no network");
    // Under a name that is not held yet it is pulled, and judged.
    world.publish("fresh", "linux/arm64", &["ADD http://127.0.0.1/ /x"]);
    let failure = world.refused("FROM hub/fresh\n", Some(Platform::LinuxArm64)).await;
    assert!(failure.summary.contains("ONBUILD"), "{}", failure.summary);
    // A registry may answer with another processor's image.
    world.publish("other", "linux/amd64", &[]);
    let failure = world.refused("FROM hub/other\n", Some(Platform::LinuxArm64)).await;
    assert!(failure.summary.contains("wanted for `linux/arm64`"), "{}", failure.summary);
    let failure = world.refused("FROM hub/nowhere\n", None).await;
    assert!(failure.summary.contains("cannot be pulled"), "{}", failure.summary);
}

#[tokio::test]
async fn an_image_of_which_the_engine_does_not_say_what_it_does_is_no_base() {
    let world = World::new("1");
    let image = r#"{"RepoDigests":["hub/index@sha256:00"],"Os":"linux","Architecture":"amd64"}"#;
    fs::write(world.folder.path().join("held/index"), image).expect("an image");
    let failure = world.refused("FROM hub/index\n", None).await;
    assert!(failure.summary.contains("does not say what `hub/index`"), "{}", failure.summary);
    assert_eq!((world.told("build "), world.told("pull ")), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn in_containerds_store_nothing_is_built_without_buildx() {
    let store = |world: &World, text: &str| fs::write(world.folder.path().join("store"), text).expect("a store");
    let containerd = r#"overlayfs [["driver-type","io.containerd.snapshotter.v1"]]"#;
    let world = World::new("1");
    store(&world, containerd);
    let failure = world.refused("FROM scratch\n", None).await;
    assert_eq!(failure.kind, FailureKind::Environment);
    assert!(failure.advice.contains("`buildx`"), "{}", failure.advice);
    assert_eq!(world.told("build "), Vec::<String>::new());
    // Asked again once it is otherwise, and not after that.
    store(&world, OWN_STORE);
    for label in ["a", "b"] {
        world.build(&format!("FROM scratch\nLABEL x={label}\n"), None).await.expect("an image");
    }
    assert_eq!(world.told("info ").len(), 2);

    let world = World::new("0");
    store(&world, containerd);
    world.build("FROM scratch\n", None).await.expect("buildx has a store of its own");
    assert_eq!(world.told("info "), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_is_no_flag_of_the_command_line() {
    for no_buildx in ["0", "1"] {
        let world = World::with(no_buildx, None, Some("registry.example/team"));
        for dockerfile in ["FROM -h\n", "FROM scratch\nCOPY --from=--help /x /y\n", "ARG BASE=-h\nFROM $BASE\n"] {
            let failure = world.refused(dockerfile, None).await;
            assert!(failure.summary.contains("which no registry can have"), "{dockerfile}: {}", failure.summary);
        }
        let inspected = world.told("image inspect");
        assert!(inspected.iter().all(|call| call.contains(" -- greenroom/")), "{inspected:?}");
        assert_eq!((world.told("pull "), world.told("build "), world.told("buildx build")), (vec![], vec![], vec![]));
    }
}

#[tokio::test]
async fn the_first_builder_is_let_into_no_layers_but_those_that_are_named() {
    let world = World::new("1");
    world.build("FROM scratch\n", None).await.expect("an image");
    assert!(world.told("build ").iter().all(|call| call.contains(" --no-cache ")), "{:?}", world.told("build "));
    let listed = "sha256:2 greenroom/acme-shop/pr-2-web\nsha256:1 greenroom/acme-shop/pr-1-web\n";
    fs::write(world.folder.path().join("listed"), listed).expect("a list");
    world.build("FROM scratch\nLABEL a=b\n", None).await.expect("an image");
    let last = world.told("build ").pop().expect("a build");
    assert!(last.contains(" --cache-from=sha256:1 -") && !last.contains("--no-cache"), "{last}");
}

#[tokio::test]
async fn the_network_is_made_once_and_a_commit_that_says_it_is_missing_fails() {
    let world = World::new("1");
    fs::write(world.folder.path().join("networks"), "c\na\nb\n").expect("a file");
    world.build("FROM scratch\n", None).await.expect("an image");
    world.build("FROM scratch\nLABEL a=b\n", None).await.expect("an image");
    assert_eq!((world.told("network create").len(), world.told("build ").len()), (1, 3));

    assert_eq!(world.told("network rm"), ["network rm -- b", "network rm -- c"], "all keep the same one");

    let world = World::new("1");
    fs::write(world.folder.path().join("stubborn"), "").expect("a file");
    let failure = world.refused("FROM scratch\n", None).await;
    assert!(failure.summary.contains("exit code 1"), "{}", failure.summary);
    assert_eq!(world.told("build ").len(), 2, "it has an end");
}

/// Somebody deploys a commit by its name, and while it is built the branch comes to the very same one.
#[tokio::test]
async fn a_build_under_way_is_none_for_a_commit_of_another_trust() {
    let world = World::new("1");
    fs::write(world.folder.path().join("busy"), "").expect("a file");
    let ask = |trust| world.ask("FROM scratch\n", None, trust);
    loop {
        assert!(matches!(ask(Trust::Preview).await, Ok(Progress::Pending { .. })), "it is built");
        if !world.told("build ").is_empty() {
            break;
        }
    }
    assert!(matches!(ask(Trust::Permanent).await, Ok(Progress::Pending { .. })), "it waits");
    fs::remove_file(world.folder.path().join("busy")).expect("it is there");
    let mut images = Vec::new();
    for trust in [Trust::Permanent, Trust::Preview] {
        images.push(loop {
            match ask(trust).await.expect("an image") {
                Progress::Done(Output::Built(image) | Output::Reused(image)) => break image.reference,
                Progress::Done(other) => panic!("{other:?}"),
                Progress::Pending { .. } => {}
            }
        });
    }
    assert_ne!(images[0], images[1], "each has its own");
}

#[tokio::test]
async fn what_greenroom_calls_its_images_is_looked_for_on_no_public_registry() {
    let world = World::new("1");
    // Anybody may have that name there.
    world.publish("pr-1-web:0", "linux/amd64", &[]);
    for name in ["greenroom/acme-other/pr-1-web:0", "docker.io/greenroom/acme-other/pr-1-web:0"] {
        for dockerfile in [format!("FROM {name}\n"), format!("FROM scratch\nCOPY --from={name} /secret /x\n")] {
            let failure = world.refused(&dockerfile, None).await;
            assert!(failure.summary.contains("is kept by Greenroom for a stage"), "{}", failure.summary);
        }
    }
    assert_eq!((world.told("pull "), world.told("build ")), (Vec::new(), Vec::new()));
}

/// The server's own login reads all that is there.
#[tokio::test]
async fn what_the_registry_keeps_for_another_repository_is_no_base() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let place = format!("{}/team", listener.local_addr().expect("an address"));
    // It has nothing yet of what is asked for.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    for no_buildx in ["0", "1"] {
        let world = World::with(no_buildx, Some(Arc::new(OciRegistry::new(&place, Vec::new()))), None);
        let theirs = format!("{place}/acme/private/web");
        for dockerfile in [
            format!("FROM {theirs}:s-prod\n"),
            format!("FROM scratch\nCOPY --from={theirs}:s-prod /secret /x\n"),
            format!("ARG BASE={theirs}\nFROM $BASE:s-prod\n"),
        ] {
            let failure = world.refused(&dockerfile, None).await;
            assert!(failure.summary.contains("is kept by Greenroom for a stage"), "{}", failure.summary);
        }
        for call in ["build ", "buildx build", "pull "] {
            assert_eq!(world.told(call), Vec::<String>::new(), "nothing is begun");
        }
    }
}
