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
    let (text, bot) = (body_of(call)?, world.app.bot.clone());
    let comment = world.add_comment(&repo, number, &bot, text).ok_or(Refusal::NotFound)?;
    let value = body::comment(world, &repo, &comment);
    let location = value["url"].as_str().unwrap_or_default().to_owned();
    Ok(Answer::json(201, value).with("location", location))
}

pub(in super::super) fn show(world: &mut World, call: &Call) -> Answered {
    Ok(Answer::ok(body::comment(world, &call.repo_name()?, find(world, call)?)))
}

pub(in super::super) fn edit(world: &mut World, call: &Call) -> Answered {
    let (repo, id, bot) = (call.repo_name()?, call.number("comment_id")?, world.app.bot.clone());
    let comment = world.edit_comment(&repo, id, &bot, body_of(call)?).ok_or(Refusal::NotFound)?;
    Ok(Answer::ok(body::comment(world, &repo, &comment)))
}

pub(in super::super) fn delete(world: &mut World, call: &Call) -> Answered {
    let (repo, id, bot) = (call.repo_name()?, call.number("comment_id")?, world.app.bot.clone());
    world.delete_comment(&repo, id, &bot).ok_or(Refusal::NotFound)?;
    Ok(Answer::empty(204))
}

pub(in super::super) fn reactions(world: &mut World, call: &Call) -> Answered {
    let wanted = |reaction: &&ReactionRecord| call.query("content").is_none_or(|wanted| wanted == reaction.content);
    let all: Vec<&ReactionRecord> = find(world, call)?.reactions.iter().filter(wanted).collect();
    Ok(call.page(&world.base, &all, |reaction| body::reaction(world, reaction)))
}

/// A reaction that is there already is answered with 200 instead of 201.
pub(in super::super) fn react(world: &mut World, call: &Call) -> Answered {
    let content = call.required("content")?;
    if !body::is_reaction(content) {
        return Err(Refusal::invalid("content", "invalid", format!("{content} is not a reaction")));
    }
    let comment = find(world, call)?.id;
    let (id, at, user) = (world.id(), world.now(), world.app.bot.clone());
    let repo = world.repo_mut(&call.repo_name()?).ok_or(Refusal::NotFound)?;
    let reactions = &mut repo.comments.get_mut(&comment).ok_or(Refusal::NotFound)?.reactions;
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

pub(in super::super) fn unreact(world: &mut World, call: &Call) -> Answered {
    let (comment, id) = (find(world, call)?.id, call.number("reaction_id")?);
    let repo = world.repo_mut(&call.repo_name()?).ok_or(Refusal::NotFound)?;
    let reactions = &mut repo.comments.get_mut(&comment).ok_or(Refusal::NotFound)?.reactions;
    let before = reactions.len();
    reactions.retain(|reaction| reaction.id != id);
    if reactions.len() < before { Ok(Answer::empty(204)) } else { Err(Refusal::NotFound) }
}
