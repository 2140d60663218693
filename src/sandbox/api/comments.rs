//! Comments of pull requests and the reactions to them.

use super::super::body;
use super::super::record::{Comment, ReactionRecord};
use super::super::world::World;
use super::{Answer, Call, Refusal, at_most};

type Answered = Result<Answer, Refusal>;

/// GitHub's limit of a comment, in characters.
const LONGEST: usize = 65_536;

fn find<'w>(world: &'w World, call: &Call) -> Result<&'w Comment, Refusal> {
    call.repo(world)?.comments.get(&call.number("comment_id")?).ok_or(Refusal::NotFound)
}

fn body_of(call: &Call) -> Result<&str, Refusal> {
    let text = call.required("body")?;
    if text.trim().is_empty() {
        return Err(Refusal::invalid("body", "missing_field", "Body cannot be blank"));
    }
    at_most("body", text, LONGEST)?;
    Ok(text)
}

pub(in super::super) fn list(world: &mut World, call: &Call) -> Answered {
    let (repo, number) = (call.repo(world)?, call.pull_number("issue_number")?);
    if !repo.pulls.contains_key(&number) {
        return Err(Refusal::NotFound);
    }
    let comments: Vec<&Comment> = repo.comments.values().filter(|comment| comment.pull == number).collect();
    Ok(call.page(&world.base, &comments, |comment| body::comment(world, &repo.name, comment)))
}

pub(in super::super) fn create(world: &mut World, call: &Call) -> Answered {
    let (repo, number) = (call.repo_name()?, call.pull_number("issue_number")?);
    let (text, author) = (body_of(call)?, world.actor(&call.caller));
    let comment = world.add_comment(&repo, number, &author, text).ok_or(Refusal::NotFound)?;
    let value = body::comment(world, &repo, &comment);
    let location = value["url"].as_str().unwrap_or_default().to_owned();
    Ok(Answer::json(201, value).with("location", location))
}

pub(in super::super) fn show(world: &mut World, call: &Call) -> Answered {
    Ok(Answer::ok(body::comment(world, &call.repo_name()?, find(world, call)?)))
}

pub(in super::super) fn edit(world: &mut World, call: &Call) -> Answered {
    let (repo, id, sender) = (call.repo_name()?, call.number("comment_id")?, world.actor(&call.caller));
    let comment = world.edit_comment(&repo, id, &sender, body_of(call)?).ok_or(Refusal::NotFound)?;
    Ok(Answer::ok(body::comment(world, &repo, &comment)))
}

pub(in super::super) fn delete(world: &mut World, call: &Call) -> Answered {
    let (repo, id, sender) = (call.repo_name()?, call.number("comment_id")?, world.actor(&call.caller));
    world.delete_comment(&repo, id, &sender).ok_or(Refusal::NotFound)?;
    Ok(Answer::empty(204))
}

/// What can be reacted to.
#[derive(Clone, Copy)]
enum Place {
    Conversation,
    Line,
}

impl Place {
    fn reactions<'w>(self, world: &'w mut World, call: &Call) -> Result<&'w mut Vec<ReactionRecord>, Refusal> {
        let id = call.number("comment_id")?;
        let repo = world.repo_mut(&call.repo_name()?).ok_or(Refusal::NotFound)?;
        let reactions = match self {
            Self::Conversation => repo.comments.get_mut(&id).map(|comment| &mut comment.reactions),
            Self::Line => repo.review_comments.get_mut(&id).map(|comment| &mut comment.reactions),
        };
        reactions.ok_or(Refusal::NotFound)
    }

    fn list(self, world: &mut World, call: &Call) -> Answered {
        let wanted = |reaction: &ReactionRecord| call.query("content").is_none_or(|wanted| wanted == reaction.content);
        let mut all = self.reactions(world, call)?.clone();
        all.retain(wanted);
        Ok(call.page(&world.base, &all, |reaction| body::reaction(world, reaction)))
    }

    /// A reaction that is there already is answered with 200 instead of 201.
    fn add(self, world: &mut World, call: &Call) -> Answered {
        let content = call.required("content")?;
        if !body::is_reaction(content) {
            return Err(Refusal::invalid("content", "invalid", format!("{content} is not a reaction")));
        }
        let (id, at, user) = (world.id(), world.now(), world.actor(&call.caller));
        let reactions = self.reactions(world, call)?;
        let known = reactions.iter().find(|known| known.user == user && known.content == content).cloned();
        let (status, reaction) = if let Some(known) = known {
            (200, known)
        } else {
            let fresh = ReactionRecord { id, user, content: content.to_owned(), at };
            reactions.push(fresh.clone());
            (201, fresh)
        };
        Ok(Answer::json(status, body::reaction(world, &reaction)))
    }

    fn remove(self, world: &mut World, call: &Call) -> Answered {
        let id = call.number("reaction_id")?;
        let reactions = self.reactions(world, call)?;
        let before = reactions.len();
        reactions.retain(|reaction| reaction.id != id);
        if reactions.len() < before { Ok(Answer::empty(204)) } else { Err(Refusal::NotFound) }
    }
}

pub(in super::super) fn reactions(world: &mut World, call: &Call) -> Answered {
    Place::Conversation.list(world, call)
}

pub(in super::super) fn react(world: &mut World, call: &Call) -> Answered {
    Place::Conversation.add(world, call)
}

pub(in super::super) fn unreact(world: &mut World, call: &Call) -> Answered {
    Place::Conversation.remove(world, call)
}

pub(in super::super) fn line_reactions(world: &mut World, call: &Call) -> Answered {
    Place::Line.list(world, call)
}

pub(in super::super) fn react_to_line(world: &mut World, call: &Call) -> Answered {
    Place::Line.add(world, call)
}

pub(in super::super) fn unreact_to_line(world: &mut World, call: &Call) -> Answered {
    Place::Line.remove(world, call)
}
