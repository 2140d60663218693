//! What happens between the lines: who speaks when, and how it ends.

use crate::cases::{Case, GET, OLD, Right, request, send};
use crate::script::Do;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(crate) fn cases() -> Vec<Case> {
    [kept(), half_closed(), early(), expected(), changed()].into_iter().flatten().collect()
}

/// RFC 9112, section 9.
fn kept() -> Vec<Case> {
    let closing = "GET / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\nConnection: close\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    vec![
        Case::new("one request after the other", "", vec![send(OK)], Right::Same)
            .client(vec![send(GET), Do::Await("ok"), send(GET), Do::Await("ok"), send(GET)])
            .answers(3)
            .only(3),
        Case::new("requests before their answers", "", vec![send(OK)], Right::Same)
            .client(vec![send([GET, GET, GET, GET].concat())])
            .answers(4)
            .only(4),
        Case::new("requests with bodies before their answers", "", vec![Do::Await("0\r\n\r\n"), send(OK)], Right::Same)
            .client(vec![send([post, post].concat())])
            .answers(2)
            .only(2),
        Case::new(
            "no more after this one",
            "",
            vec![send(OK), Do::Finish],
            Right::Told(200, &[("connection", Some("close"))], "ok"),
        )
        .client(vec![send(closing)])
        .heard_out()
        .only(1),
        Case::new(
            "nothing behind the last one",
            "",
            vec![send(OK), Do::Finish],
            Right::Told(200, &[("connection", Some("close"))], "ok"),
        )
        .client(vec![send([closing, GET].concat())])
        .heard_out()
        .only(1),
        Case::new(
            "of old, one is enough",
            OLD,
            vec![send(OK), Do::Finish],
            Right::Told(200, &[("connection", Some("close"))], "ok"),
        )
        .heard_out()
        .only(1),
        Case::new(
            "a program that closes is no client's business",
            "",
            vec![send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")],
            Right::Told(200, &[("connection", None)], "ok"),
        )
        .client(vec![send([GET, GET].concat())])
        .answers(2)
        .only(2),
        Case::new(
            "an answer until it closes, and another",
            "",
            vec![send("HTTP/1.1 200 OK\r\n\r\nok"), Do::Finish],
            Right::Told(200, &[], "ok"),
        )
        .client(vec![send([GET, GET].concat()), Do::Finish])
        .heard_out()
        .only(2),
    ]
}

/// RFC 9112, section 9.6: who says no more may still listen.
fn half_closed() -> Vec<Case> {
    vec![
        Case::new("a client that says no more", "", vec![send(OK), Do::Finish], Right::Same)
            .client(vec![send(GET), Do::Finish])
            .heard_out(),
        Case::new("a program that waits for that", "", vec![Do::AwaitEnd, send(OK), Do::Finish], Right::Same)
            .client(vec![send(GET), Do::Finish])
            .heard_out(),
        Case::new("a body, and no more", "", vec![Do::Take(5), Do::AwaitEnd, send(OK), Do::Finish], Right::Same)
            .client(vec![request("POST / HTTP/1.1", "Content-Length: 5\r\n", "hello"), Do::Finish])
            .heard_out(),
        Case::new(
            "half of a body, and no more",
            "",
            vec![Do::AwaitEnd, send("HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nhalf"), Do::Finish],
            Right::Same,
        )
        .client(vec![request("POST / HTTP/1.1", "Content-Length: 50\r\n", "hello"), Do::Finish])
        .heard_out(),
        Case::new(
            "half of the chunks, and no more",
            "",
            vec![Do::AwaitEnd, send("HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nhalf"), Do::Finish],
            Right::Same,
        )
        .client(vec![request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"), Do::Finish])
        .heard_out(),
        Case::new(
            "a large answer to who says no more",
            "",
            vec![send("HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n"), Do::Fill(500_000), Do::Finish],
            Right::Same,
        )
        .client(vec![send(GET), Do::Finish])
        .heard_out(),
    ]
}

/// RFC 9110, section 9.2.2; RFC 9112, sections 9.3 and 9.5: a program may answer before it has heard
/// everything.
fn early() -> Vec<Case> {
    let refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\nrefused";
    // Where all of it was taken before the answer came, the connection would be kept.
    let upload = || {
        let start = request("POST / HTTP/1.1", "Content-Length: 400000\r\nConnection: close\r\n", "");
        vec![start, Do::Fill(400_000)]
    };
    let chunked = || {
        let start = request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\nConnection: close\r\n", "61a80\r\n");
        vec![start, Do::Fill(400_000), send("\r\n0\r\n\r\n")]
    };
    let answered = || Right::Told(413, &[("connection", Some("close"))], "refused");
    vec![
        Case::new("an answer before the body, and no more", "", vec![send(refusal), Do::Leave], answered())
            .client(upload())
            .heard_out()
            .only(1),
        Case::new("an answer before the chunks, and no more", "", vec![send(refusal), Do::Leave], answered())
            .client(chunked())
            .heard_out()
            .only(1),
        Case::new(
            "an answer in the midst of the body",
            "",
            vec![Do::Take(100_000), send(refusal), Do::Leave],
            answered(),
        )
        .client(upload())
        .heard_out()
        .only(1),
        Case::new(
            "an answer until it closes, before the body",
            "",
            vec![send("HTTP/1.1 413 Content Too Large\r\n\r\nrefused"), Do::Finish],
            answered(),
        )
        .client(upload())
        .heard_out()
        .only(1),
        Case::new("an answer before a body that never comes", "", vec![send(refusal), Do::Finish], answered())
            .client(vec![request("POST / HTTP/1.1", "Content-Length: 400000\r\n", "some of it")])
            .heard_out()
            .only(1),
        Case::new(
            "an answer before the body, which is heard all the same",
            "",
            vec![send(OK), Do::Take(9), Do::Note("heard-all-the-same"), Do::Finish],
            Right::Told(200, &[], "ok"),
        )
        .client(vec![request("POST / HTTP/1.1", "Content-Length: 9\r\n", ""), Do::Await("ok"), send("and so on")])
        .heard_out()
        .only(1),
        Case::new(
            "talking to each other",
            "",
            vec![
                send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"),
                Do::Await("two"),
                send("5\r\nthree\r\n"),
                Do::Await("four"),
                send("0\r\n\r\n"),
            ],
            Right::Told(200, &[], "onethree"),
        )
        .client(vec![
            request("POST / HTTP/1.1", "Content-Length: 7\r\n", ""),
            Do::Await("one\r\n"),
            send("two"),
            Do::Await("three\r\n"),
            send("four"),
        ]),
    ]
}

/// RFC 9110, section 10.1.1: the program says whether it wants the body.
fn expected() -> Vec<Case> {
    let asking = || request("POST / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n", "");
    vec![
        Case::new(
            "a body that is asked for",
            "",
            vec![send("HTTP/1.1 100 Continue\r\n\r\n"), Do::Take(5), send(OK)],
            Right::Same,
        )
        .client(vec![asking(), Do::Await("100 Continue\r\n\r\n"), send("hello")])
        .only(2),
        Case::new(
            "a body that is not asked for",
            "",
            vec![send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"), Do::Finish],
            Right::Told(417, &[("connection", Some("close"))], ""),
        )
        .client(vec![asking()])
        .heard_out()
        .only(1),
        Case::new("a body that nobody waits with", "", vec![Do::Take(5), send(OK)], Right::Same)
            .client(vec![request("POST / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n", "hello")])
            .only(1),
        Case::heard(
            "the question for it",
            request("POST / HTTP/1.1", "Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
            vec![Do::Take(5), Do::Echo],
            Right::Heard(
                "POST / HTTP/1.1 | Host: pr-1.localhost | Expect: 100-continue | Via: 1.1 greenroom | Content-Length: 5 | Connection: close",
                "hello",
            ),
        ),
        Case::heard(
            "no question of old",
            request("POST / HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
            vec![Do::Take(5), Do::Echo, Do::Finish],
            Right::Heard(
                "POST / HTTP/1.1 | Host: pr-1.localhost | Via: 1.0 greenroom | Content-Length: 5 | Connection: close",
                "hello",
            ),
        )
        .heard_out(),
    ]
}

/// RFC 9110, section 7.8.
fn changed() -> Vec<Case> {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo/2\r\nConnection: Upgrade\r\n\r\n";
    let asking = || request("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: foo/2\r\n", "");
    vec![
        Case::new(
            "another protocol",
            "",
            vec![send(switch), Do::Await("ping"), send("pong"), Do::AwaitEnd, send("bye"), Do::Finish],
            Right::Same,
        )
        .client(vec![asking(), Do::Await("\r\n\r\n"), send("ping"), Do::Await("pong"), Do::Finish])
        .heard_out(),
        Case::new(
            "another protocol at once",
            "",
            vec![send(format!("{switch}hello")), Do::Await("early"), send("bye"), Do::Finish],
            Right::Same,
        )
        .client(vec![asking(), send("early"), Do::Await("bye"), Do::Finish])
        .heard_out(),
        Case::new(
            "another protocol that its program ends",
            "",
            vec![send(switch), send("bye"), Do::Finish],
            Right::Same,
        )
        .client(vec![asking(), Do::Await("bye"), send("late"), Do::Finish])
        .heard_out(),
        Case::new(
            "another protocol with what is not HTTP",
            "",
            vec![
                send(switch),
                Do::Await("\r\nGET / HTTP/1.1\r\n\r\n"),
                send("\0\r\n\r\nHTTP/1.1 500\r\n\r\n"),
                Do::Finish,
            ],
            Right::Same,
        )
        .client(vec![asking(), Do::Await("\r\n\r\n"), send("\r\nGET / HTTP/1.1\r\n\r\n"), Do::AwaitEnd, Do::Finish])
        .heard_out(),
        Case::new("no other protocol", "", vec![send(OK)], Right::Same).client(vec![asking()]),
        Case::heard(
            "the wish for it",
            asking(),
            vec![Do::Echo],
            Right::Heard(
                "GET / HTTP/1.1 | Host: pr-1.localhost | Via: 1.1 greenroom | Upgrade: foo/2 | Connection: upgrade",
                "",
            ),
        ),
    ]
}
