//! Turning a client's request into ours to the program.
//!
//! Source: RFC 9110, sections 7.6, 10.1.1 and 6.5; RFC 9112, section 9.6 for `close`: we keep no connection
//! to a program beyond one request.

use std::net::IpAddr;

use super::fields::Fields;
use super::forwarded;
use super::framing::{self, Framing, Unframed};
use super::head::{RequestHead, Version};
use super::hops;
use super::target::{Lost, Target};

/// The name that this proxy has in `Via`.
const NAME: &str = "greenroom";

/// What becomes of the client's connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Keep,
    Close,
}

/// A request that can be passed on.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) method: String,
    pub(super) version: Version,
    /// The name that leads to a program.
    pub(super) host: String,
    /// What the program is sent before the body.
    pub(super) head: Vec<u8>,
    pub(super) framing: Framing,
    /// What it may change the protocol to.
    pub(super) upgrades: Vec<String>,
    /// What the client wants.
    pub(super) ending: Ending,
}

/// Why a request is answered here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    Lost(#[from] Lost),
    #[error("The request cannot be read: {0}.")]
    Unframed(#[from] Unframed),
    #[error("This is no forward proxy: ask for a page of a stage instead.")]
    Tunnel,
    /// It has been forwarded as often as it may.
    #[error("`Max-Forwards` ends the request here.")]
    LastHop,
}

impl Refusal {
    /// The status that says so.
    pub(super) fn status(&self, method: &str) -> http::StatusCode {
        match self {
            Self::LastHop if method == "OPTIONS" => http::StatusCode::OK,
            Self::Unframed(Unframed::Coding(_)) | Self::Tunnel | Self::LastHop => http::StatusCode::NOT_IMPLEMENTED,
            Self::Lost(_) | Self::Unframed(_) => http::StatusCode::BAD_REQUEST,
        }
    }
}

impl Question {
    pub(super) fn of(head: &RequestHead, client: IpAddr) -> Result<Self, Refusal> {
        if head.method == "CONNECT" {
            return Err(Refusal::Tunnel);
        }
        let target = Target::of(head)?;
        let framing = framing::of_request(head)?;
        let forwards = forwards(head)?;
        let is_new = head.version == Version::Http11;
        let upgrades = if is_new { hops::upgrades(&head.fields) } else { Vec::new() };
        let wants_close = head.fields.words("connection").iter().any(|word| word == "close");
        let fields = fields(head, &target, framing, forwards, &upgrades, client);
        let mut bytes = format!("{} {} HTTP/1.1\r\n", head.method, target.path).into_bytes();
        fields.write(&mut bytes);
        bytes.extend_from_slice(b"\r\n");
        Ok(Self {
            method: head.method.clone(),
            version: head.version,
            host: target.host(),
            head: bytes,
            framing,
            upgrades,
            ending: if is_new && !wants_close { Ending::Keep } else { Ending::Close },
        })
    }
}

/// How often the request may be forwarded after us, where it says so.
///
/// Source: RFC 9110, section 7.6.2.
fn forwards(head: &RequestHead) -> Result<Option<u64>, Refusal> {
    if !["TRACE", "OPTIONS"].contains(&head.method.as_str()) {
        return Ok(None);
    }
    let text = head.fields.values("max-forwards").next().and_then(|value| std::str::from_utf8(value).ok());
    let left = text.and_then(|text| text.parse::<u64>().ok());
    left.map(|left| left.checked_sub(1).ok_or(Refusal::LastHop)).transpose()
}

fn fields(
    head: &RequestHead,
    target: &Target,
    framing: Framing,
    forwards: Option<u64>,
    upgrades: &[String],
    client: IpAddr,
) -> Fields {
    let mut theirs = head.fields.clone();
    hops::remove(&mut theirs);
    let is_new = head.version == Version::Http11;
    theirs.retain(|field| {
        let is_ours = ["host", "content-length"].iter().any(|name| field.is(name));
        let is_replaced = forwards.is_some() && field.is("max-forwards");
        let is_idle = framing != Framing::Chunked && field.is("trailer");
        // Nobody waits for an answer that a client of HTTP/1.0 does not understand.
        let is_beyond = !is_new && field.is("expect");
        !(is_ours || is_replaced || is_idle || is_beyond || forwarded::is_claim(&field.name))
    });
    let mut fields = Fields::default();
    fields.push("Host", target.authority.as_str());
    for field in theirs.iter() {
        fields.push(&field.name, field.value.clone());
    }
    if let Some(forwards) = forwards {
        fields.push("Max-Forwards", forwards.to_string());
    }
    fields.push("Via", format!("{} {NAME}", if is_new { "1.1" } else { "1.0" }));
    forwarded::tell(&mut fields, &target.authority, client);
    match framing {
        Framing::Length(length) => fields.push("Content-Length", length.to_string()),
        Framing::Chunked => fields.push("Transfer-Encoding", "chunked"),
        Framing::Nothing | Framing::UntilClose => {}
    }
    let mut connection = vec![if upgrades.is_empty() { "close" } else { "upgrade" }];
    if !upgrades.is_empty() {
        fields.push("Upgrade", upgrades.join(", "));
    }
    // What comes behind the last chunk is passed on, so whoever can read it may say so.
    if is_new && head.fields.words("te").iter().any(|word| word == "trailers") {
        fields.push("TE", "trailers");
        connection.push("TE");
    }
    fields.push("Connection", connection.join(", "));
    fields
}

/// What may stand behind the last chunk of a request: nothing that would have been taken out of its head.
///
/// Source: RFC 9110, section 6.5.1.
pub(super) fn trailers(mut trailers: Fields) -> Fields {
    hops::remove(&mut trailers);
    trailers.retain(|field| {
        let frames = ["host", "content-length", "trailer", "expect", "via", "max-forwards"];
        !frames.iter().any(|name| field.is(name)) && !forwarded::is_claim(&field.name)
    });
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::proxy::head;

    fn ask(text: &str) -> Result<Question, Refusal> {
        let (head, _) = head::request(text.as_bytes()).unwrap().expect("a whole head");
        Question::of(&head, "192.0.2.7".parse().expect("an address"))
    }

    /// What the program is sent, without what it is told of the client.
    fn sent(text: &str) -> Vec<String> {
        let question = ask(text).expect("it can be passed on");
        let head = String::from_utf8(question.head).expect("text");
        let told =
            |line: &&str| !line.is_empty() && !line.starts_with("X-Forwarded-") && !line.starts_with("X-Real-IP");
        head.split("\r\n").filter(told).map(str::to_owned).collect()
    }

    #[test]
    fn a_request_keeps_its_lines_and_gets_ours() {
        assert_eq!(
            sent(
                "GET /a HTTP/1.0\r\nAccept: */*\r\nhost: one\r\nX-A: 2\r\nx-a: 1\r\nVia: 1.0 fred\r\nexpect: 100-continue\r\nX-Forwarded-For: 203.0.113.9\r\ntrailer: x\r\n\r\n"
            ),
            [
                "GET /a HTTP/1.1",
                "Host: one",
                "Accept: */*",
                "X-A: 2",
                "x-a: 1",
                "Via: 1.0 fred",
                "Via: 1.0 greenroom",
                "Connection: close"
            ]
        );
        assert_eq!(
            sent("POST http://one HTTP/1.1\r\nHost: two\r\nContent-Length: 3, 3\r\nExpect: 100-continue\r\n\r\n"),
            [
                "POST / HTTP/1.1",
                "Host: one",
                "Expect: 100-continue",
                "Via: 1.1 greenroom",
                "Content-Length: 3",
                "Connection: close"
            ]
        );
        assert_eq!(
            sent(
                "POST / HTTP/1.1\r\nHost: one\r\nTransfer-Encoding: chunked\r\nTE: trailers, deflate\r\nConnection: te, upgrade\r\nUpgrade: h2c, websocket\r\nTrailer: x\r\n\r\n"
            ),
            [
                "POST / HTTP/1.1",
                "Host: one",
                "Trailer: x",
                "Via: 1.1 greenroom",
                "Transfer-Encoding: chunked",
                "Upgrade: websocket",
                "TE: trailers",
                "Connection: upgrade, TE"
            ]
        );
    }

    #[test]
    fn what_connection_names_can_take_away_nothing_that_is_ours() {
        let sent = sent(
            "GET / HTTP/1.1\r\nHost: one\r\nContent-Length: 1\r\nConnection: host, content-length, via, x-real-ip\r\n\r\n",
        );
        assert_eq!(
            sent,
            ["GET / HTTP/1.1", "Host: one", "Via: 1.1 greenroom", "Content-Length: 1", "Connection: close"]
        );
    }

    #[test]
    fn a_request_that_is_forwarded_often_enough_ends_here() {
        let options = |left: &str| format!("OPTIONS / HTTP/1.1\r\nHost: one\r\nMax-Forwards: {left}\r\n\r\n");
        assert_eq!(ask(&options("0")).map(|question| question.host), Err(Refusal::LastHop));
        assert_eq!(Refusal::LastHop.status("OPTIONS"), http::StatusCode::OK);
        assert!(sent(&options("7")).contains(&"Max-Forwards: 6".to_owned()));
        assert!(sent(&options("soon")).contains(&"Max-Forwards: soon".to_owned()));
        assert!(sent("GET / HTTP/1.1\r\nHost: one\r\nMax-Forwards: 0\r\n\r\n").contains(&"Max-Forwards: 0".to_owned()));
    }

    #[test]
    fn a_client_says_whether_it_stays() {
        for (text, ending) in [
            ("GET / HTTP/1.1\r\nHost: one\r\n\r\n", Ending::Keep),
            ("GET / HTTP/1.1\r\nHost: one\r\nConnection: x, Close\r\n\r\n", Ending::Close),
            ("GET / HTTP/1.0\r\nHost: one\r\nConnection: keep-alive\r\n\r\n", Ending::Close),
        ] {
            assert_eq!(ask(text).map(|question| question.ending), Ok(ending), "{text:?}");
        }
    }

    #[test]
    fn what_a_head_may_not_say_may_not_be_said_behind_the_body_either() {
        let mut fields = Fields::default();
        for name in ["X-Sum", "X-Forwarded-For", "Content-Length", "Host", "Transfer-Encoding", "Connection"] {
            fields.push(name, "1");
        }
        let left: Vec<String> = trailers(fields).iter().map(|field| field.name.clone()).collect();
        assert_eq!(left, ["X-Sum"]);
    }
}
