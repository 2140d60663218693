//! What is said for one connection only, and never passed on.
//!
//! Source: RFC 9110, section 7.6.1. `Trailer` is none of them; what belongs to a change of protocol is put
//! back by whoever carries one out.

use std::collections::BTreeSet;

use super::fields::Fields;

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Takes away what is meant for the one who read it, by its name or because `Connection` names it.
pub(super) fn remove(fields: &mut Fields) {
    // Others say how many there are of either: looked up, not gone through.
    let named: BTreeSet<String> = fields.words("connection").into_iter().collect();
    fields.retain(|field| {
        !named.contains(&field.name.to_ascii_lowercase()) && !HOP_BY_HOP.iter().any(|hop| field.is(hop))
    });
}

/// The protocols that a message offers or changes to, as they are written.
///
/// HTTP/2 is none of them: requests inside of it would reach the program past everything that is decided
/// here.
pub(super) fn upgrades(fields: &Fields) -> Vec<String> {
    if !fields.words("connection").iter().any(|word| word == "upgrade") {
        return Vec::new();
    }
    let lines = fields.values("upgrade").map(|line| String::from_utf8_lossy(line).into_owned());
    let protocols = lines
        .flat_map(|line| line.split(',').map(|word| word.trim_matches([' ', '\t']).to_owned()).collect::<Vec<_>>());
    protocols.filter(|word| !word.is_empty() && !is_http2(word)).collect()
}

fn is_http2(protocol: &str) -> bool {
    let name = protocol.split('/').next().unwrap_or_default();
    name.eq_ignore_ascii_case("h2c") || name.eq_ignore_ascii_case("h2") || name.eq_ignore_ascii_case("http")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name, *value);
        }
        fields
    }

    #[test]
    fn what_concerns_one_connection_is_not_passed_on() {
        let mut fields = fields(&[
            ("connection", "keep-alive, X-Secret-Hop"),
            ("Connection", "x-other"),
            ("X-Secret-Hop", "1"),
            ("X-Other", "1"),
            ("X-Other", "2"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("Transfer-Encoding", "chunked"),
            ("TE", "trailers"),
            ("Upgrade", "websocket"),
            ("Accept", "*/*"),
            ("Trailer", "x"),
        ]);
        remove(&mut fields);
        let left: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(left, ["Accept", "Trailer"]);
    }

    /// In this many there are as many comparisons as take minutes.
    #[test]
    fn very_many_names_and_very_many_lines_are_no_work() {
        const MANY: usize = 200_000;
        let words = "same-a,".repeat(MANY);
        let mut fields = fields(&[("connection", words.as_str())]);
        for _ in 0..MANY {
            fields.push("same-b", "");
        }
        let (done, ends) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            remove(&mut fields);
            done.send(fields.iter().count())
        });
        assert_eq!(ends.recv_timeout(std::time::Duration::from_mins(1)), Ok(MANY));
    }

    #[test]
    fn only_what_can_be_carried_out_is_offered() {
        let cases: [(&str, &str, &[&str]); 7] = [
            ("Upgrade", "websocket", &["websocket"]),
            ("keep-alive, upgrade", "WebSocket, foo/2", &["WebSocket", "foo/2"]),
            ("close", "websocket", &[]),
            ("Upgrade, HTTP2-Settings", "h2c", &[]),
            ("upgrade", "h2c, websocket", &["websocket"]),
            ("upgrade", "HTTP/2.0", &[]),
            // Another blank than these two is part of the word, as it is for the program.
            ("upgrade", "\t websocket ,\u{a0}chat", &["websocket", "\u{a0}chat"]),
        ];
        for (connection, upgrade, offered) in cases {
            assert_eq!(upgrades(&fields(&[("connection", connection), ("upgrade", upgrade)])), offered, "{upgrade}");
        }
    }
}
