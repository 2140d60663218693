//! The proxy's own pages: why a request has no answer of a program.

use http::StatusCode;

use super::BUSY_HEADER;
use super::fields::Fields;
use super::link::NoWay;
use super::question::Ending;

/// A page in plain text.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    text: String,
    is_busy: bool,
}

impl Page {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), is_busy: false }
    }

    /// Of a host that leads to no program.
    pub(super) fn no_way(why: NoWay, host: &str) -> Self {
        match why {
            NoWay::Unknown => Self::new(
                StatusCode::NOT_FOUND,
                format!(
                    "No stage answers at {host}.\n\nIt may be removed, or not live yet: the comment on its pull request says which."
                ),
            ),
            NoWay::Down => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "The program behind {host} does not run at the moment; it is being started again.\n\nTry again in a few seconds. Its log says why: comment /logs on its pull request."
                ),
            ),
            NoWay::Busy => Self {
                is_busy: true,
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "This server has more to do than it can; the program is not at fault.\n\nTry again in a few seconds.",
                )
            },
        }
    }

    /// Of an answer that cannot be passed on, and why.
    pub(super) fn bad_gateway(host: &str, why: &str) -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            format!("The program behind {host} {why}.\n\nIts log may say more: comment /logs on its pull request."),
        )
    }

    /// As it is sent to somebody who asked with this method.
    pub(super) fn written(&self, method: &str, ending: Ending, date: &str) -> Vec<u8> {
        let body = format!("{}\n", self.text);
        let mut fields = Fields::default();
        fields.push("Content-Type", "text/plain; charset=utf-8");
        fields.push("Content-Length", body.len().to_string());
        fields.push("Date", date);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            fields.push("Retry-After", "3");
        }
        if self.is_busy {
            fields.push(BUSY_HEADER, "1");
        }
        if ending == Ending::Close {
            fields.push("Connection", "close");
        }
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut out = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_str()).into_bytes();
        fields.write(&mut out);
        out.extend_from_slice(b"\r\n");
        if method != "HEAD" {
            out.extend_from_slice(body.as_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_why_and_whether_it_is_worth_to_try_again() {
        let page = Page::no_way(NoWay::Busy, "pr-1.localhost");
        let text = String::from_utf8(page.written("GET", Ending::Close, "today")).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let length = format!("Content-Length: {}", body.len());
        for line in [
            "HTTP/1.1 503 Service Unavailable",
            "Retry-After: 3",
            "x-greenroom-busy: 1",
            "Connection: close",
            length.as_str(),
        ] {
            assert!(head.split("\r\n").any(|known| known == line), "{line} in {head}");
        }
        let page = Page::bad_gateway("pr-1.localhost", "closed the connection before it answered");
        let text = String::from_utf8(page.written("HEAD", Ending::Keep, "today")).expect("text");
        assert!(text.starts_with("HTTP/1.1 502 Bad Gateway\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }
}
