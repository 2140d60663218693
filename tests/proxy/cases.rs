//! What an exchange is, and how what came of it is judged.

use crate::script::{Do, End};
use crate::transcript::{Message, comparable};

/// One exchange of raw bytes.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    /// `{case}` in it becomes the number by which the program knows what to do.
    pub(crate) client: Vec<Do>,
    /// What the program does once it has the head of the request.
    pub(crate) program: Vec<Do>,
    pub(crate) until: Until,
    pub(crate) right: Right,
    /// How many answers there are, hints among them, where that matters.
    pub(crate) count: Option<usize>,
}

/// How long the client listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until it has so many final answers.
    Answers(usize),
    /// Until nothing more comes.
    End,
}

/// What is right through the proxy.
#[derive(Debug, Clone)]
pub(crate) enum Right {
    /// What is right on a plain connection.
    Same,
    /// A page of the proxy with this in it.
    Page(u16, &'static str),
    /// The last answer has this status, these headers and this body.
    Told(u16, &'static [(&'static str, Option<&'static str>)], &'static str),
    /// The last answer has this status and is visibly not whole.
    Cut(u16),
    /// The program has heard this: the lines of a head with ` | ` between them, without `X-Case` and what
    /// the proxy says of the client, and a body.
    Heard(&'static str, &'static str),
    /// The program has heard none of this.
    Unheard(&'static [&'static str]),
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) messages: Vec<Message>,
    pub(crate) end: End,
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\n\r\n";
pub(crate) const OLD: &str = "GET / HTTP/1.0\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\n\r\n";
pub(crate) const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: {case}\r\n\r\n";

pub(crate) fn send(bytes: impl AsRef<[u8]>) -> Do {
    Do::Send(bytes.as_ref().to_vec())
}

/// A request with these lines in its head, and what follows it.
pub(crate) fn request(first: &str, lines: &str, body: &str) -> Do {
    send(format!("{first}\r\nHost: pr-1.localhost\r\nX-Case: {{case}}\r\n{lines}\r\n{body}"))
}

impl Case {
    /// A request that is answered once.
    pub(crate) fn new(name: &'static str, client: impl AsRef<[u8]>, program: Vec<Do>, right: Right) -> Self {
        let method = if client.as_ref().starts_with(b"HEAD ") { "HEAD" } else { "GET" };
        Self { name, method, client: vec![send(client)], program, until: Until::Answers(1), right, count: None }
    }

    /// An answer that is the same as on a plain connection.
    pub(crate) fn same(name: &'static str, client: &str, answer: impl AsRef<[u8]>) -> Self {
        Self::new(name, client, vec![send(answer)], Right::Same)
    }

    /// The same where the end of the connection is the end of the answer.
    pub(crate) fn same_to_the_end(name: &'static str, client: &str, answer: impl AsRef<[u8]>) -> Self {
        Self::new(name, client, vec![send(answer), Do::Finish], Right::Same).heard_out()
    }

    /// An answer that cannot be passed on, with the reason.
    pub(crate) fn bad(name: &'static str, answer: impl AsRef<[u8]>, reason: &'static str) -> Self {
        Self::new(name, GET, vec![send(answer), Do::Finish], Right::Page(502, reason))
    }

    /// A request that the program repeats.
    pub(crate) fn heard(name: &'static str, request: Do, program: Vec<Do>, right: Right) -> Self {
        Self { client: vec![request], program, ..Self::new(name, "", vec![], right) }
    }

    pub(crate) fn heard_out(self) -> Self {
        Self { until: Until::End, ..self }
    }

    pub(crate) fn answers(self, answers: usize) -> Self {
        Self { until: Until::Answers(answers), ..self }
    }

    /// No more answers than these, hints among them.
    pub(crate) fn only(self, count: usize) -> Self {
        Self { count: Some(count), ..self }
    }

    /// The last answer is this one.
    pub(crate) fn told(
        self,
        status: u16,
        fields: &'static [(&'static str, Option<&'static str>)],
        body: &'static str,
    ) -> Self {
        Self { right: Right::Told(status, fields, body), ..self }
    }

    pub(crate) fn client(self, client: Vec<Do>) -> Self {
        Self { client, ..self }
    }

    /// What is wrong.
    pub(crate) fn judge(&self, plain: &Got, through: &Got) -> Result<(), String> {
        let last = through.messages.last().ok_or("nothing came through")?;
        let count = self.count.unwrap_or(through.messages.len());
        ensure(through.messages.len() == count, "there are more or fewer answers")?;
        match &self.right {
            Right::Same => self.same_as(plain, through),
            Right::Page(status, reason) => {
                let is_page = last.value("x-greenroom-version").is_none() && last.is_whole;
                ensure(last.status == *status && is_page, "it is not that page")?;
                ensure(last.text().contains(reason), "it gives another reason")
            }
            Right::Told(status, fields, body) => {
                ensure(last.status == *status && last.is_whole, "it is another answer")?;
                ensure(last.text() == *body, "it has another body")?;
                let is_behind = |name: &str| last.trailers.iter().any(|(known, _)| known == name);
                let behind = fields.iter().find(|(name, _)| is_behind(name));
                behind.map_or(Ok(()), |(name, _)| Err(format!("`{name}` stands behind the body")))?;
                let wrong = fields.iter().find(|(name, value)| last.value(name) != *value);
                wrong.map_or(Ok(()), |(name, _)| Err(format!("`{name}` is {:?}", last.value(name))))
            }
            Right::Cut(status) => {
                ensure(last.status == *status, "it is another answer")?;
                ensure(!last.is_whole && through.end != End::Open, "nobody sees that it is not whole")
            }
            Right::Heard(lines, body) => {
                let heard = heard(last)?;
                let (head, rest) = heard.split_once("\r\n\r\n").ok_or("the program heard no head")?;
                let is_told =
                    |line: &&str| ["X-Forwarded-", "X-Real-IP", "X-Case"].iter().any(|own| line.starts_with(own));
                let said: Vec<&str> = head.split("\r\n").filter(|line| !is_told(line)).collect();
                ensure(said.join(" | ") == *lines && rest == *body, "the program heard something else")
            }
            Right::Unheard(parts) => {
                let heard = heard(last)?.to_ascii_lowercase();
                let wrong = parts.iter().find(|part| heard.contains(&part.to_ascii_lowercase()));
                wrong.map_or(Ok(()), |part| Err(format!("the program heard {part:?}")))
            }
        }
    }

    fn same_as(&self, plain: &Got, through: &Got) -> Result<(), String> {
        let has_date = plain.messages.iter().any(|message| message.value("date").is_some());
        let wanted = comparable(&plain.messages, has_date);
        ensure(wanted.iter().all(|message| message.is_whole), "it is not whole on a plain connection either")?;
        let finals = wanted.iter().filter(|message| message.is_final()).count();
        ensure(finals > 0, "there is no answer on a plain connection either")?;
        ensure(comparable(&through.messages, has_date) == wanted, "it is something else than on a plain connection")?;
        ensure(self.until != Until::End || through.end == End::Closed, "the connection does not end well")
    }
}

/// What the program says that it has heard.
fn heard(last: &Message) -> Result<String, String> {
    ensure(last.status == 200 && last.is_whole, "the program did not say what it has heard")?;
    Ok(last.text())
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    [
        crate::answers::cases(),
        crate::broken::cases(),
        crate::requests::cases(),
        crate::refused::cases(),
        crate::connections::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
