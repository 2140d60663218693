//! Whose commit a build is for.

use greenroom::model::{PullNumber, Trust};
use greenroom::sandbox::{FileChange, NewPull};

use super::commands::people;
use super::world::World;

/// What `web` was last built with for a stage.
fn trust(w: &World, stage: &str) -> Option<Trust> {
    let (stage, service) = (stage.parse().expect("a name"), "web".parse().expect("a name"));
    w.builder.trust(&stage, &service)
}

#[tokio::test]
async fn only_its_own_branch_is_built_as_a_permanent_stages() {
    let w = World::new().await;
    people(&w);
    w.push("main", "1");
    w.open("topic", "2");
    let fork = w.github.fork(&w.repo, "stranger").expect("a fork");
    let sha = w.github.commit(&fork, "idea", [FileChange::write("app", "evil")], "An idea").expect("a commit");
    let new = NewPull { author: "stranger".into(), head_repo: Some(fork), ..NewPull::new("idea", "An idea") };
    let pull = w.github.open(&w.repo, new).expect("a pull request");
    w.settle().await;
    assert_eq!(trust(&w, "prod"), Some(Trust::Permanent));
    assert_eq!(trust(&w, "pr-1"), Some(Trust::Preview));
    assert_eq!((pull, trust(&w, "pr-2")), (PullNumber(2), None), "a fork's commit waits");
    w.after(61_000).await;
    w.hears("mia", pull, &format!("/approve {sha}")).await;
    assert_eq!(trust(&w, "pr-2"), Some(Trust::Fork));
    // Whoever asks for another commit there gets no more than that commit has.
    w.hears("mia", PullNumber(1), "/deploy prod").await;
    assert_eq!(trust(&w, "prod"), Some(Trust::Preview), "{}", w.answer(PullNumber(1)));
    w.push("main", "3");
    w.settle().await;
    assert_eq!(trust(&w, "prod"), Some(Trust::Permanent));
}
