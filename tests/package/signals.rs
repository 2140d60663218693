//! A run that is cancelled: GitHub sends SIGINT to the step's first process alone, then SIGTERM, then kills it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::hang::PATIENCE;
use crate::releases::Answer;
use crate::world::{World, asset};

/// Says its number, then what it hears.
const LISTENER: &str = "#!/bin/sh\ntrap 'echo heard INT; exit 41' INT\ntrap 'echo heard TERM; exit 42' TERM\n\
                        echo \"listens as $$\"\nwhile :; do sleep 0.05; done\n";

fn send(child: &Child, signal: Signal) {
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(number, signal).expect("it is there");
}

#[test]
fn signals_reach_the_program_itself() {
    let world = World::with(LISTENER);
    for (signal, name, code) in [(Signal::INT, "INT", 41), (Signal::TERM, "TERM", 42)] {
        let mut child = world.command().stdout(Stdio::piped()).spawn().expect("bash runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        assert_eq!(lines.next(), Some(format!("listens as {}", child.id())), "the program has the step's own number");
        send(&child, signal);
        assert_eq!(lines.next(), Some(format!("heard {name}")));
        assert_eq!(child.wait().expect("it ends").code(), Some(code));
    }
}

#[test]
fn a_cancelled_download_ends_at_once_and_leaves_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let world = World::with(LISTENER);
        world.releases.put(&asset("1.2.3"), Answer::Stall);
        let mut child = world.command().stdout(Stdio::null()).spawn().expect("bash runs");
        let begun = Instant::now();
        while world.releases.asked().is_empty() {
            assert!(begun.elapsed() < PATIENCE, "the download begins");
            std::thread::sleep(Duration::from_millis(5));
        }
        let cancelled = Instant::now();
        send(&child, signal);
        assert_eq!(child.wait().expect("it ends").code(), Some(code));
        assert!(cancelled.elapsed() < Duration::from_mins(2), "and does not wait for the download");
        assert_eq!(world.drafts(), Vec::<std::path::PathBuf>::new());
    }
}
