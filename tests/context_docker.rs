//! What is sent to Docker against what Docker itself would send, and against what was hashed.
//!
//! The judge is the Docker command line with a folder as its context: what it sends to an engine for
//! each of many drawn sources, and what a real engine makes of some of them.

#[path = "support/hang.rs"]
mod hang;
#[path = "context_docker/judge.rs"]
mod judge;
#[path = "support/own.rs"]
mod own;
#[path = "context_docker/trees.rs"]
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use futures_util::{StreamExt, stream};
use greenroom::build::{BuildSettings, DockerBuilder, UnpackLimits};
use greenroom::model::{Artifact, CommitSha, ImageSpec, Output, Place, Runtime, ServiceSpec, StageId, Trust};
use greenroom::port::{BuildJob, Builder, PortError, PortResult, Progress};
use sha2::{Digest, Sha256};

use judge::{Engine, Sent, images, read_archive};
use own::own;
use trees::{Dice, Tree};

/// A Docker command line that keeps what it is given, under the last part of the image's name.
const RECORDER: &str = r#"#!/bin/sh
for last; do :; done
case "$1 $2" in
"buildx version") exit 1 ;;
"info --format") echo "overlay2 null" ;;
"image ls") ;;
"image inspect")
    if [ -e "$RECORDS/${last##*:}" ]; then echo "sha256:${last##*:}"; else echo "No such image" >&2; exit 1; fi ;;
"build "*)
    for word; do case $word in --tag=*) name=${word##*:} ;; esac; done
    printf '%s\n' "$@" > "$RECORDS/$name.words"
    cat > "$RECORDS/$name.part" && mv "$RECORDS/$name.part" "$RECORDS/$name" ;;
*) exit 1 ;;
esac
"#;

#[expect(
    clippy::disallowed_methods,
    reason = "which engine to use and how deep to go is the test's environment to say"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// So many of a matrix in the everyday run, and so many when all of it is asked for.
fn depth(everyday: usize, all: usize) -> usize {
    if variable("GREENROOM_TEST_DEPTH").as_deref() == Some("all") { all } else { everyday }
}

/// A builder, and what its Docker command line was given.
struct World {
    data: tempfile::TempDir,
    builder: DockerBuilder,
}

impl World {
    fn recording() -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let program = data.path().join("docker");
        fs::write(&program, RECORDER).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a file");
        let records = data.path().join("records");
        fs::create_dir(&records).expect("a folder");
        let env = vec![
            ("PATH".to_owned(), variable("PATH").unwrap_or_default()),
            ("RECORDS".to_owned(), records.display().to_string()),
        ];
        Self::with(data, program, env)
    }

    fn real() -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let known = |name: &str| variable(name).map(|value| (name.to_owned(), value));
        let env = ["PATH", "HOME", "DOCKER_HOST"].into_iter().filter_map(known).collect();
        Self::with(data, "docker".into(), env)
    }

    fn with(data: tempfile::TempDir, docker: PathBuf, docker_env: Vec<(String, String)>) -> Self {
        let builder = DockerBuilder::new(BuildSettings {
            data_dir: data.path().join("data"),
            docker,
            docker_env,
            registry: None,
            cache: None,
            limits: UnpackLimits::default(),
            concurrency: 4.try_into().expect("a number"),
        });
        Self { data, builder: builder.expect("a builder") }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.data.path().join("sources").join(name)
    }

    async fn build(&self, number: usize, source: &Path, dockerfile: &str) -> PortResult<Artifact> {
        let output = self.build_for(Trust::Preview, number, source, dockerfile).await?;
        Ok(output.artifact().expect("an image").clone())
    }

    async fn build_for(&self, trust: Trust, number: usize, source: &Path, dockerfile: &str) -> PortResult<Output> {
        hang::watch();
        let sha: CommitSha = format!("{number:040x}").parse().expect("a commit");
        let (service, source) = (service(dockerfile), source.display().to_string());
        let job = BuildJob {
            stage: &stage(),
            place: &Place::default(),
            sha: &sha,
            trust,
            service: &service,
            generation: greenroom::model::Generation(1),
            builds: &greenroom::model::Builds::default(),
            source: Some(&source),
        };
        loop {
            match self.builder.ensure(&job).await {
                Ok(Progress::Done(output)) => return Ok(output),
                // Another test may remove a layer of this build.
                Ok(Progress::Pending { .. }) | Err(PortError::Retry { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What the recorder was given for an image: its standard input, and the words of its command line.
    fn record(&self, image: &Artifact) -> (Vec<u8>, String) {
        let name = image.reference.rsplit(':').next().expect("a name");
        let records = self.data.path().join("records");
        let words = fs::read_to_string(records.join(format!("{name}.words"))).expect("words");
        (fs::read(records.join(name)).expect("a record"), words)
    }
}

/// Tests share the engine.
static REPO: LazyLock<String> = LazyLock::new(|| own("test/context"));

fn stage() -> StageId {
    StageId { repo: REPO.parse().expect("a name"), name: "pr-1".parse().expect("a name") }
}

fn service(dockerfile: &str) -> ServiceSpec {
    let image = ImageSpec {
        context: ".".into(),
        dockerfile: dockerfile.into(),
        target: None,
        platform: None,
        args: BTreeMap::new(),
    };
    let spec = serde_json::json!({
        "name": "web", "runtime": Runtime::Image(image), "port": null, "host": null, "url": null,
        "size": { "cpu": 256, "memory": 512 },
        "scale": { "min": 1, "max": 1, "cpu": null, "memory": null },
        "health": {
            "path": "/", "status": 200, "interval": 10, "timeout": 5, "healthy": 2, "unhealthy": 3, "grace": 30
        },
        "env": {}, "secrets": {}, "migrate": null, "needs": [], "paths": [], "drain": 5,
    });
    serde_json::from_value(spec).expect("a service")
}

/// What is sent for a tree; `None` where it is refused.
async fn ours(world: &World, tree: &Tree, number: usize) -> Option<Sent> {
    match world.build(number, &tree.folder, &tree.dockerfile).await {
        Ok(image) => {
            let (bytes, words) = world.record(&image);
            let hash = format!("--label=greenroom.context=sha256:{}\n", hex::encode(Sha256::digest(&bytes)));
            assert!(words.contains(&hash), "what was sent is not what was hashed: {words}");
            assert!(words.ends_with("\n-\n"), "the context comes on standard input: {words}");
            Some(read_archive(&bytes))
        }
        Err(PortError::Failed(failure)) => {
            assert!(failure.summary.contains("cannot be followed"), "{failure:?}");
            None
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Where the two differ, in words.
fn difference(tree: &Tree, ours: Option<&Sent>, docker: Option<&Sent>) -> Option<String> {
    let (empty, dockerfile) = (Sent::new(), tree.dockerfile.as_bytes());
    // It looks for the Dockerfile in another way than for the rest, and then fails for want of it.
    if docker.is_some_and(|sent| !sent.contains_key(dockerfile)) || ours == docker {
        return None;
    }
    let shown = |sent: Option<&Sent>| sent.map_or("refused", |_| "sent").to_owned();
    let (us, them) = (ours.unwrap_or(&empty), docker.unwrap_or(&empty));
    let names: BTreeSet<&Vec<u8>> = us.keys().chain(them.keys()).collect();
    let apart = names.into_iter().filter(|name| us.get(*name) != them.get(*name));
    let apart: Vec<String> = apart
        .map(|name| format!("{:?}: {:?} / {:?}", String::from_utf8_lossy(name), us.get(name), them.get(name)))
        .collect();
    let ignore = tree.ignore.escape_ascii();
    Some(format!("\"{ignore}\": ours {}, Docker's {}: {}", shown(ours), shown(docker), apart.join(", ")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_is_sent_that_docker_would_not_send_and_none_is_missing() {
    let world = World::recording();
    let engine = Engine::start(world.data.path());
    let count = depth(160, 2400);
    let mut dice = Dice(11);
    let trees: Vec<Tree> =
        (0..count).map(|number| Tree::draw(&mut dice, world.folder(&number.to_string()), number)).collect();
    let compared = stream::iter(trees.iter().enumerate()).map(|(number, tree)| {
        let (world, engine) = (&world, &engine);
        async move {
            let (ours, docker) =
                tokio::join!(ours(world, tree, number), engine.sent_for(number, &tree.folder, &tree.dockerfile));
            let is_refused = docker.is_none();
            (difference(tree, ours.as_ref(), docker.as_ref()), is_refused)
        }
    });
    let compared: Vec<(Option<String>, bool)> = compared.buffer_unordered(4).collect().await;
    let differences: Vec<String> = compared.iter().filter_map(|(difference, _)| difference.clone()).collect();
    assert!(differences.is_empty(), "{} of {count}:\n{}", differences.len(), differences.join("\n"));
    let refused = compared.iter().filter(|(_, is_refused)| *is_refused).count();
    assert!(refused * 4 < count, "most of them say something: {refused} of {count} are refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_makes_the_same_image_of_it() {
    let world = World::real();
    let mut dice = Dice(12);
    let (mut left, mut wanted) = (Vec::new(), depth(6, 40));
    for number in 0.. {
        let tree = Tree::draw(&mut dice, world.folder(&number.to_string()), number);
        if !tree.fits_a_layer {
            continue;
        }
        let theirs = format!("greenroom/{}/docker:{number}", REPO.as_str());
        let ours = world.build(number, &tree.folder, &tree.dockerfile).await;
        let Some(theirs) = judge::build(&tree.folder, &tree.dockerfile, &theirs) else { continue };
        let ours = ours.expect("an image");
        let [one, two] = images([&ours.reference, &theirs]);
        assert_eq!(one, two, "\"{}\"", tree.ignore.escape_ascii());
        left.extend([ours, Artifact { reference: theirs, digest: String::new() }]);
        wanted -= 1;
        if wanted == 0 {
            break;
        }
    }
    for image in left {
        world.builder.remove(&image).await.expect("the image goes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_is_another_archive_and_the_same_name_the_same() {
    let world = World::recording();
    let mut names: BTreeMap<String, (Vec<u8>, &str)> = BTreeMap::new();
    let variants: [(&str, &[(&str, &str)]); 9] = [
        ("plain", &[("www/index.html", "hello")]),
        ("the same", &[("www/index.html", "hello")]),
        ("content", &[("www/index.html", "hellO")]),
        ("name", &[("www/index.htm", "hello")]),
        ("more", &[("www/index.html", "hello"), ("www/evil.html", "evil")]),
        ("hidden", &[("www/index.html", "hello"), ("www/evil.html", "evil"), (".dockerignore", "www/evil.html\n")]),
        ("rules", &[("www/index.html", "hello"), (".dockerignore", "www/evil.html\n")]),
        ("itself", &[("www/index.html", "hello"), (".dockerignore", ".dockerignore\n")]),
        (
            "poison",
            &[
                ("www/index.html", "hello"),
                ("www/evil.html", "evil"),
                (".dockerignore", ".dockerignore\n../www/evil.html\n"),
            ],
        ),
    ];
    for (number, (what, files)) in variants.into_iter().enumerate() {
        let source = world.folder(what);
        for (name, text) in files.iter().chain([&("Dockerfile", "FROM scratch\nCOPY . /\n")]) {
            let path = source.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        let image = world.build(number, &source, "Dockerfile").await.expect("an image");
        let (bytes, _) = world.record(&image);
        for (name, (other, other_what)) in &names {
            assert_eq!(*name == image.reference, *other == bytes, "{what} and {other_what}");
        }
        names.insert(image.reference, (bytes, what));
    }
    // A hidden file is not sent, so that only the rules are left of it.
    assert_eq!(names.len(), 7, "{:?}", names.values().map(|(_, what)| what).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_clean_commit_gets_is_not_what_a_poisoned_one_left() {
    let world = World::real();
    let commit = |name: &str, files: &[(&str, &str)]| {
        let source = world.folder(name);
        fs::create_dir_all(source.join("www")).expect("a folder");
        let own = format!("FROM scratch\nCOPY www /www\nLABEL test={}\n", REPO.as_str());
        for (name, text) in files.iter().chain([&("Dockerfile", own.as_str()), &("www/index.html", "hello")]) {
            fs::write(source.join(name), text).expect("a file");
        }
        source
    };
    // `..` at the beginning of a rule matches nothing, and a file that ignores itself is in no image.
    let rules = ".dockerignore\n../www/evil.html\n";
    let poisoned = commit("poisoned", &[(".dockerignore", rules), ("www/evil.html", "evil")]);
    let clean = commit("clean", &[]);
    let poisoned = world.build(1, &poisoned, "Dockerfile").await.expect("an image");
    let clean = world.build(2, &clean, "Dockerfile").await.expect("an image");
    let [poisoned_files, clean_files] = images([&poisoned.reference, &clean.reference]);
    assert!(poisoned_files.contains_key(b"www/evil.html".as_slice()), "{poisoned_files:?}");
    assert!(!clean_files.contains_key(b"www/evil.html".as_slice()), "{clean_files:?}");
    assert_ne!(poisoned.reference, clean.reference);
    for image in [poisoned, clean] {
        world.builder.remove(&image).await.expect("the image goes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_preview_built_is_no_permanent_stages() {
    let world = World::recording();
    let source = world.folder("source");
    fs::create_dir_all(&source).expect("a folder");
    fs::write(source.join("Dockerfile"), "FROM scratch\nCOPY . /\n").expect("a file");
    let (mut made, mut marks) = (Vec::new(), BTreeSet::new());
    for trust in [Trust::Fork, Trust::Preview, Trust::Permanent] {
        // The very same commit, too.
        for (number, is_first) in [(1, true), (1, false), (2, false)] {
            match world.build_for(trust, number, &source, "Dockerfile").await.expect("an image") {
                Output::Built(image) if is_first => made.push(image),
                Output::Reused(image) if !is_first => assert_eq!(made.last(), Some(&image), "{trust}"),
                other => panic!("{trust}, {number}: {other:?}"),
            }
        }
        let (_, words) = world.record(made.last().expect("an image"));
        // The engine's first builder takes another's layers for its own.
        assert!(words.contains("--no-cache\n") && !words.contains("--cache-from"), "{words}");
        marks.extend(words.lines().filter(|word| word.starts_with("--label=greenroom.layers=")).map(str::to_owned));
    }
    assert_eq!(marks.len(), 3, "what one leaves is not for another: {marks:?}");
    let names: BTreeSet<&String> = made.iter().map(|image| &image.reference).collect();
    assert_eq!(names.len(), 3, "{made:?}");
}
