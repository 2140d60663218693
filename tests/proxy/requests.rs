//! Requests: what of them reaches the program, and what is refused.

use crate::cases::{Case, GET, Right, request, send};
use crate::script::Do;

pub(crate) fn cases() -> Vec<Case> {
    [heads(), bodies(), claims(), refused()].into_iter().flatten().collect()
}

/// RFC 9110, sections 7.2 and 7.6; RFC 9112, section 3.
fn heads() -> Vec<Case> {
    let echo = || vec![Do::Echo];
    vec![
        Case::heard(
            "a request",
            request("GET /a/b?c=d&e=%20 HTTP/1.1", "Accept: */*\r\nX-B: 2\r\nx-b: 1\r\nCookie: a=1; b=2\r\n", ""),
            echo(),
            Right::Heard(
                &[
                    "GET /a/b?c=d&e=%20 HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Accept: */*",
                    "X-B: 2",
                    "x-b: 1",
                    "Cookie: a=1; b=2",
                    "Via: 1.1 greenroom",
                    "Connection: close",
                ],
                "",
            ),
        ),
        Case::heard(
            "a request of old",
            request("GET / HTTP/1.0", "Connection: keep-alive\r\nKeep-Alive: 5\r\n", ""),
            vec![Do::Echo, Do::Finish],
            Right::Heard(&["GET / HTTP/1.1", "Host: pr-1.localhost", "Via: 1.0 greenroom", "Connection: close"], ""),
        )
        .to_the_end(),
        Case::heard(
            "an address in the first line",
            send("GET http://PR-1.localhost/x?y HTTP/1.1\r\nHost: elsewhere\r\nX-Case: {case}\r\n\r\n"),
            echo(),
            Right::Heard(&["GET /x?y HTTP/1.1", "Host: PR-1.localhost", "Via: 1.1 greenroom", "Connection: close"], ""),
        ),
        Case::heard(
            "a question about the whole server",
            request("OPTIONS * HTTP/1.1", "", ""),
            echo(),
            Right::Heard(
                &["OPTIONS * HTTP/1.1", "Host: pr-1.localhost", "Via: 1.1 greenroom", "Connection: close"],
                "",
            ),
        ),
        Case::heard(
            "a path with odd signs",
            request("GET /|{}\"^`<>[]\\?q='#frag HTTP/1.1", "", ""),
            echo(),
            Right::Heard(
                &[
                    "GET /|{}\"^`<>[]\\?q='#frag HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Via: 1.1 greenroom",
                    "Connection: close",
                ],
                "",
            ),
        ),
        Case::heard(
            "a method that nobody knows",
            request("BREW /pot HTTP/1.1", "", ""),
            echo(),
            Right::Heard(
                &["BREW /pot HTTP/1.1", "Host: pr-1.localhost", "Via: 1.1 greenroom", "Connection: close"],
                "",
            ),
        ),
        Case::heard(
            "what is for one connection",
            request(
                "GET / HTTP/1.1",
                "Connection: X-Hop, keep-alive\r\nconnection: x-other\r\nX-Hop: 1\r\nX-Other: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: Basic x\r\nAuthorization: Basic y\r\n",
                "",
            ),
            echo(),
            Right::Heard(
                &[
                    "GET / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Authorization: Basic y",
                    "Via: 1.1 greenroom",
                    "Connection: close",
                ],
                "",
            ),
        ),
        Case::heard(
            "by whom it came",
            request("GET / HTTP/1.1", "Via: 1.0 fred, 1.1 example.com\r\n", ""),
            echo(),
            Right::Heard(
                &[
                    "GET / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Via: 1.0 fred, 1.1 example.com",
                    "Via: 1.1 greenroom",
                    "Connection: close",
                ],
                "",
            ),
        ),
        Case::heard(
            "how often it may be forwarded",
            request("TRACE / HTTP/1.1", "Max-Forwards: 3\r\n", ""),
            echo(),
            Right::Heard(
                &[
                    "TRACE / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Max-Forwards: 2",
                    "Via: 1.1 greenroom",
                    "Connection: close",
                ],
                "",
            ),
        ),
        Case::heard(
            "HTTP/2 past the proxy",
            request(
                "GET / HTTP/1.1",
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
                "",
            ),
            echo(),
            Right::Heard(&["GET / HTTP/1.1", "Host: pr-1.localhost", "Via: 1.1 greenroom", "Connection: close"], ""),
        ),
        Case::heard(
            "bytes beyond ASCII",
            send(b"GET / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\nX-Utf: caf\xC3\xA9\r\nX-None:\r\n\r\n"),
            echo(),
            Right::Heard(
                &[
                    "GET / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "X-Utf: caf\u{e9}",
                    "X-None: ",
                    "Via: 1.1 greenroom",
                    "Connection: close",
                ],
                "",
            ),
        ),
        Case::heard(
            "lines without returns",
            send("\r\nGET / HTTP/1.1\nHost: pr-1.localhost\nX-Case: {case}\n\r\n\r\n"),
            echo(),
            Right::Heard(&["GET / HTTP/1.1", "Host: pr-1.localhost", "Via: 1.1 greenroom", "Connection: close"], ""),
        ),
    ]
}

/// RFC 9112, sections 6 and 7.
fn bodies() -> Vec<Case> {
    vec![
        Case::heard(
            "a body",
            request("POST / HTTP/1.1", "Content-Length: 5\r\n", "hello"),
            vec![Do::Take(5), Do::Echo],
            Right::Heard(
                &[
                    "POST / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Via: 1.1 greenroom",
                    "Content-Length: 5",
                    "Connection: close",
                ],
                "hello",
            ),
        ),
        Case::heard(
            "a body of nothing",
            request("POST / HTTP/1.1", "Content-Length: 0\r\n", ""),
            vec![Do::Echo],
            Right::Heard(
                &[
                    "POST / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Via: 1.1 greenroom",
                    "Content-Length: 0",
                    "Connection: close",
                ],
                "",
            ),
        ),
        Case::heard(
            "a body of old",
            request("POST / HTTP/1.0", "Content-Length: 5\r\n", "hello"),
            vec![Do::Take(5), Do::Echo, Do::Finish],
            Right::Heard(
                &[
                    "POST / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Via: 1.0 greenroom",
                    "Content-Length: 5",
                    "Connection: close",
                ],
                "hello",
            ),
        )
        .to_the_end(),
        Case::heard(
            "a body of a GET",
            request("GET / HTTP/1.1", "Content-Length: 5\r\n", "hello"),
            vec![Do::Take(5), Do::Echo],
            Right::Heard(
                &[
                    "GET / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Via: 1.1 greenroom",
                    "Content-Length: 5",
                    "Connection: close",
                ],
                "hello",
            ),
        ),
        Case::heard(
            "chunks of a GET",
            request("GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            vec![Do::Await("0\r\n\r\n"), Do::Echo],
            Right::Heard(
                &[
                    "GET / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Via: 1.1 greenroom",
                    "Transfer-Encoding: chunked",
                    "Connection: close",
                ],
                "5\r\nhello\r\n0\r\n\r\n",
            ),
        ),
        Case::heard(
            "chunks with extensions",
            request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n"),
            vec![Do::Await("0\r\n\r\n"), Do::Echo],
            Right::Heard(
                &[
                    "POST / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Via: 1.1 greenroom",
                    "Transfer-Encoding: chunked",
                    "Connection: close",
                ],
                "5\r\nhello\r\n0\r\n\r\n",
            ),
        ),
        Case::heard(
            "trailers",
            request(
                "POST / HTTP/1.1",
                "TE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
            ),
            vec![Do::Await("X-Sum: 1\r\n\r\n"), Do::Echo],
            Right::Heard(
                &[
                    "POST / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Trailer: X-Sum",
                    "Via: 1.1 greenroom",
                    "Transfer-Encoding: chunked",
                    "TE: trailers",
                    "Connection: close, TE",
                ],
                "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
            ),
        ),
        Case::heard(
            "a length said twice",
            request("POST / HTTP/1.1", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
            vec![Do::Take(5), Do::Echo],
            Right::Heard(
                &[
                    "POST / HTTP/1.1",
                    "Host: pr-1.localhost",
                    "Via: 1.1 greenroom",
                    "Content-Length: 5",
                    "Connection: close",
                ],
                "hello",
            ),
        ),
        Case::new(
            "a large body",
            "",
            vec![Do::Take(700_000), send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
            Right::Same,
        )
        .client(vec![request("PUT / HTTP/1.1", "Content-Length: 700000\r\n", ""), Do::Fill(700_000)]),
    ]
}

/// Nobody but this proxy says where a client comes from.
fn claims() -> Vec<Case> {
    let lines = [
        "Forwarded: for=6.6.6.6",
        "X-Forwarded-For: 6.6.6.6",
        "x-forwarded-for: 6.6.6.6, 6.6.6.6",
        "X_Forwarded_For: 6.6.6.6",
        "X-Forwarded_Host: 6.6.6.6",
        "X-Forwarded-Port: 6666",
        "X-Forwarded-Proto: 6.6.6.6",
        "X-Forwarded-Prefix: /6.6.6.6",
        "X-Real-IP: 6.6.6.6",
        "X-Original-URL: /6.6.6.6",
        "X-Rewrite-URL: /6.6.6.6",
        "X-Client-IP: 6.6.6.6",
        "Client-IP: 6.6.6.6",
        "True-Client-IP: 6.6.6.6",
        "CF-Connecting-IP: 6.6.6.6",
        "X-Host: 6.6.6.6",
        "Proxy: http://6.6.6.6",
    ];
    let lines = lines.join("\r\n") + "\r\n";
    vec![
        Case::heard(
            "claims",
            request("GET / HTTP/1.1", &lines, ""),
            vec![Do::Echo],
            Right::Unheard(&["6.6.6.6", "6666"]),
        ),
        Case::heard(
            "claims behind the body",
            request(
                "POST / HTTP/1.1",
                "Transfer-Encoding: chunked\r\nTrailer: X-Forwarded-For\r\n",
                &format!("0\r\n{lines}X-End: 1\r\n\r\n"),
            ),
            vec![Do::Await("X-End: 1\r\n\r\n"), Do::Echo],
            Right::Unheard(&["6.6.6.6", "6666"]),
        ),
        Case::heard(
            "taking away what the proxy says",
            request(
                "GET / HTTP/1.1",
                "Connection: X-Forwarded-For, X-Real-IP, Host, Via\r\nX-Forwarded-For: 6.6.6.6\r\n",
                "",
            ),
            vec![Do::Echo],
            Right::Heard(&["GET / HTTP/1.1", "Host: pr-1.localhost", "Via: 1.1 greenroom", "Connection: close"], ""),
        ),
    ]
}

/// What the program never hears of. The connection ends with it where nobody can say where the next request
/// begins.
fn refused() -> Vec<Case> {
    let refused = |name, client: &str, status, reason| {
        Case::new(name, client, vec![Do::Echo, Do::Finish], Right::Page(status, reason))
            .client(vec![send(client), Do::Finish])
            .to_the_end()
    };
    let with = |lines: &str| format!("POST / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {{case}}\r\n{lines}\r\n");
    let long = "v".repeat(100_000);
    vec![
        refused("no host", "GET / HTTP/1.1\r\nX-Case: {case}\r\n\r\n", 400, "names no host"),
        refused("two hosts", &with("Host: pr-2.localhost\r\n"), 400, "more than one host"),
        refused(
            "a host with a path",
            "GET / HTTP/1.1\r\nHost: pr-1.localhost/x\r\nX-Case: {case}\r\n\r\n",
            400,
            "a host that is none: `pr-1.localhost/x`",
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
            "a length and chunks",
            &(with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n"),
            400,
            "it has a `Content-Length` and a `Transfer-Encoding`",
        ),
        refused(
            "two lengths",
            &(with("Content-Length: 5\r\nContent-Length: 6\r\n") + "hello"),
            400,
            "two lengths, 5 and 6",
        ),
        refused("a length that is no number", &(with("Content-Length: 5x\r\n") + "hello"), 400, "is no number: `5x`"),
        refused("another coding", &with("Transfer-Encoding: gzip, chunked\r\n"), 501, "is `gzip, chunked`"),
        refused(
            "no chunks at the end",
            &with("Transfer-Encoding: chunked, identity\r\n"),
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
            &(with("Transfer-Encoding: chunked\r\n") + "5\r\nhello, world\r\n0\r\n\r\n"),
            400,
            "longer or shorter than it says",
        ),
        refused("a blank before the colon", &with("X-A : 1\r\n"), 400, "line 4 is no header: `X-A : 1`"),
        refused("a folded value", &with("X-A: 1\r\n 2\r\n"), 400, "line 5 is no header: ` 2`"),
        refused("a line without a colon", &with("no header\r\n"), 400, "line 4 is no header: `no header`"),
        refused("another version", "GET / HTTP/2.0\r\nX-Case: {case}\r\n\r\n", 505, "other than 1.0 and 1.1"),
        refused("no HTTP at all", "\x16\x03\x01\x02\x01\x01", 400, "does not begin as HTTP/1 does"),
        refused(
            "headers that are too long",
            &with(&format!("X-A: {long}\r\n")),
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
        refused(
            "forwarded often enough",
            "OPTIONS / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\nMax-Forwards: 0\r\n\r\n",
            200,
            "ends the request here",
        ),
        Case::new(
            "a refusal keeps what is well",
            "",
            vec![send("HTTP/1.1 204 No Content\r\n\r\n")],
            Right::Told(204, &[], ""),
        )
        .client(vec![send(format!("GET / HTTP/1.1\r\nHost: pr-2.localhost\r\nX-Case: {{case}}\r\n\r\n{GET}"))])
        .answers(2),
    ]
}
