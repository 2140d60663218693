//! Reviews and the comments at lines of the changes.

use super::super::body;
use super::super::record::{ReviewComment, ReviewRecord};
use super::super::world::World;
use super::{Answer, Call, Refusal};
use crate::model::PullNumber;

type Answered = Result<Answer, Refusal>;

fn pull(world: &World, call: &Call) -> Result<PullNumber, Refusal> {
    let number = call.pull_number("pull_number")?;
    call.repo(world)?.pulls.contains_key(&number).then_some(number).ok_or(Refusal::NotFound)
}

/// Oldest first.
pub(in super::super) fn list(world: &mut World, call: &Call) -> Answered {
    let (repo, number) = (call.repo(world)?, pull(world, call)?);
    let reviews: Vec<&ReviewRecord> = repo.reviews.values().filter(|review| review.pull == number).collect();
    Ok(call.page(&world.base, &reviews, |review| body::review(world, &repo.name, review)))
}

pub(in super::super) fn show(world: &mut World, call: &Call) -> Answered {
    let (repo, number) = (call.repo(world)?, pull(world, call)?);
    let review = repo.reviews.get(&call.number("review_id")?).filter(|review| review.pull == number);
    Ok(Answer::ok(body::review(world, &repo.name, review.ok_or(Refusal::NotFound)?)))
}

pub(in super::super) fn comments(world: &mut World, call: &Call) -> Answered {
    let (repo, number) = (call.repo(world)?, pull(world, call)?);
    let comments: Vec<&ReviewComment> =
        repo.review_comments.values().filter(|comment| comment.pull == number).collect();
    Ok(call.page(&world.base, &comments, |comment| body::review_comment(world, &repo.name, comment)))
}

pub(in super::super) fn comment(world: &mut World, call: &Call) -> Answered {
    let repo = call.repo(world)?;
    let comment = repo.review_comments.get(&call.number("comment_id")?).ok_or(Refusal::NotFound)?;
    Ok(Answer::ok(body::review_comment(world, &repo.name, comment)))
}
