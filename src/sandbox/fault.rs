//! What can be made to go wrong.

use http::Method;

/// Which requests a fault hits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matcher {
    method: Option<Method>,
    path: Option<String>,
}

impl Matcher {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests of one method.
    pub fn method(method: Method) -> Self {
        Self { method: Some(method), path: None }
    }

    /// Requests whose path, or whose template in GitHub's description, contains this text:
    /// `/repos/acme/shop`, or `/check-runs`.
    #[must_use]
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.path = Some(part.into());
        self
    }

    fn hits(&self, method: &Method, path: &str, template: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.path.as_ref().is_none_or(|part| path.contains(part.as_str()) || template.contains(part.as_str()))
    }
}

/// What happens instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status, with these headers; the request changes nothing.
    Status { status: u16, message: String, headers: Vec<(String, String)> },
    /// This status, although the request was carried out: an answer lost on the way.
    LostAnswer { status: u16 },
    /// No answer at all; the request changes nothing.
    Silence,
}

impl Fault {
    /// A server error without more.
    pub fn status(status: u16) -> Self {
        let message = match status {
            403 => "Resource not accessible by integration",
            404 => "Not Found",
            _ => "Server Error",
        };
        Self::Status { status, message: message.into(), headers: Vec::new() }
    }

    /// A secondary rate limit. GitHub: "Exceeding the rate limit": 403 or 429 with `retry-after`.
    pub fn secondary_limit(status: u16, retry_after_seconds: u32) -> Self {
        Self::Status {
            status,
            message: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.".into(),
            headers: vec![("retry-after".into(), retry_after_seconds.to_string())],
        }
    }
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Next(u32),
    Always,
}

#[derive(Debug)]
struct Armed {
    matcher: Matcher,
    fault: Fault,
    /// `None` has no end.
    left: Option<u32>,
}

/// The faults that wait for their request; the one armed first strikes first.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Armed>);

impl Faults {
    pub(super) fn arm(&mut self, matcher: Matcher, fault: Fault, times: Times) {
        let left = match times {
            Times::Next(count) => Some(count),
            Times::Always => None,
        };
        self.0.push(Armed { matcher, fault, left });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn strike(&mut self, method: &Method, path: &str, template: &str) -> Option<Fault> {
        self.0.retain(|armed| armed.left.is_none_or(|left| left > 0));
        let armed = self.0.iter_mut().find(|armed| armed.matcher.hits(method, path, template))?;
        if let Some(left) = &mut armed.left {
            *left -= 1;
        }
        Some(armed.fault.clone())
    }
}
