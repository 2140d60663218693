//! Whether the metadata service of this machine gives its credentials to whoever asks.
//!
//! A build or a stage in a container asks through the machine's own network. A service that wants a
//! token answers it only if the answer may make another hop, so that with a hop limit of 1 it gets none.
//! Source: Amazon EC2 User Guide, "Use the Instance Metadata Service to access instance metadata".

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::finding::Finding;

const CHECK: &str = "metadata service";
const PATIENCE: Duration = Duration::from_secs(2);
const ASK: &[u8] = b"GET /latest/meta-data/ HTTP/1.0\r\nHost: 169.254.169.254\r\n\r\n";
const FIX: &str = "set, on this machine: aws ec2 modify-instance-metadata-options --http-tokens required \
                   --http-put-response-hop-limit 1 --instance-id <this instance>";

/// Asks it as somebody who has no token.
pub async fn metadata(at: SocketAddr) -> Finding {
    let asked = tokio::time::timeout(PATIENCE, ask(at)).await;
    judge(asked.ok().and_then(Result::ok).flatten())
}

/// The status that it answers; `None` where what answers speaks no HTTP.
async fn ask(at: SocketAddr) -> std::io::Result<Option<u16>> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(ASK).await?;
    let mut head = Vec::new();
    // The status stands in the first line.
    stream.take(64).read_to_end(&mut head).await?;
    let head = String::from_utf8_lossy(&head).into_owned();
    Ok(head.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1)?.get(..3)?.parse().ok()))
}

fn judge(status: Option<u16>) -> Finding {
    match status {
        None => Finding::ok(CHECK, "none answers here"),
        Some(200..=399) => {
            let seen = "answers without a token: builds and previews on this machine can take its role";
            Finding::fail(CHECK, seen, FIX)
        }
        Some(401) => Finding::ok(CHECK, "wants a token; with a hop limit of 1 no container gets one"),
        Some(status) => Finding::ok(CHECK, format!("answers {status} without a token")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::aws::finding::Health;

    async fn found(answer: Option<&'static str>) -> Finding {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let Some(answer) = answer else {
            drop(listener);
            return judge(ask(at).await.ok().flatten());
        };
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a question");
            let mut asked = vec![0; ASK.len()];
            stream.read_exact(&mut asked).await.expect("the question");
            assert!(!String::from_utf8_lossy(&asked).to_lowercase().contains("token"), "it is asked without a token");
            stream.write_all(answer.as_bytes()).await.expect("an answer");
        };
        let (asked, ()) = tokio::join!(ask(at), serve);
        judge(asked.expect("an answer"))
    }

    #[tokio::test]
    async fn a_service_that_answers_everybody_is_an_error_with_its_mend() {
        for (answer, health) in [
            (None, Health::Ok),
            (Some("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nami-id"), Health::Fail),
            (Some("HTTP/1.0 301 Moved\r\n\r\n"), Health::Fail),
            (Some("HTTP/1.1 401 Unauthorized\r\n\r\n"), Health::Ok),
            (Some("HTTP/1.1 403 Forbidden\r\n\r\n"), Health::Ok),
            (Some("HTTP/1.1 404 Not Found\r\n\r\n"), Health::Ok),
            (Some("SSH-2.0-OpenSSH\r\n"), Health::Ok),
        ] {
            let finding = found(answer).await;
            assert_eq!(finding.health, health, "{answer:?}: {}", finding.seen);
            let names_it = finding.fix.is_some_and(|fix| fix.contains("--http-tokens required"));
            assert_eq!(names_it, health == Health::Fail);
        }
    }
}
