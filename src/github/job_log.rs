//! The log of a job, of which its end is kept.

use std::time::Duration;

use http::StatusCode;
use http::header::LOCATION;
use http_body_util::BodyExt as _;

use super::answer::Answer;
use super::api::Api;
use super::source::absolute;
use super::transport::{Incoming, unreachable};
use crate::port::PortResult;

/// So much of the end is looked at, whatever a job printed.
const TAIL_BYTES: usize = 256 * 1024;
/// So long a log may take: whoever waits for it holds a lane.
const PATIENCE: Duration = Duration::from_secs(10);

/// The last lines, without the times that GitHub writes before each. A log that is not there, or does not come
/// in time, has none.
///
/// Source: GitHub REST, "Download job logs for a workflow run": a redirect to an address that is good for a
/// minute and carries its own key, so that our token is never sent there.
pub(super) async fn last_lines(api: &Api, answer: Answer, lines: usize) -> PortResult<Vec<String>> {
    if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Ok(Vec::new());
    }
    let Some(address) = absolute(api, answer.header(LOCATION.as_str())) else {
        return answer.ok("the log of a job").map(|_| Vec::new());
    };
    let reading = async {
        let response = api.transport.fetch(address).await?;
        if response.status().is_success() { tail(response.into_body()).await } else { Ok(Vec::new()) }
    };
    let bytes = tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| Ok(Vec::new()))?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all.iter().skip(all.len().saturating_sub(lines)).map(|line| plain(line).to_owned()).collect())
}

async fn tail(mut body: Incoming) -> PortResult<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| unreachable(&error))?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > 2 * TAIL_BYTES {
            bytes.drain(..bytes.len() - TAIL_BYTES);
        }
    }
    Ok(bytes)
}

/// `2026-11-20T06:00:00.1234567Z words` is `words`.
fn plain(line: &str) -> &str {
    match line.trim_start_matches('\u{feff}').split_once(' ') {
        Some((at, words)) if at.ends_with('Z') && at.parse::<jiff::Timestamp>().is_ok() => words,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_line_goes_and_nothing_else() {
        for (line, expected) in [
            ("2026-11-20T06:00:00.1234567Z Step 1", "Step 1"),
            ("\u{feff}2026-11-20T06:00:00.1234567Z Step 1", "Step 1"),
            ("2026-11-20T06:00:00.1234567Z ", ""),
            ("A Z", "A Z"),
            ("words", "words"),
        ] {
            assert_eq!(plain(line), expected);
        }
    }
}
