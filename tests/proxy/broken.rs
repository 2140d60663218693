//! Answers that cannot be passed on, and what is said instead.

use crate::cases::{Case, GET, OLD, Right, request, send};
use crate::script::Do;

pub(crate) fn cases() -> Vec<Case> {
    [heads(), lengths(), chunks(), ends()].into_iter().flatten().collect()
}

/// RFC 9112, sections 2.2, 4 and 5.
fn heads() -> Vec<Case> {
    let long = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\nContent-Length: 0\r\n\r\n", "v".repeat(300_000));
    vec![
        Case::bad(
            "no HTTP at all",
            "220 mail.example.com ESMTP\r\n\r\n",
            "does not begin as HTTP/1 does: `220 mail.example.com ESMTP`",
        ),
        Case::bad("no HTTP at all, and no line", "hello", "does not begin as HTTP/1 does: `hello`"),
        Case::bad(
            "another version",
            "HTTP/2 200 OK\r\n\r\n",
            "of a version of HTTP other than 1.0 and 1.1: `HTTP/2 200 OK`",
        ),
        Case::bad("no status", "HTTP/1.1 OK\r\n\r\n", "does not begin as HTTP/1 does: `HTTP/1.1 OK`"),
        Case::bad("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "`HTTP/1.1 20 OK`"),
        Case::bad("a status of no kind", "HTTP/1.1 042 OK\r\n\r\n", "`HTTP/1.1 042 OK`"),
        Case::bad(
            "a line without a colon",
            "HTTP/1.1 200 OK\r\nX-A: 1\r\nno header\r\n\r\n",
            "line 3 is no header: `no header`",
        ),
        Case::bad(
            "a blank before the first header",
            "HTTP/1.1 200 OK\r\n X-A: 1\r\nContent-Length: 0\r\n\r\n",
            "line 2 is no header: ` X-A: 1`",
        ),
        Case::bad("a line without a name", "HTTP/1.1 200 OK\r\n: 1\r\n\r\n", "line 2 is no header: `: 1`"),
        Case::bad("a name with a blank", "HTTP/1.1 200 OK\r\nX A: 1\r\n\r\n", "line 2 is no header: `X A: 1`"),
        Case::bad(
            "a name beyond ASCII",
            "HTTP/1.1 200 OK\r\nX-\u{e9}: 1\r\n\r\n",
            "line 2 is no header: `X-\\xc3\\xa9: 1`",
        ),
        Case::bad("a value with a zero", b"HTTP/1.1 200 OK\r\nX-A: 1\0\r\n\r\n", "line 2 is no header: `X-A: 1\\x00`"),
        Case::bad("a value with a lone return", "HTTP/1.1 200 OK\r\nX-A: 1\rX-B: 2\r\n\r\n", "line 2 is no header"),
        Case::bad("a head without an end", "HTTP/1.1 200 OK\r\nX-A: 1\r\n", "in the midst of the head"),
        Case::bad("a head that is too long", long, "longer than 256 KiB"),
    ]
}

/// RFC 9112, section 6.
fn lengths() -> Vec<Case> {
    vec![
        Case::bad(
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "it has two lengths, 5 and 6",
        ),
        Case::bad(
            "two lengths in one line",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
            "it has two lengths, 5 and 6",
        ),
        Case::bad(
            "a length that is no number",
            "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
            "is no number: `five`",
        ),
        Case::bad("a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", "is no number: `+5`"),
        Case::bad("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello", "is no number: `-1`"),
        Case::bad("an empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello", "is no number: ``"),
        Case::bad(
            "a length beyond all",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
            "is no number",
        ),
        Case::bad(
            "another coding",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            "is `gzip`, and only `chunked`",
        ),
        Case::bad(
            "another coding before the chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "is `gzip, chunked`",
        ),
        Case::bad(
            "another coding behind the chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            "is `chunked, gzip`",
        ),
        Case::bad(
            "chunks in chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "`chunked` twice",
        ),
        Case::bad(
            "chunks of old",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "is of HTTP/1.0 and has",
        ),
    ]
}

/// RFC 9112, section 7.1. What is broken near the start is said; what is broken later is seen.
fn chunks() -> Vec<Case> {
    let late = |rest: &str| {
        vec![
            send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", 200_000)),
            Do::Fill(200_000),
            send(format!("\r\n{rest}")),
            Do::Finish,
        ]
    };
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    vec![
        Case::bad("no chunk", chunked("hello\r\n"), "a chunk has no size"),
        Case::bad("a chunk with a sign", chunked("+5\r\nhello\r\n0\r\n\r\n"), "a chunk has no size: `+5\\r\\n`"),
        Case::bad("a chunk with a prefix", chunked("0x5\r\nhello\r\n0\r\n\r\n"), "a chunk has no size"),
        Case::bad("a chunk beyond all", chunked("10000000000000000\r\nhello"), "a chunk has no size"),
        Case::bad(
            "a chunk that is longer than it says",
            chunked("5\r\nhello, world\r\n0\r\n\r\n"),
            "longer or shorter than it says",
        ),
        Case::bad("a chunk that is shorter than it says", chunked("9\r\nhello\r\n0\r\n\r\n"), "a chunk"),
        Case::bad("a trailer that is none", chunked("5\r\nhello\r\n0\r\nno header\r\n\r\n"), "behind its last chunk"),
        Case::new("a broken chunk far behind the start", GET, late("nothing\r\n"), Right::Cut(200)).heard_out(),
        Case::new("no last chunk", GET, late(""), Right::Cut(200)).heard_out(),
        Case::new("half of a last chunk", GET, late("0\r\n"), Right::Cut(200)).heard_out(),
        Case::new("a broken chunk to a client of old", OLD, late("nothing\r\n"), Right::Cut(200)).heard_out(),
        Case::new("no last chunk to a client of old", OLD, late(""), Right::Cut(200)).heard_out(),
    ]
}

/// RFC 9112, section 8.
fn ends() -> Vec<Case> {
    vec![
        Case::bad("no answer", "", "closed the connection before it answered"),
        Case::new(
            "no answer, and an error",
            GET,
            vec![Do::Reset],
            Right::Page(502, "broke off the connection before it answered"),
        ),
        Case::new(
            "half of a head, and an error",
            GET,
            vec![send("HTTP/1.1 200 OK\r\n"), Do::Reset],
            Right::Page(502, "in the midst of its answer"),
        ),
        Case::new(
            "a hint and no answer",
            GET,
            vec![send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"), Do::Finish],
            Right::Page(502, "closed the connection before it answered"),
        ),
        Case::bad(
            "a change of protocol that nobody wants",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n",
            "changed the protocol unasked",
        ),
        Case::new(
            "less than its length",
            GET,
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"), Do::Finish],
            Right::Cut(200),
        )
        .heard_out(),
        Case::new(
            "less than its length, and an error",
            GET,
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"), Do::Await("nothing"), Do::Reset],
            Right::Cut(200),
        )
        .client(vec![request("POST / HTTP/1.1", "Content-Length: 7\r\n", ""), Do::Await("hello"), send("nothing")])
        .heard_out(),
        Case::new(
            "less than everything, and an error",
            GET,
            vec![send("HTTP/1.1 200 OK\r\n\r\nhello"), Do::Await("nothing"), Do::Reset],
            Right::Cut(200),
        )
        .client(vec![request("POST / HTTP/1.1", "Content-Length: 7\r\n", ""), Do::Await("hello"), send("nothing")])
        .heard_out(),
    ]
}
