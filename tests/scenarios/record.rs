//! The record of who asked for what, as it is told outside of the database.

use crate::commands::people;
use crate::world::World;

/// Whoever cuts the record's end off has GitHub's comments against them.
#[tokio::test]
async fn an_answer_notes_where_the_record_ended() {
    let w = World::new().await;
    people(&w);
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    w.hears("rita", pull, "/plan").await;
    let end = w.store.audit_head(&w.repo).await.expect("the database answers").expect("something is recorded");
    let noted = format!("<!-- greenroom audit {} {} -->", end.number, end.hash);
    let comments = w.github.comments(&w.repo, pull);
    let answers: Vec<String> = comments
        .into_iter()
        .map(|comment| comment.body)
        .filter(|body| body.starts_with("<!-- greenroom receipt"))
        .collect();
    assert!(matches!(answers.as_slice(), [one] if one.contains(&noted)), "{noted}: {answers:#?}");
}
