//! The client: it says its part of a case and tells what it got.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cases::{Case, Got, Until};
use crate::script::{Do, End, PATIENCE, Party};
use crate::transcript::{self, find};

/// Tells one case on a connection of its own.
pub(crate) async fn tell(address: SocketAddr, number: usize, case: &Case) -> Option<Got> {
    let number = number.to_string();
    let steps: Vec<Do> = case.client.iter().map(|step| numbered(step, &number)).collect();
    say(address, &steps, case.method, case.until).await
}

/// Says what there is to say and hears what comes, unless that takes too long.
pub(crate) async fn say(address: SocketAddr, steps: &[Do], method: &str, until: Until) -> Option<Got> {
    let told = async {
        let mut party = Party::new(TcpStream::connect(address).await.expect("somebody listens"));
        for step in steps {
            party.perform(step).await;
        }
        let wants_more = |heard: &[u8], end: End| match until {
            Until::End => true,
            Until::Answers(answers) => finals(heard, end, method) < answers,
        };
        party.hear_while(wants_more).await;
        Got { messages: transcript::read(&party.heard, party.end, method), end: party.end }
    };
    timeout(PATIENCE, told).await.ok()
}

/// `GET path` of the program itself.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: pr-1.localhost\r\n\r\n").into_bytes();
    let got = say(address, &[Do::Send(request)], "GET", Until::Answers(1)).await.expect("an answer");
    got.messages.last().map(transcript::Message::text).unwrap_or_default()
}

fn finals(heard: &[u8], end: End, method: &str) -> usize {
    let messages = transcript::read(heard, end, method);
    messages.iter().filter(|message| message.is_final() && message.is_whole).count()
}

/// With the case's number in its place.
fn numbered(step: &Do, number: &str) -> Do {
    let Do::Send(bytes) = step else { return step.clone() };
    let (mut rest, mut out) = (bytes.as_slice(), Vec::new());
    while let Some(at) = find(rest, b"{case}") {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(number.as_bytes());
        rest = &rest[at + b"{case}".len()..];
    }
    out.extend_from_slice(rest);
    Do::Send(out)
}
