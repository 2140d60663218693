//! Builders of their own: one for each repository and trust, held to a policy, and tried.

use super::*;

const CACHE: &str = "registry.example/team";
/// What `BuildKit` 0.13 says of an image that a policy denies.
const DENIED: &str = "ERROR: failed to solve: registry.example/team/greenroom/nobodys: could not resolve image due to \
                      policy: source \"docker-image://registry.example/team/greenroom/nobodys:latest\" denied by policy: \
                      source denied by policy\n";
/// The same where no notice is taken of it.
const LET_THROUGH: &str = "ERROR: failed to solve: failed to resolve source metadata for \
                           registry.example/team/greenroom/nobodys:latest: not found\n";

fn world(tried: &str) -> World {
    let world = World::with("0", None, Some(CACHE));
    fs::write(world.folder.path().join("tried"), tried).expect("a file");
    world
}

/// The calls of real builds.
fn built(world: &World) -> Vec<String> {
    world.told("buildx build").into_iter().filter(|call| call.contains(" --tag=")).collect()
}

#[tokio::test]
async fn buildx_builds_in_a_container_of_the_repository_and_trust() {
    let world = World::new("0");
    // Neither the engine's network nor its images are within reach there.
    let built = world.build("FROM hub/base\nADD http://127.0.0.1/ /x\n", None).await;
    assert!(matches!(built, Ok(Output::Built(_))), "{built:?}");
    assert_eq!(world.told("network create").len(), 1);
    let name = builder::name(&world.stage.repo, Trust::Preview);
    let created =
        format!("buildx create --name={name} --driver=docker-container --driver-opt=network=greenroom-builds");
    assert_eq!(world.told("buildx create"), [created]);
    let build = world.told("buildx build").concat();
    assert!(
        build.contains(&format!("--builder={name} ")) && build.contains("--build-arg=DOCKER_HOST=tcp://"),
        "{build}"
    );
    assert!(!build.contains("--allow") && world.has_nothing_of_a_commit_in_its_environment());
    fs::create_dir_all(world.folder.path().join("data/stages/acme/shop/pr-2")).expect("a folder");
    world.builder.forget(&world.stage).await.expect("forgotten");
    assert_eq!(world.told("buildx rm"), Vec::<String>::new(), "another stage uses them");
    let other = StageId { name: "pr-2".parse().expect("a name"), ..world.stage.clone() };
    world.builder.forget(&other).await.expect("forgotten");
    assert_eq!(world.told("buildx rm").len(), 3);
}

#[tokio::test]
async fn a_builder_is_tried_once_and_every_build_is_held_to_the_policy() {
    let world = world(DENIED);
    for label in ["a", "b"] {
        let _ = fs::remove_file(world.folder.path().join("policy"));
        world.build(&format!("FROM hub/base\nLABEL x={label}\n"), None).await.expect("an image");
        let policy = fs::read_to_string(world.folder.path().join("policy")).expect("it came with the last build");
        assert!(policy.contains("DENY") && policy.contains("team/greenroom/"), "{policy}");
    }
    assert_eq!((built(&world).len(), world.told("buildx build").len()), (2, 3));
    // Somebody removes it, and it is made anew, perhaps of another version.
    fs::remove_file(world.folder.path().join("builder")).expect("it is there");
    world.build("FROM hub/base\nLABEL x=c\n", None).await.expect("an image");
    assert_eq!((built(&world).len(), world.told("buildx build").len()), (3, 5));
    let logins = fs::read_dir(world.folder.path().join("data/logins")).expect("a folder");
    assert_eq!(logins.count(), 0, "nothing is left of it");
}

#[tokio::test]
async fn one_that_lets_through_what_is_denied_builds_nothing() {
    let world = world(LET_THROUGH);
    for _ in 0..2 {
        let failure = world.refused("FROM hub/base\n", None).await;
        assert_eq!(failure.kind, FailureKind::Environment);
        assert!(failure.summary.contains("does not keep builds from"), "{}", failure.summary);
    }
    assert_eq!((built(&world), world.told("buildx build").len()), (Vec::new(), 2));
    // What says neither is asked again.
    fs::write(world.folder.path().join("tried"), "ERROR: i/o timeout\n").expect("a file");
    let later = world.build("FROM hub/base\n", None).await;
    assert!(matches!(&later, Err(error) if !matches!(error, PortError::Failed(_))), "{later:?}");
    fs::write(world.folder.path().join("tried"), DENIED).expect("a file");
    world.build("FROM hub/base\n", None).await.expect("an image");
    assert_eq!(built(&world).len(), 1);
}

#[tokio::test]
async fn where_greenroom_keeps_nothing_there_is_no_policy() {
    let world = World::new("0");
    world.build("FROM hub/base\n", None).await.expect("an image");
    assert!(!world.folder.path().join("policy").exists());
}
