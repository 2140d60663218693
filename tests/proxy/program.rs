//! The program behind the proxy: it does what the case of a request says.

#![expect(clippy::disallowed_methods, reason = "a deployed program reads its settings from its environment")]

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};

use crate::cases::{self, Case};
use crate::script::{Do, Party};
use crate::transcript::find;

/// How a stage starts it: this test binary, run as one of its ignored tests.
pub(crate) fn command() -> Vec<String> {
    let binary = std::env::current_exe().expect("a test knows its own binary").display().to_string();
    vec![binary, "--ignored".into(), "--exact".into(), "program::program".into(), "--nocapture".into()]
}

struct Program {
    port: String,
    cases: Vec<Case>,
    notes: Mutex<Vec<&'static str>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the program that the other tests deploy"]
async fn program() {
    let port = std::env::var("PORT").expect("a stage gives its program a port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse().unwrap())).await.unwrap();
    let program = Arc::new(Program { port, cases: cases::all(), notes: Mutex::default() });
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(stream, Arc::clone(&program)));
    }
}

/// One request after the other, as long as the connection is there.
async fn serve(stream: TcpStream, program: Arc<Program>) {
    let mut party = Party::new(stream);
    loop {
        party.heard.clear();
        party.hear_until(|heard| heard.ends_with(b"\r\n\r\n")).await;
        if !party.heard.ends_with(b"\r\n\r\n") {
            return;
        }
        for step in steps(&mut party, &program).await {
            if let Do::Note(word) = step {
                program.notes.lock().expect("nobody panics with it").push(word);
            }
            party.perform(&step).await;
            if matches!(step, Do::Finish) {
                party.hear_until(|_| false).await;
            }
        }
    }
}

/// What the request asks for.
async fn steps(party: &mut Party, program: &Program) -> Vec<Do> {
    let head = String::from_utf8_lossy(&party.heard).to_ascii_lowercase();
    let value = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().trim().to_owned()
    };
    match value("x-case").as_str() {
        "say" => {
            // The body is what is to be said, byte for byte.
            let length = value("content-length").parse().expect("a length");
            let start = find(&party.heard, b"\r\n\r\n").expect("a head") + 4;
            party.perform(&Do::Take(length)).await;
            let said = party.heard.split_off(start);
            vec![Do::Send(said), Do::Finish]
        }
        "early" => {
            let answer = format!("refused {}", value("x-number"));
            let head = format!("HTTP/1.1 413 Content Too Large\r\nContent-Length: {}\r\n\r\n", answer.len());
            vec![Do::Send(format!("{head}{answer}").into_bytes()), Do::Leave]
        }
        "begin" => vec![Do::Send(b"HTTP/1.1 200 OK\r\n\r\nbegun".to_vec()), Do::AwaitEnd],
        "watch" => vec![Do::AwaitEnd, Do::Note("gone")],
        "" => {
            let text = match head.split(' ').nth(1) {
                Some("/port") => program.port.clone(),
                Some("/pid") => std::process::id().to_string(),
                Some("/notes") => program.notes.lock().expect("nobody panics with it").join(" "),
                _ => "well".to_owned(),
            };
            vec![Do::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes())]
        }
        number => number
            .parse::<usize>()
            .ok()
            .and_then(|number| program.cases.get(number))
            .map_or(vec![Do::Leave], |case| case.program.clone()),
    }
}
