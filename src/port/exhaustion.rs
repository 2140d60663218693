//! When a fault is this server's own lack of something.

use std::io;

use rustix::io::Errno;

/// Whether an error says that this process or machine has run out of descriptors, memory, processes or
/// addresses: then it says nothing about whom was asked.
pub fn is_own_exhaustion(error: &io::Error) -> bool {
    let own = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::AGAIN, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| own.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_answer_is_no_exhaustion() {
        let of = |errno: Errno| is_own_exhaustion(&errno.into());
        assert!([Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL].into_iter().all(of));
        assert!(
            ![Errno::CONNREFUSED, Errno::CONNRESET, Errno::TIMEDOUT, Errno::NOENT, Errno::ACCESS].into_iter().any(of)
        );
        assert!(!is_own_exhaustion(&io::Error::other("words")));
    }
}
