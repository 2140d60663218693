//! What people say about a pull request's changes: reviews, and comments at a line.

use super::action::{Verb, unknown};
use super::body::EventKind;
use super::git;
use super::record::{ReviewComment, ReviewRecord};
use super::serve::{Sandbox, SandboxError};
use super::world::World;
use crate::model::{CommitSha, PullNumber, RepoName, ReviewState};

impl World {
    /// The head of now, and the first file that it changes.
    fn looked_at(&self, repo: &RepoName, number: PullNumber) -> Verb<(CommitSha, String)> {
        let pull = self.pull(repo, number).ok_or_else(|| unknown(number))?;
        let base = self.head(repo, &pull.base);
        let found = base.and_then(|base| git::compare(&self.commits, &base.sha, &pull.head_sha));
        let file = found.and_then(|found| found.files.first().map(|file| file.path.clone()));
        Ok((pull.head_sha.clone(), file.unwrap_or_else(|| "README.md".into())))
    }
}

impl Sandbox {
    /// Hands in a review of the head of now: `pull_request_review` `submitted`.
    pub fn review(&self, repo: &RepoName, number: PullNumber, user: &str, state: ReviewState, body: &str) -> Verb<u64> {
        if state == ReviewState::Dismissed {
            return Err(SandboxError::Refused("a review is dismissed after it was handed in".into()));
        }
        let mut world = self.shared.world();
        let (sha, _) = world.looked_at(repo, number)?;
        let (id, submitted_at, author) = (world.id(), world.now(), world.person(user));
        let body = body.to_owned();
        let review = ReviewRecord { id, pull: number, author: author.clone(), state, body, sha, submitted_at };
        world.repo_mut(repo).ok_or_else(|| unknown(repo))?.reviews.insert(id, review.clone());
        world.announce(repo, &author, &EventKind::Review { action: "submitted", review: &review, before: None });
        Ok(id)
    }

    /// Takes an approval or an objection back: `pull_request_review` `dismissed`.
    pub fn dismiss_review(&self, repo: &RepoName, review: u64, user: &str) -> Verb<()> {
        let mut world = self.shared.world();
        let sender = world.person(user);
        let target = world.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        let known = target.reviews.get_mut(&review).ok_or_else(|| unknown(review))?;
        if !matches!(known.state, ReviewState::Approved | ReviewState::ChangesRequested) {
            return Err(SandboxError::Refused("only an approval or an objection can be dismissed".into()));
        }
        known.state = ReviewState::Dismissed;
        let review = known.clone();
        world.announce(repo, &sender, &EventKind::Review { action: "dismissed", review: &review, before: None });
        Ok(())
    }

    /// Changes the text of a review: `pull_request_review` `edited`.
    pub fn edit_review(&self, repo: &RepoName, review: u64, user: &str, body: &str) -> Verb<()> {
        let mut world = self.shared.world();
        let sender = world.person(user);
        let target = world.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        let known = target.reviews.get_mut(&review).ok_or_else(|| unknown(review))?;
        let before = std::mem::replace(&mut known.body, body.to_owned());
        let review = known.clone();
        let kind = EventKind::Review { action: "edited", review: &review, before: Some(&before) };
        world.announce(repo, &sender, &kind);
        Ok(())
    }

    /// Writes at a line of the changes, of the head of now: `pull_request_review_comment` `created`.
    pub fn review_comment(&self, repo: &RepoName, number: PullNumber, user: &str, body: &str) -> Verb<u64> {
        let mut world = self.shared.world();
        let (sha, path) = world.looked_at(repo, number)?;
        let (id, now, author) = (world.id(), world.now(), world.person(user));
        let comment = ReviewComment {
            id,
            pull: number,
            author: author.clone(),
            body: body.to_owned(),
            sha,
            path,
            created_at: now,
            updated_at: now,
            reactions: Vec::new(),
        };
        world.repo_mut(repo).ok_or_else(|| unknown(repo))?.review_comments.insert(id, comment.clone());
        let kind = EventKind::ReviewComment { action: "created", comment: &comment, before: None };
        world.announce(repo, &author, &kind);
        Ok(id)
    }

    /// Changes a comment at a line: `pull_request_review_comment` `edited`.
    pub fn edit_review_comment(&self, repo: &RepoName, comment: u64, user: &str, body: &str) -> Verb<()> {
        let mut world = self.shared.world();
        let (sender, now) = (world.person(user), world.now());
        let target = world.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        let known = target.review_comments.get_mut(&comment).ok_or_else(|| unknown(comment))?;
        let before = std::mem::replace(&mut known.body, body.to_owned());
        known.updated_at = now;
        let comment = known.clone();
        let kind = EventKind::ReviewComment { action: "edited", comment: &comment, before: Some(&before) };
        world.announce(repo, &sender, &kind);
        Ok(())
    }
}
