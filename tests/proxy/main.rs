//! The proxy before stages on this machine, exchange by exchange: each is told to a scripted program on a
//! plain connection and through the proxy, and what comes of both is compared, or is what RFC 9110 and
//! RFC 9112 want a gateway to make of it.
//!
//! The program is this test binary itself, started again with `--ignored program` by a real stage. Nothing
//! here depends on time: both sides wait for what the other one says.

mod answers;
mod broken;
mod cases;
mod client;
mod connections;
mod fuzz;
#[path = "../support/hang.rs"]
mod hang;
mod program;
mod refused;
mod requests;
mod script;
mod transcript;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use cases::Until;
use futures_util::StreamExt as _;
use fuzz::{Dice, Opinion};
use script::{Do, End, PATIENCE, Party};
use tokio::net::{TcpSocket, TcpStream};
use world::World;

/// Fewer would not be all rules.
const FEWEST: usize = 80;
const EARLY: usize = 1_000;
/// So many of them are under way at once.
const AT_ONCE: usize = 50;
/// In a house that is full of them.
const PLACES: usize = 8;
const ROUNDS: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_through_the_proxy_is_what_is_told_plainly_or_says_why_not() {
    let world = World::new().await;
    let (cases, mut wrong) = (cases::all(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        hang::note(case.name);
        let plain = client::tell(world.plain, number, case).await;
        let through = client::tell(world.proxy, number, case).await;
        let judged = match (&plain, &through) {
            (Some(plain), Some(through)) => case.judge(plain, through),
            _ => Err("it never ends".to_owned()),
        };
        if let Err(why) = judged {
            wrong.push(format!("{}: {why}\n    plain:   {plain:?}\n    through: {through:?}\n", case.name));
        }
    }
    say(&format!("{} exchanges, {} of them wrong", cases.len(), wrong.len()));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(cases.len() >= FEWEST, "only {} exchanges", cases.len());
    until_noted(&world, "heard-all-the-same", 2).await;
    world.tear_down().await;
}

#[test]
fn each_exchange_has_a_name_of_its_own() {
    let mut names = BTreeMap::new();
    for case in cases::all() {
        *names.entry((case.name, format!("{:?}", case.client))).or_insert(0) += 1;
    }
    let twice: Vec<_> = names.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// The program answers and closes the connection, and has read nothing of what is being sent to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_answers_that_come_before_their_requests_are_through_all_arrive() {
    let world = World::new().await;
    early(&world).await;
    world.tear_down().await;
}

/// Most of them wait for a place: whoever has one keeps it until its answer is heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_early_answers_arrive_in_a_full_house_too() {
    let world = World::with_places(PLACES).await;
    early(&world).await;
    world.tear_down().await;
}

async fn early(world: &World) {
    let proxy = world.proxy;
    let ask = |number: usize| async move {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: early\r\nX-Number: {number}\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n"
        );
        let got = client::say(proxy, &[Do::Send(head.into_bytes()), Do::Insist(300_000)], "POST", Until::End).await;
        let last = got.as_ref().and_then(|got| got.messages.last());
        let is_it =
            last.is_some_and(|last| last.status == 413 && last.is_whole && last.text() == format!("refused {number}"));
        (!is_it).then(|| format!("{number}: {got:?}"))
    };
    let lost: Vec<String> = futures_util::stream::iter((0..EARLY).map(ask))
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    say(&format!("{} of {EARLY} early answers arrived", EARLY - lost.len()));
    assert!(lost.is_empty(), "{} are lost, the first of them: {:?}", lost.len(), lost.first());
}

/// By an error, or by saying no more: a program that works for somebody can stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_when_its_client_has_gone() {
    let world = World::new().await;
    let request = b"GET / HTTP/1.1\r\nHost: pr-1.localhost\r\nX-Case: watch\r\n\r\n".to_vec();
    for (times, leaves) in [(1, Do::Reset), (2, Do::Leave)] {
        let steps = [Do::Send(request.clone()), leaves];
        assert!(client::say(world.proxy, &steps, "GET", Until::End).await.is_some());
        until_noted(&world, "gone", times).await;
    }
    world.tear_down().await;
}

/// One client has every place, and makes room for another one.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ends_because_others_need_the_place_does_not_look_whole() {
    let world = World::with_places(2).await;
    let request = b"GET / HTTP/1.0\r\nHost: pr-1.localhost\r\nX-Case: begin\r\n\r\n".to_vec();
    let begins = async || {
        let mut party = Party::new(TcpStream::connect(world.proxy).await.expect("somebody listens"));
        party.perform(&Do::Send(request.clone())).await;
        party.perform(&Do::Await("begun")).await;
        party
    };
    let (mut oldest, second) = (begins().await, begins().await);
    let from = TcpSocket::new_v4().expect("a socket");
    from.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).expect("all of 127.0.0.0/8 is this machine");
    let mut newcomer = Party::new(from.connect(world.proxy).await.expect("somebody listens"));
    let asks = Do::Send(b"GET / HTTP/1.1\r\nHost: pr-1.localhost\r\n\r\n".to_vec());
    newcomer.perform(&asks).await;
    newcomer.perform(&Do::Await("well")).await;
    oldest.perform(&Do::AwaitEnd).await;
    assert_eq!(oldest.end, End::Reset, "{}", oldest.heard.escape_ascii());
    drop((oldest, second, newcomer));
    world.tear_down().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "whoever runs it says how long")]
async fn no_answer_makes_the_proxy_say_what_is_not_so() {
    let set = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let rounds = set("GREENROOM_FUZZ_ROUNDS").and_then(|rounds| usize::try_from(rounds).ok()).unwrap_or(ROUNDS);
    let seed = set("GREENROOM_FUZZ_SEED").or_else(|| set("GREENROOM_TEST_SEED")).unwrap_or(1);
    say(&format!("GREENROOM_FUZZ_SEED={seed}, {rounds} rounds"));
    let world = World::new().await;
    let (mut dice, mut seen) = (Dice(seed), BTreeMap::new());
    for round in 0..rounds {
        // Each round is a test of its own for the clock that ends what hangs.
        hang::watch();
        let bytes = fuzz::answer(&mut dice);
        let shown = bytes.escape_ascii().to_string();
        hang::note(&shown);
        match fuzz::judge(world.proxy, &bytes).await {
            Ok(Opinion::Whole { .. }) => *seen.entry("whole").or_insert(0) += 1,
            Ok(Opinion::Broken) => *seen.entry("broken").or_insert(0) += 1,
            Ok(Opinion::Unsure) => *seen.entry("read in two ways").or_insert(0) += 1,
            Err(why) => panic!("round {round} of seed {seed}: {why}\n{shown}"),
        }
    }
    assert_eq!(client::get(world.proxy, "/health").await, "well", "it goes on");
    say(&format!("{seen:?}"));
    assert!(rounds < ROUNDS || seen.len() == 3, "each kind is tried: {seen:?}");
    world.tear_down().await;
}

/// Waits until the program has kept a word so often.
async fn until_noted(world: &World, word: &str, times: usize) {
    hang::note(word);
    let begun = Instant::now();
    while client::get(world.plain, "/notes").await.split(' ').filter(|noted| *noted == word).count() < times {
        assert!(begun.elapsed() < PATIENCE, "`{word}` was not noted {times} times");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn say(line: &str) {
    let mut log = std::io::stderr();
    log.write_all(format!("{line}\n").as_bytes()).expect("the log takes a line");
}
