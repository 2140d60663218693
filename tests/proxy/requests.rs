//! Requests: what of them reaches the program.

use crate::cases::{Case, Right, request, send};
use crate::script::Do;

pub(crate) fn cases() -> Vec<Case> {
    [heads(), odd_heads(), bodies(), framed(), claims()].into_iter().flatten().collect()
}

/// A request without a body and the head that the program hears of it.
fn head(name: &'static str, first: &str, lines: &str, heard: &'static str) -> Case {
    Case::heard(name, request(first, lines, ""), vec![Do::Echo], Right::Heard(heard, ""))
}

/// A request with a body, which the program waits for.
fn body(name: &'static str, request: Do, wait: Do, heard: &'static str, body: &'static str) -> Case {
    Case::heard(name, request, vec![wait, Do::Echo], Right::Heard(heard, body))
}

/// RFC 9110, sections 7.2 and 7.6; RFC 9112, section 3.
fn heads() -> Vec<Case> {
    vec![
        head(
            "a request",
            "GET /a/b?c=d&e=%20 HTTP/1.1",
            "Accept: */*\r\nX-B: 2\r\nx-b: 1\r\nCookie: a=1; b=2\r\n",
            "GET /a/b?c=d&e=%20 HTTP/1.1 | Host: pr-1.localhost | Accept: */* | X-B: 2 | x-b: 1 | Cookie: a=1; b=2 | Via: 1.1 greenroom | Connection: close",
        ),
        head(
            "a request of old",
            "GET / HTTP/1.0",
            "Connection: keep-alive\r\nKeep-Alive: 5\r\n",
            "GET / HTTP/1.1 | Host: pr-1.localhost | Via: 1.0 greenroom | Connection: close",
        ),
        head(
            "a question about the whole server",
            "OPTIONS * HTTP/1.1",
            "",
            "OPTIONS * HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Connection: close",
        ),
        head(
            "a method that nobody knows",
            "BREW /pot HTTP/1.1",
            "",
            "BREW /pot HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Connection: close",
        ),
        head(
            "what is for one connection",
            "GET / HTTP/1.1",
            "Connection: X-Hop, keep-alive\r\nconnection: x-other\r\nX-Hop: 1\r\nX-Other: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: Basic x\r\nAuthorization: Basic y\r\n",
            "GET / HTTP/1.1 | Host: pr-1.localhost | Authorization: Basic y | Via: 1.1 greenroom | Connection: close",
        ),
        head(
            "by whom it came",
            "GET / HTTP/1.1",
            "Via: 1.0 fred, 1.1 example.com\r\n",
            "GET / HTTP/1.1 | Host: pr-1.localhost | Via: 1.0 fred, 1.1 example.com | Via: 1.1 greenroom | Connection: close",
        ),
        head(
            "how often it may be forwarded",
            "TRACE / HTTP/1.1",
            "Max-Forwards: 3\r\n",
            "TRACE / HTTP/1.1 | Host: pr-1.localhost | Max-Forwards: 2 | Via: 1.1 greenroom | Connection: close",
        ),
        head(
            "HTTP/2 past the proxy",
            "GET / HTTP/1.1",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            "GET / HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Connection: close",
        ),
        head(
            "no wish of old for another protocol",
            "GET / HTTP/1.0",
            "Connection: Upgrade\r\nUpgrade: foo/2\r\n",
            "GET / HTTP/1.1 | Host: pr-1.localhost | Via: 1.0 greenroom | Connection: close",
        ),
    ]
}

/// RFC 9112, sections 2.2, 3.2.2 and 5.
fn odd_heads() -> Vec<Case> {
    let echoed = |name, bytes: &[u8], heard| Case::heard(name, send(bytes), vec![Do::Echo], Right::Heard(heard, ""));
    vec![
        head(
            "a path with odd signs",
            "GET /|{}\"^`<>[]\\?q='#frag HTTP/1.1",
            "",
            "GET /|{}\"^`<>[]\\?q='#frag HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Connection: close",
        ),
        echoed(
            "an address in the first line",
            b"GET http://PR-1.localhost/x?y HTTP/1.1\r\nHost: elsewhere\r\nX-Case: {case}\r\n\r\n",
            "GET /x?y HTTP/1.1 | Host: PR-1.localhost | Via: 1.1 greenroom | Connection: close",
        ),
        echoed(
            "bytes beyond ASCII",
            b"GET / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\nX-Utf: caf\xC3\xA9\r\nX-None:\r\n\r\n",
            "GET / HTTP/1.1 | Host: pr-1.localhost | X-Utf: caf\u{e9} | X-None:  | Via: 1.1 greenroom | Connection: close",
        ),
        echoed(
            "lines without returns",
            b"\r\nGET / HTTP/1.1\nHost: pr-1.localhost\nX-Case: {case}\n\r\n\r\n",
            "GET / HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Connection: close",
        ),
    ]
}

/// RFC 9112, sections 6 and 7.
fn bodies() -> Vec<Case> {
    vec![
        body(
            "a body",
            request("POST / HTTP/1.1", "Content-Length: 5\r\n", "hello"),
            Do::Take(5),
            "POST / HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Content-Length: 5 | Connection: close",
            "hello",
        ),
        body(
            "a body of nothing",
            request("POST / HTTP/1.1", "Content-Length: 0\r\n", ""),
            Do::Take(0),
            "POST / HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Content-Length: 0 | Connection: close",
            "",
        ),
        body(
            "a body of old",
            request("POST / HTTP/1.0", "Content-Length: 5\r\n", "hello"),
            Do::Take(5),
            "POST / HTTP/1.1 | Host: pr-1.localhost | Via: 1.0 greenroom | Content-Length: 5 | Connection: close",
            "hello",
        ),
        body(
            "a body of a GET",
            request("GET / HTTP/1.1", "Content-Length: 5\r\n", "hello"),
            Do::Take(5),
            "GET / HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Content-Length: 5 | Connection: close",
            "hello",
        ),
        body(
            "a length said twice",
            request("POST / HTTP/1.1", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
            Do::Take(5),
            "POST / HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Content-Length: 5 | Connection: close",
            "hello",
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

/// RFC 9112, section 7.1; RFC 9110, section 6.5.
fn framed() -> Vec<Case> {
    vec![
        body(
            "chunks of a GET",
            request("GET / HTTP/1.1", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            Do::Await("0\r\n\r\n"),
            "GET / HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Transfer-Encoding: chunked | Connection: close",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        body(
            "chunks with extensions",
            request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n"),
            Do::Await("0\r\n\r\n"),
            "POST / HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Transfer-Encoding: chunked | Connection: close",
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        body(
            "trailers",
            request(
                "POST / HTTP/1.1",
                "TE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
            ),
            Do::Await("X-Sum: 1\r\n\r\n"),
            "POST / HTTP/1.1 | Host: pr-1.localhost | Trailer: X-Sum | Via: 1.1 greenroom | Transfer-Encoding: chunked | TE: trailers | Connection: close, TE",
            "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
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
        "SCRIPT_NAME: /6.6.6.6",
        "PATH_INFO: /6.6.6.6",
        "X-HTTP-Host-Override: 6.6.6.6",
        "DO-Connecting-IP: 6.6.6.6",
        "HTTP_CLIENT_IP: 6.6.6.6",
        "HTTP_X_FORWARDED_FOR: 6.6.6.6",
        "HTTP_X_CLUSTER_CLIENT_IP: 6.6.6.6",
        "HTTP_FORWARDED: for=6.6.6.6",
        "HTTP_VIA: 1.1 6.6.6.6",
        "X-Proxied-Https: 6.6.6.6",
        "Proxy-auth-cert: 6.6.6.6",
        "Proxy-ssl-id: 6.6.6.6",
        "CloudFront-Viewer-Address: 6.6.6.6:6666",
        "CloudFront-Forwarded-Proto: 6.6.6.6",
        "X-Scheme: 6.6.6.6",
        "Ali-CDN-Real-IP: 6.6.6.6",
        "Cdn-Src-Ip: 6.6.6.6",
        "oxygen-buyer-ip: 6.6.6.6",
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
            Right::Heard("GET / HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Connection: close", ""),
        ),
    ]
}
