//! How often a server called AWS, as it tells itself at `/metrics`, and when, as its log tells.

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde::Deserialize;

use crate::model::Timestamp;

/// What a server has to log for [`Diary`], as JSON.
pub(super) const LOG: &str = "warn,greenroom::aws::outbound=debug";

/// Calls by operation: `ecs:UpdateService`.
pub(super) type Calls = BTreeMap<String, u64>;

/// The counts so far of the server with its metrics at this address.
pub(super) fn read(ops: SocketAddr) -> anyhow::Result<Calls> {
    let mut stream = TcpStream::connect(ops).context("the server does not listen")?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line = |line: &str| {
        let (operation, count) = line.strip_prefix("greenroom_aws_calls_total{operation=\"")?.split_once("\"} ")?;
        Some((operation.to_owned(), count.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// When which call was sent, from the server's log.
#[derive(Debug, Clone, Default)]
pub(super) struct Diary {
    calls: Arc<Mutex<Vec<(Timestamp, String)>>>,
}

/// A line of the log about a call.
#[derive(Deserialize)]
struct Line {
    timestamp: jiff::Timestamp,
    operation: String,
}

impl Diary {
    /// Reads the log to its end. Whatever else it says belongs to whoever looks at the figures.
    pub(super) fn keep(&self, log: impl BufRead) {
        for line in log.lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(Line { timestamp, operation }) => {
                    let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
                    calls.push((Timestamp(timestamp.as_millisecond()), operation));
                }
                // A terminal that is gone has nobody left to tell.
                Err(_) => drop(writeln!(std::io::stderr(), "{line}")),
            }
        }
    }

    /// The calls up to `end` from the last of this operation on, which is at `begin` at the earliest;
    /// empty without one.
    pub(super) fn since_last(&self, operation: &str, begin: Timestamp, end: Timestamp) -> Vec<(Timestamp, String)> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let within: Vec<_> = calls.iter().filter(|(at, _)| (begin..=end).contains(at)).cloned().collect();
        let last = within.iter().rposition(|(_, name)| name == operation);
        last.map_or_else(Vec::new, |last| within[last..].to_vec())
    }
}

/// `ecs:DescribeServices` changes nothing.
pub(super) fn is_write(operation: &str) -> bool {
    let name = operation.split(':').next_back().unwrap_or_default();
    !["Describe", "List", "Get", "BatchGet", "BatchCheck", "Filter"].iter().any(|verb| name.starts_with(verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diary_has_the_calls_of_a_span_of_time() {
        let line = |second: u32, operation: &str| {
            format!(
                r#"{{"timestamp":"1970-01-01T00:00:0{second}.5Z","level":"DEBUG","message":"m","operation":"{operation}"}}"#
            )
        };
        let log = [line(1, "a"), line(2, "b"), line(3, "a"), line(4, "b"), line(5, "c")].join("\n");
        let diary = Diary::default();
        diary.keep(log.as_bytes());
        let names = |operation: &str, begin: i64, end: i64| {
            let calls = diary.since_last(operation, Timestamp(begin), Timestamp(end));
            calls.into_iter().map(|(at, name)| (at.0, name)).collect::<Vec<_>>()
        };
        assert_eq!(names("a", 0, 4_500), [(3_500, "a".to_owned()), (4_500, "b".to_owned())]);
        assert_eq!(names("a", 0, 3_000), [(1_500, "a".to_owned()), (2_500, "b".to_owned())]);
        assert!(names("a", 3_501, 9_000).is_empty());
        assert!(names("c", 0, 4_000).is_empty());
    }

    #[test]
    fn what_only_reads_is_no_write() {
        for (operation, wanted) in [
            ("ecs:DescribeServices", false),
            ("ecr:BatchGetImage", false),
            ("sts:GetCallerIdentity", false),
            ("ecs:UpdateService", true),
            ("cloudformation:CreateStack", true),
        ] {
            assert_eq!(is_write(operation), wanted, "{operation}");
        }
    }
}
