//! What one repository, or a stranger, can use up of a server, and whom it serves all the same: another
//! repository's pull request gets its stage, the server ends when it is told to, and stays small.

use std::fmt::Display;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use greenroom::model::RepoName;
use greenroom::sandbox::FileChange;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::docker::{self, CleanUp, docker};
use crate::door::{genuine, post_head, read_answer, sign};
use crate::own::own;
use crate::server::SECRET;
use crate::world::World;

/// What the server may have resident at most.
const MOST_MEGABYTES: u64 = 200;
/// How long it may take to end, where the machine has little time for it.
const END: Duration = Duration::from_mins(1);

/// Prints a figure, for whoever runs the test by hand.
fn tell(what: &str, figure: impl Display) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "{what}: {figure}");
}

/// Another repository is served; then the server ends in time, and was never large.
async fn holds_out(mut w: World, other: &RepoName) {
    let begun = Instant::now();
    w.serves(other).await;
    tell("seconds until another's pull request was live", begun.elapsed().as_secs_f32());
    let megabytes = w.server().peak_megabytes();
    tell("megabytes at most", megabytes);
    assert!(megabytes < MOST_MEGABYTES, "{megabytes} MB");
    let server = w.take_server();
    let asked = Instant::now();
    server.ask_to_stop();
    let ended = server.stopped().await;
    tell("seconds until the server had ended", asked.elapsed().as_secs_f32());
    assert!(ended.success() && asked.elapsed() < END, "{ended} after {:?}:\n{}", asked.elapsed(), w.home.log());
    let log = w.home.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "the server logged an error:\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_through_each_other_hold_nobody_up() {
    let (mut w, other) = World::of_two("").await;
    let deep = (0..60).map(|n| format!("folder-{n:02}")).collect::<Vec<_>>().join("/");
    let detour = "x/../".repeat(150);
    let mut changes: Vec<FileChange> =
        (0..2_000).map(|n| FileChange::link(format!("{deep}/l{n}"), &format!("{detour}l{}", n + 1))).collect();
    changes.push(FileChange::write("app", "tangled"));
    let sha = w.github.commit(&w.repo, "topic", changes, "Tangle").expect("a commit");
    w.pull = w.github.open_pull(&w.repo, "topic", "A change").expect("a pull request");
    w.step_began(1, "fetch").await;
    let pull = w.serves(&other).await;
    // It is a repository like any other, and gets its stage as well.
    w.live(&sha).await;
    w.serves_no_more(&other, pull).await;
    holds_out(w, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sockets_keep_nobody_out_and_are_no_program_s_fault() {
    const DESCRIPTORS: usize = 256;
    // As many systems do it: few at first, and more for whoever asks.
    let (mut w, other) = World::of_two(&format!("ulimit -Sn 64 && ulimit -Hn {DESCRIPTORS}")).await;
    assert_eq!(w.server().descriptors(), DESCRIPTORS, "it asks");
    let one = w.open("one");
    w.live(&one).await;
    let programs = w.programs();
    let mut idle = Vec::new();
    for round in 0..DESCRIPTORS * 2 {
        for (address, start) in
            [(w.server().door, "POST /webhook HTTP/1.1\r\nhost:"), (w.proxy(), "GET / HTTP/1.1\r\n")]
        {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            if round % 2 == 0 {
                // It may be closed already: somebody newer came.
                let _ = stream.write_all(start.as_bytes()).await;
            }
            idle.push(stream);
        }
    }
    w.until("clients of the stage are answered", async || w.ask("/").await == (200, "one".into())).await;
    assert_eq!(w.programs(), programs, "nothing was started again");
    let log = w.home.log();
    assert!(!log.contains("starting a program again"), "{log}");
    holds_out(w, &other).await;
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_in_flight_have_one_budget() {
    const LARGE: usize = 25 * 1024 * 1024;
    let (w, other) = World::of_two("").await;
    let unsigned = {
        let mut headers = genuine(&w).await.headers;
        headers.remove("x-hub-signature-256");
        headers
    };
    let body = Arc::new([b"{".as_slice(), &vec![b' '; LARGE - 2], b"}"].concat());
    let mut signed = unsigned.clone();
    signed.insert("x-github-event", "check_suite".parse().expect("plain text"));
    sign(&mut signed, SECRET, &body);
    let senders: Vec<_> = (0..40)
        .map(|n| {
            let (door, body) = (w.server().door, Arc::clone(&body));
            let head = post_head(if n % 2 == 0 { &unsigned } else { &signed }, body.len());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(door).await.expect("it listens");
                // The door may answer and close before it has read everything.
                let _ = stream.write_all(&head).await;
                let _ = stream.write_all(&body).await;
            })
        })
        .collect();
    let pull = w.serves(&other).await;
    for sender in senders {
        sender.await.expect("it sends");
    }
    w.serves_no_more(&other, pull).await;
    holds_out(w, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_from_one_address_do_not_keep_deliveries_from_another_out() {
    slow_bodies_from("127.0.0.2:0").await;
}

/// As behind a load balancer.
#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_from_the_address_of_everybody_keep_no_deliveries_out() {
    slow_bodies_from("127.0.0.1:0").await;
}

async fn slow_bodies_from(address: &'static str) {
    const PART: usize = 256 * 1024;
    const BUDGET: usize = 64 * 1024 * 1024;
    const FILLED: Duration = Duration::from_secs(30);
    let (w, other) = World::of_two("").await;
    let headers = genuine(&w).await.headers;
    let head = Arc::new(post_head(&headers, PART * 2));
    let senders: Vec<_> = (0..BUDGET / PART)
        .map(|_| {
            let (door, head) = (w.server().door, Arc::clone(&head));
            tokio::spawn(async move {
                // As soon as one is sent away, it is there again.
                loop {
                    let socket = TcpSocket::new_v4().expect("a socket");
                    socket.bind(address.parse().expect("an address")).expect("this machine");
                    let mut stream = socket.connect(door).await.expect("it listens");
                    let _ = stream.write_all(&head).await;
                    let _ = stream.write_all(&vec![b' '; PART]).await;
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
            })
        })
        .collect();
    let large = post_head(&headers, PART * 2);
    let no_room = async {
        let mut status = 0;
        while status != 503 {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(address.parse().expect("an address")).expect("this machine");
            let mut stream = socket.connect(w.server().door).await.expect("it listens");
            let _ = (stream.write_all(&large).await, stream.write_all(&vec![b' '; PART * 2]).await);
            status = read_answer(&mut stream).await.0;
        }
    };
    // A machine that cannot send so much within the time that a body has never fills the memory. That the
    // rule holds where it is full, the door's own tests show with less of it.
    if tokio::time::timeout(FILLED, no_room).await.is_err() {
        tell("seconds in which the memory could not be filled", FILLED.as_secs());
    }
    let pull = w.serves(&other).await;
    for sender in senders {
        sender.abort();
    }
    w.serves_no_more(&other, pull).await;
    holds_out(w, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_one_repository_leave_room_for_another_s() {
    let (w, other) = World::of_two("").await;
    for number in 0..300 {
        let content = number.to_string();
        w.github.push(&w.repo, "elsewhere", [("other", content.as_str())], "More").expect("a commit");
    }
    holds_out(w, &other).await;
}

/// Each pull request has an image, whose build says more than anybody reads and then holds its builder for
/// as long as it may.
const GREEDY: &str = "\
FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
COPY app blob /
RUN head -c 50000000 /dev/zero | tr '\\0' x; echo; yes | head -c 20000000; sleep 3600
";

/// The repository whose images those are, with an archive that is large once it is unpacked.
fn greedy(run: &Path) -> Vec<FileChange> {
    const LARGE: usize = 1 << 20;
    let config = docker::CONFIG
        .replace("services:\n", "stages: { \"pr-{number}\": { on: { pull_request: {} }, max: 100 } }\nservices:\n");
    let mut files = docker::files(run);
    files.extend([
        FileChange::write(".github/greenroom.yml", config),
        FileChange::write("Dockerfile", GREEDY),
        FileChange::write("blob", vec![0_u8; LARGE]),
    ]);
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_never_end_leave_a_builder_for_another_repository() {
    const PULLS: usize = 30;
    docker(&["version"]);
    let allow = vec![("GREENROOM_ALLOW", "acme/*".to_owned())];
    let w = World::begin_in(allow, greedy).await;
    let name = own("acme/e2e_other.web");
    let other = w.github.create_repo(&name, docker::files(&w.home.folder.join("other"))).expect("a repository");
    let config = format!("{}domain: {{ zone: other.localhost }}\n", docker::CONFIG);
    let config = [FileChange::write(".github/greenroom.yml", config)];
    w.github.commit(&other, "main", config, "A zone of its own").expect("a commit");
    let cleaning = [CleanUp(w.repo.clone()), CleanUp(other.clone())];
    for number in 0..PULLS {
        let (branch, app) = (format!("topic-{number}"), format!("version-{number}"));
        w.github.push(&w.repo, &branch, [("app", app.as_str())], "A change").expect("a commit");
        w.github.open_pull(&w.repo, &branch, "A change").expect("a pull request");
    }
    let builders = available_parallelism().map_or(1, usize::from);
    // Each run of the Docker command line is on record there.
    let building = || w.files().iter().filter(|file| file.starts_with("build/running/")).count();
    w.until("all the builders that it may have are held", async || building() >= builders).await;

    w.github.push(&other, "question", [("app", "asked")], "Ask").expect("a commit");
    let pull = w.github.open_pull(&other, "question", "A question").expect("a pull request");
    let asked = Instant::now();
    w.until("another's pull request is answered", async || w.comment_of(&other, pull).is_some()).await;
    tell("seconds until another's pull request was answered", asked.elapsed().as_secs_f32());
    assert!(building() >= builders, "they are held still");
    holds_out(w, &other).await;
    cleaning.iter().for_each(CleanUp::now);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_for_their_owner_alone_whatever_the_mask() {
    let w = World::begin_behind("umask 000", Vec::new(), |_| Vec::new()).await;
    let mode = |name: &str| {
        let file = w.home.folder.join(name);
        fs::metadata(&file).unwrap_or_else(|error| panic!("{name}: {error}")).permissions().mode() & 0o777
    };
    for name in ["greenroom.db", "greenroom.db-wal", "greenroom.db-shm"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    for name in ["data", "data/build", "data/local"] {
        assert_eq!(mode(name), 0o700, "{name}");
    }
    w.finish().await;
}
