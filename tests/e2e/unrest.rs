//! What goes live and does not stay up, as the people at the pull request see it.

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_again_and_again_is_not_called_live() {
    let mut w = World::of_processes().await;
    let one = w.open("one");
    w.live(&one).await;
    for _ in 0..2 {
        w.until("it answers", async || w.ask("/").await == (200, "one".into())).await;
        assert_eq!(w.ask("/crash").await.0, 502);
    }
    let comment = w.comment_says("is not well").await;
    assert!(comment.contains("ended with exit code 7") && !comment.contains("before it was healthy"), "{comment}");
    assert!(comment.contains("Last lines of its output"), "{comment}");
    w.until("check and deployment say so too", async || w.shown(&one) == ["check failure", "deployment failure"]).await;

    let two = w.push("two");
    w.live(&two).await;
    assert!(!w.comment().expect("a comment").contains("is not well"), "{:?}", w.comment());
    w.close();
    w.nothing_is_left().await;
    w.finish().await;
}
