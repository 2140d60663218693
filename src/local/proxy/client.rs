//! One client: its requests one after the other, until it leaves, errs, or the proxy stops.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Buf as _;
use http::StatusCode;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::exchange::{self, Exchange, Gap, Outcome};
use super::head::{self, Malformed, RequestHead};
use super::page::Page;
use super::question::{Ending, Question};
use super::reply::Making;
use super::routes::Routes;
use super::stream::{self, Source};
use super::{HEAD_TIMEOUT, LINGER_GAP, LINGER_TIME, REQUEST_HEAD_BYTES, STOP_TIMEOUT, VERSION_HEADER, link};
use crate::crowd::{AtWork, Guest};
use crate::model::Timestamp;
use crate::port::Clock;

/// What every connection of the proxy needs to know.
pub(super) struct House {
    pub(super) routes: Arc<Routes>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stop: CancellationToken,
}

/// How a client's connection ends.
enum End {
    /// It may not have read yet what it was told.
    Told,
    /// Nothing was told that it could miss.
    Quiet,
    /// What it was told must not look whole: the end of the connection has to be an error.
    Torn,
}

/// What a client says next.
enum Next {
    Request(RequestHead),
    /// It says nothing more.
    Nothing,
    Refused(Page),
}

/// Serves one client.
pub(super) async fn serve(mut stream: TcpStream, peer: SocketAddr, guest: Arc<Guest>, house: Arc<House>) {
    stream::prepare(&stream);
    let end = {
        let (read, write) = stream.split();
        let mut client = Client { source: Source::new(read), sink: write, peer, house: &house, is_answering: false };
        tokio::select! {
            end = client.stay(&guest) => end,
            // In the midst of an answer nobody may take it for the end.
            () = guest.sent_away() => if client.is_answering { End::Torn } else { End::Quiet },
        }
    };
    if matches!(end, End::Torn)
        && let Err(error) = stream.set_zero_linger()
    {
        tracing::debug!(%error, "an answer that broke off may look whole");
    }
    // Before its place is free for another one.
    drop(stream);
}

struct Client<'a> {
    source: Source<'a>,
    sink: WriteHalf<'a>,
    peer: SocketAddr,
    house: &'a House,
    /// Whether an answer may be on its way.
    is_answering: bool,
}

impl Client<'_> {
    /// Until it leaves, or has had the time to. It keeps its place meanwhile: whoever is sent away in the
    /// midst of a body loses the answer to it.
    async fn stay(&mut self, guest: &Arc<Guest>) -> End {
        let (end, _work) = self.attend(guest).await;
        if matches!(end, End::Told) {
            let stop = self.house.stop.clone();
            let has_stopped = async {
                stop.cancelled().await;
                // Whoever sends still has time enough to hear what it was told.
                sleep(STOP_TIMEOUT / 2).await;
            };
            tokio::select! {
                () = self.linger() => {}
                () = has_stopped => {}
            }
        }
        end
    }

    /// Answers what it asks, and says whether it is at work when it is to leave.
    async fn attend(&mut self, guest: &Arc<Guest>) -> (End, Option<AtWork>) {
        loop {
            let said = tokio::select! {
                biased;
                () = self.house.stop.cancelled() => {
                    // Who says nothing does not need to be heard out.
                    let end = if self.source.input.is_empty() { End::Quiet } else { End::Told };
                    return (end, None);
                }
                said = timeout(HEAD_TIMEOUT, next(&mut self.source)) => said,
            };
            let work = guest.at_work();
            let answered = match said {
                Ok(Next::Request(request)) => self.answer(&request).await,
                Ok(Next::Nothing) => Err(End::Quiet),
                Ok(Next::Refused(page)) => Err(self.show(&page, "GET", Ending::Close).await),
                // Nothing is under way.
                Err(_) if self.source.input.is_empty() => return (End::Told, None),
                Err(_) => {
                    let page = Page::new(StatusCode::REQUEST_TIMEOUT, "The request takes too long to arrive.");
                    Err(self.show(&page, "GET", Ending::Close).await)
                }
            };
            if let Err(end) = answered {
                return (end, Some(work));
            }
        }
    }

    /// Has the request answered. The connection ends where it fails.
    async fn answer(&mut self, request: &RequestHead) -> Result<(), End> {
        let question = match Question::of(request, self.peer.ip()) {
            Ok(question) => question,
            Err(refusal) => {
                let page = Page::new(refusal.status(&request.method), refusal.to_string());
                return Err(self.show(&page, &request.method, Ending::Close).await);
            }
        };
        let date = self.date();
        let (counted, mut program) = match link::connect(&self.house.routes, &question.host).await {
            Ok(ready) => ready,
            Err(why) => {
                let unread = Exchange::new(making(&question, self.ending(&question), "", &date));
                return self.end_with(&Page::no_way(why, &question.host), &question, &unread).await;
            }
        };
        let version = counted.upstream().version().to_owned();
        let making = making(&question, self.ending(&question), &version, &date);
        let exchange = Exchange::new(making);
        let (source, sink, stop) = (&mut self.source, &mut self.sink, self.house.stop.clone());
        self.is_answering = true;
        let outcome = exchange::over(&exchange, source, sink, &mut program, &stop).await;
        self.is_answering = false;
        drop((program, counted));
        let host = question.host.as_str();
        match outcome {
            Outcome::Answered(Ending::Keep) => Ok(()),
            Outcome::Answered(Ending::Close) | Outcome::Switched => Err(End::Told),
            Outcome::Impossible(why) => {
                tracing::info!(host, %why, "an answer cannot be passed on");
                self.end_with(&Page::bad_gateway(host, &why.to_string()), &question, &exchange).await
            }
            Outcome::Unreadable(why) => {
                let text = format!("The request cannot be read to its end: {why}.");
                Err(self.show(&Page::new(StatusCode::BAD_REQUEST, text), &question.method, Ending::Close).await)
            }
            Outcome::Cut(why, gap) => {
                tracing::info!(host, %why, "an answer has broken off");
                Err(if gap == Gap::Seen { End::Told } else { End::Torn })
            }
            Outcome::Abandoned => Err(End::Quiet),
        }
    }

    /// Shows a page in place of an answer.
    async fn end_with(&mut self, page: &Page, question: &Question, exchange: &Exchange<'_>) -> Result<(), End> {
        let ending = if exchange.is_through() { exchange.making.ending } else { Ending::Close };
        let end = self.show(page, &question.method, ending).await;
        match (ending, end) {
            (Ending::Keep, End::Told) => Ok(()),
            (_, end) => Err(end),
        }
    }

    async fn show(&mut self, page: &Page, method: &str, ending: Ending) -> End {
        let date = self.date();
        match self.sink.write_all(&page.written(method, ending, &date)).await {
            Ok(()) => End::Told,
            Err(_) => End::Quiet,
        }
    }

    /// Nobody stays with a proxy that stops.
    fn ending(&self, question: &Question) -> Ending {
        if self.house.stop.is_cancelled() { Ending::Close } else { question.ending }
    }

    fn date(&self) -> String {
        http_date(self.house.clock.now())
    }

    /// Hears the client out for a while, so that it can read what it was told: a connection that is closed
    /// with something unread in it takes the answer along.
    ///
    /// Source: RFC 9112, section 9.6.
    async fn linger(&mut self) {
        if self.sink.shutdown().await.is_err() {
            return;
        }
        let heard_out = async {
            loop {
                self.source.input.clear();
                match timeout(LINGER_GAP, self.source.fill()).await {
                    Ok(Ok(some)) if some > 0 => {}
                    _ => return,
                }
            }
        };
        // Whoever goes on for longer does not mean to read it.
        let _ = timeout(LINGER_TIME, heard_out).await;
    }
}

/// Reads the head of the next request. What is read of it stays where it is when this is not waited for.
async fn next(source: &mut Source<'_>) -> Next {
    let mut looks = head::Looks::default();
    loop {
        head::skip_empty_lines(&mut source.input);
        if looks.is_worth(&source.input) {
            match head::request(&source.input) {
                Ok(Some((_, length))) if length > REQUEST_HEAD_BYTES => return Next::Refused(too_long(&source.input)),
                Ok(Some((request, length))) => {
                    source.input.advance(length);
                    return Next::Request(request);
                }
                Ok(None) => {}
                Err(why) => return Next::Refused(unreadable(&why)),
            }
        }
        if source.input.len() > REQUEST_HEAD_BYTES {
            return Next::Refused(too_long(&source.input));
        }
        match source.fill().await {
            Ok(0) if source.input.iter().all(|byte| b"\r\n".contains(byte)) => return Next::Nothing,
            Ok(0) => {
                let page = Page::new(StatusCode::BAD_REQUEST, "The request ends in the midst of its head.");
                return Next::Refused(page);
            }
            Ok(_) => {}
            Err(_) => return Next::Nothing,
        }
    }
}

fn unreadable(why: &Malformed) -> Page {
    let status = match why {
        Malformed::Version(_) => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        Malformed::FirstLine(_) | Malformed::Line { .. } => StatusCode::BAD_REQUEST,
    };
    Page::new(status, format!("The request cannot be read: {why}."))
}

fn too_long(input: &[u8]) -> Page {
    let kib = REQUEST_HEAD_BYTES / 1024;
    if input.get(..REQUEST_HEAD_BYTES).unwrap_or(input).contains(&b'\n') {
        let text = format!("The headers of the request are longer than {kib} KiB.");
        return Page::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text);
    }
    Page::new(StatusCode::URI_TOO_LONG, format!("The address in the request is longer than {kib} KiB."))
}

fn making<'a>(question: &'a Question, ending: Ending, version: &'a str, date: &'a str) -> Making<'a> {
    Making { question, ending, version: (VERSION_HEADER, version), date }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(now: Timestamp) -> String {
    let date = jiff::Timestamp::from_millisecond(now.0).ok();
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    date.and_then(|date| printer.timestamp_to_rfc9110_string(&date).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::crowd::Crowd;
    use crate::local::proxy::routes::Upstream;
    use crate::local::proxy::stream::pair;
    use crate::model::StageId;

    struct Then;

    impl Clock for Then {
        fn now(&self) -> Timestamp {
            Timestamp(784_111_777_000)
        }
    }

    /// It is in the midst of its body and was answered.
    #[tokio::test]
    async fn who_still_sends_is_heard_out_by_a_proxy_that_stops() {
        let (mut client, at_client) = pair().await;
        let stop = CancellationToken::new();
        let house = House { routes: Arc::default(), clock: Arc::new(Then), stop: stop.clone() };
        let peer = client.local_addr().expect("an address");
        let guest = Crowd::new(1).admit(peer.ip()).await;
        let mut serving = tokio::spawn(serve(at_client, peer, guest, Arc::new(house)));
        client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n").await.expect("somebody listens");
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.expect("an answer");
        assert!(told.starts_with(b"HTTP/1.1 400 "), "{}", told.escape_ascii());
        stop.cancel();
        assert!(timeout(Duration::from_millis(100), &mut serving).await.is_err(), "it is heard out");
        drop(client);
        timeout(Duration::from_mins(1), serving).await.expect("it ends").expect("nothing panics");
    }

    /// Whoever is sent away in the midst of a body loses the answer to it.
    #[tokio::test]
    async fn who_is_heard_out_keeps_its_place() {
        let (mut client, at_client) = pair().await;
        let house = House { routes: Arc::default(), clock: Arc::new(Then), stop: CancellationToken::new() };
        let peer = client.local_addr().expect("an address");
        let crowd = Crowd::new(1);
        let guest = crowd.admit(peer.ip()).await;
        let serving = tokio::spawn(serve(at_client, peer, guest, Arc::new(house)));
        client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n").await.expect("somebody listens");
        client.read_to_end(&mut Vec::new()).await.expect("an answer");
        // Beyond the time for which nobody is sent away who has just come.
        for _ in 0..15 {
            client.write_all(b"more").await.expect("it is heard out");
            sleep(Duration::from_millis(100)).await;
            assert!(crowd.is_stuck(), "its place is free for another one");
        }
        drop(client);
        timeout(Duration::from_mins(1), serving).await.expect("it ends").expect("nothing panics");
    }

    /// The program goes with its last word, and nobody takes what the client still says: a connection that was
    /// closed then would end with an error.
    #[tokio::test]
    async fn who_speaks_on_after_a_change_of_protocol_hears_how_it_ended() {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let (routes, upstream) = (Arc::new(Routes::default()), Arc::new(Upstream::new("one", 1)));
        upstream.set(0, Some(listener.local_addr().expect("an address")));
        let stage = StageId { repo: "acme/shop".parse().unwrap(), name: "pr-1".parse().unwrap() };
        assert!(routes.set("chat.localhost", &stage, &"web".parse().unwrap(), &upstream).is_ok());
        let house = House { routes, clock: Arc::new(Then), stop: CancellationToken::new() };
        let (mut client, at_client) = pair().await;
        let peer = client.local_addr().expect("an address");
        let guest = Crowd::new(1).admit(peer.ip()).await;
        let serving = tokio::spawn(serve(at_client, peer, guest, Arc::new(house)));
        let asks = b"GET / HTTP/1.1\r\nHost: chat.localhost\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
        client.write_all(asks).await.expect("somebody listens");
        let (mut program, _) = listener.accept().await.expect("a connection");
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            assert!(program.read_buf(&mut asked).await.expect("a request") > 0, "{}", asked.escape_ascii());
        }
        let says = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nbye";
        program.write_all(says).await.expect("somebody listens");
        drop(program);
        let mut told = Vec::new();
        while !told.ends_with(b"bye") {
            assert!(client.read_buf(&mut told).await.expect("an answer") > 0, "{}", told.escape_ascii());
        }
        let speaks = async {
            client.write_all(&vec![b'x'; 4 * 1024 * 1024]).await?;
            client.shutdown().await?;
            client.read_to_end(&mut told).await
        };
        let ended = timeout(Duration::from_mins(1), speaks).await.expect("it ends");
        assert_eq!(ended.ok(), Some(0), "an end, and no error");
        timeout(Duration::from_mins(1), serving).await.expect("it ends").expect("nothing panics");
    }

    #[test]
    fn the_time_is_told_as_http_tells_it() {
        assert_eq!(http_date(Timestamp(784_111_777_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn what_is_too_long_says_which_part_of_it() {
        let status = |text: &[u8]| too_long(text).status;
        assert_eq!(status(b"GET /aaaaaaa"), StatusCode::URI_TOO_LONG);
        assert_eq!(status(b"GET / HTTP/1.1\r\na: aaaa"), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
}
