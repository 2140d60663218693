//! One request and its answer, both on their way at the same time.
//!
//! What the program says is passed on when it says it, whether or not the request is through: that a
//! program stops listening is no reason not to hear it out.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Buf as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::body::{Body, Coding, Piece};
use super::chunked::BadChunk;
use super::fields::Fields;
use super::framing::Framing;
use super::question::Ending;
use super::reply::{Making, Reply};
use super::stream::{self, Source};
use super::why::Why;
use super::{ANSWER_HEAD_BYTES, LINGER_TIME, REQUEST_HEAD_BYTES, head, question, reply};

/// As much of an answer is put together before it is sent, in bytes.
const SEND: usize = 64 * 1024;

/// What became of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    Answered(Ending),
    /// Nothing of an answer was passed on.
    Impossible(Why),
    /// The rest of the request cannot be read, and nothing of an answer was passed on.
    Unreadable(BadChunk),
    /// The answer has broken off.
    Cut(Why, Gap),
    /// The program has changed the protocol; the client knows.
    Switched,
    /// There is no client any more.
    Abandoned,
}

/// Whether a client sees that an answer is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Its length or its last chunk is missing.
    Seen,
    /// The end of the connection would be taken for the end of the answer.
    Unseen,
}

/// How the way of a request to its program ended.
enum Sent {
    Whole,
    /// Somebody stopped: the program to listen, or the client to speak.
    Partly,
    Unreadable(BadChunk),
    Abandoned,
}

/// A client and what it is told.
pub(super) struct Exchange<'a> {
    pub(super) making: Making<'a>,
    /// Whether the whole request has been read.
    through: AtomicBool,
    /// Whether anything of the final answer has been sent.
    begun: AtomicBool,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(making: Making<'a>) -> Self {
        let through = AtomicBool::new(matches!(making.question.framing, Framing::Nothing | Framing::Length(0)));
        Self { making, through, begun: AtomicBool::new(false) }
    }

    /// Whether the next request of the client would be read where it begins.
    pub(super) fn is_through(&self) -> bool {
        self.through.load(Ordering::Relaxed)
    }

    fn is_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Carries it out.
    pub(super) async fn run(
        &self,
        source: &mut Source<'_>,
        sink: &mut WriteHalf<'_>,
        from: &mut Source<'_>,
        to: &mut WriteHalf<'_>,
    ) -> Outcome {
        let mut answer = Box::pin(self.answer(from, sink));
        let sent = {
            let mut sending = Box::pin(self.send(source, to));
            tokio::select! {
                biased;
                outcome = answer.as_mut() => {
                    if matches!(outcome, Outcome::Answered(_) | Outcome::Switched) {
                        // It may have answered and go on listening.
                        let _ = timeout(LINGER_TIME, sending).await;
                    }
                    return outcome;
                }
                sent = sending.as_mut() => sent,
            }
        };
        match sent {
            Sent::Abandoned => Outcome::Abandoned,
            Sent::Unreadable(why) if !self.is_begun() => Outcome::Unreadable(why),
            Sent::Unreadable(_) => Outcome::Cut(Why::Request, Gap::Unseen),
            Sent::Whole | Sent::Partly => tokio::select! {
                biased;
                outcome = answer.as_mut() => outcome,
                () = self.listen(source, to) => Outcome::Abandoned,
            },
        }
    }

    /// The request on its way to the program.
    async fn send(&self, source: &mut Source<'_>, to: &mut WriteHalf<'_>) -> Sent {
        let framing = self.making.question.framing;
        let coding = if framing == Framing::Chunked { Coding::Chunked } else { Coding::Plain };
        let (mut body, mut out) = (Body::of(framing), self.making.question.head.clone());
        loop {
            match body.next(&mut source.input) {
                Ok(Piece::Data(data)) => coding.write(&data, &mut out),
                Ok(Piece::End(trailers)) => {
                    coding.write_end(&question::trailers(trailers), &mut out);
                    self.through.store(true, Ordering::Relaxed);
                    return hand_over(source, to, &out).await.err().unwrap_or(Sent::Whole);
                }
                Ok(Piece::More) => {
                    if let Err(sent) = hand_over(source, to, &out).await {
                        return sent;
                    }
                    out.clear();
                    match source.fill().await {
                        // The program is told by `listen`.
                        Ok(0) => return Sent::Partly,
                        Ok(_) => {}
                        Err(_) => return Sent::Abandoned,
                    }
                }
                Err(why) => return Sent::Unreadable(why),
            }
        }
    }

    /// The answer on its way to the client.
    async fn answer(&self, from: &mut Source<'_>, sink: &mut WriteHalf<'_>) -> Outcome {
        self.try_answer(from, sink).await.unwrap_or(Outcome::Abandoned)
    }

    /// Fails where the client takes nothing any more.
    async fn try_answer(&self, from: &mut Source<'_>, sink: &mut WriteHalf<'_>) -> io::Result<Outcome> {
        let question = self.making.question;
        let answer = loop {
            let answer = match read_head(from).await {
                Ok(answer) => answer,
                Err(why) => return Ok(Outcome::Impossible(why)),
            };
            match answer.status {
                101 if question.upgrades.is_empty() => return Ok(Outcome::Impossible(Why::Unasked)),
                101 => {
                    sink.write_all(&reply::informational(&answer)).await?;
                    return Ok(Outcome::Switched);
                }
                // A client of HTTP/1.0 takes it for the answer: RFC 9110, section 15.2.
                100..=199 if question.version == head::Version::Http10 => {}
                100..=199 => sink.write_all(&reply::informational(&answer)).await?,
                _ => break answer,
            }
        };
        let ending = if self.is_through() { self.making.ending } else { Ending::Close };
        let reply = match Reply::of(&answer, Making { ending, ..self.making }) {
            Ok(reply) => reply,
            Err(why) => return Ok(Outcome::Impossible(Why::Unframed(why))),
        };
        let outcome = self.pass_on(reply, ending, from, sink).await?;
        if ending == Ending::Close && matches!(outcome, Outcome::Answered(_)) {
            sink.shutdown().await?;
        }
        Ok(outcome)
    }

    /// What has been read is sent before more is waited for. So an answer that is broken near its start is
    /// replaced by a page that says so.
    async fn pass_on(
        &self,
        reply: Reply,
        ending: Ending,
        from: &mut Source<'_>,
        sink: &mut WriteHalf<'_>,
    ) -> io::Result<Outcome> {
        let (coding, mut body, mut out) = (reply.coding, Body::of(reply.framing), reply.head);
        let is_counted = matches!(reply.framing, Framing::Nothing | Framing::Length(_));
        let gap = if is_counted || coding == Coding::Chunked { Gap::Seen } else { Gap::Unseen };
        loop {
            match body.next(&mut from.input) {
                Ok(Piece::Data(data)) => coding.write(&data, &mut out),
                Ok(Piece::End(trailers)) => {
                    coding.write_end(&reply::trailers(&trailers), &mut out);
                    self.flush(&mut out, sink).await?;
                    return Ok(Outcome::Answered(ending));
                }
                Ok(Piece::More) => {
                    self.flush(&mut out, sink).await?;
                    match from.fill().await {
                        Ok(0) if body.ends_with_its_connection() => {
                            coding.write_end(&Fields::default(), &mut out);
                            self.flush(&mut out, sink).await?;
                            return Ok(Outcome::Answered(ending));
                        }
                        Ok(0) => return Ok(Outcome::Cut(Why::Ended, gap)),
                        Ok(_) => {}
                        Err(error) => return Ok(Outcome::Cut(Why::Broken(error.kind()), gap)),
                    }
                }
                Err(why) if self.is_begun() => {
                    self.flush(&mut out, sink).await?;
                    return Ok(Outcome::Cut(Why::Chunk(why), gap));
                }
                Err(why) => return Ok(Outcome::Impossible(Why::Chunk(why))),
            }
            if out.len() >= SEND {
                self.flush(&mut out, sink).await?;
            }
        }
    }

    /// Waits with a client that has said all of its request. What it says next is kept for later, and that it
    /// will say no more is passed on with whatever it said last: a program may stop to work for somebody who
    /// has left, or answer somebody who only listens. Ends when nobody is there any more.
    async fn listen(&self, source: &mut Source<'_>, to: &mut WriteHalf<'_>) {
        loop {
            if source.input.len() >= REQUEST_HEAD_BYTES {
                return source.gone().await;
            }
            match source.fill().await {
                Ok(0) => {
                    let has_next = self.is_through() && !source.input.iter().all(|byte| b"\r\n".contains(byte));
                    if !has_next {
                        // One that listens no more either says so by its answer.
                        let _ = to.shutdown().await;
                    }
                    return source.gone().await;
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    async fn flush(&self, out: &mut Vec<u8>, sink: &mut WriteHalf<'_>) -> io::Result<()> {
        if !out.is_empty() {
            self.begun.store(true, Ordering::Relaxed);
            sink.write_all(out).await?;
            out.clear();
        }
        Ok(())
    }
}

/// The head of what the program says next.
async fn read_head(from: &mut Source<'_>) -> Result<head::AnswerHead, Why> {
    let mut looks = head::Looks::default();
    loop {
        head::skip_empty_lines(&mut from.input);
        if looks.is_worth(&from.input)
            && let Some((answer, length)) = head::answer(&from.input)?
        {
            from.input.advance(length);
            return if length > ANSWER_HEAD_BYTES { Err(Why::LongHead) } else { Ok(answer) };
        }
        if from.input.len() > ANSWER_HEAD_BYTES {
            return Err(Why::LongHead);
        }
        match from.fill().await {
            Ok(0) if from.input.is_empty() => return Err(Why::Silent),
            Ok(0) => {
                // Whether what there is could have become one.
                head::answer(&from.input)?;
                return Err(Why::EndedInHead);
            }
            Ok(_) => {}
            Err(error) if from.input.is_empty() => return Err(Why::Reset(error.kind())),
            Err(error) => return Err(Why::Broken(error.kind())),
        }
    }
}

/// Sends the program a part of a request, or says how its way ends here. Only a look at the client shows that
/// it is gone while its program does not read.
async fn hand_over(source: &Source<'_>, to: &mut WriteHalf<'_>, part: &[u8]) -> Result<(), Sent> {
    tokio::select! {
        biased;
        written = to.write_all(part) => written.map_err(|_| Sent::Partly),
        () = source.gone() => Err(Sent::Abandoned),
    }
}

/// Carries an exchange out on a connection to a program, and what follows a change of protocol until the
/// proxy stops.
pub(super) async fn over(
    exchange: &Exchange<'_>,
    source: &mut Source<'_>,
    sink: &mut WriteHalf<'_>,
    program: &mut TcpStream,
    stop: &CancellationToken,
) -> Outcome {
    let (read, mut to) = program.split();
    let mut from = Source::new(read);
    let outcome = exchange.run(source, sink, &mut from, &mut to).await;
    if matches!(outcome, Outcome::Switched) {
        tokio::select! {
            joined = stream::join((source, sink), (&mut from, &mut to)) => {
                if let Err(error) = joined {
                    tracing::debug!(%error, "a connection with another protocol ended early");
                }
            }
            () = stop.cancelled() => {}
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::local::proxy::question::Question;
    use crate::local::proxy::stream::pair;

    /// Longer than anything here takes, even on a busy machine.
    const PATIENCE: Duration = Duration::from_mins(1);

    fn question(text: &str) -> Question {
        let (head, _) = head::request(text.as_bytes()).unwrap().expect("a whole head");
        Question::of(&head, Ipv4Addr::LOCALHOST.into()).expect("it can be passed on")
    }

    fn exchange(question: &Question) -> Exchange<'_> {
        Exchange::new(Making { question, ending: Ending::Keep, version: ("x", "one"), date: "today" })
    }

    #[tokio::test]
    async fn a_program_is_not_told_of_an_end_that_stands_behind_another_request() {
        for (lines, more, is_told) in [
            ("", "", true),
            ("", "\r\n", true),
            ("", "GET /b HTTP/1.1\r\n", false),
            ("Transfer-Encoding: chunked\r\n", "5\r\nhel", true),
        ] {
            let ((mut client, mut at_client), (mut at_program, mut program)) = (pair().await, pair().await);
            client.write_all(more.as_bytes()).await.expect("somebody listens");
            client.shutdown().await.expect("somebody listens");
            let question = question(&format!("GET /a HTTP/1.1\r\nHost: one\r\n{lines}\r\n"));
            let exchange = exchange(&question);
            let (read, _sink) = at_client.split();
            let (_from, mut to) = at_program.split();
            let (mut source, mut said) = (Source::new(read), [0; 9]);
            let patience = if is_told { PATIENCE } else { Duration::from_millis(300) };
            let told = tokio::select! {
                () = exchange.listen(&mut source, &mut to) => panic!("nobody has left"),
                told = timeout(patience, program.read(&mut said)) => told,
            };
            assert_eq!(told.ok().and_then(Result::ok), is_told.then_some(0), "{lines:?} {more:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed_while_its_program_reads_nothing() {
        let ((mut client, mut at_client), (mut at_program, _program)) = (pair().await, pair().await);
        let question = question("POST / HTTP/1.1\r\nHost: one\r\nContent-Length: 100000000\r\n\r\n");
        let exchange = exchange(&question);
        let (read, mut sink) = at_client.split();
        let (mut source, stop) = (Source::new(read), CancellationToken::new());
        let leaves = async move {
            // More than fits on the way.
            let body = vec![b'x'; 64 * 1024 * 1024];
            let _ = timeout(Duration::from_millis(300), client.write_all(&body)).await;
            client.set_zero_linger().expect("a connection");
        };
        let answered = timeout(PATIENCE, over(&exchange, &mut source, &mut sink, &mut at_program, &stop));
        let (outcome, ()) = tokio::join!(answered, leaves);
        assert!(matches!(outcome, Ok(Outcome::Abandoned)), "{outcome:?}");
    }
}
