//! Builders of their own (`buildx`), on an engine that has the plugin and an image of `BuildKit`, with a
//! registry that asks for no login.
//!
//! No package of the test machine has them: `GREENROOM_TEST_BUILDX` is host and port of a registry that
//! the builders reach, `HOME` and `DOCKER_HOST` lead to the plugin and the engine. Needs `BuildKit` 0.17,
//! the first that has what is tried here.

use greenroom::port::Builder;

use crate::busybox;
use crate::engine::Engine;
use crate::own::own;
use crate::repository::Repository;

#[expect(clippy::disallowed_methods, reason = "where there is one is the test's environment to say")]
fn registry() -> String {
    std::env::var("GREENROOM_TEST_BUILDX").expect("`GREENROOM_TEST_BUILDX` names the registry")
}

/// A builder as anybody makes one: it is held to nothing.
struct Anybody<'a> {
    engine: &'a Engine,
    name: String,
    folder: tempfile::TempDir,
}

impl<'a> Anybody<'a> {
    fn new(engine: &'a Engine) -> Self {
        let anybody = Self { engine, name: own("anybody"), folder: tempfile::tempdir().expect("a folder") };
        std::fs::copy(busybox(), anybody.folder.path().join("busybox")).expect("busybox");
        engine.docker(&["buildx", "create", &format!("--name={}", anybody.name), "--driver=docker-container"]);
        anybody
    }

    /// Whether it could be built and pushed, and what was said.
    fn push(&self, image: &str, dockerfile: &str) -> (bool, String) {
        let file = self.folder.path().join("Dockerfile");
        std::fs::write(&file, dockerfile).expect("a file");
        self.engine.try_docker(&[
            "buildx",
            "build",
            &format!("--builder={}", self.name),
            "--provenance=false",
            "--progress=plain",
            "--output=type=registry",
            &format!("--tag={image}"),
            &self.folder.path().display().to_string(),
        ])
    }
}

impl Drop for Anybody<'_> {
    fn drop(&mut self) {
        self.engine.try_docker(&["buildx", "rm", "--force", &self.name]);
    }
}

#[test]
#[ignore = "wants an engine with buildx"]
fn what_a_public_image_has_its_children_do_takes_nothing_that_greenroom_keeps() {
    let (engine, registry) = (Engine::shared(), registry());
    let anybody = Anybody::new(&engine);
    let victim = format!("{registry}/greenroom/{}/web:s-prod", own("victim"));
    let (done, said) = anybody.push(&victim, "FROM scratch\nCOPY busybox /secret\n");
    assert!(done, "{said}");
    let thief = Repository::with_cache(&engine, "evil/apart", Some(&registry));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for trigger in [
        format!("COPY --from={victim} /secret /stolen"),
        format!("RUN --mount=from={victim},target=/m [\"/bin/busybox\", \"cp\", \"/m/secret\", \"/stolen\"]"),
    ] {
        let base = format!("{registry}/{}/base:1", own("public"));
        let (done, said) =
            anybody.push(&base, &format!("FROM scratch\nCOPY busybox /bin/busybox\nONBUILD {trigger}\n"));
        assert!(done, "{said}");
        let (stolen, said) = anybody.push(&format!("{base}-child"), &format!("FROM {base}\n"));
        assert!(stolen, "the attack is one, or nothing is shown: {said}");

        let built = runtime.block_on(thief.build(&format!("FROM {base}\n"), &[]));
        let failure = format!("{:?}", built.expect_err(&trigger));
        assert!(failure.contains("denied by policy") && failure.contains("ONBUILD"), "{failure}");
    }
    runtime.block_on(thief.refused(&format!("FROM {victim}\n"), &[]));

    let base = format!("{registry}/{}/base:1", own("honest"));
    let (done, said) = anybody.push(&base, "FROM scratch\nCOPY busybox /bin/busybox\nONBUILD COPY mark /mark\n");
    assert!(done, "{said}");
    for label in ["a", "b"] {
        // With the layers of the first one, from the cache that lies where nothing may be read.
        let dockerfile = format!("FROM {base}\nRUN [\"/bin/busybox\", \"true\"]\nLABEL x={label}\n");
        let image = runtime.block_on(thief.build(&dockerfile, &[])).expect("an image");
        runtime.block_on(thief.clean_up(&[image]));
    }
    let log = thief.log();
    assert!(log.contains("importing cache manifest from") && log.contains("CACHED"), "{log}");
    runtime.block_on(thief.builder.forget(&thief.stage)).expect("its builder goes");
}
