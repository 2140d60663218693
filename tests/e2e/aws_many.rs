//! Ten pull requests at once.

use std::collections::BTreeSet;

use crate::aws_world::AwsWorld;

const PULLS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn ten_pull_requests_at_once_share_one_foundation_on_aws_and_none_collides() {
    let mut s = AwsWorld::new().await;
    let mut pulls = Vec::new();
    for number in 1..=PULLS {
        let (branch, version) = (format!("topic-{number}"), format!("version-{number}"));
        s.w.github.push(&s.w.repo, &branch, [("app", version.as_str())], "A change").expect("a commit");
        pulls.push((s.w.github.open_pull(&s.w.repo, &branch, "A change").expect("a pull request"), version));
    }
    for (pull, version) in &pulls {
        s.w.until(&format!("pull request {pull} is live"), async || {
            s.w.comment_of(&s.w.repo, *pull).is_some_and(|comment| comment.contains("is live · "))
        })
        .await;
        assert_eq!(s.ask_stage(&format!("pr-{pull}")).await, (200, version.clone()));
    }
    assert_eq!(s.foundations().await.len(), 1, "{:?}", s.foundations().await);
    let estate = s.estate().await;
    let counts = [&estate.stacks, &estate.services, &estate.target_groups, &estate.definitions].map(Vec::len);
    assert_eq!(counts, [PULLS; 4], "{estate:#?}");
    let priorities: BTreeSet<&str> = estate.rules.iter().filter_map(|rule| rule.split(' ').next()).collect();
    assert_eq!((estate.rules.len(), priorities.len()), (PULLS, PULLS), "{:?}", estate.rules);

    for (pull, _) in &pulls {
        s.w.github.close_pull(&s.w.repo, *pull).expect("it closes");
    }
    for (pull, _) in &pulls {
        s.w.until(&format!("the stage of {pull} is gone"), async || {
            s.w.comment_of(&s.w.repo, *pull).is_some_and(|comment| comment.contains("Destroyed at"))
        })
        .await;
    }
    s.w.pull = pulls[0].0;
    s.nothing_is_left().await;
    s.finish().await;
}
