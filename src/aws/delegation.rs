//! Who the rest of the world asks about a zone: its name servers, as a resolver sees them.
//!
//! One question by UDP and its answer, which is all that the doctor needs. What comes back is
//! checked in every length; the answer is shown to a person and decides nothing.
//!
//! Source: RFC 1035, section 4.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 4;
/// Questions of this process are few and one at a time: the number only tells answers from noise.
const NUMBER: u16 = 0x6772;
const TYPE_NS: u16 = 2;
const CLASS_IN: u16 = 1;
const HEADER: usize = 12;
/// Longest name. Source: RFC 1035, section 2.3.4.
const LONGEST_NAME: usize = 255;

/// The name servers of a zone, in lower case and without the last dot; none if it is not delegated.
/// The error is a sentence.
pub(super) async fn name_servers(resolver: SocketAddr, zone: &str) -> Result<BTreeSet<String>, String> {
    let question = question(zone).ok_or_else(|| format!("`{zone}` is no name of a zone"))?;
    for _ in 0..ATTEMPTS {
        match timeout(PATIENCE, ask(resolver, &question)).await {
            Ok(Ok(answer)) => return read(&answer).ok_or_else(|| format!("{resolver} answered with nonsense"))?,
            Ok(Err(error)) => return Err(format!("{resolver} cannot be asked: {error}")),
            Err(_) => {}
        }
    }
    Err(format!("{resolver} does not answer: is port 53 open?"))
}

async fn ask(resolver: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut answer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut answer).await?;
        if answer[..length].starts_with(&NUMBER.to_be_bytes()) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

/// One question for the name servers, recursion desired. `None`: not a name.
fn question(zone: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::from(NUMBER.to_be_bytes());
    bytes.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in zone.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(TYPE_NS.to_be_bytes());
    bytes.extend(CLASS_IN.to_be_bytes());
    (bytes.len() - HEADER - 4 <= LONGEST_NAME).then_some(bytes)
}

/// `None`: not an answer. The inner error: an answer that says no.
fn read(answer: &[u8]) -> Option<Result<BTreeSet<String>, String>> {
    let code = answer.get(3)? & 0x0f;
    let (questions, answers) = (number(answer, 4)?, number(answer, 6)?);
    match code {
        0 => {}
        3 => return Some(Ok(BTreeSet::new())),
        code => return Some(Err(format!("the resolver failed with code {code}: ask it again later"))),
    }
    let mut at = HEADER;
    for _ in 0..questions {
        at = name(answer, at)?.1 + 4;
    }
    let mut found = BTreeSet::new();
    for _ in 0..answers {
        let (_, after) = name(answer, at)?;
        let data = after + 10;
        if number(answer, after)? == TYPE_NS {
            found.insert(name(answer, data)?.0);
        }
        at = data + usize::from(number(answer, after + 8)?);
    }
    Some(Ok(found))
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// The name at a place, and where it ends there. Pointers only lead backwards, so it ends.
fn name(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut end, mut text) = (start, None, String::new());
    loop {
        match *bytes.get(at)? {
            0 => return Some((text.to_ascii_lowercase(), end.unwrap_or(at + 1))),
            length if length >= 0xc0 => {
                let to = usize::from(number(bytes, at)? & 0x3fff);
                if to >= at {
                    return None;
                }
                end = end.or(Some(at + 2));
                at = to;
            }
            length if length < 0x40 => {
                let label = bytes.get(at + 1..=at + usize::from(length))?;
                if !text.is_empty() {
                    text.push('.');
                }
                text.extend(label.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }));
                at += 1 + usize::from(length);
                if text.len() > LONGEST_NAME {
                    return None;
                }
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer as resolvers write it: names are pointers to earlier ones.
    fn answer(code: u8, servers: &[&str]) -> Vec<u8> {
        let mut bytes = question("example.com").unwrap();
        bytes[2] = 0x81;
        bytes[3] = 0x80 | code;
        bytes[7] = u8::try_from(servers.len()).unwrap();
        for server in servers {
            bytes.extend([0xc0, 12, 0, 2, 0, 1, 0, 0, 0x0e, 0x10, 0, u8::try_from(server.len() + 3).unwrap()]);
            bytes.push(u8::try_from(server.len()).unwrap());
            bytes.extend(server.as_bytes());
            bytes.extend([0xc0, 12]);
        }
        bytes
    }

    #[test]
    fn an_answer_is_read() {
        let found = read(&answer(0, &["NS1", "ns2"])).unwrap().unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["ns1.example.com", "ns2.example.com"]);
        assert_eq!(read(&answer(3, &[])), Some(Ok(BTreeSet::new())), "there is no such name");
        assert!(matches!(read(&answer(2, &[])), Some(Err(_))), "the resolver failed");
    }

    #[test]
    fn a_broken_answer_is_none_and_never_a_panic() {
        let whole = answer(0, &["ns1", "ns2"]);
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length} bytes");
        }
        for place in 0..whole.len() {
            for value in [0x00, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
                let mut bytes = whole.clone();
                bytes[place] = value;
                let _ = read(&bytes);
            }
        }
        let mut looping = whole;
        looping[HEADER + 17] = 0xc0;
        looping[HEADER + 18] = u8::try_from(HEADER + 17).unwrap();
        assert_eq!(read(&looping), None);
    }

    #[test]
    fn only_names_are_asked_for() {
        for (zone, is_name) in [("example.com", true), ("example.com.", true), ("a..b", false), ("", false)] {
            assert_eq!(question(zone).is_some(), is_name, "{zone}");
        }
        assert!(question(&"a".repeat(64)).is_none() && question(&["abcdefgh"; 40].join(".")).is_none());
    }

    #[tokio::test]
    async fn a_resolver_is_asked() {
        let resolver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = resolver.local_addr().unwrap();
        let answering = async {
            let mut bytes = [0; 512];
            let (length, from) = resolver.recv_from(&mut bytes).await.unwrap();
            assert_eq!(bytes[..length], question("example.com").unwrap());
            resolver.send_to(b"noise", from).await.unwrap();
            resolver.send_to(&answer(0, &["ns1"]), from).await.unwrap();
        };
        let (found, ()) = tokio::join!(name_servers(address, "example.com"), answering);
        assert_eq!(found.unwrap().into_iter().collect::<Vec<_>>(), ["ns1.example.com"]);
    }
}
