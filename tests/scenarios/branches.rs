//! Branches that are written alike: each has a stage of its own, and loses it with itself alone.

use greenroom::model::{CommitSha, StageName, StageStatus, Subject};

use crate::world::{CONFIG, World};

fn config() -> String {
    CONFIG.replace("  \"pr-{number}\":", "  \"b-{branch}\": { on: { push: \"*\" } }\n  \"pr-{number}\":")
}

/// The stage of a branch, by what the database says whose it is.
async fn stage_of(w: &World, branch: &str) -> StageName {
    let stages = w.store.stages(Some(&w.repo)).await.expect("the database answers");
    let own = |subject: &Subject| matches!(subject, Subject::Branch(own) if own.0 == branch);
    let mut names: Vec<StageName> =
        stages.into_iter().filter(|stage| own(&stage.subject)).map(|stage| stage.id.name).collect();
    assert_eq!(names.len(), 1, "{branch}: {names:?}");
    names.remove(0)
}

#[tokio::test]
async fn each_branch_has_a_stage_of_its_own_and_loses_nobody_elses() {
    let w = World::with_config(&config()).await;
    let long = "a-branch-with-a-name-that-goes-on-for-longer";
    let branches = [
        "feature/login",
        "feature-login",
        "Feature-Login",
        "feature.login",
        "gr\u{f6}\u{df}e",
        "\u{6a5f}\u{80fd}",
        long,
    ];
    let heads: Vec<CommitSha> = branches.iter().map(|branch| w.push(branch, branch)).collect();
    w.settle().await;
    let mut names = Vec::new();
    for (branch, head) in branches.iter().zip(&heads) {
        let name = stage_of(&w, branch).await;
        assert_eq!(w.serving(name.as_str(), "web").as_ref(), Some(head), "{branch} has {name}");
        names.push(name);
    }
    assert_eq!(names[1].as_str(), "b-feature-login", "a label is taken as it stands");
    assert!(names[0].as_str().starts_with("b-feature-login-"), "{}", names[0]);

    // What is pushed again keeps its stage, and what goes takes no other along.
    let again = w.push("feature/login", "again");
    w.settle().await;
    assert_eq!(stage_of(&w, "feature/login").await, names[0]);
    assert_eq!(w.serving(names[0].as_str(), "web"), Some(again));
    w.github.delete_branch(&w.repo, "feature-login").expect("it is deleted");
    w.settle().await;
    assert!(matches!(w.stage(names[1].as_str()).await.status, StageStatus::Gone { .. }));
    for (place, name) in names.iter().enumerate().filter(|(place, _)| *place != 1) {
        assert!(w.serving(name.as_str(), "web").is_some(), "{name} of {place} stays");
    }
    let back = w.push("feature-login", "back");
    w.settle().await;
    assert_eq!(
        (stage_of(&w, "feature-login").await, w.serving("b-feature-login", "web")),
        (names[1].clone(), Some(back))
    );
}

#[tokio::test]
async fn a_stage_of_an_older_version_keeps_the_name_that_it_was_given() {
    let w = World::with_config(&config()).await;
    w.push("feature/login", "2");
    w.settle().await;
    // As the version before called it, which made no difference between the two.
    let named = stage_of(&w, "feature/login").await;
    w.github.delete_branch(&w.repo, "feature/login").expect("it is deleted");
    w.settle().await;
    assert!(named.as_str() != "b-feature-login");
    w.by_hand("UPDATE stage SET name = 'b-feature-login' WHERE name LIKE 'b-feature-login-%'").await;
    let (old, new) = (w.push("feature/login", "3"), w.push("feature-login", "4"));
    w.settle().await;
    assert_eq!(stage_of(&w, "feature/login").await.as_str(), "b-feature-login");
    assert_eq!(w.serving("b-feature-login", "web"), Some(old));
    let beside = stage_of(&w, "feature-login").await;
    assert_eq!(w.serving(beside.as_str(), "web"), Some(new));
}
