//! How much of the server's attention one repository may have at once.

/// How many lanes of one party, which is a repository or one of the server's own duties, may be held at
/// once, by all servers of a database together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneShare(i64);

impl LaneShare {
    /// Any number.
    pub const UNLIMITED: Self = Self(i64::MAX);
    /// So that a repository's deliveries are read while one of its stages is worked at.
    const LEAST: i64 = 2;

    /// A quarter of what a server works at: whoever comes new finds most of its places free and its
    /// processors not taken, however much one repository asks for.
    pub fn of(workers: usize) -> Self {
        Self(i64::try_from(workers / 4).unwrap_or(i64::MAX).max(Self::LEAST))
    }

    /// As a number.
    pub fn lanes(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_quarter_and_never_less_than_two() {
        let lanes = |workers| LaneShare::of(workers).lanes();
        assert_eq!([0, 1, 8, 11, 12, 64].map(lanes), [2, 2, 2, 2, 3, 16]);
    }
}
