//! Whether nothing of a program is left, where nothing of it is to be seen.
//!
//! A warden that wrote so is a proof, and so is an empty control group, and a machine or container that was started
//! anew.
//! A warden that was killed from outside leaves orphans that nobody tells apart: then every process that
//! may be one is named, and nothing is called gone while there is any.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::proc::{self, ProcessId, Stat, Table};
use super::process::{Run, marked_wardens};
use super::warden::Ended;
use crate::model::{Failure, FailureKind};

/// So many of them are named.
const NAMED: usize = 5;

/// A process that may be left of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    id: ProcessId,
    name: String,
}

/// What may be left of a start of which nothing is to be seen any more. Blocks.
pub(super) fn suspects(run: &Run, ended: Option<&Ended>) -> io::Result<Vec<Suspect>> {
    if is_proven(run, ended) {
        return Ok(Vec::new());
    }
    let table = Table::read()?;
    let own = table.line_of(proc::own());
    let wardens: BTreeSet<ProcessId> = marked_wardens(&table)?;
    let uid = rustix::process::getuid().as_raw();
    // What root starts may be anybody's afterwards.
    let may_be_ours =
        |id: &ProcessId| uid == 0 || fs::metadata(format!("/proc/{}", id.pid)).is_ok_and(|data| data.uid() == uid);
    let named = table
        .living()
        .filter(|(id, stat)| may_be_orphan(run, *id, stat) && !own.contains(&id.pid) && !wardens.contains(id))
        .map(|(id, _)| id)
        .filter(may_be_ours)
        .map(|id| Suspect { id, name: id.name() });
    Ok(named.collect())
}

/// A start of an older version is as it was then: by its marks alone.
fn is_proven(run: &Run, ended: Option<&Ended>) -> bool {
    !run.has_warden()
        || !run.is_of_this_boot()
        // Whoever asks has looked into it.
        || run.cgroup.is_some()
        || ended.is_some_and(|ended| ended.nothing_lives)
}

/// An orphan began after the warden that it was an orphan of, and is one of its heirs' by now.
fn may_be_orphan(run: &Run, id: ProcessId, stat: &Stat) -> bool {
    id.started >= run.process.started && id != run.process && run.heirs.contains(&stat.parent)
}

/// What stands against calling a service's programs gone.
pub(super) fn doubt(service: &str, suspects: &[Suspect]) -> Option<Failure> {
    let first = suspects.first()?;
    let named = suspects.iter().take(NAMED).map(|suspect| format!("{} (`{}`)", suspect.id.pid, suspect.name));
    let named = named.collect::<Vec<_>>().join(", ");
    let more = suspects.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let summary = format!(
        "something that `{service}` started may still run: the process that kept it was killed from outside, and \
         nobody saw what it left. It may be process {named}{more}"
    );
    let advice = format!(
        "Look at it on the server (`ps -f {pid}`) and end it if it is the program's (`kill {pid}`). Greenroom looks \
         again by itself; a restart of the machine leaves no doubt either.",
        pid = first.id.pid
    );
    Some(Failure::new(FailureKind::Environment, summary, advice))
}

/// What stands against calling a service's programs gone where one of them does not end.
pub(super) fn resists(service: &str, id: ProcessId) -> Failure {
    let (pid, name) = (id.pid, id.name());
    let summary = format!("process {pid} (`{name}`), which `{service}` started, does not end, not even by SIGKILL");
    let advice = format!(
        "It is another user's, or waits in the kernel, as for a disk that does not answer: look at it on the server (`ps \
         -o pid,user,stat,cmd {pid}`) and end it there. Greenroom looks again by itself."
    );
    Failure::new(FailureKind::Environment, summary, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let process = ProcessId { pid: 70, started: 500 };
        Run { process, boot: proc::boot(), first: proc::first(), cgroup: None, heirs: vec![40, 1] }
    }

    #[test]
    fn only_a_warden_that_saw_the_end_a_group_and_another_boot_prove_something() {
        let seen = |nothing_lives| Ended { code: Some(0), left: Vec::new(), nothing_lives };
        assert!(!is_proven(&run(), None));
        assert!(!is_proven(&run(), Some(&seen(false))), "the program ended, and not all that it started");
        assert!(is_proven(&run(), Some(&seen(true))));
        assert!(is_proven(&Run { cgroup: Some("/sys/fs/cgroup/x".into()), ..run() }, None));
        assert!(is_proven(&Run { boot: Some("another".into()), ..run() }, None));
        let first = proc::first().expect("the first of all processes is seen here");
        assert!(is_proven(&Run { first: Some(first + 1), ..run() }, None), "the container was started anew");
        assert!(!is_proven(&Run { first: None, ..run() }, None), "what is not known is no other start");
        assert!(is_proven(&Run { boot: None, ..run() }, None), "an older version wrote nothing down");
    }

    #[test]
    fn an_orphan_is_younger_than_its_warden_and_has_one_of_its_heirs() {
        let stat = |parent| {
            let table = Table::read().expect("a list");
            let (_, own) = table.living().find(|(id, _)| id.pid == proc::own()).expect("ourselves");
            Stat { parent, ..*own }
        };
        let at = |started| ProcessId { pid: 99, started };
        assert!(may_be_orphan(&run(), at(500), &stat(1)) && may_be_orphan(&run(), at(900), &stat(40)));
        assert!(!may_be_orphan(&run(), at(499), &stat(1)), "it was there before");
        assert!(!may_be_orphan(&run(), at(900), &stat(41)), "somebody else's child");
        assert!(!may_be_orphan(&run(), run().process, &stat(1)), "the warden itself");
    }

    #[test]
    fn what_is_in_doubt_is_named_with_the_way_out() {
        assert_eq!(doubt("web", &[]), None);
        let suspects: Vec<Suspect> =
            (1..=7).map(|pid| Suspect { id: ProcessId { pid, started: 1 }, name: "sleep".into() }).collect();
        let told = doubt("web", &suspects).expect("there is doubt");
        assert!(told.summary.ends_with("5 (`sleep`) and 2 more"), "{}", told.summary);
        assert!(told.summary.contains("process 1 (`sleep`), 2"), "{}", told.summary);
        assert!(told.advice.contains("`kill 1`"), "{}", told.advice);
    }

    #[test]
    fn what_does_not_end_is_named_with_the_way_out() {
        let own = ProcessId::of(proc::own()).expect("it is seen").expect("it lives");
        let told = resists("web", own);
        let begin = format!("process {} (`{}`), which `web` started, does not end", own.pid, own.name());
        assert!(told.summary.starts_with(&begin) && !own.name().is_empty(), "{}", told.summary);
        assert!(told.advice.contains(&format!("`ps -o pid,user,stat,cmd {}`", own.pid)), "{}", told.advice);
        assert_eq!(told.kind, FailureKind::Environment);
    }

    /// This test's own child, of a warden that never was.
    #[test]
    fn an_orphan_of_a_killed_warden_is_a_suspect_until_it_ends() {
        let own = ProcessId::of(proc::own()).expect("it is seen").expect("it lives");
        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("sleep runs");
        let run = Run { process: own, boot: proc::boot(), first: None, cgroup: None, heirs: vec![own.pid] };
        let pid = i32::try_from(child.id()).expect("a number");
        let found = |run: &Run| suspects(run, None).expect("a list").iter().any(|suspect| suspect.id.pid == pid);
        assert!(found(&run));
        assert!(!found(&Run { heirs: vec![own.pid + 1], ..run.clone() }));
        child.kill().expect("it can be ended");
        child.wait().expect("it ended");
        assert!(!found(&run));
    }
}
