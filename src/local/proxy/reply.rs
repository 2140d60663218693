//! Turning a program's answer into ours to the client.
//!
//! Source: RFC 9110, sections 6.6.1, 7.6, 7.8 and 15; RFC 9112, sections 6 and 9.6.

use super::body::Coding;
use super::fields::Fields;
use super::framing::{self, Framing, Unframed};
use super::head::{AnswerHead, Version};
use super::hops;
use super::question::{Ending, Question};

/// Beginning of the names of what only this proxy says.
const OURS: &str = "x-greenroom-";

/// How an answer is passed on.
#[derive(Debug)]
pub(super) struct Reply {
    /// What the client is sent before the body.
    pub(super) head: Vec<u8>,
    /// How the program ends the body.
    pub(super) framing: Framing,
    /// How the client gets it.
    pub(super) coding: Coding,
}

/// What an answer is made with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making<'a> {
    pub(super) question: &'a Question,
    /// What becomes of the client's connection.
    pub(super) ending: Ending,
    /// The version of the program, under the header that names it.
    pub(super) version: (&'a str, &'a str),
    /// Now, as HTTP writes it.
    pub(super) date: &'a str,
}

impl Reply {
    /// Of a final answer.
    pub(super) fn of(answer: &AnswerHead, making: Making<'_>) -> Result<Self, Unframed> {
        let question = making.question;
        let framing = framing::of_answer(answer, &question.method)?;
        let coding = match framing {
            Framing::Chunked | Framing::UntilClose if question.version == Version::Http11 => Coding::Chunked,
            _ => Coding::Plain,
        };
        let offered = hops::upgrades(&answer.fields);
        let mut fields = passed_on(&answer.fields);
        // A length without a body is for those who only ask for the head. Beside a coding it says nothing.
        let has_coding = answer.fields.words("transfer-encoding").iter().any(|coding| coding != "identity");
        let is_said = framing == Framing::Nothing && answer.status != 204 && !has_coding;
        let length = answer.fields.words("content-length").into_iter().next().filter(|_| is_said);
        if coding == Coding::Plain {
            fields.retain(|field| !field.is("trailer"));
        }
        if let Some(length) = length {
            fields.push("Content-Length", length);
        }
        match (framing, coding) {
            (Framing::Length(length), _) => fields.push("Content-Length", length.to_string()),
            (_, Coding::Chunked) => fields.push("Transfer-Encoding", "chunked"),
            (_, Coding::Plain) => {}
        }
        if !fields.has("date") {
            fields.push("Date", making.date);
        }
        fields.push(making.version.0, making.version.1);
        let mut connection = Vec::new();
        if making.ending == Ending::Close {
            connection.push("close");
        }
        // The client is told what to change to, and asks once more.
        if answer.status == 426 && !offered.is_empty() {
            fields.push("Upgrade", offered.join(", "));
            connection.push("upgrade");
        }
        if !connection.is_empty() {
            fields.push("Connection", connection.join(", "));
        }
        Ok(Self { head: written(answer, &fields), framing, coding })
    }
}

/// What the client is sent of an answer that is not the last one; of a change of protocol too.
pub(super) fn informational(answer: &AnswerHead) -> Vec<u8> {
    let mut fields = passed_on(&answer.fields);
    if answer.status == 101 {
        for protocol in answer.fields.values("upgrade") {
            fields.push("Upgrade", protocol);
        }
        fields.push("Connection", "upgrade");
    }
    written(answer, &fields)
}

/// Without what ends here, and without what frames the body.
fn passed_on(fields: &Fields) -> Fields {
    let mut fields = fields.clone();
    hops::remove(&mut fields);
    fields.retain(|field| {
        let is_ours = field.name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
        !is_ours && !field.is("content-length")
    });
    fields
}

/// What may stand behind the last chunk of an answer.
///
/// Source: RFC 9110, section 6.5.1.
pub(super) fn trailers(trailers: &Fields) -> Fields {
    let mut trailers = passed_on(trailers);
    trailers.retain(|field| !field.is("trailer"));
    trailers
}

/// The version is ours, the status and its words are the program's.
fn written(answer: &AnswerHead, fields: &Fields) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {:03} ", answer.status).into_bytes();
    out.extend_from_slice(&answer.reason);
    out.extend_from_slice(b"\r\n");
    fields.write(&mut out);
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::proxy::head;

    fn question(text: &str) -> Question {
        let (head, _) = head::request(text.as_bytes()).unwrap().expect("a whole head");
        Question::of(&head, "192.0.2.7".parse().expect("an address")).expect("it can be passed on")
    }

    fn answer(text: &str) -> AnswerHead {
        head::answer(text.as_bytes()).unwrap().expect("a whole head").0
    }

    fn told(request: &str, text: &str, ending: Ending) -> (String, Framing, Coding) {
        let question = question(request);
        let making = Making { question: &question, ending, version: ("X-Greenroom-Version", "v1"), date: "today" };
        let reply = Reply::of(&answer(text), making).expect("it can be passed on");
        (String::from_utf8_lossy(&reply.head).replace("\r\n", "|"), reply.framing, reply.coding)
    }

    const NEW: &str = "GET / HTTP/1.1\r\nHost: one\r\n\r\n";
    const OLD: &str = "GET / HTTP/1.0\r\nHost: one\r\n\r\n";
    const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: one\r\n\r\n";

    #[test]
    fn an_answer_keeps_its_lines_and_gets_ours() {
        let text = "HTTP/1.0 299 Very fine\r\nServer: x\r\nX-Greenroom-Version: evil\r\nset-cookie: a\r\nSet-Cookie: b\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nContent-Length: 3, 3\r\n\r\n";
        let told = told(NEW, text, Ending::Keep);
        let head = "HTTP/1.1 299 Very fine|Server: x|set-cookie: a|Set-Cookie: b|Content-Length: 3|Date: today|X-Greenroom-Version: v1||";
        assert_eq!(told, (head.into(), Framing::Length(3), Coding::Plain));
    }

    #[test]
    fn everybody_gets_a_body_that_ends() {
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\nTrailer: x\r\nDate: then\r\n\r\n";
        let (head, framing, coding) = told(NEW, chunked, Ending::Close);
        assert_eq!(
            head,
            "HTTP/1.1 200 OK|Trailer: x|Date: then|Transfer-Encoding: chunked|X-Greenroom-Version: v1|Connection: close||"
        );
        assert_eq!((framing, coding), (Framing::Chunked, Coding::Chunked));
        let (head, framing, coding) = told(OLD, chunked, Ending::Close);
        assert_eq!(head, "HTTP/1.1 200 OK|Date: then|X-Greenroom-Version: v1|Connection: close||");
        assert_eq!((framing, coding), (Framing::Chunked, Coding::Plain));
        let (head, framing, coding) = told(NEW, "HTTP/1.0 200 OK\r\n\r\n", Ending::Keep);
        assert_eq!(head, "HTTP/1.1 200 OK|Transfer-Encoding: chunked|Date: today|X-Greenroom-Version: v1||");
        assert_eq!((framing, coding), (Framing::UntilClose, Coding::Chunked));
    }

    #[test]
    fn a_length_is_said_where_there_is_no_body_to_it() {
        for (request, rest, is_said) in [
            (HEAD, "200", true),
            (HEAD, "200\r\nTransfer-Encoding: identity", true),
            (HEAD, "200\r\nTransfer-Encoding: chunked", false),
            (NEW, "304", true),
            (NEW, "304\r\nTransfer-Encoding: chunked", false),
            (NEW, "204", false),
        ] {
            let text = format!("HTTP/1.1 {rest}\r\nContent-Length: 5\r\n\r\n");
            let (head, framing, coding) = told(request, &text, Ending::Keep);
            assert_eq!(head.contains("|Content-Length: 5|"), is_said, "{rest}");
            assert!(!head.contains("Transfer-Encoding"), "{rest}");
            assert_eq!((framing, coding), (Framing::Nothing, Coding::Plain), "{rest}");
        }
    }

    #[test]
    fn who_has_to_upgrade_is_told_to_what() {
        let text =
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo/2, h2c\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n";
        assert!(told(NEW, text, Ending::Keep).0.ends_with("|Upgrade: foo/2|Connection: upgrade||"));
        let text = text.replace("426", "200");
        assert!(!told(NEW, &text, Ending::Keep).0.contains("grade:"), "an offer is for one connection");
        let text = text.replace("200", "101").replace(", h2c", "");
        let head = String::from_utf8(informational(&answer(&text))).expect("text");
        assert_eq!(head, "HTTP/1.1 101 Upgrade Required\r\nUpgrade: foo/2\r\nConnection: upgrade\r\n\r\n");
    }

    #[test]
    fn hints_are_passed_on_as_they_are() {
        let text = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(informational(&answer(text)), b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    }
}
