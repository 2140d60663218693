//! What an answer of GitHub means for the engine: the one retry policy.
//!
//! Source: GitHub Docs, "Rate limits for the REST API" and "Troubleshooting the REST API".

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::model::Timestamp;
use crate::port::{PortError, PortResult};
use crate::view::redact;

/// "Otherwise, wait for at least one minute before retrying."
const UNNAMED_LIMIT_MILLIS: i64 = 60_000;
/// No wait is believed beyond this: the primary limit's window is an hour.
const LONGEST_MILLIS: i64 = 2 * 3_600_000;

/// A whole answer. It may hold a token, so it has no `Debug`.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Of a refusal: what would grant it.
    pub(super) hint: Option<String>,
}

#[derive(Deserialize, Default)]
struct Complaint {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Detail {
    Text(String),
    Field { message: Option<String>, field: Option<String>, code: Option<String> },
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The answer if it is a success; otherwise why `what` came to nothing.
    pub(super) fn ok(self, what: &str) -> PortResult<Self> {
        let why = |verb: &str| format!("GitHub {verb} {what}: {}", self.complaint());
        match self.status {
            status if status.is_success() => Ok(self),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(PortError::NotFound { what: what.to_owned() }),
            // It has another name by now, and was not followed there.
            status if status.is_redirection() => Err(PortError::NotFound { what: what.to_owned() }),
            StatusCode::FORBIDDEN | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
                let hint = self.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
                Err(PortError::Denied { reason: format!("{}{hint}", why("does not allow us")) })
            }
            // Two changes met; the next look sees the winner.
            StatusCode::CONFLICT => Err(PortError::retry(why("saw a conflict about"))),
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST => {
                Err(PortError::Denied { reason: why("would not take") })
            }
            status => Err(PortError::Bug { context: format!("GitHub answered {status} about {what}"), source: None }),
        }
    }

    /// The body of a success.
    pub(super) fn json<T: DeserializeOwned>(self, what: &str) -> PortResult<T> {
        let answer = self.ok(what)?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| PortError::bug(format!("reading GitHub's answer about {what}"), error))
    }

    /// GitHub's own words about what is wrong, short and on one line, without what looks like a secret: whatever
    /// stands between us and GitHub may quote what it was sent.
    pub(super) fn complaint(&self) -> String {
        let complaint: Complaint = serde_json::from_slice(&self.body).unwrap_or_default();
        let details = complaint.errors.into_iter().filter_map(|detail| match detail {
            Detail::Text(text) | Detail::Field { message: Some(text), .. } => Some(text),
            Detail::Field { field: Some(field), code: Some(code), .. } => Some(format!("{field} is {code}")),
            Detail::Field { .. } => None,
        });
        let words: Vec<_> = std::iter::once(complaint.message).chain(details).filter(|text| !text.is_empty()).collect();
        let line = if words.is_empty() { self.status.to_string() } else { words.join("; ") };
        let line: String = line.chars().filter(|c| !c.is_control()).collect();
        redact(&line, &[]).chars().take(300).collect()
    }

    /// How long to leave the account alone, if GitHub says that we were too fast.
    ///
    /// `retry-after` first, then `x-ratelimit-reset`, else a minute.
    pub(super) fn limited_until(&self, now: Timestamp) -> Option<Timestamp> {
        let refused = matches!(self.status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
        let used_up = self.header("x-ratelimit-remaining") == Some("0");
        let named = self.header("retry-after").is_some();
        let limited = self.status == StatusCode::TOO_MANY_REQUESTS || used_up || named || self.speaks_of_a_limit();
        if !(refused && limited) {
            return None;
        }
        let reset = self.number("x-ratelimit-reset").filter(|_| used_up).map(|seconds| Timestamp(seconds * 1000));
        let until = self.retry_after(now).or(reset).unwrap_or_else(|| now.after_millis(UNNAMED_LIMIT_MILLIS));
        // A clock that runs apart from GitHub's must not make it a busy loop, nor a wait for ever.
        Some(until.clamp(now.after_millis(1_000), now.after_millis(LONGEST_MILLIS)))
    }

    /// When the server wants to be asked again.
    pub(super) fn retry_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.number("retry-after").map(|seconds| now.after_millis(seconds.saturating_mul(1000)))
    }

    /// A passing fault of the other side.
    pub(super) fn is_server_fault(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::REQUEST_TIMEOUT
    }

    fn number(&self, header: &str) -> Option<i64> {
        self.header(header)?.trim().parse().ok().filter(|number: &i64| (0..=10_000_000_000).contains(number))
    }

    fn speaks_of_a_limit(&self) -> bool {
        let message = self.complaint().to_ascii_lowercase();
        message.contains("rate limit") || message.contains("abuse detection")
    }
}

/// The path of the next page from the `Link` header, as GitHub wrote it.
pub(super) fn next_page(headers: &HeaderMap) -> Option<&str> {
    let links = headers.get(http::header::LINK)?.to_str().ok()?;
    links.split(',').find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        parameters.split(';').any(|parameter| parameter.trim() == "rel=\"next\"").then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers = &'static [(&'static str, &'static str)];
    type Case = (u16, Headers, &'static str, Option<i64>);

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    fn answer(status: u16, headers: Headers, body: &'static str) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect();
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers,
            body: Bytes::from_static(body.as_bytes()),
            hint: None,
        }
    }

    #[test]
    fn limits_are_told_apart_from_refusals() {
        let secondary = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        let refused = r#"{"message":"Resource not accessible by integration"}"#;
        let cases: [Case; 10] = [
            (403, &[], refused, None),
            (403, &[("x-ratelimit-remaining", "57")], refused, None),
            (404, &[("retry-after", "5")], "", None),
            (403, &[("retry-after", "7")], refused, Some(7_000)),
            (
                429,
                &[("retry-after", "7"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000000100")],
                "",
                Some(7_000),
            ),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000000100")], "", Some(100_000)),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "999999000")], "", Some(1_000)),
            (403, &[("x-ratelimit-remaining", "9"), ("x-ratelimit-reset", "1000000100")], secondary, Some(60_000)),
            (429, &[], "not json", Some(60_000)),
            (429, &[("retry-after", "999999999")], "", Some(LONGEST_MILLIS)),
        ];
        for (status, headers, body, wait) in cases {
            let until = answer(status, headers, body).limited_until(NOW);
            assert_eq!(until.map(|until| until.since(NOW)), wait, "{status} {headers:?} {body}");
        }
    }

    #[test]
    fn refusals_carry_github_s_words_on_one_line() {
        let body = r#"{"message":"Validation Failed","errors":[{"resource":"X","field":"name","code":"missing"},"and\nmore"]}"#;
        let Err(PortError::Denied { reason }) = answer(422, &[], body).ok("the check run") else { panic!("taken") };
        assert_eq!(reason, "GitHub would not take the check run: Validation Failed; name is missing; andmore");
        for (status, expected) in [
            (404, "NotFound"),
            (410, "NotFound"),
            (301, "NotFound"),
            (307, "NotFound"),
            (403, "Denied"),
            (451, "Denied"),
            (409, "Retry"),
            (418, "Bug"),
        ] {
            let error = answer(status, &[], "").ok("it").err().expect("a refusal");
            assert!(format!("{error:?}").starts_with(expected), "{status}: {error:?}");
        }
    }

    fn linked(link: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::header::LINK, http::HeaderValue::from_static(link))])
    }

    #[test]
    fn the_next_page_is_the_one_that_github_names() {
        let link = r#"<https://api.github.com/x?page=1>; rel="prev", <https://api.github.com/x?page=3>; rel="next""#;
        assert_eq!(next_page(&linked(link)), Some("https://api.github.com/x?page=3"));
        for last in [r#"<https://api.github.com/x?page=1>; rel="first""#, "", "nonsense", "<>;"] {
            assert_eq!(next_page(&linked(last)), None, "{last}");
        }
    }
}
