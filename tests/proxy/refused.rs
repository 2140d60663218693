//! Requests that the program never hears of. The connection ends with one where nobody can say where the
//! next one begins.

use crate::cases::{Case, GET, Right, send};
use crate::script::Do;

pub(crate) fn cases() -> Vec<Case> {
    [lost(), unframed(), unreadable()].into_iter().flatten().collect()
}

/// A request that is answered by the proxy itself.
fn refused(name: &'static str, client: &str, status: u16, reason: &'static str) -> Case {
    Case::new(name, client, vec![Do::Echo, Do::Finish], Right::Page(status, reason))
        .client(vec![send(client), Do::Finish])
        .heard_out()
}

fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {{case}}\r\n{lines}\r\n{body}")
}

/// RFC 9110, sections 7.2 and 7.6.2; RFC 9112, section 3.2.
fn lost() -> Vec<Case> {
    let other = "GET / HTTP/1.1\r\nHost: pr-2.localhost\r\nX-Case: {case}\r\n\r\n";
    vec![
        refused("no host", "GET / HTTP/1.1\r\nX-Case: {case}\r\n\r\n", 400, "names no host"),
        refused(
            "two hosts",
            "GET / HTTP/1.1\r\nHost: pr-1.localhost\r\nHost: pr-2.localhost\r\nX-Case: {case}\r\n\r\n",
            400,
            "more than one host",
        ),
        refused(
            "a host with a path",
            "GET / HTTP/1.1\r\nHost: pr-1.localhost/x\r\nX-Case: {case}\r\n\r\n",
            400,
            "a host that is none: `pr-1.localhost/x`",
        ),
        refused(
            "a host with a port that is none",
            "GET / HTTP/1.1\r\nHost: pr-1.localhost:evil\r\nX-Case: {case}\r\n\r\n",
            400,
            "a host that is none: `pr-1.localhost:evil`",
        ),
        refused(
            "a port without a host",
            "GET / HTTP/1.1\r\nHost: :80\r\nX-Case: {case}\r\n\r\n",
            400,
            "a host that is none: `:80`",
        ),
        refused(
            "an address with a port that is none",
            "GET http://pr-1.localhost:80:90/ HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\n\r\n",
            400,
            "a host that is none: `pr-1.localhost:80:90`",
        ),
        refused(
            "a name and a password",
            "GET http://me:pw@pr-1.localhost/ HTTP/1.1\r\nHost: x\r\nX-Case: {case}\r\n\r\n",
            400,
            "a host that is none",
        ),
        refused(
            "no path",
            "GET page HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\n\r\n",
            400,
            "neither a path nor an address: `page`",
        ),
        refused(
            "a stage that is not there",
            "GET / HTTP/1.1\r\nHost: pr-2.localhost\r\nX-Case: {case}\r\n\r\n",
            404,
            "No stage answers at pr-2.localhost",
        ),
        refused(
            "a forward proxy",
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nX-Case: {case}\r\n\r\n",
            501,
            "no forward proxy",
        ),
        refused(
            "forwarded often enough",
            "OPTIONS / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\nMax-Forwards: 0\r\n\r\n",
            200,
            "ends the request here",
        ),
        Case::new(
            "a refusal of one, and an answer to the next",
            "",
            vec![send("HTTP/1.1 204 No Content\r\n\r\n")],
            Right::Told(204, &[], ""),
        )
        .client(vec![send([other, GET].concat())])
        .answers(2)
        .only(2),
    ]
}

/// RFC 9112, sections 6 and 7.
fn unframed() -> Vec<Case> {
    vec![
        refused(
            "a length and chunks",
            &post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            400,
            "it has a `Content-Length` and a `Transfer-Encoding`",
        ),
        refused(
            "two lengths",
            &post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
            400,
            "two lengths, 5 and 6",
        ),
        refused("a length that is no number", &post("Content-Length: 5x\r\n", "hello"), 400, "is no number: `5x`"),
        refused("another coding", &post("Transfer-Encoding: gzip, chunked\r\n", ""), 501, "is `gzip, chunked`"),
        refused(
            "no chunks at the end",
            &post("Transfer-Encoding: chunked, identity\r\n", ""),
            501,
            "is `chunked, identity`",
        ),
        refused(
            "chunks of old",
            "POST / HTTP/1.0\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "is of HTTP/1.0",
        ),
        refused(
            "a broken chunk",
            &post("Transfer-Encoding: chunked\r\n", "5\r\nhello, world\r\n0\r\n\r\n"),
            400,
            "longer or shorter than it says",
        ),
    ]
}

/// RFC 9112, sections 2, 3 and 5.
fn unreadable() -> Vec<Case> {
    let long = "v".repeat(100_000);
    vec![
        refused("a blank before the colon", &post("X-A : 1\r\n", ""), 400, "line 4 is no header: `X-A : 1`"),
        refused("a folded value", &post("X-A: 1\r\n 2\r\n", ""), 400, "line 5 is no header: ` 2`"),
        refused("a line without a colon", &post("no header\r\n", ""), 400, "line 4 is no header: `no header`"),
        refused("another version", "GET / HTTP/2.0\r\nX-Case: {case}\r\n\r\n", 505, "other than 1.0 and 1.1"),
        refused("no HTTP at all", "\x16\x03\x01\x02\x01\x01", 400, "does not begin as HTTP/1 does"),
        refused(
            "headers that are too long",
            &post(&format!("X-A: {long}\r\n"), ""),
            431,
            "headers of the request are longer than 64 KiB",
        ),
        refused(
            "an address that is too long",
            &format!("GET /{long} HTTP/1.1\r\nHost: pr-1.localhost\r\n\r\n"),
            414,
            "address in the request is longer than 64 KiB",
        ),
        refused(
            "half of a head",
            "GET / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\n",
            400,
            "in the midst of its head",
        ),
    ]
}
