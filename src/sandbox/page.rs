//! A pull request's conversation as a person sees it.
//!
//! Markdown is rendered; of raw HTML only `<details>`, `<summary>` and a few plain tags without
//! attributes survive, comments vanish, and links go to `http(s)` alone. Nothing is loaded from
//! anywhere else: the page's policy forbids it, and every script but the page's own, which keeps the
//! page up to date.

use std::sync::LazyLock;

use axum::extract::{Path, State};
use axum::response::Html;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, StatusCode, header};
use minijinja::{Environment, Value, context};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};
use sha2::{Digest as _, Sha256};

use super::gate::Door;
use super::record::{Pull, PullState, Repo};
use super::world::World;
use crate::model::{PullNumber, RepoName};

const TEMPLATE: &str = include_str!("../../templates/web/pull.html.j2");
const SCRIPT: &str = include_str!("../../templates/web/refresh.js");
/// The script is admitted by its hash, so that nothing in a comment could run beside it.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(SCRIPT));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )
});
const PLAIN_TAGS: [&str; 8] = ["details", "summary", "br", "sub", "sup", "b", "i", "kbd"];

type Page = ([(HeaderName, &'static str); 1], Html<String>);

pub(super) async fn show(
    State(door): State<Door>,
    Path((owner, name, number)): Path<(String, String, u64)>,
) -> Result<Page, StatusCode> {
    let name = RepoName::new(format!("{owner}/{name}")).map_err(|_| StatusCode::NOT_FOUND)?;
    let context = {
        let world = door.shared.world();
        let repo = world.repo(&name).ok_or(StatusCode::NOT_FOUND)?;
        let pull = repo.pulls.get(&PullNumber(number)).ok_or(StatusCode::NOT_FOUND)?;
        describe(&world, repo, pull)
    };
    let text = render(context).map_err(|error| {
        tracing::error!(%error, "the page of a pull request cannot be rendered");
        StatusCode::INTERNAL_SERVER_ERROR
    })?;
    Ok(([(header::CONTENT_SECURITY_POLICY, POLICY.as_str())], Html(text)))
}

fn render(context: Value) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_template("pull.html.j2", TEMPLATE)?;
    environment.get_template("pull.html.j2")?.render(context)
}

fn describe(world: &World, repo: &Repo, pull: &Pull) -> Value {
    let state = match pull.state {
        PullState::Open => "open",
        PullState::Draft => "draft",
        PullState::Closed { .. } => "closed",
        PullState::Merged { .. } => "merged",
    };
    let comments: Vec<Value> = repo
        .comments
        .values()
        .filter(|comment| comment.pull == pull.number)
        .map(|comment| {
            let reactions: Vec<&str> = comment.reactions.iter().map(|one| emoji(&one.content)).collect();
            context! {
                author => &comment.author.login,
                at => comment.created_at.to_string(),
                edits => comment.edits,
                body => Value::from_safe_string(markdown(&comment.body)),
                reactions,
            }
        })
        .collect();
    let checks: Vec<Value> = repo
        .checks
        .values()
        .filter(|check| check.sha == pull.head_sha)
        .map(|check| {
            context! {
                name => &check.name,
                state => check.conclusion.as_deref().unwrap_or(&check.status),
                title => &check.title,
                summary => check.summary.as_deref().map(|text| Value::from_safe_string(markdown(text))),
            }
        })
        .collect();
    context! {
        repo => repo.name.as_str(),
        number => pull.number.0,
        title => &pull.title,
        state,
        author => &pull.author.login,
        head => format!("{}:{}", pull.head_repo.owner(), pull.head.0),
        sha => pull.head_sha.short(),
        base => &pull.base.0,
        at => pull.created_at.to_string(),
        labels => &pull.labels,
        body => Value::from_safe_string(markdown(&pull.body)),
        comments,
        checks,
        deployments => deployments(world, repo, pull),
        script => Value::from_safe_string(SCRIPT.to_owned()),
    }
}

/// The newest deployment of each environment that this pull request's commits were deployed to.
fn deployments(world: &World, repo: &Repo, pull: &Pull) -> Vec<Value> {
    let commits = super::git::ancestry(&world.commits, &pull.head_sha);
    let mut newest = std::collections::BTreeMap::new();
    for one in repo.deployments.values().filter(|one| commits.contains(&one.sha)) {
        newest.insert(&one.environment, one);
    }
    newest
        .into_values()
        .map(|one| {
            let state = match one.state() {
                "inactive" if one.transient => "destroyed",
                state => state,
            };
            let last = one.statuses.last();
            let url = last.map(|status| status.environment_url.as_str()).filter(|url| url.starts_with("http"));
            context! { environment => &one.environment, state, sha => one.sha.short(), url }
        })
        .collect()
}

fn emoji(content: &str) -> &'static str {
    match content {
        "+1" => "👍",
        "-1" => "👎",
        "laugh" => "😄",
        "hooray" => "🎉",
        "confused" => "😕",
        "heart" => "❤️",
        "rocket" => "🚀",
        _ => "👀",
    }
}

/// Markdown as safe HTML.
fn markdown(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut in_comment = false;
    let events = Parser::new_ext(text, options).map(|event| match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Html(harmless(&raw, &mut in_comment).into()),
        Event::Start(Tag::Link { link_type, dest_url, title, id } | Tag::Image { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: web_only(dest_url), title, id })
        }
        Event::End(pulldown_cmark::TagEnd::Image) => Event::End(pulldown_cmark::TagEnd::Link),
        other => other,
    });
    let mut out = String::new();
    html::push_html(&mut out, events);
    out
}

fn web_only(url: CowStr<'_>) -> CowStr<'_> {
    if url.starts_with("http://") || url.starts_with("https://") || url.starts_with('#') { url } else { "#".into() }
}

/// Raw HTML with everything escaped but a few tags without attributes; comments are left out, also
/// those that go over several lines.
fn harmless(raw: &str, in_comment: &mut bool) -> String {
    let (mut out, mut rest) = (String::new(), raw);
    while !rest.is_empty() {
        if *in_comment {
            let Some(end) = rest.find("-->") else { return out };
            (*in_comment, rest) = (false, &rest[end + 3..]);
        } else if let Some(inside) = rest.strip_prefix("<!--") {
            (*in_comment, rest) = (true, inside);
        } else if let Some(length) = plain_tag(rest) {
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        } else if let Some(c) = rest.chars().next() {
            match c {
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '&' => out.push_str("&amp;"),
                '"' => out.push_str("&quot;"),
                c => out.push(c),
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The length of the plain tag that the text begins with.
fn plain_tag(text: &str) -> Option<usize> {
    let end = text.strip_prefix('<')?.find('>')? + 1;
    let name = text[1..end].trim_start_matches('/').trim_end_matches('/').trim();
    let name = name.strip_suffix(" open").unwrap_or(name);
    PLAIN_TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name)).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_is_rendered_and_harmless() {
        let html = markdown(
            "<!-- greenroom:pr-1 secret\nmarker -->\n**bold** <b>b</b> <script>alert(1)</script> [x](javascript:alert(1))\n\
             \n<details><summary>More</summary>\n\n| a |\n|---|\n| 1 |\n\n</details>\n\n<img src=x onerror=alert(1)>\n\n\
             ![pixel](http://elsewhere.example/p.png)",
        );
        for there in ["<strong>bold</strong>", "<b>b</b>", "<details><summary>More</summary>", "<td>1</td>"] {
            assert!(html.contains(there), "{there} is missing in {html}");
        }
        for gone in ["<script", "javascript:", "marker", "<img", "onerror=alert(1)>"] {
            assert!(!html.contains(gone), "{gone} is in {html}");
        }
    }

    #[test]
    fn the_page_carries_the_one_script_that_its_policy_admits() {
        let html = render(context! { script => Value::from_safe_string(SCRIPT.to_owned()) }).expect("a page");
        assert_eq!(html.matches("<script>").count(), 1);
        let script =
            html.split_once("<script>").and_then(|(_, rest)| rest.split_once("</script>")).expect("a script").0;
        let hash = STANDARD.encode(Sha256::digest(script));
        assert!(POLICY.contains(&format!("script-src 'sha256-{hash}';")), "{}", *POLICY);
    }
}
