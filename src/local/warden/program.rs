//! The warden itself: a process that starts one program and ends when nothing of it lives.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use super::roll::Roll;
use super::{Answer, Ended, NAMES, Order, PROGRAM, cgroup, write_end};
use crate::local::proc::{ProcessId, Table, own};

/// A look around while nothing has to end: children that end ring at once.
const CALM: Duration = Duration::from_mins(1);
/// And while something has.
const BUSY: Duration = Duration::from_millis(200);
/// What a program left behind that ended by itself is asked to end for so long at most.
const LEFTOVERS: Duration = Duration::from_secs(3);
/// How long the last of what was printed may take to arrive, once nobody can print any more.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Does a warden's work: reads its order, starts the program, and comes back when nothing of it lives.
/// An error where there is no order or no way to keep a program; then nothing was started.
pub fn watch_over() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(keep())
}

impl Order {
    /// Its program, as it is started: with nothing of our environment.
    fn program(&self, out: io::PipeWriter) -> io::Result<Command> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"));
        };
        // A relative path is meant from the program's folder, not from ours.
        let path = Path::new(program);
        let path =
            if path.is_relative() && program.contains('/') { self.folder.join(path) } else { path.to_path_buf() };
        let mut command = Command::new(path);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(&self.env)
            .env(PROGRAM, &self.marker)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0);
        Ok(command)
    }
}

async fn keep() -> io::Result<()> {
    // The signals first: whoever ends us ends what we keep, in order.
    let mut rings = Rings::new()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // Not the server's name: whoever ends all processes of that name means the server.
    rustix::thread::set_name(c"stage-warden")?;
    let mut order = Vec::new();
    io::stdin().read_to_end(&mut order)?;
    let order: Order = serde_json::from_slice(&order)?;
    // From here on something may live.
    write_end(&order.end, &Ended::default())?;
    let kept = match start(&order) {
        Ok(kept) => kept,
        Err(error) => {
            tell(&Answer::Refused { errno: error.raw_os_error(), said: error.to_string() });
            let ended = Ended { nothing_lives: true, ..Ended::default() };
            return write_end(&order.end, &ended);
        }
    };
    tell(&Answer::Started { cgroup: kept.cgroup.clone() });
    let (pump, group) = kept.watch(&order, &mut rings).await;
    let begun = Instant::now();
    // Whoever was handed the other end holds it open, and may be none of ours.
    while !pump.is_finished() && begun.elapsed() < LAST_WORDS {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if let Some(group) = group {
        cgroup::remove(&group);
    }
    Ok(())
}

/// What wakes a warden.
struct Rings {
    children: Signals,
    /// Those that would end it.
    ends: [Signals; 4],
}

impl Rings {
    fn new() -> io::Result<Self> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
        let [terminate, interrupt, hangup, quit] = kinds.map(signal);
        Ok(Self { children: signal(SignalKind::child())?, ends: [terminate?, interrupt?, hangup?, quit?] })
    }

    /// Waits for the next ring, at most so long. Whether it asks for an end.
    async fn next(&mut self, at_most: Duration) -> bool {
        let [terminate, interrupt, hangup, quit] = &mut self.ends;
        tokio::select! {
            _ = terminate.recv() => true,
            _ = interrupt.recv() => true,
            _ = hangup.recv() => true,
            _ = quit.recv() => true,
            _ = self.children.recv() => false,
            () = tokio::time::sleep(at_most) => false,
        }
    }
}

/// A program that runs.
struct Kept {
    pid: i32,
    cgroup: Option<PathBuf>,
    pump: JoinHandle<()>,
}

fn start(order: &Order) -> io::Result<Kept> {
    let (reader, writer) = io::pipe()?;
    let mut command = order.program(writer)?;
    let entered = cgroup::enter(&order.marker);
    let spawned = command.spawn();
    // It holds ends of the pipe that would keep it open.
    drop(command);
    let folder = entered.as_ref().map(|entered| entered.folder.clone());
    let cgroup = entered.and_then(cgroup::Entered::leave);
    let child = spawned.inspect_err(|_| {
        if let Some(folder) = &folder {
            cgroup::remove(folder);
        }
    })?;
    let pid = i32::try_from(child.id()).map_err(|_| io::Error::other("a process without a number"))?;
    let log = Roll::new(order.log.clone());
    let pump = std::thread::spawn(move || log.keep_all(reader));
    Ok(Kept { pid, cgroup, pump })
}

impl Kept {
    /// Until nothing of the program lives.
    async fn watch(self, order: &Order, rings: &mut Rings) -> (JoinHandle<()>, Option<PathBuf>) {
        let patience = Duration::from_millis(order.patience_millis);
        let mut ended = Ended::default();
        let mut ending: Option<Ending> = None;
        loop {
            let (status, is_last) = reap(self.pid, &order.log);
            if let Some(status) = status {
                ended.code = code(status);
                if ending.is_none() {
                    ended.left = self.alive().into_iter().map(ProcessId::name).take(NAMES).collect();
                }
                self.note(order, &ended);
                // Nothing outlives it, with or without a server.
                ending.get_or_insert_with(|| Ending::within(patience.min(LEFTOVERS)));
            }
            if is_last {
                break;
            }
            if let Some(ending) = &mut ending {
                ending.go_on(&self.alive(), self.cgroup.as_deref());
            }
            if rings.next(if ending.is_some() { BUSY } else { CALM }).await {
                ending.get_or_insert_with(|| Ending::within(patience));
            }
        }
        ended.nothing_lives = true;
        self.note(order, &ended);
        (self.pump, self.cgroup)
    }

    /// All that lives of the program. Where it cannot be seen at the moment it is looked at again later.
    fn alive(&self) -> BTreeSet<ProcessId> {
        let Ok(table) = Table::read() else { return BTreeSet::new() };
        let mut alive = table.below(&BTreeSet::from([own()]));
        let members = self.cgroup.as_deref().and_then(|folder| cgroup::members(folder).ok()).unwrap_or_default();
        alive.extend(members.into_iter().filter_map(|pid| table.living_at(pid)));
        alive
    }

    /// What cannot be written down is not known later, and is not taken for known.
    fn note(&self, order: &Order, ended: &Ended) {
        if let Err(error) = write_end(&order.end, ended) {
            complain(&order.log, &format!("how process {} ended cannot be written down: {error}", self.pid));
        }
    }
}

/// The end of all that lives.
struct Ending {
    begun: Instant,
    patience: Duration,
    told: BTreeSet<ProcessId>,
}

impl Ending {
    fn within(patience: Duration) -> Self {
        Self { begun: Instant::now(), patience, told: BTreeSet::new() }
    }

    /// Each is asked once, and after the patience not asked any more.
    fn go_on(&mut self, alive: &BTreeSet<ProcessId>, cgroup: Option<&Path>) {
        if self.begun.elapsed() >= self.patience {
            if let Some(folder) = cgroup {
                cgroup::kill(folder);
            }
            for id in alive {
                id.signal(Signal::KILL);
            }
            return;
        }
        for id in alive {
            if self.told.insert(*id) {
                id.signal(Signal::TERM);
                // One that is stopped hears nothing before it goes on.
                id.signal(Signal::CONT);
            }
        }
    }
}

/// Takes leave of children that ended: how the program did, if it is among them, and whether no child is
/// left. A child is whatever lives below us: orphans come to us.
fn reap(program: i32, log: &Path) -> (Option<WaitStatus>, bool) {
    let mut status = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, ended))) => {
                if pid.as_raw_nonzero().get() == program {
                    status = Some(ended);
                }
            }
            Ok(None) => return (status, false),
            Err(Errno::CHILD) => return (status, true),
            Err(Errno::INTR) => {}
            Err(error) => {
                complain(log, &format!("cannot wait for a process: {error}"));
                return (status, false);
            }
        }
    }
}

/// The code that a shell would show: 128 and the signal's number for a killed program.
fn code(status: WaitStatus) -> Option<i32> {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
}

/// A line of its own: what runs us may have printed something before it.
fn tell(answer: &Answer) {
    let Ok(line) = serde_json::to_string(answer) else { return };
    let mut out = io::stdout();
    // A server that is gone is told nothing; what it would do, the next one does.
    let _ = out.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// Into the program's log, which is all that a warden has.
fn complain(log: &Path, what: &str) {
    let file = File::options().append(true).create(true).mode(0o600).open(log);
    // A log that takes nothing is told of no better elsewhere.
    let _ = file.and_then(|mut file| file.write_all(format!("warden: {what}\n").as_bytes()));
}
