//! How many files and connections this process may have open, and who gets how many of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More is of no use to us, and programs that close every descriptor they could have would take long.
const ENOUGH: u64 = 65_536;
/// What the kernel gives when nobody says otherwise.
const USUAL: u64 = 1024;

/// How many connections each listener may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) door: usize,
    /// Of clients; each may have one to a program besides.
    pub(super) proxy: usize,
}

/// Raises the limit of open descriptors as far as it goes, and shares it out.
pub(super) fn raise() -> Shares {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (soft, hard) = (current.unwrap_or(ENOUGH), maximum.unwrap_or(ENOUGH));
    let wanted = hard.min(ENOUGH);
    if soft >= wanted {
        return share(soft);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => share(wanted),
        Err(error) => {
            tracing::warn!(%error, soft, "the limit of open files stays as low as it is");
            share(soft)
        }
    }
}

/// A quarter for each of door, clients of the proxy and its connections to programs. The last quarter
/// is for databases, GitHub, builds, logs and everything else.
fn share(limit: u64) -> Shares {
    const MOST: u64 = 1024;
    let quarter = usize::try_from((limit / 4).clamp(1, MOST)).unwrap_or(1);
    if limit < USUAL {
        tracing::warn!(limit, "this server may have few files open: raise the limit (`ulimit -n`, `LimitNOFILE`)");
    }
    Shares { door: quarter, proxy: quarter }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        for (limit, each) in [(0, 1), (256, 64), (1024, 256), (4096, 1024), (1_000_000, 1024)] {
            assert_eq!(share(limit), Shares { door: each, proxy: each }, "{limit}");
        }
    }
}
