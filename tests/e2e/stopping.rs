//! Stopping the server politely.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::door::{genuine, post_head, read_answer};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_polite_stop_answers_what_is_in_flight_and_leaves_stages_running() {
    let mut w = World::of_processes().await;
    let one = w.open("one");
    w.live(&one).await;
    let programs = w.programs();

    let delivery = genuine(&w).await;
    let mut webhook = tokio::net::TcpStream::connect(w.server().door).await.expect("the door is open");
    webhook.write_all(&post_head(&delivery.headers, delivery.body.len())).await.expect("it listens");
    let (before, after) = delivery.body.split_at(delivery.body.len() / 2);
    webhook.write_all(before).await.expect("it listens");
    let (proxy, host) = (w.proxy(), w.host());
    let slow = tokio::spawn(async move { crate::clients::get(proxy, &host, "/slow").await });
    w.journaled("slow one").await;

    let server = w.take_server();
    server.ask_to_stop();
    w.until("the door is closed", async || tokio::net::TcpStream::connect(server.door).await.is_err()).await;
    webhook.write_all(after).await.expect("it listens still");
    assert_eq!(read_answer(&mut webhook).await.0, 202);
    assert_eq!(webhook.read(&mut [0]).await.expect("a clean end"), 0);
    w.open_gate();
    assert_eq!(slow.await.expect("a client"), Ok((200, "one".into())));
    let ended = server.stopped().await;
    assert!(ended.success(), "it ended with {ended}:\n{}", w.home.log());
    let end = format!("audit of {}: ", w.repo);
    let told = move |log: &str| log.lines().filter(|line| line.starts_with(&end)).count();
    assert_eq!(told(&w.home.log()), 1, "where the audit ends is told at the stop:\n{}", w.home.log());

    assert_eq!(w.programs(), programs, "stages go on running");
    w.start_server().await;
    w.until("they answer again", async || w.ask("/").await == (200, "one".into())).await;
    assert_eq!(w.programs(), programs);
    w.until("it is told at the start", async || told(&w.home.log()) == 2).await;
    w.close();
    w.nothing_is_left().await;
    w.finish().await;
}
