//! Answers that can be passed on.

use crate::cases::{Case, GET, HEAD, OLD, Right, request, send};
use crate::script::Do;

pub(crate) fn cases() -> Vec<Case> {
    [lengths(), heads(), trailers(), hints()].into_iter().flatten().collect()
}

/// RFC 9112, section 6.
fn lengths() -> Vec<Case> {
    vec![
        Case::same("a length", GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        Case::same("a length of nothing", GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Case::same("a length said twice", GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello")
            .told(200, &[("content-length", Some("5"))], "hello"),
        Case::same("a length in a list", GET, "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello")
            .told(200, &[("content-length", Some("5"))], "hello"),
        Case::same("more than its length", GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world")
            .told(200, &[("content-length", Some("5"))], "hello"),
        Case::same("chunks", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
        Case::same("no chunk but the last", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Case::same("chunks with capitals", GET, "HTTP/1.1 200 OK\r\ntransfer-ENCODING: Chunked\r\n\r\nB\r\nhello world\r\n0\r\n\r\n"),
        Case::same("chunks with extensions", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a;b=\"c;d\"\r\nhello\r\n0;end\r\n\r\n"),
        Case::same("chunks with blanks", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0005  \r\nhello\r\n000\r\n\r\n"),
        Case::same("chunks and a length: the chunks count", GET, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .told(200, &[("content-length", None)], "hello"),
        Case::same("a length and no coding", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello")
            .told(200, &[("content-length", Some("5")), ("transfer-encoding", None)], "hello"),
        Case::new("until it closes", GET, vec![send("HTTP/1.1 200 OK\r\n\r\nhello"), Do::Finish], Right::Told(200, &[], "hello")),
        Case::new("until it closes, of old", GET, vec![send("HTTP/1.0 200 OK\r\n\r\nhello"), Do::Finish], Right::Told(200, &[], "hello")),
        Case::same_to_the_end("until it closes, to a client of old", OLD, "HTTP/1.0 200 OK\r\n\r\nhello"),
        Case::same_to_the_end("a length to a client of old", OLD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        Case::new(
            "chunks to a client of old",
            OLD,
            vec![send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"), Do::Finish],
            Right::Told(200, &[("transfer-encoding", None), ("content-length", None)], "hello world"),
        )
        .heard_out(),
        Case::same("no content", GET, "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        Case::same("no content, and a length", GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
            .told(204, &[("content-length", None)], ""),
        Case::same("not modified", GET, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n"),
        Case::same("the head alone", HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\n"),
        Case::same("the head alone of chunks", HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Case::same("reset content", GET, "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
        Case::same("a part", GET, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello"),
        Case::new(
            "a body in pieces",
            GET,
            vec![
                send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r"),
                send("\nhel"),
                send("lo\r\n"),
                send("0\r\n"),
                send("\r\n"),
            ],
            Right::Same,
        ),
        Case::new(
            "a large body",
            GET,
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n"), Do::Fill(700_000)],
            Right::Same,
        ),
        Case::new(
            "a large chunk",
            GET,
            vec![
                send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n"),
                Do::Fill(300_000),
                send("\r\n0\r\n\r\n"),
            ],
            Right::Same,
        ),
    ]
}

/// RFC 9110, sections 5 and 15; RFC 9112, sections 4 and 5.
fn heads() -> Vec<Case> {
    let many = (0..3_000).map(|number| format!("X-{number}: {number}\r\n")).collect::<Vec<_>>().concat();
    let long = "v".repeat(100_000);
    vec![
        Case::same("a status of no meaning", GET, "HTTP/1.1 299 Quite Fine\r\nContent-Length: 0\r\n\r\n"),
        Case::same("a status beyond all", GET, "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n"),
        Case::same("words beyond ASCII", GET, b"HTTP/1.1 404 pas trouv\xE9\r\nContent-Length: 0\r\n\r\n"),
        Case::same("no words", GET, "HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n"),
        Case::same("no words and no blank", GET, "HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n"),
        Case::same("an answer of old", GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        Case::same("several lines of a name, in their order", GET, "HTTP/1.1 200 OK\r\nSet-Cookie: b=2\r\nX-A: 1\r\nset-cookie: a=1; Path=/\r\nSet-Cookie: c=3, d\r\nContent-Length: 0\r\n\r\n"),
        Case::same("odd values", GET, b"HTTP/1.1 200 OK\r\nX-Latin: caf\xE9\r\nX-Tab: a\tb\r\nX-Quote: \"a, b\"\r\nX-None:\r\nX!#$%&'*+-.^_`|~9: odd name\r\nContent-Length: 0\r\n\r\n"),
        Case::same("a folded value", GET, "HTTP/1.1 200 OK\r\nX-A: one\r\n  two\r\n\tthree\r\nContent-Length: 0\r\n\r\n")
            .told(200, &[("x-a", Some("one two three"))], ""),
        Case::same("a blank before the colon", GET, "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 0\r\n\r\n"),
        Case::same("lines without returns", GET, "HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 5\n\nhello"),
        Case::same("empty lines before it", GET, "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .told(200, &[], ""),
        Case::same("very many headers", GET, format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n")),
        Case::same("a very long header", GET, format!("HTTP/1.1 200 OK\r\nX-A: {long}\r\nContent-Length: 0\r\n\r\n")),
        Case::same(
            "what is for one connection",
            GET,
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: foo\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n",
        )
        .told(
            200,
            &[("x-hop", None), ("keep-alive", None), ("proxy-authenticate", None), ("upgrade", None), ("x-end", Some("1"))],
            "",
        ),
        Case::same("a time that is told", GET, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n"),
        Case::same("a time that is not told", GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .told(200, &[("date", Some("Tue, 14 Nov 2023 22:13:20 GMT"))], ""),
        Case::same("what only the proxy says", GET, "HTTP/1.1 200 OK\r\nX-Greenroom-Version: two\r\nX-Greenroom-Busy: 1\r\nContent-Length: 0\r\n\r\n")
            .told(200, &[("x-greenroom-version", Some("one")), ("x-greenroom-busy", None)], ""),
        Case::same("who has to upgrade", GET, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo/2\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n"),
        Case::same("compressed bytes", GET, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n\x1F\x8B\x08\0\xFF\n"),
    ]
}

/// RFC 9110, section 6.5; RFC 9112, section 7.1.2.
fn trailers() -> Vec<Case> {
    vec![
        Case::same(
            "a trailer",
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
        Case::same(
            "trailers that nobody announced",
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nx-two: a, b\r\n\r\n",
        ),
        Case::heard(
            "a trailer that is asked for",
            request("GET / HTTP/1.1", "TE: trailers\r\nConnection: TE\r\n", ""),
            vec![send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Server-Timing\r\n\r\n0\r\nServer-Timing: db;dur=5\r\n\r\n",
            )],
            Right::Same,
        ),
        Case::new(
            "what may not stand behind a body",
            GET,
            vec![send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\nX-Greenroom-Version: two\r\n\r\n",
            )],
            Right::Told(200, &[("x-greenroom-version", Some("one")), ("content-length", None)], "hello"),
        ),
    ]
}

/// RFC 9110, section 15.2; RFC 8297.
fn hints() -> Vec<Case> {
    vec![
        Case::same("an early hint", GET, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        Case::same("several hints", GET, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
        Case::same("a hint to who asks for the head", HEAD, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        Case::same("a continue that nobody waits for", GET, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        Case::new(
            "a hint long before the answer",
            GET,
            vec![
                send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"),
                Do::Await("now"),
                send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
            ],
            Right::Same,
        )
        .client(vec![
            request("POST / HTTP/1.1", "Content-Length: 3\r\n", ""),
            Do::Await("</a.css>\r\n\r\n"),
            send("now"),
        ]),
        Case::new(
            "no hint for a client of old",
            OLD,
            vec![send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Do::Finish],
            Right::Told(200, &[("link", None)], "hello"),
        )
        .heard_out()
        .only(1),
    ]
}
