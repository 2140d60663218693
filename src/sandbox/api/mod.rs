//! Requests and answers, without HTTP around them.

pub(super) mod actions;
pub(super) mod app;
pub(super) mod checks;
pub(super) mod comments;
pub(super) mod deployments;
pub(super) mod people;
pub(super) mod reviews;
pub(super) mod source;
pub(super) mod trees;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::git::Commit;
use super::meter::Overrun;
use super::record::Repo;
use super::routes::Params;
use super::world::{Token, World};
use crate::model::{PullNumber, RepoName};

pub(super) type Handler = fn(&mut World, &Call) -> Result<Answer, Refusal>;

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    Nobody,
    App,
    Installation(Token),
}

/// A request that found its endpoint.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) path: String,
    pub(super) params: Params,
    pub(super) query: Vec<(String, String)>,
    /// `null` where there was none.
    pub(super) body: Value,
    pub(super) accept: String,
}

#[derive(Debug)]
pub(super) enum Body {
    Empty,
    Json(Value),
    Bytes {
        kind: &'static str,
        bytes: Bytes,
    },
    /// The archive of a commit, packed where nobody waits for the world meanwhile.
    Archive {
        repo: RepoName,
        commit: Arc<Commit>,
    },
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(Cow<'static, str>, String)>,
    pub(super) body: Body,
}

/// An answer that says no.
#[derive(Debug)]
pub(super) enum Refusal {
    Unauthorized(&'static str),
    /// The permissions that would have done.
    Forbidden {
        accepted: String,
    },
    NotFound,
    Conflict(String),
    Invalid {
        field: &'static str,
        code: &'static str,
        message: String,
    },
    /// The plain form that some endpoints have.
    Unprocessable(&'static str),
    Overrun(Overrun),
}

impl Answer {
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Body::Json(body) }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::json(200, body)
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Empty }
    }

    #[must_use]
    pub(super) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header.into(), value.into()));
        self
    }
}

impl Refusal {
    pub(super) fn invalid(field: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, code, message: message.into() }
    }

    pub(super) fn answer(self) -> Answer {
        let error = |status: u16, message: &str| {
            Answer::json(status, json!({ "message": message, "documentation_url": DOCS, "status": status.to_string() }))
        };
        match self {
            Self::Unauthorized(message) => error(401, message),
            Self::Forbidden { accepted } => {
                error(403, "Resource not accessible by integration").with("x-accepted-github-permissions", accepted)
            }
            Self::NotFound => error(404, "Not Found"),
            Self::Conflict(message) => error(409, &message),
            Self::Invalid { field, code, message } => {
                let problem = json!({ "resource": "Sandbox", "field": field, "code": code, "message": message });
                Answer::json(
                    422,
                    json!({
                        "message": format!("Validation Failed: {message}"),
                        "documentation_url": DOCS,
                        "errors": [problem],
                        "status": "422",
                    }),
                )
            }
            Self::Unprocessable(message) => Answer::json(
                422,
                json!({ "message": "Validation Failed", "documentation_url": DOCS, "errors": [message] }),
            ),
            Self::Overrun(Overrun::Primary) => error(403, "API rate limit exceeded for installation."),
            Self::Overrun(Overrun::Secondary { retry_after_seconds }) => {
                error(403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
                    .with("retry-after", retry_after_seconds.to_string())
            }
        }
    }
}

const DOCS: &str = "https://docs.github.com/rest";

impl Call {
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    pub(super) fn number(&self, name: &str) -> Result<u64, Refusal> {
        self.param(name).parse().map_err(|_| Refusal::NotFound)
    }

    pub(super) fn pull_number(&self, name: &str) -> Result<PullNumber, Refusal> {
        self.number(name).map(PullNumber)
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The repository that the path names.
    pub(super) fn repo_name(&self) -> Result<RepoName, Refusal> {
        RepoName::new(format!("{}/{}", self.param("owner"), self.param("repo"))).map_err(|_| Refusal::NotFound)
    }

    pub(super) fn repo<'w>(&self, world: &'w World) -> Result<&'w Repo, Refusal> {
        world.repo(&self.repo_name()?).ok_or(Refusal::NotFound)
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    /// A text that must be there.
    pub(super) fn required(&self, field: &'static str) -> Result<&str, Refusal> {
        self.text(field)
            .ok_or_else(|| Refusal::invalid(field, "missing_field", format!("\"{field}\" wasn't supplied.")))
    }

    /// Which items of a list the asked page holds. GitHub: 30 a page, 100 at most.
    pub(super) fn range(&self, total: usize) -> Range<usize> {
        let number = |name: &str, otherwise| self.query(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
        let per_page = number("per_page", 30_usize).clamp(1, 100);
        let start = number("page", 1_usize).max(1).saturating_sub(1).saturating_mul(per_page).min(total);
        start..start.saturating_add(per_page).min(total)
    }

    /// The `Link` header of the page that `range` is of.
    pub(super) fn links(&self, base: &str, range: &Range<usize>, total: usize) -> Option<String> {
        let per_page = self.query("per_page").and_then(|text| text.parse().ok()).unwrap_or(30_usize).clamp(1, 100);
        let (page, last) = (range.start / per_page + 1, total.div_ceil(per_page).max(1));
        let mut links = Vec::new();
        if page > 1 {
            links.extend([("prev", page - 1), ("first", 1)]);
        }
        if range.end < total {
            links.extend([("next", page + 1), ("last", last)]);
        }
        let linked = links.into_iter().map(|(relation, page)| {
            let others = self.query.iter().filter(|(name, _)| name != "page");
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(others).append_pair("page", &page.to_string());
            format!("<{base}{}?{}>; rel=\"{relation}\"", self.path, query.finish())
        });
        let text = linked.collect::<Vec<_>>().join(", ");
        (!text.is_empty()).then_some(text)
    }

    /// One page of a list, each item written by `write`.
    pub(super) fn page<T>(&self, base: &str, items: &[T], write: impl Fn(&T) -> Value) -> Answer {
        let range = self.range(items.len());
        let body = items[range.clone()].iter().map(write).collect::<Vec<_>>();
        linked(Answer::ok(body.into()), self.links(base, &range, items.len()))
    }

    /// One page of a list inside an object that also tells the total.
    pub(super) fn counted_page<T>(&self, base: &str, field: &str, items: &[T], write: impl Fn(&T) -> Value) -> Answer {
        let range = self.range(items.len());
        let body = items[range.clone()].iter().map(write).collect::<Vec<_>>();
        let body = json!({ "total_count": items.len(), field: body });
        linked(Answer::ok(body), self.links(base, &range, items.len()))
    }
}

/// Adds the `Link` header, if there is one.
pub(super) fn linked(answer: Answer, links: Option<String>) -> Answer {
    match links {
        Some(links) => answer.with("link", links),
        None => answer,
    }
}

/// A text that must not be longer than this.
pub(super) fn at_most(field: &'static str, text: &str, characters: usize) -> Result<(), Refusal> {
    if text.chars().count() <= characters {
        return Ok(());
    }
    let message = format!("{field} is too long (maximum is {characters} characters)");
    Err(Refusal::invalid(field, "custom", message))
}
