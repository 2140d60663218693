//! The load balancer's part: a proxy before the one target group.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::types::TargetHealthStateEnum;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

pub(super) const HOST: &str = "pr-1.shop.test";

/// A proxy that leads every request to a healthy registered target; 503 without one. A target that
/// takes no connection is passed over, as a load balancer does.
pub(super) async fn open_door(elb: Client, group: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut turn = 0;
        while let Ok((stream, _)) = listener.accept().await {
            turn += 1;
            tokio::spawn(pass_on(stream, elb.clone(), group.clone(), turn));
        }
    });
    address
}

async fn pass_on(mut stream: TcpStream, elb: Client, group: String, mut turn: usize) {
    let mut head = vec![0; 4096];
    let Ok(length) = stream.read(&mut head).await else { return };
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let target = head.split(' ').nth(1).unwrap_or("/");
    let path = target.strip_prefix(&format!("http://{HOST}")).unwrap_or(target);
    let begun = Instant::now();
    let mut answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec();
    while begun.elapsed() < Duration::from_secs(10) {
        let health = elb.describe_target_health().target_group_arn(&group).send().await.expect("target health");
        let healthy = health.target_health_descriptions().iter().filter(|target| {
            target.target_health().and_then(|health| health.state()) == Some(&TargetHealthStateEnum::Healthy)
        });
        let targets: Vec<_> = healthy.filter_map(|target| target.target()).collect();
        let Some(target) = targets.get(turn % targets.len().max(1)) else { break };
        let (host, port) = (target.id().unwrap_or_default(), target.port().unwrap_or_default());
        // A load balancer lets a target finish before ECS ends it; MiniStack ends it at once, and of a
        // container that is gone nothing is heard any more, not even that.
        if let Ok(Ok(body)) = timeout(Duration::from_secs(3), fetch(&format!("{host}:{port}"), path)).await {
            answer = body;
            break;
        }
        turn += 1;
    }
    // Whoever asked may have left.
    let _ = stream.write_all(&answer).await;
}

async fn fetch(address: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = timeout(Duration::from_millis(300), TcpStream::connect(address)).await??;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    if bytes.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

pub(super) async fn ask(door: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(door).await?;
    stream.write_all(format!("GET http://{HOST}{path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.rsplit("\r\n\r\n").next().unwrap_or_default().trim().to_owned())
}
