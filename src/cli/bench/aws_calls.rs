//! How often a server called AWS, as it tells itself at `/metrics`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::Context as _;

/// Calls by operation: `ecs:UpdateService`.
pub(super) type Calls = BTreeMap<String, u64>;

/// The counts so far of the server at this address.
pub(super) fn read(door: SocketAddr) -> anyhow::Result<Calls> {
    let mut stream = TcpStream::connect(door).context("the server does not listen")?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line = |line: &str| {
        let (operation, count) = line.strip_prefix("greenroom_aws_calls_total{operation=\"")?.split_once("\"} ")?;
        Some((operation.to_owned(), count.trim().parse().ok()?))
    };
    Ok(text.lines().filter_map(line).collect())
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
